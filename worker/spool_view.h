/*
 * spool_view - a spool to look into, whoever owns it
 *
 * Process: tranqctl. What is seen is the last commit at each look; nothing is
 * changed, and a worker that runs is not held up.
 */
#pragma once

#include "spool.h"

/* For spool_next_dead, spool_load and spool_refused only; spool_close closes
 * it. NULL: *error says why, or is empty when there is no spool. */
struct spool *spool_view(const char *dir, char *error, size_t error_bytes);
