/*
 * log_floor_internal - what the files of log_floor share
 *
 * Process: worker. Internal to log_floor*.c.
 */
#pragma once

#include <sys/queue.h>

#include "log_floor.h"
#include "log_page.h"

#define NONE UINT64_MAX /* no such offset */

struct member {
	char *id;
	enum task_state state;
};

/* Tasks that read the same: replicas and those that replaced them. */
struct group {
	TAILQ_ENTRY(group) link;
	char *name; /* their ids without what follows the last '_' */
	uint64_t start[LOG_PAGE_PARTITIONS_MAX]; /* NONE: does not matter */
	struct member *tasks;
	unsigned task_count;
	bool is_listed; /* in the last answer */
	bool was_listed; /* in the one before */
	bool is_known; /* a task of it in the last answer was known before */
	bool has_succeeded;
	/* turns: of the first answer with these tasks, of the last one */
	uint64_t came, left;
};

struct partition {
	uint64_t floor; /* 0: none yet */
	uint64_t agreed; /* M, when it was agreed last, or NONE */
	bool is_rewound; /* M, or what the source says, was below the floor */
	uint64_t committed; /* by the source; 0: not known */
	/* of the last answer */
	uint64_t least; /* M, or NONE */
	bool is_read; /* by a group that is active */
	/* what has been the same, and since when: M, or the exact place */
	uint64_t steady;
	bool steady_is_exact, is_fresh;
	int64_t since_ms;
};

struct log_floor {
	char *topic;
	unsigned count;
	int64_t agree_ms;
	struct partition partitions[LOG_PAGE_PARTITIONS_MAX];
	TAILQ_HEAD(groups, group) groups;
	unsigned group_count;
	bool is_full; /* groups were seen that have no room */
	bool has_source;
	uint64_t turn;
	char *leader; /* of the last answer, NULL: there was none */
	char *updated; /* when Druid had looked at the log, then */
	int64_t now_ms; /* of the last answer */
	bool changed;
};

/* ---- log_floor_group.c ---- */

/* Of the group in a task's id: what stands before the last '_'. */
size_t log_floor_name_bytes(const char *task_id);
struct group *
log_floor_find(const struct log_floor *, const char *name, size_t bytes);
/* NULL: there is no room. */
struct group *log_floor_add(struct log_floor *, const char *name, size_t bytes);
struct member *log_floor_find_task(const struct group *, const char *id);
void log_floor_add_task(struct log_floor *, struct group *, const char *id);
void log_floor_forget_groups(struct log_floor *);
/* Whether any of its beginnings is not settled. */
bool log_floor_matters(const struct log_floor *, const struct group *);
/* Those that are away and do not matter any more. */
void log_floor_drop_done(struct log_floor *);
bool log_floor_has_ended(enum task_state);
/* Away, and all its tasks have come to their ends without success. */
bool log_floor_has_failed(const struct group *);

bool log_floor_is_offset(const struct json *);
/* A partition's number as a member's name; -1: none of ours. */
int log_floor_partition(const struct log_floor *, const char *text);
/* activeTasks or publishingTasks; they may be absent. */
bool log_floor_rows_are_sound(const struct log_floor *, const struct json *);
/* What the groups do, after this answer: its payload, whose rows are sound. */
void log_floor_take_groups(struct log_floor *, const struct json *payload);
