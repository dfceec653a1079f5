/*
 * record_batch - Kafka's record batches, version 2: build, check, take apart
 *
 * Process: worker builds, feed checks, tranqctl takes apart. Pure.
 * Layout:  kafka-pull.md 3 (Kafka's DefaultRecordBatch and DefaultRecord): a
 *          head of 61 bytes, big-endian, and behind it the records, together
 *          packed by a codec or not. A record is an event: its value, no key,
 *          no headers.
 *
 * The first offset and the leader epoch lie outside the checksum, so a batch is
 * finished before it is known where in the log it comes.
 */
#pragma once

#include "base.h"
#include "buf.h"
#include "compression.h"

#define RECORD_BATCH_HEAD_BYTES 61
/* Most bytes that a record takes besides its value. */
#define RECORD_BATCH_RECORD_EXTRA 32
/* Of a whole batch: its length is a positive int32. */
#define RECORD_BATCH_BYTES_MAX 0x7fffffffu

/* ---- building ---- */

/* An open batch; embed it. */
struct record_batch {
	char *bytes; /* room for the head, then records */
	size_t used, size;
	uint32_t records;
	int64_t first_ms, max_ms;
};

void record_batch_init(struct record_batch *);
void record_batch_free(struct record_batch *);
/* Copies the value in. The caller keeps record_batch_bytes + bytes +
 * RECORD_BATCH_RECORD_EXTRA under RECORD_BATCH_BYTES_MAX. */
void record_batch_add(struct record_batch *, int64_t timestamp_ms,
    const char *value, size_t bytes);
/* Of the batch as it is now, not packed. */
size_t record_batch_bytes(const struct record_batch *);
/* The finished batch with first offset 0 (to be freed by the caller), at least
 * one record; the open one is empty again. Packed by that codec (NULL: none)
 * where that makes it smaller. */
char *
record_batch_seal(struct record_batch *, struct compression *, size_t *bytes);
/* Says where it comes. */
void record_batch_set_first(char *batch, uint64_t first_offset);

/* ---- looking at one ---- */

struct record_batch_head {
	uint64_t first; /* offset of its first record */
	uint64_t next; /* offset behind its last one */
	uint32_t bytes; /* of all of it */
	uint32_t records;
	int64_t first_ms, max_ms; /* timestamps */
	unsigned codec; /* enum compression_codec, or a foreign number */
};

enum record_batch_verdict {
	RECORD_BATCH_GOOD,
	RECORD_BATCH_SHORT, /* it goes on behind `bytes`, if it is one */
	RECORD_BATCH_FOREIGN, /* no batch of version 2, or of a kind that tranqd
				 does not write: transactional, control */
	RECORD_BATCH_DAMAGED, /* its checksum or its counts are wrong */
};

/* Its head alone, without the checksum: GOOD means that all of its bytes are
 * there and its numbers agree. Any bytes may be given. */
enum record_batch_verdict record_batch_look(
    const void *at, size_t bytes, struct record_batch_head *) MUST_CHECK;
/* With its checksum. `head`: NULL, or filled in. */
enum record_batch_verdict record_batch_check(
    const void *at, size_t bytes, struct record_batch_head *head) MUST_CHECK;
const char *record_batch_verdict_name(enum record_batch_verdict);

/* ---- taking one apart ---- */

struct record_batch_record {
	uint64_t offset;
	int64_t timestamp_ms;
	const char *value; /* NULL: null */
	size_t bytes;
};

struct record_batch_reader {
	struct record_batch_head head;
	const char *next, *end;
	uint32_t left; /* records */
	int64_t delta; /* of the last one's offset */
	struct buf unpacked;
	bool is_damaged;
};

/* Of a batch that was checked, which stays in place until record_batch_close.
 * unpacked_max: bytes. false: it cannot be unpacked (into so many); nothing
 * needs to be closed. */
bool record_batch_open(struct record_batch_reader *, const void *batch,
    size_t bytes, size_t unpacked_max) MUST_CHECK;
/* false: there are no more; reader->is_damaged tells whether that is the end as
 * its head has it. */
bool record_batch_next(
    struct record_batch_reader *, struct record_batch_record *) MUST_CHECK;
void record_batch_close(struct record_batch_reader *);
