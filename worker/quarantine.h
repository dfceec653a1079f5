/*
 * quarantine - files of what has killed its worker again and again
 *
 * Process: worker.   Before: intake and spool go on without it.
 * Owns:    `{tranqd.dataDir}/quarantine/{dataSource}/`.
 *
 * A file is a line of JSON (why, when, what it was) and behind it the events,
 * one a line, as they were. It is whole and synced before anything goes on
 * without them; written again, by a worker that was killed in between, it is the
 * same file.
 */
#pragma once

#include "base.h"
#include "buf.h"
#include "hand.h"

#define QUARANTINE_ERROR_BYTES 600

struct quarantine_options {
	const char *dir; /* of the dataSource */
	const char *ds;
	int64_t bytes_max; /* of all its files */
};

struct quarantine_piece {
	const struct hand_item *item; /* as condemned */
	int64_t now_ms; /* wall */
	const struct buf *lines; /* the events */
	uint32_t events;
};

/* false, with why in `error`: nothing may go on without the piece. */
bool quarantine_write(const struct quarantine_options *,
    const struct quarantine_piece *, char *error, size_t error_bytes);
