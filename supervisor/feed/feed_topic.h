/*
 * feed_topic - a dataSource's log as a topic: partitions, offsets, batches
 *
 * Process: feed.   After: feed_serve.c asks.   Before: log_page, log_view.
 *
 * Offsets come from the page, on which the worker says what is durable; the
 * bytes come from the spool, past the worker. A look into the spool lasts from
 * feed_topic_begin to feed_topic_end and never longer than a turn: what a
 * client is owed is remembered by offset and bytes (struct feed_piece), and
 * found again in another look, since batches never change.
 */
#pragma once

#include <sys/uio.h>

#include "conf.h"
#include "heritage.h"
#include "kafka_answer.h"
#include "log_page.h"
#include "log_view.h"

#define FEED_TOPIC_IOVS 64 /* batches that are written at one time */
/* More than that of one request's records is not sent at one time, whatever it
 * allows, since all others wait while it comes together; one batch may be
 * larger. */
#define FEED_TOPIC_FETCH_MAX (8u * MiB)
#define FEED_TOPIC_FETCH_BATCHES 4096u
/* So many batches are enough for whoever waits for bytes: he is looked after
 * at each commit. */
#define FEED_TOPIC_GUESS_BATCHES 256u
/* Of a ListOffsets: batches that are taken apart, and that are looked at. */
#define FEED_TOPIC_UNPACK_MAX (64u * MiB)
#define FEED_TOPIC_SEARCH_MAX 65536u

struct feed_topic {
	const char *name;
	struct log_page *page;
	unsigned partitions; /* feed_topic_partitions, as it was last */
	unsigned waiters; /* requests that wait for it */
	bool has_changed; /* as far as this turn knows: who waits looks */
	uint64_t asked[LOG_PAGE_PARTITIONS_MAX]; /* offset of the last Fetch */
	/* private */
	char *dir;
	struct log_view *view;
	uint64_t opening; /* that the view is of */
	char identity[LOG_PAGE_IDENTITY_BYTES];
	unsigned log_number; /* another one when the log is another one */
	struct log_peers *peers; /* NULL: the topic is ours alone */
	uint64_t peers_version; /* 0: nothing is told yet */
	int64_t retry_ms; /* not before that time */
	int64_t complained_ms, beyond_ms, before_ms, damaged_ms;
};

struct feed_topics {
	struct feed_topic *all; /* sorted by name, as the conf's */
	unsigned count;
	uint64_t damaged; /* batches that were passed over */
};

/* Records that a client is owed: whole batches, one behind the other. */
struct feed_piece {
	struct feed_topic *topic;
	unsigned partition, log_number;
	size_t head_at; /* so much of the answer's head comes before it */
	uint64_t at; /* offset of the batch that is the next */
	size_t skip; /* its bytes that are sent */
	uint64_t left; /* bytes in all */
};

/* page_fds: of the conf's dataSources, in its order; taken over. The conf must
 * stay. False: a page that is none. */
bool feed_topic_init_all(
    struct feed_topics *, const struct conf *, const int *page_fds) MUST_CHECK;
void feed_topic_fini_all(struct feed_topics *);
/* NULL: there is no such dataSource. */
struct feed_topic *feed_topic_find(struct feed_topics *, struct kafka_text);
/* How many it has; 0: it is no topic (yet). */
unsigned feed_topic_partitions(struct feed_topic *);
/* One of them, counted from 0: its number, of a shared topic who leads it (−1:
 * nobody), and what is known of it. Behind feed_topic_partitions. */
struct feed_topic_part {
	int32_t number, leader;
	bool is_ours, stands_in; /* else another one leads it */
	struct log_range range;
	uint64_t asked; /* ours: the offset of the last Fetch, or 0 */
};

void feed_topic_part(
    const struct feed_topic *, unsigned at, struct feed_topic_part *);

/* Begins a look. False: the spool cannot be looked into now. */
bool feed_topic_begin(struct feed_topic *, int64_t now_ms) MUST_CHECK;
void feed_topic_end(struct feed_topic *);

/* What a Fetch is to get, within a look (or without one: then nothing). */
struct feed_topic_wish {
	int32_t partition;
	int64_t offset;
	uint64_t bytes_max;
	unsigned *batches_left; /* of the request */
	bool is_first; /* one batch at least, however large */
	bool has_look;
	bool is_guess; /* only how much it would be: nothing is checked */
};

/* The error, or range and piece (left 0: nothing is there yet). */
enum kafka_error feed_topic_fetch(struct feed_topics *, struct feed_topic *,
    const struct feed_topic_wish *, struct log_range *, struct feed_piece *);
/* ListOffsets: of a time in ms, or KAFKA_LATEST, KAFKA_EARLIEST. */
struct feed_topic_place {
	int64_t offset, time_ms; /* −1: there is none */
};

/* Of one request: whoever asks for the same place a thousand times keeps nobody
 * waiting. When nothing is left, a record's place is its batch's beginning. */
struct feed_topic_search {
	int64_t now_ms;
	uint64_t unpack_left; /* bytes of batches that are taken apart */
	unsigned batches_left; /* that are looked at */
};

enum kafka_error feed_topic_place(struct feed_topic *, int32_t partition,
    int64_t time_ms, struct feed_topic_search *, struct feed_topic_place *);

/* The next bytes of the piece, within a look; 0: they are not there any
 * more. */
struct feed_gather {
	struct iovec iovs[FEED_TOPIC_IOVS];
	uint64_t first[FEED_TOPIC_IOVS], next[FEED_TOPIC_IOVS]; /* offsets */
	unsigned count;
};

unsigned feed_topic_gather(const struct feed_piece *, struct feed_gather *);
/* So many of them are sent. */
void feed_topic_sent(struct feed_piece *, const struct feed_gather *, size_t);
