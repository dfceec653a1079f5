/*
 * queue_move - batches that wait for tasks go elsewhere
 *
 * Process: worker.
 */
#include "queue_move.h"

#include <inttypes.h>
#include <stdlib.h>

#include "clock.h"
#include "fault.h"
#include "log.h"
#include "panic.h"
#include "partition.h"

/* With one commit. */
#define MOVE_BYTES (8u * MiB)
#define MOVES_MAX 64

struct queue_move {
	struct queue_move_parts p;
	struct queue_moved moved[MOVES_MAX];
	unsigned count;
	/* whose acks were told, for a commit that has not succeeded yet */
	uint64_t told[MOVES_MAX];
	unsigned told_count;
	bool is_due, is_last; /* nothing is left behind these */
};

struct queue_move *
queue_move_new(const struct queue_move_parts *parts)
{
	struct queue_move *q = must_calloc(1, sizeof *q);

	q->p = *parts;
	return q;
}

static void
forget(struct queue_move *q)
{
	for (unsigned i = 0; i < q->count; i++) {
		free(q->moved[i].value);
		free(q->moved[i].refused);
	}
	q->count = 0;
}

void
queue_move_free(struct queue_move **move)
{
	struct queue_move *q = *move;

	if (q == NULL)
		return;
	*move = NULL;
	forget(q);
	free(q);
}

void
queue_move_replay(struct queue_move *q, struct late *late)
{
	const struct spool_lane *behind = NULL;
	struct spool_lane at;
	struct spool_entry e;
	unsigned batches;

	while (spool_next_lane(q->p.spool, behind, &e, &batches)) {
		at = e.at;
		behind = &at;
		if (at.partition == PARTITION_LATE)
			late_replay_lane(late, &at);
		else
			queue_move_due(q);
	}
}

void
queue_move_due(struct queue_move *q)
{
	q->is_due = true;
}

bool
queue_move_is_due(const struct queue_move *q)
{
	return q->is_due;
}

static void
read_refused(struct queue_move *q, struct queue_moved *m)
{
	uint64_t id = m->view.header->id;

	m->refused_count = spool_refused(q->p.spool, id, NULL, 0);
	m->refused = must_calloc(m->refused_count, sizeof m->refused[0]);
	spool_refused(q->p.spool, id, m->refused, m->refused_count);
}

/* The events are durable where they are, so that who waits for them can hear it
 * before the commit; behind it nobody could tell any more when we die. */
static void
tell(struct queue_move *q, const struct queue_moved *m)
{
	uint64_t id = m->view.header->id;

	for (unsigned i = 0; i < q->told_count; i++)
		if (q->told[i] == id)
			return;
	if (q->told_count < MOVES_MAX)
		q->told[q->told_count++] = id;
	ack_batch(q->p.acks, &m->view, ACK_SENT, m->refused, m->refused_count);
}

/* false: it cannot be read now. */
static bool
move_one(struct queue_move *q, const struct spool_entry *e)
{
	struct queue_moved *m = &q->moved[q->count];
	size_t bytes;
	bool damaged;

	*m = (struct queue_moved){ .entry = *e };
	m->value = spool_load(q->p.spool, e->id, &bytes, &damaged);
	if (m->value == NULL) {
		if (!damaged)
			return false;
		log_error("spool: batch %" PRIu64 " (%u events) is damaged on "
			  "the disk; it is kept as a dead letter",
		    e->id, e->events);
		spool_bury(q->p.spool, e, SPOOL_WHY_DAMAGED, clock_wall_ms());
		return true;
	}
	batch_view_own(m->value, bytes, &m->view);
	read_refused(q, m);
	q->count++;
	FAULT_POINT(REROUTE);
	q->p.move(q->p.context, m);
	tell(q, m);
	return true;
}

/* The looks show what the last commit has left, so each lane is gone through
 * behind what is moved now. */
void
queue_move_write(struct queue_move *q)
{
	const struct spool_lane *behind = NULL;
	struct spool_entry e;
	struct spool_lane at;
	unsigned batches;
	size_t bytes = 0;

	forget(q); /* of a commit that failed */
	q->is_last = false;
	while (q->is_due && spool_next_lane(q->p.spool, behind, &e, &batches)) {
		uint64_t after = 0;

		at = e.at;
		behind = &at;
		while (at.partition != PARTITION_LATE &&
		    spool_next(q->p.spool, &at, after, &e)) {
			if (q->count == MOVES_MAX || bytes >= MOVE_BYTES ||
			    !move_one(q, &e))
				return;
			after = e.id;
			bytes += e.bytes;
		}
	}
	q->is_last = true;
}

void
queue_move_written(struct queue_move *q)
{
	if (!q->is_due)
		return;
	for (unsigned i = 0; i < q->count; i++) {
		const struct queue_moved *m = &q->moved[i];

		FAULT_POINT(REROUTED);
		if (q->p.moved != NULL)
			q->p.moved(q->p.context, m);
	}
	forget(q);
	q->told_count = 0;
	q->is_due = !q->is_last;
}
