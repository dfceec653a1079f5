/*
 * drops - which events of a request were dropped, and why; which were late
 *
 * Process: receiver. Pure but for the memory.
 * After:   body.c finds them.   Before: answer.c, for ?detail=true.
 */
#pragma once

#include "base.h"
#include "buf.h"
#include "event.h"
#include "late_policy.h"

struct drop {
	uint32_t event; /* its index in the request */
	enum drop_reason reason; /* of one that was dropped */
	bool is_kept; /* it was late, and late.policy keeps it */
	enum late_policy policy; /* of one that is kept */
	uint64_t line; /* of a text body, from 1; 0: it is none */
	int64_t timestamp_ms;
};

/* Of one dataSource, for the log. */
struct drops_note {
	uint64_t count; /* since the last line */
	int64_t said_ms;
};

/* In the order of the events; the first `max` of them. */
struct drops {
	struct drop *list;
	uint32_t count, max;
	/* private */
	uint32_t capacity;
};

/* So many were dropped, one of them with this time: says so, at most once in
 * ten seconds, with all that were dropped since the last time. */
void drops_log(
    struct drops_note *, const char *ds, uint32_t count, int64_t example_ms);
/* Empties it. */
void drops_init(struct drops *, uint32_t max);
void drops_free(struct drops *);
/* False: no memory. One too many is passed over. */
bool drops_add(struct drops *, const struct drop *) MUST_CHECK;
size_t drops_bytes(const struct drops *); /* of memory */
uint32_t drops_kept(const struct drops *); /* how many of the list are */
/* [{"index":1,"line":2,"reason":"window","timestamp":"…"},…], or those that
 * are kept, with "policy":"archive". */
void drops_print(const struct drops *, bool is_kept, struct buf *);
