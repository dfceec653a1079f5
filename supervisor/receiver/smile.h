/*
 * smile - a request's Smile (binary JSON) becomes JSON text
 *
 * Process: receiver. Pure but for the buffer's memory.
 * After:   inflate.c.   Before: body.c scans the text.
 * Owns:    nothing; the body and the buffer are the caller's.
 * Fails:   SMILE_MALFORMED with place and sentence.
 *
 * A body is one or more documents, each with its header, each one array of
 * objects or objects one after another; what comes out is all the objects in
 * order, a newline behind each. No bytes at all are no events, as in JSON. An
 * end marker (FF) is followed by another document or by nothing.
 *
 * Back references count from the last header on: a document means the same
 * wherever it stands. (Jackson's own reader goes on counting names, and so
 * mistakes names in documents that were written apart and put together.)
 *
 * What must not be is refused: UTF-8 that is none, bytes above 7F in what is
 * marked as ASCII, raw binary or back references that the header does not
 * announce, references that a shorter one stands for or that end in FE or FF,
 * numbers with bits that their type has not, reserved tokens. As Smile 1.0.6
 * asks, bits that a value does not use are not heeded.
 *
 * Names, strings and numbers have JSON's bounds of length (json_scan.h), names
 * and strings as they are written, binary in base64, numbers in decimal.
 *
 * Values in JSON: integers and big decimals exactly; floats as the shortest text
 * that reads back to them, a 32-bit one as a 32-bit one (0.1, not
 * 0.10000000149011612); NaN and the infinities as the strings "NaN",
 * "Infinity", "-Infinity"; binary as a string of base64 (with padding, in one
 * line). That is what Jackson's JSON writer makes of them.
 */
#pragma once

#include "base.h"
#include "buf.h"
#include "json_scan.h"

#define SMILE_PADDING JSON_SCAN_PADDING /* readable bytes behind the body */
/* The JSON is at most this much shorter than the buffer's max. */
#define SMILE_SPARE 4096
#define SMILE_SHARED 1024 /* strings that back references can name */

enum smile_result {
	SMILE_DONE,
	SMILE_MALFORMED,
	SMILE_TOO_LARGE, /* the JSON would be longer than max - SMILE_SPARE */
	SMILE_NO_MEMORY,
	SMILE_STOPPED /* the sink wants no more */
};

/* JSON text in the output that references may repeat. */
struct smile_shared {
	struct {
		uint32_t at, bytes : 31, is_escaped : 1;
	} seen[SMILE_SHARED];
	unsigned count;
	bool is_on;
};

/* About 16 KiB; may be used again and again. */
struct smile {
	/* objects read to their end; after a failure, the bad one's index */
	uint32_t events;
	/* after SMILE_MALFORMED */
	uint32_t error_offset;
	const char *error;
	/* private */
	struct smile_shared names, values;
};

/* Empties `out` and writes the JSON there, with JSON_SCAN_PADDING readable
 * bytes behind it. bytes and out->max <= UINT32_MAX. `body` has SMILE_PADDING
 * readable bytes behind it, whatever they hold. After a failure `out` holds
 * nothing of use. */
enum smile_result smile_read(
    struct smile *, const char *body, size_t bytes, struct buf *out) MUST_CHECK;
/* The same, and the sink (or NULL) is handed event after event. */
enum smile_result smile_feed(struct smile *, const char *body, size_t bytes,
    struct buf *out, struct json_sink *) MUST_CHECK;
