/*
 * keys - a request with an Idempotency-Key is stored once, and answered as it
 * was the first time
 *
 * Process: worker.   After: intake reads a block.   Before: spool_keys, ack.
 *
 * The worker decides, since it alone sees all that comes for its dataSource,
 * from whichever receiver. A block says which ordinals of its request it
 * decides; the key's row, how far the request is decided. What lies before has
 * been stored, or dropped, and is passed over; a block that begins behind it
 * is not taken, since something between is missing. The row changes with the
 * commit that stores the events.
 *
 * A receiver answers 200 only after the worker's word (ACK_KEY_…), which comes
 * behind the commit, and once more from a worker that was killed before it
 * could give it. Who asks again hears what the first one was told, and what
 * becomes of the rest: rows of a batch's tickets carry the key, and what
 * Druid has of them is added up in the row.
 */
#pragma once

#include "ack.h"
#include "event.h"
#include "spool_keys.h"

struct keys;
struct keys_row;

struct keys_parts {
	struct spool *spool;
	struct acks *acks;
	uint64_t generation; /* of the tickets */
};

/* A block, from its head to its last event. */
struct keys_block {
	struct keys_row *row;
	const struct event_key *key;
	uint64_t ticket; /* 0: nobody waits for acks */
	unsigned receiver;
	enum ack_kind word; /* ACK_KEY_FIRST: it may be taken */
	uint32_t decided; /* before it */
	uint32_t taken, late; /* by now */
};

struct keys_counts {
	uint64_t repeats; /* requests that brought nothing new */
	uint64_t others; /* with another body */
	uint64_t forgotten; /* before their time, since there were too many */
};

/* Tells again what a predecessor may not have told. */
struct keys *keys_new(const struct keys_parts *);
void keys_free(struct keys **);
/* What was taken since the last commit comes again from the rings. */
void keys_resume(struct keys *);

/* The key and what it points to are the caller's until keys_close. */
void keys_open(struct keys *, struct keys_block *, const struct event_block *,
    const struct event_key *, unsigned receiver);
/* Whether the event is new. */
static inline bool
keys_wants(const struct keys_block *b, uint64_t ordinal)
{
	return b->word == ACK_KEY_FIRST && ordinal >= b->decided &&
	    ordinal < b->key->to;
}
/* is_whole: all its events could be read. Returns how many events of the
 * request are known to be dropped by it. */
uint32_t keys_close(struct keys *, struct keys_block *, bool is_whole);

/* What Druid has of requests is to be stored. */
bool keys_want_commit(const struct keys *);

struct keys_commit {
	bool has_rings; /* what was taken from them is in it */
	bool answers_durable; /* delivery.h */
	int64_t now_ms; /* wall */
};

/* Between the spool's begin and commit; after one that succeeded. */
void keys_write(struct keys *, const struct keys_commit *);
void keys_written(struct keys *, const struct keys_commit *);
struct keys_counts keys_counts(const struct keys *);
