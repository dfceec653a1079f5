/*
 * load_compare - what arrived in tranq-sandbox, beside what was sent
 *
 * Process: tranq-load.
 */
#pragma once

#include "load_ledger.h"
#include "load_options.h"

/* Reads the sandbox until all that was answered 200 is there and nothing
 * changes any more, or the time to settle is over. False: it could not be
 * read, with a sentence in `error` (256 bytes). */
bool load_compare(const struct load_options *, struct load_ledger *,
    struct load_verdict *, char *error) MUST_CHECK;
