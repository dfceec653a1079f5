/*
 * feeder - the feed process as the supervisor sees it
 *
 * Process: supervisor. There is one, when pull.listen is set.
 */
#pragma once

#include "child.h"

struct supervisor;

struct feeder {
	struct supervisor *supervisor;
	struct child child;
};

/* NULL, with errno, when descriptors or memory are not to be had. */
struct feeder *feeder_new(struct supervisor *) MUST_CHECK;
void feeder_free(struct feeder **);
