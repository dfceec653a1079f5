/*
 * load_format - bodies in other formats than JSON
 *
 * Process: tranq-load.
 */
#include "load_format.h"

#include <stdlib.h>
#include <string.h>

#include "json_scan.h"
#include "panic.h"
#include "smile_writer.h"

static const struct {
	const char *name, *content_type;
} formats[] = {
	[LOAD_JSON] = { "json", "application/json" },
	[LOAD_TEXT] = { "text", "text/plain" },
	[LOAD_CSV] = { "csv", "text/plain" },
	[LOAD_TSV] = { "tsv", "text/plain" },
	[LOAD_SMILE] = { "smile", "application/x-jackson-smile" },
};

bool
load_format_parse(const char *name, enum load_format *format)
{
	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		*format = (enum load_format)i;
		if (strcmp(formats[i].name, name) == 0)
			return true;
	}
	return false;
}

const char *
load_format_content_type(enum load_format format)
{
	return formats[format].content_type;
}

/* A value without what would end it; a list or object as it is written. */
static void
add_value(struct buf *to, const char *text, size_t bytes, bool is_csv)
{
	const char *quote = "";

	if (is_csv &&
	    (memchr(text, ',', bytes) != NULL ||
		memchr(text, '"', bytes) != NULL))
		quote = "\"";
	buf_add_text(to, quote);
	for (size_t i = 0; i < bytes; i++) {
		char c = strchr("\t\r\n", text[i]) != NULL ? ' ' : text[i];

		buf_add(to, &c, 1);
		if (c == '"' && *quote != '\0')
			buf_add(to, &c, 1);
	}
	buf_add_text(to, quote);
}

static void
add_line(const struct json_scan *s, struct buf *to, bool is_csv)
{
	for (unsigned i = 0; i < s->field_count; i++) {
		const struct json_field *f = &s->fields[i];
		char *text = must_malloc(f->value_bytes + 1);
		size_t bytes = f->type == SCAN_NULL ? 0 : f->value_bytes;

		memcpy(text, s->body + f->value, f->value_bytes);
		if (f->value_escaped && f->type == SCAN_STRING)
			bytes = json_unescape(text, bytes, text);
		buf_add_text(to, i == 0 ? "" : is_csv ? "," : "\t");
		add_value(to, text, bytes, is_csv);
		free(text);
	}
	buf_add_text(to, "\n");
}

static bool
convert_lines(const struct buf *json, struct buf *to, bool is_csv)
{
	struct json_scan s;
	enum json_scan_result result;

	json_scan_init(&s, json->bytes, json->used);
	while ((result = json_scan_next(&s)) == JSON_SCAN_EVENT)
		add_line(&s, to, is_csv);
	json_scan_fini(&s);
	must(result == JSON_SCAN_END);
	return !to->failed;
}

bool
load_format_convert(
    enum load_format format, const struct buf *json, struct buf *to)
{
	static struct smile_writer writer;

	switch (format) {
	case LOAD_JSON:
	case LOAD_TEXT: buf_add(to, json->bytes, json->used); break;
	case LOAD_CSV: return convert_lines(json, to, true);
	case LOAD_TSV: return convert_lines(json, to, false);
	case LOAD_SMILE:
		return smile_writer_transcode(
		    &writer, json->bytes, json->used, to);
	case LOAD_FORMATS: unreachable("a format");
	}
	return !to->failed;
}
