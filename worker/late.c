/*
 * late - what came outside the window, or missed its interval, and is kept
 *
 * Process: worker.
 */
#include "late_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "append.h"
#include "backoff.h"
#include "clock.h"
#include "fault.h"
#include "log.h"
#include "panic.h"
#include "partition.h"
#include "spool_dead.h"

#define DOCUMENT "late" /* in the spool: parcels and their attempts */
#define REFUSED_FIRST_MS 10000
#define REFUSED_MAX_MS 900000

static void read_document(struct late *);
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
	if (parts->ds->delivery == DELIVERY_APPEND && !l->is_owed)
		l->is_owed = l->document_due = true;
	return l;
}

void
late_drop_parcel(struct late *l, struct parcel *p)
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
		late_drop_parcel(l, TAILQ_FIRST(&l->parcels));
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

struct append_rule
late_append_rule(const struct late *l)
{
	const struct ds_conf *ds = l->p.ds;

	if (ds->delivery == DELIVERY_APPEND)
		return (struct append_rule){ .wait_ms = ds->append_ms,
			.bytes = ds->append_bytes,
			.tasks = (unsigned)ds->append_tasks };
	return (struct append_rule){ .wait_ms = ds->late_append_ms,
		.bytes = ds->late_append_bytes,
		.tasks = (unsigned)ds->late_append_tasks };
}

enum late_policy
late_policy_now(const struct late *l)
{
	return l->is_owed ? LATE_APPEND : l->p.ds->late;
}

/* Behind a change of delivery.mode: until what came before it is in Druid. */
static void
look_what_is_owed(struct late *l)
{
	const struct parcel *p;
	bool more = l->piles.count > 0;

	if (!l->is_owed || l->p.ds->delivery == DELIVERY_APPEND)
		return;
	TAILQ_FOREACH(p, &l->parcels, link)
	more |= p->kind == LATE_APPEND;
	if (more)
		return;
	log_info("all that was taken by delivery.mode append is in Druid");
	l->is_owed = false;
	l->document_due = true;
}

uint64_t
late_batches(const struct late *l)
{
	return l->piles.batches + l->parcel_batches;
}

struct late_tasks
late_tasks(const struct late *l)
{
	const struct parcel *p;
	struct late_tasks t = { .created = l->tasks_created };

	TAILQ_FOREACH(p, &l->parcels, link)
	if (p->append != NULL)
		t.batches += p->count;
	return t;
}

void
late_hurry(struct late *l, bool on)
{
	l->in_a_hurry = on;
	if (on)
		late_plan_within(l, 0);
}

bool
late_is_empty(const struct late *l)
{
	return l->piles.batches == 0 && l->copies.batches == 0 &&
	    l->parcel_count == 0;
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
	json_set_bool(j, "owed", l->is_owed);
	json_set_int(j, "unread", (int64_t)l->unread);
	json_set(j, "parcels", all);
	text = json_to_text(j);
	spool_set_document(l->p.spool, DOCUMENT, text, strlen(text));
	free(text);
	json_free(&j);
}

struct parcel *
late_add_parcel(struct late *l, uint32_t number, enum late_policy kind)
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
	l->is_owed = json_get_bool(j, "owed", false);
	l->unread = (uint64_t)MAX_OF(json_get_int(j, "unread", 0), 0);
	for (size_t i = 0; i < json_size(all); i++) {
		const struct json *one = json_at(all, i);
		enum late_policy kind;
		struct parcel *p;

		if (!late_policy_parse(json_get_text(one, "kind", ""), &kind))
			continue;
		p = late_add_parcel(
		    l, (uint32_t)json_get_int(one, "number", 0), kind);
		p->attempt = (unsigned)json_get_int(one, "attempt", 0);
		p->is_copy = json_get_bool(one, "copy", false);
		p->state = PARCEL_OUT;
	}
	json_free(&j);
	free(text);
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
		p->append = append_new(&parts, p,
		    late_policy_now(l) != LATE_APPEND, append_told, l);
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
	case APPEND_TAKEN: l->tasks_created++; break;
	case APPEND_IN:
		log_info("%s: %llu appended",
		    l->p.ds->delivery == DELIVERY_APPEND ? "append"
							 : "late events",
		    (unsigned long long)p->events);
		p->state = PARCEL_DONE;
		l->unread += p->unread;
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
			p = late_add_parcel(l, at->lane, LATE_ARCHIVE);
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
	look_what_is_owed(l);
	for (; p != NULL; p = next) {
		next = TAILQ_NEXT(p, link);
		if (p->count == 0) {
			late_drop_parcel(l, p);
			l->document_due = true;
			continue;
		}
		if (p->kind == LATE_ARCHIVE && !p->is_copy &&
		    late_policy_now(l) != LATE_ARCHIVE &&
		    !archive_has(l->archive, p))
			p->state = PARCEL_BACK;
		if (p->state == PARCEL_OUT)
			start(l, p);
	}
	late_plan_in(l, 0);
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
	bool archives = late_policy_now(l) == LATE_ARCHIVE;
	struct append_rule rule = late_append_rule(l);
	int64_t most = archives ? ds->archive_segment_bytes : rule.bytes;
	int64_t wait_ms = archives ? ds->archive_seal_ms : rule.wait_ms;

	l->changed = true;
	piles_add(&l->piles, e, clock_wall_ms());
	if (l->piles.bytes >= (uint64_t)most || late_is_pressed(l))
		wait_ms = 0;
	late_plan_within(l, wait_ms);
}

bool
late_copies(const struct late *l, const struct spool_lane *at)
{
	return l->p.ds->archive_all &&
	    (at->partition != PARTITION_LATE ||
		late_policy_now(l) != LATE_ARCHIVE);
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
	    late_is_pressed(l);
	late_plan_within(l, is_full ? 0 : ds->archive_seal_ms);
}

bool
late_wants_commit(const struct late *l)
{
	return l->document_due || late_uncommitted(l) != NULL;
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
		late_drop_parcel(l, p);
		break;
	case PARCEL_BACK:
		for (unsigned i = 0; i < p->count; i++)
			piles_add(
			    &l->piles, &p->batches[i].entry, clock_wall_ms());
		late_drop_parcel(l, p);
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
	look_what_is_owed(l);
	late_plan_in(l, 0);
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
		if (!late_is_over(l, &l->piles.all[i], now))
			early += l->piles.all[i].events;
	json_set_int(j, "intervals", (int64_t)l->piles.count);
	json_set_int(j, "batches", (int64_t)l->piles.batches);
	json_set_int(j, "events", (int64_t)l->piles.events);
	json_set_int(j, "bytes", (int64_t)l->piles.bytes);
	/* append: their intervals are not over yet */
	if (late_policy_now(l) == LATE_APPEND)
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
	json_set_text(j, "policy", late_policy_name(late_policy_now(l)));
	json_set(j, "waiting", describe_waiting(l));
	json_set_int(j, "copies", (int64_t)l->copies.events);
	json_set_int(j, "unread", (int64_t)l->unread);
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
