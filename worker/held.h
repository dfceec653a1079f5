/*
 * held - batches in memory while they are sent
 *
 * Process: worker.   After: spool.   Before: feed.
 * Owns:    their values. One that nobody sends is kept as long as there is
 *          room, so that a fresh batch need not be read back from the disk.
 */
#pragma once

#include <sys/queue.h>

#include "batch.h"
#include "spool.h"

struct held {
	TAILQ_ENTRY(held) link;
	struct spool_entry entry;
	struct batch_view view;
	char *value;
	size_t value_bytes;
	unsigned users; /* feeds that are sending it */
	bool forgotten; /* it has left the spool */
};

struct held_cache {
	TAILQ_HEAD(held_list, held) list; /* oldest first, never long */
	size_t bytes, bytes_max;
};

void held_init(struct held_cache *, size_t bytes_max);
void held_fini(struct held_cache *);
/* Takes `value` over; it may be gone again at once when there is no room. */
void held_keep(
    struct held_cache *, const struct spool_entry *, char *value, size_t bytes);
/* The batch, from memory or from the spool, with one user more; NULL when it
 * cannot be read now, and *damaged when it never can. */
struct held *held_take(struct held_cache *, struct spool *,
    const struct spool_entry *, bool *damaged);
void held_release(struct held_cache *, struct held **);
/* It has left the spool. */
void held_forget(struct held_cache *, uint64_t id);
