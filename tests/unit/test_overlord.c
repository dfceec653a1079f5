/*
 * test_overlord - submitting and asking, by the answers of Druid's versions
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "loop_until.h"
#include "one_ds.h"
#include "overlord.h"
#include "script_server.h"

#define TASK "index_realtime_foo_2026-11-22T10:00:00.000Z_0_0"
#define OTHER "index_realtime_foo_2026-11-22T11:00:00.000Z_0_0"

struct rig {
	struct loop *loop;
	struct script_server *server, *second;
	struct http_client *http;
	struct conf *conf;
	struct overlord *overlord;
	unsigned looks; /* for the Overlord, by the resolver */
	/* the last answer */
	unsigned answers;
	enum result result;
	char why[OVERLORD_WHY_BYTES];
	struct task_status status;
	int code; /* of any other question */
	char body[200], answered_by[100];
};

static void
find(void *context, struct overlord *o)
{
	struct rig *r = context;

	assert_ptr_equal(o, r->overlord);
	r->looks++;
}

static void
open_with(struct rig *r, const char *urls, const char *more)
{
	char *properties = must_format("\"zookeeper.connect\":\"localhost\","
				       "\"druid.overlord.url\":\"%s\"%s",
	    urls, more);

	overlord_free(&r->overlord);
	conf_free(&r->conf);
	r->conf = one_ds(NULL, properties);
	r->overlord = overlord_new(r->http, &r->conf->ds[0], find, r);
	http_client_secure(r->http, &r->conf->ds[0]);
	free(properties);
}

/* With the URLs, or with the resolver when they are "". */
static void
open_overlord(struct rig *r, const char *urls)
{
	open_with(r, urls, "");
}

static int
set_up(void **state)
{
	struct rig *r = must_calloc(1, sizeof *r);

	r->loop = loop_new();
	r->server = script_new(r->loop);
	r->second = script_new(r->loop);
	r->http = http_client_new(r->loop);
	open_overlord(r, script_url(r->server));
	*state = r;
	return 0;
}

static int
tear_down(void **state)
{
	struct rig *r = *state;

	overlord_free(&r->overlord);
	conf_free(&r->conf);
	http_client_free(&r->http);
	script_free(&r->server);
	script_free(&r->second);
	loop_free(&r->loop);
	free(r);
	return 0;
}

/* ---- submitting ---- */

static void
submitted(void *context, enum result result, const char *why)
{
	struct rig *r = context;

	r->answers++;
	r->result = result;
	assert_true(result == RESULT_OK || why != NULL);
	snprintf(r->why, sizeof r->why, "%s", why != NULL ? why : "");
}

static void
submit(struct rig *r)
{
	overlord_submit(
	    r->overlord, must_strdup("{\"id\":\"" TASK "\"}"), submitted, r);
}

static void
submit_and_wait(struct rig *r)
{
	unsigned before = r->answers;

	submit(r);
	assert_int_equal(r->answers, before); /* not from inside the call */
	LOOP_UNTIL(r->loop, r->answers > before);
}

static void
test_submit(void **state)
{
	struct rig *r = *state;
	const struct script_request *q;
	char type[64];

	script_answer(r->server, 200, "{\"task\":\"" TASK "\"}");
	submit_and_wait(r);
	assert_int_equal(r->result, RESULT_OK);
	q = script_request(r->server, 0);
	assert_string_equal(q->method, "POST");
	assert_string_equal(q->target, "/druid/indexer/v1/task");
	assert_string_equal(q->body, "{\"id\":\"" TASK "\"}");
	assert_true(script_header(q, "Content-Type", type, sizeof type));
	assert_string_equal(type, "application/json");
	assert_string_equal(overlord_where(r->overlord), script_url(r->server));
}

static void
test_submit_answers(void **state)
{
	static const struct {
		int status;
		const char *body;
		enum result result;
	} cases[] = {
		/* to 26, 27 and 28, 30; its id is ours: it is this task */
		{ 400, "{\"error\":\"Task[" TASK "] already exists!\"}",
		    RESULT_OK },
		{ 400, "{\"error\":\"Task [" TASK "] already exists.\"}",
		    RESULT_OK },
		{ 400,
		    "{\"error\":\"druidException\",\"errorCode\":"
		    "\"entryAlreadyExists\",\"persona\":\"USER\","
		    "\"category\":\"INVALID_INPUT\",\"errorMessage\":"
		    "\"Task[" TASK "] already exists\",\"context\":{}}",
		    RESULT_OK },
		/* a definite no */
		{ 400, "{\"error\":\"Could not resolve type id 'x'\"}",
		    RESULT_REFUSED },
		{ 401, "who are you", RESULT_RETRY },
		{ 403, "{\"Access-Check-Result\":\"no\"}", RESULT_RETRY },
		{ 415, "", RESULT_REFUSED },
		/* not now: queue full in 30 and before, no leader, … */
		{ 429, "{\"errorCode\":\"capacityExceeded\"}", RESULT_RETRY },
		{ 500, "Too many tasks are in the queue", RESULT_RETRY },
		{ 503, "", RESULT_RETRY },
		{ 307, "", RESULT_RETRY },
		{ 599, "", RESULT_RETRY },
	};
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		script_answer(r->server, cases[i].status, cases[i].body);
		submit_and_wait(r);
		if (r->result != cases[i].result)
			fail_msg("%d %s: %s", cases[i].status, cases[i].body,
			    result_name(r->result));
		if (r->result == RESULT_REFUSED)
			assert_string_equal(r->why, cases[i].body);
		if (r->result == RESULT_RETRY)
			assert_non_null(strstr(r->why, "/indexer/v1/task"));
	}
}

static void
test_submit_unanswered(void **state)
{
	struct rig *r = *state;

	script_close(r->server);
	submit_and_wait(r);
	assert_int_equal(r->result, RESULT_RETRY);
	script_reset(r->server);
	submit_and_wait(r);
	assert_int_equal(r->result, RESULT_RETRY);
	script_free(&r->server);
	submit_and_wait(r);
	assert_int_equal(r->result, RESULT_RETRY);
	assert_non_null(strstr(overlord_where(r->overlord), "/task"));
}

static void
redirect(struct script_server *from, const struct script_server *to)
{
	char *text = must_format("HTTP/1.1 307 Temporary Redirect\r\n"
				 "Location: %s/druid/indexer/v1/task\r\n"
				 "Content-Length: 0\r\n\r\n",
	    script_url(to));

	script_bytes(from, text, strlen(text), false);
	free(text);
}

/* An Overlord that does not lead sends us to the one that does. */
static void
test_redirect_to_leader(void **state)
{
	struct rig *r = *state;

	redirect(r->server, r->second);
	script_answer(r->second, 200, "{\"task\":\"" TASK "\"}");
	submit_and_wait(r);
	assert_int_equal(r->result, RESULT_OK);
	assert_string_equal(
	    script_request(r->second, 0)->body, "{\"id\":\"" TASK "\"}");
}

static void
test_redirect_for_ever(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 10; i++)
		redirect(r->server, r->server);
	submit_and_wait(r);
	assert_int_equal(r->result, RESULT_RETRY);
	assert_non_null(strstr(r->why, "answered 307"));
	assert_true(script_left(r->server) > 0); /* bounded */
}

static void
test_redirect_to_a_file(void **state)
{
	static const char text[] = "HTTP/1.1 307 X\r\nLocation: "
				   "file:///etc/passwd\r\n"
				   "Content-Length: 0\r\n\r\n";
	struct rig *r = *state;

	script_bytes(r->server, text, strlen(text), false);
	submit_and_wait(r);
	assert_int_equal(r->result, RESULT_RETRY);
}

/* ---- any other question ---- */

static void
heard(void *context, enum result result, const struct overlord_answer *answer,
    const char *why)
{
	struct rig *r = context;

	r->answers++;
	r->result = result;
	assert_int_equal(result == RESULT_OK, answer != NULL);
	assert_int_equal(result != RESULT_OK, why != NULL);
	snprintf(r->why, sizeof r->why, "%s", why != NULL ? why : "");
	if (answer == NULL)
		return;
	r->code = answer->status;
	assert_int_equal(answer->body_bytes, strlen(answer->body));
	snprintf(r->body, sizeof r->body, "%s", answer->body);
	snprintf(r->answered_by, sizeof r->answered_by, "%s", answer->server);
}

static void
call_and_wait(struct rig *r, const char *path, const char *body)
{
	unsigned before = r->answers;

	overlord_call(r->overlord, path,
	    body != NULL ? must_strdup(body) : NULL, heard, r);
	assert_int_equal(r->answers, before);
	LOOP_UNTIL(r->loop, r->answers > before);
}

static void
test_call(void **state)
{
	static const int definite[] = { 200, 202, 400, 404 };
	static const int not_now[] = { 401, 403, 429, 500, 503 };
	struct rig *r = *state;
	const struct script_request *q;

	script_answer(r->server, 200, "{\"version\":\"31.0.1\"}");
	call_and_wait(r, "status", NULL);
	assert_int_equal(r->result, RESULT_OK);
	assert_string_equal(r->body, "{\"version\":\"31.0.1\"}");
	assert_string_equal(r->answered_by, script_url(r->server));
	q = script_request(r->server, 0);
	assert_string_equal(q->method, "GET");
	assert_string_equal(q->target, "/status");
	for (size_t i = 0; i < ARRAY_LEN(definite); i++) {
		script_answer(r->server, definite[i], "x");
		call_and_wait(r, "druid/indexer/v1/supervisor", "{}");
		assert_int_equal(r->result, RESULT_OK);
		assert_int_equal(r->code, definite[i]);
	}
	q = script_request(r->server, 1);
	assert_string_equal(q->method, "POST");
	assert_string_equal(q->target, "/druid/indexer/v1/supervisor");
	assert_string_equal(q->body, "{}");
	for (size_t i = 0; i < ARRAY_LEN(not_now); i++) {
		script_answer(r->server, not_now[i], "");
		call_and_wait(r, "druid/indexer/v1/supervisor", "{}");
		assert_int_equal(r->result, RESULT_RETRY);
		assert_non_null(strstr(r->why, "/indexer/v1/supervisor"));
	}
}

/* Who answered is the leader, wherever the question went first. */
static void
test_call_leader(void **state)
{
	struct rig *r = *state;
	struct overlord_ask *a;

	redirect(r->server, r->second);
	script_answer(r->second, 200, "{}");
	call_and_wait(r, "druid/indexer/v1/task", NULL);
	assert_int_equal(r->result, RESULT_OK);
	assert_string_equal(r->answered_by, script_url(r->second));
	/* one that is given up says nothing */
	script_hold(r->server);
	a = overlord_call(r->overlord, "status", must_strdup("{}"), heard, r);
	LOOP_UNTIL(r->loop, script_held(r->server) == 1);
	overlord_cancel(&a);
	assert_null(a);
	assert_int_equal(r->answers, 1);
}

/* ---- user and password ---- */

#define USER                                       \
	",\"druidBeam.basicAuthUser\":\"tranqd\"," \
	"\"druidBeam.basicAuthPass\":\"hidden\""

static bool
is_authorized(const struct script_server *s)
{
	char value[100];

	return script_header(script_request(s, script_requests(s) - 1),
	    "Authorization", value, sizeof value);
}

/* The leader gets them when we have been told of it, whoever says that it
 * leads; another server does not. */
static void
test_redirect_and_password(void **state)
{
	struct rig *r = *state;
	char *both =
	    must_format("%s,%s", script_url(r->server), script_url(r->second));

	open_with(r, both, USER);
	redirect(r->server, r->second);
	script_answer(r->second, 200, "{\"task\":\"" TASK "\"}");
	submit_and_wait(r);
	assert_int_equal(r->result, RESULT_OK);
	assert_true(is_authorized(r->server));
	assert_true(is_authorized(r->second));

	open_with(r, script_url(r->server), USER);
	redirect(r->server, r->second);
	script_answer(r->second, 401, "");
	submit_and_wait(r);
	assert_true(is_authorized(r->server));
	assert_false(is_authorized(r->second));
	assert_int_equal(r->result, RESULT_RETRY);
	assert_non_null(strstr(r->why, "name it there"));
	free(both);
}

static void
test_redirect_and_discovery(void **state)
{
	struct rig *r = *state;

	open_with(r, "", USER);
	submit(r);
	script_answer(r->server, 200, "{\"task\":\"x\"}");
	overlord_found(r->overlord, script_url(r->server), NULL);
	LOOP_UNTIL(r->loop, r->answers == 1);
	assert_true(is_authorized(r->server));
}

/* Not a task that is refused: it waits until somebody has mended it. */
static void
test_denied(void **state)
{
	static const struct {
		int status;
		const char *user, *expected;
	} cases[] = {
		{ 401, "", "answered 401; give druidBeam.basicAuthUser" },
		{ 403, "", "answered 403; give druidBeam.basicAuthUser" },
		{ 401, USER, "answered 401 to user 'tranqd'; mend" },
		{ 403, USER, "answered 403; let user 'tranqd' read and write" },
	};
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		open_with(r, script_url(r->server), cases[i].user);
		script_answer(r->server, cases[i].status, "<html>no</html>");
		submit_and_wait(r);
		assert_int_equal(r->result, RESULT_RETRY);
		if (strstr(r->why, cases[i].expected) == NULL)
			fail_msg("%s", r->why);
		assert_string_equal(overlord_where(r->overlord), r->why);
		assert_null(strstr(r->why, "hidden"));
	}
}

/* ---- where it is ---- */

static void
test_next_url_after_failure(void **state)
{
	struct rig *r = *state;
	char *urls = must_format(
	    " %s/ , %s//", script_url(r->server), script_url(r->second));

	open_overlord(r, urls);
	script_answer(r->server, 503, "");
	script_answer(r->second, 200, "{\"task\":\"x\"}");
	script_answer(r->second, 500, "");
	script_answer(r->server, 200, "{\"task\":\"x\"}");
	submit_and_wait(r);
	assert_int_equal(r->result, RESULT_RETRY);
	submit_and_wait(r);
	assert_int_equal(r->result, RESULT_OK);
	assert_string_equal(overlord_where(r->overlord), script_url(r->second));
	submit_and_wait(r);
	assert_int_equal(r->result, RESULT_RETRY);
	submit_and_wait(r); /* around to the first one */
	assert_int_equal(r->result, RESULT_OK);
	assert_string_equal(
	    script_request(r->server, 1)->target, "/druid/indexer/v1/task");
	free(urls);
}

/* Two asks that fail at one place are one reason to go to the next. */
static void
test_many_failures_move_once(void **state)
{
	struct rig *r = *state;
	char *urls =
	    must_format("%s,%s", script_url(r->server), script_url(r->second));

	open_overlord(r, urls);
	for (int i = 0; i < 4; i++) {
		script_hold(r->server);
		submit(r);
	}
	LOOP_UNTIL(r->loop, script_held(r->server) == 4);
	script_drop(r->server);
	LOOP_UNTIL(r->loop, r->answers == 4);
	assert_int_equal(r->result, RESULT_RETRY);
	script_answer(r->second, 200, "{\"task\":\"x\"}");
	submit_and_wait(r);
	assert_int_equal(r->result, RESULT_OK);
	assert_int_equal(script_requests(r->second), 1);
	free(urls);
}

static void
test_resolver(void **state)
{
	struct rig *r = *state;

	open_overlord(r, "");
	submit(r);
	submit(r);
	assert_int_equal(r->looks, 1); /* one look for both */
	assert_null(overlord_last(r->overlord));
	overlord_found(r->overlord, NULL, "not in discovery; there are: a b");
	assert_int_equal(r->answers, 2);
	assert_int_equal(r->result, RESULT_RETRY);
	assert_string_equal(r->why, "not in discovery; there are: a b");
	assert_string_equal(overlord_where(r->overlord), r->why);

	submit(r);
	assert_int_equal(r->looks, 2);
	script_answer(r->server, 200, "{\"task\":\"x\"}");
	overlord_found(r->overlord, script_url(r->server), NULL);
	LOOP_UNTIL(r->loop, r->answers == 3);
	assert_int_equal(r->result, RESULT_OK);
	script_answer(r->server, 503, ""); /* not the leader any more */
	submit_and_wait(r);
	assert_int_equal(r->looks, 2); /* the place was known */
	assert_int_equal(r->result, RESULT_RETRY);
	assert_string_equal(overlord_last(r->overlord), script_url(r->server));
	submit(r);
	assert_int_equal(r->looks, 3);
	script_answer(r->second, 200, "{\"task\":\"x\"}");
	overlord_found(r->overlord, script_url(r->second), NULL);
	LOOP_UNTIL(r->loop, r->answers == 5);
	assert_int_equal(r->result, RESULT_OK);
}

/* An ask that failed at the old place does not spoil the new one. */
static void
test_late_failure(void **state)
{
	struct rig *r = *state;

	open_overlord(r, "");
	submit(r);
	submit(r);
	script_hold(r->server);
	script_answer(r->server, 503, "");
	overlord_found(r->overlord, script_url(r->server), NULL);
	LOOP_UNTIL(r->loop, r->answers == 1 && script_held(r->server) == 1);
	submit(r);
	assert_int_equal(r->looks, 2);
	script_answer(r->second, 200, "{\"task\":\"x\"}");
	overlord_found(r->overlord, script_url(r->second), NULL);
	LOOP_UNTIL(r->loop, r->answers == 2);
	assert_int_equal(r->result, RESULT_OK);
	script_drop(r->server);
	LOOP_UNTIL(r->loop, r->answers == 3);
	assert_int_equal(r->result, RESULT_RETRY);
	script_answer(r->second, 200, "{\"task\":\"x\"}");
	submit_and_wait(r);
	assert_int_equal(r->result, RESULT_OK);
	assert_int_equal(r->looks, 2);
}

/* ---- status ---- */

static void
known(void *context, enum result result, const struct task_status *status)
{
	struct rig *r = context;

	r->answers++;
	r->result = result;
	r->status = (struct task_status){ 0 };
	if (result == RESULT_OK)
		r->status = *status;
}

static void
ask(struct rig *r)
{
	unsigned before = r->answers;

	assert_non_null(overlord_status(r->overlord, TASK, known, r));
	LOOP_UNTIL(r->loop, r->answers > before);
}

static void
check_status(struct rig *r, enum task_state state, const char *host, int port)
{
	assert_int_equal(r->result, RESULT_OK);
	if (r->status.state != state)
		fail_msg("%s instead of %s", task_state_name(r->status.state),
		    task_state_name(state));
	assert_string_equal(r->status.host, host);
	if (host[0] != '\0')
		assert_int_equal(r->status.place.port, port);
}

#define STATUS(members) \
	"{\"task\":\"" TASK "\",\"status\":{\"id\":\"" TASK "\"," members "}}"
#define LOCATION(host, port, tls) \
	"\"location\":{\"host\":" host ",\"port\":" port ",\"tlsPort\":" tls "}"

static void
test_status(void **state)
{
	static const struct {
		const char *body;
		enum task_state state;
		const char *host;
		int port;
		bool is_tls;
	} cases[] = {
		{ STATUS("\"statusCode\":\"RUNNING\",\"status\":\"RUNNING\","
			 "\"runnerStatusCode\":\"RUNNING\",\"duration\":-"
			 "1," LOCATION("\"peon\"", "8100", "-1")),
		    TASK_RUNNING, "peon", 8100, false },
		{ STATUS("\"status\":\"RUNNING\"," LOCATION(
		      "\"peon\"", "8100", "8300")),
		    TASK_RUNNING, "peon", 8100, false },
		{ STATUS("\"status\":\"RUNNING\"," LOCATION(
		      "\"peon\"", "-1", "8300")),
		    TASK_RUNNING, "peon", 8300, true },
		{ STATUS("\"statusCode\":\"RUNNING\",\"runnerStatusCode\":"
			 "\"PENDING\"," LOCATION("null", "-1", "-1")),
		    TASK_WAITING, "", 0, false },
		{ STATUS("\"statusCode\":\"RUNNING\",\"runnerStatusCode\":"
			 "\"WAITING\"," LOCATION("null", "-1", "-1")),
		    TASK_WAITING, "", 0, false },
		/* it runs, and has not said where */
		{ STATUS("\"statusCode\":\"RUNNING\",\"runnerStatusCode\":"
			 "\"RUNNING\"," LOCATION("null", "-1", "-1")),
		    TASK_RUNNING, "", 0, false },
		{ STATUS("\"statusCode\":\"RUNNING\",\"runnerStatusCode\":"
			 "\"RUNNING\"," LOCATION("\"peon\"", "99999", "-1")),
		    TASK_RUNNING, "", 0, false },
		{ STATUS("\"statusCode\":\"SUCCESS\",\"duration\":10," LOCATION(
		      "\"peon\"", "8100", "-1")),
		    TASK_SUCCESS, "peon", 8100, false },
		{ STATUS(
		      "\"statusCode\":\"FAILED\",\"errorMsg\":\"x\"," LOCATION(
			  "null", "-1", "-1")),
		    TASK_FAILED, "", 0, false },
		/* 0.9 to 0.12 */
		{ STATUS("\"status\":\"SUCCESS\",\"duration\":10"),
		    TASK_SUCCESS, "", 0, false },
		{ STATUS("\"status\":\"FAILED\",\"duration\":10"), TASK_FAILED,
		    "", 0, false },
	};
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		script_answer(r->server, 200, cases[i].body);
		ask(r);
		check_status(r, cases[i].state, cases[i].host, cases[i].port);
		assert_int_equal(r->status.place.is_tls, cases[i].is_tls);
	}
	assert_string_equal(script_request(r->server, 0)->method, "GET");
	assert_string_equal(script_request(r->server, 0)->target,
	    "/druid/indexer/v1/task/index_realtime_foo_2026-11-22T10%3A00%3A"
	    "00.000Z_0_0/status");
}

static void
shutoff_told(void *context, enum result result, int64_t shutoff_ms)
{
	int64_t *told = context;

	assert_true(result == RESULT_OK || result == RESULT_RETRY);
	*told = result == RESULT_OK ? shutoff_ms : -1;
}

/* Of the task itself, whatever we are configured to now. */
static void
test_shutoff(void **state)
{
	static const struct {
		const char *firehose;
		int64_t shutoff_ms;
	} cases[] = {
		{ "{\"type\":\"clipped\",\"delegate\":{\"type\":\"timed\","
		  "\"shutoffTime\":\"2026-11-22T11:15:00.000Z\",\"delegate\":"
		  "{\"type\":\"receiver\"}}}",
		    INT64_C(1795346100000) },
		{ "{\"type\":\"timed\",\"shutoffTime\":"
		  "\"2026-11-22T12:15:00.000+01:00\"}",
		    INT64_C(1795346100000) },
		{ "{\"type\":\"receiver\"}", INT64_MAX },
		{ "{\"type\":\"timed\",\"shutoffTime\":\"soon\"}", INT64_MAX },
		{ "7", INT64_MAX },
	};
	struct rig *r = *state;
	int64_t told;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *body = must_format("{\"task\":\"%s\",\"payload\":{"
					 "\"spec\":{\"ioConfig\":{"
					 "\"firehose\":%s}}}}",
		    TASK, cases[i].firehose);

		script_answer(r->server, 200, body);
		told = 0;
		overlord_shutoff(r->overlord, TASK, shutoff_told, &told);
		LOOP_UNTIL(r->loop, told != 0);
		assert_int_equal(told, cases[i].shutoff_ms);
		free(body);
	}
	assert_string_equal(script_request(r->server, 0)->target,
	    "/druid/indexer/v1/task/index_realtime_foo_2026-11-22T10%3A00%3A"
	    "00.000Z_0_0");
	script_answer(r->server, 404, "unknown");
	told = 0;
	overlord_shutoff(r->overlord, TASK, shutoff_told, &told);
	LOOP_UNTIL(r->loop, told != 0);
	assert_int_equal(told, -1);
}

struct told_report {
	bool is_told, is_there;
	enum result result;
	struct task_report report;
};

static void
report_told(void *context, enum result result,
    const struct overlord_answer *answer, const char *why)
{
	struct told_report *told = context;

	told->is_told = true;
	told->result = result;
	assert_true((result == RESULT_OK) == (why == NULL));
	if (result == RESULT_OK)
		told->is_there = overlord_read_report(answer, &told->report);
}

static struct told_report
ask_report(struct rig *r, int status, const char *payload)
{
	char *body = must_format("{\"ingestionStatsAndErrors\":{\"type\":"
				 "\"ingestionStatsAndErrors\",\"payload\":%s"
				 "}}",
	    payload);
	struct told_report told = { 0 };

	script_answer(r->server, status, body);
	overlord_report(r->overlord, TASK, report_told, &told);
	LOOP_UNTIL(r->loop, told.is_told);
	free(body);
	return told;
}

/* What a batch task has published, and what it could not read. */
static void
test_report(void **state)
{
	struct rig *r = *state;
	struct told_report t = ask_report(r, 200,
	    "{\"ingestionState\":\"COMPLETED\",\"errorMsg\":null,"
	    "\"rowStats\":{\"determinePartitions\":{\"unparseable\":9},"
	    "\"buildSegments\":{\"processed\":5,\"processedWithError\":1,"
	    "\"thrownAway\":2,\"unparseable\":3}}}");

	assert_string_equal(script_request(r->server, 0)->target,
	    "/druid/indexer/v1/task/index_realtime_foo_2026-11-22T10%3A00%3A"
	    "00.000Z_0_0/reports");
	assert_true(t.is_there);
	assert_true(t.report.is_complete);
	assert_int_equal(t.report.with_error, 1);
	assert_int_equal(t.report.thrown_away, 2);
	assert_int_equal(t.report.unparseable, 3);
	/* it is behind its publication, which has failed */
	t = ask_report(r, 200,
	    "{\"ingestionState\":\"COMPLETED\","
	    "\"errorMsg\":\"Failed to publish segments.\"}");
	assert_true(t.is_there);
	assert_false(t.report.is_complete);
	t = ask_report(r, 200, "{\"ingestionState\":\"BUILD_SEGMENTS\"}");
	assert_false(t.report.is_complete);
	assert_int_equal(t.report.unparseable, 0);
	t = ask_report(r, 200, "7");
	assert_false(t.report.is_complete);
	t = ask_report(r, 404, "{}");
	assert_int_equal(t.result, RESULT_OK);
	assert_false(t.is_there);
	t = ask_report(r, 503, "{}");
	assert_int_equal(t.result, RESULT_RETRY);
}

/* With druid.tls.enable only a TLS port is a place. */
static void
test_status_tls_only(void **state)
{
	struct rig *r = *state;

	open_overlord(r, "");
	conf_free(&r->conf);
	r->conf = one_ds(
	    NULL, "\"zookeeper.connect\":\"z\",\"druid.tls.enable\":true");
	overlord_free(&r->overlord);
	r->overlord = overlord_new(r->http, &r->conf->ds[0], find, r);
	http_client_secure(r->http, &r->conf->ds[0]);
	script_answer(r->server, 200,
	    STATUS("\"status\":\"RUNNING\"," LOCATION(
		"\"peon\"", "8100", "8300")));
	overlord_status(r->overlord, TASK, known, r);
	overlord_found(r->overlord, script_url(r->server), NULL);
	LOOP_UNTIL(r->loop, r->answers == 1);
	check_status(r, TASK_RUNNING, "peon", 8300);
	assert_true(r->status.place.is_tls);
	assert_false(r->status.lacks_tls);
	script_answer(r->server, 200,
	    STATUS(
		"\"status\":\"RUNNING\"," LOCATION("\"peon\"", "8100", "-1")));
	ask(r);
	check_status(r, TASK_RUNNING, "", 0);
	assert_true(r->status.lacks_tls);
}

/* Before 0.13 the place is in the list of running tasks only. */
static void
test_status_of_old_versions(void **state)
{
	static const char running[] = STATUS("\"status\":\"RUNNING\","
					     "\"duration\":-1");
	struct rig *r = *state;

	script_answer(r->server, 200, running);
	script_answer(r->server, 200,
	    "[{\"id\":\"" OTHER "\",\"location\":{\"host\":\"a\",\"port\":1}},"
	    "{\"id\":\"" TASK "\",\"createdTime\":\"x\",\"location\":{\"host\":"
	    "\"peon\",\"port\":8101}}]");
	ask(r);
	check_status(r, TASK_RUNNING, "peon", 8101);
	assert_string_equal(script_request(r->server, 1)->target,
	    "/druid/indexer/v1/runningTasks");
	script_answer(r->server, 200, running);
	script_answer(r->server, 200, "[]");
	ask(r);
	check_status(r, TASK_WAITING, "", 0);
	script_answer(r->server, 200, running);
	script_answer(r->server, 200,
	    "[{\"id\":\"" TASK "\",\"statusCode\":\"RUNNING\",\"location\":{"
	    "\"host\":null,\"port\":-1,\"tlsPort\":-1}}]");
	ask(r);
	check_status(r, TASK_RUNNING, "", 0);
	script_answer(r->server, 200, running);
	script_answer(r->server, 503, "");
	ask(r);
	assert_int_equal(r->result, RESULT_RETRY);
}

static void
test_absent(void **state)
{
	static const char *const bodies[] = {
		"{\"task\":\"" TASK "\",\"status\":null}", /* 0.12 and later */
		"{\"task\":\"" TASK "\"}", /* before */
		"Cannot find any task with id: [" TASK "]", /* 28 */
	};
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		script_answer(r->server, 404, bodies[i]);
		ask(r);
		check_status(r, TASK_ABSENT, "", 0);
	}
}

/* Nothing that may end a task's beam is concluded from such answers. */
static void
test_senseless_status(void **state)
{
	static const struct {
		int status;
		const char *body;
	} cases[] = {
		{ 404, "<html>Not Found</html>" },
		{ 404, "" },
		{ 200, "" },
		{ 200, "<html>It works!</html>" },
		{ 200, "[]" },
		{ 200, "{\"task\":\"" TASK "\",\"status\":null}" },
		{ 200, "{\"task\":\"" TASK "\",\"status\":\"RUNNING\"}" },
		{ 401, "" },
		{ 403, "" },
		{ 500, "{\"error\":\"x\"}" },
		{ 503, "" },
		{ 307, "" },
	};
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		script_answer(r->server, cases[i].status, cases[i].body);
		ask(r);
		if (r->result != RESULT_RETRY)
			fail_msg("%d %s: %s", cases[i].status, cases[i].body,
			    result_name(r->result));
	}
	/* a state that no version has: it is neither gone nor running */
	script_answer(r->server, 200, STATUS("\"statusCode\":\"RESTING\""));
	ask(r);
	check_status(r, TASK_UNKNOWN, "", 0);
}

/* ---- life ---- */

/* Neither to take a task nor to be asked for one has it longer. */
static void
test_index_retry_period(void **state)
{
	struct rig *r = *state;
	int64_t began;

	open_with(r, script_url(r->server),
	    ",\"druidBeam.indexRetryPeriod\":\"PT0.1S\"");
	script_hold(r->server);
	script_hold(r->server);
	began = loop_now_ms(r->loop);
	submit_and_wait(r);
	assert_int_equal(r->result, RESULT_RETRY);
	ask(r);
	assert_int_equal(r->result, RESULT_RETRY);
	/* the least that they have with the default */
	assert_true(loop_now_ms(r->loop) - began < 10000);
}

static void
test_cancel(void **state)
{
	struct rig *r = *state;
	struct overlord_ask *a = overlord_status(r->overlord, TASK, known, r);
	struct overlord_ask *none = NULL;

	overlord_cancel(&a);
	assert_null(a);
	overlord_cancel(&none);
	script_hold(r->server);
	a = overlord_status(r->overlord, TASK, known, r);
	LOOP_UNTIL(r->loop, script_held(r->server) == 1);
	overlord_cancel(&a);
	assert_int_equal(http_under_way(r->http), 0);
	open_overlord(r, "");
	a = overlord_status(r->overlord, TASK, known, r); /* waits for a URL */
	overlord_cancel(&a);
	overlord_found(r->overlord, script_url(r->server), NULL);
	assert_int_equal(r->answers, 0);
}

static void
test_freed_under_way(void **state)
{
	struct rig *r = *state;

	script_hold(r->server);
	script_hold(r->server);
	submit(r);
	overlord_status(r->overlord, TASK, known, r);
	LOOP_UNTIL(r->loop, script_held(r->server) == 2);
	overlord_free(&r->overlord);
	assert_null(r->overlord);
	assert_int_equal(http_under_way(r->http), 0);
	assert_int_equal(r->answers, 0);
}

static int
quiet(void **state)
{
	(void)state;
	log_use(open("/dev/null", O_WRONLY | O_CLOEXEC), LOG_LEVEL_ERROR,
	    LOG_FORMAT_TEXT);
	return 0;
}

#define OVERLORD_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		OVERLORD_TEST(test_submit),
		OVERLORD_TEST(test_submit_answers),
		OVERLORD_TEST(test_submit_unanswered),
		OVERLORD_TEST(test_redirect_to_leader),
		OVERLORD_TEST(test_redirect_for_ever),
		OVERLORD_TEST(test_redirect_to_a_file),
		OVERLORD_TEST(test_call),
		OVERLORD_TEST(test_call_leader),
		OVERLORD_TEST(test_redirect_and_password),
		OVERLORD_TEST(test_redirect_and_discovery),
		OVERLORD_TEST(test_denied),
		OVERLORD_TEST(test_next_url_after_failure),
		OVERLORD_TEST(test_many_failures_move_once),
		OVERLORD_TEST(test_resolver),
		OVERLORD_TEST(test_late_failure),
		OVERLORD_TEST(test_status),
		OVERLORD_TEST(test_shutoff),
		OVERLORD_TEST(test_report),
		OVERLORD_TEST(test_status_tls_only),
		OVERLORD_TEST(test_status_of_old_versions),
		OVERLORD_TEST(test_absent),
		OVERLORD_TEST(test_senseless_status),
		OVERLORD_TEST(test_index_retry_period),
		OVERLORD_TEST(test_cancel),
		OVERLORD_TEST(test_freed_under_way),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
