/*
 * tranqctl_archive - tranqctl archive list | reindex
 *
 * Process: tranqctl. Works on the archive's folders; the daemon need not run.
 */
#pragma once

#include "conf.h"
#include "json.h"

struct archive_arguments {
	const struct conf *conf;
	/* what stands behind `archive` */
	char *const *words;
	int count;
	bool as_json, prints, replaces;
	const char *overlord;
	/* the daemon's status, or NULL */
	const struct json *status;
};

enum archive_outcome { ARCHIVE_GOOD, ARCHIVE_FAILED, ARCHIVE_WRONG_USE };

enum archive_outcome archive_command(const struct archive_arguments *);
