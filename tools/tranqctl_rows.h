/*
 * tranqctl_rows - rows out of archive files, a task's share at a time
 *
 * Process: tranqctl.
 */
#pragma once

#include "base.h"
#include "buf.h"

/* Where reading goes on: a file of the list, and a place in what it holds. */
struct rows_place {
	size_t file;
	uint64_t offset;
};

/* Appends whole rows from `at` on, over the following files where need be,
 * until there are about `most` bytes (one row at least), and moves `at` behind
 * them. Nothing appended: the end. False with a sentence in `error`. */
bool rows_read(struct buf *, char *const *paths, size_t count,
    struct rows_place *at, uint64_t most, char error[static 512]) MUST_CHECK;
