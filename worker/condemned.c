/*
 * condemned - batches that have killed their worker again and again
 *
 * Process: worker.
 */
#include "condemned.h"

#include <stdlib.h>

#include "clock.h"
#include "log.h"
#include "ndjson.h"
#include "spool_dead.h"

static bool
write_file(struct spool *s, const struct hand_item *item,
    const struct quarantine_options *o, char *error, size_t bytes)
{
	struct quarantine_piece piece = { .item = item,
		.now_ms = clock_wall_ms() };
	struct batch_view view;
	struct buf lines;
	size_t value_bytes;
	bool damaged, good;
	char *value = spool_load(s, item->key, &value_bytes, &damaged);

	if (value == NULL)
		return damaged; /* it is a dead letter as soon as it is sent */
	batch_view_own(value, value_bytes, &view);
	buf_init(&lines, SIZE_MAX);
	ndjson_add(&lines, view.body, view.header->body_bytes);
	piece.lines = lines.bytes;
	piece.bytes = lines.used;
	piece.events = view.header->events;
	good = quarantine_write(o, &piece, error, bytes);
	buf_free(&lines);
	free(value);
	return good;
}

static bool
set_aside(struct spool *s, const struct hand_item *item,
    const struct quarantine_options *o, char *error, size_t bytes)
{
	struct spool_entry e;

	if (!spool_find(s, item->key, &e))
		return true; /* it is gone already */
	if (!write_file(s, item, o, error, bytes))
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
