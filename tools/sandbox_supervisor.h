/*
 * sandbox_supervisor - Kafka supervisors, as far as others can see them
 *
 * Process: tranq-sandbox. Pure but for the wall clock.
 * kafka-pull.md 5 and druid-api.md 8 have the original.
 *
 * A supervisor has groups of tasks: for each number (partition modulo
 * taskCount) one that reads, and those that have read enough and publish, the
 * oldest first. Nothing happens by itself: nobody pulls, no time passes. Who
 * plays the tasks (a test, tests/helper/puller.py) says what they have done:
 *
 *   sandbox_supervisor_read     a group has read on
 *   sandbox_supervisor_do       a command: {"id": …, "do": …, …}
 *     earliest partition offset   where the log begins: a supervisor that has
 *                                 no offset of it stored starts there (or at
 *                                 the end, by useEarliestOffset)
 *     end      partition offset   where the log ends; to be told again after
 *                                 each POST, suspension and resumption
 *     roll     [number]           who reads publishes, others read on from
 *                                 there
 *     commit   [task]             who publishes has done so: their ends are
 *                                 stored, where they started at what is
 *                                 stored (or nothing is). One that started
 *                                 behind fails, one ahead has to wait
 *     fail     [task]             the task fails. A reading one is replaced
 *                                 from its group's start; with a publishing
 *                                 one all that came later ends, and begins
 *                                 again with what is stored
 *     stop     [task]             as fail, but a reading task ends as SUCCESS
 *                                 without having published
 *     rewind   partition offset   what resetOffsets does
 *     lose                        the stored offsets are gone
 *     pause                       no group begins; `start`: they do again, as
 *                                 it is for some seconds after each roll
 *     state    [state] [error]    its detailedState, until it is told without;
 *                                 one error more
 *
 * `task` is the beginning of ids; without it: all publishing ones of commit,
 * the reading ones of fail and stop.
 */
#pragma once

#include "base.h"
#include "json.h"
#include "sandbox_answer.h"
#include "sandbox_store.h"
#include "sandbox_violation.h"

#define PULL_PARTITIONS_MAX 64
#define PULL_REPLICAS_MAX 8
#define PULL_NONE UINT64_MAX /* no offset */
#define PULL_WHY_BYTES 400

enum pull_state { PULL_RUNNING, PULL_SUCCESS, PULL_FAILED };

struct pull_task {
	struct pull_task *next; /* of the supervisor: also those that ended */
	char *id;
	enum pull_state state;
	const char *error; /* of FAILED */
	int64_t created_ms, ended_ms; /* wall; 0: not yet */
	struct store_source *source; /* of its events, NULL: it brought none */
};

struct pull_group {
	struct pull_group *next; /* later ones */
	unsigned number;
	char *name; /* its tasks' ids without what follows the last '_' */
	bool is_publishing;
	bool is_stale; /* offsets were reset: nobody goes on where it ends */
	uint64_t start[PULL_PARTITIONS_MAX], at[PULL_PARTITIONS_MAX];
	struct pull_task *tasks[PULL_REPLICAS_MAX]; /* that run */
	unsigned task_count;
	int64_t created_ms, published_ms; /* wall */
};

struct supervisor {
	struct supervisor *next;
	struct supervisors *all;
	char *id, *ds, *topic;
	struct json *spec; /* as Druid shows it; NULL: terminated */
	struct json *versions; /* all specs it has had, null: terminated */
	struct json *errors; /* recentErrors */
	char *state; /* as it was told, or NULL */
	bool is_suspended, is_paused;
	uint64_t stored[PULL_PARTITIONS_MAX], earliest[PULL_PARTITIONS_MAX];
	uint64_t end[PULL_PARTITIONS_MAX];
	struct pull_group *groups;
	struct pull_task *tasks, *last_task;
};

struct supervisors {
	struct supervisor *first;
	uint64_t names; /* of tasks, made so far */
	struct store *store;
	struct violations *violations;
};

void sandbox_supervisor_init(
    struct supervisors *, struct store *, struct violations *);
void sandbox_supervisor_clear(struct supervisors *);
/* NULL: none, or it was terminated. */
struct supervisor *
sandbox_supervisor_find(const struct supervisors *, const char *id);
struct pull_task *sandbox_supervisor_task(
    const struct supervisors *, const char *task_id, struct supervisor **of);

/* ---- what is asked of Druid: false with the reason ---- */

enum supervisor_post { SUPERVISOR_MADE, SUPERVISOR_REFUSED, SUPERVISOR_STREAM };

struct supervisor_wish {
	const struct json *spec;
	unsigned version;
	bool skips_same; /* skipRestartIfUnmodified */
	/* answers */
	struct supervisor *made;
	bool is_modified, is_restarted;
	char why[PULL_WHY_BYTES]; /* of STREAM: the topic before */
};

enum supervisor_post
sandbox_supervisor_post(struct supervisors *, struct supervisor_wish *);
/* false: it is so already. */
bool sandbox_supervisor_suspend(struct supervisor *, bool suspend);
void sandbox_supervisor_terminate(struct supervisor *);
/* body: that of resetOffsets; NULL: all offsets are forgotten. */
bool sandbox_supervisor_reset(struct supervisor *, const struct json *body,
    char why[static PULL_WHY_BYTES]);
/* These groups publish, others read on. false: one of them is none. */
bool sandbox_supervisor_hand_off(struct supervisor *, const struct json *ids);

/* ---- what its tasks do ---- */

/* The group that reads the partition, or NULL. */
struct pull_group *
sandbox_supervisor_reader(const struct supervisor *, unsigned partition);
/* The group's offset; `events`, of which some came, go to its first task. */
struct store_source *
sandbox_supervisor_source(struct supervisor *, struct pull_group *);
void sandbox_supervisor_read(struct supervisor *, struct pull_group *,
    unsigned partition, uint64_t offset);
/* New, what became of it: {"changed": N}; NULL with the reason. */
struct json *sandbox_supervisor_do(
    struct supervisors *, const struct json *, char why[static PULL_WHY_BYTES]);

/* ---- sandbox_supervisor_view.c: documents, new ---- */

/* GET supervisor/{id}/status */
struct json *
sandbox_supervisor_status(const struct supervisor *, unsigned version);
/* One of GET supervisor?full and ?state=true */
struct json *sandbox_supervisor_row(const struct supervisor *, bool is_full);
/* GET supervisor/{id}/history */
struct json *sandbox_supervisor_history(const struct supervisor *);
bool sandbox_supervisor_healthy(const struct supervisor *);
/* What Druid shows of a spec that was sent: its own members, defaults. */
struct json *sandbox_supervisor_shown(
    const struct json *spec, unsigned version, const char *id);
/* What nobody can ask a Druid for. */
struct json *sandbox_supervisor_truth(const struct supervisor *);
