/*
 * pile - how much waits for each interval in the open lane of late batches
 *
 * Process: worker. Pure.
 */
#include "pile.h"

#include <stdlib.h>
#include <string.h>

#include "panic.h"

void
piles_init(struct piles *p)
{
	memset(p, 0, sizeof *p);
}

void
piles_fini(struct piles *p)
{
	free(p->all);
	piles_init(p);
}

static int
compare(const struct interval *a, const struct interval *b)
{
	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return a->end < b->end ? -1 : a->end > b->end;
}

/* Where it is, or where it would be. */
static size_t
place_of(const struct piles *p, const struct interval *interval)
{
	size_t low = 0, high = p->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare(&p->all[middle].interval, interval) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct pile *
piles_find(const struct piles *p, struct interval interval)
{
	size_t at = place_of(p, &interval);

	if (at == p->count || compare(&p->all[at].interval, &interval) != 0)
		return NULL;
	return &p->all[at];
}

static struct pile *
insert(struct piles *p, struct interval interval, int64_t since_ms)
{
	size_t at = place_of(p, &interval);

	if (p->count == p->size) {
		p->size = MAX_OF(p->size * 2, 16u);
		p->all = must_realloc(p->all, p->size * sizeof p->all[0]);
	}
	memmove(
	    &p->all[at + 1], &p->all[at], (p->count - at) * sizeof p->all[0]);
	p->count++;
	p->all[at] =
	    (struct pile){ .interval = interval, .since_ms = since_ms };
	return &p->all[at];
}

void
piles_add(struct piles *p, const struct spool_entry *e, int64_t since_ms)
{
	struct interval interval = { e->at.start, e->at.end };
	struct pile *pile = piles_find(p, interval);

	if (pile == NULL)
		pile = insert(p, interval, since_ms);
	pile->batches++;
	pile->events += e->events;
	pile->bytes += e->bytes;
	p->batches++;
	p->events += e->events;
	p->bytes += e->bytes;
}

void
piles_wait_from(struct piles *p, int64_t now_ms)
{
	for (size_t i = 0; i < p->count; i++)
		p->all[i].since_ms = MIN_OF(p->all[i].since_ms, now_ms);
}

void
piles_take(struct piles *p, const struct spool_entry *e)
{
	struct interval interval = { e->at.start, e->at.end };
	struct pile *pile = piles_find(p, interval);

	must(pile != NULL && pile->batches > 0 && pile->bytes >= e->bytes);
	pile->batches--;
	pile->events -= e->events;
	pile->bytes -= e->bytes;
	p->batches--;
	p->events -= e->events;
	p->bytes -= e->bytes;
	if (pile->batches > 0)
		return;
	p->count--;
	memmove(pile, pile + 1,
	    (size_t)(p->all + p->count - pile) * sizeof p->all[0]);
}
