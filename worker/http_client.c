/*
 * http_client - HTTP requests out, on the loop
 *
 * Process: worker.   Owns: libcurl.
 *
 * Names are looked up by curl's threaded resolver; there is no other thread.
 */
#include "http_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <linux/tcp.h>

#include <curl/curl.h>

#include "buf.h"
#include "log.h"
#include "panic.h"

#define CONNECT_TIMEOUT_MS 5000
#define WHY_BYTES (CURL_ERROR_SIZE + 200)
/* A chunk goes to the kernel in one call with its head (batch.h says why), a
 * body too large for that at least in one call of its own: curl's buffer and
 * the socket's have to take it. */
#define UPLOAD_BYTES (2L * 1024 * 1024)
#define SEND_BUFFER_BYTES (1024 * 1024)
#define IDLE_HANDLES_MAX 16
#define HOLD_LOOK_MS 250

struct http_exchange {
	struct http_client *client;
	struct http_exchange *next, *previous;
	CURL *easy;
	struct curl_slist *headers;
	struct buf answer;
	bool has_head; /* the answer's head is there whole */
	curl_off_t body_bytes;
	char why[CURL_ERROR_SIZE];
	http_done_fn *done;
	void *context;
	/* a call that is held on to */
	int fd; /* its connection, -1: none */
	struct loop_timer timer; /* its time is over; a look */
	int64_t timeout_ms, hold_ms, held_ms;
	http_held_fn *held;
	bool is_cut; /* given up with bytes that were not confirmed */
};

/* A socket that curl wants watched. */
struct watch {
	struct loop_io io;
	struct http_client *client;
};

struct http_client {
	struct loop *loop;
	const struct ds_conf *ds; /* NULL: plain, nobody in particular */
	CURLM *multi;
	struct loop_timer timer;
	struct http_exchange *first;
	unsigned under_way;
	CURL *idle[IDLE_HANDLES_MAX];
	unsigned idle_count;
};

static void
set(CURLcode code)
{
	must(code == CURLE_OK);
}

/* ---- an exchange's end ---- */

static void
unlink_exchange(struct http_exchange *x)
{
	struct http_client *c = x->client;

	if (x->previous != NULL)
		x->previous->next = x->next;
	else
		c->first = x->next;
	if (x->next != NULL)
		x->next->previous = x->previous;
	c->under_way--;
}

static void
free_exchange(struct http_exchange *x)
{
	struct http_client *c = x->client;

	unlink_exchange(x);
	loop_timer_stop(&x->timer);
	curl_multi_remove_handle(c->multi, x->easy);
	if (c->idle_count < IDLE_HANDLES_MAX) {
		curl_easy_reset(x->easy);
		c->idle[c->idle_count++] = x->easy;
	} else {
		curl_easy_cleanup(x->easy);
	}
	curl_slist_free_all(x->headers);
	buf_free(&x->answer);
	free(x);
}

static enum http_outcome
outcome_of(const struct http_exchange *x, CURLcode code)
{
	curl_off_t body_sent = 0;
	long request_sent = 0; /* with its head */

	/* curl takes a connection that ends in the answer's head for the end
	 * of the answer */
	if (code == CURLE_OK)
		return x->has_head ? HTTP_ANSWERED : HTTP_UNKNOWN;
	curl_easy_getinfo(x->easy, CURLINFO_REQUEST_SIZE, &request_sent);
	curl_easy_getinfo(x->easy, CURLINFO_SIZE_UPLOAD_T, &body_sent);
	/* also a time-out or a break while still connecting */
	if (request_sent == 0)
		return HTTP_UNREACHED;
	return x->is_cut || body_sent < x->body_bytes ? HTTP_CUT_SHORT
						      : HTTP_UNKNOWN;
}

/* What to do about it, when it is for the operator to do. */
static const char *
remedy(CURLcode code, const char *why)
{
	switch (code) {
	case CURLE_PEER_FAILED_VERIFICATION:
		return strstr(why, "subject name") != NULL ||
			strstr(why, "host name") != NULL
		    ? "; give Druid a certificate with that name, or set "
		      "druid.tls.verifyHostname to false"
		    : "; druid.tls.trustStorePath must have the CA of Druid's "
		      "certificate";
	case CURLE_SSL_CONNECT_ERROR:
		return "; is that a TLS port, and do druid.tls.protocol and "
		       "druid.tls.keyStorePath suit it?";
	default: return "";
	}
}

static void
say_why(const struct http_exchange *x, CURLcode code, char why[WHY_BYTES])
{
	const char *reason = x->why[0] != '\0' ? x->why
	    : code == CURLE_OK ? "the answer broke off in its head"
			       : curl_easy_strerror(code);

	snprintf(why, WHY_BYTES, "%s%s", reason, remedy(code, reason));
}

static char *
redirect_of(CURL *easy)
{
	char *url = NULL; /* curl's */

	curl_easy_getinfo(easy, CURLINFO_REDIRECT_URL, &url);
	return url != NULL ? must_strdup(url) : NULL;
}

static void
conclude(struct http_exchange *x, CURLcode code)
{
	struct http_answer answer = { .outcome = outcome_of(x, code) };
	char *redirect = redirect_of(x->easy), why[WHY_BYTES];
	http_done_fn *done = x->done;
	void *context = x->context;
	struct buf kept = x->answer;
	long status = 0;

	curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
	say_why(x, code, why);
	buf_init(&x->answer, HTTP_ANSWER_MAX + 1 /* a NUL */);
	free_exchange(x);
	answer.status = (int)status;
	answer.body = buf_text(&kept);
	answer.body_bytes = kept.used;
	answer.redirect = redirect;
	answer.why = why;
	if (answer.body == NULL) {
		answer.body = "";
		answer.body_bytes = 0;
	}
	done(context, &answer);
	free(redirect);
	buf_free(&kept);
}

static void
conclude_all(struct http_client *c)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(c->multi, &left)) != NULL) {
		struct http_exchange *x = NULL;
		CURLcode code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		set(curl_easy_getinfo(
		    message->easy_handle, CURLINFO_PRIVATE, (char **)&x));
		conclude(x, code); /* the message is gone with the handle */
	}
}

/* ---- requests that are not confirmed ---- */

/* Whether the other machine has not confirmed all of it. Not when that is no
 * question: not all has left, or nothing. */
static bool
is_unconfirmed(const struct http_exchange *x)
{
	struct tcp_info info = { 0 };
	socklen_t bytes = sizeof info;
	curl_off_t body_sent = 0;

	curl_easy_getinfo(x->easy, CURLINFO_SIZE_UPLOAD_T, &body_sent);
	if (x->fd < 0 || body_sent < x->body_bytes ||
	    getsockopt(x->fd, IPPROTO_TCP, TCP_INFO, &info, &bytes) < 0)
		return false;
	return info.tcpi_unacked > 0 || info.tcpi_notsent_bytes > 0;
}

/* Nothing that the kernel has still to send may come to the other side later,
 * beside what is sent in its place. */
static void
cut(struct http_exchange *x)
{
	const struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	x->is_cut = true;
	setsockopt(x->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
}

static void
hold_due(struct loop_timer *t)
{
	struct http_exchange *x = t->context;
	bool was_held = x->held_ms > 0;
	bool unconfirmed = is_unconfirmed(x);

	if (unconfirmed && x->held_ms < x->hold_ms) {
		x->held_ms += HOLD_LOOK_MS;
		loop_timer_start(x->client->loop, t, HOLD_LOOK_MS, hold_due);
		if (x->held != NULL)
			x->held(x->context); /* x may be gone */
		return;
	}
	if (!unconfirmed && was_held) { /* now for the answer */
		x->held_ms = 0;
		x->hold_ms = 0;
		loop_timer_start(x->client->loop, t, x->timeout_ms, hold_due);
		return;
	}
	if (unconfirmed)
		cut(x);
	snprintf(x->why, sizeof x->why, "Timeout was reached: no answer%s",
	    unconfirmed ? ", and part of the request is not confirmed" : "");
	conclude(x, CURLE_OPERATION_TIMEDOUT);
}

static void
note_socket(CURL *easy, int fd, bool is_gone)
{
	struct http_exchange *x = NULL;

	curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&x);
	if (x == NULL) /* curl's own */
		return;
	if (!is_gone)
		x->fd = fd;
	else if (x->fd == fd)
		x->fd = -1;
}

/* ---- curl on the loop ---- */

static void
timer_due(struct loop_timer *t)
{
	struct http_client *c = t->context;
	int running;

	curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	conclude_all(c);
}

static int
want_timer(CURLM *multi UNUSED, long timeout_ms, void *context)
{
	struct http_client *c = context;

	if (timeout_ms < 0)
		loop_timer_stop(&c->timer);
	else
		loop_timer_start(c->loop, &c->timer, timeout_ms, timer_due);
	return 0;
}

static void
socket_ready(struct loop_io *io, uint32_t events)
{
	struct watch *w = io->context;
	struct http_client *c = w->client; /* w may be freed below */
	int what = 0, running;

	if (events & EPOLLIN)
		what |= CURL_CSELECT_IN;
	if (events & EPOLLOUT)
		what |= CURL_CSELECT_OUT;
	if (events & (EPOLLERR | EPOLLHUP))
		what |= CURL_CSELECT_ERR;
	curl_multi_socket_action(c->multi, io->fd, what, &running);
	conclude_all(c);
}

static int
want_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *known)
{
	struct http_client *c = context;
	struct watch *w = known;
	uint32_t events = (what & CURL_POLL_IN ? EPOLLIN : 0u) |
	    (what & CURL_POLL_OUT ? EPOLLOUT : 0u);

	note_socket(easy, fd, what == CURL_POLL_REMOVE);
	if (what == CURL_POLL_REMOVE) {
		if (w != NULL)
			loop_io_stop(&w->io);
		free(w);
		return 0;
	}
	if (w != NULL) {
		loop_io_change(&w->io, events);
		return 0;
	}
	w = must_calloc(1, sizeof *w);
	w->client = c;
	w->io.context = w;
	if (!loop_io_start(c->loop, &w->io, fd, events, socket_ready))
		fatal("http_client: epoll");
	curl_multi_assign(c->multi, fd, w);
	return 0;
}

static int
new_socket(void *context UNUSED, curl_socket_t fd, curlsocktype purpose UNUSED)
{
	int bytes = SEND_BUFFER_BYTES;

	/* beyond the system's limit where we may, else up to it */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) <
	    0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
	return CURL_SOCKOPT_OK;
}

static size_t
answer_part(char *part, size_t one, size_t count, void *context)
{
	struct http_exchange *x = context;

	if (x->answer.used + one * count > HTTP_ANSWER_MAX)
		return 0;
	buf_add(&x->answer, part, one * count);
	return x->answer.failed ? 0 : one * count;
}

static size_t
head_line(char *line, size_t one, size_t count, void *context)
{
	struct http_exchange *x = context;

	if (count > 5 && memcmp(line, "HTTP/", 5) == 0)
		x->has_head = false; /* after 100 */
	else if (line[0] == '\r' || line[0] == '\n')
		x->has_head = true;
	return one * count;
}

/* ---- the client ---- */

/* Without memory curl leaves out a header, or forgets a transfer: a producer's
 * sequence must not be lost that way. */
static bool
init_curl(void)
{
	return curl_global_init_mem(CURL_GLOBAL_ALL, must_malloc, free,
		   must_realloc, must_strdup, must_calloc) == CURLE_OK;
}

struct http_client *
http_client_new(struct loop *loop)
{
	struct http_client *c = must_calloc(1, sizeof *c);

	if (!init_curl() || (c->multi = curl_multi_init()) == NULL)
		fatalx("http_client: libcurl cannot be initialised");
	c->loop = loop;
	c->timer.context = c;
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, want_timer);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	return c;
}

void
http_client_secure(struct http_client *c, const struct ds_conf *ds)
{
	c->ds = ds;
}

void
http_client_free(struct http_client **client)
{
	struct http_client *c = *client;

	if (c == NULL)
		return;
	*client = NULL;
	while (c->first != NULL)
		free_exchange(c->first);
	while (c->idle_count > 0)
		curl_easy_cleanup(c->idle[--c->idle_count]);
	curl_multi_cleanup(c->multi);
	loop_timer_stop(&c->timer);
	free(c);
}

static CURL *
take_handle(struct http_client *c)
{
	CURL *easy =
	    c->idle_count > 0 ? c->idle[--c->idle_count] : curl_easy_init();

	must_afford(easy != NULL);
	return easy;
}

static void
set_request(struct http_exchange *x, const struct http_call *call)
{
	CURL *e = x->easy;

	set(curl_easy_setopt(e, CURLOPT_URL, call->url));
	set(curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https"));
	/* what is held on to ends by its own timer */
	set(curl_easy_setopt(e, CURLOPT_TIMEOUT_MS,
	    (long)(call->hold_ms == 0
		    ? call->timeout_ms
		    : 2 * call->timeout_ms + call->hold_ms + 1000)));
	set(curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS,
	    (long)MIN_OF(call->timeout_ms, CONNECT_TIMEOUT_MS)));
	set(curl_easy_setopt(e, CURLOPT_NOPROXY, "*"));
	/* HTTP/2 would cut a request in parts (batch.h) */
	set(curl_easy_setopt(
	    e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1));
	/* no "Expect: 100-continue": it would cost a round trip */
	x->headers = curl_slist_append(NULL, "Expect:");
	for (const char *const *h = call->headers; h != NULL && *h; h++)
		x->headers = curl_slist_append(x->headers, *h);
	set(curl_easy_setopt(e, CURLOPT_HTTPHEADER, x->headers));
	if (call->body == NULL)
		return;
	set(curl_easy_setopt(e, CURLOPT_POST, 1L));
	set(curl_easy_setopt(e, CURLOPT_POSTFIELDS, call->body));
	set(curl_easy_setopt(
	    e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body_bytes));
	set(curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, UPLOAD_BYTES));
}

/* The text stays where it is until the call's end. */
static struct curl_blob
blob_of(const char *text)
{
	union {
		const char *text;
		void *data;
	} u = { .text = text }; /* curl wants no const, and only reads */

	return (struct curl_blob){
		.data = u.data, .len = strlen(text), .flags = CURL_BLOB_NOCOPY
	};
}

static void
set_tls(CURL *e, const struct ds_conf *ds)
{
	long version = strcmp(ds->tls_protocol, "TLSv1.3") == 0
	    ? CURL_SSLVERSION_TLSv1_3
	    : CURL_SSLVERSION_TLSv1_2;
	struct curl_blob blob;

	set(curl_easy_setopt(e, CURLOPT_SSLVERSION, version));
	set(curl_easy_setopt(
	    e, CURLOPT_SSL_VERIFYHOST, ds->tls_verify_host ? 2L : 0L));
	if (ds->druid_trust != NULL) {
		blob = blob_of(ds->druid_trust);
		set(curl_easy_setopt(e, CURLOPT_CAINFO_BLOB, &blob));
		/* these, and not the system's too */
		set(curl_easy_setopt(e, CURLOPT_CAPATH, NULL));
	}
	if (ds->druid_key != NULL) {
		blob = blob_of(ds->druid_key);
		set(curl_easy_setopt(e, CURLOPT_SSLCERT_BLOB, &blob));
		set(curl_easy_setopt(e, CURLOPT_SSLKEY_BLOB, &blob));
	}
}

static void
set_user(CURL *e, const struct ds_conf *ds)
{
	if (*ds->basic_user == '\0' || *ds->basic_password == '\0')
		return;
	set(curl_easy_setopt(e, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC));
	set(curl_easy_setopt(e, CURLOPT_USERNAME, ds->basic_user));
	set(curl_easy_setopt(e, CURLOPT_PASSWORD, ds->basic_password));
}

static void
set_plumbing(struct http_exchange *x)
{
	CURL *e = x->easy;

	set(curl_easy_setopt(e, CURLOPT_PRIVATE, x));
	set(curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L));
	set(curl_easy_setopt(e, CURLOPT_ERRORBUFFER, x->why));
	set(curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, answer_part));
	set(curl_easy_setopt(e, CURLOPT_WRITEDATA, x));
	set(curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, head_line));
	set(curl_easy_setopt(e, CURLOPT_HEADERDATA, x));
	set(curl_easy_setopt(e, CURLOPT_SOCKOPTFUNCTION, new_socket));
	set(curl_easy_setopt(e, CURLOPT_USERAGENT, "tranqd/" TRANQD_VERSION));
}

struct http_exchange *
http_send(struct http_client *c, const struct http_call *call)
{
	struct http_exchange *x = must_calloc(1, sizeof *x);

	x->client = c;
	x->easy = take_handle(c);
	x->done = call->done;
	x->context = call->context;
	x->fd = -1;
	x->timer.context = x;
	x->timeout_ms = call->timeout_ms;
	x->hold_ms = call->hold_ms;
	x->held = call->held;
	x->body_bytes = (curl_off_t)call->body_bytes;
	buf_init(&x->answer, HTTP_ANSWER_MAX + 1 /* a NUL */);
	set_plumbing(x);
	set_request(x, call);
	if (c->ds != NULL)
		set_tls(x->easy, c->ds);
	if (c->ds != NULL && call->authorize)
		set_user(x->easy, c->ds);
	x->next = c->first;
	if (c->first != NULL)
		c->first->previous = x;
	c->first = x;
	c->under_way++;
	must(curl_multi_add_handle(c->multi, x->easy) == CURLM_OK);
	if (x->hold_ms > 0)
		loop_timer_start(c->loop, &x->timer, x->timeout_ms, hold_due);
	return x;
}

void
http_cancel(struct http_client *c, struct http_exchange **exchange)
{
	struct http_exchange *x = *exchange;

	if (x == NULL)
		return;
	must(x->client == c);
	*exchange = NULL;
	free_exchange(x);
}

bool
http_give_up(struct http_client *c, struct http_exchange **exchange)
{
	struct http_exchange *x = *exchange;
	bool in_part;

	if (x->held_ms > 0 && is_unconfirmed(x))
		cut(x);
	in_part = outcome_of(x, CURLE_ABORTED_BY_CALLBACK) == HTTP_CUT_SHORT;
	http_cancel(c, exchange);
	return in_part;
}

unsigned
http_under_way(const struct http_client *c)
{
	return c->under_way;
}

char *
http_escape(const char *text)
{
	char *escaped = curl_easy_escape(NULL, text, 0), *copy;

	must_afford(escaped != NULL);
	copy = must_strdup(escaped);
	curl_free(escaped);
	return copy;
}
