/*
 * test_delimited - csv and tsv lines, against Druid's readers and by hand
 */
#include "line_golden.h"

#define PARSE LINE_PARSER_PARSE_SPEC
#define INPUT LINE_PARSER_INPUT_FORMAT

static void
expect(const char *spec, enum line_parser_form form, const char *body,
    const char *events)
{
	struct line_parser *p = line_golden_parser(spec, form);

	line_golden_expect(p, body, events);
	/* nothing is left of one body in the next */
	line_golden_expect(p, body, events);
	line_parser_free(&p);
}

static void
test_golden(void **state)
{
	(void)state;
	line_golden_file("tests/golden/delimited/druid.jsonl", 200);
}

static void
test_values(void **state)
{
	const char *csv = "{'format':'csv','columns':['a','b','c']}";

	(void)state;
	expect(
	    csv, PARSE, "1,2,3\n", "{\"a\":\"1\",\"b\":\"2\",\"c\":\"3\"}\n");
	expect(csv, PARSE, "1,,3", "{\"a\":\"1\",\"c\":\"3\"}\n");
	expect(csv, PARSE, "1\n", "{\"a\":\"1\"}\n");
	expect(csv, PARSE, "1,2,3,4,5\n",
	    "{\"a\":\"1\",\"b\":\"2\",\"c\":\"3\"}\n");
	expect(csv, PARSE, ",,\n", "{}\n");
	expect(csv, PARSE, "", "");
	expect(csv, PARSE, "\n\r\n\r\n\n", "");
	expect(csv, PARSE, "a\x1f\t/b", "{\"a\":\"a\\u001f\\t/b\"}\n");
	expect("{'columns':['a','b','c']}", PARSE, "\"x\\\t\"",
	    "{\"a\":\"\\\"x\\\\\",\"b\":\"\\\"\"}\n");
	expect("{'format':'tsv','delimiter':'||','columns':['a','b']}", PARSE,
	    "1|2||3|||4", "{\"a\":\"1|2\",\"b\":\"3\"}\n");
}

static void
test_line_ends(void **state)
{
	const char *csv = "{'format':'csv','columns':['a','b']}";

	(void)state;
	expect(csv, PARSE, "1\r\n2\n\n3\r4",
	    "{\"a\":\"1\"}\n{\"a\":\"2\"}\n{\"a\":\"3\"}\n{\"a\":\"4\"}\n");
	expect(csv, PARSE,
	    "\xef\xbb\xbf"
	    "1,\xef\xbb\xbf\n",
	    "{\"a\":\"1\",\"b\":\"\xef\xbb\xbf\"}\n");
}

static void
test_quotes(void **state)
{
	const char *old = "{'format':'csv','columns':['a','b']}";
	const char *new = "{'type':'csv','columns':['a','b']}";

	(void)state;
	expect(old, PARSE, "\"x,\"\"y\"\"\",z",
	    "{\"a\":\"x,\\\"y\\\"\",\"b\":\"z\"}\n");
	expect(new, INPUT, "\"x,\"\"y\"\"\",z",
	    "{\"a\":\"x,\\\"y\\\"\",\"b\":\"z\"}\n");
	/* where the dialects part */
	expect(
	    old, PARSE, "\"a\\\"b\",c\\d", "{\"a\":\"a\\\"b\",\"b\":\"cd\"}\n");
	expect(new, INPUT, "\"a\\\\b\",c\\d",
	    "{\"a\":\"a\\\\\\\\b\",\"b\":\"c\\\\d\"}\n");
	expect(old, PARSE, "x,  \"y\"", "{\"a\":\"x\",\"b\":\"y\"}\n");
	expect(old, PARSE, "xxx\"y\"z", "{\"a\":\"xxx\\\"y\\\"z\"}\n");
	expect(
	    new, INPUT, "x,  \"y\"", "{\"a\":\"x\",\"b\":\"  \\\"y\\\"\"}\n");
	expect(old, PARSE, "\"\",x", "{\"b\":\"x\"}\n");
	expect(new, INPUT, "\"\",x", "{\"a\":\"\",\"b\":\"x\"}\n");
	expect(new, INPUT, "\"open\n", "{\"a\":\"\\\"open\"}\n");
}

static void
test_unclosed(void **state)
{
	struct line_parser *p =
	    line_golden_parser("{'format':'csv','columns':['a','b']}", PARSE);

	(void)state;
	line_golden_refuse(p, "1,2\n\n3,\"4\n5\"\n", 3, "not closed");
	line_golden_expect(p, "1\n", "{\"a\":\"1\"}\n");
	line_parser_free(&p);
}

static void
test_lists(void **state)
{
	const char *tsv =
	    "{'format':'tsv','listDelimiter':'|','columns':['a','b']}";

	(void)state;
	expect(tsv, PARSE, "x|y\tz|",
	    "{\"a\":[\"x\",\"y\"],\"b\":[\"z\",null]}\n");
	expect(tsv, PARSE, "|\t\"|\\\n",
	    "{\"a\":[null,null],\"b\":[\"\\\"\",\"\\\\\"]}\n");
	expect("{'type':'tsv','listDelimiter':'|','columns':['a','b']}", INPUT,
	    "x|y\tz|", "{\"a\":[\"x\",\"y\"],\"b\":[\"z\",\"\"]}\n");
	expect("{'format':'csv','columns':['a','b']}", PARSE,
	    "\"x\x01y\",z\x01\x01w",
	    "{\"a\":[\"x\",\"y\"],\"b\":[\"z\",null,\"w\"]}\n");
	expect("{'format':'csv','listDelimiter':',','columns':['a','b']}",
	    PARSE, "\"x,y\",z", "{\"a\":[\"x\",\"y\"],\"b\":\"z\"}\n");
}

static void
test_headers(void **state)
{
	const char *body = "# made today\nts,,n\"x\n1,2,3\n";

	(void)state;
	expect("{'type':'csv','findColumnsFromHeader':true,"
	       "'skipHeaderRows':1}",
	    INPUT, body,
	    "{\"ts\":\"1\",\"column_2\":\"2\",\"n\\\"x\":\"3\"}\n");
	expect("{'format':'tsv','delimiter':',','hasHeaderRow':true,"
	       "'skipHeaderRows':1,'columns':['other']}",
	    PARSE, body,
	    "{\"ts\":\"1\",\"column_2\":\"2\",\"n\\\"x\":\"3\"}\n");
	expect("{'format':'csv','skipHeaderRows':2,'columns':['a']}", PARSE,
	    body, "{\"a\":\"1\"}\n");
	expect(
	    "{'type':'csv','findColumnsFromHeader':true}", INPUT, "a,b\n", "");
	expect("{'format':'csv','skipHeaderRows':9,'columns':['a']}", PARSE,
	    body, "");
}

static void
test_header_twice(void **state)
{
	struct line_parser *p = line_golden_parser(
	    "{'type':'csv','findColumnsFromHeader':true}", INPUT);

	(void)state;
	line_golden_refuse(p, "\nx,b,x\n1\n", 2, "\"x\" twice");
	line_golden_expect(p, "x,b\n1\n", "{\"x\":\"1\"}\n");
	line_parser_free(&p);
}

static void
test_numbers(void **state)
{
	(void)state;
	expect("{'type':'csv','tryParseNumbers':true,'listDelimiter':'|',"
	       "'columns':['a','b','c','d','e','f']}",
	    INPUT, "1,-2.5e+3,007,+1,1|x|2,0",
	    "{\"a\":1,\"b\":-2.5e+3,\"c\":\"007\",\"d\":\"+1\","
	    "\"e\":[1,\"x\",2],\"f\":0}\n");
	expect("{'type':'csv','tryParseNumbers':true,"
	       "'columns':['a','b','c','d']}",
	    INPUT, "-,1.,1e,.5\n",
	    "{\"a\":\"-\",\"b\":\"1.\",\"c\":\"1e\",\"d\":\".5\"}\n");
}

/* The line that an event came from. */
static void
test_lines(void **state)
{
	const char *body = "skip\n\nhead\n\r\na\n\n\nb\nc";
	struct line_parser *p = line_golden_parser(
	    "{'type':'csv','findColumnsFromHeader':true,'skipHeaderRows':1}",
	    INPUT);

	(void)state;
	line_golden_expect(
	    p, body, "{\"head\":\"a\"}\n{\"head\":\"b\"}\n{\"head\":\"c\"}\n");
	line_golden_line(p, body, 0, 5);
	line_golden_line(p, body, 1, 8);
	line_golden_line(p, body, 2, 9);
	line_golden_line(p, body, 3, 0);
	line_parser_free(&p);
}

/* Values and names of every length, around the steps of the fast path. */
static void
test_lengths(void **state)
{
	char spec[256], name[80], body[512], events[512];

	(void)state;
	for (unsigned n = 1; n < 70; n++) {
		struct line_parser *p;

		memset(name, 'n', n);
		name[n] = '\0';
		snprintf(spec, sizeof spec,
		    "{'format':'csv','columns':['%s','b']}", name);
		snprintf(body, sizeof body, "%.*s,\"%.*s\"\n\"%.*s\"\"\",x", n,
		    name, n, name, n, name);
		snprintf(events, sizeof events,
		    "{\"%s\":\"%s\",\"b\":\"%s\"}\n"
		    "{\"%s\":\"%s\\\"\",\"b\":\"x\"}\n",
		    name, name, name, name, name);
		p = line_golden_parser(spec, PARSE);
		line_golden_expect(p, body, events);
		line_parser_free(&p);
	}
}

/* `before`, `count` times the letter, `behind`. NULL: it is in order. */
static void
check_long(const char *spec, const char *before, char fill, size_t count,
    const char *behind, const char *why)
{
	struct line_parser *p = line_golden_parser(spec, INPUT);
	size_t start = strlen(before), bytes = start + count + strlen(behind);
	char *body = must_malloc(bytes + 1);
	struct line_error error;
	struct buf out;

	memcpy(body, before, start);
	memset(body + start, fill, count);
	strcpy(body + start + count, behind);
	buf_init(&out, LINE_GOLDEN_OUT_MAX);
	assert_int_equal(line_golden_read(p, body, bytes, &out, &error),
	    why == NULL ? LINE_OK : LINE_MALFORMED);
	if (why != NULL)
		assert_non_null(strstr(error.why, why));
	buf_free(&out);
	line_parser_free(&p);
	free(body);
}

/* What Druid would not read. */
static void
test_too_long(void **state)
{
	static const char
	    header[] = "{'type':'csv','findColumnsFromHeader':true}",
	    text[] = "{'type':'csv','columns':['a','b'],'listDelimiter':'|'}",
	    number[] = "{'type':'csv','tryParseNumbers':true,'columns':['a']}";
	char *digits = must_calloc(1, JSON_SCAN_NUMBER_MAX + 2);
	char *event = must_calloc(1, JSON_SCAN_NUMBER_MAX + 32);

	(void)state;
	check_long(header, "a,", 'x', JSON_SCAN_NAME_MAX, "\n1,2\n", NULL);
	check_long(header, "a,", 'x', JSON_SCAN_NAME_MAX + 1, "\n1,2\n",
	    JSON_SCAN_NAME_TOO_LONG);
	/* as it is written */
	check_long(header, "a,", '\\', JSON_SCAN_NAME_MAX / 2, "\n1,2\n", NULL);
	check_long(header, "a,", '\\', JSON_SCAN_NAME_MAX / 2 + 1, "\n1,2\n",
	    JSON_SCAN_NAME_TOO_LONG);
	for (unsigned i = 0; i < 2; i++) {
		size_t count = JSON_SCAN_STRING_MAX + i;
		const char *why = i == 0 ? NULL : JSON_SCAN_STRING_TOO_LONG;

		check_long(text, "1,", 'x', count, "\n", why);
		check_long(text, "\"", 'x', count, "\",2\n", why);
		/* read slowly: the two quotes and the blank count */
		check_long(text, "1, \"", 'x', count - 5, "\"\n", why);
		check_long(text, "1|", 'x', count, "|3,2\n", why);
	}
	/* such a number is text */
	memset(digits, '1', JSON_SCAN_NUMBER_MAX);
	sprintf(event, "{\"a\":%s}\n", digits);
	expect(number, INPUT, digits, event);
	digits[JSON_SCAN_NUMBER_MAX] = '1';
	sprintf(event, "{\"a\":\"%s\"}\n", digits);
	expect(number, INPUT, digits, event);
	free(digits);
	free(event);
}

/* However small the buffer: no byte behind it, and no failure once there is
 * room for the events and a little more. */
static void
test_limit(void **state)
{
	struct line_parser *p =
	    line_golden_parser("{'format':'csv','columns':['a','b']}", PARSE);
	size_t needed = 7 + 3992 + strlen("{'a':'','b':''}\n");
	struct line_error error;
	char body[4096];
	struct buf out;

	(void)state;
	memset(body, 'x', sizeof body);
	body[7] = body[4000] = ',';
	for (size_t max = 0; max < 2 * needed; max += 7) {
		enum line_result result;

		buf_init(&out, max);
		result = line_golden_read(p, body, sizeof body, &out, &error);
		assert_true(out.size <= max);
		if (max < needed + JSON_SCAN_PADDING)
			assert_int_equal(result, LINE_TOO_LARGE);
		/* a value without a column is written, and taken back */
		if (max >= needed + JSON_SCAN_PADDING + 200)
			assert_int_equal(result, LINE_OK);
		if (result == LINE_OK)
			assert_int_equal(out.used, needed);
		buf_free(&out);
	}
	line_parser_free(&p);
}

static void
test_problems(void **state)
{
	(void)state;
	line_golden_problem(
	    "{'format':'csv'}", PARSE, "columns", "missing; list the columns");
	line_golden_problem(
	    "{'type':'csv'}", INPUT, "columns", "findColumnsFromHeader");
	line_golden_problem("{'format':'csv','columns':['a','b,c']}", PARSE,
	    "columns[1]", "which no column may have");
	line_golden_problem("{'format':'csv','columns':['a','A']}", PARSE,
	    "columns[1]", "case is disregarded");
	line_golden_problem("{'type':'tsv','columns':['a','A','a']}", INPUT,
	    "columns[2]", "twice");
	line_golden_problem("{'format':'tsv','columns':['a'],"
			    "'delimiter':'|','listDelimiter':'|'}",
	    PARSE, "listDelimiter", "the same as the delimiter");
	line_golden_problem("{'format':'tsv','columns':['a'],'delimiter':''}",
	    PARSE, "delimiter", "is empty");
	line_golden_problem(
	    "{'format':'tsv','columns':['a'],'delimiter':'a\\n'}", PARSE,
	    "delimiter", "line end");
	line_golden_problem("{'format':'tsv','columns':['a'],'delimiter':1}",
	    PARSE, "delimiter", "a number; it is a text");
	line_golden_problem(
	    "{'format':'csv','columns':['a'],'skipHeaderRows':-1}", PARSE,
	    "skipHeaderRows", "0 or more");
	line_golden_problem("{'format':'csv','columns':['a'],"
			    "'dimensionsSpec':{'dimensions':['a',"
			    "{'name':'b','type':'long'}]}}",
	    PARSE, "dimensionsSpec.dimensions[1]", "not among the columns");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_line_ends),
		cmocka_unit_test(test_quotes),
		cmocka_unit_test(test_unclosed),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_header_twice),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_problems),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
