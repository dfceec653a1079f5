/*
 * log_page - how far a dataSource's log is durable: what its worker shows feeds
 *
 * Process: supervisor makes one a dataSource (a memfd) and keeps it over the
 * restarts of both sides, beside a bell (eventfd, bell_new of channel.h) that
 * is one feed's and rung by all workers. The worker attaches it to write, the
 * feed to read; `asked_beyond` and `is_awaited` are the feed's.
 *
 * What a feed finds in the spool by itself (log_view.h) may be newer than the
 * last fsync that came back, or than what a failed one has left: only what
 * lies in start … end of this page may be served. Both only grow within one
 * `opening`; offsets never come again, whatever happens.
 *
 * The feed waits like this, without a timer:
 *
 *   log_page_await     announces it
 *   log_page_range     looks once more: nothing there at the offset
 *   (sleep; the bell)
 *   log_page_range     the answer
 *
 * Nothing is undone after a wake: the worker withdraws the announcement when it
 * rings, so it rings once for each time that somebody waits.
 */
#pragma once

#include <stdatomic.h>

#include "base.h"
#include "log_peers.h"

#define LOG_PAGE_PARTITIONS_MAX 64 /* of pull.partitions */
#define LOG_PAGE_IDENTITY_BYTES 37 /* a UUID's text and NUL */

struct log_page;

/* Offsets: what is in the log is start … end - 1, as far as it is durable. */
struct log_range {
	uint64_t start, end;
};

int log_page_create(void); /* memfd, or -1 with errno */
/* Mapping, or NULL with errno (EPROTO: it is no such page). */
struct log_page *log_page_attach(int fd) MUST_CHECK;
void log_page_detach(struct log_page **);

/* ---- worker ---- */

/* The spool is open and its last commit proven; `identity` is its log's. The
 * ranges are told before. A feed must open its view anew. */
void log_page_open(struct log_page *, const char *identity);
/* Nobody has the spool open any more, or its pages are not to be trusted. What
 * was told stays durable; but a feed reads no spool now. */
void log_page_close(struct log_page *);
/* partition < LOG_PAGE_PARTITIONS_MAX. After the commit. */
void log_page_tell(struct log_page *, unsigned partition, struct log_range);
/* At the end of a row of log_page_tell: rings the bell if somebody waits. */
void log_page_ring(struct log_page *, int feed_bell);
/* The highest offset beyond its end that a consumer has asked for since the
 * last call; 0: none has. A feed's word, which comes from the network: it is a
 * reason to look at the clock (spool_log_jump), not a number to believe. */
uint64_t log_page_asked_beyond(struct log_page *, unsigned partition);

/* Who else has a part of the topic, or that nobody has: before that there is no
 * topic for feeds. */
void log_page_tell_peers(struct log_page *, const struct log_peers *);

/* ---- feed ---- */

/* Copies what was told last, when that is another one than *version (0 at
 * first), and bounds it. False: it is the same, or a worker is at it. */
bool log_page_peers(
    const struct log_page *, uint64_t *version, struct log_peers *) MUST_CHECK;

/* Which opening this is; 0: closed, nothing may be read from the spool (answer
 * what is known, or wait). Another one than the view's: open it anew. Copies
 * the log's identity (LOG_PAGE_IDENTITY_BYTES) when that is not NULL. */
uint64_t log_page_opening(const struct log_page *, char *identity);
/* What may be served. {0, 0}: there is no such partition (yet). */
struct log_range log_page_range(const struct log_page *, unsigned partition);
/* Somebody waits for anything to change here. True: it was not announced, or
 * the worker has rung since; look again. */
bool log_page_await(struct log_page *);
/* A consumer asked for an offset beyond the end. */
void
log_page_note_beyond(struct log_page *, unsigned partition, uint64_t offset);
