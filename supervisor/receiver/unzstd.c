/*
 * unzstd - zstd frames, piece by piece
 *
 * Process: receiver.   Owns: zstd.
 *
 * A frame that says its size is decoded straight into the output, whose room
 * inflate.c makes large enough; one that does not goes through a window, which
 * the context keeps, and which zstd makes smaller again after 128 frames that
 * need much less.
 */
#include "unzstd.h"

#include <string.h>

#include <zstd.h>
#include <zstd_errors.h>

/* RFC 9659: no sender of this content coding needs more than 8 MB. */
#define WINDOW_LOG_MAX 23
#define WINDOW_TOO_LARGE "its window is larger than 8 MiB"

#define FRAME_MAGIC 0xfd2fb528u
#define SKIPPABLE_MAGIC 0x184d2a50u /* and the 15 behind it */
#define SKIPPABLE_MASK 0xfffffff0u

void
unzstd_fini(struct unzstd *u)
{
	ZSTD_freeDCtx(u->context);
	u->context = NULL;
}

bool
unzstd_begin_body(struct unzstd *u)
{
	size_t result;

	if (u->context != NULL)
		return !ZSTD_isError(
		    ZSTD_DCtx_reset(u->context, ZSTD_reset_session_only));
	if ((u->context = ZSTD_createDCtx()) == NULL)
		return false;
	result = ZSTD_DCtx_setParameter(
	    u->context, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
	if (!ZSTD_isError(result))
		return true;
	unzstd_fini(u);
	return false;
}

static enum inflate_step
malformed(struct inflate_piece *p, const char *reason)
{
	p->reason = reason;
	return INFLATE_STEP_MALFORMED;
}

/* Looks at the magic number, because the library may be built to read the
 * formats from before 1.0 as well, whose decoders know no bounds. */
enum inflate_step
unzstd_begin_frame(struct inflate_piece *p)
{
	unsigned char b[4] = { 0 };
	uint32_t magic;
	unsigned long long size;

	memcpy(b, p->from, MIN_OF(p->bytes, sizeof b));
	magic = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
	    (uint32_t)b[3] << 24;
	if (magic != FRAME_MAGIC && (magic & SKIPPABLE_MASK) != SKIPPABLE_MAGIC)
		return malformed(p, "not in zstd format");
	size = ZSTD_getFrameContentSize(p->from, p->bytes);
	if (size != ZSTD_CONTENTSIZE_UNKNOWN && size != ZSTD_CONTENTSIZE_ERROR)
		p->expected = (size_t)size;
	return INFLATE_STEP_MORE;
}

enum inflate_step
unzstd_step(struct unzstd *u, struct inflate_piece *p)
{
	ZSTD_inBuffer in = { .src = p->from, .size = p->bytes };
	ZSTD_outBuffer out = { .dst = p->to, .size = p->room };
	size_t result = ZSTD_decompressStream(u->context, &out, &in);

	if (ZSTD_isError(result)) {
		switch (ZSTD_getErrorCode(result)) {
		case ZSTD_error_memory_allocation:
			return INFLATE_STEP_NO_MEMORY;
		case ZSTD_error_frameParameter_windowTooLarge:
			return malformed(p, WINDOW_TOO_LARGE);
		default: return malformed(p, ZSTD_getErrorName(result));
		}
	}
	p->from += in.pos;
	p->bytes -= in.pos;
	p->to += out.pos;
	p->room -= out.pos;
	return result == 0 ? INFLATE_STEP_OVER : INFLATE_STEP_MORE;
}
