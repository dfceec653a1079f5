/*
 * test_intake - from the rings into the spool, killed and resumed anywhere
 *
 * Real channels and a real spool; dispatch is played by the test, and a
 * "kill" drops what a worker has in memory and begins anew.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"
#include "event.h"
#include "intake.h"
#include "iso.h"
#include "log.h"
#include "one_ds.h"
#include "partition.h"
#include "quiet_push.h"

#define RECEIVERS 2
#define GENERATION 77
#define NOW_MS INT64_C(1763805600000) /* an hour begins */
#define RING_BYTES (64u * KiB)
#define EVENTS_MAX 100000

static bool disk_fails;

int fdatasync(int fd); /* as liblmdb calls it */

int
fdatasync(int fd)
{
	if (disk_fails) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

struct rig {
	char dir[64], path[80], quarantine[80];
	struct conf *conf;
	struct hand hand;
	struct spool *spool;
	struct delivery *delivery;
	struct intake *intake;
	int memory[RECEIVERS], worker_bell, receiver_bell[RECEIVERS];
	struct channel worker[RECEIVERS], receiver[RECEIVERS];
	int64_t spool_bytes_max;
	uint64_t ring_bytes;
	uint64_t generation;
	uint64_t next_event; /* number of the next event that is written */
};

/* ---- dispatch, as intake sees it ---- */

static struct {
	unsigned partitions; /* of an interval; task.partitions may be less */
	bool is_free; /* of their own interval's tasks */
	unsigned sealed;
	struct spool_entry last;
} fake;

unsigned
dispatch_partitions(const struct dispatch *d, int64_t bucket, bool any_time)
{
	(void)d, (void)bucket;
	assert_int_equal(any_time, fake.is_free);
	return fake.partitions;
}

bool
dispatch_is_spread(const struct dispatch *d)
{
	(void)d;
	return fake.partitions > 1;
}

bool
dispatch_binds(const struct dispatch *d, int64_t event_ms)
{
	(void)d, (void)event_ms;
	return !fake.is_free;
}

unsigned
dispatch_lane(struct dispatch *d, struct interval interval, unsigned partition)
{
	(void)d, (void)interval;
	return partition % 2;
}

void
dispatch_sealed(
    struct dispatch *d, const struct spool_entry *e, char *value, size_t bytes)
{
	struct batch_view v;

	(void)d;
	assert_true(batch_view(value, bytes, &v));
	assert_int_equal(v.header->id, e->id);
	assert_int_equal(v.header->events, e->events);
	assert_int_equal(e->bytes, bytes);
	fake.sealed++;
	fake.last = *e;
	free(value);
}

/* ---- late batches, as intake sees it ---- */

static struct {
	unsigned arrived, copied;
	uint64_t batches; /* in the spool */
	bool copies;
	struct spool_entry last;
} fake_late;

void
late_arrived(struct late *l, const struct spool_entry *e)
{
	(void)l;
	assert_int_equal(e->at.partition, PARTITION_LATE);
	assert_int_equal(e->at.lane, LATE_OPEN_LANE);
	fake_late.arrived++;
	fake_late.batches++;
	fake_late.last = *e;
}

bool
late_copies(const struct late *l, const struct spool_lane *at)
{
	(void)l, (void)at;
	return fake_late.copies;
}

void
late_copy_arrived(struct late *l, const struct spool_entry *e)
{
	(void)l, (void)e;
	fake_late.copied++;
}

uint64_t
late_batches(const struct late *l)
{
	(void)l;
	return fake_late.batches;
}

/* ---- the worker's life ---- */

static void
open_spool(struct rig *r)
{
	struct spool_options o = { .dir = r->path,
		.ds = "foo",
		.bytes_max = r->spool_bytes_max,
		.now_ms = NOW_MS,
		.lock_wait_ms = 1 };
	char error[600];

	r->spool = spool_open(&o, error, sizeof error);
	if (r->spool == NULL)
		fail_msg("%s", error);
}

static void
be_born(struct rig *r)
{
	struct push_parts push = { .ds = &r->conf->ds[0] };
	struct intake_parts parts = { .ds = &r->conf->ds[0],
		.channels = r->worker,
		.channel_count = RECEIVERS,
		.generation = r->generation,
		.hand = &r->hand,
		.quarantine = {
		    .dir = r->quarantine, .ds = "foo", .bytes_max = MiB } };

	open_spool(r);
	for (int i = 0; i < RECEIVERS; i++)
		assert_true(channel_attach(&r->worker[i], r->memory[i],
		    r->worker_bell, r->receiver_bell[i]));
	parts.spool = r->spool;
	parts.delivery = r->delivery = push_new(&push);
	r->intake = intake_new(&parts);
	intake_resume(r->intake);
}

static void
die(struct rig *r)
{
	intake_free(&r->intake);
	delivery_free(&r->delivery);
	for (int i = 0; i < RECEIVERS; i++)
		channel_detach(&r->worker[i]);
	spool_close(&r->spool);
}

static void
make_channels(struct rig *r)
{
	for (int i = 0; i < RECEIVERS; i++) {
		r->memory[i] = channel_create(
		    "foo", (unsigned)i, r->generation, r->ring_bytes);
		assert_true(r->memory[i] >= 0);
		assert_true(channel_attach(&r->receiver[i], r->memory[i],
		    r->worker_bell, r->receiver_bell[i]));
	}
}

static void
drop_channels(struct rig *r)
{
	for (int i = 0; i < RECEIVERS; i++) {
		channel_detach(&r->receiver[i]);
		close(r->memory[i]);
	}
}

/* With other properties, another ring, another limit. */
static void
begin(struct rig *r, const char *properties)
{
	char *all = must_format("\"druid.overlord.url\":\"http://x\"%s%s",
	    properties[0] != '\0' ? "," : "", properties);

	conf_free(&r->conf);
	r->conf = one_ds(NULL, all);
	free(all);
	make_channels(r);
	be_born(r);
}

static int
set_up(void **state)
{
	struct rig *r = must_calloc(1, sizeof *r);

	disk_fails = false;
	memset(&fake, 0, sizeof fake);
	memset(&fake_late, 0, sizeof fake_late);
	fake.partitions = 1;
	strcpy(r->dir, "/tmp/test_intake_XXXXXX");
	if (mkdtemp(r->dir) == NULL)
		return -1;
	snprintf(r->path, sizeof r->path, "%s/foo", r->dir);
	snprintf(r->quarantine, sizeof r->quarantine, "%s/aside", r->dir);
	r->generation = GENERATION;
	r->spool_bytes_max = 64 * (int64_t)MiB;
	r->ring_bytes = RING_BYTES;
	r->worker_bell = bell_new();
	for (int i = 0; i < RECEIVERS; i++)
		r->receiver_bell[i] = bell_new();
	*state = r;
	return 0;
}

static int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st, (void)kind, (void)where;
	return remove(path);
}

static int
tear_down(void **state)
{
	struct rig *r = *state;

	disk_fails = false;
	die(r);
	drop_channels(r);
	close(r->worker_bell);
	for (int i = 0; i < RECEIVERS; i++)
		close(r->receiver_bell[i]);
	conf_free(&r->conf);
	nftw(r->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(r);
	return 0;
}

/* ---- the receiver's part ---- */

struct block {
	unsigned receiver, events, dropped;
	uint64_t ticket;
	int64_t ms; /* of its events */
	size_t padding; /* bytes more in each event */
	int32_t hash;
	bool is_late;
};

/* Writes a block of events with running numbers; false: the ring is full. */
static bool
try_write(struct rig *r, struct block b)
{
	struct channel *c = &r->receiver[b.receiver];
	char text[64];
	size_t one = event_record_bytes(32 + b.padding);
	uint64_t bytes = sizeof(struct event_block) + b.events * one;
	char *at = ring_reserve(&c->events, bytes);
	struct event_block head = { .magic = EVENT_BLOCK_MAGIC,
		.bytes = (uint32_t)bytes,
		.ticket = b.ticket,
		.events = b.events,
		.dropped = { b.dropped } };

	if (at == NULL)
		return false;
	memcpy(at, &head, sizeof head);
	at += sizeof head;
	for (unsigned i = 0; i < b.events; i++, at += one) {
		struct event e = { .timestamp_ms = b.ms,
			.hash = b.hash,
			.bytes = (32 + b.padding) & EVENT_BYTES_MAX,
			.is_late = b.is_late };

		snprintf(text, sizeof text, "{\"event\":%22llu}",
		    (unsigned long long)r->next_event++);
		memset(at + sizeof e, ' ', one - sizeof e);
		memcpy(at, &e, sizeof e);
		memcpy(at + sizeof e, text, 31);
		at[sizeof e + 31 + b.padding] = ' ';
	}
	ring_commit(&c->events, bytes);
	return true;
}

static void
write_block(struct rig *r, struct block b)
{
	if (b.ms == 0)
		b.ms = NOW_MS;
	assert_true(try_write(r, b));
}

static bool
is_free(const struct rig *r, unsigned receiver)
{
	struct channel c = r->receiver[receiver];

	return ring_head(&c.events) == ring_tail(&c.events);
}

/* ---- one turn ---- */

static enum result
commit(struct rig *r)
{
	char error[600];

	spool_begin(r->spool);
	intake_write(r->intake);
	return spool_commit(r->spool, error, sizeof error);
}

static void
seal_and_commit(struct rig *r)
{
	intake_seal(r->intake, NOW_MS);
	assert_int_equal(commit(r), RESULT_OK);
	intake_written(r->intake);
	assert_false(intake_open(r->intake));
}

static void
turn(struct rig *r)
{
	assert_true(intake_drain(r->intake, 0));
	seal_and_commit(r);
}

/* ---- what is in the spool ---- */

static unsigned char seen[EVENTS_MAX];

static void
see_events(const struct batch_view *v)
{
	const char *at = v->body, *end = v->body + v->header->body_bytes;
	unsigned count = 0;

	while ((at = memmem(at, (size_t)(end - at), "\"event\":", 8)) != NULL) {
		uint64_t number = strtoull(at + 8, NULL, 10);

		assert_true(number < EVENTS_MAX);
		seen[number]++;
		at += 8;
		count++;
	}
	assert_int_equal(count, v->header->events);
}

/* Every batch that waits; the events are counted in `seen`. */
static void
see_spool(struct rig *r)
{
	struct spool_entry e;
	struct spool_lane lane;
	const struct spool_lane *behind = NULL;
	unsigned batches, all = 0;

	memset(seen, 0, sizeof seen);
	for (; spool_next_lane(r->spool, behind, &e, &batches);
	     behind = &lane) {
		uint64_t after = 0;

		lane = e.at;
		for (; spool_next(r->spool, &lane, after, &e); after = e.id) {
			struct batch_view v;
			size_t bytes;
			bool damaged;
			char *value =
			    spool_load(r->spool, e.id, &bytes, &damaged);

			assert_non_null(value);
			batch_view_own(value, bytes, &v);
			see_events(&v);
			free(value);
			all++;
		}
	}
	assert_int_equal(all, spool_batches(r->spool));
}

/* All that were written, once. */
static void
expect_all_once(struct rig *r)
{
	see_spool(r);
	for (uint64_t i = 0; i < r->next_event; i++)
		if (seen[i] != 1)
			fail_msg("event %llu is there %u times",
			    (unsigned long long)i, seen[i]);
	assert_int_equal(spool_events(r->spool), r->next_event);
}

static struct batch_view
load_last(struct rig *r, char **value)
{
	struct batch_view v;
	size_t bytes;
	bool damaged;

	*value = spool_load(r->spool, fake.last.id, &bytes, &damaged);
	assert_non_null(*value);
	batch_view_own(*value, bytes, &v);
	return v;
}

static void
check_totals(const struct rig *r, uint64_t received, uint64_t dropped,
    uint64_t quarantined)
{
	const struct spool_totals *t = spool_totals(r->spool);

	assert_int_equal(t->received, received);
	assert_int_equal(t->dropped_window, dropped);
	assert_int_equal(t->quarantined, quarantined);
	/* the accounts add up */
	assert_int_equal(t->received,
	    t->sent + t->dead + t->quarantined + t->dropped_window +
		spool_events(r->spool));
}

/* ---- tests ---- */

static void
test_one_block(void **state)
{
	struct rig *r = *state;
	struct batch_view v;
	char *value;

	begin(r, "");
	assert_int_equal(intake_seal_in_ms(r->intake, 0), -1);
	assert_false(intake_open(r->intake));
	assert_true(intake_newest_ms(r->intake) == INT64_MIN);
	write_block(r, (struct block){ .events = 3, .ticket = 9 });
	assert_true(intake_drain(r->intake, 0));
	assert_true(intake_open(r->intake));
	assert_int_equal(intake_seal_in_ms(r->intake, clock_mono_ms()), 0);
	assert_false(is_free(r, 0)); /* nothing is given back before... */
	intake_seal(r->intake, NOW_MS);
	assert_int_equal(commit(r), RESULT_OK);
	assert_false(is_free(r, 0));
	assert_int_equal(fake.sealed, 0);
	intake_written(r->intake);
	assert_true(is_free(r, 0)); /* ...it is durable and said to be */
	assert_int_equal(r->receiver[0].header->taken_events, 3);
	assert_int_equal(fake.sealed, 1);
	assert_int_equal(fake.last.at.start, NOW_MS);
	assert_int_equal(fake.last.at.end, NOW_MS + ISO_HOUR_MS);
	v = load_last(r, &value);
	assert_int_equal(v.header->generation, GENERATION);
	assert_int_equal(v.header->ticket_count, 1);
	assert_int_equal(v.tickets[0].ticket, 9);
	assert_int_equal(v.tickets[0].events, 3);
	free(value);
	expect_all_once(r);
	check_totals(r, 3, 0, 0);
	assert_int_equal(intake_newest_ms(r->intake), NOW_MS);
	assert_true(intake_newest_ms(r->intake) == INT64_MIN);
}

static void
test_receivers_are_apart(void **state)
{
	struct rig *r = *state;
	struct batch_view v;
	char *value;

	begin(r, "");
	write_block(r, (struct block){ .events = 2, .ticket = 5 });
	write_block(
	    r, (struct block){ .receiver = 1, .events = 3, .ticket = 5 });
	turn(r);
	v = load_last(r, &value); /* one batch of both */
	assert_int_equal(v.header->ticket_count, 2);
	assert_int_equal(v.tickets[0].receiver, 0);
	assert_int_equal(v.tickets[0].events, 2);
	assert_int_equal(v.tickets[1].receiver, 1);
	assert_int_equal(v.tickets[1].events, 3);
	free(value);
	assert_int_equal(r->receiver[1].header->taken_events, 3);
	expect_all_once(r);
}

static void
test_buckets_and_partitions(void **state)
{
	struct rig *r = *state;
	struct spool_entry e;
	struct spool_lane lane;
	const struct spool_lane *behind = NULL;
	unsigned batches, lanes = 0;

	begin(r, "\"task.partitions\":3");
	fake.partitions = 3;
	for (int i = 0; i < 60; i++)
		write_block(r,
		    (struct block){ .events = 1,
			.ms = NOW_MS + (i % 2) * ISO_HOUR_MS + i,
			.hash = i * 77777 });
	turn(r);
	for (; spool_next_lane(r->spool, behind, &e, &batches);
	     behind = &lane) {
		lane = e.at;
		assert_int_equal(batches, 1);
		assert_int_equal(lane.end, lane.start + ISO_HOUR_MS);
		assert_in_range(lane.partition, 0, 2);
		lanes++;
	}
	assert_int_equal(lanes, 6);
	expect_all_once(r);
	assert_int_equal(
	    intake_newest_ms(r->intake), NOW_MS + ISO_HOUR_MS + 59);
}

/* Late events have batches of their own, which nobody waits for. */
static void
test_late(void **state)
{
	struct rig *r = *state;
	struct spool_lane at = { .partition = PARTITION_LATE };
	int64_t hour = NOW_MS - NOW_MS % ISO_HOUR_MS;
	struct batch_view v;
	struct spool_entry e;
	bool damaged;
	size_t bytes;
	char *value;

	begin(r, "");
	write_block(r, (struct block){ .events = 3, .ticket = 7 });
	write_block(
	    r, (struct block){ .events = 2, .ticket = 8, .is_late = true });
	write_block(r, (struct block){ .events = 4, .ticket = 9 });
	turn(r);
	expect_all_once(r);
	assert_int_equal(fake.sealed, 1);
	assert_int_equal(fake.last.events, 7);
	assert_int_equal(fake_late.arrived, 1);
	assert_int_equal(fake_late.last.events, 2);
	assert_int_equal(spool_totals(r->spool)->late, 2);
	assert_int_equal(spool_totals(r->spool)->received, 9);
	at.start = hour;
	at.end = hour + ISO_HOUR_MS;
	assert_true(spool_next(r->spool, &at, 0, &e));
	value = spool_load(r->spool, e.id, &bytes, &damaged);
	assert_non_null(value);
	batch_view_own(value, bytes, &v);
	assert_int_equal(v.header->ticket_count, 0);
	free(value);
}

/* One block with late events of more intervals than may be open. */
static void
test_many_late_intervals(void **state)
{
	enum { MANY = 300 };
	struct rig *r = *state;

	begin(r, "");
	for (int i = 0; i < MANY; i++)
		write_block(r,
		    (struct block){ .events = 1,
			.ms = NOW_MS - i * ISO_HOUR_MS,
			.is_late = true });
	write_block(r, (struct block){ .events = 1 });
	assert_true(intake_drain(r->intake, 0));
	/* a commit of something else must not bring a part of them */
	assert_int_equal(commit(r), RESULT_OK);
	intake_written(r->intake);
	assert_int_equal(spool_batches(r->spool), 0);
	seal_and_commit(r);
	assert_int_equal(spool_batches(r->spool), MANY + 1);
	expect_all_once(r);
	assert_int_equal(fake_late.arrived, MANY);
	assert_int_equal(intake_newest_ms(r->intake), NOW_MS);
}

static void
test_copies(void **state)
{
	struct rig *r = *state;
	struct spool_entry e;

	begin(r, "");
	fake_late.copies = true;
	write_block(r, (struct block){ .events = 3 });
	turn(r);
	assert_int_equal(fake_late.copied, 1);
	assert_true(spool_next_copy(r->spool, NULL, 0, &e));
	assert_int_equal(e.events, 3);
	assert_int_equal(e.id, fake.last.id);
}

/* With events that no interval binds, one batch has all times, and the
 * interval of the clock; one that is bound goes to its own. */
static void
test_any_time(void **state)
{
	struct rig *r = *state;
	int64_t before = clock_wall_ms() - ISO_HOUR_MS;

	begin(r, "\"task.type\":\"index_realtime_appenderator\"");
	fake.is_free = true;
	write_block(r, (struct block){ .events = 2, .ms = 1 });
	write_block(r, (struct block){ .events = 3, .ms = NOW_MS });
	write_block(r, (struct block){ .events = 4, .ms = -1 });
	turn(r);
	assert_int_equal(fake.sealed, 1);
	assert_int_equal(fake.last.events, 9);
	assert_int_equal(fake.last.at.partition, PARTITION_ANY_TIME);
	assert_true(fake.last.at.start > before);
	assert_int_equal(fake.last.at.end - fake.last.at.start, ISO_HOUR_MS);
	fake.is_free = false;
	write_block(r, (struct block){ .events = 1, .ms = NOW_MS });
	turn(r);
	assert_int_equal(fake.sealed, 2);
	assert_int_equal(fake.last.at.partition, 0);
	assert_true(fake.last.at.start <= NOW_MS && fake.last.at.end > NOW_MS);
}

static void
test_batch_limits(void **state)
{
	struct rig *r = *state;
	char *value;
	struct batch_view v;

	begin(r,
	    "\"tranquility.maxBatchSize\":10,"
	    "\"druidBeam.firehoseChunkSize\":4");
	write_block(r, (struct block){ .events = 25 });
	assert_true(intake_drain(r->intake, 0));
	assert_int_equal(intake_seal_in_ms(r->intake, 0), 0); /* full ones */
	seal_and_commit(r);
	assert_int_equal(spool_batches(r->spool), 3);
	expect_all_once(r);
	assert_int_equal(fake.last.events, 5);
	v = load_last(r, &value);
	assert_int_equal(v.header->chunk_count, 2);
	free(value);
}

static void
test_batch_bytes(void **state)
{
	struct rig *r = *state;

	begin(r, "\"tranquility.maxBatchBytes\":1024");
	/* of 532 bytes: one fits, two do not; a larger one is alone */
	write_block(r, (struct block){ .events = 4, .padding = 500 });
	write_block(r, (struct block){ .events = 1, .padding = 5000 });
	turn(r);
	assert_int_equal(spool_batches(r->spool), 5);
	expect_all_once(r);
}

static void
check_linger(struct rig *r, int64_t least, int64_t most)
{
	int64_t in = intake_seal_in_ms(r->intake, clock_mono_ms());

	assert_in_range(in, least, most);
}

static void
test_linger(void **state)
{
	struct rig *r = *state;
	int64_t now;

	begin(r,
	    "\"tranquility.lingerMillis\":900,"
	    "\"tranquility.maxBatchSize\":10");
	write_block(r, (struct block){ .events = 1 });
	assert_true(intake_drain(r->intake, 0));
	check_linger(r, 1, 900);
	now = clock_mono_ms();
	assert_int_equal(intake_seal_in_ms(r->intake, now + 900), 0);
	/* a commit of something else leaves the open batch alone */
	assert_int_equal(commit(r), RESULT_OK);
	intake_written(r->intake);
	assert_true(intake_open(r->intake));
	assert_false(is_free(r, 0));
	assert_int_equal(spool_batches(r->spool), 0);
	check_totals(r, 0, 0, 0);
	write_block(r, (struct block){ .events = 9 }); /* full */
	assert_true(intake_drain(r->intake, 0));
	check_linger(r, 0, 0);
	seal_and_commit(r);
	/* a synchronous request flushes */
	write_block(r, (struct block){ .events = 1, .ticket = 3 });
	assert_true(intake_drain(r->intake, 0));
	check_linger(r, 0, 0);
	seal_and_commit(r);
	/* half of a ring waits: its receiver must not run dry */
	write_block(r, (struct block){ .events = 2, .padding = 10000 });
	write_block(r, (struct block){ .events = 2, .padding = 10000 });
	assert_true(intake_drain(r->intake, 0));
	check_linger(r, 0, 0);
	seal_and_commit(r);
	expect_all_once(r);
}

static void
check_linger_until_full(struct rig *r, const char *properties)
{
	begin(r, properties);
	write_block(r, (struct block){ .events = 1 });
	assert_true(intake_drain(r->intake, 0));
	check_linger(r, 1, 1000); /* clients wait for the commit */
	write_block(r, (struct block){ .events = 1, .ticket = 8 });
	assert_true(intake_drain(r->intake, 0));
	check_linger(r, 0, 0); /* a synchronous request flushes */
	seal_and_commit(r);
	write_block(r, (struct block){ .events = 9 });
	assert_true(intake_drain(r->intake, 0));
	check_linger(r, 1, 1000);
	write_block(r, (struct block){ .events = 1 });
	assert_true(intake_drain(r->intake, 0));
	check_linger(r, 0, 0);
	seal_and_commit(r);
	expect_all_once(r);
}

static void
test_linger_until_full(void **state)
{
	check_linger_until_full(*state,
	    "\"tranquility.lingerMillis\":-1,"
	    "\"tranquility.maxBatchSize\":10");
}

/* Clients get their answers long before it is over. */
static void
test_long_linger(void **state)
{
	check_linger_until_full(*state,
	    "\"tranquility.lingerMillis\":900000,"
	    "\"tranquility.maxBatchSize\":10");
}

/* A share whose events were all dropped is a block without events. */
static void
test_dropped_only(void **state)
{
	struct rig *r = *state;

	begin(r, "\"tranquility.lingerMillis\":1000000");
	write_block(r, (struct block){ .dropped = 7 });
	assert_true(intake_drain(r->intake, 0));
	check_linger(r, 0, 0); /* there is nothing to linger for */
	seal_and_commit(r);
	assert_true(is_free(r, 0));
	assert_int_equal(spool_batches(r->spool), 0);
	assert_int_equal(r->receiver[0].header->taken_dropped, 7);
	check_totals(r, 7, 7, 0);
	write_block(r, (struct block){ .events = 2, .dropped = 1 });
	turn(r);
	check_totals(r, 10, 8, 0);
}

/* ---- killed ---- */

static void
test_killed_before_commit(void **state)
{
	struct rig *r = *state;

	begin(r, "");
	write_block(r, (struct block){ .events = 3 });
	turn(r);
	write_block(r, (struct block){ .events = 4 });
	write_block(r, (struct block){ .receiver = 1, .events = 5 });
	assert_true(intake_drain(r->intake, 0));
	intake_seal(r->intake, NOW_MS);
	die(r);
	be_born(r);
	assert_false(is_free(r, 0));
	assert_false(is_free(r, 1));
	check_totals(r, 3, 0, 0);
	turn(r);
	assert_true(is_free(r, 0) && is_free(r, 1));
	expect_all_once(r);
	check_totals(r, 12, 0, 0);
	assert_int_equal(r->receiver[0].header->taken_events, 7);
}

static bool
rang(int bell)
{
	struct pollfd p = { .fd = bell, .events = POLLIN };
	bool is = poll(&p, 1, 0) > 0;

	bell_silence(bell);
	return is;
}

static void
test_killed_before_advance(void **state)
{
	struct rig *r = *state;

	begin(r, "");
	write_block(r, (struct block){ .events = 4, .dropped = 2 });
	assert_true(intake_drain(r->intake, 0));
	intake_seal(r->intake, NOW_MS);
	assert_int_equal(commit(r), RESULT_OK);
	die(r); /* durable, and nobody has been told */
	assert_false(is_free(r, 0));
	assert_true(channel_receiver_may_sleep(
	    &r->receiver[0], ring_head(&r->receiver[0].events)));
	rang(r->receiver_bell[0]);
	be_born(r);
	assert_true(is_free(r, 0));
	assert_true(rang(r->receiver_bell[0]));
	assert_int_equal(r->receiver[0].header->taken_events, 4);
	assert_int_equal(r->receiver[0].header->taken_dropped, 2);
	assert_true(intake_drain(r->intake, 0));
	assert_false(intake_open(r->intake)); /* nothing is read twice */
	write_block(r, (struct block){ .events = 1 });
	turn(r);
	expect_all_once(r);
	check_totals(r, 7, 2, 0);
}

/* The announcement of the receiver is answered also when the attaching alone
 * would not have been heard: it slept after that. */
static void
test_resume_rings(void **state)
{
	struct rig *r = *state;

	begin(r, "");
	write_block(r, (struct block){ .events = 4 });
	assert_true(intake_drain(r->intake, 0));
	assert_true(channel_receiver_may_sleep(
	    &r->receiver[0], ring_head(&r->receiver[0].events)));
	rang(r->receiver_bell[0]);
	intake_resume(r->intake);
	assert_true(rang(r->receiver_bell[0]));
	turn(r);
	expect_all_once(r);
}

static void
test_commit_fails(void **state)
{
	struct rig *r = *state;
	char error[600];
	uint64_t id;

	begin(r, "");
	write_block(r, (struct block){ .events = 3 });
	turn(r);
	write_block(r, (struct block){ .events = 4, .dropped = 1 });
	assert_true(intake_drain(r->intake, 0));
	intake_seal(r->intake, NOW_MS);
	disk_fails = true;
	assert_int_equal(commit(r), RESULT_RETRY);
	disk_fails = false;
	assert_false(is_free(r, 0));
	assert_true(spool_reopen(r->spool, error, sizeof error));
	intake_resume(r->intake);
	assert_false(intake_open(r->intake));
	id = fake.last.id;
	turn(r); /* the same again, from the ring */
	assert_true(fake.last.id >= id + 7); /* no id comes twice */
	expect_all_once(r);
	check_totals(r, 8, 1, 0);
	assert_int_equal(r->receiver[0].header->taken_events, 7);
}

/* A new supervisor: new rings, to which the old cursor says nothing. */
static void
test_new_generation(void **state)
{
	struct rig *r = *state;

	begin(r, "");
	write_block(r, (struct block){ .events = 3 });
	turn(r);
	write_block(r, (struct block){ .events = 9 });
	turn(r);
	die(r);
	drop_channels(r);
	r->generation++;
	make_channels(r);
	write_block(r, (struct block){ .events = 2 });
	be_born(r);
	assert_int_equal(r->receiver[0].header->taken_events, 0);
	turn(r);
	expect_all_once(r);
	assert_int_equal(r->receiver[0].header->taken_events, 2);
}

/* Whatever is done in whatever order, and killed between any two steps: every
 * event is in the spool once. */
static void
test_random_kills(void **state)
{
	struct rig *r = *state;
	uint64_t accepted = 0;

	begin(r, "\"tranquility.maxBatchSize\":7,\"task.partitions\":2");
	fake.partitions = 2;
	srand(12345);
	for (int i = 0; i < 1500; i++) {
		struct block b = { .receiver = (unsigned)rand() % RECEIVERS,
			.events = (unsigned)rand() % 5,
			.hash = rand(),
			.ms = NOW_MS + rand() % 2 * ISO_HOUR_MS };
		int step = rand() % 12;

		if (try_write(r, b))
			accepted += b.events;
		if (step > 6)
			assert_true(intake_drain(r->intake, 0));
		if (step > 7)
			intake_seal(r->intake, NOW_MS);
		if (step > 8)
			assert_int_equal(commit(r), RESULT_OK);
		if (step > 9)
			intake_written(r->intake);
		/* a commit may not come again without the first one's end */
		if ((step == 9 || step < 2) && rand() % 2 == 0) {
			die(r);
			be_born(r);
		} else if (step == 9) {
			intake_written(r->intake);
		}
	}
	turn(r);
	assert_int_equal(accepted, r->next_event);
	expect_all_once(r);
	assert_true(is_free(r, 0) && is_free(r, 1));
}

/* ---- damaged rings ---- */

static void
test_damaged_block(void **state)
{
	struct rig *r = *state;
	char *at;
	struct event e;

	begin(r, "");
	at = ring_reserve(&r->receiver[0].events, 8);
	write_block(r, (struct block){ .events = 5, .dropped = 2 });
	at += sizeof(struct event_block) + 2 * event_record_bytes(32);
	memcpy(&e, at, sizeof e);
	e.bytes = 100000; /* the third one's length */
	memcpy(at, &e, sizeof e);
	write_block(r, (struct block){ .events = 1 });
	turn(r);
	see_spool(r);
	assert_int_equal(seen[0] + seen[1] + seen[5], 3);
	assert_int_equal(spool_events(r->spool), 3);
	check_totals(r, 8, 2, 3);
	assert_true(is_free(r, 0));
}

static void
test_garbage(void **state)
{
	struct rig *r = *state;
	void *at;

	begin(r, "");
	write_block(r, (struct block){ .events = 2 });
	at = ring_reserve(&r->receiver[0].events, 4096);
	memset(at, 'g', 4096);
	/* it said that these were five */
	atomic_store(&r->receiver[0].header->offered_events, 2 + 5);
	ring_commit(&r->receiver[0].events, 4096);
	write_block(r, (struct block){ .receiver = 1, .events = 3 });
	turn(r);
	assert_true(is_free(r, 0) && is_free(r, 1));
	write_block(r, (struct block){ .events = 4 }); /* it goes on */
	turn(r);
	expect_all_once(r);
	check_totals(r, 9 + 5, 0, 5);
	/* less than a header */
	at = ring_reserve(&r->receiver[0].events, 8);
	memset(at, 'g', 8);
	ring_commit(&r->receiver[0].events, 8);
	turn(r);
	assert_true(is_free(r, 0));
}

/* More intervals than batches may be open: the oldest are sealed meanwhile. */
static void
test_many_intervals(void **state)
{
	struct rig *r = *state;

	r->ring_bytes = 256u * KiB;
	begin(r, "");
	for (int i = 0; i < 1500; i++)
		write_block(r,
		    (struct block){
			.events = 1, .ms = NOW_MS + i * INT64_C(3600000) });
	turn(r);
	assert_true(is_free(r, 0));
	assert_int_equal(spool_batches(r->spool), 1500);
	expect_all_once(r);
	check_totals(r, 1500, 0, 0);
}

/* Where the worker is in the ring stands in memory that the receiver may
 * write. */
static void
test_impossible_position(void **state)
{
	struct rig *r = *state;
	struct ring_control *c;

	begin(r, "");
	c = r->receiver[0].events.control;
	write_block(r, (struct block){ .events = 2 });
	turn(r);
	write_block(r, (struct block){ .events = 3 });
	r->next_event -= 3; /* they will be lost */
	atomic_store(&r->receiver[0].header->offered_events, 2 + 3);
	atomic_store(&c->head, atomic_load(&c->tail));
	die(r);
	be_born(r);
	turn(r);
	assert_true(is_free(r, 0));
	write_block(r, (struct block){ .events = 4 }); /* it goes on */
	turn(r);
	expect_all_once(r);
	check_totals(r, 6 + 3, 0, 3);
}

/* ---- bounds ---- */

static void
empty_spool(struct rig *r)
{
	struct spool_entry e;
	unsigned batches;
	char error[600];

	while (spool_next_lane(r->spool, NULL, &e, &batches)) {
		spool_begin(r->spool);
		spool_remove(r->spool, &e);
		assert_int_equal(
		    spool_commit(r->spool, error, sizeof error), RESULT_OK);
	}
}

static void
test_full_spool(void **state)
{
	struct rig *r = *state;
	unsigned blocks = 0;

	r->spool_bytes_max = 100 * KiB;
	begin(r, "");
	for (;; blocks++) {
		write_block(r, (struct block){ .events = 2, .padding = 5000 });
		if (!intake_drain(r->intake, 0))
			break;
		if (intake_open(r->intake))
			seal_and_commit(r);
	}
	assert_in_range(blocks, 8, 10);
	assert_false(is_free(r, 0)); /* it waits there */
	assert_true(spool_bytes(r->spool) <= 100 * KiB);
	assert_false(intake_drain(r->intake, 0));
	assert_false(intake_open(r->intake));
	write_block(r, (struct block){ .receiver = 1, .dropped = 1 });
	empty_spool(r);
	turn(r);
	assert_true(is_free(r, 0));
	assert_int_equal(spool_events(r->spool), 2);
	check_totals(r, 2 * blocks + 3, 1, 0);
}

/* One that is larger than the spool's limit comes in when there is nothing
 * else: it would wait for ever. */
static void
test_block_larger_than_spool(void **state)
{
	struct rig *r = *state;

	r->spool_bytes_max = 10 * KiB;
	begin(r, "");
	write_block(r, (struct block){ .events = 1 });
	write_block(r, (struct block){ .events = 3, .padding = 5000 });
	assert_false(intake_drain(r->intake, 0));
	seal_and_commit(r);
	assert_false(intake_drain(r->intake, 0));
	empty_spool(r);
	turn(r);
	assert_int_equal(spool_events(r->spool), 3);
	write_block(r, (struct block){ .events = 3, .padding = 5000 });
	assert_false(intake_drain(r->intake, 0));
}

/* Not more in one turn than one commit should bring to the disk, and no
 * receiver waits for another one's backlog. */
static void
test_turn_is_bounded(void **state)
{
	struct rig *r = *state;
	unsigned turns = 0;

	r->ring_bytes = 16 * MiB;
	begin(r, "");
	while (try_write(
	    r, (struct block){ .events = 10, .padding = 10000, .ms = NOW_MS }))
		;
	write_block(r, (struct block){ .receiver = 1, .events = 1 });
	for (; !is_free(r, 0); turns++) {
		uint64_t before = spool_bytes(r->spool);

		turn(r);
		assert_true(is_free(r, 1));
		assert_in_range(spool_bytes(r->spool) - before, 1, 5 * MiB);
	}
	assert_in_range(turns, 4, 5);
	expect_all_once(r);
}

static int
quiet(void **state)
{
	(void)state;
	log_use(open("/dev/null", O_WRONLY | O_CLOEXEC), LOG_LEVEL_ERROR,
	    LOG_FORMAT_TEXT);
	return 0;
}

/* What kills when its batch is sealed, turns after it was read, is told of. */
static void
test_in_hand_at_the_seal(void **state)
{
	struct rig *r = *state;

	begin(r, "\"tranquility.lingerMillis\":1000");
	write_block(r, (struct block){ .events = 1 });
	assert_true(intake_drain(r->intake, 0));
	hand_drop(&r->hand); /* the turn ends */
	assert_true(intake_drain(r->intake, 0));
	seal_and_commit(r);
	hand_died(&r->hand, SIGKILL, true, 0); /* it hangs there */
	assert_int_equal(r->hand.deaths, 1);
	assert_int_equal(r->hand.suspect.kind, HAND_BLOCK);
	assert_int_equal(r->hand.suspect.event, HAND_WHOLE);
}

/* How often the event is in that file; -1: there is no such file. */
static int
times_aside(struct rig *r, const char *file, unsigned event)
{
	char *path = must_format("%s/%s", r->quarantine, file);
	char line[400], text[40];
	FILE *f = fopen(path, "r");
	int times = 0;

	free(path);
	if (f == NULL)
		return -1;
	snprintf(text, sizeof text, "\"event\":%22u", event);
	while (fgets(line, sizeof line, f) != NULL)
		times += strstr(line, text) != NULL;
	fclose(f);
	return times;
}

/* A block that has many events that kill is given up; those that were condemned
 * before are not set aside a second time. */
static void
test_condemned_block(void **state)
{
	struct rig *r = *state;
	static const uint32_t bad[] = { 1, 3, 5, HAND_WHOLE };
	struct hand_item item = { .kind = HAND_BLOCK,
		.generation = GENERATION };

	begin(r, "");
	item.key = ring_head(&r->worker[0].events);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		item.event = bad[i];
		item.signal = SIGILL;
		r->hand.condemned[r->hand.condemned_count++] = item;
	}
	write_block(r, (struct block){ .events = 8 });
	write_block(r, (struct block){ .events = 2 });
	turn(r);
	check_totals(r, 10, 0, 8);
	assert_int_equal(r->hand.condemned_count, 0);
	for (unsigned i = 0; i < 8; i++) {
		char whole[64], one[64];
		bool alone = i == 1 || i == 3 || i == 5;

		snprintf(whole, sizeof whole, "ring-%d-0-%llu.json", GENERATION,
		    (unsigned long long)item.key);
		snprintf(one, sizeof one, "ring-%d-0-%llu-%u.json", GENERATION,
		    (unsigned long long)item.key, i);
		assert_int_equal(times_aside(r, whole, i), !alone);
		assert_int_equal(times_aside(r, one, i), alone ? 1 : -1);
	}
}

#define INTAKE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		INTAKE_TEST(test_one_block),
		INTAKE_TEST(test_receivers_are_apart),
		INTAKE_TEST(test_buckets_and_partitions),
		INTAKE_TEST(test_late),
		INTAKE_TEST(test_many_late_intervals),
		INTAKE_TEST(test_copies),
		INTAKE_TEST(test_any_time),
		INTAKE_TEST(test_batch_limits),
		INTAKE_TEST(test_batch_bytes),
		INTAKE_TEST(test_linger),
		INTAKE_TEST(test_linger_until_full),
		INTAKE_TEST(test_long_linger),
		INTAKE_TEST(test_dropped_only),
		INTAKE_TEST(test_killed_before_commit),
		INTAKE_TEST(test_killed_before_advance),
		INTAKE_TEST(test_resume_rings),
		INTAKE_TEST(test_commit_fails),
		INTAKE_TEST(test_new_generation),
		INTAKE_TEST(test_random_kills),
		INTAKE_TEST(test_damaged_block),
		INTAKE_TEST(test_garbage),
		INTAKE_TEST(test_impossible_position),
		INTAKE_TEST(test_many_intervals),
		INTAKE_TEST(test_full_spool),
		INTAKE_TEST(test_block_larger_than_spool),
		INTAKE_TEST(test_turn_is_bounded),
		INTAKE_TEST(test_in_hand_at_the_seal),
		INTAKE_TEST(test_condemned_block),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
