/*
 * backoff - how long to wait before the next try
 *
 * Process: worker. Pure.
 */
#include "backoff.h"

int64_t
backoff_ms(unsigned attempt, int64_t first_ms, int64_t max_ms, uint32_t random)
{
	int64_t delay = first_ms;

	while (attempt-- > 1 && delay < max_ms)
		delay *= 2;
	delay = MIN_OF(delay, max_ms);
	return delay - (int64_t)(random % (uint64_t)(delay / 2 + 1));
}

int64_t
backoff_jitter(int64_t period_ms, uint32_t random)
{
	int64_t fifth = period_ms / 5;

	return period_ms - fifth +
	    (int64_t)(random % (uint64_t)(2 * fifth + 1));
}
