/*
 * rings - the worker's ends of all its channels, one a receiver
 *
 * Process: worker.   Before: channel.
 */
#pragma once

#include "channel.h"
#include "delivery.h"
#include "heritage.h"

struct rings {
	struct channel *all;
	unsigned count;
};

/* false, with a reason logged: they cannot be mapped. Receivers are told that
 * events are taken, whatever a predecessor said. */
bool rings_attach(struct rings *, const struct heritage *) MUST_CHECK;
void rings_detach(struct rings *);
/* channel_stop of each. */
void rings_stop(const struct rings *, bool stopped);
/* What receivers have to know of the way: it stands until another one is said. */
void
rings_tell(const struct rings *, const struct delivery *, enum delivery_mode);
/* Whether all are empty; announces the sleep to the receivers. */
bool rings_may_sleep(const struct rings *);
void rings_awake(const struct rings *);
