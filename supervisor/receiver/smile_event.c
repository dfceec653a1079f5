/*
 * smile_event - one event of a Smile body, as JSON
 *
 * Process: receiver. Pure but for the buffer's memory.
 *
 * One pass, no tree. Each value is written with a comma behind it, which the
 * end of its object or array takes back. What a back reference repeats is
 * copied from where the output already has it, with its quotes and escapes.
 *
 * A turn of the loop writes a member, name and value, or one bracket; room for
 * both in their usual sizes (TURN) is seen to once a turn. Only what can be
 * longer sees to more, and leaves a TURN behind it.
 */
#include "smile_event.h"

#include <string.h>

#include "base64.h"
#include "panic.h"

#include "smile_value.h"

#define TURN SMILE_EVENT_TURN
#define COPY 64 /* shared strings of up to so many bytes are copied at once */
#define SHORT_TEXT (2 + 65 * 6) /* a short string of nothing but \u00XX */

_Static_assert(2 * (SHORT_TEXT + 1) + COPY <= TURN, "a member fits");
_Static_assert(
    TURN + SMILE_VALUE_BIG_TEXT_MAX + JSON_SCAN_PADDING <= SMILE_SPARE,
    "what is not yet written is never refused for its length");
_Static_assert(SMILE_PADDING >= 64, "short strings are read in blocks of 16");

enum {
	STRING_END = 0xfc,

	NAME_EMPTY = 0x20,
	NAME_REF_LONG = 0x30,
	NAME_LONG = 0x34,
	NAME_REF = 0x40,
	NAME_ASCII = 0x80,
	NAME_UNICODE = 0xc0,

	VALUE_EMPTY = 0x20,
	VALUE_NULL = 0x21,
	VALUE_FALSE = 0x22,
	VALUE_TRUE = 0x23,
	VALUE_INT32 = 0x24,
	VALUE_INT64 = 0x25,
	VALUE_BIG_INTEGER = 0x26,
	VALUE_FLOAT = 0x28,
	VALUE_DOUBLE = 0x29,
	VALUE_BIG_DECIMAL = 0x2a,
	VALUE_ASCII = 0x40,
	VALUE_UNICODE = 0x80,
	VALUE_SMALL_INT = 0xc0,
	VALUE_LONG_ASCII = 0xe0,
	VALUE_LONG_UNICODE = 0xe4,
	VALUE_SAFE_BINARY = 0xe8,
	VALUE_REF_LONG = 0xec,
	VALUE_RAW_BINARY = 0xfd,

	REF_SHORT_VALUES = 31, /* that one byte can name */
	REF_SHORT_NAMES = 64
};

/* The objects and arrays that are open; the event itself is the first. */
struct nest {
	uint64_t is_object[JSON_SCAN_DEPTH_MAX / 64];
	unsigned depth;
};

/* False, for the caller to return. */
static bool
fail(struct smile_reader *r, const unsigned char *at, const char *sentence)
{
	r->result = SMILE_MALFORMED;
	at = at < r->end ? at : r->end;
	r->s->error_offset = (uint32_t)(at - r->body);
	r->s->error = at < r->end ? sentence : "the body ends too early";
	return false;
}

bool
smile_event_fail(
    struct smile_reader *r, const unsigned char *at, const char *sentence)
{
	return fail(r, at, sentence);
}

static bool
grow(struct smile_reader *r, size_t more)
{
	struct buf *b = r->out;

	b->used = (size_t)(r->o - b->bytes);
	if (buf_room(b, more) == NULL) {
		r->result =
		    more > b->max - b->used ? SMILE_TOO_LARGE : SMILE_NO_MEMORY;
		return false;
	}
	r->o = b->bytes + b->used;
	r->o_end = b->bytes + b->size;
	return true;
}

/* Room for `more` bytes. */
static inline bool
make_room(struct smile_reader *r, size_t more)
{
	return LIKELY((size_t)(r->o_end - r->o) >= more) || grow(r, more);
}

static inline uint32_t
place(const struct smile_reader *r)
{
	return (uint32_t)(r->o - r->out->bytes);
}

/* ---- strings ---- */

static void
put_escape(struct smile_reader *r, unsigned char c)
{
	static const char letters[] = "btn?fr", hex[] = "0123456789ABCDEF";

	r->is_escaped = true;
	*r->o++ = '\\';
	if (c == '"' || c == '\\') {
		*r->o++ = (char)c;
	} else if (c >= '\b' && c <= '\r' && c != '\v') {
		*r->o++ = letters[c - '\b'];
	} else {
		memcpy(r->o, "u00", 3);
		r->o[3] = hex[c >> 4];
		r->o[4] = hex[c & 15];
		r->o += 5;
	}
}

/* Whether what is before `stop`, which may hold high bytes, is in order. */
static bool
check_high(
    struct smile_reader *r, const char *p, const char *stop, bool is_ascii)
{
	const char *at = p;

	if (!is_ascii) {
		if (r->ops->utf8_valid(p, stop))
			return true;
		at = json_string_utf8_error(p, stop);
		return fail(r, (const unsigned char *)at, "this is not UTF-8");
	}
	while (at < stop && (unsigned char)*at < 0x80)
		at++;
	return at == stop ||
	    fail(r, (const unsigned char *)at,
		"not ASCII, though the string's token says so");
}

/* The characters [r->p, end) of a string of any length. */
static bool
put_characters(struct smile_reader *r, const unsigned char *end, bool is_ascii)
{
	const char *p = (const char *)r->p, *stop;

	for (;; p = stop + 1) {
		bool high = false;
		size_t plain;

		stop = r->ops->find_stop(p, (const char *)end, &high);
		if (high && !check_high(r, p, stop, is_ascii))
			return false;
		plain = (size_t)(stop - p);
		if (!make_room(r, plain + TURN))
			return false;
		memcpy(r->o, p, plain);
		r->o += plain;
		if (stop == (const char *)end)
			break;
		put_escape(r, (unsigned char)*stop);
	}
	r->p = end;
	return true;
}

/* The next `n` bytes, 65 at most, as a string with its quotes. */
static inline bool
put_short(struct smile_reader *r, size_t n, bool is_ascii)
{
	if (UNLIKELY((size_t)(r->end - r->p) < n))
		return fail(r, r->end, "");
	*r->o++ = '"';
#ifdef __SSE2__
	const char *p = (const char *)r->p;
	uint32_t stops = 0, high = 0;

	for (size_t i = 0; i < n; i += 16) {
		__m128i v = json_string_load16(p + i);
		uint32_t heed = n - i < 16 ? (1u << (n - i)) - 1 : 0xffff;

		stops |= json_string_stops16(v) & heed;
		high |= json_string_high16(v) & heed;
		memcpy(r->o + i, &v, sizeof v);
	}
	if (LIKELY(stops == 0 &&
		(high == 0 || (!is_ascii && r->ops->utf8_valid(p, p + n))))) {
		r->p += n;
		r->o += n;
		*r->o++ = '"';
		return true;
	}
#endif
	if (!put_characters(r, r->p + n, is_ascii))
		return false;
	*r->o++ = '"';
	return true;
}

/* From behind the token to behind its end marker; written, `max` bytes at most.
 */
static bool
put_long(struct smile_reader *r, bool is_ascii, size_t max)
{
	const unsigned char *start = r->p;
	const unsigned char *end =
	    memchr(start, STRING_END, (size_t)(r->end - start));
	uint32_t at;

	if (end == NULL)
		return fail(r, r->end, "");
	*r->o++ = '"';
	at = place(r);
	if (!put_characters(r, end, is_ascii))
		return false;
	if (UNLIKELY(place(r) - at > max))
		return fail(r, start,
		    max == JSON_SCAN_NAME_MAX ? JSON_SCAN_NAME_TOO_LONG
					      : JSON_SCAN_STRING_TOO_LONG);
	*r->o++ = '"';
	r->p++;
	return true;
}

/* ---- back references ---- */

/* What was written from `at` on may be referred to. */
static inline void
remember(struct smile_reader *r, struct smile_shared *t, uint32_t at)
{
	if (!t->is_on)
		return;
	if (UNLIKELY(t->count == SMILE_SHARED))
		t->count = 0;
	t->seen[t->count].at = at;
	t->seen[t->count].is_escaped = r->is_escaped;
	t->seen[t->count++].bytes = (place(r) - at) & INT32_MAX;
}

/* The two may overlap as they like. */
static inline void
copy_half(char *to, const char *from)
{
	char block[COPY / 2];

	memcpy(block, from, sizeof block);
	memcpy(to, block, sizeof block);
}

/* For the token at `token`. */
static inline bool
put_shared(struct smile_reader *r, const struct smile_shared *t, unsigned index,
    const unsigned char *token)
{
	uint32_t bytes;

	if (UNLIKELY(index >= t->count))
		return fail(r, token,
		    t->is_on ? "a back reference to what has not been there"
			     : "the header announces no such back references");
	bytes = t->seen[index].bytes;
	r->is_escaped = t->seen[index].is_escaped;
	if (LIKELY(bytes <= COPY)) {
		const char *from = r->out->bytes + t->seen[index].at;

		copy_half(r->o, from);
		if (UNLIKELY(bytes > COPY / 2))
			copy_half(r->o + COPY / 2, from + COPY / 2);
	} else {
		if (!make_room(r, bytes + TURN))
			return false;
		memcpy(r->o, r->out->bytes + t->seen[index].at, bytes);
	}
	r->o += bytes;
	return true;
}

/* A reference in two bytes, to none of the first ones. */
static bool
put_shared_long(
    struct smile_reader *r, const struct smile_shared *t, unsigned first)
{
	const unsigned char *token = r->p;
	unsigned index;

	if (r->end - token < 2)
		return fail(r, r->end, "");
	index = (token[0] & 3u) << 8 | token[1];
	if (token[1] >= 0xfe)
		return fail(
		    r, token, "a back reference must not end in FE or FF");
	if (index < first)
		return fail(
		    r, token, "a back reference that one byte has to say");
	r->p += 2;
	return put_shared(r, t, index, token);
}

/* ---- names ---- */

static bool
read_rare_name(struct smile_reader *r)
{
	uint32_t at = place(r);

	switch (*r->p) {
	case NAME_EMPTY:
		r->p++;
		memcpy(r->o, "\"\":", 3);
		r->o += 3;
		return true;
	case NAME_REF_LONG:
	case NAME_REF_LONG + 1:
	case NAME_REF_LONG + 2:
	case NAME_REF_LONG + 3:
		return put_shared_long(r, &r->s->names, REF_SHORT_NAMES);
	case NAME_LONG:
		r->p++;
		if (!put_long(r, false, JSON_SCAN_NAME_MAX))
			return false;
		*r->o++ = ':';
		remember(r, &r->s->names, at);
		return true;
	default: return fail(r, r->p, "expected a member's name");
	}
}

/* With its colon. */
static inline bool
read_name(struct smile_reader *r)
{
	const unsigned char *token = r->p;
	uint32_t at = place(r);
	unsigned b = *token;
	bool is_ok;

	r->is_escaped = false;
	if (LIKELY(b >= NAME_REF && b < NAME_ASCII)) {
		r->p++;
		return put_shared(r, &r->s->names, b - NAME_REF, token);
	}
	if (b < NAME_REF || b >= SMILE_ARRAY_START)
		return read_rare_name(r);
	r->p++;
	if (b < NAME_UNICODE)
		is_ok = put_short(r, b - NAME_ASCII + 1, true);
	else
		is_ok = put_short(r, b - NAME_UNICODE + 2, false);
	if (!is_ok)
		return false;
	*r->o++ = ':';
	remember(r, &r->s->names, at);
	return true;
}

/* ---- values ---- */

static bool
put_text(struct smile_reader *r, const char *text, size_t bytes)
{
	memcpy(r->o, text, bytes);
	r->o += bytes;
	r->p++;
	return true;
}

/* A big integer or decimal. */
static bool
read_big(struct smile_reader *r)
{
	unsigned char bytes[SMILE_VALUE_BIG_BYTES_MAX];
	const unsigned char *token = r->p, *p = token + 1;
	uint64_t scale = 0, count = 0;
	char *digits;

	if (*token == VALUE_BIG_DECIMAL)
		p = smile_value_read_vint(p, r->end, 32, &scale);
	if (p != NULL)
		p = smile_value_read_vint(p, r->end, 32, &count);
	if (p == NULL || count == 0)
		return fail(r, token, "a number malformed or cut short");
	if (count > sizeof bytes)
		return fail(r, token, JSON_SCAN_NUMBER_TOO_LONG);
	if ((size_t)(r->end - p) < smile_value_safe_bytes(count))
		return fail(r, r->end, "");
	if (!smile_value_from_safe(p, count, bytes))
		return fail(r, p, "a byte of more than seven bits");
	if (!make_room(r, SMILE_VALUE_BIG_TEXT_MAX + TURN))
		return false;
	digits = r->o + (bytes[0] >> 7); /* behind its sign */
	r->o = smile_value_write_big(
	    r->o, bytes, count, (int32_t)smile_value_unzigzag(scale));
	if (r->o - digits > JSON_SCAN_NUMBER_MAX)
		return fail(r, token, JSON_SCAN_NUMBER_TOO_LONG);
	r->p = p + smile_value_safe_bytes(count);
	return true;
}

static bool
read_number(struct smile_reader *r)
{
	const unsigned char *token = r->p, *p = token + 1;
	uint64_t n;

	switch (*token) {
	case VALUE_INT32:
	case VALUE_INT64:
		p = smile_value_read_vint(
		    p, r->end, *token == VALUE_INT32 ? 32 : 64, &n);
		if (p != NULL)
			r->o = smile_value_write_int(
			    r->o, smile_value_unzigzag(n));
		break;
	case VALUE_FLOAT:
		p = smile_value_read_groups(p, r->end, 5, &n);
		if (p != NULL)
			r->o = smile_value_write_float(r->o, (uint32_t)n);
		break;
	case VALUE_DOUBLE:
		p = smile_value_read_groups(p, r->end, 10, &n);
		if (p != NULL)
			r->o = smile_value_write_double(r->o, n);
		break;
	default: return fail(r, token, "expected a value");
	}
	if (p == NULL)
		return fail(r, token, "a number malformed or cut short");
	r->p = p;
	return true;
}

static bool
read_binary(struct smile_reader *r, bool is_raw)
{
	const unsigned char *token = r->p, *p;
	size_t inside, text;
	uint64_t count;

	if (is_raw && !r->has_raw)
		return fail(r, token, "the header announces no raw binary");
	p = smile_value_read_vint(token + 1, r->end, 32, &count);
	if (p == NULL)
		return fail(r, token, "a length malformed or cut short");
	inside = is_raw ? count : smile_value_safe_bytes(count);
	if ((size_t)(r->end - p) < inside)
		return fail(r, r->end, "");
	text = (count + 2) / 3 * 4;
	if (text > JSON_SCAN_STRING_MAX)
		return fail(r, token, JSON_SCAN_STRING_TOO_LONG);
	if (!make_room(r, text + TURN))
		return false;
	*r->o++ = '"';
	r->p = p + inside;
	if (!is_raw) {
		/* to the end of where the text goes, which overtakes it */
		char *raw = r->o + text + 4 - count;

		if (!smile_value_from_safe(p, count, raw))
			return fail(r, p, "a byte of more than seven bits");
		p = (const unsigned char *)raw;
	}
	r->o = base64_write(r->o, p, count);
	*r->o++ = '"';
	return true;
}

static bool
read_simple(struct smile_reader *r)
{
	switch (*r->p) {
	case VALUE_EMPTY: return put_text(r, "\"\"", 2);
	case VALUE_NULL: return put_text(r, "null", 4);
	case VALUE_FALSE: return put_text(r, "false", 5);
	case VALUE_TRUE: return put_text(r, "true", 4);
	case VALUE_BIG_INTEGER:
	case VALUE_BIG_DECIMAL: return read_big(r);
	default: return read_number(r);
	}
}

/* The tokens from E0 on. */
static bool
read_long(struct smile_reader *r)
{
	bool is_ascii = *r->p == VALUE_LONG_ASCII;

	switch (*r->p) {
	case VALUE_LONG_ASCII:
	case VALUE_LONG_UNICODE:
		r->p++;
		return put_long(r, is_ascii, JSON_SCAN_STRING_MAX);
	case VALUE_SAFE_BINARY: return read_binary(r, false);
	case VALUE_RAW_BINARY: return read_binary(r, true);
	case VALUE_REF_LONG:
	case VALUE_REF_LONG + 1:
	case VALUE_REF_LONG + 2:
	case VALUE_REF_LONG + 3:
		return put_shared_long(r, &r->s->values, REF_SHORT_VALUES);
	default: return fail(r, r->p, "expected a value");
	}
}

static inline bool
read_string(struct smile_reader *r)
{
	uint32_t at = place(r);
	unsigned b = *r->p++;
	bool is_ok;

	if (LIKELY(b < VALUE_UNICODE))
		is_ok = put_short(r, b - VALUE_ASCII + 1, true);
	else
		is_ok = put_short(r, b - VALUE_UNICODE + 2, false);
	if (is_ok)
		remember(r, &r->s->values, at);
	return is_ok;
}

/* A value that is no object or array, with a comma. */
static inline bool
read_scalar(struct smile_reader *r)
{
	const unsigned char *token = r->p;
	bool is_ok;

	r->is_escaped = false;
	switch (*token >> 5) {
	case 0:
		if (*token == 0)
			return fail(r, token, "expected a value");
		r->p++;
		is_ok = put_shared(r, &r->s->values, *token - 1u, token);
		break;
	case 1: is_ok = read_simple(r); break;
	case 2:
	case 3:
	case 4:
	case 5: is_ok = read_string(r); break;
	case 6:
		r->p++;
		r->o = smile_value_write_int(
		    r->o, smile_value_unzigzag(*token & 0x1f));
		is_ok = true;
		break;
	default: is_ok = read_long(r);
	}
	if (LIKELY(is_ok))
		*r->o++ = ',';
	return is_ok;
}

/* ---- objects, arrays ---- */

static bool
open_nested(struct smile_reader *r, struct nest *n, bool is_object)
{
	uint64_t bit;

	if (++n->depth >= JSON_SCAN_DEPTH_MAX)
		return fail(r, r->p, "nested too deep");
	bit = UINT64_C(1) << n->depth % 64;
	if (is_object)
		n->is_object[n->depth / 64] |= bit;
	else
		n->is_object[n->depth / 64] &= ~bit;
	r->p++;
	*r->o++ = is_object ? '{' : '[';
	return true;
}

/* Over the comma of its last member, if it has one. */
static void
close_nested(struct smile_reader *r, char bracket)
{
	if (r->o[-1] == ',')
		r->o--;
	*r->o++ = bracket;
	*r->o++ = ',';
	r->p++;
}

/* A member of the event at the top, for who looks for them. */
struct member {
	uint32_t name, name_bytes, value;
	bool name_escaped;
};

static inline void
begin_member(struct smile_reader *r, struct member *m)
{
	m->name = place(r) + 1;
}

/* Behind its name. */
static inline void
begin_value(struct smile_reader *r, struct member *m)
{
	m->value = place(r);
	m->name_bytes = m->value - m->name - 2; /* quote and colon */
	m->name_escaped = r->is_escaped;
}

/* Behind the value's comma. */
static inline bool
note_member(struct smile_reader *r, const struct member *m)
{
	struct json_field *f = json_scan_note(r->sink->scan);

	if (UNLIKELY(f == NULL)) {
		(void)fail(r, r->p, "too many members in one event");
		if (r->sink->scan->is_out_of_memory)
			r->result = SMILE_NO_MEMORY;
		return false;
	}
	*f = (struct json_field){ .name = m->name,
		.name_bytes = m->name_bytes,
		.name_escaped = m->name_escaped,
		.value = m->value,
		.value_bytes = place(r) - m->value - 1,
		.type =
		    json_scan_types[(unsigned char)r->out->bytes[m->value]] };
	if (f->type == SCAN_STRING) {
		f->value++;
		f->value_bytes -= 2;
		f->value_escaped = r->is_escaped;
	}
	return true;
}

static bool
hand_on(struct smile_reader *r, uint32_t event)
{
	if (!make_room(r, JSON_SCAN_PADDING))
		return false;
	if (json_scan_hand_on(
		r->sink, r->out->bytes, event, place(r) - event - 1))
		return true;
	r->result = SMILE_STOPPED;
	return false;
}

/* A value that is an object or array, at r->p, with a comma. */
static bool
read_nested(struct smile_reader *r)
{
	struct nest n = { .depth = 0 };
	bool is_object = *r->p == SMILE_OBJECT_START;

	if (!open_nested(r, &n, is_object))
		return false;
	for (;;) {
		if (!make_room(r, TURN))
			return false;
		if (UNLIKELY(r->p >= r->end))
			return fail(r, r->end, "");
		if (*r->p == (is_object ? SMILE_OBJECT_END : SMILE_ARRAY_END)) {
			close_nested(r, is_object ? '}' : ']');
			if (--n.depth == 0)
				return true;
			is_object =
			    n.is_object[n.depth / 64] >> n.depth % 64 & 1;
			continue;
		}
		if (is_object && UNLIKELY(!read_name(r)))
			return false;
		if (UNLIKELY(r->p >= r->end))
			return fail(r, r->end, "");
		if (*r->p == SMILE_OBJECT_START || *r->p == SMILE_ARRAY_START) {
			is_object = *r->p == SMILE_OBJECT_START;
			if (!open_nested(r, &n, is_object))
				return false;
		} else if (UNLIKELY(!read_scalar(r))) {
			return false;
		}
	}
}

static inline bool
read_value(struct smile_reader *r)
{
	if (UNLIKELY(r->p >= r->end))
		return fail(r, r->end, "");
	return UNLIKELY(
		   *r->p == SMILE_OBJECT_START || *r->p == SMILE_ARRAY_START)
	    ? read_nested(r)
	    : read_scalar(r);
}

bool
smile_event_read(struct smile_reader *r)
{
	uint32_t event = place(r);
	struct member m;

	if (!make_room(r, TURN))
		return false;
	r->p++;
	*r->o++ = '{';
	for (;;) {
		if (!make_room(r, TURN))
			return false;
		if (UNLIKELY(r->p >= r->end))
			return fail(r, r->end, "");
		if (*r->p == SMILE_OBJECT_END)
			break;
		begin_member(r, &m);
		if (UNLIKELY(!read_name(r)))
			return false;
		begin_value(r, &m);
		if (UNLIKELY(!read_value(r)))
			return false;
		if (r->sink != NULL && UNLIKELY(!note_member(r, &m)))
			return false;
	}
	close_nested(r, '}');
	r->o[-1] = '\n';
	r->s->events++;
	return r->sink == NULL || hand_on(r, event);
}
