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

#include "kafka_spec.h"
#include "log.h"
#include "panic.h"

#define API "druid/indexer/v1/supervisor"
#define NOTE_BYTES 600
#define ERRORS_SHOWN 3
#define TASKS_MAX 8 /* asked for after one status */
/* How long after its making no task can have published yet, so that offsets
 * may be stored without rewinding any. */
#define SEED_MS 30000
/* Statuses between two looks at the spec itself. */
#define LOOK_EVERY 20

struct kafka_supervisor {
	struct kafka_supervisor_parts p;
	struct json *wanted; /* NULL: nothing yet */
	struct loop_timer timer;
	struct overlord_ask *ask;
	unsigned until_look;
	int64_t seed_until_ms; /* 0: it was not made by us, now */
	bool was_made;
	char *tasks[TASKS_MAX]; /* to be asked for */
	unsigned task_count;
	/* for the status */
	char note[NOTE_BYTES]; /* about the spec */
	char trouble[NOTE_BYTES]; /* why nothing is known now */
	struct json *state; /* of the last answer, NULL: none */
	bool changed;
	int64_t complained_ms;
};

static void look(struct kafka_supervisor *);
static void watch(struct kafka_supervisor *);

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
	k->was_made = was_made;
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

/* ---- asking ---- */

/* What the Overlord has below its path, or at `more` of this supervisor. */
static void
call(struct kafka_supervisor *k, const char *more, struct json *body,
    overlord_answer_fn *done)
{
	char *id = http_escape(k->p.id);
	char *path = more != NULL ? must_format(API "/%s%s", id, more)
				  : must_strdup(API);

	k->ask = overlord_call(k->p.overlord, path,
	    body != NULL ? json_to_text(body) : NULL, done, k);
	free(path);
	free(id);
}

static void
poll_due(struct loop_timer *t)
{
	struct kafka_supervisor *k = t->context;

	if (k->until_look == 0)
		look(k);
	else
		watch(k);
}

static void
rest(struct kafka_supervisor *k)
{
	loop_timer_start(k->p.loop, &k->timer, k->p.poll_ms, poll_due);
}

/* An answer that did not come, or none that was expected. The rest waits for
 * the next turn, which begins with a look. */
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
	k->until_look = 0;
	rest(k);
}

static bool
is_good(enum result result, const struct overlord_answer *answer)
{
	return result == RESULT_OK && answer->status >= 200 &&
	    answer->status < 300;
}

static bool
is_absent(enum result result, const struct overlord_answer *answer)
{
	return result == RESULT_OK && answer->status == 404;
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
	if (k->task_count == 0)
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
copy_member(struct json *to, const char *as, const struct json *payload,
    const char *name)
{
	const struct json *j = json_get(payload, name);

	if (j != NULL && !json_is_null(j))
		json_set(to, as, json_clone(j));
}

/* The last few, as texts. */
static struct json *
errors_of(const struct json *payload)
{
	const struct json *errors = json_get(payload, "recentErrors");
	size_t count = json_is_array(errors) ? json_size(errors) : 0;
	struct json *texts = json_new_array();
	char text[NOTE_BYTES];

	for (size_t i = count - MIN_OF(count, ERRORS_SHOWN); i < count; i++) {
		const struct json *e = json_at(errors, i);

		snprintf(text, sizeof text, "%.40s %.150s: %.300s",
		    json_get_text(e, "timestamp", ""),
		    json_get_text(e, "exceptionClass", "error"),
		    json_get_text(e, "message", ""));
		json_append(texts, json_new_text(text));
	}
	return texts;
}

static void
set_state(struct kafka_supervisor *k, const struct json *payload)
{
	struct json *state = json_new_object();

	copy_member(state, "state", payload, "detailedState");
	copy_member(state, "suspended", payload, "suspended");
	copy_member(state, "lag", payload, "aggregateLag");
	json_set_int(state, "reading",
	    (int64_t)json_size(json_get(payload, "activeTasks")));
	json_set_int(state, "publishing",
	    (int64_t)json_size(json_get(payload, "publishingTasks")));
	json_set(state, "errors", errors_of(payload));
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
	if (!is_good(result, answer)) {
		give_up(k, "its status is not known", answer, why);
		return;
	}
	status = json_parse(answer->body, answer->body_bytes, NULL);
	log_floor_status(
	    k->p.floor, status, answer->server, loop_now_ms(k->p.loop));
	set_state(k, json_get(status, "payload"));
	json_free(&status);
	set_text(k, k->trouble, "%s", "");
	k->until_look--;
	ask_tasks(k);
}

static void
watch(struct kafka_supervisor *k)
{
	call(k, "/status", NULL, status_known);
}

static void
watch_next(struct kafka_supervisor *k)
{
	k->until_look = LOOK_EVERY;
	watch(k);
}

/* ---- making ---- */

static void
seeded(void *context, enum result result, const struct overlord_answer *answer,
    const char *why)
{
	struct kafka_supervisor *k = context;

	k->ask = NULL;
	if (!is_good(result, answer)) {
		give_up(k, "the offsets that it begins at are not stored yet",
		    answer, why);
		return;
	}
	k->was_made = true;
	k->changed = true;
	k->seed_until_ms = 0;
	log_info("supervisor %s: begins where the log does", k->p.id);
	watch_next(k);
}

static void
seed(struct kafka_supervisor *k)
{
	struct json *body = json_new_object(), *partitions = json_new_object();
	struct json *map = json_new_object();
	char name[16];

	for (unsigned i = 0; i < k->p.partitions; i++) {
		snprintf(name, sizeof name, "%u", i);
		json_set_int(
		    map, name, (int64_t)k->p.log_start(k->p.context, i));
	}
	json_set_text(partitions, "type", "end");
	json_set_text(partitions, "stream", k->p.topic);
	json_set(partitions, "partitionOffsetMap", map);
	json_set_text(body, "type", "kafka");
	json_set(body, "partitions", partitions);
	call(k, "/resetOffsets", body, seeded);
	json_free(&body);
}

/* It is there as we want it. */
static void
settle(struct kafka_supervisor *k)
{
	bool is_new = k->seed_until_ms > 0;

	if (is_new && loop_now_ms(k->p.loop) < k->seed_until_ms) {
		seed(k);
		return;
	}
	if (is_new) {
		log_warnx("supervisor %s: was made, but the Overlord was not "
			  "reached in time to store where it begins",
		    k->p.id);
		k->seed_until_ms = 0;
	}
	/* its offsets are Druid's business from now on, also when it is ended
	 * there and made again */
	k->changed |= !k->was_made;
	k->was_made = true;
	watch_next(k);
}

static void
posted(void *context, enum result result, const struct overlord_answer *answer,
    const char *why)
{
	struct kafka_supervisor *k = context;

	k->ask = NULL;
	if (!is_good(result, answer)) {
		give_up(k, "it is not made", answer, why);
		return;
	}
	log_info("supervisor %s: is as our configuration has it", k->p.id);
	set_text(k, k->note, "%s", "");
	settle(k);
}

/* found: what is there, or NULL. */
static void
post(struct kafka_supervisor *k, const struct json *found)
{
	struct json *spec = json_clone(k->wanted);

	if (json_get_bool(found, "suspended", false))
		json_set_bool(spec, "suspended", true);
	if (found == NULL && !k->was_made)
		k->seed_until_ms = loop_now_ms(k->p.loop) + SEED_MS;
	call(k, NULL, spec, posted);
	json_free(&spec);
}

/* ---- the spec ---- */

static void
set_note(
    struct kafka_supervisor *k, enum kafka_spec_match match, const char *where)
{
	static const char remedy[] =
	    "; tranqd does not touch it: end it in Druid, and tranqd makes its "
	    "own";

	switch (match) {
	case KAFKA_SPEC_SAME: set_text(k, k->note, "%s", ""); break;
	case KAFKA_SPEC_OLD:
		set_text(k, k->note,
		    "its spec is of another configuration; with "
		    "pull.supervisor=manage tranqd updates it");
		break;
	case KAFKA_SPEC_EDITED:
		set_text(k, k->note,
		    "its %s was changed in Druid; tranqd leaves it so until "
		    "its own configuration changes",
		    where);
		break;
	case KAFKA_SPEC_OTHER:
		set_text(k, k->note, "tranqd instance %s has made it%s", where,
		    remedy);
		break;
	case KAFKA_SPEC_FOREIGN:
		set_text(k, k->note, "tranqd has not made it%s", remedy);
		break;
	}
}

static void
compare(struct kafka_supervisor *k, const struct json *found)
{
	char where[KAFKA_SPEC_WHERE_BYTES];
	enum kafka_spec_match match =
	    kafka_spec_compare(k->wanted, found, where);

	if (match == KAFKA_SPEC_OLD && k->p.care == CARE_MANAGE) {
		post(k, found);
		return;
	}
	set_note(k, match, where);
	if (match == KAFKA_SPEC_SAME || match == KAFKA_SPEC_EDITED)
		settle(k);
	else
		watch_next(k);
}

static void
found(void *context, enum result result, const struct overlord_answer *answer,
    const char *why)
{
	struct kafka_supervisor *k = context;
	struct json *spec;

	k->ask = NULL;
	if (is_absent(result, answer)) {
		json_free(&k->state);
		if (k->p.care == CARE_MANAGE)
			post(k, NULL);
		else
			give_up(k, "there is none", NULL,
			    "pull.supervisor=manage lets tranqd make it");
		return;
	}
	spec = is_good(result, answer)
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
	call(k, "", NULL, found);
}

void
kafka_supervisor_want(struct kafka_supervisor *k, struct json *spec)
{
	json_free(&k->wanted);
	k->wanted = spec;
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
	const char *const texts[] = { k->note, k->trouble };
	struct json *j =
	    k->state != NULL ? json_clone(k->state) : json_new_object();

	json_set_text(j, "id", k->p.id);
	json_set_text(j, "care", cares[k->p.care]);
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
