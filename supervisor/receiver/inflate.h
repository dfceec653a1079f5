/*
 * inflate - gzip bodies, bounded
 *
 * Process: receiver.   Owns: zlib; nothing else includes it.
 * After:   connection.c has the whole body.   Before: body.c scans it.
 */
#pragma once

#include "base.h"

enum inflate_result {
	INFLATE_DONE,
	INFLATE_MALFORMED, /* not gzip, damaged, cut short, garbage behind */
	INFLATE_TOO_LARGE, /* more than max_bytes come out */
	INFLATE_NO_MEMORY
};

struct z_stream_s;

struct inflater {
	/* after INFLATE_DONE, until the next call: what came out, with
	 * `padding` readable bytes behind it */
	char *bytes;
	size_t used;
	/* after INFLATE_MALFORMED */
	const char *reason;
	/* private */
	size_t size;
	struct z_stream_s *stream;
};

void inflate_init(struct inflater *);
void inflate_fini(struct inflater *);
/* Reads one or more gzip members, one behind the other, to their end. */
enum inflate_result inflate_gzip(struct inflater *, const char *from,
    size_t bytes, size_t max_bytes, size_t padding);
/* Gives the bytes away: the caller frees them. `size` is their memory. */
char *inflate_take(struct inflater *, size_t *size);
/* Between requests: gives memory back after a large one. */
void inflate_trim(struct inflater *, size_t keep_bytes);
