/*
 * dead - requeues and drops dead letters while the worker runs
 *
 * Process: worker.   After: tranqctl deadletters, by the supervisor.
 * Before:  the delivery, late.
 *
 * One order at a time, some letters a commit. Killed in between: those that a
 * commit has are done, the others stay dead letters.
 */
#pragma once

#include "conf.h"
#include "delivery.h"
#include "heritage.h"
#include "late.h"
#include "spool.h"

struct dead;

struct dead_parts {
	const struct ds_conf *ds;
	struct spool *spool;
	struct delivery *delivery;
	struct late *late;
};

struct dead *dead_new(const struct dead_parts *);
void dead_free(struct dead **);
/* Takes the order; one that is at work is finished first, and not answered. */
void dead_order(struct dead *, const struct order_message *);
/* True once an order is finished: what there is to report. */
bool dead_report(struct dead *, struct order_message *);

/* As a delivery's. */
bool dead_wants_commit(const struct dead *);
void dead_write(struct dead *);
void dead_written(struct dead *);
