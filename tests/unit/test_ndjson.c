/*
 * test_ndjson - a batch's body as lines
 */
#include "ndjson.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void
check(const char *body, const char *lines)
{
	struct buf b;

	buf_init(&b, 4096);
	ndjson_add(&b, body, strlen(body));
	assert_string_equal(buf_text(&b), lines);
	buf_free(&b);
}

static void
test_chunks(void **state)
{
	(void)state;
	check("[{}]", "{}\n");
	check("[{\"a\":1},{\"a\":2}][{\"a\":3}]",
	    "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n");
}

/* What looks like an end and stands in a string, or deeper, is none. */
static void
test_nested(void **state)
{
	(void)state;
	check("[{\"a\":{\"b\":[{},[]]}},{\"c\":[1,2]}]",
	    "{\"a\":{\"b\":[{},[]]}}\n{\"c\":[1,2]}\n");
	check("[{\"}\":\"]}{\"},{\"a\":\"\\\"}\"},{\"b\":\"\\\\\"}]",
	    "{\"}\":\"]}{\"}\n{\"a\":\"\\\"}\"}\n{\"b\":\"\\\\\"}\n");
}

static void
test_line_ends_within(void **state)
{
	(void)state;
	check("[{\n\"a\":\r\n1},{}]", "{ \"a\":  1}\n{}\n");
	check("[{\"a\":\"\\n\"}]", "{\"a\":\"\\n\"}\n");
}

/* A receiver that went wrong may have put several objects into one event: they
 * need more room than the body has. */
static void
test_without_commas(void **state)
{
	(void)state;
	check("[{}{}{}{}{}{}{}{}]", "{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n");
	check("{", "{\n");
}

static void
test_no_room(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 8);
	ndjson_add(&b, "[{\"a\":1},{\"a\":2}]", 17);
	assert_true(b.failed);
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chunks),
		cmocka_unit_test(test_nested),
		cmocka_unit_test(test_line_ends_within),
		cmocka_unit_test(test_without_commas),
		cmocka_unit_test(test_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
