/*
 * parcel - late batches that are brought out of the spool together
 *
 * Process: worker.   After: late.c plans it.   Before: archive, append.
 *
 * A parcel is a lane of the spool's late batches (its number is the lane's):
 * what belongs to it is fixed, durably, before anything of it leaves, so that
 * whoever goes on after a death brings out the same events under the same
 * name.
 */
#pragma once

#include <sys/queue.h>

#include "buf.h"
#include "spool.h"

/* Moved by one commit: some 100 ms for that many, each a request of a client
 * that waits. */
#define PARCEL_BATCHES_MAX 16384

enum parcel_state {
	PARCEL_PLANNED, /* its batches are to be moved into its lane */
	PARCEL_OUT, /* is being brought out */
	PARCEL_DONE, /* is out: its batches are to be removed */
	PARCEL_BACK, /* its batches are to be moved back: planned anew */
};

struct append;

struct parcel_batch {
	struct spool_entry entry;
	bool is_damaged; /* cannot be read: becomes a dead letter */
};

struct parcel {
	TAILQ_ENTRY(parcel) link;
	uint32_t number;
	enum late_policy kind;
	bool is_copy; /* of what Druid gets too: archive.all */
	enum parcel_state state;
	unsigned attempt; /* of its batch task */
	struct parcel_batch *batches;
	unsigned count, size;
	uint64_t events, bytes;
	uint64_t unread; /* events that its task could not read */
	struct append *append; /* late.c's: the task that brings it out */
};

struct parcel *parcel_new(uint32_t number, enum late_policy kind);
void parcel_free(struct parcel **);
void parcel_add(struct parcel *, const struct spool_entry *);
/* Id of its first batch: names it, together with the spool's identity. */
uint64_t parcel_id(const struct parcel *);
/* Appends the events of its batch `at` as lines, but those that are dead letters
 * by themselves. A batch that is damaged on the disk is marked and adds nothing.
 * False: it cannot be read now. */
bool parcel_text(
    struct parcel *, unsigned at, struct spool *, struct buf *) MUST_CHECK;
const char *parcel_state_name(const struct parcel *);
