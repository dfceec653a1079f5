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
_Static_assert(sizeof(struct event_key) % 8 == 0, "events are aligned");

const char *
event_drop_name(enum drop_reason reason)
{
	static const char *const names[] = { [DROP_WINDOW] = "window" };

	_Static_assert(ARRAY_LEN(names) == DROP_REASONS, "each has a name");
	return names[reason];
}

static bool
open_keyed(struct event_reader *r)
{
	if ((size_t)(r->end - r->next) < sizeof r->key)
		return false;
	memcpy(&r->key, r->next, sizeof r->key);
	atomic_signal_fence(memory_order_seq_cst);
	r->next += sizeof r->key;
	r->is_keyed = true;
	return true;
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
	r->is_keyed = false;
	if (head->bytes < sizeof *head || head->bytes > available ||
	    head->bytes % 8 != 0)
		return false;
	return head->magic == EVENT_BLOCK_MAGIC ||
	    (head->magic == EVENT_KEYED_MAGIC && open_keyed(r));
}

const char *
event_next(struct event_reader *r, struct event *head, bool *damaged)
{
	size_t left = (size_t)(r->end - r->next);
	size_t more = UNLIKELY(r->is_keyed) ? EVENT_ORDINAL_BYTES : 0;
	const char *text = r->next + sizeof *head + more;

	*damaged = left > 0 && left < sizeof *head + more;
	if (left < sizeof *head + more)
		return NULL;
	memcpy(head, r->next, sizeof *head);
	if (UNLIKELY(r->is_keyed))
		memcpy(&r->ordinal, text - more, more);
	atomic_signal_fence(memory_order_seq_cst);
	*damaged = event_record_bytes(head->bytes) + more > left;
	if (*damaged)
		return NULL;
	r->next += event_record_bytes(head->bytes) + more;
	return text;
}
