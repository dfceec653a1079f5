/*
 * joda_time - the time that values in the places of a pattern make
 *
 * Process: all.
 *
 * As Joda's DateTimeParserBucket has it: fields are set one after the other,
 * from the longest to the shortest, and what is shorter than the field goes
 * back to its start; then all are set once more, since a shorter field may
 * have moved a longer one.
 */
#include "iso.h"
#include "joda_internal.h"

/* Joda's bounds of a year; not all of the first and the last fits 64 bits. */
#define YEAR_MIN (-292275055)
#define YEAR_MAX 292278994
#define YEAR_DEFAULT 2000 /* to a text with a month or a day alone */
#define HALFDAY_MS (ISO_DAY_MS / 2)

struct civil {
	struct iso_date date;
	int64_t in_day; /* milliseconds */
};

static int64_t
day_of(const struct civil *c)
{
	return iso_days(c->date.year, c->date.month, c->date.day);
}

/* The year that the week of a day belongs to: that of its Thursday. */
static int64_t
weekyear_of(int64_t day)
{
	return iso_date_of(day - (int64_t)iso_weekday(day) + 4).year;
}

static int64_t
week_count(int64_t weekyear)
{
	return iso_week(iso_days(weekyear, 12, 28));
}

/* The same weekday in another week; the last there is when it has none. */
static void
move_to_week(struct civil *c, int64_t weekyear, int64_t week)
{
	int64_t first = iso_days(weekyear, 1, 4), last = week_count(weekyear);
	int64_t weekday = iso_weekday(day_of(c));

	first -= iso_weekday(first); /* the Sunday before the week 1 */
	c->date = iso_date_of(
	    first + (week < last ? week - 1 : last - 1) * 7 + weekday);
}

static bool
is_within(int64_t value, int64_t least, int64_t most)
{
	return value >= least && value <= most;
}

static bool
set_year(struct civil *c, int64_t year)
{
	unsigned most;

	if (!is_within(year, YEAR_MIN, YEAR_MAX))
		return false;
	most = iso_month_days(year, c->date.month);
	c->date.year = year;
	c->date.day = MIN_OF(c->date.day, most);
	return true;
}

static bool
set_weekyear(struct civil *c, int64_t weekyear)
{
	if (!is_within(weekyear, YEAR_MIN + 1, YEAR_MAX - 1))
		return false;
	move_to_week(c, weekyear, iso_week(day_of(c)));
	return true;
}

static bool
set_month(struct civil *c, int64_t month)
{
	unsigned most;

	if (!is_within(month, 1, 12))
		return false;
	most = iso_month_days(c->date.year, (unsigned)month);
	c->date.month = (unsigned)month;
	c->date.day = MIN_OF(c->date.day, most);
	return true;
}

static bool
set_week(struct civil *c, int64_t week)
{
	int64_t weekyear = weekyear_of(day_of(c));

	if (!is_within(week, 1, week_count(weekyear)))
		return false;
	move_to_week(c, weekyear, week);
	return true;
}

static bool
set_day_of_year(struct civil *c, int64_t day)
{
	int64_t first = iso_days(c->date.year, 1, 1);

	if (!is_within(day, 1, iso_days(c->date.year + 1, 1, 1) - first))
		return false;
	c->date = iso_date_of(first + day - 1);
	return true;
}

static bool
set_day(struct civil *c, int64_t day)
{
	c->date.day = (unsigned)day;
	return is_within(day, 1, iso_month_days(c->date.year, c->date.month));
}

static bool
set_weekday(struct civil *c, int64_t weekday)
{
	int64_t day = day_of(c);

	c->date = iso_date_of(day + weekday - (int64_t)iso_weekday(day));
	return is_within(weekday, 1, 7);
}

/* A field of the time of day: so many units within a longer one. */
static bool
set_time(struct civil *c, int64_t unit_ms, int64_t whole_ms, int64_t value)
{
	c->in_day += value * unit_ms - c->in_day % whole_ms / unit_ms * unit_ms;
	return is_within(value, 0, whole_ms / unit_ms - 1);
}

/* Of hours that are counted from 1: the last one is 0. */
static bool
set_clock_hour(struct civil *c, int64_t whole_ms, int64_t value)
{
	int64_t hours = whole_ms / ISO_HOUR_MS;

	return is_within(value, 1, hours) &&
	    set_time(c, ISO_HOUR_MS, whole_ms, value % hours);
}

static bool
set(struct civil *c, enum joda_field field, int64_t value)
{
	switch (field) {
	case JODA_ERA: return true; /* ours is the only one */
	case JODA_CENTURY:
		return value >= 0 &&
		    set_year(c, value * 100 + c->date.year % 100);
	case JODA_YEAR: return set_year(c, value);
	case JODA_YEAR_OF_ERA:
		return is_within(value, 1, YEAR_MAX - 1) && set_year(c, value);
	case JODA_WEEKYEAR: return set_weekyear(c, value);
	case JODA_MONTH: return set_month(c, value);
	case JODA_WEEK: return set_week(c, value);
	case JODA_DAY_OF_YEAR: return set_day_of_year(c, value);
	case JODA_DAY: return set_day(c, value);
	case JODA_DAY_OF_WEEK: return set_weekday(c, value);
	case JODA_HALFDAY: return set_time(c, HALFDAY_MS, ISO_DAY_MS, value);
	case JODA_HOUR: return set_time(c, ISO_HOUR_MS, ISO_DAY_MS, value);
	case JODA_CLOCK_HOUR: return set_clock_hour(c, ISO_DAY_MS, value);
	case JODA_HOUR_OF_HALFDAY:
		return set_time(c, ISO_HOUR_MS, HALFDAY_MS, value);
	case JODA_CLOCK_HOUR_OF_HALFDAY:
		return set_clock_hour(c, HALFDAY_MS, value);
	case JODA_MINUTE: return set_time(c, ISO_MINUTE_MS, ISO_HOUR_MS, value);
	case JODA_SECOND:
		return set_time(c, ISO_SECOND_MS, ISO_MINUTE_MS, value);
	case JODA_FRACTION: return set_time(c, 1, ISO_SECOND_MS, value);
	}
	return false;
}

static void
floor_date(struct civil *c, int64_t year, unsigned month, unsigned day)
{
	c->date = (struct iso_date){ year, month, day };
	c->in_day = 0;
}

/* Back to where the field's present value starts. */
static void
floor_to(struct civil *c, enum joda_field field)
{
	int64_t year = c->date.year;

	switch (field) {
	case JODA_ERA: floor_date(c, 1, 1, 1); break;
	case JODA_CENTURY: floor_date(c, year - year % 100, 1, 1); break;
	case JODA_YEAR:
	case JODA_YEAR_OF_ERA: floor_date(c, year, 1, 1); break;
	case JODA_WEEKYEAR:
		move_to_week(c, weekyear_of(day_of(c)), 1);
		(void)set_weekday(c, 1);
		c->in_day = 0;
		break;
	case JODA_MONTH: floor_date(c, year, c->date.month, 1); break;
	case JODA_WEEK:
		(void)set_weekday(c, 1);
		c->in_day = 0;
		break;
	case JODA_DAY_OF_YEAR:
	case JODA_DAY:
	case JODA_DAY_OF_WEEK: c->in_day = 0; break;
	case JODA_HALFDAY: c->in_day -= c->in_day % HALFDAY_MS; break;
	case JODA_HOUR:
	case JODA_CLOCK_HOUR:
	case JODA_HOUR_OF_HALFDAY:
	case JODA_CLOCK_HOUR_OF_HALFDAY:
		c->in_day -= c->in_day % ISO_HOUR_MS;
		break;
	case JODA_MINUTE: c->in_day -= c->in_day % ISO_MINUTE_MS; break;
	case JODA_SECOND: c->in_day -= c->in_day % ISO_SECOND_MS; break;
	case JODA_FRACTION: break;
	}
}

/* Whether the longest field is a month, a week or a day. */
static bool
lacks_year(const struct joda *j)
{
	enum joda_field first;

	if (j->field_count == 0)
		return false;
	first = j->elements[j->order[0]].field;
	return first >= JODA_MONTH && first <= JODA_DAY_OF_WEEK;
}

static bool
set_all(struct civil *c, const struct joda *j, const struct joda_values *v)
{
	for (int pass = 0; pass < 2; pass++) {
		if (lacks_year(j))
			(void)set_year(c, YEAR_DEFAULT);
		for (unsigned i = 0; i < j->field_count; i++) {
			enum joda_field field = j->elements[j->order[i]].field;

			if (!set(c, field, v->of[j->order[i]]))
				return false;
			if (pass == 0 || i + 1 == j->field_count)
				floor_to(c, field);
		}
	}
	return true;
}

static bool
to_utc(const struct joda_values *v, int64_t local, int64_t *ms)
{
	if (v->has_offset)
		return !__builtin_sub_overflow(local, v->offset, ms);
	*ms = local;
	if (v->zone == NULL)
		return true;
	*ms = zone_to_utc(v->zone, local);
	return !zone_skips(v->zone, local);
}

bool
joda_time(const struct joda *j, const struct joda_values *v, int64_t *ms)
{
	struct civil c = { .date = { 1970, 1, 1 } };
	int64_t local;

	return set_all(&c, j, v) &&
	    !__builtin_mul_overflow(day_of(&c), ISO_DAY_MS, &local) &&
	    !__builtin_add_overflow(local, c.in_day, &local) &&
	    to_utc(v, local, ms);
}
