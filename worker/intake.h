/*
 * intake - takes events out of the rings and makes batches of them
 *
 * Process: worker.   After: channel (event rings).   Before: batch, spool.
 *
 * Everything that was read from a ring is in an open batch; all open batches
 * are sealed together, so that one cursor a ring says what is durable. A ring's
 * space is given back, and clients may be answered, after the commit.
 */
#pragma once

#include "channel.h"
#include "conf.h"
#include "delivery.h"
#include "keys.h"
#include "late.h"
#include "quarantine.h"
#include "spool.h"

struct intake;

struct intake_parts {
	const struct ds_conf *ds;
	struct channel *channels; /* one a receiver, lent */
	unsigned channel_count;
	uint64_t generation;
	struct spool *spool;
	struct hand *hand; /* NULL: nobody counts deaths */
	struct quarantine_options quarantine;
	struct delivery *delivery;
	struct late *late;
	struct keys *keys; /* NULL: each request is a new one */
};

struct intake *intake_new(const struct intake_parts *);
void intake_free(struct intake **);
/* At start and after a failed commit: goes back to what is durable. */
void intake_resume(struct intake *);
/* Reads what the rings hold, up to a bound a turn. false: the spool has no
 * room for more. */
bool intake_drain(struct intake *, int64_t now_ms);
/* Whether there is anything that is not durable yet. */
bool intake_open(const struct intake *);
/* Milliseconds until the open batches are to be sealed; 0: now; -1: there are
 * none. */
int64_t intake_seal_in_ms(const struct intake *, int64_t now_ms);
/* Seals all open batches; no-op when there are none. */
void intake_seal(struct intake *, int64_t wall_ms);
/* Between the spool's begin and commit; after a commit that succeeded. */
void intake_write(struct intake *);
void intake_written(struct intake *);
/* Newest event taken since the last call, or INT64_MIN. */
int64_t intake_newest_ms(struct intake *);
