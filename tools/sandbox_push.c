/*
 * sandbox_push - a task's chat handler: push-events and shutdown
 *
 * Process: tranq-sandbox.
 *
 * The order of work is Druid's: what is recorded before the body is read
 * stays recorded when the body is bad or never comes.
 */
#include "sandbox_push.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "clock.h"
#include "iso.h"
#include "panic.h"
#include "sandbox_smile.h"

#define CHAT_BASE "/druid/worker/v1/chat/"
#define NAME_BYTES 1024
#define SAMPLE_BYTES 4096

static struct violations *
violations(struct exchange *x)
{
	return &x->sandbox->violations;
}

static const char *
name_of(const struct exchange *x)
{
	return x->task != NULL ? x->task->spec.id : "no task";
}

static void
answer_with(struct exchange *x, enum answer answer)
{
	x->has_answer = true;
	x->answer = answer;
}

/* ---- the head ---- */

/* The handler's name, decoded, and what is asked of it. */
static bool
read_path(const struct exchange *x, struct path *path)
{
	return sandbox_exchange_path(x, CHAT_BASE, path) && path->count >= 1;
}

static bool
is_action(const struct path *path, const char *name)
{
	return path->count == 2 && strcmp(path->segments[1], name) == 0;
}

void
sandbox_push_locate(struct exchange *x)
{
	struct path path;
	const char *id = "";
	size_t id_bytes = 0;

	if (!read_path(x, &path))
		return;
	sandbox_exchange_field(x, "x-druid-task-id", &id, &id_bytes);
	x->task = sandbox_task_by_handler(x->sandbox, path.segments[0],
	    strlen(path.segments[0]), id, id_bytes);
}

static bool
is_id(const char *value, size_t bytes, const char *id)
{
	return strlen(id) == bytes && memcmp(id, value, bytes) == 0;
}

/* False: answered. */
static bool
check_task_id(struct exchange *x)
{
	const char *value;
	size_t bytes;

	if (!sandbox_exchange_field(x, "x-druid-task-id", &value, &bytes)) {
		sandbox_violation_add(
		    violations(x), VIOLATION_TASK_ID_HEADER, "%s", name_of(x));
		return true;
	}
	if (is_id(value, bytes, x->task->spec.id) ||
	    (x->sandbox->options.version >= DRUID_ID_ENCODED &&
		is_id(value, bytes, x->task->encoded_id)))
		return true;
	sandbox_violation_add(violations(x), VIOLATION_WRONG_TASK,
	    "%s: the request is for %.*s", name_of(x), (int)MIN_OF(bytes, 100),
	    value);
	answer_with(x, ANSWER_OTHER_TASK);
	return false;
}

static bool
check_type(struct exchange *x)
{
	static const char json[] = "application/json";
	static const char smile[] = "application/x-jackson-smile";
	struct http_view v = x->head->content_type;
	const char *type = x->bytes + v.at;
	size_t bytes = sizeof json - 1;

	x->is_smile = is_id(type, v.bytes, smile);
	if (x->is_smile || is_id(type, v.bytes, json))
		return true;
	sandbox_violation_add(violations(x), VIOLATION_CONTENT_TYPE,
	    "%s: '%.*s'", name_of(x), (int)MIN_OF(v.bytes, 100u), type);
	if (v.bytes >= bytes && strncasecmp(type, json, bytes) == 0 &&
	    (v.bytes == bytes || strchr("; \t", type[bytes]) != NULL))
		return true;
	answer_with(x, ANSWER_MEDIA_TYPE);
	return false;
}

static void
check_concurrency(struct exchange *x)
{
	const struct exchange *other = x->producer->current;

	if (other != NULL && other != x && other->request != NULL &&
	    sandbox_http_connected(other->request))
		sandbox_violation_add(violations(x), VIOLATION_PRODUCER_TWICE,
		    "%s: a request of that producer is not answered yet",
		    name_of(x));
	x->producer->current = x;
}

static void
check_verdict(struct exchange *x)
{
	switch (x->verdict) {
	case PRODUCER_NEWER:
	case PRODUCER_EQUAL: return;
	case PRODUCER_OLDER:
		sandbox_violation_add(violations(x), VIOLATION_SEQUENCE_BACK,
		    "%s: lower than %lld", name_of(x),
		    (long long)x->producer->sequence);
		return;
	case PRODUCER_NO_NUMBER:
		sandbox_violation_add(violations(x), VIOLATION_HEADER,
		    "%s: X-Firehose-Producer-Seq is no number", name_of(x));
		answer_with(x, ANSWER_SEQ_NO_NUMBER);
		return;
	case PRODUCER_TOO_MANY:
		sandbox_violation_add(
		    violations(x), VIOLATION_PRODUCERS, "%s", name_of(x));
		answer_with(x, ANSWER_PRODUCERS_FULL);
		return;
	}
	unreachable("verdict");
}

static void
check_producer(struct exchange *x)
{
	struct producer_call c;

	if (x->sandbox->options.ignores_producers ||
	    x->sandbox->options.version < DRUID_PRODUCERS)
		return;
	if (!sandbox_exchange_field(
		x, "x-firehose-producer-id", &c.id, &c.id_bytes))
		return;
	if (!sandbox_exchange_field(
		x, "x-firehose-producer-seq", &c.sequence, &c.sequence_bytes)) {
		sandbox_violation_add(violations(x), VIOLATION_HEADER,
		    "%s: X-Firehose-Producer-Seq is missing", name_of(x));
		answer_with(x, ANSWER_SEQ_MISSING);
		return;
	}
	x->verdict =
	    sandbox_producers_record(&x->task->producers, &c, &x->producer);
	if (x->producer != NULL)
		check_concurrency(x);
	check_verdict(x);
}

/* Statuses that Druid answers before it looks at the producer headers. */
static bool
is_of_the_door(unsigned status)
{
	return status == 401 || status == 403 || status == 404 ||
	    status == 405 || status == 415;
}

static void
begin_push(struct exchange *x)
{
	if (!check_type(x))
		return;
	sandbox_task_heard(x->task);
	if (!is_of_the_door(x->error_status))
		check_producer(x);
}

void
sandbox_push_begin(struct exchange *x)
{
	struct fault_target at = { FAULT_AT_PUSH, "", "" };
	struct path path;

	if (x->task != NULL) {
		at.ds = x->task->spec.ds;
		at.task = x->task->spec.id;
	}
	if (sandbox_fault_strike(&x->sandbox->faults, FAULT_UNAVAILABLE, &at) !=
	    NULL)
		x->task = NULL;
	if (x->task == NULL) {
		answer_with(x, ANSWER_NO_HANDLER);
		return;
	}
	if (!read_path(x, &path) || !check_task_id(x))
		return;
	if (is_action(&path, "push-events") &&
	    sandbox_exchange_is_method(x, "POST"))
		begin_push(x);
}

/* ---- the answer ---- */

static void
answer_from_head(struct exchange *x)
{
	char asked[NAME_BYTES] = "";
	const char *value;
	struct path path;
	size_t bytes;

	if (x->answer == ANSWER_NO_HANDLER) {
		bool is_good = read_path(x, &path);

		sandbox_exchange_answer(x, ANSWER_NO_HANDLER,
		    is_good ? path.segments[0] : "", NULL);
		return;
	}
	if (x->answer == ANSWER_OTHER_TASK &&
	    sandbox_exchange_field(x, "x-druid-task-id", &value, &bytes))
		snprintf(asked, sizeof asked, "%.*s",
		    (int)MIN_OF(bytes, sizeof asked - 1), value);
	sandbox_exchange_answer(x, x->answer, asked, name_of(x));
}

/* Enough to tell two bodies of one producer apart, and cheap. */
static uint64_t
body_hash(const struct exchange *x)
{
	size_t sample = MIN_OF(x->body_bytes, SAMPLE_BYTES);

	return digest_hash(x->body, sample) ^
	    (digest_hash(x->body + x->body_bytes - sample, sample) << 1) ^
	    x->body_bytes;
}

/* Druid says "skipped": were these rows taken when they came first? */
static void
judge_retry(struct exchange *x)
{
	struct producer *p = x->producer;

	if (x->verdict != PRODUCER_EQUAL)
		return;
	if (p->rows == ROWS_REFUSED)
		sandbox_violation_add(violations(x), VIOLATION_LOST_AFTER_ERROR,
		    "%s: sequence %lld had an error answer", name_of(x),
		    (long long)p->sequence);
	else if (p->rows == ROWS_UNREAD)
		sandbox_violation_add(violations(x), VIOLATION_LOST_UNREAD,
		    "%s: body of sequence %lld was never complete", name_of(x),
		    (long long)p->sequence);
	else if (p->body_hash != body_hash(x))
		sandbox_violation_add(violations(x), VIOLATION_RETRY_DIFFERS,
		    "%s: sequence %lld", name_of(x), (long long)p->sequence);
}

static void
set_rows(struct exchange *x, enum producer_rows rows)
{
	if (x->producer != NULL && x->verdict == PRODUCER_NEWER)
		x->producer->rows = rows;
}

static void
refuse_push(struct exchange *x, enum answer answer, const char *why)
{
	bool is_question = why != NULL && strstr(why, CHECK_ASK_MARK) != NULL;

	set_rows(x, is_question ? ROWS_ASKED : ROWS_REFUSED);
	sandbox_exchange_answer(x, answer, why, NULL);
}

static void
pushed(struct exchange *x)
{
	char count[24];

	set_rows(x, ROWS_TAKEN);
	snprintf(count, sizeof count, "%zu", x->event_count);
	sandbox_exchange_answer(x, ANSWER_PUSHED, count, NULL);
}

void
sandbox_push_refused(struct exchange *x)
{
	refuse_push(x, ANSWER_FIREHOSE_CLOSED, NULL);
}

/* Rows go in one by one: what has room is in, whatever comes of the rest. */
static bool
take_rows(struct exchange *x, const struct check_event *events)
{
	int64_t room;

	while (x->taken < x->event_count &&
	    (room = sandbox_task_room(x->task)) > 0) {
		size_t count = MIN_OF(x->event_count - x->taken, (size_t)room);

		sandbox_task_take(x->task, x->body, events + x->taken, count);
		x->taken += count;
	}
	return x->taken == x->event_count;
}

void
sandbox_push_continue(struct exchange *x)
{
	must(x->is_waiting);
	if (!take_rows(x, x->events))
		return;
	x->is_waiting = false;
	pushed(x);
}

static void
wait_for_room(struct exchange *x, const struct check_event *events)
{
	size_t bytes = x->event_count * sizeof events[0];

	sandbox_exchange_keep(x);
	x->events = must_malloc(bytes);
	memcpy(x->events, events, bytes);
	x->is_waiting = true;
}

/* From here on the body is what it says in JSON. False: answered. */
static bool
read_smile(struct exchange *x)
{
	const char *error;
	size_t bytes;
	char *text;

	text = sandbox_smile_json(x->body, x->body_bytes, &bytes, &error);
	if (text == NULL) {
		sandbox_violation_add(
		    violations(x), VIOLATION_BODY, "%s: %s", name_of(x), error);
		refuse_push(x, ANSWER_BODY_MALFORMED, error);
		return false;
	}
	free(x->body_copy);
	x->body = x->body_copy = text;
	x->body_bytes = bytes;
	return true;
}

/* What Druid cannot parse: the rows are read in their order, so that one behind
 * it is not told. */
static bool
has_bad_row(struct exchange *x)
{
	struct fault_target at = { FAULT_AT_PUSH, x->task->spec.ds,
		x->task->spec.id };
	const struct fault *bad = sandbox_fault_bad_row(
	    &x->sandbox->faults, &at, x->body, x->body_bytes);

	if (bad == NULL)
		return false;
	x->error_status = 500;
	refuse_push(x, bad->is_quiet ? ANSWER_FAULT : ANSWER_ROW_MALFORMED,
	    bad->is_quiet ? "Internal Server Error" : bad->text);
	return true;
}

static void
take_body(struct exchange *x)
{
	struct sandbox *s = x->sandbox;
	const struct spec *spec = &x->task->spec;
	const struct check_rule rule = { .column = spec->column,
		.column_bytes = strlen(spec->column),
		.has_interval = spec->has_interval,
		.interval = spec->interval,
		.task = spec->id };
	enum check_result result =
	    sandbox_check_body(&s->check, &rule, x->body, x->body_bytes);

	if (result != CHECK_OK) {
		if (result == CHECK_BODY)
			sandbox_violation_add(violations(x), VIOLATION_BODY,
			    "%s: %s", name_of(x), s->check.error);
		refuse_push(x,
		    result == CHECK_BODY ? ANSWER_BODY_MALFORMED
					 : ANSWER_ROW_MALFORMED,
		    s->check.error);
		return;
	}
	x->event_count = s->check.count;
	if (s->options.chunk_events > 0 &&
	    (int64_t)x->event_count > s->options.chunk_events)
		sandbox_violation_add(violations(x), VIOLATION_CHUNK,
		    "%s: %zu events", name_of(x), x->event_count);
	if (take_rows(x, s->check.events))
		pushed(x);
	else
		wait_for_room(x, s->check.events);
}

static void
finish_push(struct exchange *x)
{
	struct sandbox *s = x->sandbox;

	s->counts.pushes++;
	s->counts.wire_bytes += x->wire_bytes;
	s->counts.gzip += x->is_gzip;
	s->counts.smile += x->is_smile;
	x->task->pushes++;
	if (x->is_gzip && !x->is_inflated)
		sandbox_violation_add(violations(x), VIOLATION_GZIP,
		    "%s: this Druid does not inflate", name_of(x));
	if (x->producer != NULL && x->verdict != PRODUCER_NEWER) {
		judge_retry(x);
		s->counts.skipped++;
		x->task->skipped++;
		sandbox_exchange_answer(x, ANSWER_SKIPPED, NULL, NULL);
		return;
	}
	if (x->producer != NULL)
		x->producer->body_hash = body_hash(x);
	if (x->error_status != 0)
		refuse_push(x, ANSWER_FAULT, "told to fail");
	else if (x->task->state != TASK_RUNNING)
		refuse_push(x, ANSWER_FIREHOSE_CLOSED, NULL);
	else if ((!x->is_smile || read_smile(x)) && !has_bad_row(x))
		take_body(x);
}

static void
finish_shutdown(struct exchange *x)
{
	struct task *t = x->task;
	char text[64] = "";
	int64_t ms = clock_wall_ms();

	if (sandbox_exchange_query(x, "shutoffTime", text, sizeof text) &&
	    !iso_parse(text, strlen(text), ISO_T, &ms)) {
		sandbox_exchange_answer(x, ANSWER_SHUTOFF_TIME,
		    "Invalid format of shutoffTime", NULL);
		return;
	}
	/* the answer is Druid's last word before the handler goes */
	sandbox_exchange_answer(x, ANSWER_SHUT_DOWN, NULL, NULL);
	sandbox_task_close_at(t, ms);
}

void
sandbox_push_finish(struct exchange *x)
{
	struct path path;

	if (x->has_answer) {
		answer_from_head(x);
		return;
	}
	must(read_path(x, &path));
	if (!sandbox_exchange_is_method(x, "POST")) {
		sandbox_violation_add(
		    violations(x), VIOLATION_HTTP, "chat method");
		sandbox_exchange_answer(x, ANSWER_METHOD, NULL, NULL);
	} else if (is_action(&path, "push-events")) {
		finish_push(x);
	} else if (is_action(&path, "shutdown")) {
		finish_shutdown(x);
	} else {
		sandbox_violation_add(
		    violations(x), VIOLATION_HTTP, "chat path");
		sandbox_exchange_answer(x, ANSWER_NOT_FOUND, NULL, NULL);
	}
}

void
sandbox_push_cut(struct exchange *x)
{
	if (x->producer != NULL)
		set_rows(x, ROWS_UNREAD);
}
