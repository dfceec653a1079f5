/*
 * tranqctl_dead - tranqctl deadletters list | show | export | requeue | drop
 *
 * Process: tranqctl. Reads the spools; what changes them is the worker's, when
 * the daemon runs.
 */
#pragma once

#include "conf.h"

struct dead_arguments {
	const struct conf *conf;
	/* what stands behind `deadletters` */
	char *const *words;
	int count;
	bool as_json, all;
};

enum dead_outcome { DEAD_GOOD, DEAD_FAILED, DEAD_WRONG_USE };

enum dead_outcome dead_command(const struct dead_arguments *);
