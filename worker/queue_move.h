/*
 * queue_move - batches that wait for tasks go elsewhere
 *
 * Process: worker.   After: a change of delivery.mode, or dead letters that
 * come back.   Before: the delivery that takes them in.
 *
 * Some of them with each commit, so that none of it takes long. Who still waits
 * for their events is told by acks, before the commit, that they have arrived.
 */
#pragma once

#include "ack.h"
#include "batch.h"
#include "late.h"
#include "spool.h"
#include "spool_dead.h"

struct queue_moved {
	struct spool_entry entry; /* as it waits in the queue */
	char *value;
	struct batch_view view;
	/* events that have left it as dead letters, in order */
	struct spool_refused *refused;
	unsigned refused_count;
};

struct queue_move_parts {
	struct spool *spool;
	struct acks *acks;
	/* Between the spool's begin and commit: brings the batch's events away,
	 * and out of the queue. */
	void (*move)(void *context, const struct queue_moved *);
	/* That is durable. NULL: nothing is to be done. */
	void (*moved)(void *context, const struct queue_moved *);
	void *context;
};

struct queue_move;

struct queue_move *queue_move_new(const struct queue_move_parts *);
void queue_move_free(struct queue_move **);
/* At start: whether anything is in the queue. Late batches are late.c's. */
void queue_move_replay(struct queue_move *, struct late *);
/* There is something in the queue. */
void queue_move_due(struct queue_move *);
bool queue_move_is_due(const struct queue_move *);
/* Between begin and commit; after a commit that succeeded. Nothing happens when
 * it is not due. */
void queue_move_write(struct queue_move *);
void queue_move_written(struct queue_move *);
