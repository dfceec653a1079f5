/*
 * spool_copy - batches of which the archive gets a copy (archive.all)
 *
 * Process: worker.
 *
 * A record stands in `copy` from the commit that brings the batch until it has
 * both left the queue and been copied; as long, its value stays.
 */
#include "spool_internal.h"

#include <string.h>

#include "partition.h"

_Static_assert(sizeof(struct copy_value) == 40, "on disk");

static bool
read_copy(struct spool *s, MDB_txn *txn, uint64_t id, struct copy_value *c)
{
	uint64_t key = htobe64(id);
	MDB_val k = spool_val(&key, sizeof key), v;

	if (mdb_get(txn, s->copy, &k, &v) != 0 || v.mv_size != sizeof *c)
		return false;
	memcpy(c, v.mv_data, sizeof *c);
	return true;
}

static void
write_copy(struct spool *s, uint64_t id, const struct copy_value *c)
{
	uint64_t key = htobe64(id);
	MDB_val k = spool_val(&key, sizeof key), v = spool_val(c, sizeof *c);

	spool_note(s, mdb_put(s->write, s->copy, &k, &v, 0));
}

static void
remove_from(struct spool *s, MDB_dbi from, uint64_t id)
{
	uint64_t key = htobe64(id);
	MDB_val k = spool_val(&key, sizeof key);

	spool_note(s, mdb_del(s->write, from, &k, NULL));
}

void
spool_put_copy(struct spool *s, const struct spool_entry *e)
{
	struct copy_value c = { .start = e->at.start,
		.end = e->at.end,
		.sealed_ms = e->sealed_ms,
		.events = e->events,
		.bytes = e->bytes };

	if (s->error == 0)
		write_copy(s, e->id, &c);
}

bool
spool_copy_left(struct spool *s, uint64_t id, enum spool_place where)
{
	struct copy_value c;

	if (s->error != 0 || !read_copy(s, s->write, id, &c))
		return false;
	if (c.is_copied) {
		remove_from(s, s->copy, id);
		return false;
	}
	c.where = (uint16_t)where;
	write_copy(s, id, &c);
	if (where == SPOOL_LEFT)
		s->now.kept += c.bytes;
	return true;
}

void
spool_move_copy(struct spool *s, uint64_t id, uint32_t parcel)
{
	struct copy_value c;

	if (s->error != 0 || !read_copy(s, s->write, id, &c))
		return;
	c.parcel = parcel;
	write_copy(s, id, &c);
}

void
spool_copied(struct spool *s, uint64_t id)
{
	struct copy_value c;

	/* not there: by a commit that only seemed to fail */
	if (s->error != 0 || !read_copy(s, s->write, id, &c) || c.is_copied)
		return;
	s->now.totals.copied += c.events;
	if (c.where == SPOOL_QUEUED) {
		c.is_copied = 1;
		write_copy(s, id, &c);
		return;
	}
	remove_from(s, s->copy, id);
	if (c.where == SPOOL_DEAD)
		return;
	remove_from(s, s->batch, id);
	s->now.kept -= c.bytes;
}

bool
spool_has_copy(struct spool *s, uint64_t id)
{
	MDB_txn *txn = spool_look(s);
	struct copy_value c;
	bool has;

	if (txn == NULL)
		return false;
	has = read_copy(s, txn, id, &c);
	spool_looked(s);
	return has;
}

static bool
is_of(const struct copy_value *c, const struct spool_lane *at)
{
	return at == NULL ||
	    (c->start == at->start && c->end == at->end &&
		c->parcel == at->lane);
}

/* The first record behind the id, of that interval and parcel, for which there
 * is a copy to make. */
static bool
seek_copy(MDB_cursor *cursor, const struct spool_lane *at, uint64_t after,
    struct spool_entry *e)
{
	uint64_t key = htobe64(after + 1);
	MDB_val k = spool_val(&key, sizeof key), v;
	int rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
	struct copy_value c;

	for (; rc == 0; rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) {
		if (k.mv_size != sizeof key || v.mv_size != sizeof c)
			return false;
		memcpy(&c, v.mv_data, sizeof c);
		if (c.is_copied || !is_of(&c, at))
			continue;
		memcpy(&key, k.mv_data, sizeof key);
		*e = (struct spool_entry){ .at = { .start = c.start,
					       .end = c.end,
					       .partition = PARTITION_LATE,
					       .lane = c.parcel },
			.id = be64toh(key),
			.events = c.events,
			.bytes = c.bytes,
			.sealed_ms = c.sealed_ms };
		return true;
	}
	return false;
}

bool
spool_next_copy(struct spool *s, const struct spool_lane *at, uint64_t after,
    struct spool_entry *e)
{
	MDB_txn *txn = spool_look(s);
	MDB_cursor *cursor;
	bool found = false;

	if (txn == NULL)
		return false;
	if (spool_open_cursor(txn, s->copy, &cursor) == 0) {
		found = seek_copy(cursor, at, after, e);
		mdb_cursor_close(cursor);
	}
	spool_looked(s);
	return found;
}

int
spool_count_copies(struct spool *s, MDB_txn *txn)
{
	MDB_cursor *cursor;
	MDB_val k, v;
	struct copy_value c;
	int rc = spool_open_cursor(txn, s->copy, &cursor);

	if (rc != 0)
		return rc;
	while ((rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0) {
		if (v.mv_size != sizeof c) {
			rc = MDB_CORRUPTED;
			break;
		}
		memcpy(&c, v.mv_data, sizeof c);
		if (c.where == SPOOL_LEFT)
			s->now.kept += c.bytes;
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : rc;
}
