/*
 * life - a child's page of shared memory: signs of life, last words, counters
 *
 * Process: supervisor makes one for each child (a memfd) and keeps it over
 * the child's restarts; the child is the only writer.
 */
#pragma once

#include <stdatomic.h>

#include "base.h"
#include "hand.h"

#define LIFE_PANIC_BYTES 512
#define LIFE_CONFINED_BYTES 64
#define LIFE_TEXT_BYTES (64u * KiB)

/* What a child is at, for the word about one that hangs. */
/* clang-format off */
#define LIFE_STEPS(X) \
	X(START, "starts") X(OPEN, "opens its spool") \
	X(REPLAY, "goes through its spool") \
	X(SERVE, "serves sockets and timers") \
	X(TAKE, "takes events out of the rings") \
	X(COMMIT, "commits to the spool (fsync)") \
	X(SEND, "hands batches to tasks") \
	X(CONFIGURE, "takes a new configuration") \
	X(SETTLE, "answers clients") X(TELL, "describes its state") \
	X(SLEEP, "sleeps in its loop")
/* clang-format on */

#define LIFE_STEP(name, text) LIFE_##name,
enum life_step { LIFE_STEPS(LIFE_STEP) LIFE_STEP_COUNT };
#undef LIFE_STEP

/* Everything that a child counts; counters.def has names and meaning. */
struct counters {
#define COUNTER(kind, member, ...) uint64_t member;
#include "counters.def"
#undef COUNTER
};

struct life {
	_Atomic uint64_t magic;
	uint32_t version;
	_Atomic uint32_t step; /* enum life_step */
	/* counts the child's turns; when it stands still although the child
	 * was asked to turn (ORDER_PING), it hangs */
	_Atomic uint64_t turns;
	char panic[LIFE_PANIC_BYTES];
	/* what bounds it (confine.h); "": nothing (yet) */
	char confined[LIFE_CONFINED_BYTES];
	/* system calls that were answered with an error; the last one */
	_Atomic uint32_t refused;
	_Atomic int32_t refused_call;
	struct hand hand; /* of a worker */

	/* odd while the child writes what follows */
	_Alignas(CACHE_LINE) _Atomic uint64_t sequence;
	struct counters counters;
	/* a JSON document about what the child is doing (beams and tasks of
	 * a worker), NUL-terminated */
	char text[LIFE_TEXT_BYTES];
};

int life_create(void); /* memfd, or -1 with errno */
struct life *life_attach(int fd); /* mapping, or NULL with errno */
void life_detach(struct life **);

/* Child: a turn of its loop begins. Work that may take minutes and is bounded
 * calls it in between. */
void life_turn(struct life *);
/* Child: what it is at from now on. */
void life_step(struct life *, enum life_step);
/* Supervisor: the count of turns, and in words what the child was at last. */
uint64_t life_turns(const struct life *);
const char *life_doing(const struct life *);
/* Supervisor: the page is for a new process. */
void life_begin(struct life *);
void life_refused(struct life *, int call); /* in a signal's handler too */
/* Child. text: NULL leaves it as it is; a longer one than fits becomes "". */
void life_publish(struct life *, const struct counters *, const char *text);
/* Supervisor: a consistent copy of both (to: LIFE_TEXT_BYTES, or NULL).
 * false when the child died in the middle of a publication or goes on
 * writing; the copy is the last attempt then. */
bool life_read(struct life *, struct counters *, char *to);
