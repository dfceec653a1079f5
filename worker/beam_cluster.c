/*
 * beam_cluster - the dataSource's beams, agreed on with all other instances
 *
 * Process: worker.
 */
#include "beam_cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backoff.h"
#include "clock.h"
#include "fault.h"
#include "iso.h"
#include "log.h"
#include "panic.h"
#include "partition.h"
#include "task.h"

#define RETRY_FIRST_MS 250
#define RETRY_MAX_MS 15000
#define REFUSED_RETRY_MS 30000
#define NOTE_BYTES 600
/* Tasks of index_realtime hold their interval's lock until their segments are
 * handed off. Once task.type is another one, their beams are kept this much
 * longer, so that their interval's events do not go to other tasks before. */
#define HAND_OFF_MS (2 * ISO_HOUR_MS)

struct want {
	struct want *next;
	struct interval interval;
	unsigned partition;
	char *dead_firehose; /* NULL: any tasks will do */
};

enum cluster_state {
	CLUSTER_IDLE,
	CLUSTER_READING,
	CLUSTER_LOCKING,
	CLUSTER_MAKING, /* lock held, tasks on their way to the Overlord */
	CLUSTER_COMMITTING,
	CLUSTER_RETRYING, /* timer */
};

/* A task that has to be submitted before the data may be written. */
struct order_slip {
	struct order_slip *next;
	struct task_place place;
	char *id, *firehose_id;
};

struct beam_cluster {
	struct loop *loop;
	const struct ds_conf *ds;
	struct beam_store *store;
	struct overlord *overlord;
	beam_cluster_fn *answer;
	void *context;
	enum cluster_state state;
	struct beam_data known; /* as last read or written */
	bool is_known, is_stale;
	bool is_spread; /* known has a bucket of several partitions */
	bool has_timed; /* known: a beam whose tasks take its interval only */
	struct beam_data *locked; /* while the lock is held, until the commit */
	struct beam_data written; /* what is being committed */
	struct want *wants;
	struct order_slip *slips;
	struct loop_timer timer;
	unsigned failures;
	uint32_t random_base;
	uint64_t tasks_created;
	unsigned tasks_taken; /* under this lock, not yet in the document */
	char note[NOTE_BYTES], told[NOTE_BYTES];
	bool has_failed; /* the note says of what, until it goes well */
};

static void go_on(struct beam_cluster *);
static void make_next(struct beam_cluster *);

/* ---- life ---- */

static void
changed(void *context)
{
	struct beam_cluster *c = context;

	c->is_stale = true;
	if (c->state == CLUSTER_IDLE)
		go_on(c);
}

struct beam_cluster *
beam_cluster_new(struct loop *loop, const struct ds_conf *ds,
    struct beam_store *store, struct overlord *overlord)
{
	struct beam_cluster *c = must_calloc(1, sizeof *c);

	c->loop = loop;
	c->ds = ds;
	c->store = store;
	c->overlord = overlord;
	c->timer.context = c;
	c->random_base = (uint32_t)clock_mono_ns();
	beam_data_init(&c->known);
	beam_data_init(&c->written);
	beam_store_watch(store, changed, c);
	return c;
}

static void
free_slips(struct beam_cluster *c)
{
	while (c->slips != NULL) {
		struct order_slip *s = c->slips;

		c->slips = s->next;
		free(s->id);
		free(s->firehose_id);
		free(s);
	}
}

void
beam_cluster_free(struct beam_cluster **cluster)
{
	struct beam_cluster *c = *cluster;

	if (c == NULL)
		return;
	*cluster = NULL;
	loop_timer_stop(&c->timer);
	while (c->wants != NULL) {
		struct want *w = c->wants;

		c->wants = w->next;
		free(w->dead_firehose);
		free(w);
	}
	free_slips(c);
	beam_data_fini(&c->known);
	beam_data_fini(&c->written);
	free(c);
}

void
beam_cluster_answer(
    struct beam_cluster *c, beam_cluster_fn *answer, void *context)
{
	c->answer = answer;
	c->context = context;
}

const char *
beam_cluster_note(const struct beam_cluster *c)
{
	return c->wants != NULL ? c->note : "";
}

bool
beam_cluster_changed(struct beam_cluster *c)
{
	const char *note = beam_cluster_note(c);

	if (strcmp(note, c->told) == 0)
		return false;
	snprintf(c->told, sizeof c->told, "%s", note);
	return true;
}

bool
beam_cluster_is_making(const struct beam_cluster *c)
{
	return c->state == CLUSTER_MAKING || c->state == CLUSTER_COMMITTING;
}

uint64_t
beam_cluster_tasks_created(const struct beam_cluster *c)
{
	return c->tasks_created;
}

/* ---- wants and what becomes of them ---- */

/* The bucket's records of one kind: tasks of any time, or of its interval. */
static struct beam_record *
records_of(
    const struct beam_data *data, int64_t bucket, bool any_time, size_t *count)
{
	struct beam_record *all = beam_data_bucket(data, bucket, count);
	size_t timed = 0;

	while (timed < *count && !partition_is_any_time(all[timed].partition))
		timed++;
	*count = any_time ? *count - timed : timed;
	return any_time && *count > 0 ? all + timed : all;
}

static bool
has_records(const struct beam_data *data, int64_t bucket, bool any_time)
{
	size_t count;

	records_of(data, bucket, any_time, &count);
	return count > 0;
}

/* The record that the want is about, or NULL. A batch whose partition is above
 * what the bucket has (task.partitions was lowered in between) belongs to one
 * of those there are; and where there are only tasks of any time (task.type
 * was another one), they take what is of the interval, too. */
static struct beam_record *
record_for(const struct beam_cluster *c, const struct beam_data *data,
    const struct want *w)
{
	bool any_time = partition_is_any_time(w->partition);
	int64_t bucket = w->interval.start;
	struct beam_record *all, *record;
	size_t count, enough = 1;

	record = beam_data_find(data, bucket, w->partition);
	if (record != NULL)
		return record;
	all = records_of(data, bucket, any_time, &count);
	if (any_time == c->ds->any_time &&
	    (count > 0 || !has_records(data, bucket, true)))
		enough = (size_t)c->ds->partitions; /* more will be made */
	else if (count == 0 && !any_time)
		all = records_of(data, bucket, true, &count);
	return count >= enough ? &all[partition_number(w->partition) % count]
			       : NULL;
}

/* The same, if its tasks serve the want. */
static struct beam_record *
serves(const struct beam_cluster *c, const struct beam_data *data,
    const struct want *w)
{
	struct beam_record *record = record_for(c, data, w);

	if (record == NULL || record->task_count == 0)
		return NULL;
	for (size_t i = 0; w->dead_firehose != NULL && i < record->task_count;
	     i++)
		if (strcmp(record->tasks[i].firehose_id, w->dead_firehose) == 0)
			return NULL; /* still the ones that are gone */
	return record;
}

/* Whether the bucket is over for good: closed, or too old to be made. */
static bool
is_over(const struct beam_cluster *c, const struct beam_data *data,
    const struct want *w)
{
	int64_t now = clock_wall_ms(), oldest;

	/* batches of any time go on to the tasks of a later interval, and so
	 * do those that have no tasks of their own left (dispatch_move.c) */
	if (partition_is_any_time(w->partition))
		return w->interval.end <= now;
	if (c->ds->any_time && !has_records(data, w->interval.start, false))
		return true;
	oldest =
	    window_interval(&c->ds->segment_granularity, now, &c->ds->window)
		.start;
	return (data->latest_close != 0 &&
		   w->interval.start <= data->latest_close) ||
	    w->interval.end <= oldest;
}

/* Whether it may be made already. */
static bool
may_make(const struct beam_cluster *c, const struct want *w)
{
	int64_t now = clock_wall_ms();
	int64_t newest = MAX_OF(period_add(now, &c->ds->window, 1),
	    period_add(now, &c->ds->warming, 1));
	struct interval last =
	    granularity_bucket(&c->ds->segment_granularity, newest);

	return w->interval.start < last.end;
}

static void
went_well(struct beam_cluster *c)
{
	c->failures = 0;
	c->has_failed = false;
}

/* Answers all wants that `data` settles; true when none is left. */
static bool
settle(struct beam_cluster *c, const struct beam_data *data)
{
	struct want **at = &c->wants, *w;

	while ((w = *at) != NULL) {
		struct beam_record *record = serves(c, data, w);

		if (record == NULL && !is_over(c, data, w)) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		c->answer(c->context, w->interval, w->partition,
		    record != NULL ? BEAM_FOUND : BEAM_CLOSED, record);
		free(w->dead_firehose);
		free(w);
	}
	if (c->wants != NULL)
		return false;
	went_well(c);
	return true;
}

static void
retry_due(struct loop_timer *t)
{
	struct beam_cluster *c = t->context;

	c->state = CLUSTER_IDLE;
	go_on(c);
}

static void
retry_later(struct beam_cluster *c, int64_t delay_ms)
{
	free_slips(c);
	c->locked = NULL;
	c->state = CLUSTER_RETRYING;
	c->is_stale = true;
	loop_timer_start(c->loop, &c->timer, delay_ms, retry_due);
}

static void
failed(struct beam_cluster *c, const char *what, const char *why)
{
	snprintf(c->note, sizeof c->note, "%s: %s", what, why);
	c->has_failed = true;
	c->failures++;
	retry_later(c,
	    backoff_ms(c->failures, RETRY_FIRST_MS, RETRY_MAX_MS,
		(uint32_t)clock_mono_ns()));
}

/* ---- read, lock, make, commit ---- */

static void
know(struct beam_cluster *c, const struct beam_data *data)
{
	beam_data_fini(&c->known);
	beam_data_copy(&c->known, data);
	c->is_known = true;
	c->is_stale = c->is_spread = c->has_timed = false;
	for (size_t i = 0; i < data->count; i++) {
		const struct beam_record *r = &data->beams[i];

		c->is_spread |= i > 0 && r[-1].bucket == r->bucket;
		c->has_timed |= !partition_is_any_time(r->partition);
	}
}

static void
committed(void *context, enum result result)
{
	struct beam_cluster *c = context;

	if (result != RESULT_OK) {
		failed(c, "writing the beams", result_name(result));
		return;
	}
	FAULT_POINT(BEAM_COMMITTED);
	know(c, &c->written);
	c->tasks_created += c->tasks_taken;
	went_well(c);
	c->state = CLUSTER_IDLE;
	go_on(c);
}

static void
record_slip(struct beam_cluster *c, const struct order_slip *s)
{
	struct beam_record *r = beam_data_find(
	    c->locked, s->place.interval.start, s->place.partition);

	if (r == NULL)
		r = beam_data_add(c->locked, s->place.interval.start,
		    s->place.interval, s->place.partition);
	else if (s->place.replicant == 0)
		beam_record_clear_tasks(r); /* replacements begin */
	beam_record_add_task(r, s->id, s->firehose_id);
}

static void
submitted(void *context, enum result result, const char *why)
{
	struct beam_cluster *c = context;
	struct order_slip *s = c->slips;

	must(c->state == CLUSTER_MAKING && s != NULL);
	if (result == RESULT_OK) {
		FAULT_POINT(SUBMITTED);
		c->tasks_taken++;
		log_info("task %s: with the Overlord", s->id);
		record_slip(c, s);
		c->slips = s->next;
		free(s->id);
		free(s->firehose_id);
		free(s);
		make_next(c);
		return;
	}
	beam_store_release(c->store);
	if (result == RESULT_REFUSED) {
		log_error(
		    "task %s: the Overlord refuses it: %.400s; its events "
		    "wait in the spool, mend the dataSource's spec and "
		    "reload",
		    s->id, why);
		snprintf(c->note, sizeof c->note, "task %s refused: %.400s",
		    s->id, why);
		c->has_failed = true;
		retry_later(c, REFUSED_RETRY_MS);
		return;
	}
	failed(c, "submitting a task", why);
}

static int64_t
timed_slack_ms(const struct beam_cluster *c)
{
	return c->ds->any_time ? period_ms(&c->ds->firehose_grace) + HAND_OFF_MS
			       : 0;
}

/* Submits the first slip; writes the data when there is none left. */
static void
make_next(struct beam_cluster *c)
{
	struct order_slip *s = c->slips;
	struct json *task;

	if (!beam_store_is_locked(c->store)) {
		beam_store_release(c->store);
		failed(c, "agreeing on beams", "the lock was lost");
		return;
	}
	if (s == NULL) {
		beam_data_prune(c->locked, clock_wall_ms(), &c->ds->window,
		    timed_slack_ms(c));
		beam_data_copy(&c->written, c->locked);
		c->locked = NULL; /* the store's again */
		c->state = CLUSTER_COMMITTING;
		FAULT_POINT(BEAM_COMMIT);
		beam_store_commit(c->store, committed, c);
		return;
	}
	FAULT_POINT(SUBMIT);
	task = task_json(c->ds, &s->place, s->id, s->firehose_id);
	overlord_submit(c->overlord, json_to_text(task), submitted, c);
	json_free(&task);
}

static void
add_slip(struct beam_cluster *c, const struct task_place *place)
{
	struct order_slip **end = &c->slips, *s = must_calloc(1, sizeof *s);
	uint32_t random = c->random_base;

	/* the same task gets the same letters again while we live, so that a
	 * submission whose answer was lost is not made twice */
	random =
	    (random ^ (uint32_t)(place->interval.start / 1000)) * 2654435761u;
	random = (random ^ place->partition) * 2654435761u;
	random =
	    (random ^ place->replicant ^ place->attempt << 16) * 2654435761u;
	s->place = *place;
	s->id = task_id(c->ds, place, random);
	s->firehose_id = task_firehose_id(c->ds, place);
	while (*end != NULL)
		end = &(*end)->next;
	*end = s;
}

static bool
has_slip(const struct beam_cluster *c, int64_t bucket, unsigned partition)
{
	for (const struct order_slip *s = c->slips; s != NULL; s = s->next)
		if (s->place.interval.start == bucket &&
		    s->place.partition == partition)
			return true;
	return false;
}

static void
add_slips(struct beam_cluster *c, struct interval interval, unsigned partition,
    unsigned attempt)
{
	struct task_place place = {
		.interval = interval, .partition = partition, .attempt = attempt
	};

	if (has_slip(c, interval.start, partition))
		return;
	for (; place.replicant < (unsigned)c->ds->replicants; place.replicant++)
		add_slip(c, &place);
}

/* Whether partitions that its bucket lacks are made for the want. Tasks of the
 * other type are not made beside those there are (or are about to be): they
 * would wait for each other's locks, and fail. */
static bool
is_of_kind(const struct beam_cluster *c, const struct want *want)
{
	if (partition_is_any_time(want->partition))
		return true;
	if (c->ds->any_time ||
	    (has_records(c->locked, want->interval.start, true) &&
		!has_records(c->locked, want->interval.start, false)))
		return false;
	for (const struct want *w = c->wants; w != NULL; w = w->next)
		if (w->interval.start == want->interval.start &&
		    partition_is_any_time(w->partition))
			return false;
	return true;
}

static void
add_missing(struct beam_cluster *c, const struct want *w)
{
	bool any_time = partition_is_any_time(w->partition);
	unsigned p = any_time ? PARTITION_ANY_TIME : 0;
	size_t count;

	records_of(c->locked, w->interval.start, any_time, &count);
	for (; count < (size_t)c->ds->partitions; p++) {
		if (beam_data_find(c->locked, w->interval.start, p) != NULL)
			continue;
		add_slips(c, w->interval, p, 0);
		count++;
	}
}

/* What has to be made so that the want is served: all partitions that its
 * bucket lacks, or replacements for tasks that are gone. */
static void
plan(struct beam_cluster *c, const struct want *w)
{
	struct beam_record *r;
	unsigned attempt = 0;

	if (is_of_kind(c, w))
		add_missing(c, w);
	r = record_for(c, c->locked, w);
	if (r == NULL || serves(c, c->locked, w) != NULL)
		return;
	for (size_t i = 0; i < r->task_count; i++)
		attempt =
		    MAX_OF(attempt, task_attempt(r->tasks[i].firehose_id) + 1);
	log_warnx("beam %s partition %u: its tasks are gone, making "
		  "replacements (attempt %u)",
	    c->ds->name, partition_number(r->partition), attempt);
	add_slips(c, w->interval, r->partition, attempt);
}

static void
locked(void *context, enum result result, struct beam_data *data)
{
	struct beam_cluster *c = context;
	bool too_early = false;

	if (result != RESULT_OK) {
		failed(c, "locking the beams", result_name(result));
		return;
	}
	FAULT_POINT(BEAM_LOCKED);
	know(c, data); /* another instance may have been faster */
	if (settle(c, data)) {
		beam_store_release(c->store);
		c->state = CLUSTER_IDLE;
		return;
	}
	c->locked = data;
	c->tasks_taken = 0;
	c->state = CLUSTER_MAKING;
	for (const struct want *w = c->wants; w != NULL; w = w->next) {
		if (may_make(c, w))
			plan(c, w);
		else
			too_early = true;
	}
	if (c->slips != NULL) {
		make_next(c);
		return;
	}
	beam_store_release(c->store);
	must(too_early);
	went_well(c);
	snprintf(c->note, sizeof c->note, "an interval has not begun yet");
	retry_later(c, 1000);
}

static void
have_read(void *context, enum result result, const struct beam_data *data)
{
	struct beam_cluster *c = context;

	if (result != RESULT_OK) {
		failed(c, "reading the beams", result_name(result));
		return;
	}
	FAULT_POINT(BEAM_READ);
	know(c, data);
	c->state = CLUSTER_IDLE;
	if (settle(c, data))
		return;
	FAULT_POINT(BEAM_LOCK);
	c->state = CLUSTER_LOCKING;
	beam_store_lock(c->store, locked, c);
}

static void
go_on(struct beam_cluster *c)
{
	if (c->state != CLUSTER_IDLE)
		return;
	if (c->is_known && !c->is_stale && settle(c, &c->known))
		return;
	if (!c->has_failed)
		snprintf(c->note, sizeof c->note, "agreeing on beams");
	c->state = CLUSTER_READING;
	beam_store_read(c->store, have_read, c);
}

static void
want_due(struct loop_timer *t)
{
	go_on(t->context);
}

void
beam_cluster_want(struct beam_cluster *c, struct interval interval,
    unsigned partition, const char *dead_firehose)
{
	struct want *w = must_calloc(1, sizeof *w);

	FAULT_POINT(BEAM_WANTED);
	w->interval = interval;
	w->partition = partition;
	if (dead_firehose != NULL)
		w->dead_firehose = must_strdup(dead_firehose);
	w->next = c->wants;
	c->wants = w;
	/* from the loop: the answer must not come inside this call */
	if (c->state == CLUSTER_IDLE)
		loop_timer_start(c->loop, &c->timer, 0, want_due);
}

unsigned
beam_cluster_partitions(
    const struct beam_cluster *c, int64_t bucket, bool any_time)
{
	size_t count = 0;

	if (c->is_known)
		records_of(&c->known, bucket, any_time, &count);
	return (unsigned)MAX_OF((int64_t)count, c->ds->partitions);
}

bool
beam_cluster_is_spread(const struct beam_cluster *c)
{
	return c->ds->partitions > 1 || !c->is_known || c->is_spread;
}

void
beam_cluster_look(struct beam_cluster *c)
{
	go_on(c);
}

unsigned
beam_cluster_timed(const struct beam_cluster *c, int64_t bucket)
{
	size_t count = 0;

	if (c->is_known)
		records_of(&c->known, bucket, false, &count);
	return (unsigned)count;
}

/* Until the beams are known, all that may have tasks of their interval. */
static bool
may_be_timed(const struct beam_cluster *c, int64_t event_ms)
{
	int64_t now = clock_wall_ms();
	struct interval w =
	    window_interval(&c->ds->segment_granularity, now, &c->ds->window);

	return event_ms >= w.start - period_ms(&c->ds->firehose_grace) &&
	    event_ms < w.end;
}

bool
beam_cluster_binds(const struct beam_cluster *c, int64_t event_ms)
{
	int64_t bucket;

	if (!c->ds->any_time)
		return true;
	if (!c->is_known)
		return may_be_timed(c, event_ms);
	if (LIKELY(!c->has_timed))
		return false;
	bucket = granularity_truncate(&c->ds->segment_granularity, event_ms);
	return has_records(&c->known, bucket, false);
}
