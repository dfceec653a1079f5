/*
 * worker_order - an operator's order, told a worker, and who waits for its end
 *
 * Process: supervisor.   After: control.   Before: the worker.
 * Owns:    nothing; of each kind (dead_order, drain_order) one at a time a
 *          dataSource.
 */
#pragma once

#include "heritage.h"

struct source;
struct supervisor;

struct worker_order {
	uint64_t ticket; /* 0: nobody waits */
	struct order_message asked;
};

/* NULL: there is none, and who asks is told. */
struct source *worker_order_source(
    struct supervisor *, uint64_t ticket, const char *ds) MUST_CHECK;
/* Tells the source's worker, or who asks why not. patience_ms: how long it may
 * take. */
void worker_order_begin(struct source *, struct worker_order *, uint64_t ticket,
    const struct order_message *, int64_t patience_ms);
/* Answers who waits, if anybody does. */
void worker_order_end(
    struct source *, struct worker_order *, bool good, const char *text);
