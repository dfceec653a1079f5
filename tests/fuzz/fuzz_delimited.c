/*
 * fuzz_delimited - csv and tsv bodies: no byte outside, events that are JSON
 *
 * The first bytes choose the dialect and the delimiters, the rest is the body.
 * What is written must be one object a line that json_scan reads, and the
 * fast path must agree with the slow one.
 */
#include <stdlib.h>
#include <string.h>

#include "delimited.h"
#include "panic.h"
#include "sink_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct delimited *
new_reader(uint8_t choice)
{
	static const char *const delimiters[] = { "\t", "|", "||", "ab" };
	static const char *const lists[] = { "\x01", ";", ";;", "b|" };
	static char a[] = "a", b[] = "b\"",
		    c[] = "a name that is longer than one step of copying";
	static char *const columns[] = { a, b, c };
	struct delimited_spec spec = { .dialect =
					   (enum delimited_dialect)(choice % 3),
		.delimiter = ",",
		.list_delimiter = lists[choice >> 4 & 3],
		.columns = columns,
		.column_count = 3,
		.has_header = (choice & 0x40) != 0,
		.skip_rows = choice >> 7,
		.null_in_lists = (choice & 8) != 0,
		.tries_numbers = (choice & 4) != 0 };

	if (spec.dialect == DELIMITED_UNQUOTED)
		spec.delimiter = delimiters[choice >> 2 & 3];
	return delimited_new(&spec);
}

static void
check_events(const struct buf *out, const struct delimited *d, const char *body,
    const char *end)
{
	struct json_scan scan;
	struct line_cursor cursor;

	line_cursor_init(&cursor, body, end);
	json_scan_init(&scan, out->bytes, out->used);
	for (;;) {
		enum json_scan_result result = json_scan_next(&scan);

		must(result != JSON_SCAN_MALFORMED);
		if (result == JSON_SCAN_END)
			break;
		must(delimited_next(d, &cursor));
	}
	must(!delimited_next(d, &cursor));
	json_scan_fini(&scan);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct line_error error;
	struct line_out out;
	struct buf to, body;
	struct delimited *d;
	struct sink_check check;

	if (size < 2)
		return 0;
	buf_init(&body, 4 * size + 2 * JSON_SCAN_PADDING);
	must(line_utf8_repair(
	    (const char *)data + 2, (const char *)data + size, &body));
	must(buf_room(&body, JSON_SCAN_PADDING) != NULL);
	memset(body.bytes + body.used, data[1], JSON_SCAN_PADDING);
	must(line_utf8_valid(body.bytes, body.bytes + body.used));
	d = new_reader(data[0]);
	must(d != NULL);
	buf_init(&to, 1u * MiB);
	sink_check_init(&check);
	line_out_init(&out, &to);
	out.sink = *data % 2 == 0 ? &check.sink : NULL;
	if (delimited_read(d, body.bytes, body.bytes + body.used, &out,
		&error) == LINE_OK &&
	    line_out_finish(&out))
		check_events(&to, d, body.bytes, body.bytes + body.used);
	sink_check_fini(&check);
	delimited_free(&d);
	buf_free(&to);
	buf_free(&body);
	return 0;
}
