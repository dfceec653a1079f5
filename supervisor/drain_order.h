/*
 * drain_order - tranqctl drain: told a worker, and its answer
 *
 * Process: supervisor.
 */
#pragma once

#include "supervisor.h"

/* CTL_DRAIN, "on DATASOURCE" or "off DATASOURCE": answered when it is durable.
 * How far it gets is in the status. */
void
drain_order_begin(struct supervisor *, uint64_t ticket, const char *arguments);
/* The worker's report; its end before that. */
void drain_order_done(struct source *, const struct order_message *);
void drain_order_broken(struct source *);
