/*
 * test_backoff - how long to wait before the next try
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "backoff.h"

/* random 0: the longest; then down to half of it. */
static void
test_doubles_up_to_the_limit(void **state)
{
	static const int64_t longest[] = { 100, 100, 200, 400, 800, 1000, 1000,
		1000 };

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(longest); i++) {
		int64_t half = longest[i] / 2;

		assert_int_equal(backoff_ms(i, 100, 1000, 0), longest[i]);
		assert_int_equal(
		    backoff_ms(i, 100, 1000, (uint32_t)half), half);
	}
	assert_int_equal(backoff_ms(UINT32_MAX, 100, 10000, 0), 10000);
	assert_int_equal(
	    backoff_ms(UINT32_MAX, 100, INT64_MAX / 4, 0), INT64_MAX / 4);
	assert_int_equal(backoff_ms(5, 3000, 1000, 0), 1000);
	assert_int_equal(backoff_ms(1, 1, 1, UINT32_MAX), 1);
}

static void
test_spread(void **state)
{
	bool seen[51] = { false };

	(void)state;
	for (uint32_t random = 0; random < 1000; random++) {
		int64_t ms = backoff_ms(1, 100, 1000, random * 2654435761u);

		assert_in_range(ms, 50, 100);
		seen[ms - 50] = true;
	}
	for (unsigned i = 0; i < ARRAY_LEN(seen); i++)
		assert_true(seen[i]);
}

static void
test_jitter(void **state)
{
	bool seen[41] = { false };

	(void)state;
	for (uint32_t random = 0; random < 1000; random++) {
		int64_t ms = backoff_jitter(100, random * 2654435761u);

		assert_in_range(ms, 80, 120);
		seen[ms - 80] = true;
	}
	for (unsigned i = 0; i < ARRAY_LEN(seen); i++)
		assert_true(seen[i]);
	assert_int_equal(backoff_jitter(0, 12345), 0);
	assert_int_equal(backoff_jitter(4, 12345), 4);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_doubles_up_to_the_limit),
		cmocka_unit_test(test_spread),
		cmocka_unit_test(test_jitter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
