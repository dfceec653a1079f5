/*
 * delimited - csv and tsv: each line becomes a JSON object of strings
 *
 * Process: receiver. Pure.
 *
 * Bytes are copied to the output 16 at a time and looked at on the way for
 * what ends a value or cannot stand in a JSON string. A line that a glance
 * does not explain (a quote inside a value, a backslash in csv) is started
 * again and read by delimited_quotes, slower and to the letter.
 */
#include "delimited.h"

#include <stdio.h>
#include <stdlib.h>

#include "json_string.h"
#include "panic.h"

#define CHUNK 16 /* bytes looked at in one step */
/* What a column's text is padded to, so that it is copied in fixed steps. */
#define COLUMN_STEP 32
/* Of lines read slowly, kept from one body to the next. */
#define VALUES_TEXT_KEPT (1u * MiB)

/* ,"name":" */
struct column {
	uint32_t at, bytes; /* in the columns' text, padded */
	bool is_escaped;
};

struct columns {
	struct column *list;
	unsigned count, capacity;
	struct buf text;
};

struct delimited {
	struct delimited_spec spec;
	size_t delimiter_bytes, list_bytes;
	/* a delimiter may begin inside a list delimiter, and counts then */
	bool may_overlap;
	struct columns columns;
	struct delimited_values values;
};

/* How far a value reaches, and which bytes in it are more than text. */
enum place {
	IN_LINE, /* up to a delimiter or line end */
	IN_QUOTES, /* up to a quote; delimiters are text */
	IN_VALUE, /* up to its end: everything is text */
};

struct reader {
	struct delimited *d;
	struct line_out *out;
	const char *end; /* of the body */
	const char *line; /* its first byte */
	uint64_t line_number;
	struct line_error *error;
	enum line_result result;
};

/* A value while it is written. Offsets are into the output. */
struct value {
	size_t start; /* of its column's text, to go back to */
	size_t text; /* behind the opening quote */
	size_t element; /* the same of a list's current element */
	bool is_list;
	bool is_escaped; /* something in it is */
};

static void
free_columns(struct columns *c)
{
	free(c->list);
	buf_free(&c->text);
	*c = (struct columns){ .count = 0 };
}

static bool
add_column(struct columns *c, const char *name, size_t bytes)
{
	struct line_out out;
	size_t start = c->text.used;

	if (c->count == c->capacity) {
		unsigned capacity = c->capacity == 0 ? 16 : c->capacity * 2;
		struct column *list = realloc(c->list, capacity * sizeof *list);

		if (list == NULL)
			return false;
		c->list = list;
		c->capacity = capacity;
	}
	line_out_init(&out, &c->text);
	if (!line_out_add(&out, ",\"", 2) ||
	    !line_out_text(&out, name, bytes) ||
	    !line_out_add(&out, "\":\"", 3) ||
	    !line_out_room(&out, COLUMN_STEP))
		return false;
	c->list[c->count++] = (struct column){ .at = (uint32_t)start,
		.bytes = (uint32_t)(line_out_used(&out) - start),
		.is_escaped = line_out_used(&out) - start - 5 > bytes };
	memset(out.at, 0, COLUMN_STEP);
	c->text.used = line_out_used(&out) + COLUMN_STEP;
	return true;
}

static bool
add_generated_column(struct columns *c)
{
	char name[32];

	snprintf(name, sizeof name, "column_%u", c->count + 1);
	return add_column(c, name, strlen(name));
}

static bool
is_same_column(const struct columns *c, unsigned a, unsigned b)
{
	const struct column *p = &c->list[a], *q = &c->list[b];

	return p->bytes == q->bytes &&
	    memcmp(c->text.bytes + p->at, c->text.bytes + q->at, p->bytes) == 0;
}

/* NULL: out of memory. */
static char *
copy_text(const char *text)
{
	return text == NULL ? NULL : strdup(text);
}

struct delimited *
delimited_new(const struct delimited_spec *spec)
{
	struct delimited *d = calloc(1, sizeof *d);
	bool is_whole = true;

	if (d == NULL)
		return NULL;
	d->spec = *spec;
	d->spec.columns = NULL;
	d->spec.delimiter = copy_text(spec->delimiter);
	d->spec.list_delimiter = copy_text(spec->list_delimiter);
	buf_init(&d->columns.text, UINT32_MAX / 2);
	delimited_values_init(&d->values);
	for (unsigned i = 0; i < spec->column_count && is_whole; i++)
		is_whole = *spec->columns[i] == '\0'
		    ? add_generated_column(&d->columns)
		    : add_column(&d->columns, spec->columns[i],
			  strlen(spec->columns[i]));
	if (!is_whole || d->spec.delimiter == NULL ||
	    d->spec.list_delimiter == NULL) {
		delimited_free(&d);
		return NULL;
	}
	d->delimiter_bytes = strlen(d->spec.delimiter);
	d->list_bytes = strlen(d->spec.list_delimiter);
	must(d->delimiter_bytes > 0 && d->list_bytes > 0);
	d->may_overlap =
	    strchr(d->spec.list_delimiter, *d->spec.delimiter) != NULL;
	must(d->delimiter_bytes == 1 || d->spec.dialect == DELIMITED_UNQUOTED);
	return d;
}

void
delimited_free(struct delimited **delimited)
{
	struct delimited *d = *delimited;

	if (d == NULL)
		return;
	*delimited = NULL;
	free((void *)(uintptr_t)d->spec.delimiter);
	free((void *)(uintptr_t)d->spec.list_delimiter);
	free_columns(&d->columns);
	delimited_values_free(&d->values);
	free(d);
}

/* NULL, for the caller to return. */
static const char *
fail(struct reader *r, enum line_result result)
{
	r->result = result;
	return NULL;
}

static const char *
fail_room(struct reader *r)
{
	return fail(r, line_out_failure(r->out));
}

/* False. */
static bool
fail_line(struct reader *r, const char *why)
{
	r->result = line_error_set(r->error, r->line_number, "%s", why);
	return false;
}

static bool
is_line_end(char c)
{
	return c == '\n' || c == '\r';
}

/* Whether `text` stands at p, of whose bytes the first is known to. */
static inline bool
is_at(const char *p, const char *end, const char *text, size_t bytes)
{
	return bytes == 1 ||
	    ((size_t)(end - p) >= bytes && memcmp(p, text, bytes) == 0);
}

#ifdef __SSE2__

/* The bytes to look at besides what JSON strings cannot hold. */
struct stops {
	__m128i delimiter, list;
};

static inline struct stops
stops_of(char delimiter, char list)
{
	return (struct stops){ _mm_set1_epi8(delimiter), _mm_set1_epi8(list) };
}

/* Copies up to the first byte that needs a look, which is returned, or `end`.
 * NULL: no room. May read and write CHUNK bytes further. */
static inline const char *
copy_plain(
    const char *p, const char *end, const struct stops *s, struct line_out *o)
{
	while (p < end) {
		__m128i v = json_string_load16(p);
		uint32_t found;

		if (!line_out_room(o, 2 * CHUNK))
			return NULL;
		_mm_storeu_si128((__m128i *)(void *)o->at, v);
		found = json_string_stops16(v) |
		    json_string_high16(
			_mm_or_si128(_mm_cmpeq_epi8(v, s->delimiter),
			    _mm_cmpeq_epi8(v, s->list)));
		if (LIKELY(found != 0)) {
			unsigned n = (unsigned)__builtin_ctz(found);

			p += n;
			o->at += n;
			break;
		}
		p += CHUNK;
		o->at += CHUNK;
	}
	if (UNLIKELY(p > end)) {
		o->at -= p - end;
		p = end;
	}
	return p;
}

#else

struct stops {
	char delimiter, list;
};

static inline struct stops
stops_of(char delimiter, char list)
{
	return (struct stops){ delimiter, list };
}

static inline const char *
copy_plain(
    const char *p, const char *end, const struct stops *s, struct line_out *o)
{
	while (p < end) {
		char c = *p;

		if ((unsigned char)c < ' ' || c == '"' || c == '\\' ||
		    c == s->delimiter || c == s->list)
			break;
		if (!line_out_room(o, 2 * CHUNK))
			return NULL;
		*o->at++ = c;
		p++;
	}
	return p;
}

#endif

/* Whether the text is a number by RFC 8259, not longer than they may be. */
static bool
is_number(const char *p, const char *end)
{
	const char *digits;

	if (p < end && *p == '-')
		p++;
	if (end - p > JSON_SCAN_NUMBER_MAX)
		return false;
	digits = p;
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	if (p == digits || (*digits == '0' && p > digits + 1))
		return false;
	if (p < end && *p == '.') {
		digits = ++p;
		while (p < end && *p >= '0' && *p <= '9')
			p++;
		if (p == digits)
			return false;
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		digits = p;
		while (p < end && *p >= '0' && *p <= '9')
			p++;
		if (p == digits)
			return false;
	}
	return p == end;
}

/* The text's closing quote, or what stands for the text in its place. The
 * caller has room. */
static inline void
end_text(const struct reader *r, size_t text, bool is_element)
{
	struct line_out *o = r->out;
	char *start = o->to->bytes + text;

	if (UNLIKELY(
		is_element && o->at == start && r->d->spec.null_in_lists)) {
		memcpy(start - 1, "null", 4);
		o->at += 3;
	} else if (UNLIKELY(r->d->spec.tries_numbers) &&
	    is_number(start, o->at)) {
		memmove(start - 1, start, (size_t)(o->at - start));
		o->at--;
	} else {
		*o->at++ = '"';
	}
}

/* At a list delimiter: the value is a list and a further element begins. */
static bool
next_element(const struct reader *r, struct value *v)
{
	struct line_out *o = r->out;

	if (!line_out_room(o, 16))
		return false;
	if (!v->is_list) {
		char *text = o->to->bytes + v->text - 1;

		memmove(text + 1, text, (size_t)(o->at - text));
		*text = '[';
		o->at++;
		v->element++;
		v->is_list = true;
	}
	end_text(r, v->element, true);
	memcpy(o->at, ",\"", 2);
	o->at += 2;
	v->element = line_out_used(o);
	return true;
}

/* Whether the byte at p ends the text of this place, or makes the line one
 * for delimited_quotes. */
static inline bool
is_structure(const struct reader *r, const char *p, enum place place)
{
	if (place == IN_VALUE)
		return false;
	switch (*p) {
	case '\n':
	case '\r': return true;
	case '"': return r->d->spec.dialect != DELIMITED_UNQUOTED;
	case '\\': return r->d->spec.dialect == DELIMITED_OPENCSV;
	default: return false;
	}
}

/* Whether the list delimiter at p is one, in this place. */
static bool
is_list_delimiter(
    const struct reader *r, const char *p, const char *end, enum place place)
{
	const struct delimited *d = r->d;
	const char *delimiter = d->spec.delimiter;

	if (!is_at(p, end, d->spec.list_delimiter, d->list_bytes))
		return false;
	if (LIKELY(!d->may_overlap) || place != IN_LINE)
		return true;
	for (size_t i = 1; i < d->list_bytes; i++)
		if (p[i] == *delimiter &&
		    is_at(p + i, end, delimiter, d->delimiter_bytes))
			return false;
	return true;
}

/* Copies text from p to where its place ends; that place, or `end`. NULL: no
 * room. */
static inline const char *
copy_value(struct reader *r, const char *p, const char *end, enum place place,
    struct value *v)
{
	const struct delimited *d = r->d;
	const char *delimiter = d->spec.delimiter;
	const char *list = d->spec.list_delimiter;
	char stop = place == IN_LINE ? *delimiter : '"';
	struct stops stops = stops_of(stop, *list);
	struct line_out *o = r->out;

	while ((p = copy_plain(p, end, &stops, o)) != NULL && p < end) {
		if (place == IN_LINE && *p == *delimiter &&
		    is_at(p, end, delimiter, d->delimiter_bytes))
			return p;
		if (is_structure(r, p, place))
			return p;
		if (*p == *list && is_list_delimiter(r, p, end, place)) {
			p += d->list_bytes;
			if (!next_element(r, v))
				return NULL;
			continue;
		}
		if (!line_out_room(o, 6))
			return NULL;
		if ((unsigned char)*p < ' ' || *p == '"' || *p == '\\') {
			line_out_escape(o, (unsigned char)*p++);
			v->is_escaped = true;
		} else {
			*o->at++ = *p++;
		}
	}
	return p;
}

/* Writes the column's name, up to the value's opening quote. Behind the last
 * column a value is written too, and taken back. */
static inline bool
begin_value(const struct reader *r, unsigned column, struct value *v)
{
	static const char nameless[COLUMN_STEP] = ",\"\":\"";
	const struct columns *c = &r->d->columns;
	struct line_out *o = r->out;
	const char *text = nameless;
	size_t bytes = 5;

	if (LIKELY(column < c->count)) {
		text = c->text.bytes + c->list[column].at;
		bytes = c->list[column].bytes;
	}
	if (!line_out_room(o, bytes + COLUMN_STEP))
		return false;
	v->start = line_out_used(o);
	memcpy(o->at, text, COLUMN_STEP);
	if (UNLIKELY(bytes > COLUMN_STEP))
		memcpy(o->at + COLUMN_STEP, text + COLUMN_STEP,
		    bytes - COLUMN_STEP);
	o->at += bytes;
	v->text = v->element = line_out_used(o);
	v->is_list = v->is_escaped = false;
	return true;
}

/* The value that is written, for who looks for members. */
static bool
note_value(const struct reader *r, unsigned column, const struct value *v)
{
	const struct column *c = &r->d->columns.list[column];
	struct line_out *o = r->out;
	struct json_field *f = json_scan_note(o->sink->scan);
	size_t end = line_out_used(o);

	if (f == NULL)
		return false;
	*f = (struct json_field){ .name = (uint32_t)v->start + 2,
		.name_bytes = c->bytes - 5,
		.name_escaped = c->is_escaped,
		.value = (uint32_t)v->text,
		.value_bytes = (uint32_t)(end - v->text - 1),
		.type = SCAN_STRING,
		.value_escaped = v->is_escaped };
	if (v->is_list || o->to->bytes[v->text - 1] != '"') {
		f->type = v->is_list ? SCAN_ARRAY : SCAN_NUMBER;
		f->value--;
		f->value_bytes = (uint32_t)end - f->value;
		f->value_escaped = false;
	}
	return true;
}

static inline bool
end_value(
    const struct reader *r, unsigned column, struct value *v, bool keeps_empty)
{
	struct line_out *o = r->out;
	bool is_empty = !v->is_list && line_out_used(o) == v->text;

	if (UNLIKELY(column >= r->d->columns.count) ||
	    (is_empty && !keeps_empty)) {
		o->at = o->to->bytes + v->start;
		return true;
	}
	if (!line_out_room(o, 8))
		return false;
	end_text(r, v->element, v->is_list);
	if (v->is_list)
		*o->at++ = ']';
	return o->sink == NULL || LIKELY(note_value(r, column, v));
}

/* The values begin each with a comma; the first comma becomes the brace. */
static bool
end_object(struct reader *r, size_t start)
{
	struct line_out *o = r->out;

	if (UNLIKELY(line_out_used(o) - start > JSON_SCAN_STRING_MAX) &&
	    line_out_has_long(o, start))
		return fail_line(r, JSON_SCAN_STRING_TOO_LONG);
	if (!line_out_room(o, 3 + JSON_SCAN_PADDING)) {
		r->result = line_out_failure(o);
		return false;
	}
	if (line_out_used(o) == start)
		o->at++;
	o->to->bytes[start] = '{';
	memcpy(o->at, "}\n", 2);
	o->at += 2;
	if (o->sink == NULL ||
	    json_scan_hand_on(
		o->sink, o->to->bytes, start, line_out_used(o) - start - 1))
		return true;
	r->result = LINE_STOPPED;
	return false;
}

static bool
split(struct reader *r, struct line_cursor *line)
{
	struct delimited *d = r->d;
	const char *why = delimited_values_split(&d->values, d->spec.dialect,
	    line, d->spec.delimiter, d->delimiter_bytes);

	if (d->values.is_out_of_memory)
		return fail(r, LINE_NO_MEMORY) != NULL;
	return why == NULL || fail_line(r, why);
}

/* The line from its start, by the letter. Returns its end. */
static const char *
read_slowly(struct reader *r, size_t start)
{
	struct delimited_values *values = &r->d->values;
	struct line_cursor line = { .text = r->line };
	const char *end = line_find_end(r->line, r->end);

	line.bytes = (size_t)(end - r->line);
	r->out->at = r->out->to->bytes + start;
	if (r->out->sink != NULL)
		json_scan_forget(r->out->sink->scan);
	if (!split(r, &line))
		return NULL;
	for (unsigned i = 0; i < values->count; i++) {
		const struct delimited_value *from = &values->list[i];
		const char *text = values->text.bytes + from->at;
		struct value v;

		if (i >= r->d->columns.count)
			break;
		if (!begin_value(r, i, &v) ||
		    copy_value(r, text, text + from->bytes, IN_VALUE, &v) ==
			NULL ||
		    !end_value(r, i, &v, from->is_quoted))
			return fail_room(r);
	}
	return end;
}

/* A value from its opening quote to its end. *is_plain: false when the line
 * must be read slowly. */
static inline const char *
read_quoted(struct reader *r, const char *p, struct value *v, bool *is_plain)
{
	p++;
	for (;;) {
		p = copy_value(r, p, r->end, IN_QUOTES, v);
		if (UNLIKELY(p == NULL))
			return NULL;
		if (p == r->end || *p != '"') {
			*is_plain = false;
			return p;
		}
		if (p + 1 == r->end || p[1] != '"')
			break;
		if (!line_out_room(r->out, 6))
			return NULL;
		line_out_escape(r->out, '"');
		v->is_escaped = true;
		p += 2;
	}
	p++;
	*is_plain =
	    p == r->end || is_line_end(*p) || *p == *r->d->spec.delimiter;
	return p;
}

/* A line that is not blank; returns its end. */
static inline const char *
read_line(struct reader *r)
{
	const struct delimited_spec *spec = &r->d->spec;
	bool has_quotes = spec->dialect != DELIMITED_UNQUOTED;
	size_t start = line_out_used(r->out);
	const char *p = r->line;

	for (unsigned column = 0;; column++) {
		bool is_plain = true, keeps_empty = false;
		struct value v;

		if (UNLIKELY(!begin_value(r, column, &v)))
			return fail_room(r);
		if (has_quotes && p < r->end && *p == '"') {
			keeps_empty = spec->dialect == DELIMITED_RFC4180;
			p = read_quoted(r, p, &v, &is_plain);
		} else {
			p = copy_value(r, p, r->end, IN_LINE, &v);
			if (has_quotes && p != NULL && p < r->end)
				is_plain = *p != '"' && *p != '\\';
		}
		if (UNLIKELY(p == NULL))
			return fail_room(r);
		if (UNLIKELY(!is_plain)) {
			p = read_slowly(r, start);
			break;
		}
		if (UNLIKELY(!end_value(r, column, &v, keeps_empty)))
			return fail_room(r);
		if (p == r->end || is_line_end(*p))
			break;
		p += r->d->delimiter_bytes;
	}
	if (p == NULL)
		return NULL;
	return end_object(r, start) ? p : NULL;
}

/* Names from the header row. */
static bool
read_header(struct reader *r, struct line_cursor *line)
{
	struct delimited_values *values = &r->d->values;
	struct columns *c = &r->d->columns;

	c->count = 0;
	buf_reset(&c->text);
	if (!split(r, line))
		return false;
	for (unsigned i = 0; i < values->count; i++) {
		const struct delimited_value *from = &values->list[i];
		const char *name = values->text.bytes + from->at;

		if (i >= JSON_SCAN_FIELDS_MAX)
			return fail_line(r, "the header has too many columns");
		if (from->bytes == 0 ? !add_generated_column(c)
				     : !add_column(c, name, from->bytes)) {
			r->result = LINE_NO_MEMORY;
			return false;
		}
		if (c->list[i].bytes - 5 > JSON_SCAN_NAME_MAX)
			return fail_line(
			    r, "the header has " JSON_SCAN_NAME_TOO_LONG);
	}
	return true;
}

static int
compare_columns(const void *a, const void *b, void *context)
{
	const struct columns *c = context;
	const struct column *p = &c->list[*(const uint32_t *)a];
	const struct column *q = &c->list[*(const uint32_t *)b];
	int order = memcmp(c->text.bytes + p->at, c->text.bytes + q->at,
	    MIN_OF(p->bytes, q->bytes));

	return order != 0 ? order
			  : (p->bytes > q->bytes) - (p->bytes < q->bytes);
}

/* No two columns may have one name: the later would hide the other. */
static bool
check_header(struct reader *r)
{
	struct columns *c = &r->d->columns;
	uint32_t *sorted = malloc(MAX_OF(c->count, 1u) * sizeof *sorted);

	if (sorted == NULL) {
		r->result = LINE_NO_MEMORY;
		return false;
	}
	for (uint32_t i = 0; i < c->count; i++)
		sorted[i] = i;
	qsort_r(sorted, c->count, sizeof *sorted, compare_columns, c);
	for (unsigned i = 1; i < c->count && r->result == LINE_OK; i++)
		if (is_same_column(c, sorted[i - 1], sorted[i]))
			r->result = line_error_set(r->error, r->line_number,
			    "the header has the column %.*s twice",
			    (int)MIN_OF(c->list[sorted[i]].bytes - 3, 80u),
			    c->text.bytes + c->list[sorted[i]].at + 1);
	free(sorted);
	return r->result == LINE_OK;
}

/* To the first line of data; its number is returned, the cursor is on it.
 * 0: there is none. `header` is given the header's line. */
static uint64_t
skip_head(const struct delimited *d, struct line_cursor *c,
    struct line_cursor *header)
{
	bool needs_header = d->spec.has_header;

	while (line_cursor_next(c)) {
		if (c->line <= d->spec.skip_rows || c->bytes == 0)
			continue;
		if (!needs_header)
			return c->line;
		*header = *c;
		needs_header = false;
	}
	return 0;
}

static enum line_result
read_body(struct delimited *d, const char *body, const char *end,
    struct line_out *out, struct line_error *error)
{
	struct reader r = { .d = d, .out = out, .end = end, .error = error };
	struct line_cursor cursor, header = { .line = 0 };
	const char *p;

	line_cursor_init(&cursor, body, end);
	r.line_number = skip_head(d, &cursor, &header);
	p = r.line_number == 0 ? end : cursor.text;
	if (header.line != 0) {
		uint64_t first = r.line_number;

		r.line_number = header.line;
		if (!read_header(&r, &header) || !check_header(&r))
			return r.result;
		r.line_number = first;
	}
	for (; p < end; r.line_number++) {
		if (LIKELY(!is_line_end(*p))) {
			r.line = p;
			if ((p = read_line(&r)) == NULL)
				return r.result;
		}
		if (p < end)
			p = line_skip_end(p, end);
	}
	return LINE_OK;
}

enum line_result
delimited_read(struct delimited *d, const char *body, const char *end,
    struct line_out *out, struct line_error *error)
{
	enum line_result result = read_body(d, body, end, out, error);

	if (d->values.text.size > VALUES_TEXT_KEPT)
		delimited_values_free(&d->values);
	return result;
}

bool
delimited_next(const struct delimited *d, struct line_cursor *c)
{
	struct line_cursor header;

	if (c->line == 0)
		return skip_head(d, c, &header) != 0;
	while (line_cursor_next(c))
		if (c->bytes > 0)
			return true;
	return false;
}
