/*
 * condemned - batches that have killed their worker again and again
 *
 * Process: worker.
 */
#include "condemned.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "log.h"
#include "ndjson.h"
#include "spool_dead.h"

/* Events that are dead letters by themselves have left the batch. */
static bool
write_file(struct spool *s, const struct hand_item *item,
    const struct batch_view *v, const struct quarantine_options *o, char *error,
    size_t bytes)
{
	struct buf lines;
	unsigned refused;
	uint32_t *places = spool_refused_places(s, v, &refused);
	struct quarantine_piece piece = {
		.item = item, .now_ms = clock_wall_ms(), .lines = &lines
	};
	bool good;

	buf_init(&lines, SIZE_MAX);
	piece.events = ndjson_add_without(
	    &lines, v->body, v->header->body_bytes, places, refused);
	good = quarantine_write(o, &piece, error, bytes);
	buf_free(&lines);
	free(places);
	return good;
}

static bool
set_aside(struct spool *s, const struct hand_item *item,
    const struct quarantine_options *o, char *error, size_t bytes)
{
	struct spool_entry e;
	struct batch_view view;
	size_t value_bytes;
	bool damaged, good;
	char *value;

	if (!spool_find(s, item->key, &e))
		return true; /* it is gone already */
	value = spool_load(s, item->key, &value_bytes, &damaged);
	if (damaged)
		return true; /* it becomes a dead letter before it is sent */
	if (value == NULL) {
		snprintf(error, bytes,
		    "spool: batch %" PRIu64 ", which kills its worker, cannot "
		    "be read to be set aside: no memory, or it is not there",
		    item->key);
		return false;
	}
	batch_view_own(value, value_bytes, &view);
	good = write_file(s, item, &view, o, error, bytes);
	free(value);
	if (!good)
		return false;
	spool_begin(s);
	spool_quarantine(s, &e);
	if (spool_commit(s, error, bytes) != RESULT_OK)
		return false;
	log_error("quarantine: a batch (%u events) has killed the worker %d "
		  "times running and is set aside in %s",
	    e.events, HAND_DEATHS, o->dir);
	return true;
}

bool
condemned_set_aside(struct spool *s, struct hand *h,
    const struct quarantine_options *o, char *error, size_t bytes)
{
	for (uint32_t i = h->condemned_count; i-- > 0;) {
		const struct hand_item item = h->condemned[i];

		if (item.kind != HAND_BATCH)
			continue;
		if (!set_aside(s, &item, o, error, bytes))
			return false;
		hand_settled(h, &item);
	}
	return true;
}
