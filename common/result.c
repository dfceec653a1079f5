/*
 * result - how an operation that may have to be tried again ended
 *
 * Process: all.
 */
#include "result.h"

#include "base.h"
#include "panic.h"

const char *
result_name(enum result result)
{
	static const char *const names[] = { "ok", "retry", "full", "refused",
		"gone" };

	must((size_t)result < ARRAY_LEN(names));
	return names[result];
}
