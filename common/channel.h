/*
 * channel - what one receiver and one worker share: event ring, ack ring
 *
 * Process: supervisor makes it (a memfd) and keeps it over restarts of both
 * sides; receiver and worker attach.
 *
 * Receivers also wait on the event ring's head: a worker gives ring space
 * back only after the commit that made those events durable, so "head has
 * passed the request's last byte" is the durability of the whole request.
 *
 * Doorbells are two eventfds: `worker_bell` (one a worker, shared by all its
 * channels) is rung when the event ring has something and the worker sleeps;
 * `receiver_bell` (one a receiver) when acks or room have come and the
 * receiver sleeps.
 */
#pragma once

#include <stdatomic.h>

#include "delivery_mode.h"
#include "ring.h"

#define CHANNEL_DS_BYTES 128
#define CHANNEL_ACK_BYTES (256u * KiB)

/* Page 0 of the memfd; `magic` is written last. */
struct channel_header {
	_Atomic uint64_t magic;
	uint32_t version, receiver;
	/* never twice (start time of the supervisor in nanoseconds, and a
	 * count), so that a cursor or ticket of an earlier life, or of the
	 * dataSource before it was removed, is never applied to this ring */
	uint64_t generation;
	uint64_t event_bytes, ack_bytes;
	char ds[CHANNEL_DS_BYTES];
	/* worker's, seldom written: channel_want_hashes. Off from the start:
	 * hashes are wanted until a worker says otherwise */
	_Atomic uint32_t wants_no_hashes;
	/* channel_answer_durable */
	_Atomic uint32_t answers_durable;
	/* channel_deliver */
	_Atomic uint32_t delivery;

	/* receiver's counters of this dataSource, since the generation began;
	 * what stands before a ring position is counted when it is committed */
	_Alignas(CACHE_LINE) _Atomic uint64_t offered_events;
	_Atomic uint64_t offered_dropped; /* told to the worker in blocks */
	_Atomic uint64_t requests, refused_full, refused_malformed;
	_Atomic uint64_t refused_draining;
	/* what the two offered counters were before the block that ends at
	 * undo_tail: a receiver that was killed before it could commit the
	 * block is set right by its successor */
	_Atomic uint64_t undo_events, undo_dropped, undo_tail;
	/* requests that may still write to the event ring: channel_offers */
	_Atomic uint32_t offering;

	/* worker's: what it has taken durably, beside ring head */
	_Alignas(CACHE_LINE) _Atomic uint64_t taken_events;
	_Atomic uint64_t taken_dropped;
	_Atomic uint32_t is_stopped; /* channel_stop */
	_Atomic uint32_t is_draining; /* channel_drain */
};

enum ack_kind {
	ACK_SENT = 1, /* Druid has taken `events` of the ticket */
	ACK_DEAD, /* they became dead letters */
	ACK_DROPPED, /* dropped by a counted rule in the worker */
	/* Of a request with an Idempotency-Key, struct ack_key. This request
	 * has brought its events, at least the last of them; another one had
	 * brought them before */
	ACK_KEY_FIRST,
	ACK_KEY_REPEAT,
	ACK_KEY_OTHER, /* nothing was taken: the key stands for another body */
	ACK_KEY_AGAIN, /* not all could be taken: it has to be sent again */
	ACK_KEY_ENOUGH, /* nothing more will be told of a repeat */
};

/* Record of the ack ring, worker to receiver. The same (ticket, batch) may
 * come twice after a restart of the worker and counts once. */
struct ack {
	uint64_t ticket;
	uint64_t batch; /* the batch's id in the spool */
	uint32_t events;
	uint32_t kind;
	uint64_t unused;
};

/* The record for the ACK_KEY kinds, of the same size: what became of the
 * events of the share, which are this request's or an earlier one's. */
struct ack_key {
	uint64_t ticket;
	uint32_t sent, dead; /* of `events`, by now */
	uint32_t events; /* taken, but for late ones */
	uint32_t kind;
	uint32_t late, dropped;
};

struct channel {
	struct channel_header *header;
	struct ring events; /* receiver → worker */
	struct ring acks; /* worker → receiver */
	int memory_fd;
	int worker_bell, receiver_bell; /* eventfds, not owned */
	void *mapped;
	size_t mapped_bytes;
};

/* New memfd with two empty rings, sealed against shrinking and growing; the
 * caller owns the descriptor. -1 with errno when memory is not to be had.
 * event_bytes: rounded up to a power of two of whole pages. */
int channel_create(const char *ds, unsigned receiver, uint64_t generation,
    uint64_t event_bytes);
/* Supervisor, before one side is started again: sets right what that side's
 * predecessor may have written over (ring_mend), with a line in the log. false:
 * there was something, and the other side must be started again too. The
 * arguments are those of channel_create. */
bool channel_mend(int memory_fd, const char *ds, unsigned receiver,
    uint64_t generation, uint64_t event_bytes);
/* Maps it, and rings both bells (-1: there is none) for a predecessor that
 * died before it could. false, with a reason logged, when it cannot be mapped
 * or is not a channel of this version. Keeps memory_fd (not owned). */
bool channel_attach(struct channel *, int memory_fd, int worker_bell,
    int receiver_bell) MUST_CHECK;
void channel_detach(struct channel *);

/* After a commit to the event ring / an ack or an advance: wakes the other
 * side if it sleeps. */
void channel_ring_worker(struct channel *);
void channel_ring_receiver(struct channel *);
/* Worker: it takes nothing for now (no room in the spool, no disk), so that
 * what is offered would wait for nobody knows how long; or it goes on. */
void channel_stop(struct channel *, bool stop);
bool channel_is_stopped(const struct channel *);
/* Worker: it is being drained, and no request may begin any more (a later one
 * may again). */
void channel_drain(struct channel *, bool drain);
bool channel_is_draining(const struct channel *);
/* Receiver: so many requests more, or less (-1), may write to the event ring. It
 * looks at channel_is_draining behind channel_offers_fence. */
void channel_offers(struct channel *, int more);
void channel_offers_fence(void);
/* Worker, behind channel_drain: no request of that receiver is at it, and none
 * will be: what is in the event ring now is all. */
bool channel_is_shut(const struct channel *);
/* Worker: some interval's events are spread over several partitions, or it
 * does not know yet, so that events need their hash; or they do not. */
void channel_want_hashes(struct channel *, bool want);
bool channel_wants_hashes(const struct channel *);
/* Worker: who waits for events has what he waits for when they are durable; no
 * acks come for them. Or it is as usual: acks tell. */
void channel_answer_durable(struct channel *, bool durable);
bool channel_answers_durable(const struct channel *);
/* Worker, and supervisor before there is one: the way of delivery.mode auto that
 * is in force; push from the start. */
void channel_deliver(struct channel *, enum delivery_mode);
enum delivery_mode channel_delivery(const struct channel *);
/* Writes one ack; false when the ack ring is full (receiver gone or slow). */
bool channel_ack(struct channel *, const struct ack *) MUST_CHECK;
/* The next ack, copied out; false when there is none. */
bool channel_next_ack(struct channel *, struct ack *) MUST_CHECK;
/* Receiver: true when it may sleep: no ack waits and the event ring's head is
 * still at `head_seen`. Announces it. */
bool channel_receiver_may_sleep(struct channel *, uint64_t head_seen);
void channel_receiver_awake(struct channel *);

int bell_new(void); /* eventfd, or -1 with errno */
void bell_ring(int bell);
void bell_silence(int bell); /* after it has woken us */
