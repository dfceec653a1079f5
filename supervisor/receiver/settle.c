/*
 * settle - posts that are in the rings become durable and acknowledged
 *
 * Process: receiver.
 *
 * Only outlets at which somebody waits are looked at, so a turn's cost does
 * not grow with the number of dataSources.
 */
#include "settle.h"

#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "panic.h"

#define STRAYS_MS 1000

static void
finish(struct post *p)
{
	struct reply r = { .status = 200,
		.received = p->received,
		.archived = p->late[LATE_ARCHIVE],
		.appended = p->late[LATE_APPEND] };

	memcpy(r.dropped, p->dropped, sizeof r.dropped);
	r.is_repeat = p->is_repeat;
	r.spooled = r.archived + r.appended;
	for (const struct share *s = p->shares; s != NULL; s = s->next) {
		r.sent += s->sent;
		r.dropped_late += s->dropped;
		r.spooled += s->events - s->sent - s->dropped;
	}
	post_answer(p, &r);
}

/* The worker would not have it under this Idempotency-Key. */
static void
refuse_key(struct post *p)
{
	struct reply r = { .status = 503,
		.retry_after_s = 1,
		.text = "Not all of the request is known under its "
			"Idempotency-Key; send it again\n" };

	if (p->is_other)
		r = (struct reply){ .status = 422,
			.text = "The Idempotency-Key was used with another "
				"body\n" };
	post_answer(p, &r);
}

static void
finish_if_settled(struct post *p)
{
	bool durable_will_do =
	    p->is_async || p->is_enough || p->posts->is_orphaned;

	if (!p->is_begun || p->blocked_at != NULL || p->not_told > 0)
		return;
	if (UNLIKELY(p->is_other || p->is_again))
		refuse_key(p);
	else if (durable_will_do ? p->not_durable == 0 : p->not_settled == 0)
		finish(p);
}

void
settle_orphaned(struct posts *ps)
{
	ps->is_orphaned = true;
	ticket_each(&ps->tickets, finish_if_settled);
}

/* The answer's time is up. */
void
settle_timer_due(struct loop_timer *timer)
{
	struct post *p = timer->context;
	bool is_durable = true;

	for (const struct share *s = p->shares; s != NULL; s = s->next)
		is_durable = is_durable && s->is_durable;
	if (is_durable && p->not_told == 0) {
		finish(p);
		return;
	}
	post_answer(p,
	    &(struct reply){ .status = 503,
		.retry_after_s = 1,
		.text = "The events were not on disk within "
			"druidBeam.firehoseRetryPeriod; they may be "
			"delivered or not, send them again\n" });
}

static bool
is_acked(const struct share *s)
{
	return s->events == s->sent + s->dead + s->dropped;
}

/* Late events get no acks: that the others have theirs says nothing of a late
 * one in a block behind them. So both must have come; and what a keyed share
 * has to wait for is in the worker's word. */
static void
settle_share(struct share *s)
{
	if (!s->is_durable || !is_acked(s) ||
	    (s->post->is_keyed && !s->is_told))
		return;
	s->is_settled = true;
	s->post->not_settled--;
	if (s->post->ticket != 0)
		outlet_waited(s->outlet);
}

static void
share_durable(struct share *s)
{
	FAULT_POINT(DURABLE_SEEN);
	s->is_durable = true;
	s->post->not_durable--;
	if (!s->post->is_async && channel_answers_durable(&s->outlet->channel))
		s->sent = s->events - s->dead - s->dropped;
	settle_share(s);
	finish_if_settled(s->post);
}

static void
look_at_head(struct outlet *o)
{
	struct posts *ps = CONTAINER_OF(o->all, struct posts, outlets);
	uint64_t head = outlet_head(o);
	struct share *s;

	while ((s = o->first_share) != NULL && (int64_t)(head - s->end) >= 0) {
		o->first_share = s->next_waiting;
		if (o->first_share == NULL)
			o->last_share = NULL;
		s->is_waiting = false;
		outlet_waited(o);
		if (s->post != NULL)
			share_durable(s);
		else
			post_free_share(ps, s);
	}
}

/* False: this batch's ack has been counted before. */
static bool
note_batch(struct share *s, uint64_t batch)
{
	for (uint32_t i = 0; i < s->batch_count; i++)
		if (s->batches[i] == batch)
			return false;
	if (s->batch_count == s->batch_size) {
		uint32_t size = s->batch_size * 2;
		uint64_t *more = must_malloc(size * sizeof more[0]);

		memcpy(more, s->batches, s->batch_count * sizeof more[0]);
		if (s->batches != s->few_batches)
			free(s->batches);
		s->batches = more;
		s->batch_size = size;
	}
	s->batches[s->batch_count++] = batch;
	return true;
}

static void
count_ack(struct share *s, const struct ack *ack)
{
	uint32_t left = s->events - s->sent - s->dead - s->dropped;
	uint32_t events = MIN_OF(ack->events, left);

	switch (ack->kind) {
	case ACK_SENT: s->sent += events; break;
	case ACK_DEAD: s->dead += events; break;
	case ACK_DROPPED: s->dropped += events; break;
	default: return; /* of a worker that speaks another language */
	}
	settle_share(s);
	finish_if_settled(s->post);
}

/* The share is what the first request of its key was. */
static void
take_counts(struct share *s, const struct ack_key *k)
{
	struct post *p = s->post;

	if (k->late != s->late || k->dropped != s->window_dropped)
		drops_free(&p->drops); /* they are of now */
	p->late[s->policy] += (uint64_t)k->late - s->late;
	p->dropped[DROP_WINDOW] += (uint64_t)k->dropped - s->window_dropped;
	s->events = MIN_OF(k->events, p->received);
	if (p->is_async)
		return;
	s->sent = MIN_OF(MAX_OF(s->sent, k->sent), s->events);
	s->dead = MIN_OF(MAX_OF(s->dead, k->dead), s->events - s->sent);
	settle_share(s);
}

static void
take_key(struct share *s, const struct ack *ack)
{
	struct post *p = s->post;
	struct ack_key k;

	FAULT_POINT(KEY_SEEN);
	memcpy(&k, ack, sizeof k);
	if (!p->is_keyed || (s->is_told && k.kind != ACK_KEY_ENOUGH))
		return;
	if (!s->is_told)
		p->not_told--;
	s->is_told = true;
	switch (k.kind) {
	case ACK_KEY_REPEAT:
	case ACK_KEY_FIRST:
		p->is_repeat |= k.kind == ACK_KEY_REPEAT;
		take_counts(s, &k);
		break;
	case ACK_KEY_OTHER: p->is_other = true; break;
	case ACK_KEY_AGAIN: p->is_again = true; break;
	default: p->is_enough = true; break;
	}
	finish_if_settled(p);
}

static void
take_ack(struct posts *ps, const struct outlet *o, const struct ack *ack)
{
	const struct post *p = ticket_find(&ps->tickets, ack->ticket);
	struct share *s = p != NULL ? p->shares : NULL;

	while (s != NULL && s->outlet != o)
		s = s->next;
	if (s != NULL &&
	    UNLIKELY(
		ack->kind >= ACK_KEY_FIRST && ack->kind <= ACK_KEY_ENOUGH)) {
		take_key(s, ack);
		return;
	}
	if (s == NULL || s->is_settled || s->batch_count >= s->events)
		return;
	if (note_batch(s, ack->batch))
		count_ack(s, ack);
}

static void
look_at_acks(struct posts *ps, struct outlet *o)
{
	struct ack ack;

	while (channel_next_ack(&o->channel, &ack)) {
		FAULT_POINT(ACK_SEEN);
		take_ack(ps, o, &ack);
	}
}

static void
look_at_blocked(struct outlet *o)
{
	struct post *p;

	while ((p = o->first_blocked) != NULL)
		if (!post_try_write(p) && o->first_blocked == p)
			break;
}

static void
look_at(struct outlet *o, void *context)
{
	struct posts *ps = context;

	look_at_acks(ps, o);
	look_at_head(o);
	look_at_blocked(o);
}

void
settle_posts(struct posts *ps)
{
	outlets_each_active(&ps->outlets, look_at, ps);
}

static void
strays_due(struct loop_timer *timer)
{
	struct posts *ps = timer->context;

	for (struct outlet *o = ps->outlets.first; o != NULL; o = o->next)
		if (o->waiters == 0)
			look_at_acks(ps, o);
	loop_timer_start(ps->loop, timer, STRAYS_MS, strays_due);
}

void
settle_expect_strays(struct posts *ps)
{
	if (loop_timer_active(&ps->strays))
		return;
	ps->strays.context = ps;
	loop_timer_start(ps->loop, &ps->strays, STRAYS_MS, strays_due);
}
