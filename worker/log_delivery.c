/*
 * log_delivery - the delivery by the log: Druid pulls from it
 *
 * Process: worker.
 */
#include "log_delivery.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "ndjson.h"
#include "panic.h"
#include "partition.h"
#include "poison.h"
#include "queue_move.h"
#include "record_batch.h"
#include "spool_dead.h"
#include "spool_log.h"

/* Of one commit: what it brings to the disk, and what it takes away. */
#define TRIM_BATCHES 4096
#define BEYOND_SAID_MS 60000
#define ERROR_BYTES 600

struct log_delivery {
	struct delivery delivery;
	struct log_delivery_parts p;
	unsigned partitions; /* pull_care_partitions */
	struct compression *compression;
	/* as last told to feeds */
	struct log_range told[LOG_PAGE_PARTITIONS_MAX];
	/* up to where the log was trimmed, and is by the open transaction */
	uint64_t trimmed[LOG_PAGE_PARTITIONS_MAX];
	uint64_t trims[LOG_PAGE_PARTITIONS_MAX];
	uint64_t beyond[LOG_PAGE_PARTITIONS_MAX]; /* asked for; 0: not */
	int64_t beyond_said_ms;
	bool begins; /* partitions are to be made: a topic needs them */
	struct queue_move *moves;
	bool is_described;
};

static const struct delivery_table table;
static void move(void *context, const struct queue_moved *);

static struct log_delivery *
log_of(struct delivery *d)
{
	return CONTAINER_OF(d, struct log_delivery, delivery);
}

static const struct log_delivery *
view_of(const struct delivery *d)
{
	return (const struct log_delivery *)(const void *)d;
}

struct delivery *
log_delivery_new(const struct log_delivery_parts *parts)
{
	struct log_delivery *l = must_calloc(1, sizeof *l);
	enum compression_codec codec;
	struct queue_move_parts moves = { .spool = parts->spool,
		.acks = parts->acks,
		.move = move,
		.context = l };

	l->delivery.table = &table;
	l->p = *parts;
	l->partitions = pull_care_partitions(parts->care);
	must(compression_of_name(parts->ds->pull_compression, &codec));
	l->compression = compression_new(codec);
	l->moves = queue_move_new(&moves);
	return &l->delivery;
}

static void
free_log(struct delivery **d)
{
	struct log_delivery *l = log_of(*d);

	*d = NULL;
	queue_move_free(&l->moves);
	compression_free(&l->compression);
	free(l);
}

/* ---- what feeds know ---- */

/* After each commit that may have changed it. */
static void
tell(struct log_delivery *l)
{
	bool is_new = false, rings = false;

	for (unsigned i = 0; i < LOG_PAGE_PARTITIONS_MAX; i++) {
		struct log_range r = spool_log_range(l->p.spool, i);

		if (r.start == l->told[i].start && r.end == l->told[i].end)
			continue;
		is_new |= l->told[i].end == 0;
		l->told[i] = r;
		l->is_described = false;
		rings = true;
		if (l->p.page != NULL)
			log_page_tell(l->p.page, i, r);
	}
	if (l->p.page == NULL || !rings)
		return;
	if (is_new) /* the log may be there only now */
		log_page_open(l->p.page, spool_log_identity(l->p.spool));
	log_page_ring(l->p.page, l->p.feed_bell);
}

/* By a commit of its own: a topic is there to be pulled from when its worker is
 * ready. One that fails is the worker's business, and comes again. */
static void
begin_log(struct log_delivery *l)
{
	char error[ERROR_BYTES];

	for (unsigned i = 0; i < l->partitions; i++)
		l->begins |= spool_log_range(l->p.spool, i).end == 0;
	if (!l->begins)
		return;
	spool_begin(l->p.spool);
	spool_log_begin(l->p.spool, l->partitions, clock_wall_ms());
	l->begins = spool_commit(l->p.spool, error, sizeof error) != RESULT_OK;
}

static void
replay(struct delivery *d)
{
	struct log_delivery *l = log_of(d);

	queue_move_replay(l->moves, l->p.late);
	begin_log(l);
	tell(l);
	pull_care_begin(l->p.care);
	if (queue_move_is_due(l->moves))
		log_info("what waits for tasks goes into the log");
}

/* A consumer wants what will be: this log is not the one that it has read
 * before. What it will be given next must lie behind what it has. */
static void
look_for_beyond(struct log_delivery *l)
{
	for (unsigned i = 0; l->p.page != NULL && i < l->partitions; i++) {
		uint64_t asked = log_page_asked_beyond(l->p.page, i);

		if (asked <= l->told[i].end || l->told[i].end == 0)
			continue;
		l->beyond[i] = asked;
		if (log_may_repeat(&l->beyond_said_ms, BEYOND_SAID_MS))
			log_error(
			    "log: a consumer asks for offset %" PRIu64
			    " of partition %u, which ends at %" PRIu64
			    ": the spool is not the one that it has read "
			    "from, or has been set back; new events get "
			    "offsets from there or from the clock on, "
			    "whichever is more (at most a day ahead of it)",
			    asked, i, l->told[i].end);
	}
}

/* ---- events and batches ---- */

static void
begin(struct delivery *d)
{
	look_for_beyond(log_of(d));
}

static bool
is_spread(const struct delivery *d)
{
	return view_of(d)->partitions > 1;
}

static bool
keeps(const struct delivery *d UNUSED, const struct event *e UNUSED,
    const struct batch *b UNUSED)
{
	return true;
}

static unsigned
route(struct delivery *d, const struct event *e, struct interval *bucket)
{
	*bucket = (struct interval){ INT64_MIN, INT64_MAX };
	return partition_pick(e->hash, view_of(d)->partitions);
}

static struct batch *
open_batch(
    struct delivery *d UNUSED, unsigned partition, struct interval interval)
{
	return batch_new_records(interval, partition);
}

static void
seal(struct delivery *d, struct batch **batch, int64_t wall_ms,
    struct delivery_batch *to)
{
	struct batch *b = *batch;

	POISON("seal", b->records->bytes, b->records->used);
	to->entry = (struct spool_entry){ .at.partition = b->partition,
		.events = b->events,
		.sealed_ms = wall_ms };
	to->value =
	    record_batch_seal(b->records, log_of(d)->compression, &to->bytes);
	to->entry.bytes = (uint32_t)to->bytes;
	batch_free(batch);
}

static uint64_t
put_records(struct log_delivery *l, unsigned partition, char *value,
    size_t bytes, int64_t wall_ms)
{
	if (l->beyond[partition] != 0)
		spool_log_jump(l->p.spool, partition, l->beyond[partition],
		    clock_wall_ms());
	return spool_log_put(l->p.spool, partition, value, bytes, wall_ms);
}

static void
put(struct delivery *d, struct delivery_batch *b)
{
	b->entry.id = put_records(log_of(d), b->entry.at.partition, b->value,
	    b->bytes, b->entry.sealed_ms);
}

static void
durable(struct delivery *d, struct delivery_batch *b)
{
	struct log_delivery *l = log_of(d);

	free(b->value);
	b->value = NULL;
	/* a dead letter that has come back has an interval */
	if (b->entry.at.start != b->entry.at.end) {
		queue_move_due(l->moves);
		return;
	}
	l->beyond[b->entry.at.partition] = 0;
}

/* ---- out of the queue, into the log ---- */

/* Its events that have not left it, as records; NULL: there are none. */
static char *
records_of(struct log_delivery *l, const struct queue_moved *m, size_t *bytes)
{
	const struct batch_header *h = m->view.header;
	const char *at = m->view.body, *end = at + h->body_bytes, *event;
	struct record_batch records;
	unsigned refused = 0;
	size_t event_bytes;

	record_batch_init(&records);
	for (uint32_t i = 0;
	     (event = ndjson_next(&at, end, &event_bytes)) != NULL; i++)
		if (refused < m->refused_count &&
		    m->refused[refused].event == i)
			refused++;
		else /* of its time only the interval is known here */
			record_batch_add(
			    &records, h->start, event, event_bytes);
	return records.records > 0
	    ? record_batch_seal(&records, l->compression, bytes)
	    : NULL;
}

static void
move(void *context, const struct queue_moved *m)
{
	struct log_delivery *l = context;
	const struct spool_entry *e = &m->entry;
	size_t bytes = 0;
	char *records = records_of(l, m, &bytes);

	if (records == NULL) {
		spool_remove(l->p.spool, e);
		return;
	}
	if (spool_log_take(l->p.spool, e))
		put_records(l,
		    partition_number(e->at.partition) % l->partitions, records,
		    bytes, clock_wall_ms());
	free(records);
}

/* ---- commits of its own ---- */

static bool
wants_trim(const struct log_delivery *l)
{
	for (unsigned i = 0; i < LOG_PAGE_PARTITIONS_MAX; i++)
		if (pull_care_floor(l->p.care, i) > l->trimmed[i])
			return true;
	return false;
}

static bool
wants_commit(const struct delivery *d)
{
	const struct log_delivery *l = view_of(d);

	return pull_care_wants_commit(l->p.care) || l->begins ||
	    queue_move_is_due(l->moves) || wants_trim(l);
}

/* With what Druid has committed, some batches a commit. */
static void
trim(struct log_delivery *l)
{
	for (unsigned i = 0; i < LOG_PAGE_PARTITIONS_MAX; i++) {
		uint64_t floor = pull_care_floor(l->p.care, i);

		l->trims[i] = l->trimmed[i];
		if (floor > l->trimmed[i] &&
		    !spool_log_trim(l->p.spool, i, floor, TRIM_BATCHES))
			l->trims[i] = floor;
	}
}

static void
write_changes(struct delivery *d)
{
	struct log_delivery *l = log_of(d);

	if (l->begins)
		spool_log_begin(l->p.spool, l->partitions, clock_wall_ms());
	queue_move_write(l->moves);
	pull_care_write(l->p.care);
	trim(l);
}

static void
written(struct delivery *d)
{
	struct log_delivery *l = log_of(d);

	l->begins = false;
	queue_move_written(l->moves);
	memcpy(l->trimmed, l->trims, sizeof l->trimmed);
	tell(l);
	pull_care_begin(l->p.care);
	pull_care_written(l->p.care);
}

/* By an earlier life, of the topic that we have a part of, too. */
static bool
is_told_shared(const struct log_page *page)
{
	static struct log_peers told;
	uint64_t version = 0;

	return log_page_peers(page, &version, &told) && told.is_shared;
}

/* Who serves which partition is told when it is another one. */
static void
run(struct delivery *d)
{
	struct log_delivery *l = log_of(d);
	static struct log_peers peers;
	bool is_first;

	if (!pull_care_peers(l->p.care, &peers, &is_first) ||
	    l->p.page == NULL || (is_first && is_told_shared(l->p.page)))
		return;
	log_page_tell_peers(l->p.page, &peers);
	log_page_ring(l->p.page, l->p.feed_bell);
}

/* ---- ends ---- */

static void
hold(struct delivery *d)
{
	pull_care_hold(log_of(d)->p.care);
}

static bool
is_settled(const struct delivery *d)
{
	return pull_care_is_settled(view_of(d)->p.care);
}

/* What is in the log waits for Druid wherever we are. */
static bool
is_drained(const struct delivery *d)
{
	return !queue_move_is_due(view_of(d)->moves);
}

static void
drain(struct delivery *d, bool on)
{
	pull_care_retire(log_of(d)->p.care, on);
}

static bool
is_dry(const struct delivery *d)
{
	return pull_care_is_retired(view_of(d)->p.care);
}

/* ---- what can be seen ---- */

static struct delivery_counts
counts(const struct delivery *d UNUSED)
{
	return (struct delivery_counts){ 0 };
}

static void
describe(const struct delivery *d, struct json *to, struct json *notes)
{
	const struct log_delivery *l = view_of(d);
	struct json *log = json_new_object(), *all = json_new_array();

	json_set_text(log, "identity", spool_log_identity(l->p.spool));
	for (unsigned i = 0; i < LOG_PAGE_PARTITIONS_MAX; i++) {
		uint64_t known = pull_care_known(l->p.care, i);
		struct json *one;

		if (l->told[i].end == 0)
			continue;
		one = json_new_object();
		json_set_int(one, "partition", i);
		json_set_int(one, "start", (int64_t)l->told[i].start);
		json_set_int(one, "end", (int64_t)l->told[i].end);
		if (known > 0)
			json_set_int(one, "committed", (int64_t)known);
		json_append(all, one);
	}
	json_set(log, "partitions", all);
	json_set(to, "log", log);
	pull_care_describe(l->p.care, to, notes);
}

static bool
changed(struct delivery *d)
{
	struct log_delivery *l = log_of(d);
	bool was = l->is_described;

	l->is_described = true;
	return pull_care_changed(l->p.care) || !was;
}

static const struct delivery_table table = { .name = "pull",
	.free = free_log,
	.replay = replay,
	.begin = begin,
	.is_spread = is_spread,
	.keeps = keeps,
	.route = route,
	.lane = delivery_one_lane,
	.open = open_batch,
	.seal = seal,
	.put = put,
	.durable = durable,
	.wants_commit = wants_commit,
	.write = write_changes,
	.written = written,
	.look_again = delivery_nothing,
	.warm = delivery_no_warmth,
	.run = run,
	.hold = hold,
	.drain = drain,
	.is_dry = is_dry,
	.is_settled = is_settled,
	.is_drained = is_drained,
	.answers_durable = delivery_yes,
	.counts = counts,
	.describe = describe,
	.changed = changed };
