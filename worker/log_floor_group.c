/*
 * log_floor_group - the groups of tasks that the supervisor's answers show
 *
 * Process: worker. Pure.
 */
#include "log_floor_internal.h"

#include <stdlib.h>
#include <string.h>

#include "panic.h"

static void
forget_tasks(struct group *g)
{
	for (unsigned i = 0; i < g->task_count; i++)
		free(g->tasks[i].id);
	free(g->tasks);
	g->tasks = NULL;
	g->task_count = 0;
}

static void
free_group(struct log_floor *f, struct group *g)
{
	TAILQ_REMOVE(&f->groups, g, link);
	f->group_count--;
	forget_tasks(g);
	free(g->name);
	free(g);
}

void
log_floor_forget_groups(struct log_floor *f)
{
	while (!TAILQ_EMPTY(&f->groups))
		free_group(f, TAILQ_FIRST(&f->groups));
}

/* Of the group in a task's id. */
size_t
log_floor_name_bytes(const char *id)
{
	const char *end = strrchr(id, '_');

	return end != NULL ? (size_t)(end - id) : strlen(id);
}

struct group *
log_floor_find(const struct log_floor *f, const char *name, size_t bytes)
{
	struct group *g;

	TAILQ_FOREACH(g, &f->groups, link)
	if (strncmp(g->name, name, bytes) == 0 && g->name[bytes] == '\0')
		return g;
	return NULL;
}

struct group *
log_floor_add(struct log_floor *f, const char *name, size_t bytes)
{
	struct group *g;

	if (f->group_count == LOG_FLOOR_GROUPS_MAX)
		return NULL;
	g = must_calloc(1, sizeof *g);
	g->name = must_format("%.*s", (int)bytes, name);
	for (unsigned p = 0; p < LOG_PAGE_PARTITIONS_MAX; p++)
		g->start[p] = NONE;
	TAILQ_INSERT_TAIL(&f->groups, g, link);
	f->group_count++;
	f->changed = true;
	return g;
}

struct member *
log_floor_find_task(const struct group *g, const char *id)
{
	for (unsigned i = 0; i < g->task_count; i++)
		if (strcmp(g->tasks[i].id, id) == 0)
			return &g->tasks[i];
	return NULL;
}

/* Of so many replacements the first ones matter least. */
void
log_floor_add_task(struct log_floor *f, struct group *g, const char *id)
{
	if (g->task_count == LOG_FLOOR_TASKS_MAX) {
		free(g->tasks[0].id);
		memmove(g->tasks, g->tasks + 1,
		    --g->task_count * sizeof g->tasks[0]);
	}
	g->tasks =
	    must_realloc(g->tasks, (g->task_count + 1) * sizeof g->tasks[0]);
	g->tasks[g->task_count++] =
	    (struct member){ must_strdup(id), TASK_UNKNOWN };
	f->changed = true;
}

bool
log_floor_has_ended(enum task_state state)
{
	return state == TASK_SUCCESS || state == TASK_FAILED ||
	    state == TASK_ABSENT;
}

/* Away, and all its tasks have come to their ends without success. */
bool
log_floor_has_failed(const struct group *g)
{
	if (g->is_listed || g->has_succeeded)
		return false;
	for (unsigned i = 0; i < g->task_count; i++)
		if (!log_floor_has_ended(g->tasks[i].state))
			return false;
	return true;
}

bool
log_floor_matters(const struct log_floor *f, const struct group *g)
{
	for (unsigned p = 0; p < f->count; p++)
		if (g->start[p] != NONE)
			return true;
	return false;
}

void
log_floor_drop_done(struct log_floor *f)
{
	struct group *g = TAILQ_FIRST(&f->groups), *next;

	for (; g != NULL; g = next) {
		next = TAILQ_NEXT(g, link);
		if (!g->is_listed && !log_floor_matters(f, g)) {
			free_group(f, g);
			f->changed = true;
		}
	}
}

/* ---- rows of an answer ---- */

bool
log_floor_is_offset(const struct json *j)
{
	return json_is_int(j) && json_int(j, -1) >= 0;
}

/* A partition's number as a member's name; -1: none of ours. */
int
log_floor_partition(const struct log_floor *f, const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	return end != text && *end == '\0' && *text >= '0' && *text <= '9' &&
		n < f->count
	    ? (int)n
	    : -1;
}

static bool
row_is_sound(const struct log_floor *f, const struct json *row)
{
	const struct json *starts = json_get(row, "startingOffsets");
	const char *id = json_get_text(row, "id", "");
	size_t bytes = log_floor_name_bytes(id);

	if (bytes == 0 || id[bytes] == '\0' || !json_is_object(starts))
		return false;
	for (struct json_member *m = json_first(starts); m != NULL;
	     m = json_next(starts, m))
		if (log_floor_partition(f, json_member_name(m)) < 0 ||
		    !log_floor_is_offset(json_member(m)))
			return false;
	return true;
}

bool
log_floor_rows_are_sound(const struct log_floor *f, const struct json *rows)
{
	if (rows != NULL && !json_is_array(rows))
		return false;
	for (size_t i = 0; i < json_size(rows); i++)
		if (!row_is_sound(f, json_at(rows, i)))
			return false;
	return true;
}

/* Which groups have a task that was known before. */
static void
mark_known(struct log_floor *f, const struct json *rows)
{
	for (size_t i = 0; i < json_size(rows); i++) {
		const char *id = json_get_text(json_at(rows, i), "id", "");
		struct group *g =
		    log_floor_find(f, id, log_floor_name_bytes(id));

		if (g != NULL && log_floor_find_task(g, id) != NULL)
			g->is_known = true;
	}
}

/* All its tasks are new, so it reads from its beginning another time: the name
 * is the same when the offsets are. What those before it had come to says
 * nothing. */
static void
begin_anew(struct log_floor *f, struct group *g)
{
	forget_tasks(g);
	g->has_succeeded = false;
	g->is_known = true;
	g->came = f->turn;
	f->changed = true;
}

static void
take_starts(struct log_floor *f, struct group *g, const struct json *starts,
    bool is_active)
{
	for (struct json_member *m = json_first(starts); m != NULL;
	     m = json_next(starts, m)) {
		int i = log_floor_partition(f, json_member_name(m));
		struct partition *p = &f->partitions[i];
		uint64_t at = (uint64_t)json_int(json_member(m), 0);

		p->least = MIN_OF(p->least, at);
		p->is_read |= is_active;
		if (at < g->start[i]) {
			g->start[i] = at;
			f->changed = true;
		}
	}
}

static void
take_rows(struct log_floor *f, const struct json *rows, bool are_active)
{
	for (size_t i = 0; i < json_size(rows); i++) {
		const struct json *row = json_at(rows, i);
		const char *id = json_get_text(row, "id", "");
		struct group *g =
		    log_floor_find(f, id, log_floor_name_bytes(id));

		if (g == NULL)
			g = log_floor_add(f, id, log_floor_name_bytes(id));
		if (g == NULL) {
			f->is_full = true;
			continue;
		}
		if (!g->is_known)
			begin_anew(f, g);
		if (log_floor_find_task(g, id) == NULL)
			log_floor_add_task(f, g, id);
		g->is_listed = true;
		g->left = f->turn;
		take_starts(f, g, json_get(row, "startingOffsets"), are_active);
	}
}

/* What the groups do, after this answer. */
void
log_floor_take_groups(struct log_floor *f, const struct json *payload)
{
	const struct json *active = json_get(payload, "activeTasks");
	const struct json *publishing = json_get(payload, "publishingTasks");
	struct group *g;

	f->turn++;
	f->is_full = false;
	TAILQ_FOREACH(g, &f->groups, link)
	{
		g->was_listed = g->is_listed;
		g->is_listed = g->is_known = false;
	}
	for (unsigned p = 0; p < f->count; p++) {
		f->partitions[p].least = NONE;
		f->partitions[p].is_read = false;
	}
	mark_known(f, active);
	mark_known(f, publishing);
	take_rows(f, active, true);
	take_rows(f, publishing, false);
	TAILQ_FOREACH(g, &f->groups, link)
	f->changed |= g->was_listed != g->is_listed;
}
