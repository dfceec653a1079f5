/*
 * line_text - lines of text and the JSON text that is made of them
 *
 * Process: receiver. Pure.
 */
#include "line_text.h"

#include <stdarg.h>
#include <stdio.h>

#include "json_string.h"

#define REPLACEMENT "\xef\xbf\xbd"

enum line_result
line_error_set(struct line_error *error, uint64_t line, const char *format, ...)
{
	va_list args;

	error->line = line;
	va_start(args, format);
	vsnprintf(error->why, sizeof error->why, format, args);
	va_end(args);
	return LINE_MALFORMED;
}

const char *
line_find_end(const char *p, const char *end)
{
#ifdef __SSE2__
	const __m128i lf = _mm_set1_epi8('\n'), cr = _mm_set1_epi8('\r');

	for (; p < end; p += 16) {
		__m128i v = json_string_load16(p);
		uint32_t found = json_string_high16(
		    _mm_or_si128(_mm_cmpeq_epi8(v, lf), _mm_cmpeq_epi8(v, cr)));

		if (found != 0) {
			p += __builtin_ctz(found);
			break;
		}
	}
	return p < end ? p : end;
#else
	while (p < end && *p != '\n' && *p != '\r')
		p++;
	return p;
#endif
}

void
line_cursor_init(struct line_cursor *c, const char *at, const char *end)
{
	*c = (struct line_cursor){ .at = at, .end = end };
}

bool
line_cursor_next(struct line_cursor *c)
{
	const char *stop;

	if (c->at >= c->end)
		return false;
	stop = line_find_end(c->at, c->end);
	c->line++;
	c->text = c->at;
	c->bytes = (size_t)(stop - c->at);
	c->at = stop < c->end ? line_skip_end(stop, c->end) : c->end;
	return true;
}

static const char *
skip_ascii(const char *p, const char *end)
{
	uint64_t words[2];

	for (; (size_t)(end - p) >= sizeof words; p += sizeof words) {
		memcpy(words, p, sizeof words);
		if (((words[0] | words[1]) & UINT64_C(0x8080808080808080)) != 0)
			break;
	}
	while (p < end && (unsigned char)*p < 0x80)
		p++;
	return p;
}

bool
line_utf8_valid(const char *p, const char *end)
{
	p = skip_ascii(p, end);
	return p == end ||
	    json_string_ops(json_string_best_cpu())->utf8_valid(p, end);
}

static bool
is_continuation(const unsigned char *p, const unsigned char *end)
{
	return p < end && (*p & 0xc0) == 0x80;
}

/* Bytes that one U+FFFD stands for: the longest start of a character there,
 * and a surrogate whole (Java's decoder; others make three of that). */
static size_t
broken_bytes(const char *text, const char *text_end)
{
	const unsigned char *p = (const unsigned char *)text;
	const unsigned char *end = (const unsigned char *)text_end;
	unsigned length = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 1;
	size_t n = 1;

	if (p[0] > 0xf4 || length == 1 || !is_continuation(p + 1, end) ||
	    (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90) ||
	    (p[0] == 0xf4 && p[1] > 0x8f))
		return 1;
	while (n < length && is_continuation(p + n, end))
		n++;
	return n;
}

bool
line_utf8_repair(const char *p, const char *end, struct buf *out)
{
	while (p < end) {
		const char *bad = json_string_utf8_error(p, end);

		buf_add(out, p, (size_t)(bad - p));
		p = bad;
		if (p < end) {
			buf_add(out, REPLACEMENT, strlen(REPLACEMENT));
			p += broken_bytes(p, end);
		}
	}
	return !out->failed;
}

static void
point(struct line_out *o)
{
	o->at = o->limit = o->to->bytes;
	if (o->to->bytes != NULL) {
		o->at += o->to->used;
		o->limit += o->to->size;
	}
}

void
line_out_init(struct line_out *o, struct buf *to)
{
	*o = (struct line_out){ .to = to };
	point(o);
}

bool
line_out_grow(struct line_out *o, size_t more)
{
	struct buf *to = o->to;

	to->used = o->at == NULL ? 0 : line_out_used(o);
	if (buf_room(to, more) == NULL) {
		o->is_full = more > to->max || to->used > to->max - more;
		return false;
	}
	point(o);
	return true;
}

bool
line_out_finish(struct line_out *o)
{
	if (!line_out_room(o, JSON_SCAN_PADDING))
		return false;
	memset(o->at, 0, JSON_SCAN_PADDING);
	o->to->used = line_out_used(o);
	return true;
}

enum line_result
line_out_failure(const struct line_out *o)
{
	return o->is_full ? LINE_TOO_LARGE : LINE_NO_MEMORY;
}

void
line_out_escape(struct line_out *o, unsigned char c)
{
	static const char letters[] = "btn\0fr", hex[] = "0123456789abcdef";
	char letter = c >= '\b' && c <= '\r' ? letters[c - '\b'] : '\0';

	*o->at++ = '\\';
	if (c == '"' || c == '\\') {
		*o->at++ = (char)c;
	} else if (letter != '\0') {
		*o->at++ = letter;
	} else {
		memcpy(o->at, "u00", 3);
		o->at[3] = hex[c >> 4];
		o->at[4] = hex[c & 15];
		o->at += 5;
	}
}

bool
line_out_text(struct line_out *o, const char *text, size_t bytes)
{
	const char *end = text + bytes;

	while (text < end) {
		const char *p = text;

		while (p < end && (unsigned char)*p >= ' ' && *p != '"' &&
		    *p != '\\')
			p++;
		if (!line_out_add(o, text, (size_t)(p - text)) ||
		    !line_out_room(o, 6))
			return false;
		if (p < end)
			line_out_escape(o, (unsigned char)*p++);
		text = p;
	}
	return true;
}

bool
line_out_has_long(const struct line_out *o, size_t start)
{
	const char *open = NULL; /* the quote before the string at p */

	for (const char *p = o->to->bytes + start; p < o->at; p++) {
		if (*p == '\\') {
			p++;
		} else if (*p == '"' && open == NULL) {
			open = p;
		} else if (*p == '"') {
			if (p - open - 1 > JSON_SCAN_STRING_MAX)
				return true;
			open = NULL;
		}
	}
	return false;
}
