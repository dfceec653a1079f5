/*
 * feed_check - what of a configuration the feed cannot do, or should not
 *
 * Process: supervisor; the feed for its address. It looks names up.
 */
#pragma once

#include "conf.h"
#include "endpoint.h"

/* Where consumers are sent to: pull.advertise, or pull.listen; `port` is where
 * we really listen. */
void feed_check_address(const struct conf *, unsigned port, struct endpoint *);
/* Whether pull.listen is the network, with nothing in front of it. */
bool feed_check_is_open(const struct conf *);
void feed_check(const struct conf *, struct conf_problems *);
