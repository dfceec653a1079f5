/*
 * sandbox_task - the life of a realtime task
 *
 * Process: tranq-sandbox.
 */
#include "sandbox_task.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "panic.h"
#include "sandbox_announce.h"
#include "sandbox_batch.h"
#include "sandbox_exchange.h"

#define DRAIN_MS 10
#define LONG_AGO (-1)

static const char *const state_names[] = { [TASK_PENDING] = "pending",
	[TASK_RUNNING] = "running",
	[TASK_CLOSING] = "closing",
	[TASK_SUCCESS] = "success",
	[TASK_FAILED] = "failed" };

static void start_due(struct loop_timer *);

const char *
sandbox_task_state_name(enum task_state state)
{
	return state_names[state];
}

static const char *
short_name(const char *service)
{
	const char *colon = strrchr(service, ':');

	return colon != NULL ? colon + 1 : service;
}

/* ---- handlers ---- */

static void
set_handler(struct task *t, const char *name)
{
	text_map_set(&t->sandbox->handlers, name, strlen(name), t);
}

static void
remove_handler(struct task *t, const char *name)
{
	struct text_map *handlers = &t->sandbox->handlers;

	if (text_map_get(handlers, name, strlen(name)) == t)
		text_map_remove(handlers, name, strlen(name));
}

static void
open_handler(struct task *t)
{
	const char *service = t->spec.service;
	const struct task *other =
	    text_map_get(&t->sandbox->handlers, service, strlen(service));

	if (other != NULL)
		sandbox_violation_add(&t->sandbox->violations,
		    VIOLATION_SERVICE_NAME_REUSED, "%s: %s serves it already",
		    t->spec.id, other->spec.id);
	t->has_handler = true;
	set_handler(t, t->spec.service);
	set_handler(t, short_name(t->spec.service));
	sandbox_announce_firehose(t->sandbox->announce, t->spec.service);
	sandbox_announce_firehose(
	    t->sandbox->announce, short_name(t->spec.service));
}

static void
close_handler(struct task *t)
{
	if (!t->has_handler)
		return;
	t->has_handler = false;
	remove_handler(t, t->spec.service);
	remove_handler(t, short_name(t->spec.service));
	sandbox_announce_withdraw(t->sandbox->announce, t->spec.service);
	sandbox_announce_withdraw(
	    t->sandbox->announce, short_name(t->spec.service));
}

static bool
serves(const struct task *t, const char *name, size_t bytes)
{
	const char *names[] = { t->spec.service, short_name(t->spec.service) };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strlen(names[i]) == bytes &&
		    memcmp(names[i], name, bytes) == 0)
			return t->has_handler;
	return false;
}

struct task *
sandbox_task_by_handler(const struct sandbox *s, const char *name, size_t bytes,
    const char *id, size_t id_bytes)
{
	struct task *t = text_map_get(&s->tasks_by_id, id, id_bytes);

	if (t != NULL && serves(t, name, bytes))
		return t;
	return text_map_get(&s->handlers, name, bytes);
}

struct task *
sandbox_task_find(const struct sandbox *s, const char *id)
{
	return text_map_get(&s->tasks_by_id, id, strlen(id));
}

/* ---- the end ---- */

static void
stop_timers(struct task *t)
{
	loop_timer_stop(&t->step_timer);
	loop_timer_stop(&t->shutoff_timer);
	loop_timer_stop(&t->drain_timer);
	loop_timer_stop(&t->idle_timer);
}

static void
handoff_due(struct loop_timer *timer)
{
	struct task *t = timer->context;

	t->state = TASK_SUCCESS;
	t->ended_ms = clock_wall_ms();
	t->queued = 0;
	stop_timers(t);
}

void
sandbox_task_close(struct task *t)
{
	if (t->state != TASK_RUNNING)
		return;
	t->state = TASK_CLOSING;
	close_handler(t);
	stop_timers(t);
	sandbox_exchange_task_closed(t);
	loop_timer_start(t->sandbox->loop, &t->step_timer,
	    t->sandbox->options.handoff_delay_ms, handoff_due);
}

void
sandbox_task_kill(struct task *t, const char *error)
{
	if (t->state >= TASK_SUCCESS)
		return;
	t->state = TASK_FAILED;
	t->error = error;
	t->ended_ms = clock_wall_ms();
	t->queued = 0;
	t->source->is_lost = true;
	close_handler(t);
	stop_timers(t);
	sandbox_exchange_task_died(t);
}

static void
shutoff_due(struct loop_timer *timer)
{
	struct task *t = timer->context;

	/* wall time may have been set back, or the wait was cut */
	sandbox_task_close_at(t, t->shutoff_ms);
}

void
sandbox_task_close_at(struct task *t, int64_t wall_ms)
{
	int64_t left = wall_ms - clock_wall_ms();

	t->has_shutoff = true;
	t->shutoff_ms = wall_ms;
	if (t->state != TASK_RUNNING)
		return;
	if (left <= 0)
		sandbox_task_close(t);
	else
		loop_timer_start(
		    t->sandbox->loop, &t->shutoff_timer, left, shutoff_due);
}

static void
idle_due(struct loop_timer *timer)
{
	struct task *t = timer->context;
	int64_t idle = loop_now_ms(timer->loop) - t->last_push_ms;

	if (idle >= t->spec.idle_ms)
		sandbox_task_close(t);
	else
		loop_timer_start(
		    timer->loop, timer, t->spec.idle_ms - idle, idle_due);
}

void
sandbox_task_heard(struct task *t)
{
	t->last_push_ms = loop_now_ms(t->sandbox->loop);
}

/* ---- the start ---- */

static void
handler_due(struct loop_timer *timer)
{
	struct task *t = timer->context;

	open_handler(t);
	sandbox_task_heard(t);
	if (t->spec.idle_ms > 0)
		loop_timer_start(
		    timer->loop, &t->idle_timer, t->spec.idle_ms, idle_due);
	if (t->has_shutoff)
		sandbox_task_close_at(t, t->shutoff_ms);
}

static void
start_due(struct loop_timer *timer)
{
	struct task *t = timer->context;
	struct sandbox *s = t->sandbox;
	struct fault_target at = { FAULT_AT_PUSH, t->spec.ds, t->spec.id };

	if (sandbox_fault_is_on(&s->faults, FAULT_NO_SLOTS, &at))
		return; /* sandbox_task_start_pending */
	if (t->spec.is_batch) {
		sandbox_batch_run(t);
		return;
	}
	t->state = TASK_RUNNING;
	t->started_ms = clock_wall_ms();
	if (s->options.handler_delay_ms > 0)
		loop_timer_start(s->loop, &t->step_timer,
		    s->options.handler_delay_ms, handler_due);
	else
		handler_due(&t->step_timer);
}

void
sandbox_task_start_pending(struct sandbox *s)
{
	for (struct task *t = s->tasks; t != NULL; t = t->next)
		if (t->state == TASK_PENDING &&
		    !loop_timer_active(&t->step_timer))
			loop_timer_start(s->loop, &t->step_timer, 0, start_due);
}

/* As Java's URLEncoder, but %20 for a space. */
static char *
encode_id(const char *id)
{
	char *out = must_malloc(strlen(id) * 3 + 1), *to = out;

	for (; *id != '\0'; id++) {
		if (isalnum((unsigned char)*id) || strchr("-_.*", *id) != NULL)
			*to++ = *id;
		else
			to += sprintf(to, "%%%02X", (unsigned char)*id);
	}
	*to = '\0';
	return out;
}

static void
link_task(struct sandbox *s, struct task *t)
{
	if (s->last_task != NULL)
		s->last_task->next = t;
	else
		s->tasks = t;
	s->last_task = t;
	text_map_set(&s->tasks_by_id, t->spec.id, strlen(t->spec.id), t);
}

struct task *
sandbox_task_add(struct sandbox *s, struct spec *spec, struct json **payload)
{
	struct task *t = must_calloc(1, sizeof *t);

	t->sandbox = s;
	t->spec = *spec;
	*spec = (struct spec){ 0 };
	t->payload = *payload;
	*payload = NULL;
	t->encoded_id = encode_id(t->spec.id);
	t->created_ms = clock_wall_ms();
	t->shutoff_ms = t->spec.shutoff_ms;
	t->has_shutoff = t->spec.has_shutoff;
	t->drained_ms = LONG_AGO;
	t->step_timer.context = t->shutoff_timer.context = t;
	t->drain_timer.context = t->idle_timer.context = t;
	sandbox_producers_init(&t->producers);
	t->source = sandbox_store_add_source(
	    &s->store, t->spec.ds, t->spec.id, t->spec.replicant);
	link_task(s, t);
	loop_timer_start(
	    s->loop, &t->step_timer, s->options.start_delay_ms, start_due);
	return t;
}

void
sandbox_task_clear(struct sandbox *s)
{
	for (struct task *t = s->tasks, *next; t != NULL; t = next) {
		next = t->next;
		close_handler(t);
		stop_timers(t);
		sandbox_producers_fini(&t->producers);
		sandbox_lock_fini(&t->locks);
		json_free(&t->payload);
		sandbox_spec_free(&t->spec);
		free(t->encoded_id);
		free(t);
	}
	s->tasks = s->last_task = NULL;
	text_map_fini(&s->tasks_by_id);
	text_map_fini(&s->handlers);
}

/* ---- rows ---- */

static void drain_due(struct loop_timer *);

/* The indexing thread takes rows out at the rate it was given. */
static void
drain(struct task *t)
{
	int64_t rate = t->sandbox->options.drain_rate;
	int64_t now = loop_now_ms(t->sandbox->loop), rows;

	if (rate == 0) {
		t->queued = 0;
		return;
	}
	if (t->drained_ms == LONG_AGO || t->queued == 0) {
		t->drained_ms = now;
		t->drain_rest = 0;
	}
	t->drain_rest += (now - t->drained_ms) * rate;
	t->drained_ms = now;
	rows = t->drain_rest / 1000;
	t->drain_rest %= 1000;
	t->queued = MAX_OF(t->queued - rows, 0);
}

static void
drain_due(struct loop_timer *timer)
{
	struct task *t = timer->context;

	drain(t);
	if (t->queued > 0)
		loop_timer_start(timer->loop, timer, DRAIN_MS, drain_due);
	sandbox_exchange_task_has_room(t);
}

int64_t
sandbox_task_room(struct task *t)
{
	struct sandbox *s = t->sandbox;
	struct fault_target at = { FAULT_AT_PUSH, t->spec.ds, t->spec.id };
	int64_t size =
	    s->options.buffer > 0 ? s->options.buffer : t->spec.buffer;

	if (sandbox_fault_is_on(&s->faults, FAULT_FULL, &at))
		return 0;
	drain(t);
	return MAX_OF(size - t->queued, 0);
}

/* The answer to the push is a good one all the same: rows are indexed later. */
static void
unlocked_due(struct loop_timer *timer)
{
	sandbox_task_kill(timer->context, "Could not allocate segment for row");
}

static bool
lock_all(struct task *t, const struct check_event *events, size_t count)
{
	const struct interval *last = &t->locks.last;

	for (size_t i = 0; i < count; i++)
		if (!events[i].is_outside &&
		    (events[i].ms < last->start || events[i].ms >= last->end) &&
		    !sandbox_lock_take(t, events[i].ms))
			return false;
	return true;
}

void
sandbox_task_take(struct task *t, const char *body,
    const struct check_event *events, size_t count)
{
	struct sandbox *s = t->sandbox;

	sandbox_store_add_events(&s->store, t->source, body, events, count);
	for (size_t i = 0; i < count; i++) {
		t->clipped += events[i].is_outside;
		s->counts.clipped += events[i].is_outside;
	}
	if (!lock_all(t, events, count) && !loop_timer_active(&t->step_timer)) {
		sandbox_violation_add(
		    &s->violations, VIOLATION_LOCK, "%s", t->spec.id);
		loop_timer_start(s->loop, &t->step_timer, 0, unlocked_due);
	}
	if (s->options.drain_rate == 0)
		return;
	t->queued += (int64_t)count;
	if (!loop_timer_active(&t->drain_timer))
		loop_timer_start(s->loop, &t->drain_timer, DRAIN_MS, drain_due);
}
