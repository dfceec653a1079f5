/*
 * receiver_check - what of a configuration the receiver cannot do
 *
 * Process: supervisor, at start, reload and `tranqd check`. Pure.
 */
#pragma once

#include "base.h"
#include "conf.h"

/* Adds a line for each problem; false when there is one. A configuration that
 * passes can be used by receiver_main. */
bool receiver_check(const struct conf *, struct conf_problems *) MUST_CHECK;
