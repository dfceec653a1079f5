/*
 * beam_data - the document `data` by which all instances agree on their beams
 *
 * Process: worker. Pure: now is an argument. tranquility.md 4 has the format;
 * JVM Tranquility reads and writes the same znode. All times are milliseconds
 * since 1970, UTC.
 */
#pragma once

#include "base.h"
#include "buf.h"
#include "json.h"
#include "granularity.h"

/* A znode takes 1 MiB with its overhead. */
#define BEAM_DATA_BYTES_MAX (1000 * KiB)
#define BEAM_DATA_ERROR_BYTES 256

struct beam_task {
	char *id;
	char *firehose_id;
};

/* One partition of one bucket. */
struct beam_record {
	int64_t bucket; /* start of its bucket: its key under "beams" */
	struct interval interval;
	unsigned partition;
	struct beam_task *tasks;
	size_t task_count;
	bool has_timestamp; /* it covers exactly one segment */
	int64_t timestamp;
	struct json *others; /* members that we do not know, or NULL */
};

struct beam_data {
	int64_t latest_close; /* 0: none closed yet */
	/* sorted by bucket, then partition */
	struct beam_record *beams;
	size_t count, size;
	struct json *others; /* members that we do not know, or NULL */
};

/* No beams, latest_close 0. */
void beam_data_init(struct beam_data *);
void beam_data_fini(struct beam_data *);
void beam_data_copy(struct beam_data *to, const struct beam_data *from);

/* Fills an initialised `data`. No bytes at all (or only white space) is an
 * empty document. False for garbage: `data` is empty then and `error` says
 * what is wrong where in the document; the caller adds the path. */
bool beam_data_parse(struct beam_data *, const char *text, size_t bytes,
    char error[static BEAM_DATA_ERROR_BYTES]);
/* Compact JSON as Tranquility prints it; the buffer is marked as failed when
 * that would not fit its limit. */
void beam_data_print(const struct beam_data *, struct buf *);

/* latest_close or the latest bucket, whichever is later. */
int64_t beam_data_latest(const struct beam_data *);
/* The beams of a bucket, in order of their partition: `*count` of them. */
struct beam_record *
beam_data_bucket(const struct beam_data *, int64_t bucket, size_t *count);
struct beam_record *
beam_data_find(const struct beam_data *, int64_t bucket, unsigned partition);
/* Lowest partition number that the bucket does not have yet. */
unsigned beam_data_next_partition(const struct beam_data *, int64_t bucket);

/* Puts a new beam without tasks in its place; it must not be there yet. Its
 * timestamp is the bucket. The pointer is good until the next change. */
struct beam_record *beam_data_add(
    struct beam_data *, int64_t bucket, struct interval, unsigned partition);
/* Texts are copied. */
void beam_record_add_task(
    struct beam_record *, const char *id, const char *firehose_id);
/* Forgets the tasks: replacements follow by beam_record_add_task. */
void beam_record_clear_tasks(struct beam_record *);

/* Removes the beams whose interval has ended before now - window
 * (end + window < now); latest_close
 * moves to the last bucket removed. Returns how many were removed. */
size_t beam_data_prune(struct beam_data *, int64_t now,
    const struct period *window, int64_t slack_ms);
/* Removes one bucket, and closes it for good. */
size_t beam_data_close(struct beam_data *, int64_t bucket);
