/*
 * test_period - common/iso and common/period: the calendar, ISO text, periods
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "at_time.h"
#include "iso.h"
#include "period.h"

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
		struct period period;
		int64_t ms;
		const char *same; /* NULL: as it was */
	} cases[] = {
		{ "PT10M", { .minutes = 10 }, 600000, NULL },
		{ "P1D", { .days = 1 }, 86400000, NULL },
		{ "PT24H", { .hours = 24 }, 86400000, NULL },
		{ "PT0.5S", { .ms = 500 }, 500, NULL },
		{ "PT1,0259S", { .seconds = 1, .ms = 25 }, 1025, "PT1.025S" },
		{ "P1M", { .months = 1 }, 2592000000, NULL },
		{ "P1Y2M", { .years = 1, .months = 2 }, 36720000000, NULL },
		{ "P1W", { .weeks = 1 }, 604800000, NULL },
		{ "pt90s", { .seconds = 90 }, 90000, "PT90S" },
		{ "PT0S", { 0 }, 0, NULL },
		{ "P0D", { 0 }, 0, "PT0S" },
		{ "P1Y2M3W4DT5H6M7.008S", { 1, 2, 3, 4, 5, 6, 7, 8 },
		    38898367008, NULL },
		{ "P2MT1M", { .months = 2, .minutes = 1 }, 5184060000, NULL },
		{ "PT2147483647H", { .hours = 2147483647 }, 7730941129200000,
		    NULL },
	};
	char text[PERIOD_BYTES];
	struct period p;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_true(period_parse(cases[i].text, &p));
		assert_true(period_equal(&p, &cases[i].period));
		assert_int_equal(period_ms(&p), cases[i].ms);
		period_format(&p, text);
		assert_string_equal(text,
		    cases[i].same != NULL ? cases[i].same : cases[i].text);
	}
	p = (struct period){ INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX,
		INT32_MAX, INT32_MAX, INT32_MAX, 999 };
	assert_int_equal(period_ms(&p), INT64_MAX);
	period_format(&p, text);
	assert_string_equal(text,
	    "P2147483647Y2147483647M2147483647W2147483647DT2147483647H"
	    "2147483647M2147483647.999S");
	p = period_of_ms(93784005);
	period_format(&p, text);
	assert_string_equal(text, "P1DT2H3M4.005S");
}

static void
test_period_refused(void **state)
{
	static const char *const texts[] = { "", "P", "PT", "T10M", "10M",
		"PT10", "PT10X", "P10", "P1H", "PT1D", "PT1Y", "P1DT", "P1D1Y",
		"PT1S1M", "PT1M1M", "PT1MT1S", "PT.5S", "PT1.S", "PT0.5M",
		"P0.5D", "P-1D", "-P1D", "PT+1S", "PT10M ", " PT10M", "PT 10M",
		"P1", "PTM", "P2147483648M", "P2147483648D", "P2147483647Y",
		"PT2147483648S", "PT99999999999999999999S" };
	struct period p;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (period_parse(texts[i], &p))
			fail_msg("taken as a period: %s", texts[i]);
}

static void
test_period_add(void **state)
{
	struct period month = { .months = 1 }, year = { .years = 1 },
		      mixed = { .months = 1, .days = 1 },
		      both = { .years = 1, .months = 1 };

	(void)state;
	assert_time(period_add(at("2015-01-31T10:00"), &month, 1),
	    "2015-02-28T10:00:00.000Z");
	assert_time(period_add(at("2016-01-31T10:00"), &month, 1),
	    "2016-02-29T10:00:00.000Z");
	assert_time(period_add(at("2016-03-31T10:00"), &month, -1),
	    "2016-02-29T10:00:00.000Z");
	assert_time(
	    period_add(at("2016-02-29"), &year, 1), "2017-02-28T00:00:00.000Z");
	/* the year first: the day that it cuts stays cut */
	assert_time(
	    period_add(at("2016-02-29"), &both, 1), "2017-03-28T00:00:00.000Z");
	assert_time(period_add(at("2015-12-31T23:59"), &mixed, 1),
	    "2016-02-01T23:59:00.000Z");
	assert_time(period_add(at("2016-02-01T23:59"), &mixed, -1),
	    "2015-12-31T23:59:00.000Z");
	assert_time(period_add(at("1969-11-30T23:59:59.999"), &month, 1),
	    "1969-12-30T23:59:59.999Z");
	assert_int_equal(period_add(INT64_MAX, &mixed, 1), INT64_MAX);
	assert_int_equal(period_add(INT64_MIN, &mixed, -1), INT64_MIN);
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
