/*
 * ndjson - a batch's body as lines: one JSON object each
 *
 * Process: worker. Pure. What archive files and batch tasks hold.
 */
#pragma once

#include "base.h"
#include "buf.h"

/* Appends the events of a body as batch.h has it, "[e1,e2][e3]", each with a
 * newline behind it. Line ends within an event (they stand between its tokens
 * only) become spaces. Marks the buffer as failed when there is no room. */
void ndjson_add(struct buf *, const char *body, size_t bytes);
/* One event in the same way. */
void ndjson_add_event(struct buf *, const char *event, size_t bytes);
/* Without some events: a sorted list of their places. How many lines it is. */
unsigned ndjson_add_without(struct buf *, const char *body, size_t bytes,
    const uint32_t *events, unsigned count);
/* The next event of such a body, and how long it is; *at moves behind it. NULL:
 * there is none. */
const char *ndjson_next(const char **at, const char *end, size_t *bytes);
