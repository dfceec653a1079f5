/*
 * test_feed_offsets - places in a log, by offset and by time
 */
#include "feed_rig.h"

static void
test_list_offsets(void **state)
{
	struct feed_topic_place place;

	(void)state;
	start_feed("");
	for (unsigned i = 0; i < 5; i++)
		fake_log_add(10, 20, 1000 + 100 * i);
	tell_range();
	connect_peer(&peer);
	assert_int_equal(list_offset(&peer, KAFKA_EARLIEST).offset, FIRST);
	assert_int_equal(list_offset(&peer, KAFKA_LATEST).offset, FIRST + 50);
	assert_int_equal(list_offset(&peer, 0).offset, FIRST);
	/* within a batch, and between two */
	place = list_offset(&peer, 1203);
	assert_int_equal(place.offset, FIRST + 23);
	assert_int_equal(place.time_ms, 1203);
	place = list_offset(&peer, 1250);
	assert_int_equal(place.offset, FIRST + 30);
	assert_int_equal(place.time_ms, 1300);
	assert_int_equal(list_offset(&peer, 1410).offset, -1);
	/* what is not durable is not there, though it can be seen */
	fake_log_add(10, 20, 1500);
	assert_int_equal(list_offset(&peer, KAFKA_LATEST).offset, FIRST + 50);
	assert_int_equal(list_offset(&peer, 1505).offset, -1);
	stop_feed();
}

/* The same place, as often as a request can ask for it: so many batches are not
 * taken apart, and the rest is told their batch, which leaves nothing out. */
static void
test_list_often(void **state)
{
	unsigned exact = 0;
	struct kafka_reader r;

	(void)state;
	start_feed("");
	fake_log_add(10, 400 * KiB, 1000);
	tell_range();
	connect_peer(&peer);
	put_list_offsets(&peer, 0, 1007, KAFKA_REQUEST_PARTITIONS_MAX);
	flush(&peer);
	r = answer(&peer, peer.correlation);
	(void)kafka_wire_i32(&r);
	(void)kafka_wire_string(&r);
	(void)kafka_wire_i32(&r);
	for (unsigned i = 0; i < KAFKA_REQUEST_PARTITIONS_MAX; i++) {
		int64_t time_ms, offset;

		(void)kafka_wire_i32(&r);
		assert_int_equal(kafka_wire_i16(&r), 0);
		time_ms = kafka_wire_i64(&r);
		offset = kafka_wire_i64(&r);
		exact += time_ms == 1007;
		assert_int_equal(offset, time_ms == 1007 ? FIRST + 7 : FIRST);
	}
	assert_false(r.is_bad);
	assert_in_range(exact, 1, FEED_TOPIC_UNPACK_MAX / (4000 * KiB));
	/* another request has as much again */
	assert_int_equal(list_offset(&peer, 1007).offset, FIRST + 7);
	stop_feed();
}

/* Nor are so many batches looked at: what comes out is a place before the right
 * one. */
static void
test_list_far(void **state)
{
	(void)state;
	start_feed("");
	for (unsigned i = 0; i < 20; i++)
		fake_log_add(10, 10, 1000);
	fake_log_add(10, 10, 2000);
	tell_range();
	connect_peer(&peer);
	assert_int_equal(list_offset(&peer, 2000).offset, FIRST + 200);
	fake_log.searches = 0;
	put_list_offsets(&peer, 0, 2000, KAFKA_REQUEST_PARTITIONS_MAX);
	flush(&peer);
	(void)answer(&peer, peer.correlation);
	/* each of one batch here; 21 for each place it would be */
	assert_in_range(fake_log.searches, 1,
	    FEED_TOPIC_SEARCH_MAX / 1024 + KAFKA_REQUEST_PARTITIONS_MAX);
	stop_feed();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list_offsets),
		cmocka_unit_test(test_list_often),
		cmocka_unit_test(test_list_far),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
