/*
 * life - a child's page of shared memory: signs of life, last words, counters
 *
 * Process: supervisor makes one for each child (a memfd) and keeps it over
 * the child's restarts; the child is the only writer.
 */
#pragma once

#include <stdatomic.h>

#include "base.h"

#define LIFE_PANIC_BYTES 512
#define LIFE_TEXT_BYTES (64u * KiB)

/* Everything that a child counts; counters.def has names and meaning. */
struct counters {
#define COUNTER(kind, member, ...) uint64_t member;
#include "counters.def"
#undef COUNTER
};

struct life {
	_Atomic uint64_t magic;
	uint32_t version, unused;
	/* monotonic ms when the child last began to work; 0 while it sleeps
	 * in its loop. Old and not 0: it hangs. */
	_Atomic int64_t busy_since_ms;
	char panic[LIFE_PANIC_BYTES];

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

/* Child. */
void life_busy(struct life *, int64_t now_ms);
void life_idle(struct life *);
/* text: NULL leaves it as it is; a longer one than fits becomes "". */
void life_publish(struct life *, const struct counters *, const char *text);
/* Supervisor: a consistent copy of both (to: LIFE_TEXT_BYTES, or NULL).
 * false when the child died in the middle of a publication or goes on
 * writing; the copy is the last attempt then. */
bool life_read(struct life *, struct counters *, char *to);
