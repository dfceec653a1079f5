/*
 * granularity - the buckets that time is cut into
 *
 * Process: all. Pure.
 */
#include "granularity.h"

#include <strings.h>

#include "granularity_calendar.h"
#include "iso.h"
#include "panic.h"
#include "saturate.h"

#define CYCLE 1000 /* a cycle has three digits in a firehose id */

static const struct granularity named[] = {
	[GRANULARITY_NONE] = { .ms = 1 },
	[GRANULARITY_SECOND] = { .ms = ISO_SECOND_MS },
	[GRANULARITY_MINUTE] = { .ms = ISO_MINUTE_MS },
	[GRANULARITY_FIVE_MINUTE] = { .ms = 5 * ISO_MINUTE_MS },
	[GRANULARITY_TEN_MINUTE] = { .ms = 10 * ISO_MINUTE_MS },
	[GRANULARITY_FIFTEEN_MINUTE] = { .ms = 15 * ISO_MINUTE_MS },
	[GRANULARITY_THIRTY_MINUTE] = { .ms = 30 * ISO_MINUTE_MS },
	[GRANULARITY_HOUR] = { .ms = ISO_HOUR_MS },
	[GRANULARITY_SIX_HOUR] = { .ms = 6 * ISO_HOUR_MS },
	[GRANULARITY_EIGHT_HOUR] = { .ms = 8 * ISO_HOUR_MS },
	[GRANULARITY_DAY] = { .ms = ISO_DAY_MS },
	/* 1970-01-05 was a Monday */
	[GRANULARITY_WEEK] = { .ms = 7 * ISO_DAY_MS, .origin = 4 * ISO_DAY_MS },
	[GRANULARITY_MONTH] = { .months = 1 },
	[GRANULARITY_QUARTER] = { .months = 3 },
	[GRANULARITY_YEAR] = { .months = 12 },
	[GRANULARITY_ALL] = { .ms = 0 },
};

static const char *const names[] = {
	[GRANULARITY_NONE] = "none",
	[GRANULARITY_SECOND] = "second",
	[GRANULARITY_MINUTE] = "minute",
	[GRANULARITY_FIVE_MINUTE] = "five_minute",
	[GRANULARITY_TEN_MINUTE] = "ten_minute",
	[GRANULARITY_FIFTEEN_MINUTE] = "fifteen_minute",
	[GRANULARITY_THIRTY_MINUTE] = "thirty_minute",
	[GRANULARITY_HOUR] = "hour",
	[GRANULARITY_SIX_HOUR] = "six_hour",
	[GRANULARITY_EIGHT_HOUR] = "eight_hour",
	[GRANULARITY_DAY] = "day",
	[GRANULARITY_WEEK] = "week",
	[GRANULARITY_MONTH] = "month",
	[GRANULARITY_QUARTER] = "quarter",
	[GRANULARITY_YEAR] = "year",
	[GRANULARITY_ALL] = "all",
	[GRANULARITY_PERIOD] = "period",
	[GRANULARITY_DURATION] = "duration",
};

struct granularity
granularity_of(enum granularity_kind kind)
{
	struct granularity g;

	must(kind < GRANULARITY_PERIOD);
	g = named[kind];
	g.kind = kind;
	return g;
}

bool
granularity_parse(const char *name, struct granularity *g)
{
	for (unsigned i = 0; i < GRANULARITY_PERIOD; i++)
		if (strcasecmp(name, names[i]) == 0) {
			*g = granularity_of((enum granularity_kind)i);
			return true;
		}
	return false;
}

const char *
granularity_name(const struct granularity *g)
{
	must(g->kind < ARRAY_LEN(names));
	return names[g->kind];
}

static int64_t
truncate_months(int64_t ms, unsigned months)
{
	struct iso_date date = iso_date_of(iso_day_of(ms));
	unsigned month = (date.month - 1) / months * months + 1;

	return saturate_multiply(iso_days(date.year, month, 1), ISO_DAY_MS);
}

int64_t
granularity_truncate(const struct granularity *g, int64_t ms)
{
	int64_t over;

	if (g->ms > 0) {
		over = ms % g->ms - g->origin;
		while (over < 0) /* twice at most */
			over += g->ms;
		return saturate_add(ms, -over);
	}
	if (g->kind == GRANULARITY_ALL) /* Druid's first instant */
		return ms < INT64_MIN / 2 ? INT64_MIN : INT64_MIN / 2;
	if (g->kind != GRANULARITY_PERIOD)
		return truncate_months(ms, (unsigned)g->months);
	return granularity_calendar_bucket(g, ms).start;
}

int64_t
granularity_next(const struct granularity *g, int64_t start)
{
	if (g->ms > 0)
		return saturate_add(start, g->ms);
	if (g->kind == GRANULARITY_ALL)
		return INT64_MAX;
	if (g->kind != GRANULARITY_PERIOD)
		return period_add_months(start, g->months);
	return granularity_calendar_bucket(g, start).end;
}

struct interval
granularity_bucket(const struct granularity *g, int64_t ms)
{
	int64_t start;

	if (g->kind == GRANULARITY_PERIOD && g->ms == 0)
		return granularity_calendar_bucket(g, ms);
	start = granularity_truncate(g, ms);
	return (struct interval){ start, granularity_next(g, start) };
}

/* Buckets of an object are numbered on from their origin. */
static unsigned
number_in_cycle(const struct granularity *g, int64_t start)
{
	int64_t number = g->ms > 0 ? saturate_add(start, -g->origin) / g->ms
				   : granularity_calendar_number(g, start);

	return (unsigned)((number % CYCLE + CYCLE) % CYCLE);
}

unsigned
granularity_cycle(const struct granularity *g, int64_t start)
{
	int64_t day = iso_day_of(start);
	int64_t left = start % ISO_DAY_MS;
	int64_t in_day = left < 0 ? left + ISO_DAY_MS : left;
	unsigned second = (unsigned)(in_day / ISO_SECOND_MS);
	unsigned minute = second / 60;

	switch (g->kind) {
	case GRANULARITY_NONE:
	case GRANULARITY_SECOND: return second % 900;
	case GRANULARITY_MINUTE:
	case GRANULARITY_FIVE_MINUTE:
	case GRANULARITY_TEN_MINUTE:
	case GRANULARITY_FIFTEEN_MINUTE:
	case GRANULARITY_THIRTY_MINUTE: return minute % 180;
	case GRANULARITY_HOUR:
	case GRANULARITY_SIX_HOUR:
	case GRANULARITY_EIGHT_HOUR: return minute / 60;
	case GRANULARITY_DAY: return iso_date_of(day).day;
	case GRANULARITY_WEEK: return iso_week(day);
	case GRANULARITY_MONTH:
	case GRANULARITY_QUARTER: return iso_date_of(day).month;
	case GRANULARITY_YEAR:
		return (unsigned)((iso_date_of(day).year % 100 + 100) % 100);
	case GRANULARITY_PERIOD:
	case GRANULARITY_DURATION: return number_in_cycle(g, start);
	case GRANULARITY_ALL: break;
	}
	return 0;
}

struct interval
window_interval(
    const struct granularity *g, int64_t now, const struct period *window)
{
	int64_t last = granularity_truncate(g, period_add(now, window, 1));

	return (struct interval){ granularity_truncate(
				      g, period_add(now, window, -1)),
		granularity_next(g, last) };
}

bool
window_accepts(const struct granularity *g, int64_t now,
    const struct period *window, int64_t event)
{
	struct interval open = window_interval(g, now, window);
	int64_t start = granularity_truncate(g, event);

	return start >= open.start && start < open.end;
}
