/*
 * supervisor_rig - the care for a Kafka supervisor, with a scripted Overlord
 *
 * A test says what the Overlord answers, one answer behind the other, opens the
 * care, and looks at each request that comes (next).
 */
#pragma once

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

static inline uint64_t
log_start(void *context, unsigned partition)
{
	(void)context;
	return 1000 + partition;
}

static inline uint64_t
log_end(void *context, unsigned partition)
{
	const struct rig *r = context;

	return r->ends[partition];
}

static inline bool
unseeded_one(void *context, unsigned *partition)
{
	const struct rig *r = context;

	*partition = 1;
	return r->is_unseeded;
}

static inline void
seeded_one(void *context, unsigned partition)
{
	struct rig *r = context;

	assert_int_equal(partition, 1);
	r->is_unseeded = false;
	r->seeds++;
}

static inline void
wants_suspended(void *context, bool on)
{
	struct rig *r = context;

	r->wants_suspended = on;
}

static inline int
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

static inline int
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

static inline struct json *
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

static inline void
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

static inline void
answer_json(struct rig *r, struct json *j)
{
	char *text = json_to_text(j);

	script_answer(r->server, 200, text);
	free(text);
	json_free(&j);
}

static inline void
answer_status(struct rig *r)
{
	answer_json(r, floor_status("RUNNING"));
}

/* The next request, when it has come. */
static inline const struct script_request *
next(struct rig *r, const char *method, const char *target)
{
	const struct script_request *q;

	LOOP_UNTIL(r->loop, script_requests(r->server) > r->asked);
	q = script_request(r->server, r->asked++);
	assert_string_equal(q->target, target);
	assert_string_equal(q->method, method);
	return q;
}

static inline void
expect_body(const struct script_request *q, struct json *wanted)
{
	struct json *got = json_parse(q->body, q->body_bytes, NULL);

	if (!json_same(got, wanted))
		fail_msg("%s", q->body);
	json_free(&got);
	json_free(&wanted);
}

static inline struct json *
text_json(const char *text)
{
	struct json *j = json_parse(text, strlen(text), NULL);

	assert_non_null(j);
	return j;
}

/* Its notes, one behind the other, and what it says in `to`. */
static inline void
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

static inline void
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

static inline struct json *
unseeded(struct rig *r)
{
	struct json *wanted = spec(r, ISO_HOUR_MS);
	struct json *j = kafka_spec_unseeded(wanted, false, 0);

	json_free(&wanted);
	return j;
}

static inline void
mark(struct json *supervisor, const char *name, const char *value)
{
	json_set_text(
	    json_get(json_get(supervisor, "context"), "tranqd"), name, value);
}

/* Nothing more is asked before somebody does something. */
static inline void
expect_rest(struct rig *r)
{
	LOOP_UNTIL(r->loop, http_under_way(r->http) == 0);
	for (int i = 0; i < 3; i++) {
		loop_poll(r->loop);
		loop_once(r->loop);
	}
	assert_int_equal(script_requests(r->server), r->asked);
}

#define TASK(name, code)                                             \
	"{\"id\":\"" name "\",\"statusCode\":\"" code "\",\"type\":" \
	"\"index_kafka\"}"

#define G1_SUCCEEDED                                                     \
	"{\"task\":\"g1_a\",\"status\":{\"id\":\"g1_a\",\"statusCode\":" \
	"\"SUCCESS\",\"location\":{}}}"

static inline struct json *
drained(struct rig *r)
{
	struct json *wanted = spec(r, ISO_HOUR_MS);
	struct json *j = kafka_spec_drained(wanted, false);

	json_free(&wanted);
	return j;
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
