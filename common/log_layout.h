/*
 * log_layout - how the log lies in a spool
 *
 * Process: worker writes (spool_log.c), feed and tranqctl read (log_view.c).
 *
 * Database `log`: log_key → a record batch (record_batch.h) as it is served,
 * and behind it a log_trailer. Database `meta`: "log:identity" → a UUID's text,
 * "log:file" → log_file, "log:N" → log_meta of partition N, as soon as there
 * is one.
 */
#pragma once

#include <endian.h>
#include <string.h>

#include "base.h"

#define LOG_DATABASE "log"
#define LOG_META_IDENTITY "log:identity"
#define LOG_META_FILE "log:file"
#define LOG_META_PARTITION "log:%u"
#define LOG_META_NAME_BYTES 16
/* The first offset of a fresh log is unix seconds << this, so that it lies
 * behind all that an earlier log can have come to: more than four million
 * events in every second since 1970. Below 2^53 until 2038, for JSON's sake. */
#define LOG_FIRST_SHIFT 22

/* Big-endian: LMDB compares bytes. */
struct log_key {
	uint32_t partition;
	uint32_t first_high, first_low; /* offset of the batch's first record */
};

static inline struct log_key
log_key_of(unsigned partition, uint64_t first)
{
	return (struct log_key){ .partition = htobe32(partition),
		.first_high = htobe32((uint32_t)(first >> 32)),
		.first_low = htobe32((uint32_t)first) };
}

static inline uint64_t
log_key_first(const struct log_key *k)
{
	return (uint64_t)be32toh(k->first_high) << 32 | be32toh(k->first_low);
}

/* Little-endian, as all of the spool but its keys. All three grow from batch to
 * batch, so that each can be searched by halves. */
struct log_trailer {
	int64_t sealed_ms; /* wall clock, but never back */
	int64_t reach_ms; /* greatest timestamp of it and all before it */
	uint64_t bytes_before; /* of all batches before it, ever */
};

/* Takes a value of `log` apart: its batch's bytes, and the trailer. 0: it is too
 * short to be one. */
static inline size_t
log_value_read(const void *value, size_t bytes, struct log_trailer *t)
{
	if (bytes <= sizeof *t)
		return 0;
	memcpy(t, (const char *)value + bytes - sizeof *t, sizeof *t);
	return bytes - sizeof *t;
}

struct log_meta {
	uint64_t first; /* ever: where this log began */
	uint64_t start; /* removal floor: what lies before it is gone */
	uint64_t next; /* the next batch's first offset, at least */
	int64_t sealed_ms, reach_ms; /* of the last batch */
	uint64_t bytes_ever;
	uint64_t batches, events, bytes; /* that are there */
};

/* The file that the log was last written to. Another one with the same content
 * is a copy of some state of it. */
struct log_file {
	uint64_t inode;
	int64_t born_s, born_ns; /* 0: the file system does not know */
};
