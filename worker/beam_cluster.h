/*
 * beam_cluster - the dataSource's beams, agreed on with all other instances
 *
 * Process: worker.   After: dispatch wants a beam.   Before: beam_store,
 * overlord, task.
 *
 * Rules 2 to 4 and 7 of tranquility.md 3. The kind of a beam's tasks follows
 * from its partition (partition.h), not from task.type, so that what was taken
 * before a reload goes on. A beam that is missing is made
 * under the store's lock: read, look again, submit the tasks, write, release.
 */
#pragma once

#include "beam_store.h"
#include "conf.h"
#include "loop.h"
#include "overlord.h"

struct beam_cluster;

enum beam_verdict {
	BEAM_FOUND, /* `record` has its tasks */
	BEAM_CLOSED, /* it is not, and must not be made any more */
};

/* record: lent for the call, NULL unless BEAM_FOUND. From the loop. */
typedef void beam_cluster_fn(void *context, struct interval, unsigned partition,
    enum beam_verdict, const struct beam_record *record);

struct beam_cluster *beam_cluster_new(struct loop *, const struct ds_conf *,
    struct beam_store *, struct overlord *);
void beam_cluster_free(struct beam_cluster **);
/* At start: learns what is there already, so that the first events go where
 * they belong. Goes on by itself. */
void beam_cluster_look(struct beam_cluster *);
void
beam_cluster_answer(struct beam_cluster *, beam_cluster_fn *, void *context);

/* Finds or makes the beam; answered once for each call. dead_firehose: a
 * firehose id of the tasks that are gone and must be replaced, or NULL. */
void beam_cluster_want(struct beam_cluster *, struct interval,
    unsigned partition, const char *dead_firehose);
/* Partitions that the bucket's events are to be spread over, as far as is
 * known: at least task.partitions. any_time: those for events of any time
 * (they are numbered from PARTITION_ANY_TIME on). */
unsigned beam_cluster_partitions(
    const struct beam_cluster *, int64_t bucket, bool any_time);
/* Whether some interval has, or may have, more than one: task.partitions says
 * so, or intervals from before it was lowered are there still, or it is not
 * known yet. */
bool beam_cluster_is_spread(const struct beam_cluster *);
/* Partitions with tasks that take the bucket's events only, as far as is
 * known. */
unsigned beam_cluster_timed(const struct beam_cluster *, int64_t bucket);
/* Whether an event of that time must go to tasks of its own interval: always
 * with task.type index_realtime; else where such tasks are there, and hold the
 * interval's lock, from before task.type was changed. */
bool beam_cluster_binds(const struct beam_cluster *, int64_t event_ms);
/* Why beams are not there yet, for the status; "" when nothing is wanted. */
const char *beam_cluster_note(const struct beam_cluster *);
/* Whether that has become another text since the last call. */
bool beam_cluster_changed(struct beam_cluster *);
/* Tasks are on their way to the Overlord and not written down yet: whoever
 * makes them again, with another configuration, gets those of the first. */
bool beam_cluster_is_making(const struct beam_cluster *);
uint64_t beam_cluster_tasks_created(const struct beam_cluster *);
