/*
 * test_partition_hash - hashes and picks against those of a JVM
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base.h"

#include "java_string.h"
#include "json_scan.h"
#include "partition.h"
#include "partition_hash.h"

#define VECTORS "tests/unit/partition_hash_vectors.txt"
#define DOUBLES "tests/unit/java_double_vectors.txt"
#define LINE_BYTES (64u * KiB)
#define NAMES_MAX 64

static int32_t
hash_of(struct partition_hash_spec *spec, int64_t ts, const char *row)
{
	size_t bytes = strlen(row);
	char *body = calloc(1, bytes + JSON_SCAN_PADDING);
	struct json_scan s;
	int32_t hash;

	assert_non_null(body);
	memcpy(body, row, bytes);
	json_scan_init(&s, body, bytes);
	if (json_scan_next(&s) != JSON_SCAN_EVENT)
		fail_msg("%s at %u: %s", s.error, s.error_offset, row);
	hash = partition_hash(spec, ts, body, s.fields, s.field_count);
	/* the working memory must not carry anything over */
	assert_int_equal(
	    partition_hash(spec, ts, body, s.fields, s.field_count), hash);
	json_scan_fini(&s);
	free(body);
	return hash;
}

static int32_t
hash_with(bool is_schemaless, const char *const *names, size_t count,
    int64_t ts, const char *row)
{
	struct partition_hash_spec spec;
	int32_t hash;

	partition_hash_init(&spec, is_schemaless, names, count);
	hash = hash_of(&spec, ts, row);
	partition_hash_fini(&spec);
	return hash;
}

static void
check_picks(int32_t hash, char *picks)
{
	static const unsigned partitions[] = { 1, 2, 3, 7, 100, 100000 };
	char *rest = picks;

	for (size_t i = 0; i < ARRAY_LEN(partitions); i++)
		assert_int_equal(partition_pick(hash, partitions[i]),
		    strtoul(strsep(&rest, ","), NULL, 10));
}

/* kind, names, truncated timestamp, hash, picks, row; between tabs. */
static void
check_vector(char *line)
{
	const char *names[NAMES_MAX];
	char *rest = line, *kind = strsep(&rest, "\t");
	json_t *list = json_loads(strsep(&rest, "\t"), 0, NULL), *name;
	int64_t ts = strtoll(strsep(&rest, "\t"), NULL, 10);
	long expected = strtol(strsep(&rest, "\t"), NULL, 10);
	char *picks = strsep(&rest, "\t"), *row = strsep(&rest, "\n");
	int32_t hash;
	size_t i;

	assert_non_null(list);
	assert_non_null(row);
	assert_true(json_array_size(list) <= NAMES_MAX);
	json_array_foreach(list, i, name) names[i] = json_string_value(name);
	hash = hash_with(strcmp(kind, "schemaless") == 0, names,
	    json_array_size(list), ts, row);
	if (hash != expected)
		fail_msg("%d instead of %ld: %s", hash, expected, row);
	check_picks(hash, picks);
	json_decref(list);
}

/* How many vectors the file has. */
static unsigned
check_file(const char *name, void (*check)(char *line))
{
	const char *root = getenv("TRANQ_ROOT");
	static char line[LINE_BYTES];
	char path[4096];
	unsigned count = 0;
	FILE *file;

	(void)snprintf(
	    path, sizeof(path), "%s/%s", root != NULL ? root : ".", name);
	file = fopen(path, "r");
	if (file == NULL)
		fail_msg("no %s", path);
	while (fgets(line, sizeof(line), file) != NULL)
		if (line[0] != '#') {
			check(line);
			count++;
		}
	(void)fclose(file);
	return count;
}

static void
test_vectors(void **state)
{
	(void)state;
	assert_true(check_file(VECTORS, check_vector) >= 400);
}

/* literal, Java's text; between tabs. */
static void
check_double(char *line)
{
	char *rest = line, *literal = strsep(&rest, "\t");
	char *wanted = strsep(&rest, "\n"), out[JAVA_NUMBER_BYTES];
	struct java_string s =
	    java_string_of_number(literal, strlen(literal), out);

	if (s.bytes != strlen(wanted) || memcmp(s.text, wanted, s.bytes) != 0)
		fail_msg("%s: %.*s, and not %s", literal, (int)s.bytes, s.text,
		    wanted);
}

static void
test_doubles(void **state)
{
	(void)state;
	assert_true(check_file(DOUBLES, check_double) >= 1000);
}

/* Guava's consistentHash; the later ones draw the last int, whose successor is
 * the first, after one to three draws. */
static void
test_picks(void **state)
{
	static const unsigned partitions[] = { 1, 2, 3, 7, 100, 100000,
		INT32_MAX };
	static const struct {
		int32_t hash;
		unsigned picks[ARRAY_LEN(partitions)];
	} cases[] = {
		{ 0, { 0, 0, 0, 0, 0, 0, 0 } },
		{ 1, { 0, 0, 0, 6, 55, 94075, 262355607 } },
		{ -1, { 0, 1, 2, 2, 92, 18311, 699554662 } },
		{ INT32_MIN, { 0, 1, 2, 2, 58, 87731, 665541240 } },
		{ INT32_MAX, { 0, 0, 0, 0, 56, 51833, 1876666846 } },
		{ 975451704, { 0, 0, 0, 0, 0, 0, 0 } },
		{ 1950903408, { 0, 0, 0, 0, 0, 0, 0 } },
		{ 1278998757, { 0, 0, 0, 0, 8, 8, 8 } },
		{ -1378162610, { 0, 1, 1, 1, 1, 1, 1 } },
		{ 306526976, { 0, 1, 1, 4, 4, 4, 4 } },
		{ 1747465927, { 0, 0, 2, 4, 4, 4, 4 } },
		{ -1134411975, { 0, 1, 1, 6, 6, 6, 6 } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (size_t j = 0; j < ARRAY_LEN(partitions); j++)
			assert_int_equal(
			    partition_pick(cases[i].hash, partitions[j]),
			    cases[i].picks[j]);
}

static struct java_string
text_of(const char *text)
{
	return (struct java_string){ .text = text, .bytes = strlen(text) };
}

static struct java_string
escaped(const char *text)
{
	return (struct java_string){ text, strlen(text), true };
}

static void
test_string_hash(void **state)
{
	(void)state;
	assert_int_equal(java_string_hash(text_of("")), 0);
	assert_int_equal(java_string_hash(text_of("a")), 97);
	assert_int_equal(
	    java_string_hash(text_of("polygenelubricants")), INT32_MIN);
	assert_int_equal(
	    java_string_hash(text_of("0123456789abcdefghij")), 1094735978);
	assert_int_equal(java_string_hash(text_of("\xe4\xb8\xad\xe6\x96\x87"
						  "\xf0\x9f\x98\x80")),
	    622957533);
	assert_int_equal(
	    java_string_hash(escaped("\\u4e2d\\u6587\\uD83D\\uDE00")),
	    622957533);
	assert_int_equal(java_string_hash(escaped("\\t")), '\t');
	assert_int_equal(java_string_hash(escaped("\\/\\\"\\\\")),
	    java_string_hash(text_of("/\"\\")));
}

/* Every text with every other: this is their order. */
static void
test_string_order(void **state)
{
	const struct java_string order[] = { text_of(""), escaped("\\u0000"),
		text_of("A"), text_of("a"), text_of("aa"), text_of("aaaaaaaa"),
		text_of("aaaaaaaaa"), text_of("aaaaaaaab"), text_of("ab"),
		text_of("\x7f"), text_of("\xc2\x80"), text_of("\xd0\x96"),
		text_of("\xe4\xb8\xad"), text_of("\xed\x9f\xbf"),
		escaped("\\ud800"), escaped("\\ud800x"),
		text_of("\xf0\x90\x80\x80"), escaped("\\ud83d"),
		text_of("\xf0\x9f\x98\x80"), escaped("\\ud83d\\ude00\\n"),
		text_of("\xf0\x9f\x98\x80x"), text_of("\xf0\x9f\x98\x81"),
		escaped("\\udc00"), text_of("\xee\x80\x80"),
		text_of("\xef\xbd\x9e"), text_of("\xef\xbf\xbd") };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		for (size_t j = 0; j < ARRAY_LEN(order); j++) {
			int got = java_string_compare(order[i], order[j]);

			assert_int_equal(
			    (got > 0) - (got < 0), (i > j) - (i < j));
		}
	assert_int_equal(java_string_compare(escaped("\\ud83d\\ude00"),
			     text_of("\xf0\x9f\x98\x80")),
	    0);
}

static void
test_numbers(void **state)
{
	static const char *const cases[][2] = { { "0", "0" }, { "-0", "0" },
		{ "12", "12" },
		{ "-9223372036854775809", "-9223372036854775809" },
		{ "0.0", "0.0" }, { "-0.0", "-0.0" }, { "0e9", "0.0" },
		{ "1.0", "1.0" }, { "1.500", "1.5" }, { "1e3", "1000.0" },
		{ "100e-2", "1.0" }, { "0.001", "0.001" },
		{ "0.00099", "9.9E-4" }, { "1e-3", "0.001" },
		{ "9999999.0", "9999999.0" }, { "1e7", "1.0E7" },
		{ "1e10", "1.0E10" }, { "12345678.5", "1.23456785E7" },
		{ "-1.5E-10", "-1.5E-10" }, { "123456.789", "123456.789" },
		{ "0.1", "0.1" }, { "0.10000000000000000000001", "0.1" },
		{ "0.30000000000000004", "0.30000000000000004" },
		{ "3.141592653589793", "3.141592653589793" },
		{ "33.333333333333336", "33.333333333333336" },
		{ "2.2250738585072014e-308", "2.2250738585072014E-308" },
		{ "1.7976931348623157e308", "1.7976931348623157E308" },
		{ "4.9e-324", "4.9E-324" }, { "3e-324", "4.9E-324" },
		{ "1e-400", "0.0" }, { "-1e-400", "-0.0" },
		{ "1e400", "Infinity" }, { "-1e400", "-Infinity" },
		{ "1e99999999999999999999", "Infinity" },
		{ "0e99999999999999999999", "0.0" },
		{ "1e-99999999999999999999", "0.0" } };
	char out[JAVA_NUMBER_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct java_string s = java_string_of_number(
		    cases[i][0], strlen(cases[i][0]), out);

		if (s.bytes != strlen(cases[i][1]) ||
		    memcmp(s.text, cases[i][1], s.bytes) != 0)
			fail_msg("%s: %.*s", cases[i][0], (int)s.bytes, s.text);
	}
}

static void
test_unescape(void **state)
{
	static const char *const cases[][2] = { { "a\\n\\u0041", "a\nA" },
		{ "\\ud83d\\ude00", "\xf0\x9f\x98\x80" },
		{ "\\ud83d", "\xed\xa0\xbd" },
		{ "\\ude00\\ud83d", "\xed\xb8\x80\xed\xa0\xbd" },
		{ "\xf0\x9f\x98\x80\\u00e9", "\xf0\x9f\x98\x80\xc3\xa9" } };
	char out[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t n = java_string_unescape(escaped(cases[i][0]), out);

		assert_int_equal(n, strlen(cases[i][1]));
		assert_memory_equal(out, cases[i][1], n);
	}
}

static void
same(const char *a, const char *b)
{
	static const char *const names[] = { "b", "a", "tags", "\xc3\xa9" };

	assert_int_equal(hash_with(false, names, ARRAY_LEN(names), 7, a),
	    hash_with(false, names, ARRAY_LEN(names), 7, b));
	assert_int_equal(
	    hash_with(true, NULL, 0, 7, a), hash_with(true, NULL, 0, 7, b));
}

static void
differ(const char *a, const char *b)
{
	assert_int_not_equal(
	    hash_with(true, NULL, 0, 7, a), hash_with(true, NULL, 0, 7, b));
}

/* Rows of equal dimensions, however they are written. */
static void
test_equal_rows(void **state)
{
	(void)state;
	same("{\"a\":\"x\",\"b\":\"y\"}", "{ \"b\" : \"y\", \"a\" : \"x\" }");
	same("{\"a\":\"x\"}", "{\"a\":\"z\",\"a\":\"x\"}");
	same("{\"a\":null}", "{\"a\":\"z\",\"a\":null}");
	same("{\"a\":\"\xc3\xa9\"}", "{\"\\u0061\":\"\\u00e9\"}");
	same("{\"a\":1,\"\\u0061\":2}", "{\"a\":2}");
	same("{\"a\":\"x\"}", "{\"a\":[\"x\"]}");
	same("{\"a\":\"x\"}", "{\"a\":[\"x\",\"\",null,\"\\u0078\"]}");
	same("{\"a\":[\"x\",1.50,true]}", "{\"a\":[true,\"1.5\",\"x\",1.5]}");
	same("{\"a\":1}", "{\"a\":\"1\"}");
	same("{\"a\":1e0}", "{\"a\":\"1.0\"}");
	same("{}", "{\"a\":\"\",\"b\":null,\"tags\":[]}");
	same("{}", "{\"a\":true,\"b\":{\"c\":1},\"tags\":[null,\"\"]}");
	same("{\"a\":[[1,null],{\"k\":[\"\\n\"]}]}",
	    "{\"a\":[\"{k=[\\n]}\",\"[1, null]\"]}");
	differ("{\"a\":1}", "{\"a\":1.0}");
	differ("{\"a\":1}", "{\"b\":1}");
	differ("{\"a\":[1,2]}", "{\"a\":[1,3]}");
	assert_int_equal(hash_with(true, NULL, 0, 0, "{}"), 1669671676);
}

static void
test_names(void **state)
{
	static const char *const listed[] = { "a", "b", "a", "b", "" };
	static const char row[] = "{\"a\":1,\"b\":2,\"c\":3,\"\":4}";
	int32_t all = hash_with(true, NULL, 0, 9, row);

	(void)state;
	assert_int_equal(hash_with(false, listed, 5, 9, row),
	    hash_with(true, NULL, 0, 9, "{\"a\":1,\"b\":2,\"\":4}"));
	assert_int_equal(hash_with(true, listed, 5, 9, row),
	    hash_with(true, NULL, 0, 9, "{\"c\":3}"));
	assert_int_equal(hash_with(false, NULL, 0, 9, row),
	    hash_with(true, NULL, 0, 9, "{}"));
	assert_int_not_equal(hash_with(true, NULL, 0, 10, row), all);
	assert_int_not_equal(
	    hash_with(true, NULL, 0, 9 + (INT64_C(1) << 32), row), all);
}

/* One spec over events of ever other fields comes to the same as a new one. */
static void
test_many_events(void **state)
{
	struct partition_hash_spec listed, schemaless;
	const char *names[NAMES_MAX];
	char text[NAMES_MAX][8], row[4096], *p;
	unsigned seed = 12345;

	(void)state;
	for (unsigned i = 0; i < NAMES_MAX; i++) {
		(void)snprintf(text[i], sizeof(text[i]), "d%u", i * 7);
		names[i] = text[i];
	}
	partition_hash_init(&listed, false, names, NAMES_MAX / 2);
	partition_hash_init(&schemaless, true, names, NAMES_MAX / 2);
	for (unsigned round = 0; round < 500; round++) {
		p = stpcpy(row, "{\"x\":[1,2]");
		for (unsigned i = 0; i < round % NAMES_MAX; i++) {
			seed = seed * 1103515245u + 12345u;
			p += sprintf(p, ",\"%s\":%u",
			    names[(seed >> 16) % NAMES_MAX], seed >> 24);
		}
		strcpy(p, "}");
		assert_int_equal(hash_of(&listed, 1, row),
		    hash_with(false, names, NAMES_MAX / 2, 1, row));
		assert_int_equal(hash_of(&schemaless, 1, row),
		    hash_with(true, names, NAMES_MAX / 2, 1, row));
	}
	partition_hash_fini(&listed);
	partition_hash_fini(&schemaless);
}

/* Past the limits elements are left out, and nothing else happens. */
static void
test_list_limits(void **state)
{
	size_t size = 3u * MiB;
	char *many = malloc(size), *one = malloc(size), *p;

	(void)state;
	assert_non_null(many);
	assert_non_null(one);
	p = stpcpy(many, "{\"a\":[\"0\"");
	for (unsigned i = 1; i < PARTITION_LIST_MAX; i++)
		p = stpcpy(p, ",\"0\"");
	strcpy(p, ",\"1\"]}");
	same(many, "{\"a\":\"0\"}");
	/* an escaped text larger than all that is held */
	p = stpcpy(one, "{\"a\":[\"\\n");
	memset(p, 'x', PARTITION_TEXT_MAX);
	strcpy(p + PARTITION_TEXT_MAX, "\",\"\\u0030\"]}");
	same(one, "{\"a\":\"0\"}");
	free(many);
	free(one);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_doubles),
		cmocka_unit_test(test_picks),
		cmocka_unit_test(test_string_hash),
		cmocka_unit_test(test_string_order),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_unescape),
		cmocka_unit_test(test_equal_rows),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_many_events),
		cmocka_unit_test(test_list_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
