/*
 * curator_mutex - Curator's InterProcessSemaphoreMutex, shared with JVMs
 *
 * Process: worker. tranquility.md 4 has the nodes it makes. Mutual exclusion
 * holds as long as the session does: when that is lost, somebody else may
 * take the mutex at once, and the holder is told.
 */
#pragma once

#include "base.h"
#include "result.h"
#include "zk.h"

struct curator_mutex;

/* RESULT_OK: held until released or lost. RESULT_RETRY: not within the time,
 * or no connection for all of it. RESULT_REFUSED: ZooKeeper does not let us
 * (access control; said in the log). */
typedef void curator_mutex_acquired_fn(void *context, enum result);
typedef void curator_mutex_lost_fn(void *context);

/* The path is copied; the session must outlive the mutex. */
struct curator_mutex *curator_mutex_new(
    struct zk *, const char *path, curator_mutex_lost_fn *lost, void *context);
/* Releases it; for the end of a worker, when the session is closed next. */
void curator_mutex_free(struct curator_mutex **);

/* Not while it is held or waited for. A session lost while waiting is waited
 * out like everything else. `acquired` gets the context of curator_mutex_new. */
void curator_mutex_acquire(
    struct curator_mutex *, int64_t wait_ms, curator_mutex_acquired_fn *);
/* Gives it back, or ends the wait, without a callback. Done when this returns
 * as far as the caller is concerned; the nodes are removed as soon as the
 * servers can be reached. */
void curator_mutex_release(struct curator_mutex *);
bool curator_mutex_held(const struct curator_mutex *);
