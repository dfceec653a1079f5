/*
 * compression - the codecs of Kafka's record batches: gzip, lz4, zstd
 *
 * Process: worker, tranqctl.   Owns: liblz4; zlib and zstd for batches.
 */
#include "compression.h"

#include <stdlib.h>
#include <string.h>

#include <lz4frame.h>
#include <zlib.h>
#include <zstd.h>

#include "panic.h"

/* A batch is packed between two events that wait for their commit: speed comes
 * first. */
#define GZIP_LEVEL 2
#define ZSTD_LEVEL 1
#define GZIP_WINDOW (15 + 16) /* zlib's way to ask for a gzip member */
#define GZIP_MEMORY 8 /* zlib's default */
#define GZIP_EXTRA 32 /* head and end, beside deflateBound */
/* Of a stream that is unpacked: 8 MiB, sixteen times what ZSTD_LEVEL uses. */
#define ZSTD_WINDOW_LOG_MAX 23
#define UNPACK_STEP (256u * KiB)

struct compression {
	enum compression_codec codec;
	z_stream gzip;
	ZSTD_CCtx *zstd;
};

static const LZ4F_preferences_t lz4_preferences = {
	.frameInfo = { .blockSizeID = LZ4F_max64KB,
	    .blockMode = LZ4F_blockIndependent },
};

static const struct {
	enum compression_codec codec;
	const char *name;
} names[] = {
	{ COMPRESSION_NONE, "none" },
	{ COMPRESSION_GZIP, "gzip" },
	{ COMPRESSION_LZ4, "lz4" },
	{ COMPRESSION_ZSTD, "zstd" },
};

const char *
compression_name(enum compression_codec codec)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (names[i].codec == codec)
			return names[i].name;
	return "unknown";
}

bool
compression_of_name(const char *name, enum compression_codec *codec)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(names[i].name, name) == 0) {
			*codec = names[i].codec;
			return true;
		}
	return false;
}

bool
compression_is_known(unsigned number)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (names[i].codec == number)
			return true;
	return false;
}

/* ---- packing ---- */

struct compression *
compression_new(enum compression_codec codec)
{
	struct compression *c = must_calloc(1, sizeof *c);

	must(compression_is_known(codec));
	c->codec = codec;
	if (codec == COMPRESSION_GZIP)
		must_afford(
		    deflateInit2(&c->gzip, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW,
			GZIP_MEMORY, Z_DEFAULT_STRATEGY) == Z_OK);
	if (codec == COMPRESSION_ZSTD)
		must_afford((c->zstd = ZSTD_createCCtx()) != NULL);
	return c;
}

void
compression_free(struct compression **compression)
{
	struct compression *c = *compression;

	if (c == NULL)
		return;
	*compression = NULL;
	if (c->codec == COMPRESSION_GZIP)
		deflateEnd(&c->gzip);
	ZSTD_freeCCtx(c->zstd);
	free(c);
}

enum compression_codec
compression_codec(const struct compression *c)
{
	return c->codec;
}

/* Most bytes of the packed form. */
static size_t
bound(struct compression *c, size_t bytes)
{
	switch (c->codec) {
	case COMPRESSION_GZIP:
		return deflateBound(&c->gzip, (uLong)bytes) + GZIP_EXTRA;
	case COMPRESSION_LZ4:
		return LZ4F_compressFrameBound(bytes, &lz4_preferences);
	case COMPRESSION_ZSTD: return ZSTD_compressBound(bytes);
	default: return bytes;
	}
}

/* zlib counts in 32 bits, and does not write to what it reads. */
static Bytef *
zlib_input(const void *from)
{
	union {
		const void *from;
		Bytef *to;
	} u = { .from = from };

	return u.to;
}

static size_t
pack_gzip(z_stream *z, const void *from, size_t bytes, char *to, size_t room)
{
	if (bytes > UINT32_MAX || room > UINT32_MAX || deflateReset(z) != Z_OK)
		return 0;
	z->next_in = zlib_input(from);
	z->avail_in = (uInt)bytes;
	z->next_out = (Bytef *)to;
	z->avail_out = (uInt)room;
	return deflate(z, Z_FINISH) == Z_STREAM_END ? room - z->avail_out : 0;
}

/* 0: it did not go. */
static size_t
pack(struct compression *c, const void *from, size_t bytes, char *to,
    size_t room)
{
	size_t n;

	switch (c->codec) {
	case COMPRESSION_GZIP:
		return pack_gzip(&c->gzip, from, bytes, to, room);
	case COMPRESSION_LZ4:
		n = LZ4F_compressFrame(to, room, from, bytes, &lz4_preferences);
		return LZ4F_isError(n) ? 0 : n;
	case COMPRESSION_ZSTD:
		n = ZSTD_compressCCtx(
		    c->zstd, to, room, from, bytes, ZSTD_LEVEL);
		return ZSTD_isError(n) ? 0 : n;
	default: memcpy(to, from, bytes); return bytes;
	}
}

bool
compression_pack(
    struct compression *c, const void *from, size_t bytes, struct buf *to)
{
	size_t room = bound(c, bytes), n;
	char *at = buf_room(to, room);

	if (at == NULL)
		return false;
	n = pack(c, from, bytes, at, room);
	to->used += n;
	return n > 0 || (bytes == 0 && c->codec == COMPRESSION_NONE);
}

/* ---- unpacking ---- */

/* One step of a codec: moves on in both. false: the stream is no good. */
struct flow {
	const char *in;
	size_t in_left;
	char *out;
	size_t out_left;
	bool is_over; /* the stream has ended */
};

typedef bool step_fn(void *state, struct flow *);

static bool
step_gzip(void *state, struct flow *f)
{
	z_stream *z = state;
	int rc;

	z->next_in = zlib_input(f->in);
	z->avail_in = (uInt)f->in_left;
	z->next_out = (Bytef *)f->out;
	z->avail_out = (uInt)f->out_left;
	rc = inflate(z, Z_NO_FLUSH);
	f->in += f->in_left - z->avail_in;
	f->in_left = z->avail_in;
	f->out += f->out_left - z->avail_out;
	f->out_left = z->avail_out;
	f->is_over = rc == Z_STREAM_END;
	return rc == Z_OK || rc == Z_STREAM_END;
}

static bool
step_lz4(void *state, struct flow *f)
{
	size_t in = f->in_left, out = f->out_left;
	size_t rc = LZ4F_decompress(state, f->out, &out, f->in, &in, NULL);

	f->in += in;
	f->in_left -= in;
	f->out += out;
	f->out_left -= out;
	f->is_over = rc == 0;
	return !LZ4F_isError(rc);
}

static bool
step_zstd(void *state, struct flow *f)
{
	ZSTD_inBuffer in = { .src = f->in, .size = f->in_left };
	ZSTD_outBuffer out = { .dst = f->out, .size = f->out_left };
	size_t rc = ZSTD_decompressStream(state, &out, &in);

	f->in += in.pos;
	f->in_left -= in.pos;
	f->out += out.pos;
	f->out_left -= out.pos;
	f->is_over = rc == 0;
	return !ZSTD_isError(rc);
}

/* Runs the stream to its end. One byte of `spare` tells a stream that just fits
 * from one that goes on. */
static bool
run(step_fn *step, void *state, struct flow *f, struct buf *to)
{
	char spare = 0;

	while (!f->is_over) {
		size_t room = MIN_OF(to->max - to->used, UNPACK_STEP);
		size_t in_left = f->in_left;
		bool is_full = room == 0;

		f->out = is_full ? &spare : buf_room(to, room);
		if (f->out == NULL)
			return false;
		f->out_left = is_full ? 1 : room;
		if (!step(state, f) || (is_full && f->out_left == 0))
			return false;
		if (!is_full)
			to->used += room - f->out_left;
		/* it ends in the middle */
		if (f->in_left == in_left && !f->is_over &&
		    f->out_left == (is_full ? 1 : room))
			return false;
	}
	return f->in_left == 0;
}

static bool
unpack_gzip(struct flow *f, struct buf *to)
{
	z_stream z = { 0 };
	bool good;

	if (inflateInit2(&z, GZIP_WINDOW) != Z_OK)
		return false;
	good = run(step_gzip, &z, f, to);
	inflateEnd(&z);
	return good;
}

static bool
unpack_lz4(struct flow *f, struct buf *to)
{
	LZ4F_dctx *d;
	bool good;

	if (LZ4F_isError(LZ4F_createDecompressionContext(&d, LZ4F_VERSION)))
		return false;
	good = run(step_lz4, d, f, to);
	LZ4F_freeDecompressionContext(d);
	return good;
}

static bool
unpack_zstd(struct flow *f, struct buf *to)
{
	ZSTD_DCtx *d = ZSTD_createDCtx();
	bool good;

	if (d == NULL)
		return false;
	ZSTD_DCtx_setParameter(d, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
	good = run(step_zstd, d, f, to);
	ZSTD_freeDCtx(d);
	return good;
}

bool
compression_unpack(enum compression_codec codec, const void *from, size_t bytes,
    struct buf *to)
{
	struct flow f = { .in = from, .in_left = bytes };

	if (bytes > UINT32_MAX)
		return false;
	switch (codec) {
	case COMPRESSION_NONE: buf_add(to, from, bytes); return !to->failed;
	case COMPRESSION_GZIP: return unpack_gzip(&f, to);
	case COMPRESSION_LZ4: return unpack_lz4(&f, to);
	case COMPRESSION_ZSTD: return unpack_zstd(&f, to);
	default: return false;
	}
}
