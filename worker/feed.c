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
#include "checksum.h"
#include "clock.h"
#include "fault.h"
#include "firehose.h"
#include "json.h"
#include "log.h"
#include "narrow.h"
#include "panic.h"
#include "poison.h"
#include "spool_dead.h"

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
/* Errors that do not say what they are for: so many in a row and what was sent
 * is halved, which costs requests only. A single event is given up later, and
 * not while the task says the same to others. */
#define VAGUE_HALVED 4
#define VAGUE_GIVEN_UP 8
#define REFUSAL_SAID_MS 60000

/* How long a request that is not confirmed is held on to, in times of
 * firehoseRetryPeriod: by default what the kernel itself takes to give up. */
#define HOLD_FACTOR 15

static void pushed(void *context, const struct http_answer *);
static void push_held(void *context);

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
	buf_free(&f->piece);
}

static void
let_go(struct feed *f)
{
	leave_queue(f);
	if (f->state == FEED_SENDING)
		not_sending(f);
	loop_timer_stop(&f->timer);
	held_release(&f->all->held, &f->held);
	f->state = FEED_IDLE;
	f->all = NULL;
}

void
feed_fini(struct feed *f)
{
	if (f->all == NULL)
		return;
	http_cancel(f->all->http, &f->exchange);
	let_go(f);
	free(f->refusal);
	f->refusal = NULL;
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

static uint32_t
task_mark(const struct feed *f)
{
	const char *id = replicant_task_id(f->replicant);

	return checksum_crc32c(0, id, strlen(id));
}

static void
batch_done(struct feed *f)
{
	struct held *done = f->held;

	f->after = done->entry.id;
	f->held = NULL;
	f->progress = (struct spool_progress){ 0 };
	f->vague = f->easily = 0;
	f->is_fresh = false;
	f->all->passed(f->all->context, f, done);
	held_release(&f->all->held, &done);
}

/* What another task has taken is gone with it, and so are its sequences. */
static void
recall_progress(struct feed *f)
{
	uint32_t chunks = f->held->view.header->chunk_count;

	f->progress = spool_progress(
	    f->all->spool, f->held->entry.id, f->replicant_index);
	if ((f->progress.task != 0 && f->progress.task != task_mark(f)) ||
	    f->progress.chunk > chunks)
		f->progress = (struct spool_progress){ 0 };
	f->vague = f->easily = 0;
	f->is_fresh = false;
	if (f->progress.chunk == chunks)
		batch_done(f);
}

/* Until the turn goes to another: whoever dies meanwhile has died of it. */
static void
have_in_hand(struct feed *f, uint64_t id, enum hand_part part)
{
	const struct hand_item item = {
		.kind = HAND_BATCH, .part = part, .key = id
	};

	hand_take(f->all->hand, &item, loop_now_ms(f->all->loop));
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
		have_in_hand(f, e.id, HAND_SENDS);
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
		recall_progress(f);
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

/* In front of the bracket. */
static void
add_question(struct feed *f)
{
	struct json *row = json_new_object();

	json_set_text(row, f->all->ds->timestamp_column, FEED_ASK_MARK);
	f->piece.used--;
	if (f->progress.asks != ASK_ALONE)
		buf_add_text(&f->piece, ",");
	json_print(row, &f->piece);
	buf_add_text(&f->piece, "]");
	json_free(&row);
}

/* The part of the chunk that goes out, when something in it is refused. */
static void
cut_piece(struct feed *f, struct push *p)
{
	if (!narrow_is_on(&f->progress))
		return;
	buf_init(&f->piece, SIZE_MAX);
	if (f->progress.asks == ASK_ALONE)
		buf_add_text(&f->piece, "[]");
	else
		narrow_text(&f->held->view, &f->progress, &f->piece);
	if (f->progress.asks != ASK_NOTHING)
		add_question(f);
	p->body = f->piece.bytes;
	p->body_bytes = f->piece.used;
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
		.sequence = (v->header->id + narrow_first(v, &f->progress))
			<< ATTEMPT_BITS |
		    f->progress.attempt,
		.body = v->body + c->offset,
		.body_bytes = c->bytes,
		.timeout_ms = f->all->ds->firehose_retry_ms,
		.hold_ms = f->all->ds->firehose_retry_ms * HOLD_FACTOR,
		.held = push_held,
		.done = pushed,
		.context = f };

	have_in_hand(f, v->header->id, HAND_SENDS);
	POISON("batch", v->body + c->offset, c->bytes);
	name_producer(f, producer);
	cut_piece(f, &push);
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
		hand_drop(all->hand);
	}
}

/* ---- answers ---- */

/* The spool has to know what comes next before it is sent. */
static void
store(struct feed *f)
{
	f->progress.task = task_mark(f);
	f->is_fresh = true;
	f->state = FEED_STORING;
	TAILQ_INSERT_TAIL(&f->all->storing, f, link);
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
	store(f);
}

/* As much again; twice that when it goes well: what is refused lies behind. */
static void
piece_taken(struct feed *f)
{
	unsigned length = f->progress.events;

	if (++f->easily > 1)
		length *= 2;
	f->progress.asks = ASK_NOTHING;
	narrow_passed(&f->held->view, &f->progress, length);
	store(f);
}

static void
chunk_taken(struct feed *f)
{
	replicant_served(f->replicant);
	f->failures = f->vague = 0;
	f->failing_since_ms = 0;
	f->state = FEED_IDLE;
	if (narrow_is_on(&f->progress)) {
		piece_taken(f);
		return;
	}
	f->progress = (struct spool_progress){ .chunk = f->progress.chunk + 1 };
	if (f->progress.chunk == f->held->view.header->chunk_count)
		batch_done(f);
	feed_wake(f);
}

/* It was sent before, and nobody knows what came of it. */
static void
skipped(struct feed *f)
{
	const struct batch_view *v = &f->held->view;
	bool was_question = f->progress.asks != ASK_NOTHING;

	FAULT_POINT(SKIPPED);
	f->failures = f->vague = 0;
	f->failing_since_ms = 0;
	if (was_question && f->is_fresh) {
		piece_taken(f);
		return;
	}
	f->progress.events = narrow_events(v, &f->progress);
	if (!was_question)
		f->progress.asks = ASK_BEHIND;
	use_new_sequence(f);
}

/* ---- refusals ---- */

static void
set_aside(struct feed *f, const char *why)
{
	const struct batch_view *v = &f->held->view;

	f->refusal = must_strdup(why);
	f->refused_event = narrow_first(v, &f->progress);
	narrow_passed(v, &f->progress, v->header->events);
	f->easily = 0;
	store(f);
}

/* The task does not say which row it is: what is whole was taken, as nearly
 * always; a piece is one because something is refused, and is sent again. */
static void
untold(struct feed *f)
{
	const struct batch_view *v = &f->held->view;

	f->progress.asks = ASK_NOTHING;
	if (f->progress.events == v->chunks[f->progress.chunk].events)
		piece_taken(f);
	else
		use_new_sequence(f);
}

/* An answer to a question, or an error in place of it. */
static void
told(struct feed *f, const struct push_answer *a)
{
	bool names_it = strstr(a->why, FEED_ASK_MARK) != NULL;
	bool is_alone = f->progress.asks == ASK_ALONE;

	f->failures = f->vague = 0;
	f->failing_since_ms = 0;
	if (names_it && !is_alone) {
		piece_taken(f);
	} else if (names_it) {
		/* and it has not named it behind our rows */
		f->progress.asks = ASK_NOTHING;
		use_new_sequence(f);
	} else if (!is_alone && a->result == PUSH_REFUSED) {
		f->progress.asks = ASK_ALONE;
		use_new_sequence(f);
	} else {
		untold(f);
	}
}

/* Nothing of the request is taken, and never will be as it is. */
static void
refused(struct feed *f, const char *why)
{
	struct feeds *all = f->all;

	f->failures = f->vague = f->easily = 0;
	f->failing_since_ms = 0;
	if (log_may_repeat(&all->refusal_said_ms, REFUSAL_SAID_MS))
		log_warnx("task %s refuses rows: %.300s; they become dead "
			  "letters, alone (tranqctl deadletters)",
		    replicant_task_id(f->replicant), why);
	if (narrow_refused(&f->held->view, &f->progress)) {
		set_aside(f, why);
	} else {
		use_new_sequence(f);
	}
}

/* Whether it is what we send that the task cannot stand, and not the task that
 * stands nothing. */
static bool
is_alone_refused(const struct feed *f)
{
	struct replicant_record now = replicant_record(f->replicant);
	uint64_t others = now.erred - f->before.erred - f->erred;

	return now.served - f->before.served > others;
}

/* An error that does not say what it is for. */
static bool
is_given_up(struct feed *f)
{
	unsigned events = narrow_events(&f->held->view, &f->progress);

	if (f->vague == 0 && !narrow_is_on(&f->progress)) {
		f->before = replicant_record(f->replicant);
		f->erred = 0;
	}
	f->vague++;
	f->erred++;
	replicant_erred(f->replicant);
	if (events > 1)
		return f->vague >= VAGUE_HALVED;
	return f->vague >= VAGUE_GIVEN_UP && is_alone_refused(f);
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
	if (a->result == PUSH_REFUSED || (a->vague && is_given_up(f))) {
		if (f->progress.asks != ASK_NOTHING)
			told(f, a);
		else
			refused(f, a->why);
		return;
	}
	f->failures++;
	if (f->failing_since_ms == 0)
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

/* It goes on, and so does the time for which the task has taken nothing. */
static void
push_held(void *context)
{
	struct feed *f = context;
	int64_t now = loop_now_ms(f->all->loop);

	if (f->failing_since_ms == 0)
		f->failing_since_ms = now;
	replicant_trouble(f->replicant,
	    "Timeout was reached: it does not confirm what it is sent");
	f->all->failing(f->all->context, f, now - f->failing_since_ms);
}

static void
answered(struct feed *f, const struct http_answer *answer)
{
	struct push_answer a = firehose_judge(answer);

	f->exchange = NULL;
	not_sending(f);
	if (a.result == PUSH_TAKEN) {
		FAULT_POINT(PUSH_ANSWERED);
		f->all->skipped += a.skipped;
		if (a.skipped)
			skipped(f);
		else
			chunk_taken(f);
		return;
	}
	push_failed(f, &a);
	if (f->state != FEED_STORING)
		f->is_fresh = false; /* it goes out again as it was */
}

static void
pushed(void *context, const struct http_answer *answer)
{
	struct feed *f = context;
	struct hand *hand = f->all->hand;

	have_in_hand(f, f->held->entry.id, HAND_HEARS);
	POISON("answer", f->held->view.body, f->held->view.header->body_bytes);
	answered(f, answer);
	hand_drop(hand);
}

/* ---- new sequences ---- */

bool
feeds_want_commit(const struct feeds *all)
{
	return !TAILQ_EMPTY(&all->storing);
}

/* The dead letter: a batch of one event. */
static void
write_refusal(struct feeds *all, const struct feed *f)
{
	const struct batch_header *h = f->held->view.header;
	struct batch_seal seal = { .id = spool_take_id(all->spool, 1),
		.now_ms = clock_wall_ms() };
	size_t bytes;
	char *value =
	    batch_pick(&f->held->view, &seal, f->refused_event, &bytes);

	if (value == NULL)
		panic_at(__FILE__, __LINE__, __func__, "no such event");
	must(h->events > f->refused_event);
	spool_refuse(all->spool, &f->held->entry, f->refused_event, value,
	    bytes, f->refusal);
	free(value);
}

void
feeds_write(struct feeds *all)
{
	struct feed *f;

	TAILQ_FOREACH(f, &all->storing, link)
	{
		if (f->held->forgotten) /* its task was given up */
			continue;
		if (f->refusal != NULL) {
			write_refusal(all, f);
			FAULT_POINT(ASIDE);
		}
		spool_set_progress(all->spool, f->held->entry.id,
		    f->replicant_index, &f->progress);
	}
}

void
feeds_written(struct feeds *all)
{
	struct feed *f;

	while ((f = TAILQ_FIRST(&all->storing)) != NULL) {
		FAULT_POINT(ANEW_STORED);
		TAILQ_REMOVE(&all->storing, f, link);
		if (f->refusal != NULL)
			FAULT_POINT(ASIDE_STORED);
		all->refused += f->refusal != NULL;
		free(f->refusal);
		f->refusal = NULL;
		f->state = FEED_IDLE;
		if (f->progress.chunk == f->held->view.header->chunk_count)
			batch_done(f);
		if (f->has_left)
			let_go(f);
		else if (f->failures > 0)
			pause_feed(f, RETRY_MAX_MS);
		else
			feed_wake(f);
	}
}

/* ---- tasks that are given up ---- */

void
feed_leave(struct feed *f)
{
	bool is_fresh = f->state == FEED_STORING;

	must(f->all != NULL && !f->has_left);
	f->has_left = true;
	if (f->held == NULL) {
		let_go(f);
		return;
	}
	if (f->state == FEED_SENDING) {
		if (http_give_up(f->all->http, &f->exchange) &&
		    f->progress.attempt < ATTEMPT_MAX) {
			f->progress.attempt++;
			is_fresh = true;
		}
		not_sending(f);
	}
	leave_queue(f);
	loop_timer_stop(&f->timer);
	store(f);
	f->is_fresh = is_fresh;
}

void
feed_go_on(struct feed *f, struct feeds *all)
{
	must(f->has_left);
	if (f->held != NULL && f->held->forgotten)
		feed_fini(f); /* its siblings have it: there is no more of it */
	f->has_left = false;
	f->all = all;
	f->after = MAX_OF(f->after, f->lane->removed);
	f->failures = 0;
	f->failing_since_ms = 0;
}
