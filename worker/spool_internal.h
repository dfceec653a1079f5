/*
 * spool_internal - what the spool's own files share
 *
 * Process: worker.   Owner: spool.c; spool_late.c has what changes a
 * batch's place, spool_copy.c what concerns copies, spool_dead.c dead letters,
 * spool_log.c the log, spool_read.c what only looks.
 */
#pragma once

#include <endian.h>
#include <errno.h>

#include <lmdb.h>

#include "log_layout.h"
#include "panic.h"
#include "spool.h"
#include "spool_log.h"

#define SPOOL_DOCUMENT_MAX 64 /* of a document's key */

struct queue_key { /* big-endian: LMDB compares bytes */
	uint64_t start, end;
	uint32_t partition, lane;
	uint64_t id;
};

struct progress_key {
	uint64_t id;
	uint32_t replicant; /* SPOOL_REFUSED_MARK: the event is refused */
	uint32_t event; /* 0 with a replicant */
};

#define SPOOL_REFUSED_MARK UINT32_MAX

struct queue_value {
	uint32_t events, bytes;
	int64_t sealed_ms;
};

struct copy_value {
	int64_t start, end, sealed_ms;
	uint32_t events, bytes;
	uint32_t parcel; /* 0: not in one yet */
	uint16_t where; /* enum spool_place: what the queue has done with it */
	uint16_t is_copied;
};

/* A total's key in `meta`; a row without a name is the last. */
struct spool_total {
	const char *name;
	size_t offset; /* in struct spool_totals */
};
extern const struct spool_total spool_totals_table[];

struct counts {
	uint64_t batches, events, bytes;
	uint64_t kept; /* bytes that are here for their copy only */
	uint64_t dead_count, dead_bytes; /* dead letters */
	struct spool_totals totals;
	uint64_t next_id;
	uint64_t keys; /* of Idempotency-Keys */
	bool has_keys; /* the databases are there */
	struct log_meta log[LOG_PAGE_PARTITIONS_MAX]; /* next 0: none yet */
	uint64_t log_partitions; /* those behind are not there */
	uint64_t log_batches, log_events, log_bytes; /* of all of them */
};

struct spool {
	struct spool_options options;
	char *dir, *ds;
	char identity[SPOOL_IDENTITY_BYTES];
	int lock_fd;
	MDB_env *env;
	MDB_dbi batch, queue, dead, progress, meta, copy;
	MDB_dbi log; /* made with the log's first partition */
	MDB_dbi keys, keytime; /* made with the first key */
	bool has_log, log_is_copy;
	char log_identity[SPOOL_IDENTITY_BYTES];
	struct log_file log_file; /* the one that is open */
	MDB_txn *write, *read;
	unsigned begun; /* transactions */
	int error; /* of the open transaction: the first one */
	enum result failure; /* of a commit since it was opened */
	bool surprised;
	struct counts durable; /* as committed */
	struct counts now; /* with what the open transaction changes */
};

static inline MDB_val
spool_val(const void *data, size_t bytes)
{
	union {
		const void *from;
		void *to;
	} u = { .from = data };

	return (MDB_val){ .mv_size = bytes, .mv_data = u.to };
}

/* A look that ends for want of memory must not pass for the end of what is
 * there. */
static inline int
spool_open_cursor(MDB_txn *txn, MDB_dbi in, MDB_cursor **cursor)
{
	int rc = mdb_cursor_open(txn, in, cursor);

	must_afford(rc != ENOMEM);
	return rc;
}

static inline uint64_t
spool_sortable(int64_t time)
{
	return (uint64_t)time ^ UINT64_C(1) << 63;
}

static inline struct queue_key
spool_queue_key(const struct spool_lane *at, uint64_t id)
{
	return (struct queue_key){ .start = htobe64(spool_sortable(at->start)),
		.end = htobe64(spool_sortable(at->end)),
		.partition = htobe32(at->partition),
		.lane = htobe32(at->lane),
		.id = htobe64(id) };
}

static inline struct spool_entry
spool_entry_of(const struct queue_key *k, const struct queue_value *v)
{
	return (struct spool_entry){
		.at = { .start =
			    (int64_t)spool_sortable((int64_t)be64toh(k->start)),
		    .end = (int64_t)spool_sortable((int64_t)be64toh(k->end)),
		    .partition = be32toh(k->partition),
		    .lane = be32toh(k->lane) },
		.id = be64toh(k->id),
		.events = v->events,
		.bytes = v->bytes,
		.sealed_ms = v->sealed_ms
	};
}

/* What the queue has done with a batch. */
enum spool_place { SPOOL_QUEUED, SPOOL_LEFT, SPOOL_MOVED, SPOOL_DEAD };

/* false: not there, or not of that size. */
bool spool_get_meta(
    struct spool *, MDB_txn *, const char *name, void *to, size_t bytes);
void spool_document_name(const char *name, char out[static SPOOL_DOCUMENT_MAX]);
/* The kept read transaction, looking at the last commit; NULL when the
 * environment is not open. */
MDB_txn *spool_look(struct spool *);
void spool_looked(struct spool *);
/* The batch has left the queue. True: its value must stay for its copy. */
bool spool_copy_left(struct spool *, uint64_t id, enum spool_place);
/* Within the opening: what the log's meta says. */
int spool_log_read(struct spool *, MDB_txn *);
/* At each commit: what has changed of it. */
void spool_log_store(struct spool *);
/* Within the opening: whether there are keys, and how many. */
int spool_keys_read(struct spool *, MDB_txn *);
/* A random UUID's text. false with errno. */
bool spool_make_identity(char to[static SPOOL_IDENTITY_BYTES]) MUST_CHECK;
/* Of the open transaction, into `meta`. */
void spool_set_meta(
    struct spool *, const char *name, const void *from, size_t bytes);
int spool_count_copies(struct spool *, MDB_txn *);
int spool_count_dead(struct spool *, MDB_txn *);
/* Of the open transaction: the first error stays. */
void spool_note(struct spool *, int rc);
/* false: it has left already, by a commit that only seemed to fail. *events:
 * that were in it, without refused ones. Those stay marked at a dead letter. */
bool spool_leave_queue(struct spool *, const struct spool_entry *,
    enum spool_place, uint32_t *events) MUST_CHECK;
/* All that is noted beside a batch, the marks of refused events too. */
int spool_forget_progress(struct spool *, uint64_t id);
