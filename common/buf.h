/*
 * buf - growable bytes with a hard limit
 *
 * Process: all. Owner is the struct that embeds it. Appending past the limit
 * (or past memory) marks the buffer as failed and changes nothing; the mark
 * stays until buf_reset, so a row of appends is checked once at its end.
 */
#pragma once

#include "base.h"

struct buf {
	char *bytes;
	size_t used, size, max;
	bool failed;
};

void buf_init(struct buf *, size_t max);
void buf_free(struct buf *);
void buf_reset(struct buf *); /* empties it, keeps its memory */
/* Room for `more` bytes behind `used` (not counted as used), or NULL. */
char *buf_room(struct buf *, size_t more);
void buf_add(struct buf *, const void *bytes, size_t count);
void buf_add_text(struct buf *, const char *text);
void buf_addf(struct buf *, const char *format, ...) PRINTF_LIKE(2, 3);
/* As a JSON string, with its quotes. */
void buf_add_json_string(struct buf *, const char *text, size_t count);
/* Drops the first `count` bytes. */
void buf_consume(struct buf *, size_t count);
/* The bytes with a NUL behind them (not counted); NULL when failed. */
const char *buf_text(struct buf *);
/* The same of a text whose length nobody outside decides: without memory the
 * process ends. */
const char *buf_must_text(struct buf *);
