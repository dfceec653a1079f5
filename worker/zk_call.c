/*
 * zk_call - the calls, watches and listeners of a ZooKeeper session
 *
 * Process: worker.   Before: zk.c makes the calls and fills in the answers.
 *
 * Everything that users are told goes through one queue, in the order in which
 * it happened, and is told from the loop.
 */
#include "zk_internal.h"

#include <stdlib.h>
#include <string.h>

#include "panic.h"

enum event_kind { EVENT_CALL, EVENT_WATCH, EVENT_STATE };

struct zk_event {
	struct zk_event *next;
	enum event_kind kind;
	struct zk_call *call;
	unsigned watch_events;
	char *path;
	enum zk_state state;
	uint64_t session;
};

static void deliver(struct loop_timer *);

/* ---- events --------------------------------------------------------------- */

static struct zk_event *
add_event(struct zk *z, enum event_kind kind)
{
	struct zk_event *e = must_calloc(1, sizeof *e);

	e->kind = kind;
	*z->events_end = e;
	z->events_end = &e->next;
	if (!loop_timer_active(&z->deliver_timer) && !z->closed)
		loop_timer_start(z->loop, &z->deliver_timer, 0, deliver);
	return e;
}

void
zk_tell_state(struct zk *z, enum zk_state state)
{
	struct zk_event *e = add_event(z, EVENT_STATE);

	e->state = state;
	e->session = state == ZK_LOST ? 0 : z->opened;
}

static struct zk_event *
take_event(struct zk *z)
{
	struct zk_event *e = z->events;

	if (e != NULL) {
		z->events = e->next;
		if (z->events == NULL)
			z->events_end = &z->events;
	}
	return e;
}

void
zk_tell_watches(struct zk *z, unsigned events, const char *path)
{
	struct zk_event *e = add_event(z, EVENT_WATCH);

	e->watch_events = events;
	e->path = must_strdup(path);
}

static void
event_free(struct zk_event *e)
{
	free(e->path);
	free(e);
}

static void
answer_free(struct zk_call *c)
{
	for (size_t i = 0; c->names != NULL && i < c->answer_count; i++)
		free(c->names[i]);
	free(c->names);
	free(c->answer_path);
	free(c->answer_bytes);
	c->names = NULL;
	c->answer_path = c->answer_bytes = NULL;
	c->answer_count = 0;
}

static void
call_free(struct zk_call *c)
{
	answer_free(c);
	free(c->path);
	free(c->bytes);
	free(c);
}

static void
call_unlink(struct zk_call *c)
{
	struct zk *z = c->zk;

	*(c->previous != NULL ? &c->previous->next : &z->calls) = c->next;
	*(c->next != NULL ? &c->next->previous : &z->last_call) = c->previous;
	c->next = c->previous = NULL;
	z->call_count--;
}

/* Off the list; freed now, or by the library's or the queue's last word. */
static void
call_abandon(struct zk_call *c)
{
	call_unlink(c);
	c->state = ZK_CALL_ABANDONED;
	if (c->watch != NULL) {
		c->watch->call = NULL;
		c->watch = NULL;
	}
	if (!c->in_library && !c->has_event)
		call_free(c);
}

void
zk_call_finish(struct zk_call *c)
{
	must(c->state == ZK_CALL_WAITING || c->state == ZK_CALL_SENT);
	c->state = ZK_CALL_DONE;
	c->has_event = true;
	add_event(c->zk, EVENT_CALL)->call = c;
}

static void
call_fail(struct zk_call *c, const char *text)
{
	c->result = RESULT_RETRY;
	c->text = text;
	zk_call_finish(c);
}

bool
zk_call_answered(struct zk_call *c)
{
	c->in_library = false;
	if (c->state == ZK_CALL_ABANDONED && !c->has_event)
		call_free(c);
	else if (c->state == ZK_CALL_SENT)
		return true;
	return false;
}

static void
calls_due(struct loop_timer *t)
{
	struct zk *z = t->context;
	struct zk_call *c;

	for (c = z->calls; c != NULL && c->due_ms <= loop_now_ms(z->loop);
	     c = c->next)
		if (c->state != ZK_CALL_DONE)
			call_fail(c, "no answer within the session timeout");
	if (c != NULL)
		loop_timer_start(
		    z->loop, t, c->due_ms - loop_now_ms(z->loop), calls_due);
}

struct zk_call *
zk_call_new(struct zk *z, enum zk_call_kind kind, const char *path,
    zk_done_fn *done, void *context)
{
	struct zk_call *c = must_calloc(1, sizeof *c);

	must(path[0] == '/');
	c->zk = z;
	c->kind = kind;
	c->path = must_strdup(path);
	c->done = done;
	c->context = context;
	c->version = -1;
	return c;
}

void
zk_call_add(struct zk_call *c, struct zk_watch *watch)
{
	struct zk *z = c->zk;

	c->session = z->session;
	c->due_ms = loop_now_ms(z->loop) + z->timeout_ms;
	c->previous = z->last_call;
	/* the timeout shrinks when the server grants less */
	if (c->previous != NULL)
		c->due_ms = MAX_OF(c->due_ms, c->previous->due_ms);
	*(c->previous != NULL ? &c->previous->next : &z->calls) = c;
	z->last_call = c;
	z->call_count++;
	if (watch != NULL) {
		zk_watch_stop(watch);
		watch->zk = z;
		watch->call = c;
		c->watch = watch;
	}
	if (!loop_timer_active(&z->call_timer))
		loop_timer_start(
		    z->loop, &z->call_timer, z->timeout_ms, calls_due);
}

void
zk_cancel(struct zk_call **call)
{
	struct zk_call *c = *call;

	if (c == NULL)
		return;
	*call = NULL;
	call_abandon(c);
}

/* ---- watches and listeners ------------------------------------------------ */

static void
watch_unlink(struct zk_watch *w)
{
	struct zk_watch **p = &w->zk->watches;

	while (*p != NULL && *p != w)
		p = &(*p)->next;
	if (*p == w)
		*p = w->next;
	free(w->path);
	w->path = NULL;
	w->next = NULL;
	w->due = false;
}

void
zk_watch_stop(struct zk_watch *w)
{
	if (w->call != NULL) {
		w->call->watch = NULL;
		w->call = NULL;
	}
	if (w->path != NULL)
		watch_unlink(w);
}

/* The server has set it, and all that it reports comes after this answer. */
static void
watch_set(struct zk_call *c)
{
	struct zk_watch *w = c->watch;

	if (w == NULL)
		return;
	c->watch = NULL;
	w->call = NULL;
	if (!c->sets_watch)
		return;
	w->path = must_strdup(c->path);
	w->events = c->kind == ZK_CALL_CHILDREN
	    ? ZK_EVENT_CHILDREN | ZK_EVENT_DELETED
	    : ZK_EVENT_CREATED | ZK_EVENT_CHANGED | ZK_EVENT_DELETED;
	w->due = false;
	w->next = c->zk->watches;
	c->zk->watches = w;
}

/* A callback may stop any watch, so the walk starts anew after each. */
static void
fire_watches(struct zk *z, unsigned events, const char *path)
{
	struct zk_watch *w;

	for (w = z->watches; w != NULL; w = w->next)
		w->due = path == NULL ||
		    ((w->events & events) != 0 && strcmp(w->path, path) == 0);
	do {
		for (w = z->watches; w != NULL && !w->due; w = w->next)
			;
		if (w != NULL) {
			watch_unlink(w);
			w->fired(w);
		}
	} while (w != NULL && !z->closed);
}

static void
tell_listeners(struct zk *z, enum zk_state state)
{
	struct zk_listener *l;

	for (l = z->listeners; l != NULL; l = l->next)
		l->due = true;
	do {
		for (l = z->listeners; l != NULL && !l->due; l = l->next)
			;
		if (l != NULL) {
			l->due = false;
			l->changed(l, state);
		}
	} while (l != NULL && !z->closed);
}

void
zk_listen(struct zk *z, struct zk_listener *l)
{
	l->zk = z;
	l->due = false;
	l->next = z->listeners;
	z->listeners = l;
}

void
zk_unlisten(struct zk_listener *l)
{
	struct zk_listener **p;

	if (l->zk == NULL)
		return;
	for (p = &l->zk->listeners; *p != NULL && *p != l; p = &(*p)->next)
		;
	if (*p == l)
		*p = l->next;
	l->zk = NULL;
}

/* ---- telling the users ---------------------------------------------------- */

static void
deliver_call(struct zk_call *c)
{
	struct zk_answer a = {
		.result = c->result,
		.refusal = c->refusal,
		.text = c->text,
		.path = c->answer_path != NULL ? c->answer_path : c->path,
		.bytes = c->answer_bytes,
		.byte_count = c->answer_bytes != NULL ? c->answer_count : 0,
		.version = c->version,
		.names = (const char *const *)c->names,
		.name_count = c->names != NULL ? c->answer_count : 0,
	};
	zk_done_fn *done = c->done;

	c->has_event = false;
	if (c->state == ZK_CALL_ABANDONED) {
		if (!c->in_library)
			call_free(c);
		return;
	}
	watch_set(c);
	/* `done` may close the session or make the same call again: from here
	 * on the call is nobody's, and kept for its answer only */
	c->has_event = true;
	call_abandon(c);
	if (done != NULL)
		done(c->context, &a);
	c->has_event = false;
	if (!c->in_library)
		call_free(c);
}

static void
deliver_state(struct zk *z, const struct zk_event *e)
{
	uint64_t ended = z->session;

	z->session = e->session;
	if (e->state == ZK_LOST)
		/* made after the session's end, and before its user knew */
		for (struct zk_call *c = z->calls; c != NULL; c = c->next)
			if (c->state == ZK_CALL_WAITING && c->session != 0 &&
			    c->session == ended)
				call_fail(c, "session lost");
	tell_listeners(z, e->state);
	if (e->state == ZK_LOST && !z->closed)
		fire_watches(z, 0, NULL);
}

static void
deliver(struct loop_timer *t)
{
	struct zk *z = t->context;
	struct zk_event *e, **mark = z->events_end;
	bool last = false;

	z->delivering = true;
	/* what the callbacks add waits for the next turn */
	while (!last && !z->closed && (e = take_event(z)) != NULL) {
		last = &e->next == mark;
		if (e->kind == EVENT_CALL)
			deliver_call(e->call);
		else if (e->kind == EVENT_WATCH)
			fire_watches(z, e->watch_events, e->path);
		else
			deliver_state(z, e);
		event_free(e);
	}
	z->delivering = false;
	if (z->closed)
		free(z);
	else if (z->events != NULL)
		loop_timer_start(z->loop, t, 0, deliver);
}

void
zk_calls_init(struct zk *z)
{
	z->call_timer.context = z->deliver_timer.context = z;
	z->events_end = &z->events;
}

void
zk_calls_fini(struct zk *z)
{
	struct zk_event *e;

	while ((e = take_event(z)) != NULL) {
		if (e->kind == EVENT_CALL) {
			e->call->has_event = false;
			if (e->call->state == ZK_CALL_ABANDONED)
				call_free(e->call);
		}
		event_free(e);
	}
	while (z->calls != NULL)
		call_abandon(z->calls);
	while (z->watches != NULL)
		watch_unlink(z->watches);
	while (z->listeners != NULL)
		zk_unlisten(z->listeners);
	loop_timer_stop(&z->call_timer);
	loop_timer_stop(&z->deliver_timer);
}

/* ---- what there is to know ------------------------------------------------ */

uint64_t
zk_session(const struct zk *z)
{
	return z->session;
}

bool
zk_is_connected(const struct zk *z)
{
	return z->connected;
}

int64_t
zk_timeout_ms(const struct zk *z)
{
	return z->timeout_ms;
}

const char *
zk_connect_text(const struct zk *z)
{
	return z->connect;
}

struct loop *
zk_loop(const struct zk *z)
{
	return z->loop;
}
