/*
 * spool_pin - keeps a running worker's pages in place while they are read
 *
 * Process: tranqctl. The worker goes on; what it frees meanwhile is not used
 * again, so nobody may hold a pin while he waits for somebody.
 */
#pragma once

#include "base.h"

struct spool_pin;

/* Of the spool in `dir`, whose file has been looked at (lmdb_file_open). NULL
 * with a sentence in `error`. */
struct spool_pin *
spool_pin_open(const char *dir, char *error, size_t error_bytes);
void spool_pin_close(struct spool_pin **);
/* Takes hold of the newest transaction. false: that did not work. */
bool spool_pin_take(struct spool_pin *, uint64_t *txn) MUST_CHECK;
void spool_pin_drop(struct spool_pin *);
