/*
 * settle - posts that are in the rings become durable and acknowledged
 *
 * Process: receiver.   After: post.c, offer.c, the workers.   Before: reply.c.
 */
#pragma once

#include "base.h"
#include "post.h"

/* Looks at everything that may have moved since the last turn: acks, ring
 * heads, room for posts that wait for it. */
void settle_posts(struct posts *);
/* From now on acks that nobody waits for are taken away once a second, so that
 * they do not fill the ack rings. */
void settle_expect_strays(struct posts *);
/* The supervisor is gone, and with it the workers: who waits for Druid is
 * answered as soon as the events are durable. */
void settle_orphaned(struct posts *);
/* The time of a post's answer is up. */
void settle_timer_due(struct loop_timer *);
