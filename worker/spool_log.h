/*
 * spool_log - the log in a spool: what Druid pulls, by offset
 *
 * Process: worker.   After: log_delivery.   Before: log_page, log_view.
 * Layout:  log_layout.h.
 *
 * A batch gets its offsets when it is put, and is never changed; it leaves by
 * spool_log_trim alone. Offsets grow by one an event. They never come again:
 *
 *   - a fresh log starts at unix seconds << 22, behind all that an earlier one
 *     of this dataSource can have come to;
 *   - a log that is a copy (a restored backup: its file is not the one that was
 *     written last) goes on from the same measure of the clock, or from its own
 *     end, whichever is more: from its opening on (spool_log_is_copy);
 *   - so does one whose consumers ask beyond its end (spool_log_jump), and at
 *     what they ask for when the clock is behind that.
 *
 * A clock that goes back can only make the measure too small; a log's own end
 * never gives way to it.
 *
 * What changes is called between spool_begin and spool_commit. Looks show what
 * is committed.
 */
#pragma once

#include "log_page.h"
#include "spool.h"

struct spool_log_counts {
	uint64_t batches, events, bytes; /* of all partitions */
};

struct spool_log_entry {
	uint64_t first, next; /* offsets */
	uint32_t events, bytes;
	int64_t sealed_ms;
};

/* ---- within a transaction ---- */

/* The log has these partitions, empty ones if they are new. */
void spool_log_begin(struct spool *, unsigned partitions, int64_t now_ms);
/* Gives the record batch (record_batch_seal) its place in the log, writes the
 * first offset into it, and stores it. Returns that offset; after an error of
 * the transaction, any. Adds its events and bytes to the totals. */
uint64_t spool_log_put(struct spool *, unsigned partition, char *batch,
    size_t bytes, int64_t sealed_ms);
/* A batch leaves the queue, and its events go into the log with a spool_log_put
 * that follows: they do not count as sent. false: it is not there any more (or
 * the transaction is void). */
bool spool_log_take(struct spool *, const struct spool_entry *) MUST_CHECK;
/* Removes batches that lie wholly below `floor`, at most so many of them; their
 * events count as sent. The log's start becomes `floor` when all of them are
 * gone, or else where the first one that stays begins. true: there is more to
 * remove. Never down: a floor below the start does nothing. */
bool spool_log_trim(
    struct spool *, unsigned partition, uint64_t floor, unsigned batches_max);
/* The next batch's first offset is at least what the clock says, and `asked`,
 * which may be a day ahead of the clock (else it is nobody's of ours, and does
 * not count). Whether that moved it. */
bool spool_log_jump(
    struct spool *, unsigned partition, uint64_t asked, int64_t now_ms);

/* ---- looks ---- */

/* A UUID's text; "" before there is a log. */
const char *spool_log_identity(const struct spool *);
/* The spool's file is not the one that the log was written to last, so that it
 * may be an older state of it: its offsets have jumped. As of its opening. */
bool spool_log_is_copy(const struct spool *);
/* {0, 0}: there is no such partition yet. */
struct log_range spool_log_range(const struct spool *, unsigned partition);
struct spool_log_counts spool_log_counts(const struct spool *);
/* The first batch at or behind `from`. false: there is none. */
bool spool_log_next(struct spool *, unsigned partition, uint64_t from,
    struct spool_log_entry *) MUST_CHECK;
/* Where the first batch begins that was sealed at that time or later; the log's
 * end when there is none. */
uint64_t
spool_log_sealed_at(struct spool *, unsigned partition, int64_t sealed_ms);
/* The offset from which on the log has at most so many bytes, at a batch's
 * beginning. */
uint64_t
spool_log_bytes_behind(struct spool *, unsigned partition, uint64_t bytes);
