/*
 * sandbox_producer - which pushes a firehose has seen, by producer
 *
 * Process: tranq-sandbox. Pure. druid-api.md 1.4 to the letter: the sequence
 * is recorded before the body is read, and never forgotten.
 */
#pragma once

#include "base.h"
#include "text_map.h"

#define PRODUCERS_MAX 10000 /* this many seen: all are refused */

/* What became of the rows of a producer's last sequence. */
enum producer_rows {
	ROWS_AWAITED, /* still being read or queued */
	ROWS_TAKEN,
	ROWS_REFUSED, /* the push got an error answer */
	ROWS_ASKED, /* nobody wanted them taken (CHECK_ASK_MARK) */
	ROWS_UNREAD /* the client left before the body was complete */
};

struct producer {
	int64_t sequence; /* INT64_MIN at first */
	enum producer_rows rows;
	uint64_t body_hash; /* of the last complete body */
	void *current; /* the caller's: the request being handled */
};

struct producers {
	struct text_map by_id;
};

enum producer_verdict {
	PRODUCER_NEWER, /* recorded */
	PRODUCER_EQUAL, /* the last one again: skipped */
	PRODUCER_OLDER, /* skipped */
	PRODUCER_NO_NUMBER,
	PRODUCER_TOO_MANY
};

void sandbox_producers_init(struct producers *);
void sandbox_producers_fini(struct producers *);
/* *out: the producer, or NULL with TOO_MANY; stays until fini. */
struct producer_call {
	const char *id, *sequence; /* header values */
	size_t id_bytes, sequence_bytes;
};

enum producer_verdict sandbox_producers_record(
    struct producers *, const struct producer_call *, struct producer **out);
