/*
 * push - the delivery by realtime tasks, Druid up to 30
 *
 * Process: worker.
 */
#include "push.h"

#include <stdlib.h>

#include "clock.h"
#include "late.h"
#include "panic.h"
#include "partition.h"

struct push {
	struct delivery delivery;
	struct push_parts p;
	struct interval now; /* with task.type …appenderator: the clock's */
	struct interval bucket; /* of the last event that was looked up */
};

static struct push *
push_of(struct delivery *d)
{
	return CONTAINER_OF(d, struct push, delivery);
}

static const struct push *
view_of(const struct delivery *d)
{
	return (const struct push *)(const void *)d;
}

static void
free_push(struct delivery **d)
{
	struct push *p = push_of(*d);

	*d = NULL;
	dispatch_free(&p->p.dispatch);
	free(p);
}

static void
replay(struct delivery *d)
{
	dispatch_replay(push_of(d)->p.dispatch);
	beam_cluster_look(push_of(d)->p.cluster);
}

/* ---- events ---- */

static void
begin(struct delivery *d)
{
	struct push *p = push_of(d);

	if (p->p.ds->any_time)
		p->now = granularity_bucket(
		    &p->p.ds->segment_granularity, clock_wall_ms());
}

static bool
is_spread(const struct delivery *d)
{
	return dispatch_is_spread(view_of(d)->p.dispatch);
}

static bool
keeps(
    const struct delivery *d, const struct event *e, const struct batch *batch)
{
	return partition_is_any_time(batch->partition) !=
	    dispatch_binds(view_of(d)->p.dispatch, e->timestamp_ms);
}

/* The interval is that of its time, or of the clock. */
static unsigned
route(struct delivery *d, const struct event *e, struct interval *bucket)
{
	struct push *p = push_of(d);
	bool any_time = !dispatch_binds(p->p.dispatch, e->timestamp_ms);
	unsigned partitions;

	*bucket = any_time
	    ? p->now
	    : granularity_bucket_near(
		  &p->p.ds->segment_granularity, &p->bucket, e->timestamp_ms);
	partitions =
	    dispatch_partitions(p->p.dispatch, bucket->start, any_time);
	return partition_pick(e->hash, partitions) +
	    (any_time ? PARTITION_ANY_TIME : 0);
}

/* ---- batches ---- */

static unsigned
lane(struct delivery *d, struct interval interval, unsigned partition)
{
	return dispatch_lane(push_of(d)->p.dispatch, interval, partition);
}

static void
durable(struct delivery *d, struct delivery_batch *b)
{
	dispatch_sealed(push_of(d)->p.dispatch, &b->entry, b->value, b->bytes);
}

static bool
wants_commit(const struct delivery *d)
{
	return dispatch_wants_commit(view_of(d)->p.dispatch);
}

static void
write_changes(struct delivery *d)
{
	dispatch_write(push_of(d)->p.dispatch);
}

static void
written(struct delivery *d)
{
	dispatch_written(push_of(d)->p.dispatch);
}

static void
look_again(struct delivery *d)
{
	dispatch_look_again(push_of(d)->p.dispatch);
}

static void
warm(struct delivery *d, struct interval interval)
{
	dispatch_warm(push_of(d)->p.dispatch, interval);
}

static void
run(struct delivery *d)
{
	dispatch_run(push_of(d)->p.dispatch);
}

/* ---- ends ---- */

static void
hold(struct delivery *d)
{
	dispatch_hold(push_of(d)->p.dispatch);
}

static bool
is_settled(const struct delivery *d)
{
	const struct push *p = view_of(d);

	return dispatch_counts(p->p.dispatch).in_flight == 0 &&
	    !dispatch_wants_commit(p->p.dispatch) &&
	    !beam_cluster_is_making(p->p.cluster);
}

static bool
is_drained(const struct delivery *d)
{
	const struct push *p = view_of(d);

	return spool_queued(p->p.spool) == late_batches(p->p.late) &&
	    !dispatch_wants_commit(p->p.dispatch);
}

static bool
answers_durable(const struct delivery *d UNUSED)
{
	return false;
}

/* ---- what can be seen ---- */

static struct delivery_counts
counts(const struct delivery *d)
{
	const struct push *p = view_of(d);
	struct delivery_counts c = dispatch_counts(p->p.dispatch);

	c.tasks_created = beam_cluster_tasks_created(p->p.cluster);
	return c;
}

static struct json *
note_overdue(unsigned tasks)
{
	char *text = must_format("%u task%s after the shutoff time: the "
				 "hand-off does not come",
	    tasks, tasks == 1 ? " runs on" : "s run on");
	struct json *note = json_new_text(text);

	free(text);
	return note;
}

static void
describe(const struct delivery *d, struct json *to, struct json *notes)
{
	const struct push *p = view_of(d);
	const char *note = beam_cluster_note(p->p.cluster);
	unsigned overdue = dispatch_overdue(p->p.dispatch);

	json_set(to, "beams", dispatch_describe(p->p.dispatch));
	if (note[0] != '\0')
		json_append(notes, json_new_text(note));
	if (overdue > 0)
		json_append(notes, note_overdue(overdue));
	delivery_note_log(p->p.spool, notes);
}

static bool
changed(struct delivery *d)
{
	bool beams = dispatch_changed(push_of(d)->p.dispatch);

	return beam_cluster_changed(push_of(d)->p.cluster) || beams;
}

static const struct delivery_table table = { .name = "push",
	.free = free_push,
	.replay = replay,
	.begin = begin,
	.is_spread = is_spread,
	.keeps = keeps,
	.route = route,
	.lane = lane,
	.durable = durable,
	.wants_commit = wants_commit,
	.write = write_changes,
	.written = written,
	.look_again = look_again,
	.warm = warm,
	.run = run,
	.hold = hold,
	.drain = delivery_no_drain,
	.is_dry = delivery_yes,
	.is_settled = is_settled,
	.is_drained = is_drained,
	.answers_durable = answers_durable,
	.counts = counts,
	.describe = describe,
	.changed = changed };

struct delivery *
push_new(const struct push_parts *parts)
{
	struct push *p = must_calloc(1, sizeof *p);

	p->delivery.table = &table;
	p->p = *parts;
	return &p->delivery;
}
