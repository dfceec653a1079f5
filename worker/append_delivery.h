/*
 * append_delivery - the delivery by batch tasks
 *
 * Process: worker.   After: intake.   Before: late.c, which does the work.
 *
 * For clusters that have no realtime tasks any more and no Kafka extension. All
 * events wait in piles, as late ones do, for append.period or append.bytes; then
 * a batch task appends them. Clients are answered by the commit. An event of any
 * time is taken.
 *
 * What waits in the queue since a push delivery, or comes back into it as a dead
 * letter, moves to the piles.
 */
#pragma once

#include "ack.h"
#include "conf.h"
#include "delivery.h"
#include "late.h"
#include "spool.h"

struct append_delivery_parts {
	const struct ds_conf *ds;
	struct spool *spool;
	struct acks *acks;
	struct late *late;
};

struct delivery *append_delivery_new(const struct append_delivery_parts *);
