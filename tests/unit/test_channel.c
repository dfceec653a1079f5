/*
 * test_channel - the memory that a receiver and a worker share
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "channel.h"
#include "log.h"

#define EVENT_BYTES (64u * KiB)
#define GENERATION UINT64_C(1763806800123456789)
#define WATCHDOG_MS 20000

struct ends {
	int memory_fd, worker_bell, receiver_bell;
	struct channel receiver, worker;
};

static bool
rang(int bell)
{
	struct pollfd p = { .fd = bell, .events = POLLIN };
	bool is = poll(&p, 1, 0) > 0;

	bell_silence(bell);
	return is;
}

static void
attach(struct ends *e, struct channel *c)
{
	assert_true(
	    channel_attach(c, e->memory_fd, e->worker_bell, e->receiver_bell));
}

static void
open_ends(struct ends *e)
{
	*e = (struct ends){ .worker_bell = bell_new(),
		.receiver_bell = bell_new(),
		.memory_fd =
		    channel_create("wikipedia", 3, GENERATION, EVENT_BYTES) };
	assert_true(e->memory_fd >= 0);
	attach(e, &e->receiver);
	attach(e, &e->worker);
	rang(e->worker_bell);
	rang(e->receiver_bell);
}

static void
close_ends(struct ends *e)
{
	channel_detach(&e->receiver);
	channel_detach(&e->worker);
	close(e->memory_fd);
	close(e->worker_bell);
	close(e->receiver_bell);
}

static void
put(struct channel *c, uint64_t bytes, int fill)
{
	void *to = ring_reserve(&c->events, bytes);

	assert_non_null(to);
	memset(to, fill, bytes);
	ring_commit(&c->events, bytes);
}

static void
test_created_as_asked(void **state)
{
	struct ends e;

	(void)state;
	open_ends(&e);
	assert_string_equal(e.worker.header->ds, "wikipedia");
	assert_int_equal(e.worker.header->receiver, 3);
	assert_true(e.worker.header->generation == GENERATION);
	assert_int_equal(e.worker.events.size, EVENT_BYTES);
	assert_int_equal(e.worker.acks.size, CHANNEL_ACK_BYTES);
	assert_int_equal(fcntl(e.memory_fd, F_GETFD), FD_CLOEXEC);
	close_ends(&e);
}

static void
test_sizes_are_rounded_up(void **state)
{
	static const struct {
		uint64_t asked, got;
	} cases[] = { { 1, 4096 }, { 4096, 4096 }, { 4097, 8192 },
		{ 100000, 131072 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int fd = channel_create("x", 0, 1, cases[i].asked);
		struct channel c;

		assert_true(channel_attach(&c, fd, -1, -1));
		assert_int_equal(c.events.size, cases[i].got);
		channel_detach(&c);
		close(fd);
	}
}

static void
test_cannot_be_cut(void **state)
{
	int fd = channel_create("x", 0, 1, EVENT_BYTES);

	(void)state;
	assert_int_equal(ftruncate(fd, 4096), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(fd, 1 << 24), -1);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	close(fd);
}

/* The two mappings of each ring are the same bytes, the rings are not. */
static void
test_rings_are_apart(void **state)
{
	struct ends e;
	char *events, *acks;

	(void)state;
	open_ends(&e);
	events = e.receiver.events.data;
	acks = e.receiver.acks.data;
	memset(events, 'e', EVENT_BYTES);
	memset(acks, 'a', CHANNEL_ACK_BYTES);
	assert_int_equal(e.worker.events.data[EVENT_BYTES], 'e');
	assert_int_equal(e.worker.events.data[2 * EVENT_BYTES - 1], 'e');
	assert_int_equal(e.worker.acks.data[CHANNEL_ACK_BYTES], 'a');
	events[EVENT_BYTES + 5] = 'x'; /* behind its end: its beginning */
	assert_int_equal(e.worker.events.data[5], 'x');
	assert_string_equal(e.worker.header->ds, "wikipedia");
	close_ends(&e);
}

static void *
map(int fd)
{
	void *at =
	    mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	assert_ptr_not_equal(at, MAP_FAILED);
	return at;
}

static void
test_refuses_what_is_none(void **state)
{
	struct channel c;
	struct channel_header *h;
	int fd = memfd_create("not-a-channel", MFD_CLOEXEC);

	(void)state;
	assert_false(channel_attach(&c, fd, -1, -1)); /* empty */
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	assert_false(channel_attach(&c, fd, -1, -1)); /* zeros */
	channel_detach(&c); /* harmless */
	close(fd);
	assert_false(channel_attach(&c, fd, -1, -1)); /* closed */

	fd = channel_create("x", 0, 1, EVENT_BYTES);
	h = map(fd);
	h->version++;
	assert_false(channel_attach(&c, fd, -1, -1));
	h->version--;
	h->event_bytes *= 2; /* does not fit the file */
	assert_false(channel_attach(&c, fd, -1, -1));
	h->event_bytes /= 2;
	h->event_bytes = 0 - (uint64_t)CHANNEL_ACK_BYTES;
	assert_false(channel_attach(&c, fd, -1, -1));
	h->event_bytes = EVENT_BYTES;
	memset(h->ds, 'x', sizeof h->ds); /* no NUL */
	memset((char *)h + 4096, 0, sizeof(struct ring_control));
	assert_false(channel_attach(&c, fd, -1, -1)); /* a ring is damaged */
	munmap(h, 2 * 4096);
	close(fd);
}

static void
test_bells(void **state)
{
	struct ends e;
	uint64_t bytes, head;

	(void)state;
	open_ends(&e);
	put(&e.receiver, 64, 'x');
	channel_ring_worker(&e.receiver);
	assert_false(rang(e.worker_bell)); /* nobody sleeps */
	assert_false(ring_consumer_may_sleep(&e.worker.events));
	assert_non_null(ring_peek(&e.worker.events, &bytes));
	ring_take(&e.worker.events, bytes);
	assert_true(ring_consumer_may_sleep(&e.worker.events));
	put(&e.receiver, 64, 'x');
	channel_ring_worker(&e.receiver);
	assert_true(rang(e.worker_bell));
	channel_ring_worker(&e.receiver);
	assert_false(rang(e.worker_bell)); /* once a sleep */

	head = ring_head(&e.receiver.events);
	assert_true(channel_receiver_may_sleep(&e.receiver, head));
	ring_advance(&e.worker.events, ring_taken(&e.worker.events));
	channel_ring_receiver(&e.worker);
	assert_true(rang(e.receiver_bell));
	assert_false(channel_receiver_may_sleep(&e.receiver, head));
	/* both announcements were withdrawn */
	channel_ring_receiver(&e.worker);
	assert_false(rang(e.receiver_bell));
	head = ring_head(&e.receiver.events);
	assert_true(channel_receiver_may_sleep(&e.receiver, head));
	channel_receiver_awake(&e.receiver);
	channel_ring_receiver(&e.worker);
	assert_false(rang(e.receiver_bell));
	close_ends(&e);
}

/* Killed after the announcement was withdrawn and before the bell: nobody
 * would ever ring again for what is there. */
static void
test_successor_rings(void **state)
{
	struct ends e;

	(void)state;
	open_ends(&e);
	assert_true(ring_consumer_may_sleep(&e.worker.events));
	put(&e.receiver, 64, 'x');
	assert_true(ring_consumer_needs_bell(&e.receiver.events));
	channel_detach(&e.receiver);
	assert_false(rang(e.worker_bell));
	attach(&e, &e.receiver);
	assert_true(rang(e.worker_bell));
	rang(e.receiver_bell);

	assert_true(channel_receiver_may_sleep(
	    &e.receiver, ring_head(&e.receiver.events)));
	assert_true(ring_producer_needs_bell(&e.worker.events));
	channel_detach(&e.worker);
	assert_false(rang(e.receiver_bell));
	attach(&e, &e.worker);
	assert_true(rang(e.receiver_bell));
	close_ends(&e);
}

static void
test_acks(void **state)
{
	struct ends e;
	struct ack ack = { .ticket = 1, .batch = 7, .kind = ACK_SENT }, got;
	unsigned written = 0;

	(void)state;
	open_ends(&e);
	assert_false(channel_next_ack(&e.receiver, &got));
	for (ack.events = 0; channel_ack(&e.worker, &ack); ack.events++)
		written++;
	assert_int_equal(written, CHANNEL_ACK_BYTES / sizeof ack);
	assert_false(channel_receiver_may_sleep(
	    &e.receiver, ring_head(&e.receiver.events)));
	for (unsigned i = 0; i < written; i++) {
		assert_true(channel_next_ack(&e.receiver, &got));
		assert_int_equal(got.ticket, 1);
		assert_int_equal(got.batch, 7);
		assert_int_equal(got.events, i);
		assert_int_equal(got.kind, ACK_SENT);
	}
	assert_false(channel_next_ack(&e.receiver, &got));
	assert_true(channel_ack(&e.worker, &ack)); /* there is room again */
	assert_false(channel_receiver_may_sleep(
	    &e.receiver, ring_head(&e.receiver.events)));
	close_ends(&e);
}

/* ---- both rings at once, between two threads ---- */

#define ROUNDS 20000u

static bool
await(int bell)
{
	struct pollfd p = { .fd = bell, .events = POLLIN };

	if (poll(&p, 1, WATCHDOG_MS) <= 0)
		return false;
	bell_silence(bell);
	return true;
}

/* Answers each record with an ack, and gives it back afterwards. */
static void *
work(void *context)
{
	struct ends *e = context;
	struct channel *c = &e->worker;
	uint64_t bytes;

	for (uint32_t done = 0; done < ROUNDS;) {
		const uint64_t *at = ring_peek(&c->events, &bytes);
		struct ack ack = { .kind = ACK_SENT, .events = 1 };

		if (at == NULL) {
			if (!ring_consumer_may_sleep(&c->events))
				continue;
			if (!await(e->worker_bell))
				return context;
			ring_consumer_awake(&c->events);
			continue;
		}
		ack.ticket = *at;
		if (!channel_ack(c, &ack))
			return context;
		ring_take(&c->events, 64);
		ring_advance(&c->events, ring_taken(&c->events));
		channel_ring_receiver(c);
		done++;
	}
	return NULL;
}

/* One record; then its ack and its room are waited for, both of them. */
static void
ask(struct ends *e, uint64_t ticket)
{
	struct channel *c = &e->receiver;
	uint64_t *to = ring_reserve(&c->events, 64), head;
	struct ack ack = { 0 };
	bool acked = false;

	*to = ticket;
	ring_commit(&c->events, 64);
	channel_ring_worker(c);
	for (;;) {
		acked |= channel_next_ack(c, &ack);
		head = ring_head(&c->events);
		if (acked && head == ring_tail(&c->events))
			break;
		if (!channel_receiver_may_sleep(c, head))
			continue;
		if (!await(e->receiver_bell))
			fail_msg("nobody woke the receiver");
		channel_receiver_awake(c);
	}
	assert_int_equal(ack.ticket, ticket);
}

static void
test_threads(void **state)
{
	struct ends e;
	pthread_t worker;
	void *failed;

	(void)state;
	open_ends(&e);
	assert_int_equal(pthread_create(&worker, NULL, work, &e), 0);
	for (uint64_t i = 1; i <= ROUNDS; i++)
		ask(&e, i);
	assert_int_equal(pthread_join(worker, &failed), 0);
	assert_null(failed);
	close_ends(&e);
}

#define DRAIN_ROUNDS 200

/* Offers as a receiver does, until it is told not to. */
static void *
offer_until_drained(void *context)
{
	struct channel *c = &((struct ends *)context)->receiver;
	uintptr_t offered = 0;

	while (ring_free_bytes(&c->events) >= 64) {
		channel_offers(c, 1);
		channel_offers_fence();
		if (channel_is_draining(c)) {
			channel_offers(c, -1);
			break;
		}
		put(c, 64, 'x');
		offered++;
		channel_offers(c, -1);
	}
	return (void *)offered;
}

/* Nothing comes behind the moment at which it is found to be shut. */
static void
test_shut(void **state)
{
	(void)state;
	for (int i = 0; i < DRAIN_ROUNDS; i++) {
		struct ends e;
		pthread_t receiver;
		uint64_t bytes, seen = 0;
		void *offered;

		open_ends(&e);
		assert_false(channel_is_shut(&e.worker));
		assert_int_equal(
		    pthread_create(&receiver, NULL, offer_until_drained, &e),
		    0);
		while (seen < (uint64_t)i % 7)
			if (ring_peek(&e.worker.events, &bytes) != NULL) {
				ring_take(&e.worker.events, 64);
				seen++;
			}
		channel_drain(&e.worker, true);
		while (!channel_is_shut(&e.worker))
			;
		while (ring_peek(&e.worker.events, &bytes) != NULL) {
			ring_take(&e.worker.events, 64);
			seen++;
		}
		assert_int_equal(pthread_join(receiver, &offered), 0);
		assert_int_equal(seen, (uint64_t)(uintptr_t)offered);
		assert_true(rang(e.receiver_bell));
		channel_drain(&e.worker, false);
		assert_false(channel_is_draining(&e.receiver));
		assert_false(channel_is_shut(&e.worker));
		close_ends(&e);
	}
}

static int
quiet(void **state)
{
	(void)state;
	log_use(open("/dev/null", O_WRONLY | O_CLOEXEC), LOG_LEVEL_ERROR,
	    LOG_FORMAT_TEXT);
	return 0;
}

/* Push from the start; what a worker has written over is push too. */
static void
test_delivery(void **state)
{
	struct ends e;

	(void)state;
	open_ends(&e);
	assert_int_equal(channel_delivery(&e.receiver), DELIVERY_PUSH);
	for (int i = DELIVERY_MODES; i-- > 0;) {
		channel_deliver(&e.worker, (enum delivery_mode)i);
		assert_int_equal(channel_delivery(&e.receiver), i);
	}
	e.worker.header->delivery = DELIVERY_MODES;
	assert_int_equal(channel_delivery(&e.receiver), DELIVERY_PUSH);
	e.worker.header->delivery = UINT32_MAX;
	assert_int_equal(channel_delivery(&e.receiver), DELIVERY_PUSH);
	close_ends(&e);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_created_as_asked),
		cmocka_unit_test(test_sizes_are_rounded_up),
		cmocka_unit_test(test_cannot_be_cut),
		cmocka_unit_test(test_rings_are_apart),
		cmocka_unit_test(test_refuses_what_is_none),
		cmocka_unit_test(test_delivery),
		cmocka_unit_test(test_bells),
		cmocka_unit_test(test_successor_rings),
		cmocka_unit_test(test_acks),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_shut),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
