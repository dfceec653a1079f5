/*
 * sandbox_pull - the groups of tasks that a supervisor has
 *
 * Process: tranq-sandbox. Internal to sandbox_supervisor*.c.
 */
#pragma once

#include "sandbox_supervisor.h"

/* ioConfig of a supervisor's spec, taskCount in it. */
const struct json *sandbox_pull_io(const struct json *spec);
unsigned sandbox_pull_numbers(const struct supervisor *);

/* Whether a group of this number reads. */
bool sandbox_pull_is_read(const struct supervisor *, unsigned number);
/* For each number that none reads a group that goes on where the one before
 * ends, or begins with what is stored; not when it is suspended or paused. */
void sandbox_pull_start(struct supervisor *);
/* Who reads publishes: of this number, or all (-1). How many. */
unsigned sandbox_pull_publish(struct supervisor *, int64_t number);
/* It and all of its number that came later fail. What they read is read again,
 * from what is stored, whoever still publishes before them. */
void
sandbox_pull_fail(struct supervisor *, struct pull_group *, const char *error);
/* Its tasks have ended. */
void sandbox_pull_drop(struct supervisor *, struct pull_group *);
void sandbox_pull_free(struct pull_group *);

/* As many tasks as replicas. */
void sandbox_pull_fill(struct supervisor *, struct pull_group *);
/* error: of FAILED, what it read is lost; else NULL. */
void
sandbox_pull_end_task(struct pull_task *, enum pull_state, const char *error);
void
sandbox_pull_end_tasks(struct pull_group *, enum pull_state, const char *error);
