/*
 * fuzz_regex - patterns and lines: nothing crashes, nothing runs away
 *
 * The input is a pattern, a newline, a list delimiter, a newline, and a body.
 */
#include <stdlib.h>
#include <string.h>

#include "json_string.h"
#include "panic.h"
#include "regex_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The text up to the next newline, which is passed; NULL when there is none. */
static char *
take_line(const char **at, const char *end)
{
	const char *stop = memchr(*at, '\n', (size_t)(end - *at));
	char *text;

	if (stop == NULL)
		return NULL;
	text = must_malloc((size_t)(stop - *at) + 1);
	memcpy(text, *at, (size_t)(stop - *at));
	text[stop - *at] = '\0';
	*at = stop + 1;
	return text;
}

static void
read_body(struct regex_line *r, const char *at, const char *end)
{
	struct buf body, to;
	struct line_error error;
	struct line_out out;
	struct json_scan scan;
	enum json_scan_result result = JSON_SCAN_END;

	buf_init(&body, 4 * (size_t)(end - at) + 2 * JSON_SCAN_PADDING);
	must(line_utf8_repair(at, end, &body));
	must(buf_room(&body, JSON_SCAN_PADDING) != NULL);
	memset(body.bytes + body.used, 'a', JSON_SCAN_PADDING);
	buf_init(&to, 1u * MiB);
	line_out_init(&out, &to);
	if (regex_line_read(r, body.bytes, body.bytes + body.used, &out,
		&error) == LINE_OK &&
	    line_out_finish(&out)) {
		json_scan_init(&scan, to.bytes, to.used);
		while ((result = json_scan_next(&scan)) == JSON_SCAN_EVENT)
			;
		json_scan_fini(&scan);
	}
	must(result == JSON_SCAN_END);
	buf_free(&body);
	buf_free(&to);
}

static bool
is_utf8(const char *text)
{
	char *end = strchr(text, '\0');

	return json_string_utf8_error(text, end) == end;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *at = (const char *)data, *end = at + size;
	struct regex_line_spec spec = { .list_is_pattern = size % 2 == 0 };
	char why[REGEX_LINE_WHY_BYTES];
	enum regex_line_fault fault;
	struct regex_line *r = NULL;
	char *pattern = NULL, *list = NULL;

	/* configurations are UTF-8 */
	if (size > 0 && (pattern = take_line(&at, end)) != NULL &&
	    (list = take_line(&at, end)) != NULL && is_utf8(list)) {
		spec.pattern = pattern;
		spec.list_delimiter = list;
		r = regex_line_new(&spec, &fault, why);
	}
	if (r != NULL)
		read_body(r, at, end);
	regex_line_free(&r);
	free(pattern);
	free(list);
	return 0;
}
