/*
 * test_timestamp - the table of druid-api.md 9.1: formats by numbers, strings;
 * texts by Joda patterns as Druid's own parser reads them
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base.h"

#include "timestamp.h"

#define AUTO "auto"
#define ISO "iso"
#define POSIX "posix"
#define MILLIS "millis"
#define MICRO "micro"
#define NANO "nano"
#define RUBY "ruby"

#define NOW INT64_C(1790000000000) /* 2026 */
#define SEP12 INT64_C(1442018818771) /* 2015-09-12T00:46:58.771Z */

struct taken {
	const char *format, *text;
	int64_t ms;
};

struct refused {
	const char *format, *text;
};

enum type { TEXT, NUMBER };

static struct timestamp_format *
new_format(const char *name, int64_t now)
{
	char why[TIMESTAMP_WHY_BYTES];
	struct timestamp_format *f = timestamp_format_new(name, now, why);

	if (f == NULL)
		fail_msg("%s", why);
	return f;
}

/* From a copy of just its bytes, so that reading past them is seen. */
static bool
read_by(const struct timestamp_format *f, enum type type, const char *text,
    int64_t *ms)
{
	size_t bytes = strlen(text);
	char *copy = malloc(bytes + (bytes == 0));
	bool read;

	assert_non_null(copy);
	memcpy(copy, text, bytes);
	read = type == TEXT ? timestamp_read_text(f, copy, bytes, ms)
			    : timestamp_read_number(f, copy, bytes, ms);
	free(copy);
	return read;
}

static bool
parse(const char *format, enum type type, const char *text, int64_t *ms)
{
	struct timestamp_format *f = new_format(format, NOW);
	bool read = read_by(f, type, text, ms);

	timestamp_format_free(&f);
	return read;
}

static void
check_taken(enum type type, const struct taken *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct taken *c = &cases[i];
		int64_t ms;

		if (!parse(c->format, type, c->text, &ms))
			fail_msg("%s refused by %s", c->text, c->format);
		if (ms != c->ms)
			fail_msg(
			    "%s by %s: %jd", c->text, c->format, (intmax_t)ms);
	}
}

static void
check_refused(enum type type, const struct refused *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct refused *c = &cases[i];
		int64_t ms;

		if (parse(c->format, type, c->text, &ms))
			fail_msg(
			    "%s by %s: %jd", c->text, c->format, (intmax_t)ms);
	}
}

static void
test_formats(void **state)
{
	static const char *const names[] = { "auto", "iso", "posix", "millis",
		"micro", "nano", "ruby", "yyyy-MM-dd" };
	static const struct {
		const char *name, *why;
	} others[] = {
		{ "", "at character 1 of the pattern: it is empty" },
		{ "seconds", "at character 3 of the pattern: 'c'" },
		{ "auto ", "at character 2 of the pattern: 'u'" },
		{ "yyyy-MM-ddTHH:mm",
		    "at character 11 of the pattern: 'T' is no "
		    "letter of a pattern; put text in "
		    "quotes ('T')" },
		{ "yyyy zzzz", "at character 6 of the pattern: the full name" },
	};
	char why[TIMESTAMP_WHY_BYTES], longest[1000] = "";
	struct timestamp_format *f;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		f = new_format(names[i], NOW);
		assert_string_equal(timestamp_format_name(f), names[i]);
		timestamp_format_free(&f);
		assert_null(f);
	}
	f = new_format("MilliS", NOW);
	assert_string_equal(timestamp_format_name(f), "millis");
	timestamp_format_free(&f);
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		assert_null(timestamp_format_new(others[i].name, NOW, why));
		if (strstr(why, others[i].why) == NULL)
			fail_msg("%s: %s", others[i].name, why);
	}
	memset(longest, '-', sizeof longest - 1);
	assert_null(timestamp_format_new(longest, NOW, why));
	for (size_t i = 0; i < 500; i++)
		longest[i] = "d-"[i % 2];
	longest[500] = '\0';
	assert_null(timestamp_format_new(longest, NOW, why));
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
		{ "yyyyMMdd", "20150912", 1442016000000 },
		/* what the pattern does not fit is milliseconds */
		{ "yyyyMMdd", "1442018818771", SEP12 },
		{ "yyyy-MM-dd", "1442018818771.5", SEP12 },
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
	check_taken(NUMBER, cases, ARRAY_LEN(cases));
	check_refused(NUMBER, bad, ARRAY_LEN(bad));
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
		{ ISO, "1442018818771", SEP12 }, /* no year that there is */
		{ AUTO, "2015-09-12 00:46:58.771 UTC", SEP12 },
		{ AUTO, "2015-09-12 02:46:58.771 Europe/Paris", SEP12 },
		{ AUTO, "2015-09-11T17:46:58.771 PST", SEP12 },
		{ AUTO, "\"2015-09-12 08:46:58.771 UTC+8\"", SEP12 },
		{ AUTO, "2015-09-12 08:47:13.771 UTC+08:00:15", SEP12 },
		{ "yyyy-MM-dd HH:mm:ss.SSS ZZZ", "2015-09-12 00:46:58.771 UTC",
		    SEP12 },
		{ AUTO, "2015-09-12 06:16:58.771 +0530", SEP12 },
		{ AUTO, "2015-09-12 Asia/Tokyo", 1441983600000 },
		/* an offset says all */
		{ AUTO, "2015-09-12 00:46:58.771Z Asia/Tokyo", SEP12 },
		{ AUTO, "2026-10-25 02:30 Europe/Paris", 1792888200000 },
		{ "yyyy-MM-dd HH:mm:ss ZZZ", "2015-09-12 00:46:58 Etc/UTC",
		    1442018818000 },
		{ "EEE MMM dd HH:mm:ss z yyyy",
		    "\"Fri Sep 11 17:46:58 PST 2015\"", 1442018818000 },
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
	check_taken(TEXT, cases, ARRAY_LEN(cases));
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
		{ AUTO, "2015-09-12 10:00:00 CEST" },
		{ AUTO, "2015-09-12 10:00:00 Europe/Parys" },
		{ AUTO, "2015-09-12 10:00:00  UTC" },
		{ AUTO, "2015-09-12 10:00:00 UTC+" },
		{ AUTO, " UTC" },
		/* the clocks skip it */
		{ AUTO, "2026-03-29 02:30 Europe/Paris" },
		{ "yyyy-MM-dd HH:mm ZZZ", "2026-03-29 02:30 UTC+08" },
		{ "yyyy-MM-dd HH:mm ZZZ", "2026-03-29 02:30 UTC+8" },
		{ AUTO, "2015-09-12  10:00:00" },
		{ AUTO, "now" },
		{ ISO, "" },
		{ ISO, "2015-09-12 00:46:58" },
		{ ISO, "2015-09-12T00:46:58 UTC" },
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
	check_refused(TEXT, bad, ARRAY_LEN(bad));
}

/* tests/golden/timestamp: what Druid's parser made of texts. */
static void
test_druid(void **state)
{
	FILE *f = fopen("tests/golden/timestamp/druid.txt", "r");
	char line[1024], got[32];
	struct timestamp_format *format = NULL;
	int64_t now = 0, ms;
	unsigned read = 0, refused = 0;

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof line, f) != NULL) {
		char *text = strchr(line, '\t');

		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '#') {
			now = strtoll(line + 2, NULL, 10);
			continue;
		}
		if (line[0] == '=') {
			timestamp_format_free(&format);
			format = new_format(line + 2, now);
			continue;
		}
		assert_non_null(text);
		*text++ = '\0';
		strcpy(got, "x");
		if (read_by(format, TEXT, text, &ms))
			snprintf(got, sizeof got, "%jd", (intmax_t)ms);
		if (strcmp(got, line) != 0)
			fail_msg("%s: '%s' is %s, not %s",
			    timestamp_format_name(format), text, line, got);
		read += line[0] != 'x';
		refused += line[0] == 'x';
	}
	timestamp_format_free(&format);
	fclose(f);
	assert_true(read > 1000);
	assert_true(refused > 1000);
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
		assert_int_equal(parse(MILLIS, NUMBER, text, &ms), is_short);
		if (is_short)
			assert_int_equal(ms, 1);
	}
}

/* What a client writes must not stay with us: there are 172,799 offsets. */
static void
test_offsets_leave_nothing(void **state UNUSED)
{
	struct timestamp_format *f = new_format(AUTO, NOW);
	size_t before = 0;
	char text[64];
	int64_t ms;

	for (unsigned n = 0; n < 2 * 20000; n++) {
		/* ICU and the allocator have settled after the first half */
		if (n == 20000)
			before = mallinfo2().uordblks;
		snprintf(text, sizeof text,
		    "2015-09-12 02:46:58.771 UTC+%02u:%02u:%02u", n / 3600 % 24,
		    n / 60 % 60, n % 60);
		assert_true(timestamp_read_text(f, text, strlen(text), &ms));
		assert_int_equal(ms, SEP12 + 7200000 - (int64_t)n * 1000);
	}
	assert_true(mallinfo2().uordblks <= before + 64 * KiB);
	timestamp_format_free(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_strings_refused),
		cmocka_unit_test(test_druid),
		cmocka_unit_test(test_long_numbers),
		cmocka_unit_test(test_offsets_leave_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
