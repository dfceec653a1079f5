/*
 * delimited_quotes - one line taken apart, by the letter of each dialect
 *
 * Process: receiver. Pure.
 */
#include "delimited_quotes.h"

#include <stdlib.h>

#define VALUES_FIRST 64

void
delimited_values_init(struct delimited_values *v)
{
	*v = (struct delimited_values){ .count = 0 };
	buf_init(&v->text, SIZE_MAX / 2);
}

void
delimited_values_free(struct delimited_values *v)
{
	free(v->list);
	buf_free(&v->text);
	delimited_values_init(v);
}

/* The value from `start` of the text on is complete. */
static bool
end_value(struct delimited_values *v, size_t start, bool is_quoted)
{
	if (v->count == v->capacity) {
		unsigned capacity =
		    v->capacity == 0 ? VALUES_FIRST : v->capacity * 2;
		struct delimited_value *list =
		    realloc(v->list, capacity * sizeof *list);

		if (list == NULL) {
			v->is_out_of_memory = true;
			return false;
		}
		v->list = list;
		v->capacity = capacity;
	}
	v->list[v->count++] = (struct delimited_value){ .at = start,
		.bytes = v->text.used - start,
		.is_quoted = is_quoted };
	return true;
}

/* Room for the whole line was asked for before. */
static void
put(struct delimited_values *v, const char *bytes, size_t count)
{
	memcpy(v->text.bytes + v->text.used, bytes, count);
	v->text.used += count;
}

static const char *
split_unquoted(struct delimited_values *v, const struct line_cursor *line,
    const char *delimiter, size_t delimiter_bytes)
{
	const char *p = line->text, *end = p + line->bytes, *stop;

	do {
		size_t start = v->text.used;

		stop = memmem(p, (size_t)(end - p), delimiter, delimiter_bytes);
		put(v, p, (size_t)((stop == NULL ? end : stop) - p));
		if (!end_value(v, start, false))
			return NULL;
		p = stop == NULL ? end : stop + delimiter_bytes;
	} while (stop != NULL);
	return NULL;
}

/* opencsv 2.3's state; names as there. */
struct opencsv {
	struct delimited_values *v;
	const char *line, *end;
	char separator;
	size_t start; /* of the value */
	bool in_quotes, in_field;
};

/* Java's Character.isWhitespace, of UTF-8. Returns its length or 0. */
static size_t
space_bytes(const char *text, size_t left)
{
	const unsigned char *p = (const unsigned char *)text;
	unsigned c;

	if (p[0] < 0x80)
		return p[0] == ' ' || (p[0] >= '\t' && p[0] <= '\r') ||
		    (p[0] >= 0x1c && p[0] <= 0x1f);
	if (left < 3 || p[0] < 0xe1 || p[0] > 0xe3)
		return 0;
	c = (p[0] & 15u) << 12 | (p[1] & 63u) << 6 | (p[2] & 63u);
	if (c == 0x1680 || (c >= 0x2000 && c <= 0x200a && c != 0x2007) ||
	    c == 0x2028 || c == 0x2029 || c == 0x205f || c == 0x3000)
		return 3;
	return 0;
}

static bool
is_all_space(const char *p, size_t bytes)
{
	while (bytes > 0) {
		size_t n = space_bytes(p, bytes);

		if (n == 0)
			return false;
		p += n;
		bytes -= n;
	}
	return true;
}

/* Whether more than two UTF-16 units stand before p: in the first three
 * opencsv takes no quote for one inside a field. */
static bool
is_behind_third(const struct opencsv *o, const char *p)
{
	unsigned units = 0;

	if (p - o->line > 8)
		return true;
	for (const char *q = o->line; q < p; q++) {
		unsigned char c = (unsigned char)*q;

		units += (c & 0xc0) == 0x80 ? 0 : c >= 0xf0 ? 2 : 1;
	}
	return units > 2;
}

/* A quote that is not one of two: it stays when it is inside a field. */
static void
opencsv_quote(struct opencsv *o, const char *p)
{
	struct buf *text = &o->v->text;

	if (is_behind_third(o, p) && p[-1] != o->separator && p + 1 < o->end &&
	    p[1] != o->separator) {
		if (text->used > o->start &&
		    is_all_space(text->bytes + o->start, text->used - o->start))
			text->used = o->start;
		else
			put(o->v, p, 1);
	}
	o->in_quotes = !o->in_quotes;
}

static const char *
split_opencsv(
    struct delimited_values *v, const struct line_cursor *line, char separator)
{
	struct opencsv o = { .v = v,
		.line = line->text,
		.end = line->text + line->bytes,
		.separator = separator,
		.start = v->text.used };

	for (const char *p = o.line; p < o.end; p++) {
		bool inside = o.in_quotes || o.in_field;
		bool has_next = p + 1 < o.end;

		if (*p == '\\') {
			if (inside && has_next && (p[1] == '"' || p[1] == '\\'))
				put(v, ++p, 1);
		} else if (*p == '"') {
			if (inside && has_next && p[1] == '"')
				put(v, ++p, 1);
			else
				opencsv_quote(&o, p);
			o.in_field = !o.in_field;
		} else if (*p == separator && !o.in_quotes) {
			if (!end_value(v, o.start, false))
				return NULL;
			o.start = v->text.used;
			o.in_field = false;
		} else {
			put(v, p, 1);
			o.in_field = true;
		}
	}
	if (o.in_quotes)
		return "a quoted value is not closed on its line";
	(void)end_value(v, o.start, false);
	return NULL;
}

static const char *
find(const char *p, const char *end, char c)
{
	return p < end ? memchr(p, c, (size_t)(end - p)) : NULL;
}

/* Whether a quote was found, and not as the line's last byte. */
static bool
has_more(const char *quote, const char *end)
{
	return quote != NULL && quote < end - 1;
}

/* The end of the quoted field at p, as opencsv 4.6 finds it. */
static const char *
rfc4180_field_end(const char *p, const char *end, char separator)
{
	const char *quote = find(p + 1, end, '"');
	bool in_quote = false;

	while (has_more(quote, end)) {
		if (!in_quote && quote[1] == separator)
			return quote + 1;
		do {
			quote = find(quote + 1, end, '"');
			in_quote = !in_quote;
		} while (has_more(quote, end) && quote[1] == '"');
	}
	return end;
}

/* A raw element: its quotes go, doubled ones become one. */
static bool
put_element(struct delimited_values *v, const char *p, const char *end)
{
	size_t start = v->text.used;
	bool is_quoted = p < end;
	const char *quote = find(p, end, '"');

	/* a single quote is text */
	if (quote == p && find(p + 1, end, '"') != NULL) {
		p++;
		if (end[-1] == '"')
			end--;
	}
	while ((quote = find(p, end, '"')) != NULL) {
		bool is_pair = quote + 1 < end && quote[1] == '"';

		put(v, p, (size_t)(quote + 1 - p));
		p = quote + 1 + is_pair;
	}
	put(v, p, (size_t)(end - p));
	return end_value(v, start, is_quoted);
}

static const char *
split_rfc4180(
    struct delimited_values *v, const struct line_cursor *line, char separator)
{
	const char *p = line->text, *end = p + line->bytes;

	while (p < end) {
		const char *stop = find(p, end, separator);

		if (stop != NULL && *p == '"')
			stop = rfc4180_field_end(p, end, separator);
		if (stop == NULL)
			stop = end;
		if (!put_element(v, p, stop))
			return NULL;
		p = stop + 1;
	}
	if (line->bytes == 0 || end[-1] == separator)
		(void)put_element(v, end, end);
	return NULL;
}

const char *
delimited_values_split(struct delimited_values *v,
    enum delimited_dialect dialect, struct line_cursor *line,
    const char *delimiter, size_t delimiter_bytes)
{
	const char *error = NULL;

	v->count = 0;
	v->is_out_of_memory = false;
	buf_reset(&v->text);
	if (buf_room(&v->text, line->bytes + JSON_SCAN_PADDING) == NULL) {
		v->is_out_of_memory = true;
		return NULL;
	}
	switch (dialect) {
	case DELIMITED_UNQUOTED:
		error = split_unquoted(v, line, delimiter, delimiter_bytes);
		break;
	case DELIMITED_OPENCSV:
		error = split_opencsv(v, line, *delimiter);
		break;
	case DELIMITED_RFC4180:
		error = split_rfc4180(v, line, *delimiter);
		break;
	}
	memset(v->text.bytes + v->text.used, 0, JSON_SCAN_PADDING);
	return error;
}
