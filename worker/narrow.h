/*
 * narrow - which part of a chunk is sent next when something in it is refused
 *
 * Process: worker. Pure.
 *
 * A task that refuses a row takes none of its request. So the chunk goes out in
 * pieces, halves of what was refused, until the rows that are refused stand
 * alone. Each piece begins at an event that has its own number, so that its
 * sequence is above those before it; where it begins and how long it is has to
 * be in the spool before it is sent.
 */
#pragma once

#include "batch.h"
#include "buf.h"
#include "spool.h"

static inline bool
narrow_is_on(const struct spool_progress *p)
{
	return p->events > 0;
}

/* The piece was refused. True: it is one event, which is the one; progress
 * stays at it. False: the next try is half of it. */
bool narrow_refused(const struct batch_view *, struct spool_progress *);
/* The piece is taken, or its only event was set aside. `length`: of the next
 * one, if there is as much. At the chunk's end progress is at the next chunk,
 * which is whole again. */
void narrow_passed(
    const struct batch_view *, struct spool_progress *, unsigned length);
/* Events of the piece; the number of its first in the batch. */
unsigned
narrow_events(const struct batch_view *, const struct spool_progress *);
unsigned narrow_first(const struct batch_view *, const struct spool_progress *);
/* The piece's text, "[e3,e4]"; the buffer is failed when there is no room. */
void narrow_text(
    const struct batch_view *, const struct spool_progress *, struct buf *to);
