/*
 * smile_writer - JSON text becomes a Smile document (binary JSON)
 *
 * Process: receiver (answers), worker (what tasks are sent). Pure but for the
 * buffer's memory.
 * Owns:    nothing; text and buffer are the caller's.
 *
 * The document is as Jackson writes one when nothing is set: shared names, no
 * shared values, binary seven bits a byte (JSON has none). Integers are exact;
 * numbers with a point or an exponent are doubles, as Jackson and Druid read
 * them in JSON. An integer of more than 1000 digits goes as a string, since
 * turning it into a binary one takes quadratic time: Druid reads numbers in
 * strings too. A lone surrogate (\ud800), which UTF-8 cannot say, is U+FFFD.
 */
#pragma once

#include "base.h"
#include "buf.h"

#define SMILE_WRITER_NAMES 1024 /* that back references can name */
#define SMILE_WRITER_DEPTH_MAX 1024 /* objects and arrays in one another */
#define SMILE_WRITER_DIGITS_MAX 1000 /* of an integer */

/* A name as it stands in the output. */
struct smile_writer_name {
	uint32_t at, bytes, hash;
	uint16_t follower; /* the name that came after it last time */
	bool is_plain; /* the JSON that says it needs no escapes */
};

/* About 20 KiB; needs no initialization, may be used again and again. */
struct smile_writer {
	size_t error_offset; /* after a failure that is not the buffer's */
	/* private */
	struct smile_writer_name names[SMILE_WRITER_NAMES];
	uint16_t slots[2 * SMILE_WRITER_NAMES]; /* by hash: index + 1, or 0 */
	unsigned count, last;
};

/* Appends the document of all objects and arrays in `json`, which must have
 * been found in order by json_scan: what is wrong with it is found only where
 * the document would be broken by it. out->max <= UINT32_MAX. False: nothing
 * is appended; out->failed says that it is full or that memory is out, else
 * error_offset where the text is not JSON. */
bool smile_writer_transcode(struct smile_writer *, const char *json,
    size_t bytes, struct buf *out) MUST_CHECK;
