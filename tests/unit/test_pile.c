/*
 * test_pile - how much waits for each interval
 */
#include "pile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct spool_entry
entry(int64_t start, unsigned events)
{
	return (struct spool_entry){ .at = { .start = start, .end = start + 9 },
		.events = events,
		.bytes = events * 100 };
}

static void
test_add_and_take(void **state)
{
	struct spool_entry a = entry(10, 1), b = entry(10, 2);
	struct interval interval = { 10, 19 }, other = { 10, 20 };
	const struct pile *pile;
	struct piles p;

	(void)state;
	piles_init(&p);
	assert_null(piles_find(&p, interval));
	piles_add(&p, &a, 5);
	piles_add(&p, &b, 7);
	pile = piles_find(&p, interval);
	assert_non_null(pile);
	assert_null(piles_find(&p, other));
	assert_int_equal(pile->batches, 2);
	assert_int_equal(pile->events, 3);
	assert_int_equal(pile->bytes, 300);
	assert_int_equal(pile->since_ms, 5);
	piles_take(&p, &a);
	assert_int_equal(piles_find(&p, interval)->events, 2);
	piles_take(&p, &b);
	assert_null(piles_find(&p, interval));
	assert_int_equal(p.count + p.batches + p.events + p.bytes, 0);
	piles_fini(&p);
}

/* Whatever the order they come in, they lie in order of time. */
static void
test_order(void **state)
{
	struct piles p;

	(void)state;
	piles_init(&p);
	for (int64_t n = 0; n < 1000; n++) {
		struct spool_entry e = entry((n * 7919 % 1000 - 500) * 10, 1);

		piles_add(&p, &e, n);
	}
	assert_int_equal(p.count, 1000);
	for (size_t i = 1; i < p.count; i++)
		assert_true(
		    p.all[i - 1].interval.start < p.all[i].interval.start);
	for (int64_t n = 0; n < 1000; n += 2) {
		struct spool_entry e = entry((n - 500) * 10, 1);

		piles_take(&p, &e);
	}
	assert_int_equal(p.count, 500);
	for (size_t i = 0; i < p.count; i++)
		assert_int_equal(
		    p.all[i].interval.start, ((int64_t)i * 2 - 499) * 10);
	piles_fini(&p);
}

static void
test_clock_set_back(void **state)
{
	struct spool_entry a = entry(10, 1), b = entry(30, 2);
	struct piles p;

	(void)state;
	piles_init(&p);
	piles_add(&p, &a, 100);
	piles_add(&p, &b, 3600100);
	piles_wait_from(&p, 200);
	assert_int_equal(p.all[0].since_ms, 100);
	assert_int_equal(p.all[1].since_ms, 200);
	piles_fini(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_add_and_take),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_clock_set_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
