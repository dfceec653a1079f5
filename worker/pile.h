/*
 * pile - how much waits for each interval in the open lane of late batches
 *
 * Process: worker. Pure. Sorted by interval; the batches themselves are in the
 * spool.
 */
#pragma once

#include "granularity.h"
#include "spool.h"

struct pile {
	struct interval interval;
	uint64_t batches, events, bytes; /* never 0 */
	int64_t since_ms; /* wall: its oldest batch waits since then */
};

struct piles {
	struct pile *all;
	size_t count, size;
	uint64_t batches, events, bytes; /* of all */
};

void piles_init(struct piles *);
void piles_fini(struct piles *);
/* A batch more; since_ms counts when it is the pile's first. */
void piles_add(struct piles *, const struct spool_entry *, int64_t since_ms);
/* What is said to wait since later than now, since the clock was set back in
 * between, waits from now on. */
void piles_wait_from(struct piles *, int64_t now_ms);
/* A batch less. A pile whose last one it was is gone. */
void piles_take(struct piles *, const struct spool_entry *);
/* NULL: nothing waits for the interval. Good until the next change. */
struct pile *piles_find(const struct piles *, struct interval);
