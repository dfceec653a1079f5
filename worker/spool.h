/*
 * spool - durable store of a dataSource's batches that Druid has not yet taken
 *
 * Process: worker (one owner at a time: a lock file).   After: batch seals.
 * Before: dispatch sends.
 * Owns:    the LMDB environment; callers get copies, never pages.
 *
 * Databases:
 *   batch    id → value of a batch (batch.h)
 *   queue    interval, partition, lane, id → events, bytes, sealed: the order
 *            of sending; a batch waits as long as it stands here
 *   dead     id → events, reason, …: batches that cannot be delivered; their
 *            values stay in `batch` (spool_dead.h)
 *   progress id, replicant → how far a batch got there, when a definite
 *            failure made a new sequence necessary
 *   copy     id → batches of which the archive still has to get a copy, and
 *            those of them that are copied and still in the queue
 *   log      what Druid pulls, by offset (spool_log.h), when it has pulled ever
 *   keys     hash of an Idempotency-Key → how far its request is stored, and
 *            what became of it (spool_keys.h); from the first one on
 *   keytime  when a key came, its hash → nothing: the order of forgetting
 *   meta     format, identity, next id, ring cursors, totals, documents
 *
 * All changes between spool_begin and spool_commit are one transaction with
 * one fsync. The first error makes the rest of the transaction void: a row
 * of changes is checked once, at its commit.
 */
#pragma once

#include "base.h"
#include "batch.h"
#include "late_policy.h"
#include "life.h"
#include "result.h"

#define SPOOL_DATABASES_MAX 16
/* A spool with less than this part of spool.bytesMax free is full: no events are
 * taken. */
#define SPOOL_ROOM_SHARE 16
#define SPOOL_IDENTITY_BYTES 37 /* a UUID's text and NUL */

struct spool;

struct spool_options {
	const char *dir; /* made when it is not there */
	const char *ds;
	int64_t bytes_max; /* spool.bytesMax */
	int64_t now_ms; /* wall: the first id of a fresh spool */
	int lock_wait_ms; /* for another owner to leave; 0: some seconds */
};

/* Where a batch waits: one line of the queue. */
struct spool_lane {
	int64_t start, end; /* interval */
	uint32_t partition, lane;
};

struct spool_entry {
	struct spool_lane at;
	uint64_t id;
	uint32_t events, bytes;
	int64_t sealed_ms;
};

/* Numbers that go on over restarts: the WORKER_TOTAL counters. */
struct spool_totals {
	uint64_t received, sent, dropped_window, dead, quarantined;
	uint64_t late; /* came outside the window and were kept */
	uint64_t archived, appended; /* what became of them */
	uint64_t copied; /* to the archive, besides (archive.all) */
	uint64_t dropped_dead; /* dead letters, by an operator */
};

/* A replicant has the chunks before this one; this one goes out with its
 * `attempt`th sequence. events > 0: something in the chunk is refused, it goes
 * out in pieces; the task has those before `first`, the next one is `events`
 * long. */
struct spool_progress {
	uint32_t chunk, attempt;
	uint32_t first, events;
	uint32_t task; /* which of the replicant's tasks in turn: of its id */
	uint32_t asks; /* enum feed_asks */
};

/* How far a ring is safe in the spool. */
struct spool_cursor {
	uint64_t generation;
	uint64_t position;
	uint64_t taken_events, taken_dropped;
};

/* Opens, or makes, the spool. NULL with an explanation (what is wrong, what
 * to do) in `error`. */
struct spool *
spool_open(const struct spool_options *, char *error, size_t error_bytes);
void spool_close(struct spool **);
/* The same environment anew, after a commit that failed: its pages are not to
 * be trusted. */
bool spool_reopen(struct spool *, char *error, size_t error_bytes) MUST_CHECK;

const char *spool_identity(const struct spool *);
/* Batches, events and bytes that wait, in queue and log; what is begun and not
 * committed is not in it. */
uint64_t spool_batches(const struct spool *);
uint64_t spool_events(const struct spool *);
uint64_t spool_bytes(const struct spool *);
/* Batches of the queue alone. */
uint64_t spool_queued(const struct spool *);
/* When the batch that waits longest in the queue was sealed; 0: none waits. */
int64_t spool_oldest_ms(struct spool *);
const struct spool_totals *spool_totals(const struct spool *);
/* Whether `bytes` more fit into spool.bytesMax. */
bool spool_has_room(const struct spool *, uint64_t bytes);
void spool_set_bytes_max(struct spool *, int64_t bytes_max);
/* Id for a batch of `events` events: grows, never comes again. Becomes durable
 * with the batch. */
uint64_t spool_take_id(struct spool *, unsigned events);

void spool_begin(struct spool *);
void spool_put(struct spool *, const char *value, size_t bytes);
/* Acknowledged by Druid: it leaves the spool. */
void spool_remove(struct spool *, const struct spool_entry *);
/* Whether it still waits in that lane, as the open transaction sees it. Not
 * after an error. */
bool spool_is_queued(const struct spool *, const struct spool_entry *);
/* It goes on under another label and id: `value` takes its place. Events that
 * the new value lacks count as sent. It must be queued. */
void spool_replace(struct spool *, const struct spool_entry *,
    const char *value, size_t bytes);
void spool_set_cursor(
    struct spool *, unsigned receiver, const struct spool_cursor *);
/* It waits elsewhere from now on. */
void spool_move(
    struct spool *, const struct spool_entry *, const struct spool_lane *to);
/* A late batch has been brought out, LATE_ARCHIVE or LATE_APPEND: it leaves
 * the spool. */
void spool_remove_late(
    struct spool *, const struct spool_entry *, enum late_policy how);
/* The archive gets a copy of the batch, which has just been put. */
void spool_put_copy(struct spool *, const struct spool_entry *);
/* Its copy belongs to that parcel; 0: to none. */
void spool_move_copy(struct spool *, uint64_t id, uint32_t parcel);
/* Its copy is made: its value leaves when the queue does not need it. */
void spool_copied(struct spool *, uint64_t id);
/* Adds to received, dropped_window, quarantined and late; the others follow
 * from what leaves. */
void spool_count(struct spool *, const struct spool_totals *more);
void spool_set_progress(struct spool *, uint64_t id, unsigned replicant,
    const struct spool_progress *);
/* A small document under a name ("beams"). */
void spool_set_document(
    struct spool *, const char *name, const char *text, size_t bytes);
/* RESULT_OK: durable. RESULT_FULL: the disk or the map is full; RESULT_RETRY:
 * I/O failed. After a failure nothing of the transaction has happened and
 * spool_reopen is due; `error` says why. */
enum result spool_commit(struct spool *, char *error, size_t error_bytes);
/* A commit has failed since it was opened; how. */
bool spool_failed(const struct spool *);
enum result spool_failure(const struct spool *);
/* The last spool_reopen found another state than the last commit that
 * succeeded: the one that failed is on the disk all the same. What was known
 * of the queue is void then. */
bool spool_surprised(const struct spool *);

/* false: none stored for this generation. */
bool spool_cursor(struct spool *, unsigned receiver, uint64_t generation,
    struct spool_cursor *);
/* The first batch of a lane whose id is above `after`. */
bool spool_next(struct spool *, const struct spool_lane *, uint64_t after,
    struct spool_entry *);
/* The first entry of the first lane behind `lane` (NULL: of all); `*batches`
 * is how many the lane holds. Walks the lanes that have anything. */
bool spool_next_lane(struct spool *, const struct spool_lane *,
    struct spool_entry *, unsigned *batches);
/* The first batch above `after` whose copy is still to be made, of that interval
 * and parcel (the lane; NULL: of any); entry.at.lane is its parcel. */
bool spool_next_copy(struct spool *, const struct spool_lane *, uint64_t after,
    struct spool_entry *);
/* Whether the archive gets, or has got, a copy of the batch, which is in the
 * queue. */
bool spool_has_copy(struct spool *, uint64_t id);
/* A copy of the batch's value, to be freed; NULL when it is not there or there
 * is no memory. Its checksum has been verified; a damaged one is NULL too and
 * *damaged is set. */
char *spool_load(struct spool *, uint64_t id, size_t *bytes, bool *damaged);
/* 0, 0 when none is stored. */
struct spool_progress
spool_progress(struct spool *, uint64_t id, unsigned replicant);
/* Text with a NUL, to be freed; NULL when there is none. */
char *spool_document(struct spool *, const char *name);
