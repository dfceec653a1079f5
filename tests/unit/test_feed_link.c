/*
 * test_feed_link - consumers' connections: requests in pieces and in rows, slow
 * readers, who must go
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "feed_door.h"
#include "feed_rig.h"

/* Several at once: answers come in their order, though the first one waits. */
static void
test_pipeline(void **state)
{
	int32_t first;

	(void)state;
	start_feed("");
	connect_peer(&peer);
	put_fetch(&peer, FETCH(.offset = FIRST));
	first = peer.correlation;
	for (unsigned i = 0; i < 50; i++)
		put_metadata(&peer, "foo");
	put_fetch(&peer, FETCH(.offset = FIRST));
	flush(&peer);
	assert_true(has_no_answer(&peer));
	fake_log_add(3, 10, 1000);
	tell_range();
	assert_batches(read_fetched(answer(&peer, first)).records, 0, 1);
	for (int32_t i = 1; i <= 50; i++)
		(void)answer(&peer, first + i);
	assert_batches(read_fetched(answer(&peer, first + 51)).records, 0, 1);
	assert_int_equal(rig.links.memory.used, 0);
	stop_feed();
}

/* A request may come byte by byte. */
static void
test_bytes(void **state)
{
	(void)state;
	start_feed("");
	connect_peer(&peer);
	put_metadata(&peer, "foo");
	for (size_t i = 0; i < peer.out.used; i++) {
		assert_int_equal(send(peer.fd, peer.out.bytes + i, 1, 0), 1);
		loop_once(rig.loop);
	}
	(void)answer(&peer, 1);
	stop_feed();
}

/* For all that there is. */
static void
ask_and_not_read(void)
{
	tell_range();
	connect_peer(&peer);
	put_fetch(
	    &peer, FETCH(.offset = FIRST, .partition_bytes_max = 50 << 20));
	flush(&peer);
	for (unsigned i = 0; i < 10; i++) {
		loop_poll(rig.loop);
		loop_once(rig.loop);
	}
}

/* Whoever does not read holds next to nothing, and gets it all in the end. */
static void
test_slow_reader(void **state)
{
	struct fetched f;

	(void)state;
	start_feed("");
	for (unsigned i = 0; i < 100; i++) {
		fake_log_add(10, 7000, 1000);
		fake_log.next += i % 2 * 1000; /* a gap */
	}
	ask_and_not_read();
	assert_true(rig.links.memory.used > 0);
	assert_true(rig.links.memory.used < 8 * KiB);
	/* others are served meanwhile */
	connect_peer(&other);
	assert_batches(
	    fetch(&other, FETCH(.offset = (int64_t)fake_log.batches[99].first))
		.records,
	    99, 1);
	put_metadata(&peer, "foo");
	flush(&peer);
	f = read_fetched(answer(&peer, 1));
	assert_batches(f.records, 0, 100);
	(void)answer(&peer, 2);
	assert_int_equal(rig.links.memory.used, 0);
	stop_feed();
}

/* What was promised to one who does not read may be removed. */
static void
test_removed(void **state)
{
	(void)state;
	start_feed("");
	for (unsigned i = 0; i < 100; i++)
		fake_log_add(10, 10000, 1000);
	ask_and_not_read();
	fake_log.begin = fake_log.end;
	tell_range();
	AWAIT(has_closed(&peer));
	assert_int_equal(rig.links.count, 0);
	stop_feed();
}

static void
test_not_kafka(void **state)
{
	static const struct {
		const char *bytes;
		size_t count;
	} cases[] = {
		{ "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11 },
		{ "GET / HTTP/1.1\r\n\r\n", 18 },
		{ "\xff\xff\xff\xff", 4 },
		{ "\x00\x04\x00\x01", 4 },
		{ "\x00\x00\x00\x00", 4 },
		/* Produce 3, JoinGroup 0, Fetch 12 */
		{ "\x00\x00\x00\x0a\x00\x00\x00\x03\x00\x00\x00\x01\xff\xff",
		    14 },
		{ "\x00\x00\x00\x0a\x00\x0b\x00\x00\x00\x00\x00\x01\xff\xff",
		    14 },
		{ "\x00\x00\x00\x0a\x00\x01\x00\x0c\x00\x00\x00\x01\xff\xff",
		    14 },
	};

	(void)state;
	start_feed("");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		connect_peer(&peer);
		assert_int_equal(
		    send(peer.fd, cases[i].bytes, cases[i].count, 0),
		    cases[i].count);
		AWAIT(has_closed(&peer));
		assert_int_equal(peer.used, 0);
		disconnect(&peer);
		assert_int_equal(rig.server->counters.requests_refused, i + 1);
	}
	assert_int_equal(rig.links.count, 0);
	stop_feed();
}

static void
test_idle(void **state)
{
	(void)state;
	start_feed("\"pull.idleTimeout\":\"PT0.2S\"");
	connect_peer(&peer);
	connect_peer(&other);
	/* one who waits is not idle */
	put_fetch(&other, FETCH(.offset = FIRST));
	flush(&other);
	AWAIT(has_closed(&peer));
	assert_true(has_no_answer(&other));
	stop_feed();
}

/* Whoever has stood still the longest goes; those that wait stay. */
static void
test_make_room(void **state)
{
	int64_t until;

	(void)state;
	start_feed("");
	connect_peer(&other);
	put_fetch(&other, FETCH(.offset = FIRST));
	flush(&other);
	connect_peer(&peer);
	loop_once(rig.loop);
	assert_false(feed_link_make_room(&rig.links)); /* all are new */
	until = clock_mono_ms() + FEED_LINK_STILL_MS + 50;
	AWAIT(clock_mono_ms() > until);
	assert_true(feed_link_make_room(&rig.links));
	AWAIT(has_closed(&peer));
	assert_false(feed_link_make_room(&rig.links));
	assert_true(has_no_answer(&other));
	assert_int_equal(rig.links.count, 1);
	stop_feed();
}

/* A listening socket that cannot be watched for a while (the kernel's bound of
 * watches) is tried again. */
static void
test_door_again(void **state)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct feed_door door = { .links = &rig.links };
	socklen_t bytes = sizeof at;
	int64_t until;
	int fd, kept, null, client;

	(void)state;
	start_feed("");
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(fd, (const void *)&at, sizeof at), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (void *)&at, &bytes), 0);
	assert_true(feed_door_open(&door, fd)); /* with no room */
	client = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(client, (const void *)&at, sizeof at), 0);
	AWAIT(loop_timer_active(&door.pause));
	/* such a file cannot be watched */
	null = open("/dev/null", O_RDONLY);
	kept = dup(fd);
	assert_true(dup2(null, fd) == fd);
	until = clock_mono_ms() + 200;
	AWAIT(clock_mono_ms() > until);
	assert_true(dup2(kept, fd) == fd);
	door.connections_max = 8;
	AWAIT(rig.links.count == 1);
	feed_door_close(&door);
	close(null);
	close(kept);
	close(client);
	stop_feed();
}

/* pull.memoryBytes: one who would take more is sent away, others stay. */
static void
test_memory(void **state)
{
	char *much = must_calloc(1, KAFKA_REQUEST_BYTES_MAX);
	struct buf b;

	(void)state;
	start_feed("");
	rig.links.memory.max = 64 * KiB;
	connect_peer(&other);
	put_fetch(&other, FETCH(.offset = FIRST));
	flush(&other);
	connect_peer(&peer);
	buf_init(&b, MiB);
	kafka_wire_put_i32(&b, (int32_t)KAFKA_REQUEST_BYTES_MAX);
	buf_add(&b, much, KAFKA_REQUEST_BYTES_MAX - 1);
	for (size_t at = 0; at < b.used && !peer.is_closed;) {
		ssize_t n =
		    send(peer.fd, b.bytes + at, b.used - at, MSG_NOSIGNAL);

		at += n > 0 ? (size_t)n : 0;
		if (n < 0 && errno != EAGAIN)
			break;
		loop_poll(rig.loop);
		loop_once(rig.loop);
		assert_true(rig.links.memory.used <= 64 * KiB);
	}
	AWAIT(has_closed(&peer));
	assert_true(has_no_answer(&other));
	buf_free(&b);
	free(much);
	stop_feed();
}

/* A client who goes while his fetch waits is forgotten. */
static void
test_gone(void **state)
{
	(void)state;
	start_feed("");
	connect_peer(&peer);
	put_fetch(&peer, FETCH(.offset = FIRST));
	flush(&peer);
	assert_true(has_no_answer(&peer));
	assert_int_equal(rig.server->topics.all[0].waiters, 1);
	/* as TCP tells it: he will send nothing more */
	assert_int_equal(shutdown(peer.fd, SHUT_WR), 0);
	AWAIT(rig.links.count == 0);
	assert_int_equal(rig.server->topics.all[0].waiters, 0);
	stop_feed();
}

static void
test_drain(void **state)
{
	struct fetched f;

	(void)state;
	start_feed("");
	connect_peer(&peer);
	connect_peer(&other);
	put_fetch(&peer, FETCH(.offset = FIRST));
	flush(&peer);
	assert_true(has_no_answer(&peer));
	feed_link_drain(&rig.links);
	f = read_fetched(answer(&peer, 1));
	assert_int_equal(f.records.bytes, 0);
	AWAIT(has_closed(&peer));
	AWAIT(has_closed(&other));
	assert_int_equal(rig.links.count, 0);
	stop_feed();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pipeline),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_removed),
		cmocka_unit_test(test_not_kafka),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_make_room),
		cmocka_unit_test(test_door_again),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_drain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
