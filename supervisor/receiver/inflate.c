/*
 * inflate - gzip bodies, bounded
 *
 * Process: receiver.   Owns: zlib.
 *
 * The output grows by doubling up to the limit, so a small bomb costs what it
 * makes us write and no more; zlib's own ratio ends at 1032.
 */
#include "inflate.h"

#include <stdlib.h>
#include <string.h>

#define ZLIB_CONST
#include <zlib.h>

#include "panic.h"

#define FIRST_BYTES (64u * KiB)
#define GZIP_ONLY (16 + MAX_WBITS)

void
inflate_init(struct inflater *f)
{
	memset(f, 0, sizeof *f);
}

void
inflate_fini(struct inflater *f)
{
	if (f->stream != NULL)
		inflateEnd(f->stream);
	free(f->stream);
	free(f->bytes);
	memset(f, 0, sizeof *f);
}

static bool
prepare(struct inflater *f)
{
	if (f->stream != NULL)
		return inflateReset(f->stream) == Z_OK;
	f->stream = must_calloc(1, sizeof *f->stream);
	if (inflateInit2(f->stream, GZIP_ONLY) == Z_OK)
		return true;
	free(f->stream);
	f->stream = NULL;
	return false;
}

/* More room for output. One byte more than the limit is allowed for, so that
 * a body of exactly the limit can be told from a larger one. */
static enum inflate_result
grow(struct inflater *f, size_t max_bytes, size_t padding)
{
	size_t room = f->size > padding ? f->size - padding : 0;
	size_t want = MAX_OF(room * 2, FIRST_BYTES);
	char *grown;

	if (f->used > max_bytes)
		return INFLATE_TOO_LARGE;
	if (room > f->used)
		return INFLATE_DONE;
	want = MIN_OF(want, max_bytes + 1) + padding;
	if ((grown = realloc(f->bytes, want)) == NULL)
		return INFLATE_NO_MEMORY;
	f->bytes = grown;
	f->size = want;
	return INFLATE_DONE;
}

static enum inflate_result
malformed(struct inflater *f, const char *reason)
{
	f->reason = reason;
	return INFLATE_MALFORMED;
}

/* One piece; Z_OK: go on, Z_STREAM_END: a member is over. */
static int
step(struct inflater *f, size_t padding)
{
	z_stream *s = f->stream;
	size_t room = f->size - padding - f->used;
	int result;

	room = MIN_OF(room, (size_t)1 << 30);
	s->next_out = (Bytef *)f->bytes + f->used;
	s->avail_out = (uInt)room;
	result = inflate(s, Z_NO_FLUSH);
	f->used += room - s->avail_out;
	return result;
}

static enum inflate_result
inflate_all(struct inflater *f, size_t max_bytes, size_t padding)
{
	z_stream *s = f->stream;

	for (;;) {
		enum inflate_result room = grow(f, max_bytes, padding);
		int result;

		if (room != INFLATE_DONE)
			return room;
		result = step(f, padding);
		if (result == Z_STREAM_END) {
			if (s->avail_in == 0)
				break;
			if (inflateReset(s) != Z_OK)
				return INFLATE_NO_MEMORY;
		} else if (result == Z_MEM_ERROR) {
			return INFLATE_NO_MEMORY;
		} else if (result != Z_OK && result != Z_BUF_ERROR) {
			return malformed(
			    f, s->msg != NULL ? s->msg : "not in gzip format");
		} else if (s->avail_in == 0 && s->avail_out > 0) {
			return malformed(f, "it ends too early");
		}
	}
	return f->used > max_bytes ? INFLATE_TOO_LARGE : INFLATE_DONE;
}

enum inflate_result
inflate_gzip(struct inflater *f, const char *from, size_t bytes,
    size_t max_bytes, size_t padding)
{
	f->used = 0;
	f->reason = NULL;
	if (bytes == 0)
		return malformed(f, "it is empty");
	if (!prepare(f))
		return INFLATE_NO_MEMORY;
	must(bytes <= UINT32_MAX);
	f->stream->next_in = (const Bytef *)from;
	f->stream->avail_in = (uInt)bytes;
	return inflate_all(f, max_bytes, padding);
}

char *
inflate_take(struct inflater *f, size_t *size)
{
	char *bytes = f->bytes;

	*size = f->size;
	f->bytes = NULL;
	f->size = f->used = 0;
	return bytes;
}

void
inflate_trim(struct inflater *f, size_t keep_bytes)
{
	if (f->size <= keep_bytes)
		return;
	free(f->bytes);
	f->bytes = NULL;
	f->size = f->used = 0;
}
