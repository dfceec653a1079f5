/*
 * environment - the variables that a child keeps
 *
 * Process: children.
 */
#pragma once

/* Forgets, and wipes out of memory, all but what libraries go by: the others
 * may be secrets that ${env:NAME} stands for, today or after a reload. */
void environment_reduce(void);
