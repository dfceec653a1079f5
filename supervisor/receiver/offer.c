/*
 * offer - a plan's share is written into its worker's event ring
 *
 * Process: receiver.
 *
 * The timestamp's text is replaced by its milliseconds on the way, so an event
 * is copied once, from the request's bytes to the ring.
 */
#include "offer.h"

#include <string.h>

#include "fault.h"
#include "panic.h"

/* Only this process writes these counters. */
static uint64_t
value(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static void
set(_Atomic uint64_t *counter, uint64_t to)
{
	atomic_store_explicit(counter, to, memory_order_relaxed);
}

static char *
put(char *to, const char *from, size_t bytes)
{
	memcpy(to, from, bytes);
	return to + bytes;
}

/* Two digits a step: a time is the one number written for every event. */
static char *
put_ms(char *to, int64_t ms)
{
	static const char pairs[] =
	    "00010203040506070809101112131415161718192021222324"
	    "25262728293031323334353637383940414243444546474849"
	    "50515253545556575859606162636465666768697071727374"
	    "75767778798081828384858687888990919293949596979899";
	char *end = to + body_digits(ms), *p = end;
	uint64_t n = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms;

	for (; n >= 100; n /= 100) {
		p -= 2;
		memcpy(p, pairs + n % 100 * 2, 2);
	}
	if (n >= 10) {
		p -= 2;
		memcpy(p, pairs + n * 2, 2);
	} else {
		*--p = (char)('0' + n);
	}
	if (ms < 0)
		*--p = '-';
	must(p == to);
	return end;
}

/* The object with its time in milliseconds; returns its end. */
static char *
put_event(char *to, const char *body, const struct body_event *e,
    const struct settings_ds *ds)
{
	const char *from = body + e->at, *end = from + e->bytes;
	const char *rest;

	if (LIKELY(e->time_bytes > 0)) {
		rest = body + e->time_at + e->time_bytes;
		to = put(to, from, e->time_at - e->at);
		to = put_ms(to, e->ms);
	} else {
		rest = from + 1;
		*to++ = '{';
		to = put(to, ds->member, ds->member_bytes);
		to = put_ms(to, e->ms);
		if (e->time_at > 0)
			*to++ = ',';
	}
	return put(to, rest, (size_t)(end - rest));
}

static char *
put_record(char *to, const char *body, const struct body_event *e,
    const struct settings_ds *ds, const uint32_t *ordinal)
{
	struct event head = {
		.timestamp_ms = e->ms, .hash = e->hash, .is_late = e->is_late
	};
	char *text = to + sizeof head, *end;

	if (UNLIKELY(ordinal != NULL)) {
		uint64_t wide = *ordinal;

		text = put(text, (const char *)&wide, EVENT_ORDINAL_BYTES);
	}
	end = put_event(text, body, e, ds);
	head.bytes = (uint32_t)(end - text) & EVENT_BYTES_MAX;
	memcpy(to, &head, sizeof head);
	to = text + event_padded(head.bytes);
	memset(end, 0, (size_t)(to - end));
	return to;
}

/* Fills one block with as many events as it may hold. */
static uint64_t
put_block(
    char *at, struct body_plan *plan, struct body_share *s, const char *body)
{
	struct event_block *b = (void *)at;
	uint64_t max = s->ds->block_bytes_max, used = body_head_bytes(plan);

	b->events = 0;
	while (s->events > 0) {
		const struct body_event *e = &plan->events[s->first];
		uint64_t bytes =
		    body_record_bytes(plan, body_event_bytes(e, s->ds));
		const uint32_t *ordinal =
		    UNLIKELY(plan->is_keyed) ? &plan->ordinals[s->first] : NULL;

		if (used + bytes > max)
			break;
		must(put_record(at + used, body, e, s->ds, ordinal) ==
		    at + used + bytes);
		used += bytes;
		b->events++;
		s->events--;
		s->first = e->next;
	}
	return used;
}

/* What the block is of its request. */
static void
put_key(char *at, const struct body_plan *plan, struct body_share *s)
{
	struct event_key k = plan->key;

	k.from = s->decided;
	k.is_last = s->events == 0;
	k.to = k.is_last ? plan->received : plan->ordinals[s->first];
	k.all = s->all;
	s->decided = k.to;
	memcpy(at, &k, sizeof k);
}

/* The accounts must never know less than the worker, so a block is counted
 * before it can be taken; and if we are killed between the two, our successor
 * has to know what to take back. */
static void
count_block(struct outlet *o, const struct event_block *b, uint64_t dropped)
{
	struct channel_header *h = o->channel.header;
	uint64_t events = value(&h->offered_events);
	uint64_t all_dropped = value(&h->offered_dropped);

	set(&h->undo_events, events);
	set(&h->undo_dropped, all_dropped);
	/* release: with this position come the values that belong to it */
	atomic_store_explicit(&h->undo_tail,
	    ring_tail(&o->channel.events) + b->bytes, memory_order_release);
	/* release: not before the position is there */
	atomic_thread_fence(memory_order_release);
	set(&h->offered_events, events + b->events);
	set(&h->offered_dropped, all_dropped + dropped);
}

static void
commit_block(
    struct outlet *o, struct event_block *b, const struct body_share *s)
{
	uint64_t dropped = 0;

	for (int i = 0; i < DROP_REASONS; i++) {
		b->dropped[i] = s->events == 0 ? s->dropped[i] : 0;
		dropped += b->dropped[i];
	}
	FAULT_POINT(OFFER);
	count_block(o, b, dropped);
	FAULT_POINT(OFFER_COUNTED);
	ring_commit(&o->channel.events, b->bytes);
	FAULT_POINT(OFFERED);
	outlet_mark_dirty(o);
}

bool
offer_share(struct body_plan *plan, struct body_share *s, const char *body,
    uint64_t ticket)
{
	struct outlet *o = s->ds->outlet;
	uint64_t most;

	while ((most = MIN_OF(s->bytes, s->ds->block_bytes_max)) > 0) {
		struct event_block *b;
		uint64_t used;
		char *at;

		FAULT_POINT(RESERVE);
		at = ring_reserve(&o->channel.events, most);
		if (at == NULL)
			return false;
		FAULT_POINT(RESERVED);
		b = (void *)at;
		used = put_block(at, plan, s, body);
		must(used <= most);
		b->magic = EVENT_BLOCK_MAGIC;
		if (UNLIKELY(plan->is_keyed)) {
			b->magic = EVENT_KEYED_MAGIC;
			put_key(at + sizeof *b, plan, s);
		}
		b->bytes = (uint32_t)used;
		b->ticket = ticket;
		s->bytes -= used;
		commit_block(o, b, s);
	}
	must(s->events == 0);
	return true;
}
