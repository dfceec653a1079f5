/*
 * partition - which of an interval's partitions takes an event
 *
 * Process: worker. Pure.
 */
#include "partition.h"

#include "panic.h"

unsigned
partition_pick(int32_t hash, unsigned partitions)
{
	uint64_t state = (uint64_t)(int64_t)hash; /* widened with its sign */
	unsigned candidate = 0;

	must(partitions > 0 && partitions <= INT32_MAX);
	if (partitions == 1)
		return 0;
	for (;;) {
		double draw, next;

		state = state * UINT64_C(2862933555777941757) + 1;
		/* Java's int sum: past the last int comes the first one, and
		 * the draw is -1 */
		draw = (double)(int32_t)((uint32_t)(state >> 33) + 1);
		next = ((double)candidate + 1) / (draw / 0x1p31);
		if (!(next > -1 && next < (double)partitions))
			return candidate;
		candidate = (unsigned)next;
	}
}
