/*
 * held - batches in memory while they are sent
 *
 * Process: worker.
 */
#include "held.h"

#include <stdlib.h>

#include "panic.h"

void
held_init(struct held_cache *c, size_t bytes_max)
{
	*c = (struct held_cache){ .bytes_max = bytes_max };
	TAILQ_INIT(&c->list);
}

static void
drop(struct held_cache *c, struct held *h)
{
	TAILQ_REMOVE(&c->list, h, link);
	c->bytes -= h->value_bytes;
	free(h->value);
	free(h);
}

void
held_fini(struct held_cache *c)
{
	while (!TAILQ_EMPTY(&c->list))
		drop(c, TAILQ_FIRST(&c->list));
}

static struct held *
find(struct held_cache *c, uint64_t id)
{
	struct held *h;

	TAILQ_FOREACH(h, &c->list, link)
	if (h->entry.id == id)
		return h;
	return NULL;
}

/* The newest that nobody sends go first: the oldest are sent next. */
static void
trim(struct held_cache *c)
{
	struct held *h = TAILQ_LAST(&c->list, held_list), *previous;

	for (; h != NULL && c->bytes > c->bytes_max; h = previous) {
		previous = TAILQ_PREV(h, held_list, link);
		if (h->users == 0)
			drop(c, h);
	}
}

static struct held *
add(struct held_cache *c, const struct spool_entry *e, char *value,
    size_t bytes)
{
	struct held *h = must_calloc(1, sizeof *h);

	h->entry = *e;
	h->value = value;
	h->value_bytes = bytes;
	batch_view_own(value, bytes, &h->view);
	c->bytes += bytes;
	TAILQ_INSERT_TAIL(&c->list, h, link);
	return h;
}

void
held_keep(struct held_cache *c, const struct spool_entry *e, char *value,
    size_t bytes)
{
	add(c, e, value, bytes);
	trim(c);
}

struct held *
held_take(struct held_cache *c, struct spool *spool,
    const struct spool_entry *e, bool *damaged)
{
	struct held *h = find(c, e->id);
	size_t bytes;
	char *value;

	*damaged = false;
	if (h == NULL) {
		value = spool_load(spool, e->id, &bytes, damaged);
		if (value == NULL)
			return NULL;
		h = add(c, e, value, bytes);
	}
	h->users++;
	trim(c);
	return h;
}

void
held_release(struct held_cache *c, struct held **held)
{
	struct held *h = *held;

	*held = NULL;
	if (h == NULL)
		return;
	must(h->users > 0);
	h->users--;
	if (h->users == 0 && h->forgotten)
		drop(c, h);
	trim(c);
}

void
held_forget(struct held_cache *c, uint64_t id)
{
	struct held *h = find(c, id);

	if (h == NULL)
		return;
	h->forgotten = true;
	if (h->users == 0)
		drop(c, h);
}
