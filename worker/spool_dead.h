/*
 * spool_dead - dead letters: events that cannot be delivered, kept for people
 *
 * Process: worker (tranqctl reads, and changes a spool that nobody owns).
 *
 * A dead letter is a batch that has left the queue and stays, with its reason,
 * until somebody requeues or drops it. It counts in spool.bytesMax. An event
 * that Druid refuses leaves its batch and becomes a dead letter by itself: the
 * rest of the batch goes on.
 *
 * What changes anything belongs between spool_begin and spool_commit.
 */
#pragma once

#include "spool.h"

#define SPOOL_WHY_BYTES 512 /* of Druid's words, with NUL */

/* In the spool as a number: new ones come at the end. */
enum spool_why {
	SPOOL_WHY_CLOSED, /* its interval closed first */
	SPOOL_WHY_DAMAGED, /* its checksum is wrong */
	SPOOL_WHY_POLICY, /* it was kept as late, and late.policy is drop now */
	SPOOL_WHY_REFUSED, /* by Druid, for good */
	SPOOL_WHY_REASONS
};

struct spool_dead {
	uint64_t id;
	int64_t start, end; /* interval */
	int64_t buried_ms; /* wall; 0: an earlier version did not note it */
	uint32_t partition;
	uint32_t events, bytes;
	enum spool_why why;
	char text[SPOOL_WHY_BYTES]; /* Druid's words; "": there are none */
};

/* An event of a batch, by its place in it, and the dead letter that it is. */
struct spool_refused {
	uint32_t event;
	uint64_t dead_id;
};

/* As lists and files have it: "closed". */
const char *spool_why_name(enum spool_why);
/* Leaves the queue, stays as a dead letter. now_ms: wall. */
void spool_bury(
    struct spool *, const struct spool_entry *, enum spool_why, int64_t now_ms);
/* One event of a batch that waits becomes a dead letter: `value` is a batch of
 * this event alone, `text` what Druid said. Nothing when it is one already (by
 * another replicant's word), or the batch has left. */
void spool_refuse(struct spool *, const struct spool_entry *, uint32_t event,
    const char *value, size_t bytes, const char *text);
/* A dead letter waits in the queue again, as `value`, without the events that
 * have left it. */
void
spool_revive(struct spool *, uint64_t dead_id, const char *value, size_t bytes);
/* It is gone; its events count as dropped. */
void spool_drop_dead(struct spool *, uint64_t dead_id);

/* A batch is set aside in a file: it leaves the spool, wherever it waits. */
void spool_quarantine(struct spool *, const struct spool_entry *);
/* The batch's place in the queue: looks through all of it. */
bool spool_find(struct spool *, uint64_t id, struct spool_entry *);

/* The first dead letter above `after`; false: there is none. */
bool spool_next_dead(struct spool *, uint64_t after, struct spool_dead *);
/* Events of a batch, one that waits or a dead letter, which are refused and
 * have left it: how many, and the first `max` of them in their order. */
unsigned spool_refused(
    struct spool *, uint64_t id, struct spool_refused *to, unsigned max);
/* The same by their places alone, all of them: a list to be freed, NULL when
 * there are none. */
uint32_t *spool_refused_places(
    struct spool *, const struct batch_view *, unsigned *count) MUST_CHECK;
/* As of the last commit. */
uint64_t spool_dead_count(const struct spool *);
uint64_t spool_dead_bytes(const struct spool *);
