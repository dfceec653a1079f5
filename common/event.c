/*
 * event - how events lie in the event ring: blocks of one request's share
 *
 * Process: receiver writes, worker reads. Pure.
 */
#include "event.h"

#include "panic.h"

_Static_assert(sizeof(struct event_block) % 8 == 0, "events are aligned");
_Static_assert(sizeof(struct event) % 8 == 0, "events are aligned");

bool
event_block_valid(const void *at, uint64_t available)
{
	const struct event_block *b = at;

	return available >= sizeof *b && b->magic == EVENT_BLOCK_MAGIC &&
	    b->bytes >= sizeof *b && b->bytes <= available && b->bytes % 8 == 0;
}

const struct event *
event_next(const struct event_block *b, const struct event *at, bool *damaged)
{
	const char *end = (const char *)b + b->bytes;
	const char *next = at == NULL
	    ? (const char *)(b + 1)
	    : (const char *)at + event_record_bytes(at->bytes);
	const struct event *e = (const void *)next;

	*damaged = false;
	if (next == end)
		return NULL;
	if ((size_t)(end - next) < sizeof *e ||
	    (size_t)(end - next) < event_record_bytes(e->bytes)) {
		*damaged = true;
		return NULL;
	}
	return e;
}
