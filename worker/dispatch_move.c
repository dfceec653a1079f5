/*
 * dispatch_move - batches go on to the tasks of a later interval
 *
 * Process: worker.
 */
#include "dispatch_internal.h"

#include <stdlib.h>

#include "clock.h"
#include "fault.h"
#include "panic.h"
#include "partition.h"

/* Whether no task holds the interval's lock any more: its events would make
 * the tasks fail that they go to. */
static bool
is_unlocked(struct beam *b)
{
	struct dispatch *d = b->dispatch;
	unsigned partitions;

	if (partition_is_any_time(b->partition))
		return true;
	partitions = beam_cluster_timed(d->p.cluster, b->interval.start);
	for (unsigned p = 0; p < partitions; p++) {
		struct beam *one = dispatch_have_beam(d, b->interval, p);

		if (one->state != BEAM_OVER || dispatch_is_running(one))
			return false;
	}
	return true;
}

/* A beam that is over is kept while others of its interval look at it. */
bool
dispatch_move_watches(const struct beam *b)
{
	const struct dispatch *d = b->dispatch;
	struct beam *other;

	if (!d->p.ds->any_time || partition_is_any_time(b->partition))
		return false;
	TAILQ_FOREACH(other, &d->beams, link)
	if (other->interval.start == b->interval.start &&
	    !partition_is_any_time(other->partition) &&
	    dispatch_waiting(other) > 0)
		return true;
	return false;
}

/* The beam of now that takes the batches, and how many it has room for. */
static struct beam *
heir(struct beam *b, unsigned *room)
{
	struct dispatch *d = b->dispatch;
	struct interval now =
	    granularity_bucket(&d->p.ds->segment_granularity, clock_wall_ms());
	unsigned count = dispatch_partitions(d, now.start, true);
	struct beam *to = dispatch_have_beam(d, now,
	    PARTITION_ANY_TIME + partition_number(b->partition) % count);
	uint64_t most = 2 * (uint64_t)to->lane_count;
	uint64_t have = dispatch_waiting(to) + d->moving;

	*room = 0;
	if (to->state == BEAM_OPEN && have < most &&
	    replicant_state(to->targets[0].replicant) == REPLICANT_OPEN)
		*room = (unsigned)(most - have);
	return to;
}

/* false: not now. */
static bool
move(struct lane *lane, const struct spool_entry *e, struct beam *to)
{
	struct dispatch *d = lane->beam->dispatch;
	struct move *m;
	struct held *h;
	bool damaged;

	if (e->id <= lane->acked) { /* nothing is left to be sent */
		dispatch_leave_lane(lane, e, LEAVE_SENT);
		return true;
	}
	h = held_take(&d->feeds.held, d->p.spool, e, &damaged);
	if (h == NULL && !damaged)
		return false;
	if (h == NULL) {
		dispatch_leave_lane(lane, e, LEAVE_DEAD)->why =
		    SPOOL_WHY_DAMAGED;
		return true;
	}
	m = must_calloc(1, sizeof *m);
	*m = (struct move){ .held = h,
		.interval = to->interval,
		.partition = to->partition,
		.lane =
		    to->next_lane++ % (unsigned)d->p.ds->max_pending_batches,
		.first_chunk =
		    lane->partial == e->id ? lane->partial_chunks : 0 };
	dispatch_leave_lane(lane, e, LEAVE_SENT)->move = m;
	d->moving++;
	return true;
}

void
dispatch_move_some(struct beam *b)
{
	struct spool_entry e;
	unsigned room = 0;
	struct beam *to;

	if (dispatch_waiting(b) == 0 || !is_unlocked(b) ||
	    (to = heir(b, &room)) == b)
		return;
	for (unsigned l = 0; l < b->lane_count; l++) {
		struct lane *lane = &b->lanes[l];

		while (room > 0 &&
		    spool_next(
			b->dispatch->p.spool, &lane->at, lane->removed, &e) &&
		    move(lane, &e, to))
			room--;
	}
}

/* Its new id is taken in the transaction that makes it durable, so that no
 * batch with a higher one can have gone through its lane before it. One that
 * is not there any more has moved by a commit that only seemed to fail: as
 * that one's value, and not a second time. */
void
dispatch_move_write(struct dispatch *d, struct removal *r)
{
	struct move *m = r->move;
	const struct batch_view *v = &m->held->view;
	unsigned left = v->header->events - v->chunks[m->first_chunk].first;
	struct batch_seal seal = { .generation = v->header->generation,
		.now_ms = v->header->sealed_ms,
		.lane = m->lane };
	size_t bytes;

	if (!spool_is_queued(d->p.spool, &r->entry))
		return;
	seal.id = spool_take_id(d->p.spool, left);
	free(m->value); /* of a commit that failed */
	m->value = batch_move(
	    v, &seal, m->interval, m->partition, m->first_chunk, &bytes);
	m->entry = (struct spool_entry){ .at = { .start = m->interval.start,
					     .end = m->interval.end,
					     .partition = m->partition,
					     .lane = m->lane },
		.id = seal.id,
		.events = left,
		.bytes = (uint32_t)bytes,
		.sealed_ms = seal.now_ms };
	FAULT_POINT(MOVE);
	spool_replace(d->p.spool, &r->entry, m->value, bytes);
}

void
dispatch_move_free(struct dispatch *d, struct move *m)
{
	if (m == NULL)
		return;
	held_release(&d->feeds.held, &m->held);
	d->moving--;
	free(m->value);
	free(m);
}

void
dispatch_move_done(struct dispatch *d, struct move *m)
{
	must(m->value != NULL);
	FAULT_POINT(MOVED);
	dispatch_sealed(d, &m->entry, m->value, m->entry.bytes);
	m->value = NULL;
	dispatch_move_free(d, m);
}
