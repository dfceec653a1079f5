/*
 * late - what came outside the window, or missed its interval, and is kept
 *
 * Process: worker.
 */
#include "late.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "append.h"
#include "archive.h"
#include "backoff.h"
#include "clock.h"
#include "fault.h"
#include "log.h"
#include "panic.h"
#include "partition.h"
#include "pile.h"
#include "spool_dead.h"
#include "task.h"

#define DOCUMENT "late" /* in the spool: parcels and their attempts */
#define PARCELS_MAX 16 /* at one time; those that rest after a failure too */
#define APPEND_INTERVALS_MAX 500 /* in one task */
#define PILES_MAX 16384 /* more: none waits for its age any more */
#define LOOK_AGAIN_MS 10000
#define PLACE_WAIT_MS 1000
#define REFUSED_FIRST_MS 10000
#define REFUSED_MAX_MS 900000
/* When late batches fill this part of spool.bytesMax they wait no longer. */
#define PRESSURE_SHARE 4

struct late {
	struct late_parts p;
	struct piles piles; /* in the open lane */
	struct piles copies; /* archive.all: to be written, in no parcel yet */
	TAILQ_HEAD(parcel_list, parcel) parcels;
	unsigned parcel_count;
	uint32_t next_number;
	struct archive *archive;
	uint64_t parcel_batches;
	struct loop_timer timer;
	int64_t rest_until_ms; /* after a refusal, monotonic */
	unsigned refusals; /* in a row */
	bool document_due, on_hold, changed;
};

static void read_document(struct late *);
static void plan_due(struct loop_timer *);
static void archived(void *context, struct parcel *);
static void append_told(void *context, struct parcel *, enum append_news);

struct late *
late_new(const struct late_parts *parts)
{
	struct late *l = must_calloc(1, sizeof *l);
	struct archive_parts archive = { .loop = parts->loop,
		.ds = parts->ds,
		.spool = parts->spool,
		.dir = parts->archive_dir };

	l->p = *parts;
	l->timer.context = l;
	l->next_number = LATE_OPEN_LANE + 1;
	TAILQ_INIT(&l->parcels);
	piles_init(&l->piles);
	piles_init(&l->copies);
	l->archive = archive_new(&archive, archived, l);
	read_document(l);
	return l;
}

static void
drop_parcel(struct late *l, struct parcel *p)
{
	TAILQ_REMOVE(&l->parcels, p, link);
	l->parcel_count--;
	if (!p->is_copy)
		l->parcel_batches -= p->count;
	append_free(&p->append);
	parcel_free(&p);
}

void
late_free(struct late **late)
{
	struct late *l = *late;

	if (l == NULL)
		return;
	*late = NULL;
	while (!TAILQ_EMPTY(&l->parcels))
		drop_parcel(l, TAILQ_FIRST(&l->parcels));
	archive_free(&l->archive);
	piles_fini(&l->piles);
	piles_fini(&l->copies);
	loop_timer_stop(&l->timer);
	free(l);
}

bool
late_keeps(const struct late *l)
{
	return l->p.ds->late != LATE_DROP;
}

uint64_t
late_batches(const struct late *l)
{
	return l->piles.batches + l->parcel_batches;
}

static void
plan_in(struct late *l, int64_t delay_ms)
{
	if (!l->on_hold)
		loop_timer_start(l->p.loop, &l->timer,
		    MIN_OF(delay_ms, LOOK_AGAIN_MS), plan_due);
}

/* At that time at the latest. */
static void
plan_within(struct late *l, int64_t ms)
{
	if (!loop_timer_active(&l->timer) ||
	    l->timer.due_ms > loop_now_ms(l->p.loop) + ms)
		plan_in(l, ms);
}

void
late_hold(struct late *l)
{
	l->on_hold = true;
	loop_timer_stop(&l->timer);
	archive_hold(l->archive);
}

/* ---- the document: what each parcel is ---- */

static void
write_document(struct late *l)
{
	struct json *j = json_new_object(), *all = json_new_array();
	struct parcel *p;
	char *text;

	TAILQ_FOREACH(p, &l->parcels, link)
	{
		struct json *one;

		if (p->state == PARCEL_DONE || p->state == PARCEL_BACK)
			continue; /* with this commit it is over */
		one = json_new_object();
		json_set_int(one, "number", p->number);
		json_set_text(one, "kind", late_policy_name(p->kind));
		json_set_int(one, "attempt", p->attempt);
		json_set_bool(one, "copy", p->is_copy);
		json_append(all, one);
	}
	json_set_int(j, "next", l->next_number);
	json_set(j, "parcels", all);
	text = json_to_text(j);
	spool_set_document(l->p.spool, DOCUMENT, text, strlen(text));
	free(text);
	json_free(&j);
}

static struct parcel *
add_parcel(struct late *l, uint32_t number, enum late_policy kind)
{
	struct parcel *p = parcel_new(number, kind);

	TAILQ_INSERT_TAIL(&l->parcels, p, link);
	l->parcel_count++;
	return p;
}

static void
read_document(struct late *l)
{
	char *text = spool_document(l->p.spool, DOCUMENT);
	struct json *j =
	    text != NULL ? json_parse(text, strlen(text), NULL) : NULL;
	const struct json *all = json_get(j, "parcels");

	l->next_number = (uint32_t)json_get_int(j, "next", LATE_OPEN_LANE + 1);
	for (size_t i = 0; i < json_size(all); i++) {
		const struct json *one = json_at(all, i);
		enum late_policy kind;
		struct parcel *p;

		if (!late_policy_parse(json_get_text(one, "kind", ""), &kind))
			continue;
		p = add_parcel(
		    l, (uint32_t)json_get_int(one, "number", 0), kind);
		p->attempt = (unsigned)json_get_int(one, "attempt", 0);
		p->is_copy = json_get_bool(one, "copy", false);
		p->state = PARCEL_OUT;
	}
	json_free(&j);
	free(text);
}

/* ---- planning ---- */

static const struct parcel *
uncommitted(const struct late *l)
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

static bool
pressed(const struct late *l)
{
	return l->piles.bytes + l->copies.bytes >
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
	p = add_parcel(l, 0, LATE_DROP);
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
	bool at_once = pressed(l);

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
		p = add_parcel(l, l->next_number++, LATE_ARCHIVE);
		p->is_copy = is_copy;
		collect(l, p, pile->interval, most);
		if (p->count == 0)
			break;
		i += piles->count == before; /* else the next is here now */
	}
	if (piles->count > 0)
		plan_within(l, wait_ms);
}

/* A realtime task of the interval has it locked until it has handed off, and
 * one that is made later would overshadow what was appended before it: so an
 * interval is appended to when there can be no such task any more. */
static bool
is_over(const struct late *l, const struct pile *pile, int64_t now)
{
	return task_shutoff_ms(l->p.ds, &pile->interval) < now;
}

static bool
append_is_due(const struct late *l, int64_t now, int64_t *wait_ms)
{
	uint64_t bytes = 0;
	int64_t left = INT64_MAX;

	for (size_t i = 0; i < l->piles.count; i++) {
		const struct pile *pile = &l->piles.all[i];

		if (!is_over(l, pile, now))
			continue;
		bytes += pile->bytes;
		left = MIN_OF(
		    left, pile->since_ms + l->p.ds->late_append_ms - now);
	}
	*wait_ms = MIN_OF(*wait_ms, MAX_OF(left, 0));
	return bytes > 0 &&
	    (left <= 0 || pressed(l) ||
		bytes >= (uint64_t)l->p.ds->late_append_bytes);
}

static bool
may_append(const struct late *l)
{
	const struct parcel *p;
	unsigned busy = 0;

	TAILQ_FOREACH(p, &l->parcels, link)
	busy += p->append != NULL && !append_is_resting(p->append);
	return busy < (unsigned)l->p.ds->late_append_tasks &&
	    l->parcel_count < PARCELS_MAX / 2 && /* the rest is for files */
	    clock_mono_ms() >= l->rest_until_ms;
}

static void
plan_append(struct late *l)
{
	int64_t now = clock_wall_ms(), wait_ms = LOOK_AGAIN_MS;
	uint64_t most = (uint64_t)l->p.ds->late_append_bytes;
	struct parcel *p;

	if (l->piles.count == 0)
		return;
	piles_wait_from(&l->piles, now);
	if (!append_is_due(l, now, &wait_ms)) {
		plan_within(l, wait_ms);
		return;
	}
	if (!may_append(l)) {
		plan_within(l, PLACE_WAIT_MS);
		return;
	}
	p = add_parcel(l, l->next_number++, LATE_APPEND);
	for (size_t i = 0, taken = 0; i < l->piles.count && p->bytes < most &&
	     taken < APPEND_INTERVALS_MAX;) {
		size_t before = l->piles.count;

		if (!is_over(l, &l->piles.all[i], now)) {
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
	drop_parcel(l, p);
	plan_within(l, LOOK_AGAIN_MS);
}

static void
plan_due(struct loop_timer *t)
{
	struct late *l = t->context;

	if (uncommitted(l) != NULL)
		return; /* planned again after its commit */
	switch (l->p.ds->late) {
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

/* ---- bringing out ---- */

static void
start(struct late *l, struct parcel *p)
{
	struct append_parts parts = { .loop = l->p.loop,
		.ds = l->p.ds,
		.spool = l->p.spool,
		.overlord = l->p.overlord };

	if (l->on_hold)
		return;
	if (p->kind == LATE_APPEND)
		p->append = append_new(
		    &parts, p, l->p.ds->late != LATE_APPEND, append_told, l);
	else if (!archive_is_busy(l->archive))
		archive_write(l->archive, p);
}

static void
archived(void *context, struct parcel *done)
{
	struct late *l = context;
	struct parcel *p;

	done->state = PARCEL_DONE;
	l->changed = true;
	TAILQ_FOREACH(p, &l->parcels, link)
	if (p->state == PARCEL_OUT && p->kind == LATE_ARCHIVE) {
		start(l, p);
		return;
	}
}

static void
append_told(void *context, struct parcel *p, enum append_news news)
{
	struct late *l = context;

	l->changed = true;
	switch (news) {
	case APPEND_IN:
		log_info("late events: %llu appended",
		    (unsigned long long)p->events);
		p->state = PARCEL_DONE;
		l->refusals = 0;
		break;
	case APPEND_RETRIES: l->document_due = true; break;
	case APPEND_CHANGED: break;
	case APPEND_BACK:
		p->state = PARCEL_BACK;
		l->rest_until_ms = clock_mono_ms() +
		    backoff_ms(++l->refusals, REFUSED_FIRST_MS, REFUSED_MAX_MS,
			(uint32_t)clock_mono_ns());
		break;
	}
}

/* ---- arriving, leaving ---- */

static struct parcel *
parcel_of(const struct late *l, uint32_t number)
{
	struct parcel *p;

	TAILQ_FOREACH(p, &l->parcels, link)
	if (p->number == number)
		break;
	return p;
}

void
late_replay_lane(struct late *l, const struct spool_lane *at)
{
	struct parcel *p = NULL;
	struct spool_entry e;
	uint64_t after = 0;

	if (at->lane != LATE_OPEN_LANE) {
		p = parcel_of(l, at->lane);
		if (p == NULL) { /* no such parcel was noted */
			p = add_parcel(l, at->lane, LATE_ARCHIVE);
			p->state = PARCEL_BACK;
		}
	}
	for (; spool_next(l->p.spool, at, after, &e); after = e.id) {
		if (p == NULL) {
			piles_add(&l->piles, &e, e.sealed_ms);
			continue;
		}
		parcel_add(p, &e);
		l->parcel_batches++;
	}
}

static void
replay_copies(struct late *l)
{
	struct spool_entry e;
	uint64_t after = 0;

	for (; spool_next_copy(l->p.spool, NULL, after, &e); after = e.id) {
		struct parcel *p = e.at.lane != LATE_OPEN_LANE
		    ? parcel_of(l, e.at.lane)
		    : NULL;

		if (p != NULL)
			parcel_add(p, &e);
		else
			piles_add(&l->copies, &e, e.sealed_ms);
	}
}

void
late_begin(struct late *l)
{
	struct parcel *p = TAILQ_FIRST(&l->parcels), *next;

	replay_copies(l);
	for (; p != NULL; p = next) {
		next = TAILQ_NEXT(p, link);
		if (p->count == 0) {
			drop_parcel(l, p);
			l->document_due = true;
			continue;
		}
		if (p->kind == LATE_ARCHIVE && !p->is_copy &&
		    l->p.ds->late != LATE_ARCHIVE &&
		    !archive_has(l->archive, p))
			p->state = PARCEL_BACK;
		if (p->state == PARCEL_OUT)
			start(l, p);
	}
	plan_in(l, 0);
}

void
late_adopt(struct late *l, const struct spool_entry *e)
{
	struct spool_lane to = { .start = e->at.start,
		.end = e->at.end,
		.partition = PARTITION_LATE,
		.lane = LATE_OPEN_LANE };

	spool_move(l->p.spool, e, &to);
}

void
late_arrived(struct late *l, const struct spool_entry *e)
{
	const struct ds_conf *ds = l->p.ds;
	bool archives = ds->late == LATE_ARCHIVE;
	int64_t most =
	    archives ? ds->archive_segment_bytes : ds->late_append_bytes;
	int64_t wait_ms = archives ? ds->archive_seal_ms : ds->late_append_ms;

	l->changed = true;
	piles_add(&l->piles, e, clock_wall_ms());
	if (l->piles.bytes >= (uint64_t)most || pressed(l))
		wait_ms = 0;
	plan_within(l, wait_ms);
}

bool
late_copies(const struct late *l, const struct spool_lane *at)
{
	return l->p.ds->archive_all &&
	    (at->partition != PARTITION_LATE || l->p.ds->late != LATE_ARCHIVE);
}

bool
late_has_copy(const struct late *l, const struct spool_entry *e)
{
	return l->p.ds->late == LATE_ARCHIVE &&
	    spool_has_copy(l->p.spool, e->id);
}

void
late_copy_arrived(struct late *l, const struct spool_entry *e)
{
	const struct ds_conf *ds = l->p.ds;
	bool is_full;

	l->changed = true;
	piles_add(&l->copies, e, clock_wall_ms());
	is_full = l->copies.bytes >= (uint64_t)ds->archive_segment_bytes ||
	    pressed(l);
	plan_within(l, is_full ? 0 : ds->archive_seal_ms);
}

bool
late_wants_commit(const struct late *l)
{
	return l->document_due || uncommitted(l) != NULL;
}

static void
write_copy(struct late *l, const struct parcel *p, uint64_t id)
{
	if (p->state == PARCEL_PLANNED)
		spool_move_copy(l->p.spool, id, p->number);
	else if (p->state == PARCEL_DONE)
		spool_copied(l->p.spool, id);
}

static void
write_parcel(struct late *l, const struct parcel *p)
{
	struct spool_lane to;

	for (unsigned i = 0; i < p->count; i++) {
		const struct parcel_batch *b = &p->batches[i];

		if (p->is_copy) {
			write_copy(l, p, b->entry.id);
			continue;
		}
		to = b->entry.at;
		switch (p->state) {
		case PARCEL_PLANNED:
			to.lane = p->number;
			spool_move(l->p.spool, &b->entry, &to);
			break;
		case PARCEL_DONE:
			if (p->kind == LATE_DROP || b->is_damaged)
				spool_bury(l->p.spool, &b->entry,
				    b->is_damaged ? SPOOL_WHY_DAMAGED
						  : SPOOL_WHY_POLICY,
				    clock_wall_ms());
			else
				spool_remove_late(
				    l->p.spool, &b->entry, p->kind);
			break;
		case PARCEL_BACK:
			to.lane = LATE_OPEN_LANE;
			spool_move(l->p.spool, &b->entry, &to);
			break;
		case PARCEL_OUT: return;
		}
	}
}

void
late_write(struct late *l)
{
	const struct parcel *p;

	if (!late_wants_commit(l))
		return;
	TAILQ_FOREACH(p, &l->parcels, link)
	write_parcel(l, p);
	write_document(l);
}

static void
parcel_written(struct late *l, struct parcel *p)
{
	switch (p->state) {
	case PARCEL_PLANNED:
		for (unsigned i = 0; i < p->count; i++)
			p->batches[i].entry.at.lane = p->number;
		p->state = PARCEL_OUT;
		FAULT_POINT(PARCEL_PLANNED);
		start(l, p);
		break;
	case PARCEL_DONE:
		FAULT_POINT(PARCEL_DONE);
		drop_parcel(l, p);
		break;
	case PARCEL_BACK:
		for (unsigned i = 0; i < p->count; i++)
			piles_add(
			    &l->piles, &p->batches[i].entry, clock_wall_ms());
		drop_parcel(l, p);
		break;
	case PARCEL_OUT: break;
	}
}

void
late_written(struct late *l)
{
	struct parcel *p = TAILQ_FIRST(&l->parcels), *next;

	if (!late_wants_commit(l))
		return;
	l->changed = true;
	l->document_due = false;
	for (; p != NULL; p = next) {
		next = TAILQ_NEXT(p, link);
		parcel_written(l, p);
	}
	plan_in(l, 0);
}

/* ---- what there is to see ---- */

static struct json *
describe_parcel(const struct parcel *p)
{
	struct json *j = json_new_object();

	json_set_text(
	    j, "kind", p->is_copy ? "copy" : late_policy_name(p->kind));
	json_set_int(j, "batches", p->count);
	json_set_int(j, "events", (int64_t)p->events);
	json_set_text(j, "state", parcel_state_name(p));
	if (p->append != NULL)
		append_describe(p->append, j);
	return j;
}

static struct json *
describe_waiting(const struct late *l)
{
	struct json *j = json_new_object();
	int64_t now = clock_wall_ms();
	uint64_t early = 0;

	for (size_t i = 0; i < l->piles.count; i++)
		if (!is_over(l, &l->piles.all[i], now))
			early += l->piles.all[i].events;
	json_set_int(j, "intervals", (int64_t)l->piles.count);
	json_set_int(j, "batches", (int64_t)l->piles.batches);
	json_set_int(j, "events", (int64_t)l->piles.events);
	json_set_int(j, "bytes", (int64_t)l->piles.bytes);
	/* append: their intervals are not over yet */
	if (l->p.ds->late == LATE_APPEND)
		json_set_int(j, "early", (int64_t)early);
	return j;
}

struct json *
late_describe(const struct late *l)
{
	struct json *j, *parcels;
	const struct parcel *p;

	if (!late_keeps(l) && late_batches(l) == 0 && l->copies.batches == 0)
		return NULL;
	j = json_new_object();
	parcels = json_new_array();
	json_set_text(j, "policy", late_policy_name(l->p.ds->late));
	json_set(j, "waiting", describe_waiting(l));
	json_set_int(j, "copies", (int64_t)l->copies.events);
	TAILQ_FOREACH(p, &l->parcels, link)
	json_append(parcels, describe_parcel(p));
	json_set(j, "parcels", parcels);
	if (archive_note(l->archive)[0] != '\0')
		json_set_text(j, "note", archive_note(l->archive));
	return j;
}

bool
late_changed(struct late *l)
{
	bool changed = l->changed;

	l->changed = false;
	return changed;
}
