/*
 * spool_late - batches change their place: late ones, and those that go on
 *
 * Process: worker.
 */
#include "spool_internal.h"

#include "panic.h"

void
spool_move(
    struct spool *s, const struct spool_entry *e, const struct spool_lane *to)
{
	struct queue_key key = spool_queue_key(to, e->id);
	struct queue_value q = { .bytes = e->bytes, .sealed_ms = e->sealed_ms };
	MDB_val k = spool_val(&key, sizeof key), v = spool_val(&q, sizeof q);

	if (s->error != 0 || !spool_leave_queue(s, e, SPOOL_MOVED, &q.events))
		return;
	spool_note(s, mdb_put(s->write, s->queue, &k, &v, 0));
	s->now.batches++;
	s->now.events += q.events;
	s->now.bytes += e->bytes;
}

bool
spool_is_queued(const struct spool *s, const struct spool_entry *e)
{
	struct queue_key key = spool_queue_key(&e->at, e->id);
	MDB_val k = spool_val(&key, sizeof key), v;

	return s->error == 0 && mdb_get(s->write, s->queue, &k, &v) == 0;
}

void
spool_replace(struct spool *s, const struct spool_entry *e, const char *value,
    size_t bytes)
{
	const struct batch_header *h = (const void *)value;

	spool_remove(s, e);
	s->now.totals.sent -= h->events; /* these go on */
	spool_put(s, value, bytes);
}

void
spool_remove_late(
    struct spool *s, const struct spool_entry *e, enum late_policy how)
{
	uint64_t id = htobe64(e->id);
	MDB_val k = spool_val(&id, sizeof id);
	uint32_t events;

	must(how != LATE_DROP);
	if (s->error != 0 || !spool_leave_queue(s, e, SPOOL_LEFT, &events))
		return;
	if (!spool_copy_left(s, e->id, SPOOL_LEFT))
		spool_note(s, mdb_del(s->write, s->batch, &k, NULL));
	if (how == LATE_ARCHIVE)
		s->now.totals.archived += events;
	else
		s->now.totals.appended += events;
}
