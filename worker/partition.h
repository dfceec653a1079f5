/*
 * partition - which of an interval's partitions takes an event
 *
 * Process: worker. Pure. tranquility.md 3.5: Guava's consistentHash, so that
 * tranqd and JVM instances send equal rows to one task.
 */
#pragma once

#include "base.h"

/* 0 … partitions - 1; partitions > 0. One partition more moves 1/n of the
 * events, all of them to the new one. hash: of the event, from the ring. */
unsigned partition_pick(int32_t hash, unsigned partitions);
