/*
 * inflate - compressed bodies, bounded
 *
 * Process: receiver.   Owns: zlib.
 *
 * The output grows by doubling up to the limit, so a small bomb costs what it
 * makes us write and no more. zlib's own ratio ends at 1032; that of zstd is
 * without an end that would help. The decoders' contexts are made at the
 * first body of their kind and kept, so a small body costs no allocation.
 */
#include "inflate.h"

#include <stdlib.h>
#include <string.h>

#define ZLIB_CONST
#include <zlib.h>

#include "panic.h"

#define FIRST_BYTES (64u * KiB)
/* what inflateInit2 takes as its window */
#define GZIP_ONLY (16 + MAX_WBITS)
#define ZLIB_ONLY MAX_WBITS
#define RAW (-MAX_WBITS)

/* One body on its way. */
struct job {
	struct inflater *f;
	const struct inflate_input *in;
	size_t limit; /* of max_bytes and max_ratio, the lesser */
	struct inflate_piece piece;
};

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
	unzstd_fini(&f->unzstd);
	free(f->bytes);
	memset(f, 0, sizeof *f);
}

const char *
inflate_coding_name(enum inflate_coding coding)
{
	switch (coding) {
	case INFLATE_IDENTITY: return "identity";
	case INFLATE_GZIP: return "gzip";
	case INFLATE_DEFLATE: return "deflate";
	case INFLATE_ZSTD: return "zstd";
	}
	unreachable("content coding");
}

/* RFC 9110 means the zlib wrapper by "deflate", but senders without it have
 * never died out. The two cannot be confused: to raw deflate, the wrapper's
 * first byte is a stored block with padding that is not 0. One kind holds for
 * a whole body, so what stands behind a zlib member is never guessed at. */
static int
deflate_window(const struct inflate_input *in)
{
	const unsigned char *b = (const unsigned char *)in->from;

	if (in->bytes < 2 || (b[0] & 0x0f) != Z_DEFLATED ||
	    (b[0] << 8 | b[1]) % 31 != 0)
		return RAW;
	return ZLIB_ONLY;
}

static bool
prepare_zlib(struct inflater *f, int window)
{
	if (f->stream != NULL)
		return inflateReset2(f->stream, window) == Z_OK;
	if ((f->stream = calloc(1, sizeof *f->stream)) == NULL)
		return false;
	if (inflateInit2(f->stream, window) == Z_OK)
		return true;
	free(f->stream);
	f->stream = NULL;
	return false;
}

static bool
prepare(struct inflater *f, const struct inflate_input *in)
{
	switch (in->coding) {
	case INFLATE_IDENTITY: break;
	case INFLATE_GZIP: return prepare_zlib(f, GZIP_ONLY);
	case INFLATE_DEFLATE: return prepare_zlib(f, deflate_window(in));
	case INFLATE_ZSTD: return unzstd_begin_body(&f->unzstd);
	}
	unreachable("content coding");
}

static enum inflate_result
beyond_limit(const struct job *j)
{
	return j->limit < j->in->max_bytes ? INFLATE_TOO_DENSE
					   : INFLATE_TOO_LARGE;
}

/* Room for output: at least a byte, and what the member says it needs. One
 * byte more than the limit is allowed for, so that a body of exactly the limit
 * can be told from a larger one. */
static enum inflate_result
grow(struct job *j)
{
	struct inflater *f = j->f;
	size_t padding = j->in->padding;
	size_t room = f->size > padding ? f->size - padding : 0;
	size_t needed = MAX_OF(j->piece.expected, 1), want;
	char *grown;

	if (f->used > j->limit || j->piece.expected > j->limit - f->used)
		return beyond_limit(j);
	if (room >= f->used + needed)
		return INFLATE_DONE;
	want = MAX_OF(MAX_OF(room * 2, f->used + needed), FIRST_BYTES);
	want = MIN_OF(want, j->limit + 1) + padding;
	if ((grown = realloc(f->bytes, want)) == NULL)
		return INFLATE_NO_MEMORY;
	f->bytes = grown;
	f->size = want;
	return INFLATE_DONE;
}

static enum inflate_step
begin_member(struct job *j)
{
	if (j->in->coding == INFLATE_ZSTD)
		return unzstd_begin_frame(&j->piece);
	return inflateReset(j->f->stream) == Z_OK ? INFLATE_STEP_MORE
						  : INFLATE_STEP_NO_MEMORY;
}

static const char *
zlib_reason(const z_stream *s, int result)
{
	if (result == Z_NEED_DICT)
		return "it needs a dictionary";
	return s->msg != NULL ? s->msg : "the data is damaged";
}

static enum inflate_step
step_zlib(z_stream *s, struct inflate_piece *p)
{
	size_t room = MIN_OF(p->room, (size_t)1 << 30);
	int result;

	s->next_in = (const Bytef *)p->from;
	s->avail_in = (uInt)p->bytes;
	s->next_out = (Bytef *)p->to;
	s->avail_out = (uInt)room;
	result = inflate(s, Z_NO_FLUSH);
	p->from += p->bytes - s->avail_in;
	p->bytes = s->avail_in;
	p->to += room - s->avail_out;
	p->room -= room - s->avail_out;
	switch (result) {
	case Z_STREAM_END: return INFLATE_STEP_OVER;
	case Z_OK:
	case Z_BUF_ERROR: return INFLATE_STEP_MORE;
	case Z_MEM_ERROR: return INFLATE_STEP_NO_MEMORY;
	default:
		p->reason = zlib_reason(s, result);
		return INFLATE_STEP_MALFORMED;
	}
}

/* One piece, as far as input and room go. */
static enum inflate_step
step(struct job *j)
{
	struct inflater *f = j->f;
	struct inflate_piece *p = &j->piece;
	enum inflate_step result;

	p->expected = 0;
	p->to = f->bytes + f->used;
	p->room = f->size - j->in->padding - f->used;
	result = j->in->coding == INFLATE_ZSTD ? unzstd_step(&f->unzstd, p)
					       : step_zlib(f->stream, p);
	f->used = (size_t)(p->to - f->bytes);
	if (result == INFLATE_STEP_MORE && p->bytes == 0 && p->room > 0) {
		p->reason = "it ends too early";
		return INFLATE_STEP_MALFORMED;
	}
	return result;
}

static enum inflate_result
decode_all(struct job *j)
{
	enum inflate_step at = INFLATE_STEP_OVER;
	enum inflate_result room;

	while (at != INFLATE_STEP_OVER || j->piece.bytes > 0) {
		if (at == INFLATE_STEP_OVER)
			at = begin_member(j);
		if (at == INFLATE_STEP_MORE) {
			if ((room = grow(j)) != INFLATE_DONE)
				return room;
			at = step(j);
		}
		if (at == INFLATE_STEP_NO_MEMORY)
			return INFLATE_NO_MEMORY;
		if (at == INFLATE_STEP_MALFORMED) {
			j->f->reason = j->piece.reason;
			return INFLATE_MALFORMED;
		}
	}
	return j->f->used > j->limit ? beyond_limit(j) : INFLATE_DONE;
}

static size_t
output_limit(const struct inflate_input *in)
{
	size_t dense = SIZE_MAX;

	if (in->max_ratio == 0)
		return in->max_bytes;
	if (in->bytes <= SIZE_MAX / in->max_ratio)
		dense = in->bytes * in->max_ratio;
	return MIN_OF(in->max_bytes, MAX_OF(dense, INFLATE_FREE_BYTES));
}

enum inflate_result
inflate_decode(struct inflater *f, const struct inflate_input *in)
{
	struct job j = { .f = f, .in = in, .limit = output_limit(in) };

	must(in->coding != INFLATE_IDENTITY);
	must(in->bytes <= UINT32_MAX);
	must(in->max_bytes < SIZE_MAX / 4);
	f->used = 0;
	f->reason = "it is empty";
	if (in->bytes == 0)
		return INFLATE_MALFORMED;
	f->reason = NULL;
	if (!prepare(f, in))
		return INFLATE_NO_MEMORY;
	j.piece.from = in->from;
	j.piece.bytes = in->bytes;
	return decode_all(&j);
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
