/*
 * spool_check - whether LMDB may be let at a spool's file
 *
 * Process: worker.   Before: spool opens it. Reads only.
 */
#pragma once

#include "base.h"

enum spool_file {
	SPOOL_FILE_NONE, /* not there, or empty: to be made */
	SPOOL_FILE_GOOD,
	SPOOL_FILE_FOREIGN, /* of another program, version or machine */
	SPOOL_FILE_DAMAGED,
	SPOOL_FILE_CLOSED, /* cannot be opened or read: errno */
};

/* A name of one of a spool's databases (spool.h). */
bool spool_check_name(const char *name, size_t bytes);
/* Looks at the structure of {dir}/data.mdb: every page that LMDB would go by,
 * not at the batches' own bytes, which have their checksums. What is wrong
 * comes as a phrase in `error`. */
enum spool_file spool_check(const char *dir, char *error, size_t error_bytes);
