/*
 * test_firehose - a chunk's request, and what each of Druid's answers means
 *
 * druid-api.md 1.2 to 1.4; the versions differ in how they say "not here".
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "firehose.h"
#include "loop_until.h"
#include "panic.h"
#include "script_server.h"

#define SERVICE "firehose:druid:overlord:wikipedia-010-0000-0000"
#define TASK "index_realtime_wikipedia_2026-11-22T10:00:00.000Z_0_0"

struct rig {
	struct loop *loop;
	struct script_server *server;
	struct http_client *http;
	bool done;
	struct push_answer answer;
};

static int
set_up(void **state)
{
	struct rig *r = must_calloc(1, sizeof *r);

	r->loop = loop_new();
	r->server = script_new(r->loop);
	r->http = http_client_new(r->loop);
	*state = r;
	return 0;
}

static int
tear_down(void **state)
{
	struct rig *r = *state;

	http_client_free(&r->http);
	script_free(&r->server);
	loop_free(&r->loop);
	free(r);
	return 0;
}

static void
pushed(void *context, const struct http_answer *a)
{
	struct rig *r = context;

	r->done = true;
	r->answer = firehose_judge(a);
	/* something that can be logged, while it is lent */
	if (r->answer.result != PUSH_TAKEN)
		assert_non_null(r->answer.why);
}

static void
push_as(struct rig *r, const char *url, const char *body, size_t bytes,
    bool is_smile)
{
	struct push p = { .url = url,
		.task_id = TASK,
		.producer = "8c5f6f0e-0c9e-4f57-8d86-b6c2cb6f7f1b-3",
		.sequence = (uint64_t)1 << 61,
		.body = body,
		.body_bytes = bytes,
		.is_smile = is_smile,
		.timeout_ms = 15000,
		.done = pushed,
		.context = r };

	r->done = false;
	firehose_push(r->http, &p);
	LOOP_UNTIL(r->loop, r->done);
}

static void
push(struct rig *r, const char *url, const char *body, size_t bytes)
{
	push_as(r, url, body, bytes, false);
}

static void
push_here(struct rig *r)
{
	char *url = firehose_url("127.0.0.1",
	    &(struct place){ script_port(r->server), false }, SERVICE);

	push(r, url, "[{\"a\":1}]", 9);
	free(url);
}

static void
test_url(void **state)
{
	static const struct {
		const char *host, *expected;
		struct place place;
	} cases[] = {
		{ "peon1",
		    "http://peon1:8100/druid/worker/v1/chat/"
		    "firehose%3Adruid%3Aoverlord%3Awikipedia-010-0000-"
		    "0000/push-events",
		    { 8100, false } },
		{ "10.0.0.1",
		    "https://10.0.0.1:8300/druid/worker/v1/chat/"
		    "firehose%3Adruid%3Aoverlord%3Awikipedia-010-"
		    "0000-0000/push-events",
		    { 8300, true } },
		{ "::1",
		    "http://[::1]:8100/druid/worker/v1/chat/"
		    "firehose%3Adruid%3Aoverlord%3Awikipedia-010-0000-"
		    "0000/push-events",
		    { 8100, false } },
		{ "[::1]",
		    "http://[::1]:8100/druid/worker/v1/chat/"
		    "firehose%3Adruid%3Aoverlord%3Awikipedia-010-0000-"
		    "0000/push-events",
		    { 8100, false } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *url =
		    firehose_url(cases[i].host, &cases[i].place, SERVICE);

		assert_string_equal(url, cases[i].expected);
		free(url);
	}
}

static void
check_header(
    const struct script_request *q, const char *name, const char *expected)
{
	char value[200];

	assert_true(script_header(q, name, value, sizeof value));
	assert_string_equal(value, expected);
}

static void
test_request(void **state)
{
	struct rig *r = *state;
	const struct script_request *q;

	script_answer(r->server, 200, "{\"eventCount\":1}");
	push_here(r);
	assert_int_equal(r->answer.result, PUSH_TAKEN);
	assert_false(r->answer.skipped);
	q = script_request(r->server, 0);
	assert_string_equal(q->method, "POST");
	assert_string_equal(q->body, "[{\"a\":1}]");
	check_header(q, "Content-Type", "application/json");
	check_header(q, "X-Druid-Task-Id", TASK);
	check_header(q, "X-Firehose-Producer-Id",
	    "8c5f6f0e-0c9e-4f57-8d86-b6c2cb6f7f1b-3");
	check_header(q, "X-Firehose-Producer-Seq", "2305843009213693952");
}

/* Druid compares the whole value; its answer is JSON all the same. */
static void
test_smile_request(void **state)
{
	static const char body[] = ":)\n\x01\xf8\xf9";
	struct rig *r = *state;
	char *url = firehose_url("127.0.0.1",
	    &(struct place){ script_port(r->server), false }, SERVICE);

	script_answer(r->server, 200, "{\"eventCount\":0}");
	push_as(r, url, body, sizeof body - 1, true);
	assert_int_equal(r->answer.result, PUSH_TAKEN);
	assert_string_equal(script_request(r->server, 0)->body, body);
	check_header(script_request(r->server, 0), "Content-Type",
	    "application/x-jackson-smile");
	free(url);
}

static void
test_answers(void **state)
{
	static const struct {
		int status;
		const char *body;
		enum push_result result;
		bool skipped;
	} cases[] = {
		{ 200, "{\"eventCount\":1}", PUSH_TAKEN, false },
		{ 200, "{\"eventCount\":0,\"skipped\":true}", PUSH_TAKEN,
		    true },
		/* 200 of another program that has the port by now */
		{ 200, "", PUSH_ABSENT, false },
		{ 200, "<html>It works!</html>", PUSH_ABSENT, false },
		{ 200, "{\"status\":\"ok\"}", PUSH_ABSENT, false },
		/* no such handler: 0.9 to 0.12, 0.16 to 28, 29 and later */
		{ 404, "", PUSH_ABSENT, false },
		{ 400, "{\"error\":\"Can't find chatHandler for handler[x]\"}",
		    PUSH_ABSENT, false },
		{ 503, "{\"error\":\"Can't find chatHandler for handler[x]\"}",
		    PUSH_ABSENT, false },
		/* another task's port */
		{ 400,
		    "{\"error\":\"Requested taskId[a] doesn't match with "
		    "taskId[b]\"}",
		    PUSH_ABSENT, false },
		{ 403,
		    "{\"error\":\"Too many individual producer IDs for this "
		    "firehose.  Max is 10000\"}",
		    PUSH_CROWDED, false },
		/* at the door: the sequence is not used up */
		{ 401, "", PUSH_SAME, false },
		{ 403, "", PUSH_SAME, false },
		{ 415, "", PUSH_SAME, false },
		{ 400, "{\"error\":\"Producer sequence must be a number\"}",
		    PUSH_SAME, false },
		/* behind it, or nobody knows where */
		{ 204, "", PUSH_ANEW, false },
		{ 307, "", PUSH_ANEW, false },
		{ 400, "Bad Request", PUSH_ANEW, false },
		{ 429, "", PUSH_ANEW, false },
		{ 503, "<html>no backend</html>", PUSH_ANEW, false },
		{ 500, "<html>500 Server Error</html>", PUSH_ANEW, false },
		/* Druid's no to what is in it */
		{ 500, "{\"error\":\"Unexpected character\"}", PUSH_REFUSED,
		    false },
		{ 500, "<pre>ParseException: Unparseable timestamp</pre>",
		    PUSH_REFUSED, false },
		{ 413, "", PUSH_REFUSED, false },
		{ 503, "ParseException", PUSH_ANEW, false },
		{ 500, "<html>Cannot add events to closed firehose!</html>",
		    PUSH_ANEW, false },
	};
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		script_answer(r->server, cases[i].status, cases[i].body);
		push_here(r);
		if (r->answer.result != cases[i].result)
			fail_msg("%d %s: %d", cases[i].status, cases[i].body,
			    (int)r->answer.result);
		assert_int_equal(r->answer.skipped, cases[i].skipped);
		assert_false(r->answer.unreached);
	}
}

static void
test_no_answers(void **state)
{
	struct rig *r = *state;
	size_t bytes = 32 * MiB;
	char *body = must_malloc(bytes), *url;

	memset(body, ' ', bytes);
	script_close(r->server);
	push_here(r);
	assert_int_equal(r->answer.result, PUSH_SAME);
	assert_false(r->answer.unreached);
	script_reset(r->server);
	push_here(r);
	assert_int_equal(r->answer.result, PUSH_SAME);

	url = firehose_url("127.0.0.1",
	    &(struct place){ script_port(r->server), false }, SERVICE);
	script_reset_at_head(r->server);
	push(r, url, body, bytes);
	assert_int_equal(r->answer.result, PUSH_ANEW);
	script_free(&r->server); /* nobody listens any more */
	push(r, url, "[]", 2);
	assert_int_equal(r->answer.result, PUSH_SAME);
	assert_true(r->answer.unreached);
	free(url);
	free(body);
}

/* A refusal whose text breaks off uses the sequence up as a whole one does;
 * an answer 200 that breaks off says nothing. */
static void
test_broken_answers(void **state)
{
	static const struct {
		const char *bytes;
		enum push_result result;
		int status;
	} cases[] = {
		{ "HTTP/1.1 500 X\r\nContent-Length: 9\r\n\r\n{", PUSH_ANEW,
		    500 },
		{ "HTTP/1.1 500 X\r\nContent-Length: 9\r\n", PUSH_ANEW, 500 },
		{ "HTTP/1.1 400 X\r\nContent-Length: 9\r\n\r\n", PUSH_ANEW,
		    400 },
		{ "HTTP/1.1 404 X\r\nContent-Length: 9\r\n\r\n", PUSH_ABSENT,
		    404 },
		{ "HTTP/1.1 403 X\r\nContent-Length: 9\r\n\r\n", PUSH_SAME, 0 },
		{ "HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\n{", PUSH_SAME,
		    0 },
		{ "HTTP/1.1 200 X\r\n", PUSH_SAME, 0 },
		{ "HTTP/1.1 100 Continue\r\n\r\n", PUSH_SAME, 0 },
		{ "", PUSH_SAME, 0 },
	};
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		script_bytes(
		    r->server, cases[i].bytes, strlen(cases[i].bytes), true);
		push_here(r);
		if (r->answer.result != cases[i].result)
			fail_msg(
			    "%s: %d", cases[i].bytes, (int)r->answer.result);
		assert_int_equal(r->answer.status, cases[i].status);
	}
}

#define FIREHOSE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_url),
		FIREHOSE_TEST(test_request),
		FIREHOSE_TEST(test_smile_request),
		FIREHOSE_TEST(test_answers),
		FIREHOSE_TEST(test_no_answers),
		FIREHOSE_TEST(test_broken_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
