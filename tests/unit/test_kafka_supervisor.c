/*
 * test_kafka_supervisor - made, seeded, updated or let alone, by the answers of
 * Druid's Overlord
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "floor_status.h"
#include "iso.h"
#include "kafka_spec.h"
#include "kafka_supervisor.h"
#include "loop_until.h"
#include "one_ds.h"
#include "script_server.h"

#define API "/druid/indexer/v1/supervisor"
#define UNLESS_SAME "?skipRestartIfUnmodified=true"
#define POLL_MS 5
#define ABSENT "{\"error\":\"[foo] does not exist\"}"

struct rig {
	struct loop *loop;
	struct script_server *server;
	struct http_client *http;
	struct conf *conf;
	struct overlord *overlord;
	struct log_floor *floor;
	struct kafka_supervisor *care;
	unsigned asked; /* requests that were looked at */
	/* of one that is shared, and of one that is retired */
	int own;
	bool is_unseeded, wants_suspended;
	unsigned seeds;
	uint64_t ends[2];
};

static uint64_t
log_start(void *context, unsigned partition)
{
	(void)context;
	return 1000 + partition;
}

static uint64_t
log_end(void *context, unsigned partition)
{
	const struct rig *r = context;

	return r->ends[partition];
}

static bool
unseeded_one(void *context, unsigned *partition)
{
	const struct rig *r = context;

	*partition = 1;
	return r->is_unseeded;
}

static void
seeded_one(void *context, unsigned partition)
{
	struct rig *r = context;

	assert_int_equal(partition, 1);
	r->is_unseeded = false;
	r->seeds++;
}

static void
wants_suspended(void *context, bool on)
{
	struct rig *r = context;

	r->wants_suspended = on;
}

static int
set_up(void **state)
{
	struct rig *r = must_calloc(1, sizeof *r);
	char *properties;

	r->own = -1;
	r->loop = loop_new();
	r->server = script_new(r->loop);
	r->http = http_client_new(r->loop);
	properties = must_format("\"zookeeper.connect\":\"localhost\","
				 "\"druid.overlord.url\":\"%s\"",
	    script_url(r->server));
	r->conf = one_ds(NULL, properties);
	free(properties);
	r->overlord = overlord_new(r->http, &r->conf->ds[0], NULL, NULL);
	r->floor = log_floor_new(FLOOR_TOPIC, 2, 0);
	*state = r;
	return 0;
}

static int
tear_down(void **state)
{
	struct rig *r = *state;

	kafka_supervisor_free(&r->care);
	log_floor_free(&r->floor);
	overlord_free(&r->overlord);
	conf_free(&r->conf);
	http_client_free(&r->http);
	script_free(&r->server);
	loop_free(&r->loop);
	free(r);
	return 0;
}

static struct json *
spec(struct rig *r, int64_t task_duration_ms)
{
	struct kafka_spec_wish w = { .ds = &r->conf->ds[0],
		.druid = 31,
		.instance = "tq1",
		.log = "log-1",
		.id = "foo",
		.servers = "tq1:9094",
		.topic = FLOOR_TOPIC,
		.partitions = 2,
		.task_duration_ms = task_duration_ms,
		.completion_timeout_ms = ISO_HOUR_MS };
	struct json *problems = json_new_array();
	struct json *made = kafka_spec_make(&w, problems);

	assert_non_null(made);
	json_free(&problems);
	return made;
}

static void
open_care(struct rig *r, enum supervisor_care care, bool was_made)
{
	struct kafka_supervisor_parts p = { .loop = r->loop,
		.overlord = r->overlord,
		.floor = r->floor,
		.id = "foo",
		.topic = FLOOR_TOPIC,
		.servers = "tq1:9094",
		.partitions = 2,
		.care = care,
		.poll_ms = POLL_MS,
		.log_start = log_start,
		.log_end = log_end,
		.own = r->own,
		.unseeded = unseeded_one,
		.seeded = seeded_one,
		.suspend = wants_suspended,
		.context = r };

	r->care = kafka_supervisor_new(&p, was_made);
	kafka_supervisor_want(r->care, spec(r, ISO_HOUR_MS));
}

static void
answer_json(struct rig *r, struct json *j)
{
	char *text = json_to_text(j);

	script_answer(r->server, 200, text);
	free(text);
	json_free(&j);
}

static void
answer_status(struct rig *r)
{
	answer_json(r, floor_status("RUNNING"));
}

/* The next request, when it has come. */
static const struct script_request *
next(struct rig *r, const char *method, const char *target)
{
	const struct script_request *q;

	LOOP_UNTIL(r->loop, script_requests(r->server) > r->asked);
	q = script_request(r->server, r->asked++);
	assert_string_equal(q->target, target);
	assert_string_equal(q->method, method);
	return q;
}

static void
expect_body(const struct script_request *q, struct json *wanted)
{
	struct json *got = json_parse(q->body, q->body_bytes, NULL);

	if (!json_same(got, wanted))
		fail_msg("%s", q->body);
	json_free(&got);
	json_free(&wanted);
}

static struct json *
text_json(const char *text)
{
	struct json *j = json_parse(text, strlen(text), NULL);

	assert_non_null(j);
	return j;
}

/* Its notes, one behind the other, and what it says in `to`. */
static void
describe(struct rig *r, struct json *to, char notes[static 2048])
{
	struct json *list = json_new_array();

	kafka_supervisor_describe(r->care, to, list);
	*notes = '\0';
	for (size_t i = 0; i < json_size(list); i++)
		strncat(notes, json_text(json_at(list, i), ""),
		    2047 - strlen(notes));
	json_free(&list);
}

static void
expect_note(struct rig *r, const char *part)
{
	struct json *to = json_new_object();
	char notes[2048];

	describe(r, to, notes);
	if (*part != '\0' ? strstr(notes, part) == NULL : *notes != '\0')
		fail_msg("%s", notes);
	json_free(&to);
}

#define SEED                                                                 \
	"{\"type\":\"kafka\",\"partitions\":{\"type\":\"end\","              \
	"\"stream\":\"" FLOOR_TOPIC "\",\"partitionOffsetMap\":{\"0\":1000," \
	"\"1\":1001}}}"
#define TASKS                                                 \
	"/druid/indexer/v1/tasks?datasource=" FLOOR_TOPIC "&" \
	"type=index_kafka&max=1"

static struct json *
unseeded(struct rig *r)
{
	struct json *wanted = spec(r, ISO_HOUR_MS);
	struct json *j = kafka_spec_unseeded(wanted, false, 0);

	json_free(&wanted);
	return j;
}

static void
mark(struct json *supervisor, const char *name, const char *value)
{
	json_set_text(
	    json_get(json_get(supervisor, "context"), "tranqd"), name, value);
}

/* Nothing more is asked before somebody does something. */
static void
expect_rest(struct rig *r)
{
	LOOP_UNTIL(r->loop, http_under_way(r->http) == 0);
	for (int i = 0; i < 3; i++) {
		loop_poll(r->loop);
		loop_once(r->loop);
	}
	assert_int_equal(script_requests(r->server), r->asked);
}

/* There is none: made, its offsets stored, watched. */
static void
test_make(void **state)
{
	struct rig *r = *state;

	script_answer(r->server, 404, ABSENT);
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	script_answer(r->server, 200, "[]");
	answer_json(r, floor_status("SUSPENDED"));
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
	script_answer(r->server, 200, "[]");
	answer_json(r, floor_status("SUSPENDED"));
	script_answer(r->server, 503, "");
	answer_json(r, unseeded(r));
	script_answer(r->server, 200, "[]");
	answer_json(r, floor_status("SUSPENDED"));
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	open_care(r, CARE_MANAGE, false);
	next(r, "GET", API "/foo");
	next(r, "POST", API UNLESS_SAME);
	next(r, "GET", API "/foo");
	next(r, "GET", TASKS);
	next(r, "GET", API "/foo");
	next(r, "GET", TASKS);
	next(r, "GET", API "/foo/status");
	next(r, "POST", API "/foo/resetOffsets");
	next(r, "GET", API "/foo");
	next(r, "GET", TASKS);
	next(r, "GET", API "/foo/status");
	expect_body(next(r, "POST", API "/foo/resetOffsets"), text_json(SEED));
	LOOP_UNTIL(r->loop, kafka_supervisor_was_made(r->care));
	kafka_supervisor_free(&r->care);
	/* the spool had it, the last step was not taken */
	answer_json(r, unseeded(r));
	script_answer(r->server, 200, "[]");
	answer_json(r, floor_status("SUSPENDED"));
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	answer_status(r);
	open_care(r, CARE_MANAGE, true);
	next(r, "GET", API "/foo");
	next(r, "GET", TASKS);
	next(r, "GET", API "/foo/status");
	next(r, "POST", API "/foo/resetOffsets");
	expect_body(next(r, "POST", API UNLESS_SAME), spec(r, ISO_HOUR_MS));
	next(r, "GET", API "/foo/status");
}

#define TASK(name, code)                                             \
	"{\"id\":\"" name "\",\"statusCode\":\"" code "\",\"type\":" \
	"\"index_kafka\"}"

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
	next(r, "GET", TASKS);
	next(r, "GET", API "/foo/status");
	expect_body(next(r, "POST", API "/foo/resetOffsets"), text_json(SEED));
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
	script_answer(r->server, 200, "[]");
	answer_json(r, floor_status("SUSPENDED"));
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	open_care(r, CARE_MANAGE, false);
	next(r, "GET", API "/foo");
	expect_body(next(r, "POST", API UNLESS_SAME), wanted);
	next(r, "GET", API "/foo");
	next(r, "GET", TASKS);
	next(r, "GET", API "/foo/status");
	next(r, "POST", API "/foo/resetOffsets");
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
	script_answer(r->server, 200, "[]");
	answer_json(r, floor_status("SUSPENDED"));
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
	next(r, "GET", TASKS);
	next(r, "GET", API "/foo/status");
	expect_body(next(r, "POST", API "/foo/resetOffsets"), seed);
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
	script_answer(r->server, 200, "[]");
	answer_json(r, floor_status("SUSPENDED"));
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	open_care(r, CARE_MANAGE, false);
	next(r, "GET", API "/foo");
	next(r, "GET", TASKS);
	next(r, "GET", API "/foo/status");
	next(r, "GET", API "/foo");
	expect_note(r, "must reach tq1:9094");
	next(r, "GET", TASKS);
	next(r, "GET", API "/foo/status");
	next(r, "POST", API "/foo/resetOffsets");
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

#define G1_SUCCEEDED                                                     \
	"{\"task\":\"g1_a\",\"status\":{\"id\":\"g1_a\",\"statusCode\":" \
	"\"SUCCESS\",\"location\":{}}}"

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

/* ---- shared with others ---- */

#define SEED_ONE                                                        \
	"{\"type\":\"kafka\",\"partitions\":{\"type\":\"end\","         \
	"\"stream\":\"" FLOOR_TOPIC "\",\"partitionOffsetMap\":{\"1\":" \
	"1001}}}"

static struct json *
drained(struct rig *r)
{
	struct json *wanted = spec(r, ISO_HOUR_MS);
	struct json *j = kafka_spec_drained(wanted, false);

	json_free(&wanted);
	return j;
}

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

/* ---- its end ---- */

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

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_joins),
		CASE(test_suspends_for_others),
		CASE(test_retires_a_shared_one),
		CASE(test_retires),
		CASE(test_make),
		CASE(test_make_again),
		CASE(test_make_on),
		CASE(test_other_log),
		CASE(test_other_log_suspended),
		CASE(test_resumed),
		CASE(test_grown),
		CASE(test_not_begun),
		CASE(test_full),
		CASE(test_hold),
		CASE(test_same),
		CASE(test_update),
		CASE(test_copy),
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
