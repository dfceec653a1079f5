/*
 * dead_order - what an operator wants done with dead letters, told a worker
 *
 * Process: supervisor.   After: control.   Before: the worker's dead.c.
 */
#pragma once

#include "source.h"
#include "supervisor.h"

/* "requeue|drop DATASOURCE KEY|all", to be answered on the ticket. */
void
dead_order_begin(struct supervisor *, uint64_t ticket, const char *arguments);
/* The worker's report; the worker has gone or stops. */
void dead_order_done(struct source *, const struct order_message *);
void dead_order_broken(struct source *);
