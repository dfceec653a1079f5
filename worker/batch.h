/*
 * batch - events of one interval and partition that are sent together
 *
 * Process: worker.   After: intake.   Before: spool.
 *
 * A batch is built as the bytes that the spool keeps: a header, the body, and
 * behind it the tickets and the chunks. The body is what tasks get: one JSON
 * array a chunk, "[e1,e2][e3,e4]", so that a chunk is sent as it lies.
 *
 * Everything in the value is little-endian; its CRC-32C covers all that
 * follows it.
 */
#pragma once

#include "base.h"
#include "event.h"
#include "granularity.h"
#include "record_batch.h"

/* Bytes of one chunk: a request to a task has to go to the kernel whole, its
 * head and its body in one call. A request that ends in the middle (this
 * worker killed) would have used up its sequence without having brought its
 * events: the task records it before it reads the body, and even when the
 * connection ends behind the head. curl sends both in one call when the body
 * has less than 64 KiB. Only an event larger than that goes in two. */
#define BATCH_CHUNK_BYTES_MAX (64u * KiB - 2)
/* With TLS each record goes to the kernel by itself, and has 16 KiB at most,
 * the request's head with them. */
#define BATCH_CHUNK_BYTES_TLS (15u * KiB)

struct batch_header {
	uint32_t magic;
	uint32_t crc;
	uint32_t version;
	uint32_t header_bytes;
	uint64_t
	    id; /* number of the first event in the dataSource's sequence */
	uint64_t generation; /* whose tickets these are */
	int64_t start, end; /* interval */
	int64_t sealed_ms;
	uint32_t partition, lane;
	uint32_t events, body_bytes;
	uint32_t ticket_count, chunk_count;
};

/* A row of events of one request, in their order. None at all when nobody
 * waits; a batch that has moved on keeps those of chunks that it left. Behind
 * one with BATCH_KEYED stands, in place of a row, the hash of the request's
 * Idempotency-Key. */
struct batch_ticket {
	uint64_t ticket; /* 0: nobody waits for these */
	uint32_t receiver;
	uint32_t events;
};

#define BATCH_KEYED (UINT32_C(1) << 31) /* in `receiver` */

/* A row with what belongs to it. */
struct batch_run {
	uint64_t ticket;
	uint32_t receiver, events;
	const uint8_t *key; /* EVENT_KEY_BYTES, or NULL */
};

struct batch_chunk {
	uint32_t offset, bytes; /* in the body */
	uint32_t first, events; /* counted from the batch's first */
};

/* A value taken apart; everything points into it. */
struct batch_view {
	const struct batch_header *header;
	const char *body;
	const struct batch_ticket *tickets;
	const struct batch_chunk *chunks;
};

/* An open batch. */
struct batch {
	struct interval interval;
	unsigned partition;
	unsigned events;
	unsigned chunk_events_max;
	size_t chunk_bytes_max;
	size_t chunk_start; /* where the open chunk begins in value */
	unsigned chunk_first;
	char *value;
	size_t used, size;
	struct batch_ticket *tickets;
	unsigned ticket_count, ticket_size;
	unsigned last_run; /* of the tickets */
	struct batch_chunk *chunks;
	unsigned chunk_count, chunk_size;
	/* NULL, or the events are in here, as records for the log, and in
	 * nothing of the above */
	struct record_batch *records;
};

/* New, empty. chunk_events_max: druidBeam.firehoseChunkSize. Its
 * chunk_bytes_max is that of plain connections and may be lowered now. */
struct batch *
batch_new(struct interval, unsigned partition, unsigned chunk_events_max);
/* The same of records: batch_add puts events into it, whoever waits for them,
 * and it is not for batch_seal. */
struct batch *batch_new_records(struct interval, unsigned partition);
void batch_free(struct batch **);
/* Copies the event's text in. ticket 0: nobody waits for it. */
void batch_add(struct batch *, const struct event *, const char *text,
    uint64_t ticket, unsigned receiver);
/* The same, of a request with an Idempotency-Key. */
void batch_add_keyed(struct batch *, const struct event *, const char *text,
    const struct batch_run *);
size_t batch_bytes(const struct batch *);
/* What sealing it decides. */
struct batch_seal {
	uint64_t id, generation;
	int64_t now_ms;
	unsigned lane;
};
/* Closes it: returns the finished value (to be freed by the caller) and its
 * length; the batch is freed. At least one event. */
char *batch_seal(struct batch **, const struct batch_seal *, size_t *bytes);

/* The batch under another label: a new value (to be freed by the caller) of the
 * chunks from `first_chunk` on, at least one, with all its tickets. */
char *batch_move(const struct batch_view *, const struct batch_seal *,
    struct interval, unsigned partition, unsigned first_chunk, size_t *bytes);

/* A new value of one event of it, for nobody's ticket; NULL: it has not so
 * many. seal's lane and generation: 0. */
char *batch_pick(const struct batch_view *, const struct batch_seal *,
    unsigned event, size_t *bytes);
/* A new value of it, for that partition, without the events of a sorted list; at
 * least one stays. Nobody's ticket. */
char *batch_without(const struct batch_view *, const struct batch_seal *,
    unsigned partition, const unsigned *events, unsigned count, size_t *bytes);

/* Takes a value apart. false when it is damaged or not of this version. */
bool batch_view(const char *value, size_t bytes, struct batch_view *);
/* The same for a value that this process has just sealed or checked. */
void batch_view_own(const char *value, size_t bytes, struct batch_view *);
/* The next row of tickets; *at: 0 at first. False: there is none. */
bool
batch_next_run(const struct batch_view *, unsigned *at, struct batch_run *);
