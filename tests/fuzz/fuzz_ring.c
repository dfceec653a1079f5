/*
 * fuzz_ring - a receiver that was taken over, as its worker sees it
 *
 * The input is what such a receiver does to the shared memory, which it may
 * write all of: bytes and blocks into the ring, positions, counters, the
 * header; and between that the worker's turns, its commits that fail and its
 * restarts. The worker must neither end nor read outside of the event ring
 * (what lies behind it is not mapped here), each batch must be whole, and its
 * accounts must add up. The spool, dispatch and late are played.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "event.h"
#include "fuzz_input.h"
#include "intake.h"
#include "one_ds.h"
#include "panic.h"
#include "partition.h"
#include "quiet_push.h"
#include "spool_log.h"
#include "task.h"

#define RING_BYTES (16u * KiB)
#define GENERATION 7
#define PAGE 4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* ---- spool, dispatch and late, as intake sees them ---- */

static struct {
	struct spool_cursor cursor; /* durable */
	struct spool_totals totals;
	bool has_cursor;
	struct spool_cursor next_cursor; /* of the open transaction */
	struct spool_totals more;
	uint64_t events, next_id;
	unsigned partitions;
	bool is_full, copies, free_times;
	const struct ds_conf *ds;
} fake;

bool
spool_cursor(struct spool *s UNUSED, unsigned receiver UNUSED,
    uint64_t generation, struct spool_cursor *c)
{
	must(generation == GENERATION);
	if (fake.has_cursor)
		*c = fake.cursor;
	return fake.has_cursor;
}

uint64_t
spool_take_id(struct spool *s UNUSED, unsigned events)
{
	must(events > 0);
	fake.next_id += events;
	return fake.next_id - events;
}

static void
check_batch(const char *value, size_t bytes)
{
	struct batch_view v;
	uint32_t chunk_events = 0, chunk_bytes = 0;

	must(batch_view(value, bytes, &v));
	for (uint32_t i = 0; i < v.header->chunk_count; i++) {
		must(v.chunks[i].offset == chunk_bytes);
		must(v.chunks[i].first == chunk_events);
		chunk_events += v.chunks[i].events;
		chunk_bytes += v.chunks[i].bytes;
	}
	must(chunk_events == v.header->events);
	must(chunk_bytes == v.header->body_bytes);
	must(v.header->start <= v.header->end);
}

void
spool_put(struct spool *s UNUSED, const char *value, size_t bytes)
{
	struct batch_view v;

	check_batch(value, bytes);
	batch_view_own(value, bytes, &v);
	fake.events += v.header->events;
}

void
spool_put_copy(struct spool *s UNUSED, const struct spool_entry *e)
{
	must(fake.copies && e->events > 0);
}

void
spool_set_cursor(
    struct spool *s UNUSED, unsigned receiver, const struct spool_cursor *c)
{
	must(receiver == 0 && c->generation == GENERATION);
	fake.next_cursor = *c;
}

void
spool_count(struct spool *s UNUSED, const struct spool_totals *more)
{
	fake.more = *more;
}

/* ---- keys: a few rows, none of them for long ---- */

#define ROWS 8

static struct {
	uint8_t key[EVENT_KEY_BYTES];
	struct spool_key row;
} rows[ROWS];

bool
spool_key(struct spool *s UNUSED, const uint8_t key[static EVENT_KEY_BYTES],
    struct spool_key *to)
{
	*to = rows[key[0] % ROWS].row;
	return to->came_ms != 0 &&
	    memcmp(rows[key[0] % ROWS].key, key, EVENT_KEY_BYTES) == 0;
}

bool
spool_key_now(struct spool *s, const uint8_t key[static EVENT_KEY_BYTES],
    struct spool_key *to)
{
	return spool_key(s, key, to);
}

void
spool_set_key(struct spool *s UNUSED, const uint8_t key[static EVENT_KEY_BYTES],
    const struct spool_key *row)
{
	must(row->asker_count <= SPOOL_KEY_ASKERS &&
	    row->batch_count <= SPOOL_KEY_BATCHES);
	memcpy(rows[key[0] % ROWS].key, key, EVENT_KEY_BYTES);
	rows[key[0] % ROWS].row = *row;
}

unsigned
spool_forget_keys(struct spool *s UNUSED, int64_t before_ms UNUSED,
    uint64_t keys_max UNUSED, unsigned most UNUSED)
{
	return 0;
}

void
spool_set_key_words(
    struct spool *s UNUSED, const void *words UNUSED, size_t bytes UNUSED)
{
}

void *
spool_key_words(struct spool *s UNUSED, size_t *bytes)
{
	*bytes = 0;
	return NULL;
}

void
acks_tell(struct acks *a UNUSED, unsigned receiver, const struct ack *ack)
{
	must(receiver == 0 && ack->kind != 0);
}

void
acks_watch_keys(
    struct acks *a UNUSED, acks_key *keyed UNUSED, void *context UNUSED)
{
}

bool
spool_has_room(const struct spool *s UNUSED, uint64_t bytes UNUSED)
{
	return !fake.is_full;
}

uint64_t
spool_batches(const struct spool *s UNUSED)
{
	return 1;
}

uint64_t
spool_queued(const struct spool *s UNUSED)
{
	return 1;
}

struct spool_log_counts
spool_log_counts(const struct spool *s UNUSED)
{
	return (struct spool_log_counts){ 0 };
}

unsigned
dispatch_partitions(const struct dispatch *d UNUSED, int64_t bucket UNUSED,
    bool any_time UNUSED)
{
	return fake.partitions;
}

bool
dispatch_is_spread(const struct dispatch *d UNUSED)
{
	return fake.partitions > 1;
}

bool
dispatch_binds(const struct dispatch *d UNUSED, int64_t event_ms UNUSED)
{
	return !fake.free_times;
}

unsigned
dispatch_lane(
    struct dispatch *d UNUSED, struct interval interval, unsigned partition)
{
	must(interval.start <= interval.end);
	return partition % 2;
}

/* What a beam for it would need. */
static void
make_task(const struct spool_entry *e)
{
	struct task_place place = { .interval = { e->at.start, e->at.end },
		.partition = e->at.partition };
	char *firehose = task_firehose_id(fake.ds, &place);
	char *id = task_id(fake.ds, &place, 0);
	struct json *task = task_json(fake.ds, &place, id, firehose);

	must(json_is_object(task));
	(void)task_shutoff_ms(fake.ds, &place.interval);
	json_free(&task);
	free(id);
	free(firehose);
}

void
dispatch_sealed(struct dispatch *d UNUSED, const struct spool_entry *e,
    char *value, size_t bytes)
{
	must(e->bytes == bytes && e->events > 0);
	make_task(e);
	free(value);
}

void
late_arrived(struct late *l UNUSED, const struct spool_entry *e)
{
	must(e->at.partition == PARTITION_LATE && e->events > 0);
}

bool
late_copies(const struct late *l UNUSED, const struct spool_lane *at UNUSED)
{
	return fake.copies;
}

void
late_copy_arrived(struct late *l UNUSED, const struct spool_entry *e UNUSED)
{
}

uint64_t
late_batches(const struct late *l UNUSED)
{
	return 0;
}

/* ---- both sides ---- */

struct rig {
	struct fuzz_input in;
	struct conf *conf;
	int memory, bell;
	struct channel receiver, worker;
	struct delivery *delivery;
	struct intake *intake;
	struct keys *keys;
	bool is_open; /* the worker could attach */
};

static void
be_born(struct rig *r)
{
	struct push_parts push = { .ds = &r->conf->ds[0] };
	struct intake_parts parts = { .ds = &r->conf->ds[0],
		.channels = &r->worker,
		.channel_count = 1,
		.generation = GENERATION };

	r->is_open = channel_attach(&r->worker, r->memory, r->bell, r->bell);
	if (!r->is_open)
		return;
	must(mprotect(r->worker.acks.data, 2 * CHANNEL_ACK_BYTES, PROT_NONE) ==
	    0);
	parts.keys = r->keys =
	    keys_new(&(struct keys_parts){ .generation = GENERATION });
	parts.delivery = r->delivery = push_new(&push);
	r->intake = intake_new(&parts);
	intake_resume(r->intake);
}

static void
die(struct rig *r)
{
	if (!r->is_open)
		return;
	intake_free(&r->intake);
	keys_free(&r->keys);
	delivery_free(&r->delivery);
	channel_detach(&r->worker);
}

static void
committed(struct rig *r)
{
	fake.cursor = fake.next_cursor;
	fake.has_cursor = true;
	fake.totals.received += fake.more.received;
	fake.totals.quarantined += fake.more.quarantined;
	fake.totals.dropped_window += fake.more.dropped_window;
	must(fake.totals.received ==
	    fake.events + fake.totals.quarantined + fake.totals.dropped_window);
	intake_written(r->intake);
}

/* As worker.c does it. */
static void
take_turn(struct rig *r, bool fails)
{
	uint64_t events = fake.events;

	if (!r->is_open)
		return;
	(void)intake_drain(r->intake, 0);
	(void)intake_seal_in_ms(r->intake, 0);
	if (!intake_open(r->intake))
		return;
	intake_seal(r->intake, 0);
	intake_write(r->intake);
	if (fails) {
		fake.events = events;
		intake_resume(r->intake);
	} else {
		committed(r);
	}
}

/* ---- what the receiver does ---- */

static void
write_bytes(struct rig *r, size_t bytes)
{
	uint64_t padded = event_padded(bytes);
	char *to =
	    padded > 0 ? ring_reserve(&r->receiver.events, padded) : NULL;

	bytes = MIN_OF(bytes, (size_t)(r->in.end - r->in.at));
	if (to == NULL)
		return;
	memcpy(to, r->in.at, bytes);
	r->in.at += bytes;
	ring_commit(&r->receiver.events, padded);
}

/* A block that is right but for what the input says is wrong. */
static void
write_block(struct rig *r, unsigned events)
{
	char block[sizeof(struct event_block) + 8 * (sizeof(struct event) + 8)];
	struct event_block head = { .magic = EVENT_BLOCK_MAGIC,
		.ticket = fuzz_byte(&r->in),
		.events = events };
	uint8_t wrong = fuzz_byte(&r->in);
	char *at = block + sizeof head, *to;

	memset(block, 0, sizeof block);
	for (unsigned i = 0; i < events; i++) {
		struct event e = { .timestamp_ms =
				       (int64_t)fuzz_number(&r->in, 8),
			.hash = (int32_t)fuzz_byte(&r->in),
			.bytes = wrong & 1
			    ? fuzz_number(&r->in, 4) & EVENT_BYTES_MAX
			    : 2,
			.is_late = (wrong & 2) != 0 };

		memcpy(at, &e, sizeof e);
		memcpy(at + sizeof e, "{}", 2);
		at += sizeof e + 8;
	}
	head.bytes = (uint32_t)(at - block);
	if (wrong & 4)
		head.events = (uint32_t)fuzz_number(&r->in, 4);
	if (wrong & 8)
		head.bytes = (uint32_t)fuzz_number(&r->in, 2);
	head.dropped[DROP_WINDOW] = (uint32_t)fuzz_byte(&r->in);
	memcpy(block, &head, sizeof head);
	to = ring_reserve(&r->receiver.events, (uint64_t)(at - block));
	if (to == NULL)
		return;
	memcpy(to, block, (size_t)(at - block));
	ring_commit(&r->receiver.events, (uint64_t)(at - block));
}

static void
poke(struct rig *r)
{
	struct ring_control *c = r->receiver.events.control;
	struct channel_header *h = r->receiver.header;
	uint64_t value = fuzz_number(&r->in, 8);

	switch (fuzz_byte(&r->in) % 8) {
	case 0: atomic_store(&c->tail, value); break;
	case 1: atomic_store(&c->head, value); break;
	case 2: atomic_store(&h->offered_events, value); break;
	case 3: atomic_store(&h->offered_dropped, value); break;
	case 4: atomic_fetch_add(&c->tail, value % (2 * RING_BYTES)); break;
	case 5: atomic_fetch_sub(&c->head, value % (2 * RING_BYTES)); break;
	case 6: c->size = value; break;
	/* any byte of the two pages before the rings */
	default: ((char *)h)[value % (2 * PAGE)] = (char)fuzz_byte(&r->in);
	}
}

static void
set_world(uint8_t choice)
{
	fake.is_full = choice & 1;
	fake.partitions = 1 + (choice >> 1 & 3);
	fake.copies = choice & 8;
	fake.free_times = choice & 16;
}

static void
run(struct rig *r)
{
	while (r->in.at < r->in.end) {
		uint8_t what = fuzz_byte(&r->in);

		switch (what % 8) {
		case 0: write_bytes(r, fuzz_byte(&r->in)); break;
		case 1: write_block(r, what >> 5); break;
		case 2: poke(r); break;
		case 3: set_world(fuzz_byte(&r->in)); break;
		case 4: take_turn(r, true); break;
		case 5:
			die(r);
			be_born(r);
			break;
		default: take_turn(r, false);
		}
	}
	take_turn(r, false);
}

/* One configuration of each granularity, made once. */
static struct conf *
conf_of(uint8_t choice)
{
	static const char day[] = "{\"type\":\"period\",\"period\":\"P1D\","
				  "\"timeZone\":\"America/Los_Angeles\"}";
	static const char *const granularities[] = { "\"HOUR\"", day,
		"\"MONTH\"", "\"YEAR\"", "\"SECOND\"" };
	static struct conf *made[ARRAY_LEN(granularities)];
	unsigned i = choice % ARRAY_LEN(granularities);
	char *spec;

	if (made[i] != NULL)
		return made[i];
	spec = must_format(
	    "{\"dataSchema\":{\"dataSource\":\"foo\",\"timestampSpec\":{},"
	    "\"dimensionsSpec\":{},\"metricsSpec\":[{\"type\":\"count\","
	    "\"name\":\"n\"}],\"granularitySpec\":{\"segmentGranularity\":%s,"
	    "\"queryGranularity\":\"NONE\"}}}",
	    granularities[i]);
	made[i] = one_ds(spec, "\"druid.overlord.url\":\"http://x\"");
	free(spec);
	return made[i];
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct rig r = { .in = { data, data + bytes } };

	if (bytes < 2)
		return 0;
	memset(&fake, 0, sizeof fake);
	memset(rows, 0, sizeof rows);
	fake.partitions = 1;
	fuzz_silence();
	r.conf = conf_of(fuzz_byte(&r.in));
	fake.ds = &r.conf->ds[0];
	r.memory = channel_create("foo", 0, GENERATION, RING_BYTES);
	r.bell = bell_new();
	must(r.memory >= 0 && r.bell >= 0);
	must(channel_attach(&r.receiver, r.memory, r.bell, r.bell));
	be_born(&r);
	run(&r);
	die(&r);
	channel_detach(&r.receiver);
	close(r.bell);
	close(r.memory);
	return 0;
}
