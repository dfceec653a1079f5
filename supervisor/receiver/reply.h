/*
 * reply - what is answered, as the bytes of an HTTP response
 *
 * Process: receiver. Pure.   After: post.c.   Before: connection.c writes.
 */
#pragma once

#include "base.h"
#include "event.h"

#define REPLY_TEXT_MAX 1024u
#define REPLY_BYTES_MAX (REPLY_TEXT_MAX + 1024u)
#define REPLY_DATE_BYTES 30

struct reply {
	unsigned status;
	/* of text/plain, with its newline; NULL: the result */
	const char *text;
	/* as answer.c has written it, sent behind what is composed; NULL: the
	 * short one in JSON */
	const char *result;
	size_t result_bytes;
	bool is_smile;
	uint64_t received, sent;
	uint64_t dropped[DROP_REASONS]; /* by the receiver */
	uint64_t dropped_late; /* by the worker */
	uint64_t spooled; /* durable, not acknowledged by Druid */
	/* of them, late ones: for the archive, for a batch task */
	uint64_t archived, appended;
	bool is_repeat; /* of a request with the same Idempotency-Key */
	unsigned retry_after_s;
	const char *challenge; /* whole fields, or NULL */
};

struct reply_how {
	bool closes, keeps_alive; /* Connection: close, keep-alive, or none */
	bool is_head; /* no body is sent */
	const char *date;
};

/* Writes at most REPLY_BYTES_MAX bytes (a longer text is cut) and returns how
 * many: all but the `result`. */
size_t reply_compose(char *out, const struct reply *, const struct reply_how *);
/* Sun, 22 Nov 2026 10:00:00 GMT, of the second that `wall_ms` is in. */
void reply_date(int64_t wall_ms, char out[static REPLY_DATE_BYTES]);
