/*
 * footprint - gives back the memory that only starting up needed
 *
 * Process: supervisor.
 */
#pragma once

/* Lets go of the clean pages of program and libraries, which the dynamic
 * linker has touched nearly all of; what is used again comes back from the
 * page cache. */
void footprint_trim(void);
