/*
 * archive_file - one file of the archive while it is written
 *
 * Process: worker.   Owns: zstd (compression); nothing else of the worker
 * includes it.   After: archive.c.
 *
 * The file is one zstd frame with a checksum. It grows under a name that
 * begins with a dot and gets its own name when it is whole and on the disk; so
 * whatever has its name is complete, whenever we were killed.
 */
#pragma once

#include "base.h"

struct archive_file;

/* What is left of an earlier try is overwritten. NULL with errno. */
struct archive_file *archive_file_new(const char *dir, const char *name);
/* False with errno. */
bool archive_file_add(
    struct archive_file *, const char *bytes, size_t count) MUST_CHECK;
/* Makes it durable under its name, the folder's entry too, and ends it. False
 * with errno: it is not there. *size: bytes of the file. */
bool archive_file_seal(struct archive_file **, uint64_t *size) MUST_CHECK;
/* Gives it up. */
void archive_file_free(struct archive_file **);
