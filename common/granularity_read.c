/*
 * granularity_read - granularities as a spec writes them
 *
 * Process: all.
 *
 * Druid's classes GranularityType, PeriodGranularity and DurationGranularity
 * say what may be written and what it means (druid-api.md 9.5). Refused beyond
 * that is what Druid takes but cuts into buckets that overlap or leave gaps.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "granularity.h"
#include "iso.h"
#include "json.h"
#include "zone.h"

/* Offsets of a zone are looked at from 2020 to 2038: what they were before
 * does not matter to events of today. */
#define LOOK_FROM_MS INT64_C(1577836800000)
#define LOOK_UNTIL_MS INT64_C(2145916800000)

#define LENGTH_MAX_MS (400 * 365 * ISO_DAY_MS) /* as period_ms counts */
#define ORIGIN_MAX_MS (10000 * LENGTH_MAX_MS / 400)
#define DAY_MAX 28 /* of an origin of months: every month has it */

struct reader {
	char *why;
	struct granularity *out;
	/* a period object */
	struct period period;
	struct zone *zone; /* NULL: not given */
	bool has_origin;
	int64_t origin;
};

static bool PRINTF_LIKE(2, 3) fail(struct reader *r, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(r->why, GRANULARITY_WHY_BYTES, format, args);
	va_end(args);
	return false;
}

/* As much of a text as a message shows. */
static int
cut(const char *text)
{
	return (int)strnlen(text, 60);
}

static bool
read_origin(struct reader *r, const struct json *object)
{
	const struct json *origin = json_get(object, "origin");
	const char *text = json_text(origin, "");

	r->has_origin = origin != NULL && !json_is_null(origin);
	r->origin = json_int(origin, 0);
	if (!r->has_origin)
		return true;
	if ((json_is_int(origin) ||
		iso_parse(text, strlen(text), ISO_T, &r->origin)) &&
	    r->origin > -ORIGIN_MAX_MS && r->origin < ORIGIN_MAX_MS)
		return true;
	return fail(r,
	    "origin is no ISO 8601 time; give one such as "
	    "2020-01-01T00:00:00Z");
}

/* Whether Druid reads this name of an offset; any that it does not is UTC to
 * it. */
static bool
is_druids(const char *name)
{
	if (*name == '+' || *name == '-')
		return strlen(name) != strlen("+8");
	return strncmp(name, "UT", 2) != 0;
}

static bool
read_zone(struct reader *r, const struct json *object)
{
	const struct json *zone = json_get(object, "timeZone");
	const char *name = json_text(zone, "");
	int64_t offset;

	if (zone == NULL || json_is_null(zone))
		return true;
	r->zone = zone_find(name, strlen(name));
	if (r->zone == NULL)
		return fail(r,
		    "timeZone '%.*s' is no time zone; give one such as "
		    "America/Los_Angeles, UTC or +08:00",
		    cut(name), name);
	if (!zone_is_fixed(r->zone, &offset))
		return true;
	if (offset == 0)
		r->zone = NULL; /* UTC */
	else if (!is_druids(name))
		return fail(r,
		    "timeZone '%.*s' is UTC to Druid, whatever stands behind "
		    "it; give %s",
		    cut(name), name, zone_name(r->zone));
	return true;
}

static bool
read_period(struct reader *r, const struct json *object)
{
	const char *text = json_get_text(object, "period", "");

	if (!period_parse(text, &r->period))
		return fail(r,
		    "period is no ISO 8601 period; give one such as P1D, P1M "
		    "or PT6H");
	if (period_ms(&r->period) == 0)
		return fail(r, "period is nothing; give one such as P1D");
	if (period_ms(&r->period) > LENGTH_MAX_MS)
		return fail(r, "period is too long; give at most P400Y");
	return true;
}

/* ---- what a period means ---- */

static int64_t
months_of(const struct period *p)
{
	return p->years * INT64_C(12) + p->months;
}

static int64_t
days_of(const struct period *p)
{
	return p->weeks * INT64_C(7) + p->days;
}

static int64_t
time_of(const struct period *p)
{
	struct period time = *p;

	time.years = time.months = time.weeks = time.days = 0;
	return period_ms(&time);
}

/* Where buckets are counted from, on the zone's clocks. */
static int64_t
local_origin(const struct reader *r)
{
	bool is_week = r->period.weeks == 1 && days_of(&r->period) == 7;

	if (!r->has_origin) /* 1970-01-05 was a Monday */
		return is_week ? 4 * ISO_DAY_MS : 0;
	return r->zone == NULL ? r->origin
			       : r->origin + zone_offset(r->zone, r->origin);
}

static bool
by_months(struct reader *r)
{
	int64_t origin = local_origin(r);

	if (r->has_origin && iso_date_of(iso_day_of(origin)).day > DAY_MAX)
		return fail(r,
		    "origin is on a day that not every month has; give one "
		    "on a day from 1 to %d",
		    DAY_MAX);
	*r->out = (struct granularity){ .kind = GRANULARITY_PERIOD,
		.months = months_of(&r->period),
		.origin = origin,
		.zone = r->zone };
	return true;
}

static bool
has_one_field(const struct period *p)
{
	const int32_t fields[] = { p->years, p->months, p->weeks, p->days,
		p->hours, p->minutes, p->seconds, p->ms };
	unsigned count = 0;

	for (unsigned i = 0; i < ARRAY_LEN(fields); i++)
		count += fields[i] != 0;
	return count <= 1;
}

static bool
fail_origin(struct reader *r)
{
	return fail(r,
	    "Druid's intervals would overlap with this origin, or with "
	    "none; give one after 1970 such as 2020-01-01T00:00:00Z");
}

static bool
by_length(struct reader *r, int64_t ms, int64_t origin)
{
	int64_t over = origin % ms, offset;

	if (over < 0 && !has_one_field(&r->period) &&
	    (r->zone == NULL || zone_is_fixed(r->zone, &offset)))
		return fail_origin(r);
	*r->out = (struct granularity){ .kind = GRANULARITY_PERIOD,
		.ms = ms,
		.origin = over < 0 ? over + ms : over };
	return true;
}

/* Druid starts hours at a full hour of the clocks when the origin lies before
 * 1970 or is not given. Buckets do not overlap as long as the clocks' full
 * hours stay the same distance from the origin. */
static bool
keeps_hours(const struct reader *r, int64_t origin)
{
	struct zone_span span = { .until = LOOK_FROM_MS };

	if (r->zone == NULL)
		return origin % ISO_HOUR_MS == 0;
	while (span.until < LOOK_UNTIL_MS) {
		span = zone_span(r->zone, span.until);
		if ((origin + span.offset) % ISO_HOUR_MS != 0)
			return false;
	}
	return true;
}

/* Hours, minutes, seconds, milliseconds, in any zone. */
static bool
by_time(struct reader *r)
{
	const struct period *p = &r->period;
	bool is_hours = p->hours > 0 && time_of(p) == p->hours * ISO_HOUR_MS;
	int64_t origin = r->origin;

	if (!r->has_origin && r->zone != NULL)
		origin = is_hours && p->hours == 1
		    ? -zone_offset(r->zone, LOOK_FROM_MS)
		    : zone_to_utc(r->zone, 0);
	if (is_hours && (origin < 0 || (p->hours == 1 && !r->has_origin)) &&
	    !keeps_hours(r, origin))
		return fail_origin(r);
	return by_length(r, time_of(p), origin);
}

static bool
by_period(struct reader *r)
{
	int64_t days = days_of(&r->period), time = time_of(&r->period);
	int64_t offset = 0;
	bool is_fixed = r->zone == NULL || zone_is_fixed(r->zone, &offset);

	if (months_of(&r->period) > 0 && days + time > 0)
		return fail(r,
		    "period mixes months with days or hours, so that its "
		    "intervals would drift; give one unit, such as P1M or P1D");
	if (months_of(&r->period) > 0)
		return by_months(r);
	if (days == 0)
		return by_time(r);
	if (is_fixed)
		return by_length(
		    r, days * ISO_DAY_MS + time, local_origin(r) - offset);
	if (time > 0)
		return fail(r,
		    "period mixes days with hours in a zone whose clocks "
		    "change; give one unit, such as P1D or PT36H");
	*r->out = (struct granularity){ .kind = GRANULARITY_PERIOD,
		.days = days,
		.origin = local_origin(r),
		.zone = r->zone };
	return true;
}

/* Buckets that have a name get it, and the cycle that goes with it. */
static void
find_name(struct granularity *g)
{
	for (unsigned i = 0; i < GRANULARITY_PERIOD; i++) {
		struct granularity named =
		    granularity_of((enum granularity_kind)i);

		if (named.ms == g->ms && named.months == g->months &&
		    named.origin == g->origin && g->zone == NULL &&
		    g->days == 0) {
			*g = named;
			return;
		}
	}
}

static bool
read_duration(struct reader *r, const struct json *object)
{
	const struct json *duration = json_get(object, "duration");
	const char *text = json_text(duration, "");
	int64_t ms = json_int(duration, 0);
	char *end;

	if (isdigit((unsigned char)*text)) {
		ms = strtoll(text, &end, 10);
		ms = *end == '\0' ? ms : 0;
	}
	if (ms <= 0 || ms > LENGTH_MAX_MS)
		return fail(r,
		    "duration is no length in milliseconds, or more than 400 "
		    "years; give one such as 3600000");
	r->period = (struct period){ 0 };
	if (!by_length(r, ms, r->origin))
		return false;
	r->out->kind = GRANULARITY_DURATION;
	return true;
}

static bool
read_object(struct reader *r, const struct json *object)
{
	const char *type = json_get_text(object, "type", "");

	if (strcmp(type, "all") == 0 || strcmp(type, "none") == 0)
		return granularity_parse(type, r->out);
	if (strcmp(type, "period") != 0 && strcmp(type, "duration") != 0)
		return fail(r,
		    "type '%.*s' is not known; give \"type\": \"period\" or "
		    "\"type\": \"duration\"",
		    cut(type), type);
	if (!read_origin(r, object))
		return false;
	if (strcmp(type, "duration") == 0) {
		if (!read_duration(r, object))
			return false;
	} else if (!read_period(r, object) || !read_zone(r, object) ||
	    !by_period(r))
		return false;
	find_name(r->out);
	return true;
}

bool
granularity_read(const struct json *json, struct granularity *out,
    char why[static GRANULARITY_WHY_BYTES])
{
	struct reader r = { .why = why, .out = out };
	const char *text = json_text(json, "");

	if (json_is_object(json))
		return read_object(&r, json);
	if (!json_is_text(json))
		return fail(&r,
		    "%s; give a name such as \"HOUR\" or \"DAY\", or an "
		    "object of type period or duration",
		    json_type_name(json));
	if (granularity_parse(text, out))
		return true;
	if (period_parse(text, &r.period))
		return fail(&r,
		    "'%.*s' is a period, which Druid takes as an object; give "
		    "{\"type\": \"period\", \"period\": \"%.*s\"}",
		    cut(text), text, cut(text), text);
	return fail(&r,
	    "'%.*s' is no granularity; give a name such as \"HOUR\" or "
	    "\"DAY\", or an object of type period or duration",
	    cut(text), text);
}
