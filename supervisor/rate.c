/*
 * rate - how fast counters have grown over the last ten seconds or so
 *
 * Process: supervisor. Pure.
 */
#include "rate.h"

#include <string.h>

#define LEAST_MS 1000

void
rate_sample(struct rate *r, int64_t now_ms, const uint64_t *values)
{
	struct rate_sample *to;

	if (r->count == RATE_SAMPLES) {
		memmove(&r->samples[0], &r->samples[1],
		    (RATE_SAMPLES - 1) * sizeof r->samples[0]);
		r->count--;
	}
	to = &r->samples[r->count++];
	to->at_ms = now_ms;
	memcpy(to->values, values, sizeof to->values);
}

/* The youngest that covers the window, else the oldest. */
static const struct rate_sample *
choose(const struct rate *r, int64_t now_ms)
{
	const struct rate_sample *best = &r->samples[0];

	for (unsigned i = 1; i < r->count; i++)
		if (now_ms - r->samples[i].at_ms >= RATE_WINDOW_MS)
			best = &r->samples[i];
	return best;
}

void
rate_per_second(
    const struct rate *r, int64_t now_ms, const uint64_t *values, double *out)
{
	const struct rate_sample *from;

	memset(out, 0, RATE_VALUES * sizeof out[0]);
	if (r->count == 0)
		return;
	from = choose(r, now_ms);
	if (now_ms - from->at_ms < LEAST_MS)
		return;
	for (unsigned i = 0; i < RATE_VALUES; i++)
		/* smaller: the spool was taken away meanwhile */
		if (values[i] > from->values[i])
			out[i] = (double)(values[i] - from->values[i]) *
			    1000.0 / (double)(now_ms - from->at_ms);
}
