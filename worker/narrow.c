/*
 * narrow - which part of a chunk is sent next when something in it is refused
 *
 * Process: worker. Pure.
 */
#include "narrow.h"

#include "ndjson.h"
#include "panic.h"

static const struct batch_chunk *
chunk_of(const struct batch_view *v, const struct spool_progress *p)
{
	must(p->chunk < v->header->chunk_count);
	return &v->chunks[p->chunk];
}

unsigned
narrow_events(const struct batch_view *v, const struct spool_progress *p)
{
	return narrow_is_on(p) ? p->events : chunk_of(v, p)->events;
}

unsigned
narrow_first(const struct batch_view *v, const struct spool_progress *p)
{
	return chunk_of(v, p)->first + p->first;
}

bool
narrow_refused(const struct batch_view *v, struct spool_progress *p)
{
	unsigned events = narrow_events(v, p);

	if (events == 1) {
		p->events = 1; /* a chunk of one event is a piece too */
		return true;
	}
	p->events = events / 2;
	return false;
}

void
narrow_passed(
    const struct batch_view *v, struct spool_progress *p, unsigned length)
{
	unsigned whole = chunk_of(v, p)->events;

	p->first += p->events;
	p->attempt = 0;
	if (p->first < whole) {
		p->events = MIN_OF(MAX_OF(length, 1), whole - p->first);
		return;
	}
	p->chunk++;
	p->first = p->events = 0;
}

void
narrow_text(
    const struct batch_view *v, const struct spool_progress *p, struct buf *to)
{
	const struct batch_chunk *c = chunk_of(v, p);
	const char *at = v->body + c->offset, *end = at + c->bytes, *event;
	size_t bytes;

	for (unsigned i = 0; i < p->first + p->events &&
	     (event = ndjson_next(&at, end, &bytes)) != NULL;
	     i++) {
		if (i < p->first)
			continue;
		buf_add(to, i == p->first ? "[" : ",", 1);
		buf_add(to, event, bytes);
	}
	buf_add(to, "]", 1);
}
