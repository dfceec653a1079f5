/*
 * test_line_parser - what is common to text bodies, and those read by regex
 */
#include "line_golden.h"

#define PARSE LINE_PARSER_PARSE_SPEC
#define INPUT LINE_PARSER_INPUT_FORMAT
#define REGEX(pattern, more) \
	"{'format':'regex','pattern':\"" pattern "\"" more "}"

static void
expect(const char *spec, enum line_parser_form form, const char *body,
    const char *events)
{
	struct line_parser *p = line_golden_parser(spec, form);

	line_golden_expect(p, body, events);
	line_golden_expect(p, body, events);
	line_parser_free(&p);
}

static void
test_groups(void **state)
{
	(void)state;
	expect(REGEX("(\\\\w+) (.*)", ""), PARSE, "a b c\nd \n",
	    "{\"column_1\":\"a\",\"column_2\":\"b c\"}\n"
	    "{\"column_1\":\"d\"}\n");
	expect(REGEX("(a)|(b)|(c)", ",'columns':['x','y']"), PARSE, "a\nb\nc\n",
	    "{\"x\":\"a\"}\n{\"y\":\"b\"}\n{}\n");
	expect(REGEX("(?<k>.)(.*)", ",'columns':['x','y','z']"), PARSE,
	    "\xc3\xa9\"\t\n", "{\"x\":\"\xc3\xa9\",\"y\":\"\\\"\\t\"}\n");
	/* the whole line, found by going back */
	expect(REGEX("(a|ab)(c|bcd)?", ""), PARSE, "abcd\n",
	    "{\"column_1\":\"a\",\"column_2\":\"bcd\"}\n");
}

static void
test_lists(void **state)
{
	(void)state;
	expect(REGEX("(.*)", ""), PARSE,
	    "a\x01"
	    "b\n",
	    "{\"column_1\":[\"a\",\"b\"]}\n");
	expect(REGEX("(.*)", ",'listDelimiter':'[,;] *'"), PARSE,
	    "a, b;c,\nd\n,\n",
	    "{\"column_1\":[\"a\",\"b\",\"c\",null]}\n{\"column_1\":\"d\"}\n"
	    "{\"column_1\":[null,null]}\n");
	expect(REGEX("(.*)", ",'listDelimiter':'(?=[A-Z])'"), PARSE, "aBcD\n",
	    "{\"column_1\":[\"a\",\"Bc\",\"D\"]}\n");
	expect(REGEX("(.*)", ",'listDelimiter':'\\\\|'"), PARSE, "a|b\n",
	    "{\"column_1\":[\"a\",\"b\"]}\n");
	expect("{'type':'regex','pattern':'(.*)','listDelimiter':'|.'}", INPUT,
	    "a|b|.c\n", "{\"column_1\":[\"a|b\",\"c\"]}\n");
}

static void
test_java_patterns(void **state)
{
	(void)state;
	expect(REGEX("(\\\\p{Alpha}+)([\\\\p{Digit}_]+)(\\\\u00e9?)", ""),
	    PARSE, "ab1_\xc3\xa9\n",
	    "{\"column_1\":\"ab\",\"column_2\":\"1_\","
	    "\"column_3\":\"\xc3\xa9\"}\n");
	expect(REGEX("\\\\Q[a]\\\\E(.)(\\\\ud83d\\\\ude00)?", ""), PARSE,
	    "[a]x\xf0\x9f\x98\x80\n",
	    "{\"column_1\":\"x\",\"column_2\":\"\xf0\x9f\x98\x80\"}\n");
}

static void
test_regex_problems(void **state)
{
	static const struct {
		const char *spec, *where, *why;
	} bad[] = { { "{'format':'regex'}", "pattern", "missing" },
		{ REGEX("(", ""), "pattern", "closing parenthesis" },
		{ REGEX("abc", ""), "pattern", "no group" },
		{ REGEX("([a-z&&[^b]])", ""), "pattern", "&&" },
		{ REGEX("([a[bc]])", ""), "pattern", "classes inside" },
		{ REGEX("(\\\\ud800)", ""), "pattern", "surrogate" },
		{ REGEX("(\\\\u00)", ""), "pattern", "four" },
		{ REGEX("(\\\\", ""), "pattern", "backslash" },
		{ REGEX("(*NO_JIT)(a)", ""), "pattern", "(*" },
		{ REGEX("(a)", ",'listDelimiter':'x*'"), "listDelimiter",
		    "empty text" },
		{ REGEX("(a)", ",'listDelimiter':'['"), "listDelimiter",
		    "cannot be used" },
		{ REGEX("(a)", ",'columns':['x','X']"), "columns[1]",
		    "twice" } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		line_golden_problem(
		    bad[i].spec, PARSE, bad[i].where, bad[i].why);
}

static void
test_no_match(void **state)
{
	struct line_parser *p =
	    line_golden_parser(REGEX("(\\\\d+)", ""), PARSE);

	(void)state;
	line_golden_refuse(p, "1\n\nx1\n", 3, "does not match the whole line");
	line_golden_line(p, "1\n\n2\n", 1, 3);
	line_golden_line(p, "1\n\n2\n", 2, 0);
	line_parser_free(&p);
}

/* Patterns that would run for ages. */
static void
test_runaway(void **state)
{
	static const char *const specs[] = { REGEX("((a+)+)+[bc]", ""),
		REGEX("(a|a|aa)+[bc]", ""), REGEX("((.*)*)*[bc]", ""),
		REGEX("(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)[bc]", "") };
	char body[401] = "";

	(void)state;
	memset(body, 'a', sizeof body - 1);
	for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
		struct line_parser *p = line_golden_parser(specs[i], PARSE);

		line_golden_refuse(p, body, 1, "more steps");
		line_parser_free(&p);
	}
}

static void
test_formats(void **state)
{
	struct line_parser *p;

	(void)state;
	line_golden_problem("{'format':'javascript','function':'x'}", PARSE,
	    "format", "javascript is not run here");
	line_golden_problem(
	    "{'format':'avro'}", PARSE, "format", "\"avro\" is not supported");
	line_golden_problem("{'type':'orc'}", INPUT, "type",
	    "\"orc\" is not supported; it is json, csv, tsv or regex");
	line_golden_problem("{}", INPUT, "type", "missing");
	line_golden_problem("[]", PARSE, "", "an array; it is an object");
	line_golden_problem("{'format':7}", PARSE, "format", "a number");
	/* without a format it is tsv */
	expect("{'columns':['a','b']}", PARSE, "1\t2",
	    "{\"a\":\"1\",\"b\":\"2\"}\n");
	/* a dataSource of objects alone is no mistake */
	p = line_golden_parser("{'format':'timeAndDims'}", PARSE);
	line_golden_refuse(p, "x\n", 1, "reads no text");
	line_parser_free(&p);
}

static void
test_error_words(void **state)
{
	struct line_error error = { .line = 12, .why = "it is bad" };
	char text[64];

	(void)state;
	assert_string_equal(line_parser_error(&error, text, sizeof text),
	    "Malformed string on line[12]: it is bad");
}

/* Events are appended to what there is. */
static void
test_append(void **state)
{
	struct line_parser *p = line_golden_parser("{'columns':['a']}", PARSE);
	struct line_error error;
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	assert_int_equal(line_golden_read(p, "1\n", 2, &out, &error), LINE_OK);
	assert_int_equal(line_golden_read(p, "2\n", 2, &out, &error), LINE_OK);
	buf_add(&out, "", 1);
	assert_string_equal(out.bytes, "{\"a\":\"1\"}\n{\"a\":\"2\"}\n");
	buf_free(&out);
	line_parser_free(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_java_patterns),
		cmocka_unit_test(test_regex_problems),
		cmocka_unit_test(test_no_match),
		cmocka_unit_test(test_runaway),
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_error_words),
		cmocka_unit_test(test_append),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
