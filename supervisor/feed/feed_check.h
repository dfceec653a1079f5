/*
 * feed_check - what of a configuration the feed cannot do, or should not
 *
 * Process: supervisor. It looks names up.
 */
#pragma once

#include "conf.h"

/* Whether pull.listen is the network, with nothing in front of it. */
bool feed_check_is_open(const struct conf *);
void feed_check(const struct conf *, struct conf_problems *);
