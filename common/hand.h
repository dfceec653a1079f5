/*
 * hand - what a worker has in hand, and how often it has died of it
 *
 * Process: worker notes it, in its page (life.h); the supervisor counts deaths
 * there, so that both outlive the worker.
 *
 * What was in hand at three deaths running is condemned: the next worker sets it
 * aside (quarantine.h). Deaths that come from outside must not condemn anything:
 * a death counts when it is of the worker's own doing (SIGSEGV, SIGABRT, …, or
 * it hung), and one by SIGKILL only when the same thing was in hand for a second
 * before: an event takes microseconds, so that a kill at random does not meet
 * that, and one for lack of memory does. In a commit none of these count but
 * crashes: it is the disk that hangs or takes its time there, or has no page for
 * the mapping (SIGBUS). What gets past the suspect, once, clears it.
 *
 * Every call takes a NULL hand: nobody counts.
 */
#pragma once

#include <stdatomic.h>

#include "base.h"

#define HAND_DEATHS 3 /* running, and it is condemned */
#define HAND_WHOLE UINT32_MAX /* not one event of it, but all */
#define HAND_SLOW_MS 1000
#define HAND_CONDEMNED_MAX 16
/* So many events of one block, and the rest of it is not tried. */
#define HAND_BLOCK_MAX 4

enum hand_kind {
	HAND_NOTHING,
	HAND_BLOCK, /* of a ring: part is the receiver, key the position */
	HAND_BATCH, /* of the spool: key is its id, part what is done with it */
};

/* One that gets past the first may yet die of the second. */
enum hand_part { HAND_SENDS, HAND_HEARS };

struct hand_item {
	uint32_t kind, part;
	uint64_t generation, key;
	uint32_t event; /* of a block, counted from 0; HAND_WHOLE */
	int32_t signal; /* condemned: of the last death; 0: it hung */
};

struct hand {
	/* worker's; who reads them sees `kind` first */
	struct hand_item now;
	int64_t since_ms; /* monotonic */
	_Atomic uint32_t kind, commits;
	/* the supervisor's while the worker is dead, and the worker's, once it
	 * is past them */
	struct hand_item suspect;
	uint32_t deaths; /* of the suspect, running */
	uint32_t condemned_count;
	struct hand_item condemned[HAND_CONDEMNED_MAX];
};

/* Worker: a ring's block, its events in turn, then all that it waits for up to
 * the commit; or a batch. */
void hand_take(struct hand *, const struct hand_item *, int64_t now_ms);
void hand_event(struct hand *, uint32_t event);
/* The disk has it now. */
void hand_commits(struct hand *);
/* It lived through it. */
void hand_drop(struct hand *);
/* What that receiver's ring had before `position` is behind us. */
void hand_passed(struct hand *, uint32_t receiver, uint64_t position);
/* The condemned batch is set aside. */
void hand_settled(struct hand *, const struct hand_item *);
/* Something in a ring is suspected: one block a commit. */
bool hand_is_careful(const struct hand *);
/* The entry of what is condemned; NULL: it is not. */
const struct hand_item *
hand_condemned(const struct hand *, const struct hand_item *);

/* Supervisor: its worker has died. status: as waitpid gave it; hung: killed
 * for that. */
void hand_died(struct hand *, int status, bool hung, int64_t now_ms);
