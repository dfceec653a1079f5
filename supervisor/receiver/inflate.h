/*
 * inflate - compressed bodies, bounded
 *
 * Process: receiver.   Owns: zlib; nothing else includes it. unzstd.c has zstd.
 * After:   connection.c has the whole body.   Before: body.c scans it.
 */
#pragma once

#include "base.h"
#include "unzstd.h"

enum inflate_coding {
	INFLATE_IDENTITY, /* nothing to inflate */
	INFLATE_GZIP, /* RFC 1952 */
	INFLATE_DEFLATE, /* RFC 1950, or RFC 1951 without its wrapper */
	INFLATE_ZSTD /* RFC 8878, window as in RFC 9659 */
};

enum inflate_result {
	INFLATE_DONE,
	INFLATE_MALFORMED, /* other format, damaged, cut, garbage behind */
	INFLATE_TOO_LARGE, /* more than max_bytes come out */
	INFLATE_TOO_DENSE, /* more than max_ratio allows */
	INFLATE_NO_MEMORY
};

/* This much may come out of a body of any size. */
#define INFLATE_FREE_BYTES (1u * MiB)

struct inflate_input {
	enum inflate_coding coding; /* not INFLATE_IDENTITY */
	const char *from;
	size_t bytes;
	size_t max_bytes;
	size_t max_ratio; /* bytes out for a byte in; 0: any */
	size_t padding;
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
	struct unzstd unzstd;
};

void inflate_init(struct inflater *);
void inflate_fini(struct inflater *);
/* Reads one or more members (frames), one behind the other, to their end. */
enum inflate_result
inflate_decode(struct inflater *, const struct inflate_input *);
const char *inflate_coding_name(enum inflate_coding);
/* Gives the bytes away: the caller frees them. `size` is their memory. */
char *inflate_take(struct inflater *, size_t *size);
/* Between requests: gives memory back after a large one. */
void inflate_trim(struct inflater *, size_t keep_bytes);
