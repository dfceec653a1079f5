/*
 * spool_compact - a spool's file written anew, as small as what is in it
 *
 * Process: tranqctl, while no worker runs.
 */
#pragma once

#include "base.h"

struct spool_compacted {
	uint64_t records, before_bytes, after_bytes;
};

/* The new file takes the old one's place in one step, when it is whole and
 * durable. false with a sentence in `error`: nothing has changed. A damaged
 * list of free pages is mended by it; any other damage is refused. */
bool spool_compact(const char *dir, struct spool_compacted *, char *error,
    size_t error_bytes) MUST_CHECK;
