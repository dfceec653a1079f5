/*
 * log_view - a dataSource's log as it lies in its spool, to look at
 *
 * Process: feed, tranqctl. Whoever owns the spool goes on.
 * Owns:    an LMDB environment of its own, read only (it needs a place in
 *          lock.mdb, so that file must be writable; and data.mdb readable).
 *
 * Looks go between log_view_begin and log_view_end. All pages that a look may
 * meet stay on the disk as long as it is open, so it must end before anybody
 * is waited for, a slow client above all: copy, or write what the socket takes
 * at once, and end it. Each look sees the newest commit, which need not be
 * durable: who serves others keeps within log_page_range.
 */
#pragma once

#include "base.h"
#include "log_page.h"

struct log_view;

/* A whole batch; bytes lie in the spool's pages until log_view_end. */
struct log_batch {
	uint64_t first, next; /* offsets: its first record, behind its last */
	const char *bytes; /* a record batch, not checked */
	size_t size;
	int64_t sealed_ms;
};

enum log_found {
	LOG_FOUND,
	LOG_NOT_THERE, /* no batch at or behind it */
	LOG_MORE, /* not yet; go on from where it stands */
	LOG_FAILED, /* the spool cannot be read: log_view_trouble */
};

/* The spool in `dir` ({dataDir}/spool/{dataSource}). NULL with a sentence in
 * `error`. A spool without a log is one whose partitions are all empty. */
struct log_view *log_view_open(const char *dir, char *error, size_t bytes);
void log_view_close(struct log_view **);
/* Why the last LOG_FAILED, or false of log_view_begin. */
const char *log_view_trouble(const struct log_view *);

bool log_view_begin(struct log_view *) MUST_CHECK;
void log_view_end(struct log_view *);

/* "" when there is no log; until log_view_end. */
const char *log_view_identity(struct log_view *);
/* As committed. {0, 0}: there is no such partition. */
struct log_range log_view_range(struct log_view *, unsigned partition);
/* The batch that has the offset, or else the first one behind it: there may be
 * gaps between batches. */
enum log_found log_view_at(struct log_view *, unsigned partition,
    uint64_t offset, struct log_batch *) MUST_CHECK;
/* The batch behind that one. */
enum log_found log_view_next(
    struct log_view *, unsigned partition, struct log_batch *) MUST_CHECK;

/* A search for the first batch at or behind *from with a record of that
 * timestamp or a later one. At most `batches` are looked at: LOG_MORE, and
 * *from is where to go on, in a later look, too. LOG_FOUND: the batch; which of
 * its records it is, and whether its greatest timestamp is as its head says,
 * is the caller's business. Nearly always the first call finds it. */
enum log_found
log_view_find_time(struct log_view *, unsigned partition, int64_t timestamp_ms,
    unsigned batches, uint64_t *from, struct log_batch *) MUST_CHECK;
