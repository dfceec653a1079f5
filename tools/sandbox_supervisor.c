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

#include "clock.h"
#include "panic.h"

#define KILLED "Shutdown request from user"
#define RESET "DataSourceMetadata is updated while reset offsets is called"
#define TOLD "Told to fail"
#define BEHIND "Inconsistent metadata state"
#define SUCCESSOR "An earlier task of the group failed"

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
free_group(struct pull_group *g)
{
	free(g->name);
	free(g);
}

static void
free_supervisor(struct supervisor *s)
{
	for (struct pull_group *g = s->groups, *next; g != NULL; g = next) {
		next = g->next;
		free_group(g);
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

static const struct json *
io_of(const struct json *spec)
{
	return json_get(json_get(spec, "spec"), "ioConfig");
}

/* ---- tasks ---- */

/* Of a number, letters or digits that look like chance (splitmix64). */
static void
scramble(uint64_t number, const char *digits, size_t count, char *to)
{
	uint64_t x = (number + 1) * UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x ^= x >> 27;
	for (size_t i = 0; i < count; i++, x >>= 4)
		to[i] = digits[x & 15];
	to[count] = '\0';
}

/* FNV-1a */
static uint64_t
hash(uint64_t h, const void *bytes, size_t count)
{
	const unsigned char *at = bytes;

	for (size_t i = 0; i < count; i++)
		h = (h ^ at[i]) * UINT64_C(0x100000001b3);
	return h;
}

static struct pull_task *
add_task(struct supervisor *s, struct pull_group *g)
{
	struct pull_task *t = must_calloc(1, sizeof *t);
	char letters[9];

	scramble(s->all->names++, "abcdefghijklmnop", 8, letters);
	t->id = must_format("%s_%s", g->name, letters);
	t->created_ms = clock_wall_ms();
	if (s->last_task != NULL)
		s->last_task->next = t;
	else
		s->tasks = t;
	s->last_task = t;
	return t;
}

static void
fill_group(struct supervisor *s, struct pull_group *g)
{
	int64_t replicas = json_get_int(io_of(s->spec), "replicas", 1);

	replicas = MIN_OF(MAX_OF(replicas, 1), PULL_REPLICAS_MAX);
	while (g->task_count < (unsigned)replicas)
		g->tasks[g->task_count++] = add_task(s, g);
}

static void
end_task(struct pull_task *t, enum pull_state state, const char *error)
{
	t->state = state;
	t->error = error;
	t->ended_ms = clock_wall_ms();
	if (error != NULL && t->source != NULL)
		t->source->is_lost = true;
}

static void
end_tasks(struct pull_group *g, enum pull_state state, const char *error)
{
	while (g->task_count > 0)
		end_task(g->tasks[--g->task_count], state, error);
}

struct store_source *
sandbox_supervisor_source(struct supervisor *s, struct pull_group *g)
{
	struct pull_task *t = g->tasks[0];

	if (t->source == NULL)
		t->source =
		    sandbox_store_add_source(s->all->store, s->ds, t->id, 0);
	return t->source;
}

/* ---- groups ---- */

static unsigned
task_count(const struct supervisor *s)
{
	int64_t count = json_get_int(io_of(s->spec), "taskCount", 1);

	return (unsigned)MIN_OF(MAX_OF(count, 1), PULL_PARTITIONS_MAX);
}

struct pull_group *
sandbox_supervisor_reader(const struct supervisor *s, unsigned partition)
{
	struct pull_group *g = s->groups;

	while (g != NULL && (g->is_publishing || g->at[partition] == PULL_NONE))
		g = g->next;
	return g;
}

/* Where the next group begins; PULL_NONE: not known. */
static uint64_t
next_start(const struct supervisor *s, unsigned partition)
{
	uint64_t at = PULL_NONE;

	for (const struct pull_group *g = s->groups; g != NULL; g = g->next)
		if (!g->is_stale && g->at[partition] != PULL_NONE)
			at = g->at[partition];
	if (at != PULL_NONE)
		return at;
	if (s->stored[partition] != PULL_NONE)
		return s->stored[partition];
	return json_get_bool(io_of(s->spec), "useEarliestOffset", false)
	    ? s->earliest[partition]
	    : s->end[partition];
}

/* By its spec and its beginning, so that one that begins where one that has read
 * nothing began has its name. */
static char *
group_name(const struct supervisor *s, const uint64_t *start)
{
	char *spec = json_to_text(s->spec), hex[16];
	uint64_t h = hash(UINT64_C(0xcbf29ce484222325), spec, strlen(spec));

	h = hash(h, start, PULL_PARTITIONS_MAX * sizeof *start);
	free(spec);
	scramble(h, "0123456789abcdef", 15, hex);
	return must_format("index_kafka_%s_%s", s->id, hex);
}

static struct pull_group *
add_group(struct supervisor *s, unsigned number, const uint64_t *start)
{
	struct pull_group *g = must_calloc(1, sizeof *g), **at = &s->groups;

	g->number = number;
	g->created_ms = clock_wall_ms();
	g->name = group_name(s, start);
	memcpy(g->start, start, sizeof g->start);
	memcpy(g->at, start, sizeof g->at);
	while (*at != NULL)
		at = &(*at)->next;
	*at = g;
	return g;
}

static bool
has_reader(const struct supervisor *s, unsigned number)
{
	const struct pull_group *g = s->groups;

	while (g != NULL && (g->is_publishing || g->number != number))
		g = g->next;
	return g != NULL;
}

static void
start_group(struct supervisor *s, unsigned number)
{
	uint64_t start[PULL_PARTITIONS_MAX];
	unsigned found = 0, step = task_count(s);
	struct pull_group *g;

	for (unsigned p = 0; p < PULL_PARTITIONS_MAX; p++) {
		start[p] = p % step == number ? next_start(s, p) : PULL_NONE;
		found += start[p] != PULL_NONE;
	}
	if (found == 0)
		return;
	g = add_group(s, number, start);
	fill_group(s, g);
}

static void
start_groups(struct supervisor *s)
{
	if (s->spec == NULL || s->is_suspended)
		return;
	for (unsigned n = 0; n < task_count(s); n++)
		if (!has_reader(s, n))
			start_group(s, n);
}

/* The groups of this number, or all (-1). */
static unsigned
publish_groups(struct supervisor *s, int64_t number)
{
	unsigned changed = 0;

	for (struct pull_group *g = s->groups; g != NULL; g = g->next) {
		if (g->is_publishing ||
		    (number >= 0 && g->number != (uint64_t)number))
			continue;
		g->is_publishing = true;
		g->published_ms = clock_wall_ms();
		changed++;
	}
	return changed;
}

static void
drop_group(struct supervisor *s, struct pull_group *g)
{
	struct pull_group **at = &s->groups;

	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
	free_group(g);
}

/* All of this number from `g` on. What they read is read again, from what is
 * stored, whoever still publishes before them. */
static void
fail_groups(struct supervisor *s, struct pull_group *g, const char *error)
{
	unsigned number = g->number;

	for (struct pull_group *next; g != NULL; g = next) {
		next = g->next;
		if (g->number != number)
			continue;
		end_tasks(g, PULL_FAILED, error);
		drop_group(s, g);
		error = SUCCESSOR;
	}
	for (g = s->groups; g != NULL; g = g->next)
		g->is_stale |= g->number == number;
}

/* The next one that does not fall with this one. */
static struct pull_group *
next_but(struct pull_group *g)
{
	unsigned number = g->number;

	while (g != NULL && g->number == number)
		g = g->next;
	return g;
}

/* ---- publication ---- */

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
			end_tasks(g, PULL_SUCCESS, NULL);
			drop_group(s, g);
		} else if (published == PUBLISHED_BEHIND) {
			next = next_but(g);
			fail_groups(s, g, BEHIND);
		}
	}
	start_groups(s);
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
		end_task(t, state, state == PULL_FAILED ? TOLD : NULL);
		/* what it read is read again, however it ended */
		if (t->source != NULL)
			t->source->is_lost = true;
		g->tasks[i] = g->tasks[--g->task_count];
		ended++;
	}
	if (g->task_count == 0)
		memcpy(g->at, g->start, sizeof g->at);
	fill_group(s, g);
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
		fail_groups(s, g, TOLD);
		start_groups(s);
		return 1;
	}
	for (g = s->groups; g != NULL; g = g->next)
		if (!g->is_publishing && is_meant(g, task))
			ended += fail_tasks(s, g, task, state);
	return ended;
}

/* ---- offsets that are set ---- */

static void
reset_partition(struct supervisor *s, unsigned p, uint64_t to)
{
	struct pull_group *g = sandbox_supervisor_reader(s, p);

	s->stored[p] = to;
	if (g != NULL) {
		end_tasks(g, PULL_FAILED, RESET);
		drop_group(s, g);
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
	start_groups(s);
	return true;
}

/* ---- the spec ---- */

static bool
read_spec(struct supervisor_wish *w, const char **id, const char **topic)
{
	const struct json *schema =
	    json_get(json_get(w->spec, "spec"), "dataSchema");
	const struct json *io = io_of(w->spec);
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
	publish_groups(s, -1);
	start_groups(s);
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
	s->topic = must_strdup(json_get_text(io_of(w->spec), "topic", ""));
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
	publish_groups(s, -1);
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

		if (n < 0 || n >= task_count(s) || !has_reader(s, (unsigned)n))
			return false;
	}
	for (size_t i = 0; i < json_size(ids); i++)
		publish_groups(s, json_int(json_at(ids, i), -1));
	start_groups(s);
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
	VERBS
};

static enum verb
verb_of(const struct json *command)
{
	static const char *const names[] = { "earliest", "end", "rewind",
		"roll", "commit", "fail", "stop", "lose", "state" };
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
	start_groups(s);
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
		changed =
		    publish_groups(s, json_get_int(command, "number", -1));
		start_groups(s);
		break;
	case DO_COMMIT: commit(s, task, answer); return;
	case DO_FAIL: changed = fail(s, task, PULL_FAILED); break;
	case DO_STOP: changed = fail(s, task, PULL_SUCCESS); break;
	case DO_LOSE: forget_offsets(s); break;
	case DO_STATE: set_state(s, command); break;
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
