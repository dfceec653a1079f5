/*
 * line_file - a small file of text that is whole, or as it was before
 *
 * Process: worker writes, supervisor and worker read.   After: delivery_note,
 * drain_mark.
 */
#pragma once

#include "base.h"

/* The text of dir/name, cut to bytes - 1; what cannot be read of it is "".
 * False: it is not there, or cannot be opened. */
bool line_file_read(
    const char *dir, const char *name, char *to, size_t bytes) MUST_CHECK;
/* Durable when they return true, and so is that there is none; false with
 * errno. */
bool
line_file_write(const char *dir, const char *name, const char *text) MUST_CHECK;
bool line_file_remove(const char *dir, const char *name) MUST_CHECK;
