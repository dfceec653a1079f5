/*
 * heap - how much memory a process keeps that it has freed
 *
 * Process: worker.
 */
#include "heap.h"

#include <malloc.h>

#include "base.h"

#define KEEP_BYTES (16 * (int)MiB)
#define KEEP_BLOCK_BYTES (8 * (int)MiB) /* larger ones go back at once */
#define STEP_BYTES ((int)MiB)

void
heap_keep(void)
{
	mallopt(M_MMAP_THRESHOLD, KEEP_BLOCK_BYTES);
	mallopt(M_TRIM_THRESHOLD, KEEP_BYTES);
	mallopt(M_TOP_PAD, STEP_BYTES);
}
