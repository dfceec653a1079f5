/*
 * poison - events that kill their worker, for tests only
 *
 * Process: worker.   Only with -DTRANQ_FAULTS: in the program that is installed
 * no event does anything to anybody.
 */
#pragma once

#include <string.h>

#include "base.h"

#ifdef TRANQ_FAULTS

/* Dies (SIGILL) when the text has "poison-" and the place in it. */
static inline void
poison_taste(const char *place, const char *text, size_t bytes)
{
	size_t length = strlen(place);

	if (memmem(text, bytes, place, length) != NULL)
		__builtin_trap();
}

#define POISON(place, text, bytes) poison_taste("poison-" place, text, bytes)

#else

#define POISON(place, text, bytes) ((void)0)

#endif
