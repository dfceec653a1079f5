/*
 * event - how events lie in the event ring: blocks of one request's share
 *
 * Process: receiver writes, worker reads. Pure.
 *
 * A block is a header and, one behind the other, its events: a head and the
 * JSON object as the task wants it (timestamp column in milliseconds), padded
 * to 8 bytes. A request's share may come in several blocks with one ticket.
 */
#pragma once

#include "base.h"

#define EVENT_BLOCK_MAGIC 0x626c6b31u /* "blk1" */
/* A dataSource's events of one request that were dropped before the ring, by
 * reason: they ride in the block, so that the worker's durable accounts know
 * them. Order of counters.def. */
enum drop_reason { DROP_WINDOW, DROP_REASONS };

struct event_block {
	uint32_t magic;
	uint32_t bytes; /* of the whole block, this header included */
	uint64_t ticket; /* 0: nobody waits for acks of it */
	uint32_t events;
	uint32_t dropped[DROP_REASONS]; /* in the share's last block only */
};

struct event {
	int64_t timestamp_ms;
	int32_t hash; /* partition_hash, 0 when there is one partition */
	uint32_t bytes;
};

static inline size_t
event_padded(size_t bytes)
{
	return (bytes + 7) & ~(size_t)7;
}

/* Bytes that an event takes in a block. */
static inline size_t
event_record_bytes(size_t json_bytes)
{
	return sizeof(struct event) + event_padded(json_bytes);
}

/* Checks a block's header against the `available` bytes of the ring. */
bool event_block_valid(const void *at, uint64_t available) MUST_CHECK;
/* Walks a valid block. `at` starts as NULL; returns the event's head (its
 * JSON text behind it), or NULL after the last or when the block is damaged
 * (then *damaged is set). */
const struct event *
event_next(const struct event_block *, const struct event *at, bool *damaged);
static inline const char *
event_text(const struct event *e)
{
	return (const char *)(e + 1);
}
