/*
 * ack - tells receivers what became of the events they wait for
 *
 * Process: worker.
 */
#include "ack.h"

#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "log.h"
#include "panic.h"

struct backlog {
	struct ack *acks;
	size_t first, used, size;
	bool rang; /* something new since the last doorbell */
};

struct acks {
	struct channel *channels;
	struct backlog *backlogs;
	unsigned count;
	uint64_t generation;
	int64_t complained_ms;
	acks_key *keyed;
	void *keyed_context;
};

struct acks *
acks_new(struct channel *channels, unsigned count, uint64_t generation)
{
	struct acks *a = must_calloc(1, sizeof *a);

	a->channels = channels;
	a->count = count;
	a->generation = generation;
	a->backlogs = must_calloc(count, sizeof a->backlogs[0]);
	return a;
}

void
acks_free(struct acks **acks)
{
	struct acks *a = *acks;

	if (a == NULL)
		return;
	*acks = NULL;
	for (unsigned i = 0; i < a->count; i++)
		free(a->backlogs[i].acks);
	free(a->backlogs);
	free(a);
}

static void
keep(struct acks *a, struct backlog *b, const struct ack *ack)
{
	if (b->used == ACK_BACKLOG_MAX) {
		if (log_may_repeat(&a->complained_ms, 60000))
			log_warnx("acks: a receiver does not take its answers; "
				  "its requests end by their time-out");
		return;
	}
	if (b->first + b->used == b->size) {
		if (b->used > 0)
			memmove(b->acks, b->acks + b->first,
			    b->used * sizeof b->acks[0]);
		b->first = 0;
	}
	if (b->used == b->size) {
		b->size = MAX_OF(b->size * 2, 256u);
		b->acks = must_realloc(b->acks, b->size * sizeof b->acks[0]);
	}
	b->acks[b->first + b->used++] = *ack;
}

void
acks_watch_keys(struct acks *a, acks_key *keyed, void *context)
{
	a->keyed = keyed;
	a->keyed_context = context;
}

void
acks_tell(struct acks *a, unsigned receiver, const struct ack *ack)
{
	struct backlog *b;

	if (ack->ticket == 0 || receiver >= a->count)
		return;
	b = &a->backlogs[receiver];
	b->rang = true;
	if (b->used > 0 || !channel_ack(&a->channels[receiver], ack))
		keep(a, b, ack);
}

static void
tell(struct acks *a, const struct batch_run *run, const struct ack *ack)
{
	if (ack->events == 0)
		return;
	if (run->key != NULL && a->keyed != NULL)
		a->keyed(a->keyed_context, run, ack);
	acks_tell(a, run->receiver, ack);
}

/* The first event of the tickets as the batch counts now: a batch that has
 * moved on has left some behind. */
static uint32_t
events_left_behind(const struct batch_view *v)
{
	struct batch_run run;
	uint64_t all = 0;
	unsigned at = 0;

	while (batch_next_run(v, &at, &run))
		all += run.events;
	return all > v->header->events ? (uint32_t)all - v->header->events : 0;
}

void
ack_batch(struct acks *a, const struct batch_view *v, enum ack_kind kind,
    const struct spool_refused *refused, unsigned refused_count)
{
	uint32_t left = events_left_behind(v), end = 0;
	bool is_ours = v->header->generation == a->generation;
	struct batch_run run;
	unsigned r = 0, at = 0;

	while (batch_next_run(v, &at, &run)) {
		struct ack ack = { .batch = v->header->id,
			.events = run.events,
			.kind = kind };

		if (!is_ours)
			run.ticket = 0; /* it may be somebody else's now */
		ack.ticket = run.ticket;
		end += run.events;
		for (; r < refused_count && refused[r].event + left < end;
		     r++) {
			struct ack dead = { .ticket = run.ticket,
				.batch = refused[r].dead_id,
				.events = 1,
				.kind = ACK_DEAD };

			tell(a, &run, &dead);
			ack.events--;
		}
		tell(a, &run, &ack);
	}
}

void
ack_flush(struct acks *a)
{
	for (unsigned i = 0; i < a->count; i++) {
		struct backlog *b = &a->backlogs[i];

		while (b->used > 0 &&
		    channel_ack(&a->channels[i], &b->acks[b->first])) {
			b->first++;
			b->used--;
			b->rang = true;
		}
		if (b->rang) {
			channel_ring_receiver(&a->channels[i]);
			FAULT_POINT(ACK_TOLD);
		}
		b->rang = false;
	}
}

bool
ack_backlog(const struct acks *a)
{
	for (unsigned i = 0; i < a->count; i++)
		if (a->backlogs[i].used > 0)
			return true;
	return false;
}
