/*
 * spool_keys - requests with an Idempotency-Key, as the spool knows them
 *
 * Process: worker.   Owner of the databases `keys` and `keytime`.
 *
 * A key's row changes in the transaction that stores the events of its
 * request, so it is never ahead of them nor behind.
 */
#pragma once

#include "event.h"
#include "spool.h"

#define SPOOL_KEY_ASKERS 4
/* Batches of one request whose outcome is noted while not all of them have
 * one; of more, one that is told twice counts twice. */
#define SPOOL_KEY_BATCHES 32

/* Who waits to hear what becomes of the events. */
struct spool_asker {
	uint64_t ticket;
	uint32_t receiver, unused;
};

struct spool_key {
	uint64_t body; /* as in struct event_key */
	int64_t came_ms; /* wall */
	uint64_t generation; /* of the tickets */
	/* under which, and of which receiver's, all that is stored came; 0:
	 * under several, or nobody's */
	uint64_t ticket;
	/* events of the request before this ordinal are stored, were dropped,
	 * or are not this dataSource's */
	uint32_t decided;
	uint32_t is_complete; /* that is all of them */
	uint32_t taken; /* into batches for Druid */
	uint32_t late, dropped;
	uint32_t sent, dead; /* of those taken, by now */
	/* nothing of these once sent and dead are taken */
	uint32_t asker_count, batch_count, receiver;
	struct spool_asker askers[SPOOL_KEY_ASKERS];
	uint64_t batches[SPOOL_KEY_BATCHES]; /* counted in sent and dead */
};

/* As of the last commit. False: it is not there. */
bool spool_key(struct spool *, const uint8_t key[static EVENT_KEY_BYTES],
    struct spool_key *) MUST_CHECK;

/* What follows belongs between spool_begin and spool_commit. */

/* As the open transaction has it. */
bool spool_key_now(struct spool *, const uint8_t key[static EVENT_KEY_BYTES],
    struct spool_key *) MUST_CHECK;
void spool_set_key(struct spool *, const uint8_t key[static EVENT_KEY_BYTES],
    const struct spool_key *);
/* Forgets those that came before `before_ms`, and the oldest of more than
 * `keys_max`; at most `most`. Returns how many went only since there were too
 * many. */
unsigned spool_forget_keys(
    struct spool *, int64_t before_ms, uint64_t keys_max, unsigned most);

/* What is told of keys after the commit: kept until the next one that has
 * anything to tell, for a worker that is killed before it could. */
void spool_set_key_words(struct spool *, const void *words, size_t bytes);
/* To be freed; NULL: none. */
void *spool_key_words(struct spool *, size_t *bytes);

/* Keys that are known. */
uint64_t spool_key_count(const struct spool *);
/* Whether a row's length can be: for tranqctl. */
bool spool_key_is_row(const void *value, size_t bytes);
