/*
 * ticket - numbers by which workers name waiting requests
 *
 * Process: receiver. A ticket holds the receiver's incarnation and a count of
 * its slot's uses, so that an ack for a request that is over finds nothing.
 */
#pragma once

#include "base.h"

#define TICKETS_MAX (1u << 20)

struct post;
struct ticket_slot;

struct tickets {
	struct ticket_slot *slots;
	uint32_t count, first_free, last_free;
	uint64_t incarnation;
};

void ticket_init(struct tickets *, uint32_t incarnation);
void ticket_fini(struct tickets *);
/* Never 0; 0: TICKETS_MAX requests wait already. */
uint64_t ticket_new(struct tickets *, struct post *);
void ticket_end(struct tickets *, uint64_t ticket);
/* NULL: nobody waits under this number. */
struct post *ticket_find(const struct tickets *, uint64_t ticket);
/* Calls it for each post that waits; the post may end in the call. */
void ticket_each(const struct tickets *, void (*)(struct post *));
