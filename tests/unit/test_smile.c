/*
 * test_smile - Smile becomes the JSON that Jackson writes of the same values
 *
 * The golden documents and texts (tests/golden/smile) were both written by
 * Jackson 2.12.7 from one list of values: X.smile must become X.json, byte for
 * byte. Bodies lie in memory of their exact length, the padding included.
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

#include "double_text.h"
#include "json_scan.h"
#include "sink_check.h"
#include "smile.h"

#define GOLDEN_MIN 22
#define MUTANTS 20000
#define NUMBERS 200000
#define HEADER ":)\n\x01"

/* A text that may hold NULs. */
struct bytes {
	char *at;
	size_t count;
};

#define BYTES(text) \
	((struct bytes){ (char *)(uintptr_t)(text), sizeof(text) - 1 })

static uint64_t random_state = 88172645463325252;

static uint64_t
next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state * UINT64_C(0x2545f4914f6cdd1d);
}

static struct bytes
read_file(const char *path)
{
	FILE *f = fopen(path, "r");
	struct bytes b = { .at = malloc(MiB) };

	if (f == NULL)
		fail_msg("%s cannot be read; run from the repository", path);
	assert_non_null(b.at);
	b.count = fread(b.at, 1, MiB, f);
	fclose(f);
	return b;
}

static enum smile_result
read_body(struct smile *s, struct bytes body, struct buf *out)
{
	char *exact = malloc(body.count + SMILE_PADDING);
	enum smile_result result;
	struct sink_check check;

	assert_non_null(exact);
	memcpy(exact, body.at, body.count);
	memset(exact + body.count, (int)(next_random() & 0xff), SMILE_PADDING);
	sink_check_init(&check);
	result = smile_feed(s, exact, body.count, out, &check.sink);
	sink_check_fini(&check);
	if (result == SMILE_MALFORMED) {
		assert_non_null(s->error);
		assert_true(s->error_offset <= body.count);
	}
	free(exact);
	return result;
}

/* json_scan must find the events that were counted. */
static void
check_scans(const struct smile *s, const struct buf *out)
{
	struct json_scan scan;
	uint32_t events = 0;

	json_scan_init(&scan, out->bytes, out->used);
	while (json_scan_next(&scan) == JSON_SCAN_EVENT)
		events++;
	assert_int_equal(json_scan_next(&scan), JSON_SCAN_END);
	assert_int_equal(events, s->events);
	json_scan_fini(&scan);
}

static void
check_json(struct bytes body, struct bytes json)
{
	struct smile s;
	struct buf out;

	buf_init(&out, 16 * MiB);
	assert_int_equal(read_body(&s, body, &out), SMILE_DONE);
	assert_int_equal(out.used, json.count);
	assert_memory_equal(out.bytes, json.at, json.count);
	check_scans(&s, &out);
	buf_free(&out);
}

static void
check_malformed(struct bytes body, uint32_t offset, const char *error)
{
	struct smile s;
	struct buf out;

	buf_init(&out, MiB);
	assert_int_equal(read_body(&s, body, &out), SMILE_MALFORMED);
	assert_string_equal(s.error, error);
	assert_int_equal(s.error_offset, offset);
	buf_free(&out);
}

static void
for_golden(void (*check)(struct bytes smile, struct bytes json))
{
	glob_t found;

	assert_int_equal(
	    glob("tests/golden/smile/*.smile", 0, NULL, &found), 0);
	assert_true(found.gl_pathc >= GOLDEN_MIN);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		char path[256];
		struct bytes smile = read_file(found.gl_pathv[i]), json;

		snprintf(path, sizeof path, "%.*s.json",
		    (int)(strlen(found.gl_pathv[i]) - strlen(".smile")),
		    found.gl_pathv[i]);
		json = read_file(path);
		check(smile, json);
		free(smile.at);
		free(json.at);
	}
	globfree(&found);
}

static void
test_golden(void **state)
{
	(void)state;
	for_golden(check_json);
}

/* Cut anywhere, a body is refused at its end, or is whole events. */
static void
check_cut(struct bytes body, struct bytes json)
{
	size_t step = 1 + body.count / 400;
	struct smile s;
	struct buf out;

	buf_init(&out, 16 * MiB);
	for (size_t n = 0; n < body.count; n += step) {
		struct bytes cut = { body.at, n };

		if (read_body(&s, cut, &out) == SMILE_DONE) {
			assert_true(out.used <= json.count);
			check_scans(&s, &out);
		}
	}
	buf_free(&out);
}

static void
test_cut_short(void **state)
{
	(void)state;
	for_golden(check_cut);
}

/* Whatever is accepted is JSON. */
static void
check_mutants(struct bytes body, struct bytes json)
{
	struct smile s;
	struct buf out;

	(void)json;
	buf_init(&out, 16 * MiB);
	for (unsigned i = 0; i < MUTANTS / GOLDEN_MIN && body.count > 4; i++) {
		size_t at = 3 + next_random() % (body.count - 3);
		char was = body.at[at];

		body.at[at] = (char)next_random();
		if (read_body(&s, body, &out) == SMILE_DONE)
			check_scans(&s, &out);
		/* every other one stays */
		if (i % 8 != 0)
			body.at[at] = was;
	}
	buf_free(&out);
}

static void
test_mutants(void **state)
{
	(void)state;
	for_golden(check_mutants);
}

static void
test_documents(void **state)
{
	(void)state;
	check_json(BYTES(""), BYTES(""));
	check_json(BYTES(HEADER), BYTES(""));
	check_json(BYTES(HEADER "\xff"), BYTES(""));
	check_json(BYTES(HEADER HEADER "\xff\xff" HEADER), BYTES(""));
	check_json(BYTES(HEADER "\xf8\xf9"), BYTES(""));
	check_json(BYTES(HEADER "\xfa\xfb"), BYTES("{}\n"));
	check_json(
	    BYTES(HEADER "\xf8\xfa\xfb\xf9\xff" HEADER "\xfa\xfb\xfa\xfb"),
	    BYTES("{}\n{}\n{}\n"));
	/* names count from each header on, and through a whole document */
	check_json(BYTES(HEADER "\xfa\x80"
				"a\xc2\xfb" HEADER "\xfa\x80"
				"b\xc2\xfb\xfa\x40\xc4\xfb"),
	    BYTES("{\"a\":1}\n{\"b\":1}\n{\"b\":2}\n"));
	/* the reserved flag is not heeded */
	check_json(BYTES(":)\n\x09\xfa\xfb"), BYTES("{}\n"));
}

static void
test_values(void **state)
{
	(void)state;
	/* more bytes than the number needs; bits that it does not use */
	check_json(BYTES(HEADER "\xfa\x80"
				"a\x24\x00\x00\x82\x80"
				"b\x25\x82\x80"
				"c\x25\x03\x7f\x7f\x7f\xbf\xfb"),
	    BYTES("{\"a\":1,\"b\":1,\"c\":-268435456}\n"));
	check_json(BYTES(HEADER "\xfa\x80"
				"f\x28\x73\x7c\x00\x00\x00\x80"
				"d\x29\x7e\x3f\x78\x00\x00\x00\x00\x00\x00\x00"
				"\x80"
				"b\xe8\x81\x7f\x7f\xfb"),
	    BYTES("{\"f\":1.0,\"d\":1.0,\"b\":\"/w==\"}\n"));
	/* strings of the other kinds than a writer would choose */
	check_json(BYTES(HEADER "\xfa\x34"
				"ab\xfc\x80xy\x20\xe0\xfc\x34\xfc\xe4"
				"z\xfc\xfb"),
	    BYTES("{\"ab\":\"xy\",\"\":\"\",\"\":\"z\"}\n"));
	/* 65 bytes of Unicode */
	check_json(BYTES(HEADER "\xfa\x80"
				"a\xbf"
				"0123456789012345678901234567890123456789"
				"0123456789012345678901234\xfb"),
	    BYTES("{\"a\":\"0123456789012345678901234567890123456789"
		  "0123456789012345678901234\"}\n"));
	/* short references to long names, and to the empty one none */
	check_json(BYTES(HEADER "\xfa\x20\xc0\x34xyz\xfc\xc0\x40\xc2\xfb"),
	    BYTES("{\"\":0,\"xyz\":0,\"xyz\":1}\n"));
}

static void
test_malformed(void **state)
{
	static const char early[] = "the body ends too early";

	(void)state;
	check_malformed(BYTES("{\"a\":1}"), 0, "this is JSON text, not Smile");
	check_malformed(BYTES("[]"), 0, "this is JSON text, not Smile");
	check_malformed(BYTES(":(\n\x01"), 1, "expected a Smile header");
	check_malformed(BYTES("\xfa\xfb"), 0, "expected a Smile header");
	check_malformed(BYTES(HEADER "\xff\xfa"), 5, "expected a Smile header");
	check_malformed(
	    BYTES(":)\n\x11"), 3, "a version of Smile other than 0");
	check_malformed(BYTES(":)\n"), 3, early);
	check_malformed(BYTES(HEADER "\xc2"), 4, "event is not an object");
	check_malformed(
	    BYTES(HEADER "\xf8\x21\xf9"), 5, "event is not an object");
	check_malformed(BYTES(HEADER "\xfb"), 4, "event is not an object");
	check_malformed(BYTES(HEADER "\xf8\xf9\xfa\xfb"), 6,
	    "more behind the array of events");
	check_malformed(BYTES(HEADER "\xf8\xf9\xf8\xf9"), 6,
	    "more behind the array of events");
	check_malformed(BYTES(HEADER "\xf8"), 5, early);
	check_malformed(
	    BYTES(HEADER "\xfa\x21\x21\xfb"), 5, "expected a member's name");
	check_malformed(
	    BYTES(HEADER "\xfa\xf9"), 5, "expected a member's name");
	check_malformed(BYTES(HEADER "\xfa\x80"
				     "a\xfb"),
	    7, "expected a value");
	check_malformed(BYTES(HEADER "\xfa\x80"
				     "a\xf8\xfb\xfb"),
	    8, "expected a value");
	check_malformed(BYTES(HEADER "\xfa\x80"
				     "a\xff\xfb"),
	    7, "expected a value");
}

static void
test_reserved_tokens(void **state)
{
	(void)state;
	for (unsigned token = 0; token < 256; token++) {
		static const char list[] =
		    "\x00\x27\x2b\x2f\x30\x3a\x3f\xe1\xe2"
		    "\xe3\xe5\xe9\xf0\xf7\xf9\xfb\xfc\xfe"
		    "\xff";
		char body[] = HEADER "\xfa\x80"
				     "a?\x80\x80\x80\x80\xfb";

		if (memchr(list, (int)token, sizeof list - 1) == NULL)
			continue;
		body[7] = (char)token;
		check_malformed(BYTES(body), 7, "expected a value");
	}
}

static void
test_malformed_references(void **state)
{
	static const char early[] = "the body ends too early";
	static const char none[] = "the header announces no such back "
				   "references";
	static const char unseen[] = "a back reference to what has not been "
				     "there";

	(void)state;
	check_malformed(BYTES(HEADER "\xfa\x40\x21\xfb"), 5, unseen);
	check_malformed(BYTES(":)\n\x00\xfa\x80"
			      "a\x21\x40\x21\xfb"),
	    8, none);
	check_malformed(BYTES(HEADER "\xfa\x80"
				     "a\x40q\x80"
				     "b\x01\xfb"),
	    11, none);
	check_malformed(BYTES(":)\n\x03\xfa\x80"
			      "a\x40q\x80"
			      "b\x02\xfb"),
	    11, unseen);
	check_malformed(BYTES(":)\n\x03\xfa\x80"
			      "a\xec\x40\xfb"),
	    7, unseen);
	check_malformed(BYTES(":)\n\x03\xfa\x80"
			      "a\xec\x1e\xfb"),
	    7, "a back reference that one byte has to say");
	check_malformed(BYTES(HEADER "\xfa\x30\x3f\x21\xfb"), 5,
	    "a back reference that one byte has to say");
	check_malformed(BYTES(HEADER "\xfa\x31\xff\x21\xfb"), 5,
	    "a back reference must not end in FE or FF");
	check_malformed(BYTES(HEADER "\xfa\x31"), 6, early);
}

static void
test_malformed_numbers(void **state)
{
	static const char number[] = "a number malformed or cut short";

	(void)state;
	check_malformed(BYTES(HEADER "\xfa\x80"
				     "a\x24\x01\xc0\xfb"),
	    7, number);
	check_malformed(BYTES(HEADER "\xfa\x80"
				     "a\x24\x40\x00\x00\x00\x80\xfb"),
	    7, number);
	check_malformed(BYTES(HEADER "\xfa\x80"
				     "a\x24\x00\x00\x00\x00\x00\x80\xfb"),
	    7, number);
	check_malformed(
	    BYTES(HEADER "\xfa\x80"
			 "a\x25\x04\x00\x00\x00\x00\x00\x00\x00\x00\x80\xfb"),
	    7, number);
	check_malformed(BYTES(HEADER "\xfa\x80"
				     "a\x28\x00\x00\x80\x00\x00\xfb"),
	    7, number);
	check_malformed(BYTES(HEADER "\xfa\x80"
				     "a\x26\x80\xfb"),
	    7, number);
	check_malformed(BYTES(HEADER "\xfa\x80"
				     "a\x26\x06\xa1\xfb"),
	    7, JSON_SCAN_NUMBER_TOO_LONG);
	check_malformed(BYTES(HEADER "\xfa\x80"
				     "a\x26\x81\x80\x00\xfb"),
	    9, "a byte of more than seven bits");
}

/* `before`, `count` times the byte, `behind`. NULL: it is in order. */
static void
check_length(struct bytes before, int fill, size_t count, struct bytes behind,
    const char *said, uint32_t offset)
{
	struct bytes body = { .count = before.count + count + behind.count };
	struct smile s;
	struct buf out;

	body.at = malloc(body.count);
	assert_non_null(body.at);
	memcpy(body.at, before.at, before.count);
	memset(body.at + before.count, fill, count);
	memcpy(body.at + before.count + count, behind.at, behind.count);
	buf_init(&out, 32 * MiB);
	assert_int_equal(read_body(&s, body, &out),
	    said == NULL ? SMILE_DONE : SMILE_MALFORMED);
	if (said == NULL) {
		check_scans(&s, &out);
	} else {
		assert_string_equal(s.error, said);
		assert_int_equal(s.error_offset, offset);
	}
	buf_free(&out);
	free(body.at);
}

static void
test_lengths(void **state)
{
	enum { NAME = JSON_SCAN_NAME_MAX, TEXT = JSON_SCAN_STRING_MAX };
	const struct bytes name = BYTES(HEADER "\xfa\x34"),
			   text = BYTES(HEADER "\xfa\x80"
					       "a\xe0"),
			   nested = BYTES(HEADER "\xfa\x80"
						 "a\xf8\xe4"),
			   number_end = BYTES("\xfb"),
			   name_end = BYTES("\xfc\xc2\xfb"),
			   text_end = BYTES("\xfc\xfb"),
			   nested_end = BYTES("\xfc\xf9\xfb");

	(void)state;
	check_length(name, 'x', NAME, name_end, NULL, 0);
	check_length(name, 'x', NAME + 1, name_end, JSON_SCAN_NAME_TOO_LONG, 6);
	/* as they are written */
	check_length(name, '\n', NAME / 2, name_end, NULL, 0);
	check_length(
	    name, '\n', NAME / 2 + 1, name_end, JSON_SCAN_NAME_TOO_LONG, 6);
	check_length(
	    text, 1, TEXT / 6 + 1, text_end, JSON_SCAN_STRING_TOO_LONG, 8);
	check_length(text, 'x', TEXT, text_end, NULL, 0);
	check_length(
	    text, 'x', TEXT + 1, text_end, JSON_SCAN_STRING_TOO_LONG, 8);
	check_length(nested, 'x', TEXT, nested_end, NULL, 0);
	check_length(
	    nested, 'x', TEXT + 1, nested_end, JSON_SCAN_STRING_TOO_LONG, 9);
	/* binary of 15,000,000 bytes, and of one more */
	check_length(BYTES(":)\n\x05\xfa\x80"
			   "a\xfd\x0e\x27\x07\x80"),
	    'x', 15000000, number_end, NULL, 0);
	check_length(BYTES(":)\n\x05\xfa\x80"
			   "a\xfd\x0e\x27\x07\x81"),
	    'x', 15000001, number_end, JSON_SCAN_STRING_TOO_LONG, 7);
	/* 2^3319 - 1 and its negative have 1,000 digits, 2^3327 - 1 has 1,002 */
	check_length(BYTES(HEADER "\xfa\x80"
				  "a\x26\x06\x9f\x3f"),
	    0x7f, 473, BYTES("\x03\xfb"), NULL, 0);
	check_length(BYTES(HEADER "\xfa\x80"
				  "a\x26\x06\x9f\x40"),
	    0, 473, BYTES("\x01\xfb"), NULL, 0);
	check_length(BYTES(HEADER "\xfa\x80"
				  "a\x26\x06\xa0\x3f"),
	    0x7f, 474, BYTES("\x07\xfb"), JSON_SCAN_NUMBER_TOO_LONG, 7);
	/* one of them with a point in it */
	check_length(BYTES(HEADER "\xfa\x80"
				  "a\x2a\x82\x06\x9f\x3f"),
	    0x7f, 473, BYTES("\x03\xfb"), JSON_SCAN_NUMBER_TOO_LONG, 7);
}

static void
test_malformed_binary(void **state)
{
	static const char early[] = "the body ends too early";

	(void)state;
	check_malformed(BYTES(HEADER "\xfa\x80"
				     "a\xfd\x81x\xfb"),
	    7, "the header announces no raw binary");
	check_malformed(BYTES(":)\n\x05\xfa\x80"
			      "a\xfd\x82x"),
	    10, early);
	check_malformed(BYTES(":)\n\x05\xfa\x80"
			      "a\xfd\x3f\x7f\x7f\x7f\xbf"),
	    7, "a length malformed or cut short");
	check_malformed(BYTES(HEADER "\xfa\x80"
				     "a\xe8\x0f\x7f\x7f\x7f\xbf"),
	    13, early);
	check_malformed(BYTES(HEADER "\xfa\x80"
				     "a\xe8\x82\x00\x00\x90\xfb"),
	    9, "a byte of more than seven bits");
}

static void
test_malformed_strings(void **state)
{
	static const char early[] = "the body ends too early";
	static const char ascii[] = "not ASCII, though the string's token says "
				    "so";
	static const char utf8[] = "this is not UTF-8";

	(void)state;
	check_malformed(BYTES(HEADER "\xfa\x81"
				     "a\xc3\x21\xfb"),
	    7, ascii);
	check_malformed(BYTES(HEADER "\xfa\x80"
				     "a\x41\xc3\xa9\xfb"),
	    8, ascii);
	check_malformed(BYTES(HEADER "\xfa\x80"
				     "a\xe0x\xc3\xa9\xfc\xfb"),
	    9, ascii);
	check_malformed(BYTES(HEADER "\xfa\x80"
				     "a\x80\xc3(\xfb"),
	    8, utf8);
	check_malformed(BYTES(HEADER "\xfa\x80"
				     "a\x81\xed\xa0\x80\xfb"),
	    8, utf8);
	/* overlong, and spoilt by where it ends */
	check_malformed(BYTES(HEADER "\xfa\x80"
				     "a\x80\xc0\x80\xfb"),
	    8, utf8);
	check_malformed(BYTES(HEADER "\xfa\x80"
				     "a\x80x\xc3\xa9\xfb"),
	    9, utf8);
	check_malformed(BYTES(HEADER "\xfa\x80"
				     "a\xe4\"\xc3\"\xa9\xfc\xfb"),
	    9, utf8);
	check_malformed(BYTES(HEADER "\xfa\xc1\xe2\x82\"\x21\xfb"), 6, utf8);
	check_malformed(BYTES(HEADER "\xfa\x34\xf5\xfc\x21\xfb"), 6, utf8);
	check_malformed(BYTES(HEADER "\xfa\x80"
				     "a\xe0x"),
	    9, early);
	check_malformed(BYTES(HEADER "\xfa\x80"
				     "a\x42xy"),
	    10, early);
}

/* The bad event's index comes with the place. */
static void
test_event_index(void **state)
{
	struct smile s;
	struct buf out;

	(void)state;
	buf_init(&out, MiB);
	assert_int_equal(
	    read_body(&s, BYTES(HEADER "\xf8\xfa\xfb\xfa\xfb\x21"), &out),
	    SMILE_MALFORMED);
	assert_int_equal(s.events, 2);
	assert_int_equal(s.error_offset, 9);
	buf_free(&out);
}

static enum smile_result
read_nested(unsigned depth, char open, char close)
{
	struct bytes body = { malloc(3 * depth + 16), 0 };
	struct smile s;
	struct buf out;
	enum smile_result result;

	memcpy(body.at, HEADER "\xfa", 5);
	body.count = 5;
	for (unsigned i = 1; i < depth; i++) {
		if (i == 1 || open == '\xfa')
			body.at[body.count++] = 0x20;
		body.at[body.count++] = open;
	}
	for (unsigned i = 1; i < depth; i++)
		body.at[body.count++] = close;
	body.at[body.count++] = '\xfb';
	buf_init(&out, MiB);
	result = read_body(&s, body, &out);
	if (result == SMILE_DONE)
		check_scans(&s, &out);
	else
		assert_string_equal(s.error, "nested too deep");
	buf_free(&out);
	free(body.at);
	return result;
}

static void
test_depth(void **state)
{
	(void)state;
	assert_int_equal(
	    read_nested(JSON_SCAN_DEPTH_MAX, '\xfa', '\xfb'), SMILE_DONE);
	assert_int_equal(
	    read_nested(JSON_SCAN_DEPTH_MAX, '\xf8', '\xf9'), SMILE_DONE);
	assert_int_equal(read_nested(JSON_SCAN_DEPTH_MAX + 1, '\xfa', '\xfb'),
	    SMILE_MALFORMED);
	assert_int_equal(read_nested(JSON_SCAN_DEPTH_MAX + 1, '\xf8', '\xf9'),
	    SMILE_MALFORMED);
}

/* The limit is kept to the byte, whatever the values are. */
static void
check_limit(struct bytes body, struct bytes json)
{
	struct smile s;
	struct buf out;

	for (unsigned more = 0; more < 2; more++) {
		buf_init(&out, json.count + more + SMILE_SPARE - 1);
		if (json.count + more <= 1) {
			buf_free(&out);
			continue;
		}
		assert_int_equal(read_body(&s, body, &out),
		    more == 0 ? SMILE_TOO_LARGE : SMILE_DONE);
		buf_free(&out);
	}
}

static void
test_limit(void **state)
{
	(void)state;
	for_golden(check_limit);
}

/* One byte that stands for 50,000: the output's limit holds. */
static void
test_expansion(void **state)
{
	enum { NAME = 50000, TIMES = 100000 };
	struct bytes body = { malloc(NAME + 2 * TIMES + 16), 0 };
	struct smile s;
	struct buf out;

	(void)state;
	memcpy(body.at, HEADER "\xfa\x34", 6);
	memset(body.at + 6, 'n', NAME);
	memcpy(body.at + 6 + NAME, "\xfc\x21", 2);
	body.count = NAME + 8;
	for (unsigned i = 0; i < TIMES; i++) {
		body.at[body.count++] = 0x40;
		body.at[body.count++] = 0x21;
	}
	body.at[body.count++] = '\xfb';
	buf_init(&out, 4 * MiB);
	assert_int_equal(read_body(&s, body, &out), SMILE_TOO_LARGE);
	assert_true(out.size <= 4 * MiB);
	buf_free(&out);
	free(body.at);
}

/* What one body left behind means nothing to the next. */
static void
test_again(void **state)
{
	struct smile s;
	struct buf out;

	(void)state;
	buf_init(&out, MiB);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(read_body(&s,
				     BYTES(HEADER "\xfa\x80"
						  "a\x21\xfb"),
				     &out),
		    SMILE_DONE);
		assert_int_equal(out.used, strlen("{\"a\":null}\n"));
		assert_int_equal(s.events, 1);
		assert_int_equal(
		    read_body(&s, BYTES(HEADER "\xfa\x40\x21\xfb"), &out),
		    SMILE_MALFORMED);
		assert_int_equal(s.events, 0);
	}
	buf_free(&out);
}

static void
check_double(double number, const char *text)
{
	char bytes[DOUBLE_TEXT_BYTES + 1];
	double again;

	*double_text_write(bytes, number) = '\0';
	if (text != NULL)
		assert_string_equal(bytes, text);
	again = strtod(bytes, NULL);
	assert_memory_equal(&again, &number, sizeof number);
}

static void
check_float(float number, const char *text)
{
	char bytes[DOUBLE_TEXT_BYTES + 1];
	float again;

	*double_text_write_float(bytes, number) = '\0';
	if (text != NULL)
		assert_string_equal(bytes, text);
	again = strtof(bytes, NULL);
	assert_memory_equal(&again, &number, sizeof number);
}

static void
test_double_text(void **state)
{
	(void)state;
	check_double(5e-324, "5.0E-324");
	check_double(2.2250738585072014e-308, "2.2250738585072014E-308");
	check_double(2.225073858507201e-308, "2.225073858507201E-308");
	check_double(1.7976931348623157e308, "1.7976931348623157E308");
	check_double(-1.7976931348623157e308, "-1.7976931348623157E308");
	check_double(2e-3, "0.002");
	check_double(2e23, "2.0E23");
	check_double(9007199254740993.0, "9.007199254740992E15");
	check_double(0.1 + 0.2, "0.30000000000000004");
	check_double(9999999.999999998, "9999999.999999998");
	check_double(1e22, "1.0E22");
	check_double(1e23, "1.0E23");
	check_float(1e-45f, "1.0E-45");
	check_float(1.17549435e-38f, "1.1754944E-38");
	check_float(3.4028235e38f, "3.4028235E38");
	check_float(0.1f, "0.1");
	check_float(16777216.0f, "1.6777216E7");
	check_float(33554432.0f, "3.3554432E7");
	for (unsigned i = 0; i < NUMBERS; i++) {
		uint64_t bits = next_random();
		uint32_t half = (uint32_t)(bits >> 13);
		double d;
		float f;

		if (i % 4 == 0) /* powers of two and their neighbours */
			bits = (bits & 0x7ff) << 52 | bits >> 62;
		memcpy(&d, &bits, sizeof d);
		memcpy(&f, &half, sizeof f);
		if ((bits >> 52 & 0x7ff) != 0x7ff)
			check_double(d, NULL);
		if ((half >> 23 & 0xff) != 0xff)
			check_float(f, NULL);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_cut_short),
		cmocka_unit_test(test_mutants),
		cmocka_unit_test(test_documents),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_reserved_tokens),
		cmocka_unit_test(test_malformed_references),
		cmocka_unit_test(test_malformed_numbers),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_malformed_binary),
		cmocka_unit_test(test_malformed_strings),
		cmocka_unit_test(test_event_index),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_expansion),
		cmocka_unit_test(test_again),
		cmocka_unit_test(test_double_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
