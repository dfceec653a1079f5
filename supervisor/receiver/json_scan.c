/*
 * json_scan - one pass over a request's JSON: its events, their fields
 *
 * Process: receiver. Pure.
 *
 * Only strings are worth vector instructions: between them lie single bytes.
 * So the pass walks from token to token, and the bytes of a string are looked
 * at 16 or more at a time for what ends or spoils it.
 *
 * Reads may go past the end into the padding, by less than its length: bytes
 * are tested first and their place afterwards, once a member. Loops test it
 * every time round. An error found at or behind the end is the end itself.
 */
#include "json_scan.h"

#include <stdlib.h>
#include <string.h>

#include "panic.h"

#include "json_string.h"

#define FIELDS_FIRST 64 /* room for fields at the first event */

/* Where in the body's grammar the next event is looked for. */
enum { AT_START, IN_SEQUENCE, IN_ARRAY, AT_END, FAILED };

struct reader {
	const char *body, *end;
	const struct json_string_ops *ops;
	bool has_sse2;
	const char *error, *error_at;
};

/* The objects and arrays that are open inside a member's value. */
struct nest {
	uint64_t is_object[JSON_SCAN_DEPTH_MAX / 64];
	unsigned depth; /* 0: the event itself */
	bool is_at_value; /* false: behind one, an empty object or array */
};

/* NULL, for the caller to return. */
static const char *
fail(struct reader *r, const char *at, const char *sentence)
{
	r->error_at = at < r->end ? at : r->end;
	r->error = at < r->end ? sentence : "the body ends too early";
	return NULL;
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static const char *
skip_more_space(const struct reader *r, const char *p)
{
	while (p < r->end && is_space(*p))
		p++;
	return p;
}

static inline const char *
skip_space(const struct reader *r, const char *p)
{
	return LIKELY((unsigned char)*p > ' ') ? p : skip_more_space(r, p);
}

/* The value of a hexadecimal digit, or 16. */
static unsigned
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	c = (char)(c | ('a' ^ 'A'));
	return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
}

/* From a backslash to behind its escape sequence. */
static const char *
scan_escape(struct reader *r, const char *p)
{
	switch (p[1]) {
	case '"':
	case '\\':
	case '/':
	case 'b':
	case 'f':
	case 'n':
	case 'r':
	case 't': return p + 2;
	case 'u': break;
	default: return fail(r, p + 1, "no such escape sequence");
	}
	for (unsigned i = 2; i < 6; i++)
		if (hex_value(p[i]) > 15)
			return fail(
			    r, p + i, "expected four hexadecimal digits");
	return p + 6;
}

/* A string from the start of a character in it to its closing quote. */
static const char *
scan_string_rest(struct reader *r, const char *p, bool *escaped)
{
	for (;;) {
		bool high = false;
		const char *stop = r->ops->find_stop(p, r->end, &high);

		if (high && !r->ops->utf8_valid(p, stop))
			return fail(r, json_string_utf8_error(p, stop),
			    "this is not UTF-8");
		if (stop >= r->end)
			return fail(r, r->end, "");
		if (*stop == '"')
			return stop;
		if (*stop != '\\')
			return fail(r, stop,
			    "a control character in a string must be escaped");
		*escaped = true;
		p = scan_escape(r, stop);
		if (p == NULL)
			return NULL;
	}
}

static const char *
string_too_long(struct reader *r, const char *p, size_t max)
{
	return fail(r, p,
	    max == JSON_SCAN_NAME_MAX ? JSON_SCAN_NAME_TOO_LONG
				      : JSON_SCAN_STRING_TOO_LONG);
}

/* From behind a string's opening quote to its closing one, over `max` bytes at
 * most. */
static inline const char *
scan_string(struct reader *r, const char *p, bool *escaped, size_t max)
{
	const char *start = p, *end;

	*escaped = false;
#ifdef __SSE2__
	if (LIKELY(r->has_sse2)) {
		__m128i v = json_string_load16(p);
		uint32_t stops = json_string_stops16(v);
		uint32_t high = json_string_high16(v);

		if (LIKELY(stops != 0)) {
			const char *stop = p + __builtin_ctz(stops);
			uint32_t before = (stops - 1) & ~stops;

			if (LIKELY(*stop == '"' && (high & before) == 0))
				return stop;
		} else if (LIKELY(high == 0)) {
			p += sizeof(v);
		}
	}
#endif
	end = scan_string_rest(r, p, escaped);
	if (end != NULL && UNLIKELY((size_t)(end - start) > max))
		return string_too_long(r, start, max);
	return end;
}

/* Behind the digits at p, of which there must be one. */
static inline const char *
scan_digits(struct reader *r, const char *p)
{
	const char *start = p;

	while (p < r->end && *p >= '0' && *p <= '9')
		p++;
	return LIKELY(p > start) ? p : fail(r, p, "expected a digit");
}

static inline const char *
scan_number(struct reader *r, const char *p)
{
	const char *start;

	if (*p == '-')
		p++;
	start = p;
	p = *p == '0' ? p + 1 : scan_digits(r, p);
	if (p != NULL && *p == '.')
		p = scan_digits(r, p + 1);
	if (p != NULL && (*p == 'e' || *p == 'E')) {
		p++;
		if (*p == '+' || *p == '-')
			p++;
		p = scan_digits(r, p);
	}
	if (p != NULL && UNLIKELY(p - start > JSON_SCAN_NUMBER_MAX))
		return fail(r, start, JSON_SCAN_NUMBER_TOO_LONG);
	return p;
}

static inline const char *
scan_literal(struct reader *r, const char *p, struct json_field *f)
{
	if (memcmp(p, "null", 4) == 0) {
		f->type = SCAN_NULL;
		return p + 4;
	}
	if (memcmp(p, "true", 4) == 0) {
		f->type = SCAN_TRUE;
		return p + 4;
	}
	if (memcmp(p, "false", 5) == 0) {
		f->type = SCAN_FALSE;
		return p + 5;
	}
	return fail(r, p, "expected a value");
}

/* A value that is no object or array, from its first byte to behind it. */
static inline const char *
scan_scalar(struct reader *r, const char *p, struct json_field *f)
{
	const char *end;

	if (*p == '"') {
		f->type = SCAN_STRING;
		end = scan_string(
		    r, ++p, &f->value_escaped, JSON_SCAN_STRING_MAX);
	} else {
		f->value_escaped = false;
		if (*p >= 'a') {
			end = scan_literal(r, p, f);
		} else if (*p == '-' || (*p >= '0' && *p <= '9')) {
			f->type = SCAN_NUMBER;
			end = scan_number(r, p);
		} else {
			end = fail(r, p, "expected a value");
		}
	}
	if (UNLIKELY(end == NULL))
		return NULL;
	f->value = (uint32_t)(p - r->body);
	f->value_bytes = (uint32_t)(end - p);
	return f->type == SCAN_STRING ? end + 1 : end;
}

/* From a member's name to the first byte of its value. */
static inline const char *
scan_name(struct reader *r, const char *p, struct json_field *f)
{
	const char *end;

	if (UNLIKELY(*p != '"'))
		return fail(r, p, "expected a member's name");
	f->name = (uint32_t)(++p - r->body);
	end = scan_string(r, p, &f->name_escaped, JSON_SCAN_NAME_MAX);
	if (UNLIKELY(end == NULL))
		return NULL;
	f->name_bytes = (uint32_t)(end - p);
	p = skip_space(r, end + 1);
	if (UNLIKELY(*p != ':'))
		return fail(r, p, "expected ':' after a member's name");
	return skip_space(r, p + 1);
}

static bool
in_object(const struct nest *n)
{
	return n->is_object[n->depth / 64] >> n->depth % 64 & 1;
}

/* Opens the objects and arrays that start at p, up to the first byte of a
 * scalar value or behind an empty one of them. */
static const char *
open_nested(struct reader *r, struct nest *n, const char *p)
{
	struct json_field ignored;

	n->is_at_value = true;
	while (p < r->end && (*p == '{' || *p == '[')) {
		bool is_object = *p == '{';
		uint64_t bit;

		/* the event is one level, its value the next */
		if (++n->depth >= JSON_SCAN_DEPTH_MAX)
			return fail(r, p, "nested too deep");
		bit = UINT64_C(1) << n->depth % 64;
		if (is_object)
			n->is_object[n->depth / 64] |= bit;
		else
			n->is_object[n->depth / 64] &= ~bit;
		p = skip_space(r, p + 1);
		if (*p == (is_object ? '}' : ']')) {
			n->depth--;
			n->is_at_value = false;
			return p + 1;
		}
		if (is_object && (p = scan_name(r, p, &ignored)) == NULL)
			return NULL;
	}
	return p;
}

/* From behind a value to the first byte of the next one in its object or
 * array, or, when that was the outermost, to behind it. */
static const char *
next_nested(struct reader *r, struct nest *n, const char *p)
{
	struct json_field ignored;

	for (; n->depth > 0; n->depth--) {
		bool is_object = in_object(n);

		p = skip_space(r, p);
		if (p < r->end && *p == ',') {
			p = skip_space(r, p + 1);
			return is_object ? scan_name(r, p, &ignored) : p;
		}
		if (p >= r->end || *p != (is_object ? '}' : ']'))
			return fail(r, p,
			    is_object ? "expected ',' or '}'"
				      : "expected ',' or ']'");
		p++;
	}
	return p;
}

/* An object or array, from its bracket to behind it. */
static const char *
scan_nested(struct reader *r, const char *p, struct json_field *f)
{
	const char *start = p;
	struct json_field ignored;
	struct nest n = { .depth = 0 };

	f->type = *p == '{' ? SCAN_OBJECT : SCAN_ARRAY;
	f->value_escaped = false;
	do {
		p = open_nested(r, &n, p);
		if (p != NULL && n.is_at_value)
			p = scan_scalar(r, p, &ignored);
		if (p == NULL || (p = next_nested(r, &n, p)) == NULL)
			return NULL;
	} while (n.depth > 0);
	f->value = (uint32_t)(start - r->body);
	f->value_bytes = (uint32_t)(p - start);
	return p;
}

/* Room for a further field. NULL, or what is wrong. */
static const char *
add_room(struct json_scan *s)
{
	unsigned capacity =
	    s->field_capacity == 0 ? FIELDS_FIRST : s->field_capacity * 2;
	struct json_field *fields;

	if (s->field_capacity >= JSON_SCAN_FIELDS_MAX)
		return "too many members in one event";
	fields = realloc(s->fields, capacity * sizeof(*fields));
	if (fields == NULL) {
		s->is_out_of_memory = true;
		return "out of memory";
	}
	s->fields = fields;
	s->field_capacity = capacity;
	return NULL;
}

static bool
grow_fields(struct json_scan *s, struct reader *r, const char *at)
{
	const char *why = add_room(s);

	if (why != NULL)
		(void)fail(r, at, why);
	return why == NULL;
}

/* The event at p, from { to behind }; its members become s->fields. */
static const char *
scan_event(struct json_scan *s, struct reader *r, const char *p)
{
	unsigned count = 0;

	p = skip_space(r, p + 1);
	if (p < r->end && *p == '}') {
		s->field_count = 0;
		return p + 1;
	}
	for (;;) {
		struct json_field *f;

		if (UNLIKELY(count == s->field_capacity) &&
		    !grow_fields(s, r, p))
			return NULL;
		f = &s->fields[count++];
		p = scan_name(r, p, f);
		if (UNLIKELY(p == NULL))
			return NULL;
		p = LIKELY(*p != '{' && *p != '[') ? scan_scalar(r, p, f)
						   : scan_nested(r, p, f);
		if (UNLIKELY(p == NULL))
			return NULL;
		p = skip_space(r, p);
		/* the one test for everything since the last comma */
		if (UNLIKELY(p >= r->end))
			return fail(r, p, "");
		if (*p == '}')
			break;
		if (UNLIKELY(*p != ','))
			return fail(r, p, "expected ',' or '}'");
		p = skip_space(r, p + 1);
	}
	s->field_count = count;
	return p + 1;
}

/* The end of the body's array: nothing but white space may follow. NULL
 * without an error is the proper end. */
static const char *
end_array(struct reader *r, const char *p)
{
	p = skip_more_space(r, p);
	return p < r->end ? fail(r, p, "text after the array of events") : NULL;
}

static bool
has_mark(const struct json_scan *s)
{
	return s->bytes >= 3 && memcmp(s->body, "\xef\xbb\xbf", 3) == 0;
}

/* From where the last event ended to the { of the next. NULL without an error
 * when there is none. */
static const char *
to_event(struct json_scan *s, struct reader *r, const char *p)
{
	bool is_first = s->state == AT_START;
	bool is_marked = is_first && has_mark(s);

	p = skip_more_space(r, is_marked ? p + 3 : p);
	if (p == r->end)
		return s->state == IN_ARRAY || is_marked ? fail(r, p, "")
							 : NULL;
	if (is_first) {
		s->state = *p == '[' ? IN_ARRAY : IN_SEQUENCE;
		if (s->state == IN_ARRAY) {
			p = skip_more_space(r, p + 1);
			if (p < r->end && *p == ']')
				return end_array(r, p + 1);
		}
	} else if (s->state == IN_ARRAY) {
		if (*p == ']')
			return end_array(r, p + 1);
		if (*p != ',')
			return fail(r, p, "expected ',' or ']' after an event");
		p = skip_more_space(r, p + 1);
	}
	if (p == r->end || *p != '{')
		return fail(r, p, "event is not an object");
	return p;
}

enum json_scan_result
json_scan_next(struct json_scan *s)
{
	struct reader r = { .body = s->body,
		.end = s->body + s->bytes,
		.ops = json_string_ops(s->cpu),
		.has_sse2 = s->cpu != JSON_SCAN_PLAIN };
	const char *start, *p = NULL;

	if (s->state == AT_END)
		return JSON_SCAN_END;
	if (s->state == FAILED)
		return JSON_SCAN_MALFORMED;
	start = to_event(s, &r, s->body + s->at);
	if (start == NULL && r.error == NULL) {
		s->state = AT_END;
		return JSON_SCAN_END;
	}
	s->event_index++;
	if (start != NULL)
		p = scan_event(s, &r, start);
	if (p == NULL) {
		s->state = FAILED;
		s->error = r.error;
		s->error_offset = (uint32_t)(r.error_at - r.body);
		return JSON_SCAN_MALFORMED;
	}
	s->event = (uint32_t)(start - s->body);
	s->event_bytes = (uint32_t)(p - start);
	s->at = s->event + s->event_bytes;
	return JSON_SCAN_EVENT;
}

void
json_scan_init(struct json_scan *s, const char *body, size_t bytes)
{
	*s = (struct json_scan){ .cpu = (uint8_t)json_string_best_cpu() };
	json_scan_reset(s, body, bytes);
}

void
json_scan_reset(struct json_scan *s, const char *body, size_t bytes)
{
	must(bytes <= UINT32_MAX - JSON_SCAN_PADDING);
	*s = (struct json_scan){ .body = body,
		.bytes = (uint32_t)bytes,
		.fields = s->fields,
		.field_capacity = s->field_capacity,
		.cpu = s->cpu,
		.state = AT_START,
		.event_index = UINT32_MAX };
}

void
json_scan_fini(struct json_scan *s)
{
	free(s->fields);
	*s = (struct json_scan){ .state = AT_END };
}

bool
json_scan_use(struct json_scan *s, enum json_scan_cpu cpu)
{
	if ((unsigned)cpu > (unsigned)json_string_best_cpu())
		return false;
	s->cpu = (uint8_t)cpu;
	return true;
}

/* The four digits behind \u. */
static unsigned
code_unit(const char *digits)
{
	unsigned unit = 0;

	for (unsigned i = 0; i < 4; i++)
		unit = unit << 4 | hex_value(digits[i]);
	return unit;
}

static unsigned
put_utf8(char *out, unsigned c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

/* What the escape sequence at p stands for; *p moves behind it. The sequence
 * was checked when it was scanned. */
static unsigned
escaped_character(const char **p, const char *end)
{
	static const char letters[] = "bfnrt", meaning[] = "\b\f\n\r\t";
	const char *at = *p, *letter;
	unsigned unit, low;

	must(end - at >= 2);
	if (at[1] != 'u') {
		*p += 2;
		letter = strchr(letters, at[1]);
		return (
		    unsigned char)(letter ? meaning[letter - letters] : at[1]);
	}
	must(end - at >= 6);
	*p += 6;
	unit = code_unit(at + 2);
	if (unit < 0xd800 || unit > 0xdfff)
		return unit;
	if (unit > 0xdbff || end - *p < 6 || at[6] != '\\' || at[7] != 'u')
		return 0xfffd;
	low = code_unit(at + 8);
	if (low < 0xdc00 || low > 0xdfff)
		return 0xfffd;
	*p += 6;
	return 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
}

const uint8_t json_scan_types[256] = {
	['-'] = SCAN_NUMBER,
	['0' ... '9'] = SCAN_NUMBER,
	['"'] = SCAN_STRING,
	['{'] = SCAN_OBJECT,
	['['] = SCAN_ARRAY,
	['t'] = SCAN_TRUE,
	['f'] = SCAN_FALSE,
	['n'] = SCAN_NULL,
};

struct json_field *
json_scan_note_more(struct json_scan *s)
{
	return add_room(s) == NULL ? &s->fields[s->field_count++] : NULL;
}

bool
json_scan_hand_on(
    struct json_sink *sink, const char *text, size_t event, size_t bytes)
{
	struct json_scan *s = sink->scan;
	bool is_wanted;

	s->body = text;
	s->event = (uint32_t)event;
	s->event_bytes = (uint32_t)bytes;
	s->event_index++;
	is_wanted = sink->take(sink->context);
	s->field_count = 0;
	return is_wanted;
}

size_t
json_unescape(const char *raw, size_t bytes, char *out)
{
	const char *end = raw + bytes;
	char *start = out;

	while (raw < end) {
		if (*raw == '\\')
			out += put_utf8(out, escaped_character(&raw, end));
		else
			*out++ = *raw++;
	}
	return (size_t)(out - start);
}

bool
json_name_is(const struct json_scan *s, const struct json_field *f,
    const char *name, size_t name_bytes)
{
	const char *raw = s->body + f->name, *end = raw + f->name_bytes;
	const char *name_end = name + name_bytes;

	if (LIKELY(!f->name_escaped))
		return f->name_bytes == name_bytes &&
		    memcmp(raw, name, name_bytes) == 0;
	while (raw < end) {
		char bytes[4];
		unsigned n = 1;

		if (*raw == '\\')
			n = put_utf8(bytes, escaped_character(&raw, end));
		else
			bytes[0] = *raw++;
		if ((size_t)(name_end - name) < n ||
		    memcmp(name, bytes, n) != 0)
			return false;
		name += n;
	}
	return name == name_end;
}
