/*
 * answer - the result of a post that asks for more than the short JSON: in
 * Smile, or with the events that were dropped
 *
 * Process: receiver. Pure but for the memory.
 * After:   settle.c.   Before: reply.c has the head.
 */
#pragma once

#include "base.h"
#include "buf.h"
#include "drops.h"
#include "reply.h"
#include "smile_writer.h"

struct answer {
	/* private */
	struct buf json, smile;
	struct smile_writer writer;
};

void answer_init(struct answer *);
void answer_fini(struct answer *);
/* Gives the reply its result, good until the next call; `drops` may be NULL.
 * Without memory for it the answer is the short one. */
void answer_compose(
    struct answer *, struct reply *, const struct drops *, bool is_smile);
