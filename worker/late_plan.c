/*
 * late_plan - which late batches leave together, and when
 *
 * Process: worker.
 */
#include "late_internal.h"

#include "append.h"
#include "clock.h"
#include "log.h"
#include "panic.h"
#include "partition.h"
#include "task.h"

#define APPEND_INTERVALS_MAX 500 /* in one task */
#define PILES_MAX 16384 /* more: none waits for its age any more */
#define PLACE_WAIT_MS 1000
/* When late batches fill this part of spool.bytesMax they wait no longer. */
#define PRESSURE_SHARE 4

void
late_plan_in(struct late *l, int64_t delay_ms)
{
	if (!l->on_hold)
		loop_timer_start(l->p.loop, &l->timer,
		    MIN_OF(delay_ms, LOOK_AGAIN_MS), late_plan_due);
}

void
late_plan_within(struct late *l, int64_t ms)
{
	if (!loop_timer_active(&l->timer) ||
	    l->timer.due_ms > loop_now_ms(l->p.loop) + ms)
		late_plan_in(l, ms);
}

const struct parcel *
late_uncommitted(const struct late *l)
{
	const struct parcel *p;

	TAILQ_FOREACH(p, &l->parcels, link)
	if (p->state != PARCEL_OUT)
		return p;
	return NULL;
}

/* The next batch of the interval that is in no parcel. */
static bool
next_batch(struct late *l, bool is_copy, struct interval interval,
    uint64_t after, struct spool_entry *e)
{
	struct spool_lane at = { .start = interval.start,
		.end = interval.end,
		.partition = PARTITION_LATE,
		.lane = LATE_OPEN_LANE };

	return is_copy ? spool_next_copy(l->p.spool, &at, after, e)
		       : spool_next(l->p.spool, &at, after, e);
}

/* Takes batches of a pile until the parcel has `bytes`; one at least, however
 * large. */
static void
collect(
    struct late *l, struct parcel *p, struct interval interval, uint64_t bytes)
{
	struct piles *piles = p->is_copy ? &l->copies : &l->piles;
	struct spool_entry e;
	struct pile *rest;
	uint64_t after = 0;
	bool more;

	while ((more = next_batch(l, p->is_copy, interval, after, &e)) &&
	    p->count < PARCEL_BATCHES_MAX &&
	    (p->count == 0 || p->bytes + e.bytes <= bytes)) {
		parcel_add(p, &e);
		piles_take(piles, &e);
		if (!p->is_copy)
			l->parcel_batches++;
		after = e.id;
	}
	if (more && (rest = piles_find(piles, interval)) != NULL)
		rest->since_ms = e.sealed_ms;
}

bool
late_is_pressed(const struct late *l)
{
	return l->in_a_hurry ||
	    l->piles.bytes + l->copies.bytes >
	    (uint64_t)l->p.ds->spool_bytes_max / PRESSURE_SHARE ||
	    l->piles.count + l->copies.count > PILES_MAX;
}

/* What waits from before the policy was `drop`. */
static void
plan_drop(struct late *l)
{
	struct parcel *p;

	if (l->piles.count == 0 || l->parcel_count == PARCELS_MAX)
		return;
	p = late_add_parcel(l, 0, LATE_DROP);
	p->state = PARCEL_DONE;
	collect(l, p, l->piles.all[0].interval, UINT64_MAX);
	log_warnx("late.policy is drop now: %llu late events that waited "
		  "become dead letters",
	    (unsigned long long)p->events);
}

/* Milliseconds until the pile is to be a file; 0: it is full or old enough. */
static int64_t
file_due_in(const struct late *l, const struct pile *pile, int64_t now)
{
	const struct ds_conf *ds = l->p.ds;

	if (pile->bytes >= (uint64_t)ds->archive_segment_bytes)
		return 0;
	return MAX_OF(pile->since_ms + ds->archive_seal_ms - now, 0);
}

/* Several in one go, since a commit stands before each and behind it; of each
 * pile one, since what is taken is in its lane until that commit. */
static void
plan_archive(struct late *l, bool is_copy)
{
	struct piles *piles = is_copy ? &l->copies : &l->piles;
	uint64_t most = (uint64_t)l->p.ds->archive_segment_bytes;
	int64_t now = clock_wall_ms(), wait_ms = LOOK_AGAIN_MS;
	bool at_once = late_is_pressed(l);

	piles_wait_from(piles, now);
	for (size_t i = 0; i < piles->count;) {
		const struct pile *pile = &piles->all[i];
		int64_t due_in = at_once ? 0 : file_due_in(l, pile, now);
		size_t before = piles->count;
		struct parcel *p;

		if (due_in > 0) {
			wait_ms = MIN_OF(wait_ms, due_in);
			i++;
			continue;
		}
		if (l->parcel_count == PARCELS_MAX ||
		    !archive_has_room(l->archive))
			break;
		p = late_add_parcel(l, l->next_number++, LATE_ARCHIVE);
		p->is_copy = is_copy;
		collect(l, p, pile->interval, most);
		if (p->count == 0)
			break;
		i += piles->count == before; /* else the next is here now */
	}
	if (piles->count > 0)
		late_plan_within(l, wait_ms);
}

/* A realtime task of the interval has it locked until it has handed off, and
 * one that is made later would overshadow what was appended before it: so an
 * interval is appended to when there can be no such task any more. */
bool
late_is_over(const struct late *l, const struct pile *pile, int64_t now)
{
	return l->p.ds->delivery != DELIVERY_PUSH ||
	    partition_has_no_time(&pile->interval) ||
	    task_shutoff_ms(l->p.ds, &pile->interval) < now;
}

static bool
append_is_due(const struct late *l, int64_t now, int64_t *wait_ms)
{
	struct append_rule rule = late_append_rule(l);
	uint64_t bytes = 0;
	int64_t left = INT64_MAX;

	for (size_t i = 0; i < l->piles.count; i++) {
		const struct pile *pile = &l->piles.all[i];

		if (!late_is_over(l, pile, now))
			continue;
		bytes += pile->bytes;
		left = MIN_OF(left, pile->since_ms + rule.wait_ms - now);
	}
	*wait_ms = MIN_OF(*wait_ms, MAX_OF(left, 0));
	return bytes > 0 &&
	    (left <= 0 || late_is_pressed(l) || bytes >= (uint64_t)rule.bytes);
}

static bool
may_append(const struct late *l)
{
	const struct parcel *p;
	unsigned busy = 0;

	TAILQ_FOREACH(p, &l->parcels, link)
	busy += p->append != NULL && !append_is_resting(p->append);
	return busy < late_append_rule(l).tasks &&
	    l->parcel_count < PARCELS_MAX / 2 && /* the rest is for files */
	    clock_mono_ms() >= l->rest_until_ms;
}

static void
plan_append(struct late *l)
{
	int64_t now = clock_wall_ms(), wait_ms = LOOK_AGAIN_MS;
	uint64_t most = (uint64_t)late_append_rule(l).bytes;
	struct parcel *p;

	if (l->piles.count == 0)
		return;
	piles_wait_from(&l->piles, now);
	if (!append_is_due(l, now, &wait_ms)) {
		late_plan_within(l, wait_ms);
		return;
	}
	if (!may_append(l)) {
		late_plan_within(l, PLACE_WAIT_MS);
		return;
	}
	p = late_add_parcel(l, l->next_number++, LATE_APPEND);
	for (size_t i = 0, taken = 0; i < l->piles.count && p->bytes < most &&
	     taken < APPEND_INTERVALS_MAX;) {
		size_t before = l->piles.count;

		if (!late_is_over(l, &l->piles.all[i], now)) {
			i++;
			continue;
		}
		collect(l, p, l->piles.all[i].interval, most);
		taken++;
		i += l->piles.count == before; /* as above */
	}
}

/* A parcel that got nothing: the spool cannot be read now. */
static void
drop_empty(struct late *l)
{
	struct parcel *p = TAILQ_LAST(&l->parcels, parcel_list);

	if (p == NULL || p->count > 0)
		return;
	late_drop_parcel(l, p);
	late_plan_within(l, LOOK_AGAIN_MS);
}

void
late_plan_due(struct loop_timer *t)
{
	struct late *l = t->context;

	if (late_uncommitted(l) != NULL)
		return; /* planned again after its commit */
	switch (late_policy_now(l)) {
	case LATE_DROP: plan_drop(l); break;
	case LATE_ARCHIVE: plan_archive(l, false); break;
	case LATE_APPEND: plan_append(l); break;
	case LATE_POLICIES: unreachable("policy");
	}
	drop_empty(l);
	plan_archive(l, true);
	drop_empty(l);
	l->changed = true;
}
