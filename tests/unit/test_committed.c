/*
 * test_committed - what is committed, by a service that answers with Druid's row
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "committed.h"
#include "floor_status.h"
#include "loop_until.h"
#include "one_ds.h"
#include "script_server.h"

#define PERIOD_MS 20
#define TOPIC "foo"
#define ROW(topic, offsets)                                                \
	"{\"type\":\"kafka\",\"partitions\":{\"type\":\"end\",\"stream\":" \
	"\"" topic "\",\"partitionSequenceNumberMap\":" offsets "}}"

/* ---- reading ---- */

static void
test_read(void **state UNUSED)
{
	static const struct {
		const char *body, *offsets, *why;
	} rows[] = {
		{ ROW(TOPIC, "{\"0\":7,\"1\":9}"), "{\"0\":7,\"1\":9}", "" },
		{ ROW(TOPIC, "{}"), NULL, "without offsets" },
		{ ROW(TOPIC, "{\"0\":\"7\"}"), NULL, "without offsets" },
		{ ROW(TOPIC, "{\"0\":7,\"1\":-1}"), NULL, "without offsets" },
		{ ROW("bar", "{\"0\":7}"), NULL, "topic 'bar', not of 'foo'" },
		{ ROW(TOPIC, "[7]"), NULL, "without offsets" },
		{ "null", NULL, "without offsets" },
		{ "[]", NULL, "without offsets" },
		{ "", NULL, "without offsets" },
		{ "<html>", NULL, "<html>" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char why[COMMITTED_WHY_BYTES] = "";
		struct json *j = committed_read(
		    rows[i].body, strlen(rows[i].body), TOPIC, why);
		char *text = j != NULL ? json_to_text(j) : NULL;

		if ((text == NULL) != (rows[i].offsets == NULL) ||
		    (text != NULL && strcmp(text, rows[i].offsets) != 0) ||
		    strstr(why, rows[i].why) == NULL)
			fail_msg("%s: %s, %s", rows[i].body, text, why);
		free(text);
		json_free(&j);
	}
}

static void
test_long_answer_is_cut(void **state UNUSED)
{
	char body[2000], why[COMMITTED_WHY_BYTES];

	memset(body, 'a', sizeof body);
	assert_null(committed_read(body, sizeof body, TOPIC, why));
	assert_true(strlen(why) < COMMITTED_WHY_BYTES);
	assert_non_null(strstr(why, "aaaa"));
}

/* ---- asking ---- */

struct rig {
	struct loop *loop;
	struct script_server *server;
	struct http_client *http;
	struct conf *conf;
	struct log_floor *floor;
	struct committed *committed;
};

static int
set_up(void **state)
{
	struct rig *r = must_calloc(1, sizeof *r);
	char *properties;

	r->loop = loop_new();
	r->server = script_new(r->loop);
	r->http = http_client_new(r->loop);
	properties = must_format(
	    "\"druid.overlord.url\":\"http://127.0.0.1:1\","
	    "\"pull.committed.url\":\"%s/{supervisor}?id={supervisor}&all\","
	    "\"pull.committed.authorization\":\"Bearer t\"",
	    script_url(r->server));
	r->conf = one_ds(NULL, properties);
	free(properties);
	r->floor = log_floor_new(TOPIC, 1, LOG_FLOOR_AGREE_MS);
	*state = r;
	return 0;
}

static int
tear_down(void **state)
{
	struct rig *r = *state;

	committed_free(&r->committed);
	log_floor_free(&r->floor);
	conf_free(&r->conf);
	http_client_free(&r->http);
	script_free(&r->server);
	loop_free(&r->loop);
	free(r);
	return 0;
}

static void
open_committed(struct rig *r)
{
	struct committed_parts p = { .loop = r->loop,
		.http = r->http,
		.ds = &r->conf->ds[0],
		.floor = r->floor,
		.id = "foo/1",
		.period_ms = PERIOD_MS };

	r->committed = committed_new(&p);
}

/* What may go, when Druid's tasks are beyond all of it. */
static uint64_t
floor_of(struct rig *r)
{
	struct json *status = floor_status("RUNNING");

	json_set_text(json_get(status, "payload"), "stream", TOPIC);
	floor_row(status, "activeTasks", "g_a", floor_offsets("0:1000"));
	log_floor_status(r->floor, status, "http://one:8081", 1);
	json_free(&status);
	return log_floor_removable(r->floor, 0);
}

static void
test_asks(void **state)
{
	struct rig *r = *state;
	char value[64];

	script_answer(r->server, 200, ROW(TOPIC, "{\"0\":7}"));
	script_answer(r->server, 200, ROW(TOPIC, "{\"0\":9}"));
	script_hold(r->server);
	open_committed(r);
	LOOP_UNTIL(r->loop, floor_of(r) == 7);
	LOOP_UNTIL(r->loop, floor_of(r) == 9);
	assert_string_equal(committed_trouble(r->committed), "");
	assert_string_equal(script_request(r->server, 0)->method, "GET");
	assert_string_equal(
	    script_request(r->server, 0)->target, "/foo%2F1?id=foo%2F1&all");
	assert_true(script_header(script_request(r->server, 1), "Authorization",
	    value, sizeof value));
	assert_string_equal(value, "Bearer t");
	LOOP_UNTIL(r->loop, script_held(r->server) == 1);
	/* and is freed while it asks */
}

static void
expect_trouble(struct rig *r, const char *what)
{
	LOOP_UNTIL(r->loop, committed_changed(r->committed));
	if (strstr(committed_trouble(r->committed), what) == NULL)
		fail_msg("'%s' is not in '%s'", what,
		    committed_trouble(r->committed));
}

static void
test_trouble(void **state)
{
	struct rig *r = *state;

	script_answer(r->server, 200, ROW(TOPIC, "{\"0\":7}"));
	script_answer(r->server, 503, "not now");
	script_answer(r->server, 200, ROW("bar", "{\"0\":8}"));
	script_answer(r->server, 200, "null");
	script_answer(r->server, 200, ROW(TOPIC, "{\"0\":8}"));
	script_hold(r->server);
	open_committed(r);
	LOOP_UNTIL(r->loop, floor_of(r) == 7);
	expect_trouble(r, "answered 503: not now");
	expect_trouble(r, "of the topic 'bar'");
	expect_trouble(r, "null");
	assert_int_equal(floor_of(r), 7);
	LOOP_UNTIL(r->loop, committed_changed(r->committed));
	assert_string_equal(committed_trouble(r->committed), "");
	assert_int_equal(floor_of(r), 8);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_long_answer_is_cut),
		CASE(test_asks),
		CASE(test_trouble),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
