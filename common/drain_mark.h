/*
 * drain_mark - the file that says that a dataSource is being drained
 *
 * Process: worker writes it, the supervisor looks before it makes channels.
 *
 * {dataDir}/spool/{dataSource}/draining, with the time since when. It is the
 * one place that knows, so it stays over restarts, reloads and a change of
 * delivery.mode, until `tranqctl drain --undo` takes it away.
 */
#pragma once

#include "base.h"

/* In milliseconds since 1970; 0: it is not being drained (or the folder cannot
 * be read). dir: the spool's. */
int64_t drain_mark_since(const char *dir);
/* Durable when it returns true; false with errno. One that is there stays. */
bool drain_mark_set(const char *dir, int64_t now_ms) MUST_CHECK;
bool drain_mark_clear(const char *dir) MUST_CHECK;
