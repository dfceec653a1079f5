/*
 * test_feed_fetch - what a Fetch gets, what it waits for, and how long
 */
#include "clock.h"
#include "feed_rig.h"

static void
test_fetch(void **state)
{
	struct fetched f;

	(void)state;
	start_feed("");
	for (unsigned i = 0; i < 10; i++)
		fake_log_add(10, 100, 1000);
	tell_range();
	connect_peer(&peer);
	f = fetch(&peer, FETCH(.offset = FIRST));
	assert_int_equal(f.error, 0);
	assert_int_equal(f.start, FIRST);
	assert_int_equal(f.end, FIRST + 100);
	assert_batches(f.records, 0, 10);
	/* from the middle of a batch: all of it */
	f = fetch(&peer, FETCH(.offset = FIRST + 57));
	assert_batches(f.records, 5, 5);
	/* however small the bounds are: one batch */
	f = fetch(&peer, FETCH(.offset = FIRST, .partition_bytes_max = 1));
	assert_batches(f.records, 0, 1);
	f = fetch(&peer, FETCH(.offset = FIRST, .bytes_max = NONE));
	assert_batches(f.records, 0, 1);
	f = fetch(&peer,
	    FETCH(.offset = FIRST,
		.bytes_max = (int32_t)(3 * fake_log.batches[0].size)));
	assert_batches(f.records, 0, 3);
	/* what is not durable is not sent */
	fake_log_add(10, 100, 1000);
	f = fetch(&peer, FETCH(.offset = FIRST + 90));
	assert_batches(f.records, 9, 1);
	stop_feed();
}

/* A fetch at the end waits, is woken by the worker's bell, and by no clock. */
static void
test_waits(void **state)
{
	struct fetched f;

	(void)state;
	start_feed("");
	connect_peer(&peer);
	for (unsigned i = 0; i < 20; i++) {
		put_fetch(&peer, FETCH(.offset = FIRST + i));
		flush(&peer);
		assert_true(has_no_answer(&peer));
		fake_log_add(1, 10, 1000);
		/* it is in the spool, but not durable */
		assert_true(has_no_answer(&peer));
		tell_range();
		f = read_fetched(answer(&peer, peer.correlation));
		assert_batches(f.records, i, 1);
	}
	stop_feed();
}

/* Who waits for another topic than the one that has changed is left alone. */
static void
test_others_wait(void **state)
{
	const struct log_range range = { FIRST, FIRST };
	struct feed_topic *foo, *zoo;

	(void)state;
	start_feed("");
	log_page_tell(rig.zoo, 0, range);
	tell_unshared(rig.zoo);
	foo = feed_topic_find(&rig.server->topics, kafka_wire_text("foo"));
	zoo = feed_topic_find(&rig.server->topics, kafka_wire_text("zoo"));
	connect_peer(&peer);
	connect_peer(&other);
	put_fetch(&peer, FETCH(.offset = FIRST, .bytes_min = 100000));
	put_fetch(&other, FETCH(.topic = "zoo", .offset = FIRST));
	flush(&peer);
	flush(&other);
	assert_true(has_no_answer(&peer));
	assert_true(has_no_answer(&other));
	foo->asked[0] = zoo->asked[0] = 0;
	fake_log_add(1, 10, 1000);
	tell_range();
	AWAIT(foo->asked[0] == FIRST);
	assert_int_equal(zoo->asked[0], 0);
	/* until its own bell rings */
	log_page_ring(rig.zoo, rig.bell);
	AWAIT(zoo->asked[0] == FIRST);
	assert_true(has_no_answer(&other));
	stop_feed();
}

/* min_bytes: it waits for as many; and its time-out gives what there is. */
static void
test_min_bytes(void **state)
{
	struct fetched f;

	(void)state;
	start_feed("");
	connect_peer(&peer);
	put_fetch(&peer, FETCH(.offset = FIRST, .bytes_min = 1000));
	flush(&peer);
	fake_log_add(1, 500, 1000);
	tell_range();
	assert_true(has_no_answer(&peer));
	fake_log_add(1, 500, 1000);
	tell_range();
	f = read_fetched(answer(&peer, peer.correlation));
	assert_batches(f.records, 0, 2);
	f = fetch(&peer,
	    FETCH(.offset = FIRST + 1, .bytes_min = 1000, .max_wait_ms = 50));
	assert_batches(f.records, 1, 1);
	f = fetch(&peer, FETCH(.offset = FIRST + 2, .max_wait_ms = 50));
	assert_int_equal(f.error, 0);
	assert_non_null(f.records.at); /* never null: librdkafka */
	assert_int_equal(f.records.bytes, 0);
	/* more than it would take: then what it would take is enough */
	f = fetch(&peer,
	    FETCH(.offset = FIRST, .bytes_min = 1 << 30, .bytes_max = 900));
	assert_batches(f.records, 0, 1);
	/* so it is with a partition, whose batches do not fill its part */
	f = fetch(&peer,
	    FETCH(.offset = FIRST, .bytes_min = 900,
		.partition_bytes_max = 900));
	assert_batches(f.records, 0, 1);
	/* no wait at all */
	f = fetch(&peer, FETCH(.offset = FIRST + 2, .max_wait_ms = NONE));
	assert_int_equal(f.records.bytes, 0);
	stop_feed();
}

/* Whoever waits for many bytes is looked after at each commit: not over all of a
 * long log. */
static void
test_min_bytes_of_many(void **state)
{
	struct fetched f;

	(void)state;
	start_feed("");
	for (unsigned i = 0; i < FEED_TOPIC_GUESS_BATCHES - 1; i++)
		fake_log_add(1, 10, 1000);
	tell_range();
	connect_peer(&peer);
	put_fetch(&peer, FETCH(.offset = FIRST, .bytes_min = 1 << 20));
	flush(&peer);
	assert_true(has_no_answer(&peer));
	fake_log_add(1, 10, 1000);
	tell_range();
	f = read_fetched(answer(&peer, peer.correlation));
	assert_batches(f.records, 0, FEED_TOPIC_GUESS_BATCHES);
	stop_feed();
}

/* One request does not keep the others waiting, whatever it allows. */
static void
test_greedy(void **state)
{
	const int32_t all = 1 << 30;
	struct fetched f;

	(void)state;
	start_feed("");
	connect_peer(&peer);
	for (unsigned i = 0; i < FEED_TOPIC_FETCH_BATCHES + 10; i++)
		fake_log_add(1, 10, 1000);
	tell_range();
	f = fetch(&peer,
	    FETCH(.offset = FIRST, .bytes_max = all,
		.partition_bytes_max = all));
	assert_batches(f.records, 0, FEED_TOPIC_FETCH_BATCHES);
	stop_feed();
	start_feed("");
	connect_peer(&peer);
	for (unsigned i = 0; i < 3; i++)
		fake_log_add(1, FEED_TOPIC_FETCH_MAX / 2 - KiB, 1000);
	tell_range();
	f = fetch(&peer,
	    FETCH(.offset = FIRST, .bytes_max = all,
		.partition_bytes_max = all));
	assert_batches(f.records, 0, 2);
	f = fetch(&peer,
	    FETCH(.offset = FIRST, .bytes_min = all, .bytes_max = all,
		.partition_bytes_max = all));
	assert_batches(f.records, 0, 2);
	stop_feed();
}

/* The same partition, as often as a request can ask for it: each piece of an
 * answer is found and written by itself, so there are not so many. */
static void
test_fetch_often(void **state)
{
	const unsigned times = KAFKA_REQUEST_PARTITIONS_MAX;
	unsigned pieces = 0;
	struct kafka_reader r;
	struct buf *b;

	(void)state;
	start_feed("");
	fake_log_add(1, 10, 1000);
	tell_range();
	connect_peer(&peer);
	b = begin(&peer, KAFKA_FETCH, 4);
	kafka_wire_put_i32(b, -1);
	kafka_wire_put_i32(b, 0);
	kafka_wire_put_i32(b, 1);
	kafka_wire_put_i32(b, 50 << 20);
	kafka_wire_put_i8(b, 1);
	kafka_wire_put_i32(b, 1);
	kafka_wire_put_string(b, kafka_wire_text("foo"));
	kafka_wire_put_i32(b, (int32_t)times);
	for (unsigned i = 0; i < times; i++) {
		kafka_wire_put_i32(b, 0);
		kafka_wire_put_i64(b, FIRST);
		kafka_wire_put_i32(b, 1 << 20);
	}
	end(&peer);
	flush(&peer);
	r = answer(&peer, peer.correlation);
	(void)kafka_wire_i32(&r);
	assert_int_equal(kafka_wire_i32(&r), 1);
	(void)kafka_wire_string(&r);
	assert_int_equal(kafka_wire_i32(&r), times);
	for (unsigned i = 0; i < times; i++) {
		(void)kafka_wire_i32(&r);
		assert_int_equal(kafka_wire_i16(&r), 0);
		assert_int_equal(kafka_wire_i64(&r), FIRST + 1);
		(void)kafka_wire_i64(&r);
		assert_int_equal(kafka_wire_i32(&r), 0);
		pieces += kafka_wire_bytes(&r).bytes > 0;
	}
	assert_false(r.is_bad);
	assert_ptr_equal(r.at, r.end);
	assert_int_equal(pieces, FEED_SERVE_PIECES_MAX);
	stop_feed();
}

/* Errors wait for the client's time, and for ours when he has none. */
static void
test_errors_wait(void **state)
{
	static const struct {
		const char *topic;
		int64_t offset;
		int16_t error;
	} cases[] = {
		{ "foo", FIRST - 1, 1 },
		{ "foo", FIRST + 2, 1 },
		{ "foo", -1, 1 },
		{ "foo", INT64_MAX, 1 },
		{ "unknown", FIRST, 3 },
	};

	(void)state;
	start_feed("");
	fake_log_add(1, 10, 1000);
	tell_range();
	connect_peer(&peer);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (int32_t wait = 0; wait < 400; wait += 200) {
			int64_t began = clock_mono_ms();
			struct fetched f = fetch(&peer,
			    FETCH(.topic = cases[i].topic,
				.offset = cases[i].offset,
				.max_wait_ms = wait == 0 ? NONE : wait));

			assert_int_equal(f.error, cases[i].error);
			assert_int_equal(f.start, -1);
			assert_int_equal(f.end, -1);
			/* the loop's clock may be a turn behind */
			assert_true(clock_mono_ms() - began >=
			    MAX_OF(wait, FEED_SERVE_ERROR_MS) - 20);
		}
	/* the worker hears who has asked beyond the end */
	assert_int_equal(log_page_asked_beyond(rig.page, 0), INT64_MAX);
	stop_feed();
}

/* How a consumer says good-bye: nothing is wanted, so nothing is waited for. */
static void
test_last_fetch(void **state)
{
	struct kafka_reader r;
	struct buf *b;

	(void)state;
	start_feed("");
	connect_peer(&peer);
	b = begin(&peer, KAFKA_FETCH, 7);
	kafka_wire_put_i32(b, -1);
	kafka_wire_put_i32(b, 3600000);
	kafka_wire_put_i32(b, 1);
	kafka_wire_put_i32(b, 1 << 20);
	kafka_wire_put_i8(b, 1);
	kafka_wire_put_i32(b, 0);
	kafka_wire_put_i32(b, -1);
	kafka_wire_put_i32(b, 0);
	kafka_wire_put_i32(b, 0);
	end(&peer);
	flush(&peer);
	r = answer(&peer, peer.correlation);
	assert_int_equal(kafka_wire_i32(&r), 0);
	assert_int_equal(kafka_wire_i16(&r), 0);
	assert_int_equal(kafka_wire_i32(&r), 0);
	assert_int_equal(kafka_wire_i32(&r), 0);
	assert_ptr_equal(r.at, r.end);
	stop_feed();
}

/* Nor does he get what comes behind it instead, which is as long. */
static void
test_removed_in_part(void **state)
{
	struct feed_topics *all;
	unsigned batches = FEED_TOPIC_FETCH_BATCHES;
	struct feed_topic_wish wish = { .offset = FIRST,
		.bytes_max = MiB,
		.batches_left = &batches,
		.has_look = true };
	struct feed_piece piece;
	struct feed_gather found;
	struct log_range range;
	struct feed_topic *t;

	(void)state;
	start_feed("");
	all = &rig.server->topics;
	t = feed_topic_find(all, kafka_wire_text("foo"));
	for (unsigned i = 0; i < 4 * FEED_TOPIC_IOVS; i++)
		fake_log_add(1, 100, 1000);
	tell_range();
	for (unsigned removed = FEED_TOPIC_IOVS; removed <= FEED_TOPIC_IOVS + 1;
	     removed++) {
		fake_log.begin = 0;
		assert_true(feed_topic_begin(t, 0));
		assert_int_equal(
		    feed_topic_fetch(all, t, &wish, &range, &piece), 0);
		assert_int_equal(
		    feed_topic_gather(&piece, &found), FEED_TOPIC_IOVS);
		feed_topic_sent(
		    &piece, &found, FEED_TOPIC_IOVS * fake_log.batches[0].size);
		feed_topic_end(t);
		fake_log.begin = removed;
		assert_true(feed_topic_begin(t, 0));
		assert_int_equal(feed_topic_gather(&piece, &found),
		    removed > FEED_TOPIC_IOVS ? 0 : FEED_TOPIC_IOVS);
		feed_topic_end(t);
	}
	stop_feed();
}

/* The spool is trimmed before the page says so. */
static void
test_removed_untold(void **state)
{
	struct fetched f;

	(void)state;
	start_feed("");
	for (unsigned i = 0; i < 5; i++)
		fake_log_add(10, 100, 1000);
	tell_range();
	fake_log.begin = 3;
	connect_peer(&peer);
	f = fetch(&peer, FETCH(.offset = FIRST, .max_wait_ms = NONE));
	assert_int_equal(f.error, KAFKA_OFFSET_OUT_OF_RANGE);
	f = fetch(&peer, FETCH(.offset = FIRST + 29, .max_wait_ms = NONE));
	assert_int_equal(f.error, KAFKA_OFFSET_OUT_OF_RANGE);
	f = fetch(&peer, FETCH(.offset = FIRST + 30));
	assert_batches(f.records, 3, 2);
	stop_feed();
}

static void
test_damaged(void **state)
{
	struct fetched f;

	(void)state;
	start_feed("");
	for (unsigned i = 0; i < 5; i++)
		fake_log_add(10, 100, 1000);
	fake_log.batches[0].bytes[100] ^= 1;
	fake_log.batches[3].bytes[100] ^= 1;
	tell_range();
	connect_peer(&peer);
	/* the gap is passed over; one answer has no gap in it */
	f = fetch(&peer, FETCH(.offset = FIRST));
	assert_batches(f.records, 1, 2);
	f = fetch(&peer, FETCH(.offset = FIRST + 30));
	assert_batches(f.records, 4, 1);
	assert_true(rig.server->topics.damaged >= 2);
	stop_feed();
}

/* While the worker is away, nothing is read from the spool; then it is another
 * opening. */
static void
test_worker_away(void **state)
{
	struct fetched f;

	(void)state;
	start_feed("");
	fake_log_add(10, 100, 1000);
	tell_range();
	connect_peer(&peer);
	f = fetch(&peer, FETCH(.offset = FIRST));
	assert_batches(f.records, 0, 1);
	log_page_close(rig.page);
	assert_int_equal(list_offset(&peer, KAFKA_LATEST).offset, FIRST + 10);
	put_fetch(&peer, FETCH(.offset = FIRST));
	flush(&peer);
	assert_true(has_no_answer(&peer));
	assert_int_equal(fake_log.views, 0);
	log_page_open(rig.page, "3e7c5b9a-0000-0000-0000-000000000000");
	log_page_ring(rig.page, rig.bell);
	f = read_fetched(answer(&peer, peer.correlation));
	assert_batches(f.records, 0, 1);
	assert_int_equal(fake_log.opened, 2);
	stop_feed();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fetch),
		cmocka_unit_test(test_waits),
		cmocka_unit_test(test_others_wait),
		cmocka_unit_test(test_min_bytes),
		cmocka_unit_test(test_min_bytes_of_many),
		cmocka_unit_test(test_greedy),
		cmocka_unit_test(test_fetch_often),
		cmocka_unit_test(test_errors_wait),
		cmocka_unit_test(test_last_fetch),
		cmocka_unit_test(test_removed_in_part),
		cmocka_unit_test(test_removed_untold),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_worker_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
