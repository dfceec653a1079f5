/*
 * test_pull_care - the supervisor's name and what was made of it are in the
 * spool before Druid hears of them, and the floor's document with what it
 * removes
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "floor_status.h"
#include "kafka_spec.h"
#include "loop_until.h"
#include "one_ds.h"
#include "pull_care.h"
#include "record_batch.h"
#include "script_server.h"
#include "spool_log.h"

#define API "/druid/indexer/v1/supervisor"
#define UNLESS_SAME "?skipRestartIfUnmodified=true"
#define ABSENT "{\"error\":\"[foo] does not exist\"}"
#define DONE "{\"id\":\"%s\"}"

struct rig {
	char dir[64], path[80];
	struct loop *loop;
	struct script_server *server;
	struct http_client *http;
	struct conf *conf;
	struct overlord *overlord;
	struct spool *spool;
	struct pull_care *care;
	unsigned asked;
	uint64_t begin;
};

static void
commit(struct rig *r)
{
	char error[600];

	if (spool_commit(r->spool, error, sizeof error) != RESULT_OK)
		fail_msg("%s", error);
}

/* As the worker does it, and whoever has the log. */
static void
commit_own(struct rig *r)
{
	assert_true(pull_care_wants_commit(r->care));
	spool_begin(r->spool);
	pull_care_write(r->care);
	commit(r);
	pull_care_written(r->care);
	assert_false(pull_care_wants_commit(r->care));
}

static void
configure(struct rig *r, const char *more)
{
	char *properties = must_format("\"zookeeper.connect\":\"localhost\","
				       "\"druid.overlord.url\":\"%s\","
				       "\"delivery.mode\":\"pull\","
				       "\"pull.listen\":\"0.0.0.0:9094\","
				       "\"pull.advertise\":\"tq1.example\","
				       "\"spool.bytesMax\":\"64MiB\","
				       "\"pull.taskDuration\":\"PT1S\"%s",
	    script_url(r->server), more);

	overlord_free(&r->overlord);
	conf_free(&r->conf);
	r->conf = one_ds_within(properties, NULL, "");
	r->overlord = overlord_new(r->http, &r->conf->ds[0], NULL, NULL);
	free(properties);
}

static void
be_born(struct rig *r)
{
	struct spool_options o = { .dir = r->path,
		.ds = "foo",
		.bytes_max = 64 * (int64_t)MiB,
		.now_ms = clock_wall_ms(),
		.lock_wait_ms = 1 };
	struct pull_care_parts p = { .loop = r->loop,
		.conf = r->conf,
		.ds = &r->conf->ds[0],
		.overlord = r->overlord,
		.http = r->http,
		.port = 9094 };
	char error[600];

	p.spool = r->spool = spool_open(&o, error, sizeof error);
	if (r->spool == NULL)
		fail_msg("%s", error);
	r->care = pull_care_new(&p);
	pull_care_begin(r->care); /* nothing: there is no log yet, or begins */
}

static void
die(struct rig *r)
{
	pull_care_free(&r->care);
	spool_close(&r->spool);
	script_drop(r->server);
	LOOP_UNTIL(r->loop, http_under_way(r->http) == 0);
	r->asked = script_requests(r->server);
}

static void
have_log(struct rig *r)
{
	spool_begin(r->spool);
	spool_log_begin(r->spool, 1, clock_wall_ms());
	commit(r);
	r->begin = spool_log_range(r->spool, 0).start;
}

static int
set_up(void **state)
{
	struct rig *r = must_calloc(1, sizeof *r);

	strcpy(r->dir, "/tmp/test_pull_care_XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	snprintf(r->path, sizeof r->path, "%s/spool", r->dir);
	r->loop = loop_new();
	r->server = script_new(r->loop);
	r->http = http_client_new(r->loop);
	configure(r, "");
	be_born(r);
	have_log(r);
	*state = r;
	return 0;
}

static int
tear_down(void **state)
{
	struct rig *r = *state;
	char *command = must_format("rm -r %s", r->dir);

	pull_care_free(&r->care);
	spool_close(&r->spool);
	overlord_free(&r->overlord);
	conf_free(&r->conf);
	http_client_free(&r->http);
	script_free(&r->server);
	loop_free(&r->loop);
	assert_int_equal(system(command), 0);
	free(command);
	free(r);
	return 0;
}

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
expect_word(struct rig *r, const char *wanted)
{
	char *text = spool_document(r->spool, "pull");

	if (wanted == NULL || text == NULL)
		assert_true(text == NULL && wanted == NULL);
	else
		assert_string_equal(text, wanted);
	free(text);
}

static void
expect_note(struct rig *r, const char *part)
{
	struct json *to = json_new_object(), *notes = json_new_array();
	char *text;

	pull_care_describe(r->care, to, notes);
	text = json_to_text(notes);
	if (*part != '\0' ? strstr(text, part) == NULL
			  : strcmp(text, "[]") != 0)
		fail_msg("%s", text);
	free(text);
	json_free(&to);
	json_free(&notes);
}

#define WORD(id, made)                                                        \
	"{\"version\":1,\"instance\":\"tq1.example-9094\",\"id\":\"" id "\"," \
	"\"made\":" made "}"

static void
make(struct rig *r, const char *version, const char *id)
{
	char *done = must_format(DONE, id);
	char *status = must_format("{\"version\":\"%s\"}", version);
	char *path = must_format(API "/%s", id);

	script_answer(r->server, 200, status);
	pull_care_begin(r->care);
	next(r, "GET", "/status");
	LOOP_UNTIL(r->loop, pull_care_wants_commit(r->care));
	expect_word(r, NULL);
	assert_int_equal(http_under_way(r->http), 0);
	script_answer(r->server, 404, ABSENT);
	script_answer(r->server, 200, done);
	script_answer(r->server, 200, "[]");
	script_answer(
	    r->server, 200, "{\"payload\":{\"detailedState\":\"SUSPENDED\"}}");
	script_answer(r->server, 200, done);
	commit_own(r);
	next(r, "GET", path);
	LOOP_UNTIL(r->loop, !pull_care_is_settled(r->care));
	next(r, "POST", API UNLESS_SAME);
	next(r, "GET",
	    "/druid/indexer/v1/tasks?datasource=foo&type=index_kafka&max=1");
	free(path);
	path = must_format(API "/%s/status", id);
	next(r, "GET", path);
	free(path);
	path = must_format(API "/%s/resetOffsets", id);
	next(r, "POST", path);
	LOOP_UNTIL(r->loop, pull_care_wants_commit(r->care));
	free(path);
	free(status);
	free(done);
}

static void
test_name_and_made(void **state)
{
	struct rig *r = *state;

	make(r, "34.0.0", "foo-tq1.example-9094");
	expect_word(r, WORD("foo-tq1.example-9094", "false"));
	/* killed before the spool has it: the same again */
	die(r);
	be_born(r);
	script_answer(r->server, 404, ABSENT);
	next(r, "GET", API "/foo-tq1.example-9094");
	die(r);
	be_born(r);
	script_answer(r->server, 404, ABSENT);
	next(r, "GET", API "/foo-tq1.example-9094");
}

/* Its name is known, and goes into the spool: the successor does the rest. */
static void
test_held(void **state)
{
	struct rig *r = *state;

	script_answer(r->server, 200, "{\"version\":\"34.0.0\"}");
	pull_care_begin(r->care);
	next(r, "GET", "/status");
	LOOP_UNTIL(r->loop, pull_care_wants_commit(r->care));
	pull_care_hold(r->care);
	commit_own(r);
	expect_word(r, WORD("foo-tq1.example-9094", "false"));
	assert_int_equal(http_under_way(r->http), 0);
}

static void
test_before_ids(void **state)
{
	struct rig *r = *state;
	const struct script_request *q;
	struct json *sent;

	make(r, "33.0.1", "foo");
	expect_word(r, WORD("foo", "false"));
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	commit_own(r);
	expect_word(r, WORD("foo", "true"));
	q = next(r, "POST", API UNLESS_SAME);
	sent = json_parse(q->body, q->body_bytes, NULL);
	assert_null(json_get(sent, "id"));
	assert_false(json_get_bool(sent, "suspended", false));
	assert_string_equal(
	    json_get_text(
		json_get(json_get(sent, "context"), "tranqd"), "log", ""),
	    spool_log_identity(r->spool));
	json_free(&sent);
	/* its name and that it was made stay, whatever is configured; it is
	 * made again without its offsets being touched */
	die(r);
	configure(r, ",\"pull.instance\":\"other\"");
	be_born(r);
	script_answer(r->server, 404, ABSENT);
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	next(r, "GET", API "/foo");
	q = next(r, "POST", API UNLESS_SAME);
	assert_non_null(strstr(q->body, "\"instance\":\"tq1.example-9094\""));
	assert_null(strstr(q->body, "seeded"));
	expect_note(r, "pull.instance is other");
}

/* A log that is one partition of a shared topic stays one, whatever is
 * configured, and says so. */
static void
test_shared_stays_one(void **state)
{
	static const char word[] =
	    "{\"version\":1,\"instance\":\"shared\",\"id\":\"foo\","
	    "\"made\":true,\"partition\":3}";
	struct rig *r = *state;

	spool_begin(r->spool);
	spool_set_document(r->spool, "pull", word, strlen(word));
	commit(r);
	assert_int_equal(pull_care_partitions(r->care), 1);
	die(r);
	configure(r, ",\"pull.partitions\":2");
	be_born(r);
	assert_int_equal(pull_care_partitions(r->care), 1);
	expect_note(r, "pull.partitions is 2");
	pull_care_begin(r->care);
	assert_false(pull_care_wants_commit(r->care));
	assert_int_equal(pull_care_floor(r->care, 0), 0);
}

static void
test_version_unknown(void **state)
{
	struct rig *r = *state;

	script_answer(r->server, 500, "");
	pull_care_begin(r->care);
	next(r, "GET", "/status");
	LOOP_UNTIL(r->loop, http_under_way(r->http) == 0);
	expect_note(r, "Druid's version is not known");
	assert_false(pull_care_wants_commit(r->care));
	assert_true(pull_care_changed(r->care));
}

static void
put(struct rig *r, int64_t sealed_ms)
{
	struct record_batch b;
	char *bytes;
	size_t count;

	record_batch_init(&b);
	for (int i = 0; i < 10; i++)
		record_batch_add(&b, sealed_ms, "{}", 2);
	bytes = record_batch_seal(&b, NULL, &count);
	spool_begin(r->spool);
	spool_log_put(r->spool, 0, bytes, count, sealed_ms);
	commit(r);
	free(bytes);
}

/* Druid has committed so many. */
static void
store_floor(struct rig *r, const char *ds, unsigned events)
{
	char *text = must_format("{\"version\":1,\"topic\":\"%s\",\"turn\":1,"
				 "\"partitions\":[{\"floor\":%llu,\"rewound\":"
				 "false}],\"groups\":[]}",
	    ds, (unsigned long long)r->begin + events);

	spool_begin(r->spool);
	spool_set_document(r->spool, "floor", text, strlen(text));
	commit(r);
	free(text);
}

static uint64_t
floor_with(struct rig *r, const char *properties)
{
	configure(r, properties);
	be_born(r);
	(void)pull_care_wants_commit(r->care);
	return pull_care_floor(r->care, 0) - r->begin;
}

static void
test_floor_comes_back(void **state)
{
	struct rig *r = *state;
	int64_t now = clock_wall_ms();

	for (int i = 4; i > 0; i--)
		put(r, now - i * 3600 * 1000);
	store_floor(r, "foo", 30);
	die(r);
	assert_int_equal(floor_with(r, ""), 30);
	assert_int_equal(pull_care_known(r->care, 0), r->begin + 30);
	assert_int_equal(pull_care_floor(r->care, 1), 0);
	die(r);
	/* by hours: three hours old, and the one that lies on it */
	assert_int_equal(floor_with(r, ",\"pull.retain\":\"PT2H30M\""), 20);
	die(r);
	assert_int_equal(floor_with(r, ",\"pull.retain\":\"PT30M\""), 30);
	die(r);
	/* by bytes: all there are, half of them, one */
	assert_int_equal(floor_with(r, ",\"pull.retain\":\"1MiB\""), 0);
	die(r);
	assert_int_equal(floor_with(r, ",\"pull.retain\":\"1\""), 30);
	die(r);
	/* off: nobody is asked, what is known stays known */
	assert_int_equal(floor_with(r, ",\"pull.supervisor\":\"off\""), 30);
	LOOP_UNTIL(r->loop, http_under_way(r->http) == 0);
	assert_int_equal(script_requests(r->server), r->asked);
}

static void
test_floor_of_nothing(void **state)
{
	struct rig *r = *state;

	store_floor(r, "bar", 30);
	die(r);
	be_born(r);
	(void)pull_care_wants_commit(r->care);
	assert_int_equal(pull_care_floor(r->care, 0), 0);
}

/* Druid has committed more than there is: what is here it has not read. */
static void
test_floor_of_a_copy(void **state)
{
	struct rig *r = *state;

	put(r, clock_wall_ms());
	store_floor(r, "foo", 10);
	die(r);
	assert_int_equal(floor_with(r, ",\"pull.supervisor\":\"off\""), 10);
	expect_note(r, "");
	store_floor(r, "foo", 11);
	die(r);
	be_born(r);
	(void)pull_care_wants_commit(r->care);
	assert_int_equal(pull_care_floor(r->care, 0), 0);
	expect_note(r, "it has read from another spool");
}

/* What the floor has learnt is written with the next commit. */
static void
test_floor_is_written(void **state)
{
	struct rig *r = *state;
	struct json *status = floor_status("RUNNING"), *found;
	struct json *starts = json_new_object();
	char *text;

	make(r, "33.0.0", "foo");
	script_answer(r->server, 200, "{\"id\":\"foo\"}");
	json_set_text(json_get(status, "payload"), "stream", "foo");
	json_set_int(starts, "0", (int64_t)r->begin);
	floor_row(status, "activeTasks", "index_kafka_foo_1_a", starts);
	text = json_to_text(status);
	script_answer(r->server, 200, text);
	free(text);
	json_free(&status);
	commit_own(r);
	next(r, "POST", API UNLESS_SAME);
	next(r, "GET", API "/foo/status");
	assert_null(spool_document(r->spool, "floor"));
	LOOP_UNTIL(r->loop, pull_care_wants_commit(r->care));
	commit_own(r);
	text = spool_document(r->spool, "floor");
	found = json_parse(text, strlen(text), NULL);
	assert_int_equal(json_size(json_get(found, "groups")), 1);
	json_free(&found);
	free(text);
	expect_note(r, "");
}

/* It is asked for the supervisor by its name, until a successor is to ask. */
static void
test_source(void **state)
{
	struct rig *r = *state;
	struct script_server *source = script_new(r->loop);
	const char *word = WORD("foo-tq1.example-9094", "true");
	char *property =
	    must_format(",\"pull.committed.url\":\"%s/?id={supervisor}\"",
		script_url(source));

	die(r);
	configure(r, property);
	be_born(r);
	spool_begin(r->spool);
	spool_set_document(r->spool, "pull", word, strlen(word));
	commit(r);
	die(r);
	script_hold(r->server);
	script_answer(source, 503, "not now");
	be_born(r);
	assert_true(pull_care_changed(r->care));
	LOOP_UNTIL(r->loop, pull_care_changed(r->care));
	assert_string_equal(
	    script_request(source, 0)->target, "/?id=foo-tq1.example-9094");
	expect_note(r, "pull.committed.url: it answered 503: not now");
	script_hold(source);
	LOOP_UNTIL(r->loop, script_held(source) == 1);
	pull_care_hold(r->care);
	script_drop(r->server);
	LOOP_UNTIL(r->loop, http_under_way(r->http) == 0);
	assert_int_equal(script_requests(source), 2);
	script_free(&source);
	free(property);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_name_and_made),
		CASE(test_held),
		CASE(test_before_ids),
		CASE(test_shared_stays_one),
		CASE(test_version_unknown),
		CASE(test_floor_comes_back),
		CASE(test_floor_of_nothing),
		CASE(test_floor_of_a_copy),
		CASE(test_floor_is_written),
		CASE(test_source),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
