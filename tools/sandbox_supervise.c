/*
 * sandbox_supervise - what the Overlord answers about supervisors, and what
 * tests tell them
 *
 * Process: tranq-sandbox.
 */
#include "sandbox_supervise.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "panic.h"

#define NAME_BYTES 1024
#define NUMBER_BYTES 24

/* ---- the list ---- */

static bool
is_asked(const struct exchange *x, const char *name)
{
	struct http_view query = x->head->query;
	char value[NUMBER_BYTES];

	if (sandbox_exchange_query(x, name, value, sizeof value))
		return strcmp(value, "false") != 0;
	/* "?full" */
	return x->head->has_query && http_view_is(query, x->bytes, name);
}

static void
handle_list(struct exchange *x)
{
	bool full = is_asked(x, "full"), state = is_asked(x, "state");
	struct json *list = json_new_array();

	for (const struct supervisor *s = x->sandbox->supervisors.first;
	     s != NULL; s = s->next) {
		if (s->spec == NULL)
			continue;
		json_append(list,
		    full || state ? sandbox_supervisor_row(s, full)
				  : json_new_text(s->id));
	}
	sandbox_exchange_json(x, 200, &list);
}

static const char *
topic_of(const struct json *spec)
{
	return json_get_text(
	    json_get(json_get(spec, "spec"), "ioConfig"), "topic", "");
}

static void
submit(struct exchange *x, const struct json *spec)
{
	struct sandbox *s = x->sandbox;
	struct supervisor_wish w = { .spec = spec,
		.version = s->options.version,
		.skips_same = s->options.version >= DRUID_SKIPS_RESTART &&
		    is_asked(x, "skipRestartIfUnmodified") };
	const char *type = json_get_text(spec, "type", "");

	if (strcmp(type, "kafka") != 0 || s->options.has_no_kafka) {
		sandbox_exchange_answer(x, ANSWER_SUPERVISOR_TYPE, type, NULL);
		return;
	}
	switch (sandbox_supervisor_post(&s->supervisors, &w)) {
	case SUPERVISOR_MADE:
		sandbox_exchange_answer(x, ANSWER_SUPERVISOR_POSTED, w.made->id,
		    w.is_restarted ? "true" : "false");
		return;
	case SUPERVISOR_REFUSED:
		sandbox_exchange_answer(
		    x, ANSWER_SUPERVISOR_REFUSED, w.why, NULL);
		return;
	case SUPERVISOR_STREAM:
		sandbox_exchange_answer(
		    x, ANSWER_SUPERVISOR_STREAM, w.why, topic_of(spec));
		return;
	}
	unreachable("answer to a spec");
}

static void
handle_post(struct exchange *x)
{
	struct json_error error = { .text = "not an object" };
	struct json *spec = json_parse(x->body, x->body_bytes, &error);

	if (json_is_object(spec))
		submit(x, spec);
	else
		sandbox_exchange_answer(
		    x, ANSWER_JSON_BROKEN, error.text, NULL);
	json_free(&spec);
}

/* ---- one of them ---- */

static void
answer_id(struct exchange *x, const struct supervisor *s)
{
	sandbox_exchange_answer(x, ANSWER_SUPERVISOR_ID, s->id, NULL);
}

static void
show_spec(struct exchange *x, struct supervisor *s)
{
	struct json *j = json_clone(s->spec);

	sandbox_exchange_json(x, 200, &j);
}

static void
show_status(struct exchange *x, struct supervisor *s)
{
	struct json *j =
	    sandbox_supervisor_status(s, x->sandbox->options.version);

	sandbox_exchange_json(x, 200, &j);
}

static void
show_health(struct exchange *x, struct supervisor *s)
{
	bool healthy = sandbox_supervisor_healthy(s);
	struct json *j = json_new_object();

	json_set_bool(j, "healthy", healthy);
	sandbox_exchange_json(x, healthy ? 200 : 503, &j);
}

static void
show_history(struct exchange *x, struct supervisor *s)
{
	struct json *j = sandbox_supervisor_history(s);

	sandbox_exchange_json(x, 200, &j);
}

static void
set_suspended(struct exchange *x, struct supervisor *s, bool suspend)
{
	if (sandbox_supervisor_suspend(s, suspend))
		show_spec(x, s);
	else
		sandbox_exchange_answer(x, ANSWER_SUPERVISOR_ALREADY, s->id,
		    suspend ? "suspended" : "running");
}

static void
suspend(struct exchange *x, struct supervisor *s)
{
	set_suspended(x, s, true);
}

static void
resume(struct exchange *x, struct supervisor *s)
{
	set_suspended(x, s, false);
}

static void
terminate(struct exchange *x, struct supervisor *s)
{
	sandbox_supervisor_terminate(s);
	answer_id(x, s);
}

static void
reset(struct exchange *x, struct supervisor *s)
{
	char why[PULL_WHY_BYTES];

	must(sandbox_supervisor_reset(s, NULL, why));
	answer_id(x, s);
}

static void
reset_offsets(struct exchange *x, struct supervisor *s)
{
	struct json *body = json_parse(x->body, x->body_bytes, NULL);
	char why[PULL_WHY_BYTES] = "not JSON";

	if (body != NULL && sandbox_supervisor_reset(s, body, why))
		answer_id(x, s);
	else
		sandbox_exchange_answer(
		    x, ANSWER_SUPERVISOR_REFUSED, why, NULL);
	json_free(&body);
}

static void
hand_off(struct exchange *x, struct supervisor *s)
{
	struct json *body = json_parse(x->body, x->body_bytes, NULL);
	const struct json *ids = json_get(body, "taskGroupIds");

	if (json_size(ids) > 0 && sandbox_supervisor_hand_off(s, ids))
		sandbox_exchange_answer(
		    x, ANSWER_SUPERVISOR_HANDED_OFF, NULL, NULL);
	else
		sandbox_exchange_answer(
		    x, ANSWER_SUPERVISOR_GROUPS, NULL, NULL);
	json_free(&body);
}

/* What follows the id. */
static const struct {
	const char *method, *name;
	void (*handle)(struct exchange *, struct supervisor *);
} routes[] = {
	{ "GET", "", show_spec },
	{ "GET", "status", show_status },
	{ "GET", "health", show_health },
	{ "GET", "history", show_history },
	{ "POST", "suspend", suspend },
	{ "POST", "resume", resume },
	{ "POST", "terminate", terminate },
	{ "POST", "shutdown", terminate },
	{ "POST", "reset", reset },
	{ "POST", "resetOffsets", reset_offsets },
	{ "POST", "taskGroups/handoff", hand_off },
};

static void
route(struct exchange *x, const struct path *path)
{
	const char *id = path->segments[0];
	struct supervisor *s =
	    sandbox_supervisor_find(&x->sandbox->supervisors, id);
	char *name =
	    must_format("%s%s%s", path->count > 1 ? path->segments[1] : "",
		path->count > 2 ? "/" : "",
		path->count > 2 ? path->segments[2] : "");
	size_t i = 0;

	while (i < ARRAY_LEN(routes) &&
	    (strcmp(routes[i].name, name) != 0 ||
		!sandbox_exchange_is_method(x, routes[i].method)))
		i++;
	free(name);
	if (i == ARRAY_LEN(routes)) {
		sandbox_violation_add(&x->sandbox->violations, VIOLATION_HTTP,
		    "supervisor %.100s: path or method", id);
		sandbox_exchange_answer(x, ANSWER_NOT_FOUND, NULL, NULL);
	} else if (s == NULL)
		sandbox_exchange_answer(x, ANSWER_SUPERVISOR_UNKNOWN, id, NULL);
	else
		routes[i].handle(x, s);
}

void
sandbox_supervise_handle(struct exchange *x)
{
	struct path path;

	if (!sandbox_exchange_path(x, SUPERVISE_BASE "/", &path) ||
	    path.count == 0) {
		if (sandbox_exchange_is_method(x, "POST"))
			handle_post(x);
		else
			handle_list(x);
		return;
	}
	route(x, &path);
}

/* ---- its tasks ---- */

/* TaskStatusPlus */
static struct json *
status_of(const struct supervisor *s, const struct pull_task *t)
{
	static const char *const codes[] = { "RUNNING", "SUCCESS", "FAILED" };
	struct json *j = json_new_object();
	char group[NAME_BYTES];

	snprintf(group, sizeof group, "index_kafka_%.500s", s->id);
	json_set_text(j, "id", t->id);
	json_set_text(j, "groupId", group);
	json_set_text(j, "type", "index_kafka");
	json_set_time(j, "createdTime", t->created_ms);
	json_set_time(j, "queueInsertionTime", 0);
	json_set_text(j, "statusCode", codes[t->state]);
	json_set_text(j, "status", codes[t->state]);
	json_set_text(j, "runnerStatusCode",
	    t->state == PULL_RUNNING ? "RUNNING" : "NONE");
	json_set_int(
	    j, "duration", t->ended_ms == 0 ? -1 : t->ended_ms - t->created_ms);
	json_set_text(j, "dataSource", s->ds);
	json_set(j, "errorMsg",
	    t->error != NULL ? json_new_text(t->error) : json_new_null());
	return j;
}

bool
sandbox_supervise_task(struct exchange *x, const char *task_id)
{
	struct supervisor *s;
	const struct pull_task *t =
	    sandbox_supervisor_task(&x->sandbox->supervisors, task_id, &s);
	struct json *j;

	if (t == NULL)
		return false;
	j = json_new_object();
	json_set_text(j, "task", task_id);
	json_set(j, "status", status_of(s, t));
	sandbox_exchange_json(x, 200, &j);
	return true;
}

void
sandbox_supervise_list(const struct sandbox *sandbox, const char *ds,
    bool have_ended, int64_t *left, struct json *list)
{
	for (const struct supervisor *s = sandbox->supervisors.first; s != NULL;
	     s = s->next) {
		if (*ds != '\0' && strcmp(ds, s->ds) != 0)
			continue;
		for (const struct pull_task *t = s->tasks; t != NULL;
		     t = t->next)
			if ((t->state != PULL_RUNNING) == have_ended &&
			    (*left)-- > 0)
				json_append(list, status_of(s, t));
	}
}

/* ---- /sandbox/ ---- */

void
sandbox_supervise_show(struct exchange *x)
{
	struct json *j = json_new_object();

	for (const struct supervisor *s = x->sandbox->supervisors.first;
	     s != NULL; s = s->next)
		json_set(j, s->id, sandbox_supervisor_truth(s));
	sandbox_exchange_json(x, 200, &j);
}

void
sandbox_supervise_do(struct exchange *x)
{
	struct json *command = json_parse(x->body, x->body_bytes, NULL);
	struct json *answer = NULL;
	char why[PULL_WHY_BYTES] = "not an object";

	if (json_is_object(command))
		answer = sandbox_supervisor_do(
		    &x->sandbox->supervisors, command, why);
	json_free(&command);
	if (answer != NULL)
		sandbox_exchange_json(x, 200, &answer);
	else
		sandbox_exchange_text(x, 400, why);
}

/* commit_metadata_payload; kafka-pull.md 5.4 */
static struct json *
payload_of(const struct supervisor *s)
{
	struct json *truth = sandbox_supervisor_truth(s);
	struct json *j = json_new_object(), *of = json_new_object();

	json_set_text(of, "type", "end");
	json_set_text(of, "stream", s->topic);
	json_set(of, "partitionSequenceNumberMap",
	    json_clone(json_get(truth, "stored")));
	json_set_text(j, "type", "kafka");
	json_set(j, "partitions", of);
	json_free(&truth);
	return j;
}

void
sandbox_supervise_committed(struct exchange *x)
{
	char id[NAME_BYTES] = "";
	const struct supervisor *s;
	struct json *j;

	if (!sandbox_exchange_query(x, "id", id, sizeof id)) {
		sandbox_exchange_text(x, 400, "id is missing\n");
		return;
	}
	s = sandbox_supervisor_find(&x->sandbox->supervisors, id);
	if (s == NULL) {
		sandbox_exchange_text(x, 200, "null");
		return;
	}
	j = payload_of(s);
	sandbox_exchange_json(x, 200, &j);
}

static uint64_t
number_asked(const struct exchange *x, const char *name, uint64_t otherwise)
{
	char text[NUMBER_BYTES], *end;
	uint64_t n;

	if (!sandbox_exchange_query(x, name, text, sizeof text))
		return otherwise;
	n = strtoull(text, &end, 10);
	return *text != '\0' && *end == '\0' ? n : otherwise;
}

static const char *
time_column(const struct supervisor *s)
{
	const struct json *schema =
	    json_get(json_get(s->spec, "spec"), "dataSchema");

	return json_get_text(
	    json_get(schema, "timestampSpec"), "column", "timestamp");
}

/* The events that it read, judged as those of a push. */
static bool
take_events(struct exchange *x, struct supervisor *s, struct pull_group *g)
{
	struct sandbox *sandbox = x->sandbox;
	struct check *check = &sandbox->check;
	struct check_rule rule = { .column = time_column(s),
		.column_bytes = strlen(time_column(s)),
		.task = g->tasks[0]->id };

	if (x->body_bytes == 0)
		return true;
	if (sandbox_check_body(check, &rule, x->body, x->body_bytes) !=
	    CHECK_OK) {
		sandbox_violation_add(&sandbox->violations, VIOLATION_BODY,
		    "%s: its events: %s", g->tasks[0]->id, check->error);
		return false;
	}
	sandbox_store_add_events(&sandbox->store,
	    sandbox_supervisor_source(s, g), x->body, check->events,
	    check->count);
	return true;
}

/* The group that reads there, if that is the one that is meant. */
static struct pull_group *
reader_asked(const struct exchange *x, const struct supervisor *s, uint64_t p)
{
	char name[NAME_BYTES];
	struct pull_group *g = NULL;

	if (s != NULL && p < PULL_PARTITIONS_MAX)
		g = sandbox_supervisor_reader(s, (unsigned)p);
	if (g != NULL && sandbox_exchange_query(x, "group", name, sizeof name))
		return strcmp(name, g->name) == 0 ? g : NULL;
	return g;
}

void
sandbox_supervise_read(struct exchange *x)
{
	char id[NAME_BYTES] = "";
	uint64_t p = number_asked(x, "partition", PULL_PARTITIONS_MAX);
	uint64_t from = number_asked(x, "from", PULL_NONE);
	uint64_t to = number_asked(x, "to", PULL_NONE);
	struct json *j = json_new_object();
	struct supervisor *s;
	struct pull_group *g;

	sandbox_exchange_query(x, "supervisor", id, sizeof id);
	s = sandbox_supervisor_find(&x->sandbox->supervisors, id);
	g = reader_asked(x, s, p);
	if (g == NULL || to == PULL_NONE ||
	    (from != PULL_NONE && from != g->at[p]) || to < g->at[p])
		sandbox_exchange_text(
		    x, 409, "no group reads the partition there\n");
	else if (!take_events(x, s, g))
		sandbox_exchange_text(x, 400, "not an array of events\n");
	else {
		sandbox_supervisor_read(s, g, (unsigned)p, to);
		json_set_text(j, "task", g->tasks[0]->id);
		sandbox_exchange_json(x, 200, &j);
	}
	json_free(&j);
}
