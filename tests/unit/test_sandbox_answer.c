/*
 * test_sandbox_answer - what a Druid of each release says
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "sandbox_answer.h"

static const char *const releases[] = { "0.9.2", "0.12.3", "0.13.0", "0.16.0",
	"0.23.0", "24.0.0", "26.0.0", "27.0.0", "28.0.1", "29.0.1", "30.0.1",
	"31.0.0", "37.0.0" };

static void
test_versions(void **state)
{
	unsigned v, last = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(releases); i++) {
		assert_true(sandbox_answer_version_parse(releases[i], &v));
		assert_true(v > last);
		last = v;
	}
	assert_true(sandbox_answer_version_parse("24", &v));
	assert_int_equal(v, DRUID(24, 0, 0));
	assert_false(sandbox_answer_version_parse("", &v));
	assert_false(sandbox_answer_version_parse("x", &v));
}

/* Every answer can be given by every release, with both arguments. */
static void
test_complete(void **state)
{
	unsigned v;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(releases); i++) {
		assert_true(sandbox_answer_version_parse(releases[i], &v));
		for (unsigned a = 0; a < ANSWERS; a++) {
			const struct sandbox_answer_row *row =
			    sandbox_answer_row((enum answer)a, v);
			struct buf b;

			buf_init(&b, 4096);
			sandbox_answer_compose(row, "one", "two", &b);
			assert_false(b.failed);
			assert_int_equal(b.used > 0, row->body != NULL);
			assert_null(
			    memchr(b.used > 0 ? b.bytes : "", '$', b.used));
			buf_free(&b);
		}
	}
}

static void
says(enum answer answer, unsigned version, unsigned status, const char *text)
{
	const struct sandbox_answer_row *row =
	    sandbox_answer_row(answer, version);
	struct buf b;

	buf_init(&b, 4096);
	sandbox_answer_compose(row, "a\"b\n", "two", &b);
	assert_int_equal(row->status, status);
	if (text != NULL)
		assert_string_equal(buf_text(&b), text);
	else
		assert_null(row->body);
	buf_free(&b);
}

static void
test_rows(void **state)
{
	(void)state;
	says(ANSWER_TASK_EXISTS, DRUID(26, 0, 0), 400,
	    "{\"error\":\"Task[a\\\"b\\u000a] already exists!\"}");
	says(ANSWER_TASK_EXISTS, DRUID(27, 0, 0), 400,
	    "{\"error\":\"Task [a\\\"b\\u000a] already exists.\"}");
	says(ANSWER_TASK_EXISTS, DRUID(29, 0, 1), 400,
	    "{\"error\":\"Task [a\\\"b\\u000a] already exists.\"}");
	says(ANSWER_NO_HANDLER, DRUID(0, 12, 3), 404, NULL);
	says(ANSWER_NO_HANDLER, DRUID(28, 0, 0), 400,
	    "{\"error\":\"Can't find chatHandler for "
	    "handler[a\\\"b\\u000a]\"}");
	says(ANSWER_NO_HANDLER, DRUID(29, 0, 0), 503,
	    "{\"error\":\"Can't find chatHandler for "
	    "handler[a\\\"b\\u000a]\"}");
	says(ANSWER_OTHER_TASK, DRUID(0, 12, 3), 404, NULL);
	says(ANSWER_STATUS_UNKNOWN, DRUID(0, 11, 0), 404,
	    "{\"task\":\"a\\\"b\\u000a\"}");
	/* text that is no JSON is not escaped */
	says(ANSWER_STATE_WRONG, DRUID(30, 0, 1), 400,
	    "Invalid task state 'a\"b\n', must be one of "
	    "[pending, waiting, running, complete]");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_complete),
		cmocka_unit_test(test_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
