/*
 * test_flatten - flattenSpec and JSON lines, against Druid's and by hand
 */
#include "line_golden.h"

#define PARSE LINE_PARSER_PARSE_SPEC

#define FIELDS(fields) "{'format':'json','flattenSpec':{'fields':[" fields "]}}"
#define PATH(expr)                                                   \
	"{'format':'json','flattenSpec':{'useFieldDiscovery':false," \
	"'fields':[{'type':'path','name':'r','expr':\"" expr "\"}]}}"
#define JQ(expr)                                                     \
	"{'format':'json','flattenSpec':{'useFieldDiscovery':false," \
	"'fields':[{'type':'jq','name':'r','expr':\"" expr "\"}]}}"

static void
expect(const char *spec, const char *body, const char *events)
{
	struct line_parser *p = line_golden_parser(spec, PARSE);

	line_golden_expect(p, body, events);
	line_golden_expect(p, body, events);
	line_parser_free(&p);
}

static void
test_golden(void **state)
{
	(void)state;
	line_golden_file("tests/golden/flatten/jsonpath.jsonl", 80);
	line_golden_file("tests/golden/flatten/json_lines.jsonl", 50);
}

static void
test_discovery(void **state)
{
	const char *plain = "{'format':'json'}";

	(void)state;
	expect(plain, "{\"a\":1,\"b\":\"x\"}\n", "{\"a\":1,\"b\":\"x\"}\n");
	expect(plain,
	    "{\"a\":null,\"b\":{\"c\":1},\"d\":[1,\"[\"],\"e\":[[1]],"
	    "\"f\":[{}],\"g\":true,\"h\":[\"\\\"{\"]}\n",
	    "{\"d\":[1,\"[\"],\"g\":true,\"h\":[\"\\\"{\"]}\n");
	expect(plain, " {} \t\n  \t\n{\"a\":null}", "{}\n{}\n");
	expect("{'format':'json','flattenSpec':{'useFieldDiscovery':false}}",
	    "{\"a\":1}", "{}\n");
	/* nested values of dimensions whose type wants them */
	expect("{'format':'json','dimensionsSpec':{'dimensions':['b',"
	       "{'name':'a','type':'json'}]}}",
	    "{\"b\":{\"c\":1},\"a\":{\"c\":[{}]}}", "{\"a\":{\"c\":[{}]}}\n");
	expect("{'format':'json','dimensionsSpec':{'useSchemaDiscovery':"
	       "true}}",
	    "{\"a\":{\"c\":[{}]},\"b\":[[1]],\"c\":null,\"d\":1}",
	    "{\"a\":{\"c\":[{}]},\"b\":[[1]],\"d\":1}\n");
	expect("{'format':'json','dimensionsSpec':{'useSchemaDiscovery':"
	       "true},'flattenSpec':{'fields':[{'type':'path','name':'b',"
	       "'expr':'$.a.c'}]}}",
	    "{\"a\":{\"c\":1},\"b\":[[1]]}", "{\"b\":1,\"a\":{\"c\":1}}\n");
}

static void
test_large_integers(void **state)
{
	const char *plain = "{'format':'json'}";

	(void)state;
	expect(plain,
	    "{\"a\":9223372036854775807,\"b\":-9223372036854775808,"
	    "\"c\":9223372036854775808,\"d\":1234567890.1234567890123}",
	    "{\"a\":9223372036854775807,\"b\":-9223372036854775808,"
	    "\"c\":9.2233720368547758e+18,\"d\":1234567890.1234567890123}\n");
	expect(plain,
	    "{\"a\":[1,18446744073709551616,\"18446744073709551616\"]}",
	    "{\"a\":[1,1.8446744073709552e+19,\"18446744073709551616\"]}\n");
}

static void
test_listed_fields(void **state)
{
	const char *body =
	    "{\"a\":{\"b\":1},\"c\":\"x\",\"d\":[1],\"e\":null,\"u\":\"v\"}";

	(void)state;
	expect(FIELDS("'c',{'type':'root','name':'a'},"
		      "{'type':'root','name':'z','expr':'d'},"
		      "{'type':'tree','name':'t','nodes':['a','b']},"
		      "{'type':'tree','name':'n','nodes':['a','b','c']},'e'"),
	    body,
	    "{\"c\":\"x\",\"a\":{\"b\":1},\"z\":[1],\"t\":1,\"d\":[1],"
	    "\"u\":\"v\"}\n");
	/* a listed name that leads nowhere is discovered (0.9.2) */
	expect(FIELDS("{'type':'path','name':'u','expr':'$.u.name'}"), body,
	    "{\"c\":\"x\",\"d\":[1],\"u\":\"v\"}\n");
	expect(FIELDS("{'type':'path','name':'c','expr':'$.a.b'}"), body,
	    "{\"c\":1,\"d\":[1],\"u\":\"v\"}\n");
}

static void
test_paths(void **state)
{
	const char *body =
	    "{\"a\":[{\"x\":1,\"y\":\"b\"},{\"x\":\"2\"},{\"x\":3,\"y\":null}],"
	    "\"k k\":{\"\\u00e9\":4}}";

	(void)state;
	expect(PATH("$.a[1].x"), body, "{\"r\":\"2\"}\n");
	expect(PATH("a[-1].x"), body, "{\"r\":3}\n");
	expect(PATH("$[\\'k k\\'][\\'é\\']"), body, "{\"r\":4}\n");
	expect(PATH("$[\\'k k\\'].\xc3\xa9"), body, "{\"r\":4}\n");
	expect(PATH("$.a[*].x"), body, "{\"r\":[1,\"2\",3]}\n");
	expect(PATH("$..y"), body, "{\"r\":[\"b\",null]}\n");
	expect(PATH("$.a[?(@.x > 1)].x"), body, "{\"r\":[3]}\n");
	expect(PATH("$.a[?(@.x == 2)].x"), body, "{\"r\":[\"2\"]}\n");
	expect(PATH("$.a[?(@.y&&@.x>=1)].x"), body, "{\"r\":[1,3]}\n");
	expect(
	    PATH("$.a[?(!@.y || !(@.x != 3))].x"), body, "{\"r\":[\"2\",3]}\n");
	expect(PATH("$.a[0][\\'y\\',\\'x\\',\\'z\\']"), body,
	    "{\"r\":{\"y\":\"b\",\"x\":1}}\n");
	expect(PATH("$.a[0][\\'z\\',\\'w\\']"), body, "{\"r\":{}}\n");
	expect(PATH("$.a[2].y"), body, "{}\n");
	expect(PATH("$.nowhere[*].x"), body, "{\"r\":[]}\n");
}

static void
test_path_problems(void **state)
{
	static const struct {
		const char *spec, *why;
	} bad[] = { { PATH("$.a["), "behind [" }, { PATH("$.a."), "end with" },
		{ PATH("$..a.."), "end with" }, { PATH("$...a"), "missing" },
		{ PATH("$a"), "expected '.' or '['" },
		{ PATH("$.a.length()"), "functions are not supported" },
		{ PATH("$.a b"), "blanks" }, { PATH(""), "empty" },
		{ PATH("$.a[0]x"), "expected '.' or '['" },
		{ PATH("$[\\'a"), "not closed" },
		{ PATH("$[\\'a\\',]"), "quoted" },
		{ PATH("$[1,]"), "expected a number" },
		{ PATH("$[99999999999]"), "too large" },
		{ PATH("$[0:4:2]"), "no step" },
		{ PATH("$[:]"), "start or an" }, { PATH("$[::2]"), "no step" },
		{ PATH("$.a[?(@.b =~ /x/)]"), "only ==" },
		{ PATH("$.a[?(@.b in [\\'x\\'])]"), "only ==" },
		{ PATH("$.a[?(@.b == [\\'x\\'])]"), "lists, objects" },
		{ PATH("$.a[?(@.b == x)]"), "expected a value" },
		{ PATH("$.a[?(!@.b == 1)]"), "needs parentheses" },
		{ PATH("$.a[?(\\'x\\')]"), "no condition" },
		{ PATH("$.a[?(@.b]"), "expected ')'" },
		{ PATH("$.a[?@.b]"), "expected '('" },
		{ PATH("$..a..b..c..d..e"), "more than 4 times" },
		{ PATH("$[?(((((((((((((((((@.a)))))))))))))))))]"),
		    "too deep" } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		line_golden_problem(bad[i].spec, PARSE,
		    "flattenSpec.fields[0].expr", bad[i].why);
}

/* Work is bounded by the event's size, not by the path. */
static void
test_too_much_work(void **state)
{
	struct line_parser *p =
	    line_golden_parser(PATH("$..*..*..*..*"), PARSE);
	char body[2048] = "{\"a\":";
	struct line_error error;
	struct buf out;

	(void)state;
	for (unsigned i = 0; i < 200; i++)
		strcat(body, "[");
	for (unsigned i = 0; i < 200; i++)
		strcat(body, "]");
	strcat(body, "}");
	line_golden_refuse(p, body, 1, "too much work");
	line_parser_free(&p);

	p = line_golden_parser(JQ("[..|[..|[..|1]]]"), PARSE);
	buf_init(&out, LINE_GOLDEN_OUT_MAX);
	assert_int_equal(line_golden_read(p, body, strlen(body), &out, &error),
	    LINE_MALFORMED);
	buf_free(&out);
	line_parser_free(&p);
}

static void
test_jq(void **state)
{
	const char *body = "{\"a\":[{\"x\":1,\"y\":\"b\"},{\"x\":2}],\"s\":"
			   "\"q\\\"\",\"n\":1.1}";

	(void)state;
	expect(JQ(".a|map(.x)|add"), body, "{\"r\":3}\n");
	expect(JQ("[.a[].x] | sum"), body, "{\"r\":3}\n");
	expect(JQ(".a[1].x"), body, "{\"r\":2}\n");
	expect(JQ(".a[]|select(.x==2)|.x"), body, "{\"r\":2}\n");
	expect(JQ("{s,m:.n,q:[.a[].x]}"), body,
	    "{\"r\":{\"s\":\"q\\\"\",\"m\":1.1,\"q\":[1,2]}}\n");
	expect(JQ(".a|length"), body, "{\"r\":2}\n");
	expect(JQ("if .n > 1 then .s else empty end"), body,
	    "{\"r\":\"q\\\"\"}\n");
	expect(JQ(".nowhere // .a[0].y"), body, "{\"r\":\"b\"}\n");
	/* none, null, an error */
	expect(JQ("empty"), body, "{}\n");
	expect(JQ(".nowhere"), body, "{}\n");
	expect(JQ(".s.x"), body, "{}\n");
}

static void
test_jq_problems(void **state)
{
	static const struct {
		const char *spec, *why;
	} bad[] = { { JQ("def f: f; f"), "'def'" },
		{ JQ("[range(9)]"), "'range'" },
		{ JQ("reduce .[] as $x (0;.)"), "'reduce'" },
		{ JQ("recurse(.)"), "'recurse'" }, { JQ("$ENV.x"), "'$ENV'" },
		{ JQ("env"), "'env'" }, { JQ("input"), "'input'" },
		{ JQ(".a * 2"), "'*'" }, { JQ(".a |= 1"), "'|='" },
		{ JQ(".a = 1"), "'='" }, { JQ("{a:range(9)}"), "'range'" },
		{ JQ("test(.a)"), "'test'" }, { JQ(".a % 2"), "'%'" },
		{ JQ(".a]"), "closes nothing" }, { JQ(".a["), "not closed" },
		{ JQ("(.a]"), "does not close" },
		{ JQ(".a..b|"), "syntax error" }, { JQ("first(1;2)"), "';'" },
		{ JQ("#x"), "comments" }, { JQ("{(.s):1}"), "computed" },
		{ JQ("paths"), "'paths'" },
		{ JQ("(1,2)+(1,2)+(1,2)+(1,2)+(1,2)"), "','" } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		line_golden_problem(bad[i].spec, PARSE,
		    "flattenSpec.fields[0].expr", bad[i].why);
}

static void
test_problems(void **state)
{
	(void)state;
	line_golden_problem("{'format':'json','flattenSpec':[]}", PARSE,
	    "flattenSpec", "an array");
	line_golden_problem(FIELDS("'a',{'type':'root','name':'a'}"), PARSE,
	    "flattenSpec.fields[1].name", "'a' is defined twice");
	line_golden_problem(
	    FIELDS("'a','a'"), PARSE, "flattenSpec.fields[1]", "twice");
	line_golden_problem(FIELDS("{'type':'path','name':'a'}"), PARSE,
	    "flattenSpec.fields[0].expr", "field 'a' needs an expression");
	line_golden_problem(FIELDS("{'type':'x','name':'a'}"), PARSE,
	    "flattenSpec.fields[0].type", "\"x\" is not known");
	line_golden_problem(FIELDS("{'type':'path'}"), PARSE,
	    "flattenSpec.fields[0].name", "missing");
	line_golden_problem(FIELDS("{'type':'tree','name':'a','nodes':[]}"),
	    PARSE, "flattenSpec.fields[0].nodes", "needs \"nodes\"");
	line_golden_problem(
	    FIELDS("7"), PARSE, "flattenSpec.fields[0]", "a number");
	line_golden_problem(
	    "{'format':'json','featureSpec':{'ALLOW_SINGLE_QUOTES':true}}",
	    PARSE, "featureSpec.ALLOW_SINGLE_QUOTES", "strict JSON");
}

static void
test_malformed_lines(void **state)
{
	struct line_parser *p = line_golden_parser("{'format':'json'}", PARSE);

	(void)state;
	line_golden_refuse(p, "{\"a\":1}\n\n{\"a\":}\n", 3,
	    "expected a value (byte 6 of the line)");
	line_golden_refuse(p, "{\"a\":1\n}\n", 1, "the line ends too early");
	line_golden_refuse(p, "[{\"a\":1}]\n", 1, "not one JSON object");
	line_golden_refuse(p, "{} {}\n", 1, "text follows");
	line_golden_refuse(p, "{}\r{},\r", 2, "text follows");
	line_golden_refuse(p, "\"x\"\n", 1, "not one JSON object");
	/* what is not UTF-8 is replaced before it is looked at */
	line_golden_expect(
	    p, "{\"a\":\"\xff\"}\n", "{\"a\":\"\xef\xbf\xbd\"}\n");
	line_parser_free(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_discovery),
		cmocka_unit_test(test_large_integers),
		cmocka_unit_test(test_listed_fields),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_path_problems),
		cmocka_unit_test(test_too_much_work),
		cmocka_unit_test(test_jq),
		cmocka_unit_test(test_jq_problems),
		cmocka_unit_test(test_problems),
		cmocka_unit_test(test_malformed_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
