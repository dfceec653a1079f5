/*
 * kafka_supervisor - the care for the Kafka supervisor that pulls our log
 *
 * Process: worker.
 */
#include "kafka_supervisor_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "kafka_note.h"
#include "log.h"
#include "panic.h"

#define SOON_MS 1000

static void look(struct kafka_supervisor *);

void
kafka_supervisor_set_text(
    struct kafka_supervisor *k, char *to, const char *format, ...)
{
	char text[NOTE_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	k->changed |= strcmp(to, text) != 0;
	memcpy(to, text, sizeof text);
}

static void
drop_tasks(struct kafka_supervisor *k)
{
	while (k->task_count > 0)
		free(k->tasks[--k->task_count]);
}

struct kafka_supervisor *
kafka_supervisor_new(const struct kafka_supervisor_parts *p, bool was_made)
{
	struct kafka_supervisor *k = must_calloc(1, sizeof *k);

	k->p = *p;
	k->was_made = k->is_stored = was_made;
	k->timer.context = k;
	return k;
}

void
kafka_supervisor_free(struct kafka_supervisor **supervisor)
{
	struct kafka_supervisor *k = *supervisor;

	*supervisor = NULL;
	if (k == NULL)
		return;
	loop_timer_stop(&k->timer);
	overlord_cancel(&k->ask);
	drop_tasks(k);
	json_free(&k->wanted);
	json_free(&k->state);
	free(k);
}

bool
kafka_supervisor_is_shared(const struct kafka_supervisor *k)
{
	return k->p.own >= 0;
}

/* ---- asking ---- */

/* path: taken over. */
void
kafka_supervisor_call(struct kafka_supervisor *k, char *path,
    const struct json *body, overlord_answer_fn *done)
{
	k->changes = body != NULL;
	if (!k->is_held)
		k->ask = overlord_call(k->p.overlord, path,
		    body != NULL ? json_to_text(body) : NULL, done, k);
	free(path);
}

/* What the Overlord has at `more` of this supervisor. */
void
kafka_supervisor_call_at(struct kafka_supervisor *k, const char *more,
    const struct json *body, overlord_answer_fn *done)
{
	char *id = http_escape(k->p.id);

	kafka_supervisor_call(
	    k, must_format(API "/%s%s", id, more), body, done);
	free(id);
}

/* Each turn looks at the spec first: a status says nothing of whose log it is
 * that is read. */
static void
poll_due(struct loop_timer *t)
{
	look(t->context);
}

void
kafka_supervisor_pause(struct kafka_supervisor *k)
{
	loop_timer_start(k->p.loop, &k->timer, k->p.poll_ms, poll_due);
}

/* Something is being made. */
void
kafka_supervisor_pause_briefly(struct kafka_supervisor *k)
{
	loop_timer_start(
	    k->p.loop, &k->timer, MIN_OF(k->p.poll_ms, SOON_MS), poll_due);
}

/* An answer that did not come, or none that was expected. The rest waits for
 * the next turn. */
void
kafka_supervisor_give_up(struct kafka_supervisor *k, const char *what,
    const struct overlord_answer *answer, const char *why)
{
	if (answer != NULL)
		kafka_supervisor_set_text(k, k->trouble,
		    "%s: the Overlord answered %d %.400s", what, answer->status,
		    answer->body);
	else
		kafka_supervisor_set_text(
		    k, k->trouble, "%s: %.500s", what, why);
	if (answer != NULL && log_may_repeat(&k->complained_ms, 60000))
		log_error("supervisor %s: %s", k->p.id, k->trouble);
	log_floor_status(k->p.floor, NULL, "", loop_now_ms(k->p.loop));
	kafka_supervisor_pause(k);
}

/* ---- status ---- */

static void ask_task(struct kafka_supervisor *);

static void
task_known(void *context, enum result result, const struct task_status *status)
{
	struct kafka_supervisor *k = context;

	k->ask = NULL;
	if (result == RESULT_OK)
		log_floor_task(
		    k->p.floor, k->tasks[k->task_count - 1], status->state);
	free(k->tasks[--k->task_count]);
	ask_task(k);
}

static void
ask_task(struct kafka_supervisor *k)
{
	if (k->task_count == 0 || k->is_held)
		kafka_supervisor_pause(k);
	else
		k->ask = overlord_status(
		    k->p.overlord, k->tasks[k->task_count - 1], task_known, k);
}

static void
ask_tasks(struct kafka_supervisor *k)
{
	const char *ids[TASKS_MAX];
	unsigned count = log_floor_asks(k->p.floor, ids, TASKS_MAX);

	must(k->task_count == 0);
	for (unsigned i = 0; i < count; i++)
		k->tasks[k->task_count++] = must_strdup(ids[i]);
	ask_task(k);
}

void
kafka_supervisor_set_state(
    struct kafka_supervisor *k, const struct json *payload)
{
	struct json *state = kafka_state_of(payload);

	k->changed |= !json_same(state, k->state);
	json_free(&k->state);
	k->state = state;
}

static void
status_known(void *context, enum result result,
    const struct overlord_answer *answer, const char *why)
{
	struct kafka_supervisor *k = context;
	struct json *status;

	k->ask = NULL;
	if (!kafka_state_is_good(result, answer)) {
		kafka_supervisor_give_up(
		    k, "its status is not known", answer, why);
		return;
	}
	status = json_parse(answer->body, answer->body_bytes, NULL);
	log_floor_status(k->p.floor, k->trusted ? status : NULL, answer->server,
	    loop_now_ms(k->p.loop));
	kafka_supervisor_set_state(k, json_get(status, "payload"));
	kafka_supervisor_set_text(k, k->trouble, "%s", "");
	if (k->is_ours && kafka_supervisor_joins(k))
		kafka_supervisor_join(k, json_get(status, "payload"));
	else if (k->rests == REST_NOT ||
	    !kafka_supervisor_retire(k, json_get(status, "payload")))
		ask_tasks(k);
	json_free(&status);
}

static void
watch(struct kafka_supervisor *k)
{
	kafka_supervisor_call_at(k, "/status", NULL, status_known);
}

/* ---- making ---- */

/* Whether it was taken; else the rest waits. */
bool
kafka_supervisor_check_posted(struct kafka_supervisor *k, enum result result,
    const struct overlord_answer *answer, const char *why)
{
	k->ask = NULL;
	FAULT_POINT(PULL_POSTED);
	if (kafka_state_is_good(result, answer) &&
	    kafka_state_is_of(answer, k->p.id))
		return true;
	k->is_misnamed = kafka_state_is_good(result, answer);
	if (k->is_misnamed)
		kafka_supervisor_give_up(k, "it is not made", NULL,
		    "this Druid does not know supervisors' ids; it must not be "
		    "older than the one that it was made in");
	else
		kafka_supervisor_give_up(
		    k, kafka_state_refusal(answer), answer, why);
	return false;
}

static void
posted(void *context, enum result result, const struct overlord_answer *answer,
    const char *why)
{
	struct kafka_supervisor *k = context;

	if (!kafka_supervisor_check_posted(k, result, answer, why))
		return;
	log_info("supervisor %s: is as our configuration has it", k->p.id);
	kafka_supervisor_set_text(k, k->note, "%s", "");
	k->trusted = k->has_been = true;
	watch(k);
}

/* As it shall be, suspended or not. */
void
kafka_supervisor_post(struct kafka_supervisor *k, bool suspended)
{
	struct json *spec = json_clone(k->wanted);

	if (suspended)
		json_set_bool(spec, "suspended", true);
	FAULT_POINT(PULL_POST);
	kafka_supervisor_call(k, must_strdup(API UNLESS_SAME), spec, posted);
	json_free(&spec);
}

/* Druid's own business from now on, also when it is ended there and made again:
 * that must be in the spool before the first task begins, since to seed it once
 * more would double what was read. */
void
kafka_supervisor_begin(struct kafka_supervisor *k)
{
	if (k->is_stored)
		kafka_supervisor_post(k, k->stays);
}

/* How many of its tasks are alive; false: the rest waits. */
bool
kafka_supervisor_count_tasks(struct kafka_supervisor *k, enum result result,
    const struct overlord_answer *answer, const char *why, unsigned *alive)
{
	k->ask = NULL;
	if (kafka_state_is_good(result, answer) &&
	    kafka_state_alive(answer, k->p.id, alive))
		return true;
	kafka_supervisor_give_up(k, "its tasks are not known", answer, why);
	return false;
}

void
kafka_supervisor_ask_for_tasks(
    struct kafka_supervisor *k, overlord_answer_fn *done)
{
	kafka_supervisor_call(k, kafka_state_tasks(k->p.topic), NULL, done);
}

/* ---- the spec ---- */

static void
set_note(
    struct kafka_supervisor *k, enum kafka_spec_match match, const char *where)
{
	struct kafka_note note = { match, where, k->p.care == CARE_MANAGE,
		kafka_supervisor_is_shared(k), k->has_been };
	char text[NOTE_BYTES];

	kafka_note(&note, text, sizeof text);
	kafka_supervisor_set_text(k, k->note, "%s", text);
}

/* Whether what it commits is ours. */
static void
judge(struct kafka_supervisor *k, enum kafka_spec_match match,
    const struct json *found)
{
	bool is_ours = kafka_spec_is_ours(match) || match == KAFKA_SPEC_FOREIGN;

	k->trusted = is_ours && kafka_spec_reads_from(found, k->p.servers) &&
	    !(kafka_spec_is_old(match) && k->has_been);
	if (is_ours && !k->trusted && !kafka_spec_is_old(match))
		kafka_supervisor_set_text(k, k->note,
		    "its bootstrap.servers does not have %s, so that it pulls "
		    "from elsewhere; nothing is removed",
		    k->p.servers);
}

/* The spool that it was made with is lost, or away: its offsets are of another
 * log, and what was in it and not published is missing. */
static void
begin_anew(struct kafka_supervisor *k)
{
	kafka_supervisor_set_text(k, k->lost,
	    "it was made for another spool than the one that is here, which is "
	    "new: events that Druid had not read from that one are not here. "
	    "It goes on at the beginning of this one");
	if (log_may_repeat(&k->lost_ms, 60000))
		log_error("supervisor %s: %s", k->p.id, k->lost);
	kafka_supervisor_post_unseeded(k);
}

/* Somebody has resumed it in between: it reads, from wherever that is. */
static void
leave_unseeded(struct kafka_supervisor *k)
{
	log_warnx(
	    "supervisor %s: was resumed before its offsets were set", k->p.id);
	k->changed |= !k->was_made;
	k->was_made = true;
	k->stays = false;
	kafka_supervisor_begin(k);
}

/* What is to be done to it; false: nothing. */
static bool
mend(struct kafka_supervisor *k, enum kafka_spec_match match,
    const struct json *found)
{
	bool pauses = k->suspends || kafka_supervisor_joins(k);

	k->stays = kafka_spec_stays(found);
	if (k->p.care != CARE_MANAGE)
		return false;
	k->from = match == KAFKA_SPEC_LOG ? 0 : kafka_spec_seeded(found);
	/* never one that others may share */
	if (match == KAFKA_SPEC_LOG && !k->was_made &&
	    !kafka_supervisor_is_shared(k))
		begin_anew(k);
	else if (pauses && k->is_ours && !(k->is_drained && k->is_suspended))
		kafka_supervisor_post_drained(k);
	else if (kafka_supervisor_is_shared(k) && pauses &&
	    match != KAFKA_SPEC_UNSEEDED)
		return false;
	else if (kafka_spec_is_old(match) && k->has_been)
		return false; /* they would take it from each other for ever */
	else if (match == KAFKA_SPEC_GROWN)
		kafka_supervisor_post_unseeded(k);
	else if (match == KAFKA_SPEC_OLD ||
	    (k->is_ours && k->is_drained &&
		(kafka_supervisor_is_shared(k) || k->rests == REST_NOT)))
		kafka_supervisor_post(k, k->stays);
	else if (match != KAFKA_SPEC_UNSEEDED)
		return false;
	else if (json_get_bool(found, "suspended", false))
		kafka_supervisor_seed(k);
	else
		leave_unseeded(k);
	return true;
}

static void
compare(struct kafka_supervisor *k, const struct json *found)
{
	char where[KAFKA_SPEC_WHERE_BYTES];
	enum kafka_spec_match match =
	    kafka_spec_compare(k->wanted, found, where);

	k->trusted = false;
	k->is_ours = kafka_spec_is_ours(match);
	k->is_suspended = json_get_bool(found, "suspended", false);
	k->is_drained = kafka_spec_is_drained(found);
	if (mend(k, match, found))
		return;
	set_note(k, match, where);
	judge(k, match, found);
	if (match == KAFKA_SPEC_SAME || match == KAFKA_SPEC_EDITED) {
		k->changed |= !k->was_made;
		k->was_made = k->has_been = true;
	}
	watch(k);
}

/* There is none. One that was made before has left its offsets in Druid. */
static void
make(struct kafka_supervisor *k)
{
	k->stays = false;
	k->from = 0;
	if (k->is_misnamed) /* not another time */
		kafka_supervisor_pause(k);
	else if (k->p.care != CARE_MANAGE)
		kafka_supervisor_give_up(k, "there is none", NULL,
		    kafka_supervisor_is_shared(k)
			? "the tranqd that sees to it has not made it yet"
			: "pull.supervisor=manage lets tranqd make it");
	else if (k->was_made)
		kafka_supervisor_begin(k);
	else
		kafka_supervisor_post_unseeded(k);
}

static void
found(void *context, enum result result, const struct overlord_answer *answer,
    const char *why)
{
	struct kafka_supervisor *k = context;
	struct kafka_retire r;
	struct json *spec;

	k->ask = NULL;
	if (kafka_state_is_absent(result, answer)) {
		k->changed |= k->state != NULL;
		json_free(&k->state);
		r = kafka_supervisor_retirement(k, NULL);
		if (k->rests == REST_RETIRED && kafka_retire_is_empty(&r))
			kafka_supervisor_end_retirement(k);
		else
			make(k);
		return;
	}
	spec = kafka_state_is_good(result, answer)
	    ? json_parse(answer->body, answer->body_bytes, NULL)
	    : NULL;
	if (json_is_object(spec))
		compare(k, spec);
	else
		kafka_supervisor_give_up(
		    k, "its spec is not known", answer, why);
	json_free(&spec);
}

static void
look(struct kafka_supervisor *k)
{
	kafka_supervisor_call_at(k, "", NULL, found);
}

void
kafka_supervisor_rest(struct kafka_supervisor *k, enum supervisor_rest why)
{
	if (k->rests == why)
		return;
	k->rests = why;
	k->is_retired = false;
	if (kafka_supervisor_is_shared(k) && why == REST_NOT)
		k->p.suspend(k->p.context, false);
	kafka_supervisor_set_text(k, k->waits, "%s",
	    why == REST_RETIRED ? "its state is asked for" : "");
	/* else what is under way leads to the next look */
	if (loop_timer_active(&k->timer))
		loop_timer_start(k->p.loop, &k->timer, 0, poll_due);
}

void
kafka_supervisor_suspend(struct kafka_supervisor *k, bool on)
{
	k->suspends = on;
}

bool
kafka_supervisor_is_retired(const struct kafka_supervisor *k)
{
	return k->rests == REST_RETIRED && k->is_retired;
}

void
kafka_supervisor_want(struct kafka_supervisor *k, struct json *spec)
{
	json_free(&k->wanted);
	k->wanted = spec;
	k->has_been = false;
	if (k->p.care == CARE_OFF)
		return;
	/* what is under way is of the spec before */
	overlord_cancel(&k->ask);
	drop_tasks(k);
	loop_timer_stop(&k->timer);
	look(k);
}

bool
kafka_supervisor_was_made(const struct kafka_supervisor *k)
{
	return k->was_made;
}

void
kafka_supervisor_stored(struct kafka_supervisor *k)
{
	bool waits = k->was_made && !k->is_stored;

	k->is_stored = k->was_made;
	if (waits && k->ask == NULL && !loop_timer_active(&k->timer))
		kafka_supervisor_begin(k);
}

void
kafka_supervisor_hold(struct kafka_supervisor *k)
{
	k->is_held = true;
	loop_timer_stop(&k->timer);
}

bool
kafka_supervisor_is_settled(const struct kafka_supervisor *k)
{
	return k->ask == NULL || !k->changes;
}

bool
kafka_supervisor_changed(struct kafka_supervisor *k)
{
	bool changed = k->changed;

	k->changed = false;
	return changed;
}

void
kafka_supervisor_describe(
    const struct kafka_supervisor *k, struct json *to, struct json *notes)
{
	static const char *const cares[] = { "manage", "observe", "off" };
	const char *const texts[] = { k->lost, k->note, k->trouble };
	struct json *j =
	    k->state != NULL ? json_clone(k->state) : json_new_object();

	json_set_text(j, "id", k->p.id);
	json_set_text(j, "care", cares[k->p.care]);
	if (*k->waits != '\0')
		json_set_text(j, "waits", k->waits);
	json_set(to, "supervisor", j);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		char *text;

		if (*texts[i] == '\0')
			continue;
		text = must_format("supervisor %s: %s", k->p.id, texts[i]);
		json_append(notes, json_new_text(text));
		free(text);
	}
}
