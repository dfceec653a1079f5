/*
 * append - one parcel's way into Druid by a batch task
 *
 * Process: worker.
 */
#include "append.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backoff.h"
#include "batch_task.h"
#include "clock.h"
#include "fault.h"
#include "json.h"
#include "log.h"
#include "panic.h"
#include "partition.h"

#define RETRY_FIRST_MS 1000
#define RETRY_MAX_MS 30000
/* Behind a task that failed: Druid may need help. */
#define FAILED_FIRST_MS 5000
#define FAILED_MAX_MS 900000
#define TASK_BYTES_MAX (1024u * MiB)
/* So often the Overlord knew a failed task and did not give its report: there is
 * none. */
#define REPORT_TRIES 5
#define NOTE_BYTES 400

enum append_state {
	APPEND_SUBMITTING,
	APPEND_WAITING, /* the Overlord has it: Druid's turn */
	APPEND_ENDED, /* its report is asked for */
	APPEND_UNSURE, /* it was refused: is it there all the same? */
	APPEND_RESTING, /* until the next try */
};

struct append {
	struct append_parts p;
	struct parcel *parcel;
	bool is_last;
	append_news_fn *news;
	void *context;
	enum append_state state;
	char *id; /* of the attempt's task */
	struct overlord_ask *ask;
	struct loop_timer timer;
	unsigned failures; /* to reach the Overlord, in a row */
	unsigned failed; /* tasks, of this process's life */
	unsigned report_failures; /* to get the report of this one */
	bool ended_well;
	char why[256]; /* its task failed */
	char note[NOTE_BYTES];
};

static void submit_due(struct loop_timer *);
static void poll_due(struct loop_timer *);
static void report_due(struct loop_timer *);

/* For messages: whose events. */
static const char *
subject(const struct append *a)
{
	return a->p.ds->delivery == DELIVERY_APPEND ? "append" : "late events";
}

static void
name_task(struct append *a)
{
	free(a->id);
	a->id = batch_task_id(a->p.ds, spool_identity(a->p.spool),
	    parcel_id(a->parcel), a->parcel->attempt);
}

struct append *
append_new(const struct append_parts *parts, struct parcel *parcel,
    bool is_last, append_news_fn *news, void *context)
{
	struct append *a = must_calloc(1, sizeof *a);

	must(parcel->count > 0);
	a->p = *parts;
	a->parcel = parcel;
	a->is_last = is_last;
	a->news = news;
	a->context = context;
	a->timer.context = a;
	name_task(a);
	loop_timer_start(parts->loop, &a->timer, 0, submit_due);
	return a;
}

void
append_free(struct append **append)
{
	struct append *a = *append;

	if (a == NULL)
		return;
	*append = NULL;
	/* a submission under way ends with the overlord, unheard */
	overlord_cancel(&a->ask);
	loop_timer_stop(&a->timer);
	free(a->id);
	free(a);
}

bool
append_is_resting(const struct append *a)
{
	return a->state == APPEND_RESTING;
}

void
append_describe(const struct append *a, struct json *j)
{
	static const char *const names[] = { "submitting", "waiting", "ended",
		"unsure", "resting" };

	json_set_text(j, "task", a->id);
	json_set_text(j, "state", names[a->state]);
	if (a->note[0] != '\0')
		json_set_text(j, "note", a->note);
}

static void
become(struct append *a, enum append_state state)
{
	if (a->state == state)
		return;
	a->state = state;
	a->news(a->context, a->parcel, APPEND_CHANGED);
}

static void
later(struct append *a, loop_timer_fn *due)
{
	loop_timer_start(a->p.loop, &a->timer,
	    backoff_ms(++a->failures, RETRY_FIRST_MS, RETRY_MAX_MS,
		(uint32_t)clock_mono_ns()),
	    due);
}

/* ---- the task's state ---- */

static void
ask_again(struct append *a)
{
	loop_timer_start(a->p.loop, &a->timer,
	    backoff_jitter(
		a->p.ds->overlord_poll_ms, (uint32_t)clock_mono_ns()),
	    poll_due);
}

static void
task_failed(struct append *a)
{
	snprintf(a->note, sizeof a->note, "task %s failed: %s", a->id, a->why);
	log_warnx("%s: %s; %s", subject(a), a->note,
	    a->is_last ? "they follow late.policy" : "tried again");
	if (a->is_last) {
		a->news(a->context, a->parcel, APPEND_BACK);
		return;
	}
	a->parcel->attempt++;
	name_task(a);
	a->state = APPEND_RESTING;
	loop_timer_start(a->p.loop, &a->timer,
	    backoff_ms(++a->failed, FAILED_FIRST_MS, FAILED_MAX_MS,
		(uint32_t)clock_mono_ns()),
	    submit_due);
	a->news(a->context, a->parcel, APPEND_RETRIES);
}

static void
task_absent(struct append *a)
{
	if (a->state == APPEND_UNSURE) {
		a->news(a->context, a->parcel, APPEND_BACK);
		return;
	}
	/* taken, and then forgotten before it ran: the same again */
	log_warnx("%s: the Overlord does not know task %s any more; submitted "
		  "again",
	    subject(a), a->id);
	become(a, APPEND_SUBMITTING);
	later(a, submit_due);
}

static void
count_unread(struct append *a, const struct task_report *r)
{
	uint64_t lost = r->unparseable + r->thrown_away;

	a->parcel->unread = MIN_OF(lost, a->parcel->events);
	if (lost + r->with_error > 0)
		log_warnx("%s: task %s: of %llu events Druid could not read "
			  "%llu, found %llu outside of their intervals, and "
			  "left fields out of %llu; its log says which",
		    subject(a), a->id, (unsigned long long)a->parcel->events,
		    (unsigned long long)r->unparseable,
		    (unsigned long long)r->thrown_away,
		    (unsigned long long)r->with_error);
}

static void
task_is_in(struct append *a)
{
	FAULT_POINT(APPEND_IN);
	a->news(a->context, a->parcel, APPEND_IN);
}

/* Without its report a task is what its state says. */
static void
reported(void *context, enum result result,
    const struct overlord_answer *answer, const char *why UNUSED)
{
	struct append *a = context;
	struct task_report r;
	bool is_there;

	a->ask = NULL;
	if (result == RESULT_RETRY && !a->ended_well &&
	    a->report_failures + 1 < REPORT_TRIES) {
		/* by its status: while the Overlord is away nothing is known
		 * of the report */
		a->failures = a->report_failures++;
		later(a, poll_due);
		return;
	}
	a->report_failures = 0;
	is_there = result == RESULT_OK && overlord_read_report(answer, &r);
	if (is_there)
		count_unread(a, &r);
	if (a->ended_well) {
		task_is_in(a);
	} else if (is_there && r.is_complete) {
		log_warnx("%s: task %s failed (%s), but had published before: "
			  "not tried again",
		    subject(a), a->id, a->why);
		task_is_in(a);
	} else {
		task_failed(a);
	}
}

static void
report_due(struct loop_timer *t)
{
	struct append *a = t->context;

	a->ask = overlord_report(a->p.overlord, a->id, reported, a);
}

static void
task_ended(struct append *a, const struct task_status *s)
{
	a->ended_well = s->state == TASK_SUCCESS;
	snprintf(a->why, sizeof a->why, "%s",
	    s->error[0] != '\0' ? s->error : "no reason");
	become(a, APPEND_ENDED);
	loop_timer_start(a->p.loop, &a->timer, 0, report_due);
}

static void
known(void *context, enum result result, const struct task_status *s)
{
	struct append *a = context;

	a->ask = NULL;
	if (result != RESULT_OK) {
		later(a, poll_due);
		return;
	}
	a->failures = 0;
	switch (s->state) {
	case TASK_SUCCESS:
	case TASK_FAILED: task_ended(a, s); return;
	case TASK_ABSENT: task_absent(a); return;
	case TASK_UNKNOWN:
	case TASK_WAITING:
	case TASK_RUNNING: become(a, APPEND_WAITING); break;
	}
	ask_again(a);
}

static void
poll_due(struct loop_timer *t)
{
	struct append *a = t->context;

	a->ask = overlord_status(a->p.overlord, a->id, known, a);
}

/* ---- submission ---- */

static void
submitted(void *context, enum result result, const char *why)
{
	struct append *a = context;

	if (result == RESULT_RETRY) {
		snprintf(a->note, sizeof a->note, "%s", why);
		later(a, submit_due);
		return;
	}
	a->failures = 0;
	if (result == RESULT_OK) {
		FAULT_POINT(APPEND_SUBMITTED);
		log_info("%s: task %s (%llu events): with the Overlord",
		    subject(a), a->id, (unsigned long long)a->parcel->events);
		a->note[0] = '\0';
		a->news(a->context, a->parcel, APPEND_TAKEN);
		become(a, APPEND_WAITING);
		ask_again(a);
		return;
	}
	snprintf(
	    a->note, sizeof a->note, "task %s refused: %.300s", a->id, why);
	log_error("%s: the Overlord refuses task %s: %.400s; its events wait "
		  "in the spool, mend the dataSource's spec or %s and reload",
	    subject(a), a->id, why,
	    a->p.ds->delivery == DELIVERY_APPEND ? "append.bytes"
						 : "late.appendBytes");
	become(a, APPEND_UNSURE);
	loop_timer_start(a->p.loop, &a->timer, 0, poll_due);
}

static int
compare_intervals(const void *a, const void *b)
{
	const struct interval *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* The parcel's intervals in order, those that overlap (segmentGranularity was
 * another one) as one; none: they are not known of all its events. */
static unsigned
intervals_of(const struct parcel *p, struct interval *to)
{
	unsigned count = 0;

	for (unsigned i = 0; i < p->count; i++)
		to[i] = (struct interval){ p->batches[i].entry.at.start,
			p->batches[i].entry.at.end };
	qsort(to, p->count, sizeof to[0], compare_intervals);
	for (unsigned i = 0; i < p->count; i++)
		if (count > 0 && to[i].start < to[count - 1].end)
			to[count - 1].end =
			    MAX_OF(to[count - 1].end, to[i].end);
		else
			to[count++] = to[i];
	if (partition_has_no_time(&to[0]))
		return 0;
	return count;
}

/* The rows of all its batches, or false: they cannot be read now. */
static bool
read_rows(struct append *a, struct buf *rows)
{
	for (unsigned i = 0; i < a->parcel->count; i++)
		if (!parcel_text(a->parcel, i, a->p.spool, rows))
			return false;
	return true;
}

static void
submit_rows(struct append *a, const struct buf *rows)
{
	struct interval *intervals =
	    must_malloc(a->parcel->count * sizeof intervals[0]);
	struct batch_task task = { .id = a->id,
		.intervals = intervals,
		.interval_count = intervals_of(a->parcel, intervals),
		.rows = rows->bytes,
		.row_bytes = rows->used };
	struct buf text;

	buf_init(&text, TASK_BYTES_MAX);
	batch_task_print(a->p.ds, &task, &text);
	free(intervals);
	if (buf_text(&text) == NULL) {
		snprintf(a->note, sizeof a->note, "no memory for its task");
		buf_free(&text);
		later(a, submit_due);
		return;
	}
	FAULT_POINT(APPEND_SUBMIT);
	overlord_submit(a->p.overlord, text.bytes, submitted, a);
}

static void
submit_due(struct loop_timer *t)
{
	struct append *a = t->context;
	struct buf rows;

	become(a, APPEND_SUBMITTING);
	buf_init(&rows, TASK_BYTES_MAX);
	if (!read_rows(a, &rows)) {
		snprintf(a->note, sizeof a->note, "the spool cannot be read");
		later(a, submit_due);
	} else if (rows.used == 0) { /* all of it is damaged */
		a->news(a->context, a->parcel, APPEND_IN);
	} else {
		submit_rows(a, &rows);
	}
	buf_free(&rows);
}
