/*
 * tranqctl_spool - tranqctl spool verify | export | compact
 *
 * Process: tranqctl. Works on the spool's folder; the daemon need not run.
 */
#pragma once

#include "conf.h"

struct spool_arguments {
	const struct conf *conf;
	/* what stands behind `spool` */
	char *const *words;
	int count;
};

enum spool_outcome { SPOOL_GOOD, SPOOL_BAD, SPOOL_WRONG_USE };

enum spool_outcome spool_command(const struct spool_arguments *);
