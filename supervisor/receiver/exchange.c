/*
 * exchange - requests out of a connection's bytes, one after the other
 *
 * Process: receiver.
 */
#include "exchange.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "log.h"
#include "request_key.h"

#define COMPLAIN_MS 10000

static const char banner[] =
    "tranqd " TRANQD_VERSION
    ": send events to POST /v1/post or /v1/post/{dataSource}\n";
static const char continue_line[] = "HTTP/1.1 100 Continue\r\n\r\n";

const struct conf *
exchange_conf(const struct connections *all)
{
	return all->posts->settings->conf;
}

/* Long answers, such as lists of dropped events, are counted as memory. */
static bool
charge_output(struct connection *c, size_t size)
{
	size_t more;

	if (size <= EXCHANGE_OUTPUT_BYTES + c->out_charged)
		return true;
	more = size - EXCHANGE_OUTPUT_BYTES - c->out_charged;
	if (!memory_charge(&c->all->memory, more))
		return false;
	c->out_charged += more;
	return true;
}

/* What the socket does not take now is kept; EPOLLOUT comes. */
static void
keep_output(struct connection *c, const char *bytes, size_t count)
{
	char *out = charge_output(c, c->out_used + count)
	    ? realloc(c->out, c->out_used + count)
	    : NULL;

	if (out == NULL) {
		c->is_broken = true;
		return;
	}
	memcpy(out + c->out_used, bytes, count);
	c->out = out;
	c->out_used += count;
}

void
exchange_drop_output(struct connection *c)
{
	free(c->out);
	c->out = NULL;
	c->out_at = c->out_used = 0;
	if (c->out_charged > 0)
		memory_credit(&c->all->memory, c->out_charged);
	c->out_charged = 0;
}

void
exchange_flush(struct connection *c)
{
	struct connections *all = c->all;
	size_t used = all->output_used;
	ssize_t n = 0;

	all->output_used = 0;
	if (used == 0 || c->is_broken)
		return;
	FAULT_POINT(ANSWER_SEND);
	if (c->out == NULL) {
		n = connection_send(c, all->output, used);
		FAULT_POINT(ANSWER_SENT);
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			c->is_broken = true;
			return;
		}
	}
	n = MAX_OF(n, 0);
	if ((size_t)n < used)
		keep_output(c, all->output + n, used - (size_t)n);
}

static const char *
date_now(struct connections *all)
{
	int64_t now = post_wall_ms(all->posts);

	if (now / 1000 != all->date_second) {
		all->date_second = now / 1000;
		reply_date(now, all->date);
	}
	return all->date;
}

static void
count_answer(struct connections *all, unsigned status)
{
	all->has_counted = true;
	if (status < 300)
		all->counters.answers_2xx++;
	else if (status < 500)
		all->counters.answers_4xx++;
	else
		all->counters.answers_5xx++;
}

/* What may be larger than the output. */
static void
append(struct connection *c, const char *bytes, size_t count)
{
	struct connections *all = c->all;
	size_t n;

	for (; count > 0; bytes += n, count -= n) {
		if (all->output_used == EXCHANGE_OUTPUT_BYTES)
			exchange_flush(c);
		n = MIN_OF(count, EXCHANGE_OUTPUT_BYTES - all->output_used);
		memcpy(all->output + all->output_used, bytes, n);
		all->output_used += n;
	}
}

/* Appends to the output, which is flushed when the bytes at hand are served. */
void
exchange_answer(struct connection *c, const struct reply *reply)
{
	struct connections *all = c->all;
	struct reply_how how = { .is_head = c->is_head, .date = date_now(all) };

	if (!c->keeps_alive || all->is_draining)
		c->is_closing = true;
	how.closes = c->is_closing;
	how.keeps_alive = c->is_old;
	if (all->output_used + REPLY_BYTES_MAX > EXCHANGE_OUTPUT_BYTES)
		exchange_flush(c);
	all->output_used +=
	    reply_compose(all->output + all->output_used, reply, &how);
	if (reply->text == NULL && reply->result != NULL && !c->is_head)
		append(c, reply->result, reply->result_bytes);
	count_answer(all, reply->status);
}

/* An answer behind which nothing more is read. */
void
exchange_refuse(struct connection *c, unsigned status, const char *text)
{
	struct reply reply = {
		.status = status, .text = text, .retry_after_s = status == 503
	};

	c->keeps_alive = false;
	c->is_head = c->is_head && c->has_head; /* else of the one before */
	exchange_answer(c, &reply);
}

static bool
take_head(struct connection *c, struct span *s)
{
	struct http_request *r = &c->request;
	char text[200];

	switch (http_request_parse(r, s->bytes + s->at, s->used - s->at)) {
	case HTTP_NEED_MORE: return false;
	case HTTP_BAD:
		snprintf(text, sizeof text, "%s\n", r->reason);
		exchange_refuse(c, r->status, text);
		return false;
	case HTTP_DONE: break;
	}
	c->has_head = true;
	c->is_head_timed = false;
	c->is_checked = false;
	c->body_bytes = 0;
	c->is_old = r->minor == 0;
	c->is_head = r->method == HTTP_HEAD;
	c->keeps_alive = r->keep_alive;
	if (r->is_chunked)
		http_chunked_init(&c->chunked);
	c->all->counters.requests++;
	c->all->has_counted = true;
	return true;
}

static void
complain_of_password(struct connection *c)
{
	char peer[CONNECTION_PEER_BYTES];

	if (log_may_repeat(&c->all->complained_auth_ms, COMPLAIN_MS))
		log_info("%s sends wrong credentials (others may, status "
			 "counts them)",
		    connection_peer(c, peer));
}

/* The request's Idempotency-Key. False: the answer to one that is none. */
static bool
read_key(struct connection *c, const char *head, struct event_key *key,
    struct reply *reply)
{
	struct http_view v = c->request.idempotency_key, a;
	uint8_t hash[SECRET_HASH_BYTES], *who = NULL;

	if (c->all->posts->settings->auth != NULL &&
	    http_request_field(&c->request, head, "authorization", &a)) {
		auth_who(head + a.at, a.bytes, hash);
		who = hash;
	}
	if (request_key_read(head + v.at, v.bytes, who, key))
		return true;
	*reply = (struct reply){ .status = 400,
		.text = "The Idempotency-Key is to be 1 to 255 printable ASCII "
			"characters, in quotes or not\n" };
	return false;
}

/* False: the answer to who may not do that. */
static bool
may_ask(struct connection *c, const struct route *route, const char *head,
    struct reply *reply)
{
	struct connections *all = c->all;
	struct auth *auth = all->posts->settings->auth;
	struct http_view v = { 0, 0 };
	bool has_field;

	if (LIKELY(auth == NULL) || route->kind == ROUTE_BANNER)
		return true;
	has_field = http_request_field(&c->request, head, "authorization", &v);
	switch (auth_check(auth, has_field ? head + v.at : NULL, v.bytes,
	    loop_now_ms(all->loop))) {
	case AUTH_GOOD: return true;
	case AUTH_BUSY:
		*reply = (struct reply){ .status = 503,
			.text = "Too many passwords are to be checked\n",
			.retry_after_s = 1 };
		return false;
	case AUTH_BAD: break;
	}
	all->counters.unauthorized++;
	if (has_field)
		complain_of_password(c);
	*reply = (struct reply){ .status = 401,
		.text = has_field ? "Wrong credentials\n"
				  : "Credentials are needed\n",
		.challenge = auth_challenge(auth) };
	return false;
}

/* The body has not come whole: what would be refused is refused now, and a
 * client that asks whether to send it is told so. */
static void
check_early(struct connection *c, const struct span *s)
{
	struct connections *all = c->all;
	struct route route;
	struct reply reply;

	if (c->is_checked)
		return;
	c->is_checked = true;
	route_find(&route, &c->request, s->bytes + s->at);
	if (!may_ask(c, &route, s->bytes + s->at, &reply) ||
	    !post_may_begin(all->posts, &route, &reply)) {
		c->keeps_alive = false;
		exchange_answer(c, &reply);
		return;
	}
	if (!c->request.expects_continue)
		return;
	if (all->output_used + sizeof continue_line > EXCHANGE_OUTPUT_BYTES)
		exchange_flush(c);
	memcpy(all->output + all->output_used, continue_line,
	    sizeof continue_line - 1);
	all->output_used += sizeof continue_line - 1;
}

/* False: refused. */
static bool
check_size(struct connection *c, uint64_t bytes)
{
	int64_t max = exchange_conf(c->all)->http_max_body_bytes;
	char text[200];

	if (bytes <= (uint64_t)max)
		return true;
	snprintf(text, sizeof text,
	    "The body is larger than http.maxBodyBytes (%lld bytes)\n",
	    (long long)max);
	exchange_refuse(c, 413, text);
	return false;
}

/* Whether an incomplete body could ever be held. */
static bool
check_memory(struct connection *c, size_t bytes)
{
	size_t max = c->all->memory.max;
	char text[200];

	if (memory_size(bytes + JSON_SCAN_PADDING) <= max)
		return true;
	snprintf(text, sizeof text,
	    "The body is larger than http.bodyMemoryBytes (%zu bytes) allows "
	    "for\n",
	    max);
	exchange_refuse(c, 413, text);
	return false;
}

static bool
take_chunks(struct connection *c, struct span *s)
{
	size_t from = s->at + c->request.head_bytes + c->body_bytes;
	size_t used, more;
	enum http_result result = http_chunked_decode(
	    &c->chunked, s->bytes + from, s->used - from, &used, &more);
	char text[200];

	if (result == HTTP_BAD) {
		snprintf(text, sizeof text, "%s\n", c->chunked.reason);
		exchange_refuse(c, c->chunked.status, text);
		return false;
	}
	c->body_bytes += more;
	/* what a chunk says it brings counts before it comes */
	if (!check_size(c, c->body_bytes + c->chunked.left))
		return false;
	c->request_bytes = from + more - s->at;
	if (result == HTTP_DONE) {
		c->request_bytes = from + used - s->at;
		return true;
	}
	s->used = from + more;
	if (check_memory(c, c->request_bytes))
		check_early(c, s);
	return false;
}

/* True: the request is complete; body_bytes and request_bytes are known. */
static bool
take_body(struct connection *c, struct span *s)
{
	const struct http_request *r = &c->request;

	if (r->is_chunked)
		return take_chunks(c, s);
	if (r->content_length > 0 && !check_size(c, r->content_length))
		return false;
	c->body_bytes = (size_t)r->content_length;
	c->request_bytes = r->head_bytes + c->body_bytes;
	if (s->used - s->at >= c->request_bytes)
		return true;
	if (check_memory(c, c->request_bytes))
		check_early(c, s);
	return false;
}

/* The request's bytes are not needed any more. */
void
exchange_consume(struct connection *c, size_t *at)
{
	*at += c->request_bytes;
	c->has_head = false;
	http_request_init(&c->request);
}

/* A complete request. False: no further one may be handled now. */
static bool
handle(struct connection *c, struct span *s)
{
	const char *head = s->bytes + s->at;
	struct reply reply = { .status = 200, .text = banner };
	enum post_state state = POST_ANSWERED;
	bool has_key = UNLIKELY(c->request.has_idempotency_key) &&
	    exchange_conf(c->all)->http_idempotency_window_ms > 0;
	struct event_key key;
	struct route route;

	FAULT_POINT(REQUEST);
	route_find(&route, &c->request, head);
	if (!may_ask(c, &route, head, &reply)) {
		/* answered below */
	} else if (route.kind == ROUTE_POST && has_key &&
	    !read_key(c, head, &key, &reply)) {
		/* answered below */
	} else if (route.kind == ROUTE_POST) {
		struct post_input in = { .route = &route,
			.body = head + c->request.head_bytes,
			.bytes = c->body_bytes,
			.key = has_key ? &key : NULL,
			.owner = c };

		state = post_begin(c->all->posts, &in, &c->post, &reply);
	} else {
		(void)post_may_begin(c->all->posts, &route, &reply);
	}
	if (state == POST_BLOCKED) {
		c->is_kept = true;
		return false;
	}
	exchange_consume(c, &s->at);
	if (state == POST_ANSWERED)
		exchange_answer(c, &reply);
	return state == POST_ANSWERED;
}

bool
exchange_is_busy(const struct connection *c)
{
	return c->is_dead || c->is_broken || c->is_closing || c->post != NULL ||
	    c->out != NULL || c->is_parked;
}

void
exchange_serve(struct connection *c, struct span *s)
{
	FAULT_POINT(READ_DONE);
	while (s->at < s->used && !exchange_is_busy(c)) {
		if (!c->has_head && !take_head(c, s))
			return;
		if (!take_body(c, s) || !handle(c, s))
			return;
	}
}
