/*
 * spool_file - a spool's data.mdb: looked at, or made, before it is opened
 *
 * Process: worker, which owns the folder.   Before: spool opens it.
 */
#pragma once

#include "base.h"

/* The file is there, or has been made (durably, if that is allowed), and LMDB
 * may be let at it. false: *code says why, as errno or LMDB has it, or it is 0
 * and the whole explanation is in `error`. */
bool spool_file_ready(const char *dir, const char *ds, bool may_make, int *code,
    char *error, size_t error_bytes) MUST_CHECK;
