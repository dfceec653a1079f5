/*
 * partition - which of an interval's partitions takes an event
 *
 * Process: worker. Pure. tranquility.md 3.5: Guava's consistentHash, so that
 * tranqd and JVM instances send equal rows to one task.
 */
#pragma once

#include "base.h"
#include "granularity.h"

/* Partitions from here on are those of tasks that take events of any time
 * (task.type index_realtime_appenderator): in batches, in the spool and in the
 * beams' document. Their number for people begins at 0 again. */
#define PARTITION_ANY_TIME 50000u
/* The partition of batches with events outside the window: they wait for the
 * archive or for a batch task (late.h), not for a beam. */
#define PARTITION_LATE UINT32_MAX

static inline bool
partition_is_any_time(unsigned partition)
{
	return partition >= PARTITION_ANY_TIME && partition != PARTITION_LATE;
}

/* The interval under which batches of any time wait with late ones: what times
 * are in them only their events know. */
#define PARTITION_NO_TIME ((struct interval){ INT64_MIN, INT64_MAX })

static inline bool
partition_has_no_time(const struct interval *i)
{
	return i->start == INT64_MIN && i->end == INT64_MAX;
}

/* The partition as names of tasks and people have it. */
static inline unsigned
partition_number(unsigned partition)
{
	return partition % PARTITION_ANY_TIME;
}

/* 0 … partitions - 1; partitions > 0. One partition more moves 1/n of the
 * events, all of them to the new one. hash: of the event, from the ring. */
unsigned partition_pick(int32_t hash, unsigned partitions);
