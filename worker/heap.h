/*
 * heap - how much memory a process keeps that it has freed
 *
 * Process: worker.
 */
#pragma once

/* Batches come and go, a megabyte each: what malloc gave back to the system at
 * each one's end, and had cleared at the next one's beginning, was a third of
 * a worker's time. Before the first of them. */
void heap_keep(void);
