/*
 * dead_letter - what a dead letter becomes when it is requeued
 *
 * Process: worker, and tranqctl when no worker runs.
 */
#include "dead_letter.h"

#include <stdlib.h>

#include "late.h"
#include "panic.h"
#include "partition.h"

enum dead_letter_fate
dead_letter_fate(
    const struct ds_conf *ds, const struct spool_dead *d, int64_t now_ms)
{
	bool is_over = d->partition == PARTITION_LATE ||
	    now_ms >= period_add(d->end, &ds->window, 1);

	/* those of any time go on to the tasks of now */
	if (!is_over || partition_is_any_time(d->partition))
		return DEAD_LETTER_QUEUED;
	return ds->late == LATE_DROP ? DEAD_LETTER_STAYS : DEAD_LETTER_LATE;
}

/* Without the events that are dead letters of their own. */
static char *
relabel(struct spool *s, const struct batch_view *v, struct spool_entry *e,
    size_t *bytes)
{
	unsigned all = v->header->events, count;
	uint32_t *events = spool_refused_places(s, v, &count);
	struct batch_seal seal = { .now_ms = v->header->sealed_ms,
		.lane = e->at.lane };
	char *value = NULL;

	if (count < all) {
		e->events = all - count;
		seal.id = spool_take_id(s, e->events);
		value = batch_without(
		    v, &seal, e->at.partition, events, count, bytes);
		e->id = seal.id;
		e->bytes = (uint32_t)*bytes;
		e->sealed_ms = seal.now_ms;
	}
	free(events);
	return value;
}

char *
dead_letter_requeue(struct spool *s, const struct spool_dead *d,
    enum dead_letter_fate fate, unsigned lane, struct spool_entry *e)
{
	bool is_late = fate == DEAD_LETTER_LATE, damaged;
	struct batch_view view;
	size_t bytes, new_bytes;
	char *old = spool_load(s, d->id, &bytes, &damaged), *value;

	if (old == NULL)
		return NULL;
	batch_view_own(old, bytes, &view);
	*e = (struct spool_entry){
		.at = { .start = d->start,
		    .end = d->end,
		    .partition = is_late ? PARTITION_LATE : d->partition,
		    .lane = is_late ? LATE_OPEN_LANE : lane }
	};
	value = relabel(s, &view, e, &new_bytes);
	free(old);
	if (value != NULL)
		spool_revive(s, d->id, value, new_bytes);
	return value;
}
