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
/* Of a request with an Idempotency-Key: behind the block's header stands a
 * struct event_key, behind each event's head its ordinal, as 8 bytes. */
#define EVENT_KEYED_MAGIC 0x626c6b32u /* "blk2" */
/* A dataSource's events of one request that were dropped before the ring, by
 * reason: they ride in the block, so that the worker's durable accounts know
 * them. Order of counters.def. */
enum drop_reason { DROP_WINDOW, DROP_REASONS };
/* As headers and answers have it: "window". */
const char *event_drop_name(enum drop_reason);

struct event_block {
	uint32_t magic;
	uint32_t bytes; /* of the whole block, this header included */
	uint64_t ticket; /* 0: nobody waits for acks of it */
	uint32_t events;
	uint32_t dropped[DROP_REASONS]; /* in the share's last block only */
};

#define EVENT_KEY_BYTES 16
#define EVENT_ORDINAL_BYTES 8
#define EVENT_KEYS_MAX 1000000 /* of a dataSource */
#define EVENT_KEY_WINDOW_MS_MAX INT64_C(604800000)

/* What a keyed block is of its request. An event's ordinal is its index in
 * the request, dropped ones and those of other dataSources counted, so that
 * the same body has the same ordinals at any time. */
struct event_key {
	uint8_t key[EVENT_KEY_BYTES]; /* a hash of it */
	uint64_t body; /* a hash of the body */
	uint64_t ticket; /* who waits for the worker's word on the request */
	uint32_t from, to; /* ordinals that this block decides */
	uint32_t all; /* events of the share, dropped ones too */
	uint32_t is_last; /* block of the share */
	int64_t window_ms; /* how long the key is known */
	uint32_t keys_max; /* how many are known */
	uint32_t unused;
};

#define EVENT_BYTES_MAX 0x7fffffffu

struct event {
	int64_t timestamp_ms;
	int32_t hash; /* partition_hash, 0 while no interval has partitions */
	/* late: outside the window, and late.policy keeps it */
	uint32_t bytes : 31, is_late : 1;
};

static inline size_t
event_padded(size_t bytes)
{
	return (bytes + 7) & ~(size_t)7;
}

/* Bytes that an event takes in a block without a key. */
static inline size_t
event_record_bytes(size_t json_bytes)
{
	return sizeof(struct event) + event_padded(json_bytes);
}

/* Reads a block. Its writer is another process, which may go wrong: a block's
 * header and each event's head are copied out before they are believed, so
 * that what has been checked is what is used. */
struct event_reader {
	const char *next, *end;
	bool is_keyed;
	/* keyed: of the block, and of the event that was read last */
	struct event_key key;
	uint64_t ordinal;
};

/* Copies the block's header to `head`; false when what lies in the `available`
 * bytes at `at` is no block. */
bool event_open(struct event_reader *, const void *at, uint64_t available,
    struct event_block *head) MUST_CHECK;
/* Copies the next event's head and returns its text; NULL after the last one,
 * or when the block is damaged (then *damaged is set). */
const char *
event_next(struct event_reader *, struct event *head, bool *damaged);
