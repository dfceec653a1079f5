/*
 * rate - how fast counters have grown over the last ten seconds or so
 *
 * Process: supervisor. Pure. `values` and `out` have RATE_VALUES elements.
 */
#pragma once

#include "base.h"

#define RATE_VALUES 2
#define RATE_SAMPLES 3
#define RATE_WINDOW_MS (10 * 1000)

struct rate_sample {
	int64_t at_ms;
	uint64_t values[RATE_VALUES];
};

struct rate {
	struct rate_sample samples[RATE_SAMPLES]; /* oldest first */
	unsigned count;
};

void rate_sample(struct rate *, int64_t now_ms, const uint64_t *values);
/* Per second, from the sample that fits the window best to now; 0 as long as
 * there is none that is at least a second old. */
void rate_per_second(
    const struct rate *, int64_t now_ms, const uint64_t *values, double *out);
