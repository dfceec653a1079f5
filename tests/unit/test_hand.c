/*
 * test_hand - which deaths condemn what was in hand, and which do not
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/wait.h>

#include "hand.h"

static const struct hand_item block = { HAND_BLOCK, 1, 7, 4096, 0, 0 },
			      batch = { HAND_BATCH, 0, 0, 99, 0, 0 };

/* Deaths by the signal with the item's event in hand, `ms` after it came. */
static void
die(struct hand *h, const struct hand_item *item, uint32_t event, int signal,
    int64_t ms, int times)
{
	for (int i = 0; i < times; i++) {
		hand_take(h, item, 1000);
		hand_event(h, event);
		hand_died(h, signal, false, 1000 + ms);
	}
}

static const struct hand_item *
condemned(const struct hand *h, const struct hand_item *item, uint32_t event)
{
	struct hand_item i = *item;

	i.event = event;
	return hand_condemned(h, &i);
}

static void
test_three_deaths(void **state)
{
	struct hand h = { 0 };

	(void)state;
	die(&h, &block, 5, SIGSEGV, 0, 2);
	assert_true(hand_is_careful(&h));
	assert_null(condemned(&h, &block, 5));
	die(&h, &block, 5, SIGABRT, 0, 1);
	assert_non_null(condemned(&h, &block, 5));
	assert_int_equal(condemned(&h, &block, 5)->signal, SIGABRT);
	assert_null(condemned(&h, &block, 4));
	assert_false(hand_is_careful(&h));
	/* another receiver's ring, and one byte too little */
	hand_passed(&h, 0, 9000);
	hand_passed(&h, 1, 4096);
	assert_non_null(condemned(&h, &block, 5));
	hand_passed(&h, 1, 4104);
	assert_null(condemned(&h, &block, 5));
}

/* Not running: it has lived through it, or another one was in between. */
static void
test_not_running(void **state)
{
	struct hand h = { 0 };

	(void)state;
	die(&h, &batch, 0, SIGSEGV, 0, 2);
	hand_take(&h, &batch, 1000);
	hand_drop(&h);
	die(&h, &batch, 0, SIGSEGV, 0, 2);
	assert_null(hand_condemned(&h, &batch));
	die(&h, &block, 0, SIGSEGV, 0, 1);
	die(&h, &batch, 0, SIGSEGV, 0, 2);
	assert_null(hand_condemned(&h, &batch));
	die(&h, &block, 3, SIGSEGV, 0, 2);
	hand_passed(&h, 1, 5000);
	die(&h, &block, 3, SIGSEGV, 0, 2);
	assert_null(condemned(&h, &block, 3));
}

static void
test_from_outside(void **state)
{
	struct hand h = { 0 };

	(void)state;
	die(&h, &block, 0, SIGKILL, HAND_SLOW_MS - 1, 9);
	die(&h, &block, 0, SIGTERM, 9000, 9);
	die(&h, &block, 0, W_EXITCODE(75, 0), 9000, 9);
	die(&h, &block, 0, -1, 9000, 9); /* could not be forked */
	assert_false(hand_is_careful(&h));
	for (int i = 0; i < 9; i++) { /* in a commit that takes its time */
		hand_take(&h, &block, 1000);
		hand_commits(&h);
		hand_died(&h, i % 3 == 0 ? SIGBUS : SIGKILL, i % 3 == 1, 9000);
	}
	for (int i = 0; i < 9; i++) /* nothing in hand */
		hand_died(&h, SIGSEGV, false, 9000);
	assert_false(hand_is_careful(&h));
	/* a kill in between neither counts nor clears */
	die(&h, &block, 0, SIGSEGV, 0, 2);
	die(&h, &block, 0, SIGKILL, 0, 1);
	die(&h, &block, 0, SIGSEGV, 0, 1);
	assert_non_null(condemned(&h, &block, 0));
}

/* By what is in it, a commit crashes. */
static void
test_commit_crashes(void **state)
{
	struct hand h = { 0 };

	(void)state;
	for (int i = 0; i < HAND_DEATHS; i++) {
		hand_take(&h, &block, 1000);
		hand_commits(&h);
		hand_died(&h, SIGSEGV, false, 1000);
	}
	assert_non_null(condemned(&h, &block, HAND_WHOLE));
}

/* It can always be sent, and kills when its answer comes. */
static void
test_second_part(void **state)
{
	struct hand_item heard = batch;
	struct hand h = { 0 };

	(void)state;
	heard.part = HAND_HEARS;
	for (int i = 0; i < HAND_DEATHS; i++) {
		hand_take(&h, &batch, 1000);
		hand_drop(&h);
		die(&h, &heard, 0, SIGSEGV, 0, 1);
	}
	assert_non_null(hand_condemned(&h, &heard));
}

/* The OOM killer, and the supervisor's own. */
static void
test_slow(void **state)
{
	struct hand h = { 0 };

	(void)state;
	die(&h, &block, 0, SIGKILL, HAND_SLOW_MS, 3);
	assert_non_null(condemned(&h, &block, 0));
	for (int i = 0; i < 3; i++) {
		hand_take(&h, &batch, 1000);
		hand_died(&h, SIGKILL, true, 1000);
	}
	assert_int_equal(hand_condemned(&h, &batch)->signal, 0);
	hand_settled(&h, &batch);
	assert_null(hand_condemned(&h, &batch));
}

static void
test_many_of_a_block(void **state)
{
	struct hand h = { 0 };

	(void)state;
	for (uint32_t e = 0; e < HAND_BLOCK_MAX - 1; e++)
		die(&h, &block, e, SIGSEGV, 0, 3);
	assert_null(condemned(&h, &block, HAND_WHOLE));
	die(&h, &block, 50, SIGSEGV, 0, 3);
	assert_non_null(condemned(&h, &block, HAND_WHOLE));
}

/* What a worker gone wrong may have left in its page. */
static void
test_nonsense(void **state)
{
	struct hand h = { .deaths = 77, .condemned_count = 1000 };

	(void)state;
	die(&h, &block, 0, SIGSEGV, 0, 1);
	assert_int_equal(h.deaths, 1);
	assert_int_equal(h.condemned_count, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_three_deaths),
		cmocka_unit_test(test_not_running),
		cmocka_unit_test(test_from_outside),
		cmocka_unit_test(test_commit_crashes),
		cmocka_unit_test(test_second_part),
		cmocka_unit_test(test_slow),
		cmocka_unit_test(test_many_of_a_block),
		cmocka_unit_test(test_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
