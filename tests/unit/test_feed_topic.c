/*
 * test_feed_topic - topics and their partitions, of those that several tranqds
 * share too
 */
#include "feed_rig.h"

static void
test_metadata(void **state)
{
	struct kafka_reader r;

	(void)state;
	start_feed("");
	connect_peer(&peer);
	for (unsigned i = 0; i < 3; i++) {
		put_metadata(&peer, i == 0 ? NULL : i == 1 ? "foo" : "unknown");
		flush(&peer);
		r = answer(&peer, peer.correlation);
		assert_int_equal(kafka_wire_i32(&r), 1);
		assert_int_equal(kafka_wire_i32(&r), 1);
		assert_true(kafka_wire_is(kafka_wire_string(&r), "host"));
		assert_int_equal(kafka_wire_i32(&r), 9094);
		assert_null(kafka_wire_nullable(&r).at);
		assert_int_equal(kafka_wire_i32(&r), 1);
		assert_int_equal(kafka_wire_i32(&r), 1); /* topics */
		assert_int_equal(kafka_wire_i16(&r), i == 2 ? 3 : 0);
		assert_true(kafka_wire_is(
		    kafka_wire_string(&r), i == 2 ? "unknown" : "foo"));
		(void)kafka_wire_i8(&r);
		assert_int_equal(kafka_wire_i32(&r), i == 2 ? 0 : 1);
	}
	stop_feed();
}

/* Three of one topic: partition 4 is ours, 2 is of one who is away, so that we
 * stand in for him, 7 is of another one. */
static void
share(struct log_peers *p, int32_t leader_of_4)
{
	*p = (struct log_peers){ .is_shared = true,
		.count = 3,
		.own = 4,
		.node = log_peers_node("host", 9094),
		.all = { { 2, 0, 500, 800 }, { 4, leader_of_4, 1, 1 },
		    { 7, log_peers_node("two", 1), 70, 71 } } };
	p->all[0].leader = p->node;
	if (leader_of_4 == 0)
		p->all[1].leader = p->node;
	assert_true(log_peers_add_broker(p, "host", 9094));
	assert_true(log_peers_add_broker(p, "two", 1));
	log_page_tell_peers(rig.page, p);
}

static void
assert_shared_metadata(const char *topic, const struct log_peers *p)
{
	struct kafka_reader r;

	put_metadata(&peer, topic);
	flush(&peer);
	r = answer(&peer, peer.correlation);
	assert_int_equal(kafka_wire_i32(&r), 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(kafka_wire_i32(&r), p->brokers[i].node);
		assert_true(
		    kafka_wire_is(kafka_wire_string(&r), p->brokers[i].host));
		assert_int_equal(kafka_wire_i32(&r), p->brokers[i].port);
		assert_null(kafka_wire_nullable(&r).at);
	}
	assert_int_equal(kafka_wire_i32(&r), p->brokers[0].node);
	assert_int_equal(kafka_wire_i32(&r), 1);
	assert_int_equal(kafka_wire_i16(&r), 0);
	assert_true(kafka_wire_is(kafka_wire_string(&r), "foo"));
	(void)kafka_wire_i8(&r);
	assert_int_equal(kafka_wire_i32(&r), 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(kafka_wire_i16(&r), 0);
		assert_int_equal(kafka_wire_i32(&r), p->all[i].number);
		assert_int_equal(kafka_wire_i32(&r), p->all[i].leader);
		for (unsigned n = 0; n < 2; n++) { /* replicas, in sync */
			assert_int_equal(kafka_wire_i32(&r), 1);
			assert_int_equal(kafka_wire_i32(&r), p->all[i].leader);
		}
	}
	assert_false(r.is_bad);
}

static void
assert_listed(int32_t partition, int16_t error, int64_t start, int64_t end)
{
	struct feed_topic_place place;

	assert_int_equal(
	    list_partition(&peer, partition, KAFKA_EARLIEST, &place), error);
	assert_int_equal(place.offset, start);
	assert_int_equal(
	    list_partition(&peer, partition, KAFKA_LATEST, &place), error);
	assert_int_equal(place.offset, end);
}

/* What is told before it is told with whom the topic is shared, if with anybody,
 * may be any partition: there is no topic yet, nor a consumer who knows another
 * log. */
static void
test_shared_unknown(void **state)
{
	const struct fetch beyond = {
		.topic = "zoo", .offset = FIRST + 9, .max_wait_ms = NONE
	};
	struct feed_topic *zoo;

	(void)state;
	start_feed("");
	zoo = feed_topic_find(&rig.server->topics, kafka_wire_text("zoo"));
	log_page_tell(rig.zoo, 0, (struct log_range){ FIRST, FIRST + 5 });
	connect_peer(&peer);
	assert_int_equal(fetch(&peer, &beyond).error, 3);
	assert_int_equal(feed_topic_partitions(zoo), 0);
	assert_int_equal(log_page_asked_beyond(rig.zoo, 0), 0);
	tell_unshared(rig.zoo);
	assert_int_equal(fetch(&peer, &beyond).error, 1);
	assert_int_equal(feed_topic_partitions(zoo), 1);
	assert_int_equal(log_page_asked_beyond(rig.zoo, 0), FIRST + 9);
	stop_feed();
}

/* Whoever knows the topic from others asks for offsets first: what is agreed
 * on is looked at for him, too. */
static void
test_shared_first(void **state)
{
	struct log_peers peers;

	(void)state;
	start_feed("");
	fake_log_add(10, 20, 1000);
	tell_range();
	connect_peer(&peer);
	share(&peers, 0);
	assert_listed(2, 0, 500, 800);
	assert_listed(4, 0, FIRST, FIRST + 10);
	assert_listed(0, 3, -1, -1);
	peers.is_shared = false;
	log_page_tell_peers(rig.page, &peers);
	assert_listed(0, 0, FIRST, FIRST + 10);
	stop_feed();
}

static void
test_shared(void **state)
{
	struct log_peers peers;
	struct fetched f;

	(void)state;
	start_feed("");
	rig.server->self.node = log_peers_node("host", 9094);
	share(&peers, 0);
	for (unsigned i = 0; i < 3; i++)
		fake_log_add(10, 20, 1000);
	tell_range();
	connect_peer(&peer);
	assert_shared_metadata("foo", &peers);
	assert_shared_metadata(NULL, &peers);
	assert_listed(2, 0, 500, 800);
	assert_listed(4, 0, FIRST, FIRST + 30);
	assert_listed(7, 6, -1, -1);
	assert_listed(0, 3, -1, -1);
	f = fetch(&peer, FETCH(.partition = 4, .offset = FIRST + 10));
	assert_int_equal(f.error, 0);
	assert_batches(f.records, 1, 2);
	/* no records of one that is away, at whatever offset */
	for (int64_t offset = 0; offset < 1000; offset += 499) {
		f = fetch(&peer,
		    FETCH(.partition = 2, .offset = offset, .max_wait_ms = 20));
		assert_int_equal(f.error, 0);
		assert_int_equal(f.records.bytes, 0);
		assert_int_equal(f.start, 500);
		assert_int_equal(f.end, 800);
	}
	put_fetch(&peer, FETCH(.partition = 2, .offset = 600));
	flush(&peer);
	assert_true(has_no_answer(&peer));
	disconnect(&peer);
	connect_peer(&peer);
	f = fetch(
	    &peer, FETCH(.partition = 7, .offset = 70, .max_wait_ms = 20));
	assert_int_equal(f.error, 6);
	f = fetch(
	    &peer, FETCH(.partition = 0, .offset = FIRST, .max_wait_ms = 20));
	assert_int_equal(f.error, 3);
	/* another one has a copy of our log, or we do not know: nobody has two
	 * logs of one number */
	share(&peers, log_peers_node("two", 1));
	f = fetch(
	    &peer, FETCH(.partition = 4, .offset = FIRST, .max_wait_ms = 20));
	assert_int_equal(f.error, 6);
	assert_listed(4, 6, -1, -1);
	share(&peers, 0);
	f = fetch(&peer, FETCH(.partition = 4, .offset = FIRST));
	assert_batches(f.records, 0, 3);
	/* beyond the end, of our own: our worker hears of it */
	f = fetch(&peer,
	    FETCH(.partition = 4, .offset = FIRST + 31, .max_wait_ms = 20));
	assert_int_equal(f.error, 1);
	assert_int_equal(log_page_asked_beyond(rig.page, 0), FIRST + 31);
	/* nothing is agreed on: no topic; then it is ours alone again */
	peers.count = 0;
	log_page_tell_peers(rig.page, &peers);
	f = fetch(
	    &peer, FETCH(.partition = 4, .offset = FIRST, .max_wait_ms = 20));
	assert_int_equal(f.error, 3);
	peers.is_shared = false;
	log_page_tell_peers(rig.page, &peers);
	f = fetch(&peer, FETCH(.offset = FIRST));
	assert_batches(f.records, 0, 3);
	stop_feed();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_metadata),
		cmocka_unit_test(test_shared_unknown),
		cmocka_unit_test(test_shared_first),
		cmocka_unit_test(test_shared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
