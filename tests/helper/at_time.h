/*
 * at_time - times as text, for tests
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "iso.h"

/* Milliseconds of a text that must be a time. */
static inline int64_t
at(const char *text)
{
	int64_t ms = -1;

	if (!iso_parse(text, strlen(text), ISO_T, &ms))
		fail_msg("not a time: %s", text);
	return ms;
}

static inline void
assert_time(int64_t ms, const char *text)
{
	char got[ISO_BYTES];

	iso_format(ms, got);
	assert_string_equal(got, text);
}
