/*
 * backoff - how long to wait before the next try
 *
 * Process: worker. Pure: randomness is an argument.
 */
#pragma once

#include "base.h"

/* Milliseconds before try number `attempt` (1 is the first retry): doubles
 * from `first_ms` up to `max_ms`, then between half and all of that, so that
 * many who failed together do not come back together. random: any number. */
int64_t
backoff_ms(unsigned attempt, int64_t first_ms, int64_t max_ms, uint32_t random);
/* A period spread by a fifth to either side. */
int64_t backoff_jitter(int64_t period_ms, uint32_t random);
