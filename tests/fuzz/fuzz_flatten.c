/*
 * fuzz_flatten - flattenSpecs and events: any path, any JSON lines
 *
 * The input is a path or jq program, a newline, and a body.
 */
#include <stdlib.h>
#include <string.h>

#include "line_parser.h"
#include "panic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Its first character says what the text is. */
static struct json *
new_spec(const char *text, size_t bytes)
{
	struct json *spec = json_new_object(), *flatten = json_new_object();
	struct json *fields = json_new_array(), *field = json_new_object();
	char *expr = must_malloc(bytes + 1);

	memcpy(expr, text, bytes);
	expr[bytes] = '\0';
	json_set_text(spec, "format", *expr == 'L' ? "jsonLowercase" : "json");
	json_set_text(field, "type", *expr == 'j' ? "jq" : "path");
	json_set_text(field, "name", "r");
	json_set_text(field, "expr", *expr == '\0' ? "" : expr + 1);
	json_append(fields, json_new_text("a"));
	json_append(fields, field);
	json_set(flatten, "fields", fields);
	json_set(spec, "flattenSpec", flatten);
	free(expr);
	return spec;
}

static void
check_events(const struct buf *out)
{
	struct json_scan scan;
	enum json_scan_result result;

	json_scan_init(&scan, out->bytes, out->used);
	while ((result = json_scan_next(&scan)) == JSON_SCAN_EVENT)
		;
	must(result == JSON_SCAN_END);
	json_scan_fini(&scan);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	const char *line = size == 0 ? NULL : memchr(text, '\n', size);
	struct line_parser_problem problem;
	struct line_error error;
	struct line_parser *p;
	struct json *spec;
	struct buf out;
	char *body;

	if (line == NULL)
		return 0;
	spec = new_spec(text, (size_t)(line - text));
	p = line_parser_compile(
	    &(struct line_parser_spec){ .format = spec }, &problem);
	json_free(&spec);
	if (p == NULL)
		return 0;
	size -= (size_t)(++line - text);
	body = must_malloc(size + JSON_SCAN_PADDING);
	memcpy(body, line, size);
	memset(body + size, '}', JSON_SCAN_PADDING);
	buf_init(&out, 1u * MiB);
	if (line_parser_read(p, body, size, &out, &error) == LINE_OK)
		check_events(&out);
	buf_free(&out);
	free(body);
	line_parser_free(&p);
	return 0;
}
