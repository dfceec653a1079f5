/*
 * test_kafka_answer - what Kafka clients are answered, in every version; the
 * frames that the Java client 4.3.0 took as they were captured
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "kafka_answer.h"
#include "kafka_hex.h"
#include "kafka_shape.h"

static struct kafka_request q;
static struct buf b;

static void
begin(int16_t api, int16_t version, int32_t correlation)
{
	q = (struct kafka_request){
		.api = api, .version = version, .correlation = correlation
	};
	buf_free(&b);
	buf_init(&b, MiB);
}

/* One topic with one partition is asked about. */
static void
ask_wikipedia(void)
{
	q.topic_count = q.partition_count = 1;
	q.topics[0].name = kafka_wire_text("wikipedia");
	q.topics[0].count = 1;
}

static void
assert_hex(const char *text)
{
	uint8_t bytes[1024];
	size_t count = kafka_hex(text, bytes, sizeof bytes);

	assert_false(b.failed);
	assert_int_equal(b.used, count);
	assert_memory_equal(b.bytes, bytes, count);
}

/* The answer, which is all of the buf, has its API's shape. */
static void
assert_shape(struct kafka_shape *s)
{
	char shape[128];

	assert_int_equal(kafka_wire_frame_size(b.bytes), b.used - 4);
	assert_true(kafka_shape_holds(s, b.bytes + 8, b.used - 8,
	    kafka_shape_of(q.api, q.version, shape)));
}

static void
test_captured_api_versions(void **state)
{
	static const struct kafka_answer_api apis[] = {
		{ 1, 4, 11 },
		{ 2, 2, 5 },
		{ 3, 1, 8 },
		{ 18, 0, 4 },
	};
	size_t at;

	(void)state;
	begin(KAFKA_API_VERSIONS, 4, 1);
	at = kafka_answer_begin(&b, &q);
	kafka_answer_api_versions(&b, &q, apis, ARRAY_LEN(apis));
	kafka_answer_end(&b, at, 0);
	assert_hex("00000028 00000001 0000 05 0001 0004 000b 00 0002 0002 0005 "
		   "00 0003 0001 0008 00 0012 0000 0004 00 00000000 00");
}

static void
test_captured_metadata(void **state)
{
	struct kafka_answer_broker broker = { 1, 19095,
		kafka_wire_text("127.0.0.1") };
	struct kafka_answer_cluster cluster = { kafka_wire_text("tranqd"), 1,
		&broker, 1 };
	size_t at;

	(void)state;
	begin(KAFKA_METADATA, 8, 2);
	at = kafka_answer_begin(&b, &q);
	kafka_answer_metadata(&b, &q, &cluster, 0);
	kafka_answer_metadata_end(&b, &q);
	kafka_answer_end(&b, at, 0);
	assert_hex("00000035 00000002 00000000 00000001 00000001 0009 "
		   "3132372e302e302e31 00004a97 ffff 0006 7472616e7164 "
		   "00000001 00000000 80000000");
}

static void
test_captured_list_offsets(void **state)
{
	size_t at;

	(void)state;
	begin(KAFKA_LIST_OFFSETS, 5, 6);
	ask_wikipedia();
	at = kafka_answer_begin(&b, &q);
	kafka_answer_offsets(&b, &q);
	kafka_answer_topic(&b, q.topics[0].name, 1);
	kafka_answer_offsets_partition(&b, &q, 0, KAFKA_OK, -1, 0);
	kafka_answer_end(&b, at, 0);
	assert_hex("00000035 00000006 00000000 00000001 0009 "
		   "77696b697065646961 00000001 00000000 0000 "
		   "ffffffffffffffff 0000000000000000 ffffffff");
}

static void
test_api_versions(void **state)
{
	struct kafka_shape s;
	unsigned plain, all;

	(void)state;
	(void)kafka_answer_apis(false, &plain);
	(void)kafka_answer_apis(true, &all);
	assert_int_equal(all, plain + 2);
	for (int16_t version = 0; version <= 6; version++) {
		size_t at;

		begin(KAFKA_API_VERSIONS, version, 77);
		at = kafka_answer_begin(&b, &q);
		kafka_answer_api_versions(
		    &b, &q, kafka_answer_apis(true, &all), all);
		kafka_answer_end(&b, at, 0);
		assert_shape(&s);
		assert_int_equal(s.numbers[0], version > 4 ? 35 : 0);
		for (unsigned i = 0; i < all; i++) {
			int64_t *api = &s.numbers[1 + 3 * i];

			/* what is offered is read, and no more than that */
			if (api[0] == KAFKA_PRODUCE)
				continue;
			for (int16_t v = -1; v < 20; v++) {
				uint8_t frame[] = { 0, (uint8_t)api[0],
					(uint8_t)(v >> 8), (uint8_t)v, 0, 0, 0,
					0, 0, 0 };
				enum kafka_verdict got =
				    kafka_request_read(&q, frame, sizeof frame);

				assert_int_equal(v >= api[1] && v <= api[2],
				    got == KAFKA_TAKEN ||
					got == KAFKA_MALFORMED);
			}
		}
	}
}

/* Two brokers, two topics: one has two partitions (one without a leader), one
 * is not known. */
static void
test_metadata(void **state)
{
	struct kafka_answer_broker brokers[] = {
		{ 3, 9094, kafka_wire_text("one") },
		{ 5, 9095, kafka_wire_text("two") },
	};
	struct kafka_answer_cluster cluster = { kafka_wire_text("x"), 3,
		brokers, 2 };
	struct kafka_shape s;

	(void)state;
	for (int16_t version = 0; version <= 8; version++) {
		size_t at;

		begin(KAFKA_METADATA, version, 4);
		at = kafka_answer_begin(&b, &q);
		kafka_answer_metadata(&b, &q, &cluster, 2);
		kafka_answer_metadata_topic(
		    &b, &q, kafka_wire_text("known"), KAFKA_OK, 2);
		kafka_answer_metadata_partition(&b, &q, 0, 3);
		kafka_answer_metadata_partition(&b, &q, 7, -1);
		kafka_answer_metadata_topic_end(&b, &q);
		kafka_answer_metadata_topic(&b, &q, kafka_wire_text("not"),
		    KAFKA_UNKNOWN_TOPIC_OR_PARTITION, 0);
		kafka_answer_metadata_topic_end(&b, &q);
		kafka_answer_metadata_end(&b, &q);
		kafka_answer_end(&b, at, 0);
		assert_shape(&s);
	}
	/* of version 8: throttle, 2 × broker, controller, then the topic,
	 * whether it is internal, its first partition with the leader, no
	 * epoch, replicas and those in sync */
	assert_int_equal(s.numbers[5], 3);
	assert_int_equal(s.numbers[8], 0);
	assert_int_equal(s.numbers[10], 3);
	assert_int_equal(s.numbers[11], -1);
	assert_int_equal(s.numbers[12], 3);
	assert_int_equal(s.numbers[13], 3);
	/* the second one */
	assert_int_equal(s.numbers[14], KAFKA_LEADER_NOT_AVAILABLE);
	assert_int_equal(s.numbers[15], 7);
	assert_int_equal(s.numbers[16], -1);
}

static void
test_list_offsets(void **state)
{
	struct kafka_shape s;

	(void)state;
	for (int16_t version = 1; version <= 5; version++) {
		size_t at;
		unsigned first = version >= 2;

		begin(KAFKA_LIST_OFFSETS, version, 1);
		ask_wikipedia();
		at = kafka_answer_begin(&b, &q);
		kafka_answer_offsets(&b, &q);
		kafka_answer_topic(&b, q.topics[0].name, 1);
		kafka_answer_offsets_partition(
		    &b, &q, 2, KAFKA_NOT_LEADER, 1700, INT64_C(7) << 40);
		kafka_answer_end(&b, at, 0);
		assert_shape(&s);
		assert_int_equal(s.numbers[first], 2);
		assert_int_equal(s.numbers[first + 1], 6);
		assert_int_equal(s.numbers[first + 2], 1700);
		assert_int_equal(s.numbers[first + 3], INT64_C(7) << 40);
	}
}

static void
test_fetch(void **state)
{
	struct kafka_answer_fetched f = { .index = 4,
		.start = 10,
		.end = INT64_C(1) << 50,
		.record_bytes = 3 };
	struct kafka_shape s;

	(void)state;
	for (int16_t version = 4; version <= 11; version++) {
		unsigned first = version >= 7 ? 3 : 1;
		size_t at;

		begin(KAFKA_FETCH, version, 1);
		ask_wikipedia();
		at = kafka_answer_begin(&b, &q);
		kafka_answer_fetch(&b, &q);
		kafka_answer_topic(&b, q.topics[0].name, 1);
		kafka_answer_fetch_partition(&b, &q, &f);
		kafka_answer_end(&b, at, 3);
		/* as the socket gets them */
		buf_add(&b, "abc", 3);
		assert_shape(&s);
		assert_int_equal(s.numbers[0], 0); /* throttle */
		assert_int_equal(s.numbers[first], 4);
		assert_int_equal(s.numbers[first + 1], 0);
		assert_int_equal(s.numbers[first + 2], INT64_C(1) << 50);
		assert_int_equal(s.numbers[first + 3], INT64_C(1) << 50);
		if (version >= 5)
			assert_int_equal(s.numbers[first + 4], 10);
	}
}

static void
test_sasl(void **state)
{
	static const char *const mechanisms[] = { "PLAIN", "SCRAM-SHA-256",
		NULL };
	struct kafka_shape s;

	(void)state;
	for (int16_t version = 0; version <= 1; version++) {
		size_t at;

		begin(KAFKA_SASL_HANDSHAKE, version, 1);
		at = kafka_answer_begin(&b, &q);
		kafka_answer_sasl_handshake(
		    &b, KAFKA_UNSUPPORTED_MECHANISM, mechanisms);
		kafka_answer_end(&b, at, 0);
		assert_shape(&s);
		assert_int_equal(s.numbers[0], 33);
		begin(KAFKA_SASL_AUTHENTICATE, version, 1);
		at = kafka_answer_begin(&b, &q);
		kafka_answer_sasl_authenticate(&b, &q,
		    KAFKA_AUTHENTICATION_FAILED, "no", kafka_wire_text(""));
		kafka_answer_end(&b, at, 0);
		assert_shape(&s);
		assert_int_equal(s.numbers[0], 58);
	}
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_captured_api_versions),
		cmocka_unit_test(test_captured_metadata),
		cmocka_unit_test(test_captured_list_offsets),
		cmocka_unit_test(test_api_versions),
		cmocka_unit_test(test_metadata),
		cmocka_unit_test(test_list_offsets),
		cmocka_unit_test(test_fetch),
		cmocka_unit_test(test_sasl),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
