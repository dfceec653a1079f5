/*
 * sandbox_supervise - what the Overlord answers about supervisors, and what
 * tests tell them
 *
 * Process: tranq-sandbox.   After: sandbox_overlord, sandbox_control.
 * Before: sandbox_supervisor. kafka-pull.md 5.2.
 */
#pragma once

#include "sandbox_exchange.h"

#define SUPERVISE_BASE "/druid/indexer/v1/supervisor"

/* A path that begins with SUPERVISE_BASE. */
void sandbox_supervise_handle(struct exchange *);
/* task/{id}/status of a supervisor's task; false: there is no such one, and
 * nothing is answered. */
bool sandbox_supervise_task(struct exchange *, const char *task_id);
/* Those that run, or that have ended (at most so many), of this dataSource, or
 * of all (""). */
void sandbox_supervise_list(const struct sandbox *, const char *ds,
    bool have_ended, int64_t *left, struct json *list);

/* /sandbox/supervisor, /sandbox/committed, /sandbox/read: sandbox_control.h. */
void sandbox_supervise_show(struct exchange *);
void sandbox_supervise_do(struct exchange *);
void sandbox_supervise_committed(struct exchange *);
void sandbox_supervise_read(struct exchange *);
