/*
 * zone - time zones: how far local time is from UTC, and when that changes
 *
 * Process: all.
 */
#include "zone.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unicode/ucal.h>
#include <unicode/uclean.h>
#include <unicode/ustring.h>

#include "iso.h"
#include "panic.h"
#include "saturate.h"

#define NAME_BYTES 64
/* A year has three spans as a rule. */
#define SPANS 8
/* ICU's calendar reaches no further; offsets do not change out there. */
#define REACH_MS INT64_C(100000000000000000)

struct zone {
	struct zone *next;
	UCalendar *calendar; /* NULL: the offset is always `fixed` */
	int64_t fixed;
	/* what was asked for last */
	struct zone_span spans[SPANS];
	unsigned span_count, oldest;
	char name[NAME_BYTES];
};

static struct zone *zones;

/* Without memory ICU would give the offset of another time, or none. */

static void *U_CALLCONV
get_memory(const void *context UNUSED, size_t bytes)
{
	return must_malloc(bytes);
}

static void *U_CALLCONV
change_memory(const void *context UNUSED, void *old, size_t bytes)
{
	return must_realloc(old, bytes);
}

static void U_CALLCONV
free_memory(const void *context UNUSED, void *old)
{
	free(old);
}

__attribute__((constructor)) static void
use_our_memory(void)
{
	UErrorCode error = U_ZERO_ERROR;

	u_setMemoryFunctions(
	    NULL, get_memory, change_memory, free_memory, &error);
	must(U_SUCCESS(error)); /* nobody has used it before */
}

/* Goes to the front: events tend to name the same zone. */
static struct zone *
find_known(const char *name, size_t bytes)
{
	struct zone **at = &zones, *z;

	while ((z = *at) != NULL &&
	    (strncmp(z->name, name, bytes) != 0 || z->name[bytes] != '\0'))
		at = &z->next;
	if (z == NULL)
		return NULL;
	*at = z->next;
	z->next = zones;
	zones = z;
	return z;
}

static struct zone *
add(const char *name, size_t bytes)
{
	struct zone *z = must_calloc(1, sizeof *z);

	memcpy(z->name, name, bytes);
	z->next = zones;
	zones = z;
	return z;
}

/* Up to two digits into *value; moves *at behind them. */
static unsigned
read_digits(const char **at, const char *end, int64_t *value)
{
	unsigned n = 0;

	*value = 0;
	for (; n < 2 && *at < end && **at >= '0' && **at <= '9'; n++)
		*value = *value * 10 + (*(*at)++ - '0');
	return n;
}

/* +8, +08, +0830, +08:30, +08:30:15 */
static bool
read_offset(const char *at, const char *end, int64_t *offset)
{
	static const int64_t units[] = { ISO_HOUR_MS, ISO_MINUTE_MS,
		ISO_SECOND_MS };
	bool is_west = *at == '-';
	int64_t part, sum = 0;

	if (*at++ != '-' && !is_west && at[-1] != '+')
		return false;
	for (unsigned i = 0; i < ARRAY_LEN(units); i++) {
		if (i > 0 && at == end)
			break;
		if (i > 0 && *at == ':')
			at++;
		if (read_digits(&at, end, &part) < (i > 0 ? 2u : 1u) ||
		    part > (i > 0 ? 59 : 23))
			return false;
		sum += part * units[i];
	}
	*offset = is_west ? -sum : sum;
	return at == end;
}

bool
zone_is_offset(const char *name, size_t bytes, int64_t *offset)
{
	static const char *const names[] = { "UTC", "GMT", "UT", "Z" };
	const char *end = name + bytes;
	size_t n = 0;

	for (unsigned i = 0; i < ARRAY_LEN(names) && n == 0; i++)
		if (bytes >= strlen(names[i]) &&
		    memcmp(name, names[i], strlen(names[i])) == 0)
			n = strlen(names[i]);
	*offset = 0;
	if (n == bytes)
		return true;
	return (n == 0 || name[0] != 'Z') && read_offset(name + n, end, offset);
}

static struct zone *
find_fixed(int64_t offset)
{
	int64_t seconds = llabs(offset) / ISO_SECOND_MS;
	char name[NAME_BYTES] = "UTC";
	struct zone *z;
	int n = 3;

	if (offset != 0)
		n = snprintf(name, sizeof name, "%c%02d:%02d",
		    offset < 0 ? '-' : '+', (int)(seconds / 3600),
		    (int)(seconds / 60 % 60));
	if (seconds % 60 != 0)
		n += snprintf(name + n, sizeof name - (size_t)n, ":%02d",
		    (int)(seconds % 60));
	z = find_known(name, (size_t)n);
	if (z == NULL) {
		z = add(name, (size_t)n);
		z->fixed = offset;
	}
	return z;
}

static bool
is_system_name(const UChar *name)
{
	UErrorCode error = U_ZERO_ERROR;
	UChar canonical[NAME_BYTES];
	UBool is_system = false;

	ucal_getCanonicalTimeZoneID(
	    name, -1, canonical, NAME_BYTES, &is_system, &error);
	return U_SUCCESS(error) && is_system;
}

const char *
zone_name(const struct zone *z)
{
	return z->name;
}

bool
zone_is_fixed(const struct zone *z, int64_t *offset)
{
	*offset = z->fixed;
	return z->calendar == NULL;
}

/* The next or the last change of the clocks, seen from the calendar's time. */
static int64_t
find_change(
    struct zone *z, UTimeZoneTransitionType direction, int64_t otherwise)
{
	UErrorCode error = U_ZERO_ERROR;
	UDate at;

	if (!ucal_getTimeZoneTransitionDate(
		z->calendar, direction, &at, &error) ||
	    U_FAILURE(error))
		return otherwise;
	return (int64_t)at;
}

static struct zone_span
ask(struct zone *z, int64_t ms)
{
	UErrorCode error = U_ZERO_ERROR;
	struct zone_span span;

	ucal_setMillis(z->calendar,
	    (UDate)(ms < -REACH_MS   ? -REACH_MS
		    : ms >= REACH_MS ? REACH_MS
				     : ms),
	    &error);
	span.offset = ucal_get(z->calendar, UCAL_ZONE_OFFSET, &error) +
	    ucal_get(z->calendar, UCAL_DST_OFFSET, &error);
	must(U_SUCCESS(error));
	if (ms < -REACH_MS) {
		span.from = INT64_MIN;
		span.until = -REACH_MS;
	} else if (ms >= REACH_MS) {
		span.from = REACH_MS;
		span.until = INT64_MAX;
	} else {
		span.from = find_change(
		    z, UCAL_TZ_TRANSITION_PREVIOUS_INCLUSIVE, INT64_MIN);
		span.until = find_change(z, UCAL_TZ_TRANSITION_NEXT, INT64_MAX);
	}
	return span;
}

/* Etc/UTC and its like need no ICU. */
static void
fix(struct zone *z)
{
	struct zone_span span = ask(z, 0);

	if (span.from != INT64_MIN || span.until != INT64_MAX)
		return;
	z->fixed = span.offset;
	ucal_close(z->calendar);
	z->calendar = NULL;
}

struct zone *
zone_find(const char *name, size_t bytes)
{
	UErrorCode error = U_ZERO_ERROR;
	UChar wide[NAME_BYTES];
	struct zone *z;
	int64_t offset;

	if (bytes == 0 || bytes >= NAME_BYTES ||
	    memchr(name, '\0', bytes) != NULL)
		return NULL;
	z = find_known(name, bytes);
	if (z != NULL)
		return z;
	if (zone_is_offset(name, bytes, &offset))
		return find_fixed(offset);
	for (size_t i = 0; i < bytes; i++) {
		wide[i] = (unsigned char)name[i];
		if (wide[i] <= ' ' || wide[i] > '~')
			return NULL;
	}
	wide[bytes] = 0;
	if (!is_system_name(wide))
		return NULL;
	z = add(name, bytes);
	z->calendar = ucal_open(wide, -1, "en", UCAL_GREGORIAN, &error);
	must(U_SUCCESS(error)); /* it has no data of its own */
	fix(z);
	return z;
}

struct zone_span
zone_span(struct zone *z, int64_t ms)
{
	struct zone_span span;

	if (z->calendar == NULL)
		return (struct zone_span){ INT64_MIN, INT64_MAX, z->fixed };
	for (unsigned i = 0; i < z->span_count; i++)
		if (ms >= z->spans[i].from && ms < z->spans[i].until)
			return z->spans[i];
	span = ask(z, ms);
	z->oldest =
	    z->span_count < SPANS ? z->span_count++ : (z->oldest + 1) % SPANS;
	z->spans[z->oldest] = span;
	return span;
}

int64_t
zone_offset(struct zone *z, int64_t ms)
{
	return zone_span(z, ms).offset;
}

/* Whether clocks show `local` while the offset is this one. */
static bool
is_shown(struct zone *z, int64_t local, int64_t offset)
{
	return zone_offset(z, saturate_add(local, -offset)) == offset;
}

/* Offsets a day before and a day after: no zone has changed twice within two
 * days. */
static void
look_around(struct zone *z, int64_t local, int64_t *before, int64_t *after)
{
	*before = zone_offset(z, saturate_add(local, -ISO_DAY_MS));
	*after = zone_offset(z, saturate_add(local, ISO_DAY_MS));
}

int64_t
zone_to_utc(struct zone *z, int64_t local)
{
	int64_t before, after;

	/* the offset from before gives the earlier of two times, and of none
	 * the one behind the change */
	look_around(z, local, &before, &after);
	if (before == after || is_shown(z, local, before) ||
	    !is_shown(z, local, after))
		return saturate_add(local, -before);
	return saturate_add(local, -after);
}

bool
zone_skips(struct zone *z, int64_t local)
{
	int64_t before, after;

	look_around(z, local, &before, &after);
	return before != after && !is_shown(z, local, before) &&
	    !is_shown(z, local, after);
}
