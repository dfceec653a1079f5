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

	must(partitions > 0);
	if (partitions == 1)
		return 0;
	for (;;) {
		double draw, next;

		state = UINT64_C(2862933555777941757) * state + 1;
		draw = (double)((uint32_t)(state >> 33) + 1) / 0x1p31;
		next = ((double)candidate + 1) / draw;
		/* Java's conversion saturates: far beyond is beyond */
		if (next >= (double)partitions)
			return candidate;
		candidate = (unsigned)next;
	}
}
