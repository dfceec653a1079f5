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

/* What granularity_read may say. */
#define GRANULARITY_WHY_BYTES 512

struct json;
struct zone;

/* A value: copied freely, nothing to free. All but `kind` is private. */
struct granularity {
	enum granularity_kind kind;
	/* buckets have one of these lengths; days only where the zone's clocks
	 * change, since they are 23 or 25 hours long there at times */
	int64_t ms, months, days;
	/* that they are counted from: 0 <= origin < ms; with months or days on
	 * the clocks of the zone */
	int64_t origin;
	struct zone *zone; /* of months and days; NULL: UTC */
};

struct interval {
	int64_t start, end; /* end is not in it */
};

/* One of the names; not PERIOD or DURATION. */
struct granularity granularity_of(enum granularity_kind);
bool granularity_parse(const char *name, struct granularity *); /* any case */
/* Lower case, as Druid's; "period" or "duration" for an object. */
const char *granularity_name(const struct granularity *);
/* A name, or an object {"type": "period", "period": "P1D", "timeZone": …,
 * "origin": …} or {"type": "duration", "duration": 3600000, "origin": …}, as
 * Druid reads it; the time zone counts as UTC when it is not given. An object
 * that means the same buckets as a name becomes that name. False: `why` says
 * what is wrong and what to do. */
bool granularity_read(const struct json *, struct granularity *,
    char why[static GRANULARITY_WHY_BYTES]);

/* Start of the bucket that holds `ms`. */
int64_t granularity_truncate(const struct granularity *, int64_t ms);
/* Start of the bucket after the one that starts at `start`. */
int64_t granularity_next(const struct granularity *, int64_t start);
struct interval granularity_bucket(const struct granularity *, int64_t ms);
/* The same for times that lie close together: `last` is where the caller keeps
 * the bucket that was found last, at first {0, 0}. */
static inline struct interval
granularity_bucket_near(
    const struct granularity *g, struct interval *last, int64_t ms)
{
	if (ms < last->start || ms >= last->end)
		*last = granularity_bucket(g, ms);
	return *last;
}
/* Number of a bucket within its cycle, below 1000, for firehose ids
 * (tranquility.md 3, "cycle by granularity"). Names that Tranquility does not
 * know: none counts as second, thirty_minute as minute, eight_hour as hour,
 * quarter as month, all is 0. Objects: buckets that follow one another never
 * have the same number. */
unsigned granularity_cycle(const struct granularity *, int64_t start);

/* The buckets that a beam may lie in (tranquility.md 3, rule 2): from
 * bucket(now - window).start to bucket(now + window).end. */
struct interval window_interval(
    const struct granularity *, int64_t now, const struct period *window);
/* Whether a beam that exists still takes the event. */
bool window_accepts(const struct granularity *, int64_t now,
    const struct period *window, int64_t event);
