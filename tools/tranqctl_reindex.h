/*
 * tranqctl_reindex - brings an interval's archive files in by batch tasks
 *
 * Process: tranqctl.
 *
 * What is to be done is written into the interval's folder before anything is
 * submitted (FILES_PLAN), and how far it has come after each task; ids of
 * tasks follow from it. So whoever goes on after a death submits the same
 * tasks under the same ids, and no row comes in twice. Files move to `done`
 * when the last task has ended in SUCCESS.
 */
#pragma once

#include "conf.h"

struct reindex {
	const struct conf *conf;
	const struct ds_conf *ds;
	const char *interval; /* the folder's name */
	const char *overlord; /* URL, or NULL: as the configuration says, by
			       * URL or ZooKeeper */
	bool replaces; /* what Druid has of the interval; else appends */
	bool prints; /* the tasks instead of submitting them */
};

/* False: said on stderr; called again, it goes on. */
bool reindex_interval(const struct reindex *) MUST_CHECK;
