/*
 * replicant - one task of a beam: whether it runs, and where
 *
 * Process: worker.
 */
#include "replicant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backoff.h"
#include "clock.h"
#include "firehose.h"
#include "iso.h"
#include "log.h"
#include "panic.h"
#include "task.h"

#define ASK_FIRST_MS 100
#define ASK_MAX_MS 2000 /* while its place is not known */
/* An Overlord that has just been made leader may not know a task yet; one
 * that has not known it for so long has lost it. */
#define ABSENT_MS 30000
#define SHUTOFF_AGAIN_MS 10000
#define TROUBLE_MAX 300 /* bytes */

struct replicant {
	struct replicant_parts parts;
	replicant_fn *changed;
	void *context;
	char *task_id, *firehose_id, *service;
	char *url, *place; /* place: host:port, for people */
	char *trouble; /* why it takes nothing now, or NULL */
	enum replicant_state state;
	enum task_state task; /* what the Overlord said last */
	struct loop_timer timer;
	struct overlord_ask *asking;
	struct discovery *finding;
	unsigned asked; /* in a row, without a place */
	int64_t made_ms, sought_since_ms, absent_since_ms;
	int64_t shutoff_ms; /* as the task itself says; 0: not known */
	int64_t shutoff_again_ms; /* not asked for before */
	bool has_served, complained;
	struct replicant_record record;
	bool is_doubted; /* a push did not find it */
	bool has_closed, is_overdue;
	bool is_given_up; /* LOST by our own word, not by Druid's */
};

static void ask(struct replicant *);

static void
timer_due(struct loop_timer *t)
{
	ask(t->context);
}

static void
ask_later(struct replicant *r)
{
	uint32_t random = (uint32_t)clock_mono_ns();
	int64_t delay = r->state >= REPLICANT_OPEN
	    ? backoff_jitter(r->parts.ds->overlord_poll_ms, random)
	    : backoff_ms(++r->asked, ASK_FIRST_MS,
		  MIN_OF(ASK_MAX_MS, r->parts.ds->overlord_poll_ms), random);

	loop_timer_start(r->parts.loop, &r->timer, delay, timer_due);
}

struct replicant *
replicant_new(const struct replicant_parts *parts, const struct beam_task *task,
    replicant_fn *changed, void *context)
{
	struct replicant *r = must_calloc(1, sizeof *r);

	r->parts = *parts;
	r->task_id = must_strdup(task->id);
	r->firehose_id = must_strdup(task->firehose_id);
	r->service = task_service_name(parts->ds, task->firehose_id);
	r->changed = changed;
	r->context = context;
	r->timer.context = r;
	r->made_ms = r->sought_since_ms = loop_now_ms(parts->loop);
	loop_timer_start(parts->loop, &r->timer, 0, timer_due);
	return r;
}

static void
stop_asking(struct replicant *r)
{
	loop_timer_stop(&r->timer);
	if (r->asking != NULL)
		overlord_cancel(&r->asking);
	if (r->finding != NULL)
		discovery_cancel(&r->finding);
}

void
replicant_free(struct replicant **replicant)
{
	struct replicant *r = *replicant;

	if (r == NULL)
		return;
	*replicant = NULL;
	stop_asking(r);
	free(r->task_id);
	free(r->firehose_id);
	free(r->service);
	free(r->url);
	free(r->place);
	free(r->trouble);
	free(r);
}

enum replicant_state
replicant_state(const struct replicant *r)
{
	return r->state;
}

bool
replicant_is_over(const struct replicant *r)
{
	return r->state >= REPLICANT_CLOSED;
}

bool
replicant_has_closed(const struct replicant *r)
{
	return r->has_closed;
}

bool
replicant_is_overdue(const struct replicant *r)
{
	return r->is_overdue;
}

const char *
replicant_url(const struct replicant *r)
{
	return r->url;
}

const char *
replicant_task_id(const struct replicant *r)
{
	return r->task_id;
}

const char *
replicant_firehose_id(const struct replicant *r)
{
	return r->firehose_id;
}

bool
replicant_is_starting(const struct replicant *r)
{
	return !r->has_served &&
	    loop_now_ms(r->parts.loop) - r->made_ms <
	    r->parts.ds->firehose_quiet_ms;
}

void
replicant_served(struct replicant *r)
{
	r->has_served = true;
	r->record.served++;
	replicant_trouble(r, NULL);
}

void
replicant_erred(struct replicant *r)
{
	r->record.erred++;
}

struct replicant_record
replicant_record(const struct replicant *r)
{
	return r->record;
}

void
replicant_trouble(struct replicant *r, const char *why)
{
	bool was = r->trouble != NULL, is = why != NULL;

	if (was == is && (!is || strncmp(r->trouble, why, TROUBLE_MAX) == 0))
		return;
	free(r->trouble);
	r->trouble = is ? must_format("%.*s", TROUBLE_MAX, why) : NULL;
	r->changed(r->context, r);
}

bool
replicant_is_in_trouble(const struct replicant *r)
{
	return r->trouble != NULL;
}

static void
lose(struct replicant *r, const char *why)
{
	stop_asking(r);
	r->state = REPLICANT_LOST;
	log_warnx("task %s: lost: %s", r->task_id, why);
	r->changed(r->context, r);
}

void
replicant_give_up(struct replicant *r, const char *why)
{
	if (replicant_is_over(r))
		return;
	r->is_given_up = true;
	lose(r, why);
}

bool
replicant_is_given_up(const struct replicant *r)
{
	return r->is_given_up;
}

/* It may have moved or ended meanwhile: the Overlord is asked first. */
void
replicant_take_back(struct replicant *r)
{
	must(r->is_given_up);
	r->is_given_up = false;
	r->state = REPLICANT_SOUGHT;
	r->is_doubted = true;
	r->sought_since_ms = loop_now_ms(r->parts.loop);
	r->asked = 0;
	r->absent_since_ms = 0;
	log_info("task %s: tried again, since its siblings take nothing",
	    r->task_id);
	ask_later(r);
}

/* It has ended by itself: after its shutoff time, or somebody has closed its
 * firehose before. */
static void
end_well(struct replicant *r)
{
	stop_asking(r);
	r->state = REPLICANT_LOST;
	r->has_closed = true;
	r->is_overdue = false;
	replicant_trouble(r, NULL);
	log_info("task %s: has ended, its events are handed over", r->task_id);
	r->changed(r->context, r);
}

static void
end_badly(struct replicant *r)
{
	bool had_closed = r->has_closed;

	r->has_closed = false;
	lose(r,
	    had_closed ? "it has FAILED after its shutoff time; what no other "
			 "replicant has handed over is lost in Druid"
		       : "it has FAILED");
}

static void
found_at(struct replicant *r, const char *host, const struct place *place)
{
	char *url = firehose_url(host, place, r->service);
	bool moved = r->url == NULL || strcmp(url, r->url) != 0;

	free(r->url);
	free(r->place);
	r->url = url;
	r->place = place_text(host, place->port);
	if (moved)
		log_info("task %s: runs at %s", r->task_id, r->place);
	r->asked = 0;
	r->complained = false;
	r->absent_since_ms = 0;
	r->state = REPLICANT_OPEN;
	ask_later(r);
	r->changed(r->context, r);
}

/* Not found yet. */
static void
seek_on(struct replicant *r)
{
	int64_t sought = loop_now_ms(r->parts.loop) - r->sought_since_ms;

	if (sought > r->parts.ds->firehose_quiet_ms && !r->complained) {
		r->complained = true;
		log_warnx(
		    "task %s: not found for %lld s (the Overlord says %s); "
		    "look whether workers have free capacity; its events "
		    "wait in the spool",
		    r->task_id, (long long)(sought / 1000),
		    task_state_name(r->task));
	}
	ask_later(r);
}

static void
absent(struct replicant *r)
{
	int64_t now = loop_now_ms(r->parts.loop);

	if (r->absent_since_ms == 0)
		r->absent_since_ms = now;
	if (now - r->absent_since_ms < ABSENT_MS) {
		seek_on(r);
		return;
	}
	lose(r, "the Overlord does not know it");
}

/* ---- after its shutoff time ---- */

static void
complain_of_hand_off(struct replicant *r)
{
	int64_t late = clock_wall_ms() - r->shutoff_ms;

	if (r->is_overdue || late <= r->parts.ds->handoff_warn_ms)
		return;
	r->is_overdue = true;
	log_warnx("task %s: still runs, %lld s after its shutoff time: no "
		  "historical has taken its segment over (hand-off); it holds "
		  "a task slot until then. Look at the Coordinator's load "
		  "rules, the historicals' room and the deep storage",
	    r->task_id, (long long)(late / 1000));
	r->changed(r->context, r);
}

/* Runs, and takes nothing any more. */
static void
close_now(struct replicant *r)
{
	char at[ISO_BYTES];

	if (r->state != REPLICANT_CLOSED) {
		iso_format(r->shutoff_ms, at);
		log_info("task %s: closed at %s, its hand-off is awaited",
		    r->task_id, at);
		r->state = REPLICANT_CLOSED;
		r->has_closed = true;
		replicant_trouble(r, NULL);
		r->changed(r->context, r);
	}
	complain_of_hand_off(r);
	ask_later(r);
}

/* By the configuration of now, which need not be that of the task. */
static bool
may_be_closed(const struct replicant *r)
{
	return r->is_doubted ||
	    clock_wall_ms() >= task_shutoff_ms(r->parts.ds, &r->parts.interval);
}

static void
shutoff_known(void *context, enum result result, int64_t shutoff_ms)
{
	struct replicant *r = context;

	r->asking = NULL;
	if (result == RESULT_OK)
		r->shutoff_ms = shutoff_ms;
	else /* the task is used meanwhile */
		r->shutoff_again_ms =
		    loop_now_ms(r->parts.loop) + SHUTOFF_AGAIN_MS;
	if (result == RESULT_OK && clock_wall_ms() >= shutoff_ms)
		close_now(r);
	else
		ask_later(r);
}

/* Whether the task is past its shutoff time, or it is asked for that. */
static bool
is_closing(struct replicant *r)
{
	if (r->shutoff_ms != 0 && clock_wall_ms() >= r->shutoff_ms) {
		close_now(r);
		return true;
	}
	if (r->shutoff_ms != 0 || !may_be_closed(r) ||
	    loop_now_ms(r->parts.loop) < r->shutoff_again_ms)
		return false;
	r->asking =
	    overlord_shutoff(r->parts.overlord, r->task_id, shutoff_known, r);
	return true;
}

/* Nobody can say where it is. Where it was may still be right; if another task
 * has that port by now, it refuses what is meant for this one. */
static void
try_last_place(struct replicant *r)
{
	ask_later(r);
	if (r->state != REPLICANT_SOUGHT || r->url == NULL)
		return;
	r->state = REPLICANT_OPEN;
	r->changed(r->context, r);
}

static void
status_known(void *context, enum result result, const struct task_status *s)
{
	struct replicant *r = context;

	r->asking = NULL;
	if (result != RESULT_OK) {
		try_last_place(r);
		return;
	}
	r->task = s->state;
	switch (s->state) {
	case TASK_SUCCESS: end_well(r); return;
	case TASK_FAILED: end_badly(r); return;
	case TASK_ABSENT: absent(r); return;
	case TASK_UNKNOWN:
	case TASK_WAITING:
	case TASK_RUNNING: break;
	}
	r->absent_since_ms = 0;
	if (s->state == TASK_RUNNING && is_closing(r))
		return;
	if (s->lacks_tls)
		replicant_trouble(r, "it " PLACE_NO_TLS);
	if (s->host[0] != '\0')
		found_at(r, s->host, &s->place);
	else
		seek_on(r);
}

static void
instance_found(void *context, const struct discovery_answer *a)
{
	struct replicant *r = context;
	struct place place;

	r->finding = NULL;
	if (a->result == RESULT_OK &&
	    place_choose(&place, r->parts.ds->tls_enable, a->place.port,
		a->place.tls_port))
		found_at(r, a->place.host, &place);
	else
		r->asking = overlord_status(
		    r->parts.overlord, r->task_id, status_known, r);
}

static void
ask(struct replicant *r)
{
	if (r->asking != NULL || r->finding != NULL ||
	    r->state == REPLICANT_LOST)
		return;
	/* discovery knows places, only the Overlord knows of an end: it is
	 * asked when discovery has nothing, and in between */
	if (r->parts.zk != NULL && r->state < REPLICANT_OPEN &&
	    r->asked % 2 == 0)
		r->finding = discovery_find(r->parts.zk,
		    r->parts.ds->discovery_path, r->service, instance_found, r);
	else
		r->asking = overlord_status(
		    r->parts.overlord, r->task_id, status_known, r);
}

void
replicant_distrust(struct replicant *r)
{
	if (r->state != REPLICANT_OPEN)
		return;
	r->state = REPLICANT_SOUGHT;
	r->is_doubted = true;
	r->sought_since_ms = loop_now_ms(r->parts.loop);
	if (r->asking == NULL && r->finding == NULL)
		ask_later(r);
}

struct json *
replicant_describe(const struct replicant *r)
{
	static const char *const states[] = { "sought", "open", "closed",
		"lost" };
	struct json *j = json_new_object();

	json_set_text(j, "id", r->task_id);
	json_set_text(j, "firehoseId", r->firehose_id);
	json_set_text(j, "state",
	    r->state == REPLICANT_LOST && r->has_closed ? "done"
							: states[r->state]);
	json_set_text(j, "task", task_state_name(r->task));
	json_set_text(j, "location", r->place != NULL ? r->place : "");
	if (r->is_overdue)
		json_set_text(j, "trouble",
		    "runs on after its shutoff time: no hand-off");
	else if (r->trouble != NULL)
		json_set_text(j, "trouble", r->trouble);
	return j;
}
