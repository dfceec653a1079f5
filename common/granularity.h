/*
 * granularity - the buckets that time is cut into
 *
 * Process: all. Pure: now is an argument. All times are milliseconds since
 * 1970, UTC. Results that would not fit 64 bits stay at the last value that
 * does.
 */
#pragma once

#include "base.h"
#include "period.h"

/* The names of druid-api.md 9.5, and the two kinds of objects. */
enum granularity_kind {
	GRANULARITY_NONE, /* every millisecond a bucket */
	GRANULARITY_SECOND,
	GRANULARITY_MINUTE,
	GRANULARITY_FIVE_MINUTE,
	GRANULARITY_TEN_MINUTE,
	GRANULARITY_FIFTEEN_MINUTE,
	GRANULARITY_THIRTY_MINUTE,
	GRANULARITY_HOUR,
	GRANULARITY_SIX_HOUR,
	GRANULARITY_EIGHT_HOUR,
	GRANULARITY_DAY,
	GRANULARITY_WEEK, /* starts on Monday */
	GRANULARITY_MONTH,
	GRANULARITY_QUARTER,
	GRANULARITY_YEAR,
	GRANULARITY_ALL, /* one bucket, INT64_MIN to INT64_MAX */
	GRANULARITY_PERIOD,
	GRANULARITY_DURATION
};

/* A value: copied freely, nothing to free. Its members are private. */
struct granularity {
	enum granularity_kind kind;
	/* buckets of fixed length, counted from `origin`, 0 <= origin < ms;
	 * ms 0: by the calendar, or one bucket */
	int64_t ms, origin;
	struct period period;
};

struct interval {
	int64_t start, end; /* end is not in it */
};

/* One of the names; not PERIOD or DURATION. */
struct granularity granularity_of(enum granularity_kind);
bool granularity_parse(const char *name, struct granularity *); /* any case */
/* Lower case, as Druid's; "period" or "duration" for an object. */
const char *granularity_name(const struct granularity *);
bool granularity_equal(const struct granularity *, const struct granularity *);

/* Start of the bucket that holds `ms`. */
int64_t granularity_truncate(const struct granularity *, int64_t ms);
/* Start of the bucket after the one that starts at `start`. */
int64_t granularity_next(const struct granularity *, int64_t start);
struct interval granularity_bucket(const struct granularity *, int64_t ms);
/* Number of a bucket within its cycle, below 1000, for firehose ids
 * (tranquility.md 3, "cycle by granularity"). Names that Tranquility does not
 * know: none counts as second, thirty_minute as minute, eight_hour as hour,
 * quarter as month, all is 0. */
unsigned granularity_cycle(const struct granularity *, int64_t start);

/* The buckets that a beam may lie in (tranquility.md 3, rule 2): from
 * bucket(now - window).start to bucket(now + window).end. */
struct interval window_interval(
    const struct granularity *, int64_t now, const struct period *window);
/* Whether a beam that exists still takes the event. */
bool window_accepts(const struct granularity *, int64_t now,
    const struct period *window, int64_t event);
