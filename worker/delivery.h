/*
 * delivery - a way to Druid: what intake and worker know of it
 *
 * Process: worker.   After: intake.   Before: dispatch (push), log_delivery
 * (pull), append_delivery (append).
 *
 * Intake asks where an event goes and fills batches; the delivery seals them,
 * writes them within the worker's commit, and has them after it. How clients
 * are answered follows: push tells receivers by acks when a task has the
 * events; pull and append have them when they are in the spool, and answer
 * with the commit (delivery_answers_durable).
 *
 * An implementation embeds `struct delivery` as its first member and fills in
 * a constant table. Calls of a turn come in this order:
 *
 *   route, keeps …   (events)      seal …   (batches)
 *   write            between spool_begin and spool_commit
 *   written          after a commit that succeeded; otherwise all that was
 *                    sealed is given up (drop) and comes again from the rings
 *   run              at the end of a turn
 */
#pragma once

#include "batch.h"
#include "event.h"
#include "json.h"
#include "spool.h"

struct delivery;

/* A sealed batch, intake's until `written`. */
struct delivery_batch {
	char *value; /* by malloc */
	size_t bytes;
	struct spool_entry entry;
};

struct delivery_counts {
	uint64_t pushes, push_retries, skipped, tasks_lost;
	unsigned in_flight;
};

/* clang-format off */
struct delivery_table {
	const char *name; /* delivery.mode */
	void (*free)(struct delivery **);
	/* at start: what the spool holds */
	void (*replay)(struct delivery *);

	/* Events are spread over partitions by their hash, so that each one is
	 * routed by itself. As of this turn. */
	bool (*is_spread)(const struct delivery *);
	/* Whether the event goes where the batch's events went, unless they are
	 * spread; intake itself looks at interval and bounds. */
	bool (*keeps)(const struct delivery *, const struct event *, const struct batch *);
	/* The partition and (*bucket) interval of the event, which is not late. */
	unsigned (*route)(struct delivery *, const struct event *, struct interval *bucket);
	/* A new batch for it, of the form that it wants. */
	struct batch *(*open)(struct delivery *, unsigned partition, struct interval bucket);

	/* The batch is finished; it is freed. */
	void (*seal)(struct delivery *, struct batch **, int64_t wall_ms, struct delivery_batch *);
	/* One of the sealed, into the spool's open transaction. */
	void (*put)(struct delivery *, struct delivery_batch *);
	/* It is durable: `value` is taken over. */
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
	/* Nothing is on its way that would be sent twice, or whose outcome the
	 * spool does not know. */
	bool (*is_settled)(const struct delivery *);
	/* Nothing waits that a stop should wait for. */
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
