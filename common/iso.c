/*
 * iso - civil dates and ISO 8601 times, UTC, in milliseconds since 1970
 *
 * Process: all. Pure.
 */
#include "iso.h"

/* The calendar repeats every 400 years. Years are counted from 1 March here,
 * so that the leap day is a year's last. */
#define CYCLE_YEARS 400
#define CYCLE_DAYS 146097
#define MARCH_0000 (-719468) /* 0000-03-01 in days since 1970 */

/* Joda's bounds of a year; not all of the first and the last fits 64 bits. */
#define YEAR_MIN (-292275055)
#define YEAR_MAX 292278994

struct cursor {
	const char *at, *end;
};

static int64_t
floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static bool
is_leap(int64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

int64_t
iso_days(int64_t year, unsigned month, unsigned day)
{
	int64_t y = month > 2 ? year : year - 1;
	int64_t cycle = floor_div(y, CYCLE_YEARS);
	int64_t in_cycle = y - cycle * CYCLE_YEARS;
	/* months since March; (153 m + 2) / 5 days lie before month m */
	int64_t m = (month + 9) % 12;

	return MARCH_0000 + cycle * CYCLE_DAYS + in_cycle * 365 + in_cycle / 4 -
	    in_cycle / 100 + (153 * m + 2) / 5 + day - 1;
}

struct iso_date
iso_date_of(int64_t days)
{
	int64_t cycle = floor_div(days - MARCH_0000, CYCLE_DAYS);
	int64_t left = days - MARCH_0000 - cycle * CYCLE_DAYS;
	/* quarter days: a century has 36524.25 of them, a year 365.25 */
	int64_t century = (4 * left + 3) / CYCLE_DAYS;
	int64_t year, month;
	struct iso_date date;

	left -= CYCLE_DAYS * century / 4;
	year = (4 * left + 3) / 1461;
	left -= 1461 * year / 4;
	month = (5 * left + 2) / 153;
	date.day = (unsigned)(left - (153 * month + 2) / 5 + 1);
	date.month = (unsigned)(month < 10 ? month + 3 : month - 9);
	date.year = cycle * CYCLE_YEARS + century * 100 + year + (month >= 10);
	return date;
}

unsigned
iso_month_days(int64_t year, unsigned month)
{
	if (month == 2)
		return is_leap(year) ? 29 : 28;
	return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

unsigned
iso_weekday(int64_t days)
{
	int64_t n = (days + 3) % 7; /* 1970-01-01 was a Thursday */

	return (unsigned)(n < 0 ? n + 8 : n + 1);
}

/* Monday of the week 1 of a weekyear: the week that holds 4 January. */
static int64_t
week_one(int64_t weekyear)
{
	int64_t fourth = iso_days(weekyear, 1, 4);

	return fourth - (int64_t)iso_weekday(fourth) + 1;
}

unsigned
iso_week(int64_t days)
{
	/* a week belongs to the year that its Thursday lies in */
	int64_t thursday = days - (int64_t)iso_weekday(days) + 4;

	return (unsigned)((days - week_one(iso_date_of(thursday).year)) / 7) +
	    1;
}

int64_t
iso_day_of(int64_t ms)
{
	return floor_div(ms, ISO_DAY_MS);
}

static char *
put_digits(char *out, uint64_t value, unsigned least)
{
	char digits[20];
	unsigned n = 0;

	while (value > 0 || n < least) {
		digits[n++] = (char)('0' + value % 10);
		value /= 10;
	}
	while (n > 0)
		*out++ = digits[--n];
	return out;
}

static char *
put_field(char *out, uint64_t value, unsigned least, char after)
{
	out = put_digits(out, value, least);
	*out++ = after;
	return out;
}

void
iso_format(int64_t ms, char out[static ISO_BYTES])
{
	struct iso_date date = iso_date_of(iso_day_of(ms));
	int64_t left = ms % ISO_DAY_MS;
	uint64_t t = (uint64_t)(left < 0 ? left + ISO_DAY_MS : left);
	int64_t year = date.year;

	if (year < 0)
		*out++ = '-';
	out = put_field(out, (uint64_t)(year < 0 ? -year : year), 4, '-');
	out = put_field(out, date.month, 2, '-');
	out = put_field(out, date.day, 2, 'T');
	out = put_field(out, t / ISO_HOUR_MS, 2, ':');
	out = put_field(out, t / ISO_MINUTE_MS % 60, 2, ':');
	out = put_field(out, t / ISO_SECOND_MS % 60, 2, '.');
	out = put_field(out, t % ISO_SECOND_MS, 3, 'Z');
	*out = '\0';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The next byte is `c` or, for a letter, its capital. */
static bool
take(struct cursor *c, char wanted)
{
	if (c->at == c->end)
		return false;
	if (*c->at != wanted &&
	    !(wanted >= 'a' && *c->at == wanted - 'a' + 'A'))
		return false;
	c->at++;
	return true;
}

/* One to `most` digits. */
static bool
take_number(struct cursor *c, unsigned most, unsigned *value)
{
	unsigned n = 0;

	*value = 0;
	for (; n < most && c->at < c->end && is_digit(*c->at); n++)
		*value = *value * 10 + (unsigned)(*c->at++ - '0');
	return n > 0;
}

/* What may follow hours, minutes and seconds: a fraction of the unit. Joda
 * adds up whole tenths of a millisecond, and takes at most nine digits. */
static bool
take_fraction(struct cursor *c, int64_t unit_ms, int64_t *ms)
{
	int64_t weight = unit_ms * 10, tenths = 0;
	unsigned n = 0;

	if (!take(c, '.') && !take(c, ','))
		return false;
	for (; n < 9 && c->at < c->end && is_digit(*c->at); n++) {
		weight /= 10;
		tenths += (*c->at++ - '0') * weight;
	}
	*ms += tenths / 10;
	return n > 0;
}

static bool
at_fraction(const struct cursor *c)
{
	return c->at < c->end && (*c->at == '.' || *c->at == ',');
}

/* HH[:mm[:ss]], a fraction of the last one given. */
static bool
take_time(struct cursor *c, int64_t *ms)
{
	static const struct {
		int64_t ms;
		unsigned max;
	} units[] = {
		{ ISO_HOUR_MS, 23 },
		{ ISO_MINUTE_MS, 59 },
		{ ISO_SECOND_MS, 59 },
	};
	unsigned value;

	for (unsigned i = 0; i < ARRAY_LEN(units); i++) {
		if (i > 0 && !take(c, ':'))
			return true;
		if (!take_number(c, 2, &value) || value > units[i].max)
			return false;
		*ms += value * units[i].ms;
		if (at_fraction(c))
			return take_fraction(c, units[i].ms, ms);
	}
	return true;
}

static bool
take_two_digits(struct cursor *c, unsigned *value)
{
	const char *start = c->at;

	return take_number(c, 2, value) && c->at == start + 2;
}

/* Milliseconds of an offset, one to three digits. */
static bool
take_offset_millis(struct cursor *c, int64_t *ms)
{
	unsigned weight = 100, n = 0;

	for (; n < 3 && c->at < c->end && is_digit(*c->at); n++) {
		*ms += (*c->at++ - '0') * (int64_t)weight;
		weight /= 10;
	}
	return n > 0;
}

/* Minutes, seconds and milliseconds, with separators everywhere or nowhere, as
 * the first one says. */
static bool
take_offset_rest(struct cursor *c, int64_t *ms)
{
	bool separated = c->at < c->end && *c->at == ':';
	unsigned value;

	for (int64_t unit = ISO_MINUTE_MS; unit >= ISO_SECOND_MS; unit /= 60) {
		if (separated ? !take(c, ':')
			      : c->at == c->end || !is_digit(*c->at))
			return true;
		if (!take_two_digits(c, &value) || value > 59)
			return false;
		*ms += value * unit;
	}
	if (separated ? !take(c, '.') && !take(c, ',')
		      : c->at == c->end || !is_digit(*c->at))
		return true;
	return take_offset_millis(c, ms);
}

static bool
take_offset(struct cursor *c, int64_t *ms)
{
	bool negative = false;
	unsigned value;

	*ms = 0;
	if (take(c, 'z'))
		return true;
	if (!take(c, '+')) {
		if (!take(c, '-'))
			return false;
		negative = true;
	}
	if (!take_two_digits(c, &value) || value > 23)
		return false;
	*ms = value * ISO_HOUR_MS;
	if (!take_offset_rest(c, ms))
		return false;
	if (negative)
		*ms = -*ms;
	return true;
}

bool
iso_take_offset(const char **at, const char *end, int64_t *ms)
{
	struct cursor c = { *at, end };
	bool taken = take_offset(&c, ms);

	*at = c.at;
	return taken;
}

static bool
take_year(struct cursor *c, int64_t *year)
{
	bool negative = take(c, '-');
	unsigned value;

	if (!negative)
		(void)take(c, '+');
	if (!take_number(c, 9, &value))
		return false;
	*year = negative ? -(int64_t)value : (int64_t)value;
	return *year >= YEAR_MIN && *year <= YEAR_MAX;
}

static bool
take_week_date(struct cursor *c, int64_t weekyear, int64_t *days)
{
	unsigned week, weekday = 1;
	int64_t one = week_one(weekyear);

	if (!take_number(c, 2, &week) || week < 1)
		return false;
	if (week > (week_one(weekyear + 1) - one) / 7)
		return false;
	if (take(c, '-') && !take_number(c, 1, &weekday))
		return false;
	*days = one + (week - 1) * 7 + weekday - 1;
	return weekday >= 1 && weekday <= 7;
}

/* yyyy[-MM[-dd]], yyyy-DDD or xxxx-Www[-e]. Three digits behind the year are
 * a day of the year; fewer are a month. */
static bool
take_date(struct cursor *c, int64_t *days)
{
	unsigned value, day = 1;
	const char *start;
	int64_t year;

	if (!take_year(c, &year))
		return false;
	*days = iso_days(year, 1, 1);
	if (!take(c, '-'))
		return true;
	if (take(c, 'w'))
		return take_week_date(c, year, days);
	start = c->at;
	if (!take_number(c, 3, &value) || value < 1)
		return false;
	if (c->at - start == 3) {
		*days += value - 1;
		return value <= (is_leap(year) ? 366 : 365);
	}
	if (value > 12)
		return false;
	if (take(c, '-') && !take_number(c, 2, &day))
		return false;
	*days = iso_days(year, value, day);
	return day >= 1 && day <= iso_month_days(year, value);
}

bool
iso_parse_local(const char *text, size_t bytes, enum iso_separator separator,
    int64_t *ms, bool *has_offset)
{
	struct cursor c = { text, text + bytes };
	int64_t days = 0, time = 0, offset = 0;
	bool timed = take(&c, 't');

	if (!timed) {
		if (!take_date(&c, &days))
			return false;
		timed = take(&c, 't') ||
		    (separator == ISO_T_OR_SPACE && take(&c, ' '));
	} else if (c.at == c.end || !is_digit(*c.at)) {
		return false; /* without a date there must be a time */
	}
	if (timed && c.at < c.end && is_digit(*c.at) && !take_time(&c, &time))
		return false;
	*has_offset = timed && c.at < c.end;
	if (*has_offset && !take_offset(&c, &offset))
		return false;
	return c.at == c.end && !__builtin_mul_overflow(days, ISO_DAY_MS, ms) &&
	    !__builtin_add_overflow(*ms, time - offset, ms);
}

/* Two digits; *bad becomes non-zero when they are not. */
static inline unsigned
two_digits(const char *t, unsigned *bad)
{
	unsigned tens = (unsigned)(unsigned char)t[0] - '0';
	unsigned ones = (unsigned)(unsigned char)t[1] - '0';

	*bad |= (tens > 9) | (ones > 9);
	return tens * 10 + ones;
}

/* yyyy-MM-ddTHH:mm:ss[.SSS]Z and nothing else. */
static bool
parse_usual(const char *t, size_t bytes, int64_t *ms)
{
	unsigned bad = 0, year, month, day, hour, minute, second, millis = 0;

	if ((bytes != 24 && bytes != 20) || t[4] != '-' || t[7] != '-' ||
	    t[10] != 'T' || t[13] != ':' || t[16] != ':' || t[bytes - 1] != 'Z')
		return false;
	year = two_digits(t, &bad) * 100 + two_digits(t + 2, &bad);
	month = two_digits(t + 5, &bad);
	day = two_digits(t + 8, &bad);
	hour = two_digits(t + 11, &bad);
	minute = two_digits(t + 14, &bad);
	second = two_digits(t + 17, &bad);
	if (bytes == 24) {
		bad |= t[19] != '.';
		millis = two_digits(t + 20, &bad) * 10 +
		    two_digits(t + 21, &bad) % 10;
	}
	if (bad || month < 1 || month > 12 || day < 1 ||
	    day > iso_month_days(year, month) || hour > 23 || minute > 59 ||
	    second > 59)
		return false;
	*ms = iso_days(year, month, day) * ISO_DAY_MS +
	    (int64_t)((hour * 60 + minute) * 60 + second) * ISO_SECOND_MS +
	    millis;
	return true;
}

bool
iso_parse(
    const char *text, size_t bytes, enum iso_separator separator, int64_t *ms)
{
	bool has_offset;

	return parse_usual(text, bytes, ms) ||
	    iso_parse_local(text, bytes, separator, ms, &has_offset);
}
