/*
 * period - spans of time and the buckets that time is cut into
 *
 * Process: all. Pure.
 */
#include "period.h"

#include <stdio.h>
#include <strings.h>

#include "iso.h"
#include "panic.h"

#define MONTH_MS (30 * ISO_DAY_MS)

static int64_t
add_saturating(int64_t a, int64_t b)
{
	int64_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return b < 0 ? INT64_MIN : INT64_MAX;
	return sum;
}

static int64_t
multiply_saturating(int64_t a, int64_t b)
{
	int64_t product;

	if (__builtin_mul_overflow(a, b, &product))
		return (a < 0) == (b < 0) ? INT64_MAX : INT64_MIN;
	return product;
}

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

struct unit {
	char letter;
	bool is_time; /* stands behind the T */
	int32_t months;
	int64_t ms;
};

static const struct unit units[] = {
	{ 'Y', false, 12, 0 },
	{ 'M', false, 1, 0 },
	{ 'W', false, 0, 7 * ISO_DAY_MS },
	{ 'D', false, 0, ISO_DAY_MS },
	{ 'H', true, 0, ISO_HOUR_MS },
	{ 'M', true, 0, ISO_MINUTE_MS },
	{ 'S', true, 0, ISO_SECOND_MS },
};

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
add_part(struct period *p, const struct unit *unit, int64_t n, int64_t ms)
{
	int64_t months, product;

	if (__builtin_mul_overflow(n, (int64_t)unit->months, &months) ||
	    __builtin_add_overflow(months, p->months, &p->months))
		return false;
	return !__builtin_mul_overflow(n, unit->ms, &product) &&
	    !__builtin_add_overflow(p->ms, product, &p->ms) &&
	    !__builtin_add_overflow(p->ms, ms, &p->ms);
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
		if (unit == ARRAY_LEN(units) ||
		    !add_part(p, &units[unit], n, ms))
			return false;
		unit++;
		text++;
	}
	return true;
}

static int
put_part(char *out, size_t bytes, int64_t n, const char *unit)
{
	return n == 0 ? 0 : snprintf(out, bytes, "%jd%s", (intmax_t)n, unit);
}

void
period_format(const struct period *p, char out[static PERIOD_BYTES])
{
	int64_t day_part = p->ms % ISO_DAY_MS;
	int64_t seconds_ms = p->ms % ISO_MINUTE_MS;
	const int64_t parts[] = { p->months / 12, p->months % 12,
		p->ms / ISO_DAY_MS, day_part / ISO_HOUR_MS,
		day_part / ISO_MINUTE_MS % 60 };
	static const char *const names[] = { "Y", "M", "D", "H", "M" };
	size_t n = 1;

	must(p->months >= 0 && p->ms >= 0);
	out[0] = 'P';
	for (unsigned i = 0; i < ARRAY_LEN(parts); i++) {
		if (i == 3 && day_part != 0)
			out[n++] = 'T';
		n += (size_t)put_part(
		    out + n, PERIOD_BYTES - n, parts[i], names[i]);
	}
	out[n] = '\0';
	if (n == 1)
		(void)snprintf(out, PERIOD_BYTES, "PT0S");
	if (seconds_ms == 0)
		return;
	n += (size_t)snprintf(out + n, PERIOD_BYTES - n, "%d.%03d",
	    (int)(seconds_ms / 1000), (int)(seconds_ms % 1000));
	while (out[n - 1] == '0')
		n--;
	if (out[n - 1] == '.')
		n--;
	out[n++] = 'S';
	out[n] = '\0';
}

int64_t
period_ms(const struct period *p)
{
	return add_saturating(p->months * MONTH_MS, p->ms);
}

/* `ms` with its date moved by months; time of day kept, day cut to fit. */
static int64_t
add_months(int64_t ms, int32_t months)
{
	int64_t day = iso_day_of(ms);
	struct iso_date date = iso_date_of(day);
	int64_t count = date.year * 12 + (date.month - 1) + months;
	int64_t year = count / 12 - (count % 12 < 0);
	unsigned month = (unsigned)(count - year * 12) + 1;
	unsigned most = iso_month_days(year, month);
	int64_t moved =
	    iso_days(year, month, date.day < most ? date.day : most);

	return add_saturating(ms, multiply_saturating(moved - day, ISO_DAY_MS));
}

int64_t
period_add(int64_t ms, const struct period *p)
{
	if (p->months != 0)
		ms = add_months(ms, p->months);
	return add_saturating(ms, p->ms);
}

/* A kind of bucket: of fixed length (ms > 0), whole months, or neither. Buckets
 * of fixed length are counted from the origin, 0 <= origin < ms. */
struct bucketing {
	const char *name;
	int64_t ms, origin;
	int32_t months;
};

static const struct bucketing bucketings[GRANULARITIES] = {
	[GRANULARITY_NONE] = { "none", 1, 0, 0 },
	[GRANULARITY_SECOND] = { "second", ISO_SECOND_MS, 0, 0 },
	[GRANULARITY_MINUTE] = { "minute", ISO_MINUTE_MS, 0, 0 },
	[GRANULARITY_FIVE_MINUTE] = { "five_minute", 5 * ISO_MINUTE_MS, 0, 0 },
	[GRANULARITY_TEN_MINUTE] = { "ten_minute", 10 * ISO_MINUTE_MS, 0, 0 },
	[GRANULARITY_FIFTEEN_MINUTE] = { "fifteen_minute", 15 * ISO_MINUTE_MS,
	    0, 0 },
	[GRANULARITY_THIRTY_MINUTE] = { "thirty_minute", 30 * ISO_MINUTE_MS, 0,
	    0 },
	[GRANULARITY_HOUR] = { "hour", ISO_HOUR_MS, 0, 0 },
	[GRANULARITY_SIX_HOUR] = { "six_hour", 6 * ISO_HOUR_MS, 0, 0 },
	[GRANULARITY_EIGHT_HOUR] = { "eight_hour", 8 * ISO_HOUR_MS, 0, 0 },
	[GRANULARITY_DAY] = { "day", ISO_DAY_MS, 0, 0 },
	/* 1970-01-05 was a Monday */
	[GRANULARITY_WEEK] = { "week", 7 * ISO_DAY_MS, 4 * ISO_DAY_MS, 0 },
	[GRANULARITY_MONTH] = { "month", 0, 0, 1 },
	[GRANULARITY_QUARTER] = { "quarter", 0, 0, 3 },
	[GRANULARITY_YEAR] = { "year", 0, 0, 12 },
	[GRANULARITY_ALL] = { "all", 0, 0, 0 },
};

bool
granularity_parse(const char *name, enum granularity *g)
{
	for (unsigned i = 0; i < GRANULARITIES; i++)
		if (strcasecmp(name, bucketings[i].name) == 0) {
			*g = (enum granularity)i;
			return true;
		}
	return false;
}

const char *
granularity_name(enum granularity g)
{
	must(g < GRANULARITIES);
	return bucketings[g].name;
}

static int64_t
truncate_months(int64_t ms, unsigned months)
{
	struct iso_date date = iso_date_of(iso_day_of(ms));
	unsigned month = (date.month - 1) / months * months + 1;

	return multiply_saturating(iso_days(date.year, month, 1), ISO_DAY_MS);
}

int64_t
granularity_truncate(enum granularity g, int64_t ms)
{
	const struct bucketing *b = &bucketings[g];
	int64_t over;

	must(g < GRANULARITIES);
	if (b->months > 0)
		return truncate_months(ms, (unsigned)b->months);
	if (b->ms == 0)
		return INT64_MIN;
	over = ms % b->ms - b->origin;
	while (over < 0) /* twice at most */
		over += b->ms;
	return add_saturating(ms, -over);
}

int64_t
granularity_next(enum granularity g, int64_t start)
{
	const struct bucketing *b = &bucketings[g];

	must(g < GRANULARITIES);
	if (b->months > 0)
		return add_months(start, b->months);
	return b->ms == 0 ? INT64_MAX : add_saturating(start, b->ms);
}

struct interval
granularity_bucket(enum granularity g, int64_t ms)
{
	int64_t start = granularity_truncate(g, ms);

	return (struct interval){ start, granularity_next(g, start) };
}

unsigned
granularity_cycle(enum granularity g, int64_t start)
{
	int64_t day = iso_day_of(start);
	int64_t left = start % ISO_DAY_MS;
	int64_t in_day = left < 0 ? left + ISO_DAY_MS : left;
	unsigned second = (unsigned)(in_day / ISO_SECOND_MS);
	unsigned minute = second / 60;

	switch (g) {
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
	case GRANULARITY_ALL:
	case GRANULARITIES: break;
	}
	return 0;
}

bool
window_accepts(
    enum granularity g, int64_t now, int64_t window_ms, int64_t event)
{
	int64_t start = granularity_truncate(g, event);
	struct interval last;

	must(window_ms >= 0);
	last = granularity_bucket(g, add_saturating(now, window_ms));
	return start < last.end &&
	    start >= granularity_truncate(g, add_saturating(now, -window_ms));
}
