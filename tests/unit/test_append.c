/*
 * test_append - a batch task from its submission to its end, by what the
 * Overlord answers
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "append.h"
#include "loop_until.h"
#include "one_ds.h"
#include "panic.h"
#include "script_server.h"

#define STATUS(code) "{\"status\":{\"statusCode\":\"" code "\"}}"
#define TAKEN "{\"task\":\"x\"}"
#define REPORT(members) \
	"{\"ingestionStatsAndErrors\":{\"payload\":{" members "}}}"
#define COMPLETED REPORT("\"ingestionState\":\"COMPLETED\"")

struct rig {
	char dir[64], path[80];
	struct spool *spool;
	struct loop *loop;
	struct script_server *server;
	struct http_client *http;
	struct conf *conf;
	struct overlord *overlord;
	struct parcel *parcel;
	unsigned in, retries, back;
};

static void
find(void *context, struct overlord *o)
{
	(void)context;
	(void)o;
	fail_msg("the Overlord has a URL");
}

static void
open_spool(struct rig *r)
{
	struct spool_options o = { .dir = r->path,
		.ds = "foo",
		.bytes_max = 64 * (int64_t)MiB,
		.now_ms = 1000,
		.lock_wait_ms = 1 };
	char error[600];

	strcpy(r->dir, "/tmp/test_append_XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	snprintf(r->path, sizeof r->path, "%s/spool", r->dir);
	r->spool = spool_open(&o, error, sizeof error);
	if (r->spool == NULL)
		fail_msg("%s", error);
}

/* A batch of an event, in the parcel. */
static void
put(struct rig *r, struct interval interval)
{
	struct event event = { .bytes = 2 };
	struct batch *b = batch_new(interval, 0, 1000);
	struct batch_seal seal = { .now_ms = 1000 };
	struct spool_entry e = { .at = { .start = interval.start,
				     .end = interval.end },
		.events = 1 };
	char *value, error[600];
	size_t bytes;

	spool_begin(r->spool);
	e.id = seal.id = spool_take_id(r->spool, 1);
	batch_add(b, &event, "{}", 0, 0);
	value = batch_seal(&b, &seal, &bytes);
	e.bytes = (uint32_t)bytes;
	spool_put(r->spool, value, bytes);
	free(value);
	if (spool_commit(r->spool, error, sizeof error) != RESULT_OK)
		fail_msg("%s", error);
	parcel_add(r->parcel, &e);
}

static int
set_up(void **state)
{
	struct rig *r = must_calloc(1, sizeof *r);
	char *properties;

	open_spool(r);
	r->loop = loop_new();
	r->server = script_new(r->loop);
	r->http = http_client_new(r->loop);
	properties = must_format("\"druid.overlord.url\":\"%s\","
				 "\"druidBeam.overlordPollPeriod\":\"PT0.1S\","
				 "\"delivery.mode\":\"append\"",
	    script_url(r->server));
	r->conf = one_ds(NULL, properties);
	free(properties);
	r->overlord = overlord_new(r->http, &r->conf->ds[0], find, r);
	http_client_secure(r->http, &r->conf->ds[0]);
	r->parcel = parcel_new(1, LATE_APPEND);
	*state = r;
	return 0;
}

static int
tear_down(void **state)
{
	struct rig *r = *state;
	char *command = must_format("rm -r %s", r->dir);

	append_free(&r->parcel->append);
	parcel_free(&r->parcel);
	overlord_free(&r->overlord);
	conf_free(&r->conf);
	http_client_free(&r->http);
	script_free(&r->server);
	loop_free(&r->loop);
	spool_close(&r->spool);
	assert_int_equal(system(command), 0);
	free(command);
	free(r);
	return 0;
}

static void
told(void *context, struct parcel *p, enum append_news news)
{
	struct rig *r = context;

	assert_ptr_equal(p, r->parcel);
	r->in += news == APPEND_IN;
	r->retries += news == APPEND_RETRIES;
	r->back += news == APPEND_BACK;
}

static void
start(struct rig *r)
{
	struct append_parts parts = { .loop = r->loop,
		.ds = &r->conf->ds[0],
		.spool = r->spool,
		.overlord = r->overlord };

	r->parcel->append = append_new(&parts, r->parcel, false, told, r);
}

static bool
asks_for(struct rig *r, unsigned request, const char *what)
{
	const char *target = script_request(r->server, request)->target;

	return strcmp(strrchr(target, '/'), what) == 0;
}

/* It is the intervals of all its events that a task is given: of two that
 * begin together (segmentGranularity was another one) the longer, or Druid
 * leaves events out. */
static void
test_intervals(void **state)
{
	struct rig *r = *state;
	const int64_t hour = 3600000;

	put(r, (struct interval){ 0, hour });
	put(r, (struct interval){ 48 * hour, 49 * hour });
	put(r, (struct interval){ 0, 24 * hour });
	put(r, (struct interval){ 23 * hour, 24 * hour });
	put(r, (struct interval){ 24 * hour, 25 * hour });
	script_answer(r->server, 200, TAKEN);
	start(r);
	LOOP_UNTIL(r->loop, script_requests(r->server) > 0);
	assert_non_null(strstr(script_request(r->server, 0)->body,
	    "\"intervals\":["
	    "\"1970-01-01T00:00:00.000Z/1970-01-02T00:00:00.000Z\","
	    "\"1970-01-02T00:00:00.000Z/1970-01-02T01:00:00.000Z\","
	    "\"1970-01-03T00:00:00.000Z/1970-01-03T01:00:00.000Z\"]"));
}

/* The Overlord goes away when it has said that the task failed, and before it
 * is asked whether the task had published: that is asked as soon as it is back,
 * however long it was away. */
static void
test_away_before_the_report(void **state)
{
	struct rig *r = *state;

	put(r, (struct interval){ 0, 3600000 });
	script_answer(r->server, 200, TAKEN);
	script_answer(r->server, 200, STATUS("FAILED"));
	script_answer(r->server, 503, ""); /* the report */
	script_answer(r->server, 503, ""); /* and the status */
	script_answer(r->server, 200, STATUS("FAILED"));
	script_answer(r->server, 200, COMPLETED);
	start(r);
	LOOP_UNTIL(r->loop, r->in + r->retries + r->back > 0);
	assert_int_equal(r->in, 1);
	assert_true(asks_for(r, 2, "/reports"));
	assert_true(asks_for(r, 3, "/status"));
	assert_int_equal(script_requests(r->server), 6);
}

/* It has none: the next attempt, under another id. */
static void
test_no_report(void **state)
{
	struct rig *r = *state;

	put(r, (struct interval){ 0, 3600000 });
	script_answer(r->server, 200, TAKEN);
	script_answer(r->server, 200, STATUS("FAILED"));
	script_answer(r->server, 404, "none");
	start(r);
	LOOP_UNTIL(r->loop, r->in + r->retries + r->back > 0);
	assert_int_equal(r->retries, 1);
	assert_int_equal(r->parcel->attempt, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_intervals, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_away_before_the_report, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_no_report, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
