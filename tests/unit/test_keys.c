/*
 * test_keys - requests with an Idempotency-Key are stored once
 *
 * A real spool and real ack rings; the test reads blocks as intake does.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "keys.h"
#include "log.h"
#include "panic.h"
#include "request_key.h"

#define GENERATION 7
#define WINDOW_MS 3600000

struct rig {
	char dir[64], path[80];
	struct spool *spool;
	int memory[2];
	struct channel worker[2], receiver[2];
	struct acks *acks;
	struct keys *keys;
	uint64_t generation;
};

static void
begin(struct rig *r)
{
	struct spool_options o = {
		.dir = r->path, .ds = "a", .bytes_max = 1 << 20, .now_ms = 1000
	};
	struct keys_parts parts = { .generation = r->generation };
	char error[600];

	r->spool = spool_open(&o, error, sizeof error);
	if (r->spool == NULL)
		fail_msg("%s", error);
	parts.spool = r->spool;
	parts.acks = r->acks = acks_new(r->worker, 2, r->generation);
	r->keys = keys_new(&parts);
}

static void
end(struct rig *r)
{
	keys_free(&r->keys);
	acks_free(&r->acks);
	spool_close(&r->spool);
}

/* A worker that was killed, and the next one. */
static void
successor(struct rig *r)
{
	end(r);
	begin(r);
}

static int
set_up(void **state)
{
	struct rig *r = must_calloc(1, sizeof *r);

	strcpy(r->dir, "/tmp/test_keys_XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	snprintf(r->path, sizeof r->path, "%s/spool", r->dir);
	r->generation = GENERATION;
	for (unsigned i = 0; i < 2; i++) {
		r->memory[i] = channel_create("a", i, GENERATION, 4096);
		assert_true(
		    channel_attach(&r->worker[i], r->memory[i], -1, -1));
		assert_true(
		    channel_attach(&r->receiver[i], r->memory[i], -1, -1));
	}
	begin(r);
	*state = r;
	return 0;
}

static int
tear_down(void **state)
{
	struct rig *r = *state;
	char *command = must_format("rm -r %s", r->dir);

	end(r);
	for (unsigned i = 0; i < 2; i++) {
		channel_detach(&r->worker[i]);
		channel_detach(&r->receiver[i]);
		close(r->memory[i]);
	}
	assert_int_equal(system(command), 0);
	free(command);
	free(r);
	return 0;
}

static void
commit_as(struct rig *r, const struct keys_commit *c)
{
	char error[600];

	spool_begin(r->spool);
	keys_write(r->keys, c);
	if (spool_commit(r->spool, error, sizeof error) != RESULT_OK)
		fail_msg("%s", error);
	keys_written(r->keys, c);
}

static void
commit(struct rig *r)
{
	struct keys_commit c = { .has_rings = true, .now_ms = clock_wall_ms() };

	commit_as(r, &c);
}

/* The only block of a request of `all` events, unless it is changed. */
static struct event_key
key_of(unsigned name, uint64_t ticket, uint32_t all)
{
	return (
	    struct event_key){ .key = { (uint8_t)name, (uint8_t)(name >> 8) },
		.body = name,
		.ticket = ticket,
		.to = all,
		.all = all,
		.is_last = true,
		.window_ms = WINDOW_MS,
		.keys_max = EVENT_KEYS_MAX };
}

/* Reads a block with all ordinals that it decides; returns how many events
 * are new. */
static unsigned
read_block(
    struct rig *r, const struct event_key *key, unsigned receiver, bool waits)
{
	struct event_block head = { .ticket = waits ? key->ticket : 0 };
	struct keys_block b;
	unsigned taken = 0;

	keys_open(r->keys, &b, &head, key, receiver);
	for (uint32_t i = key->from; i < key->to; i++)
		if (keys_wants(&b, i))
			taken++;
	b.taken = taken;
	keys_close(r->keys, &b, true);
	return taken;
}

static void
expect(
    struct rig *r, unsigned receiver, enum ack_kind kind, struct ack_key wanted)
{
	struct ack ack;
	struct ack_key k;

	ack_flush(r->acks);
	assert_true(channel_next_ack(&r->receiver[receiver], &ack));
	memcpy(&k, &ack, sizeof k);
	wanted.kind = kind;
	assert_memory_equal(&k, &wanted, sizeof k);
}

static void
expect_nothing(struct rig *r)
{
	struct ack ack;

	ack_flush(r->acks);
	assert_false(channel_next_ack(&r->receiver[0], &ack));
	assert_false(channel_next_ack(&r->receiver[1], &ack));
}

/* Druid has so many events of a batch, which came under that ticket. */
static void
sent(struct rig *r, const struct event_key *key, uint64_t batch,
    uint32_t events, uint64_t ticket)
{
	struct batch_header h = { .id = batch,
		.generation = GENERATION,
		.events = events,
		.ticket_count = 2 };
	struct batch_ticket tickets[2] = {
		{ .ticket = ticket, .receiver = BATCH_KEYED, .events = events }
	};
	struct batch_view v = { .header = &h, .tickets = tickets };

	memcpy(&tickets[1], key->key, sizeof key->key);
	ack_batch(r->acks, &v, ACK_SENT, NULL, 0);
}

static void
expect_sent(struct rig *r, unsigned receiver, uint64_t ticket, uint32_t events)
{
	struct ack ack;

	ack_flush(r->acks);
	assert_true(channel_next_ack(&r->receiver[receiver], &ack));
	assert_int_equal(ack.kind, ACK_SENT);
	assert_int_equal(ack.ticket, ticket);
	assert_int_equal(ack.events, events);
}

static void
test_a_request_is_stored_once(void **state)
{
	struct rig *r = *state;
	struct event_key key = key_of(1, 5, 10), again = key_of(1, 6, 10);

	assert_int_equal(read_block(r, &key, 0, true), 10);
	expect_nothing(r); /* before the commit */
	commit(r);
	expect(
	    r, 0, ACK_KEY_FIRST, (struct ack_key){ .ticket = 5, .events = 10 });
	assert_int_equal(spool_key_count(r->spool), 1);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(read_block(r, &again, 1, true), 0);
		commit(r);
		expect(r, 1, ACK_KEY_REPEAT,
		    (struct ack_key){ .ticket = 6, .events = 10 });
		successor(r); /* which tells it once more */
		expect(r, 1, ACK_KEY_REPEAT,
		    (struct ack_key){ .ticket = 6, .events = 10 });
		expect_nothing(r);
	}
	assert_int_equal(spool_key_count(r->spool), 1);
}

static void
test_what_is_not_committed_is_not_known(void **state)
{
	struct rig *r = *state;
	struct event_key key = key_of(1, 5, 10);

	assert_int_equal(read_block(r, &key, 0, true), 10);
	assert_int_equal(read_block(r, &key, 1, true), 0); /* but seen */
	keys_resume(r->keys);
	assert_int_equal(read_block(r, &key, 0, true), 10);
	successor(r);
	expect_nothing(r);
	assert_int_equal(read_block(r, &key, 0, true), 10);
}

static void
test_a_part_is_completed(void **state)
{
	struct rig *r = *state;
	struct event_key part = key_of(1, 5, 10), whole = key_of(1, 6, 10);

	part.to = 4;
	part.is_last = false;
	assert_int_equal(read_block(r, &part, 0, true), 4);
	commit(r);
	expect_nothing(r);
	successor(r);
	assert_int_equal(read_block(r, &whole, 1, true), 6);
	commit(r);
	expect(
	    r, 1, ACK_KEY_FIRST, (struct ack_key){ .ticket = 6, .events = 10 });
	/* what came under the ticket of before is told too */
	sent(r, &whole, 100, 4, 5);
	expect_sent(r, 0, 5, 4);
	commit(r);
	expect_sent(r, 1, 6, 4);
	/* other borders of the blocks change nothing */
	part.to = 7;
	assert_int_equal(read_block(r, &part, 0, true), 0);
	part = key_of(1, 7, 10);
	part.from = 7;
	assert_int_equal(read_block(r, &part, 0, true), 0);
	commit(r);
	expect(r, 0, ACK_KEY_REPEAT,
	    (struct ack_key){ .ticket = 7, .events = 10, .sent = 4 });
}

static void
test_what_has_a_gap_is_not_taken(void **state)
{
	struct rig *r = *state;
	struct event_key key = key_of(1, 5, 10);

	key.from = 3;
	assert_int_equal(read_block(r, &key, 0, true), 0);
	commit(r);
	expect(r, 0, ACK_KEY_AGAIN, (struct ack_key){ .ticket = 5 });
	assert_int_equal(spool_key_count(r->spool), 0);
	key.from = 0;
	assert_int_equal(read_block(r, &key, 0, true), 10);
}

static void
test_another_body(void **state)
{
	struct rig *r = *state;
	struct event_key key = key_of(1, 5, 10), other = key_of(1, 6, 10);

	other.body++;
	read_block(r, &key, 0, true);
	commit(r);
	expect(
	    r, 0, ACK_KEY_FIRST, (struct ack_key){ .ticket = 5, .events = 10 });
	assert_int_equal(read_block(r, &other, 0, true), 0);
	commit(r);
	expect(r, 0, ACK_KEY_OTHER, (struct ack_key){ .ticket = 6 });
	assert_int_equal(keys_counts(r->keys).others, 1);
}

static void
test_dropped_and_late_ones_are_those_of_the_first(void **state)
{
	struct rig *r = *state;
	struct event_key key = key_of(1, 5, 10);
	struct event_block head = { .ticket = 5 };
	struct keys_block b;

	keys_open(r->keys, &b, &head, &key, 0);
	b.taken = 5;
	b.late = 2;
	assert_int_equal(keys_close(r->keys, &b, true), 3);
	commit(r);
	expect(r, 0, ACK_KEY_FIRST,
	    (struct ack_key){
		.ticket = 5, .events = 5, .late = 2, .dropped = 3 });
	keys_open(r->keys, &b, &head, &key, 0);
	assert_false(keys_wants(&b, 9));
	assert_int_equal(keys_close(r->keys, &b, true), 0);
	commit(r);
	expect(r, 0, ACK_KEY_REPEAT,
	    (struct ack_key){
		.ticket = 5, .events = 5, .late = 2, .dropped = 3 });
}

static void
test_a_damaged_block_is_sent_again(void **state)
{
	struct rig *r = *state;
	struct event_key key = key_of(1, 5, 10);
	struct event_block head = { .ticket = 5 };
	struct keys_block b;

	keys_open(r->keys, &b, &head, &key, 0);
	b.taken = 5;
	keys_close(r->keys, &b, false);
	commit(r);
	expect(r, 0, ACK_KEY_AGAIN, (struct ack_key){ .ticket = 5 });
	assert_int_equal(read_block(r, &key, 0, true), 10);
}

static void
test_who_waits_hears_what_becomes_of_it(void **state)
{
	struct rig *r = *state;
	struct event_key key = key_of(1, 5, 10), again = key_of(1, 5, 10);
	/* tickets of two receivers may be the same number */

	read_block(r, &key, 0, true);
	commit(r);
	expect(
	    r, 0, ACK_KEY_FIRST, (struct ack_key){ .ticket = 5, .events = 10 });
	read_block(r, &again, 1, true);
	commit(r);
	expect(r, 1, ACK_KEY_REPEAT,
	    (struct ack_key){ .ticket = 5, .events = 10 });
	sent(r, &key, 100, 4, 5);
	expect_sent(r, 0, 5, 4);
	assert_true(keys_want_commit(r->keys));
	commit(r);
	assert_false(keys_want_commit(r->keys));
	expect_sent(r, 1, 5, 4);
	/* the same batch is acknowledged again by the next worker's tasks */
	successor(r);
	expect_sent(r, 1, 5, 4);
	sent(r, &key, 100, 4, 5);
	expect_sent(r, 0, 5, 4);
	commit(r);
	expect_nothing(r);
	sent(r, &key, 200, 6, 5);
	expect_sent(r, 0, 5, 6);
	commit(r);
	expect_sent(r, 1, 5, 6);
	read_block(r, &again, 1, true);
	commit(r);
	expect(r, 1, ACK_KEY_REPEAT,
	    (struct ack_key){ .ticket = 5, .events = 10, .sent = 10 });
	expect_nothing(r);
}

static void
test_outcomes_that_come_amid_a_commit(void **state)
{
	struct rig *r = *state;
	struct event_key key = key_of(1, 5, 10);
	struct keys_commit c = { .has_rings = false };
	char error[600];

	read_block(r, &key, 0, false);
	commit(r);
	expect(
	    r, 0, ACK_KEY_FIRST, (struct ack_key){ .ticket = 5, .events = 10 });
	sent(r, &key, 100, 4, 0);
	spool_begin(r->spool);
	keys_write(r->keys, &c);
	assert_int_equal(
	    spool_commit(r->spool, error, sizeof error), RESULT_OK);
	sent(r, &key, 200, 6, 0); /* before keys hears of the commit */
	keys_written(r->keys, &c);
	assert_true(keys_want_commit(r->keys));
	commit(r);
	read_block(r, &key, 0, false);
	commit(r);
	expect(r, 0, ACK_KEY_REPEAT,
	    (struct ack_key){ .ticket = 5, .events = 10, .sent = 10 });
}

static void
test_the_oldest_of_too_many_waits_no_more(void **state)
{
	struct rig *r = *state;
	struct event_key key = key_of(1, 5, 10);

	read_block(r, &key, 0, true);
	commit(r);
	expect(
	    r, 0, ACK_KEY_FIRST, (struct ack_key){ .ticket = 5, .events = 10 });
	for (unsigned i = 0; i < SPOOL_KEY_ASKERS + 1; i++) {
		key.ticket = 10 + i;
		read_block(r, &key, 1, true);
		commit(r);
		if (i == SPOOL_KEY_ASKERS)
			expect(r, 1, ACK_KEY_ENOUGH,
			    (struct ack_key){ .ticket = 10 });
		expect(r, 1, ACK_KEY_REPEAT,
		    (struct ack_key){ .ticket = 10 + i, .events = 10 });
	}
}

static void
test_where_durable_will_do(void **state)
{
	struct rig *r = *state;
	struct event_key key = key_of(1, 5, 10);
	struct keys_commit c = { .has_rings = true,
		.answers_durable = true,
		.now_ms = clock_wall_ms() };

	read_block(r, &key, 0, true);
	commit_as(r, &c);
	expect(r, 0, ACK_KEY_FIRST,
	    (struct ack_key){ .ticket = 5, .events = 10, .sent = 10 });
	read_block(r, &key, 0, true);
	commit_as(r, &c);
	expect(r, 0, ACK_KEY_REPEAT,
	    (struct ack_key){ .ticket = 5, .events = 10, .sent = 10 });
}

static void
test_keys_are_forgotten(void **state)
{
	struct rig *r = *state;
	struct keys_commit later = { .has_rings = true,
		.now_ms = clock_wall_ms() + WINDOW_MS + 1000 };
	struct event_key key;

	for (unsigned i = 1; i <= 200; i++) {
		key = key_of(i, 5, 1);
		key.keys_max = 100;
		assert_int_equal(read_block(r, &key, 0, false), 1);
		if (i % 10 == 0)
			commit(r);
		while (channel_next_ack(&r->receiver[0], &(struct ack){ 0 }))
			;
	}
	assert_int_equal(spool_key_count(r->spool), 100);
	assert_int_equal(keys_counts(r->keys).forgotten, 100);
	/* their time is over: bounded in each commit */
	assert_int_equal(read_block(r, &key, 0, false), 0);
	key = key_of(300, 5, 1);
	read_block(r, &key, 0, false);
	commit_as(r, &later);
	assert_in_range(spool_key_count(r->spool), 80, 90);
	assert_int_equal(keys_counts(r->keys).forgotten, 100);
	/* of one that is not swept yet nothing is known */
	key = key_of(200, 5, 1);
	key.window_ms = 0;
	assert_int_equal(read_block(r, &key, 0, false), 1);
}

/* Of a receiver that has gone wrong. */
static void
test_a_window_that_cannot_be(void **state)
{
	struct rig *r = *state;
	struct keys_commit later = { .has_rings = true,
		.now_ms = clock_wall_ms() + 1000 };
	struct event_key key = key_of(1, 5, 1);

	key.window_ms = INT64_MIN;
	read_block(r, &key, 0, false);
	commit_as(r, &later);
	assert_int_equal(spool_key_count(r->spool), 0);
	key = key_of(2, 5, 1);
	key.window_ms = INT64_MAX;
	read_block(r, &key, 0, false);
	later.now_ms += 2 * EVENT_KEY_WINDOW_MS_MAX;
	commit_as(r, &later);
	assert_int_equal(spool_key_count(r->spool), 0);
}

/* Some 70 ms; over 5 s when each is looked for among all the others. */
static void
test_keys_that_resemble_each_other(void **state)
{
	struct rig *r = *state;
	clock_t began = clock();

	for (uint32_t i = 0; i < 60000; i++) {
		struct event_key key = key_of(0, 0, 1);

		memcpy(key.key + 12, &i, sizeof i);
		assert_int_equal(read_block(r, &key, 0, false), 1);
	}
	assert_in_range(clock() - began, 0, 2 * CLOCKS_PER_SEC);
}

static void
test_what_is_a_key(void **state UNUSED)
{
	struct event_key a, b, c;
	uint8_t who[SECRET_HASH_BYTES] = { 1 };
	char text[REQUEST_KEY_MAX + 1];

	memset(text, 'x', sizeof text);
	assert_true(request_key_read("k1", 2, NULL, &a));
	assert_true(request_key_read("\"k1\"", 4, NULL, &b));
	assert_memory_equal(a.key, b.key, sizeof a.key);
	assert_true(request_key_read("k1", 2, who, &c));
	assert_memory_not_equal(a.key, c.key, sizeof a.key);
	assert_true(request_key_read("k2", 2, NULL, &c));
	assert_memory_not_equal(a.key, c.key, sizeof a.key);
	assert_true(request_key_read(text, REQUEST_KEY_MAX, NULL, &c));
	assert_false(request_key_read(text, REQUEST_KEY_MAX + 1, NULL, &c));
	assert_false(request_key_read("", 0, NULL, &c));
	assert_false(request_key_read("\"\"", 2, NULL, &c));
	assert_false(request_key_read("a\tb", 3, NULL, &c));
	assert_false(request_key_read("\xc3\xa4", 2, NULL, &c));
	request_key_bind(&a, "{}", 2);
	request_key_bind(&b, "{}", 2);
	request_key_bind(&c, "[]", 2);
	assert_true(a.body == b.body && a.body != c.body);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_request_is_stored_once),
		TEST(test_what_is_not_committed_is_not_known),
		TEST(test_a_part_is_completed),
		TEST(test_what_has_a_gap_is_not_taken),
		TEST(test_another_body),
		TEST(test_dropped_and_late_ones_are_those_of_the_first),
		TEST(test_a_damaged_block_is_sent_again),
		TEST(test_who_waits_hears_what_becomes_of_it),
		TEST(test_outcomes_that_come_amid_a_commit),
		TEST(test_the_oldest_of_too_many_waits_no_more),
		TEST(test_where_durable_will_do),
		TEST(test_keys_are_forgotten),
		TEST(test_a_window_that_cannot_be),
		TEST(test_keys_that_resemble_each_other),
		cmocka_unit_test(test_what_is_a_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
