/*
 * golden - files of tests/golden, read and written
 */
#pragma once

#include <stdio.h>
#include <string.h>

#include "panic.h"

#define GOLDEN_BYTES_MAX (256 * KiB)

/* Its text, new. */
static inline char *
golden_read(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = must_calloc(1, GOLDEN_BYTES_MAX);

	if (f == NULL)
		fail_msg("%s cannot be read; run from the repository", path);
	text[fread(text, 1, GOLDEN_BYTES_MAX - 1, f)] = '\0';
	fclose(f);
	return text;
}

static inline void
golden_write(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}
