/*
 * test_kafka_wire - primitive types of the Kafka protocol
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "kafka_wire.h"

#define READER(r, text)        \
	struct kafka_reader r; \
	kafka_wire_reader(&r, text, sizeof(text) - 1)

static void
test_numbers(void **state)
{
	READER(
	    r, "\xff\x80\x00\x01\x02\x03\x04\xff\xff\xff\xff\xff\xff\xff\xfe");

	(void)state;
	assert_int_equal(kafka_wire_i8(&r), -1);
	assert_int_equal(kafka_wire_i16(&r), INT16_MIN);
	assert_int_equal(kafka_wire_i32(&r), 0x01020304);
	assert_int_equal(kafka_wire_i64(&r), -2);
	assert_false(r.is_bad);
	assert_int_equal(kafka_wire_i8(&r), 0);
	assert_true(r.is_bad);
}

/* A number of which a part is missing takes nothing of what is there. */
static void
test_short(void **state)
{
	READER(r, "\x01\x02\x03");

	(void)state;
	assert_int_equal(kafka_wire_i32(&r), 0);
	assert_true(r.is_bad);
	assert_int_equal(kafka_wire_i8(&r), 0);
	kafka_wire_reader(&r, NULL, 0);
	assert_int_equal(kafka_wire_i64(&r), 0);
	assert_true(r.is_bad);
}

static void
test_varints(void **state)
{
	static const struct {
		const char *bytes;
		size_t count;
		uint32_t value;
		bool is_bad;
	} cases[] = {
		{ "\x00", 1, 0, false },
		{ "\x7f", 1, 127, false },
		{ "\x80\x01", 2, 128, false },
		{ "\xac\x02", 2, 300, false },
		{ "\xff\xff\xff\xff\x0f", 5, UINT32_MAX, false },
		{ "\xff\xff\xff\xff\x1f", 5, 0, true },
		{ "\x80\x80\x80\x80\x80\x00", 6, 0, true },
		{ "\x80", 1, 0, true },
		{ "", 0, 0, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct kafka_reader r;

		kafka_wire_reader(&r, cases[i].bytes, cases[i].count);
		assert_int_equal(kafka_wire_uvarint(&r), cases[i].value);
		assert_int_equal(r.is_bad, cases[i].is_bad);
	}
}

static void
test_texts(void **state)
{
	READER(r,
	    "\x00\x02hi\xff\xff\x00\x00\x00\x00\x00\x01z\xff\xff\xff\xff"
	    "\x03pq\x00\x01");
	struct kafka_text t;

	(void)state;
	t = kafka_wire_string(&r);
	assert_true(kafka_wire_is(t, "hi"));
	assert_false(kafka_wire_is(t, "hi!"));
	assert_false(kafka_wire_is(t, "h"));
	assert_null(kafka_wire_nullable(&r).at);
	t = kafka_wire_nullable(&r);
	assert_non_null(t.at);
	assert_int_equal(t.bytes, 0);
	assert_true(kafka_wire_is(kafka_wire_bytes(&r), "z"));
	assert_null(kafka_wire_bytes(&r).at);
	assert_true(kafka_wire_is(kafka_wire_compact(&r), "pq"));
	assert_null(kafka_wire_compact(&r).at);
	assert_true(kafka_wire_is(kafka_wire_compact(&r), ""));
	assert_false(r.is_bad);
	assert_ptr_equal(r.at, r.end);
}

static void
test_bad_texts(void **state)
{
	(void)state;
	{
		READER(r, "\xff\xff"); /* null where there is no null */

		assert_null(kafka_wire_string(&r).at);
		assert_true(r.is_bad);
	}
	{
		READER(r, "\xff\xfe");

		assert_null(kafka_wire_nullable(&r).at);
		assert_true(r.is_bad);
	}
	{
		READER(r,
		    "\x00\x05"
		    "four");

		assert_null(kafka_wire_string(&r).at);
		assert_true(r.is_bad);
	}
	{
		READER(r, "\x7f\xff\xff\xff");

		assert_null(kafka_wire_bytes(&r).at);
		assert_true(r.is_bad);
	}
}

static void
test_counts(void **state)
{
	(void)state;
	{
		READER(r, "\x00\x00\x00\x02....");

		assert_int_equal(kafka_wire_count(&r, 2), 2);
		assert_false(r.is_bad);
	}
	{
		READER(r, "\x00\x00\x00\x03....");

		assert_int_equal(kafka_wire_count(&r, 2), 0);
		assert_true(r.is_bad);
	}
	{
		READER(r, "\xff\xff\xff\xff");

		assert_int_equal(kafka_wire_count(&r, 2), -1);
		assert_false(r.is_bad);
	}
	{
		READER(r, "\xff\xff\xff\xfe....");

		assert_int_equal(kafka_wire_count(&r, 1), 0);
		assert_true(r.is_bad);
	}
}

static void
test_tags(void **state)
{
	(void)state;
	{
		READER(r, "\x02\x00\x01x\x05\x02yz!");

		kafka_wire_tags(&r);
		assert_false(r.is_bad);
		assert_int_equal(kafka_wire_i8(&r), '!');
	}
	{
		READER(r, "\xff\xff\xff\xff\x0f\x00\x00\x00");

		kafka_wire_tags(&r);
		assert_true(r.is_bad);
	}
}

static void
test_put(void **state)
{
	static const char expected[] =
	    "\x80\xff\xfe\x00\x00\x01\x00\x80\x00\x00\x00\x00\x00\x00\x00"
	    "\x00\x80\x02\x00\x02hi\xff\xff\x00\x00\x00\x00\x00\x01q";
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	kafka_wire_put_i8(&b, INT8_MIN);
	kafka_wire_put_i16(&b, -2);
	kafka_wire_put_i32(&b, 256);
	kafka_wire_put_i64(&b, INT64_MIN);
	kafka_wire_put_uvarint(&b, 0);
	kafka_wire_put_uvarint(&b, 256);
	kafka_wire_put_string(&b, kafka_wire_text("hi"));
	kafka_wire_put_nullable(&b, kafka_wire_text(NULL));
	kafka_wire_put_nullable(&b, kafka_wire_text(""));
	kafka_wire_put_bytes(&b, "q", 1);
	assert_false(b.failed);
	assert_int_equal(b.used, sizeof expected - 1);
	assert_memory_equal(b.bytes, expected, b.used);
	buf_free(&b);
}

static void
test_long_string(void **state)
{
	char text[INT16_MAX + 2] = { 0 };
	struct buf b;

	(void)state;
	memset(text, 'a', sizeof text - 1);
	buf_init(&b, 1 << 20);
	kafka_wire_put_string(&b, kafka_wire_text(text));
	assert_true(b.failed);
	buf_reset(&b);
	text[INT16_MAX] = '\0';
	kafka_wire_put_string(&b, kafka_wire_text(text));
	assert_false(b.failed);
	assert_int_equal(b.used, INT16_MAX + 2);
	buf_free(&b);
}

static void
test_frames(void **state)
{
	struct buf b;
	size_t begin;

	(void)state;
	buf_init(&b, 100);
	buf_add(&b, "before", 6);
	begin = kafka_wire_frame_begin(&b);
	buf_add(&b, "body", 4);
	kafka_wire_frame_end(&b, begin, 0x01020300);
	assert_int_equal(
	    kafka_wire_frame_size(b.bytes + begin), 0x01020300 + 4);
	assert_int_equal(kafka_wire_frame_size("\x16\x03\x01\x02"), 0x16030102);
	begin = kafka_wire_frame_begin(&b);
	kafka_wire_frame_end(&b, begin, (size_t)INT32_MAX + 1);
	assert_true(b.failed); /* no client could read it */
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_short),
		cmocka_unit_test(test_varints),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_bad_texts),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_put),
		cmocka_unit_test(test_long_string),
		cmocka_unit_test(test_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
