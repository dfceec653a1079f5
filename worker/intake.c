/*
 * intake - takes events out of the rings and makes batches of them
 *
 * Process: worker.
 */
#include "intake.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "event.h"
#include "hand.h"
#include "fault.h"
#include "log.h"
#include "panic.h"
#include "partition.h"
#include "poison.h"

/* Bytes read in one turn: as much as one commit should bring to the disk. */
#define TURN_BYTES (8u * MiB)
/* However long lingerMillis is, -1 (until batches are full) too: the answers
 * of asynchronous requests wait for the commit. */
#define LINGER_MS_MAX 1000
/* Late events may be of any interval, as many as there are events: not all of
 * their batches can be open at one time. */
#define OPEN_LATE_MAX 64
/* Of all open batches: a window of many short intervals, or a receiver gone
 * wrong, may bring an interval with each event. */
#define OPEN_MAX 1024

struct source {
	struct channel *channel;
	struct spool_cursor cursor; /* up to what has been read */
	uint64_t durable; /* position of the last commit */
	bool moved; /* beyond it */
};

struct intake {
	struct intake_parts p;
	struct source *sources;
	struct batch **open;
	unsigned open_count, open_size, open_late;
	struct batch *last; /* that the last event went to */
	size_t open_bytes;
	bool has_full, has_waiting; /* a full batch; a synchronous request */
	bool is_spread; /* over partitions; as of this turn */
	struct hand_item block; /* that was read last */
	struct interval piled; /* of the last one that goes with late ones */
	unsigned next_source; /* while each block is alone */
	int64_t opened_ms;
	struct delivery_batch *sealed;
	unsigned sealed_count, sealed_size;
	struct spool_totals counted; /* to be added by the next commit */
	int64_t newest_ms;
};

struct intake *
intake_new(const struct intake_parts *parts)
{
	struct intake *in = must_calloc(1, sizeof *in);

	in->p = *parts;
	in->newest_ms = INT64_MIN;
	in->sources = must_calloc(parts->channel_count, sizeof in->sources[0]);
	for (unsigned i = 0; i < parts->channel_count; i++)
		in->sources[i].channel = &parts->channels[i];
	return in;
}

static void
forget_open(struct intake *in)
{
	for (unsigned i = 0; i < in->open_count; i++)
		batch_free(&in->open[i]);
	in->open_count = in->open_late = 0;
	in->last = NULL;
	in->open_bytes = 0;
	in->has_full = in->has_waiting = false;
}

static void
forget_sealed(struct intake *in)
{
	for (unsigned i = 0; i < in->sealed_count; i++)
		free(in->sealed[i].value);
	in->sealed_count = 0;
}

void
intake_free(struct intake **intake)
{
	struct intake *in = *intake;

	if (in == NULL)
		return;
	*intake = NULL;
	forget_open(in);
	forget_sealed(in);
	free(in->open);
	free(in->sealed);
	free(in->sources);
	free(in);
}

/* ---- events into batches ---- */

static bool
takes(const struct intake *in, const struct batch *b, const struct event *e,
    unsigned partition)
{
	return b->partition == partition &&
	    (partition_is_any_time(partition) ||
		(e->timestamp_ms >= b->interval.start &&
		    e->timestamp_ms < b->interval.end)) &&
	    b->events < (unsigned)in->p.ds->max_batch_events &&
	    batch_bytes(b) + e->bytes <= (size_t)in->p.ds->max_batch_bytes;
}

static bool
is_full(const struct intake *in, const struct batch *b)
{
	return b->events >= (unsigned)in->p.ds->max_batch_events ||
	    batch_bytes(b) >= (size_t)in->p.ds->max_batch_bytes;
}

static void seal_one(struct intake *, struct batch **, int64_t wall_ms);

static void
close_one(struct intake *in, unsigned i)
{
	if (in->last == in->open[i])
		in->last = NULL;
	in->open_late -= in->open[i]->partition == PARTITION_LATE;
	seal_one(in, &in->open[i], clock_wall_ms());
	in->open_count--;
	memmove(&in->open[i], &in->open[i + 1],
	    (in->open_count - i) * sizeof in->open[0]);
}

/* The batch that was opened first makes room for one more, a late one for late
 * ones. */
static void
make_room(struct intake *in, unsigned partition)
{
	unsigned i = 0;

	if (partition == PARTITION_LATE && in->open_late == OPEN_LATE_MAX) {
		while (in->open[i]->partition != PARTITION_LATE)
			i++;
		close_one(in, i);
	} else if (in->open_count == OPEN_MAX) {
		close_one(in, 0);
	}
}

static const struct delivery_table *
table(const struct intake *in)
{
	return in->p.delivery->table;
}

/* Of chunks: the queue's form. */
static bool
is_queued(const struct intake *in, unsigned partition)
{
	return partition == PARTITION_LATE || table(in)->open == NULL;
}

static struct batch *
make_batch(struct intake *in, unsigned partition, struct interval bucket)
{
	struct batch *b;

	if (!is_queued(in, partition))
		return table(in)->open(in->p.delivery, partition, bucket);
	b = batch_new(
	    bucket, partition, (unsigned)in->p.ds->firehose_chunk_events);
	if (in->p.ds->tls_enable)
		b->chunk_bytes_max = BATCH_CHUNK_BYTES_TLS;
	return b;
}

static struct batch *
open_batch(struct intake *in, unsigned partition, struct interval bucket)
{
	struct batch *b;

	make_room(in, partition);
	b = make_batch(in, partition, bucket);
	in->open_late += partition == PARTITION_LATE;
	if (in->open_count == in->open_size) {
		in->open_size = MAX_OF(in->open_size * 2, 16u);
		in->open =
		    must_realloc(in->open, in->open_size * sizeof in->open[0]);
	}
	if (in->open_count == 0)
		in->opened_ms = clock_mono_ms();
	in->open[in->open_count++] = b;
	return b;
}

static bool
is_piled(const struct intake *in, const struct event *e)
{
	return e->is_late || table(in)->piles;
}

static struct batch *
batch_for(struct intake *in, const struct event *e)
{
	bool piled = is_piled(in, e);
	struct interval bucket;
	unsigned partition = PARTITION_LATE;

	/* nearly all events go where the one before went */
	if (in->last != NULL && !in->is_spread &&
	    piled == (in->last->partition == PARTITION_LATE) &&
	    (piled || table(in)->keeps(in->p.delivery, e, in->last)) &&
	    takes(in, in->last, e, in->last->partition))
		return in->last;
	if (piled)
		bucket = granularity_bucket_near(&in->p.ds->segment_granularity,
		    &in->piled, e->timestamp_ms);
	else
		partition = table(in)->route(in->p.delivery, e, &bucket);
	for (unsigned i = in->open_count; i-- > 0;)
		if (takes(in, in->open[i], e, partition))
			return in->open[i];
	return open_batch(in, partition, bucket);
}

static void
count_event(struct intake *in, struct batch *b, const struct event *e)
{
	in->last = b;
	in->open_bytes += e->bytes;
	if (!e->is_late)
		in->newest_ms = MAX_OF(in->newest_ms, e->timestamp_ms);
	in->counted.late += e->is_late;
	in->has_full |= is_full(in, b);
}

/* What was condemned of the block that is read now. */
static const struct hand_item *
condemned(const struct intake *in, const struct hand_item *item, uint32_t event)
{
	struct hand_item one = *item;

	one.event = event;
	return hand_condemned(in->p.hand, &one);
}

/* The file is there before anything goes on without the events; the commit
 * that brings the cursor past them counts them. */
static void
quarantine(struct intake *in, const struct hand_item *item,
    const struct buf *lines, uint32_t events)
{
	struct quarantine_piece piece = { .item = item,
		.now_ms = clock_wall_ms(),
		.lines = lines,
		.events = events };
	char error[QUARANTINE_ERROR_BYTES];

	if (!quarantine_write(&in->p.quarantine, &piece, error, sizeof error))
		fatalx("%s", error);
	log_error("quarantine: %u events have killed the worker %d times "
		  "running and are set aside in %s",
	    events, HAND_DEATHS, in->p.quarantine.dir);
	in->counted.quarantined += events;
}

static void
set_event_aside(struct intake *in, const struct hand_item *item,
    const struct event *e, const char *text)
{
	struct buf line;

	buf_init(&line, SIZE_MAX);
	buf_add(&line, text, e->bytes);
	buf_add_text(&line, "\n");
	quarantine(in, item, &line, 1);
	buf_free(&line);
}

/* Those that were condemned before the block was have files of their own. */
static unsigned
set_block_aside(struct intake *in, const struct hand_item *item,
    const struct event_block *b, struct event_reader *reader)
{
	struct buf lines;
	unsigned count = 0, alone = 0;
	const char *text;
	struct event e;
	bool damaged;

	buf_init(&lines, SIZE_MAX);
	while (count < b->events &&
	    (text = event_next(reader, &e, &damaged)) != NULL) {
		const struct hand_item *own = condemned(in, item, count++);

		if (own != NULL) {
			set_event_aside(in, own, &e, text);
			alone++;
			continue;
		}
		buf_add(&lines, text, e.bytes);
		buf_add_text(&lines, "\n");
	}
	quarantine(in, item, &lines, count - alone);
	buf_free(&lines);
	return count;
}

static void
take_event(struct intake *in, const struct event *e, const char *text,
    const struct batch_run *of)
{
	struct batch *batch = batch_for(in, e);
	bool piled = is_piled(in, e);

	POISON("ring", text, e->bytes);
	/* one that is piled is not waited for beyond the commit */
	if (LIKELY(of->key == NULL || piled))
		batch_add(batch, e, text, piled ? 0 : of->ticket, of->receiver);
	else
		batch_add_keyed(batch, e, text, of);
	count_event(in, batch, e);
}

/* Whether the event is not in the spool yet by the key of its request. */
static bool
is_new(struct keys_block *b, const struct event *e, uint64_t ordinal)
{
	if (!keys_wants(b, ordinal))
		return false;
	b->late += e->is_late;
	b->taken += !e->is_late;
	return true;
}

/* How much of the block is new in the accounts. */
static void
count_block(struct intake *in, struct source *s, const struct event_block *b,
    uint32_t events, uint32_t dropped)
{
	in->has_waiting |= b->ticket != 0;
	in->counted.received += (uint64_t)events + dropped;
	in->counted.dropped_window += dropped;
	s->cursor.taken_events += b->events;
	s->cursor.taken_dropped += b->dropped[DROP_WINDOW];
}

static void
take_block(struct intake *in, struct source *s, const struct event_block *b,
    struct event_reader *reader)
{
	unsigned receiver = (unsigned)(s - in->sources), taken = 0;
	struct hand_item item = { .kind = HAND_BLOCK,
		.part = receiver,
		.generation = in->p.generation,
		.key = s->cursor.position };
	const struct hand_item *why = condemned(in, &item, HAND_WHOLE);
	struct batch_run of = {
		.ticket = b->ticket, .receiver = receiver, .events = 1
	};
	uint32_t passed_over = 0, dropped = b->dropped[DROP_WINDOW];
	struct keys_block keyed = { .row = NULL };
	struct event e;
	const char *text;
	bool damaged;

	if (UNLIKELY(reader->is_keyed) && in->p.keys != NULL) {
		keys_open(in->p.keys, &keyed, b, &reader->key, receiver);
		of.key = reader->key.key;
	}
	if (why != NULL)
		keyed.taken = taken = set_block_aside(in, why, b, reader);
	hand_take(in->p.hand, &item, clock_mono_ms());
	while (taken < b->events &&
	    (text = event_next(reader, &e, &damaged)) != NULL) {
		hand_event(in->p.hand, taken);
		taken++;
		if (UNLIKELY(of.key != NULL) &&
		    !is_new(&keyed, &e, reader->ordinal))
			passed_over++;
		else if ((why = condemned(in, &item, taken - 1)) != NULL)
			set_event_aside(in, why, &e, text);
		else
			take_event(in, &e, text, &of);
	}
	in->block = item;
	if (taken < b->events) {
		log_error("ring: a block is damaged, %u of its %u events are "
			  "lost with it",
		    b->events - taken, b->events);
		in->counted.quarantined += b->events - taken;
	}
	if (UNLIKELY(of.key != NULL))
		dropped = keys_close(in->p.keys, &keyed, taken == b->events);
	count_block(in, s, b, b->events - passed_over, dropped);
}

/* What was offered and has not been taken; 0 when the counter makes no sense
 * either. */
static uint64_t
lacking(_Atomic uint64_t *offered, uint64_t taken)
{
	uint64_t all = atomic_load_explicit(offered, memory_order_relaxed);

	return all > taken ? all - taken : 0;
}

/* A receiver that wrote nonsense: all that is in the ring now is lost with it.
 * The accounts take the receiver's word for how many events that were; returns
 * it. */
static uint64_t
set_aside(struct intake *in, struct source *s)
{
	struct channel_header *h = s->channel->header;
	uint64_t events = lacking(&h->offered_events, s->cursor.taken_events);
	uint64_t dropped =
	    lacking(&h->offered_dropped, s->cursor.taken_dropped);

	in->counted.received += events + dropped;
	in->counted.quarantined += events;
	in->counted.dropped_window += dropped;
	s->cursor.taken_events += events;
	s->cursor.taken_dropped += dropped;
	return events;
}

/* The framing is lost. */
static void
skip_garbage(struct intake *in, struct source *s, uint64_t bytes)
{
	uint64_t events = set_aside(in, s);

	log_error("ring: %llu bytes (%llu events) are not blocks of events; "
		  "set aside",
	    (unsigned long long)bytes, (unsigned long long)events);
	ring_take(&s->channel->events, bytes);
}

/* A block that is larger than the spool's whole limit comes in when nothing
 * else waits there: it would never have room. */
static bool
has_room(const struct intake *in, uint64_t bytes)
{
	uint64_t aside = table(in)->piles ? 0 : late_batches(in->p.late);

	return spool_has_room(in->p.spool, in->open_bytes + bytes) ||
	    (in->open_bytes == 0 && spool_batches(in->p.spool) == aside);
}

/* false: no room in the spool. */
static bool
drain_source(struct intake *in, struct source *s, size_t *budget)
{
	struct ring *ring = &s->channel->events;
	struct event_reader reader;
	struct event_block head;
	const void *at;
	uint64_t available;

	while (*budget > 0 && (at = ring_peek(ring, &available)) != NULL) {
		if (!event_open(&reader, at, available, &head)) {
			skip_garbage(in, s, available);
		} else if (!has_room(in, head.bytes)) {
			return false;
		} else {
			FAULT_POINT(PEEKED);
			take_block(in, s, &head, &reader);
			FAULT_POINT(TAKEN);
			ring_take(ring, head.bytes);
			/* one that is suspected is not to take others with it */
			*budget -= hand_is_careful(in->p.hand)
			    ? *budget
			    : MIN_OF(*budget, head.bytes);
		}
		s->cursor.position = ring_taken(ring);
		s->moved = true;
	}
	return true;
}

/* The cursor that the spool has is not in the ring. Nothing that was answered
 * 200 is lost with it: that is in the spool. */
static void
skip_ring(struct intake *in, struct source *s)
{
	uint64_t events = set_aside(in, s);

	log_error("ring: its positions cannot be true; what it holds (%llu "
		  "events) is set aside",
	    (unsigned long long)events);
	ring_skip(&s->channel->events);
	s->cursor.position = ring_taken(&s->channel->events);
	s->moved = true;
}

/* ---- start ---- */

static void
resume_source(struct intake *in, struct source *s, unsigned receiver)
{
	struct ring *ring = &s->channel->events;

	s->moved = false;
	if (!spool_cursor(in->p.spool, receiver, in->p.generation, &s->cursor))
		/* nothing of this ring is in the spool: from its head */
		s->cursor =
		    (struct spool_cursor){ .generation = in->p.generation,
			    .position = ring_head(ring) };
	s->durable = s->cursor.position;
	atomic_store_explicit(&s->channel->header->taken_events,
	    s->cursor.taken_events, memory_order_relaxed);
	atomic_store_explicit(&s->channel->header->taken_dropped,
	    s->cursor.taken_dropped, memory_order_relaxed);
	if (!ring_resume(ring, s->cursor.position))
		skip_ring(in, s);
	/* a worker killed between commit and advance has not told */
	channel_ring_receiver(s->channel);
}

void
intake_resume(struct intake *in)
{
	forget_open(in);
	forget_sealed(in);
	if (in->p.keys != NULL)
		keys_resume(in->p.keys);
	in->counted = (struct spool_totals){ 0 };
	for (unsigned i = 0; i < in->p.channel_count; i++)
		resume_source(in, &in->sources[i], i);
}

/* After a death with a block in hand: each is alone in its commit, so that the
 * next death tells which one it was. The rings have their turns. */
static bool
drain_one_block(struct intake *in)
{
	bool room = true;

	for (unsigned i = 0; i < in->p.channel_count && room; i++) {
		unsigned at = in->next_source++ % in->p.channel_count;
		size_t budget = 1;

		room = drain_source(in, &in->sources[at], &budget);
		if (budget == 0)
			break;
	}
	in->has_full |= in->open_count > 0;
	hand_event(in->p.hand, HAND_WHOLE);
	return room;
}

bool
intake_drain(struct intake *in, int64_t now_ms UNUSED)
{
	size_t share = TURN_BYTES / in->p.channel_count;
	bool room = true;

	table(in)->begin(in->p.delivery);
	in->is_spread = table(in)->is_spread(in->p.delivery);
	if (hand_is_careful(in->p.hand))
		return drain_one_block(in);
	for (unsigned i = 0; i < in->p.channel_count; i++) {
		size_t budget = share;

		room &= drain_source(in, &in->sources[i], &budget);
	}
	hand_event(in->p.hand, HAND_WHOLE);
	return room;
}

/* ---- out of batches ---- */

bool
intake_open(const struct intake *in)
{
	for (unsigned i = 0; i < in->p.channel_count; i++)
		if (in->sources[i].moved)
			return true;
	return in->sealed_count > 0;
}

static bool
half_full(const struct intake *in)
{
	for (unsigned i = 0; i < in->p.channel_count; i++) {
		const struct ring *r = &in->sources[i].channel->events;

		if (ring_taken(r) - in->sources[i].durable > r->size / 2)
			return true;
	}
	return false;
}

int64_t
intake_seal_in_ms(const struct intake *in, int64_t now_ms)
{
	int64_t linger = in->p.ds->linger_ms, due;

	if (!intake_open(in))
		return -1;
	if (in->open_count == 0 || in->has_full || in->has_waiting ||
	    half_full(in))
		return 0;
	if (linger < 0 || linger > LINGER_MS_MAX)
		linger = LINGER_MS_MAX;
	due = in->opened_ms + linger - now_ms;
	return MAX_OF(due, 0);
}

/* Of the queue's form. */
static void
seal_chunks(struct intake *in, struct batch **batch, int64_t wall_ms,
    struct delivery_batch *s)
{
	struct batch *b = *batch;
	struct batch_seal seal = { .id = spool_take_id(in->p.spool, b->events),
		.generation = in->p.generation,
		.now_ms = wall_ms,
		.lane = b->partition == PARTITION_LATE
		    ? LATE_OPEN_LANE
		    : table(in)->lane(
			  in->p.delivery, b->interval, b->partition) };

	s->entry = (struct spool_entry){ .at = { .start = b->interval.start,
					     .end = b->interval.end,
					     .partition = b->partition,
					     .lane = seal.lane },
		.id = seal.id,
		.events = b->events,
		.sealed_ms = wall_ms };
	POISON("seal", b->value, b->used);
	s->value = batch_seal(batch, &seal, &s->bytes);
	s->entry.bytes = (uint32_t)s->bytes;
}

static void
seal_one(struct intake *in, struct batch **batch, int64_t wall_ms)
{
	struct delivery_batch *s;

	if (in->sealed_count == in->sealed_size) {
		in->sealed_size = MAX_OF(in->sealed_size * 2, 16u);
		in->sealed = must_realloc(
		    in->sealed, in->sealed_size * sizeof in->sealed[0]);
	}
	s = &in->sealed[in->sealed_count++];
	*s = (struct delivery_batch){ .value = NULL };
	if (is_queued(in, (*batch)->partition))
		seal_chunks(in, batch, wall_ms, s);
	else
		table(in)->seal(in->p.delivery, batch, wall_ms, s);
}

void
intake_seal(struct intake *in, int64_t wall_ms)
{
	FAULT_POINT(SEAL);
	if (in->open_count > 0) {
		/* what was read turns ago may kill us only now */
		hand_take(in->p.hand, &in->block, clock_mono_ms());
		hand_event(in->p.hand, HAND_WHOLE);
	}
	for (unsigned i = 0; i < in->open_count; i++)
		seal_one(in, &in->open[i], wall_ms);
	forget_open(in);
	FAULT_POINT(SEALED);
}

/* What of it concerns keys: the rings' part comes with the batches. */
static struct keys_commit
keys_part(const struct intake *in)
{
	return (struct keys_commit){ .has_rings = in->open_count == 0,
		.answers_durable = table(in)->answers_durable(in->p.delivery),
		.now_ms = clock_wall_ms() };
}

void
intake_write(struct intake *in)
{
	struct keys_commit keys = keys_part(in);

	if (in->p.keys != NULL)
		keys_write(in->p.keys, &keys);
	if (in->open_count > 0)
		return; /* the cursors say what is there: all or nothing */
	for (unsigned i = 0; i < in->sealed_count; i++) {
		struct delivery_batch *s = &in->sealed[i];

		if (!is_queued(in, s->entry.at.partition)) {
			table(in)->put(in->p.delivery, s);
			continue;
		}
		spool_put(in->p.spool, s->value, s->bytes);
		if (late_copies(in->p.late, &s->entry.at))
			spool_put_copy(in->p.spool, &s->entry);
	}
	for (unsigned i = 0; i < in->p.channel_count; i++)
		if (in->sources[i].moved)
			spool_set_cursor(
			    in->p.spool, i, &in->sources[i].cursor);
	spool_count(in->p.spool, &in->counted);
}

void
intake_written(struct intake *in)
{
	struct keys_commit keys = keys_part(in);

	if (in->p.keys != NULL)
		keys_written(in->p.keys, &keys);
	if (in->open_count > 0)
		return; /* only removals were committed */
	for (unsigned i = 0; i < in->p.channel_count; i++) {
		struct source *s = &in->sources[i];

		if (!s->moved)
			continue;
		s->moved = false;
		s->durable = s->cursor.position;
		/* release: who sees it sees the counters with them */
		atomic_store_explicit(&s->channel->header->taken_events,
		    s->cursor.taken_events, memory_order_release);
		atomic_store_explicit(&s->channel->header->taken_dropped,
		    s->cursor.taken_dropped, memory_order_release);
		FAULT_POINT(ADVANCE);
		hand_passed(in->p.hand, i, s->cursor.position);
		ring_advance(&s->channel->events, s->cursor.position);
		FAULT_POINT(ADVANCED);
		channel_ring_receiver(s->channel);
		FAULT_POINT(RECEIVER_TOLD);
	}
	in->counted = (struct spool_totals){ 0 };
	for (unsigned i = 0; i < in->sealed_count; i++) {
		struct delivery_batch *s = &in->sealed[i];

		if (is_queued(in, s->entry.at.partition) &&
		    late_copies(in->p.late, &s->entry.at))
			late_copy_arrived(in->p.late, &s->entry);
		if (s->entry.at.partition == PARTITION_LATE) {
			free(s->value);
			late_arrived(in->p.late, &s->entry);
			continue;
		}
		table(in)->durable(in->p.delivery, s);
	}
	in->sealed_count = 0; /* others have the values now */
}

int64_t
intake_newest_ms(struct intake *in)
{
	int64_t newest = in->newest_ms;

	in->newest_ms = INT64_MIN;
	return newest;
}
