/*
 * joda_read - the values that a text has in the places of a pattern
 *
 * Process: all.
 */
#include <string.h>

#include "iso.h"
#include "joda_internal.h"

#define ZONE_BYTES_MAX 48

struct cursor {
	const char *at, *end;
};

static const char *const months[] = { "January", "February", "March", "April",
	"May", "June", "July", "August", "September", "October", "November",
	"December" };
static const char *const weekdays[] = { "Monday", "Tuesday", "Wednesday",
	"Thursday", "Friday", "Saturday", "Sunday" };
static const char *const halfdays[] = { "AM", "PM" };
static const char *const eras[] = { "AD", "CE" };

/* Joda's own names of zones, to that of the tz database; the time of year
 * decides between standard and summer time, not the name. */
static const struct {
	const char *name, *zone;
} zone_names[] = {
	{ "UTC", "UTC" },
	{ "GMT", "UTC" },
	{ "UT", "UTC" },
	{ "EST", "America/New_York" },
	{ "EDT", "America/New_York" },
	{ "CST", "America/Chicago" },
	{ "CDT", "America/Chicago" },
	{ "MST", "America/Denver" },
	{ "MDT", "America/Denver" },
	{ "PST", "America/Los_Angeles" },
	{ "PDT", "America/Los_Angeles" },
};

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static char
upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static bool
take_literal(struct cursor *c, const char *literal, size_t bytes)
{
	if ((size_t)(c->end - c->at) < bytes)
		return false;
	for (size_t i = 0; i < bytes; i++)
		if (lower(c->at[i]) != lower(literal[i]))
			return false;
	c->at += bytes;
	return true;
}

/* Up to `most` digits, as Java's int. */
static bool
take_digits(struct cursor *c, size_t most, bool is_negative, int32_t *value)
{
	const char *start = c->at;
	int64_t sum = 0;

	for (; c->at < c->end && is_digit(*c->at) &&
	     (size_t)(c->at - start) < most;
	     c->at++) {
		sum = sum * 10 + (is_negative ? '0' - *c->at : *c->at - '0');
		if (sum > INT32_MAX || sum < INT32_MIN)
			return false;
	}
	*value = (int32_t)sum;
	return c->at > start;
}

static bool
take_number(struct cursor *c, const struct joda_element *e, int32_t *value)
{
	bool is_negative = false;

	if (e->is_signed && e->most > 1 && c->at < c->end &&
	    (*c->at == '-' || *c->at == '+'))
		is_negative = *c->at++ == '-';
	return take_digits(c, e->most, is_negative, value);
}

/* Two digits are a year of the hundred around the pivot; with a sign or in
 * another number they stand for themselves. */
static bool
take_two_digits(struct cursor *c, const struct joda *j,
    const struct joda_element *e, int32_t *value)
{
	const char *start = c->at;
	struct joda_element number = { .most = 2 };
	int low = j->pivot - 50, turn;

	if (e->is_lenient)
		number = (struct joda_element){ .most = 10, .is_signed = true };
	if (!take_number(c, &number, value))
		return false;
	if (c->at - start != 2 || !is_digit(*start))
		return e->is_lenient;
	turn = low >= 0 ? low % 100 : 99 + (low + 1) % 100;
	*value += low + (*value < turn ? 100 : 0) - turn;
	return true;
}

/* A name as it is, in capitals or without any. */
static bool
is_name(const struct cursor *c, const char *name, size_t bytes)
{
	bool as_is = true, as_lower = true, as_upper = true;

	if ((size_t)(c->end - c->at) < bytes)
		return false;
	for (size_t i = 0; i < bytes; i++) {
		as_is &= c->at[i] == name[i];
		as_lower &= c->at[i] == lower(name[i]);
		as_upper &= c->at[i] == upper(name[i]);
	}
	return as_is || as_lower || as_upper;
}

/* The number of a name, from 0; the whole one if it is there, else the first
 * `least` letters of it. */
static bool
take_name(struct cursor *c, const char *const *names, int32_t count,
    size_t least, int32_t *number)
{
	for (*number = 0; *number < count; ++*number) {
		const char *name = names[*number];
		size_t bytes = strlen(name);

		if (!is_name(c, name, least))
			continue;
		c->at += is_name(c, name, bytes) ? bytes : least;
		return true;
	}
	return false;
}

static bool
take_field_name(struct cursor *c, enum joda_field field, int32_t *value)
{
	if (field == JODA_HALFDAY)
		return take_name(c, halfdays, ARRAY_LEN(halfdays), 2, value);
	if (field == JODA_ERA)
		return take_name(c, eras, ARRAY_LEN(eras), 2, value);
	if (!(field == JODA_MONTH
		    ? take_name(c, months, ARRAY_LEN(months), 3, value)
		    : take_name(c, weekdays, ARRAY_LEN(weekdays), 3, value)))
		return false;
	++*value; /* they are counted from 1 */
	return true;
}

/* Digits past the third are cut off. */
static bool
take_fraction(struct cursor *c, size_t most, int32_t *ms)
{
	const char *start = c->at;
	int32_t weight = 100;

	*ms = 0;
	for (; c->at < c->end && is_digit(*c->at) &&
	     (size_t)(c->at - start) < most;
	     c->at++) {
		*ms += (*c->at - '0') * weight;
		weight /= 10;
	}
	return c->at > start;
}

static bool
take_zone_name(struct cursor *c, struct joda_values *v)
{
	for (size_t i = 0; i < ARRAY_LEN(zone_names); i++) {
		const char *name = zone_names[i].name, *zone;
		size_t bytes = strlen(name);

		if ((size_t)(c->end - c->at) < bytes ||
		    memcmp(c->at, name, bytes) != 0)
			continue;
		c->at += bytes;
		zone = zone_names[i].zone;
		v->zone = zone_find(zone, strlen(zone));
		return v->zone != NULL;
	}
	return false;
}

/* Offsets are no names of the tz database; UTC and GMT are. */
static struct zone *
find_id(const char *name, size_t bytes)
{
	int64_t offset;

	if (zone_is_offset(name, bytes, &offset) && (bytes != 3 || offset != 0))
		return NULL;
	return zone_find(name, bytes);
}

/* The longest that is a zone's name. */
static bool
take_zone_id(struct cursor *c, struct joda_values *v)
{
	size_t bytes = 0, left = (size_t)(c->end - c->at);

	while (bytes < left && bytes < ZONE_BYTES_MAX &&
	    (is_digit(c->at[bytes]) ||
		upper(c->at[bytes]) != lower(c->at[bytes]) ||
		strchr("/_+-", c->at[bytes]) != NULL))
		bytes++;
	for (; bytes >= 2; bytes--) {
		v->zone = find_id(c->at, bytes);
		if (v->zone == NULL)
			continue;
		c->at += bytes;
		return true;
	}
	return false;
}

static bool
take_element(struct cursor *c, const struct joda *j,
    const struct joda_element *e, struct joda_values *v)
{
	int32_t *value = &v->of[e - j->elements];

	switch (e->kind) {
	case JODA_LITERAL: return take_literal(c, j->text + e->at, e->bytes);
	case JODA_NUMBER: return take_number(c, e, value);
	case JODA_TWO_DIGITS: return take_two_digits(c, j, e, value);
	case JODA_NAME: return take_field_name(c, e->field, value);
	case JODA_DIGITS_OF_SECOND: return take_fraction(c, e->most, value);
	case JODA_OFFSET:
		v->has_offset = true;
		return iso_take_offset(&c->at, c->end, &v->offset);
	case JODA_ZONE_NAME: return take_zone_name(c, v);
	case JODA_ZONE_ID: return take_zone_id(c, v);
	}
	return false;
}

bool
joda_read_text(
    const struct joda *j, const char *text, size_t bytes, struct joda_values *v)
{
	struct cursor c = { text, text + bytes };

	v->has_offset = false;
	v->zone = NULL;
	for (unsigned i = 0; i < j->count; i++)
		if (!take_element(&c, j, &j->elements[i], v))
			return false;
	return c.at == c.end;
}
