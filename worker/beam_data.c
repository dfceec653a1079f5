/*
 * beam_data - the document `data` by which all instances agree on their beams
 *
 * Process: worker. Pure.
 *
 * JVM instances keep what they do not know of a beam, so we do too. Their
 * partitions count by place in the list; ours stand at their numbers, which
 * is the same for every list that they have written.
 */
#include "beam_data.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "iso.h"
#include "panic.h"
#include "partition.h"

#define PARTITION_MAX 100000 /* more is no sane document */
#define TIMESTAMP_MAX (INT64_MAX / 4)

/* ---- the list ------------------------------------------------------------- */

void
beam_data_init(struct beam_data *d)
{
	*d = (struct beam_data){ 0 };
}

void
beam_record_clear_tasks(struct beam_record *r)
{
	for (size_t i = 0; i < r->task_count; i++) {
		free(r->tasks[i].id);
		free(r->tasks[i].firehose_id);
	}
	free(r->tasks);
	r->tasks = NULL;
	r->task_count = 0;
}

static void
record_fini(struct beam_record *r)
{
	beam_record_clear_tasks(r);
	json_free(&r->others);
}

void
beam_data_fini(struct beam_data *d)
{
	for (size_t i = 0; i < d->count; i++)
		record_fini(&d->beams[i]);
	free(d->beams);
	json_free(&d->others);
	beam_data_init(d);
}

void
beam_record_add_task(
    struct beam_record *r, const char *id, const char *firehose_id)
{
	r->tasks =
	    must_realloc(r->tasks, (r->task_count + 1) * sizeof r->tasks[0]);
	r->tasks[r->task_count++] = (struct beam_task){
		.id = must_strdup(id),
		.firehose_id = must_strdup(firehose_id),
	};
}

/* First record that does not come before (bucket, partition). */
static size_t
place_of(const struct beam_data *d, int64_t bucket, unsigned partition)
{
	size_t low = 0, high = d->count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		const struct beam_record *r = &d->beams[middle];

		if (r->bucket < bucket ||
		    (r->bucket == bucket && r->partition < partition))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct beam_record *
beam_data_add(struct beam_data *d, int64_t bucket, struct interval interval,
    unsigned partition)
{
	size_t at = place_of(d, bucket, partition);
	struct beam_record *r;

	must(beam_data_find(d, bucket, partition) == NULL);
	if (d->count == d->size) {
		d->size = MAX_OF(d->size * 2, 8);
		d->beams = must_realloc(d->beams, d->size * sizeof *r);
	}
	r = &d->beams[at];
	memmove(r + 1, r, (d->count - at) * sizeof *r);
	d->count++;
	*r = (struct beam_record){
		.bucket = bucket,
		.interval = interval,
		.partition = partition,
		.has_timestamp = true,
		.timestamp = bucket,
	};
	return r;
}

void
beam_data_copy(struct beam_data *to, const struct beam_data *from)
{
	beam_data_fini(to);
	to->latest_close = from->latest_close;
	to->others = from->others != NULL ? json_clone(from->others) : NULL;
	for (size_t i = 0; i < from->count; i++) {
		const struct beam_record *f = &from->beams[i];
		struct beam_record *r =
		    beam_data_add(to, f->bucket, f->interval, f->partition);

		r->has_timestamp = f->has_timestamp;
		r->timestamp = f->timestamp;
		r->others = f->others != NULL ? json_clone(f->others) : NULL;
		for (size_t t = 0; t < f->task_count; t++)
			beam_record_add_task(
			    r, f->tasks[t].id, f->tasks[t].firehose_id);
	}
}

int64_t
beam_data_latest(const struct beam_data *d)
{
	return d->count == 0
	    ? d->latest_close
	    : MAX_OF(d->latest_close, d->beams[d->count - 1].bucket);
}

struct beam_record *
beam_data_bucket(const struct beam_data *d, int64_t bucket, size_t *count)
{
	size_t from = place_of(d, bucket, 0), to = from;

	while (to < d->count && d->beams[to].bucket == bucket)
		to++;
	*count = to - from;
	return to > from ? &d->beams[from] : NULL;
}

struct beam_record *
beam_data_find(const struct beam_data *d, int64_t bucket, unsigned partition)
{
	size_t at = place_of(d, bucket, partition);

	return at < d->count && d->beams[at].bucket == bucket &&
		d->beams[at].partition == partition
	    ? &d->beams[at]
	    : NULL;
}

unsigned
beam_data_next_partition(const struct beam_data *d, int64_t bucket)
{
	size_t count;
	const struct beam_record *r = beam_data_bucket(d, bucket, &count);
	unsigned next = 0;

	for (size_t i = 0; i < count && r[i].partition == next; i++)
		next++;
	return next;
}

static void
remove_at(struct beam_data *d, size_t at)
{
	record_fini(&d->beams[at]);
	d->count--;
	memmove(&d->beams[at], &d->beams[at + 1],
	    (d->count - at) * sizeof d->beams[0]);
}

size_t
beam_data_close(struct beam_data *d, int64_t bucket)
{
	size_t removed = 0, at = place_of(d, bucket, 0);

	for (; at < d->count && d->beams[at].bucket == bucket; removed++)
		remove_at(d, at);
	d->latest_close = MAX_OF(d->latest_close, bucket);
	return removed;
}

/* A bucket goes as a whole: when its last beam has ended. */
static bool
bucket_is_over(const struct beam_data *d, int64_t bucket, int64_t now,
    const struct period *window, int64_t slack_ms)
{
	size_t count;
	const struct beam_record *r = beam_data_bucket(d, bucket, &count);

	for (size_t i = 0; i < count; i++) {
		int64_t slack =
		    partition_is_any_time(r[i].partition) ? 0 : slack_ms;

		if (period_add(r[i].interval.end, window, 1) + slack >= now)
			return false;
	}
	return true;
}

size_t
beam_data_prune(struct beam_data *d, int64_t now, const struct period *window,
    int64_t slack_ms)
{
	size_t at = 0, removed = 0;

	while (at < d->count) {
		int64_t bucket = d->beams[at].bucket;

		if (bucket_is_over(d, bucket, now, window, slack_ms))
			removed += beam_data_close(d, bucket);
		else
			while (at < d->count && d->beams[at].bucket == bucket)
				at++;
	}
	return removed;
}

/* ---- printing ------------------------------------------------------------- */

static void
set_others(struct json *object, const struct json *others)
{
	for (struct json_member *m = others != NULL ? json_first(others) : NULL;
	     m != NULL; m = json_next(others, m))
		json_set(
		    object, json_member_name(m), json_clone(json_member(m)));
}

static struct json *
tasks_json(const struct beam_record *r)
{
	struct json *tasks = json_new_array();

	for (size_t i = 0; i < r->task_count; i++) {
		struct json *task = json_new_object();

		json_set_text(task, "id", r->tasks[i].id);
		json_set_text(task, "firehoseId", r->tasks[i].firehose_id);
		json_append(tasks, task);
	}
	return tasks;
}

static struct json *
record_json(const struct beam_record *r)
{
	struct json *j = json_new_object();
	char start[ISO_BYTES], end[ISO_BYTES], both[2 * ISO_BYTES];

	iso_format(r->interval.start, start);
	iso_format(r->interval.end, end);
	snprintf(both, sizeof both, "%s/%s", start, end);
	json_set_text(j, "interval", both);
	json_set_int(j, "partition", r->partition);
	json_set(j, "tasks", tasks_json(r));
	if (r->has_timestamp)
		json_set_time(j, "timestamp", r->timestamp);
	set_others(j, r->others);
	return j;
}

void
beam_data_print(const struct beam_data *d, struct buf *out)
{
	struct json *top = json_new_object(), *beams = json_new_object();
	struct json *bucket = NULL;

	json_set_time(top, "latestTime", beam_data_latest(d));
	json_set_time(top, "latestCloseTime", d->latest_close);
	for (size_t i = 0; i < d->count; i++) {
		char name[ISO_BYTES];

		if (i == 0 || d->beams[i].bucket != d->beams[i - 1].bucket) {
			bucket = json_new_array();
			iso_format(d->beams[i].bucket, name);
			json_set(beams, name, bucket);
		}
		json_append(bucket, record_json(&d->beams[i]));
	}
	json_set(top, "beams", beams);
	set_others(top, d->others);
	json_print(top, out);
	json_free(&top);
}

/* ---- parsing -------------------------------------------------------------- */

struct parser {
	struct beam_data *data;
	char *error;
	char place[96]; /* where in the document */
};

static bool PRINTF_LIKE(2, 3) fail(struct parser *p, const char *format, ...)
{
	va_list arguments;
	size_t used;

	used =
	    (size_t)snprintf(p->error, BEAM_DATA_ERROR_BYTES, "%s: ", p->place);
	va_start(arguments, format);
	vsnprintf(
	    p->error + used, BEAM_DATA_ERROR_BYTES - used, format, arguments);
	va_end(arguments);
	return false;
}

static bool
in_range(int64_t ms)
{
	return ms > -TIMESTAMP_MAX && ms < TIMESTAMP_MAX;
}

static bool
parse_iso(const char *text, size_t bytes, int64_t *ms)
{
	return iso_parse(text, bytes, ISO_T, ms) && in_range(*ms);
}

/* Text or, as Joda takes it, milliseconds. */
static bool
parse_time(
    struct parser *p, const char *name, const struct json *j, int64_t *ms)
{
	const char *text = json_text(j, NULL);

	if (json_is_int(j) && in_range(json_int(j, 0))) {
		*ms = json_int(j, 0);
		return true;
	}
	if (text == NULL || !parse_iso(text, strlen(text), ms))
		return fail(p, "%s is %s, not an ISO 8601 time", name,
		    text != NULL ? text : json_type_name(j));
	return true;
}

static bool
parse_interval(struct parser *p, const struct json *j, struct interval *i)
{
	const char *text = json_text(j, "");
	const char *slash = strchr(text, '/');

	if (slash == NULL ||
	    !parse_iso(text, (size_t)(slash - text), &i->start) ||
	    !parse_iso(slash + 1, strlen(slash + 1), &i->end) ||
	    i->end <= i->start)
		return fail(p, "\"interval\" is %s, not start/end in ISO 8601",
		    json_text(j, json_type_name(j)));
	return true;
}

static bool
parse_task(struct parser *p, struct beam_record *r, const struct json *j,
    const char *id_name)
{
	const char *id = json_get_text(j, id_name, NULL);
	const char *firehose_id = json_get_text(j, "firehoseId", NULL);

	if (id == NULL || firehose_id == NULL)
		return fail(
		    p, "a task without \"%s\" or \"firehoseId\"", id_name);
	beam_record_add_task(r, id, firehose_id);
	return true;
}

/* Early Tranquility wrote one task, without a list. */
static bool
parse_tasks(struct parser *p, struct beam_record *r, const struct json *j)
{
	const struct json *tasks = json_get(j, "tasks");

	if (tasks == NULL)
		return parse_task(p, r, j, "taskId");
	if (!json_is_array(tasks))
		return fail(
		    p, "\"tasks\" is %s, not an array", json_type_name(tasks));
	for (size_t i = 0; i < json_size(tasks); i++)
		if (!parse_task(p, r, json_at(tasks, i), "id"))
			return false;
	return true;
}

static struct json *
others_of(const struct json *object, const char *const *known)
{
	struct json *others = NULL;

	for (struct json_member *m = json_first(object); m != NULL;
	     m = json_next(object, m)) {
		const char *const *k = known;

		while (*k != NULL && strcmp(*k, json_member_name(m)) != 0)
			k++;
		if (*k != NULL)
			continue;
		if (others == NULL)
			others = json_new_object();
		json_set(
		    others, json_member_name(m), json_clone(json_member(m)));
	}
	return others;
}

static bool
parse_record(struct parser *p, int64_t bucket, const struct json *j)
{
	static const char *const known[] = { "interval", "partition", "tasks",
		"timestamp", NULL };
	static const char *const known_old[] = { "interval", "partition",
		"taskId", "firehoseId", "timestamp", NULL };
	int64_t partition = json_get_int(j, "partition", -1);
	const struct json *timestamp = json_get(j, "timestamp");
	struct interval interval;
	struct beam_record *r;

	if (!json_is_object(j))
		return fail(
		    p, "a beam is %s, not an object", json_type_name(j));
	if (partition < 0 || partition > PARTITION_MAX)
		return fail(p, "a beam without \"partition\" of 0 to %d",
		    PARTITION_MAX);
	if (!parse_interval(p, json_get(j, "interval"), &interval))
		return false;
	if (beam_data_find(p->data, bucket, (unsigned)partition) != NULL)
		return fail(p, "partition %u twice", (unsigned)partition);
	r = beam_data_add(p->data, bucket, interval, (unsigned)partition);
	r->has_timestamp = timestamp != NULL && !json_is_null(timestamp);
	if (r->has_timestamp &&
	    !parse_time(p, "\"timestamp\"", timestamp, &r->timestamp))
		return false;
	r->others = others_of(j, json_get(j, "tasks") ? known : known_old);
	return parse_tasks(p, r, j);
}

static bool
parse_bucket(struct parser *p, const char *name, const struct json *beams)
{
	int64_t bucket;

	snprintf(p->place, sizeof p->place, "beams of \"%.40s\"", name);
	if (!parse_iso(name, strlen(name), &bucket))
		return fail(p, "not an ISO 8601 time");
	if (!json_is_array(beams))
		return fail(p, "%s, not an array", json_type_name(beams));
	for (size_t i = 0; i < json_size(beams); i++)
		if (!parse_record(p, bucket, json_at(beams, i)))
			return false;
	return true;
}

static bool
parse_top(struct parser *p, const struct json *top)
{
	static const char *const known[] = { "latestTime", "latestCloseTime",
		"beams", NULL };
	const struct json *beams = json_get(top, "beams");
	const struct json *close = json_get(top, "latestCloseTime");

	if (!json_is_object(top))
		return fail(p, "%s, not an object", json_type_name(top));
	if (close != NULL &&
	    !parse_time(
		p, "\"latestCloseTime\"", close, &p->data->latest_close))
		return false;
	if (beams != NULL && !json_is_object(beams))
		return fail(
		    p, "\"beams\" is %s, not an object", json_type_name(beams));
	p->data->others = others_of(top, known);
	for (struct json_member *m = beams != NULL ? json_first(beams) : NULL;
	     m != NULL; m = json_next(beams, m))
		if (!parse_bucket(p, json_member_name(m), json_member(m)))
			return false;
	return true;
}

static bool
is_blank(const char *text, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (strchr(" \t\r\n", text[i]) == NULL || text[i] == '\0')
			return false;
	return true;
}

bool
beam_data_parse(struct beam_data *d, const char *text, size_t bytes,
    char error[static BEAM_DATA_ERROR_BYTES])
{
	struct parser p = { .data = d, .error = error, .place = "document" };
	struct json_error e;
	struct json *top;
	bool good;

	beam_data_fini(d);
	error[0] = '\0';
	if (is_blank(text, bytes))
		return true;
	top = json_parse(text, bytes, &e);
	if (top == NULL)
		return fail(
		    &p, "line %d column %d: %s", e.line, e.column, e.text);
	good = parse_top(&p, top);
	json_free(&top);
	if (!good)
		beam_data_fini(d);
	return good;
}
