/*
 * period - spans of time as ISO 8601 writes them
 *
 * Process: all. Pure.
 */
#include "period.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "iso.h"
#include "panic.h"
#include "saturate.h"

static bool
same_letter(char c, char capital)
{
	return c == capital || c == capital - 'A' + 'a';
}

/* Digits into *value; moves *at behind them. */
static bool
read_number(const char **at, int64_t *value)
{
	const char *start = *at;

	*value = 0;
	for (; **at >= '0' && **at <= '9'; ++*at)
		if (__builtin_mul_overflow(*value, 10, value) ||
		    __builtin_add_overflow(*value, **at - '0', value))
			return false;
	return *at > start;
}

/* The fraction of a second that may follow its whole part. */
static bool
read_fraction(const char **at, int64_t *ms)
{
	int64_t weight = 100;
	const char *start;

	*ms = 0;
	if (**at != '.' && **at != ',')
		return true;
	start = ++*at;
	for (; **at >= '0' && **at <= '9'; ++*at) {
		*ms += (**at - '0') * weight;
		weight /= 10;
	}
	return *at > start && same_letter(**at, 'S');
}

/* A field of struct period. */
struct unit {
	char letter;
	bool is_time; /* stands behind the T */
	size_t offset;
	int64_t ms; /* as period_ms counts it */
};

static const struct unit units[] = {
	{ 'Y', false, offsetof(struct period, years), 365 * ISO_DAY_MS },
	{ 'M', false, offsetof(struct period, months), 30 * ISO_DAY_MS },
	{ 'W', false, offsetof(struct period, weeks), 7 * ISO_DAY_MS },
	{ 'D', false, offsetof(struct period, days), ISO_DAY_MS },
	{ 'H', true, offsetof(struct period, hours), ISO_HOUR_MS },
	{ 'M', true, offsetof(struct period, minutes), ISO_MINUTE_MS },
	{ 'S', true, offsetof(struct period, seconds), ISO_SECOND_MS },
};

static int32_t
field(const struct period *p, const struct unit *unit)
{
	int32_t value;

	memcpy(&value, (const char *)p + unit->offset, sizeof value);
	return value;
}

/* The unit of this letter at or behind `from`: units come in order. */
static unsigned
find_unit(unsigned from, bool is_time, char letter)
{
	while (from < ARRAY_LEN(units) &&
	    (units[from].is_time != is_time ||
		!same_letter(letter, units[from].letter)))
		from++;
	return from;
}

static bool
set_field(struct period *p, const struct unit *unit, int64_t value)
{
	int32_t fits = (int32_t)value;

	memcpy((char *)p + unit->offset, &fits, sizeof fits);
	return value <= INT32_MAX;
}

bool
period_parse(const char *text, struct period *p)
{
	bool is_time = false;
	unsigned unit = 0;
	int64_t n, ms;

	*p = (struct period){ 0 };
	if (!same_letter(*text++, 'P') || *text == '\0')
		return false;
	while (*text != '\0') {
		if (same_letter(*text, 'T')) {
			if (is_time)
				return false;
			is_time = true;
			text++;
		}
		if (!read_number(&text, &n) || !read_fraction(&text, &ms))
			return false;
		unit = find_unit(unit, is_time, *text);
		if (unit == ARRAY_LEN(units) || !set_field(p, &units[unit], n))
			return false;
		p->ms = (int32_t)ms;
		unit++;
		text++;
	}
	return period_ms(p) < INT64_MAX;
}

/* The digits of a fraction of a second that are not needless. */
static size_t
put_fraction(char *out, size_t bytes, int32_t ms)
{
	size_t n = (size_t)snprintf(out, bytes, ".%03" PRId32, ms);

	while (out[n - 1] == '0')
		n--;
	return n;
}

void
period_format(const struct period *p, char out[static PERIOD_BYTES])
{
	bool is_time = false;
	size_t n = 1;

	out[0] = 'P';
	for (unsigned i = 0; i < ARRAY_LEN(units); i++) {
		int32_t value = field(p, &units[i]);
		bool has_ms = units[i].letter == 'S' && p->ms != 0;

		must(value >= 0);
		if (value == 0 && !has_ms)
			continue;
		if (units[i].is_time && !is_time)
			out[n++] = 'T';
		is_time = units[i].is_time;
		n += (size_t)snprintf(
		    out + n, PERIOD_BYTES - n, "%" PRId32, value);
		if (has_ms)
			n += put_fraction(out + n, PERIOD_BYTES - n, p->ms);
		out[n++] = units[i].letter;
	}
	out[n] = '\0';
	if (n == 1)
		snprintf(out, PERIOD_BYTES, "PT0S");
}

struct period
period_of_ms(int64_t ms)
{
	int64_t in_day = ms % ISO_DAY_MS;

	must(ms >= 0 && ms / ISO_DAY_MS <= INT32_MAX);
	return (struct period){ .days = (int32_t)(ms / ISO_DAY_MS),
		.hours = (int32_t)(in_day / ISO_HOUR_MS),
		.minutes = (int32_t)(in_day / ISO_MINUTE_MS % 60),
		.seconds = (int32_t)(in_day / ISO_SECOND_MS % 60),
		.ms = (int32_t)(in_day % ISO_SECOND_MS) };
}

int64_t
period_ms(const struct period *p)
{
	int64_t sum = p->ms;

	for (unsigned i = 0; i < ARRAY_LEN(units); i++)
		sum = saturate_add(
		    sum, saturate_multiply(field(p, &units[i]), units[i].ms));
	return sum;
}

bool
period_equal(const struct period *a, const struct period *b)
{
	return memcmp(a, b, sizeof *a) == 0;
}

int64_t
period_add_months(int64_t ms, int64_t months)
{
	int64_t day = iso_day_of(ms);
	struct iso_date date = iso_date_of(day);
	int64_t count = date.year * 12 + (date.month - 1) + months;
	int64_t year = count / 12 - (count % 12 < 0);
	unsigned month = (unsigned)(count - year * 12) + 1;
	unsigned most = iso_month_days(year, month);
	int64_t moved =
	    iso_days(year, month, date.day < most ? date.day : most);

	return saturate_add(ms, saturate_multiply(moved - day, ISO_DAY_MS));
}

int64_t
period_add(int64_t ms, const struct period *p, int times)
{
	for (unsigned i = 0; i < ARRAY_LEN(units); i++) {
		const struct unit *u = &units[i];
		int64_t n = (int64_t)field(p, u) * times;

		if (n == 0)
			continue;
		if (u->offset == offsetof(struct period, years))
			ms = period_add_months(ms, n * 12);
		else if (u->offset == offsetof(struct period, months))
			ms = period_add_months(ms, n);
		else
			ms = saturate_add(ms, saturate_multiply(n, u->ms));
	}
	return saturate_add(ms, (int64_t)p->ms * times);
}
