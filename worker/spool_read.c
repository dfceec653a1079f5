/*
 * spool_read - looks into the spool: what waits, where, and what it is
 *
 * Process: worker.
 *
 * Each look is a transaction of its own: what an open one changes is not seen.
 */
#include "spool_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool
spool_cursor(struct spool *s, unsigned receiver, uint64_t generation,
    struct spool_cursor *c)
{
	MDB_txn *txn = spool_look(s);
	char name[32];
	bool found;

	if (txn == NULL)
		return false;
	snprintf(name, sizeof name, "cursor:%u", receiver);
	found = spool_get_meta(s, txn, name, c, sizeof *c) &&
	    c->generation == generation;
	spool_looked(s);
	return found;
}

/* The first queue entry at or behind `key`. */
static bool
seek(
    struct spool *s, MDB_txn *txn, struct queue_key *key, struct spool_entry *e)
{
	MDB_cursor *cursor;
	MDB_val k = spool_val(key, sizeof *key), v;
	bool found = false;

	if (spool_open_cursor(txn, s->queue, &cursor) != 0)
		return false;
	if (mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE) == 0 &&
	    k.mv_size == sizeof(struct queue_key) &&
	    v.mv_size == sizeof(struct queue_value)) {
		struct queue_key found_key;
		struct queue_value found_value;

		memcpy(&found_key, k.mv_data, sizeof found_key);
		memcpy(&found_value, v.mv_data, sizeof found_value);
		*e = spool_entry_of(&found_key, &found_value);
		found = true;
	}
	mdb_cursor_close(cursor);
	return found;
}

static bool
same_lane(const struct spool_lane *a, const struct spool_lane *b)
{
	return a->start == b->start && a->end == b->end &&
	    a->partition == b->partition && a->lane == b->lane;
}

bool
spool_next(struct spool *s, const struct spool_lane *at, uint64_t after,
    struct spool_entry *e)
{
	struct queue_key key = spool_queue_key(at, after + 1);
	MDB_txn *txn = spool_look(s);
	bool found;

	if (txn == NULL)
		return false;
	found = seek(s, txn, &key, e) && same_lane(&e->at, at);
	spool_looked(s);
	return found;
}

static unsigned
count_lane(struct spool *s, MDB_txn *txn, const struct spool_entry *first)
{
	struct queue_key key = spool_queue_key(&first->at, first->id);
	size_t prefix = offsetof(struct queue_key, id);
	MDB_val k = spool_val(&key, sizeof key), v;
	MDB_cursor *cursor;
	unsigned count = 0;
	int rc;

	if (spool_open_cursor(txn, s->queue, &cursor) != 0)
		return 0;
	rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
	while (rc == 0 && k.mv_size == sizeof key &&
	    memcmp(k.mv_data, &key, prefix) == 0) {
		count++;
		rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
	}
	mdb_cursor_close(cursor);
	return count;
}

bool
spool_next_lane(struct spool *s, const struct spool_lane *behind,
    struct spool_entry *e, unsigned *batches)
{
	struct queue_key key = { 0 };
	MDB_txn *txn = spool_look(s);
	bool found;

	if (txn == NULL)
		return false;
	if (behind != NULL)
		key = spool_queue_key(behind, UINT64_MAX);
	found = seek(s, txn, &key, e);
	if (found)
		*batches = count_lane(s, txn, e);
	spool_looked(s);
	return found;
}

char *
spool_load(struct spool *s, uint64_t id, size_t *bytes, bool *damaged)
{
	uint64_t key = htobe64(id);
	MDB_val k = spool_val(&key, sizeof key), v;
	MDB_txn *txn = spool_look(s);
	struct batch_view view;
	char *copy = NULL;

	*damaged = false;
	if (txn == NULL)
		return NULL;
	if (mdb_get(txn, s->batch, &k, &v) == 0 &&
	    (copy = malloc(v.mv_size)) != NULL) {
		memcpy(copy, v.mv_data, v.mv_size);
		*bytes = v.mv_size;
	}
	spool_looked(s);
	if (copy != NULL &&
	    (!batch_view(copy, *bytes, &view) || view.header->id != id)) {
		*damaged = true;
		free(copy);
		return NULL;
	}
	return copy;
}

struct spool_progress
spool_progress(struct spool *s, uint64_t id, unsigned replicant)
{
	struct progress_key key = { .id = htobe64(id),
		.replicant = htobe32(replicant) };
	struct spool_progress p = { 0 };
	MDB_val k = spool_val(&key, sizeof key), v;
	MDB_txn *txn = spool_look(s);

	if (txn == NULL)
		return p;
	/* a spool of before has the chunk and the attempt only */
	if (mdb_get(txn, s->progress, &k, &v) == 0 && v.mv_size <= sizeof p)
		memcpy(&p, v.mv_data, v.mv_size);
	spool_looked(s);
	return p;
}

int64_t
spool_oldest_ms(struct spool *s)
{
	struct queue_key key = { 0 };
	MDB_txn *txn = spool_look(s);
	struct spool_entry e;
	int64_t oldest = 0;

	if (txn == NULL)
		return 0;
	/* the head of each lane is its oldest */
	while (seek(s, txn, &key, &e)) {
		if (oldest == 0 || e.sealed_ms < oldest)
			oldest = e.sealed_ms;
		key = spool_queue_key(&e.at, UINT64_MAX);
	}
	spool_looked(s);
	return oldest;
}

char *
spool_document(struct spool *s, const char *name)
{
	char key[SPOOL_DOCUMENT_MAX], *text = NULL;
	MDB_txn *txn = spool_look(s);
	MDB_val k, v;

	if (txn == NULL)
		return NULL;
	spool_document_name(name, key);
	k = spool_val(key, strlen(key));
	if (mdb_get(txn, s->meta, &k, &v) == 0) {
		/* one that is there must not pass for one that is not */
		text = must_malloc(v.mv_size + 1);
		memcpy(text, v.mv_data, v.mv_size);
		text[v.mv_size] = '\0';
	}
	spool_looked(s);
	return text;
}
