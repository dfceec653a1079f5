/*
 * json_lines - text bodies of one JSON object a line
 *
 * Process: receiver.
 */
#include "json_lines.h"

#include <stdlib.h>

#include "panic.h"

struct json_lines {
	struct flatten *flatten; /* NULL: lower case */
	struct json_scan scan;
	struct buf name; /* one that had escapes */
};

struct json_lines *
json_lines_new(struct flatten *flatten)
{
	struct json_lines *j = must_calloc(1, sizeof *j);

	j->flatten = flatten;
	json_scan_init(&j->scan, "", 0);
	buf_init(&j->name, UINT32_MAX);
	return j;
}

void
json_lines_free(struct json_lines **lines)
{
	struct json_lines *j = *lines;

	if (j == NULL)
		return;
	*lines = NULL;
	flatten_free(&j->flatten);
	json_scan_fini(&j->scan);
	buf_free(&j->name);
	free(j);
}

/* The first byte of the line that is no blank, or its end. */
static const char *
skip_blanks(const struct line_cursor *c)
{
	const char *p = c->text, *end = p + c->bytes;

	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	return p;
}

static bool
is_blank(const struct line_cursor *c)
{
	return skip_blanks(c) == c->text + c->bytes;
}

/* What is to be added to the last byte of a letter for its lower case; `last`
 * follows the byte `lead` (or lead is 0). */
static unsigned
to_lower(unsigned char lead, unsigned char last)
{
	if (lead == 0)
		return last >= 'A' && last <= 'Z' ? 0x20 : 0;
	/* U+00C0 … U+00DE without the multiplication sign */
	if (lead == 0xc3)
		return last >= 0x80 && last <= 0x9e && last != 0x97 ? 0x20 : 0;
	return 0;
}

/* Letters whose lower case has another first byte: Greek, Cyrillic. */
static void
lower_pair(unsigned char *p)
{
	unsigned c = (p[0] & 31u) << 6 | (p[1] & 63u);

	if ((c >= 0x391 && c <= 0x3a9 && c != 0x3a2) ||
	    (c >= 0x410 && c <= 0x42f))
		c += 0x20;
	else if (c >= 0x400 && c <= 0x40f)
		c += 0x50;
	p[0] = (unsigned char)(0xc0 | c >> 6);
	p[1] = (unsigned char)(0x80 | (c & 63));
}

static void
lower(char *text, size_t bytes)
{
	unsigned char *p = (unsigned char *)text, *end = p + bytes;

	for (; p < end; p++) {
		if (*p < 0x80) {
			*p = (unsigned char)(*p + to_lower(0, *p));
		} else if (*p >= 0xc3 && *p <= 0xd1 && p + 1 < end) {
			if (*p == 0xc3)
				p[1] =
				    (unsigned char)(p[1] + to_lower(*p, p[1]));
			else
				lower_pair(p);
			p++;
		}
	}
}

/* ,"name": with the name in lower case. */
static bool
put_name(struct json_lines *j, const struct json_field *f, struct line_out *out)
{
	const char *raw = j->scan.body + f->name;
	size_t bytes = f->name_bytes;

	buf_reset(&j->name);
	if (buf_room(&j->name, bytes + 1) == NULL)
		return false;
	if (f->name_escaped)
		bytes = json_unescape(raw, bytes, j->name.bytes);
	else
		memcpy(j->name.bytes, raw, bytes);
	lower(j->name.bytes, bytes);
	return line_out_add(out, ",\"", 2) &&
	    line_out_text(out, j->name.bytes, bytes) &&
	    line_out_add(out, "\":", 2);
}

/* Behind the value at p. */
static const char *
skip_value(const char *p)
{
	unsigned depth = 0;

	do {
		if (*p == '"') {
			for (p++; *p != '"'; p++)
				p += *p == '\\';
		} else if (*p == '[' || *p == '{') {
			depth++;
		} else if (*p == ']' || *p == '}') {
			depth--;
		}
		p++;
	} while (depth > 0 ||
	    (p[-1] != '"' && p[-1] != ']' && p[-1] != '}' &&
		strchr(" \t,]}", *p) == NULL));
	return p;
}

static bool
put_scalar(struct line_out *out, const char *text, size_t bytes)
{
	if (*text == '[' || *text == '{') /* Jackson's asText of them */
		return line_out_add(out, "\"\"", 2);
	if (*text == 't' || *text == 'f')
		return line_out_add(out, "\"", 1) &&
		    line_out_add(out, text, bytes) &&
		    line_out_add(out, "\"", 1);
	return flatten_put(out, text, bytes);
}

/* A list without its nulls. */
static bool
put_list(struct line_out *out, const char *p)
{
	const char *comma = "[";

	for (p++;;) {
		const char *start;

		while (*p == ' ' || *p == '\t' || *p == ',')
			p++;
		if (*p == ']')
			break;
		start = p;
		p = skip_value(p);
		if (*start == 'n')
			continue;
		if (!line_out_add(out, comma, 1) ||
		    !put_scalar(out, start, (size_t)(p - start)))
			return false;
		comma = ",";
	}
	return line_out_add(
	    out, *comma == '[' ? "[]" : "]", *comma == '[' ? 2 : 1);
}

static bool
put_lowered_value(const struct json_lines *j, const struct json_field *f,
    struct line_out *out)
{
	const char *value = j->scan.body + f->value;

	if (f->type == SCAN_ARRAY)
		return put_list(out, value);
	if (f->type == SCAN_STRING)
		return line_out_add(out, value - 1, f->value_bytes + 2);
	return put_scalar(out, value, f->value_bytes);
}

static enum line_result
put_lowered(struct json_lines *j, struct line_out *out)
{
	size_t start = line_out_used(out);

	for (unsigned i = 0; i < j->scan.field_count; i++) {
		const struct json_field *f = &j->scan.fields[i];

		if (f->type == SCAN_NULL)
			continue;
		if (!put_name(j, f, out) || !put_lowered_value(j, f, out))
			return line_out_failure(out);
	}
	if (!line_out_room(out, 3))
		return line_out_failure(out);
	if (line_out_used(out) == start)
		out->at++;
	out->to->bytes[start] = '{';
	memcpy(out->at, "}\n", 2);
	out->at += 2;
	return LINE_OK;
}

static enum line_result
fail(const struct json_lines *j, const struct line_cursor *c,
    struct line_error *error)
{
	const struct json_scan *s = &j->scan;

	if (s->is_out_of_memory)
		return LINE_NO_MEMORY;
	return line_error_set(error, c->line, "%s (byte %u of the line)",
	    s->error_offset >= s->bytes ? "the line ends too early" : s->error,
	    s->error_offset + 1);
}

/* The line's object becomes the scan's event. */
static enum line_result
scan_line(
    struct json_lines *j, const struct line_cursor *c, struct line_error *error)
{
	const struct json_scan *s = &j->scan;

	if (*skip_blanks(c) != '{')
		return line_error_set(
		    error, c->line, "the line is not one JSON object");
	json_scan_reset(&j->scan, c->text, c->bytes);
	if (json_scan_next(&j->scan) != JSON_SCAN_EVENT)
		return fail(j, c, error);
	for (uint32_t i = s->event + s->event_bytes; i < c->bytes; i++)
		if (c->text[i] != ' ' && c->text[i] != '\t')
			return line_error_set(error, c->line,
			    "text follows the line's object (byte %u)", i + 1);
	return LINE_OK;
}

enum line_result
json_lines_read(struct json_lines *j, const char *body, const char *end,
    struct line_out *out, struct line_error *error)
{
	enum line_result result = LINE_OK;
	struct line_cursor c;

	line_cursor_init(&c, body, end);
	while (result == LINE_OK && line_cursor_next(&c)) {
		if (is_blank(&c))
			continue;
		result = scan_line(j, &c, error);
		if (result != LINE_OK)
			break;
		result = j->flatten == NULL
		    ? put_lowered(j, out)
		    : flatten_event(j->flatten, &j->scan, out, error, c.line);
	}
	return result;
}

bool
json_lines_next(struct line_cursor *c)
{
	while (line_cursor_next(c))
		if (!is_blank(c))
			return true;
	return false;
}
