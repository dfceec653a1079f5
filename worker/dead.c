/*
 * dead - requeues and drops dead letters while the worker runs
 *
 * Process: worker.
 */
#include "dead.h"

#include <inttypes.h>
#include <stdlib.h>

#include "clock.h"
#include "dead_letter.h"
#include "log.h"
#include "panic.h"
#include "partition.h"
#include "spool_dead.h"

#define LETTERS_A_COMMIT 32

/* A letter that waits in the queue again, with the open transaction. */
struct item {
	struct spool_entry entry;
	char *value;
};

struct dead {
	struct dead_parts p;
	struct order_message order; /* 0: none is at work */
	uint64_t after, reached; /* ids: done, with the open transaction */
	uint32_t letters, events, stay; /* done so far */
	uint32_t more_letters, more_events, more_stay; /* with it */
	bool is_last; /* nothing is left behind the transaction */
	struct item items[LETTERS_A_COMMIT];
	unsigned count;
	bool reports;
	struct order_message report;
};

struct dead *
dead_new(const struct dead_parts *parts)
{
	struct dead *d = must_calloc(1, sizeof *d);

	d->p = *parts;
	return d;
}

static void
forget_items(struct dead *d)
{
	for (unsigned i = 0; i < d->count; i++)
		free(d->items[i].value);
	d->count = 0;
	d->more_letters = d->more_events = d->more_stay = 0;
}

void
dead_free(struct dead **dead)
{
	struct dead *d = *dead;

	if (d == NULL)
		return;
	*dead = NULL;
	forget_items(d);
	free(d);
}

void
dead_order(struct dead *d, const struct order_message *m)
{
	forget_items(d);
	d->order = *m;
	d->after = m->value == ORDER_DEAD_ALL ? 0 : m->value - 1;
	d->letters = d->events = d->stay = 0;
	d->reports = false;
}

bool
dead_report(struct dead *d, struct order_message *m)
{
	bool reports = d->reports;

	d->reports = false;
	*m = d->report;
	return reports;
}

bool
dead_wants_commit(const struct dead *d)
{
	return d->order.order != 0;
}

/* false: it stays. */
static bool
requeue(struct dead *d, const struct spool_dead *l)
{
	struct interval interval = { l->start, l->end };
	struct item *item = &d->items[d->count];
	enum dead_letter_fate fate =
	    dead_letter_fate(d->p.ds, l, clock_wall_ms());
	unsigned lane = 0;

	if (fate == DEAD_LETTER_STAYS)
		return false;
	if (fate == DEAD_LETTER_QUEUED)
		lane = d->p.delivery->table->lane(
		    d->p.delivery, interval, l->partition);
	item->value =
	    dead_letter_requeue(d->p.spool, l, fate, lane, &item->entry);
	if (item->value == NULL)
		return false;
	d->count++;
	return true;
}

static void
write_one(struct dead *d, const struct spool_dead *l)
{
	bool done = true;

	if (d->order.index == ORDER_DEAD_DROP)
		spool_drop_dead(d->p.spool, l->id);
	else
		done = requeue(d, l);
	d->more_letters += done;
	d->more_events += done ? l->events : 0;
	d->more_stay += !done;
}

void
dead_write(struct dead *d)
{
	struct spool_dead l = { .id = d->after };
	bool all = d->order.value == ORDER_DEAD_ALL;

	if (!dead_wants_commit(d))
		return;
	forget_items(d); /* of a commit that failed */
	d->is_last = false;
	for (unsigned i = 0; i < LETTERS_A_COMMIT && !d->is_last; i++) {
		d->is_last = !spool_next_dead(d->p.spool, l.id, &l) ||
		    (!all && l.id != d->order.value);
		if (!d->is_last)
			write_one(d, &l);
		d->is_last |= !all;
	}
	d->reached = l.id;
}

static void
finish(struct dead *d)
{
	d->report = (struct order_message){ .order = ORDER_DEAD_DONE,
		.index = d->letters,
		.value = (uint64_t)d->stay << 32 | d->events };
	d->reports = true;
	log_info("dead letters: %u %s (%u events), %u stay", d->letters,
	    d->order.index == ORDER_DEAD_DROP ? "dropped" : "requeued",
	    d->events, d->stay);
	d->order.order = 0;
}

void
dead_written(struct dead *d)
{
	if (!dead_wants_commit(d))
		return;
	for (unsigned i = 0; i < d->count; i++) {
		struct item *item = &d->items[i];

		if (item->entry.at.partition == PARTITION_LATE) {
			late_arrived(d->p.late, &item->entry);
			free(item->value);
		} else {
			struct delivery_batch b = { .value = item->value,
				.bytes = item->entry.bytes,
				.entry = item->entry };

			d->p.delivery->table->durable(d->p.delivery, &b);
		}
		item->value = NULL;
	}
	d->count = 0;
	d->letters += d->more_letters;
	d->events += d->more_events;
	d->stay += d->more_stay;
	d->after = d->reached;
	if (d->is_last)
		finish(d);
}
