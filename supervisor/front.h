/*
 * front - one receiver process as the supervisor sees it
 *
 * Process: supervisor.
 */
#pragma once

#include "child.h"
#include "rate.h"

struct supervisor;

struct front {
	struct supervisor *supervisor;
	unsigned index;
	int bell;
	struct child child;
	bool told; /* ORDER_CONF is out, ORDER_CONF_TAKEN has not come */
	struct rate rate; /* requests, bytes in */
};

/* False with errno when descriptors or memory are not to be had. */
bool front_init(struct front *, struct supervisor *, unsigned index) MUST_CHECK;
void front_fini(struct front *);
void front_sample(struct front *, int64_t now_ms);
void front_rates(struct front *, int64_t now_ms, double *out);
