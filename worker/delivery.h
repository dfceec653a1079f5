/*
 * delivery - a way to Druid: what intake and worker know of it
 *
 * Process: worker.   After: intake.   Before: dispatch (push), log_delivery
 * (pull), append_delivery (append).
 *
 * Intake asks where an event goes and fills batches; the delivery writes them
 * within the worker's commit, and has them after it. How clients are answered
 * follows: push tells receivers by acks when a task has the events; pull and
 * append have them when they are in the spool, and answer with the commit
 * (answers_durable).
 *
 * An implementation embeds `struct delivery` as its first member and points it
 * to a constant table. Calls come in this order:
 *
 *   begin            a turn's events follow
 *   keeps, route …   an event
 *   open, seal       a batch
 *   put              it, between spool_begin and spool_commit
 *   durable          it, after a commit that succeeded; otherwise all that was
 *                    sealed is given up and comes again from the rings
 *   run              at the end of a turn
 *
 * Late batches (PARTITION_LATE) are intake's and late.c's own business.
 */
#pragma once

#include "batch.h"
#include "event.h"
#include "json.h"
#include "spool.h"

struct delivery;

/* A sealed batch, intake's until `durable`. */
struct delivery_batch {
	char *value; /* by malloc */
	size_t bytes;
	struct spool_entry entry;
};

struct delivery_counts {
	uint64_t pushes, push_retries, skipped, tasks_created, tasks_lost;
	unsigned in_flight;
};

/* clang-format off */
struct delivery_table {
	const char *name; /* as delivery.mode has it */
	/* Its events go where late ones go (late.h), which brings them to
	 * Druid: nobody asks it for their way. */
	bool piles;
	void (*free)(struct delivery **);
	/* at start: what the spool holds */
	void (*replay)(struct delivery *);

	void (*begin)(struct delivery *);
	/* Events are spread over partitions by their hash, so that each one is
	 * routed by itself and receivers have to make hashes. */
	bool (*is_spread)(const struct delivery *);
	/* Whether the event goes where the batch's events went, as long as
	 * they are not spread; intake itself looks at interval and bounds. */
	bool (*keeps)(const struct delivery *, const struct event *, const struct batch *);
	/* The partition and (*bucket) interval of the event. */
	unsigned (*route)(struct delivery *, const struct event *, struct interval *bucket);

	/* A lane of the queue for a new batch. */
	unsigned (*lane)(struct delivery *, struct interval, unsigned partition);
	/* For another form than the queue's: a new batch; its end, which frees
	 * it; into the spool's open transaction. NULL all three: batches of
	 * chunks, spool_put. */
	struct batch *(*open)(struct delivery *, unsigned partition, struct interval);
	void (*seal)(struct delivery *, struct batch **, int64_t wall_ms, struct delivery_batch *);
	void (*put)(struct delivery *, struct delivery_batch *);
	/* `value` is taken over. Also of a dead letter that has come back into
	 * the queue. */
	void (*durable)(struct delivery *, struct delivery_batch *);

	/* What it wants from the next transaction by itself. After a commit that
	 * failed the same is written again. */
	bool (*wants_commit)(const struct delivery *);
	void (*write)(struct delivery *);
	void (*written)(struct delivery *);
	/* The spool could not be read for a moment, and can be again. */
	void (*look_again)(struct delivery *);
	/* The interval's first event may come soon. */
	void (*warm)(struct delivery *, struct interval);
	void (*run)(struct delivery *);
	/* No new requests; those on their way end. */
	void (*hold)(struct delivery *);
	/* No more comes (drain.h), or it does again. What keeps things for later
	 * does not any more. */
	void (*drain)(struct delivery *, bool on);
	/* Then: with an empty spool nothing is left to be done in Druid. */
	bool (*is_dry)(const struct delivery *);
	/* Nothing is on its way that would be sent twice, or whose outcome the
	 * spool does not know. */
	bool (*is_settled)(const struct delivery *);
	/* Nothing waits that a stop should wait for, but late batches. */
	bool (*is_drained)(const struct delivery *);
	/* Clients are answered when their events are durable. */
	bool (*answers_durable)(const struct delivery *);

	struct delivery_counts (*counts)(const struct delivery *);
	/* Adds its members to the status document, and sentences to `notes`. */
	void (*describe)(const struct delivery *, struct json *to, struct json *notes);
	/* Whether that may be another one than at the last call. */
	bool (*changed)(struct delivery *);
};
/* clang-format on */

struct delivery {
	const struct delivery_table *table;
};

static inline void
delivery_free(struct delivery **d)
{
	if (*d != NULL)
		(*d)->table->free(d);
}

/* For tables: ends of a way that has nothing to do there. */
void delivery_nothing(struct delivery *);
void delivery_no_warmth(struct delivery *, struct interval);
unsigned
delivery_one_lane(struct delivery *, struct interval, unsigned partition);
void delivery_no_drain(struct delivery *, bool on);
bool delivery_yes(const struct delivery *);
/* A sentence of the events that a dataSource which was pulled has left in its
 * log, for the ways that do not look there. */
void delivery_note_log(const struct spool *, struct json *notes);
