/*
 * sandbox_exchange - one request, from its head to its answer
 *
 * Process: tranq-sandbox.
 */
#include "sandbox_exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_scan.h"
#include "panic.h"
#include "sandbox_control.h"
#include "sandbox_overlord.h"
#include "sandbox_push.h"

#define CHAT_BASE "/druid/worker/v1/chat/"
#define CONTROL_BASE "/sandbox/"
#define HEADER_BYTES 1024
#define REPLY_BYTES (64u * MiB)

/* ---- birth and death ---- */

static void
link_exchange(struct sandbox *s, struct exchange *x)
{
	struct exchange *last = s->exchanges;

	/* a ring through the first one, so that the order of arrival holds */
	if (last == NULL) {
		s->exchanges = x->next = x->previous = x;
		return;
	}
	x->next = last;
	x->previous = last->previous;
	last->previous->next = x;
	last->previous = x;
}

static void
free_exchange(struct exchange *x)
{
	struct sandbox *s = x->sandbox;

	if (x->producer != NULL && x->producer->current == x)
		x->producer->current = NULL;
	loop_timer_stop(&x->timer);
	x->previous->next = x->next;
	x->next->previous = x->previous;
	if (s->exchanges == x)
		s->exchanges = x->next != x ? x->next : NULL;
	if (x->request != NULL)
		x->request->context = NULL;
	free(x->bytes_copy);
	free(x->body_copy);
	free(x->events);
	free(x);
}

void
sandbox_exchange_reset(struct exchange *x)
{
	struct sandbox_request *r = x->request;

	x->request = NULL;
	free_exchange(x);
	if (r != NULL)
		sandbox_http_reset(r);
}

static void
close_unanswered(struct exchange *x)
{
	struct sandbox_request *r = x->request;

	x->request = NULL;
	free_exchange(x);
	if (r != NULL)
		sandbox_http_close(r);
}

void
sandbox_exchange_hand_over(struct exchange *x)
{
	free_exchange(x);
}

void
sandbox_exchange_keep(struct exchange *x)
{
	size_t head_bytes = x->head->head_bytes;

	if (x->bytes_copy != NULL)
		return;
	x->head_copy = *x->head;
	x->head = &x->head_copy;
	x->bytes_copy = must_malloc(head_bytes);
	memcpy(x->bytes_copy, x->bytes, head_bytes);
	x->bytes = x->bytes_copy;
	if (x->body_copy != NULL)
		return; /* the body is its own already */
	x->body_copy = must_calloc(1, x->body_bytes + JSON_SCAN_PADDING);
	if (x->body_bytes > 0)
		memcpy(x->body_copy, x->body, x->body_bytes);
	x->body = x->body_copy;
}

/* ---- answers ---- */

static void
send_reply(struct exchange *x, const struct sandbox_reply *reply)
{
	struct sandbox_request *r = x->request;

	if (r == NULL) {
		free_exchange(x);
		return;
	}
	if (x->drops) {
		close_unanswered(x);
		return;
	}
	/* it may free or reuse what belongs to the request: last */
	sandbox_exchange_hand_over(x);
	sandbox_http_answer(r, reply);
}

static void
reply_due(struct loop_timer *timer)
{
	struct exchange *x = timer->context;
	struct sandbox_reply reply = x->reply;

	send_reply(x, &reply);
	free((void *)(uintptr_t)reply.headers);
	free((void *)(uintptr_t)reply.body);
}

static void
reply_later(struct exchange *x, const struct sandbox_reply *reply)
{
	char *body = must_malloc(reply->bytes + 1);

	if (reply->bytes > 0)
		memcpy(body, reply->body, reply->bytes);
	x->reply = *reply;
	x->reply.body = body;
	if (reply->headers != NULL)
		x->reply.headers = must_strdup(reply->headers);
	x->timer.context = x;
	loop_timer_start(x->sandbox->loop, &x->timer, x->delay_ms, reply_due);
}

static void
free_late_reply(struct exchange *x)
{
	if (!loop_timer_active(&x->timer))
		return;
	free((void *)(uintptr_t)x->reply.headers);
	free((void *)(uintptr_t)x->reply.body);
}

void
sandbox_exchange_reply(struct exchange *x, const struct sandbox_reply *reply)
{
	if (x->route == ROUTE_CHAT)
		x->sandbox->counts
		    .pushes_by_status[MIN_OF(reply->status, 599)]++;
	if (x->delay_ms > 0 && x->request != NULL)
		reply_later(x, reply);
	else
		send_reply(x, reply);
}

static void
reply_buf(struct exchange *x, struct sandbox_reply *reply, struct buf *body)
{
	must(!body->failed);
	reply->body = body->bytes;
	reply->bytes = body->used;
	sandbox_exchange_reply(x, reply);
	buf_free(body);
}

void
sandbox_exchange_answer(
    struct exchange *x, enum answer answer, const char *one, const char *two)
{
	const struct sandbox_answer_row *row =
	    sandbox_answer_row(answer, x->sandbox->options.version);
	struct sandbox_reply reply = { .status = row->status,
		.type = row->type };
	char header[HEADER_BYTES];
	struct buf body;

	buf_init(&body, REPLY_BYTES);
	sandbox_answer_compose(row, one, two, &body);
	if (answer == ANSWER_FAULT)
		reply.status = x->error_status;
	if (x->route == ROUTE_CHAT && x->task != NULL) {
		snprintf(header, sizeof header, "X-Druid-Task-Id: %s\r\n",
		    x->sandbox->options.version >= DRUID_ID_ENCODED
			? x->task->encoded_id
			: x->task->spec.id);
		reply.headers = header;
	} else if (answer == ANSWER_REDIRECT) {
		snprintf(header, sizeof header, "Location: %s\r\n", one);
		reply.headers = header;
	}
	reply_buf(x, &reply, &body);
}

void
sandbox_exchange_json(struct exchange *x, unsigned status, struct json **j)
{
	struct sandbox_reply reply = { .status = status,
		.type = "application/json" };
	struct buf body;

	buf_init(&body, REPLY_BYTES);
	json_print(*j, &body);
	json_free(j);
	reply_buf(x, &reply, &body);
}

void
sandbox_exchange_text(struct exchange *x, unsigned status, const char *text)
{
	const struct sandbox_reply reply = { .status = status,
		.type = "text/plain",
		.body = text,
		.bytes = strlen(text) };

	sandbox_exchange_reply(x, &reply);
}

/* ---- faults ---- */

static struct fault_target
target_of(const struct exchange *x)
{
	const struct task *t = x->task;

	return (struct fault_target){
		.where = x->route == ROUTE_OVERLORD ? FAULT_AT_OVERLORD
						    : FAULT_AT_PUSH,
		.ds = t != NULL ? t->spec.ds : "",
		.task = t != NULL ? t->spec.id : "",
	};
}

enum struck { STRUCK_ENDED, STRUCK_HELD, STRUCK_NOT };

static enum struck
strike(struct exchange *x)
{
	struct faults *f = &x->sandbox->faults;
	struct fault_target at = target_of(x);
	const struct fault *slow, *error;

	if (sandbox_fault_strike(f, FAULT_REFUSE, &at) != NULL ||
	    (x->route == ROUTE_CHAT &&
		sandbox_fault_strike(f, FAULT_UNREACHABLE, &at) != NULL)) {
		sandbox_exchange_reset(x);
		return STRUCK_ENDED;
	}
	x->is_hung = sandbox_fault_strike(f, FAULT_HANG, &at) != NULL;
	if (x->is_hung)
		return STRUCK_HELD;
	if ((slow = sandbox_fault_strike(f, FAULT_SLOW, &at)) != NULL)
		x->delay_ms = slow->ms;
	x->drops_before =
	    sandbox_fault_strike(f, FAULT_DROP_BEFORE, &at) != NULL;
	if (x->drops_before)
		return STRUCK_HELD;
	x->drops = sandbox_fault_strike(f, FAULT_DROP, &at) != NULL;
	/* not both: what is dropped was done */
	if (!x->drops &&
	    (error = sandbox_fault_strike(f, FAULT_ERROR, &at)) != NULL)
		x->error_status = error->status;
	return STRUCK_NOT;
}

/* ---- from head to answer ---- */

static enum exchange_route
route_of(const struct exchange *x)
{
	const char *path = x->bytes + x->head->path.at;
	size_t bytes = x->head->path.bytes;

	if (bytes >= sizeof CHAT_BASE - 1 &&
	    memcmp(path, CHAT_BASE, sizeof CHAT_BASE - 1) == 0)
		return x->request->port == x->sandbox->task_port ? ROUTE_CHAT
								 : ROUTE_ASTRAY;
	if (bytes >= sizeof CONTROL_BASE - 1 &&
	    memcmp(path, CONTROL_BASE, sizeof CONTROL_BASE - 1) == 0)
		return ROUTE_CONTROL;
	return x->request->port == x->sandbox->port ? ROUTE_OVERLORD
						    : ROUTE_ASTRAY;
}

static bool
is_authorized(const struct exchange *x)
{
	const char *want = x->sandbox->options.authorization, *value;
	size_t bytes;

	return want == NULL ||
	    (sandbox_exchange_field(x, "authorization", &value, &bytes) &&
		strlen(want) == bytes && memcmp(want, value, bytes) == 0);
}

/* What happens before the body is read. False: the exchange is over. */
static bool
head_read(struct exchange *x)
{
	enum struck struck;

	if (x->route == ROUTE_CONTROL || x->route == ROUTE_ASTRAY)
		return true;
	if (x->route == ROUTE_CHAT)
		sandbox_push_locate(x);
	else
		sandbox_overlord_locate(x);
	struck = strike(x);
	if (struck != STRUCK_NOT)
		return struck != STRUCK_ENDED;
	if (!is_authorized(x)) {
		x->has_answer = true;
		x->answer = ANSWER_UNAUTHORIZED;
	} else if (x->route == ROUTE_CHAT) {
		sandbox_push_begin(x);
	}
	return true;
}

void
sandbox_exchange_begin(void *context, struct sandbox_request *r)
{
	struct exchange *x = must_calloc(1, sizeof *x);

	x->sandbox = context;
	x->request = r;
	x->head = &r->head;
	x->bytes = r->bytes;
	r->context = x;
	x->route = route_of(x);
	link_exchange(x->sandbox, x);
	(void)head_read(x);
}

static void
run(struct exchange *x)
{
	if (x->drops_before) {
		close_unanswered(x);
		return;
	}
	if (x->route != ROUTE_CHAT && x->error_status != 0) {
		sandbox_exchange_answer(x, ANSWER_FAULT, "told to fail", NULL);
		return;
	}
	if (x->has_answer && x->route == ROUTE_OVERLORD) {
		sandbox_exchange_answer(x, x->answer, NULL, NULL);
		return;
	}
	switch (x->route) {
	case ROUTE_CONTROL: sandbox_control_handle(x); return;
	case ROUTE_OVERLORD: sandbox_overlord_handle(x); return;
	case ROUTE_CHAT: sandbox_push_finish(x); return;
	case ROUTE_ASTRAY:
		sandbox_violation_add(
		    &x->sandbox->violations, VIOLATION_HTTP, "the wrong port");
		sandbox_exchange_answer(x, ANSWER_NOT_FOUND, NULL, NULL);
		return;
	}
	unreachable("route");
}

void
sandbox_exchange_finish(void *context UNUSED, struct sandbox_request *r)
{
	struct exchange *x = r->context;

	must(x != NULL);
	x->bytes = r->bytes;
	x->body = r->body;
	x->body_bytes = r->body_bytes;
	x->wire_bytes = r->wire_bytes;
	x->is_gzip = r->is_gzip;
	x->is_inflated = r->is_inflated;
	x->is_complete = true;
	if (x->is_hung)
		sandbox_exchange_keep(x);
	else
		run(x);
}

void
sandbox_exchange_gone(void *context UNUSED, struct sandbox_request *r)
{
	struct exchange *x = r->context;

	if (x == NULL)
		return;
	x->request = NULL;
	r->context = NULL;
	/* a task has not heard yet that the client has left */
	if (x->is_waiting ||
	    (x->is_hung && x->is_complete && x->route == ROUTE_CHAT))
		return;
	if (!x->is_complete)
		sandbox_push_cut(x);
	free_late_reply(x);
	free_exchange(x);
}

/* ---- tasks and faults that change ---- */

/* The first exchange that is as `is` says, or NULL. Acting on one may free
 * others, so that every search starts anew. */
static struct exchange *
find(struct sandbox *s, bool (*is)(const struct exchange *, const void *),
    const void *argument)
{
	struct exchange *x = s->exchanges;

	if (x == NULL)
		return NULL;
	do {
		if (is(x, argument))
			return x;
		x = x->next;
	} while (x != s->exchanges);
	return NULL;
}

static bool
is_of_task(const struct exchange *x, const void *task)
{
	return x->task == task && x->route == ROUTE_CHAT;
}

static bool
waits_for_task(const struct exchange *x, const void *task)
{
	return x->task == task && x->is_waiting;
}

static bool
may_go_on(const struct exchange *x, const void *faults)
{
	struct fault_target at = target_of(x);

	return x->is_hung && x->is_complete &&
	    !sandbox_fault_is_on(faults, FAULT_HANG, &at);
}

static bool
has_room(const struct exchange *x, const void *unused UNUSED)
{
	return x->is_waiting && sandbox_task_room(x->task) > 0;
}

static bool
is_other(const struct exchange *x, const void *but)
{
	return x != but;
}

void
sandbox_exchange_task_closed(struct task *t)
{
	struct exchange *x;

	while ((x = find(t->sandbox, waits_for_task, t)) != NULL)
		sandbox_push_refused(x);
}

void
sandbox_exchange_task_died(struct task *t)
{
	struct exchange *x;

	while ((x = find(t->sandbox, is_of_task, t)) != NULL) {
		free_late_reply(x);
		sandbox_exchange_reset(x);
	}
}

void
sandbox_exchange_task_has_room(struct task *t)
{
	struct exchange *x;

	while (sandbox_task_room(t) > 0 &&
	    (x = find(t->sandbox, waits_for_task, t)) != NULL)
		sandbox_push_continue(x);
}

void
sandbox_exchange_faults_changed(struct sandbox *s)
{
	struct exchange *x;

	while ((x = find(s, may_go_on, &s->faults)) != NULL) {
		x->is_hung = false;
		if (head_read(x) && !x->is_hung)
			run(x);
	}
	while ((x = find(s, has_room, NULL)) != NULL)
		sandbox_push_continue(x);
	sandbox_task_start_pending(s);
}

void
sandbox_exchange_clear(struct sandbox *s, struct exchange *but)
{
	struct exchange *x;

	while ((x = find(s, is_other, but)) != NULL) {
		free_late_reply(x);
		sandbox_exchange_reset(x);
	}
}

/* ---- the request's parts ---- */

bool
sandbox_exchange_field(const struct exchange *x, const char *name,
    const char **value, size_t *bytes)
{
	struct http_view v;

	if (!http_request_field(x->head, x->bytes, name, &v))
		return false;
	*value = x->bytes + v.at;
	*bytes = v.bytes;
	return true;
}

bool
sandbox_exchange_is_method(const struct exchange *x, const char *method)
{
	struct http_view v = x->head->method_name;

	return v.bytes == strlen(method) &&
	    memcmp(x->bytes + v.at, method, v.bytes) == 0;
}

bool
sandbox_exchange_query(
    const struct exchange *x, const char *name, char *out, size_t size)
{
	const char *at = x->bytes + x->head->query.at;
	const char *end = at + x->head->query.bytes, *next;
	size_t bytes = strlen(name), decoded;

	for (; at < end; at = next + 1) {
		next = memchr(at, '&', (size_t)(end - at));
		if (next == NULL)
			next = end;
		if ((size_t)(next - at) <= bytes || at[bytes] != '=' ||
		    memcmp(at, name, bytes) != 0)
			continue;
		at += bytes + 1;
		if ((size_t)(next - at) >= size ||
		    !http_percent_decode(
			at, (size_t)(next - at), out, &decoded))
			return false;
		out[decoded] = '\0';
		return true;
	}
	return false;
}

bool
sandbox_exchange_path(
    const struct exchange *x, const char *base, struct path *path)
{
	const char *at = x->bytes + x->head->path.at;
	const char *end = at + x->head->path.bytes, *slash;
	/* cppcheck-suppress ctuuninitvar ; it is what is written to */
	char *to = path->text;
	size_t bytes = strlen(base), decoded;

	path->count = 0;
	if ((size_t)(end - at) < bytes || memcmp(at, base, bytes) != 0)
		return false;
	for (at += bytes; at < end; at = slash + 1) {
		slash = memchr(at, '/', (size_t)(end - at));
		if (slash == NULL)
			slash = end;
		if (path->count == PATH_SEGMENTS_MAX ||
		    !http_percent_decode(
			at, (size_t)(slash - at), to, &decoded))
			return false;
		path->segments[path->count++] = to;
		to[decoded] = '\0';
		to += decoded + 1;
	}
	return true;
}
