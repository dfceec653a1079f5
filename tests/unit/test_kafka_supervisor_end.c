/*
 * test_kafka_supervisor_end - a Kafka supervisor whose log gets no more
 */
#include "supervisor_rig.h"

/* With a full log it is updated as ever: at another address nothing is read. When
 * all is read, which is at once here, it is suspended with a mark, and resumed
 * when there is room. */
static void
test_full(void **state)
{
	struct rig *r = *state;
	struct json *wanted = spec(r, ISO_HOUR_MS), *drained;
	struct json *status = floor_status("RUNNING");

	r->ends[0] = 2000;
	r->ends[1] = 2001;
	drained = kafka_spec_drained(wanted, false);
	floor_row(
	    status, "activeTasks", "g1_a", floor_offsets("0:1000 1:1001"));
	json_set(
	    json_at(json_get(json_get(status, "payload"), "activeTasks"), 0),
	    "currentOffsets", floor_offsets("0:2000 1:2001"));
	answer_json(r, spec(r, ISO_MINUTE_MS));
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	answer_json(r, status);
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	answer_json(r, json_clone(drained));
	answer_json(r, floor_status("SUSPENDED"));
	script_answer(r->server, 200, G1_SUCCEEDED);
	open_care(r, CARE_MANAGE, true);
	kafka_supervisor_rest(r->care, REST_FULL);
	next(r, "GET", API "/foo");
	expect_body(next(r, "POST", API UNLESS_SAME), spec(r, ISO_HOUR_MS));
	next(r, "GET", API "/foo/status");
	expect_body(next(r, "POST", API UNLESS_SAME), json_clone(drained));
	next(r, "GET", API "/foo");
	next(r, "GET", API "/foo/status");
	next(r, "GET", "/druid/indexer/v1/task/g1_a/status");
	answer_json(r, drained);
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	answer_status(r);
	kafka_supervisor_rest(r->care, REST_NOT);
	next(r, "GET", API "/foo");
	expect_body(next(r, "POST", API UNLESS_SAME), wanted);
	next(r, "GET", API "/foo/status");
}

/* Others want it to be suspended for a time; whoever manages it does it, and
 * resumes it. */
static void
test_suspends_for_others(void **state)
{
	struct rig *r = *state;

	r->own = 0;
	answer_json(r, spec(r, ISO_HOUR_MS));
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	answer_json(r, drained(r));
	answer_json(r, floor_status("SUSPENDED"));
	open_care(r, CARE_MANAGE, true);
	kafka_supervisor_suspend(r->care, true);
	next(r, "GET", API "/foo");
	expect_body(next(r, "POST", API UNLESS_SAME), drained(r));
	next(r, "GET", API "/foo");
	next(r, "GET", API "/foo/status");
	kafka_supervisor_suspend(r->care, false);
	answer_json(r, drained(r));
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	answer_status(r);
	next(r, "GET", API "/foo");
	expect_body(next(r, "POST", API UNLESS_SAME), spec(r, ISO_HOUR_MS));
	next(r, "GET", API "/foo/status");
}

/* One of them is retired: it says what it wants, and does nothing by itself. */
static void
test_retires_a_shared_one(void **state)
{
	struct rig *r = *state;
	struct json *j = floor_status("RUNNING");

	r->own = 1;
	r->ends[0] = 9999; /* another's */
	r->ends[1] = 1010;
	floor_row(j, "activeTasks", "index_kafka_foo_a_b",
	    floor_offsets("0:1000 1:1001"));
	json_set(json_at(json_get(json_get(j, "payload"), "activeTasks"), 0),
	    "currentOffsets", floor_offsets("0:1000 1:1010"));
	answer_json(r, spec(r, ISO_HOUR_MS));
	answer_json(r, j);
	open_care(r, CARE_OBSERVE, true);
	kafka_supervisor_rest(r->care, REST_RETIRED);
	next(r, "GET", API "/foo");
	next(r, "GET", API "/foo/status");
	LOOP_UNTIL(r->loop, r->wants_suspended);
	assert_false(kafka_supervisor_is_retired(r->care));
	r->ends[1] = 1001; /* all has left the log */
	answer_json(r, drained(r));
	answer_json(r, floor_status("SUSPENDED"));
	next(r, "GET", API "/foo");
	next(r, "GET", API "/foo/status");
	LOOP_UNTIL(r->loop, kafka_supervisor_is_retired(r->care));
	assert_false(r->wants_suspended);
}

/* Ended when the log is empty: suspended first, until none of its tasks is left,
 * since one that has hardly begun would go on for ever; and made again when that
 * is undone. */
static void
test_retires(void **state)
{
	struct rig *r = *state;

	r->ends[0] = 1000;
	r->ends[1] = 1001;
	r->ends[1]++;
	answer_json(r, spec(r, ISO_HOUR_MS));
	answer_status(r);
	open_care(r, CARE_MANAGE, true);
	kafka_supervisor_rest(r->care, REST_RETIRED);
	next(r, "GET", API "/foo");
	next(r, "GET", API "/foo/status");
	LOOP_UNTIL(r->loop, http_under_way(r->http) == 0);
	r->ends[1]--; /* it was committed */
	answer_json(r, spec(r, ISO_HOUR_MS));
	answer_status(r);
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	answer_json(r, drained(r));
	answer_json(r, floor_status("SUSPENDED"));
	script_answer(
	    r->server, 200, "[" TASK("index_kafka_foo_1_a", "RUNNING") "]");
	answer_json(r, drained(r));
	answer_json(r, floor_status("SUSPENDED"));
	script_answer(r->server, 200, "[]");
	script_answer(r->server, 503, "");
	answer_json(r, drained(r));
	answer_json(r, floor_status("SUSPENDED"));
	script_answer(r->server, 200, "[]");
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	next(r, "GET", API "/foo");
	next(r, "GET", API "/foo/status");
	expect_body(next(r, "POST", API UNLESS_SAME), drained(r));
	for (int turn = 0; turn < 3; turn++) {
		next(r, "GET", API "/foo");
		next(r, "GET", API "/foo/status");
		next(r, "GET", TASKS);
		assert_false(kafka_supervisor_is_retired(r->care));
		if (turn > 0)
			next(r, "POST", API "/foo/terminate");
	}
	LOOP_UNTIL(r->loop, kafka_supervisor_is_retired(r->care));
	script_answer(r->server, 404, ABSENT);
	next(r, "GET", API "/foo");
	LOOP_UNTIL(r->loop, http_under_way(r->http) == 0);
	kafka_supervisor_rest(r->care, REST_NOT);
	assert_false(kafka_supervisor_is_retired(r->care));
	script_answer(r->server, 404, ABSENT);
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	answer_status(r);
	next(r, "GET", API "/foo");
	expect_body(next(r, "POST", API UNLESS_SAME), spec(r, ISO_HOUR_MS));
	next(r, "GET", API "/foo/status");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_full),
		CASE(test_suspends_for_others),
		CASE(test_retires_a_shared_one),
		CASE(test_retires),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
