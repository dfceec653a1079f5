/*
 * feed - one replicant's way through one lane of its beam
 *
 * Process: worker.   After: dispatch.   Before: held, firehose.
 *
 * A lane is one producer id to Druid and a row of batches in the spool. A feed
 * sends them to its task in order of their ids, one request at a time, since
 * a task skips a producer's sequences that come late. Feeds do not wait for
 * each other.
 *
 * What a task refuses for what is in it is narrowed down (narrow.h) until the
 * event that is refused stands alone; it becomes a dead letter and the rest  * goes on. Each step is in the spool before it is sent.
 *
 * What is skipped was sent before, and may have been taken or refused: its
 * answer was lost, or its worker killed. The task is asked with a request that
 * it cannot take, a row without a time behind the same events: it names the
 * first row that it cannot read. A question that is skipped in its turn, though
 * it was never sent before, is about a chunk behind which others were sent, so
 * that it was taken.
 */
#pragma once

#include <sys/queue.h>

#include "buf.h"
#include "conf.h"
#include "hand.h"
#include "held.h"
#include "http_client.h"
#include "loop.h"
#include "replicant.h"
#include "smile_writer.h"
#include "spool.h"

struct beam;
struct feed;

struct lane {
	struct beam *beam;
	struct spool_lane at;
	unsigned batches; /* in the spool, less those about to leave it */
	uint64_t acked; /* highest id that clients know of */
	uint64_t removed; /* highest id that is about to leave, or has left */
	uint64_t unreadable; /* one that nobody could be sent */
	/* its beam is served by the tasks of another partition, whose own
	 * lanes have the plain producer ids */
	bool is_guest;
	/* a batch of which an ended task has taken (and keeps) so many chunks */
	uint64_t partial;
	unsigned partial_chunks;
};

enum feed_state {
	FEED_IDLE, /* its lane has nothing for it, or its task no place */
	FEED_READY, /* waits for its turn */
	FEED_SENDING, /* a request is under way */
	FEED_PAUSED, /* until its timer */
	FEED_STORING, /* until the next commit */
	FEED_STUCK, /* its batch is refused for good */
};

struct feed {
	struct feeds *all;
	struct lane *lane;
	struct replicant *replicant;
	unsigned replicant_index;
	enum feed_state state;
	TAILQ_ENTRY(feed) link; /* READY or STORING */
	uint64_t after; /* id of the last batch that its task has */
	struct held *held; /* the one that goes there now */
	struct spool_progress progress;
	/* while an event is refused: */
	unsigned vague; /* errors in a row that may be for its piece */
	unsigned erred; /* all of them for this chunk */
	struct replicant_record before; /* the first of these */
	unsigned easily; /* pieces taken in a row */
	bool is_fresh; /* its sequence was never sent before */
	char *refusal; /* Druid's words, until the spool has them */
	uint32_t refused_event; /* in the batch */
	struct buf piece; /* what the request carries */
	unsigned failures; /* in a row */
	int64_t failing_since_ms;
	struct loop_timer timer;
	struct http_exchange *exchange;
	struct buf packed; /* what the request carries, when it is Smile */
	bool is_stuck; /* its request does not count as sending any more */
	bool has_left; /* its task is given up: nothing more goes there */
};

typedef void feed_passed_fn(void *context, struct feed *, const struct held *);
typedef void
feed_damaged_fn(void *context, struct feed *, const struct spool_entry *);
typedef void
feed_skipped_fn(void *context, struct feed *, const struct spool_entry *);
typedef void feed_failing_fn(void *context, struct feed *, int64_t for_ms);

enum feed_asks {
	ASK_NOTHING,
	ASK_BEHIND, /* whether the piece's rows are good */
	ASK_ALONE, /* whether the task names rows at all */
};

/* In place of a time, so that Druid's error names it. */
#define FEED_ASK_MARK "tranqd asks whether the rows before this one are good"

/* What all feeds of a dataSource share. */
struct feeds {
	struct loop *loop;
	const struct ds_conf *ds;
	struct spool *spool;
	struct http_client *http;
	struct held_cache held;
	struct hand *hand; /* NULL: nobody counts deaths */
	struct smile_writer *smile; /* NULL: tasks are sent JSON */
	TAILQ_HEAD(feed_queue, feed) ready;
	struct feed_queue storing;
	unsigned sending, sending_max;
	/* requests without an answer for long: a task that hangs must not use
	 * up the places of those that do not */
	unsigned stuck, stuck_max;
	bool on_hold;
	int64_t refusal_said_ms;
	uint64_t pushes, retries, skipped, refused; /* refused: events */
	/* a batch is with the feed's task (held: lent); one cannot be read any
	 * more and was passed over; pushes have failed for so long */
	feed_passed_fn *passed;
	feed_skipped_fn *passed_over;
	feed_failing_fn *failing;
	void *context;
};

void feeds_init(struct feeds *); /* after its parts are set */
void feeds_fini(struct feeds *);
/* Starts what is ready, as far as maxPendingBatches allows. */
void feeds_run(struct feeds *);
/* New sequences become durable: in a transaction, and after its commit. */
bool feeds_want_commit(const struct feeds *);
void feeds_write(struct feeds *);
void feeds_written(struct feeds *);

void feed_init(struct feed *, struct feeds *, struct lane *, struct replicant *,
    unsigned replicant_index);
void feed_fini(struct feed *);
/* It takes nothing more, until it may go on. What its task has and what came
 * of the last request are remembered, and in the spool with the next commit. */
void feed_leave(struct feed *);
void feed_go_on(struct feed *, struct feeds *);
/* Its lane has got a batch, or its task a place. */
void feed_wake(struct feed *);
