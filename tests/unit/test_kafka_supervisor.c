/*
 * test_kafka_supervisor - looked at, updated or let alone, by the answers of
 * Druid's Overlord
 */
#include "supervisor_rig.h"

/* One that is there when we come is never seeded: it may have read already. */
static void
test_same(void **state)
{
	struct rig *r = *state;

	answer_json(r, spec(r, ISO_HOUR_MS));
	answer_status(r);
	answer_json(r, spec(r, ISO_HOUR_MS));
	answer_status(r);
	open_care(r, CARE_MANAGE, false);
	next(r, "GET", API "/foo");
	next(r, "GET", API "/foo/status");
	next(r, "GET", API "/foo");
	next(r, "GET", API "/foo/status");
	expect_note(r, "");
	/* nor when it is made again */
	assert_true(kafka_supervisor_was_made(r->care));
}

/* Another configuration: updated, and left suspended when it is. */
static void
test_update(void **state)
{
	struct rig *r = *state;
	struct json *old = spec(r, ISO_MINUTE_MS);
	struct json *wanted = spec(r, ISO_HOUR_MS);

	json_set_bool(old, "suspended", true);
	json_set_bool(wanted, "suspended", true);
	answer_json(r, old);
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	answer_status(r);
	open_care(r, CARE_MANAGE, false);
	next(r, "GET", API "/foo");
	expect_body(next(r, "POST", API UNLESS_SAME), wanted);
	next(r, "GET", API "/foo/status");
	LOOP_UNTIL(r->loop, script_left(r->server) == 0);
	/* a reload with the same; with another one */
	answer_json(r, spec(r, ISO_HOUR_MS));
	answer_status(r);
	kafka_supervisor_want(r->care, spec(r, ISO_HOUR_MS));
	LOOP_UNTIL(r->loop, script_left(r->server) == 0);
	r->asked = script_requests(r->server) - 2;
	next(r, "GET", API "/foo");
	next(r, "GET", API "/foo/status");
	answer_json(r, spec(r, ISO_HOUR_MS));
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	answer_status(r);
	r->asked = script_requests(r->server);
	kafka_supervisor_want(r->care, spec(r, ISO_MINUTE_MS));
	next(r, "GET", API "/foo");
	expect_body(next(r, "POST", API UNLESS_SAME), spec(r, ISO_MINUTE_MS));
}

/* It has been as we want it, and another one of the same log has updated it: two
 * that did so would never come to an end. */
static void
test_copy(void **state)
{
	struct rig *r = *state;

	answer_json(r, spec(r, ISO_HOUR_MS));
	answer_status(r);
	answer_json(r, spec(r, ISO_MINUTE_MS));
	answer_status(r);
	open_care(r, CARE_MANAGE, true);
	next(r, "GET", API "/foo");
	next(r, "GET", API "/foo/status");
	expect_note(r, "");
	next(r, "GET", API "/foo");
	next(r, "GET", API "/foo/status");
	expect_note(r, "another tranqd with a copy of our spool");
	/* until we want something else */
	answer_json(r, spec(r, ISO_MINUTE_MS));
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	answer_status(r);
	r->asked = script_requests(r->server);
	kafka_supervisor_want(r->care, spec(r, ISO_HOUR_MS));
	next(r, "GET", API "/foo");
	expect_body(next(r, "POST", API UNLESS_SAME), spec(r, ISO_HOUR_MS));
	next(r, "GET", API "/foo/status");
	expect_note(r, "");
}

/* Held: what is on its way is answered, and nothing follows. */
static void
test_hold(void **state)
{
	struct rig *r = *state;

	script_answer(r->server, 404, ABSENT);
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	open_care(r, CARE_MANAGE, false);
	next(r, "GET", API "/foo");
	LOOP_UNTIL(r->loop, !kafka_supervisor_is_settled(r->care));
	kafka_supervisor_hold(r->care);
	next(r, "POST", API UNLESS_SAME);
	expect_rest(r);
	assert_true(kafka_supervisor_is_settled(r->care));
}

static struct json *
busy_status(const char *task, const char *starts)
{
	struct json *status = floor_status("RUNNING");
	struct json *payload = json_get(status, "payload");

	floor_row(status, "activeTasks", task, floor_offsets(starts));
	json_set_int(payload, "aggregateLag", 12);
	json_set(payload, "recentErrors",
	    text_json("[{\"timestamp\":\"t1\",\"exceptionClass\":\"E\","
		      "\"message\":\"one\"},{\"timestamp\":\"t2\","
		      "\"message\":\"two\"},{\"message\":\"three\"},"
		      "{\"message\":\"four\"}]"));
	return status;
}

enum let_alone { FOREIGN, OTHER, EDITED, MOVED, TAKEN_OVER };

static struct json *
strange(struct rig *r, enum let_alone how)
{
	struct json *j = spec(r, ISO_HOUR_MS);
	struct json *io = json_get(json_get(j, "spec"), "ioConfig");

	switch (how) {
	case FOREIGN: json_remove(j, "context"); break;
	case OTHER: mark(j, "instance", "tq9"); break;
	case EDITED: json_set_int(io, "taskCount", 7); break;
	case MOVED:
		json_set_text(json_get(io, "consumerProperties"),
		    "bootstrap.servers", "tq1:90945,xtq1:9094");
		break;
	case TAKEN_OVER: mark(j, "log", "log-2"); break;
	}
	return j;
}

/* What is not ours, or was changed by hand, stays as it is; and moves the floor
 * only if it pulls from us. */
static void
test_let_alone(void **state)
{
	static const struct {
		const char *note;
		uint64_t floor;
	} cases[] = { [FOREIGN] = { "has not made it", 1000 },
		[OTHER] = { "instance tq9 has made it", 0 },
		[EDITED] = { "spec.ioConfig.taskCount was changed", 1000 },
		[MOVED] = { "does not have tq1:9094", 0 },
		[TAKEN_OVER] = { "another tranqd of the same", 0 } };
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (int turn = 0; turn < 3; turn++) {
			answer_json(r, strange(r, (enum let_alone)i));
			answer_json(r,
			    busy_status(turn == 0 ? "g1_a" : "g2_a",
				turn == 0 ? "0:1000 1:1001" : "0:2000 1:2001"));
			if (turn == 1 && cases[i].floor > 0)
				script_answer(r->server, 200, G1_SUCCEEDED);
		}
		script_drop(r->server);
		r->asked = script_requests(r->server);
		open_care(r, CARE_MANAGE, true);
		next(r, "GET", API "/foo");
		next(r, "GET", API "/foo/status");
		LOOP_UNTIL(r->loop, script_left(r->server) == 0);
		expect_note(r, cases[i].note);
		assert_int_equal(
		    log_floor_removable(r->floor, 0), cases[i].floor);
		kafka_supervisor_free(&r->care);
		log_floor_free(&r->floor);
		r->floor = log_floor_new(FLOOR_TOPIC, 2, 0);
	}
}

static void
test_observe(void **state)
{
	struct rig *r = *state;

	script_answer(r->server, 404, ABSENT);
	answer_json(r, spec(r, ISO_MINUTE_MS));
	answer_status(r);
	open_care(r, CARE_OBSERVE, false);
	next(r, "GET", API "/foo");
	next(r, "GET", API "/foo");
	next(r, "GET", API "/foo/status");
	expect_note(r, "another configuration");
}

static void
test_off(void **state)
{
	struct rig *r = *state;

	open_care(r, CARE_OFF, false);
	for (int i = 0; i < 3; i++) {
		loop_poll(r->loop);
		loop_once(r->loop);
	}
	assert_int_equal(script_requests(r->server), 0);
	assert_int_equal(http_under_way(r->http), 0);
}

/* Druid's own words, and tried again: somebody may mend it there. */
static void
test_refused(void **state)
{
	struct rig *r = *state;

	script_answer(r->server, 404, ABSENT);
	script_answer(r->server, 400,
	    "{\"error\":\"Could not resolve type id "
	    "'kafka'\"}");
	script_answer(r->server, 404, ABSENT);
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	script_answer(r->server, 200, "[]");
	answer_json(r, floor_status("SUSPENDED"));
	open_care(r, CARE_MANAGE, false);
	next(r, "GET", API "/foo");
	next(r, "POST", API UNLESS_SAME);
	next(r, "GET", API "/foo");
	expect_note(r, "must be in druid.extensions.loadList");
	expect_note(r, "answered 400 {\"error\":\"Could not resolve");
	next(r, "POST", API UNLESS_SAME);
	next(r, "GET", TASKS);
}

/* A Druid that has no ids makes another one than was wanted: once. */
static void
test_misnamed(void **state)
{
	struct rig *r = *state;

	script_answer(r->server, 404, ABSENT);
	script_answer(r->server, 200, "{\"id\":\"bar\"}");
	script_answer(r->server, 404, ABSENT);
	script_answer(r->server, 404, ABSENT);
	open_care(r, CARE_MANAGE, false);
	next(r, "GET", API "/foo");
	next(r, "POST", API UNLESS_SAME);
	next(r, "GET", API "/foo");
	next(r, "GET", API "/foo");
	expect_note(r, "does not know supervisors' ids");
}

/* The status is shown, and leads to the floor with that of the tasks. */
static void
test_status(void **state)
{
	struct rig *r = *state;
	struct json *to = json_new_object(), *j;
	char notes[2048];

	answer_json(r, spec(r, ISO_HOUR_MS));
	answer_json(r, busy_status("g1_a", "0:1000 1:1001"));
	answer_json(r, spec(r, ISO_HOUR_MS));
	answer_json(r, busy_status("g2_a", "0:2000 1:2001"));
	script_answer(r->server, 200, G1_SUCCEEDED);
	answer_json(r, spec(r, ISO_HOUR_MS));
	answer_json(r, busy_status("g2_a", "0:2000 1:2001"));
	open_care(r, CARE_MANAGE, true);
	next(r, "GET", API "/foo");
	next(r, "GET", API "/foo/status");
	next(r, "GET", API "/foo");
	next(r, "GET", API "/foo/status");
	next(r, "GET", "/druid/indexer/v1/task/g1_a/status");
	LOOP_UNTIL(r->loop, log_floor_removable(r->floor, 0) == 1000);
	assert_int_equal(log_floor_removable(r->floor, 1), 1001);
	describe(r, to, notes);
	assert_string_equal(notes, "");
	j = text_json("{\"supervisor\":{\"state\":\"RUNNING\","
		      "\"suspended\":false,\"lag\":12,\"reading\":1,"
		      "\"publishing\":0,\"errors\":[\"t2 error: two\","
		      "\" error: three\",\" error: four\"],\"id\":\"foo\","
		      "\"care\":\"manage\"}}");
	assert_true(json_same(to, j));
	json_free(&j);
	json_free(&to);
}

/* Gone from Druid while it was watched: made again. */
static void
test_vanishes(void **state)
{
	struct rig *r = *state;

	answer_json(r, spec(r, ISO_HOUR_MS));
	script_answer(r->server, 404, ABSENT);
	script_answer(r->server, 404, ABSENT);
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	answer_status(r);
	open_care(r, CARE_MANAGE, true);
	next(r, "GET", API "/foo");
	next(r, "GET", API "/foo/status");
	next(r, "GET", API "/foo");
	next(r, "POST", API UNLESS_SAME);
	next(r, "GET", API "/foo/status");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_same),
		CASE(test_update),
		CASE(test_copy),
		CASE(test_hold),
		CASE(test_let_alone),
		CASE(test_observe),
		CASE(test_off),
		CASE(test_refused),
		CASE(test_misnamed),
		CASE(test_status),
		CASE(test_vanishes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
