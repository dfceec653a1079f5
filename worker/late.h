/*
 * late - what came outside the window, or missed its interval, and is kept
 *
 * Process: worker.   After: intake, dispatch.   Before: archive, append.
 *
 * With late.policy archive or append such batches wait in the spool under the
 * partition PARTITION_LATE: first together, one pile an interval, in the open
 * lane; then in parcels (parcel.h), a lane each, which leave as a file or as a
 * batch task. One commit puts a batch into its parcel, a later one removes it:
 *
 *   planned → commit (moved) → brought out → commit (removed)
 *
 * Killed before the first commit: planned anew. Killed between: the parcel is
 * brought out again under the same name, and found to be there if it was.
 *
 * With delivery.mode append that is the way of all events: each batch is put
 * there, and waits for append.period. What is there when the mode becomes
 * another one is brought to Druid in the same way (is_owed).
 *
 * A file or task that was begun is finished as such, whatever the policy has
 * become by a reload; what has not been begun follows the new policy, with
 * `drop` as dead letters (it was promised to be kept).
 */
#pragma once

#include "conf.h"
#include "json.h"
#include "loop.h"
#include "overlord.h"
#include "spool.h"

#define LATE_OPEN_LANE 0u

struct late;

struct late_parts {
	struct loop *loop;
	const struct ds_conf *ds;
	struct spool *spool;
	struct overlord *overlord;
	const char *archive_dir;
};

struct late *late_new(const struct late_parts *);
void late_free(struct late **);
/* At start: each lane of the spool's late batches, then late_begin. */
void late_replay_lane(struct late *, const struct spool_lane *);
void late_begin(struct late *);

/* Whether the policy keeps what missed its interval. */
bool late_keeps(const struct late *);
/* Whether the policy is archive and the archive gets the batch anyhow. */
bool late_has_copy(const struct late *, const struct spool_entry *);
/* Between the spool's begin and commit: the batch becomes a late one, from
 * wherever it waits; late_arrived after the commit. */
void late_adopt(struct late *, const struct spool_entry *);
/* Whether the archive gets a copy of the batch that is to be put. */
bool late_copies(const struct late *, const struct spool_lane *);
/* It was put, with spool_put_copy. */
void late_copy_arrived(struct late *, const struct spool_entry *);
/* The batch is in the spool's open lane. */
void late_arrived(struct late *, const struct spool_entry *);

/* As dispatch's. */
bool late_wants_commit(const struct late *);
void late_write(struct late *);
void late_written(struct late *);

/* Late batches in the spool. */
uint64_t late_batches(const struct late *);
struct late_tasks {
	uint64_t created; /* batch tasks, since the start */
	unsigned batches; /* on their way in some */
};

struct late_tasks late_tasks(const struct late *);
/* No more are to come: those that wait for more of them leave at once, or, with
 * false, wait again. */
void late_hurry(struct late *, bool);
/* Neither batches nor copies are left. */
bool late_is_empty(const struct late *);
/* Nothing more is begun: we leave. */
void late_hold(struct late *);
/* The member "late" of the status document, new; NULL: there is nothing to
 * say. */
struct json *late_describe(const struct late *);
bool late_changed(struct late *);
