/*
 * test_buf - growable bytes with a hard limit
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "json.h"

static void
test_add(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	assert_string_equal(buf_text(&b), ""); /* also when nothing is in it */
	buf_add(&b, "abc", 3);
	buf_add_text(&b, "def");
	buf_addf(&b, "-%d-%s", 42, "x");
	buf_add(&b, NULL, 0);
	assert_string_equal(buf_text(&b), "abcdef-42-x");
	assert_int_equal(b.used, 11); /* the NUL is not counted */
	buf_add_text(&b, "!");
	assert_string_equal(buf_text(&b), "abcdef-42-x!");
	assert_false(b.failed);
	buf_free(&b);
	assert_null(b.bytes);
	assert_int_equal(b.max, 1000);
}

static void
test_limit(void **state)
{
	struct buf b;
	char big[600];

	(void)state;
	memset(big, 'x', sizeof big);
	buf_init(&b, 1000);
	buf_add(&b, big, 600);
	assert_false(b.failed);
	buf_add(&b, big, 401);
	assert_true(b.failed);
	assert_int_equal(b.used, 600); /* nothing of it */
	buf_add(&b, "y", 1); /* it would fit, but the row is broken */
	assert_int_equal(b.used, 600);
	assert_null(buf_text(&b));
	assert_null(buf_room(&b, 1));
	buf_reset(&b);
	buf_add(&b, big, 600);
	buf_add(&b, big, 400);
	assert_false(b.failed);
	assert_int_equal(b.used, 1000);
	assert_true(b.size <= 1000);
	buf_add(&b, big, 0);
	assert_false(b.failed);
	buf_free(&b);
}

static void
test_absurd_sizes(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	buf_add_text(&b, "abc");
	assert_null(buf_room(&b, SIZE_MAX));
	assert_true(b.failed);
	buf_reset(&b);
	assert_null(buf_room(&b, SIZE_MAX - 2)); /* would wrap around */
	buf_free(&b);
	buf_init(&b, 0);
	buf_add(&b, "x", 1);
	assert_true(b.failed);
	buf_free(&b);
}

/* A formatted text that does not fit leaves what was there. */
static void
test_format_limit(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 8);
	buf_add_text(&b, "abc");
	buf_addf(&b, "%d", 12345);
	assert_true(b.failed);
	assert_int_equal(b.used, 3);
	buf_reset(&b);
	buf_addf(&b, "%d", 1234567); /* and its NUL */
	assert_false(b.failed);
	assert_string_equal(buf_text(&b), "1234567");
	buf_free(&b);
}

static void
test_consume(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	buf_consume(&b, 0);
	buf_add_text(&b, "abcdef");
	buf_consume(&b, 2);
	assert_string_equal(buf_text(&b), "cdef");
	buf_consume(&b, 4);
	assert_int_equal(b.used, 0);
	buf_add_text(&b, "g");
	assert_string_equal(buf_text(&b), "g");
	buf_free(&b);
}

static void
test_grows(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, MiB);
	for (unsigned i = 0; i < 100000; i++)
		buf_addf(&b, "%u,", i % 10);
	assert_false(b.failed);
	assert_int_equal(b.used, 200000);
	for (size_t i = 0; i < b.used; i += 2)
		assert_int_equal(b.bytes[i], '0' + (int)(i / 2 % 10));
	buf_free(&b);
}

static void
test_json_string(void **state)
{
	static const char text[] = "a\"b\\c\n\001ž/\0d";
	struct buf b;
	struct json *j;

	(void)state;
	buf_init(&b, 1000);
	buf_add_json_string(&b, text, sizeof text - 1);
	assert_string_equal(
	    buf_text(&b), "\"a\\\"b\\\\c\\u000a\\u0001ž/\\u0000d\"");
	buf_reset(&b);
	buf_add_json_string(&b, "", 0);
	assert_string_equal(buf_text(&b), "\"\"");
	buf_reset(&b);
	buf_add_json_string(&b, "tab\there", 8);
	j = json_parse(b.bytes, b.used, NULL);
	assert_string_equal(json_text(j, ""), "tab\there");
	json_free(&j);
	buf_free(&b);
	buf_init(&b, 4);
	buf_add_json_string(&b, "\"\"", 2);
	assert_true(b.failed);
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_add),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_absurd_sizes),
		cmocka_unit_test(test_format_limit),
		cmocka_unit_test(test_consume),
		cmocka_unit_test(test_grows),
		cmocka_unit_test(test_json_string),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
