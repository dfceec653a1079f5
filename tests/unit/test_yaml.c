/*
 * test_yaml - YAML is read as the same in JSON would be, within bounds
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "panic.h"
#include "yaml.h"

static void
check(const char *yaml, const char *json)
{
	struct json_error e = { 0 };
	struct json *j = yaml_parse(yaml, strlen(yaml), &e);
	char *text;

	if (j == NULL)
		fail_msg("%s: %d:%d: %s", yaml, e.line, e.column, e.text);
	text = json_to_text(j);
	assert_string_equal(text, json);
	free(text);
	json_free(&j);
}

static void
refuse_bytes(
    const char *yaml, size_t bytes, int line, int column, const char *part)
{
	struct json_error e = { 0 };
	struct json *j = yaml_parse(yaml, bytes, &e);

	assert_null(j);
	if (strstr(e.text, part) == NULL)
		fail_msg("'%s' is not in: %s", part, e.text);
	/* what is wrong; what to do */
	assert_non_null(strchr(e.text, ';'));
	if (line > 0 && (e.line != line || e.column != column))
		fail_msg("%d:%d: %s", e.line, e.column, e.text);
}

static void
refuse(const char *yaml, int line, int column, const char *part)
{
	refuse_bytes(yaml, strlen(yaml), line, column, part);
}

static void
test_scalars(void **state)
{
	(void)state;
	check("[true, True, TRUE, false, False, FALSE]",
	    "[true,true,true,false,false,false]");
	check("[~, null, Null, NULL]", "[null,null,null,null]");
	check("a:\nb: ", "{\"a\":null,\"b\":null}");
	check("[0, -0, 8200, -1, +5, 9223372036854775807]",
	    "[0,0,8200,-1,5,9223372036854775807]");
	check("[1.5, -.5, 1e3, 2E-1, 3.]",
	    "[1.5,-0.5,1000.0,0.20000000000000"
	    "001,3.0]");
	/* where readers of YAML differ: text */
	check("[yes, No, on, OFF, y, n, tRUE, nuLL]",
	    "[\"yes\",\"No\",\"on\",\"OFF\",\"y\",\"n\",\"tRUE\",\"nuLL\"]");
	check("[0x1F, 017, 0o17, 1_000, 1:30, 00, .inf, .nan, 1e, '-', .]",
	    "[\"0x1F\",\"017\",\"0o17\",\"1_000\",\"1:30\",\"00\",\".inf\","
	    "\".nan\",\"1e\",\"-\",\".\"]");
	check("[2010-01-01, 1.2.3, PT10M, 64MiB, zk1:2181, /a/b, = ]",
	    "[\"2010-01-01\",\"1.2.3\",\"PT10M\",\"64MiB\",\"zk1:2181\","
	    "\"/a/b\",\"=\"]");
	refuse("a: 9223372036854775808", 1, 4, "out of range");
	refuse("a: 1e999", 1, 4, "out of range");
}

static void
test_text(void **state)
{
	(void)state;
	check("['true', \"null\", '1', \"1.5\", '', '~']",
	    "[\"true\",\"null\",\"1\",\"1.5\",\"\",\"~\"]");
	check("a: |\n  12\nb: >-\n  x\n  y\n",
	    "{\"a\":\"12\\n\",\"b\":"
	    "\"x y\"}");
	check("a: two\n  lines # and this\n", "{\"a\":\"two lines\"}");
	check("\"\\u00e4\\t\\x41\"", "\"ä\\tA\"");
	check("\xef\xbb\xbf"
	      "a: ü",
	    "{\"a\":\"ü\"}");
	refuse("a: \"x\\0y\"", 1, 4, "NUL");
	refuse("\"x\\0y\": 1", 1, 1, "NUL");
	refuse_bytes("a: \0", 4, 1, 4, "control characters");
	refuse("a: ä\nb: \xff", 2, 4, "UTF-8");
	refuse("a: \"\\ud800\"", 0, 0, "Unicode");
}

static void
test_shapes(void **state)
{
	(void)state;
	check("a:\n- b: 1\n  c: [2, {d: 3}]\n- - x\n",
	    "{\"a\":[{\"b\":1,\"c\":[2,{\"d\":3}]},[\"x\"]]}");
	/* keys stay as written */
	check("8200: a\ntrue: b\n~: c\n? d\n: e\n'': f",
	    "{\"8200\":\"a\",\"true\":\"b\",\"~\":\"c\",\"d\":\"e\",\"\":"
	    "\"f\"}");
	check("{\"a\": [1, \"b\", null],\n\t\"c\": {}}",
	    "{\"a\":[1,\"b\",null],\"c\":{}}");
	check("%YAML 1.1\n---\na: 1\n...\n", "{\"a\":1}");
	check("--- x", "\"x\"");
	check("---\n", "null");
	refuse("[a, b]: 1", 1, 1, "a key that is no plain text");
	refuse("? {a: b}\n: 1", 1, 3, "a key that is no plain text");
	refuse("&k a: 1", 1, 1, "a key that is no plain text");
	refuse("a: &x b\n*x : 1", 2, 1, "a key that is no plain text");
}

static void
test_duplicates(void **state)
{
	(void)state;
	refuse("a: 1\nb: 2\na: 1", 3, 1, "duplicate key 'a'");
	refuse("x:\n  - {a: 1, 'a': 1}", 2, 12, "duplicate key 'a'");
	refuse("a: {}\n<<: {}\n<<: {}", 3, 1, "duplicate key '<<'");
	check("a: {a: 1}\nb: {a: 1}", "{\"a\":{\"a\":1},\"b\":{\"a\":1}}");
}

static void
test_aliases(void **state)
{
	(void)state;
	check("a: &x {b: [1]}\nc: *x", "{\"a\":{\"b\":[1]},\"c\":{\"b\":[1]}}");
	check("[&x 1, *x, &x two, *x]", "[1,1,\"two\",\"two\"]");
	check("[&x ~, *x]", "[null,null]");
	check("[&a [&b 1, *b], *a, *b]", "[[1,1],[1,1],1]");
	refuse("a: *x", 1, 4, "an alias (*) without an anchor");
	refuse("a: &x [*x]", 1, 8, "an alias (*) without an anchor");
	refuse("*x", 1, 1, "an alias (*) without an anchor");
}

static void
test_merge(void **state)
{
	(void)state;
	check("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3",
	    "{\"a\":{\"x\":1,\"y\":2},\"b\":{\"y\":3,\"x\":1}}");
	check("- &a {x: 1}\n- &b {x: 2, z: 3}\n- {<<: [*a, *b], w: 0}",
	    "[{\"x\":1},{\"x\":2,\"z\":3},{\"w\":0,\"x\":1,\"z\":3}]");
	check("- {'<<': 1}", "[{\"<<\":1}]");
	check("{<<: [], a: 1}", "{\"a\":1}");
	refuse("a: 1\n<<: 2", 2, 1, "<< takes a map");
	refuse("- &a [1]\n- <<: [*a]", 2, 3, "<< takes a map");
}

static void
test_refused(void **state)
{
	(void)state;
	refuse("a: !!str 1", 1, 4, "a tag (!)");
	refuse("a: ! 1", 1, 4, "a tag (!)");
	refuse("a: !ruby/object {}", 1, 4, "a tag (!)");
	refuse("!!set {a: 1}", 1, 1, "tag");
	refuse("!!str a: 1", 1, 1, "a key that is no plain text");
	refuse("--- a\n--- b\n", 2, 1, "a second document");
	refuse("a: 1\n...\nb: 1\n", 3, 1, "document");
	refuse("", 1, 1, "empty");
	refuse("# only this\n\n", 1, 1, "empty");
	refuse("a: [1, 2", 2, 1, "it began in line 1");
	refuse("a: 1\n\tb: 2\n", 2, 1, "mend it there");
	refuse("a: b: c", 1, 5, "mapping values are not allowed");
	refuse("a:\n  b: 1\n c: 2\n", 3, 2, "mend it there");
	refuse("a: 'x", 0, 0, "it began in line 1");
	refuse("@x", 1, 1, "cannot start any token");
	/* a message quotes no more than a part */
	refuse("a: &x 1\nb: *xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	       "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	       "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
	    2, 4, "without an anchor");
}

/* `count` times the text. */
static void
repeat(struct buf *b, const char *text, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		buf_add_text(b, text);
}

static void
test_depth(void **state)
{
	struct json_error e;
	struct json *j;
	struct buf b;

	(void)state;
	buf_init(&b, 4 * MiB);
	repeat(&b, "[", YAML_DEPTH_MAX);
	repeat(&b, "]", YAML_DEPTH_MAX);
	j = yaml_parse(b.bytes, b.used, &e);
	assert_non_null(j);
	json_free(&j);
	buf_reset(&b);
	repeat(&b, "[", YAML_DEPTH_MAX + 1);
	refuse_bytes(b.bytes, b.used, 1, YAML_DEPTH_MAX + 1, "levels deep");
	buf_reset(&b);
	repeat(&b, "- ", 1000000);
	refuse_bytes(b.bytes, b.used, 1, 2 * YAML_DEPTH_MAX + 1, "levels deep");
	/* each anchor holds the one before it */
	buf_reset(&b);
	buf_add_text(&b, "- &a0 [x]\n");
	for (unsigned i = 1; i < 300; i++)
		buf_addf(&b, "- &a%u [*a%u]\n", i, i - 1);
	refuse_bytes(b.bytes, b.used, 0, 0, "levels deep");
	buf_free(&b);
}

static void
test_laughs(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 20 * MiB);
	buf_add_text(&b, "- &a0 [lol, lol, lol, lol, lol, lol, lol, lol]\n");
	for (unsigned i = 1; i < 12; i++)
		buf_addf(&b,
		    "- &a%u [*a%u, *a%u, *a%u, *a%u, *a%u, *a%u, *a%u]\n", i,
		    i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
	refuse_bytes(b.bytes, b.used, 0, 0, "aliases written out");
	/* one large text, many times */
	buf_reset(&b);
	buf_add_text(&b, "- &x ");
	repeat(&b, "xxxxxxxxxxxxxxxx", 64 * KiB);
	repeat(&b, "\n- *x", 1000);
	refuse_bytes(b.bytes, b.used, 0, 0, "aliases written out");
	/* by merges */
	buf_reset(&b);
	buf_add_text(&b, "- &x {");
	for (unsigned i = 0; i < 10000; i++)
		buf_addf(&b, "k%u: 1, ", i);
	buf_add_text(&b, "}\n");
	repeat(&b, "- {<<: *x}\n", 1000);
	refuse_bytes(b.bytes, b.used, 0, 0, "aliases written out");
	/* anchors within anchors, each a copy */
	buf_reset(&b);
	for (unsigned i = 0; i < YAML_DEPTH_MAX - 1; i++)
		buf_addf(&b, "&a%u [", i);
	repeat(&b, "1, ", 100000);
	repeat(&b, "]", YAML_DEPTH_MAX - 1);
	refuse_bytes(b.bytes, b.used, 0, 0, "aliases written out");
	buf_free(&b);
}

/* Whatever is cut off, or wrong in one place: a document or an error. */
static void
test_mangled(void **state)
{
	static const char whole[] =
	    "%YAML 1.1\n---\na: &x {b: [1, 'two', \"th\\x72ee\"]}\nc:\n"
	    "  <<: *x\n  d: |\n    text\n  ? e\n  : [~, -1.5e3, {f: }]\n...\n";
	static const char marks[] = "\0\n\t \"'#%&*-:<?@[]{}|~!\x80\xc3\xff";
	char text[sizeof whole];
	struct json_error e;
	struct json *j;

	(void)state;
	for (size_t n = 0; n < sizeof whole; n++) {
		j = yaml_parse(whole, n, &e);
		json_free(&j);
		for (size_t k = 0; k < sizeof marks - 1; k++) {
			memcpy(text, whole, sizeof whole);
			text[n] = marks[k];
			memset(&e, 0, sizeof e);
			j = yaml_parse(text, sizeof whole - 1, &e);
			assert_true(j != NULL || (e.line > 0 && e.column > 0));
			assert_true(j != NULL || e.text[0] != '\0');
			json_free(&j);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scalars),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_duplicates),
		cmocka_unit_test(test_aliases),
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_laughs),
		cmocka_unit_test(test_mangled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
