/*
 * parcel - late batches that are brought out of the spool together
 *
 * Process: worker.
 */
#include "parcel.h"

#include <inttypes.h>
#include <stdlib.h>

#include "log.h"
#include "ndjson.h"
#include "panic.h"
#include "spool_dead.h"

struct parcel *
parcel_new(uint32_t number, enum late_policy kind)
{
	struct parcel *p = must_calloc(1, sizeof *p);

	p->number = number;
	p->kind = kind;
	return p;
}

void
parcel_free(struct parcel **parcel)
{
	struct parcel *p = *parcel;

	if (p == NULL)
		return;
	*parcel = NULL;
	free(p->batches);
	free(p);
}

void
parcel_add(struct parcel *p, const struct spool_entry *e)
{
	if (p->count == p->size) {
		p->size = MAX_OF(p->size * 2, 16u);
		p->batches =
		    must_realloc(p->batches, p->size * sizeof p->batches[0]);
	}
	p->batches[p->count++] = (struct parcel_batch){ .entry = *e };
	p->events += e->events;
	p->bytes += e->bytes;
}

uint64_t
parcel_id(const struct parcel *p)
{
	uint64_t id = UINT64_MAX;

	for (unsigned i = 0; i < p->count; i++)
		id = MIN_OF(id, p->batches[i].entry.id);
	return id;
}

static void
add_lines(const struct parcel *p, struct spool *spool,
    const struct batch_view *view, struct buf *to)
{
	uint32_t *refused = NULL;
	unsigned count = 0;

	if (!p->is_copy) /* a copy has them all */
		refused = spool_refused_places(spool, view, &count);
	ndjson_add_without(
	    to, view->body, view->header->body_bytes, refused, count);
	free(refused);
}

bool
parcel_text(struct parcel *p, unsigned at, struct spool *spool, struct buf *to)
{
	struct parcel_batch *b = &p->batches[at];
	struct batch_view view;
	bool damaged;
	size_t bytes;
	char *value = spool_load(spool, b->entry.id, &bytes, &damaged);

	if (value == NULL) {
		if (damaged && !b->is_damaged)
			log_error("spool: late batch %" PRIu64
				  " (%u events) is damaged on the disk; it is "
				  "kept as a dead letter",
			    b->entry.id, b->entry.events);
		b->is_damaged = damaged;
		return damaged;
	}
	batch_view_own(value, bytes, &view);
	add_lines(p, spool, &view, to);
	free(value);
	return !to->failed;
}

const char *
parcel_state_name(const struct parcel *p)
{
	static const char *const names[] = { "planned", "out", "done",
		"returned" };

	must((size_t)p->state < ARRAY_LEN(names));
	return names[p->state];
}
