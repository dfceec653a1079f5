/*
 * append_delivery - the delivery by batch tasks
 *
 * Process: worker.
 */
#include "append_delivery.h"

#include <stdlib.h>

#include "log.h"
#include "panic.h"
#include "partition.h"
#include "queue_move.h"

struct append_delivery {
	struct delivery delivery;
	struct append_delivery_parts p;
	struct queue_move *moves;
};

static struct append_delivery *
append_of(struct delivery *d)
{
	return CONTAINER_OF(d, struct append_delivery, delivery);
}

static const struct append_delivery *
view_of(const struct delivery *d)
{
	return (const struct append_delivery *)(const void *)d;
}

static void
free_append(struct delivery **d)
{
	struct append_delivery *a = append_of(*d);

	*d = NULL;
	queue_move_free(&a->moves);
	free(a);
}

static void
replay(struct delivery *d)
{
	struct append_delivery *a = append_of(d);

	queue_move_replay(a->moves, a->p.late);
	if (queue_move_is_due(a->moves))
		log_info("what waits for realtime tasks goes to batch tasks");
}

/* ---- out of the queue, to the piles ---- */

static struct spool_lane
pile_of(const struct spool_entry *e)
{
	struct interval interval = { e->at.start, e->at.end };

	if (partition_is_any_time(e->at.partition))
		interval = PARTITION_NO_TIME;
	return (struct spool_lane){ .start = interval.start,
		.end = interval.end,
		.partition = PARTITION_LATE,
		.lane = LATE_OPEN_LANE };
}

static bool
is_empty(const struct queue_moved *m)
{
	return m->refused_count >= m->view.header->events;
}

static void
move(void *context, const struct queue_moved *m)
{
	struct append_delivery *a = context;
	struct spool_lane to = pile_of(&m->entry);

	if (is_empty(m))
		spool_remove(a->p.spool, &m->entry);
	else
		spool_move(a->p.spool, &m->entry, &to);
}

static void
moved(void *context, const struct queue_moved *m)
{
	struct append_delivery *a = context;
	struct spool_entry e = m->entry;

	e.at = pile_of(&m->entry);
	if (!is_empty(m))
		late_arrived(a->p.late, &e);
}

/* ---- batches ---- */

static bool
is_spread(const struct delivery *d UNUSED)
{
	return false;
}

/* A dead letter that has come back; others are late.c's. */
static void
durable(struct delivery *d, struct delivery_batch *b)
{
	free(b->value);
	b->value = NULL;
	queue_move_due(append_of(d)->moves);
}

static bool
wants_commit(const struct delivery *d)
{
	return queue_move_is_due(view_of(d)->moves);
}

static void
write_changes(struct delivery *d)
{
	queue_move_write(append_of(d)->moves);
}

static void
written(struct delivery *d)
{
	queue_move_written(append_of(d)->moves);
}

/* ---- ends ---- */

/* What is in the piles waits for its time, here or after the next start. */
static bool
is_drained(const struct delivery *d)
{
	return !queue_move_is_due(view_of(d)->moves);
}

/* ---- what can be seen: the rest is late.c's ---- */

static struct delivery_counts
counts(const struct delivery *d)
{
	struct late_tasks tasks = late_tasks(view_of(d)->p.late);

	return (struct delivery_counts){ .tasks_created = tasks.created,
		.in_flight = tasks.batches };
}

static void
describe(const struct delivery *d, struct json *to UNUSED, struct json *notes)
{
	delivery_note_log(view_of(d)->p.spool, notes);
}

static bool
changed(struct delivery *d UNUSED)
{
	return false;
}

static const struct delivery_table table = { .name = "append",
	.piles = true,
	.free = free_append,
	.replay = replay,
	.begin = delivery_nothing,
	.is_spread = is_spread,
	.lane = delivery_one_lane,
	.durable = durable,
	.wants_commit = wants_commit,
	.write = write_changes,
	.written = written,
	.look_again = delivery_nothing,
	.warm = delivery_no_warmth,
	.run = delivery_nothing,
	.hold = delivery_nothing,
	.drain = delivery_no_drain,
	.is_dry = delivery_yes,
	/* a successor's task is known by its id when it is submitted again */
	.is_settled = delivery_yes,
	.is_drained = is_drained,
	.answers_durable = delivery_yes,
	.counts = counts,
	.describe = describe,
	.changed = changed };

struct delivery *
append_delivery_new(const struct append_delivery_parts *parts)
{
	struct append_delivery *a = must_calloc(1, sizeof *a);
	struct queue_move_parts moves = { .spool = parts->spool,
		.acks = parts->acks,
		.move = move,
		.moved = moved,
		.context = a };

	a->delivery.table = &table;
	a->p = *parts;
	a->moves = queue_move_new(&moves);
	return &a->delivery;
}
