/*
 * test_log_page - how far a log is durable, as its worker tells a feed
 *
 * Links: common.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "channel.h"
#include "log_page.h"
#include "panic.h"

struct both {
	int fd, bell;
	struct log_page *worker, *feed; /* two mappings, as in two processes */
};

static struct both
make(void)
{
	struct both b = { .fd = log_page_create(), .bell = bell_new() };

	assert_true(b.fd >= 0 && b.bell >= 0);
	b.worker = log_page_attach(b.fd);
	b.feed = log_page_attach(b.fd);
	assert_non_null(b.worker);
	assert_non_null(b.feed);
	return b;
}

static void
unmake(struct both *b)
{
	log_page_detach(&b->worker);
	log_page_detach(&b->feed);
	close(b->fd);
	close(b->bell);
}

static bool
rang(const struct both *b)
{
	uint64_t count = 0;

	return read(b->bell, &count, sizeof count) == (ssize_t)sizeof count;
}

static void
test_a_fresh_page_is_closed_and_empty(void **state UNUSED)
{
	struct both b = make();

	assert_int_equal(log_page_opening(b.feed, NULL), 0);
	assert_int_equal(log_page_range(b.feed, 0).end, 0);
	assert_int_equal(
	    log_page_range(b.feed, LOG_PAGE_PARTITIONS_MAX).end, 0);
	unmake(&b);
}

static void
test_each_opening_is_another_one(void **state UNUSED)
{
	struct both b = make();
	char identity[LOG_PAGE_IDENTITY_BYTES];
	uint64_t first, second;

	log_page_tell(b.worker, 3, (struct log_range){ 100, 250 });
	log_page_open(b.worker, "01234567-89ab-cdef-0123-456789abcdef");
	first = log_page_opening(b.feed, identity);
	assert_true(first > 0);
	assert_string_equal(identity, "01234567-89ab-cdef-0123-456789abcdef");
	assert_int_equal(log_page_range(b.feed, 3).start, 100);
	assert_int_equal(log_page_range(b.feed, 3).end, 250);
	/* its worker is killed, the next one opens */
	log_page_open(b.worker, "");
	second = log_page_opening(b.feed, identity);
	assert_true(second > first);
	assert_string_equal(identity, "");
	log_page_close(b.worker);
	log_page_close(b.worker);
	assert_int_equal(log_page_opening(b.feed, identity), 0);
	assert_int_equal(log_page_range(b.feed, 3).end, 250);
	log_page_open(b.worker, "x");
	assert_true(log_page_opening(b.feed, NULL) > second);
	unmake(&b);
}

static void
test_the_bell_rings_once_for_who_waits(void **state UNUSED)
{
	struct both b = make();

	log_page_ring(b.worker, b.bell);
	assert_false(rang(&b));
	assert_true(log_page_await(b.feed));
	assert_false(log_page_await(b.feed));
	log_page_tell(b.worker, 0, (struct log_range){ 0, 7 });
	log_page_ring(b.worker, b.bell);
	assert_true(rang(&b));
	assert_int_equal(log_page_range(b.feed, 0).end, 7);
	log_page_tell(b.worker, 0, (struct log_range){ 0, 8 });
	log_page_ring(b.worker, b.bell);
	assert_false(rang(&b));
	assert_true(log_page_await(b.feed));
	log_page_ring(b.worker, -1); /* a dataSource whose feed is gone */
	unmake(&b);
}

static void
test_who_asks_beyond_the_end_is_heard_once(void **state UNUSED)
{
	struct both b = make();

	assert_int_equal(log_page_asked_beyond(b.worker, 1), 0);
	log_page_note_beyond(b.feed, 1, 900);
	log_page_note_beyond(b.feed, 1, 800);
	log_page_note_beyond(b.feed, LOG_PAGE_PARTITIONS_MAX, 1000);
	assert_int_equal(log_page_asked_beyond(b.worker, 0), 0);
	assert_int_equal(log_page_asked_beyond(b.worker, 1), 900);
	assert_int_equal(log_page_asked_beyond(b.worker, 1), 0);
	unmake(&b);
}

static void
test_peers(void **state UNUSED)
{
	static struct log_peers told, read;
	struct both b = make();
	uint64_t version = 0;

	assert_false(log_page_peers(b.feed, &version, &read));
	told.count = 1;
	told.all[0] = (struct log_peer){ .number = 5, .start = 9, .end = 3 };
	told.broker_count = LOG_PEERS_MAX + 1;
	memset(told.brokers[3].host, 'x', sizeof told.brokers[3].host);
	log_page_tell_peers(b.worker, &told);
	assert_true(log_page_peers(b.feed, &version, &read));
	assert_int_equal(read.all[0].number, 5);
	/* whatever a worker gone wrong may write can be used */
	assert_int_equal(read.all[0].end, 9);
	assert_int_equal(read.broker_count, LOG_PEERS_MAX);
	assert_int_equal(strlen(read.brokers[3].host), ENDPOINT_HOST_BYTES - 1);
	assert_false(log_page_peers(b.feed, &version, &read));
	told.count = 0;
	log_page_tell_peers(b.worker, &told);
	assert_true(log_page_peers(b.feed, &version, &read));
	assert_int_equal(read.count, 0);
	unmake(&b);
}

static void
test_brokers(void **state UNUSED)
{
	static struct log_peers p;

	assert_true(log_peers_add_broker(&p, "tq2.example", 9094));
	assert_true(log_peers_add_broker(&p, "tq1.example", 9094));
	assert_true(log_peers_add_broker(&p, "tq2.example", 9094));
	assert_true(log_peers_add_broker(&p, "tq2.example", 9095));
	assert_int_equal(p.broker_count, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_true(p.brokers[i].node >= 0 &&
		    (i == 0 || p.brokers[i].node > p.brokers[i - 1].node));
	for (unsigned i = 0; i < LOG_PEERS_MAX - 3; i++)
		assert_true(log_peers_add_broker(&p, "many", i));
	assert_false(log_peers_add_broker(&p, "many", LOG_PEERS_MAX));
}

static void
test_what_is_no_page_is_refused(void **state UNUSED)
{
	int life = bell_new(), channel;

	assert_null(log_page_attach(life));
	assert_int_equal(errno, EPROTO);
	close(life);
	channel = channel_create("x", 0, 1, 4096);
	assert_null(log_page_attach(channel));
	assert_int_equal(errno, EPROTO);
	close(channel);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_fresh_page_is_closed_and_empty),
		cmocka_unit_test(test_each_opening_is_another_one),
		cmocka_unit_test(test_the_bell_rings_once_for_who_waits),
		cmocka_unit_test(test_who_asks_beyond_the_end_is_heard_once),
		cmocka_unit_test(test_peers),
		cmocka_unit_test(test_brokers),
		cmocka_unit_test(test_what_is_no_page_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
