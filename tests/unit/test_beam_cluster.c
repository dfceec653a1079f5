/*
 * test_beam_cluster - beams found, made, replaced and closed by the rules
 *
 * tranquility.md 3, rules 2 to 4. The store and the Overlord are played by
 * the test, which decides what each of them answers.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "beam_cluster.h"
#include "clock.h"
#include "iso.h"
#include "log.h"
#include "loop_until.h"
#include "one_ds.h"
#include "partition.h"
#include "task.h"

#define SUBMITS_MAX 64
#define ANSWERS_MAX 64
#define SCRIPT_MAX 16

/* ---- the store ---- */

struct fake_store {
	struct beam_store store;
	struct loop *loop;
	struct beam_data document, lent;
	bool is_locked;
	unsigned reads, locks, commits, releases;
	/* results in their order; OK when there are no more */
	enum result read_script[SCRIPT_MAX], lock_script[SCRIPT_MAX],
	    commit_script[SCRIPT_MAX];
	struct loop_timer reading, locking, committing;
	beam_store_read_fn *read_done;
	beam_store_locked_fn *lock_done;
	beam_store_done_fn *commit_done;
	void *context;
	enum result commit_result;
};

static struct fake_store *
fake_of(struct beam_store *s)
{
	return (struct fake_store *)(void *)s;
}

static void
read_due(struct loop_timer *t)
{
	struct fake_store *f = t->context;
	enum result result = f->read_script[f->reads++];

	f->read_done(
	    f->context, result, result == RESULT_OK ? &f->document : NULL);
}

static void
fake_read(struct beam_store *s, beam_store_read_fn *done, void *context)
{
	struct fake_store *f = fake_of(s);

	assert_false(loop_timer_active(&f->reading)); /* one at a time */
	f->read_done = done;
	f->context = context;
	loop_timer_start(f->loop, &f->reading, 0, read_due);
}

static void
lock_due(struct loop_timer *t)
{
	struct fake_store *f = t->context;
	enum result result = f->lock_script[f->locks++];

	f->is_locked = result == RESULT_OK;
	beam_data_copy(&f->lent, &f->document);
	f->lock_done(f->context, result, result == RESULT_OK ? &f->lent : NULL);
}

static void
fake_lock(struct beam_store *s, beam_store_locked_fn *done, void *context)
{
	struct fake_store *f = fake_of(s);

	assert_false(f->is_locked || loop_timer_active(&f->locking));
	f->lock_done = done;
	f->context = context;
	loop_timer_start(f->loop, &f->locking, 0, lock_due);
}

static bool
fake_is_locked(const struct beam_store *s)
{
	return ((const struct fake_store *)(const void *)s)->is_locked;
}

static void
commit_due(struct loop_timer *t)
{
	struct fake_store *f = t->context;

	f->commit_done(f->context, f->commit_result);
}

static void
fake_commit(struct beam_store *s, beam_store_done_fn *done, void *context)
{
	struct fake_store *f = fake_of(s);

	assert_true(f->is_locked);
	f->is_locked = false;
	f->commit_result = f->commit_script[f->commits++];
	if (f->commit_result == RESULT_OK)
		beam_data_copy(&f->document, &f->lent);
	beam_data_fini(&f->lent); /* not the caller's any more */
	f->commit_done = done;
	f->context = context;
	loop_timer_start(f->loop, &f->committing, 0, commit_due);
}

static void
fake_release(struct beam_store *s)
{
	struct fake_store *f = fake_of(s);

	f->is_locked = false;
	f->releases++;
	loop_timer_stop(&f->locking);
}

static void
fake_init(struct fake_store *f, struct loop *loop)
{
	static const struct beam_store_ops ops = { .read = fake_read,
		.lock = fake_lock,
		.is_locked = fake_is_locked,
		.commit = fake_commit,
		.release = fake_release };

	*f = (struct fake_store){ .store.ops = &ops, .loop = loop };
	f->reading.context = f->locking.context = f->committing.context = f;
	beam_data_init(&f->document);
	beam_data_init(&f->lent);
}

static void
fake_fini(struct fake_store *f)
{
	loop_timer_stop(&f->reading);
	loop_timer_stop(&f->locking);
	loop_timer_stop(&f->committing);
	beam_data_fini(&f->document);
	beam_data_fini(&f->lent);
}

/* ---- the Overlord ---- */

static struct {
	struct loop *loop;
	struct fake_store *store;
	unsigned submits;
	char *ids[SUBMITS_MAX];
	enum result script[SUBMITS_MAX];
	int lose_lock_at; /* with the answer to this submission */
	bool silent;
	struct loop_timer timer;
	overlord_submit_fn *done;
	void *context;
} lord;

static void
submit_due(struct loop_timer *t)
{
	unsigned i = lord.submits - 1;

	(void)t;
	if ((int)i == lord.lose_lock_at)
		lord.store->is_locked = false;
	lord.done(lord.context, lord.script[i],
	    lord.script[i] == RESULT_OK ? NULL : "because of the test");
}

void
overlord_submit(struct overlord *o, char *task_json, overlord_submit_fn *done,
    void *context)
{
	struct json *j = json_parse(task_json, strlen(task_json), NULL);
	unsigned i = lord.submits++;

	(void)o;
	assert_true(i < SUBMITS_MAX);
	assert_true(lord.store->is_locked); /* never without the lock */
	assert_false(loop_timer_active(&lord.timer));
	lord.ids[i] = must_strdup(json_get_text(j, "id", "none"));
	json_free(&j);
	free(task_json);
	lord.done = done;
	lord.context = context;
	if (!lord.silent)
		loop_timer_start(lord.loop, &lord.timer, 0, submit_due);
}

/* ---- */

struct answer {
	struct interval interval;
	unsigned partition;
	enum beam_verdict verdict;
	unsigned record_partition, tasks;
	char firehose[80]; /* of the first task */
};

struct rig {
	struct loop *loop;
	struct conf *conf;
	struct fake_store store;
	struct beam_cluster *cluster;
	struct answer answers[ANSWERS_MAX];
	unsigned answer_count;
	struct interval now; /* the bucket of now */
	bool want_again;
};

static void
answered(void *context, struct interval interval, unsigned partition,
    enum beam_verdict verdict, const struct beam_record *record)
{
	struct rig *r = context;
	struct answer *a = &r->answers[r->answer_count++];

	assert_true(r->answer_count <= ANSWERS_MAX);
	*a = (struct answer){
		.interval = interval, .partition = partition, .verdict = verdict
	};
	assert_int_equal(record != NULL, verdict == BEAM_FOUND);
	if (record != NULL) {
		a->record_partition = record->partition;
		a->tasks = (unsigned)record->task_count;
		snprintf(a->firehose, sizeof a->firehose, "%s",
		    record->tasks[0].firehose_id);
	}
	if (r->want_again) {
		r->want_again = false;
		beam_cluster_want(r->cluster, interval, partition, NULL);
	}
}

static void
begin(struct rig *r, const char *properties)
{
	char *all = must_format("\"druid.overlord.url\":\"http://x\"%s%s",
	    properties[0] != '\0' ? "," : "", properties);

	beam_cluster_free(&r->cluster);
	conf_free(&r->conf);
	r->conf = one_ds(NULL, all);
	free(all);
	r->cluster =
	    beam_cluster_new(r->loop, &r->conf->ds[0], &r->store.store, NULL);
	beam_cluster_answer(r->cluster, answered, r);
}

static int
set_up(void **state)
{
	struct granularity hour = granularity_of(GRANULARITY_HOUR);
	struct rig *r = must_calloc(1, sizeof *r);

	r->loop = loop_new();
	fake_init(&r->store, r->loop);
	memset(&lord, 0, sizeof lord);
	lord.loop = r->loop;
	lord.store = &r->store;
	lord.lose_lock_at = -1;
	r->now = granularity_bucket(&hour, clock_wall_ms());
	begin(r, "");
	*state = r;
	return 0;
}

static int
tear_down(void **state)
{
	struct rig *r = *state;

	loop_timer_stop(&lord.timer);
	for (unsigned i = 0; i < lord.submits; i++)
		free(lord.ids[i]);
	fake_fini(&r->store);
	beam_cluster_free(&r->cluster);
	conf_free(&r->conf);
	loop_free(&r->loop);
	free(r);
	return 0;
}

static struct interval
hours_from_now(const struct rig *r, int hours)
{
	return (struct interval){ r->now.start + hours * ISO_HOUR_MS,
		r->now.end + hours * ISO_HOUR_MS };
}

/* A beam of one task in the document. */
static void
add_beam(
    struct rig *r, struct interval i, unsigned partition, const char *firehose)
{
	struct beam_record *b =
	    beam_data_add(&r->store.document, i.start, i, partition);

	beam_record_add_task(b, "a-task", firehose);
}

static const struct answer *
want(struct rig *r, struct interval i, unsigned partition, const char *dead)
{
	unsigned before = r->answer_count;

	beam_cluster_want(r->cluster, i, partition, dead);
	assert_int_equal(r->answer_count, before); /* not in the call */
	LOOP_UNTIL(r->loop, r->answer_count > before);
	assert_int_equal(r->answer_count, before + 1);
	return &r->answers[before];
}

static void
check_found(const struct answer *a, unsigned partition, const char *firehose)
{
	assert_int_equal(a->verdict, BEAM_FOUND);
	assert_int_equal(a->record_partition, partition);
	assert_string_equal(a->firehose, firehose);
}

static char *
firehose_name(const struct rig *r, unsigned partition, unsigned attempt)
{
	struct task_place p = {
		.interval = r->now, .partition = partition, .attempt = attempt
	};

	return task_firehose_id(&r->conf->ds[0], &p);
}

static void
check_firehose(const struct rig *r, const struct answer *a, unsigned partition,
    unsigned attempt)
{
	char *name = firehose_name(r, partition, attempt);

	check_found(a, partition, name);
	free(name);
}

/* Tasks were submitted in this order: partition, replicant, attempt. */
static void
check_submit(const struct rig *r, unsigned i, unsigned partition,
    unsigned replicant, unsigned attempt)
{
	struct task_place p = { .interval = r->now,
		.partition = partition,
		.replicant = replicant,
		.attempt = attempt };
	char *id = task_id(&r->conf->ds[0], &p, 0);

	assert_true(i < lord.submits);
	assert_string_equal(lord.ids[i], id);
	free(id);
}

/* ---- found and made ---- */

static void
test_made(void **state)
{
	struct rig *r = *state;
	const struct beam_record *b;
	const struct answer *a;
	size_t count;

	begin(r, "\"task.partitions\":2,\"task.replicants\":3");
	assert_string_equal(beam_cluster_note(r->cluster), "");
	a = want(r, r->now, 1, NULL);
	check_firehose(r, a, 1, 0);
	assert_int_equal(a->tasks, 3);
	assert_int_equal(lord.submits, 6);
	for (unsigned i = 0; i < 6; i++)
		check_submit(r, i, i / 3, i % 3, 0);
	assert_int_equal(beam_cluster_tasks_created(r->cluster), 6);
	b = beam_data_bucket(&r->store.document, r->now.start, &count);
	assert_int_equal(count, 2);
	assert_int_equal(b[1].task_count, 3);
	assert_string_equal(b[1].tasks[2].id, lord.ids[5]);
	assert_int_equal(r->store.locks, 1);
	assert_int_equal(r->store.commits, 1);
	assert_false(r->store.is_locked);
	/* what is known needs nobody */
	check_firehose(r, want(r, r->now, 0, NULL), 0, 0);
	assert_int_equal(r->store.reads, 1);
	assert_int_equal(r->store.locks, 1);
}

static void
test_there_already(void **state)
{
	struct rig *r = *state;

	add_beam(r, r->now, 0, "of-another-instance");
	check_found(want(r, r->now, 0, NULL), 0, "of-another-instance");
	assert_int_equal(r->store.locks, 0);
	assert_int_equal(lord.submits, 0);
}

static struct interval faster_interval;

static void
faster_due(struct loop_timer *t)
{
	struct rig *r = t->context;

	add_beam(r, faster_interval, 0, "faster");
}

/* Another instance makes it between our look and our lock. */
static void
test_another_was_faster(void **state)
{
	struct rig *r = *state;
	struct loop_timer timer = { .context = r };

	r->store.lock_script[0] = RESULT_RETRY; /* it holds the lock */
	faster_interval = r->now;
	loop_timer_start(r->loop, &timer, 50, faster_due);
	check_found(want(r, r->now, 0, NULL), 0, "faster");
	assert_int_equal(lord.submits, 0);
	assert_false(r->store.is_locked);
	loop_timer_stop(&timer);
}

static void
test_faster_under_lock(void **state)
{
	struct rig *r = *state;

	/* known, and stale: the lock's own look has it */
	check_firehose(r, want(r, r->now, 0, NULL), 0, 0);
	add_beam(r, hours_from_now(r, -1), 0, "x");
	faster_interval = hours_from_now(r, 1);
	begin(r, "\"task.warmingPeriod\":\"PT1H\"");
	beam_cluster_want(r->cluster, faster_interval, 0, NULL);
	LOOP_UNTIL(r->loop, r->store.reads == 2);
	add_beam(r, faster_interval, 0, "faster");
	LOOP_UNTIL(r->loop, r->answer_count == 2);
	check_found(&r->answers[1], 0, "faster");
	assert_int_equal(r->store.releases, 1);
	assert_int_equal(r->store.commits, 1);
}

static void
test_changed(void **state)
{
	struct rig *r = *state;
	const struct answer *a;

	add_beam(r, r->now, 0, "old");
	check_found(want(r, r->now, 0, NULL), 0, "old");
	beam_data_close(&r->store.document, hours_from_now(r, -2).start);
	r->store.document.beams[0].tasks[0].firehose_id[0] = 'O';
	r->store.store.changed(r->store.store.changed_context);
	a = want(r, r->now, 0, NULL);
	check_found(a, 0, "Old");
	assert_int_equal(r->store.reads, 2);
}

/* ---- over, too old, too early ---- */

static void
test_closed(void **state)
{
	struct rig *r = *state;

	r->store.document.latest_close = r->now.start;
	assert_int_equal(want(r, r->now, 0, NULL)->verdict, BEAM_CLOSED);
	assert_int_equal(
	    want(r, hours_from_now(r, -1), 0, NULL)->verdict, BEAM_CLOSED);
	assert_int_equal(r->store.locks, 0);
	assert_int_equal(lord.submits, 0);
}

static void
test_too_old(void **state)
{
	struct rig *r = *state;
	struct interval old = hours_from_now(r, -3);

	assert_int_equal(want(r, old, 0, NULL)->verdict, BEAM_CLOSED);
	add_beam(r, old, 0, "still-there");
	r->store.store.changed(r->store.store.changed_context);
	check_found(want(r, old, 0, NULL), 0, "still-there");
	assert_int_equal(lord.submits, 0);
}

static void
test_too_early(void **state)
{
	struct rig *r = *state;

	beam_cluster_want(r->cluster, hours_from_now(r, 3), 0, NULL);
	LOOP_UNTIL(r->loop, r->store.releases == 1);
	assert_string_equal(
	    beam_cluster_note(r->cluster), "an interval has not begun yet");
	assert_false(r->store.is_locked);
	assert_int_equal(r->answer_count, 0);
	assert_int_equal(lord.submits, 0);
}

static void
test_warming(void **state)
{
	struct rig *r = *state;
	struct interval later = hours_from_now(r, 3);

	begin(r, "\"task.warmingPeriod\":\"PT3H\"");
	assert_int_equal(want(r, later, 0, NULL)->verdict, BEAM_FOUND);
	assert_int_equal(lord.submits, 1);
}

/* ---- partitions ---- */

static void
test_scaled_up(void **state)
{
	struct rig *r = *state;

	begin(r, "\"task.partitions\":3");
	assert_int_equal(
	    beam_cluster_partitions(r->cluster, r->now.start, false), 3);
	add_beam(r, r->now, 1, "kept");
	check_firehose(r, want(r, r->now, 2, NULL), 2, 0);
	assert_int_equal(lord.submits, 2);
	check_submit(r, 0, 0, 0, 0);
	check_submit(r, 1, 2, 0, 0);
	check_found(want(r, r->now, 1, NULL), 1, "kept");
}

static void
test_scaled_down(void **state)
{
	struct rig *r = *state;

	for (unsigned p = 0; p < 3; p++)
		add_beam(r, r->now, p, p == 1 ? "one" : "other");
	check_found(want(r, r->now, 1, NULL), 1, "one"); /* all are used */
	assert_int_equal(
	    beam_cluster_partitions(r->cluster, r->now.start, false), 3);
	assert_int_equal(
	    beam_cluster_partitions(r->cluster, r->now.end, false), 1);
	/* a batch of a partition that never was here */
	check_found(want(r, r->now, 7, NULL), 1, "one");
	assert_int_equal(lord.submits, 0);
}

/* Events need their hash as long as it is not known that there is one
 * partition, and while there are more. */
static void
test_spread(void **state)
{
	struct rig *r = *state;

	assert_true(beam_cluster_is_spread(r->cluster));
	add_beam(r, hours_from_now(r, -1), 0, "a");
	add_beam(r, r->now, 0, "b");
	r->store.read_script[0] = RESULT_RETRY; /* it goes on by itself */
	beam_cluster_look(r->cluster);
	LOOP_UNTIL(r->loop, !beam_cluster_is_spread(r->cluster));
	assert_int_equal(r->store.reads, 2);
	/* another instance, or our own past, has made more */
	add_beam(r, hours_from_now(r, -1), 1, "c");
	r->store.store.changed(r->store.store.changed_context);
	LOOP_UNTIL(r->loop, beam_cluster_is_spread(r->cluster));
	assert_int_equal(r->answer_count, 0);
	assert_string_equal(beam_cluster_note(r->cluster), "");
	begin(r, "\"task.partitions\":2");
	beam_data_fini(&r->store.document);
	beam_data_init(&r->store.document);
	beam_cluster_look(r->cluster);
	LOOP_UNTIL(r->loop, r->store.reads == 4);
	assert_true(beam_cluster_is_spread(r->cluster));
}

/* ---- tasks of any time ---- */

#define ANY_TIME "\"task.type\":\"index_realtime_appenderator\""
#define ANY(partition) (PARTITION_ANY_TIME + (partition))

static void
know(struct rig *r)
{
	unsigned reads = r->store.reads;

	beam_cluster_look(r->cluster);
	LOOP_UNTIL(r->loop, r->store.reads > reads);
	LOOP_UNTIL(r->loop, !loop_timer_active(&r->store.reading));
}

static void
test_any_time_made(void **state)
{
	struct rig *r = *state;

	begin(r, ANY_TIME ",\"task.partitions\":2");
	check_firehose(r, want(r, r->now, ANY(1), NULL), ANY(1), 0);
	assert_int_equal(lord.submits, 2);
	check_submit(r, 0, ANY(0), 0, 0);
	check_submit(r, 1, ANY(1), 0, 0);
	assert_int_equal(
	    beam_cluster_partitions(r->cluster, r->now.start, true), 2);
	assert_int_equal(beam_cluster_timed(r->cluster, r->now.start), 0);
	/* one that is gone is replaced, and what is over is not made */
	check_firehose(
	    r, want(r, r->now, ANY(1), r->answers[0].firehose), ANY(1), 1);
	assert_int_equal(
	    want(r, hours_from_now(r, -1), ANY(0), NULL)->verdict, BEAM_CLOSED);
}

/* An interval that has tasks of its own keeps its events for them. */
static void
test_any_time_beside_timed(void **state)
{
	struct rig *r = *state;

	add_beam(r, r->now, 0, "timed");
	begin(r, ANY_TIME);
	/* not known yet: what may have such tasks is taken to have them */
	assert_true(beam_cluster_binds(r->cluster, r->now.start));
	assert_false(
	    beam_cluster_binds(r->cluster, r->now.start - 7 * ISO_DAY_MS));
	know(r);
	assert_true(beam_cluster_binds(r->cluster, r->now.end - 1));
	assert_false(beam_cluster_binds(r->cluster, r->now.end));
	assert_int_equal(beam_cluster_timed(r->cluster, r->now.start), 1);
	check_found(want(r, r->now, 0, NULL), 0, "timed");
	check_found(want(r, r->now, 4, NULL), 0, "timed");
	assert_int_equal(lord.submits, 0);
	check_firehose(r, want(r, r->now, ANY(0), NULL), ANY(0), 0);
	/* what was written with it is known as well */
	assert_true(beam_cluster_binds(r->cluster, r->now.start));
	assert_int_equal(beam_cluster_timed(r->cluster, r->now.start), 1);
	/* it fails while its interval is open: one of its own kind */
	check_firehose(r, want(r, r->now, 0, "timed"), 0, 1);
	/* an interval without any: its batches go on */
	assert_int_equal(
	    want(r, hours_from_now(r, -1), 0, NULL)->verdict, BEAM_CLOSED);
}

/* Another instance makes some: known as soon as the document says so. */
static void
test_any_time_hears_of_timed(void **state)
{
	struct rig *r = *state;

	begin(r, ANY_TIME);
	know(r);
	assert_false(beam_cluster_binds(r->cluster, r->now.start));
	add_beam(r, r->now, 0, "timed");
	r->store.store.changed(r->store.store.changed_context);
	know(r);
	assert_true(beam_cluster_binds(r->cluster, r->now.start));
}

/* Beams whose tasks may not have handed off yet stay in the document. */
static void
test_any_time_keeps_timed(void **state)
{
	struct rig *r = *state;
	size_t count;

	add_beam(r, hours_from_now(r, -2), 0, "handing off");
	add_beam(r, hours_from_now(r, -2), ANY(0), "any");
	add_beam(r, hours_from_now(r, -9), 0, "long over");
	begin(r, ANY_TIME);
	check_firehose(r, want(r, r->now, ANY(0), NULL), ANY(0), 0);
	beam_data_bucket(
	    &r->store.document, hours_from_now(r, -2).start, &count);
	assert_int_equal(count, 2);
	beam_data_bucket(
	    &r->store.document, hours_from_now(r, -9).start, &count);
	assert_int_equal(count, 0);
	check_found(want(r, hours_from_now(r, -2), 0, NULL), 0, "handing off");
}

/* task.type is index_realtime again: their tasks have the interval's lock. */
static void
test_timed_beside_any_time(void **state)
{
	struct rig *r = *state;

	add_beam(r, r->now, ANY(0), "any");
	check_found(want(r, r->now, 0, NULL), ANY(0), "any");
	check_found(want(r, r->now, ANY(0), NULL), ANY(0), "any");
	assert_int_equal(lord.submits, 0);
	check_firehose(r, want(r, r->now, 0, "any"), ANY(0), 1);
	check_submit(r, 0, ANY(0), 0, 1);
	assert_true(beam_cluster_binds(r->cluster, 0));
}

/* What waits is of both kinds, and nothing is made yet. */
static void
test_timed_and_any_time_at_once(void **state)
{
	struct rig *r = *state;

	beam_cluster_want(r->cluster, r->now, ANY(0), NULL);
	beam_cluster_want(r->cluster, r->now, 0, NULL);
	LOOP_UNTIL(r->loop, r->answer_count == 2);
	assert_int_equal(lord.submits, 1);
	check_submit(r, 0, ANY(0), 0, 0);
	check_firehose(r, &r->answers[0], ANY(0), 0);
	check_firehose(r, &r->answers[1], ANY(0), 0);
}

static void
test_many_wants_one_lock(void **state)
{
	struct rig *r = *state;

	begin(r, "\"task.partitions\":4,\"task.warmingPeriod\":\"PT1H\"");
	for (unsigned p = 0; p < 4; p++) {
		beam_cluster_want(r->cluster, r->now, p, NULL);
		beam_cluster_want(r->cluster, hours_from_now(r, 1), p, NULL);
	}
	beam_cluster_want(r->cluster, hours_from_now(r, -5), 0, NULL);
	LOOP_UNTIL(r->loop, r->answer_count == 9);
	assert_int_equal(r->store.locks, 1);
	assert_int_equal(r->store.commits, 1);
	assert_int_equal(lord.submits, 8);
	assert_string_equal(beam_cluster_note(r->cluster), "");
}

static void
test_want_in_answer(void **state)
{
	struct rig *r = *state;

	r->want_again = true;
	beam_cluster_want(r->cluster, r->now, 0, NULL);
	LOOP_UNTIL(r->loop, r->answer_count == 2);
	assert_int_equal(r->answers[1].verdict, BEAM_FOUND);
	assert_int_equal(lord.submits, 1);
}

/* ---- replacements ---- */

static void
test_replaced(void **state)
{
	struct rig *r = *state;
	char *dead;

	begin(r, "\"task.replicants\":2");
	check_firehose(r, want(r, r->now, 0, NULL), 0, 0);
	for (unsigned attempt = 1; attempt <= 3; attempt++) {
		const struct answer *a;

		dead = firehose_name(r, 0, attempt - 1);
		a = want(r, r->now, 0, dead);
		check_firehose(r, a, 0, attempt);
		assert_int_equal(a->tasks, 2);
		check_submit(r, 2 * attempt, 0, 0, attempt);
		check_submit(r, 2 * attempt + 1, 0, 1, attempt);
		free(dead);
	}
	assert_int_equal(r->store.document.count, 1);
	assert_int_equal(r->store.document.beams[0].task_count, 2);
	/* one who comes late with an old loss gets the replacement */
	dead = firehose_name(r, 0, 1);
	check_firehose(r, want(r, r->now, 0, dead), 0, 3);
	free(dead);
	assert_int_equal(lord.submits, 8);
}

/* The interval closed meanwhile: its tasks are not replaced. */
static void
test_not_replaced_when_closed(void **state)
{
	struct rig *r = *state;
	struct interval old = hours_from_now(r, -3);

	add_beam(r, old, 0, "dead");
	assert_int_equal(want(r, old, 0, "dead")->verdict, BEAM_CLOSED);
	assert_int_equal(lord.submits, 0);
}

/* ---- what goes wrong ---- */

/* The second of three is not taken: nothing is written; the next time all of
 * them are submitted again, under the same names. */
static void
test_submit_retried(void **state)
{
	struct rig *r = *state;

	begin(r, "\"task.replicants\":3");
	lord.script[1] = RESULT_RETRY;
	check_firehose(r, want(r, r->now, 0, NULL), 0, 0);
	assert_int_equal(lord.submits, 5);
	assert_string_equal(lord.ids[0], lord.ids[2]);
	assert_string_equal(lord.ids[1], lord.ids[3]);
	assert_int_equal(r->store.releases, 1);
	assert_int_equal(r->store.commits, 1);
	assert_int_equal(r->store.document.beams[0].task_count, 3);
	assert_int_equal(beam_cluster_tasks_created(r->cluster), 3);
}

static void
test_random_names_stay(void **state)
{
	struct rig *r = *state;

	begin(r, "\"druidBeam.randomizeTaskId\":true,\"task.replicants\":2");
	lord.script[1] = RESULT_RETRY;
	assert_int_equal(want(r, r->now, 0, NULL)->verdict, BEAM_FOUND);
	assert_string_equal(lord.ids[0], lord.ids[2]);
	assert_string_equal(lord.ids[1], lord.ids[3]);
	assert_string_not_equal(lord.ids[0], lord.ids[1]);
}

static void
test_submit_refused(void **state)
{
	struct rig *r = *state;

	lord.script[0] = RESULT_REFUSED;
	beam_cluster_want(r->cluster, r->now, 0, NULL);
	LOOP_UNTIL(r->loop, r->store.releases == 1);
	assert_false(r->store.is_locked);
	assert_non_null(
	    strstr(beam_cluster_note(r->cluster), "because of the test"));
	assert_non_null(strstr(beam_cluster_note(r->cluster), lord.ids[0]));
	assert_int_equal(r->answer_count, 0);
	assert_int_equal(r->store.document.count, 0);
}

/* Another instance may have the lock by now: no further task, no write. */
static void
test_lock_lost(void **state)
{
	struct rig *r = *state;

	begin(r, "\"task.replicants\":2");
	lord.lose_lock_at = 0;
	check_firehose(r, want(r, r->now, 0, NULL), 0, 0);
	assert_int_equal(lord.submits, 3);
	assert_string_equal(lord.ids[0], lord.ids[1]);
	assert_int_equal(r->store.locks, 2);
	assert_int_equal(r->store.commits, 1);
	assert_int_equal(r->store.releases, 1);
}

static void
test_lock_lost_at_the_end(void **state)
{
	struct rig *r = *state;

	lord.lose_lock_at = 0;
	check_firehose(r, want(r, r->now, 0, NULL), 0, 0);
	assert_int_equal(lord.submits, 2);
	assert_int_equal(r->store.commits, 1);
}

static void
test_store_retries(void **state)
{
	struct rig *r = *state;

	r->store.read_script[0] = RESULT_RETRY;
	r->store.lock_script[0] = RESULT_REFUSED;
	r->store.commit_script[0] = RESULT_RETRY;
	beam_cluster_want(r->cluster, r->now, 0, NULL);
	LOOP_UNTIL(r->loop, r->store.reads == 1);
	assert_non_null(strstr(beam_cluster_note(r->cluster), "reading"));
	assert_true(beam_cluster_changed(r->cluster));
	assert_false(beam_cluster_changed(r->cluster));
	/* the next try does not hide what became of this one */
	LOOP_UNTIL(r->loop, r->store.reads == 2);
	assert_non_null(strstr(beam_cluster_note(r->cluster), "reading"));
	LOOP_UNTIL(r->loop, r->store.locks == 1);
	assert_non_null(strstr(beam_cluster_note(r->cluster), "locking"));
	LOOP_UNTIL(r->loop, r->answer_count == 1);
	check_firehose(r, &r->answers[0], 0, 0);
	assert_int_equal(r->store.commits, 2);
	assert_int_equal(lord.submits, 2);
	assert_string_equal(lord.ids[0], lord.ids[1]);
	assert_false(r->store.is_locked);
}

/* Wants of several intervals and partitions in any order, some twice, and a
 * store and an Overlord that fail at times: each beam is there once. */
static void
test_random_order(void **state)
{
	struct rig *r = *state;
	unsigned seed = 4711, wants = 0;

	begin(r, "\"task.partitions\":3,\"task.warmingPeriod\":\"PT3H\"");
	/* few at a time: each failure in a row waits longer */
	r->store.commit_script[0] = lord.script[7] = RESULT_RETRY;
	r->store.lock_script[3] = r->store.read_script[4] = RESULT_RETRY;
	for (unsigned n = 0; n < 30; n++) {
		seed = seed * 1103515245u + 12345u;
		beam_cluster_want(r->cluster,
		    hours_from_now(r, (int)(seed >> 16) % 4), (seed >> 24) % 3,
		    NULL);
		wants++;
		if (n % 7 == 0)
			LOOP_UNTIL(r->loop, r->answer_count >= wants / 2);
	}
	LOOP_UNTIL(r->loop, r->answer_count == wants);
	for (unsigned n = 0; n < wants; n++) {
		assert_int_equal(r->answers[n].verdict, BEAM_FOUND);
		assert_int_equal(
		    r->answers[n].record_partition, r->answers[n].partition);
	}
	for (size_t i = 0; i < r->store.document.count; i++)
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(
			    r->store.document.beams[i].tasks[0].id,
			    r->store.document.beams[j].tasks[0].id);
	assert_int_equal(r->store.document.count % 3, 0);
	assert_false(r->store.is_locked);
}

/* Old buckets leave the document with the next write, and stay closed. */
static void
test_pruned(void **state)
{
	struct rig *r = *state;

	for (int i = -5; i < -2; i++)
		add_beam(r, hours_from_now(r, i), 0, "old");
	check_firehose(r, want(r, r->now, 0, NULL), 0, 0);
	assert_int_equal(r->store.document.count, 1);
	assert_int_equal(
	    r->store.document.latest_close, hours_from_now(r, -3).start);
	assert_int_equal(
	    want(r, hours_from_now(r, -3), 0, NULL)->verdict, BEAM_CLOSED);
}

static void
test_freed_anywhere(void **state)
{
	struct rig *r = *state;

	begin(r, "\"task.replicants\":2");
	beam_cluster_want(r->cluster, r->now, 0, "x");
	beam_cluster_free(&r->cluster); /* before it has begun */
	begin(r, "\"task.replicants\":2");
	lord.silent = true;
	beam_cluster_want(r->cluster, r->now, 0, NULL);
	LOOP_UNTIL(r->loop, lord.submits == 1);
	beam_cluster_free(&r->cluster); /* tasks under way */
	assert_null(r->cluster);
	beam_cluster_free(&r->cluster);
	r->store.is_locked = false;
	begin(r, "");
	r->store.lock_script[1] = RESULT_RETRY;
	beam_cluster_want(r->cluster, r->now, 0, NULL);
	LOOP_UNTIL(r->loop, r->store.locks == 2);
	beam_cluster_free(&r->cluster); /* about to try again */
}

static int
quiet(void **state)
{
	(void)state;
	log_use(open("/dev/null", O_WRONLY | O_CLOEXEC), LOG_LEVEL_ERROR,
	    LOG_FORMAT_TEXT);
	return 0;
}

#define CLUSTER_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CLUSTER_TEST(test_made),
		CLUSTER_TEST(test_there_already),
		CLUSTER_TEST(test_another_was_faster),
		CLUSTER_TEST(test_faster_under_lock),
		CLUSTER_TEST(test_changed),
		CLUSTER_TEST(test_closed),
		CLUSTER_TEST(test_too_old),
		CLUSTER_TEST(test_too_early),
		CLUSTER_TEST(test_warming),
		CLUSTER_TEST(test_scaled_up),
		CLUSTER_TEST(test_scaled_down),
		CLUSTER_TEST(test_spread),
		CLUSTER_TEST(test_any_time_made),
		CLUSTER_TEST(test_any_time_beside_timed),
		CLUSTER_TEST(test_any_time_hears_of_timed),
		CLUSTER_TEST(test_any_time_keeps_timed),
		CLUSTER_TEST(test_timed_beside_any_time),
		CLUSTER_TEST(test_timed_and_any_time_at_once),
		CLUSTER_TEST(test_many_wants_one_lock),
		CLUSTER_TEST(test_want_in_answer),
		CLUSTER_TEST(test_replaced),
		CLUSTER_TEST(test_not_replaced_when_closed),
		CLUSTER_TEST(test_submit_retried),
		CLUSTER_TEST(test_random_names_stay),
		CLUSTER_TEST(test_submit_refused),
		CLUSTER_TEST(test_lock_lost),
		CLUSTER_TEST(test_lock_lost_at_the_end),
		CLUSTER_TEST(test_store_retries),
		CLUSTER_TEST(test_random_order),
		CLUSTER_TEST(test_pruned),
		CLUSTER_TEST(test_freed_anywhere),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
