/*
 * test_tranqctl_output - the status document as tables
 *
 * Golden files: tests/golden/tranqctl/X.json must give X.ref. With
 * TRANQ_GOLDEN_WRITE set they are written instead.
 *
 * Links: tools/tranqctl_output.c, common.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "panic.h"
#include "tranqctl_output.h"

#define GOLDEN_MIN 4
#define LINE_MAX_BYTES 160

static char *
read_text(const char *path)
{
	char *text = must_calloc(1, MiB);
	FILE *f = fopen(path, "r");

	if (f == NULL)
		fail_msg("%s cannot be read; run from the repository", path);
	text[fread(text, 1, MiB - 1, f)] = '\0';
	fclose(f);
	return text;
}

static void
write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* Tables stay within a terminal that is not too small. */
static void
assert_width(const char *text)
{
	while (*text != '\0') {
		size_t bytes = strcspn(text, "\n");

		if (bytes > LINE_MAX_BYTES)
			fail_msg("too wide: %.*s", (int)bytes, text);
		text += bytes + (text[bytes] == '\n');
	}
}

static void
check(const char *json_path)
{
	char *ref_path =
	    must_format("%.*s.ref", (int)(strlen(json_path) - 5), json_path);
	char *json = read_text(json_path), *ref;
	struct json_error error;
	struct json *document = json_parse(json, strlen(json), &error);
	struct buf text;

	assert_non_null(document);
	buf_init(&text, MiB);
	output_status(document, &text);
	if (getenv("TRANQ_GOLDEN_WRITE") != NULL)
		write_text(ref_path, buf_text(&text));
	ref = read_text(ref_path);
	assert_string_equal(buf_text(&text), ref);
	assert_width(ref);
	buf_free(&text);
	json_free(&document);
	free(json);
	free(ref);
	free(ref_path);
}

static void
test_golden(void **state UNUSED)
{
	glob_t found;

	assert_int_equal(
	    glob("tests/golden/tranqctl/*.json", 0, NULL, &found), 0);
	assert_true(found.gl_pathc >= GOLDEN_MIN);
	for (size_t i = 0; i < found.gl_pathc; i++)
		check(found.gl_pathv[i]);
	globfree(&found);
}

/* Whatever a daemon of another version sends, it ends and stays printable. */
static void
test_odd_documents(void **state UNUSED)
{
	static const char *const odd[] = { "null", "[]", "{}", "7",
		"{\"supervisor\":[],\"receivers\":{},\"dataSources\":7}",
		"{\"dataSources\":[null,{},[],{\"beams\":\"a\\tb\\u001b[2J\"},"
		"{\"beams\":{\"beams\":[null,{\"tasks\":[7,{}]}],"
		"\"notes\":[1,null,\"n\"]}}]}" };

	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		struct json_error error;
		struct json *document =
		    json_parse(odd[i], strlen(odd[i]), &error);
		struct buf text;

		assert_non_null(document);
		buf_init(&text, MiB);
		output_status(document, &text);
		assert_false(text.failed);
		assert_null(memchr(text.bytes, '\033', text.used));
		buf_free(&text);
		json_free(&document);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_odd_documents),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
