/*
 * landlock - the kernel's own fence around a process: which files it may
 * still open, which ports it may still reach
 *
 * Process: receiver, worker, feed; tests. Source: Linux's userspace-api/landlock.
 *
 *	struct landlock l;
 *
 *	done = landlock_open(&l, true) &&
 *	    landlock_allow(&l, "/etc", LANDLOCK_READ) && landlock_enforce(&l);
 */
#pragma once

#include "base.h"

enum landlock_access {
	LANDLOCK_READ, /* files and folders below it */
	LANDLOCK_WRITE, /* and write files that are there */
	LANDLOCK_OWN, /* and make, write, rename and remove them */
};

struct landlock {
	int fd; /* of the rules; -1: there are none */
	int abi;
};

/* What this kernel knows: 0 none, else the number of its interface. 4 and
 * newer know TCP, 6 and newer signals and abstract sockets. */
int landlock_abi(void);
/* Begins a set of rules that allows nothing. may_connect: TCP connections are
 * not its business; to bind a port is forbidden in any case. false with errno:
 * this kernel has no Landlock, or it is not for us. */
bool landlock_open(struct landlock *, bool may_connect) MUST_CHECK;
/* What is not there cannot be allowed, and is passed over. false with errno:
 * it may be there, but descriptors or memory lack to allow it. */
bool landlock_allow(
    struct landlock *, const char *path, enum landlock_access) MUST_CHECK;
/* From now on, for this process and all that it makes, for good; needs
 * no_new_privs. Ends the set. false with errno. */
bool landlock_enforce(struct landlock *) MUST_CHECK;
