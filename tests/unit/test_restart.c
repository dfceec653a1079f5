/*
 * test_restart - when a child that has died is started again; and rates
 *
 * Links: supervisor/restart.c, supervisor/rate.c, common.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "heritage.h"
#include "rate.h"
#include "restart.h"

#define KILLED 9
#define EXITED(code) ((code) << 8)

static struct restart_decision
die(struct restart_history *h, int status, int64_t ready_ms)
{
	struct death d = { .status = status,
		.ready_ms = ready_ms,
		.lived_ms = ready_ms < 0 ? 5 : ready_ms + 5 };

	restart_record(h, &d);
	return restart_decide(h);
}

static void
assert_decision(
    struct restart_decision d, enum restart_verdict verdict, int64_t delay_ms)
{
	assert_int_equal(d.verdict, verdict);
	assert_int_equal(d.delay_ms, delay_ms);
}

static void
test_first_death_is_free(void **state UNUSED)
{
	struct restart_history h = { 0 };

	assert_decision(die(&h, KILLED, 120 * 1000), RESTART_NOW, 0);
}

static void
test_never_ready_waits_from_the_first(void **state UNUSED)
{
	static const int64_t delays[] = { 100, 200, 400, 800, 1600, 3200, 6400,
		12800, 25600, 30000, 30000, 30000 };
	struct restart_history h = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(delays); i++)
		assert_decision(die(&h, EXITED(CHILD_TEMPFAIL), -1),
		    RESTART_LATER, delays[i]);
}

static void
test_ready_ones_are_free_five_times(void **state UNUSED)
{
	static const int64_t delays[] = { 100, 200, 400 };
	struct restart_history h = { 0 };

	for (int i = 0; i < RESTART_FREE; i++)
		assert_decision(die(&h, KILLED, 10), RESTART_NOW, 0);
	for (size_t i = 0; i < ARRAY_LEN(delays); i++)
		assert_decision(die(&h, KILLED, 10), RESTART_LATER, delays[i]);
}

static void
test_steady_life_forgives(void **state UNUSED)
{
	struct restart_history h = { 0 };

	for (int i = 0; i < 40; i++)
		die(&h, KILLED, 10);
	assert_decision(die(&h, KILLED, 10), RESTART_LATER, 30000);
	assert_decision(
	    die(&h, KILLED, RESTART_STEADY_MS - 1), RESTART_LATER, 30000);
	assert_decision(die(&h, KILLED, RESTART_STEADY_MS), RESTART_NOW, 0);
	assert_int_equal(h.streak, 1);
	assert_decision(die(&h, KILLED, -1), RESTART_LATER, 100);
}

static void
test_bad_configuration_is_for_good(void **state UNUSED)
{
	struct restart_history h = { 0 };

	assert_int_equal(
	    die(&h, EXITED(CHILD_BAD_CONFIG), -1).verdict, RESTART_NEVER);
	assert_int_equal(die(&h, EXITED(CHILD_BAD_CONFIG), 90 * 1000).verdict,
	    RESTART_NEVER);
	/* a signal of that number, or a failed fork, is something else */
	assert_int_equal(die(&h, CHILD_BAD_CONFIG, 1).verdict, RESTART_NOW);
	assert_int_equal(die(&h, -1, -1).verdict, RESTART_LATER);
}

/* Whatever happens, no more than so many starts in a minute. */
static void
test_no_fork_storm(void **state UNUSED)
{
	for (int mode = 0; mode < 3; mode++) {
		struct restart_history h = { 0 };
		int64_t now_ms = 0;
		int starts = 0;

		while (now_ms < 60 * 1000) {
			int64_t ready_ms =
			    mode == 0 || (mode == 2 && starts % 2 == 0) ? -1
									: 0;

			now_ms += die(&h, KILLED, ready_ms).delay_ms;
			starts++;
			assert_true(starts < 30);
		}
		assert_true(starts > 5);
	}
}

/* 200 that die at once: 64 of them are back at once, the others as the machine
 * bears it. */
static void
test_many_at_once(void **state UNUSED)
{
	struct restart_queue q = { 0 };
	int64_t now_ms = 5000, last = 0;

	for (int i = 0; i < 200; i++) {
		int64_t wait = restart_queue_take(&q, now_ms);

		assert_true(wait >= last);
		assert_int_equal(wait == 0, i < RESTART_BURST);
		last = wait;
	}
	assert_int_equal(last, (200 - RESTART_BURST) * RESTART_SPACING_MS);
	/* what was not used is kept, as far as the burst */
	now_ms += 3600 * 1000;
	for (int i = 0; i < RESTART_BURST; i++)
		assert_int_equal(restart_queue_take(&q, now_ms), 0);
	assert_int_equal(restart_queue_take(&q, now_ms), RESTART_SPACING_MS);
}

static void
test_history_keeps_the_latest(void **state UNUSED)
{
	struct restart_history h = { 0 };

	assert_null(restart_death(&h, 0));
	for (int i = 1; i <= 40; i++) {
		struct death d = { .pid = i, .ready_ms = -1 };

		restart_record(&h, &d);
	}
	assert_int_equal(h.count, 40);
	for (unsigned back = 0; back < RESTART_HISTORY; back++)
		assert_int_equal(restart_death(&h, back)->pid, 40 - back);
	assert_null(restart_death(&h, RESTART_HISTORY));
}

static void
test_deaths_are_described(void **state UNUSED)
{
	struct death d = { .status = KILLED };
	char text[96];

	restart_describe(&d, text, sizeof text);
	assert_string_equal(text, "killed by signal 9 (Killed)");
	d.status = EXITED(75);
	restart_describe(&d, text, sizeof text);
	assert_string_equal(text, "exit status 75");
	d.hung = true;
	restart_describe(&d, text, sizeof text);
	assert_string_equal(text, "hung and was killed");
	d.status = -1;
	restart_describe(&d, text, sizeof text);
	assert_string_equal(text, "could not be started");
}

static void
test_rates(void **state UNUSED)
{
	struct rate r = { 0 };
	uint64_t values[RATE_VALUES] = { 0, 100 };
	double out[RATE_VALUES];

	rate_per_second(&r, 500, values, out);
	assert_true(out[0] == 0);
	rate_sample(&r, 0, values);
	values[0] = 50;
	/* too young to mean anything */
	rate_per_second(&r, 500, values, out);
	assert_true(out[0] == 0);
	rate_per_second(&r, 5000, values, out);
	assert_true(out[0] == 10 && out[1] == 0);
	rate_sample(&r, 5000, values);
	rate_sample(&r, 10000, values);
	/* the youngest that covers ten seconds is that of 5000 */
	values[0] = 150;
	rate_per_second(&r, 15000, values, out);
	assert_true(out[0] == 10);
	rate_sample(&r, 15000, values);
	assert_int_equal(r.samples[0].at_ms, 5000);
	/* a counter that begins anew */
	values[0] = 0;
	rate_per_second(&r, 20000, values, out);
	assert_true(out[0] == 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_death_is_free),
		cmocka_unit_test(test_never_ready_waits_from_the_first),
		cmocka_unit_test(test_ready_ones_are_free_five_times),
		cmocka_unit_test(test_steady_life_forgives),
		cmocka_unit_test(test_bad_configuration_is_for_good),
		cmocka_unit_test(test_no_fork_storm),
		cmocka_unit_test(test_many_at_once),
		cmocka_unit_test(test_history_keeps_the_latest),
		cmocka_unit_test(test_deaths_are_described),
		cmocka_unit_test(test_rates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
