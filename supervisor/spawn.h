/*
 * spawn - forks one child and makes it a process of its own
 *
 * Process: supervisor up to the fork, the child behind it.
 */
#pragma once

#include "child.h"
#include "prepare.h"

#define SPAWN_KEEP_MAX (2 * CONF_DS_MAX + 512)

struct spawn_plan {
	/* without control_fd and life, which spawn_fork fills */
	struct heritage heritage;
	int (*door)(const struct heritage *);
	const char *title; /* "worker wikipedia" */
	const char *name; /* of the process: "tranqd-worker" */
	const char *process; /* for the log: "worker" */
	const char *ds; /* for the log, or NULL */
	const struct identity *identity;
	/* descriptors that the child gets, besides standard ones, log,
	 * control and life */
	int keep[SPAWN_KEEP_MAX];
	unsigned keep_count;
};

void spawn_keep(struct spawn_plan *, int fd);
/* The child's pid, its control socket in child->control_fd; -1 with errno. In
 * the child it does not return. */
pid_t spawn_fork(struct child *, struct spawn_plan *);
