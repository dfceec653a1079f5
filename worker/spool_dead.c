/*
 * spool_dead - dead letters: events that cannot be delivered, kept for people
 *
 * Process: worker.
 *
 * A refused event leaves a mark at its batch, beside the batch's progress, so
 * that two replicants that refuse it make one dead letter of it.
 */
#include "spool_dead.h"

#include <stdlib.h>
#include <string.h>

#include "panic.h"
#include "spool_internal.h"

struct dead_value {
	uint32_t events, bytes;
	int64_t start, end, buried_ms;
	uint32_t partition, why;
};

_Static_assert(sizeof(struct dead_value) == 40, "on disk");

const char *
spool_why_name(enum spool_why why)
{
	static const char *const names[] = { [SPOOL_WHY_CLOSED] = "closed",
		[SPOOL_WHY_DAMAGED] = "damaged",
		[SPOOL_WHY_POLICY] = "latePolicy",
		[SPOOL_WHY_REFUSED] = "refused" };

	return (unsigned)why < ARRAY_LEN(names) ? names[why] : "unknown";
}

/* ---- what stands there ---- */

static bool
read_dead(const MDB_val *k, const MDB_val *v, struct spool_dead *d)
{
	struct dead_value dead;
	uint64_t id;
	size_t text;

	if (k->mv_size != sizeof id || v->mv_size < sizeof(uint32_t))
		return false;
	memcpy(&id, k->mv_data, sizeof id);
	*d = (struct spool_dead){ .id = be64toh(id) };
	/* the number of events is all that the first version wrote */
	memcpy(&d->events, v->mv_data, sizeof d->events);
	if (v->mv_size < sizeof dead)
		return v->mv_size == sizeof d->events;
	memcpy(&dead, v->mv_data, sizeof dead);
	d->start = dead.start;
	d->end = dead.end;
	d->buried_ms = dead.buried_ms;
	d->partition = dead.partition;
	d->bytes = dead.bytes;
	d->why = dead.why;
	text = MIN_OF(v->mv_size - sizeof dead, sizeof d->text - 1);
	memcpy(d->text, (char *)v->mv_data + sizeof dead, text);
	return true;
}

/* What the first version did not write stands in the batch itself. */
static void
complete(struct spool *s, MDB_txn *txn, struct spool_dead *d)
{
	uint64_t id = htobe64(d->id);
	MDB_val k = spool_val(&id, sizeof id), v;
	struct batch_header h;

	if (d->bytes != 0 || mdb_get(txn, s->batch, &k, &v) != 0)
		return;
	d->bytes = (uint32_t)v.mv_size;
	if (v.mv_size < sizeof h)
		return;
	memcpy(&h, v.mv_data, sizeof h);
	d->start = h.start;
	d->end = h.end;
	d->partition = h.partition;
}

static bool
find_dead(struct spool *s, uint64_t dead_id, struct spool_dead *d)
{
	uint64_t id = htobe64(dead_id);
	MDB_val k = spool_val(&id, sizeof id), v;

	if (s->error != 0 || mdb_get(s->write, s->dead, &k, &v) != 0 ||
	    !read_dead(&k, &v, d))
		return false;
	complete(s, s->write, d);
	return true;
}

int
spool_count_dead(struct spool *s, MDB_txn *txn)
{
	MDB_cursor *cursor;
	MDB_val k, v;
	struct spool_dead d;
	int rc = spool_open_cursor(txn, s->dead, &cursor);

	if (rc != 0)
		return rc;
	while ((rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0) {
		if (!read_dead(&k, &v, &d)) {
			rc = MDB_CORRUPTED;
			break;
		}
		complete(s, txn, &d);
		s->now.dead_count++;
		s->now.dead_bytes += d.bytes;
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

uint64_t
spool_dead_count(const struct spool *s)
{
	return s->durable.dead_count;
}

uint64_t
spool_dead_bytes(const struct spool *s)
{
	return s->durable.dead_bytes;
}

bool
spool_next_dead(struct spool *s, uint64_t after, struct spool_dead *d)
{
	uint64_t id = htobe64(after + 1);
	MDB_val k = spool_val(&id, sizeof id), v;
	MDB_txn *txn = spool_look(s);
	MDB_cursor *cursor;
	bool found = false;

	if (txn == NULL)
		return false;
	if (spool_open_cursor(txn, s->dead, &cursor) == 0) {
		found = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE) == 0 &&
		    read_dead(&k, &v, d);
		mdb_cursor_close(cursor);
	}
	if (found)
		complete(s, txn, d);
	spool_looked(s);
	return found;
}

/* ---- burying ---- */

static void
put_dead(struct spool *s, const struct spool_dead *d)
{
	char bytes[sizeof(struct dead_value) + SPOOL_WHY_BYTES];
	struct dead_value dead = { .events = d->events,
		.bytes = d->bytes,
		.start = d->start,
		.end = d->end,
		.buried_ms = d->buried_ms,
		.partition = d->partition,
		.why = d->why };
	size_t text = strlen(d->text);
	uint64_t id = htobe64(d->id);
	MDB_val k = spool_val(&id, sizeof id),
		v = spool_val(bytes, sizeof dead + text);

	memcpy(bytes, &dead, sizeof dead);
	memcpy(bytes + sizeof dead, d->text, text);
	if (s->error == 0)
		spool_note(s, mdb_put(s->write, s->dead, &k, &v, 0));
	s->now.totals.dead += d->events;
	s->now.dead_count++;
	s->now.dead_bytes += d->bytes;
}

void
spool_bury(struct spool *s, const struct spool_entry *e, enum spool_why why,
    int64_t now_ms)
{
	struct spool_dead d = { .id = e->id,
		.start = e->at.start,
		.end = e->at.end,
		.partition = e->at.partition,
		.bytes = e->bytes,
		.buried_ms = now_ms,
		.why = why };

	if (s->error != 0 || !spool_leave_queue(s, e, SPOOL_DEAD, &d.events))
		return;
	put_dead(s, &d);
	spool_copy_left(s, e->id, SPOOL_DEAD); /* the value stays */
}

static struct progress_key
mark_key(uint64_t id, uint32_t event)
{
	return (struct progress_key){ .id = htobe64(id),
		.replicant = htobe32(SPOOL_REFUSED_MARK),
		.event = htobe32(event) };
}

/* The event leaves its batch's count; false: it has done so before. */
static bool
mark_refused(struct spool *s, const struct spool_entry *e, uint32_t event,
    uint64_t dead_id)
{
	struct queue_key queue = spool_queue_key(&e->at, e->id);
	struct progress_key mark = mark_key(e->id, event);
	MDB_val qk = spool_val(&queue, sizeof queue), qv,
		k = spool_val(&mark, sizeof mark),
		v = spool_val(&dead_id, sizeof dead_id);
	struct queue_value q;
	int rc;

	if (mdb_get(s->write, s->queue, &qk, &qv) != 0 ||
	    qv.mv_size != sizeof q)
		return false;
	memcpy(&q, qv.mv_data, sizeof q);
	rc = mdb_put(s->write, s->progress, &k, &v, MDB_NOOVERWRITE);
	if (rc == MDB_KEYEXIST || q.events == 0)
		return false;
	spool_note(s, rc);
	q.events--;
	qv = spool_val(&q, sizeof q);
	if (s->error == 0)
		spool_note(s, mdb_put(s->write, s->queue, &qk, &qv, 0));
	s->now.events--;
	return true;
}

void
spool_refuse(struct spool *s, const struct spool_entry *e, uint32_t event,
    const char *value, size_t bytes, const char *text)
{
	const struct batch_header *h = (const void *)value;
	uint64_t id = htobe64(h->id);
	MDB_val k = spool_val(&id, sizeof id), v = spool_val(value, bytes);
	struct spool_dead d = { .id = h->id,
		.start = h->start,
		.end = h->end,
		.partition = h->partition,
		.events = 1,
		.bytes = (uint32_t)bytes,
		.buried_ms = h->sealed_ms,
		.why = SPOOL_WHY_REFUSED };

	must(h->events == 1);
	if (s->error != 0 || !mark_refused(s, e, event, h->id))
		return;
	strncpy(d.text, text, sizeof d.text - 1);
	if (s->error == 0)
		spool_note(s, mdb_put(s->write, s->batch, &k, &v, 0));
	put_dead(s, &d);
}

unsigned
spool_refused(
    struct spool *s, uint64_t id, struct spool_refused *to, unsigned max)
{
	struct progress_key first = mark_key(id, 0), at;
	MDB_val k = spool_val(&first, sizeof first), v;
	MDB_txn *txn = spool_look(s);
	MDB_cursor *cursor;
	unsigned count = 0;
	int rc;

	if (txn == NULL)
		return 0;
	if (spool_open_cursor(txn, s->progress, &cursor) != 0) {
		spool_looked(s);
		return 0;
	}
	for (rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE); rc == 0;
	     rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) {
		if (k.mv_size != sizeof at || v.mv_size != sizeof to->dead_id)
			break;
		memcpy(&at, k.mv_data, sizeof at);
		if (at.id != first.id || at.replicant != first.replicant)
			break;
		if (count < max) {
			to[count].event = be32toh(at.event);
			memcpy(
			    &to[count].dead_id, v.mv_data, sizeof to->dead_id);
		}
		count++;
	}
	mdb_cursor_close(cursor);
	spool_looked(s);
	return count;
}

uint32_t *
spool_refused_places(
    struct spool *s, const struct batch_view *v, unsigned *count)
{
	uint64_t id = v->header->id;
	unsigned there =
	    MIN_OF(spool_refused(s, id, NULL, 0), v->header->events);
	struct spool_refused *refused;
	uint32_t *places;

	*count = 0;
	if (there == 0)
		return NULL;
	refused = must_calloc(there, sizeof refused[0]);
	places = must_calloc(there, sizeof places[0]);
	*count = MIN_OF(spool_refused(s, id, refused, there), there);
	for (unsigned i = 0; i < *count; i++)
		places[i] = refused[i].event;
	free(refused);
	return places;
}

void
spool_quarantine(struct spool *s, const struct spool_entry *e)
{
	uint64_t id = htobe64(e->id);
	MDB_val k = spool_val(&id, sizeof id);
	uint32_t events;

	if (s->error != 0 || !spool_leave_queue(s, e, SPOOL_LEFT, &events))
		return;
	if (!spool_copy_left(s, e->id, SPOOL_LEFT) && s->error == 0)
		spool_note(s, mdb_del(s->write, s->batch, &k, NULL));
	s->now.totals.quarantined += events;
}

bool
spool_find(struct spool *s, uint64_t id, struct spool_entry *e)
{
	const struct spool_lane *behind = NULL;
	struct spool_lane at;
	unsigned batches;

	while (spool_next_lane(s, behind, e, &batches)) {
		at = e->at;
		behind = &at;
		if (spool_next(s, &at, id - 1, e) && e->id == id)
			return true;
	}
	return false;
}

/* ---- and back ---- */

/* Its line goes, and its value when no copy needs it. */
static bool
exhume(struct spool *s, uint64_t dead_id, struct spool_dead *d)
{
	uint64_t id = htobe64(dead_id);
	MDB_val k = spool_val(&id, sizeof id);

	if (!find_dead(s, dead_id, d))
		return false;
	spool_note(s, mdb_del(s->write, s->dead, &k, NULL));
	spool_note(s, spool_forget_progress(s, dead_id));
	if (!spool_copy_left(s, dead_id, SPOOL_LEFT) && s->error == 0)
		spool_note(s, mdb_del(s->write, s->batch, &k, NULL));
	s->now.totals.dead -= d->events;
	s->now.dead_count--;
	s->now.dead_bytes -= d->bytes;
	return true;
}

void
spool_revive(struct spool *s, uint64_t dead_id, const char *value, size_t bytes)
{
	const struct batch_header *h = (const void *)value;
	struct spool_dead d;

	if (!exhume(s, dead_id, &d))
		return;
	must(h->events == d.events);
	spool_put(s, value, bytes);
}

void
spool_drop_dead(struct spool *s, uint64_t dead_id)
{
	struct spool_dead d;

	if (exhume(s, dead_id, &d))
		s->now.totals.dropped_dead += d.events;
}
