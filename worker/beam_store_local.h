/*
 * beam_store_local - the beams of an instance that is alone, in its spool
 *
 * Process: worker.   Before: spool. See beam_store.h.
 */
#pragma once

#include "beam_store.h"
#include "loop.h"
#include "spool.h"

/* The store lives as long as the spool does. New, freed by beam_store_free. */
struct beam_store *beam_store_local_new(struct loop *, struct spool *);
