/*
 * sandbox_pull - the groups of tasks that a supervisor has
 *
 * Process: tranq-sandbox.
 */
#include "sandbox_pull.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "panic.h"

#define SUCCESSOR "An earlier task of the group failed"

const struct json *
sandbox_pull_io(const struct json *spec)
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

void
sandbox_pull_fill(struct supervisor *s, struct pull_group *g)
{
	int64_t replicas =
	    json_get_int(sandbox_pull_io(s->spec), "replicas", 1);

	replicas = MIN_OF(MAX_OF(replicas, 1), PULL_REPLICAS_MAX);
	while (g->task_count < (unsigned)replicas)
		g->tasks[g->task_count++] = add_task(s, g);
}

void
sandbox_pull_end_task(
    struct pull_task *t, enum pull_state state, const char *error)
{
	t->state = state;
	t->error = error;
	t->ended_ms = clock_wall_ms();
	if (error != NULL && t->source != NULL)
		t->source->is_lost = true;
}

void
sandbox_pull_end_tasks(
    struct pull_group *g, enum pull_state state, const char *error)
{
	while (g->task_count > 0)
		sandbox_pull_end_task(g->tasks[--g->task_count], state, error);
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

void
sandbox_pull_free(struct pull_group *g)
{
	free(g->name);
	free(g);
}

unsigned
sandbox_pull_numbers(const struct supervisor *s)
{
	int64_t count = json_get_int(sandbox_pull_io(s->spec), "taskCount", 1);

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
	return json_get_bool(
		   sandbox_pull_io(s->spec), "useEarliestOffset", false)
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

bool
sandbox_pull_is_read(const struct supervisor *s, unsigned number)
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
	unsigned found = 0, step = sandbox_pull_numbers(s);
	struct pull_group *g;

	for (unsigned p = 0; p < PULL_PARTITIONS_MAX; p++) {
		start[p] = p % step == number ? next_start(s, p) : PULL_NONE;
		found += start[p] != PULL_NONE;
	}
	if (found == 0)
		return;
	g = add_group(s, number, start);
	sandbox_pull_fill(s, g);
}

void
sandbox_pull_start(struct supervisor *s)
{
	if (s->spec == NULL || s->is_suspended || s->is_paused)
		return;
	for (unsigned n = 0; n < sandbox_pull_numbers(s); n++)
		if (!sandbox_pull_is_read(s, n))
			start_group(s, n);
}

/* The groups of this number, or all (-1). */
unsigned
sandbox_pull_publish(struct supervisor *s, int64_t number)
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

void
sandbox_pull_drop(struct supervisor *s, struct pull_group *g)
{
	struct pull_group **at = &s->groups;

	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
	sandbox_pull_free(g);
}

void
sandbox_pull_fail(struct supervisor *s, struct pull_group *g, const char *error)
{
	unsigned number = g->number;

	for (struct pull_group *next; g != NULL; g = next) {
		next = g->next;
		if (g->number != number)
			continue;
		sandbox_pull_end_tasks(g, PULL_FAILED, error);
		sandbox_pull_drop(s, g);
		error = SUCCESSOR;
	}
	for (g = s->groups; g != NULL; g = g->next)
		g->is_stale |= g->number == number;
}
