/*
 * kafka_supervisor - the care for the Kafka supervisor that pulls our log
 *
 * Process: worker.
 */
#include "kafka_supervisor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "kafka_note.h"
#include "kafka_retire.h"
#include "kafka_spec.h"
#include "kafka_state.h"
#include "log.h"
#include "panic.h"

#define API "druid/indexer/v1/supervisor"
/* Without it Druid ends the tasks of one that gets the same spec again, as
 * after an answer that was lost; 33 and newer know it. */
#define UNLESS_SAME "?skipRestartIfUnmodified=true"
#define NOTE_BYTES 600
#define SOON_MS 1000
#define TASKS_MAX 8 /* asked for after one status */
struct kafka_supervisor {
	struct kafka_supervisor_parts p;
	struct json *wanted; /* NULL: nothing yet */
	struct loop_timer timer;
	struct overlord_ask *ask;
	bool changes; /* the ask does, in Druid */
	bool is_held;
	bool is_misnamed; /* Druid made another one of it */
	bool was_made, is_stored; /* that it was made: in the spool */
	bool trusted; /* what it commits is of our log */
	bool has_been; /* as it shall be, since we know what that is */
	bool stays; /* suspended, when it is seeded */
	unsigned from; /* the first partition that is to be seeded */
	enum supervisor_rest rests;
	bool is_retired;
	bool suspends; /* a shared one: others want that */
	unsigned seeds; /* the partition that is being seeded */
	/* as it was found last */
	bool is_ours, is_suspended, is_drained;
	char *tasks[TASKS_MAX]; /* to be asked for */
	unsigned task_count;
	/* for the status */
	char note[NOTE_BYTES]; /* about the spec */
	char lost[NOTE_BYTES]; /* about the log */
	char trouble[NOTE_BYTES]; /* why nothing is known now */
	char waits[NOTE_BYTES]; /* for what, until it is retired */
	struct json *state; /* of the last answer, NULL: none */
	bool changed;
	int64_t complained_ms, lost_ms;
};

static void look(struct kafka_supervisor *);
static bool retire(struct kafka_supervisor *, const struct json *payload);
static bool seeds_more(struct kafka_supervisor *, const struct json *payload);

static void __attribute__((format(printf, 3, 4)))
set_text(struct kafka_supervisor *k, char *to, const char *format, ...)
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

static bool
is_shared(const struct kafka_supervisor *k)
{
	return k->p.own >= 0;
}

/* ---- asking ---- */

/* path: taken over. */
static void
ask(struct kafka_supervisor *k, char *path, const struct json *body,
    overlord_answer_fn *done)
{
	k->changes = body != NULL;
	if (!k->is_held)
		k->ask = overlord_call(k->p.overlord, path,
		    body != NULL ? json_to_text(body) : NULL, done, k);
	free(path);
}

/* What the Overlord has at `more` of this supervisor. */
static void
ask_about(struct kafka_supervisor *k, const char *more, const struct json *body,
    overlord_answer_fn *done)
{
	char *id = http_escape(k->p.id);

	ask(k, must_format(API "/%s%s", id, more), body, done);
	free(id);
}

/* Each turn looks at the spec first: a status says nothing of whose log it is
 * that is read. */
static void
poll_due(struct loop_timer *t)
{
	look(t->context);
}

static void
rest(struct kafka_supervisor *k)
{
	loop_timer_start(k->p.loop, &k->timer, k->p.poll_ms, poll_due);
}

/* Something is being made. */
static void
rest_soon(struct kafka_supervisor *k)
{
	loop_timer_start(
	    k->p.loop, &k->timer, MIN_OF(k->p.poll_ms, SOON_MS), poll_due);
}

/* An answer that did not come, or none that was expected. The rest waits for
 * the next turn. */
static void
give_up(struct kafka_supervisor *k, const char *what,
    const struct overlord_answer *answer, const char *why)
{
	if (answer != NULL)
		set_text(k, k->trouble, "%s: the Overlord answered %d %.400s",
		    what, answer->status, answer->body);
	else
		set_text(k, k->trouble, "%s: %.500s", what, why);
	if (answer != NULL && log_may_repeat(&k->complained_ms, 60000))
		log_error("supervisor %s: %s", k->p.id, k->trouble);
	log_floor_status(k->p.floor, NULL, "", loop_now_ms(k->p.loop));
	rest(k);
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
		rest(k);
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

static void
set_state(struct kafka_supervisor *k, const struct json *payload)
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
		give_up(k, "its status is not known", answer, why);
		return;
	}
	status = json_parse(answer->body, answer->body_bytes, NULL);
	log_floor_status(k->p.floor, k->trusted ? status : NULL, answer->server,
	    loop_now_ms(k->p.loop));
	set_state(k, json_get(status, "payload"));
	set_text(k, k->trouble, "%s", "");
	if (!seeds_more(k, json_get(status, "payload")) &&
	    (k->rests == REST_NOT || !retire(k, json_get(status, "payload"))))
		ask_tasks(k);
	json_free(&status);
}

static void
watch(struct kafka_supervisor *k)
{
	ask_about(k, "/status", NULL, status_known);
}

/* ---- making ---- */

/* Whether it was taken; else the rest waits. */
static bool
check_posted(struct kafka_supervisor *k, enum result result,
    const struct overlord_answer *answer, const char *why)
{
	k->ask = NULL;
	FAULT_POINT(PULL_POSTED);
	if (kafka_state_is_good(result, answer) &&
	    kafka_state_is_of(answer, k->p.id))
		return true;
	k->is_misnamed = kafka_state_is_good(result, answer);
	if (k->is_misnamed)
		give_up(k, "it is not made", NULL,
		    "this Druid does not know supervisors' ids; it must not be "
		    "older than the one that it was made in");
	else
		give_up(k, kafka_state_refusal(answer), answer, why);
	return false;
}

static void
posted(void *context, enum result result, const struct overlord_answer *answer,
    const char *why)
{
	struct kafka_supervisor *k = context;

	if (!check_posted(k, result, answer, why))
		return;
	log_info("supervisor %s: is as our configuration has it", k->p.id);
	set_text(k, k->note, "%s", "");
	k->trusted = k->has_been = true;
	watch(k);
}

/* As it shall be, suspended or not. */
static void
post(struct kafka_supervisor *k, bool suspended)
{
	struct json *spec = json_clone(k->wanted);

	if (suspended)
		json_set_bool(spec, "suspended", true);
	FAULT_POINT(PULL_POST);
	ask(k, must_strdup(API UNLESS_SAME), spec, posted);
	json_free(&spec);
}

/* Druid's own business from now on, also when it is ended there and made again:
 * that must be in the spool before the first task begins, since to seed it once
 * more would double what was read. */
static void
begin(struct kafka_supervisor *k)
{
	if (k->is_stored)
		post(k, k->stays);
}

static void
seeded(void *context, enum result result, const struct overlord_answer *answer,
    const char *why)
{
	struct kafka_supervisor *k = context;

	k->ask = NULL;
	FAULT_POINT(PULL_SEEDED);
	if (!kafka_state_is_good(result, answer)) {
		give_up(k, "the offsets that it begins at are not stored yet",
		    answer, why);
		return;
	}
	log_info("supervisor %s: begins where the log does", k->p.id);
	k->changed |= !k->was_made;
	k->was_made = true;
	begin(k);
}

/* Stores where `count` partitions begin. */
static void
seed_some(struct kafka_supervisor *k, unsigned first, unsigned count,
    overlord_answer_fn *done)
{
	struct json *map = json_new_object(), *body;
	char name[16];

	for (unsigned i = first; i < first + count; i++) {
		snprintf(name, sizeof name, "%u", i);
		json_set_int(
		    map, name, (int64_t)k->p.log_start(k->p.context, i));
	}
	body = kafka_state_offsets(k->p.topic, map);
	FAULT_POINT(PULL_SEED);
	ask_about(k, "/resetOffsets", body, done);
	json_free(&body);
}

/* A partition more: its reading tasks begin again where they have committed. */
static void
seeded_more(void *context, enum result result,
    const struct overlord_answer *answer, const char *why)
{
	struct kafka_supervisor *k = context;

	k->ask = NULL;
	FAULT_POINT(PULL_SEEDED);
	if (!kafka_state_is_good(result, answer)) {
		give_up(k, "a new partition's offset is not stored yet", answer,
		    why);
		return;
	}
	log_info("supervisor %s: has partition %u, too", k->p.id, k->seeds);
	k->p.seeded(k->p.context, k->seeds);
	rest(k);
}

/* After a status. false: nothing was begun. */
static bool
seeds_more(struct kafka_supervisor *k, const struct json *payload)
{
	if (!is_shared(k) || !k->is_ours || k->p.care != CARE_MANAGE ||
	    k->suspends || !kafka_state_has_begun(payload) ||
	    !k->p.unseeded(k->p.context, &k->seeds))
		return false;
	seed_some(k, k->seeds, 1, seeded_more);
	return true;
}

/* Offsets are set by a supervisor that has begun: one that cannot begin (its
 * consumer does not know our address, say) forgets what it was asked for. */
static void
unseeded_known(void *context, enum result result,
    const struct overlord_answer *answer, const char *why)
{
	struct kafka_supervisor *k = context;
	const struct json *payload;
	struct json *status;

	k->ask = NULL;
	if (!kafka_state_is_good(result, answer)) {
		give_up(k, "its status is not known", answer, why);
		return;
	}
	status = json_parse(answer->body, answer->body_bytes, NULL);
	payload = json_get(status, "payload");
	set_state(k, payload);
	if (strcmp(json_get_text(payload, "detailedState", ""), "SUSPENDED") ==
	    0) {
		seed_some(k, k->from,
		    k->p.partitions - MIN_OF(k->from, k->p.partitions), seeded);
	} else {
		set_text(k, k->trouble,
		    "Druid has not begun with it yet; it must reach %s",
		    k->p.servers);
		rest_soon(k);
	}
	json_free(&status);
}

/* How many of its tasks are alive; false: the rest waits. */
static bool
count_tasks(struct kafka_supervisor *k, enum result result,
    const struct overlord_answer *answer, const char *why, unsigned *alive)
{
	k->ask = NULL;
	if (kafka_state_is_good(result, answer) &&
	    kafka_state_alive(answer, k->p.id, alive))
		return true;
	give_up(k, "its tasks are not known", answer, why);
	return false;
}

/* While the supervisor is suspended no more of them begin. The status would not
 * do: it has none before the first run has found them. */
static void
tasks_known(void *context, enum result result,
    const struct overlord_answer *answer, const char *why)
{
	struct kafka_supervisor *k = context;
	unsigned alive;

	if (!count_tasks(k, result, answer, why, &alive))
		return;
	set_text(k, k->trouble, "%s", "");
	if (alive == 0) {
		ask_about(k, "/status", NULL, unseeded_known);
		return;
	}
	set_text(k, k->trouble,
	    "%u tasks still publish what they have read; until then it is "
	    "suspended",
	    alive);
	rest_soon(k);
}

static void
ask_for_tasks(struct kafka_supervisor *k, overlord_answer_fn *done)
{
	ask(k, kafka_state_tasks(k->p.topic), NULL, done);
}

static void
posted_unseeded(void *context, enum result result,
    const struct overlord_answer *answer, const char *why)
{
	struct kafka_supervisor *k = context;

	if (check_posted(k, result, answer, why))
		ask_for_tasks(k, tasks_known);
}

static void
post_unseeded(struct kafka_supervisor *k)
{
	struct json *spec = kafka_spec_unseeded(k->wanted, k->stays, k->from);

	FAULT_POINT(PULL_POST);
	ask(k, must_strdup(API UNLESS_SAME), spec, posted_unseeded);
	json_free(&spec);
}

/* ---- its end ---- */

static struct kafka_retire
retirement(const struct kafka_supervisor *k, const struct json *payload)
{
	return (struct kafka_retire){ .floor = k->p.floor,
		.first = (unsigned)MAX_OF(k->p.own, 0),
		.partitions = is_shared(k) ? 1 : k->p.partitions,
		.log_start = k->p.log_start,
		.log_end = k->p.log_end,
		.context = k->p.context,
		.payload = payload,
		.can = k->is_ours && k->trusted &&
		    (is_shared(k) || k->p.care == CARE_MANAGE),
		.is_suspended = k->is_suspended,
		.by_us = k->is_drained };
}

static void
end_retirement(struct kafka_supervisor *k)
{
	k->changed |= !k->is_retired;
	k->is_retired = true;
	set_text(k, k->waits, "%s", "");
	rest(k);
}

static void
posted_drained(void *context, enum result result,
    const struct overlord_answer *answer, const char *why)
{
	struct kafka_supervisor *k = context;

	if (!check_posted(k, result, answer, why))
		return;
	log_info(
	    "supervisor %s: is suspended, so that its tasks publish", k->p.id);
	rest(k);
}

static void
ended(void *context, enum result result, const struct overlord_answer *answer,
    const char *why)
{
	struct kafka_supervisor *k = context;

	k->ask = NULL;
	if (!kafka_state_is_good(result, answer) &&
	    !kafka_state_is_absent(result, answer)) {
		give_up(k, "it cannot be ended", answer, why);
		return;
	}
	log_info("supervisor %s: is ended, all is committed", k->p.id);
	end_retirement(k);
}

static void
post_drained(struct kafka_supervisor *k)
{
	struct json *spec = kafka_spec_drained(k->wanted, k->stays);

	FAULT_POINT(PULL_DRAIN);
	ask(k, must_strdup(API UNLESS_SAME), spec, posted_drained);
	json_free(&spec);
}

/* One by the dataSource's name may be another's tomorrow, with its offsets. */
static void
tasks_left(void *context, enum result result,
    const struct overlord_answer *answer, const char *why)
{
	struct kafka_supervisor *k = context;
	struct json *nothing;
	unsigned alive;

	if (!count_tasks(k, result, answer, why, &alive))
		return;
	if (alive > 0) {
		set_text(
		    k, k->waits, "has %u tasks that have not ended", alive);
		rest_soon(k);
	} else if (strcmp(k->p.id, k->p.topic) == 0) {
		end_retirement(k);
	} else {
		nothing = json_new_object();
		FAULT_POINT(PULL_END);
		ask_about(k, "/terminate", nothing, ended);
		json_free(&nothing);
	}
}

/* With its tasks: one that has hardly begun is not ended with its supervisor,
 * and would keep its slot for ever. One that is suspended finds it. */
static void
end(struct kafka_supervisor *k, bool can)
{
	if (!can)
		end_retirement(k);
	else if (!k->is_suspended)
		post_drained(k);
	else
		ask_for_tasks(k, tasks_left);
}

/* Whoever manages it does it. */
static bool
retire_shared(struct kafka_supervisor *k, enum kafka_retire_step step)
{
	if (step != KAFKA_RETIRE_WAIT)
		k->p.suspend(k->p.context, step == KAFKA_RETIRE_SUSPEND);
	if (step != KAFKA_RETIRE_END || k->rests != REST_RETIRED)
		return false;
	end_retirement(k);
	return true;
}

/* After a status. false: nothing was begun. */
static bool
retire(struct kafka_supervisor *k, const struct json *payload)
{
	struct kafka_retire r = retirement(k, payload);
	char text[KAFKA_RETIRE_BYTES];
	enum kafka_retire_step step = kafka_retire_next(&r, text);

	set_text(k, k->waits, "%s", text);
	k->is_retired &= step == KAFKA_RETIRE_END;
	if (is_shared(k))
		return retire_shared(k, step);
	switch (step) {
	case KAFKA_RETIRE_WAIT: return false;
	case KAFKA_RETIRE_SUSPEND: post_drained(k); break;
	case KAFKA_RETIRE_END:
		if (k->rests == REST_RETIRED)
			end(k, r.can);
		else if (k->is_drained) /* it is not the log that is full */
			post(k, k->stays);
		else
			return false;
		break;
	case KAFKA_RETIRE_RESUME:
		log_warnx("supervisor %s: a task that was to publish has "
			  "failed; it reads once more",
		    k->p.id);
		post(k, false);
		break;
	}
	return true;
}

/* ---- the spec ---- */

static void
set_note(
    struct kafka_supervisor *k, enum kafka_spec_match match, const char *where)
{
	struct kafka_note note = { match, where, k->p.care == CARE_MANAGE,
		is_shared(k), k->has_been };
	char text[NOTE_BYTES];

	kafka_note(&note, text, sizeof text);
	set_text(k, k->note, "%s", text);
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
		set_text(k, k->note,
		    "its bootstrap.servers does not have %s, so that it pulls "
		    "from elsewhere; nothing is removed",
		    k->p.servers);
}

/* The spool that it was made with is lost, or away: its offsets are of another
 * log, and what was in it and not published is missing. */
static void
begin_anew(struct kafka_supervisor *k)
{
	set_text(k, k->lost,
	    "it was made for another spool than the one that is here, which is "
	    "new: events that Druid had not read from that one are not here. "
	    "It goes on at the beginning of this one");
	if (log_may_repeat(&k->lost_ms, 60000))
		log_error("supervisor %s: %s", k->p.id, k->lost);
	post_unseeded(k);
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
	begin(k);
}

/* What is to be done to it; false: nothing. */
static bool
mend(struct kafka_supervisor *k, enum kafka_spec_match match,
    const struct json *found)
{
	k->stays = kafka_spec_stays(found);
	if (k->p.care != CARE_MANAGE)
		return false;
	k->from = match == KAFKA_SPEC_LOG ? 0 : kafka_spec_seeded(found);
	/* never one that others may share */
	if (match == KAFKA_SPEC_LOG && !k->was_made && !is_shared(k))
		begin_anew(k);
	else if (k->suspends && k->is_ours &&
	    !(k->is_drained && k->is_suspended))
		post_drained(k);
	else if (is_shared(k) && k->suspends && match != KAFKA_SPEC_UNSEEDED)
		return false;
	else if (kafka_spec_is_old(match) && k->has_been)
		return false; /* they would take it from each other for ever */
	else if (match == KAFKA_SPEC_GROWN)
		post_unseeded(k);
	else if (match == KAFKA_SPEC_OLD ||
	    (k->is_ours && k->is_drained &&
		(is_shared(k) || k->rests == REST_NOT)))
		post(k, k->stays);
	else if (match != KAFKA_SPEC_UNSEEDED)
		return false;
	else if (json_get_bool(found, "suspended", false))
		ask_for_tasks(k, tasks_known);
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
		rest(k);
	else if (k->p.care != CARE_MANAGE)
		give_up(k, "there is none", NULL,
		    is_shared(k)
			? "the tranqd that sees to it has not made it yet"
			: "pull.supervisor=manage lets tranqd make it");
	else if (k->was_made)
		begin(k);
	else
		post_unseeded(k);
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
		r = retirement(k, NULL);
		if (k->rests == REST_RETIRED && kafka_retire_is_empty(&r))
			end_retirement(k);
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
		give_up(k, "its spec is not known", answer, why);
	json_free(&spec);
}

static void
look(struct kafka_supervisor *k)
{
	ask_about(k, "", NULL, found);
}

void
kafka_supervisor_rest(struct kafka_supervisor *k, enum supervisor_rest why)
{
	if (k->rests == why)
		return;
	k->rests = why;
	k->is_retired = false;
	if (is_shared(k) && why == REST_NOT)
		k->p.suspend(k->p.context, false);
	set_text(k, k->waits, "%s",
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
		begin(k);
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
