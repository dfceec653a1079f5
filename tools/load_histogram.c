/*
 * load_histogram - how long requests took, to two digits
 *
 * Process: tranq-load. Pure.
 */
#include "load_histogram.h"

#define SUB_BITS 6
#define SUBS (1u << SUB_BITS)

static unsigned
bucket_of(uint64_t us)
{
	unsigned shift, bucket;

	if (us < SUBS)
		return (unsigned)us;
	shift = 63 - (unsigned)__builtin_clzll(us) - SUB_BITS;
	bucket = (shift + 1) * SUBS + (unsigned)((us >> shift) - SUBS);
	return MIN_OF(bucket, HISTOGRAM_BUCKETS - 1);
}

/* The largest value of a bucket. */
static uint64_t
bucket_end(unsigned bucket)
{
	unsigned shift;

	if (bucket < SUBS)
		return bucket;
	shift = bucket / SUBS - 1;
	return ((uint64_t)(bucket % SUBS + SUBS + 1) << shift) - 1;
}

void
load_histogram_add(struct load_histogram *h, uint64_t us)
{
	h->counts[bucket_of(us)]++;
	h->total++;
	h->sum_us += us;
	h->max_us = MAX_OF(h->max_us, us);
}

uint64_t
load_histogram_at(const struct load_histogram *h, double share)
{
	double exact = share * (double)h->total;
	uint64_t wanted = (uint64_t)exact, seen = 0;

	if (h->total == 0)
		return 0;
	if ((double)wanted < exact)
		wanted++;
	wanted = MIN_OF(MAX_OF(wanted, 1), h->total);
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += h->counts[i];
		/* values past the last bucket are all in it */
		if (seen >= wanted && i == HISTOGRAM_BUCKETS - 1)
			return h->max_us;
		if (seen >= wanted)
			return MIN_OF(bucket_end(i), h->max_us);
	}
	return h->max_us;
}
