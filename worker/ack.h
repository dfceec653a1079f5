/*
 * ack - tells receivers what became of the events they wait for
 *
 * Process: worker.   After: dispatch.   Before: the channels' ack rings.
 * A receiver that does not drain its ring (it is gone, or starts anew) holds
 * up nobody: what does not fit waits here, bounded; beyond the bound it is
 * forgotten, and the request is answered at its time-out with what is known.
 */
#pragma once

#include "base.h"
#include "batch.h"
#include "channel.h"
#include "spool_dead.h"

#define ACK_BACKLOG_MAX 65536

struct acks;

/* channels: one a receiver, lent. */
struct acks *
acks_new(struct channel *channels, unsigned count, uint64_t generation);
void acks_free(struct acks **);
/* For every ticket of the batch, if it is of this generation. refused: events
 * of it that are dead letters, in their order, whatever becomes of the rest. */
void ack_batch(struct acks *, const struct batch_view *, enum ack_kind,
    const struct spool_refused *refused, unsigned refused_count);
/* One for that receiver. */
void acks_tell(struct acks *, unsigned receiver, const struct ack *);
/* What is to be called for the rows of requests with an Idempotency-Key, of
 * whatever generation. */
typedef void
acks_key(void *context, const struct batch_run *, const struct ack *);
void acks_watch_keys(struct acks *, acks_key *, void *context);
/* At the end of a turn: what waited, and the doorbells. */
void ack_flush(struct acks *);
bool ack_backlog(const struct acks *);
