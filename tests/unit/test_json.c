/*
 * test_json - small documents: read, built, printed
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

static struct json *
parse(const char *text)
{
	struct json_error e = { 0 };
	struct json *j = json_parse(text, strlen(text), &e);

	if (j == NULL)
		fail_msg("%d:%d: %s", e.line, e.column, e.text);
	return j;
}

static void
check_print(const struct json *j, const char *expected)
{
	char *text = json_to_text(j);

	assert_string_equal(text, expected);
	free(text);
}

static void
test_types(void **state)
{
	static const struct {
		const char *text, *name;
		bool is[6]; /* object array text number int bool */
	} cases[] = {
		{ "{}", "an object", { true } },
		{ "[]", "an array", { false, true } },
		{ "\"x\"", "a string", { false, false, true } },
		{ "12", "a number", { false, false, false, true, true } },
		{ "1.5", "a number", { false, false, false, true } },
		{ "true", "a boolean",
		    { false, false, false, false, false, true } },
		{ "false", "a boolean",
		    { false, false, false, false, false, true } },
		{ "null", "null", { false } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct json *j = parse(cases[i].text);

		assert_string_equal(json_type_name(j), cases[i].name);
		assert_int_equal(json_is_object(j), cases[i].is[0]);
		assert_int_equal(json_is_array(j), cases[i].is[1]);
		assert_int_equal(json_is_text(j), cases[i].is[2]);
		assert_int_equal(json_is_number(j), cases[i].is[3]);
		assert_int_equal(json_is_int(j), cases[i].is[4]);
		assert_int_equal(json_is_bool(j), cases[i].is[5]);
		assert_int_equal(
		    json_is_null(j), strcmp(cases[i].text, "null") == 0);
		json_free(&j);
		assert_null(j);
	}
}

/* Nothing is of no type, and every look at it gives the other value. */
static void
test_nothing(void **state)
{
	struct json *none = NULL;

	(void)state;
	assert_false(json_is_object(NULL) || json_is_array(NULL) ||
	    json_is_text(NULL) || json_is_number(NULL) || json_is_int(NULL) ||
	    json_is_bool(NULL) || json_is_null(NULL));
	assert_string_equal(json_type_name(NULL), "nothing");
	assert_null(json_get(NULL, "a"));
	assert_null(json_at(NULL, 0));
	assert_int_equal(json_size(NULL), 0);
	assert_string_equal(json_text(NULL, "x"), "x");
	assert_int_equal(json_int(NULL, -3), -3);
	assert_true(json_bool(NULL, true));
	assert_null(json_first(NULL));
	assert_true(json_same(NULL, NULL));
	json_free(&none);
}

static void
test_get(void **state)
{
	struct json *j = parse("{\"t\":\"text\",\"i\":-9007199254740993,"
			       "\"n\":2.5,\"b\":false,\"a\":[1,[2],{}],"
			       "\"z\":null}");

	(void)state;
	assert_string_equal(json_get_text(j, "t", NULL), "text");
	assert_null(json_get_text(j, "i", NULL)); /* of another type */
	assert_null(json_get_text(j, "none", NULL));
	assert_true(json_get_int(j, "i", 0) == INT64_C(-9007199254740993));
	assert_int_equal(json_get_int(j, "n", 7), 7);
	assert_true(json_number(json_get(j, "n"), 0) == 2.5);
	assert_false(json_get_bool(j, "b", true));
	assert_true(json_get_bool(j, "z", true));
	assert_int_equal(json_size(json_get(j, "a")), 3);
	assert_int_equal(
	    json_int(json_at(json_at(json_get(j, "a"), 1), 0), 0), 2);
	assert_null(json_at(json_get(j, "a"), 3));
	assert_null(json_at(j, 0)); /* no array */
	assert_null(json_get(json_get(j, "a"), "t")); /* no object */
	assert_int_equal(json_size(j), 6);
	json_free(&j);
}

static void
test_order_is_kept(void **state)
{
	static const char *const names[] = { "z", "a", "m", "0" };
	struct json *j = parse("{\"z\":0,\"a\":1,\"m\":2,\"0\":3}");
	int i = 0;

	(void)state;
	for (struct json_member *m = json_first(j); m != NULL;
	     m = json_next(j, m), i++) {
		assert_string_equal(json_member_name(m), names[i]);
		assert_int_equal(json_int(json_member(m), -1), i);
	}
	assert_int_equal(i, 4);
	check_print(j, "{\"z\":0,\"a\":1,\"m\":2,\"0\":3}");
	json_free(&j);
}

static void
check_error(const char *text, int line, const char *part)
{
	struct json_error e = { 0 };

	assert_null(json_parse(text, strlen(text), &e));
	assert_int_equal(e.line, line);
	assert_true(e.column >= 0);
	if (strstr(e.text, part) == NULL)
		fail_msg("'%s' is not in '%s'", part, e.text);
	assert_null(json_parse(text, strlen(text), NULL));
}

static void
test_errors(void **state)
{
	(void)state;
	check_error("", 1, "");
	check_error("{\"a\":1,}", 1, "");
	check_error("{\n\"a\":1\n\"b\":2}", 3, "");
	check_error("[1] x", 1, "end of file expected");
	check_error("{\"a\":1,\n\"a\":2}", 2, "duplicate");
	check_error("{'a':1}", 1, "");
	check_error("\"\\u0000\"", 1, "");
	check_error("\"\xff\"", 1, "");
	check_error("[123456789012345678901234567890]", 1, "integer");
}

/* Not more bytes than there are, and no NUL behind them needed. */
static void
test_counted_bytes(void **state)
{
	char *text = malloc(4);
	struct json *j;

	(void)state;
	memcpy(text, "[12]", 4);
	j = json_parse(text, 4, NULL);
	assert_int_equal(json_int(json_at(j, 0), 0), 12);
	json_free(&j);
	assert_null(json_parse(text, 3, NULL));
	free(text);
}

/* As deep as somebody likes: an error, not the end of the stack. */
static void
test_deep(void **state)
{
	size_t bytes = 1000000;
	char *text = malloc(bytes);
	struct json_error e;

	(void)state;
	memset(text, '[', bytes);
	assert_null(json_parse(text, bytes, &e));
	free(text);
}

static void
test_build(void **state)
{
	struct json *j = json_new_object(), *list = json_new_array();

	(void)state;
	json_set_text(j, "t", "a \"b\"");
	json_set_int(j, "i", INT64_MIN);
	json_set_bool(j, "b", true);
	json_append(list, json_new_int(1));
	json_append(list, json_new_null());
	json_append(list, json_new_number(0.5));
	json_append(list, json_new_bool(false));
	json_set(j, "list", list);
	json_set_text(j, "gone", "x");
	json_remove(j, "gone");
	json_remove(j, "never");
	json_set_text(j, "t", "again"); /* keeps its place */
	json_set_text(j, "bad", "\xff\xfe"); /* no UTF-8 */
	check_print(j,
	    "{\"t\":\"again\",\"i\":-9223372036854775808,"
	    "\"b\":true,\"list\":[1,null,0.5,false],\"bad\":\"\"}");
	json_free(&j);
}

static void
test_clone_is_deep(void **state)
{
	struct json *j = parse("{\"a\":{\"b\":[1]}}"), *copy = json_clone(j);

	(void)state;
	assert_true(json_same(j, copy));
	json_append(json_get(json_get(copy, "a"), "b"), json_new_int(2));
	assert_false(json_same(j, copy));
	check_print(j, "{\"a\":{\"b\":[1]}}");
	assert_false(json_same(j, NULL));
	json_free(&j);
	check_print(copy, "{\"a\":{\"b\":[1,2]}}");
	json_free(&copy);
}

static void
test_same(void **state)
{
	struct json *a = parse("{\"x\":1,\"y\":[true]}");
	struct json *b = parse("{\"y\":[true],\"x\":1}");
	struct json *c = parse("{\"y\":[true],\"x\":1.0}");

	(void)state;
	assert_true(json_same(a, b)); /* whatever the order */
	assert_false(json_same(a, c));
	json_free(&a);
	json_free(&b);
	json_free(&c);
}

static void
test_print(void **state)
{
	struct json *j = parse("{ \"a\" : [ 1 , {} ] , \"ž\" : \"\\u00e9/\" }");
	struct json *scalar = json_new_text("x");
	struct buf b;

	(void)state;
	check_print(j, "{\"a\":[1,{}],\"ž\":\"é/\"}");
	check_print(scalar, "\"x\"");
	buf_init(&b, 1000);
	buf_add_text(&b, "> ");
	json_print(j, &b);
	assert_string_equal(buf_text(&b), "> {\"a\":[1,{}],\"ž\":\"é/\"}");
	buf_reset(&b);
	json_print_pretty(j, &b);
	assert_string_equal(buf_text(&b),
	    "{\n  \"a\": [\n    1,\n    {}\n  ],"
	    "\n  \"ž\": \"é/\"\n}");
	buf_free(&b);
	buf_init(&b, 10);
	json_print(j, &b);
	assert_true(b.failed);
	buf_free(&b);
	json_free(&j);
	json_free(&scalar);
}

/* Numbers come back the same. */
static void
test_numbers(void **state)
{
	static const double reals[] = { 0.1, 1e300, 5e-324, -0.0, 1.0 / 3,
		123456789.123456789 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(reals); i++) {
		struct json *j = json_new_number(reals[i]), *back;
		char *text = json_to_text(j);

		back = parse(text);
		assert_true(json_number(back, 7) == reals[i]);
		assert_false(json_is_int(back));
		free(text);
		json_free(&j);
		json_free(&back);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_get),
		cmocka_unit_test(test_order_is_kept),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_counted_bytes),
		cmocka_unit_test(test_deep),
		cmocka_unit_test(test_build),
		cmocka_unit_test(test_clone_is_deep),
		cmocka_unit_test(test_same),
		cmocka_unit_test(test_print),
		cmocka_unit_test(test_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
