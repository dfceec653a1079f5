/*
 * granularity_calendar - buckets of months, and of days where clocks change
 *
 * Process: all. Internal to granularity*.c.
 */
#pragma once

#include "granularity.h"

/* The bucket of `ms`, by a granularity without a fixed length. */
struct interval
granularity_calendar_bucket(const struct granularity *, int64_t ms);
/* How many buckets the one that starts at `start` lies behind the origin. */
int64_t granularity_calendar_number(const struct granularity *, int64_t start);
