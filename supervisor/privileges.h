/*
 * privileges - what a child gives up at its birth
 *
 * Process: the child; the supervisor for itself.
 */
#pragma once

#include "confine.h"
#include "prepare.h"

/* Becomes the user, without capabilities, and can never get any again
 * (no_new_privs). Ends the process when that cannot be done. */
void privileges_drop(const struct identity *);
/* Core files and debuggers of the same user: not unless tranqd.coreDumps, for
 * there are passwords and keys in the memory. Root may attach in any case. */
void privileges_hide(bool core_dumps);
/* Supervisor: what children are confined by; left as it is (NULL) when they are
 * not to be. The log is told when that is less than there should be. */
bool privileges_confine(
    const struct conf *, struct confine **, struct trouble *) MUST_CHECK;
