/*
 * sandbox_batch - a batch task (index_parallel with rows inline)
 *
 * Process: tranq-sandbox.
 */
#include "sandbox_batch.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "panic.h"
#include "sandbox_task.h"

#define LOCK_LOOK_MS 20

/* ---- the spec ---- */

static void
read_schema(struct spec_context *c, const struct json *schema, struct spec *s)
{
	sandbox_spec_fields(c, s, schema, schema);
	sandbox_spec_expect(
	    c, s, json_get(schema, "parser") == NULL, "no parser");
}

/* The hull of its intervals is what it locks. */
static bool
read_intervals(struct spec_context *c, const struct json *list, struct spec *s)
{
	struct interval one;

	for (size_t i = 0; i < json_size(list); i++) {
		if (!sandbox_spec_interval(
			json_text(json_at(list, i), ""), &one)) {
			sandbox_spec_refuse(c, "granularitySpec.intervals");
			return false;
		}
		if (!s->has_interval)
			s->interval = one;
		s->has_interval = true;
		s->interval.start = MIN_OF(s->interval.start, one.start);
		s->interval.end = MAX_OF(s->interval.end, one.end);
	}
	sandbox_spec_expect(c, s, s->has_interval, "granularitySpec.intervals");
	return true;
}

static enum spec_result
read_io(struct spec_context *c, const struct json *io, struct spec *s)
{
	const struct json *source = json_get(io, "inputSource");
	const struct json *format = json_get(io, "inputFormat");

	s->replaces = !json_get_bool(io, "appendToExisting", false);
	sandbox_spec_expect(c, s,
	    strcmp(json_get_text(io, "type", ""), "index_parallel") == 0,
	    "ioConfig.type index_parallel");
	if (strcmp(json_get_text(format, "type", ""), "json") != 0)
		return sandbox_spec_refuse(c, "inputFormat: json is known");
	if (strcmp(json_get_text(source, "type", ""), "inline") != 0 ||
	    !json_is_text(json_get(source, "data")))
		return sandbox_spec_refuse(c, "inputSource: inline is known");
	return SPEC_OK;
}

static enum spec_result
read_tuning(struct spec_context *c, const struct json *tuning, struct spec *s)
{
	const struct json *parts = json_get(tuning, "partitionsSpec");

	sandbox_spec_expect(c, s,
	    strcmp(json_get_text(tuning, "type", ""), "index_parallel") == 0,
	    "tuningConfig.type index_parallel");
	if (!s->replaces &&
	    strcmp(json_get_text(parts, "type", "dynamic"), "dynamic") != 0)
		return sandbox_spec_refuse(
		    c, "appendToExisting wants dynamic partitioning");
	return SPEC_OK;
}

enum spec_result
sandbox_batch_read(
    const struct json *task, struct spec_context *c, struct spec *s)
{
	const struct json *spec = json_get(task, "spec");
	const struct json *schema = json_get(spec, "dataSchema");
	const struct json *context = json_get(task, "context");
	const char *ds = json_get_text(schema, "dataSource", "");
	enum spec_result result;

	s->id = must_strdup(json_get_text(task, "id", ""));
	s->ds = must_strdup(ds);
	s->service = must_strdup("");
	s->group = must_strdup("");
	if (ds[0] == '\0')
		return sandbox_spec_refuse(
		    c, "dataSource cannot be null or empty");
	read_schema(c, schema, s);
	if (!read_intervals(c,
		json_get(json_get(schema, "granularitySpec"), "intervals"), s))
		return SPEC_REFUSED;
	result = read_io(c, json_get(spec, "ioConfig"), s);
	if (result == SPEC_OK)
		result = read_tuning(c, json_get(spec, "tuningConfig"), s);
	sandbox_spec_expect(c, s,
	    json_get_bool(context, "useConcurrentLocks", false),
	    "context.useConcurrentLocks");
	return result;
}

/* ---- its life ---- */

static bool
overlaps(const struct task *a, const struct task *b)
{
	return strcmp(a->spec.ds, b->spec.ds) == 0 && a->spec.has_interval &&
	    b->spec.has_interval &&
	    a->spec.interval.start < b->spec.interval.end &&
	    b->spec.interval.start < a->spec.interval.end;
}

static bool
is_locked_out(const struct task *t)
{
	for (const struct task *o = t->sandbox->tasks; o != NULL; o = o->next)
		if (!o->spec.is_batch && o->state < TASK_SUCCESS &&
		    overlaps(o, t))
			return true;
	return false;
}

/* What it replaces is overshadowed by its segments. */
static void
overshadow(struct task *t)
{
	for (struct task *o = t->sandbox->tasks; o != NULL; o = o->next)
		if (o != t && o->state == TASK_SUCCESS && overlaps(o, t))
			o->source->is_lost = true;
}

static const char *
rows_of(const struct task *t)
{
	const struct json *io =
	    json_get(json_get(t->payload, "spec"), "ioConfig");

	return json_get_text(json_get(io, "inputSource"), "data", "");
}

static bool
is_bad(struct task *t, const char *row, size_t bytes)
{
	struct fault_target at = { FAULT_AT_PUSH, t->spec.ds, t->spec.id };

	return sandbox_fault_bad_row(&t->sandbox->faults, &at, row, bytes) !=
	    NULL;
}

/* The lines that can be read, as the array that a push would have: new,
 * padded. */
static char *
array_of(struct task *t, const char *rows, size_t *bytes)
{
	char *out = must_malloc(strlen(rows) + 2 + JSON_SCAN_PADDING);
	size_t used = 1, length;

	out[0] = '[';
	for (; *rows != '\0'; rows += length + (rows[length] == '\n')) {
		length = strcspn(rows, "\n");
		if (is_bad(t, rows, length)) {
			t->unparseable++;
			continue;
		}
		memcpy(out + used, rows, length);
		used += length;
		out[used++] = ',';
	}
	used -= used > 1;
	out[used++] = ']';
	memset(out + used, 0, JSON_SCAN_PADDING);
	*bytes = used;
	return out;
}

static bool
take_rows(struct task *t)
{
	struct sandbox *s = t->sandbox;
	struct check_rule rule = { .column = t->spec.column,
		.column_bytes = strlen(t->spec.column),
		.has_interval = t->spec.has_interval,
		.interval = t->spec.interval,
		.task = t->spec.id };
	size_t bytes;
	char *body = array_of(t, rows_of(t), &bytes);
	bool good;

	good = sandbox_check_body(&s->check, &rule, body, bytes) == CHECK_OK;
	t->processed = s->check.count;
	if (good)
		sandbox_store_add_events(&s->store, t->source, body,
		    s->check.events, s->check.count);
	else
		sandbox_violation_add(&s->violations, VIOLATION_BODY,
		    "%s: its rows: %s", t->spec.id, s->check.error);
	free(body);
	return good;
}

static void
end_due(struct loop_timer *timer)
{
	struct task *t = timer->context;
	struct fault_target at = { FAULT_AT_PUSH, t->spec.ds, t->spec.id };

	if (sandbox_fault_strike(&t->sandbox->faults, FAULT_FAIL_BATCH, &at) !=
	    NULL) {
		sandbox_task_kill(t, "Told to fail");
		return;
	}
	if (!take_rows(t)) {
		sandbox_task_kill(t, "Rows that cannot be parsed");
		return;
	}
	if (t->spec.replaces)
		overshadow(t);
	t->has_published = true;
	t->state = TASK_SUCCESS;
	t->ended_ms = clock_wall_ms();
	if (sandbox_fault_strike(&t->sandbox->faults, FAULT_FAIL_LATE, &at) !=
	    NULL) {
		t->state = TASK_FAILED;
		t->error = "Its worker is gone";
	}
}

static void
lock_due(struct loop_timer *timer)
{
	sandbox_batch_run(timer->context);
}

void
sandbox_batch_run(struct task *t)
{
	struct loop *loop = t->sandbox->loop;

	if (is_locked_out(t)) {
		loop_timer_start(loop, &t->step_timer, LOCK_LOOK_MS, lock_due);
		return;
	}
	t->state = TASK_RUNNING;
	t->started_ms = clock_wall_ms();
	loop_timer_start(
	    loop, &t->step_timer, t->sandbox->options.batch_delay_ms, end_due);
}
