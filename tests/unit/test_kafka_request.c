/*
 * test_kafka_request - what Kafka clients send; the frames of the Java client
 * 4.3.0 (client.id c, topic wikipedia) as they were captured
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "kafka_hex.h"
#include "kafka_request.h"

static struct kafka_request q;

/* A whole frame, with its size in front. */
static enum kafka_verdict
read_hex(const char *text)
{
	static uint8_t bytes[1024]; /* the request points into it */
	size_t count = kafka_hex(text, bytes, sizeof bytes);

	assert_int_equal(kafka_wire_frame_size(bytes), count - 4);
	return kafka_request_read(&q, bytes + 4, count - 4);
}

static void
test_api_versions(void **state)
{
	(void)state;
	assert_int_equal(
	    read_hex("00000025 0012 0004 00000001 000163 00 12 "
		     "6170616368652d6b61666b612d6a617661 06 342e332e30 00"),
	    KAFKA_TAKEN);
	assert_int_equal(q.api, KAFKA_API_VERSIONS);
	assert_int_equal(q.version, 4);
	assert_int_equal(q.correlation, 1);
	assert_true(kafka_wire_is(q.client, "c"));
	/* without a body, and with a null client id */
	assert_int_equal(
	    read_hex("0000000a 0012 0002 ffffffff ffff"), KAFKA_TAKEN);
	assert_int_equal(q.correlation, -1);
	assert_null(q.client.at);
	/* one that nobody knows yet: its correlation id at least */
	assert_int_equal(
	    read_hex("00000009 0012 0005 00000007 77"), KAFKA_TOO_NEW);
	assert_int_equal(q.correlation, 7);
}

static void
test_metadata(void **state)
{
	(void)state;
	assert_int_equal(
	    read_hex("00000012 0003 0008 00000002 000163 00000000 01 00 00"),
	    KAFKA_TAKEN);
	assert_false(q.all_topics);
	assert_int_equal(q.topic_count, 0);
	/* null: all; in version 0 an empty list is */
	assert_int_equal(
	    read_hex("0000000f 0003 0001 00000002 000163 ffffffff"),
	    KAFKA_TAKEN);
	assert_true(q.all_topics);
	assert_int_equal(
	    read_hex("0000000f 0003 0000 00000002 000163 00000000"),
	    KAFKA_TAKEN);
	assert_true(q.all_topics);
	assert_int_equal(
	    read_hex("00000016 0003 0004 00000002 000163 00000002 000161 "
		     "0001 62 01"),
	    KAFKA_TAKEN);
	assert_false(q.all_topics);
	assert_int_equal(q.topic_count, 2);
	assert_true(kafka_wire_is(q.topics[0].name, "a"));
	assert_true(kafka_wire_is(q.topics[1].name, "b"));
}

static void
test_list_offsets(void **state)
{
	(void)state;
	assert_int_equal(
	    read_hex("00000033 0002 0005 00000006 000163 ffffffff 01 00000001 "
		     "0009 77696b697065646961 00000001 00000000 ffffffff "
		     "fffffffffffffffe"),
	    KAFKA_TAKEN);
	assert_int_equal(q.topic_count, 1);
	assert_true(kafka_wire_is(q.topics[0].name, "wikipedia"));
	assert_int_equal(q.topics[0].first, 0);
	assert_int_equal(q.topics[0].count, 1);
	assert_int_equal(q.partitions[0].index, 0);
	assert_int_equal(q.partitions[0].offset, KAFKA_EARLIEST);
	/* version 1 has neither isolation nor epoch */
	assert_int_equal(
	    read_hex("00000026 0002 0001 00000006 000163 ffffffff 00000001 "
		     "0001 77 00000001 00000003 ffffffffffffffff"),
	    KAFKA_TAKEN);
	assert_int_equal(q.partitions[0].index, 3);
	assert_int_equal(q.partitions[0].offset, KAFKA_LATEST);
}

static void
test_fetch(void **state)
{
	(void)state;
	assert_int_equal(
	    read_hex("00000059 0001 000b 00000003 000163 ffffffff 000001f4 "
		     "00000001 03200000 01 00000000 00000000 00000001 "
		     "0009 77696b697065646961 00000001 00000000 ffffffff "
		     "0000000000000000 ffffffffffffffff 00100000 00000000 "
		     "0000"),
	    KAFKA_TAKEN);
	assert_int_equal(q.max_wait_ms, 500);
	assert_int_equal(q.bytes_min, 1);
	assert_int_equal(q.bytes_max, 52428800);
	assert_int_equal(q.session_id, 0);
	assert_int_equal(q.session_epoch, 0);
	assert_int_equal(q.partition_count, 1);
	assert_int_equal(q.partitions[0].offset, 0);
	assert_int_equal(q.partitions[0].bytes_max, 1 << 20);
	/* the oldest, which knows no sessions: 4 */
	assert_int_equal(
	    read_hex("00000037 0001 0004 00000003 000163 ffffffff 000001f4 "
		     "00000001 03200000 01 00000001 0001 77 00000001 00000002 "
		     "00000000000003e8 00100000"),
	    KAFKA_TAKEN);
	assert_int_equal(q.session_epoch, -1);
	assert_int_equal(q.partitions[0].index, 2);
	assert_int_equal(q.partitions[0].offset, 1000);
}

/* Topics' partitions stand one behind the other in one array. */
static void
test_fetch_topics(void **state)
{
	(void)state;
	assert_int_equal(
	    read_hex("00000061 0001 0007 00000003 000163 ffffffff 000001f4 "
		     "00000001 03200000 01 00000000 00000000 00000002 "
		     "0001 61 00000001 "
		     "00000005 0000000000000009 ffffffffffffffff 00000064 "
		     "0001 62 00000000 "
		     "00000001 0001 63 00000002 00000001 00000002"),
	    KAFKA_TAKEN);
	assert_int_equal(q.topic_count, 2);
	assert_int_equal(q.topics[0].count, 1);
	assert_int_equal(q.topics[1].count, 0);
	assert_int_equal(q.partitions[0].bytes_max, 100);
}

static void
test_sasl(void **state)
{
	(void)state;
	assert_int_equal(
	    read_hex("00000012 0011 0001 00000001 000163 0005 504c41494e"),
	    KAFKA_TAKEN);
	assert_true(kafka_wire_is(q.sasl, "PLAIN"));
	assert_int_equal(
	    read_hex("00000011 0024 0001 00000001 000163 00000002 0061"),
	    KAFKA_TAKEN);
	assert_int_equal(q.sasl.bytes, 2);
	assert_int_equal(
	    read_hex("0000000f 0024 0001 00000001 000163 ffffffff"),
	    KAFKA_MALFORMED);
}

static void
test_unserved(void **state)
{
	static const int16_t cases[][2] = {
		{ KAFKA_PRODUCE, 3 },
		{ KAFKA_FETCH, 3 },
		{ KAFKA_FETCH, 12 },
		{ KAFKA_FETCH, -1 },
		{ KAFKA_LIST_OFFSETS, 0 },
		{ KAFKA_LIST_OFFSETS, 6 },
		{ KAFKA_METADATA, 9 },
		{ KAFKA_API_VERSIONS, -1 },
		{ KAFKA_SASL_HANDSHAKE, 2 },
		{ KAFKA_SASL_AUTHENTICATE, 2 },
		{ 8, 0 },
		{ 10, 0 },
		{ 23, 3 },
		{ 71, 0 },
		{ -1, 0 },
		{ INT16_MAX, 0 },
	};
	uint8_t frame[64] = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		frame[0] = (uint8_t)(cases[i][0] >> 8);
		frame[1] = (uint8_t)cases[i][0];
		frame[2] = (uint8_t)(cases[i][1] >> 8);
		frame[3] = (uint8_t)cases[i][1];
		assert_int_equal(kafka_request_read(&q, frame, sizeof frame),
		    KAFKA_UNSERVED);
		assert_int_equal(q.api, cases[i][0]);
		assert_int_equal(q.version, cases[i][1]);
	}
}

/* Whatever is cut off from a frame, it is not taken; nothing behind what is
 * left is read (the sanitizers see to that). */
static void
test_cut_off(void **state)
{
	uint8_t whole[128], *part;
	size_t count = kafka_hex(
	    "0001 000b 00000003 000163 ffffffff 000001f4 00000001 03200000 01 "
	    "00000000 00000000 00000001 0009 77696b697065646961 00000001 "
	    "00000000 ffffffff 0000000000000000 ffffffffffffffff 00100000 "
	    "00000000 0000",
	    whole, sizeof whole);

	(void)state;
	assert_int_equal(kafka_request_read(&q, whole, count), KAFKA_TAKEN);
	for (size_t n = 0; n < count; n++) {
		part = must_malloc(MAX_OF(n, 1));
		memcpy(part, whole, n);
		assert_int_equal(
		    kafka_request_read(&q, part, n), KAFKA_MALFORMED);
		free(part);
	}
	/* what is behind it is passed over */
	whole[count] = 1;
	assert_int_equal(kafka_request_read(&q, whole, count + 1), KAFKA_TAKEN);
}

static void
test_counts(void **state)
{
	(void)state;
	/* more topics than the frame has room for */
	assert_int_equal(
	    read_hex("0000000f 0003 0001 00000002 000163 7fffffff"),
	    KAFKA_MALFORMED);
	assert_int_equal(
	    read_hex("0000000f 0003 0001 00000002 000163 fffffffe"),
	    KAFKA_MALFORMED);
	/* no null where an array must be */
	assert_int_equal(
	    read_hex("00000014 0002 0002 00000006 000163 ffffffff 01 "
		     "ffffffff"),
	    KAFKA_MALFORMED);
}

/* As many topics as a request may have, and one more. */
static void
test_bound_of_topics(void **state)
{
	struct buf b;

	(void)state;
	for (unsigned more = 0; more < 2; more++) {
		buf_init(&b, MiB);
		kafka_wire_put_i16(&b, KAFKA_METADATA);
		kafka_wire_put_i16(&b, 1);
		kafka_wire_put_i32(&b, 9);
		kafka_wire_put_i16(&b, -1);
		kafka_wire_put_i32(
		    &b, (int32_t)(KAFKA_REQUEST_TOPICS_MAX + more));
		for (unsigned i = 0; i < KAFKA_REQUEST_TOPICS_MAX + more; i++)
			kafka_wire_put_string(&b, kafka_wire_text("t"));
		assert_int_equal(kafka_request_read(&q, b.bytes, b.used),
		    more == 0 ? KAFKA_TAKEN : KAFKA_MALFORMED);
		buf_free(&b);
	}
}

static void
test_bound_of_partitions(void **state)
{
	struct buf b;

	(void)state;
	for (unsigned more = 0; more < 2; more++) {
		buf_init(&b, MiB);
		kafka_wire_put_i16(&b, KAFKA_LIST_OFFSETS);
		kafka_wire_put_i16(&b, 1);
		kafka_wire_put_i32(&b, 9);
		kafka_wire_put_i16(&b, -1);
		kafka_wire_put_i32(&b, -1);
		kafka_wire_put_i32(&b, 1);
		kafka_wire_put_string(&b, kafka_wire_text("t"));
		kafka_wire_put_i32(
		    &b, (int32_t)(KAFKA_REQUEST_PARTITIONS_MAX + more));
		for (unsigned i = 0; i < KAFKA_REQUEST_PARTITIONS_MAX + more;
		     i++) {
			kafka_wire_put_i32(&b, (int32_t)i);
			kafka_wire_put_i64(&b, -1);
		}
		assert_int_equal(kafka_request_read(&q, b.bytes, b.used),
		    more == 0 ? KAFKA_TAKEN : KAFKA_MALFORMED);
		buf_free(&b);
	}
}

static void
test_names(void **state)
{
	(void)state;
	assert_string_equal(kafka_request_name(KAFKA_FETCH), "Fetch");
	assert_string_equal(kafka_request_name(KAFKA_PRODUCE), "Produce");
	assert_null(kafka_request_name(9));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_api_versions),
		cmocka_unit_test(test_metadata),
		cmocka_unit_test(test_list_offsets),
		cmocka_unit_test(test_fetch),
		cmocka_unit_test(test_fetch_topics),
		cmocka_unit_test(test_sasl),
		cmocka_unit_test(test_unserved),
		cmocka_unit_test(test_cut_off),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_bound_of_topics),
		cmocka_unit_test(test_bound_of_partitions),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
