/*
 * line_text - lines of text and the JSON text that is made of them
 *
 * Process: receiver. Pure. Shared by the readers of text/plain bodies:
 * delimited, regex_line, json_lines, flatten.
 *
 * A line ends with LF, CR LF or CR (Tranquility read with Java's
 * BufferedReader) or with the body. Lines count from 1, blank ones too.
 */
#pragma once

#include "base.h"
#include "buf.h"
#include "json_scan.h"

#include <string.h>

#define LINE_WHY_BYTES 240

enum line_result {
	LINE_OK,
	LINE_MALFORMED, /* the error says where and why */
	LINE_TOO_LARGE, /* the output's limit is reached */
	LINE_NO_MEMORY,
	LINE_STOPPED, /* the sink wants no more */
};

struct line_error {
	uint64_t line; /* 0: none in particular */
	char why[LINE_WHY_BYTES];
};

/* LINE_MALFORMED, for the caller to return. */
enum line_result line_error_set(struct line_error *, uint64_t line,
    const char *format, ...) PRINTF_LIKE(3, 4);

/* Where the next line of a body is. */
struct line_cursor {
	const char *at, *end;
	uint64_t line; /* of `text`, from 1 */
	const char *text;
	size_t bytes; /* without the line's end */
};

/* `end` has JSON_SCAN_PADDING readable bytes behind it. */
void line_cursor_init(struct line_cursor *, const char *at, const char *end);
/* False: there is no further line. What follows the last line's end is no
 * line when it is empty. */
bool line_cursor_next(struct line_cursor *);
/* The first CR or LF at or behind p, or `end`. */
const char *line_find_end(const char *p, const char *end);
/* Behind the line end at p < end. */
static inline const char *
line_skip_end(const char *p, const char *end)
{
	return p + 1 + (p[0] == '\r' && p + 1 < end && p[1] == '\n');
}

/* Whether all of [p, end) is UTF-8; `end` padded as above. */
bool line_utf8_valid(const char *p, const char *end);
/* Appends [p, end) with U+FFFD for what is not UTF-8, as many of them as
 * Java's decoder makes. False: the buffer is full. */
bool line_utf8_repair(const char *p, const char *end, struct buf *out);

/* The end of a buffer, to be written at without asking for every byte. */
struct line_out {
	char *at, *limit;
	struct buf *to;
	bool is_full; /* after a failed room: the buffer's limit, not memory */
	struct json_sink *sink; /* is handed each event, or NULL */
};

/* Appends to what the buffer holds, without a sink. */
void line_out_init(struct line_out *, struct buf *to);
/* Hands back to the buffer what was written; JSON_SCAN_PADDING zero bytes lie
 * behind it (not counted as used). False: no room for them. */
bool line_out_finish(struct line_out *);
/* LINE_TOO_LARGE or LINE_NO_MEMORY, after a failed room. */
enum line_result line_out_failure(const struct line_out *);
bool line_out_grow(struct line_out *, size_t more);

/* Room for `more` bytes. False: the buffer has reached its limit; stop. */
static inline bool
line_out_room(struct line_out *o, size_t more)
{
	return LIKELY((size_t)(o->limit - o->at) >= more) ||
	    line_out_grow(o, more);
}

/* One character as it stands in a JSON string; needs room for 6 bytes. */
void line_out_escape(struct line_out *, unsigned char);

static inline bool
line_out_add(struct line_out *o, const char *bytes, size_t count)
{
	if (!line_out_room(o, count))
		return false;
	memcpy(o->at, bytes, count);
	o->at += count;
	return true;
}

static inline size_t
line_out_used(const struct line_out *o)
{
	return (size_t)(o->at - o->to->bytes);
}

/* Text as the inside of a JSON string. False: no room. */
bool line_out_text(struct line_out *, const char *text, size_t bytes);
/* Whether a string of the JSON from offset `start` on is longer than
 * JSON_SCAN_STRING_MAX. */
bool line_out_has_long(const struct line_out *, size_t start);
