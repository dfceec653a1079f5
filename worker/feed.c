/*
 * feed - one replicant's way through one lane of its beam
 *
 * Process: worker.
 */
#include "feed.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backoff.h"
#include "clock.h"
#include "fault.h"
#include "firehose.h"
#include "log.h"
#include "panic.h"

#define RETRY_FIRST_MS 100
#define RETRY_MAX_MS 10000
/* The Overlord knows a task's place some seconds before its JVM listens
 * there. To be refused costs next to nothing, and clients wait. */
#define RETRY_STARTING_MAX_MS 500
#define STUCK_MS 3000
#define WHY_BYTES 250 /* of an answer's text, for people */
#define PRODUCER_BYTES (SPOOL_IDENTITY_BYTES + 32)
/* A chunk's sequence: the number of its first event and, below it, how many
 * of its sequences a definite failure has used up. */
#define ATTEMPT_BITS 8
#define ATTEMPT_MAX ((1u << ATTEMPT_BITS) - 1)

static void pushed(void *context, const struct http_answer *);

void
feeds_init(struct feeds *all)
{
	TAILQ_INIT(&all->ready);
	TAILQ_INIT(&all->storing);
	if (strcmp(all->ds->serialization_format, "smile") == 0)
		all->smile = must_malloc(sizeof *all->smile);
}

void
feeds_fini(struct feeds *all)
{
	free(all->smile);
	held_fini(&all->held);
}

void
feed_init(struct feed *f, struct feeds *all, struct lane *lane,
    struct replicant *replicant, unsigned index)
{
	*f = (struct feed){ .all = all,
		.lane = lane,
		.replicant = replicant,
		.replicant_index = index,
		.after = lane->removed };
	f->timer.context = f;
}

static void
leave_queue(struct feed *f)
{
	if (f->state == FEED_READY)
		TAILQ_REMOVE(&f->all->ready, f, link);
	else if (f->state == FEED_STORING)
		TAILQ_REMOVE(&f->all->storing, f, link);
}

static void
not_sending(struct feed *f)
{
	if (f->is_stuck)
		f->all->stuck--;
	else
		f->all->sending--;
	f->is_stuck = false;
	loop_timer_stop(&f->timer);
	buf_free(&f->packed);
}

void
feed_fini(struct feed *f)
{
	if (f->all == NULL)
		return;
	leave_queue(f);
	if (f->state == FEED_SENDING) {
		http_cancel(f->all->http, &f->exchange);
		not_sending(f);
	}
	loop_timer_stop(&f->timer);
	held_release(&f->all->held, &f->held);
	f->state = FEED_IDLE;
	f->all = NULL;
}

void
feed_wake(struct feed *f)
{
	if (f->all == NULL || f->state != FEED_IDLE ||
	    replicant_state(f->replicant) != REPLICANT_OPEN)
		return;
	if (f->held == NULL && f->lane->batches == 0)
		return;
	f->state = FEED_READY;
	TAILQ_INSERT_TAIL(&f->all->ready, f, link);
}

/* ---- sending ---- */

static void
retry_due(struct loop_timer *t)
{
	struct feed *f = t->context;

	f->state = FEED_IDLE;
	feed_wake(f);
}

static void
pause_feed(struct feed *f, int64_t max_ms)
{
	f->state = FEED_PAUSED;
	loop_timer_start(f->all->loop, &f->timer,
	    backoff_ms(
		f->failures, RETRY_FIRST_MS, max_ms, (uint32_t)clock_mono_ns()),
	    retry_due);
}

/* Takes the next batch of the lane in hand; false when there is none now. */
static bool
take_next(struct feed *f)
{
	struct feeds *all = f->all;
	struct spool_entry e;
	bool damaged;

	while (f->held == NULL) {
		if (!spool_next(all->spool, &f->lane->at, f->after, &e))
			return false;
		f->held = held_take(&all->held, all->spool, &e, &damaged);
		if (f->held == NULL && !damaged) {
			f->failures++;
			/* no memory, or no disk, now */
			pause_feed(f, RETRY_MAX_MS);
			return false;
		}
		if (damaged) {
			f->after = e.id;
			all->passed_over(all->context, f, &e);
			continue;
		}
		f->progress =
		    spool_progress(all->spool, e.id, f->replicant_index);
		if (f->progress.chunk >= f->held->view.header->chunk_count)
			f->progress = (struct spool_progress){ 0 };
	}
	return true;
}

static void
stuck_due(struct loop_timer *t)
{
	struct feed *f = t->context;

	if (f->all->stuck == f->all->stuck_max)
		return;
	f->is_stuck = true;
	f->all->sending--;
	f->all->stuck++;
}

/* The chunk as Smile, the same bytes at each try. What would be too long for a
 * request that goes to the kernel whole (a chunk of nothing but short
 * fractions) goes as the JSON that it is, and tasks take that as well. */
static void
pack(struct feed *f, struct push *p)
{
	size_t whole = f->all->ds->tls_enable ? BATCH_CHUNK_BYTES_TLS
					      : BATCH_CHUNK_BYTES_MAX;

	if (f->all->smile == NULL)
		return;
	buf_init(&f->packed, MAX_OF(p->body_bytes, whole));
	if (!smile_writer_transcode(
		f->all->smile, p->body, p->body_bytes, &f->packed))
		return;
	p->body = f->packed.bytes;
	p->body_bytes = f->packed.used;
	p->is_smile = true;
}

/* The lane's, the same whoever sends: sequences of two lanes in one producer
 * would overtake each other, and be skipped. */
static void
name_producer(const struct feed *f, char out[static PRODUCER_BYTES])
{
	const struct lane *lane = f->lane;
	int used = snprintf(out, PRODUCER_BYTES, "%s-%u",
	    spool_identity(f->all->spool), lane->at.lane);

	if (lane->is_guest)
		snprintf(out + used, PRODUCER_BYTES - (size_t)used, "-p%u",
		    lane->at.partition);
}

static void
send_chunk(struct feed *f)
{
	const struct batch_view *v = &f->held->view;
	const struct batch_chunk *c = &v->chunks[f->progress.chunk];
	char producer[PRODUCER_BYTES];
	struct push push = { .url = replicant_url(f->replicant),
		.task_id = replicant_task_id(f->replicant),
		.producer = producer,
		.sequence = (v->header->id + c->first) << ATTEMPT_BITS |
		    f->progress.attempt,
		.body = v->body + c->offset,
		.body_bytes = c->bytes,
		.timeout_ms = f->all->ds->firehose_retry_ms,
		.done = pushed,
		.context = f };

	name_producer(f, producer);
	pack(f, &push);
	f->state = FEED_SENDING;
	f->all->sending++;
	f->all->pushes++;
	loop_timer_start(f->all->loop, &f->timer, STUCK_MS, stuck_due);
	FAULT_POINT(PUSH);
	f->exchange = firehose_push(f->all->http, &push);
	FAULT_POINT(PUSH_SENT);
}

void
feeds_run(struct feeds *all)
{
	struct feed *f;

	while (!all->on_hold && all->sending < all->sending_max &&
	    (f = TAILQ_FIRST(&all->ready)) != NULL) {
		leave_queue(f);
		f->state = FEED_IDLE;
		if (replicant_state(f->replicant) == REPLICANT_OPEN &&
		    take_next(f))
			send_chunk(f);
	}
}

/* ---- answers ---- */

static void
chunk_taken(struct feed *f)
{
	replicant_served(f->replicant);
	f->failures = 0;
	f->failing_since_ms = 0;
	f->state = FEED_IDLE;
	f->progress.attempt = 0;
	if (++f->progress.chunk == f->held->view.header->chunk_count) {
		struct held *done = f->held;

		f->after = done->entry.id;
		f->held = NULL;
		f->progress.chunk = 0;
		f->all->passed(f->all->context, f, done);
		held_release(&f->all->held, &done);
	}
	feed_wake(f);
}

/* The next try needs a new sequence, and the spool has to know of it first:
 * after a restart the old one would be skipped. */
static void
use_new_sequence(struct feed *f)
{
	if (f->progress.attempt == ATTEMPT_MAX) {
		/* what waits becomes dead letters when the interval closes */
		log_error("task %s: refuses batch %" PRIu64 " for good; its "
			  "lane waits for the end of the interval",
		    replicant_task_id(f->replicant), f->held->entry.id);
		f->state = FEED_STUCK;
		return;
	}
	FAULT_POINT(ANEW);
	f->progress.attempt++;
	f->state = FEED_STORING;
	TAILQ_INSERT_TAIL(&f->all->storing, f, link);
}

/* A refusal may have no text. */
static void
say_why(const struct push_answer *a, char why[static WHY_BYTES])
{
	if (a->status == 0)
		snprintf(why, WHY_BYTES, "%s", a->why);
	else
		snprintf(why, WHY_BYTES, "answered %d%s%s", a->status,
		    a->why[0] != '\0' ? ": " : "", a->why);
}

static void
complain(const struct feed *f, const char *why, bool is_early)
{
	if (!is_early && (f->failures == 1 || f->failures % 16 == 0))
		log_warnx("task %s: push failed (%u in a row): %s",
		    replicant_task_id(f->replicant), f->failures, why);
	else
		log_debug("task %s: push failed: %s",
		    replicant_task_id(f->replicant), why);
}

static void
push_failed(struct feed *f, const struct push_answer *a)
{
	bool not_there = a->result == PUSH_ABSENT || a->unreached;
	bool is_early = not_there && replicant_is_starting(f->replicant);
	int64_t now = loop_now_ms(f->all->loop);
	struct feeds *all = f->all;
	char why[WHY_BYTES];

	f->all->retries++;
	if (f->failures++ == 0)
		f->failing_since_ms = now;
	say_why(a, why);
	complain(f, why, is_early);
	if (!is_early)
		replicant_trouble(f->replicant, why);
	if (not_there)
		replicant_distrust(f->replicant);
	if (a->result == PUSH_ANEW)
		use_new_sequence(f);
	else
		pause_feed(f, is_early ? RETRY_STARTING_MAX_MS : RETRY_MAX_MS);
	all->failing(all->context, f, now - f->failing_since_ms);
}

static void
pushed(void *context, const struct http_answer *answer)
{
	struct push_answer a = firehose_judge(answer);
	struct feed *f = context;

	f->exchange = NULL;
	not_sending(f);
	if (a.result == PUSH_TAKEN) {
		FAULT_POINT(PUSH_ANSWERED);
		f->all->skipped += a.skipped;
		chunk_taken(f);
		return;
	}
	push_failed(f, &a);
}

/* ---- new sequences ---- */

bool
feeds_want_commit(const struct feeds *all)
{
	return !TAILQ_EMPTY(&all->storing);
}

void
feeds_write(struct feeds *all)
{
	struct feed *f;

	TAILQ_FOREACH(f, &all->storing, link)
	spool_set_progress(
	    all->spool, f->held->entry.id, f->replicant_index, &f->progress);
}

void
feeds_written(struct feeds *all)
{
	struct feed *f;

	while ((f = TAILQ_FIRST(&all->storing)) != NULL) {
		FAULT_POINT(ANEW_STORED);
		TAILQ_REMOVE(&all->storing, f, link);
		pause_feed(f, RETRY_MAX_MS);
	}
}
