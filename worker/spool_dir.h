/*
 * spool_dir - the folder of a spool: made, synced, owned by one process
 *
 * Process: worker.   Before: spool.
 */
#pragma once

#include "base.h"

/* false with errno when it is not there and cannot be made durably. */
bool spool_dir_make(const char *dir);
/* false with errno. */
bool spool_dir_sync(const char *dir);
/* Takes the folder for this process, waiting at most wait_ms for another owner
 * to leave: a descriptor that holds it until it is closed, or -1 with errno
 * (EWOULDBLOCK: the other one is still there). */
int spool_dir_lock(const char *dir, int wait_ms);
/* The process that has taken the folder, as it has written down; 0: unknown. */
int spool_dir_owner(const char *dir);
/* Makes the file `bytes` long on the disk and not in name only: what maps it
 * and writes to it cannot be killed by a full disk. false with errno. */
bool spool_dir_reserve(const char *dir, const char *name, size_t bytes);
