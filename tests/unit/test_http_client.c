/*
 * test_http_client - what becomes of a request, and that the outcome says it
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "batch.h"
#include "http_client.h"
#include "loop_until.h"
#include "one_ds.h"
#include "panic.h"
#include "script_server.h"

#define LONG_MS 15000
#define SHORT_MS 60

struct rig {
	struct loop *loop;
	struct script_server *server;
	struct http_client *http;
};

/* What a call's `done` was told. */
struct told {
	struct rig *rig;
	int times;
	enum http_outcome outcome;
	int status;
	char *body;
	size_t body_bytes;
	char why[256], redirect[256];
	void (*then)(struct told *);
	struct http_exchange *exchange;
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
done(void *context, const struct http_answer *a)
{
	struct told *t = context;

	t->times++;
	t->outcome = a->outcome;
	t->status = a->status;
	t->body_bytes = a->body_bytes;
	assert_int_equal(a->body[a->body_bytes], '\0');
	free(t->body);
	t->body = must_malloc(a->body_bytes + 1);
	memcpy(t->body, a->body, a->body_bytes + 1);
	snprintf(t->why, sizeof t->why, "%s", a->why);
	snprintf(t->redirect, sizeof t->redirect, "%s",
	    a->redirect != NULL ? a->redirect : "");
	if (t->then != NULL)
		t->then(t);
}

static struct http_exchange *
send_to(struct rig *r, struct told *t, const char *url, struct http_call call)
{
	t->rig = r;
	call.url = url;
	if (call.timeout_ms == 0)
		call.timeout_ms = LONG_MS;
	call.done = done;
	call.context = t;
	return http_send(r->http, &call);
}

static struct http_exchange *
start(struct rig *r, struct told *t, const char *target, struct http_call call)
{
	char url[600];

	snprintf(url, sizeof url, "%s%s", script_url(r->server), target);
	return send_to(r, t, url, call);
}

static void
run(struct rig *r, struct told *t, struct http_call call)
{
	*t = (struct told){ 0 };
	start(r, t, "/x", call);
	LOOP_UNTIL(r->loop, t->times > 0);
	assert_int_equal(t->times, 1);
	assert_int_equal(http_under_way(r->http), 0);
}

static void
forget(struct told *t)
{
	free(t->body);
	t->body = NULL;
}

static struct http_call
post(const char *body)
{
	return (struct http_call){ .body = body, .body_bytes = strlen(body) };
}

static void
test_get(void **state)
{
	struct rig *r = *state;
	struct told t;
	char value[100];

	script_answer(r->server, 404, "{\"task\":null}");
	run(r, &t, (struct http_call){ 0 });
	assert_int_equal(t.outcome, HTTP_ANSWERED);
	assert_int_equal(t.status, 404);
	assert_string_equal(t.body, "{\"task\":null}");
	assert_string_equal(script_request(r->server, 0)->method, "GET");
	assert_string_equal(script_request(r->server, 0)->target, "/x");
	assert_true(script_header(
	    script_request(r->server, 0), "User-Agent", value, sizeof value));
	assert_string_equal(value, "tranqd/" TRANQD_VERSION);
	forget(&t);
}

static void
test_post(void **state)
{
	static const char *const headers[] = { "Content-Type: application/json",
		"X-Two: 2", NULL };
	struct rig *r = *state;
	struct http_call call = post("[{}]");
	const struct script_request *q;
	char value[100];
	struct told t;

	call.headers = headers;
	script_answer(r->server, 200, "");
	run(r, &t, call);
	assert_int_equal(t.status, 200);
	assert_int_equal(t.body_bytes, 0);
	q = script_request(r->server, 0);
	assert_string_equal(q->method, "POST");
	assert_string_equal(q->body, "[{}]");
	assert_true(script_header(q, "Content-Type", value, sizeof value));
	assert_string_equal(value, "application/json");
	assert_true(script_header(q, "X-Two", value, sizeof value));
	assert_false(script_header(q, "Expect", value, sizeof value));
	forget(&t);
}

/* A GET behind a POST on the same handle and connection. */
static void
test_connection_is_kept(void **state)
{
	struct rig *r = *state;
	struct told t;

	for (unsigned i = 0; i < 10; i++) {
		script_answer(r->server, 200, "{}");
		run(r, &t, i % 2 == 0 ? post("[]") : (struct http_call){ 0 });
		assert_int_equal(t.outcome, HTTP_ANSWERED);
		assert_string_equal(script_request(r->server, i)->method,
		    i % 2 == 0 ? "POST" : "GET");
		forget(&t);
	}
	assert_int_equal(script_connections(r->server), 1);
}

/* The server has closed the kept connection in between. */
static void
test_kept_connection_is_gone(void **state)
{
	struct rig *r = *state;
	struct told t;

	for (unsigned i = 0; i < 5; i++) {
		script_answer(r->server, 200, "{}");
		run(r, &t, post("[]"));
		assert_int_equal(t.outcome, HTTP_ANSWERED);
		script_drop(r->server);
		forget(&t);
	}
	assert_int_equal(script_requests(r->server), 5);
}

static void
test_many_at_once(void **state)
{
	struct rig *r = *state;
	struct told all[60] = { 0 };
	unsigned answered = 0;

	for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
		char target[16];

		snprintf(target, sizeof target, "/%u", i);
		script_answer(r->server, 200, "{}");
		start(r, &all[i], target, post("[]"));
	}
	assert_int_equal(http_under_way(r->http), ARRAY_LEN(all));
	LOOP_UNTIL(r->loop, http_under_way(r->http) == 0);
	for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
		assert_int_equal(all[i].times, 1);
		answered += all[i].outcome == HTTP_ANSWERED;
		forget(&all[i]);
	}
	assert_int_equal(answered, ARRAY_LEN(all));
}

/* ---- redirects ---- */

/* They are answers, and say where to. */
static void
test_redirect(void **state)
{
	static const char there[] = "HTTP/1.1 307 Elsewhere\r\n"
				    "Location: http://leader:8090/x?y\r\n"
				    "Content-Length: 0\r\n\r\n";
	static const char here[] = "HTTP/1.1 307 Elsewhere\r\n"
				   "Location: /other\r\n"
				   "Content-Length: 0\r\n\r\n";
	struct rig *r = *state;
	struct http_call call = post("{\"type\":\"index_realtime\"}");
	struct told t;
	char url[100];

	script_bytes(r->server, there, strlen(there), false);
	run(r, &t, call);
	assert_int_equal(t.outcome, HTTP_ANSWERED);
	assert_int_equal(t.status, 307);
	assert_string_equal(t.redirect, "http://leader:8090/x?y");
	forget(&t);
	script_bytes(r->server, here, strlen(here), false);
	run(r, &t, call);
	snprintf(url, sizeof url, "%s/other", script_url(r->server));
	assert_string_equal(t.redirect, url);
	forget(&t);
	script_answer(r->server, 200, "{}");
	run(r, &t, call);
	assert_string_equal(t.redirect, "");
	forget(&t);
}

/* ---- user and password ---- */

static const char *
authorization(struct rig *r, char to[static 100])
{
	unsigned last = script_requests(r->server) - 1;

	return script_header(
		   script_request(r->server, last), "Authorization", to, 100)
	    ? to
	    : "";
}

static void
test_basic(void **state)
{
	struct rig *r = *state;
	struct conf *conf = one_ds(NULL,
	    "\"druid.overlord.url\":\"http://o\","
	    "\"druidBeam.basicAuthUser\":\"Aladdin\","
	    "\"druidBeam.basicAuthPass\":\"open:sesame\"");
	struct http_call call = { .authorize = true };
	struct told t;
	char value[100];

	script_answer(r->server, 200, "");
	run(r, &t, call);
	assert_string_equal(authorization(r, value), "");
	forget(&t);
	http_client_secure(r->http, &conf->ds[0]);
	script_answer(r->server, 200, "");
	run(r, &t, call);
	assert_string_equal(
	    authorization(r, value), "Basic QWxhZGRpbjpvcGVuOnNlc2FtZQ==");
	forget(&t);
	/* on the same connection and handle */
	call.authorize = false;
	script_answer(r->server, 200, "");
	run(r, &t, call);
	assert_string_equal(authorization(r, value), "");
	assert_int_equal(script_connections(r->server), 1);
	forget(&t);
	conf_free(&conf);
}

/* ---- nothing has left ---- */

/* A port of this machine where nobody listens: bound while the test lasts. */
static int
closed_port(int *fd)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t bytes = sizeof a;

	*fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(*fd, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(getsockname(*fd, (struct sockaddr *)&a, &bytes), 0);
	return ntohs(a.sin_port);
}

static void
expect_unreached(struct rig *r, const char *url, int64_t timeout_ms)
{
	struct http_call call = post("[{}]");
	struct told t = { 0 };

	call.timeout_ms = timeout_ms;
	send_to(r, &t, url, call);
	LOOP_UNTIL(r->loop, t.times > 0);
	if (t.outcome != HTTP_UNREACHED)
		fail_msg("outcome %d: %s", (int)t.outcome, t.why);
	assert_true(t.why[0] != '\0');
	forget(&t);
}

static void
test_unreached(void **state)
{
	struct rig *r = *state;
	char url[64];
	int fd, port = closed_port(&fd);

	snprintf(url, sizeof url, "http://127.0.0.1:%d/x", port);
	expect_unreached(r, url, LONG_MS);
	close(fd);
	expect_unreached(r, "http://no-such-host.invalid/x", LONG_MS);
	expect_unreached(r, "http://127.0.0.1:99999/x", LONG_MS);
	expect_unreached(r, "file:///etc/passwd", LONG_MS);
	expect_unreached(r, "", LONG_MS);
}

/* A host that does not answer at all, as one that is down. */
static void
test_connect_times_out(void **state)
{
	struct rig *r = *state;
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd, full[4];
	char url[64];

	a.sin_port = htons((uint16_t)closed_port(&fd));
	assert_int_equal(listen(fd, 0), 0);
	for (size_t i = 0; i < ARRAY_LEN(full); i++) {
		full[i] = socket(
		    AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)connect(full[i], (struct sockaddr *)&a, sizeof a);
	}
	snprintf(url, sizeof url, "http://127.0.0.1:%d/x", ntohs(a.sin_port));
	expect_unreached(r, url, SHORT_MS);
	for (size_t i = 0; i < ARRAY_LEN(full); i++)
		close(full[i]);
	close(fd);
}

/* It listens, and speaks no TLS. */
static void
test_no_tls_there(void **state)
{
	struct rig *r = *state;
	struct told t = { 0 };
	char url[64];

	snprintf(
	    url, sizeof url, "https://127.0.0.1:%d/x", script_port(r->server));
	send_to(r, &t, url, post("[]"));
	/* the client's hello is no request: the server waits for more */
	LOOP_UNTIL(r->loop, script_connections(r->server) == 1);
	script_drop(r->server);
	LOOP_UNTIL(r->loop, t.times > 0);
	assert_int_equal(t.outcome, HTTP_UNREACHED);
	forget(&t);
}

/* ---- it has left, in part or whole ---- */

static void
test_cut_short(void **state)
{
	struct rig *r = *state;
	size_t bytes = 32 * MiB; /* no socket takes it all */
	char *body = must_malloc(bytes);
	struct http_call call = { .body = body, .body_bytes = bytes };
	struct told t;

	memset(body, 'x', bytes);
	script_reset_at_head(r->server);
	run(r, &t, call);
	assert_int_equal(t.outcome, HTTP_CUT_SHORT);
	forget(&t);
	free(body);
}

static void
expect_unknown(struct rig *r, struct http_call call)
{
	struct told t;

	run(r, &t, call);
	if (t.outcome != HTTP_UNKNOWN)
		fail_msg("outcome %d: %s", (int)t.outcome, t.why);
	assert_true(t.why[0] != '\0');
	forget(&t);
}

static void
test_unknown(void **state)
{
	static const char half[] = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n"
				   "\r\n{\"eventCount\"";
	static const char half_head[] = "HTTP/1.1 200 OK\r\nContent-";
	static const char garbage[] = "\x16\x03\x01 garbage \r\n\r\n";
	struct rig *r = *state;

	script_close(r->server);
	expect_unknown(r, post("[{}]"));
	script_reset(r->server);
	expect_unknown(r, post("[{}]"));
	script_bytes(r->server, half, strlen(half), true);
	expect_unknown(r, post("[{}]"));
	script_bytes(r->server, half_head, strlen(half_head), true);
	expect_unknown(r, post("[{}]"));
	script_bytes(r->server, garbage, strlen(garbage), true);
	expect_unknown(r, post("[{}]"));
	script_close(r->server);
	expect_unknown(r, (struct http_call){ 0 });
	assert_int_equal(script_requests(r->server), 6);
}

static void
test_slow_answer(void **state)
{
	struct rig *r = *state;
	struct http_call call = post("[{}]");

	call.timeout_ms = SHORT_MS;
	script_hold(r->server);
	expect_unknown(r, call);
	assert_int_equal(script_requests(r->server), 1);
}

/* ---- not confirmed ---- */

#define UNREAD_BYTES (600 * 1024)

static int held_calls;

static void
held(void *context UNUSED)
{
	held_calls++;
}

/* A server that reads nothing until it is told to: its machine confirms no
 * more than a small buffer takes. */
static int
deaf_server(char url[static 64])
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd, bytes = 4096;

	a.sin_port = htons((uint16_t)closed_port(&fd));
	assert_int_equal(
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes), 0);
	assert_int_equal(listen(fd, 8), 0);
	snprintf(url, 64, "http://127.0.0.1:%d/x", ntohs(a.sin_port));
	return fd;
}

static struct http_call
long_call(char *body, int64_t hold_ms)
{
	struct http_call call = { .body = body,
		.body_bytes = UNREAD_BYTES,
		.timeout_ms = SHORT_MS,
		.hold_ms = hold_ms,
		.held = held };

	memset(body, ' ', UNREAD_BYTES);
	held_calls = 0;
	return call;
}

/* Reads until nothing comes for a moment; true: the connection was reset. */
static bool
drain(struct rig *r, int fd)
{
	char bytes[65536];
	ssize_t got = 1;

	for (int quiet = 0; got != 0 && quiet < 5;) {
		got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
		if (got < 0 && errno == ECONNRESET)
			return true;
		quiet = got > 0 ? 0 : quiet + 1;
		if (got < 0)
			usleep(2000);
		loop_poll(r->loop);
		loop_once(r->loop);
	}
	return false;
}

/* Given up at last: what the kernel still has never gets there. */
static void
test_never_confirmed(void **state)
{
	struct rig *r = *state;
	struct told t = { 0 };
	char url[64], *body = must_malloc(UNREAD_BYTES);
	int listening = deaf_server(url), fd;

	send_to(r, &t, url, long_call(body, 600));
	LOOP_UNTIL(r->loop, t.times > 0);
	assert_int_equal(t.outcome, HTTP_CUT_SHORT);
	assert_in_range(held_calls, 2, 3);
	assert_non_null(strstr(t.why, "not confirmed"));
	fd = accept(listening, NULL, NULL);
	assert_true(fd >= 0);
	assert_true(drain(r, fd));
	close(fd);
	close(listening);
	forget(&t);
	free(body);
}

/* All of it gets there after its time: then the answer is waited for. */
static void
test_confirmed_late(void **state)
{
	static const char answer[] =
	    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
	struct rig *r = *state;
	char url[64], *body = must_malloc(UNREAD_BYTES);
	int listening = deaf_server(url), fd;

	for (int answers = 0; answers < 2; answers++) {
		struct told t = { 0 };

		send_to(r, &t, url, long_call(body, LONG_MS));
		LOOP_UNTIL(r->loop, held_calls > 0);
		assert_int_equal(t.times, 0);
		fd = accept(listening, NULL, NULL);
		assert_true(fd >= 0);
		assert_false(drain(r, fd));
		if (answers)
			assert_int_equal(
			    write(fd, answer, strlen(answer)), strlen(answer));
		LOOP_UNTIL(r->loop, t.times > 0);
		assert_int_equal(
		    t.outcome, answers ? HTTP_ANSWERED : HTTP_UNKNOWN);
		close(fd);
		forget(&t);
	}
	close(listening);
	free(body);
}

static void
cancel_it(void *context)
{
	struct told *t = context;
	struct http_exchange *x = t->exchange;

	held_calls++;
	http_cancel(t->rig->http, &x);
}

static void
give_it_up(void *context)
{
	struct told *t = context;
	struct http_exchange *x = t->exchange;

	held_calls++;
	assert_true(http_give_up(t->rig->http, &x));
	assert_null(x);
}

static bool
has_come(int listening, int *fd)
{
	char byte;

	if (*fd < 0)
		*fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK);
	return *fd >= 0 && recv(*fd, &byte, 1, MSG_PEEK) == 1;
}

/* The rest of it never comes; of one that is young it does. */
static void
test_give_up(void **state)
{
	struct rig *r = *state;
	char url[64], *body = must_malloc(UNREAD_BYTES);
	int listening = deaf_server(url);

	fcntl(listening, F_SETFL, O_NONBLOCK);
	for (int is_young = 0; is_young < 2; is_young++) {
		struct told t = { 0 };
		struct http_call call = long_call(body, LONG_MS);
		int fd = -1;

		call.held = give_it_up;
		if (is_young)
			call.timeout_ms = 60000;
		t.exchange = send_to(r, &t, url, call);
		LOOP_UNTIL(r->loop, has_come(listening, &fd));
		if (is_young)
			assert_false(http_give_up(r->http, &t.exchange));
		LOOP_UNTIL(r->loop, http_under_way(r->http) == 0);
		assert_int_equal(drain(r, fd), !is_young);
		assert_int_equal(t.times, 0);
		close(fd);
	}
	close(listening);
	free(body);
}

static void
test_cancel_in_held(void **state)
{
	struct rig *r = *state;
	struct told t = { 0 };
	char url[64], *body = must_malloc(UNREAD_BYTES);
	struct http_call call = long_call(body, LONG_MS);
	int listening = deaf_server(url);

	call.held = cancel_it;
	t.exchange = send_to(r, &t, url, call);
	LOOP_UNTIL(r->loop, held_calls > 0);
	assert_int_equal(held_calls, 1);
	assert_int_equal(http_under_way(r->http), 0);
	assert_int_equal(t.times, 0);
	close(listening);
	free(body);
}

/* Nothing is held on to that has all got there, or has no connection. */
static void
test_nothing_to_hold(void **state)
{
	struct rig *r = *state;
	struct http_call call = post("[{}]");

	held_calls = 0;
	call.timeout_ms = SHORT_MS;
	call.hold_ms = LONG_MS;
	call.held = held;
	script_hold(r->server);
	expect_unknown(r, call);
	assert_int_equal(held_calls, 0);
}

/* An answer may be as long as the limit, and not longer. */
static void
test_long_answers(void **state)
{
	struct rig *r = *state;

	for (size_t more = 0; more <= 2; more++) {
		size_t bytes = HTTP_ANSWER_MAX + more;
		char *text = must_malloc(bytes + 100);
		int head = snprintf(text, 100,
		    "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", bytes);
		struct told t;

		memset(text + head, 'x', bytes);
		script_bytes(r->server, text, (size_t)head + bytes, false);
		run(r, &t, post("[]"));
		if (more == 0) {
			assert_int_equal(t.outcome, HTTP_ANSWERED);
			assert_int_equal(t.body_bytes, HTTP_ANSWER_MAX);
			assert_int_equal(strlen(t.body), HTTP_ANSWER_MAX);
		} else {
			assert_int_equal(t.outcome, HTTP_UNKNOWN);
		}
		forget(&t);
		free(text);
	}
}

/* ---- cancelling, and calls from inside `done` ---- */

static void
test_cancel(void **state)
{
	struct rig *r = *state;
	struct told t = { 0 }, other = { 0 };
	struct http_exchange *x = start(r, &t, "/x", post("[]")), *none = NULL;

	http_cancel(r->http, &x); /* before it has begun */
	assert_null(x);
	http_cancel(r->http, &none);
	assert_int_equal(http_under_way(r->http), 0);
	script_hold(r->server);
	x = start(r, &t, "/x", post("[]"));
	LOOP_UNTIL(r->loop, script_held(r->server) == 1);
	http_cancel(r->http, &x); /* in the middle */
	script_answer(r->server, 200, "{}");
	start(r, &other, "/y", post("[]"));
	LOOP_UNTIL(r->loop, other.times == 1);
	assert_int_equal(other.status, 200);
	assert_int_equal(t.times, 0);
	forget(&other);
}

static struct http_exchange *to_cancel;

static void
cancel_other(struct told *t)
{
	http_cancel(t->rig->http, &to_cancel);
}

/* Both have ended when the first one is told. */
static void
test_cancel_in_done(void **state)
{
	struct rig *r = *state;
	struct told a = { .then = cancel_other }, b = { 0 };

	script_answer(r->server, 200, "{}");
	script_hold(r->server);
	start(r, &a, "/a", post("[]"));
	LOOP_UNTIL(r->loop, script_requests(r->server) == 1);
	to_cancel = start(r, &b, "/b", post("[]"));
	LOOP_UNTIL(r->loop, a.times == 1);
	assert_null(to_cancel);
	LOOP_UNTIL(r->loop, http_under_way(r->http) == 0);
	assert_int_equal(b.times, 0);
	forget(&a);
}

static void
send_again(struct told *t)
{
	if (t->times < 5)
		start(t->rig, t, "/again", post("[]"));
}

static void
test_send_in_done(void **state)
{
	struct rig *r = *state;
	struct told t = { .then = send_again };

	for (int i = 0; i < 5; i++)
		script_answer(r->server, 200, "{}");
	start(r, &t, "/x", post("[]"));
	LOOP_UNTIL(r->loop, t.times == 5);
	assert_int_equal(t.outcome, HTTP_ANSWERED);
	assert_int_equal(script_connections(r->server), 1);
	forget(&t);
}

static void
test_freed_under_way(void **state)
{
	struct rig *r = *state;
	struct told t = { 0 };

	for (int i = 0; i < 30; i++) {
		script_hold(r->server);
		start(r, &t, "/x", post("[]"));
	}
	LOOP_UNTIL(r->loop, script_held(r->server) == 30);
	http_client_free(&r->http);
	assert_null(r->http);
	assert_int_equal(t.times, 0);
}

/* A server process that waits in recv: how many bytes of each request's body
 * came with its head. Ends with its last request. */
static pid_t
first_reads(int listening, size_t body_bytes, int requests, int report)
{
	static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	static char bytes[256 * 1024];
	pid_t pid = fork();
	int fd;

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fd = accept(listening, NULL, NULL);
	for (; requests > 0; requests--) {
		ssize_t got = recv(fd, bytes, sizeof bytes - 1, 0), n = 1;
		char *end;
		size_t with_head, rest;

		bytes[MAX_OF(got, 0)] = '\0';
		end = strstr(bytes, "\r\n\r\n");
		if (end == NULL)
			_exit(1);
		with_head = (size_t)(bytes + got - (end + 4));
		for (rest = body_bytes - with_head; rest > 0 && n > 0;
		     rest -= (size_t)n)
			n = recv(fd, bytes, MIN_OF(rest, sizeof bytes), 0);
		if (n <= 0 || write(report, &with_head, sizeof with_head) < 0 ||
		    send(fd, ok, sizeof ok - 1, 0) < 0)
			_exit(1);
	}
	_exit(0);
}

/* batch.h: a worker that is killed must not have sent a head alone. */
static void
test_chunk_leaves_whole(void **state)
{
	struct rig *r = *state;
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t at_bytes = sizeof at;
	int listening = socket(AF_INET, SOCK_STREAM, 0), report[2], status;
	char *body = must_malloc(BATCH_CHUNK_BYTES_MAX), url[64];
	struct http_call call = { .body = body,
		.body_bytes = BATCH_CHUNK_BYTES_MAX };
	struct told t = { 0 };
	size_t with_head;
	pid_t pid;

	memset(body, 'x', BATCH_CHUNK_BYTES_MAX);
	assert_int_equal(bind(listening, (const void *)&at, sizeof at), 0);
	assert_int_equal(listen(listening, 1), 0);
	getsockname(listening, (void *)&at, &at_bytes);
	snprintf(url, sizeof url, "http://127.0.0.1:%d/x", ntohs(at.sin_port));
	assert_int_equal(pipe(report), 0);
	pid = first_reads(listening, BATCH_CHUNK_BYTES_MAX, 20, report[1]);
	for (int i = 0; i < 20; i++) {
		t.times = 0;
		send_to(r, &t, url, call);
		LOOP_UNTIL(r->loop, t.times > 0);
		assert_int_equal(t.outcome, HTTP_ANSWERED);
		forget(&t);
		assert_int_equal(read(report[0], &with_head, sizeof with_head),
		    sizeof with_head);
		assert_true(with_head > 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(report[0]);
	close(report[1]);
	close(listening);
	free(body);
}

static void
test_escape(void **state)
{
	char *text = http_escape("index_realtime_a b/c_2026-11-22T10:00Z?ž");

	(void)state;
	assert_string_equal(text,
	    "index_realtime_a%20b%2Fc_2026-11-22T10%3A"
	    "00Z%3F%C5%BE");
	free(text);
}

#define HTTP_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		HTTP_TEST(test_get),
		HTTP_TEST(test_post),
		HTTP_TEST(test_connection_is_kept),
		HTTP_TEST(test_kept_connection_is_gone),
		HTTP_TEST(test_many_at_once),
		HTTP_TEST(test_redirect),
		HTTP_TEST(test_basic),
		HTTP_TEST(test_unreached),
		HTTP_TEST(test_connect_times_out),
		HTTP_TEST(test_no_tls_there),
		HTTP_TEST(test_cut_short),
		HTTP_TEST(test_unknown),
		HTTP_TEST(test_slow_answer),
		HTTP_TEST(test_never_confirmed),
		HTTP_TEST(test_confirmed_late),
		HTTP_TEST(test_cancel_in_held),
		HTTP_TEST(test_give_up),
		HTTP_TEST(test_nothing_to_hold),
		HTTP_TEST(test_long_answers),
		HTTP_TEST(test_cancel),
		HTTP_TEST(test_cancel_in_done),
		HTTP_TEST(test_send_in_done),
		HTTP_TEST(test_freed_under_way),
		HTTP_TEST(test_chunk_leaves_whole),
		HTTP_TEST(test_escape),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
