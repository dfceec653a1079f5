/*
 * condemned - batches that have killed their worker again and again
 *
 * Process: worker, at its start.   After: spool opens.   Before: dispatch.
 */
#pragma once

#include "hand.h"
#include "quarantine.h"
#include "spool.h"

/* Each goes into a file, and then out of the spool. What cannot be written now
 * stays, and the worker must not start: false, with why in `error`. */
bool condemned_set_aside(struct spool *, struct hand *,
    const struct quarantine_options *, char *error, size_t error_bytes);
