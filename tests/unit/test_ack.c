/*
 * test_ack - receivers hear what became of their events
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ack.h"
#include "log.h"
#include "panic.h"

#define GENERATION 5
#define RING_ACKS (CHANNEL_ACK_BYTES / sizeof(struct ack))

struct rig {
	int memory[2], bell[2];
	struct channel worker[2], receiver[2];
	struct acks *acks;
};

static int
set_up(void **state)
{
	struct rig *r = must_calloc(1, sizeof *r);

	for (int i = 0; i < 2; i++) {
		r->bell[i] = bell_new();
		r->memory[i] =
		    channel_create("foo", (unsigned)i, GENERATION, 4096);
		assert_true(channel_attach(
		    &r->worker[i], r->memory[i], -1, r->bell[i]));
		assert_true(channel_attach(
		    &r->receiver[i], r->memory[i], -1, r->bell[i]));
		bell_silence(r->bell[i]);
	}
	r->acks = acks_new(r->worker, 2, GENERATION);
	*state = r;
	return 0;
}

static int
tear_down(void **state)
{
	struct rig *r = *state;

	acks_free(&r->acks);
	assert_null(r->acks);
	for (int i = 0; i < 2; i++) {
		channel_detach(&r->worker[i]);
		channel_detach(&r->receiver[i]);
		close(r->memory[i]);
		close(r->bell[i]);
	}
	free(r);
	return 0;
}

static void
ack(struct rig *r, uint64_t generation, const struct batch_ticket *tickets,
    unsigned count, enum ack_kind kind)
{
	struct batch_header h = {
		.id = 1000, .generation = generation, .ticket_count = count
	};
	struct batch_view v = { .header = &h, .tickets = tickets };

	for (unsigned i = 0; i < count; i++)
		h.events += tickets[i].events;
	ack_batch(r->acks, &v, kind, NULL, 0);
}

static bool
rang(const struct rig *r, unsigned receiver)
{
	struct pollfd p = { .fd = r->bell[receiver], .events = POLLIN };
	bool is = poll(&p, 1, 0) > 0;

	bell_silence(r->bell[receiver]);
	return is;
}

static void
fall_asleep(struct rig *r, unsigned receiver)
{
	struct channel *c = &r->receiver[receiver];

	assert_true(channel_receiver_may_sleep(c, ring_head(&c->events)));
}

static void
test_to_each_its_own(void **state)
{
	static const struct batch_ticket tickets[] = { { 11, 0, 2 },
		{ 12, 1, 3 }, { 11, 0, 4 } };
	struct rig *r = *state;
	struct ack a;

	fall_asleep(r, 0);
	fall_asleep(r, 1);
	ack(r, GENERATION, tickets, 3, ACK_SENT);
	assert_false(rang(r, 0)); /* at the turn's end, once */
	ack_flush(r->acks);
	assert_true(rang(r, 0));
	assert_true(rang(r, 1));
	ack_flush(r->acks);
	assert_false(rang(r, 0));
	for (int i = 0; i < 2; i++) {
		assert_true(channel_next_ack(&r->receiver[0], &a));
		assert_int_equal(a.ticket, 11);
		assert_int_equal(a.batch, 1000);
		assert_int_equal(a.events, 2 + 2 * i);
		assert_int_equal(a.kind, ACK_SENT);
	}
	assert_false(channel_next_ack(&r->receiver[0], &a));
	assert_true(channel_next_ack(&r->receiver[1], &a));
	assert_int_equal(a.ticket, 12);
	assert_int_equal(a.events, 3);
	assert_false(ack_backlog(r->acks));
	ack(r, GENERATION, tickets + 1, 1, ACK_DEAD);
	assert_true(channel_next_ack(&r->receiver[1], &a));
	assert_int_equal(a.kind, ACK_DEAD);
}

/* Whose event is refused learns it, by the event's place in the batch; this one
 * has left its first event behind. */
static void
test_refused(void **state)
{
	static const struct batch_ticket tickets[] = { { 0, 0, 2 },
		{ 11, 0, 2 }, { 12, 0, 1 }, { 13, 0, 2 } };
	static const struct spool_refused refused[] = { { 2, 7001 },
		{ 3, 7002 } };
	static const struct ack expected[] = { { 11, 7001, 1, ACK_DEAD, 0 },
		{ 11, 1000, 1, ACK_SENT, 0 }, { 12, 7002, 1, ACK_DEAD, 0 },
		{ 13, 1000, 2, ACK_SENT, 0 } };
	struct batch_header h = { .id = 1000,
		.generation = GENERATION,
		.ticket_count = 4,
		.events = 6 };
	struct batch_view v = { .header = &h, .tickets = tickets };
	struct rig *r = *state;
	struct ack a;

	ack_batch(r->acks, &v, ACK_SENT, refused, 2);
	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		assert_true(channel_next_ack(&r->receiver[0], &a));
		assert_int_equal(a.ticket, expected[i].ticket);
		assert_int_equal(a.batch, expected[i].batch);
		assert_int_equal(a.events, expected[i].events);
		assert_int_equal(a.kind, expected[i].kind);
	}
	assert_false(channel_next_ack(&r->receiver[0], &a));
}

/* Of an earlier supervisor, or of a receiver that there is not any more. */
static void
test_nobody_waits(void **state)
{
	static const struct batch_ticket old = { 11, 0, 2 },
					 gone = { 12, 2, 3 };
	struct rig *r = *state;
	struct ack a;

	fall_asleep(r, 0);
	ack(r, GENERATION - 1, &old, 1, ACK_SENT);
	ack(r, GENERATION, &gone, 1, ACK_SENT);
	ack(r, GENERATION, NULL, 0, ACK_SENT);
	ack_flush(r->acks);
	assert_false(rang(r, 0));
	assert_false(channel_next_ack(&r->receiver[0], &a));
}

static void
ack_many(struct rig *r, unsigned receiver, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		struct batch_ticket t = { i + 1, receiver, 1 };

		ack(r, GENERATION, &t, 1, ACK_SENT);
	}
}

/* In their order, whether they waited or not. */
static unsigned
take(struct rig *r, unsigned receiver, unsigned next, unsigned most)
{
	struct ack a;

	for (; most > 0 && channel_next_ack(&r->receiver[receiver], &a); most--)
		assert_int_equal(a.ticket, ++next);
	return next;
}

static void
test_slow_receiver(void **state)
{
	struct rig *r = *state;
	unsigned written = RING_ACKS + 3000, next = 0;

	ack_many(r, 0, 0, written);
	assert_true(ack_backlog(r->acks));
	ack_many(r, 1, 0, 5); /* the other one is not held up */
	assert_int_equal(take(r, 1, 0, 100), 5);
	while (next < written) {
		unsigned before = next;

		next = take(r, 0, next, 100);
		fall_asleep(r, 1);
		ack_flush(r->acks);
		if (written < RING_ACKS + 9000) {
			ack_many(r, 0, written, written + 70);
			written += 70;
		}
		assert_true(next > before);
	}
	assert_false(ack_backlog(r->acks));
	assert_int_equal(take(r, 0, next, 100), written);
}

static void
test_room_wakes(void **state)
{
	struct rig *r = *state;

	ack_many(r, 0, 0, RING_ACKS + 1);
	ack_flush(r->acks);
	rang(r, 0);
	assert_int_equal(take(r, 0, 0, RING_ACKS), RING_ACKS);
	fall_asleep(r, 0);
	ack_flush(r->acks); /* the one that waited */
	assert_true(rang(r, 0));
	assert_int_equal(take(r, 0, RING_ACKS, 9), RING_ACKS + 1);
}

/* A receiver that never comes back costs so much memory and no more. */
static void
test_bound(void **state)
{
	struct rig *r = *state;
	unsigned next = 0, last;

	ack_many(r, 0, 0, RING_ACKS + ACK_BACKLOG_MAX + 1000);
	do {
		last = next;
		next = take(r, 0, next, RING_ACKS);
		ack_flush(r->acks);
	} while (next > last);
	assert_int_equal(next, RING_ACKS + ACK_BACKLOG_MAX);
	assert_false(ack_backlog(r->acks));
	ack_many(r, 0, 7, 9); /* it goes on */
	assert_int_equal(take(r, 0, 7, 9), 9);
}

static int
quiet(void **state)
{
	(void)state;
	log_use(open("/dev/null", O_WRONLY | O_CLOEXEC), LOG_LEVEL_ERROR,
	    LOG_FORMAT_TEXT);
	return 0;
}

#define ACK_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		ACK_TEST(test_to_each_its_own),
		ACK_TEST(test_refused),
		ACK_TEST(test_nobody_waits),
		ACK_TEST(test_slow_receiver),
		ACK_TEST(test_room_wakes),
		ACK_TEST(test_bound),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
