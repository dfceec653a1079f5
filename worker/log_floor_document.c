/*
 * log_floor_document - a log's floor as it lies in the spool
 *
 * Process: worker. Pure.
 */
#include "log_floor_internal.h"

#include <stdio.h>
#include <string.h>

#include "panic.h"

#define DOCUMENT_VERSION 1

static void
set_offset(struct json *to, const char *name, uint64_t offset)
{
	if (offset != NONE)
		json_set_int(to, name, (int64_t)offset);
}

static struct json *
partition_document(const struct partition *p)
{
	struct json *j = json_new_object();

	set_offset(j, "floor", p->floor);
	set_offset(j, "agreed", p->agreed);
	json_set_bool(j, "rewound", p->is_rewound);
	return j;
}

static struct json *
group_document(const struct log_floor *f, const struct group *g)
{
	struct json *j = json_new_object(), *starts = json_new_object();
	struct json *tasks = json_new_object();
	char name[16];

	for (unsigned p = 0; p < f->count; p++) {
		snprintf(name, sizeof name, "%u", p);
		set_offset(starts, name, g->start[p]);
	}
	for (unsigned i = 0; i < g->task_count; i++)
		json_set_int(tasks, g->tasks[i].id, g->tasks[i].state);
	json_set_text(j, "name", g->name);
	json_set(j, "starts", starts);
	json_set(j, "tasks", tasks);
	json_set_bool(j, "listed", g->is_listed);
	json_set_bool(j, "succeeded", g->has_succeeded);
	json_set_int(j, "came", (int64_t)g->came);
	json_set_int(j, "left", (int64_t)g->left);
	return j;
}

struct json *
log_floor_document(const struct log_floor *f)
{
	struct json *j = json_new_object(), *partitions = json_new_array();
	struct json *groups = json_new_array();
	const struct group *g;

	for (unsigned p = 0; p < f->count; p++)
		json_append(partitions, partition_document(&f->partitions[p]));
	TAILQ_FOREACH(g, &f->groups, link)
	json_append(groups, group_document(f, g));
	json_set_int(j, "version", DOCUMENT_VERSION);
	json_set_text(j, "topic", f->topic);
	json_set_int(j, "turn", (int64_t)f->turn);
	json_set(j, "partitions", partitions);
	json_set(j, "groups", groups);
	return j;
}

/* Absent: `otherwise`. */
static bool
read_number(
    const struct json *from, const char *name, uint64_t otherwise, uint64_t *to)
{
	const struct json *j = json_get(from, name);

	*to = log_floor_is_offset(j) ? (uint64_t)json_int(j, 0) : otherwise;
	return j == NULL || log_floor_is_offset(j);
}

static bool
restore_partition(struct partition *p, const struct json *j)
{
	p->is_rewound = json_get_bool(j, "rewound", false);
	return read_number(j, "floor", 0, &p->floor) &&
	    read_number(j, "agreed", NONE, &p->agreed);
}

static bool
restore_tasks(struct log_floor *f, struct group *g, const struct json *tasks)
{
	for (struct json_member *m = json_first(tasks); m != NULL;
	     m = json_next(tasks, m)) {
		int64_t state = json_int(json_member(m), -1);

		if (state < TASK_UNKNOWN || state > TASK_ABSENT)
			return false;
		log_floor_add_task(f, g, json_member_name(m));
		g->tasks[g->task_count - 1].state = (enum task_state)state;
	}
	return true;
}

static bool
restore_group(struct log_floor *f, const struct json *j)
{
	const char *name = json_get_text(j, "name", "");
	const struct json *starts = json_get(j, "starts");
	struct group *g = NULL;

	if (*name != '\0' && log_floor_find(f, name, strlen(name)) == NULL)
		g = log_floor_add(f, name, strlen(name));
	if (g == NULL || !read_number(j, "came", 0, &g->came) ||
	    !read_number(j, "left", 0, &g->left))
		return false;
	g->is_listed = json_get_bool(j, "listed", false);
	g->has_succeeded = json_get_bool(j, "succeeded", false);
	for (struct json_member *m = json_first(starts); m != NULL;
	     m = json_next(starts, m)) {
		int p = log_floor_partition(f, json_member_name(m));

		if (p < 0 || !log_floor_is_offset(json_member(m)))
			return false;
		g->start[p] = (uint64_t)json_int(json_member(m), 0);
	}
	return restore_tasks(f, g, json_get(j, "tasks"));
}

static bool
restore(struct log_floor *f, const struct json *j)
{
	const struct json *partitions = json_get(j, "partitions");
	const struct json *groups = json_get(j, "groups");

	if (json_get_int(j, "version", 0) != DOCUMENT_VERSION ||
	    strcmp(json_get_text(j, "topic", ""), f->topic) != 0 ||
	    json_size(partitions) > f->count ||
	    !read_number(j, "turn", 0, &f->turn))
		return false;
	for (size_t p = 0; p < json_size(partitions); p++)
		if (!restore_partition(
			&f->partitions[p], json_at(partitions, p)))
			return false;
	for (size_t i = 0; i < json_size(groups); i++)
		if (!restore_group(f, json_at(groups, i)))
			return false;
	return true;
}

bool
log_floor_restore(struct log_floor *f, const struct json *document)
{
	bool is_sound = restore(f, document);

	must(f->leader == NULL);
	if (!is_sound) {
		log_floor_forget_groups(f);
		f->turn = 0;
		for (unsigned p = 0; p < f->count; p++)
			f->partitions[p] = (struct partition){
				.agreed = NONE, .least = NONE, .steady = NONE
			};
	}
	f->changed = false;
	return is_sound;
}
