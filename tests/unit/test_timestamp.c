/*
 * test_timestamp - the table of druid-api.md 9.1: formats by numbers, strings
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base.h"

#include "timestamp.h"

#define AUTO TIMESTAMP_AUTO
#define ISO TIMESTAMP_ISO
#define POSIX TIMESTAMP_POSIX
#define MILLIS TIMESTAMP_MILLIS
#define MICRO TIMESTAMP_MICRO
#define NANO TIMESTAMP_NANO
#define RUBY TIMESTAMP_RUBY

#define SEP12 INT64_C(1442018818771) /* 2015-09-12T00:46:58.771Z */

struct taken {
	enum timestamp_format format;
	const char *text;
	int64_t ms;
};

struct refused {
	enum timestamp_format format;
	const char *text;
};

/* From a copy of just its bytes, so that reading past them is seen. */
static bool
parse(enum timestamp_format format, enum scan_type type, const char *text,
    int64_t *ms)
{
	size_t bytes = strlen(text);
	char *copy = malloc(bytes + (bytes == 0));
	bool parsed;

	assert_non_null(copy);
	memcpy(copy, text, bytes);
	parsed = timestamp_parse(format, type, copy, bytes, ms);
	free(copy);
	return parsed;
}

static void
check_taken(enum scan_type type, const struct taken *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct taken *c = &cases[i];
		int64_t ms;

		if (!parse(c->format, type, c->text, &ms))
			fail_msg("%s refused by %s", c->text,
			    timestamp_format_name(c->format));
		if (ms != c->ms)
			fail_msg("%s by %s: %jd", c->text,
			    timestamp_format_name(c->format), (intmax_t)ms);
	}
}

static void
check_refused(enum scan_type type, const struct refused *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct refused *c = &cases[i];
		int64_t ms;

		if (parse(c->format, type, c->text, &ms))
			fail_msg("%s by %s: %jd", c->text,
			    timestamp_format_name(c->format), (intmax_t)ms);
	}
}

static void
test_formats(void **state)
{
	static const char *const names[] = { "auto", "iso", "posix", "millis",
		"micro", "nano", "ruby" };
	static const char *const others[] = { "", "yyyy-MM-dd", "millisecond",
		"auto ", "seconds" };
	enum timestamp_format format;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		assert_true(timestamp_format_parse(names[i], &format));
		assert_int_equal(format, i);
		assert_string_equal(timestamp_format_name(format), names[i]);
	}
	assert_true(timestamp_format_parse("MilliS", &format));
	assert_int_equal(format, MILLIS);
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_false(timestamp_format_parse(others[i], &format));
}

static void
test_numbers(void **state)
{
	static const struct taken cases[] = {
		{ AUTO, "1442018818771", SEP12 },
		{ ISO, "1442018818771", SEP12 },
		{ MILLIS, "1442018818771", SEP12 },
		{ MILLIS, "0", 0 },
		{ MILLIS, "-1", -1 },
		{ MILLIS, "-0", 0 },
		{ MILLIS, "1.9", 1 },
		{ MILLIS, "-1.9", -1 },
		{ MILLIS, "1.442018818771e12", SEP12 },
		{ MILLIS, "1442018818771.999", SEP12 },
		{ MILLIS, "1e-400", 0 },
		{ MILLIS, "9223372036854775807", INT64_MAX },
		{ MILLIS, "-9223372036854775808", INT64_MIN },
		{ POSIX, "1442018818", 1442018818000 },
		{ POSIX, "1442018818.771", 1442018818000 },
		{ POSIX, "-1", -1000 },
		{ POSIX, "9223372036854775", 9223372036854775000 },
		{ MICRO, "1442018818771999", SEP12 },
		{ MICRO, "-1999", -1 },
		{ NANO, "1442018818771999999", SEP12 },
		{ NANO, "999999", 0 },
		{ RUBY, "1442018818", 1442018818000 },
		{ RUBY, "1442018818.771", SEP12 },
		{ RUBY, "1.5", 1500 },
		{ RUBY, "-0.0015", -1 },
	};
	static const struct refused bad[] = {
		{ MILLIS, "9223372036854775808" },
		{ MILLIS, "-9223372036854775809" },
		{ MILLIS, "1e19" },
		{ MILLIS, "-1e400" },
		{ AUTO, "123456789012345678901234567890" },
		{ POSIX, "9223372036854776" },
		{ POSIX, "-9223372036854776" },
		{ POSIX, "1e16" },
		{ NANO, "1e20" },
		{ RUBY, "9223372036854776" },
		{ RUBY, "1e300" },
	};

	(void)state;
	check_taken(SCAN_NUMBER, cases, ARRAY_LEN(cases));
	check_refused(SCAN_NUMBER, bad, ARRAY_LEN(bad));
}

static void
test_strings(void **state)
{
	static const struct taken cases[] = {
		{ AUTO, "1442018818771", SEP12 },
		{ AUTO, "2015", 2015 },
		{ AUTO, "2015-09-12T00:46:58.771Z", SEP12 },
		{ AUTO, "2015-09-12 00:46:58.771Z", SEP12 },
		{ AUTO, "2015-09-12 00:46:58.771", SEP12 },
		{ AUTO, "2015-09-12T02:46:58.771+02:00", SEP12 },
		{ AUTO, "  \"2015-09-12T00:46:58.771Z\"\t", SEP12 },
		{ AUTO, "\" 2015-09-12T00:46:58.771Z \"", SEP12 },
		{ AUTO, "2015-09-12", 1442016000000 },
		/* not all digits: a year */
		{ AUTO, " 1970 ", 0 },
		{ AUTO, "\"1970\"", 0 },
		{ AUTO, "T00:00:01", 1000 },
		{ ISO, "2015-09-12T00:46:58.771Z", SEP12 },
		{ ISO, " \"2015-09-12T00:46:58.771Z\" ", SEP12 },
		{ ISO, "1970", 0 },
		{ ISO, "2015-W37-6", 1442016000000 },
		{ POSIX, "1442018818", 1442018818000 },
		{ POSIX, " \"1442018818\" ", 1442018818000 },
		{ POSIX, "+1", 1000 },
		{ POSIX, "-1", -1000 },
		{ MILLIS, "1442018818771", SEP12 },
		{ MILLIS, "\"1442018818771\"", SEP12 },
		{ MILLIS, "-9223372036854775808", INT64_MIN },
		{ MILLIS, "00000000000000000000000000000001", 1 },
		{ MILLIS, "-000", 0 },
		{ MICRO, "1442018818771999", SEP12 },
		{ NANO, "1442018818771999999", SEP12 },
		{ RUBY, "1442018818.771", SEP12 },
		{ RUBY, "\"1442018818.771\"", SEP12 },
		{ RUBY, "1.442018818e9", 1442018818000 },
		{ RUBY, ".5", 500 },
		{ RUBY, "5.", 5000 },
		{ RUBY, "+5", 5000 },
	};

	(void)state;
	check_taken(SCAN_STRING, cases, ARRAY_LEN(cases));
}

static void
test_strings_refused(void **state)
{
	static const struct refused bad[] = {
		{ AUTO, "" },
		{ AUTO, " " },
		{ AUTO, "\"" },
		{ AUTO, "\"\"" },
		{ AUTO, "\"\"2015\"\"" },
		{ AUTO, "99999999999999999999" },
		{ AUTO, "1442018818771 " },
		{ AUTO, "2015-09-12 10:00:00 UTC" },
		{ AUTO, "2015-09-12 10:00:00 Europe/Paris" },
		{ AUTO, "2015-09-12  10:00:00" },
		{ AUTO, "now" },
		{ ISO, "" },
		{ ISO, "2015-09-12 00:46:58" },
		{ ISO, "1442018818771" },
		{ ISO, "2015-02-30" },
		{ POSIX, "" },
		{ POSIX, "-" },
		{ POSIX, "1.5" },
		{ POSIX, "1e3" },
		{ POSIX, "1 2" },
		{ POSIX, "9223372036854776" },
		{ MILLIS, "1442018818771.0" },
		{ MILLIS, "0x10" },
		{ MILLIS, "9223372036854775808" },
		{ MILLIS, "-9223372036854775809" },
		{ MILLIS, "9999999999999999999" },
		{ MILLIS, "18446744073709551616" },
		{ MILLIS, "2015-09-12" },
		{ MICRO, "--1" },
		{ NANO, "1_000" },
		{ RUBY, "" },
		{ RUBY, "." },
		{ RUBY, "+" },
		{ RUBY, "e5" },
		{ RUBY, "1e" },
		{ RUBY, "1e+" },
		{ RUBY, "1.5.5" },
		{ RUBY, "1.5d" },
		{ RUBY, "0x1p3" },
		{ RUBY, "NaN" },
		{ RUBY, "Infinity" },
		{ RUBY, "1e300" },
	};

	(void)state;
	check_refused(SCAN_STRING, bad, ARRAY_LEN(bad));
}

static void
test_other_types(void **state)
{
	static const struct {
		enum scan_type type;
		const char *text;
	} values[] = {
		{ SCAN_NULL, "null" },
		{ SCAN_FALSE, "false" },
		{ SCAN_TRUE, "true" },
		{ SCAN_ARRAY, "[1]" },
		{ SCAN_OBJECT, "{}" },
	};
	int64_t ms;

	(void)state;
	for (int format = AUTO; format <= RUBY; format++)
		for (size_t i = 0; i < ARRAY_LEN(values); i++)
			assert_false(parse((enum timestamp_format)format,
			    values[i].type, values[i].text, &ms));
}

/* A number of any length is answered, not overrun. */
static void
test_long_numbers(void **state)
{
	char text[2048];
	int64_t ms;

	(void)state;
	for (size_t digits = 500; digits < 520; digits++) {
		bool is_short = digits + 2 < 512;

		memcpy(text, "1.", 2);
		memset(text + 2, '5', digits);
		text[2 + digits] = '\0';
		assert_int_equal(
		    parse(MILLIS, SCAN_NUMBER, text, &ms), is_short);
		if (is_short)
			assert_int_equal(ms, 1);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_strings_refused),
		cmocka_unit_test(test_other_types),
		cmocka_unit_test(test_long_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
