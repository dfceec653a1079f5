/*
 * sandbox_supervisor - Kafka supervisors, as far as others can see them
 *
 * Process: tranq-sandbox.
 */
#include "sandbox_supervisor.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "panic.h"
#include "sandbox_pull.h"

#define KILLED "Shutdown request from user"
#define RESET "DataSourceMetadata is updated while reset offsets is called"
#define TOLD "Told to fail"
#define BEHIND "Inconsistent metadata state"

static bool __attribute__((format(printf, 2, 3)))
refuse(char why[static PULL_WHY_BYTES], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, PULL_WHY_BYTES, format, args);
	va_end(args);
	return false;
}

/* ---- which there are ---- */

void
sandbox_supervisor_init(
    struct supervisors *all, struct store *store, struct violations *violations)
{
	*all = (struct supervisors){ .store = store, .violations = violations };
}

static void
free_supervisor(struct supervisor *s)
{
	for (struct pull_group *g = s->groups, *next; g != NULL; g = next) {
		next = g->next;
		sandbox_pull_free(g);
	}
	for (struct pull_task *t = s->tasks, *next; t != NULL; t = next) {
		next = t->next;
		free(t->id);
		free(t);
	}
	json_free(&s->spec);
	json_free(&s->versions);
	json_free(&s->errors);
	free(s->state);
	free(s->id);
	free(s->ds);
	free(s->topic);
	free(s);
}

void
sandbox_supervisor_clear(struct supervisors *all)
{
	for (struct supervisor *s = all->first, *next; s != NULL; s = next) {
		next = s->next;
		free_supervisor(s);
	}
	all->first = NULL;
}

static struct supervisor *
find_any(const struct supervisors *all, const char *id)
{
	struct supervisor *s = all->first;

	while (s != NULL && strcmp(s->id, id) != 0)
		s = s->next;
	return s;
}

struct supervisor *
sandbox_supervisor_find(const struct supervisors *all, const char *id)
{
	struct supervisor *s = find_any(all, id);

	return s != NULL && s->spec != NULL ? s : NULL;
}

struct pull_task *
sandbox_supervisor_task(
    const struct supervisors *all, const char *task_id, struct supervisor **of)
{
	for (struct supervisor *s = all->first; s != NULL; s = s->next)
		for (struct pull_task *t = s->tasks; t != NULL; t = t->next)
			if (strcmp(t->id, task_id) == 0) {
				*of = s;
				return t;
			}
	return NULL;
}

static struct supervisor *
add_supervisor(struct supervisors *all, const char *id)
{
	struct supervisor *s = must_calloc(1, sizeof *s), **at = &all->first;

	s->all = all;
	s->id = must_strdup(id);
	s->versions = json_new_array();
	s->errors = json_new_array();
	for (unsigned p = 0; p < PULL_PARTITIONS_MAX; p++)
		s->stored[p] = s->earliest[p] = s->end[p] = PULL_NONE;
	while (*at != NULL)
		at = &(*at)->next;
	*at = s;
	return s;
}

/* ---- publication ---- */

/* The next one that does not fall with this one. */
static struct pull_group *
next_but(struct pull_group *g)
{
	unsigned number = g->number;

	while (g != NULL && g->number == number)
		g = g->next;
	return g;
}

enum published { PUBLISHED, PUBLISHED_AHEAD, PUBLISHED_BEHIND };

/* No offset stored counts as the one that is wanted (apache/druid#10922). */
static enum published
publish(struct supervisor *s, const struct pull_group *g)
{
	for (unsigned p = 0; p < PULL_PARTITIONS_MAX; p++) {
		if (g->start[p] == PULL_NONE || s->stored[p] == PULL_NONE)
			continue;
		if (g->start[p] != s->stored[p])
			return g->start[p] > s->stored[p] ? PUBLISHED_AHEAD
							  : PUBLISHED_BEHIND;
	}
	for (unsigned p = 0; p < PULL_PARTITIONS_MAX; p++)
		if (g->at[p] != PULL_NONE)
			s->stored[p] = g->at[p];
	return PUBLISHED;
}

static bool
is_meant(const struct pull_group *g, const char *task)
{
	if (*task == '\0')
		return true;
	for (unsigned i = 0; i < g->task_count; i++)
		if (strncmp(g->tasks[i]->id, task, strlen(task)) == 0)
			return true;
	return false;
}

/* Replicas of the one that has published end as SUCCESS, too. */
static void
commit(struct supervisor *s, const char *task, struct json *answer)
{
	int64_t count[3] = { 0 };
	struct pull_group *g = s->groups, *next;

	for (; g != NULL; g = next) {
		enum published published;

		next = g->next;
		if (!g->is_publishing || !is_meant(g, task))
			continue;
		published = publish(s, g);
		count[published]++;
		if (published == PUBLISHED) {
			sandbox_pull_end_tasks(g, PULL_SUCCESS, NULL);
			sandbox_pull_drop(s, g);
		} else if (published == PUBLISHED_BEHIND) {
			next = next_but(g);
			sandbox_pull_fail(s, g, BEHIND);
		}
	}
	sandbox_pull_start(s);
	json_set_int(answer, "changed", count[PUBLISHED]);
	json_set_int(answer, "failed", count[PUBLISHED_BEHIND]);
	json_set_int(answer, "waiting", count[PUBLISHED_AHEAD]);
}

/* ---- failure ---- */

static unsigned
fail_tasks(struct supervisor *s, struct pull_group *g, const char *task,
    enum pull_state state)
{
	unsigned ended = 0;

	for (unsigned i = g->task_count; i-- > 0;) {
		struct pull_task *t = g->tasks[i];

		if (strncmp(t->id, task, strlen(task)) != 0)
			continue;
		sandbox_pull_end_task(
		    t, state, state == PULL_FAILED ? TOLD : NULL);
		/* what it read is read again, however it ended */
		if (t->source != NULL)
			t->source->is_lost = true;
		g->tasks[i] = g->tasks[--g->task_count];
		ended++;
	}
	if (g->task_count == 0)
		memcpy(g->at, g->start, sizeof g->at);
	sandbox_pull_fill(s, g);
	return ended;
}

static unsigned
fail(struct supervisor *s, const char *task, enum pull_state state)
{
	unsigned ended = 0;
	struct pull_group *g = s->groups;

	while (g != NULL &&
	    (!g->is_publishing || *task == '\0' || !is_meant(g, task)))
		g = g->next;
	if (g != NULL) {
		sandbox_pull_fail(s, g, TOLD);
		sandbox_pull_start(s);
		return 1;
	}
	for (g = s->groups; g != NULL; g = g->next)
		if (!g->is_publishing && is_meant(g, task))
			ended += fail_tasks(s, g, task, state);
	return ended;
}

/* ---- offsets that are set ---- */

/* Druid goes by the group's number, whether it reads the partition or not yet. */
static void
reset_partition(struct supervisor *s, unsigned p, uint64_t to)
{
	unsigned number = p % sandbox_pull_numbers(s);
	struct pull_group *g = s->groups;

	s->stored[p] = to;
	while (g != NULL && (g->is_publishing || g->number != number))
		g = g->next;
	if (g != NULL) {
		sandbox_pull_end_tasks(g, PULL_FAILED, RESET);
		sandbox_pull_drop(s, g);
	}
	for (g = s->groups; g != NULL; g = g->next)
		if (g->at[p] != PULL_NONE)
			g->is_stale = true;
}

static bool
reads_as_partition(const char *text, unsigned *partition)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	*partition = (unsigned)n;
	return end != text && *end == '\0' && n < PULL_PARTITIONS_MAX;
}

static const struct json *
read_offsets(const struct supervisor *s, const struct json *body,
    char why[static PULL_WHY_BYTES])
{
	const struct json *parts = json_get(body, "partitions");
	const struct json *map = json_get(parts, "partitionOffsetMap");
	const char *stream = json_get_text(parts, "stream", "");
	unsigned partition;

	if (map == NULL)
		map = json_get(parts, "partitionSequenceNumberMap");
	if (strcmp(json_get_text(body, "type", ""), "kafka") != 0 ||
	    !json_is_object(map) || json_size(map) == 0)
		refuse(why, "not the offsets of a Kafka supervisor");
	else if (strcmp(stream, s->topic) != 0)
		refuse(
		    why, "stream [%.100s] is not [%.100s]", stream, s->topic);
	else
		*why = '\0';
	for (struct json_member *m = json_first(map); m != NULL;
	     m = json_next(map, m))
		if (!reads_as_partition(json_member_name(m), &partition) ||
		    json_int(json_member(m), -1) < 0)
			refuse(
			    why, "[%.20s] has no offset", json_member_name(m));
	return *why == '\0' ? map : NULL;
}

static void
forget_offsets(struct supervisor *s)
{
	for (unsigned p = 0; p < PULL_PARTITIONS_MAX; p++)
		if (s->stored[p] != PULL_NONE ||
		    sandbox_supervisor_reader(s, p) != NULL)
			reset_partition(s, p, PULL_NONE);
}

bool
sandbox_supervisor_reset(struct supervisor *s, const struct json *body,
    char why[static PULL_WHY_BYTES])
{
	const struct json *map = NULL;

	if (body != NULL && (map = read_offsets(s, body, why)) == NULL)
		return false;
	if (map == NULL)
		forget_offsets(s);
	for (struct json_member *m = json_first(map); m != NULL;
	     m = json_next(map, m)) {
		uint64_t to = (uint64_t)json_int(json_member(m), 0);
		unsigned p;

		must(reads_as_partition(json_member_name(m), &p));
		if (s->stored[p] != PULL_NONE && s->stored[p] != to)
			sandbox_violation_add(s->all->violations,
			    VIOLATION_OFFSETS_MOVED,
			    "%s: partition %u from %" PRIu64 " to %" PRIu64,
			    s->id, p, s->stored[p], to);
		reset_partition(s, p, to);
	}
	sandbox_pull_start(s);
	return true;
}

/* ---- the spec ---- */

static bool
read_spec(struct supervisor_wish *w, const char **id, const char **topic)
{
	const struct json *schema =
	    json_get(json_get(w->spec, "spec"), "dataSchema");
	const struct json *io = sandbox_pull_io(w->spec);
	const struct json *consumer = json_get(io, "consumerProperties");
	const char *ds = json_get_text(schema, "dataSource", "");

	*topic = json_get_text(io, "topic", "");
	*id = ds;
	if (w->version >= DRUID_SUPERVISOR_ID)
		*id = json_get_text(w->spec, "id", ds);
	if (*ds == '\0')
		return refuse(w->why, "dataSource cannot be null or empty");
	if (json_get(schema, "granularitySpec") == NULL ||
	    json_get(schema, "timestampSpec") == NULL)
		return refuse(
		    w->why, "dataSchema wants granularitySpec, timestampSpec");
	if (**topic == '\0')
		return refuse(
		    w->why, "Either topic or topicPattern must be specified");
	if (*json_get_text(consumer, "bootstrap.servers", "") == '\0')
		return refuse(w->why,
		    "consumerProperties must contain entry for "
		    "[bootstrap.servers]");
	if (json_get(io, "inputFormat") == NULL)
		return refuse(w->why, "inputFormat must not be null");
	return true;
}

/* Another object in the Overlord: it has not looked at the log yet. */
static void
begin_again(struct supervisor *s)
{
	for (unsigned p = 0; p < PULL_PARTITIONS_MAX; p++)
		s->end[p] = PULL_NONE;
	sandbox_pull_publish(s, -1);
	sandbox_pull_start(s);
}

/* Tasks of the spec before publish; the next ones are of this spec. */
static void
renew(struct supervisor *s, const struct supervisor_wish *w, struct json *shown)
{
	const struct json *schema =
	    json_get(json_get(w->spec, "spec"), "dataSchema");

	free(s->ds);
	free(s->topic);
	s->ds = must_strdup(json_get_text(schema, "dataSource", ""));
	s->topic =
	    must_strdup(json_get_text(sandbox_pull_io(w->spec), "topic", ""));
	json_free(&s->spec);
	s->spec = shown;
	s->is_suspended = json_get_bool(shown, "suspended", false);
	json_append(s->versions, json_clone(shown));
	begin_again(s);
}

enum supervisor_post
sandbox_supervisor_post(struct supervisors *all, struct supervisor_wish *w)
{
	const char *id, *topic;
	struct supervisor *s;
	struct json *shown;

	if (!read_spec(w, &id, &topic))
		return SUPERVISOR_REFUSED;
	s = find_any(all, id);
	if (s != NULL && s->spec != NULL && strcmp(s->topic, topic) != 0 &&
	    w->version >= DRUID_SUPERVISOR_ID) {
		refuse(w->why, "%.200s", s->topic);
		return SUPERVISOR_STREAM;
	}
	if (s == NULL)
		s = add_supervisor(all, id);
	shown = sandbox_supervisor_shown(w->spec, w->version, id);
	w->made = s;
	w->is_modified = s->spec == NULL || !json_same(s->spec, shown);
	w->is_restarted = w->is_modified || !w->skips_same;
	if (w->is_restarted)
		renew(s, w, shown);
	else
		json_free(&shown);
	return SUPERVISOR_MADE;
}

bool
sandbox_supervisor_suspend(struct supervisor *s, bool suspend)
{
	if (s->is_suspended == suspend)
		return false;
	s->is_suspended = suspend;
	json_set_bool(s->spec, "suspended", suspend);
	json_append(s->versions, json_clone(s->spec));
	begin_again(s);
	return true;
}

void
sandbox_supervisor_terminate(struct supervisor *s)
{
	sandbox_pull_publish(s, -1);
	json_free(&s->spec);
	json_append(s->versions, json_new_null());
	json_free(&s->errors);
	s->errors = json_new_array();
}

bool
sandbox_supervisor_hand_off(struct supervisor *s, const struct json *ids)
{
	for (size_t i = 0; i < json_size(ids); i++) {
		int64_t n = json_int(json_at(ids, i), -1);

		if (n < 0 || n >= sandbox_pull_numbers(s) ||
		    !sandbox_pull_is_read(s, (unsigned)n))
			return false;
	}
	for (size_t i = 0; i < json_size(ids); i++)
		sandbox_pull_publish(s, json_int(json_at(ids, i), -1));
	sandbox_pull_start(s);
	return true;
}

/* ---- what its tasks do ---- */

void
sandbox_supervisor_read(struct supervisor *s, struct pull_group *g,
    unsigned partition, uint64_t offset)
{
	g->at[partition] = offset;
	if (s->end[partition] == PULL_NONE || s->end[partition] < offset)
		s->end[partition] = offset;
}

static void
set_state(struct supervisor *s, const struct json *command)
{
	const char *state = json_get_text(command, "state", "");
	const char *error = json_get_text(command, "error", "");
	struct json *j;

	free(s->state);
	s->state = *state != '\0' ? must_strdup(state) : NULL;
	if (*error == '\0')
		return;
	j = json_new_object();
	json_set_text(j, "timestamp", "2026-03-01T10:00:00.000Z");
	json_set_text(
	    j, "exceptionClass", "org.apache.druid.java.util.common.ISE");
	json_set_text(j, "message", error);
	json_set_bool(j, "streamException", false);
	json_append(s->errors, j);
}

enum verb {
	DO_EARLIEST,
	DO_END,
	DO_REWIND, /* up to here: with a partition and an offset */
	DO_ROLL,
	DO_COMMIT,
	DO_FAIL,
	DO_STOP,
	DO_LOSE,
	DO_STATE,
	DO_PAUSE,
	DO_START,
	VERBS
};

static enum verb
verb_of(const struct json *command)
{
	static const char *const names[] = { "earliest", "end", "rewind",
		"roll", "commit", "fail", "stop", "lose", "state", "pause",
		"start" };
	const char *name = json_get_text(command, "do", "");
	unsigned v = 0;

	while (v < VERBS && strcmp(names[v], name) != 0)
		v++;
	return (enum verb)v;
}

static void
set_offset(struct supervisor *s, enum verb verb, unsigned p, uint64_t to)
{
	if (verb == DO_EARLIEST)
		s->earliest[p] = to;
	else if (verb == DO_END)
		s->end[p] = to;
	else
		reset_partition(s, p, to);
	sandbox_pull_start(s);
}

static void
obey(struct supervisor *s, enum verb verb, const struct json *command,
    struct json *answer)
{
	const char *task = json_get_text(command, "task", "");
	int64_t changed = 1;

	switch (verb) {
	case DO_EARLIEST:
	case DO_END:
	case DO_REWIND:
		set_offset(s, verb,
		    (unsigned)json_get_int(command, "partition", 0),
		    (uint64_t)json_get_int(command, "offset", 0));
		break;
	case DO_ROLL:
		changed = sandbox_pull_publish(
		    s, json_get_int(command, "number", -1));
		sandbox_pull_start(s);
		break;
	case DO_COMMIT: commit(s, task, answer); return;
	case DO_FAIL: changed = fail(s, task, PULL_FAILED); break;
	case DO_STOP: changed = fail(s, task, PULL_SUCCESS); break;
	case DO_LOSE: forget_offsets(s); break;
	case DO_STATE: set_state(s, command); break;
	case DO_PAUSE:
	case DO_START:
		s->is_paused = verb == DO_PAUSE;
		sandbox_pull_start(s);
		break;
	case VERBS: unreachable("verb");
	}
	json_set_int(answer, "changed", changed);
}

struct json *
sandbox_supervisor_do(struct supervisors *all, const struct json *command,
    char why[static PULL_WHY_BYTES])
{
	struct supervisor *s = find_any(all, json_get_text(command, "id", ""));
	enum verb verb = verb_of(command);
	int64_t partition = json_get_int(command, "partition", -1);
	struct json *answer;

	if (s == NULL)
		refuse(why, "id: no such supervisor");
	else if (verb == VERBS)
		refuse(why, "do: see tools/sandbox_supervisor.h");
	else if (verb <= DO_REWIND &&
	    (partition < 0 || partition >= PULL_PARTITIONS_MAX ||
		json_get_int(command, "offset", -1) < 0))
		refuse(why, "partition, offset: are wanted");
	else {
		answer = json_new_object();
		obey(s, verb, command, answer);
		return answer;
	}
	return NULL;
}
