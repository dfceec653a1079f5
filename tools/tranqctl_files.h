/*
 * tranqctl_files - the files of an archive
 *
 * Process: tranqctl. Reads folders only (worker/archive.h has their layout).
 */
#pragma once

#include "base.h"

#define FILES_PLAN "reindex.json" /* in an interval's folder: under way */

struct archived {
	char *ds, *interval; /* names of the folders */
	char *name;
	uint64_t bytes, events;
	bool is_done; /* brought in by a reindex */
	bool is_planned; /* its interval's reindex is under way */
};

struct archived_list {
	struct archived *all;
	size_t count, size;
};

/* Adds the sealed files of a dataSource, sorted by interval and name. interval:
 * the name of the only folder to look at, or NULL. A dataSource without a
 * folder has none. */
void files_read(struct archived_list *, const char *top, const char *ds,
    const char *interval);
void files_free(struct archived_list *);
