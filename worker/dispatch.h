/*
 * dispatch - brings the spool's batches to the tasks of their beams
 *
 * Process: worker.   After: spool.   Before: feed, replicant, ack.
 *
 * A beam is one partition of one interval; its events go to all its replicant
 * tasks. Its batches are dealt to lanes (feed.h). A batch is acknowledged to
 * the clients when the first replicant has it, and leaves the spool when all
 * living ones have it.
 *
 * What waits is read from the spool's queue, so that memory holds only what
 * is on its way, however long the queue is.
 */
#pragma once

#include "ack.h"
#include "beam_cluster.h"
#include "conf.h"
#include "delivery.h"
#include "http_client.h"
#include "late.h"
#include "loop.h"
#include "overlord.h"
#include "spool.h"
#include "zk.h"

struct dispatch;

struct dispatch_parts {
	struct loop *loop;
	const struct ds_conf *ds;
	struct spool *spool;
	struct http_client *http;
	struct overlord *overlord;
	struct beam_cluster *cluster;
	struct zk *zk; /* NULL: tasks are not looked for in discovery */
	struct acks *acks;
	struct late *late; /* takes what missed its interval */
	struct hand *hand; /* feed.h */
};

struct dispatch *dispatch_new(const struct dispatch_parts *);
void dispatch_free(struct dispatch **);
/* Beams and lanes of what the spool holds, late batches too; at start. */
void dispatch_replay(struct dispatch *);

/* Of beam_cluster.h. */
unsigned
dispatch_partitions(const struct dispatch *, int64_t bucket, bool any_time);
bool dispatch_is_spread(const struct dispatch *);
bool dispatch_binds(const struct dispatch *, int64_t event_ms);
/* The lane for a new batch. */
unsigned dispatch_lane(struct dispatch *, struct interval, unsigned partition);
/* The batch is durable: `value` (taken over) is kept for the sending when
 * there is room for it. */
void dispatch_sealed(
    struct dispatch *, const struct spool_entry *, char *value, size_t bytes);
/* Makes the interval's beams ahead of their first event. */
void dispatch_warm(struct dispatch *, struct interval);
/* The spool could not be read for a moment, and can be again: what seemed to
 * be the end of a lane need not have been. */
void dispatch_look_again(struct dispatch *);
/* At the end of a turn: starts what may be sent. */
void dispatch_run(struct dispatch *);

/* What it wants from the next transaction: dispatch_write between begin and
 * commit, dispatch_written after a commit that succeeded. After one that
 * failed the same is written again. */
bool dispatch_wants_commit(const struct dispatch *);
void dispatch_write(struct dispatch *);
void dispatch_written(struct dispatch *);

/* No new requests; those on their way end. */
void dispatch_hold(struct dispatch *);
/* But tasks_created, which the cluster knows. */
struct delivery_counts dispatch_counts(const struct dispatch *);
/* Beams and tasks: the member "beams" of the status document; new. */
struct json *dispatch_describe(const struct dispatch *);
/* Tasks that run on long after their shutoff time. */
unsigned dispatch_overdue(const struct dispatch *);
/* Whether the description may be another one than at the last call. */
bool dispatch_changed(struct dispatch *);
