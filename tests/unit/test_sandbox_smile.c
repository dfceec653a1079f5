/*
 * test_sandbox_smile - the sandbox takes the Smile that Druid would take
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "panic.h"
#include "sandbox_smile.h"
#include "smile.h"
#include "smile_writer.h"

/* What becomes of a document; *error is set when it is refused. */
static char *
read_body(const char *bytes, size_t count, const char **error)
{
	char *padded = must_calloc(1, count + SMILE_PADDING), *text;
	size_t got = 0;

	memcpy(padded, bytes, count);
	text = sandbox_smile_json(padded, count, &got, error);
	if (text != NULL)
		assert_int_equal(strlen(text), got);
	free(padded);
	return text;
}

static char *
read_json_as_smile(const char *json, const char **error)
{
	struct smile_writer *w = must_malloc(sizeof *w);
	struct buf smile;
	char *text;

	buf_init(&smile, 1 * MiB);
	assert_true(smile_writer_transcode(w, json, strlen(json), &smile));
	text = read_body(smile.bytes, smile.used, error);
	buf_free(&smile);
	free(w);
	return text;
}

static void
test_arrays(void **state)
{
	static const char *const cases[][2] = {
		{ "[]", "[]" },
		{ "[{}]", "[{} ]" },
		{ "[{\"a\":1},{\"b\":\"x\\ny\"}]",
		    "[{\"a\":1},{\"b\":\"x\\ny\"} ]" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *error;
		char *text = read_json_as_smile(cases[i][0], &error);

		assert_non_null(text);
		assert_string_equal(text, cases[i][1]);
		free(text);
	}
}

static void
test_refused(void **state)
{
	static const char half[] = ":)\n\x01\xf8\xfa";
	const char *error = NULL;

	(void)state;
	/* objects one after another are no list for Druid */
	assert_null(read_json_as_smile("{\"a\":1}", &error));
	assert_non_null(strstr(error, "not an array"));
	assert_null(read_body("[{\"a\":1}]", 9, &error));
	assert_non_null(strstr(error, "not an array"));
	assert_null(read_body("", 0, &error));
	assert_null(read_body(half, sizeof half - 1, &error));
	assert_null(strstr(error, "not an array"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arrays),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
