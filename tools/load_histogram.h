/*
 * load_histogram - how long requests took, to two digits
 *
 * Process: tranq-load. Pure.
 *
 * Log-linear: below 64 µs each microsecond has its bucket, above that each
 * power of two has 64, so a bucket is never wider than a 64th of its value.
 */
#pragma once

#include "base.h"

#define HISTOGRAM_BUCKETS 2304 /* up to 2^41 µs, 25 days */

struct load_histogram {
	uint64_t counts[HISTOGRAM_BUCKETS];
	uint64_t total, max_us, sum_us;
};

void load_histogram_add(struct load_histogram *, uint64_t us);
/* The value that `share` (0 … 1) of all values do not exceed, rounded up to
 * its bucket's end and never above the largest value; 0 when empty. */
uint64_t load_histogram_at(const struct load_histogram *, double share);
