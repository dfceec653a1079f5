/*
 * granularity_calendar - buckets of months, and of days where clocks change
 *
 * Process: all.
 *
 * Follows Druid's PeriodGranularity on Joda's chronologies. Where buckets of
 * Druid's overlap (the clocks skip the midnight that a day starts at, or show
 * it twice), the earlier start holds for the whole bucket here, and a bucket
 * ends where the next one starts.
 */
#include "granularity_calendar.h"

#include "iso.h"
#include "saturate.h"
#include "zone.h"

static int64_t
to_local(const struct granularity *g, int64_t ms)
{
	return g->zone == NULL ? ms
			       : saturate_add(ms, zone_offset(g->zone, ms));
}

static int64_t
to_utc(const struct granularity *g, int64_t local)
{
	return g->zone == NULL ? local : zone_to_utc(g->zone, local);
}

static int64_t
floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* Months since the year 0, and what a local time has beyond them. */
static int64_t
month_of(int64_t local, int64_t *rest)
{
	int64_t day = iso_day_of(local);
	struct iso_date date = iso_date_of(day);

	/* not before the start of the month, however far that is */
	*rest = local -
	    saturate_multiply(iso_days(date.year, date.month, 1), ISO_DAY_MS);
	return date.year * 12 + date.month - 1;
}

/* Whole months from one local time to another, rounded down. */
static int64_t
months_between(int64_t from, int64_t to)
{
	int64_t from_rest, to_rest;
	int64_t months = month_of(to, &to_rest) - month_of(from, &from_rest);

	return months - (to_rest < from_rest);
}

static int64_t
number_of(const struct granularity *g, int64_t local)
{
	if (g->months > 0)
		return floor_div(months_between(g->origin, local), g->months);
	return floor_div(saturate_add(local, -g->origin), g->days * ISO_DAY_MS);
}

static int64_t
start_of(const struct granularity *g, int64_t number)
{
	if (g->months > 0)
		return to_utc(
		    g, period_add_months(g->origin, number * g->months));
	return to_utc(g,
	    saturate_add(
		g->origin, saturate_multiply(number, g->days * ISO_DAY_MS)));
}

int64_t
granularity_calendar_number(const struct granularity *g, int64_t start)
{
	return number_of(g, to_local(g, start));
}

struct interval
granularity_calendar_bucket(const struct granularity *g, int64_t ms)
{
	int64_t number = number_of(g, to_local(g, ms));
	struct interval b = { start_of(g, number), start_of(g, number + 1) };

	/* clocks that were set in the bucket may show a time beside it; at the
	 * ends of 64 bits starts do not move any more, and the bucket reaches
	 * to the end */
	while (b.start > ms) {
		int64_t earlier = start_of(g, --number);

		b.end = b.start;
		b.start = earlier < b.end ? earlier : INT64_MIN;
	}
	while (b.end <= ms && b.end < INT64_MAX) {
		int64_t later = start_of(g, ++number + 1);

		b.start = b.end;
		b.end = later > b.start ? later : INT64_MAX;
	}
	return b;
}
