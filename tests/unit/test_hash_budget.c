/*
 * test_hash_budget - a second at once, and then a tenth of the time
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "hash_budget.h"

#define MS_NS 1000000
#define START_MS 50000

static void
test_at_once(void **state)
{
	struct hash_budget b;

	(void)state;
	hash_budget_init(&b);
	assert_true(hash_budget_has(&b, START_MS));
	hash_budget_spend(&b, (HASH_BUDGET_MS - 1) * (int64_t)MS_NS);
	assert_true(hash_budget_has(&b, START_MS));
	hash_budget_spend(&b, MS_NS);
	assert_false(hash_budget_has(&b, START_MS));
}

static void
test_share(void **state)
{
	struct hash_budget b;
	int64_t now_ms = START_MS;
	unsigned hashes = 0;

	(void)state;
	hash_budget_init(&b);
	(void)hash_budget_has(&b, now_ms);
	hash_budget_spend(&b, HASH_BUDGET_MS * (int64_t)MS_NS);
	/* of 5 ms each, asked for in each of 10000 ms */
	for (unsigned i = 0; i < 10000; i++)
		if (hash_budget_has(&b, ++now_ms)) {
			hash_budget_spend(&b, 5 * MS_NS);
			hashes++;
		}
	assert_in_range(hashes, 200, 201);
}

/* A long rest gives no more than there is at once; a clock that has run back
 * gives nothing. */
static void
test_bounds(void **state)
{
	struct hash_budget b;

	(void)state;
	hash_budget_init(&b);
	assert_true(hash_budget_has(&b, INT64_MAX / 2));
	hash_budget_spend(&b, HASH_BUDGET_MS * (int64_t)MS_NS);
	assert_false(hash_budget_has(&b, INT64_MAX / 2));
	assert_false(hash_budget_has(&b, 0));
	assert_true(hash_budget_has(&b, 1));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_at_once),
		cmocka_unit_test(test_share),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
