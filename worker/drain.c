/*
 * drain - a dataSource is emptied before its machine goes away
 *
 * Process: worker.
 */
#include "drain.h"

#include <errno.h>
#include <stdlib.h>

#include "clock.h"
#include "drain_mark.h"
#include "log.h"
#include "panic.h"

/* What is done elsewhere (a receiver's last request) wakes nobody here. */
#define LOOK_MS 500

struct drain {
	struct drain_parts p;
	int64_t since_ms; /* wall; 0: it is off */
	enum drain_state state;
	struct loop_timer timer;
};

static void
tell(struct drain *d)
{
	bool on = d->since_ms > 0;

	d->state = on ? DRAIN_ON : DRAIN_OFF;
	for (unsigned i = 0; i < d->p.channel_count; i++)
		channel_drain(&d->p.channels[i], on);
	late_hurry(d->p.late, on);
	d->p.delivery->table->drain(d->p.delivery, on);
}

struct drain *
drain_new(const struct drain_parts *parts)
{
	struct drain *d = must_calloc(1, sizeof *d);

	d->p = *parts;
	d->since_ms = drain_mark_since(parts->dir);
	tell(d);
	if (d->since_ms > 0)
		log_info("is being drained: no events are taken");
	return d;
}

void
drain_free(struct drain **drain)
{
	struct drain *d = *drain;

	if (d == NULL)
		return;
	*drain = NULL;
	loop_timer_stop(&d->timer);
	free(d);
}

struct order_message
drain_order(struct drain *d, const struct order_message *m)
{
	bool on = m->index == ORDER_DRAIN_ON;
	struct order_message report = { .order = ORDER_DRAIN_DONE,
		.index = m->index };

	if (on ? !drain_mark_set(d->p.dir, clock_wall_ms())
	       : !drain_mark_clear(d->p.dir)) {
		report.value = (uint64_t)errno;
		log_warn("drain: %s", d->p.dir);
		return report;
	}
	if (on == (d->since_ms > 0))
		return report;
	d->since_ms = drain_mark_since(d->p.dir);
	tell(d);
	log_info(on ? "is being drained: no events are taken from now on"
		    : "is not drained any more: events are taken again");
	return report;
}

enum drain_state
drain_state(const struct drain *d)
{
	return d->state;
}

/* All that was written is durable elsewhere. */
static bool
is_empty(struct ring *r)
{
	uint64_t bytes;

	return ring_peek(r, &bytes) == NULL && ring_taken(r) == ring_head(r);
}

/* In this order: what a request has written before it left the count is in the
 * ring. */
static bool
is_dry(const struct drain *d)
{
	const struct delivery_table *way = d->p.delivery->table;

	for (unsigned i = 0; i < d->p.channel_count; i++)
		if (!channel_is_shut(&d->p.channels[i]) ||
		    !is_empty(&d->p.channels[i].events))
			return false;
	return spool_batches(d->p.spool) == 0 && late_is_empty(d->p.late) &&
	    way->is_settled(d->p.delivery) && way->is_dry(d->p.delivery);
}

static void
look_due(struct loop_timer *t UNUSED)
{
	/* the turn that it made looks */
}

bool
drain_look(struct drain *d, bool takes)
{
	enum drain_state was = d->state;

	if (was == DRAIN_OFF)
		return false;
	d->state = takes && is_dry(d) ? DRAIN_DONE : DRAIN_ON;
	if (!loop_timer_active(&d->timer))
		loop_timer_start(d->p.loop, &d->timer, LOOK_MS, look_due);
	if (d->state == was)
		return false;
	log_info(d->state == DRAIN_DONE
		? "drained: Druid has all that was taken"
		: "drains again");
	return true;
}

void
drain_describe(const struct drain *d, struct json *to)
{
	struct json *j;

	if (d->state == DRAIN_OFF)
		return;
	j = json_new_object();
	json_set_int(j, "since", d->since_ms);
	json_set_bool(j, "done", d->state == DRAIN_DONE);
	json_set(to, "drain", j);
}
