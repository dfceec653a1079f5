/*
 * period - spans of time and the buckets that time is cut into
 *
 * Process: all. Pure: now is an argument. All times are milliseconds since
 * 1970, UTC. Results that would not fit 64 bits stay at the last value that
 * does.
 */
#pragma once

#include "base.h"

/* What period_format may write, the NUL included. */
#define PERIOD_BYTES 64

struct period {
	int32_t months; /* a year is 12 */
	int64_t ms; /* a day is 24 hours, a week 7 days */
};

/* ISO 8601: P1Y2M3W4DT5H6M7.008S, any subset in that order, letters of either
 * case. Refused: signs, nothing after P or T, a fraction of anything but
 * seconds (of which digits past the third are dropped), overflow. */
bool period_parse(const char *text, struct period *);
/* Shortest form of the same length: PT10M, P1D, P1Y2M, PT0.5S, PT0S. */
void period_format(const struct period *, char out[static PERIOD_BYTES]);
/* Its length with every month taken as 30 days. */
int64_t period_ms(const struct period *);
/* By the calendar: months first (31 January + P1M is the last of February),
 * then the milliseconds. */
int64_t period_add(int64_t ms, const struct period *);

/* The names of druid-api.md 9.5. Tranquility's own segmentGranularity knows
 * fewer; which of them a property may take is its reader's to say. */
/* Period and duration objects (with zone and origin) will be a struct beside
 * this enum, behind the same granularity_truncate and granularity_next. */
enum granularity {
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
	GRANULARITIES
};

struct interval {
	int64_t start, end; /* end is not in it */
};

bool granularity_parse(const char *name, enum granularity *); /* any case */
const char *granularity_name(enum granularity); /* lower case, as Druid's */
/* Start of the bucket that holds `ms`. */
int64_t granularity_truncate(enum granularity, int64_t ms);
/* Start of the bucket after the one that starts at `start`. */
int64_t granularity_next(enum granularity, int64_t start);
struct interval granularity_bucket(enum granularity, int64_t ms);
/* Number of a bucket within its cycle, for firehose ids (tranquility.md 3,
 * "cycle by granularity"). Names that Tranquility does not know: none counts
 * as second, thirty_minute as minute, eight_hour as hour, quarter as month,
 * all is 0. */
unsigned granularity_cycle(enum granularity, int64_t start);

/* Whether a beam that exists still takes the event (tranquility.md 3, rule
 * 2): its bucket overlaps [bucket(now - window).start, bucket(now +
 * window).end). Window >= 0. */
bool
window_accepts(enum granularity, int64_t now, int64_t window_ms, int64_t event);
