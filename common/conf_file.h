/*
 * conf_file - the bytes of a file that a property names
 *
 * Process: all. Internal to conf*.c and the stores of certificates.
 */
#pragma once

#include "base.h"
#include "buf.h"

/* Adds the bytes of a regular file, which a reload can read again (no pipe, no
 * device), to `to`, which has room for `max` and some more. False with errno:
 * EINVAL no regular file, EFBIG longer than `max`. */
bool conf_file_read(const char *path, struct buf *to, size_t max) MUST_CHECK;
/* What errno means then. */
const char *conf_file_why(int error);
