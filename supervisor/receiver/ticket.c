/*
 * ticket - numbers by which workers name waiting requests
 *
 * Process: receiver.
 *
 * ticket: 16 bits incarnation, 28 bits use of the slot, 20 bits slot. Free
 * slots queue up, so that a slot's next use is as far away as can be.
 */
#include "ticket.h"

#include <stdlib.h>
#include <string.h>

#include "panic.h"

#define FIRST_SLOTS 1024u
#define NONE UINT32_MAX
#define SLOT_BITS 20
#define USE_MASK 0xfffffffu

struct ticket_slot {
	struct post *post;
	uint32_t use, next_free;
};

void
ticket_init(struct tickets *t, uint32_t incarnation)
{
	memset(t, 0, sizeof *t);
	t->incarnation = (uint64_t)(incarnation & 0xffff) << 48;
	t->first_free = t->last_free = NONE;
}

void
ticket_fini(struct tickets *t)
{
	free(t->slots);
	memset(t, 0, sizeof *t);
}

static void
append_free(struct tickets *t, uint32_t slot)
{
	t->slots[slot].next_free = NONE;
	if (t->first_free == NONE)
		t->first_free = slot;
	else
		t->slots[t->last_free].next_free = slot;
	t->last_free = slot;
}

static bool
grow(struct tickets *t)
{
	uint32_t count = MAX_OF(t->count * 2, FIRST_SLOTS);

	if (t->count >= TICKETS_MAX)
		return false;
	t->slots = must_realloc(t->slots, count * sizeof t->slots[0]);
	for (uint32_t i = t->count; i < count; i++) {
		t->slots[i] = (struct ticket_slot){ .post = NULL };
		append_free(t, i);
	}
	t->count = count;
	return true;
}

uint64_t
ticket_new(struct tickets *t, struct post *post)
{
	uint32_t at;
	struct ticket_slot *slot;

	if (t->first_free == NONE && !grow(t))
		return 0;
	at = t->first_free;
	slot = &t->slots[at];
	t->first_free = slot->next_free;
	slot->post = post;
	slot->use = (slot->use + 1) & USE_MASK;
	if (slot->use == 0)
		slot->use = 1;
	return t->incarnation | (uint64_t)slot->use << SLOT_BITS | at;
}

static struct ticket_slot *
slot_of(const struct tickets *t, uint64_t ticket)
{
	uint32_t at = (uint32_t)ticket & (TICKETS_MAX - 1);
	struct ticket_slot *slot;

	if (at >= t->count || ticket >> 48 != t->incarnation >> 48)
		return NULL;
	slot = &t->slots[at];
	if (slot->post == NULL ||
	    slot->use != ((ticket >> SLOT_BITS) & USE_MASK))
		return NULL;
	return slot;
}

void
ticket_end(struct tickets *t, uint64_t ticket)
{
	struct ticket_slot *slot = slot_of(t, ticket);

	must(slot != NULL);
	slot->post = NULL;
	append_free(t, (uint32_t)(slot - t->slots));
}

struct post *
ticket_find(const struct tickets *t, uint64_t ticket)
{
	struct ticket_slot *slot = slot_of(t, ticket);

	return slot != NULL ? slot->post : NULL;
}

void
ticket_each(const struct tickets *t, void (*call)(struct post *))
{
	for (uint32_t i = 0; i < t->count; i++)
		if (t->slots[i].post != NULL)
			call(t->slots[i].post);
}
