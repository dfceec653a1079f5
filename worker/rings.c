/*
 * rings - the worker's ends of all its channels, one a receiver
 *
 * Process: worker.
 */
#include "rings.h"

#include <stdlib.h>

#include "panic.h"

bool
rings_attach(struct rings *r, const struct heritage *h)
{
	r->count = h->channel_count;
	r->all = must_calloc(r->count, sizeof r->all[0]);
	for (unsigned i = 0; i < r->count; i++) {
		const struct heritage_channel *c = &h->channels[i];

		if (!channel_attach(&r->all[i], c->memory_fd, c->worker_bell,
			c->receiver_bell))
			return false;
	}
	rings_stop(r, false);
	return true;
}

void
rings_detach(struct rings *r)
{
	for (unsigned i = 0; i < r->count; i++)
		channel_detach(&r->all[i]);
	free(r->all);
	*r = (struct rings){ .all = NULL };
}

void
rings_stop(const struct rings *r, bool stopped)
{
	for (unsigned i = 0; i < r->count; i++)
		channel_stop(&r->all[i], stopped);
}

void
rings_tell(
    const struct rings *r, const struct delivery *d, enum delivery_mode mode)
{
	bool want = d->table->is_spread(d);
	bool durable = d->table->answers_durable(d);

	for (unsigned i = 0; i < r->count; i++) {
		struct channel *c = &r->all[i];

		if (channel_wants_hashes(c) != want)
			channel_want_hashes(c, want);
		if (channel_answers_durable(c) != durable)
			channel_answer_durable(c, durable);
		if (channel_delivery(c) != mode)
			channel_deliver(c, mode);
	}
}

bool
rings_may_sleep(const struct rings *r)
{
	bool quiet = true;

	for (unsigned i = 0; i < r->count; i++)
		quiet &= ring_consumer_may_sleep(&r->all[i].events);
	return quiet;
}

void
rings_awake(const struct rings *r)
{
	for (unsigned i = 0; i < r->count; i++)
		ring_consumer_awake(&r->all[i].events);
}
