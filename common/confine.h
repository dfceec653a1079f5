/*
 * confine - what a receiver, a worker and a feed may still do once they run
 *
 * Process: receiver, worker, feed; the supervisor says what can be had.
 *
 * A process gives up for good what it does not need: by a list of the system
 * calls that are allowed (seccomp), and by what it may open (Landlock). Both
 * bound what somebody can do who has taken the process over. What this kernel
 * or container does not have, or refuses, is left out.
 *
 * A feed is as a receiver, but opens the spools.
 *
 * A call that nothing of ours makes, such as execve, ptrace, or socket in a
 * receiver, ends the process; its last words name the call. To open a file in
 * a receiver is answered ENOENT and counted (struct life), since libraries try
 * that and do without. Every other call, those above all that a newer C
 * library tries first, is answered ENOSYS.
 */
#pragma once

#include "base.h"
#include "life.h"

#define CONFINE_OWN_MAX 4
#define CONFINE_CALL_BYTES 48

enum confine_kind { CONFINE_RECEIVER, CONFINE_WORKER, CONFINE_FEED };
#define CONFINE_KINDS 3

struct confine;

struct confine_plan {
	enum confine_kind kind;
	struct life *life; /* gets what is in force, and what was refused */
	/* folders that a worker reads and writes, and in which a feed reads
	 * files and writes those that are there (LMDB's lock); they must be
	 * there */
	const char *own[CONFINE_OWN_MAX];
	unsigned own_count;
};

/* Supervisor: the filters of all kinds, made once since that takes some
 * milliseconds. NULL with errno: they could not be made. */
struct confine *confine_new(void);
void confine_free(struct confine **);
/* Child: for this process, which has one thread, and for good. What is in
 * force stands in plan->life then; what is refused here is told to the log.
 * Ends the process when memory or descriptors lack for it. Descriptors that
 * are open stay usable. */
void confine_self(const struct confine *, const struct confine_plan *);
/* Why this program as it runs is not confined at all (it was built with a
 * sanitizer, it runs under valgrind); NULL: it is. */
const char *confine_obstacle(void);
/* What this kernel or container does not have, with what follows from that;
 * "" when nothing is missing. */
void confine_missing(char *to, size_t bytes);
/* "openat (257)": a system call of this machine. */
void confine_call_name(int call, char to[CONFINE_CALL_BYTES]);
