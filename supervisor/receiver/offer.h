/*
 * offer - a plan's share is written into its worker's event ring
 *
 * Process: receiver.   After: body.c.   Before: the worker's intake.
 */
#pragma once

#include "base.h"
#include "body.h"

/* Writes as many of the share's blocks as the ring has room for; what was
 * written is taken off the share (first, events, bytes). True when all of it
 * is written; its last block carries the dropped counts. */
bool offer_share(struct body_plan *, struct body_share *, const char *body,
    uint64_t ticket) MUST_CHECK;
