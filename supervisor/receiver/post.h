/*
 * post - a POST from its body to its answer
 *
 * Process: receiver.   After: connection.c, route.c.   Before: the rings.
 *
 * A post is read whole (body.c), waits for room when a ring is full, is
 * written (offer.c), then waits until its events are durable (async) or
 * acknowledged by Druid (settle.c). Its end is told to the owner by `done`;
 * posts of a client that has gone away are abandoned.
 */
#pragma once

#include "answer.h"
#include "base.h"
#include "body.h"
#include "content.h"
#include "loop.h"
#include "memory.h"
#include "outlet.h"
#include "reply.h"
#include "route.h"
#include "settings.h"
#include "ticket.h"

#define SHARE_BATCHES_FEW 2

/* What of a post went to one dataSource. It outlives its post until the ring
 * has passed it. */
struct share {
	struct share *next; /* of the post; or spare */
	struct share *next_waiting; /* at the outlet, by ring position */
	struct post *post; /* NULL: nobody waits any more */
	struct outlet *outlet;
	uint64_t end; /* ring position behind it */
	bool is_waiting, is_durable, is_settled;
	bool is_offering; /* not all of it is written (channel_offers) */
	bool is_told; /* keyed: the worker's word has come */
	uint32_t events; /* that are acknowledged: not the late ones */
	uint32_t late, window_dropped; /* keyed: as its plan had them */
	enum late_policy policy;
	uint32_t sent, dead, dropped; /* as acknowledged */
	/* batches whose acks are counted */
	uint32_t batch_count, batch_size;
	uint64_t few_batches[SHARE_BATCHES_FEW];
	uint64_t *batches;
};

struct post {
	struct posts *posts;
	void *owner;
	struct settings *settings;
	struct loop_timer timer; /* for room, then for the answer */
	struct share *shares; /* in the plan's order */
	uint64_t ticket; /* 0: nobody waits for acks */
	bool is_async, is_begun; /* begun: something is in a ring */
	bool is_keyed; /* it has an Idempotency-Key */
	/* keyed: what the workers have said of it */
	bool is_repeat, is_other, is_again, is_enough;
	unsigned not_durable, not_settled, not_told; /* shares */
	uint32_t received;
	uint64_t dropped[DROP_REASONS];
	uint64_t late[LATE_POLICIES]; /* kept; by what becomes of them */
	bool is_smile, is_detailed; /* the answer */
	struct drops drops;
	size_t drops_charged; /* to the memory */

	/* while it waits for room */
	struct outlet *blocked_at;
	struct post *next_blocked, *previous_blocked;
	struct body_plan plan;
	const char *body;
	char *kept; /* NULL: the body is the owner's */
	size_t charged; /* to the memory, for plan and body */

	struct post *next_spare;
};

struct posts {
	struct loop *loop;
	struct settings *settings; /* for posts that begin now */
	struct outlets outlets;
	struct memory *memory;
	struct tickets tickets;
	unsigned open;
	bool is_orphaned; /* the workers leave: no acks will come */
	/* The post is over when `done` returns. `written`: the owner's body
	 * is not needed any more, after POST_BLOCKED. */
	void (*done)(void *owner, const struct reply *);
	void (*written)(void *owner);
	/* private */
	struct body_reader reader;
	struct content content;
	struct answer answer;
	int64_t wall_ms; /* 0: to be read again */
	struct loop_timer strays; /* acks that nobody waits for any more */
	struct share *spare_shares;
	struct post *spare_posts;
	char text[REPLY_TEXT_MAX];
};

struct post_input {
	const struct route *route;
	const char *body; /* JSON_SCAN_PADDING readable bytes behind it */
	size_t bytes;
	struct event_key *key; /* NULL: none */
	void *owner;
};

enum post_state {
	POST_ANSWERED, /* the reply is there, the post is over */
	POST_WAITS,
	POST_BLOCKED, /* for room: its body is still needed */
};

/* incarnation: as in heritage.h. */
void
post_init(struct posts *, struct loop *, struct memory *, uint32_t incarnation);
void post_fini(struct posts *);
/* The reply's text, if any, is good until the next call. */
enum post_state post_begin(
    struct posts *, const struct post_input *, struct post **, struct reply *);
/* After POST_BLOCKED: where the body is now. False: there is no memory for
 * what has to be kept; the post is over and the reply is there. */
bool post_keep(struct post *, const char *body, struct reply *) MUST_CHECK;
void post_abandon(struct post *); /* no `done` */
/* Checks without a body what would be refused anyhow. False: the reply. */
bool post_may_begin(struct posts *, const struct route *, struct reply *);

/* Whether a post still has events for a dataSource that is not in the
 * configuration any more. */
bool post_needs_removed(const struct posts *);

int64_t post_wall_ms(struct posts *); /* wall time, read once a turn */

/* For settle.c. */
bool post_try_write(struct post *); /* blocked; true: all is written */
void post_answer(struct post *, struct reply *);
void post_free_share(struct posts *, struct share *);
