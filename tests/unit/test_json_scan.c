/*
 * test_json_scan - the event scanner, on every way it has of looking at bytes
 *
 * Every body is scanned by all of them, with several kinds of bytes behind its
 * end, and they must agree on everything.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base.h"

#include "json_scan.h"
#include "panic.h"

#define SUITE "corpus/JSONTestSuite/test_parsing"
#define MUTANTS 60000
#define MUTANT_BYTES 4096

/* What a scan came to. */
struct outcome {
	enum json_scan_result result;
	unsigned events, fields; /* fields: of the last event */
	uint32_t error_offset;
	const char *error;
	uint64_t digest; /* of every event's and field's numbers */
};

static uint64_t random_state = 88172645463325252;

static unsigned
random_below(unsigned n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (unsigned)(random_state >> 33) % n;
}

static void
digest_add(uint64_t *digest, uint64_t value)
{
	*digest = (*digest ^ value) * UINT64_C(0x9e3779b97f4a7c15);
	*digest ^= *digest >> 29;
}

static void
digest_event(struct json_scan *s, uint64_t *digest)
{
	digest_add(digest, s->event);
	digest_add(digest, s->event_bytes);
	for (unsigned i = 0; i < s->field_count; i++) {
		const struct json_field *f = &s->fields[i];

		digest_add(digest, f->name);
		digest_add(digest, f->name_bytes);
		digest_add(digest, f->value);
		digest_add(digest, f->value_bytes);
		digest_add(digest,
		    f->type + 16u * f->name_escaped + 32u * f->value_escaped);
	}
}

static struct outcome
run(struct json_scan *s)
{
	struct outcome o = { .events = 0 };

	while ((o.result = json_scan_next(s)) == JSON_SCAN_EVENT) {
		assert_int_equal(s->event_index, o.events);
		o.events++;
		o.fields = s->field_count;
		digest_event(s, &o.digest);
	}
	assert_int_equal(json_scan_next(s), o.result);
	if (o.result == JSON_SCAN_MALFORMED) {
		assert_int_equal(s->event_index, o.events);
		assert_false(s->is_out_of_memory);
		o.error = s->error;
		o.error_offset = s->error_offset;
	}
	return o;
}

/* Scans a copy whose allocation ends with the padding. */
static struct outcome
scan_padded(const char *body, size_t bytes, enum json_scan_cpu cpu, char pad)
{
	char *copy = malloc(bytes + JSON_SCAN_PADDING);
	struct json_scan s;
	struct outcome o;

	assert_non_null(copy);
	memcpy(copy, body, bytes);
	memset(copy + bytes, pad, JSON_SCAN_PADDING);
	json_scan_init(&s, copy, bytes);
	assert_true(json_scan_use(&s, cpu));
	o = run(&s);
	json_scan_fini(&s);
	free(copy);
	return o;
}

static unsigned
cpu_count(void)
{
	unsigned count = 0;
	struct json_scan s;

	json_scan_init(&s, "", 0);
	while (count <= JSON_SCAN_AVX2 &&
	    json_scan_use(&s, (enum json_scan_cpu)count))
		count++;
	json_scan_fini(&s);
	return count;
}

static struct outcome
scan(const char *body, size_t bytes)
{
	static const char pads[] = { '\0', ' ', '9', '"', '}', '[', '\\', ':',
		',', '\x80', '\xf0' };
	struct outcome first = scan_padded(body, bytes, JSON_SCAN_PLAIN, 0);
	unsigned cpus = cpu_count();

	for (unsigned cpu = 0; cpu < cpus; cpu++)
		for (size_t i = 0; i < sizeof(pads); i++) {
			struct outcome o = scan_padded(
			    body, bytes, (enum json_scan_cpu)cpu, pads[i]);

			assert_int_equal(o.result, first.result);
			assert_int_equal(o.events, first.events);
			assert_int_equal(o.digest, first.digest);
			assert_int_equal(o.error_offset, first.error_offset);
			assert_ptr_equal(o.error, first.error);
		}
	return first;
}

static void
takes(const char *body, unsigned events)
{
	struct outcome o = scan(body, strlen(body));

	if (o.result != JSON_SCAN_END)
		fail_msg("%s: %s at %u", body, o.error, o.error_offset);
	assert_int_equal(o.events, events);
}

static void
refuses(const char *body, uint32_t offset, const char *error)
{
	struct outcome o = scan(body, strlen(body));

	if (o.result != JSON_SCAN_MALFORMED)
		fail_msg("taken: %s", body);
	if (o.error_offset != offset || strcmp(o.error, error) != 0)
		fail_msg("%s: %s at %u", body, o.error, o.error_offset);
}

static void
test_bodies(void **state)
{
	(void)state;
	takes("", 0);
	takes(" \t\r\n ", 0);
	takes("[]", 0);
	takes(" [ ] \n", 0);
	takes("{}", 1);
	takes("{}{}", 2);
	takes("{} {}\n{}\r\n\t{}\n", 4);
	takes("[{}]", 1);
	takes("\n[ {} , {\"a\":[1,{}]} ]\n", 2);
	takes("{\"a\":1}{\"a\":{\"b\":[]}}", 2);
	takes("\xef\xbb\xbf{}", 1);
	takes("\xef\xbb\xbf [{},{}]", 2);
}

static void
test_bodies_refused(void **state)
{
	static const char not_object[] = "event is not an object";
	static const char early[] = "the body ends too early";
	static const char after[] = "expected ',' or ']' after an event";
	static const char behind[] = "text after the array of events";

	(void)state;
	refuses("1", 0, not_object);
	refuses(" \"a\"", 1, not_object);
	refuses("\xef\xbb\xbf", 3, early);
	refuses("\xef\xbb\xbf\n", 4, early);
	refuses("\xef\xbb{}", 0, not_object);
	refuses(" \xef\xbb\xbf{}", 1, not_object);
	refuses("{}\xef\xbb\xbf{}", 2, not_object);
	refuses("{},{}", 2, not_object);
	refuses("{}\n[{}]", 3, not_object);
	refuses("{} null", 3, not_object);
	refuses("[1]", 1, not_object);
	refuses("[[]]", 1, not_object);
	refuses("[{},]", 4, not_object);
	refuses("[,{}]", 1, not_object);
	refuses("[{},1]", 4, not_object);
	refuses("[", 1, early);
	refuses("[ ", 2, early);
	refuses("[{}", 3, early);
	refuses("[{}, ", 5, early);
	refuses("{", 1, early);
	refuses("[{} {}]", 4, after);
	refuses("[{}}", 3, after);
	refuses("[]]", 2, behind);
	refuses("[{}] {}", 5, behind);
	refuses("[{}],", 4, behind);
}

static void
test_grammar_refused(void **state)
{
	static const char name[] = "expected a member's name";
	static const char colon[] = "expected ':' after a member's name";
	static const char value[] = "expected a value";
	static const char brace[] = "expected ',' or '}'";
	static const char bracket[] = "expected ',' or ']'";

	(void)state;
	refuses("{1}", 1, name);
	refuses("{,}", 1, name);
	refuses("{'a':1}", 1, name);
	refuses("{a:1}", 1, name);
	refuses("{\"a\":1,}", 7, name);
	refuses("{\"a\":1,,\"b\":2}", 7, name);
	refuses("{\"a\"}", 4, colon);
	refuses("{\"a\" 1}", 5, colon);
	refuses("{\"a\"\"b\"}", 4, colon);
	refuses("{\"a\":}", 5, value);
	refuses("{\"a\":,}", 5, value);
	refuses("{\"a\"::1}", 5, value);
	refuses("{\"a\":nul}", 5, value);
	refuses("{\"a\":True}", 5, value);
	refuses("{\"a\":]}", 5, value);
	refuses("{\"a\":\xc3\xa9}", 5, value);
	refuses("{\"a\":1 2}", 7, brace);
	refuses("{\"a\":nullx}", 9, brace);
	refuses("{\"a\":true\"\"}", 9, brace);
	refuses("{\"a\":\"b\"c}", 8, brace);
	refuses("{\"a\":1]", 6, brace);
	refuses("{\"a\":[}", 6, value);
	refuses("{\"a\":[1}", 7, bracket);
	refuses("{\"a\":[1,]}", 8, value);
	refuses("{\"a\":[,1]}", 6, value);
	refuses("{\"a\":[1 2]}", 8, bracket);
	refuses("{\"a\":{]}", 6, name);
	refuses("{\"a\":{\"b\":}}", 10, value);
	refuses("{\"a\":{\"b\":1,}}", 12, name);
	refuses("{\"a\":{\"b\":1]}", 11, brace);
	refuses("{\"a\":[{}{}]}", 8, bracket);
	refuses("{\"a\":/**/1}", 5, value);
	refuses("{\"a\":\f1}", 5, value);
	refuses("{\"a\":[[1],{\"b\":[2,{}]}]]}", 23, brace);
}

static void
test_numbers(void **state)
{
	static const char *const good[] = { "0", "-0", "1", "-1", "10", "0.0",
		"-0.0", "1e5", "1E+5", "1e-05", "0e0", "0.1e1", "-123.456E-78",
		"1e99999", "123456789012345678901234567890",
		"1.00000000000000000000000000000000000000000000001" };
	static const char *const bad[] = { "-", "+1", "01", "-01", "00", ".1",
		"1.", "-.1", "1.e1", "1e", "1e+", "1E-", "0x1", "1_000", "1a",
		"--1", "1.2.3", "1e1.1", "1e1e1", "NaN", "Infinity",
		"-Infinity", "\xef\xbc\x91", "1-2", "- 1" };
	char text[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		(void)snprintf(text, sizeof(text), "{\"a\":%s}", good[i]);
		takes(text, 1);
		(void)snprintf(
		    text, sizeof(text), "{\"a\":[%s ,%s]}", good[i], good[i]);
		takes(text, 1);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		(void)snprintf(text, sizeof(text), "{\"a\":%s}", bad[i]);
		assert_int_equal(
		    scan(text, strlen(text)).result, JSON_SCAN_MALFORMED);
		(void)snprintf(text, sizeof(text), "{\"a\":[%s]}", bad[i]);
		assert_int_equal(
		    scan(text, strlen(text)).result, JSON_SCAN_MALFORMED);
	}
	assert_int_equal(scan("{\"a\":1\0}", 8).result, JSON_SCAN_MALFORMED);
}

static void
check_field(const struct json_scan *s, unsigned i, const char *name,
    enum scan_type type, const char *value)
{
	const struct json_field *f = &s->fields[i];

	assert_int_equal(f->name_bytes, strlen(name));
	assert_memory_equal(s->body + f->name, name, f->name_bytes);
	assert_int_equal(f->type, type);
	assert_int_equal(f->value_bytes, strlen(value));
	assert_memory_equal(s->body + f->value, value, f->value_bytes);
	assert_int_equal(
	    f->name_escaped, memchr(name, '\\', strlen(name)) != NULL);
	assert_int_equal(f->value_escaped,
	    type == SCAN_STRING && memchr(value, '\\', strlen(value)) != NULL);
}

static void
test_fields(void **state)
{
	static const char event[] =
	    "{ \"s\" : \"text\" ,\"e\":\"a\\n\\u00e9\",\"n\":-1.5e3,"
	    "\"t\":true,\"f\":false,\"z\":null ,\"a\":[1,\"]\",[{}]],"
	    "\"o\":{\"x\":{\"y\":\"}\"}} ,\"\":\"\",\"k\\\"\":1,"
	    "\"a long name of more than 32 bytes, indeed\":"
	    "\"a long value of far more than thirty-two bytes \\\\ indeed\","
	    "\"s\":\"again\"}";
	char body[sizeof(event) * 2 + JSON_SCAN_PADDING];
	unsigned cpus = cpu_count();
	struct json_scan s;

	(void)state;
	memset(body, 0, sizeof(body));
	(void)snprintf(body, sizeof(body), "[%s,{\"b\":2}]", event);
	json_scan_init(&s, body, strlen(body));
	for (unsigned cpu = 0; cpu < cpus; cpu++) {
		assert_true(json_scan_use(&s, (enum json_scan_cpu)cpu));
		assert_int_equal(json_scan_next(&s), JSON_SCAN_EVENT);
		assert_int_equal(s.event, 1);
		assert_int_equal(s.event_bytes, strlen(event));
		assert_int_equal(s.event_index, 0);
		assert_int_equal(s.field_count, 12);
		check_field(&s, 0, "s", SCAN_STRING, "text");
		check_field(&s, 1, "e", SCAN_STRING, "a\\n\\u00e9");
		check_field(&s, 2, "n", SCAN_NUMBER, "-1.5e3");
		check_field(&s, 3, "t", SCAN_TRUE, "true");
		check_field(&s, 4, "f", SCAN_FALSE, "false");
		check_field(&s, 5, "z", SCAN_NULL, "null");
		check_field(&s, 6, "a", SCAN_ARRAY, "[1,\"]\",[{}]]");
		check_field(&s, 7, "o", SCAN_OBJECT, "{\"x\":{\"y\":\"}\"}}");
		check_field(&s, 8, "", SCAN_STRING, "");
		check_field(&s, 9, "k\\\"", SCAN_NUMBER, "1");
		check_field(&s, 10, "a long name of more than 32 bytes, indeed",
		    SCAN_STRING,
		    "a long value of far more than thirty-two bytes "
		    "\\\\ indeed");
		check_field(&s, 11, "s", SCAN_STRING, "again");
		assert_int_equal(json_scan_next(&s), JSON_SCAN_EVENT);
		assert_int_equal(s.event_index, 1);
		assert_int_equal(s.field_count, 1);
		check_field(&s, 0, "b", SCAN_NUMBER, "2");
		assert_int_equal(json_scan_next(&s), JSON_SCAN_END);
		json_scan_reset(&s, body, strlen(body));
	}
	json_scan_fini(&s);
}

static void
test_escapes(void **state)
{
	static const char escape[] = "no such escape sequence";
	static const char hex[] = "expected four hexadecimal digits";
	static const char control[] =
	    "a control character in a string must be escaped";
	char text[] = "{\"a\":\"x\"}";

	(void)state;
	takes("{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\uABCD\\uabcd\"}", 1);
	takes("{\"a\":\"\\ud800\",\"b\":\"\\udc00\\ud800x\"}", 1);
	takes("{\"a\":\"\x7f\"}", 1);
	refuses("{\"a\":\"\\x\"}", 7, escape);
	refuses("{\"a\":\"\\U0041\"}", 7, escape);
	refuses("{\"a\":\"\\\n\"}", 7, escape);
	refuses("{\"a\":\"\\u12g4\"}", 10, hex);
	refuses("{\"a\":\"\\u123\"}", 11, hex);
	refuses("{\"a\":\"\\u\"}", 8, hex);
	refuses("{\"a\\v\":1}", 4, escape);
	refuses("{\"a\":[{\"b\\v\":1}]}", 10, escape);
	for (unsigned c = 0; c < 0x20; c++) {
		struct outcome o;

		text[6] = (char)c;
		o = scan(text, sizeof(text) - 1);
		assert_int_equal(o.result, JSON_SCAN_MALFORMED);
		assert_int_equal(o.error_offset, 6);
		assert_string_equal(o.error, control);
	}
}

/* One sequence of bytes in strings of many lengths, at many places. */
static void
place_sequence(const char *bytes, size_t n, bool is_good)
{
	static const size_t places[] = { 0, 1, 12, 13, 14, 15, 16, 17, 29, 31,
		32, 45, 58, 59, 60, 61, 62, 63, 64, 65, 100, 124, 128, 190 };
	static const size_t tails[] = { 0, 1, 3, 64 };
	char text[512];

	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		for (size_t j = 0; j < ARRAY_LEN(tails); j++) {
			size_t at = 6 + places[i];
			size_t end = at + n + tails[j];
			struct outcome o;

			memcpy(text, "{\"a\":\"", 6);
			/* a front that is not ASCII all along */
			memset(text + 6, 'x', places[i]);
			if (places[i] > 20)
				memcpy(text + 8, "\xe4\xb8\xad\xd0\xb6", 5);
			memcpy(text + at, bytes, n);
			memset(text + at + n, 'y', tails[j]);
			memcpy(text + end, "\"}", 2);
			o = scan(text, end + 2);
			if (is_good && o.result == JSON_SCAN_MALFORMED)
				fail_msg("%s at %u", o.error, o.error_offset);
			if (is_good)
				continue;
			assert_int_equal(o.result, JSON_SCAN_MALFORMED);
			assert_int_equal(o.error_offset, at);
			assert_string_equal(o.error, "this is not UTF-8");
		}
}

static void
test_utf8_edges(void **state)
{
	static const char *const good[] = { "\xc2\x80", "\xdf\xbf",
		"\xe0\xa0\x80", "\xe0\xbf\xbf", "\xec\xbf\xbf", "\xed\x80\x80",
		"\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf",
		"\xf0\x90\x80\x80", "\xf0\xbf\xbf\xbf", "\xf3\xbf\xbf\xbf",
		"\xf4\x80\x80\x80", "\xf4\x8f\xbf\xbf",
		"\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xe4\xb8\xad\xc3\xa9" };
	static const char *const bad[] = { "\x80", "\xbf", "\xc0\x80",
		"\xc1\xbf", "\xc2", "\xc2\x41", "\xc2\xc2\x80", "\xdf\xc0",
		"\xe0\x80\x80", "\xe0\x9f\xbf", "\xe1\x80", "\xe1\x80\x41",
		"\xe1\x41\x80", "\xe1\x80\xc0", "\xed\xa0\x80", "\xed\xbf\xbf",
		"\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xf1\x80\x80",
		"\xf1\x80\x80\x41", "\xf1\x80\x41\x80", "\xf1\x41\x80\x80",
		"\xf4\x90\x80\x80", "\xf4\xbf\xbf\xbf", "\xf5\x80\x80\x80",
		"\xf7\xbf\xbf\xbf", "\xf8\x88\x80\x80\x80", "\xfe", "\xff" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		place_sequence(good[i], strlen(good[i]), true);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		place_sequence(bad[i], strlen(bad[i]), false);
}

/* Whether c is a character and which, by its numbers: three bytes in all. */
static bool
is_utf8(const unsigned char *b)
{
	if (b[0] < 0x80)
		return b[1] < 0x80
		    ? b[2] < 0x80
		    : b[1] >= 0xc2 && b[1] < 0xe0 && b[2] >> 6 == 2;
	if (b[0] < 0xc2 || b[0] > 0xef || b[1] >> 6 != 2)
		return false;
	if (b[0] < 0xe0)
		return b[2] < 0x80;
	if (b[2] >> 6 != 2)
		return false;
	if (b[0] == 0xe0)
		return b[1] >= 0xa0;
	return b[0] != 0xed || b[1] < 0xa0;
}

/* All pairs of bytes, before some third byte. */
static void
test_utf8_pairs(void **state)
{
	static const unsigned char thirds[] = { 'z', 0x80, 0x9f, 0xbf, 0xc3 };
	unsigned char text[] = "{\"a\":\"???\"}";
	unsigned cpus = cpu_count();

	(void)state;
	for (unsigned pair = 0; pair < 65536; pair++)
		for (size_t i = 0; i < sizeof(thirds); i++) {
			unsigned char *b = text + 6;

			b[0] = (unsigned char)(pair >> 8);
			b[1] = (unsigned char)pair;
			b[2] = thirds[i];
			if (b[0] < 0x20 || b[1] < 0x20 || b[0] == '"' ||
			    b[1] == '"' || b[0] == '\\' || b[1] == '\\')
				continue;
			for (unsigned cpu = 0; cpu < cpus; cpu++)
				assert_int_equal(scan_padded((const char *)text,
						     sizeof(text) - 1,
						     (enum json_scan_cpu)cpu, 0)
						     .result == JSON_SCAN_END,
				    is_utf8(b));
		}
}

static void
test_depth(void **state)
{
	char text[2 * JSON_SCAN_DEPTH_MAX + 64], *p;

	(void)state;
	for (unsigned deep = JSON_SCAN_DEPTH_MAX - 2;
	     deep <= JSON_SCAN_DEPTH_MAX; deep++) {
		struct outcome o;

		/* the event is one level */
		p = stpcpy(text, "{\"a\":");
		memset(p, '[', deep);
		memset(p + deep, ']', deep);
		strcpy(p + 2 * deep, "}");
		o = scan(text, strlen(text));
		if (deep < JSON_SCAN_DEPTH_MAX) {
			assert_int_equal(o.result, JSON_SCAN_END);
			continue;
		}
		assert_int_equal(o.result, JSON_SCAN_MALFORMED);
		assert_string_equal(o.error, "nested too deep");
		assert_int_equal(o.error_offset, 5 + deep - 1);
	}
	/* what is side by side is not deep */
	p = stpcpy(text, "{\"a\":[");
	for (unsigned i = 0; i < 200; i++)
		p = stpcpy(p, "[],");
	strcpy(p, "{}]}");
	takes(text, 1);
}

/* A member of `bytes` bytes between `before` and `behind`; *said when it is too
 * long, at its place. */
static void
check_length(const char *before, char fill, size_t bytes, const char *behind,
    const char *said)
{
	size_t start = strlen(before);
	char *text = must_malloc(start + bytes + strlen(behind) + 1);
	struct outcome o;

	memcpy(text, before, start);
	memset(text + start, fill, bytes);
	strcpy(text + start + bytes, behind);
	o = scan(text, start + bytes + strlen(behind));
	free(text);
	if (said == NULL) {
		assert_int_equal(o.result, JSON_SCAN_END);
		return;
	}
	assert_int_equal(o.result, JSON_SCAN_MALFORMED);
	assert_string_equal(o.error, said);
	assert_int_equal(o.error_offset, start);
}

static void
test_lengths(void **state)
{
	static const char number[] = "a number of more than 1000 characters",
			  string[] = "a string of more than 20000000 bytes";

	(void)state;
	check_length("{\"a\":", '1', JSON_SCAN_NUMBER_MAX, "}", NULL);
	check_length("{\"a\":-", '1', JSON_SCAN_NUMBER_MAX, "}", NULL);
	check_length("{\"a\":", '1', JSON_SCAN_NUMBER_MAX + 1, "}", number);
	check_length("{\"a\":[", '1', JSON_SCAN_NUMBER_MAX + 1, "]}", number);
	check_length("{\"a\":\"", 'x', JSON_SCAN_STRING_MAX, "\"}", NULL);
	check_length("{\"a\":\"", 'x', JSON_SCAN_STRING_MAX + 1, "\"}", string);
	check_length("{\"", 'x', JSON_SCAN_NAME_MAX, "\":1}", NULL);
	check_length("{\"a\":1,\"b\":{\"", 'x', JSON_SCAN_NAME_MAX + 1,
	    "\":1}}", "a member's name of more than 50000 bytes");
}

static void
test_depth_mixed(void **state)
{
	char text[8192], *p = stpcpy(text, "{\"a\":");

	(void)state;
	for (unsigned i = 0; i < 250; i++)
		p = stpcpy(p, "[{\"b\":");
	p = stpcpy(p, "1");
	for (unsigned i = 0; i < 250; i++)
		p = stpcpy(p, "}]");
	strcpy(p, "}");
	takes(text, 1);
	/* the wrong bracket, deep inside */
	text[strlen(text) - 251] ^= '}' ^ ']';
	assert_int_equal(scan(text, strlen(text)).result, JSON_SCAN_MALFORMED);
}

static void
test_field_limit(void **state)
{
	size_t size = 7 * (JSON_SCAN_FIELDS_MAX + 2);
	char *text = malloc(size), *p = text;
	struct outcome o;

	(void)state;
	assert_non_null(text);
	*p++ = '{';
	for (unsigned i = 0; i < JSON_SCAN_FIELDS_MAX; i++)
		p = stpcpy(p, i == 0 ? "\"a\":1" : ",\"a\":1");
	strcpy(p, "}");
	o = scan_padded(text, strlen(text), JSON_SCAN_PLAIN, 0);
	assert_int_equal(o.result, JSON_SCAN_END);
	assert_int_equal(o.fields, JSON_SCAN_FIELDS_MAX);
	strcpy(p, ",\"a\":1}");
	o = scan_padded(text, strlen(text), JSON_SCAN_PLAIN, 0);
	assert_int_equal(o.result, JSON_SCAN_MALFORMED);
	assert_string_equal(o.error, "too many members in one event");
	assert_int_equal(o.error_offset, p + 1 - text);
	free(text);
}

/* Every beginning of an event is malformed, wherever it is cut, and whatever
 * lies behind the end. */
static void
test_cut(void **state)
{
	static const char text[] =
	    "[{\"a\":\"bcd\\u0041\\n\", \"n\": -12.5e+10,\"t\":true,"
	    "\"f\":false,\"z\":null,\"o\":{\"x\":[1,{\"y\":\"z\"},[]],"
	    "\"\":{}},\"u\":\"\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80 and so "
	    "on for more than thirty-two bytes\"}]";

	(void)state;
	takes(text, 1);
	for (size_t n = 1; n < sizeof(text) - 1; n++) {
		struct outcome o = scan(text, n);

		assert_int_equal(o.result, JSON_SCAN_MALFORMED);
		assert_true(o.error_offset <= n);
	}
}

static void
test_reset(void **state)
{
	char bad[128] = "{\"a\":1} {\"b\"", good[128] = "{\"c\":{}}";
	struct json_field *fields;
	struct json_scan s;

	(void)state;
	json_scan_init(&s, bad, strlen(bad));
	assert_int_equal(json_scan_next(&s), JSON_SCAN_EVENT);
	fields = s.fields;
	assert_int_equal(json_scan_next(&s), JSON_SCAN_MALFORMED);
	assert_int_equal(s.event_index, 1);
	assert_int_equal(json_scan_next(&s), JSON_SCAN_MALFORMED);
	json_scan_reset(&s, good, strlen(good));
	assert_ptr_equal(s.fields, fields);
	assert_null(s.error);
	assert_int_equal(json_scan_next(&s), JSON_SCAN_EVENT);
	assert_int_equal(s.event_index, 0);
	assert_int_equal(json_scan_next(&s), JSON_SCAN_END);
	json_scan_fini(&s);
	json_scan_fini(&s);
}

static void
test_unescape(void **state)
{
	static const struct {
		const char *raw, *text;
		size_t bytes;
	} cases[] = {
		{ "", "", 0 },
		{ "plain", "plain", 5 },
		{ "\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t", 8 },
		{ "\\u0000x", "\0x", 2 },
		{ "\\u007f\\u0080\\u07FF\\u0800\\uffff",
		    "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf", 11 },
		{ "\\ud83d\\ude00", "\xf0\x9f\x98\x80", 4 },
		{ "\\uD800\\uDC00\\uDBFF\\uDFFF",
		    "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 8 },
		{ "\\ud800", "\xef\xbf\xbd", 3 },
		{ "\\udc00\\ud800", "\xef\xbf\xbd\xef\xbf\xbd", 6 },
		{ "\\ud800x", "\xef\xbf\xbdx", 4 },
		{ "\\ud800\\n", "\xef\xbf\xbd\n", 4 },
		{ "\\ud800\\ud83d\\ude00", "\xef\xbf\xbd\xf0\x9f\x98\x80", 7 },
		{ "\\ud800\\u0041",
		    "\xef\xbf\xbd"
		    "A",
		    4 },
		{ "caf\xc3\xa9\\u00e9", "caf\xc3\xa9\xc3\xa9", 7 },
	};
	char out[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t n = strlen(cases[i].raw);

		assert_int_equal(
		    json_unescape(cases[i].raw, n, out), cases[i].bytes);
		assert_memory_equal(out, cases[i].text, cases[i].bytes);
		/* in place */
		memcpy(out, cases[i].raw, n);
		assert_int_equal(json_unescape(out, n, out), cases[i].bytes);
		assert_memory_equal(out, cases[i].text, cases[i].bytes);
	}
}

static void
test_name_is(void **state)
{
	char body[256] = "{\"time\":1,\"t\\u0069me\":2,\"\\ud83d\\ude00\":3,"
			 "\"\":4,\"a\\nb\":5}";
	struct json_scan s;

	(void)state;
	json_scan_init(&s, body, strlen(body));
	assert_int_equal(json_scan_next(&s), JSON_SCAN_EVENT);
	assert_true(json_name_is(&s, &s.fields[0], "time", 4));
	assert_false(json_name_is(&s, &s.fields[0], "time", 3));
	assert_false(json_name_is(&s, &s.fields[0], "timer", 5));
	assert_false(json_name_is(&s, &s.fields[0], "Time", 4));
	assert_true(json_name_is(&s, &s.fields[1], "time", 4));
	assert_false(json_name_is(&s, &s.fields[1], "time", 3));
	assert_false(json_name_is(&s, &s.fields[1], "times", 5));
	assert_false(json_name_is(&s, &s.fields[1], "tame", 4));
	assert_true(json_name_is(&s, &s.fields[2], "\xf0\x9f\x98\x80", 4));
	assert_false(json_name_is(&s, &s.fields[2], "\xf0\x9f\x98", 3));
	assert_true(json_name_is(&s, &s.fields[3], "", 0));
	assert_false(json_name_is(&s, &s.fields[3], "a", 1));
	assert_true(json_name_is(&s, &s.fields[4], "a\nb", 3));
	json_scan_fini(&s);
}

/* The i_ files of JSONTestSuite that are taken; the others are refused. */
static bool
is_taken_i(const char *name)
{
	/* Numbers of any size: what they mean is for whoever reads them. A \u
	 * may name a lone surrogate: RFC 8259, 8.2 leaves it open, and Jackson
	 * takes it. 500 arrays are within JSON_SCAN_DEPTH_MAX. Refused: bytes
	 * that are not UTF-8, UTF-16, a byte order mark. */
	static const char *const taken[] = { "i_number_",
		"i_object_key_lone_2nd_surrogate.json",
		"i_string_1st_surrogate_but_2nd_missing.json",
		"i_string_1st_valid_surrogate_2nd_invalid.json",
		"i_string_incomplete_surrogate_and_escape_valid.json",
		"i_string_incomplete_surrogate_pair.json",
		"i_string_incomplete_surrogates_escape_valid.json",
		"i_string_invalid_lonely_surrogate.json",
		"i_string_invalid_surrogate.json",
		"i_string_inverted_surrogates_U+1D11E.json",
		"i_string_lone_second_surrogate.json",
		"i_structure_500_nested_arrays.json" };

	for (size_t i = 0; i < ARRAY_LEN(taken); i++)
		if (strncmp(name, taken[i], strlen(taken[i])) == 0)
			return true;
	return false;
}

/* Raw, a file is a request's body: an object is one event, behind a byte order
 * mark too; anything else that is no array of objects is refused. */
static void
check_suite_raw(const char *name, const char *text, size_t bytes)
{
	struct outcome o = scan(text, bytes);
	size_t first = 0;

	while (first < bytes && strchr(" \t\r\n", text[first]) != NULL &&
	    text[first] != '\0')
		first++;
	if (name[0] == 'y' && first < bytes && text[first] == '{') {
		assert_int_equal(o.result, JSON_SCAN_END);
		assert_int_equal(o.events, 1);
	}
	if (name[0] == 'n' ||
	    (first < bytes && strchr("{[\xef", text[first]) == NULL)) {
		/* a body without events is left to the caller */
		if (first < bytes)
			assert_int_equal(o.result, JSON_SCAN_MALFORMED);
	}
}

static void
check_suite_file(const char *folder, const char *name)
{
	static char text[1u * MiB], wrapped[1u * MiB + 16];
	char path[4096];
	size_t bytes;
	FILE *file;
	bool taken;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "rb");
	assert_non_null(file);
	bytes = fread(text, 1, sizeof(text), file);
	(void)fclose(file);
	memcpy(wrapped, "{\"v\":", 5);
	memcpy(wrapped + 5, text, bytes);
	wrapped[5 + bytes] = '}';
	taken = scan(wrapped, bytes + 6).result == JSON_SCAN_END;
	if (taken != (name[0] == 'y' || (name[0] == 'i' && is_taken_i(name))))
		fail_msg("%s: %s", name, taken ? "taken" : "refused");
	check_suite_raw(name, text, bytes);
}

static void
test_suite(void **state)
{
	const char *shared = getenv("TRANQ_SHARED");
	const char *root = getenv("TRANQ_ROOT");
	char folder[2048];
	struct dirent *entry;
	unsigned files = 0;
	DIR *dir;

	(void)state;
	if (shared != NULL)
		(void)snprintf(folder, sizeof(folder), "%s/" SUITE, shared);
	else
		(void)snprintf(folder, sizeof(folder), "%s/../shared/" SUITE,
		    root != NULL ? root : ".");
	dir = opendir(folder);
	if (dir == NULL) {
		print_message("skipped: no %s\n", folder);
		skip();
	}
	while ((entry = readdir(dir)) != NULL)
		if (strchr("yni", entry->d_name[0]) != NULL) {
			check_suite_file(folder, entry->d_name);
			files++;
		}
	(void)closedir(dir);
	assert_true(files > 300);
}

/* A string's text, as jansson would have it. */
static void
check_text(const char *raw, size_t bytes, const json_t *value)
{
	char out[MUTANT_BYTES];
	size_t n = json_unescape(raw, bytes, out);

	assert_int_equal(n, json_string_length(value));
	assert_memory_equal(out, json_string_value(value), n);
}

static void
check_value(
    const struct json_scan *s, const struct json_field *f, json_t *value)
{
	static const json_type types[] = { [SCAN_NULL] = JSON_NULL,
		[SCAN_FALSE] = JSON_FALSE,
		[SCAN_TRUE] = JSON_TRUE,
		[SCAN_STRING] = JSON_STRING,
		[SCAN_ARRAY] = JSON_ARRAY,
		[SCAN_OBJECT] = JSON_OBJECT };
	const char *raw = s->body + f->value;
	json_t *again;

	assert_non_null(value);
	if (f->type == SCAN_NUMBER)
		assert_true(json_is_number(value));
	else
		assert_int_equal(types[f->type], json_typeof(value));
	if (f->type == SCAN_STRING) {
		check_text(raw, f->value_bytes, value);
		return;
	}
	again = json_loadb(
	    raw, f->value_bytes, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	assert_true(json_equal(again, value));
	json_decref(again);
}

/* Every field that no later one of its name overrides is jansson's member. */
static void
check_members(const struct json_scan *s, json_t *object)
{
	char name[MUTANT_BYTES];
	size_t seen = 0;

	for (unsigned i = 0; i < s->field_count; i++) {
		const struct json_field *f = &s->fields[i];
		size_t n =
		    json_unescape(s->body + f->name, f->name_bytes, name);
		bool is_last = true;

		for (unsigned j = i + 1; j < s->field_count; j++)
			if (json_name_is(s, &s->fields[j], name, n))
				is_last = false;
		if (!is_last)
			continue;
		seen++;
		name[n] = '\0';
		check_value(s, f, json_object_get(object, name));
	}
	assert_int_equal(seen, json_object_size(object));
}

/* Where jansson is narrower than the RFC, and we are not. */
static bool
jansson_cannot(const json_error_t *error)
{
	return json_error_code(error) == json_error_numeric_overflow ||
	    json_error_code(error) == json_error_null_byte_in_key ||
	    strstr(error->text, "invalid Unicode") != NULL ||
	    strstr(error->text, "too big") != NULL;
}

/* Returns whether the mutant was an event to both. */
static bool
compare_mutant(const char *text, size_t bytes)
{
	static char body[MUTANT_BYTES + JSON_SCAN_PADDING];
	struct outcome o = scan(text, bytes);
	bool is_event = o.result == JSON_SCAN_END && o.events == 1;
	json_error_t error;
	json_t *object;
	struct json_scan s;

	if (memchr(text, '\0', bytes) != NULL) {
		/* jansson reads over some of them */
		assert_int_equal(o.result, JSON_SCAN_MALFORMED);
		return false;
	}
	object = json_loadb(text, bytes, JSON_ALLOW_NUL, &error);
	if (object == NULL) {
		if (is_event && !jansson_cannot(&error))
			fail_msg("%s: %.*s", error.text, (int)bytes, text);
		return false;
	}
	if (!json_is_object(object)) {
		json_decref(object);
		return false;
	}
	if (!is_event)
		fail_msg("%s: %.*s", o.error, (int)bytes, text);
	memcpy(body, text, bytes);
	json_scan_init(&s, body, bytes);
	assert_int_equal(json_scan_next(&s), JSON_SCAN_EVENT);
	check_members(&s, object);
	json_scan_fini(&s);
	json_decref(object);
	return true;
}

static size_t
mutate(char *text, size_t bytes)
{
	static const char special[] =
	    "\"\"\\\\{}[],,::0123456789-+.eEtrufalsn \t\n\r/bu\x01\x7f\x80\xa0"
	    "\xbf\xc3\xe4\xed\xf0\xf4\xff";
	size_t at = random_below((unsigned)bytes);
	size_t n = 1 + random_below(8);

	switch (random_below(6)) {
	case 0: /* another byte */
	case 1: text[at] = special[random_below(sizeof(special))]; return bytes;
	case 2: /* a byte more */
		memmove(text + at + 1, text + at, bytes - at);
		text[at] = special[random_below(sizeof(special))];
		return bytes + 1;
	case 3: /* some bytes less */
		n = n < bytes - at ? n : bytes - at - 1;
		memmove(text + at, text + at + n, bytes - at - n);
		return bytes - n;
	case 4: /* some bytes again */
		n = n < bytes - at ? n : bytes - at;
		memmove(text + at + n, text + at, bytes - at);
		return bytes + n;
	default: /* a bit */
		text[at] = (char)(text[at] ^ (1 << random_below(8)));
		return bytes;
	}
}

static void
test_jansson(void **state)
{
	static const char *const seeds[] = {
		"{\"time\":\"2015-09-12T00:46:58.771Z\",\"channel\":\"#en\","
		"\"cityName\":null,\"comment\":\"added project\",\"isNew\":"
		"false,\"isRobot\":true,\"delta\":-36,\"added\":36,\"x\":0.5}",
		"{\"comment\":\"\\u041f\\u0440\\u0430\\n \\\"quoted\\\" "
		"\\ud83d\\ude00 \\/\",\"page\":\"\xd0\xa3\xd1\x87\xd0\xb0"
		"\xd1\x81\xd1\x82\xd0\xbd\xd0\xb8\xd0\xba:\xe4\xb8\xad\xe6\x96"
		"\x87\xf0\x9f\x98\x80\",\"user\":\"\xc3\xa9\"}",
		"{\"tags\":[\"a\",\"b\",[],[1,2.5e3,{\"k\":null}]],\"o\":{\"p\""
		":{\"q\":[true,false]},\"r\":{}},\"tags\":[\"again\"]}",
		"{ \"a\" : 1 ,\n\t\"b\" : [ 1 , 2 ] ,\r\n \"c\" : { } }",
		"{\"long\":\"0123456789abcdef0123456789abcdef0123456789abcdef01"
		"23456789abcdef\xe4\xb8\xad "
		"0123456789abcdef0123456789abcdef\\\\"
		"0123456789abcdef\",\"n\":12345678901,\"e\":1e-7}",
	};
	char text[MUTANT_BYTES];
	unsigned both = 0;

	(void)state;
	for (unsigned i = 0; i < MUTANTS; i++) {
		const char *seed = seeds[i % ARRAY_LEN(seeds)];
		size_t bytes = strlen(seed);

		memcpy(text, seed, bytes);
		for (unsigned n = random_below(4); n > 0 && bytes > 2; n--)
			bytes = mutate(text, bytes);
		both += compare_mutant(text, bytes);
	}
	/* or else it compared next to nothing */
	assert_true(both > MUTANTS / 4);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_bodies_refused),
		cmocka_unit_test(test_grammar_refused),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_utf8_edges),
		cmocka_unit_test(test_utf8_pairs),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_depth_mixed),
		cmocka_unit_test(test_field_limit),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_unescape),
		cmocka_unit_test(test_name_is),
		cmocka_unit_test(test_suite),
		cmocka_unit_test(test_jansson),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
