/*
 * test_log_delivery - batches into the log, out of it, and what feeds are told
 *
 * A real spool and a real page; late batches and what Druid has committed are
 * played by the test.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "channel.h"
#include "clock.h"
#include "event.h"
#include "log_delivery.h"
#include "log_layout.h"
#include "one_ds.h"
#include "panic.h"
#include "partition.h"
#include "spool_dead.h"
#include "spool_log.h"

#define NOW INT64_C(1700000000000)
#define BEGIN begin_at

static unsigned late_lanes;
static uint64_t begin_at; /* the first offset of all partitions */

void
late_replay_lane(struct late *l UNUSED, const struct spool_lane *at)
{
	assert_int_equal(at->partition, PARTITION_LATE);
	late_lanes++;
}

/* What Druid has committed, and what the care has heard. */
static struct pull_care {
	uint64_t floor[LOG_PAGE_PARTITIONS_MAX];
	bool wants, is_settled, retires;
	bool peers_due, peers_are_first;
	struct log_peers peers;
	unsigned writes, held;
	bool begun;
	unsigned partitions;
} care;

void
pull_care_begin(struct pull_care *c)
{
	c->begun = true;
}

unsigned
pull_care_partitions(const struct pull_care *c)
{
	return c->partitions;
}

bool
pull_care_wants_commit(struct pull_care *c)
{
	return c->wants;
}

void
pull_care_write(struct pull_care *c)
{
	c->writes++;
}

void
pull_care_written(struct pull_care *c)
{
	c->wants = false;
}

void
pull_care_hold(struct pull_care *c)
{
	c->held++;
}

void
pull_care_retire(struct pull_care *c, bool on)
{
	c->retires = on;
}

bool
pull_care_is_retired(const struct pull_care *c)
{
	return c->retires;
}

bool
pull_care_peers(struct pull_care *c, struct log_peers *to, bool *is_first)
{
	*to = c->peers;
	*is_first = c->peers_are_first;
	return c->peers_due;
}

bool
pull_care_is_settled(const struct pull_care *c)
{
	return c->is_settled;
}

uint64_t
pull_care_floor(const struct pull_care *c, unsigned partition)
{
	return c->floor[partition];
}

uint64_t
pull_care_known(const struct pull_care *c, unsigned partition)
{
	return c->floor[partition];
}

void
pull_care_describe(const struct pull_care *c UNUSED, struct json *to UNUSED,
    struct json *notes UNUSED)
{
}

bool
pull_care_changed(struct pull_care *c UNUSED)
{
	return false;
}

struct rig {
	char dir[64], path[80];
	struct conf *conf;
	struct spool *spool;
	struct acks *acks;
	struct channel channel;
	int page_fd, bell, memory;
	struct log_page *worker, *feed;
	struct delivery *d;
};

static void
be_born(struct rig *r)
{
	struct spool_options o = { .dir = r->path,
		.ds = "foo",
		.bytes_max = 64 * (int64_t)MiB,
		.now_ms = NOW,
		.lock_wait_ms = 1 };
	struct log_delivery_parts parts = { .ds = &r->conf->ds[0],
		.acks = r->acks,
		.page = r->worker,
		.care = &care,
		.feed_bell = r->bell };
	char error[600];

	r->spool = spool_open(&o, error, sizeof error);
	if (r->spool == NULL)
		fail_msg("%s", error);
	parts.spool = r->spool;
	r->d = log_delivery_new(&parts);
	r->d->table->replay(r->d);
}

static void
die(struct rig *r)
{
	delivery_free(&r->d);
	spool_close(&r->spool);
}

static void
commit(struct rig *r)
{
	char error[600];

	if (spool_commit(r->spool, error, sizeof error) != RESULT_OK)
		fail_msg("%s", error);
}

static void
commit_own(struct rig *r)
{
	spool_begin(r->spool);
	r->d->table->write(r->d);
	commit(r);
	r->d->table->written(r->d);
}

static int
set_up_with(void **state, const char *properties)
{
	struct rig *r = must_calloc(1, sizeof *r);

	care = (struct pull_care){ .begun = false };
	strcpy(r->dir, "/tmp/test_log_del_XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	snprintf(r->path, sizeof r->path, "%s/spool", r->dir);
	r->conf = one_ds(NULL, properties);
	care.partitions = (unsigned)r->conf->ds[0].pull_partitions;
	r->page_fd = log_page_create();
	r->worker = log_page_attach(r->page_fd);
	r->feed = log_page_attach(r->page_fd);
	r->bell = bell_new();
	r->memory = channel_create("foo", 0, 7, 65536);
	assert_true(channel_attach(&r->channel, r->memory, r->bell, r->bell));
	bell_silence(r->bell);
	r->acks = acks_new(&r->channel, 1, 7);
	be_born(r);
	/* it has its partitions before any event */
	assert_false(r->d->table->wants_commit(r->d));
	begin_at = spool_log_range(r->spool, 0).start;
	late_lanes = 0;
	*state = r;
	return 0;
}

static int
set_up(void **state)
{
	return set_up_with(state, "\"druid.overlord.url\":\"http://x\"");
}

static int
set_up_spread(void **state)
{
	return set_up_with(state,
	    "\"druid.overlord.url\":\"http://x\",\"pull.partitions\":2,"
	    "\"pull.compression\":\"lz4\"");
}

static int
tear_down(void **state)
{
	struct rig *r = *state;
	char *command = must_format("rm -r %s", r->dir);

	die(r);
	acks_free(&r->acks);
	channel_detach(&r->channel);
	log_page_detach(&r->worker);
	log_page_detach(&r->feed);
	close(r->page_fd);
	close(r->bell);
	close(r->memory);
	conf_free(&r->conf);
	assert_int_equal(system(command), 0);
	free(command);
	free(r);
	return 0;
}

/* As intake and worker do it: `count` events with that hash. */
static struct delivery_batch
deliver(struct rig *r, unsigned count, int32_t hash)
{
	const struct delivery_table *t = r->d->table;
	struct event e = { .timestamp_ms = NOW, .hash = hash, .bytes = 2 };
	struct interval bucket;
	struct delivery_batch sealed = { .value = NULL };
	struct batch *b;

	t->begin(r->d);
	b = t->open(r->d, t->route(r->d, &e, &bucket), bucket);
	assert_true(e.timestamp_ms >= bucket.start);
	assert_true(e.timestamp_ms < bucket.end);
	for (unsigned i = 0; i < count; i++) {
		assert_true(i == 0 || t->keeps(r->d, &e, b));
		batch_add(b, &e, "{}", 5, 0);
	}
	t->seal(r->d, &b, NOW, &sealed);
	assert_null(b);
	assert_int_equal(sealed.entry.events, count);
	spool_begin(r->spool);
	t->put(r->d, &sealed);
	t->write(r->d);
	commit(r);
	t->written(r->d);
	t->durable(r->d, &sealed);
	return sealed;
}

static void
assert_told(struct rig *r, unsigned partition, uint64_t start, uint64_t end)
{
	struct log_range told = log_page_range(r->feed, partition);

	assert_int_equal(told.start, start);
	assert_int_equal(told.end, end);
}

/* Of a log that has begun by the clock. */
static void
assert_told_events(struct rig *r, uint64_t events)
{
	struct log_range range = spool_log_range(r->spool, 0);

	assert_int_equal(range.end - range.start, events);
	assert_told(r, 0, range.start, range.end);
}

static bool
rang(struct rig *r)
{
	uint64_t count;

	return read(r->bell, &count, sizeof count) == (ssize_t)sizeof count;
}

static void
test_feeds_are_told(void **state)
{
	struct rig *r = *state;
	char identity[LOG_PAGE_IDENTITY_BYTES];
	uint64_t opening = log_page_opening(r->feed, identity);

	assert_true(opening > 0);
	assert_string_equal(identity, spool_log_identity(r->spool));
	assert_told(r, 0, BEGIN, BEGIN);
	assert_true((clock_wall_ms() / 1000 - (int64_t)(BEGIN >> 22)) < 60);
	assert_true(r->d->table->answers_durable(r->d));
	log_page_await(r->feed);
	assert_int_equal(deliver(r, 3, 0).entry.id, BEGIN);
	assert_true(rang(r));
	assert_told(r, 0, BEGIN, BEGIN + 3);
	assert_int_equal(deliver(r, 4, 0).entry.id, BEGIN + 3);
	assert_false(rang(r)); /* nobody waits */
	assert_told(r, 0, BEGIN, BEGIN + 7);
	assert_int_equal(log_page_opening(r->feed, NULL), opening);
	/* a successor */
	die(r);
	be_born(r);
	/* one opening: a feed that has opened its view at once has it */
	assert_int_equal(log_page_opening(r->feed, NULL), opening + 2);
	assert_told(r, 0, BEGIN, BEGIN + 7);
}

/* With whom the topic is shared; what a predecessor has told holds until more is
 * known. */
static void
test_peers_are_told(void **state)
{
	static struct log_peers seen;
	struct rig *r = *state;
	uint64_t version = 0;

	r->d->table->run(r->d);
	assert_false(log_page_peers(r->feed, &version, &seen));
	care.peers.is_shared = care.peers_due = care.peers_are_first = true;
	r->d->table->run(r->d);
	assert_true(log_page_peers(r->feed, &version, &seen));
	assert_true(seen.is_shared);
	assert_int_equal(seen.count, 0);
	care.peers_are_first = false;
	care.peers.count = 3;
	assert_true(log_page_await(r->feed));
	bell_silence(r->bell);
	r->d->table->run(r->d);
	assert_true(log_page_await(r->feed)); /* it has rung */
	assert_true(log_page_peers(r->feed, &version, &seen));
	assert_int_equal(seen.count, 3);
	care.peers_are_first = true;
	care.peers.count = 0;
	r->d->table->run(r->d);
	assert_false(log_page_peers(r->feed, &version, &seen));
	/* of one that was ours alone nothing holds */
	care.peers_due = true;
	care.peers.is_shared = care.peers_are_first = false;
	r->d->table->run(r->d);
	assert_true(log_page_peers(r->feed, &version, &seen));
	assert_false(seen.is_shared);
	care.peers.is_shared = care.peers_are_first = care.peers_due = true;
	r->d->table->run(r->d);
	assert_true(log_page_peers(r->feed, &version, &seen));
	assert_true(seen.is_shared);
	assert_int_equal(seen.count, 0);
}

static void
test_what_is_released_leaves(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 3; i++)
		deliver(r, 10, 0);
	assert_false(r->d->table->wants_commit(r->d));
	care.floor[0] = BEGIN + 15;
	assert_true(r->d->table->wants_commit(r->d));
	commit_own(r);
	assert_told(r, 0, BEGIN + 10, BEGIN + 30);
	assert_false(r->d->table->wants_commit(r->d));
	/* never down */
	care.floor[0] = BEGIN + 5;
	assert_false(r->d->table->wants_commit(r->d));
	assert_told(r, 0, BEGIN + 10, BEGIN + 30);
	care.floor[0] = BEGIN + 30;
	commit_own(r);
	assert_told(r, 0, BEGIN + 30, BEGIN + 30);
	assert_int_equal(spool_totals(r->spool)->sent, 30);
	assert_int_equal(spool_events(r->spool), 0);
}

/* A floor that is taken back before it is reached holds at once. */
static void
test_nothing_more_leaves(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 3; i++)
		deliver(r, 10, 0);
	care.floor[0] = BEGIN + 20;
	assert_true(r->d->table->wants_commit(r->d));
	care.floor[0] = 0;
	assert_false(r->d->table->wants_commit(r->d));
	deliver(r, 10, 0);
	commit_own(r);
	assert_told(r, 0, BEGIN, BEGIN + 40);
}

static void
test_care(void **state)
{
	struct rig *r = *state;
	unsigned writes = care.writes;

	assert_true(care.begun);
	care.wants = true;
	assert_true(r->d->table->wants_commit(r->d));
	commit_own(r);
	assert_int_equal(care.writes, writes + 1);
	assert_false(r->d->table->wants_commit(r->d));
	assert_false(r->d->table->is_settled(r->d));
	care.is_settled = true;
	assert_true(r->d->table->is_settled(r->d));
	r->d->table->hold(r->d);
	assert_int_equal(care.held, 1);
}

static void
await_second_after(uint64_t offset)
{
	while ((uint64_t)(clock_wall_ms() / 1000) <= offset >> LOG_FIRST_SHIFT)
		usleep(10000);
}

static void
test_who_asks_beyond_moves_the_end(void **state)
{
	struct rig *r = *state;
	uint64_t end;

	deliver(r, 3, 0);
	log_page_note_beyond(r->feed, 0, BEGIN + 3); /* that is its end */
	assert_int_equal(deliver(r, 3, 0).entry.id, BEGIN + 3);
	log_page_note_beyond(r->feed, 0, BEGIN + 1000);
	await_second_after(BEGIN); /* the clock is the measure */
	assert_true(deliver(r, 3, 0).entry.id >=
	    BEGIN + (UINT64_C(1) << LOG_FIRST_SHIFT));
	/* and once only */
	end = spool_log_range(r->spool, 0).end;
	await_second_after(end);
	assert_int_equal(deliver(r, 3, 0).entry.id, end);
}

static void
test_spread_over_partitions(void **state)
{
	struct rig *r = *state;
	uint64_t other;

	assert_true(r->d->table->is_spread(r->d));
	for (int32_t hash = 0; hash < 100; hash++)
		deliver(r, 10, hash * 7919);
	other = spool_log_range(r->spool, 1).end - BEGIN;
	assert_true(other > 100 && other < 900);
	assert_told(r, 0, BEGIN, BEGIN + 1000 - other);
	assert_told(r, 1, BEGIN, BEGIN + other);
	assert_told(r, 2, 0, 0);
}

/* ---- out of the queue ---- */

static struct spool_entry
queue(struct rig *r, unsigned events, uint64_t ticket, unsigned partition)
{
	struct interval hour = { 3600000, 7200000 };
	struct batch *b = batch_new(hour, partition, 2);
	struct batch_seal seal = { .id = spool_take_id(r->spool, events),
		.generation = 7 };
	struct spool_entry e = { .at = { hour.start, hour.end, partition, 0 },
		.id = seal.id,
		.events = events };
	struct spool_totals more = { .received = events };
	char text[30], *value;
	size_t bytes;

	for (unsigned i = 0; i < events; i++) {
		struct event one = { .timestamp_ms = hour.start };

		one.bytes =
		    (unsigned)snprintf(text, sizeof text, "{\"n\":%u}", i) &
		    EVENT_BYTES_MAX;
		batch_add(b, &one, text, ticket, 0);
	}
	value = batch_seal(&b, &seal, &bytes);
	e.bytes = (uint32_t)bytes;
	spool_begin(r->spool);
	spool_put(r->spool, value, bytes);
	spool_count(r->spool, &more);
	commit(r);
	free(value);
	return e;
}

static void
refuse(struct rig *r, const struct spool_entry *e, uint32_t event)
{
	struct batch_seal seal = { .id = spool_take_id(r->spool, 1) };
	struct batch_view v;
	size_t bytes;
	bool damaged;
	char *whole = spool_load(r->spool, e->id, &bytes, &damaged), *one;

	batch_view_own(whole, bytes, &v);
	one = batch_pick(&v, &seal, event, &bytes);
	spool_begin(r->spool);
	spool_refuse(r->spool, e, event, one, bytes, "no");
	commit(r);
	free(one);
	free(whole);
}

static void
test_the_queue_moves_into_the_log(void **state)
{
	struct rig *r = *state;
	struct spool_entry e = queue(r, 5, 42, 0);
	struct spool_log_entry logged;
	struct ack ack;
	char error[600];

	queue(r, 70, 0, PARTITION_ANY_TIME + 1);
	queue(r, 2, 0, PARTITION_LATE);
	refuse(r, &e, 1);
	die(r);
	be_born(r);
	assert_int_equal(late_lanes, 1);
	assert_true(r->d->table->wants_commit(r->d));
	assert_false(r->d->table->is_drained(r->d));
	/* a commit that fails has moved nothing */
	spool_begin(r->spool);
	r->d->table->write(r->d);
	spool_set_document(r->spool, "", NULL, SIZE_MAX / 4);
	assert_int_not_equal(
	    spool_commit(r->spool, error, sizeof error), RESULT_OK);
	assert_true(spool_reopen(r->spool, error, sizeof error));
	assert_int_equal(spool_log_counts(r->spool).batches, 0);
	assert_int_equal(spool_batches(r->spool), 3);
	commit_own(r);
	assert_false(r->d->table->wants_commit(r->d));
	assert_true(r->d->table->is_drained(r->d));
	assert_int_equal(spool_log_counts(r->spool).batches, 2);
	assert_int_equal(spool_log_counts(r->spool).events, 74);
	assert_int_equal(spool_batches(r->spool), 3); /* the late one stays */
	assert_int_equal(spool_events(r->spool), 76);
	assert_int_equal(spool_totals(r->spool)->sent, 0);
	assert_int_equal(spool_totals(r->spool)->dead, 1);
	assert_told_events(r, 74);
	assert_true(spool_log_next(r->spool, 0, 0, &logged));
	assert_int_equal(logged.events, 4);
	/* who waited for Druid is told, of the refused one what became of it */
	ack_flush(r->acks);
	assert_true(channel_next_ack(&r->channel, &ack));
	assert_int_equal(ack.ticket, 42);
	assert_int_equal(ack.kind, ACK_DEAD);
	assert_true(channel_next_ack(&r->channel, &ack));
	assert_int_equal(ack.kind, ACK_SENT);
	assert_int_equal(ack.events, 4);
	assert_false(channel_next_ack(&r->channel, &ack));
}

static void
test_many_move_in_turns(void **state)
{
	struct rig *r = *state;
	unsigned commits = 0;

	for (unsigned i = 0; i < 150; i++)
		queue(r, 3, 0, i % 3);
	die(r);
	be_born(r);
	for (; r->d->table->wants_commit(r->d); commits++)
		commit_own(r);
	assert_true(commits >= 3 && commits < 6);
	assert_int_equal(spool_log_counts(r->spool).events, 450);
	assert_int_equal(spool_batches(r->spool), 150);
	assert_told_events(r, 450);
}

static void
test_a_dead_letter_comes_back(void **state)
{
	struct rig *r = *state;
	struct spool_entry e = queue(r, 5, 0, 0);
	struct delivery_batch b = { .entry = e };

	assert_int_equal(
	    r->d->table->lane(r->d, (struct interval){ 3600000, 7200000 }, 0),
	    0);
	b.value = must_malloc(1);
	r->d->table->durable(r->d, &b);
	assert_true(r->d->table->wants_commit(r->d));
	commit_own(r);
	assert_int_equal(spool_log_counts(r->spool).events, 5);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_feeds_are_told),
		TEST(test_peers_are_told),
		TEST(test_what_is_released_leaves),
		TEST(test_nothing_more_leaves),
		TEST(test_care),
		TEST(test_who_asks_beyond_moves_the_end),
		cmocka_unit_test_setup_teardown(
		    test_spread_over_partitions, set_up_spread, tear_down),
		TEST(test_the_queue_moves_into_the_log),
		TEST(test_many_move_in_turns),
		TEST(test_a_dead_letter_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
