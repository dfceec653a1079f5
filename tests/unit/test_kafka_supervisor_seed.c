/*
 * test_kafka_supervisor_seed - the offsets at which a Kafka supervisor begins
 */
#include "supervisor_rig.h"

/* None of its tasks is alive, and it is suspended: offsets may be set. */
static void
answer_none_alive(struct rig *r)
{
	script_answer(r->server, 200, "[]");
	answer_json(r, floor_status("SUSPENDED"));
}

/* It looks for that, and sets them. */
static const struct script_request *
next_reset(struct rig *r)
{
	next(r, "GET", TASKS);
	next(r, "GET", API "/foo/status");
	return next(r, "POST", API "/foo/resetOffsets");
}

/* There is none: made, its offsets stored, watched. */
static void
test_make(void **state)
{
	struct rig *r = *state;

	script_answer(r->server, 404, ABSENT);
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	answer_none_alive(r);
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	open_care(r, CARE_MANAGE, false);
	next(r, "GET", API "/foo");
	expect_body(next(r, "POST", API UNLESS_SAME), unseeded(r));
	next(r, "GET", TASKS);
	assert_false(kafka_supervisor_was_made(r->care));
	next(r, "GET", API "/foo/status");
	expect_body(next(r, "POST", API "/foo/resetOffsets"), text_json(SEED));
	LOOP_UNTIL(r->loop, kafka_supervisor_was_made(r->care));
	assert_true(kafka_supervisor_changed(r->care));
	/* a task may only begin when that is in the spool */
	expect_rest(r);
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	answer_status(r);
	kafka_supervisor_stored(r->care);
	assert_false(kafka_supervisor_is_settled(r->care));
	expect_body(next(r, "POST", API UNLESS_SAME), spec(r, ISO_HOUR_MS));
	next(r, "GET", API "/foo/status");
	assert_true(kafka_supervisor_is_settled(r->care));
	kafka_supervisor_stored(r->care);
	expect_note(r, "");
}

/* Somebody has ended the one that we made, or we were killed before the last
 * step and it was ended: Druid knows where it was. */
static void
test_make_again(void **state)
{
	struct rig *r = *state;

	script_answer(r->server, 404, ABSENT);
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	answer_status(r);
	open_care(r, CARE_MANAGE, true);
	next(r, "GET", API "/foo");
	expect_body(next(r, "POST", API UNLESS_SAME), spec(r, ISO_HOUR_MS));
	next(r, "GET", API "/foo/status");
}

/* Killed between the steps, or no answer: whoever finds the mark goes on. */
static void
test_make_on(void **state)
{
	struct rig *r = *state;

	script_answer(r->server, 404, ABSENT);
	script_answer(r->server, 500, "");
	answer_json(r, unseeded(r));
	script_answer(r->server, 503, "");
	answer_json(r, unseeded(r));
	answer_none_alive(r);
	script_answer(r->server, 503, "");
	answer_json(r, unseeded(r));
	answer_none_alive(r);
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	open_care(r, CARE_MANAGE, false);
	next(r, "GET", API "/foo");
	next(r, "POST", API UNLESS_SAME);
	next(r, "GET", API "/foo");
	next(r, "GET", TASKS);
	next(r, "GET", API "/foo");
	next_reset(r);
	next(r, "GET", API "/foo");
	expect_body(next_reset(r), text_json(SEED));
	LOOP_UNTIL(r->loop, kafka_supervisor_was_made(r->care));
	kafka_supervisor_free(&r->care);
	/* the spool had it, the last step was not taken */
	answer_json(r, unseeded(r));
	answer_none_alive(r);
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	answer_status(r);
	open_care(r, CARE_MANAGE, true);
	next(r, "GET", API "/foo");
	next_reset(r);
	expect_body(next(r, "POST", API UNLESS_SAME), spec(r, ISO_HOUR_MS));
	next(r, "GET", API "/foo/status");
}

/* Made for a log that is not ours: suspended, and nothing is set as long as its
 * tasks have something to publish. */
static void
test_other_log(void **state)
{
	struct rig *r = *state;
	struct json *there = spec(r, ISO_HOUR_MS);

	mark(there, "log", "log-0");
	answer_json(r, there);
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	script_answer(r->server, 200,
	    "[" TASK("index_kafka_foo_0_b", "SUCCESS") "," TASK(
		"index_kafka_foo_1_a", "RUNNING") "]");
	answer_json(r, unseeded(r));
	script_answer(r->server, 200,
	    "[" TASK("index_kafka_foo_1_a", "FAILED") "," TASK(
		"index_kafka_foo_b_1_a", "RUNNING") "]");
	answer_json(r, floor_status("SUSPENDED"));
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	open_care(r, CARE_MANAGE, false);
	next(r, "GET", API "/foo");
	expect_body(next(r, "POST", API UNLESS_SAME), unseeded(r));
	next(r, "GET", TASKS);
	next(r, "GET", API "/foo");
	expect_note(r, "1 tasks still publish");
	expect_body(next_reset(r), text_json(SEED));
	expect_note(r, "made for another spool");
}

/* It was suspended by somebody, and stays so. */
static void
test_other_log_suspended(void **state)
{
	struct rig *r = *state;
	struct json *there = spec(r, ISO_HOUR_MS), *wanted, *j;

	mark(there, "log", "log-0");
	json_set_bool(there, "suspended", true);
	answer_json(r, there);
	script_answer(r->server, 503, "");
	j = spec(r, ISO_HOUR_MS);
	wanted = kafka_spec_unseeded(j, true, 0);
	answer_json(r, json_clone(wanted));
	answer_none_alive(r);
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	open_care(r, CARE_MANAGE, false);
	next(r, "GET", API "/foo");
	expect_body(next(r, "POST", API UNLESS_SAME), wanted);
	next(r, "GET", API "/foo");
	next_reset(r);
	LOOP_UNTIL(r->loop, kafka_supervisor_was_made(r->care));
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	answer_status(r);
	kafka_supervisor_stored(r->care);
	json_set_bool(j, "suspended", true);
	expect_body(next(r, "POST", API UNLESS_SAME), j);
	next(r, "GET", API "/foo/status");
}

/* There were less partitions: the offsets of the new ones alone are set. */
static void
test_grown(void **state)
{
	struct rig *r = *state;
	struct json *there = spec(r, ISO_HOUR_MS), *wanted;
	struct json *seed = text_json(SEED);

	wanted = kafka_spec_unseeded(there, false, 1);
	json_set_int(
	    json_get(json_get(there, "context"), "tranqd"), "partitions", 1);
	json_remove(
	    json_get(json_get(seed, "partitions"), "partitionOffsetMap"), "0");
	answer_json(r, json_clone(there));
	script_answer(r->server, 503, "");
	answer_json(r, there);
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	script_answer(r->server, 503, "");
	answer_json(r, json_clone(wanted));
	answer_none_alive(r);
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	answer_status(r);
	open_care(r, CARE_MANAGE, true);
	next(r, "GET", API "/foo");
	next(r, "POST", API UNLESS_SAME);
	next(r, "GET", API "/foo");
	expect_body(next(r, "POST", API UNLESS_SAME), wanted);
	next(r, "GET", TASKS);
	next(r, "GET", API "/foo");
	expect_body(next_reset(r), seed);
	expect_body(next(r, "POST", API UNLESS_SAME), spec(r, ISO_HOUR_MS));
	next(r, "GET", API "/foo/status");
}

/* Druid cannot begin with it: nothing is set that it would forget. */
static void
test_not_begun(void **state)
{
	struct rig *r = *state;
	struct json *pending = floor_status("SUSPENDED");

	json_set_text(json_get(pending, "payload"), "detailedState", "PENDING");
	answer_json(r, unseeded(r));
	script_answer(r->server, 200, "[]");
	answer_json(r, pending);
	answer_json(r, unseeded(r));
	answer_none_alive(r);
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	open_care(r, CARE_MANAGE, false);
	next(r, "GET", API "/foo");
	next(r, "GET", TASKS);
	next(r, "GET", API "/foo/status");
	next(r, "GET", API "/foo");
	expect_note(r, "must reach tq1:9094");
	next_reset(r);
}

/* It was resumed before its offsets were set: they are as they are. */
static void
test_resumed(void **state)
{
	struct rig *r = *state;
	struct json *there = unseeded(r);

	json_set_bool(there, "suspended", false);
	answer_json(r, there);
	open_care(r, CARE_MANAGE, false);
	next(r, "GET", API "/foo");
	LOOP_UNTIL(r->loop, kafka_supervisor_was_made(r->care));
	expect_rest(r);
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	answer_status(r);
	kafka_supervisor_stored(r->care);
	expect_body(next(r, "POST", API UNLESS_SAME), spec(r, ISO_HOUR_MS));
	next(r, "GET", API "/foo/status");
}

#define SEED_ONE                                                        \
	"{\"type\":\"kafka\",\"partitions\":{\"type\":\"end\","         \
	"\"stream\":\"" FLOOR_TOPIC "\",\"partitionOffsetMap\":{\"1\":" \
	"1001}}}"

/* A partition that is new is seeded, once, and no other one with it; by who
 * manages it. What tasks have read may be nowhere else (its spool is lost), and
 * they would not outlive it: so they publish before. */
static void
test_joins(void **state)
{
	struct rig *r = *state;

	r->own = 0;
	r->is_unseeded = true;
	answer_json(r, spec(r, ISO_HOUR_MS));
	answer_status(r);
	open_care(r, CARE_OBSERVE, true);
	next(r, "GET", API "/foo");
	next(r, "GET", API "/foo/status");
	kafka_supervisor_free(&r->care);
	answer_json(r, spec(r, ISO_HOUR_MS));
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	/* one that has not begun would forget it */
	answer_json(r, drained(r));
	answer_json(r, floor_status("PENDING"));
	answer_json(r, drained(r));
	answer_json(r, floor_status("SUSPENDED"));
	script_answer(r->server, 200,
	    "[{\"id\":\"index_kafka_foo_0_a\",\"statusCode\":\"RUNNING\"}]");
	for (int refused = 1; refused >= 0; refused--) {
		answer_json(r, drained(r));
		answer_json(r, floor_status("SUSPENDED"));
		script_answer(r->server, 200, "[]");
		if (refused)
			script_answer(r->server, 503, "");
		else
			script_answer(r->server, 200, "{\"id\":\"foo\"}");
	}
	answer_json(r, drained(r));
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	answer_status(r);
	open_care(r, CARE_MANAGE, true);
	next(r, "GET", API "/foo");
	expect_body(next(r, "POST", API UNLESS_SAME), drained(r));
	next(r, "GET", API "/foo");
	next(r, "GET", API "/foo/status");
	next(r, "GET", API "/foo");
	next(r, "GET", API "/foo/status");
	next(r, "GET", TASKS);
	for (int refused = 1; refused >= 0; refused--) {
		next(r, "GET", API "/foo");
		next(r, "GET", API "/foo/status");
		next(r, "GET", TASKS);
		assert_int_equal(r->seeds, 0);
		expect_body(next(r, "POST", API "/foo/resetOffsets"),
		    text_json(SEED_ONE));
	}
	next(r, "GET", API "/foo");
	assert_int_equal(r->seeds, 1);
	expect_body(next(r, "POST", API UNLESS_SAME), spec(r, ISO_HOUR_MS));
	next(r, "GET", API "/foo/status");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_make),
		CASE(test_make_again),
		CASE(test_make_on),
		CASE(test_other_log),
		CASE(test_other_log_suspended),
		CASE(test_grown),
		CASE(test_not_begun),
		CASE(test_resumed),
		CASE(test_joins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
