/*
 * unzstd - zstd frames, piece by piece
 *
 * Process: receiver.   Owns: zstd; nothing else includes it.
 * Used by: inflate.c, which owns the output and its bounds.
 */
#pragma once

#include "base.h"

/* What any decoder is given: both sides move on as they are used. */
struct inflate_piece {
	const char *from;
	size_t bytes; /* left */
	char *to;
	size_t room;
	size_t expected; /* at a member's begin: bytes it says it has, or 0 */
	const char *reason; /* with INFLATE_STEP_MALFORMED */
};

enum inflate_step {
	INFLATE_STEP_MORE, /* the member goes on: more input or more room */
	INFLATE_STEP_OVER, /* a member has ended */
	INFLATE_STEP_MALFORMED,
	INFLATE_STEP_NO_MEMORY
};

struct ZSTD_DCtx_s;

struct unzstd {
	struct ZSTD_DCtx_s *context; /* kept between bodies */
};

void unzstd_fini(struct unzstd *);
/* Before each body. False: no memory. */
bool unzstd_begin_body(struct unzstd *) MUST_CHECK;
/* Before each frame; takes nothing. */
enum inflate_step unzstd_begin_frame(struct inflate_piece *);
enum inflate_step unzstd_step(struct unzstd *, struct inflate_piece *);
