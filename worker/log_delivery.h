/*
 * log_delivery - the delivery by the log: Druid pulls from it
 *
 * Process: worker.   After: intake.   Before: spool_log, log_page, pull_care.
 *
 * An event is done when it is in the log and fsynced: that is what clients are
 * answered by. It stays there until Druid has committed it (pull_care.h). An event of any time is taken: Druid makes segments for all
 * of them.
 *
 * What waits in the queue since a push delivery, or comes back into it as a dead
 * letter, moves into the log, some batches a commit.
 */
#pragma once

#include "ack.h"
#include "conf.h"
#include "delivery.h"
#include "late.h"
#include "log_page.h"
#include "pull_care.h"
#include "spool.h"

struct log_delivery_parts {
	const struct ds_conf *ds;
	struct spool *spool;
	struct acks *acks;
	struct late *late;
	struct log_page *page; /* NULL: nobody reads it */
	int feed_bell; /* -1: there is none */
	struct pull_care *care;
};

struct delivery *log_delivery_new(const struct log_delivery_parts *);
