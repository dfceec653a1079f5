/*
 * dispatch - brings the spool's batches to the tasks of their beams
 *
 * Process: worker.
 */
#include "dispatch_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "backoff.h"
#include "clock.h"
#include "fault.h"
#include "feed.h"
#include "iso.h"
#include "json.h"
#include "log.h"
#include "panic.h"
#include "partition.h"
#include "replicant.h"
#include "task.h"

#define HELD_SLACK_BYTES (4u * MiB) /* fresh batches that wait for their turn */
#define BURY_A_TURN 32 /* batches made dead letters in one go */
#define STUCK_MAX 32
#define SWEEP_MS 15000
#define DESCRIBED_MAX 64 /* beams in the status document */
/* Tasks that are gone: how long the next ones wait. */
#define TASK_PROVEN_MS 60000
#define REPLACE_FIRST_MS 1000
#define REPLACE_MAX_MS 120000
#define REPLACE_SAID_MS 2000

static void beam_answered(void *, struct interval, unsigned, enum beam_verdict,
    const struct beam_record *);
static void feed_passed(void *, struct feed *, const struct held *);
static void feed_passed_over(void *, struct feed *, const struct spool_entry *);
static void sweep_due(struct loop_timer *);
static void close_beam(struct beam *);
static void settle_lane(struct beam *, unsigned);

struct dispatch *
dispatch_new(const struct dispatch_parts *parts)
{
	struct dispatch *d = must_calloc(1, sizeof *d);
	const struct ds_conf *ds = parts->ds;
	size_t in_hand =
	    (size_t)ds->max_pending_batches * (size_t)ds->max_batch_bytes;

	d->p = *parts;
	TAILQ_INIT(&d->beams);
	d->sweep.context = d;
	d->feeds = (struct feeds){ .loop = parts->loop,
		.ds = ds,
		.spool = parts->spool,
		.http = parts->http,
		.hand = parts->hand,
		.sending_max =
		    (unsigned)(ds->max_pending_batches * ds->replicants),
		.stuck_max = STUCK_MAX,
		.passed = feed_passed,
		.passed_over = feed_passed_over,
		.failing = dispatch_feed_failing,
		.context = d };
	feeds_init(&d->feeds);
	held_init(&d->feeds.held, in_hand + HELD_SLACK_BYTES);
	beam_cluster_answer(parts->cluster, beam_answered, d);
	return d;
}

/* ---- beams ---- */

static void
drop_targets(struct beam *b)
{
	for (unsigned i = 0; i < b->target_count; i++) {
		struct target *t = &b->targets[i];

		for (unsigned l = 0; l < b->lane_count; l++)
			feed_fini(&t->feeds[l]);
		free(t->feeds);
		replicant_free(&t->replicant);
	}
	free(b->targets);
	b->targets = NULL;
	b->target_count = b->lost_count = 0;
}

static void
free_beam(struct beam *b)
{
	struct dispatch *d = b->dispatch;

	loop_timer_stop(&b->replace);
	drop_targets(b);
	TAILQ_REMOVE(&d->beams, b, link);
	d->beam_count--;
	d->changed = true;
	free(b->lanes);
	free(b);
}

void
dispatch_free(struct dispatch **dispatch)
{
	struct dispatch *d = *dispatch;

	if (d == NULL)
		return;
	*dispatch = NULL;
	while (!TAILQ_EMPTY(&d->beams))
		free_beam(TAILQ_FIRST(&d->beams));
	for (size_t i = 0; i < d->removal_count; i++)
		dispatch_move_free(d, d->removals[i].move);
	feeds_fini(&d->feeds);
	loop_timer_stop(&d->sweep);
	free(d->removals);
	free(d);
}

static struct beam *
find_beam(
    const struct dispatch *d, struct interval interval, unsigned partition)
{
	struct beam *b;

	TAILQ_FOREACH(b, &d->beams, link)
	if (b->interval.start == interval.start &&
	    b->interval.end == interval.end && b->partition == partition)
		return b;
	return NULL;
}

static void
want(struct beam *b, const char *dead_firehose)
{
	b->state = BEAM_WANTED;
	b->dispatch->changed = true;
	beam_cluster_want(
	    b->dispatch->p.cluster, b->interval, b->partition, dead_firehose);
}

/* Lanes are more than maxPendingBatches only when a reload lowered it. */
static void
have_lanes(struct beam *b, unsigned count)
{
	/* feeds point to lanes: their number is fixed before the first task */
	must(b->target_count == 0);
	b->lanes = must_realloc(b->lanes, count * sizeof b->lanes[0]);
	for (unsigned i = b->lane_count; i < count; i++)
		b->lanes[i] = (struct lane){ .beam = b,
			.at = { .start = b->interval.start,
			    .end = b->interval.end,
			    .partition = b->partition,
			    .lane = i } };
	b->lane_count = count;
}

static struct beam *
new_beam(struct dispatch *d, struct interval interval, unsigned partition)
{
	struct beam *b = must_calloc(1, sizeof *b);

	b->dispatch = d;
	b->interval = interval;
	b->partition = partition;
	have_lanes(b, (unsigned)d->p.ds->max_pending_batches);
	TAILQ_INSERT_TAIL(&d->beams, b, link);
	d->beam_count++;
	if (!loop_timer_active(&d->sweep))
		loop_timer_start(d->p.loop, &d->sweep, SWEEP_MS, sweep_due);
	return b;
}

struct beam *
dispatch_have_beam(
    struct dispatch *d, struct interval interval, unsigned partition)
{
	struct beam *b = find_beam(d, interval, partition);

	if (b == NULL) {
		b = new_beam(d, interval, partition);
		want(b, NULL);
	}
	return b;
}

uint64_t
dispatch_waiting(const struct beam *b)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < b->lane_count; i++)
		sum += b->lanes[i].batches;
	return sum;
}

void
dispatch_replay(struct dispatch *d)
{
	struct spool_entry e;
	struct spool_lane at;
	const struct spool_lane *behind = NULL;
	unsigned batches;
	struct beam *b;

	while (spool_next_lane(d->p.spool, behind, &e, &batches)) {
		struct interval interval = { e.at.start, e.at.end };

		at = e.at;
		behind = &at;
		if (at.partition == PARTITION_LATE) {
			late_replay_lane(d->p.late, &at);
			continue;
		}
		b = find_beam(d, interval, e.at.partition);
		if (b == NULL)
			b = new_beam(d, interval, e.at.partition);
		if (e.at.lane >= b->lane_count)
			have_lanes(b, e.at.lane + 1);
		b->lanes[e.at.lane].batches = batches;
	}
	TAILQ_FOREACH(b, &d->beams, link)
	want(b, NULL);
}

unsigned
dispatch_partitions(const struct dispatch *d, int64_t bucket, bool any_time)
{
	return beam_cluster_partitions(d->p.cluster, bucket, any_time);
}

bool
dispatch_binds(const struct dispatch *d, int64_t event_ms)
{
	return beam_cluster_binds(d->p.cluster, event_ms);
}

bool
dispatch_is_spread(const struct dispatch *d)
{
	return beam_cluster_is_spread(d->p.cluster);
}

unsigned
dispatch_lane(struct dispatch *d, struct interval interval, unsigned partition)
{
	struct beam *b = dispatch_have_beam(d, interval, partition);
	unsigned lanes = (unsigned)d->p.ds->max_pending_batches;

	return b->next_lane++ % lanes;
}

static void
wake_lane(struct beam *b, unsigned lane)
{
	for (unsigned i = 0; i < b->target_count; i++)
		feed_wake(&b->targets[i].feeds[lane]);
}

void
dispatch_sealed(
    struct dispatch *d, const struct spool_entry *e, char *value, size_t bytes)
{
	struct interval interval = { e->at.start, e->at.end };
	struct beam *b = dispatch_have_beam(d, interval, e->at.partition);

	must(e->at.lane < b->lane_count);
	b->lanes[e->at.lane].batches++;
	held_keep(&d->feeds.held, e, value, bytes);
	if (b->state == BEAM_OVER)
		close_beam(b); /* came too late */
	wake_lane(b, e->at.lane);
}

void
dispatch_warm(struct dispatch *d, struct interval interval)
{
	unsigned first = d->p.ds->any_time ? PARTITION_ANY_TIME : 0;

	for (unsigned p = 0; p < (unsigned)d->p.ds->partitions; p++)
		dispatch_have_beam(d, interval, first + p);
}

void
dispatch_look_again(struct dispatch *d)
{
	struct beam *b;

	TAILQ_FOREACH(b, &d->beams, link)
	for (unsigned l = 0; l < b->lane_count; l++) {
		settle_lane(b, l);
		wake_lane(b, l);
	}
}

void
dispatch_run(struct dispatch *d)
{
	feeds_run(&d->feeds);
}

void
dispatch_hold(struct dispatch *d)
{
	d->feeds.on_hold = true;
}

/* ---- leaving the spool ---- */

struct removal *
dispatch_leave_lane(
    struct lane *lane, const struct spool_entry *e, enum leave how)
{
	struct dispatch *d = lane->beam->dispatch;
	struct removal *r;

	if (d->removal_count == d->removal_size) {
		d->removal_size = MAX_OF(d->removal_size * 2, 64u);
		d->removals = must_realloc(
		    d->removals, d->removal_size * sizeof d->removals[0]);
	}
	r = &d->removals[d->removal_count++];
	*r = (struct removal){ .entry = *e, .how = how };
	must(lane->batches > 0);
	lane->batches--;
	lane->removed = e->id;
	FAULT_POINT(REMOVAL);
	held_forget(&d->feeds.held, e->id);
	return r;
}

/* Lets go of what all living replicants have passed. */
static void
settle_lane(struct beam *b, unsigned index)
{
	struct lane *lane = &b->lanes[index];
	uint64_t least = UINT64_MAX;
	struct spool_entry e;

	for (unsigned i = 0; i < b->target_count; i++)
		if (!replicant_is_over(b->targets[i].replicant))
			least = MIN_OF(least, b->targets[i].feeds[index].after);
	if (least == UINT64_MAX)
		return; /* nobody lives: replacements get all of it */
	while (lane->removed < least &&
	    spool_next(b->dispatch->p.spool, &lane->at, lane->removed, &e) &&
	    e.id <= least)
		dispatch_leave_lane(lane, &e,
		    e.id == lane->unreadable ? LEAVE_DEAD : LEAVE_SENT)
		    ->why = SPOOL_WHY_DAMAGED;
}

/* Tells who waits for the batch, of its refused events that they are dead
 * letters. */
static void
tell(struct dispatch *d, const struct held *h, enum ack_kind kind)
{
	struct spool_refused few[8], *all = few;
	unsigned count =
	    spool_refused(d->p.spool, h->entry.id, few, ARRAY_LEN(few));

	if (count > ARRAY_LEN(few)) {
		all = must_calloc(count, sizeof all[0]);
		count = MIN_OF(
		    spool_refused(d->p.spool, h->entry.id, all, count), count);
	}
	ack_batch(d->p.acks, &h->view, kind, all, count);
	if (all != few)
		free(all);
}

static void
feed_passed(void *context, struct feed *f, const struct held *h)
{
	struct dispatch *d = context;
	struct lane *lane = f->lane;

	if (h->entry.id > lane->acked) {
		lane->acked = h->entry.id;
		FAULT_POINT(ACK);
		tell(d, h, ACK_SENT);
		FAULT_POINT(ACK_WRITTEN);
	}
	settle_lane(lane->beam, lane->at.lane);
}

static void
feed_passed_over(
    void *context UNUSED, struct feed *f, const struct spool_entry *e)
{
	log_error("spool: batch %" PRIu64
		  " (%u events) is damaged on the disk; "
		  "it is kept as a dead letter",
	    e->id, e->events);
	if (e->id > f->lane->acked)
		f->lane->unreadable = e->id;
	settle_lane(f->lane->beam, f->lane->at.lane);
}

bool
dispatch_wants_commit(const struct dispatch *d)
{
	return d->removal_count > 0 || feeds_want_commit(&d->feeds);
}

void
dispatch_write(struct dispatch *d)
{
	for (size_t i = 0; i < d->removal_count; i++) {
		struct removal *r = &d->removals[i];

		if (r->move != NULL) {
			dispatch_move_write(d, r);
			continue;
		}
		switch (r->how) {
		case LEAVE_SENT:
			spool_remove(d->p.spool, &r->entry);
			FAULT_POINT(REMOVE);
			break;
		case LEAVE_DEAD:
			FAULT_POINT(BURY);
			spool_bury(
			    d->p.spool, &r->entry, r->why, clock_wall_ms());
			break;
		case LEAVE_LATE:
			FAULT_POINT(ADOPT);
			late_adopt(d->p.late, &r->entry);
			break;
		case LEAVE_ARCHIVED:
			spool_remove_late(d->p.spool, &r->entry, LATE_ARCHIVE);
			break;
		}
	}
	feeds_write(&d->feeds);
}

static void
pass_faults(const struct removal *r)
{
	if (r->how == LEAVE_SENT && r->move == NULL)
		FAULT_POINT(REMOVED);
	if (r->how == LEAVE_DEAD)
		FAULT_POINT(BURIED);
	if (r->how == LEAVE_LATE)
		FAULT_POINT(ADOPTED);
}

void
dispatch_written(struct dispatch *d)
{
	for (size_t i = 0; i < d->removal_count; i++) {
		const struct removal *r = &d->removals[i];

		pass_faults(r);
		if (r->move != NULL)
			dispatch_move_done(d, r->move);
		else if (r->how == LEAVE_LATE)
			late_arrived(d->p.late, &r->entry);
	}
	d->removal_count = 0;
	feeds_written(&d->feeds);
}

/* ---- tasks ---- */

static void
close_beam(struct beam *b)
{
	struct dispatch *d = b->dispatch;

	b->state = BEAM_OVER;
	loop_timer_start(d->p.loop, &d->sweep, 0, sweep_due);
}

/* Until when a beam whose tasks are gone gets others. Batches of any time need
 * not wait for those: they go on to the tasks of the next interval. */
static int64_t
replaced_until(const struct beam *b)
{
	return partition_is_any_time(b->partition)
	    ? b->interval.end
	    : period_add(b->interval.end, &b->dispatch->p.ds->window, 1);
}

/* What a task has published would be hidden by one that took its place: that
 * one's segments are of a newer version. Those of any time are appended. */
static bool
may_replace(const struct beam *b)
{
	if (clock_wall_ms() >= replaced_until(b))
		return false;
	for (unsigned i = 0; i < b->target_count; i++)
		if (replicant_has_closed(b->targets[i].replicant))
			return partition_is_any_time(b->partition);
	return true;
}

/* What the task of an only replicant has taken of a batch before it ended. */
static void
note_partial(struct beam *b, const struct target *t)
{
	if (b->target_count > 1 || !replicant_has_closed(t->replicant))
		return;
	for (unsigned l = 0; l < b->lane_count; l++) {
		const struct feed *f = &t->feeds[l];

		if (f->held == NULL || f->progress.chunk == 0)
			continue;
		b->lanes[l].partial = f->held->entry.id;
		b->lanes[l].partial_chunks = f->progress.chunk;
	}
}

static void
replace_due(struct loop_timer *timer)
{
	struct beam *b = timer->context;

	want(b, replicant_firehose_id(b->targets[0].replicant));
}

/* The first replacement is asked for at once. Tasks that are gone as soon as
 * they have come (a spec that they fail of, workers without memory) are not
 * made one behind the other as fast as they die. */
static void
replace_tasks(struct beam *b)
{
	int64_t now = clock_mono_ms(), delay = 0;

	if (now - b->taken_ms >= TASK_PROVEN_MS)
		b->short_lived = 0;
	if (b->short_lived > 0)
		delay = backoff_ms(b->short_lived, REPLACE_FIRST_MS,
		    REPLACE_MAX_MS, (uint32_t)clock_mono_ns());
	b->short_lived++;
	b->state = BEAM_WANTED;
	if (delay >= REPLACE_SAID_MS)
		log_warnx("beam %s partition %u: tasks are gone soon after "
			  "they come, %u times in a row: the next ones in "
			  "%" PRId64 " s; their logs in Druid say why",
		    b->dispatch->p.ds->name, partition_number(b->partition),
		    b->short_lived, delay / 1000);
	b->replace.context = b;
	loop_timer_start(b->dispatch->p.loop, &b->replace, delay, replace_due);
}

static void
task_over(struct beam *b)
{
	if (++b->lost_count < b->target_count) {
		for (unsigned l = 0; l < b->lane_count; l++)
			settle_lane(b, l);
		return;
	}
	/* others in their place would hide what they have */
	if (dispatch_take_back(b, false))
		return;
	if (!may_replace(b)) {
		close_beam(b);
		return;
	}
	replace_tasks(b);
}

static void
target_changed(void *context, struct replicant *r)
{
	struct beam *b = context;
	struct target *t = NULL;

	b->dispatch->changed = true;
	for (unsigned i = 0; i < b->target_count; i++)
		if (b->targets[i].replicant == r)
			t = &b->targets[i];
	must(t != NULL);
	if (replicant_state(r) == REPLICANT_LOST)
		b->dispatch->tasks_lost += !replicant_has_closed(r);
	if (replicant_is_over(r)) {
		if (t->is_over)
			return;
		t->is_over = true;
		note_partial(b, t);
		for (unsigned l = 0; l < b->lane_count; l++)
			(replicant_is_given_up(r) ? feed_leave : feed_fini)(
			    &t->feeds[l]);
		task_over(b);
		return;
	}
	for (unsigned l = 0; l < b->lane_count; l++)
		feed_wake(&t->feeds[l]);
}

static void
take_tasks(struct beam *b, const struct beam_record *record)
{
	struct dispatch *d = b->dispatch;
	struct replicant_parts parts = { .loop = d->p.loop,
		.ds = d->p.ds,
		.overlord = d->p.overlord,
		.zk = d->p.zk,
		.interval = b->interval };

	drop_targets(b);
	b->state = BEAM_OPEN;
	b->taken_ms = clock_mono_ms();
	for (unsigned l = 0; l < b->lane_count; l++)
		b->lanes[l].is_guest = record->partition != b->partition;
	b->target_count = (unsigned)record->task_count;
	b->targets = must_calloc(b->target_count, sizeof b->targets[0]);
	for (unsigned i = 0; i < b->target_count; i++) {
		struct target *t = &b->targets[i];

		t->replicant =
		    replicant_new(&parts, &record->tasks[i], target_changed, b);
		t->feeds = must_calloc(b->lane_count, sizeof t->feeds[0]);
		for (unsigned l = 0; l < b->lane_count; l++)
			feed_init(&t->feeds[l], &d->feeds, &b->lanes[l],
			    t->replicant, i);
	}
}

static void
beam_answered(void *context, struct interval interval, unsigned partition,
    enum beam_verdict verdict, const struct beam_record *record)
{
	struct dispatch *d = context;
	struct beam *b = find_beam(d, interval, partition);

	if (b == NULL || b->state != BEAM_WANTED)
		return;
	d->changed = true;
	if (verdict == BEAM_FOUND)
		take_tasks(b, record);
	else
		close_beam(b);
}

/* ---- beams that are over ---- */

/* Whether late.policy has what is left. A batch of any time has no interval
 * that it could be kept under. */
static bool
goes_late(const struct beam *b)
{
	return late_keeps(b->dispatch->p.late) &&
	    !partition_is_any_time(b->partition);
}

static void
bury(struct dispatch *d, struct lane *lane, const struct spool_entry *e)
{
	bool damaged;
	struct held *h = held_take(&d->feeds.held, d->p.spool, e, &damaged);

	if (h != NULL && e->id > lane->acked)
		tell(d, h, ACK_DEAD);
	held_release(&d->feeds.held, &h);
	/* what one replicant has taken is delivered, if not redundantly */
	if (e->id <= lane->acked)
		dispatch_leave_lane(lane, e, LEAVE_SENT);
	else if (late_has_copy(d->p.late, e))
		dispatch_leave_lane(lane, e, LEAVE_ARCHIVED);
	else if (goes_late(lane->beam) && !damaged)
		dispatch_leave_lane(lane, e, LEAVE_LATE);
	else
		dispatch_leave_lane(lane, e, LEAVE_DEAD)->why =
		    damaged ? SPOOL_WHY_DAMAGED : SPOOL_WHY_CLOSED;
}

/* False: there was nothing, or nothing that can be read now. */
static bool
bury_some(struct beam *b)
{
	unsigned budget = BURY_A_TURN, count = 0;
	struct spool_entry e;
	char start[ISO_BYTES];

	for (unsigned l = 0; l < b->lane_count; l++) {
		struct lane *lane = &b->lanes[l];

		for (; budget > 0 &&
		     spool_next(
			 b->dispatch->p.spool, &lane->at, lane->removed, &e);
		     budget--) {
			bury(b->dispatch, lane, &e);
			count += e.events;
		}
	}
	if (count == 0)
		return false;
	iso_format(b->interval.start, start);
	log_warnx("interval %s is closed: %u events %s", start, count,
	    goes_late(b) ? "are late (late.policy)" : "become dead letters");
	return true;
}

bool
dispatch_is_running(const struct beam *b)
{
	for (unsigned i = 0; i < b->target_count; i++)
		if (replicant_state(b->targets[i].replicant) != REPLICANT_LOST)
			return true;
	return false;
}

static bool
is_finished(const struct beam *b)
{
	const struct ds_conf *ds = b->dispatch->p.ds;
	int64_t end = task_shutoff_ms(ds, &b->interval);

	if (dispatch_waiting(b) > 0 || b->state == BEAM_WANTED ||
	    dispatch_move_watches(b))
		return false;
	if (dispatch_is_running(b)) /* until the hand-off */
		return false;
	return b->state == BEAM_OVER || clock_wall_ms() > end;
}

static void
sweep_due(struct loop_timer *t)
{
	struct dispatch *d = t->context;
	struct beam *b = TAILQ_FIRST(&d->beams), *next;
	int64_t delay = SWEEP_MS;

	for (; b != NULL; b = next) {
		bool goes_on = false;

		if (b->state == BEAM_OVER && d->p.ds->any_time)
			dispatch_move_some(b);
		else if (b->state == BEAM_OVER)
			goes_on = bury_some(b);
		if (b->state == BEAM_OVER && dispatch_waiting(b) > 0)
			delay =
			    MIN_OF(delay, goes_on ? 0 : DISPATCH_LOOK_AGAIN_MS);
		next = TAILQ_NEXT(b, link);
		if (is_finished(b))
			free_beam(b);
	}
	if (d->beam_count > 0)
		loop_timer_start(d->p.loop, t, delay, sweep_due);
}

/* ---- what there is to see ---- */

struct delivery_counts
dispatch_counts(const struct dispatch *d)
{
	return (struct delivery_counts){ .pushes = d->feeds.pushes,
		.push_retries = d->feeds.retries,
		.skipped = d->feeds.skipped,
		.tasks_lost = d->tasks_lost,
		.in_flight = d->feeds.sending + d->feeds.stuck };
}

static struct json *
describe_beam(const struct beam *b)
{
	static const char *const states[] = { "creating", "open", "closed" };
	struct json *j = json_new_object(), *tasks = json_new_array();
	char start[ISO_BYTES], end[ISO_BYTES], *interval;

	iso_format(b->interval.start, start);
	iso_format(b->interval.end, end);
	interval = must_format("%s/%s", start, end);
	json_set_text(j, "interval", interval);
	json_set_int(j, "partition", partition_number(b->partition));
	json_set_bool(j, "anyTime", partition_is_any_time(b->partition));
	json_set_text(j, "state", states[b->state]);
	json_set_int(j, "waitingBatches", (int64_t)dispatch_waiting(b));
	for (unsigned i = 0; i < b->target_count; i++)
		json_append(tasks, replicant_describe(b->targets[i].replicant));
	json_set(j, "tasks", tasks);
	free(interval);
	return j;
}

struct json *
dispatch_describe(const struct dispatch *d)
{
	struct json *beams = json_new_array();
	unsigned left = DESCRIBED_MAX;
	struct beam *b;

	TAILQ_FOREACH(b, &d->beams, link)
	{
		if (left-- == 0)
			break;
		json_append(beams, describe_beam(b));
	}
	return beams;
}

unsigned
dispatch_overdue(const struct dispatch *d)
{
	unsigned count = 0;
	struct beam *b;

	TAILQ_FOREACH(b, &d->beams, link)
	for (unsigned i = 0; i < b->target_count; i++)
		count += replicant_is_overdue(b->targets[i].replicant);
	return count;
}

bool
dispatch_changed(struct dispatch *d)
{
	bool changed = d->changed;

	d->changed = false;
	return changed;
}
