/*
 * outlet - the receiver's end of one channel, and who waits at it
 *
 * Process: receiver.
 */
#include "outlet.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fault.h"
#include "panic.h"

#define BLOCK_SHARE 4 /* a block is at most this part of the ring */

struct outlet *
outlet_find(struct outlets *all, const char *ds)
{
	for (struct outlet *o = all->first; o != NULL; o = o->next)
		if (strcmp(o->channel.header->ds, ds) == 0)
			return o;
	return NULL;
}

/* A predecessor was killed between counting a block and committing it: the
 * block never was. */
static void
undo_uncommitted(struct channel *c)
{
	struct channel_header *h = c->header;

	if (atomic_load(&h->undo_tail) == ring_tail(&c->events))
		return;
	atomic_store(&h->offered_events, atomic_load(&h->undo_events));
	atomic_store(&h->offered_dropped, atomic_load(&h->undo_dropped));
}

/* The outlet of this very memory. A ring has one producer: it must never be
 * attached twice. */
static struct outlet *
find_memory(const struct outlets *all, int memory_fd)
{
	struct stat wanted, st;

	if (fstat(memory_fd, &wanted) < 0)
		return NULL;
	for (struct outlet *o = all->first; o != NULL; o = o->next)
		if (fstat(o->channel.memory_fd, &st) == 0 &&
		    st.st_dev == wanted.st_dev && st.st_ino == wanted.st_ino)
			return o;
	return NULL;
}

struct outlet *
outlet_new(struct outlets *all, int memory_fd, int worker_bell)
{
	struct outlet *o = find_memory(all, memory_fd);

	if (o != NULL) {
		close(memory_fd);
		close(worker_bell);
		return outlet_hold(o);
	}
	o = must_calloc(1, sizeof *o);
	if (!channel_attach(
		&o->channel, memory_fd, worker_bell, all->receiver_bell)) {
		free(o);
		close(memory_fd);
		close(worker_bell);
		return NULL;
	}
	undo_uncommitted(&o->channel);
	/* a predecessor's requests are over */
	atomic_store(&o->channel.header->offering, 0);
	o->all = all;
	o->references = 1;
	o->block_bytes_max = o->channel.events.size / BLOCK_SHARE;
	o->next = all->first;
	all->first = o;
	return o;
}

struct outlet *
outlet_hold(struct outlet *o)
{
	o->references++;
	return o;
}

static void
unlink_outlet(struct outlet *o)
{
	struct outlet **at = &o->all->first;

	while (*at != o)
		at = &(*at)->next;
	*at = o->next;
	for (at = &o->all->active; *at != NULL && *at != o;)
		at = &(*at)->next_active;
	if (*at == o)
		*at = o->next_active;
	for (at = &o->all->dirty; *at != NULL && *at != o;)
		at = &(*at)->next_dirty;
	if (*at == o)
		*at = o->next_dirty;
}

void
outlet_release(struct outlet **outlet)
{
	struct outlet *o = *outlet;

	*outlet = NULL;
	if (o == NULL || --o->references > 0)
		return;
	if (o->first_share != NULL)
		o->all->forget_shares(o->all, o->first_share);
	must(o->first_blocked == NULL);
	if (o->is_dirty)
		channel_ring_worker(&o->channel);
	unlink_outlet(o);
	close(o->channel.memory_fd);
	close(o->channel.worker_bell);
	channel_detach(&o->channel);
	free(o);
}

void
outlet_wait(struct outlet *o)
{
	o->waiters++;
	if (o->is_active)
		return;
	o->is_active = true;
	o->next_active = o->all->active;
	o->all->active = o;
	(void)outlet_head(o);
}

void
outlet_waited(struct outlet *o)
{
	must(o->waiters > 0);
	o->waiters--;
}

void
outlet_mark_dirty(struct outlet *o)
{
	if (o->is_dirty)
		return;
	o->is_dirty = true;
	o->next_dirty = o->all->dirty;
	o->all->dirty = o;
}

void
outlets_ring(struct outlets *all)
{
	while (all->dirty != NULL) {
		struct outlet *o = all->dirty;

		all->dirty = o->next_dirty;
		o->is_dirty = false;
		channel_ring_worker(&o->channel);
		FAULT_POINT(WORKER_TOLD);
	}
}

uint64_t
outlet_head(struct outlet *o)
{
	o->head_seen = ring_head(&o->channel.events);
	return o->head_seen;
}

/* The list is taken apart first: a look may end requests, and with them
 * configurations and outlets, or make other outlets active. */
void
outlets_each_active(
    struct outlets *all, void (*look)(struct outlet *, void *), void *context)
{
	struct outlet *list = all->active, *o, *next;

	all->active = NULL;
	for (o = list; o != NULL; o = o->next_active)
		o->references++;
	for (o = list; o != NULL; o = next) {
		next = o->next_active;
		if (o->waiters > 0)
			look(o, context);
		o->is_active = o->waiters > 0;
		if (o->is_active) {
			o->next_active = all->active;
			all->active = o;
		}
		outlet_release(&o);
	}
}

bool
outlets_may_sleep(struct outlets *all)
{
	for (struct outlet *o = all->active; o != NULL; o = o->next_active)
		if (!channel_receiver_may_sleep(&o->channel, o->head_seen))
			return false;
	return true;
}

void
outlets_awake(struct outlets *all)
{
	for (struct outlet *o = all->active; o != NULL; o = o->next_active)
		channel_receiver_awake(&o->channel);
}
