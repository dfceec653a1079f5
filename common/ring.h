/*
 * ring - lock-free byte queue in shared memory, one producer, one consumer
 *
 * Process: receiver and worker.   Owned by: channel, which maps it.
 *
 * The data are mapped twice, one mapping behind the other, so every record is
 * contiguous wherever it lies and there are no wrap marks. Positions are
 * free-running 64-bit byte counters, compared by their difference only; they
 * start half a ring before they overflow, so that an overflow mistake shows
 * in the first lap. A side that dies leaves nothing to repair: what it had
 * reserved and not committed was never there, what it had not advanced over
 * is there again.
 */
#pragma once

#include <stdatomic.h>

#include "base.h"

#define RING_ALIGN 8 /* records are multiples of this */

/* In shared memory. Everything constant comes first; `magic` is written last
 * when a ring is made. Each side's fields have a cache line of their own. */
struct ring_control {
	_Atomic uint64_t magic;
	uint32_t version, unused;
	uint64_t size; /* bytes of data, a power of two, whole pages */

	_Alignas(CACHE_LINE) _Atomic uint64_t tail; /* producer: committed */
	_Atomic uint32_t producer_sleeps; /* waits for room */

	_Alignas(CACHE_LINE) _Atomic uint64_t head; /* consumer: free again */
	_Atomic uint32_t consumer_sleeps; /* waits for records */
};

/* One process's view of it. */
struct ring {
	struct ring_control *control;
	char *data; /* 2 × size mapped bytes */
	uint64_t size;
	uint64_t tail; /* producer: its own position */
	uint64_t head; /* consumer: given back; producer: as last seen */
	uint64_t taken; /* consumer: read up to here, not yet given back */
	uint64_t seen; /* consumer: the producer's tail, as last seen */
};

/* Makes an empty ring in zeroed memory. size: a power of two, whole pages. */
void ring_init(struct ring_control *, uint64_t size);
/* Supervisor, before one side is started again: what the last one may have
 * written over is as it was made, and positions that cannot be true mean an
 * empty ring; the other side finds out (ring_skip). true: nothing was wrong. */
bool ring_mend(struct ring_control *, uint64_t size);
/* Checks what is there; false when it is no ring of this version and size
 * or its positions cannot be. `data` is the double mapping. */
bool ring_attach(
    struct ring *, struct ring_control *, char *data, uint64_t size) MUST_CHECK;

/* Producer: room for one record, or NULL when there is not enough of it.
 * bytes: a multiple of RING_ALIGN, at most the ring's size. The place stays
 * the same until ring_commit, which makes the record visible. */
void *ring_reserve(struct ring *, uint64_t bytes) MUST_CHECK;
void ring_commit(struct ring *, uint64_t bytes);
uint64_t ring_free_bytes(struct ring *);
/* Everything before this position has been given back by the consumer. */
uint64_t ring_head(struct ring *);
uint64_t ring_tail(const struct ring *);

/* Consumer: what has been committed and not been taken; NULL when nothing.
 * The bytes stay valid until ring_advance passes them. */
const void *ring_peek(struct ring *, uint64_t *bytes);
void ring_take(struct ring *, uint64_t bytes); /* moves the read position */
uint64_t ring_taken(const struct ring *);
/* Gives everything before `position` back to the producer. */
void ring_advance(struct ring *, uint64_t position);
/* After a restart: the read position to go on from, between the consumer's
 * published one and the producer's; false when it is not. */
bool ring_resume(struct ring *, uint64_t position) MUST_CHECK;
/* When the positions cannot be true, since the producer wrote nonsense: goes on
 * at its tail; what lies before is given up. */
void ring_skip(struct ring *);
/* Bytes at `position` (taken, not advanced). */
const void *ring_at(const struct ring *, uint64_t position);

/* Sleep handshake. A side that is about to sleep announces it and looks once
 * more: true means there really is nothing and it may sleep; false (nothing
 * announced) means there is work. The other side asks after each commit or
 * advance whether it has to ring the doorbell: true once per sleep. */
bool ring_consumer_may_sleep(struct ring *);
void ring_consumer_awake(struct ring *);
bool ring_consumer_needs_bell(struct ring *);
/* The producer waits for the head to move on from `head_seen`, for room or to
 * know that what it wrote has been taken for good. */
bool ring_producer_may_sleep(struct ring *, uint64_t head_seen);
void ring_producer_awake(struct ring *);
bool ring_producer_needs_bell(struct ring *);
