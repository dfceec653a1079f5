/*
 * spool - durable store of a dataSource's batches that Druid has not yet taken
 *
 * Process: worker.   Owns: LMDB.
 *
 * LMDB is opened after fork, in its default mode (synced before a commit
 * returns). One read transaction is renewed for each look: it pins no pages.
 */
#include "spool_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "checksum.h"
#include "fault.h"
#include "log.h"
#include "panic.h"
#include "spool_dir.h"
#include "spool_file.h"

#define FORMAT 1u
/* Free list, fragments, dead letters' index; EVENT_KEYS_MAX keys. */
#define MAP_EXTRA (512u * MiB)
#define LOCK_WAIT_MS 5000
#define LOCK_BYTES 8192 /* of LMDB's lock file, 126 readers */
#define FULL_BLOCKS 8 /* a disk that has fewer is full */
#define READERS_CHECK 1024 /* transactions */
/* Ids of a fresh spool begin where no earlier spool of this dataSource can
 * have come to: more than four million events in every second since 1970. */
#define FIRST_ID_SHIFT 22

const struct spool_total spool_totals_table[] = {
	{ "received", offsetof(struct spool_totals, received) },
	{ "sent", offsetof(struct spool_totals, sent) },
	{ "droppedWindow", offsetof(struct spool_totals, dropped_window) },
	{ "deadLetters", offsetof(struct spool_totals, dead) },
	{ "quarantined", offsetof(struct spool_totals, quarantined) },
	{ "late", offsetof(struct spool_totals, late) },
	{ "archived", offsetof(struct spool_totals, archived) },
	{ "appended", offsetof(struct spool_totals, appended) },
	{ "copied", offsetof(struct spool_totals, copied) },
	{ "droppedDeadLetters", offsetof(struct spool_totals, dropped_dead) },
	{ NULL, 0 },
};

/* ---- opening ---- */

static void
explain(struct spool *s, int code, const char *doing, char *error, size_t bytes)
{
	const char *remedy = "look at the disk and its file system";

	if (code == EACCES || code == EPERM || code == EROFS)
		remedy = "give the directory to tranqd.user, or change "
			 "tranqd.dataDir";
	else if (code == ENOSPC || code == EDQUOT)
		remedy = "make room on the disk; it goes on by itself";
	else if (code == MDB_MAP_FULL)
		remedy = "raise spool.bytesMax";
	else if (code == ENOMEM)
		remedy = "give the process more memory, and more than twice "
			 "spool.bytesMax of address space";
	else if (code == ENOTDIR)
		remedy = "move the file away, or change tranqd.dataDir";
	else if (code == MDB_INVALID || code == MDB_VERSION_MISMATCH ||
	    code == MDB_CORRUPTED || code == MDB_PAGE_NOTFOUND ||
	    code == MDB_INCOMPATIBLE)
		remedy = "it is not a spool of this program or it is damaged: "
			 "move the directory away to begin anew, keep it for "
			 "rescue";
	snprintf(error, bytes, "spool %s: %s: %s; %s", s->dir, doing,
	    mdb_strerror(code), remedy);
}

static bool
lock_dir(struct spool *s, char *error, size_t bytes)
{
	int wait_ms = s->options.lock_wait_ms;

	s->lock_fd =
	    spool_dir_lock(s->dir, wait_ms > 0 ? wait_ms : LOCK_WAIT_MS);
	if (s->lock_fd >= 0)
		return true;
	if (errno == EWOULDBLOCK)
		snprintf(error, bytes,
		    "spool %s: another process owns it, pid %d; stop that "
		    "tranqd or tranqctl spool (or end the process, if it has "
		    "outlived its tranqd), or give this one its own "
		    "tranqd.dataDir",
		    s->dir, spool_dir_owner(s->dir));
	else
		explain(s, errno, "cannot open owner.lock", error, bytes);
	return false;
}

/* An environment that has anything in it, and no meta of ours, is another
 * program's: nothing may be made in it. */
static int
check_ours(MDB_txn *txn)
{
	MDB_dbi top, meta;
	MDB_stat stat;
	int rc = mdb_dbi_open(txn, NULL, 0, &top);

	if (rc != 0 || (rc = mdb_stat(txn, top, &stat)) != 0)
		return rc;
	if (stat.ms_entries == 0)
		return 0;
	rc = mdb_dbi_open(txn, "meta", 0, &meta);
	return rc == MDB_NOTFOUND ? MDB_INVALID : rc;
}

static int
open_databases(struct spool *s, MDB_txn *txn)
{
	struct {
		const char *name;
		MDB_dbi *to;
	} all[] = { { "batch", &s->batch }, { "queue", &s->queue },
		{ "dead", &s->dead }, { "progress", &s->progress },
		{ "meta", &s->meta }, { "copy", &s->copy } };
	int rc;

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if ((rc = mdb_dbi_open(
			 txn, all[i].name, MDB_CREATE, all[i].to)) != 0)
			return rc;
	return 0;
}

bool
spool_get_meta(
    struct spool *s, MDB_txn *txn, const char *name, void *to, size_t bytes)
{
	MDB_val k = spool_val(name, strlen(name)), v;

	if (mdb_get(txn, s->meta, &k, &v) != 0 || v.mv_size != bytes)
		return false;
	memcpy(to, v.mv_data, bytes);
	return true;
}

static int
put_meta(struct spool *s, const char *name, const void *from, size_t bytes)
{
	MDB_val k = spool_val(name, strlen(name)), v = spool_val(from, bytes);

	return mdb_put(s->write, s->meta, &k, &v, 0);
}

bool
spool_make_identity(char to[static SPOOL_IDENTITY_BYTES])
{
	uint8_t r[16];

	if (getrandom(r, sizeof r, 0) != (ssize_t)sizeof r)
		return false;
	r[6] = (uint8_t)((r[6] & 0x0f) | 0x40); /* RFC 4122, version 4 */
	r[8] = (uint8_t)((r[8] & 0x3f) | 0x80);
	snprintf(to, SPOOL_IDENTITY_BYTES,
	    "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
	    "%02x%02x%02x%02x%02x%02x",
	    r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9], r[10],
	    r[11], r[12], r[13], r[14], r[15]);
	return true;
}

static int
make_fresh(struct spool *s, MDB_txn *txn)
{
	uint32_t format = FORMAT;
	int rc;

	if (!spool_make_identity(s->identity))
		return errno;
	s->now =
	    (struct counts){ .next_id = (uint64_t)(s->options.now_ms / 1000)
			<< FIRST_ID_SHIFT };
	s->write = txn;
	if ((rc = put_meta(s, "format", &format, sizeof format)) == 0 &&
	    (rc = put_meta(s, "identity", s->identity, sizeof s->identity)) ==
		0)
		rc = put_meta(
		    s, "nextId", &s->now.next_id, sizeof s->now.next_id);
	s->write = NULL;
	return rc;
}

/* Adds up the queue: what waits. */
static int
count_queue(struct spool *s, MDB_txn *txn)
{
	MDB_cursor *cursor;
	MDB_val k, v;
	int rc = spool_open_cursor(txn, s->queue, &cursor);

	if (rc != 0)
		return rc;
	while ((rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0) {
		struct queue_value q;

		if (v.mv_size != sizeof q) {
			rc = MDB_CORRUPTED;
			break;
		}
		memcpy(&q, v.mv_data, sizeof q);
		s->now.batches++;
		s->now.events += q.events;
		s->now.bytes += q.bytes;
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static int
read_state(struct spool *s, MDB_txn *txn)
{
	uint32_t format = 0;
	int rc;

	s->now = (struct counts){ 0 };
	if (!spool_get_meta(s, txn, "format", &format, sizeof format)) {
		MDB_stat stat;

		rc = mdb_stat(txn, s->meta, &stat);
		if (rc != 0)
			return rc;
		return stat.ms_entries > 0 ? MDB_INVALID : make_fresh(s, txn);
	}
	if (format != FORMAT)
		return MDB_VERSION_MISMATCH;
	if (!spool_get_meta(
		s, txn, "identity", s->identity, sizeof s->identity) ||
	    !spool_get_meta(
		s, txn, "nextId", &s->now.next_id, sizeof s->now.next_id))
		return MDB_CORRUPTED;
	s->identity[sizeof s->identity - 1] = '\0';
	for (const struct spool_total *t = spool_totals_table; t->name != NULL;
	     t++)
		spool_get_meta(s, txn, t->name,
		    (char *)&s->now.totals + t->offset, sizeof(uint64_t));
	if ((rc = count_queue(s, txn)) != 0 ||
	    (rc = spool_count_copies(s, txn)) != 0 ||
	    (rc = spool_log_read(s, txn)) != 0 ||
	    (rc = spool_keys_read(s, txn)) != 0)
		return rc;
	return spool_count_dead(s, txn);
}

/* LMDB calls a write that was cut short an I/O error. */
static int
spool_code(const struct spool *s, int rc)
{
	struct statvfs disk;

	return rc == EIO && statvfs(s->dir, &disk) == 0 &&
		disk.f_bavail < FULL_BLOCKS
	    ? ENOSPC
	    : rc;
}

static int
count_opening(struct spool *s, MDB_txn *txn)
{
	uint64_t openings = 0;
	int rc;

	spool_get_meta(s, txn, "openings", &openings, sizeof openings);
	openings++;
	s->write = txn;
	s->error = put_meta(s, "openings", &openings, sizeof openings);
	spool_log_store(s);
	s->write = NULL;
	rc = s->error;
	s->error = 0;
	return rc;
}

static int
map_env(struct spool *s)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	/* fragments of large values need slack, and address space is free */
	size_t map = (size_t)s->options.bytes_max * 2 + MAP_EXTRA;
	int rc, stale;

	if (!spool_dir_reserve(s->dir, "lock.mdb", LOCK_BYTES))
		return errno;
	if ((rc = mdb_env_create(&s->env)) != 0)
		return rc;
	mdb_env_set_maxdbs(s->env, SPOOL_DATABASES_MAX);
	mdb_env_set_mapsize(s->env, (map + page - 1) / page * page);
	/* NOTLS: the kept read transaction belongs to us, not to the thread */
	if ((rc = mdb_env_open(s->env, s->dir, MDB_NOTLS, 0600)) != 0)
		return rc;
	mdb_reader_check(s->env, &stale); /* of a worker that was killed */
	return 0;
}

/* prove: by a commit of its own, see open_proven. */
static int
read_env(struct spool *s, bool prove)
{
	MDB_txn *txn;
	int rc;

	if ((rc = mdb_txn_begin(s->env, NULL, 0, &txn)) != 0)
		return rc;
	if ((rc = check_ours(txn)) != 0 || (rc = open_databases(s, txn)) != 0 ||
	    (rc = read_state(s, txn)) != 0 ||
	    (rc = prove ? count_opening(s, txn) : 0) != 0) {
		mdb_txn_abort(txn);
		return rc;
	}
	if ((rc = mdb_txn_commit(txn)) != 0)
		return rc;
	s->durable = s->now;
	if ((rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &s->read)) != 0)
		return rc;
	mdb_txn_reset(s->read);
	return 0;
}

static void
close_env(struct spool *s)
{
	if (s->write != NULL)
		mdb_txn_abort(s->write);
	if (s->read != NULL)
		mdb_txn_abort(s->read);
	if (s->env != NULL)
		mdb_env_close(s->env);
	s->write = s->read = NULL;
	s->env = NULL;
}

static int
open_env(struct spool *s, bool prove)
{
	int rc = map_env(s);

	return rc != 0 ? rc : spool_code(s, read_env(s, prove));
}

/* The last commit of a predecessor may be in the page cache only: its meta page
 * was written, and then came a kill, or an I/O error that it has died of.
 * Receivers answer 200 for what we find there, so a commit of our own is made
 * first. Where there is no room for one, the file is synced. */
static int
open_proven(struct spool *s)
{
	int rc = open_env(s, true);

	if (rc != ENOSPC && rc != EDQUOT && rc != MDB_MAP_FULL)
		return rc;
	close_env(s);
	rc = open_env(s, false);
	return rc != 0 ? rc : mdb_env_sync(s->env, 1);
}

static bool
ready_file(struct spool *s, bool may_make, char *error, size_t bytes)
{
	int code = 0;

	if (spool_file_ready(s->dir, s->ds, may_make, &code, error, bytes))
		return true;
	if (code != 0)
		explain(s, spool_code(s, code), "data.mdb", error, bytes);
	return false;
}

struct spool *
spool_open(const struct spool_options *options, char *error, size_t bytes)
{
	struct spool *s = must_calloc(1, sizeof *s);
	int rc;

	s->options = *options;
	s->dir = must_strdup(options->dir);
	s->ds = must_strdup(options->ds);
	s->lock_fd = -1;
	if (!spool_dir_make(s->dir)) {
		explain(s, errno, "cannot make the directory", error, bytes);
		spool_close(&s);
		return NULL;
	}
	if (!lock_dir(s, error, bytes)) {
		spool_close(&s);
		return NULL;
	}
	FAULT_POINT(SPOOL_LOCKED);
	if (!ready_file(s, true, error, bytes)) {
		spool_close(&s);
		return NULL;
	}
	if ((rc = open_proven(s)) == 0 && !spool_dir_sync(s->dir))
		rc = errno;
	if (rc != 0) {
		explain(s, rc, "cannot be opened", error, bytes);
		spool_close(&s);
		return NULL;
	}
	FAULT_POINT(SPOOL_OPENED);
	return s;
}

void
spool_close(struct spool **spool)
{
	struct spool *s = *spool;

	if (s == NULL)
		return;
	*spool = NULL;
	close_env(s);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	free(s->dir);
	free(s->ds);
	free(s);
}

bool
spool_reopen(struct spool *s, char *error, size_t bytes)
{
	struct counts before = s->durable;
	int rc;

	close_env(s);
	s->error = 0;
	if (!ready_file(s, false, error, bytes)) {
		s->now = s->durable = before;
		return false;
	}
	if ((rc = open_env(s, false)) == 0) {
		s->failure = RESULT_OK;
		/* ids that were taken stay taken, on the disk or not */
		s->now.next_id = MAX_OF(s->now.next_id, before.next_id);
		before.next_id = s->durable.next_id;
		s->surprised = memcmp(&before, &s->durable, sizeof before) != 0;
		s->durable.next_id = s->now.next_id;
		return true;
	}
	s->now = s->durable = before;
	explain(s, rc, "cannot be opened again", error, bytes);
	close_env(s);
	return false;
}

/* ---- what is there ---- */

const char *
spool_identity(const struct spool *s)
{
	return s->identity;
}

uint64_t
spool_batches(const struct spool *s)
{
	return s->durable.batches + s->durable.log_batches;
}

uint64_t
spool_queued(const struct spool *s)
{
	return s->durable.batches;
}

uint64_t
spool_events(const struct spool *s)
{
	return s->durable.events + s->durable.log_events;
}

uint64_t
spool_bytes(const struct spool *s)
{
	return s->durable.bytes + s->durable.log_bytes;
}

const struct spool_totals *
spool_totals(const struct spool *s)
{
	return &s->durable.totals;
}

bool
spool_has_room(const struct spool *s, uint64_t bytes)
{
	return s->now.bytes + s->now.log_bytes + s->now.kept +
	    s->now.dead_bytes + bytes <=
	    (uint64_t)s->options.bytes_max;
}

void
spool_set_bytes_max(struct spool *s, int64_t bytes_max)
{
	s->options.bytes_max = bytes_max;
}

uint64_t
spool_take_id(struct spool *s, unsigned events)
{
	uint64_t id = s->now.next_id;

	s->now.next_id += events;
	return id;
}

/* ---- changing ---- */

bool
spool_failed(const struct spool *s)
{
	return s->failure != RESULT_OK;
}

enum result
spool_failure(const struct spool *s)
{
	return s->failure;
}

bool
spool_surprised(const struct spool *s)
{
	return s->surprised;
}

void
spool_begin(struct spool *s)
{
	int stale;

	must(s->write == NULL);
	/* a tranqctl that was killed while it read would keep pages for ever */
	if (s->env != NULL && ++s->begun % READERS_CHECK == 0)
		mdb_reader_check(s->env, &stale);
	s->error =
	    s->env == NULL ? EIO : mdb_txn_begin(s->env, NULL, 0, &s->write);
	FAULT_POINT(TXN_BEGUN);
}

void
spool_note(struct spool *s, int rc)
{
	if (s->error == 0)
		s->error = rc;
}

void
spool_put(struct spool *s, const char *value, size_t bytes)
{
	const struct batch_header *h = (const void *)value;
	struct spool_lane at = { .start = h->start,
		.end = h->end,
		.partition = h->partition,
		.lane = h->lane };
	struct queue_key key = spool_queue_key(&at, h->id);
	struct queue_value q = { .events = h->events,
		.bytes = (uint32_t)bytes,
		.sealed_ms = h->sealed_ms };
	uint64_t id = htobe64(h->id);
	MDB_val k = spool_val(&id, sizeof id), v = spool_val(value, bytes);
	int rc;

	if (s->error != 0)
		return;
	/* ids only grow: appending fills pages from left to right. But a late
	 * batch that had to be sealed before its turn comes behind those that
	 * were moved meanwhile. */
	rc = mdb_put(s->write, s->batch, &k, &v, MDB_APPEND);
	if (rc == MDB_KEYEXIST)
		rc = mdb_put(s->write, s->batch, &k, &v, MDB_NOOVERWRITE);
	spool_note(s, rc);
	k = spool_val(&key, sizeof key);
	v = spool_val(&q, sizeof q);
	if (s->error == 0)
		spool_note(s, mdb_put(s->write, s->queue, &k, &v, 0));
	s->now.batches++;
	s->now.events += h->events;
	s->now.bytes += bytes;
}

/* Rare: only batches that met a definite failure have any. */
static int
forget(struct spool *s, uint64_t id, bool marks_too)
{
	struct progress_key key = { .id = htobe64(id) }, at;
	MDB_val k = spool_val(&key, sizeof key), v;
	MDB_cursor *cursor;
	int rc = spool_open_cursor(s->write, s->progress, &cursor);

	if (rc != 0)
		return rc;
	rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
	while (rc == 0 && k.mv_size == sizeof key &&
	    memcmp(k.mv_data, &key.id, sizeof key.id) == 0) {
		memcpy(&at, k.mv_data, sizeof at);
		if (!marks_too && at.replicant == htobe32(SPOOL_REFUSED_MARK))
			break; /* they come last */
		if ((rc = mdb_cursor_del(cursor, 0)) == 0)
			rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

int
spool_forget_progress(struct spool *s, uint64_t id)
{
	return forget(s, id, true);
}

bool
spool_leave_queue(struct spool *s, const struct spool_entry *e,
    enum spool_place where, uint32_t *events)
{
	struct queue_key key = spool_queue_key(&e->at, e->id);
	MDB_val k = spool_val(&key, sizeof key), v;
	int rc = mdb_get(s->write, s->queue, &k, &v);
	struct queue_value q = { 0 };

	if (rc == MDB_NOTFOUND)
		return false;
	if (rc == 0 && v.mv_size == sizeof q)
		memcpy(&q, v.mv_data, sizeof q);
	spool_note(s, rc != 0 ? rc : mdb_del(s->write, s->queue, &k, NULL));
	spool_note(s, forget(s, e->id, where == SPOOL_LEFT));
	*events = q.events;
	s->now.batches--;
	s->now.events -= q.events;
	s->now.bytes -= e->bytes;
	return true;
}

void
spool_remove(struct spool *s, const struct spool_entry *e)
{
	uint64_t id = htobe64(e->id);
	MDB_val k = spool_val(&id, sizeof id);
	uint32_t events;

	if (s->error != 0 || !spool_leave_queue(s, e, SPOOL_LEFT, &events))
		return;
	if (!spool_copy_left(s, e->id, SPOOL_LEFT))
		spool_note(s, mdb_del(s->write, s->batch, &k, NULL));
	s->now.totals.sent += events;
}

void
spool_set_meta(
    struct spool *s, const char *name, const void *from, size_t bytes)
{
	if (s->error == 0)
		spool_note(s, put_meta(s, name, from, bytes));
}

void
spool_set_cursor(
    struct spool *s, unsigned receiver, const struct spool_cursor *c)
{
	char name[32];

	snprintf(name, sizeof name, "cursor:%u", receiver);
	spool_set_meta(s, name, c, sizeof *c);
}

void
spool_count(struct spool *s, const struct spool_totals *more)
{
	s->now.totals.received += more->received;
	s->now.totals.dropped_window += more->dropped_window;
	s->now.totals.quarantined += more->quarantined;
	s->now.totals.late += more->late;
}

void
spool_set_progress(struct spool *s, uint64_t id, unsigned replicant,
    const struct spool_progress *p)
{
	struct progress_key key = { .id = htobe64(id),
		.replicant = htobe32(replicant) };
	MDB_val k = spool_val(&key, sizeof key), v = spool_val(p, sizeof *p);

	if (s->error == 0)
		spool_note(s, mdb_put(s->write, s->progress, &k, &v, 0));
}

void
spool_document_name(const char *name, char out[static SPOOL_DOCUMENT_MAX])
{
	must((size_t)snprintf(out, SPOOL_DOCUMENT_MAX, "document:%s", name) <
	    SPOOL_DOCUMENT_MAX);
}

void
spool_set_document(
    struct spool *s, const char *name, const char *text, size_t bytes)
{
	char key[SPOOL_DOCUMENT_MAX];

	spool_document_name(name, key);
	spool_set_meta(s, key, text, bytes);
}

static void
store_counts(struct spool *s)
{
	spool_set_meta(s, "nextId", &s->now.next_id, sizeof s->now.next_id);
	for (const struct spool_total *t = spool_totals_table; t->name != NULL;
	     t++)
		spool_set_meta(s, t->name, (char *)&s->now.totals + t->offset,
		    sizeof(uint64_t));
}

enum result
spool_commit(struct spool *s, char *error, size_t bytes)
{
	MDB_txn *txn = s->write;
	int rc;

	store_counts(s);
	spool_log_store(s);
	spool_note(s, FAULT_ERROR(COMMIT));
	rc = s->error;
	s->write = NULL;
	if (rc != 0 && txn != NULL)
		mdb_txn_abort(txn);
	else if (rc == 0)
		rc = spool_code(s, mdb_txn_commit(txn));
	if (rc == 0) {
		FAULT_POINT(COMMITTED);
		s->durable = s->now;
		return RESULT_OK;
	}
	s->failure = rc == ENOSPC || rc == EDQUOT || rc == MDB_MAP_FULL
	    ? RESULT_FULL
	    : RESULT_RETRY;
	/* ids that were taken stay taken: they may have been seen */
	s->durable.next_id = s->now.next_id;
	s->now = s->durable;
	explain(s, rc, "cannot write", error, bytes);
	return s->failure;
}

/* ---- looking ---- */

MDB_txn *
spool_look(struct spool *s)
{
	if (s->read == NULL || mdb_txn_renew(s->read) != 0)
		return NULL;
	return s->read;
}

void
spool_looked(struct spool *s)
{
	mdb_txn_reset(s->read);
}
