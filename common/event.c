/*
 * event - how events lie in the event ring: blocks of one request's share
 *
 * Process: receiver writes, worker reads. Pure.
 */
#include "event.h"

#include <stdatomic.h>
#include <string.h>

_Static_assert(sizeof(struct event_block) % 8 == 0, "events are aligned");
_Static_assert(sizeof(struct event) % 8 == 0, "events are aligned");

const char *
event_drop_name(enum drop_reason reason)
{
	static const char *const names[] = { [DROP_WINDOW] = "window" };

	_Static_assert(ARRAY_LEN(names) == DROP_REASONS, "each has a name");
	return names[reason];
}

bool
event_open(struct event_reader *r, const void *at, uint64_t available,
    struct event_block *head)
{
	if (available < sizeof *head)
		return false;
	memcpy(head, at, sizeof *head);
	/* a real copy: its members are not to be read from `at` again */
	atomic_signal_fence(memory_order_seq_cst);
	r->next = (const char *)at + sizeof *head;
	r->end = (const char *)at + head->bytes;
	return head->magic == EVENT_BLOCK_MAGIC &&
	    head->bytes >= sizeof *head && head->bytes <= available &&
	    head->bytes % 8 == 0;
}

const char *
event_next(struct event_reader *r, struct event *head, bool *damaged)
{
	size_t left = (size_t)(r->end - r->next);
	const char *text = r->next + sizeof *head;

	*damaged = left > 0 && left < sizeof *head;
	if (left < sizeof *head)
		return NULL;
	memcpy(head, r->next, sizeof *head);
	atomic_signal_fence(memory_order_seq_cst);
	*damaged = event_record_bytes(head->bytes) > left;
	if (*damaged)
		return NULL;
	r->next += event_record_bytes(head->bytes);
	return text;
}
