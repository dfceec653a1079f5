/*
 * receiver_check - what of a configuration the receiver cannot do
 *
 * Process: supervisor, at start, reload and `tranqd check`. Pure.
 */
#pragma once

#include "base.h"
#include "conf.h"

/* A conf_check: adds a line for each problem. A configuration that has none
 * can be used by receiver_main. */
void receiver_check(const struct conf *, struct conf_problems *);
