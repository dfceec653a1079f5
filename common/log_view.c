/*
 * log_view - a dataSource's log as it lies in its spool, to look at
 *
 * Process: feed, tranqctl.   Owns: LMDB, read only.
 */
#include "log_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lmdb.h>

#include "log_layout.h"
#include "panic.h"
#include "record_batch.h"

#define DATABASES_MAX 2
#define TROUBLE_BYTES 300

struct log_view {
	MDB_env *env;
	MDB_txn *txn; /* renewed for each look */
	MDB_dbi log, meta;
	MDB_cursor *cursor; /* of the look that is open */
	bool is_looking, has_log;
	bool is_at_end; /* the last seek found nothing */
	char identity[LOG_PAGE_IDENTITY_BYTES];
	char trouble[TROUBLE_BYTES];
};

static MDB_val
val(const void *data, size_t bytes)
{
	union {
		const void *from;
		void *to;
	} u = { .from = data };

	return (MDB_val){ .mv_size = bytes, .mv_data = u.to };
}

static bool
failed(struct log_view *v, int rc)
{
	snprintf(v->trouble, sizeof v->trouble, "%s", mdb_strerror(rc));
	return false;
}

/* ---- opening ---- */

static int
open_env(struct log_view *v, const char *dir)
{
	int rc = mdb_env_create(&v->env), stale;

	if (rc != 0)
		return rc;
	mdb_env_set_maxdbs(v->env, DATABASES_MAX);
	/* NOTLS: the kept read transaction belongs to us, not to the thread.
	 * Batches lie one behind the other: not NORDAHEAD, with which a log
	 * that is not in memory is read page by page. */
	rc = mdb_env_open(v->env, dir, MDB_RDONLY | MDB_NOTLS, 0600);
	if (rc != 0)
		return rc;
	/* of a feed that was killed: its place, and the pages of its look */
	mdb_reader_check(v->env, &stale);
	if ((rc = mdb_txn_begin(v->env, NULL, MDB_RDONLY, &v->txn)) != 0)
		return rc;
	mdb_txn_reset(v->txn);
	return 0;
}

struct log_view *
log_view_open(const char *dir, char *error, size_t bytes)
{
	struct log_view *v = must_calloc(1, sizeof *v);
	int rc = open_env(v, dir);

	if (rc == 0)
		return v;
	snprintf(error, bytes, "spool %s: cannot be read: %s", dir,
	    mdb_strerror(rc));
	log_view_close(&v);
	return NULL;
}

void
log_view_close(struct log_view **view)
{
	struct log_view *v = *view;

	if (v == NULL)
		return;
	*view = NULL;
	if (v->cursor != NULL)
		mdb_cursor_close(v->cursor);
	if (v->txn != NULL)
		mdb_txn_abort(v->txn);
	if (v->env != NULL)
		mdb_env_close(v->env);
	free(v);
}

const char *
log_view_trouble(const struct log_view *v)
{
	return v->trouble;
}

/* ---- a look ---- */

/* The worker may have been given a larger spool.bytesMax. */
static int
renew(struct log_view *v)
{
	int rc = mdb_txn_renew(v->txn);

	if (rc != MDB_MAP_RESIZED)
		return rc;
	rc = mdb_env_set_mapsize(v->env, 0);
	return rc != 0 ? rc : mdb_txn_renew(v->txn);
}

/* In a transaction of its own: handles that are opened in one that is only reset
 * are not kept. */
static int
open_databases(struct log_view *v)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(v->env, NULL, MDB_RDONLY, &txn);

	if (rc != 0)
		return rc;
	if ((rc = mdb_dbi_open(txn, "meta", 0, &v->meta)) == 0)
		rc = mdb_dbi_open(txn, LOG_DATABASE, 0, &v->log);
	if (rc == 0 && (rc = mdb_txn_commit(txn)) == 0)
		v->has_log = true;
	else if (rc != 0)
		mdb_txn_abort(txn);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

bool
log_view_begin(struct log_view *v)
{
	int rc;

	must(!v->is_looking);
	if (!v->has_log && (rc = open_databases(v)) != 0)
		return failed(v, rc);
	if ((rc = renew(v)) != 0)
		return failed(v, rc);
	if (v->has_log) {
		rc = v->cursor == NULL
		    ? mdb_cursor_open(v->txn, v->log, &v->cursor)
		    : mdb_cursor_renew(v->txn, v->cursor);
		if (rc != 0) {
			mdb_txn_reset(v->txn);
			return failed(v, rc);
		}
	}
	v->is_looking = true;
	return true;
}

void
log_view_end(struct log_view *v)
{
	must(v->is_looking);
	v->is_looking = false;
	mdb_txn_reset(v->txn);
}

static bool
get_meta(struct log_view *v, const char *name, void *to, size_t bytes)
{
	MDB_val k = val(name, strlen(name)), value;

	must(v->is_looking);
	if (!v->has_log || mdb_get(v->txn, v->meta, &k, &value) != 0 ||
	    value.mv_size != bytes)
		return false;
	memcpy(to, value.mv_data, bytes);
	return true;
}

const char *
log_view_identity(struct log_view *v)
{
	if (!get_meta(v, LOG_META_IDENTITY, v->identity, sizeof v->identity))
		v->identity[0] = '\0';
	v->identity[sizeof v->identity - 1] = '\0';
	return v->identity;
}

static bool
get_partition(struct log_view *v, unsigned partition, struct log_meta *m)
{
	char name[LOG_META_NAME_BYTES];

	snprintf(name, sizeof name, LOG_META_PARTITION, partition);
	return get_meta(v, name, m, sizeof *m);
}

struct log_range
log_view_range(struct log_view *v, unsigned partition)
{
	struct log_meta m;

	if (!get_partition(v, partition, &m))
		return (struct log_range){ 0, 0 };
	return (struct log_range){ m.start, m.next };
}

/* ---- batches ---- */

/* What the cursor stands at. A batch whose head makes no sense is there all the
 * same: it is not empty, and its reader finds out. */
static enum log_found
take(unsigned partition, const MDB_val *k, const MDB_val *v,
    struct log_batch *b, struct log_trailer *t)
{
	struct record_batch_head head;
	struct log_key key;

	if (k->mv_size != sizeof key)
		return LOG_NOT_THERE;
	memcpy(&key, k->mv_data, sizeof key);
	if (key.partition != htobe32(partition))
		return LOG_NOT_THERE;
	b->first = log_key_first(&key);
	b->bytes = v->mv_data;
	b->size = log_value_read(v->mv_data, v->mv_size, t);
	b->sealed_ms = t->sealed_ms;
	b->next = b->first + 1;
	if (record_batch_look(b->bytes, b->size, &head) == RECORD_BATCH_GOOD &&
	    head.first == b->first)
		b->next = head.next;
	return LOG_FOUND;
}

/* The first batch whose own first offset is at or behind that one. */
static enum log_found
seek(struct log_view *v, unsigned partition, uint64_t first,
    struct log_batch *b, struct log_trailer *t)
{
	struct log_key key = log_key_of(partition, first);
	MDB_val k = val(&key, sizeof key), value;
	int rc;

	must(v->is_looking);
	if (!v->has_log)
		return LOG_NOT_THERE;
	rc = mdb_cursor_get(v->cursor, &k, &value, MDB_SET_RANGE);
	v->is_at_end = rc == MDB_NOTFOUND;
	if (rc == 0)
		return take(partition, &k, &value, b, t);
	if (rc == MDB_NOTFOUND)
		return LOG_NOT_THERE;
	failed(v, rc);
	return LOG_FAILED;
}

/* The batch before the place that the last seek has found, or not. */
static bool
step_back(struct log_view *v, unsigned partition, struct log_batch *b,
    struct log_trailer *t)
{
	MDB_val k, value;

	return mdb_cursor_get(v->cursor, &k, &value,
		   v->is_at_end ? MDB_LAST : MDB_PREV) == 0 &&
	    take(partition, &k, &value, b, t) == LOG_FOUND;
}

enum log_found
log_view_at(struct log_view *v, unsigned partition, uint64_t offset,
    struct log_batch *b)
{
	struct log_trailer t = { 0 };
	struct log_batch before;
	enum log_found found = seek(v, partition, offset, b, &t);

	if (found == LOG_FAILED || !v->has_log ||
	    (found == LOG_FOUND && b->first == offset))
		return found;
	/* the one before it may reach so far */
	if (step_back(v, partition, &before, &t) && before.next > offset) {
		*b = before;
		return LOG_FOUND;
	}
	return found;
}

enum log_found
log_view_next(struct log_view *v, unsigned partition, struct log_batch *b)
{
	struct log_trailer t = { 0 };

	return seek(v, partition, b->first + 1, b, &t);
}

/* Where the first batch at or behind `from` begins that stands behind a record of
 * that time, or has it; the end when there is none. By halves: how far they
 * reach only grows. */
static uint64_t
first_reaching(struct log_view *v, unsigned partition, int64_t timestamp_ms,
    uint64_t from, uint64_t end)
{
	uint64_t low = from, high = end, first = end;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		struct log_trailer t = { 0 };
		struct log_batch b;
		enum log_found found = seek(v, partition, middle, &b, &t);

		if (found == LOG_FOUND && t.reach_ms < timestamp_ms) {
			low = b.first + 1;
			continue;
		}
		if (found == LOG_FOUND)
			first = b.first;
		high = middle;
	}
	return first;
}

enum log_found
log_view_find_time(struct log_view *v, unsigned partition, int64_t timestamp_ms,
    unsigned batches, uint64_t *from, struct log_batch *b)
{
	struct log_range r = log_view_range(v, partition);
	uint64_t at = MAX_OF(*from, r.start);
	enum log_found found;
	struct log_trailer t = { 0 };

	at = first_reaching(v, partition, timestamp_ms, at, r.end);
	while (at < r.end &&
	    (found = seek(v, partition, at, b, &t)) != LOG_NOT_THERE) {
		struct record_batch_head head;

		if (found == LOG_FAILED)
			return found;
		/* one before it, which has left meanwhile, may be what reaches
		 * so far */
		if (record_batch_look(b->bytes, b->size, &head) ==
			RECORD_BATCH_GOOD &&
		    head.max_ms >= timestamp_ms)
			return LOG_FOUND;
		at = *from = b->first + 1;
		if (batches-- <= 1)
			return LOG_MORE;
	}
	return LOG_NOT_THERE;
}
