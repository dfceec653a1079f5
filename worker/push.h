/*
 * push - the delivery by realtime tasks, Druid up to 30
 *
 * Process: worker.   After: intake.   Before: dispatch, which does the work.
 *
 * Here is what an event needs on its way: which interval's and partition's
 * beam it goes to.
 */
#pragma once

#include "beam_cluster.h"
#include "conf.h"
#include "delivery.h"
#include "dispatch.h"

struct push_parts {
	const struct ds_conf *ds;
	struct spool *spool;
	struct beam_cluster *cluster;
	struct late *late;
	struct dispatch *dispatch; /* taken over */
};

struct delivery *push_new(const struct push_parts *);
