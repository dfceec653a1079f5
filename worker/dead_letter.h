/*
 * dead_letter - what a dead letter becomes when it is requeued
 *
 * Process: worker, and tranqctl when no worker runs.
 */
#pragma once

#include "conf.h"
#include "spool_dead.h"

enum dead_letter_fate {
	DEAD_LETTER_QUEUED, /* to its interval's tasks */
	DEAD_LETTER_LATE, /* its interval is over: by late.policy */
	DEAD_LETTER_STAYS, /* over, and late.policy is drop */
};

/* now_ms: wall. */
enum dead_letter_fate dead_letter_fate(
    const struct ds_conf *, const struct spool_dead *, int64_t now_ms);
/* Between spool_begin and spool_commit: it waits in the queue again, under a new
 * id, as *entry says. Returns its value, to be freed; NULL: it cannot be read
 * (damaged, or no memory), or nothing is left of it, and it stays. */
char *dead_letter_requeue(struct spool *, const struct spool_dead *,
    enum dead_letter_fate, unsigned lane, struct spool_entry *entry);
