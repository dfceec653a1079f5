/*
 * test_zone - common/zone: names, offsets, clocks that skip and repeat
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "at_time.h"
#include "zone.h"

static struct zone *
find(const char *name)
{
	return zone_find(name, strlen(name));
}

static void
test_names(void **state)
{
	static const struct {
		const char *name, *found;
		int64_t minutes;
	} fixed[] = { { "UTC", "UTC", 0 }, { "Z", "UTC", 0 },
		{ "GMT", "UTC", 0 }, { "UT", "UTC", 0 }, { "+00:00", "UTC", 0 },
		{ "+08:00", "+08:00", 480 }, { "-0530", "-05:30", -330 },
		{ "UTC+8", "+08:00", 480 }, { "GMT-11", "-11:00", -660 },
		{ "UT+0545", "+05:45", 345 }, { "Etc/UTC", "Etc/UTC", 0 },
		{ "Etc/GMT+8", "Etc/GMT+8", -480 },
		{ "+23:59", "+23:59", 1439 } };
	static const char *const others[] = { "Europe/Paris", "PST", "EST5EDT",
		"America/Argentina/Buenos_Aires", "US/Pacific" };
	static const char *const unknown[] = {
		"", "europe/paris", "Nowhere/X", "Etc/Unknown", "PDT", "+",
		"+8:0", "+24", "+08:60", "UTC+", "Z+8", "+08:00x", "UTC 8",
		"Europe/Paris ", "Europe/Par\xc3\xads",
		"a name that is longer than the name of any zone there is....."
	};
	int64_t offset;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
		assert_non_null(find(fixed[i].name));
		assert_string_equal(
		    zone_name(find(fixed[i].name)), fixed[i].found);
		assert_true(zone_is_fixed(find(fixed[i].name), &offset));
		assert_int_equal(offset, fixed[i].minutes * ISO_MINUTE_MS);
		assert_int_equal(
		    zone_offset(find(fixed[i].name), INT64_MIN), offset);
	}
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		assert_non_null(find(others[i]));
		assert_string_equal(zone_name(find(others[i])), others[i]);
		assert_ptr_equal(find(others[i]), find(others[i]));
		assert_false(zone_is_fixed(find(others[i]), &offset));
	}
	for (size_t i = 0; i < ARRAY_LEN(unknown); i++)
		if (find(unknown[i]) != NULL)
			fail_msg("taken as a zone: %s", unknown[i]);
	assert_null(zone_find("UTC\0", 4));
	assert_non_null(zone_find("Europe/Paris!", 12));
}

static void
test_spans(void **state)
{
	struct zone *paris = find("Europe/Paris");
	struct zone_span span = zone_span(paris, at("2026-07-01"));
	int64_t ms = INT64_MIN;

	(void)state;
	assert_int_equal(span.offset, 2 * ISO_HOUR_MS);
	assert_time(span.from, "2026-03-29T01:00:00.000Z");
	assert_time(span.until, "2026-10-25T01:00:00.000Z");
	assert_int_equal(zone_offset(paris, span.until), ISO_HOUR_MS);
	assert_int_equal(zone_offset(paris, span.from - 1), ISO_HOUR_MS);
	/* spans join, from the first to far away, whatever is kept */
	for (unsigned i = 0; i < 400; i++, ms = span.until) {
		span = zone_span(paris, ms);
		assert_true(span.from <= ms && span.until > ms);
	}
	assert_true(zone_offset(paris, INT64_MAX) >= ISO_HOUR_MS);
}

static void
test_local(void **state)
{
	struct zone *paris = find("Europe/Paris");

	(void)state;
	assert_time(zone_to_utc(paris, at("2026-03-29T01:59")),
	    "2026-03-29T00:59:00.000Z");
	/* skipped: as if the clocks had not been set */
	assert_true(zone_skips(paris, at("2026-03-29T02:00")));
	assert_true(zone_skips(paris, at("2026-03-29T02:59:59.999")));
	assert_time(zone_to_utc(paris, at("2026-03-29T02:30")),
	    "2026-03-29T01:30:00.000Z");
	assert_false(zone_skips(paris, at("2026-03-29T03:00")));
	assert_time(zone_to_utc(paris, at("2026-03-29T03:00")),
	    "2026-03-29T01:00:00.000Z");
	/* twice: the first time */
	assert_false(zone_skips(paris, at("2026-10-25T02:30")));
	assert_time(zone_to_utc(paris, at("2026-10-25T02:30")),
	    "2026-10-25T00:30:00.000Z");
	assert_time(zone_to_utc(paris, at("2026-10-25T03:00")),
	    "2026-10-25T02:00:00.000Z");
	/* a day that Samoa left out */
	assert_true(zone_skips(find("Pacific/Apia"), at("2011-12-30T12:00")));
	assert_int_equal(zone_to_utc(paris, INT64_MIN), INT64_MIN);
	assert_int_equal(zone_to_utc(find("-08:00"), INT64_MAX), INT64_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_spans),
		cmocka_unit_test(test_local),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
