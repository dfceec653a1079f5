/*
 * test_granularity - common/granularity: buckets, cycles and the window
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "at_time.h"
#include "granularity.h"
#include "json.h"

static void
test_granularity_names(void **state)
{
	struct granularity g, other;

	(void)state;
	for (unsigned i = 0; i < GRANULARITY_PERIOD; i++) {
		other = granularity_of((enum granularity_kind)i);
		assert_true(granularity_parse(granularity_name(&other), &g));
		assert_int_equal(g.kind, i);
	}
	assert_true(granularity_parse("FIFTEEN_minute", &g));
	assert_int_equal(g.kind, GRANULARITY_FIFTEEN_MINUTE);
	assert_false(granularity_parse("", &g));
	assert_false(granularity_parse("hours", &g));
	assert_false(granularity_parse("P1D", &g));
}

static void
test_granularity_bucket(void **state)
{
	static const struct {
		enum granularity_kind kind;
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
		struct granularity g = granularity_of(cases[i].kind);
		struct interval b = granularity_bucket(&g, at(cases[i].at));

		assert_time(b.start, cases[i].start);
		assert_time(b.end, cases[i].end);
		assert_int_equal(granularity_truncate(&g, b.end - 1), b.start);
		assert_int_equal(granularity_truncate(&g, b.end), b.end);
	}
}

/* Nothing overflows at the ends of time, and buckets stay around the time. */
static void
test_granularity_extremes(void **state)
{
	static const int64_t times[] = { INT64_MIN, INT64_MIN + 1,
		INT64_MIN + ISO_DAY_MS, -1, 0, INT64_MAX - ISO_DAY_MS,
		INT64_MAX - 1, INT64_MAX };
	struct granularity g;
	struct interval b;

	(void)state;
	for (unsigned k = 0; k < GRANULARITY_PERIOD; k++)
		for (size_t i = 0; i < ARRAY_LEN(times); i++) {
			g = granularity_of((enum granularity_kind)k);
			b = granularity_bucket(&g, times[i]);

			assert_true(b.start <= times[i]);
			assert_true(b.end > times[i] || b.end == INT64_MAX);
			assert_true(granularity_cycle(&g, b.start) < 1000);
		}
	g = granularity_of(GRANULARITY_ALL);
	b = granularity_bucket(&g, 0);
	assert_int_equal(b.start, INT64_MIN / 2); /* as in Druid */
	assert_int_equal(b.end, INT64_MAX);
}

static void
test_granularity_cycle(void **state)
{
	static const struct {
		enum granularity_kind kind;
		const char *at;
		unsigned cycle;
	} cases[] = {
		{ GRANULARITY_NONE, "2016-01-02T05:17:38", 158 },
		{ GRANULARITY_SECOND, "2016-01-02T05:17:38", 158 },
		{ GRANULARITY_MINUTE, "2016-01-02T05:17:38", 137 },
		{ GRANULARITY_FIVE_MINUTE, "2016-01-02T02:55", 175 },
		{ GRANULARITY_TEN_MINUTE, "2016-01-02T03:00", 0 },
		{ GRANULARITY_FIFTEEN_MINUTE, "2016-01-02T04:45", 105 },
		{ GRANULARITY_THIRTY_MINUTE, "2016-01-02T04:30", 90 },
		{ GRANULARITY_HOUR, "2016-01-02T05:17:38", 5 },
		{ GRANULARITY_SIX_HOUR, "2016-01-02T18:00", 18 },
		{ GRANULARITY_EIGHT_HOUR, "2016-01-02T16:00", 16 },
		{ GRANULARITY_DAY, "2016-01-02T05:17:38", 2 },
		{ GRANULARITY_WEEK, "2016-01-02T05:17:38", 53 },
		{ GRANULARITY_MONTH, "2016-01-02T05:17:38", 1 },
		{ GRANULARITY_QUARTER, "2016-10-01", 10 },
		{ GRANULARITY_YEAR, "2016-01-02T05:17:38", 16 },
		{ GRANULARITY_YEAR, "-1", 99 },
		{ GRANULARITY_HOUR, "1969-12-31T22:00", 22 },
	};
	struct granularity g;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		g = granularity_of(cases[i].kind);
		assert_int_equal(
		    granularity_cycle(&g, at(cases[i].at)), cases[i].cycle);
	}
	g = granularity_of(GRANULARITY_ALL);
	assert_int_equal(granularity_cycle(&g, INT64_MIN), 0);
}

/* The example of tranquility.md 3, rule 2, and its edges. */
static void
test_window(void **state)
{
	int64_t now = at("2015-09-12T01:05"), w = 600000;
	struct granularity hour = granularity_of(GRANULARITY_HOUR),
			   none = granularity_of(GRANULARITY_NONE),
			   day = granularity_of(GRANULARITY_DAY),
			   all = granularity_of(GRANULARITY_ALL);
	struct period window = period_of_ms(w), no_window = { 0 },
		      month = { .months = 1 }, longest = { .years = INT32_MAX };

	(void)state;
	assert_true(
	    window_accepts(&hour, now, &window, at("2015-09-12T00:50")));
	assert_true(
	    window_accepts(&hour, now, &window, at("2015-09-12T00:00")));
	assert_true(
	    window_accepts(&hour, now, &window, at("2015-09-12T01:20")));
	assert_true(
	    window_accepts(&hour, now, &window, at("2015-09-12T01:59:59.999")));
	assert_false(
	    window_accepts(&hour, now, &window, at("2015-09-12T02:00")));
	assert_false(
	    window_accepts(&hour, now, &window, at("2015-09-12T03:05")));
	assert_false(
	    window_accepts(&hour, now, &window, at("2015-09-11T23:59:59.999")));
	assert_false(
	    window_accepts(&hour, now, &window, at("2015-09-11T23:05")));
	/* now - window on the boundary itself: the bucket before is closed */
	now = at("2015-09-12T01:10");
	assert_false(
	    window_accepts(&hour, now, &window, at("2015-09-12T00:59:59.999")));
	assert_true(
	    window_accepts(&hour, now - 1, &window, at("2015-09-12T00:00")));
	/* now + window on the boundary: the bucket it starts is open */
	now = at("2015-09-12T01:50");
	assert_true(
	    window_accepts(&hour, now, &window, at("2015-09-12T02:59")));
	assert_false(
	    window_accepts(&hour, now - 1, &window, at("2015-09-12T02:00")));
	assert_true(window_accepts(&all, now, &no_window, INT64_MIN / 2));
	assert_true(window_accepts(&none, now, &window, now - w));
	assert_false(window_accepts(&none, now, &window, now - w - 1));
	assert_true(window_accepts(&none, now, &window, now + w));
	assert_false(window_accepts(&none, now, &window, now + w + 1));
	assert_true(window_accepts(&day, now, &longest, 0));
	/* a month by the calendar: 31 March less a month is in February */
	now = at("2015-03-31T10:00");
	assert_true(window_accepts(&day, now, &month, at("2015-02-28")));
	assert_false(
	    window_accepts(&day, now, &month, at("2015-02-27T23:59:59.999")));
	assert_true(
	    window_accepts(&day, now, &month, at("2015-04-30T23:59:59.999")));
	assert_false(window_accepts(&day, now, &month, at("2015-05-01")));
}

/* ---- objects ---- */

static bool
read(const char *text, struct granularity *g, char *why)
{
	struct json *j = json_parse(text, strlen(text), NULL);
	bool good;

	assert_non_null(j);
	good = granularity_read(j, g, why);
	json_free(&j);
	return good;
}

/* A line of tests/golden/granularity: a time, how long it is after its
 * bucket's start, and how long the bucket is. */
static void
check_vector(const char *object, const struct granularity *g, const char *line)
{
	long long ms, into, length;
	struct interval b;

	assert_int_equal(
	    sscanf(line, "%lld %lld %lld", &ms, &into, &length), 3);
	b = granularity_bucket(g, ms);
	if (b.start != ms - into || b.end - b.start != length)
		fail_msg("%s: of %s expected start -%lld and length %lld, got "
			 "-%lld and %lld",
		    object, line, into, length, ms - (long long)b.start,
		    (long long)(b.end - b.start));
	assert_int_equal(granularity_truncate(g, ms), b.start);
	assert_int_equal(granularity_next(g, b.start), b.end);
	assert_int_equal(granularity_truncate(g, b.start), b.start);
	assert_int_equal(granularity_truncate(g, b.end - 1), b.start);
	assert_int_equal(granularity_truncate(g, b.end), b.end);
	if (g->kind != GRANULARITY_NONE &&
	    granularity_cycle(g, b.start) == granularity_cycle(g, b.end))
		fail_msg("%s: %s: the next cycle is the same", object, line);
}

/* What is refused has buckets that Druid itself cuts badly. */
static void
test_druid(void **state)
{
	FILE *f = fopen("tests/golden/granularity/druid.txt", "r");
	char line[256], object[256] = "", why[GRANULARITY_WHY_BYTES];
	unsigned checked = 0, bad = 0, refused = 0;
	struct granularity g = granularity_of(GRANULARITY_ALL);
	bool is_refused = false;

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof line, f) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '{') {
			if (is_refused && bad == 0 &&
			    strstr(why, "not every month") == NULL)
				fail_msg("%s: refused: %s", object, why);
			snprintf(object, sizeof object, "%s", line);
			is_refused = !read(object, &g, why);
			refused += is_refused;
			bad = 0;
		} else if (line[0] == '#' && !is_refused) {
			fail_msg("%s: taken", object);
		} else if (is_refused)
			bad += line[0] == '#' || strstr(line, "over") != NULL;
		else {
			check_vector(object, &g, line);
			checked++;
		}
	}
	fclose(f);
	assert_true(checked > 3000);
	assert_in_range(refused, 1, 120);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_granularity_names),
		cmocka_unit_test(test_granularity_bucket),
		cmocka_unit_test(test_granularity_extremes),
		cmocka_unit_test(test_granularity_cycle),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_druid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
