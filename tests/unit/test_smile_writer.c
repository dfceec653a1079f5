/*
 * test_smile_writer - JSON becomes the Smile that Jackson writes
 *
 * Golden documents (tests/golden/smile): what Jackson 2.12.7 wrote with its
 * features as they are by default (default_X.smile) must come out of
 * default_X.json byte for byte. All texts must be the same again when they are
 * read from what was written.
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

#include "smile.h"
#include "smile_writer.h"

#define GOLDEN_MIN 22
#define DEFAULT_MIN 10
#define MUTANTS 20000
#define HEADER ":)\n\x01"

static uint64_t random_state = 88172645463325252;

static unsigned
random_below(size_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (unsigned)((random_state >> 16) % n);
}

static char *
read_file(const char *path, size_t *bytes)
{
	FILE *f = fopen(path, "r");
	char *text = malloc(MiB);

	if (f == NULL)
		fail_msg("%s cannot be read; run from the repository", path);
	assert_non_null(text);
	*bytes = fread(text, 1, MiB, f);
	fclose(f);
	return text;
}

/* From memory of the text's exact length. */
static bool
write_smile(
    struct smile_writer *w, const char *json, size_t bytes, struct buf *out)
{
	char *exact = malloc(bytes > 0 ? bytes : 1);
	bool is_ok;

	assert_non_null(exact);
	memcpy(exact, json, bytes);
	is_ok = smile_writer_transcode(w, exact, bytes, out);
	if (!is_ok && !out->failed)
		assert_true(w->error_offset <= bytes);
	free(exact);
	return is_ok;
}

/* The JSON of Smile that lies at `from` in the buffer. */
static void
read_back(const struct buf *smile, size_t from, struct buf *json)
{
	size_t bytes = smile->used - from;
	char *body = calloc(1, bytes + SMILE_PADDING);
	struct smile s;

	memcpy(body, smile->bytes + from, bytes);
	assert_int_equal(smile_read(&s, body, bytes, json), SMILE_DONE);
	free(body);
}

static void
check_bytes(const char *json, const void *smile, size_t bytes)
{
	struct smile_writer w;
	struct buf out;

	buf_init(&out, MiB);
	assert_true(write_smile(&w, json, strlen(json), &out));
	assert_int_equal(out.used, bytes);
	assert_memory_equal(out.bytes, smile, bytes);
	buf_free(&out);
}

#define CHECK_BYTES(json, smile) check_bytes(json, smile, sizeof(smile) - 1)

/* `json`, written and read, is `expected`. */
static void
check_json(const char *json, const char *expected)
{
	struct smile_writer w;
	struct buf out, back;

	buf_init(&out, MiB);
	buf_init(&back, MiB);
	assert_true(write_smile(&w, json, strlen(json), &out));
	read_back(&out, 0, &back);
	assert_string_equal(buf_text(&back), expected);
	buf_free(&out);
	buf_free(&back);
}

static void
for_golden(const char *pattern, size_t least, void (*check)(const char *path))
{
	glob_t found;

	assert_int_equal(glob(pattern, 0, NULL, &found), 0);
	assert_true(found.gl_pathc >= least);
	for (size_t i = 0; i < found.gl_pathc; i++)
		check(found.gl_pathv[i]);
	globfree(&found);
}

static void
check_golden_bytes(const char *path)
{
	char smile_path[256];
	size_t json_bytes, smile_bytes;
	char *json = read_file(path, &json_bytes), *smile;
	struct smile_writer w;
	struct buf out;

	snprintf(smile_path, sizeof smile_path, "%.*s.smile",
	    (int)(strlen(path) - strlen(".json")), path);
	smile = read_file(smile_path, &smile_bytes);
	buf_init(&out, MiB);
	assert_true(write_smile(&w, json, json_bytes, &out));
	assert_int_equal(out.used, smile_bytes);
	assert_memory_equal(out.bytes, smile, smile_bytes);
	buf_free(&out);
	free(json);
	free(smile);
}

static void
test_golden(void **state)
{
	(void)state;
	for_golden("tests/golden/smile/default_*.json", DEFAULT_MIN,
	    check_golden_bytes);
}

/* Numbers of decimals become doubles: theirs is not the same text. */
static void
check_golden_again(const char *path)
{
	size_t bytes;
	char *json = read_file(path, &bytes);
	struct smile_writer w;
	struct buf out, back;

	buf_init(&out, MiB);
	buf_init(&back, MiB);
	assert_true(write_smile(&w, json, bytes, &out));
	read_back(&out, 0, &back);
	if (strstr(path, "big_decimals") == NULL) {
		assert_int_equal(back.used, bytes);
		assert_memory_equal(back.bytes, json, bytes);
	}
	buf_free(&out);
	buf_free(&back);
	free(json);
}

static void
test_read_back(void **state)
{
	(void)state;
	for_golden("tests/golden/smile/*.json", GOLDEN_MIN, check_golden_again);
}

static void
test_documents(void **state)
{
	(void)state;
	CHECK_BYTES("", HEADER);
	CHECK_BYTES(" \n", HEADER);
	CHECK_BYTES("[]", HEADER "\xf8\xf9");
	CHECK_BYTES(" [ { } , { } ] ", HEADER "\xf8\xfa\xfb\xfa\xfb\xf9");
	CHECK_BYTES("{}{}", HEADER "\xfa\xfb\xfa\xfb");
	CHECK_BYTES("{\"result\":{\"received\":100,\"sent\":7}}",
	    HEADER "\xfa\x85result\xfa\x87received\x24\x03\x88\x83sent\xce\xfb"
		   "\xfb");
	CHECK_BYTES("[{\"a\":1,\"b\":2},\n{\"a\":3,\"b\":4}]",
	    HEADER "\xf8\xfa\x80"
		   "a\xc2\x80"
		   "b\xc4\xfb\xfa\x40\xc6\x41\xc8\xfb\xf9");
}

static void
test_strings(void **state)
{
	(void)state;
	check_json("{\"a\":\"\\u0041\\n\\t\\\"\\\\\\/\\b\\f\\r\"}",
	    "{\"a\":\"A\\n\\t\\\"\\\\/\\b\\f\\r\"}\n");
	check_json("{\"a\":\"\\u00e9\\u20AC\\ud83d\\uDE00\\u0000\"}",
	    "{\"a\":\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\\u0000\"}\n");
	/* surrogates that are alone, in every way */
	check_json("{\"a\":\"\\ud83d\",\"b\":\"\\ude00x\",\"c\":\"\\ud83d\\n\","
		   "\"d\":\"\\ud83d\\u0041\",\"e\":\"\\ud83dxxxxxxxxx\","
		   "\"f\":\"\\ud83d\\ud83d\\ude00\"}",
	    "{\"a\":\"\xef\xbf\xbd\",\"b\":\"\xef\xbf\xbdx\","
	    "\"c\":\"\xef\xbf\xbd\\n\",\"d\":\"\xef\xbf\xbd"
	    "A\","
	    "\"e\":\"\xef\xbf\xbdxxxxxxxxx\","
	    "\"f\":\"\xef\xbf\xbd\xf0\x9f\x98\x80\"}\n");
	/* a name is the same one however it is written */
	CHECK_BYTES("{\"ab\":1,\"\\u0061b\":2,\"c\\\\\":3,\"\\u0063\\\\\":4,"
		    "\"c\\\\\":5}",
	    HEADER "\xfa\x81"
		   "ab\xc2\x40\xc4\x81"
		   "c\\\xc6\x41\xc8\x41\xca\xfb");
	/* what follows is guessed, and is something else */
	CHECK_BYTES("[{\"a\":0,\"x\":0},{\"a\":0,\"xy\":0},{\"a\":0,\"x\":0},"
		    "{\"a\":0,\"x\\\"\":0},{\"a\":0}]",
	    HEADER "\xf8\xfa\x80"
		   "a\xc0\x80x\xc0\xfb\xfa\x40\xc0\x81xy\xc0\xfb"
		   "\xfa\x40\xc0\x41\xc0\xfb\xfa\x40\xc0\x81x\"\xc0\xfb"
		   "\xfa\x40\xc0\xfb\xf9");
}

static void
test_numbers(void **state)
{
	(void)state;
	check_json("[{\"a\":-0,\"b\":0,\"c\":9223372036854775807,"
		   "\"d\":-9223372036854775808,\"e\":9223372036854775808,"
		   "\"f\":-9223372036854775809,\"g\":00000000000000000000001}]",
	    "{\"a\":0,\"b\":0,\"c\":9223372036854775807,"
	    "\"d\":-9223372036854775808,\"e\":9223372036854775808,"
	    "\"f\":-9223372036854775809,\"g\":1}\n");
	check_json("[{\"a\":1.50,\"b\":1e0,\"c\":-0.0,\"d\":1E-7,\"e\":123e2,"
		   "\"f\":0.1000000000000000055,\"g\":1e400,\"h\":-1e-400,"
		   "\"i\":9007199254740993.0,\"j\":1.7976931348623157e308,"
		   "\"k\":0.30000000000000004,\"l\":12345678.9012345}]",
	    "{\"a\":1.5,\"b\":1.0,\"c\":-0.0,\"d\":1.0E-7,\"e\":12300.0,"
	    "\"f\":0.1,\"g\":\"Infinity\",\"h\":-0.0,"
	    "\"i\":9.007199254740992E15,\"j\":1.7976931348623157E308,"
	    "\"k\":0.30000000000000004,\"l\":1.23456789012345E7}\n");
	CHECK_BYTES("[1.0]",
	    HEADER "\xf8\x29\x00\x3f\x78\x00\x00\x00\x00\x00"
		   "\x00\x00\xf9");
}

/* More digits than are turned into a binary number. */
static void
test_long_integers(void **state)
{
	char digits[SMILE_WRITER_DIGITS_MAX + 2], json[2048], expected[4096];

	(void)state;
	memset(digits, '7', sizeof digits);
	for (unsigned minus = 0; minus < 2; minus++) {
		const char *sign = minus ? "-" : "";

		digits[SMILE_WRITER_DIGITS_MAX] = '\0';
		snprintf(json, sizeof json, "{\"n\":%s%s}", sign, digits);
		snprintf(expected, sizeof expected, "%s\n", json);
		check_json(json, expected);
		digits[SMILE_WRITER_DIGITS_MAX] = '7';
		digits[SMILE_WRITER_DIGITS_MAX + 1] = '\0';
		snprintf(json, sizeof json, "{\"n\":%s%s}", sign, digits);
		snprintf(expected, sizeof expected, "{\"n\":\"%s%s\"}\n", sign,
		    digits);
		check_json(json, expected);
	}
}

static void
check_refused(const char *json, size_t offset)
{
	struct smile_writer w;
	struct buf out;

	buf_init(&out, MiB);
	buf_add_text(&out, "before");
	assert_false(write_smile(&w, json, strlen(json), &out));
	assert_false(out.failed);
	assert_int_equal(w.error_offset, offset);
	assert_int_equal(out.used, 6);
	buf_free(&out);
}

static void
test_refused(void **state)
{
	(void)state;
	check_refused("1", 0);
	check_refused("\"a\"", 0);
	check_refused("[", 1);
	check_refused("[1", 1);
	check_refused("[-]", 1);
	check_refused("[1-2]", 2);
	check_refused("[1.5.5]", 1);
	check_refused("[nul]", 1);
	check_refused("[\"a]", 4);
	check_refused("[\"\\x\"]", 2);
	check_refused("[\"\\u12g4\"]", 2);
	check_refused("[\"\\u123", 2);
	check_refused("[\"\\ud800\\u12\"]", 2);
	check_refused("[\"\\", 2);
	check_refused("{\"a\"}", 4);
	check_refused("{\"a\":", 5);
	check_refused("{\"a\":}", 5);
	check_refused("{a:1}", 1);
	check_refused("{\"a\":1]", 6);
	check_refused("[1}", 2);
	check_refused("[1 2]", 3);
	check_refused("[1,]", 3);
	check_refused("[,1]", 1);
	check_refused("{\"a\":1,}", 7);
	check_refused("{\"a\":1 \"b\":1}", 7);
	check_refused("{,}", 1);
	check_refused("[1],", 3);
	check_refused("[]]", 2);
}

static void
test_depth(void **state)
{
	char json[SMILE_WRITER_DEPTH_MAX + 2];
	struct smile_writer w;
	struct buf out;

	(void)state;
	buf_init(&out, MiB);
	memset(json, '[', sizeof json);
	assert_false(write_smile(&w, json, sizeof json, &out));
	assert_int_equal(w.error_offset, SMILE_WRITER_DEPTH_MAX);
	buf_free(&out);
}

/* A buffer that is too small says so, at every size. */
static void
test_bounded(void **state)
{
	static const char json[] = "[{\"name\":\"a string of some length\","
				   "\"number\":123456789012345678901234567890,"
				   "\"d\":1.5,\"e\":\"\\u00e9\\n\"}]";
	struct smile_writer w;
	struct buf out;
	size_t needed;

	(void)state;
	buf_init(&out, MiB);
	assert_true(write_smile(&w, json, strlen(json), &out));
	needed = out.used;
	buf_free(&out);
	for (size_t max = 0; max < needed; max++) {
		buf_init(&out, max);
		assert_false(write_smile(&w, json, strlen(json), &out));
		assert_true(out.failed);
		assert_int_equal(out.used, 0);
		buf_free(&out);
	}
}

/* Behind other bytes, as in an HTTP answer; names are found all the same. */
static void
test_appends(void **state)
{
	static const char json[] = "[{\"a\":1,\"b\":2},{\"a\":3,\"b\":4}]";
	struct smile_writer w;
	struct buf out, back;
	size_t from;

	(void)state;
	buf_init(&out, MiB);
	buf_init(&back, MiB);
	for (unsigned i = 0; i < 3; i++) {
		buf_add_text(&out, "HTTP/1.1 200 OK\r\n\r\n");
		from = out.used;
		assert_true(write_smile(&w, json, strlen(json), &out));
		read_back(&out, from, &back);
		assert_string_equal(
		    buf_text(&back), "{\"a\":1,\"b\":2}\n{\"a\":3,\"b\":4}\n");
	}
	buf_free(&out);
	buf_free(&back);
}

/* Text that is not JSON: no bytes are read or written where they must not. */
static void
check_mutants(const char *path)
{
	size_t bytes;
	char *json = read_file(path, &bytes);
	struct smile_writer w;
	struct buf out;

	buf_init(&out, MiB);
	for (unsigned i = 0; i < MUTANTS / GOLDEN_MIN && bytes > 0; i++) {
		static const char signs[] = "{}[]\",:\\0-.eun \xff";
		size_t at = random_below(bytes);
		char was = json[at];

		json[at] = signs[random_below(sizeof signs)];
		buf_reset(&out);
		(void)write_smile(&w, json, random_below(2) ? bytes : at, &out);
		if (i % 8 != 0)
			json[at] = was;
	}
	buf_free(&out);
	free(json);
}

static void
test_mutants(void **state)
{
	(void)state;
	for_golden("tests/golden/smile/*.json", GOLDEN_MIN, check_mutants);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_read_back),
		cmocka_unit_test(test_documents),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_long_integers),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_appends),
		cmocka_unit_test(test_mutants),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
