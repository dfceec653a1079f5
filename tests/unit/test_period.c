/*
 * test_period - common/iso and common/period: the calendar, ISO text, periods,
 * buckets, cycles and the window
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "iso.h"
#include "period.h"

/* Milliseconds of a text that must be a time. */
static int64_t
at(const char *text)
{
	int64_t ms = -1;

	if (!iso_parse(text, strlen(text), ISO_T, &ms))
		fail_msg("not a time: %s", text);
	return ms;
}

static void
assert_time(int64_t ms, const char *text)
{
	char got[ISO_BYTES];

	iso_format(ms, got);
	assert_string_equal(got, text);
}

static void
refuses(const char *text)
{
	int64_t ms;

	if (iso_parse(text, strlen(text), ISO_T, &ms))
		fail_msg("taken as a time: %s", text);
}

/* Walks 5,200 years day by day and compares every conversion. */
static void
test_calendar(void **state)
{
	int64_t days = iso_days(-1600, 1, 1);
	unsigned weekday = iso_weekday(days);

	(void)state;
	for (int64_t year = -1600; year < 3600; year++)
		for (unsigned month = 1; month <= 12; month++)
			for (unsigned day = 1;
			     day <= iso_month_days(year, month); day++) {
				struct iso_date d = iso_date_of(days);

				assert_int_equal(
				    iso_days(year, month, day), days);
				assert_int_equal(d.year, year);
				assert_int_equal(d.month, month);
				assert_int_equal(d.day, day);
				assert_int_equal(iso_weekday(days), weekday);
				weekday = weekday % 7 + 1;
				days++;
			}
	assert_int_equal(iso_days(1970, 1, 1), 0);
	assert_int_equal(iso_days(2000, 2, 29), 11016);
	assert_int_equal(iso_day_of(-1), -1);
	assert_int_equal(iso_day_of(ISO_DAY_MS), 1);
}

static void
test_week(void **state)
{
	static const struct {
		int64_t year;
		unsigned month, day, week;
	} cases[] = {
		{ 2005, 1, 1, 53 },
		{ 2005, 1, 3, 1 },
		{ 2007, 12, 31, 1 },
		{ 2008, 12, 28, 52 },
		{ 2008, 12, 29, 1 },
		{ 2009, 12, 31, 53 },
		{ 2010, 1, 3, 53 },
		{ 2010, 1, 4, 1 },
		{ 2026, 11, 22, 47 },
		{ 1969, 12, 29, 1 },
		{ 1970, 1, 4, 1 },
		{ 1970, 1, 5, 2 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(iso_week(iso_days(cases[i].year,
				     cases[i].month, cases[i].day)),
		    cases[i].week);
}

static void
test_iso_format(void **state)
{
	(void)state;
	assert_time(0, "1970-01-01T00:00:00.000Z");
	assert_time(1442018818771, "2015-09-12T00:46:58.771Z");
	assert_time(-1, "1969-12-31T23:59:59.999Z");
	assert_time(-62135596800001, "0000-12-31T23:59:59.999Z");
	assert_time(-62167219200001, "-0001-12-31T23:59:59.999Z");
	assert_time(253402300799999, "9999-12-31T23:59:59.999Z");
	assert_time(253402300800000, "10000-01-01T00:00:00.000Z");
	assert_time(INT64_MAX, "292278994-08-17T07:12:55.807Z");
	assert_time(INT64_MIN, "-292275055-05-16T16:47:04.192Z");
}

static void
test_iso_usual(void **state)
{
	(void)state;
	assert_int_equal(at("2015-09-12T00:46:58.771Z"), 1442018818771);
	assert_int_equal(at("2015-09-12T00:46:58Z"), 1442018818000);
	assert_int_equal(at("1969-12-31T23:59:59.999Z"), -1);
	assert_int_equal(at("0000-01-01T00:00:00.000Z"), -62167219200000);
	assert_int_equal(at("2016-02-29T00:00:00.000Z"), 1456704000000);
	refuses("2015-02-29T00:00:00.000Z");
	refuses("1900-02-29T00:00:00.000Z");
	refuses("2015-13-01T00:00:00.000Z");
	refuses("2015-00-01T00:00:00.000Z");
	refuses("2015-01-00T00:00:00.000Z");
	refuses("2015-01-32T00:00:00.000Z");
	refuses("2015-09-12T24:00:00.000Z");
	refuses("2015-09-12T00:60:00.000Z");
	refuses("2015-09-12T00:00:60.000Z");
	refuses("2015-09-12T00:46:58:771Z");
	refuses("2015-09-12T0a:46:58.771Z");
	refuses("2015-09-12T00:46:58.7/1Z");
	refuses("2015-09-12T00:46:58.771X");
}

/* The grammar of druid-api.md 9.1; what Joda-Time 2.12.5 answers. */
static void
test_iso_grammar(void **state)
{
	static const struct {
		const char *text, *same;
	} cases[] = {
		{ "2015", "2015-01-01T00:00:00.000Z" },
		{ "2015T", "2015-01-01T00:00:00.000Z" },
		{ "2015-09", "2015-09-01T00:00:00.000Z" },
		{ "2015-9-2", "2015-09-02T00:00:00.000Z" },
		{ "2015-255", "2015-09-12T00:00:00.000Z" },
		{ "2016-366", "2016-12-31T00:00:00.000Z" },
		{ "2015-W37", "2015-09-07T00:00:00.000Z" },
		{ "2015-W37-6", "2015-09-12T00:00:00.000Z" },
		{ "2009-W53-7", "2010-01-03T00:00:00.000Z" },
		{ "2015-w1t1", "2014-12-29T01:00:00.000Z" },
		{ "T10", "1970-01-01T10:00:00.000Z" },
		{ "t10:15+01:00", "1970-01-01T09:15:00.000Z" },
		{ "2015-09-12T10", "2015-09-12T10:00:00.000Z" },
		{ "2015-09-12T10.5", "2015-09-12T10:30:00.000Z" },
		{ "2015-09-12T10,255", "2015-09-12T10:15:18.000Z" },
		{ "2015-09-12T10:15.5", "2015-09-12T10:15:30.000Z" },
		{ "2015-09-12T10:15:30", "2015-09-12T10:15:30.000Z" },
		{ "2015-09-12T1:2:3", "2015-09-12T01:02:03.000Z" },
		{ "2015-09-12T10:15:30.1", "2015-09-12T10:15:30.100Z" },
		{ "2015-09-12T10:15:30,12", "2015-09-12T10:15:30.120Z" },
		{ "2015-09-12T10:15:30.999999999", "2015-09-12T10:15:30.999Z" },
		{ "2015-09-12T10:15:30z", "2015-09-12T10:15:30.000Z" },
		{ "2015-09-12T10:15:30+02", "2015-09-12T08:15:30.000Z" },
		{ "2015-09-12T10:15:30-0230", "2015-09-12T12:45:30.000Z" },
		{ "2015-09-12T10:15:30+02:30:15", "2015-09-12T07:45:15.000Z" },
		{ "2015-09-12T10:15:30+02:30:15.25",
		    "2015-09-12T07:45:14.750Z" },
		{ "2015-09-12T10:15:30+023015250", "2015-09-12T07:45:14.750Z" },
		{ "2015TZ", "2015-01-01T00:00:00.000Z" },
		{ "2015T+01:00", "2014-12-31T23:00:00.000Z" },
		{ "15-1-1", "0015-01-01T00:00:00.000Z" },
		{ "-1-12-31", "-0001-12-31T00:00:00.000Z" },
		{ "+12015-01-01", "12015-01-01T00:00:00.000Z" },
		{ "292278993-12-31T23:59:59.999Z",
		    "292278993-12-31T23:59:59.999Z" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_time(at(cases[i].text), cases[i].same);
}

static void
test_iso_refused(void **state)
{
	static const char *const texts[] = { "", "T", "Z", "-", "+", "-T10",
		"2015-", "2015-0", "2015-00", "2015-13", "2015-000", "2015-366",
		"2015-0912", "2015-09-", "2015-09-31", "2015-09-012", "2015-W",
		"2015-W0", "2015-W54", "2015-W10-", "2015-W10-0", "2015-W10-8",
		"2015-W10-11", "2015 ", "2015-09-12 10:00", "2015-09-12Z",
		"2015-09-12+01:00", "2015-09-12T24:00",
		"2015-09-12T10:", "2015-09-12T10:60",
		"2015-09-12T10:15:", "2015-09-12T10:15:60",
		"2015-09-12T10:15:30.", "2015-09-12T10:15:30.1234567890",
		"2015-09-12T10:15:30+2", "2015-09-12T10:15:30+24",
		"2015-09-12T10:15:30+02:", "2015-09-12T10:15:30+02:3",
		"2015-09-12T10:15:30+02:60", "2015-09-12T10:15:30+0230:15",
		"2015-09-12T10:15:30+02:30:15.", "2015-09-12T10:15:30ZZ",
		"2015-09-12T10:15:30 UTC", "2015-09-12T10:15:30Europe/Paris",
		"T10T", "TZ", "T+01", "999999999", "-292275056", "1234567890",
		"2015-09-12T10:15:30.771\xc3\xa9", "2015\xd9\xa1" };
	int64_t ms;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		refuses(texts[i]);
	assert_false(iso_parse("2015\0", 5, ISO_T, &ms));
	assert_false(iso_parse("2015-01-01  10", 14, ISO_T_OR_SPACE, &ms));
	assert_true(iso_parse("2015-01-01 10", 13, ISO_T_OR_SPACE, &ms));
	assert_int_equal(ms, at("2015-01-01T10"));
}

/* What is written can be read, at every scale of distance from 1970. */
static void
test_iso_round_trip(void **state)
{
	int64_t step = 1, back;
	char text[ISO_BYTES];

	(void)state;
	for (; step < INT64_MAX / 2000; step = step * 3 + 1)
		for (int sign = -1; sign <= 1; sign += 2) {
			iso_format(sign * step, text);
			assert_true(
			    iso_parse(text, strlen(text), ISO_T, &back));
			assert_int_equal(back, sign * step);
		}
}

static void
test_period_parse(void **state)
{
	static const struct {
		const char *text;
		int32_t months;
		int64_t ms;
		const char *same;
	} cases[] = {
		{ "PT10M", 0, 600000, "PT10M" },
		{ "P1D", 0, 86400000, "P1D" },
		{ "PT24H", 0, 86400000, "P1D" },
		{ "PT0.5S", 0, 500, "PT0.5S" },
		{ "PT1,0259S", 0, 1025, "PT1.025S" },
		{ "P1M", 1, 0, "P1M" },
		{ "P1Y2M", 14, 0, "P1Y2M" },
		{ "P1W", 0, 604800000, "P7D" },
		{ "pt90s", 0, 90000, "PT1M30S" },
		{ "PT0S", 0, 0, "PT0S" },
		{ "P0D", 0, 0, "PT0S" },
		{ "P1Y2M3W4DT5H6M7.008S", 14, 2178367008,
		    "P1Y2M25DT5H6M7.008S" },
		{ "P2MT1M", 2, 60000, "P2MT1M" },
		{ "PT2562047788015H", 0, 9223372036854000000,
		    "P106751991167DT7H" },
	};
	char text[PERIOD_BYTES];
	struct period p;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_true(period_parse(cases[i].text, &p));
		assert_int_equal(p.months, cases[i].months);
		assert_int_equal(p.ms, cases[i].ms);
		period_format(&p, text);
		assert_string_equal(text, cases[i].same);
	}
	p = (struct period){ INT32_MAX, INT64_MAX };
	period_format(&p, text);
	assert_string_equal(text, "P178956970Y7M106751991167DT7H12M55.807S");
}

static void
test_period_refused(void **state)
{
	static const char *const texts[] = { "", "P", "PT", "T10M", "10M",
		"PT10", "PT10X", "P10", "P1H", "PT1D", "PT1Y", "P1DT", "P1D1Y",
		"PT1S1M", "PT1M1M", "PT1MT1S", "PT.5S", "PT1.S", "PT0.5M",
		"P0.5D", "P-1D", "-P1D", "PT+1S", "PT10M ", " PT10M", "PT 10M",
		"P1", "PTM", "P2147483648M", "P178956971Y",
		"PT9223372036854776S", "P106751991168D",
		"PT99999999999999999999S", "P106751991167DT8H" };
	struct period p;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (period_parse(texts[i], &p))
			fail_msg("taken as a period: %s", texts[i]);
}

static void
test_period_add(void **state)
{
	struct period month = { 1, 0 }, year = { 12, 0 },
		      mixed = { 1, 86400000 };

	(void)state;
	assert_time(period_add(at("2015-01-31T10:00"), &month),
	    "2015-02-28T10:00:00.000Z");
	assert_time(period_add(at("2016-01-31T10:00"), &month),
	    "2016-02-29T10:00:00.000Z");
	assert_time(
	    period_add(at("2016-02-29"), &year), "2017-02-28T00:00:00.000Z");
	assert_time(period_add(at("2015-12-31T23:59"), &mixed),
	    "2016-02-01T23:59:00.000Z");
	assert_time(period_add(at("1969-11-30T23:59:59.999"), &month),
	    "1969-12-30T23:59:59.999Z");
	assert_int_equal(period_add(INT64_MAX, &mixed), INT64_MAX);
	assert_int_equal(period_ms(&mixed), 31 * INT64_C(86400000));
	assert_int_equal(
	    period_ms(&(struct period){ 12, 1 }), 360 * INT64_C(86400000) + 1);
}

static void
test_granularity_names(void **state)
{
	enum granularity g;

	(void)state;
	for (unsigned i = 0; i < GRANULARITIES; i++) {
		assert_true(granularity_parse(
		    granularity_name((enum granularity)i), &g));
		assert_int_equal(g, i);
	}
	assert_true(granularity_parse("FIFTEEN_minute", &g));
	assert_int_equal(g, GRANULARITY_FIFTEEN_MINUTE);
	assert_false(granularity_parse("", &g));
	assert_false(granularity_parse("hours", &g));
	assert_false(granularity_parse("P1D", &g));
}

static void
test_granularity_bucket(void **state)
{
	static const struct {
		enum granularity g;
		const char *at, *start, *end;
	} cases[] = {
		{ GRANULARITY_NONE, "2015-09-12T00:46:58.771Z",
		    "2015-09-12T00:46:58.771Z", "2015-09-12T00:46:58.772Z" },
		{ GRANULARITY_SECOND, "2015-09-12T00:46:58.771Z",
		    "2015-09-12T00:46:58.000Z", "2015-09-12T00:46:59.000Z" },
		{ GRANULARITY_MINUTE, "2015-09-12T00:46:58.771Z",
		    "2015-09-12T00:46:00.000Z", "2015-09-12T00:47:00.000Z" },
		{ GRANULARITY_FIVE_MINUTE, "2015-09-12T00:46:58.771Z",
		    "2015-09-12T00:45:00.000Z", "2015-09-12T00:50:00.000Z" },
		{ GRANULARITY_TEN_MINUTE, "2015-09-12T00:46:58.771Z",
		    "2015-09-12T00:40:00.000Z", "2015-09-12T00:50:00.000Z" },
		{ GRANULARITY_FIFTEEN_MINUTE, "2015-09-12T00:46:58.771Z",
		    "2015-09-12T00:45:00.000Z", "2015-09-12T01:00:00.000Z" },
		{ GRANULARITY_THIRTY_MINUTE, "2015-09-12T00:46:58.771Z",
		    "2015-09-12T00:30:00.000Z", "2015-09-12T01:00:00.000Z" },
		{ GRANULARITY_HOUR, "1969-12-31T23:59:59.999Z",
		    "1969-12-31T23:00:00.000Z", "1970-01-01T00:00:00.000Z" },
		{ GRANULARITY_SIX_HOUR, "2015-09-12T17:59:59.999Z",
		    "2015-09-12T12:00:00.000Z", "2015-09-12T18:00:00.000Z" },
		{ GRANULARITY_EIGHT_HOUR, "1969-12-30T07:00:00Z",
		    "1969-12-30T00:00:00.000Z", "1969-12-30T08:00:00.000Z" },
		{ GRANULARITY_DAY, "1969-12-30T07:00:00Z",
		    "1969-12-30T00:00:00.000Z", "1969-12-31T00:00:00.000Z" },
		{ GRANULARITY_WEEK, "2015-09-12T00:46:58.771Z",
		    "2015-09-07T00:00:00.000Z", "2015-09-14T00:00:00.000Z" },
		{ GRANULARITY_WEEK, "2015-09-07T00:00:00.000Z",
		    "2015-09-07T00:00:00.000Z", "2015-09-14T00:00:00.000Z" },
		{ GRANULARITY_WEEK, "1970-01-01T00:00:00.000Z",
		    "1969-12-29T00:00:00.000Z", "1970-01-05T00:00:00.000Z" },
		{ GRANULARITY_WEEK, "1969-12-28T23:59:59.999Z",
		    "1969-12-22T00:00:00.000Z", "1969-12-29T00:00:00.000Z" },
		{ GRANULARITY_MONTH, "2016-02-29T23:59:59.999Z",
		    "2016-02-01T00:00:00.000Z", "2016-03-01T00:00:00.000Z" },
		{ GRANULARITY_MONTH, "1969-12-31T23:59:59.999Z",
		    "1969-12-01T00:00:00.000Z", "1970-01-01T00:00:00.000Z" },
		{ GRANULARITY_QUARTER, "2015-09-30T23:59:59.999Z",
		    "2015-07-01T00:00:00.000Z", "2015-10-01T00:00:00.000Z" },
		{ GRANULARITY_QUARTER, "2015-12-01T00:00:00.000Z",
		    "2015-10-01T00:00:00.000Z", "2016-01-01T00:00:00.000Z" },
		{ GRANULARITY_YEAR, "2016-12-31T00:00:00.000Z",
		    "2016-01-01T00:00:00.000Z", "2017-01-01T00:00:00.000Z" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct interval b =
		    granularity_bucket(cases[i].g, at(cases[i].at));

		assert_time(b.start, cases[i].start);
		assert_time(b.end, cases[i].end);
		assert_int_equal(
		    granularity_truncate(cases[i].g, b.end - 1), b.start);
		assert_int_equal(
		    granularity_truncate(cases[i].g, b.end), b.end);
	}
}

/* Nothing overflows at the ends of time, and buckets stay around the time. */
static void
test_granularity_extremes(void **state)
{
	static const int64_t times[] = { INT64_MIN, INT64_MIN + 1,
		INT64_MIN + ISO_DAY_MS, -1, 0, INT64_MAX - ISO_DAY_MS,
		INT64_MAX - 1, INT64_MAX };

	(void)state;
	for (unsigned g = 0; g < GRANULARITIES; g++)
		for (size_t i = 0; i < ARRAY_LEN(times); i++) {
			struct interval b =
			    granularity_bucket((enum granularity)g, times[i]);

			assert_true(b.start <= times[i]);
			assert_true(b.end > times[i] || b.end == INT64_MAX);
			assert_true(granularity_cycle(
					(enum granularity)g, b.start) < 1000);
		}
	assert_int_equal(
	    granularity_bucket(GRANULARITY_ALL, 0).start, INT64_MIN);
	assert_int_equal(granularity_bucket(GRANULARITY_ALL, 0).end, INT64_MAX);
}

static void
test_granularity_cycle(void **state)
{
	int64_t t = at("2016-01-02T05:17:38");

	(void)state;
	assert_int_equal(granularity_cycle(GRANULARITY_NONE, t), 158);
	assert_int_equal(granularity_cycle(GRANULARITY_SECOND, t), 158);
	assert_int_equal(granularity_cycle(GRANULARITY_MINUTE, t), 137);
	assert_int_equal(
	    granularity_cycle(GRANULARITY_FIVE_MINUTE, at("2016-01-02T02:55")),
	    175);
	assert_int_equal(
	    granularity_cycle(GRANULARITY_TEN_MINUTE, at("2016-01-02T03:00")),
	    0);
	assert_int_equal(granularity_cycle(GRANULARITY_FIFTEEN_MINUTE,
			     at("2016-01-02T04:45")),
	    105);
	assert_int_equal(granularity_cycle(
			     GRANULARITY_THIRTY_MINUTE, at("2016-01-02T04:30")),
	    90);
	assert_int_equal(granularity_cycle(GRANULARITY_HOUR, t), 5);
	assert_int_equal(
	    granularity_cycle(GRANULARITY_SIX_HOUR, at("2016-01-02T18:00")),
	    18);
	assert_int_equal(
	    granularity_cycle(GRANULARITY_EIGHT_HOUR, at("2016-01-02T16:00")),
	    16);
	assert_int_equal(granularity_cycle(GRANULARITY_DAY, t), 2);
	assert_int_equal(granularity_cycle(GRANULARITY_WEEK, t), 53);
	assert_int_equal(granularity_cycle(GRANULARITY_MONTH, t), 1);
	assert_int_equal(
	    granularity_cycle(GRANULARITY_QUARTER, at("2016-10-01")), 10);
	assert_int_equal(granularity_cycle(GRANULARITY_YEAR, t), 16);
	assert_int_equal(granularity_cycle(GRANULARITY_YEAR, at("-1")), 99);
	assert_int_equal(granularity_cycle(GRANULARITY_ALL, INT64_MIN), 0);
	assert_int_equal(
	    granularity_cycle(GRANULARITY_HOUR, at("1969-12-31T22:00")), 22);
}

/* The example of tranquility.md 3, rule 2, and its edges. */
static void
test_window(void **state)
{
	int64_t now = at("2015-09-12T01:05"), w = 600000;
	enum granularity hour = GRANULARITY_HOUR;

	(void)state;
	assert_true(window_accepts(hour, now, w, at("2015-09-12T00:50")));
	assert_true(window_accepts(hour, now, w, at("2015-09-12T00:00")));
	assert_true(window_accepts(hour, now, w, at("2015-09-12T01:20")));
	assert_true(
	    window_accepts(hour, now, w, at("2015-09-12T01:59:59.999")));
	assert_false(window_accepts(hour, now, w, at("2015-09-12T02:00")));
	assert_false(window_accepts(hour, now, w, at("2015-09-12T03:05")));
	assert_false(
	    window_accepts(hour, now, w, at("2015-09-11T23:59:59.999")));
	assert_false(window_accepts(hour, now, w, at("2015-09-11T23:05")));
	/* now - window on the boundary itself: the bucket before is closed */
	now = at("2015-09-12T01:10");
	assert_false(
	    window_accepts(hour, now, w, at("2015-09-12T00:59:59.999")));
	assert_true(window_accepts(hour, now - 1, w, at("2015-09-12T00:00")));
	/* now + window on the boundary: the bucket it starts is open */
	now = at("2015-09-12T01:50");
	assert_true(window_accepts(hour, now, w, at("2015-09-12T02:59")));
	assert_false(window_accepts(hour, now - 1, w, at("2015-09-12T02:00")));
	assert_true(window_accepts(GRANULARITY_ALL, now, 0, INT64_MIN));
	assert_true(window_accepts(GRANULARITY_NONE, now, w, now - w));
	assert_false(window_accepts(GRANULARITY_NONE, now, w, now - w - 1));
	assert_true(window_accepts(GRANULARITY_NONE, now, w, now + w));
	assert_false(window_accepts(GRANULARITY_NONE, now, w, now + w + 1));
	assert_true(window_accepts(GRANULARITY_DAY, now, INT64_MAX, 0));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calendar),
		cmocka_unit_test(test_week),
		cmocka_unit_test(test_iso_format),
		cmocka_unit_test(test_iso_usual),
		cmocka_unit_test(test_iso_grammar),
		cmocka_unit_test(test_iso_refused),
		cmocka_unit_test(test_iso_round_trip),
		cmocka_unit_test(test_period_parse),
		cmocka_unit_test(test_period_refused),
		cmocka_unit_test(test_period_add),
		cmocka_unit_test(test_granularity_names),
		cmocka_unit_test(test_granularity_bucket),
		cmocka_unit_test(test_granularity_extremes),
		cmocka_unit_test(test_granularity_cycle),
		cmocka_unit_test(test_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
