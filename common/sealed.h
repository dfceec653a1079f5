/*
 * sealed - bytes in memory that go from one process to another as a descriptor
 *
 * Process: supervisor makes them, all read them.
 */
#pragma once

#include "base.h"

/* A memfd with these bytes, which nobody can change any more; -1 with errno.
 * `name` is what /proc shows of it. */
int sealed_new(const char *name, const void *bytes, size_t count) MUST_CHECK;
/* Its bytes, to be read only, until sealed_unmap; NULL with errno, or when it
 * is empty or has more than `max`. */
const char *sealed_map(int fd, size_t max, size_t *count) MUST_CHECK;
void sealed_unmap(const char **bytes, size_t count);
