/*
 * sandbox_overlord - the Overlord's API
 *
 * Process: tranq-sandbox.
 */
#include "sandbox_overlord.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "clock.h"
#include "panic.h"
#include "sandbox_supervise.h"

#define BASE "/druid/indexer/v1/"
#define URL_BYTES 256
#define QUERY_BYTES 256
#define KILLED "Shutdown request from user"
#define ALL_TASKS INT64_MAX

/* ---- statuses ---- */

static const char *
status_code(const struct task *t)
{
	return t->state == TASK_SUCCESS ? "SUCCESS"
	    : t->state == TASK_FAILED   ? "FAILED"
					: "RUNNING";
}

static const char *
runner_code(const struct task *t)
{
	return t->state == TASK_PENDING ? "PENDING"
	    : t->state >= TASK_SUCCESS  ? "NONE"
					: "RUNNING";
}

static struct json *
location(const struct task *t)
{
	const struct sandbox *s = t->sandbox;
	struct json *j = json_new_object();
	bool known = t->started_ms != 0;

	json_set(j, "host",
	    known ? json_new_text(s->options.address) : json_new_null());
	json_set_int(j, "port",
	    known && s->options.tls_port == 0 ? (int64_t)s->task_port : -1);
	if (s->options.version >= DRUID_LOCATION_TLS)
		json_set_int(j, "tlsPort",
		    known && s->options.tls_port != 0
			? (int64_t)s->options.tls_port
			: -1);
	return j;
}

static int64_t
duration(const struct task *t)
{
	int64_t from = t->started_ms != 0 ? t->started_ms : t->created_ms;

	return t->ended_ms == 0 ? -1 : t->ended_ms - from;
}

static struct json *
error_message(const struct task *t)
{
	return t->error != NULL ? json_new_text(t->error) : json_new_null();
}

static const char *
type_of(const struct task *t)
{
	return t->spec.is_batch       ? "index_parallel"
	    : t->spec.is_appenderator ? "index_realtime_appenderator"
				      : "index_realtime";
}

/* TaskStatusPlus, as of runningTasks and the rest. */
static struct json *
status_plus(const struct task *t)
{
	unsigned version = t->sandbox->options.version;
	struct json *j = json_new_object();
	const char *type = type_of(t);
	char group[QUERY_BYTES * 2];

	json_set_text(j, "id", t->spec.id);
	snprintf(group, sizeof group, "%s_%s", type, t->spec.ds);
	if (version >= DRUID_STATUS_GROUP)
		json_set_text(j, "groupId", group);
	if (version >= DRUID_STATUS_LONG)
		json_set_text(j, "type", type);
	json_set_time(j, "createdTime", t->created_ms);
	json_set_time(j, "queueInsertionTime", 0);
	if (version >= DRUID(0, 12, 0))
		json_set_text(j, "statusCode", status_code(t));
	if (version >= DRUID_STATUS_LONG) {
		json_set_text(j, "status", status_code(t));
		json_set_text(j, "runnerStatusCode", runner_code(t));
	}
	if (version >= DRUID(0, 12, 0))
		json_set_int(j, "duration", duration(t));
	json_set(j, "location", location(t));
	if (version >= DRUID_STATUS_LONG) {
		json_set_text(j, "dataSource", t->spec.ds);
		json_set(j, "errorMsg", error_message(t));
	}
	return j;
}

/* TaskStatus, as of taskStatus, and of older releases everywhere. */
static struct json *
status_short(const struct task *t)
{
	struct json *j = json_new_object();

	json_set_text(j, "id", t->spec.id);
	json_set_text(j, "status", status_code(t));
	json_set_int(j, "duration", duration(t));
	return j;
}

static struct json *
status_middle(const struct task *t)
{
	struct json *j = status_short(t);

	if (t->sandbox->options.version < DRUID_STATUS_LONG)
		return j;
	json_set(j, "errorMsg", error_message(t));
	json_set(j, "location", location(t));
	return j;
}

/* ---- lists ---- */

enum list { LIST_PENDING, LIST_WAITING, LIST_RUNNING, LIST_COMPLETE, LIST_ALL };

static bool
is_listed(const struct task *t, enum list list)
{
	switch (list) {
	case LIST_PENDING: return t->state == TASK_PENDING;
	case LIST_WAITING: return false;
	case LIST_RUNNING:
		return t->state == TASK_RUNNING || t->state == TASK_CLOSING;
	case LIST_COMPLETE: return t->state >= TASK_SUCCESS;
	case LIST_ALL: return true;
	}
	unreachable("list");
}

static int64_t
most_complete(const struct exchange *x)
{
	char n[24];

	if (!sandbox_exchange_query(x, "max", n, sizeof n) &&
	    !sandbox_exchange_query(x, "n", n, sizeof n))
		return ALL_TASKS;
	return strtoll(n, NULL, 10);
}

/* Those of supervisors. */
static void
list_pulls(struct exchange *x, enum list list, const char *ds,
    int64_t complete_left, struct json *j)
{
	int64_t any = ALL_TASKS;

	if (list == LIST_RUNNING || list == LIST_ALL)
		sandbox_supervise_list(x->sandbox, ds, false, &any, j);
	if (list == LIST_COMPLETE || list == LIST_ALL)
		sandbox_supervise_list(x->sandbox, ds, true, &complete_left, j);
}

static void
handle_list(struct exchange *x, enum list list)
{
	char ds[QUERY_BYTES] = "", type[QUERY_BYTES] = "";
	int64_t complete_left = most_complete(x);
	struct json *j = json_new_array();

	sandbox_exchange_query(x, "datasource", ds, sizeof ds);
	sandbox_exchange_query(x, "type", type, sizeof type);
	for (const struct task *t = x->sandbox->tasks; t != NULL; t = t->next) {
		if (!is_listed(t, list) ||
		    (ds[0] != '\0' && strcmp(ds, t->spec.ds) != 0))
			continue;
		if (type[0] != '\0' && strcmp(type, type_of(t)) != 0)
			continue;
		if (t->state >= TASK_SUCCESS && complete_left-- <= 0)
			continue;
		json_append(j, status_plus(t));
	}
	if (type[0] == '\0' || strcmp(type, "index_kafka") == 0)
		list_pulls(x, list, ds, complete_left, j);
	sandbox_exchange_json(x, 200, &j);
}

static void
handle_tasks(struct exchange *x)
{
	static const char *const states[] = { [LIST_PENDING] = "pending",
		[LIST_WAITING] = "waiting",
		[LIST_RUNNING] = "running",
		[LIST_COMPLETE] = "complete" };
	char state[QUERY_BYTES];

	if (!sandbox_exchange_query(x, "state", state, sizeof state)) {
		handle_list(x, LIST_ALL);
		return;
	}
	for (unsigned i = 0; i < ARRAY_LEN(states); i++) {
		if (strcasecmp(states[i], state) == 0) {
			handle_list(x, (enum list)i);
			return;
		}
	}
	sandbox_exchange_answer(x, ANSWER_STATE_WRONG, state, NULL);
}

/* ---- one task ---- */

static void
handle_status(struct exchange *x, const char *id)
{
	const struct task *t = sandbox_task_find(x->sandbox, id);
	struct json *j;

	if (t == NULL) {
		if (!sandbox_supervise_task(x, id))
			sandbox_exchange_answer(
			    x, ANSWER_STATUS_UNKNOWN, id, NULL);
		return;
	}
	j = json_new_object();
	json_set_text(j, "task", id);
	json_set(j, "status",
	    x->sandbox->options.version >= DRUID_STATUS_LONG ? status_plus(t)
							     : status_short(t));
	sandbox_exchange_json(x, 200, &j);
}

static struct json *
report_rows(const struct task *t)
{
	struct json *j = json_new_object(), *all = json_new_object();

	json_set_int(j, "processed", (int64_t)t->processed);
	json_set_int(j, "processedWithError", 0);
	json_set_int(j, "thrownAway", 0);
	json_set_int(j, "unparseable", (int64_t)t->unparseable);
	json_set(all, "buildSegments", j);
	return all;
}

/* Of a batch task: of one that runs too, as it is now. */
static void
handle_report(struct exchange *x, const char *id)
{
	const struct task *t = sandbox_task_find(x->sandbox, id);
	struct json *j, *report, *payload;

	if (t == NULL || !t->spec.is_batch || t->started_ms == 0) {
		sandbox_exchange_answer(x, ANSWER_NO_REPORT, id, NULL);
		return;
	}
	j = json_new_object();
	report = json_new_object();
	payload = json_new_object();
	json_set_text(payload, "ingestionState",
	    t->has_published ? "COMPLETED" : "BUILD_SEGMENTS");
	json_set(payload, "rowStats", report_rows(t));
	json_set(payload, "errorMsg",
	    t->has_published ? json_new_null() : error_message(t));
	json_set_text(report, "type", "ingestionStatsAndErrors");
	json_set_text(report, "taskId", t->spec.id);
	json_set(report, "payload", payload);
	json_set(j, "ingestionStatsAndErrors", report);
	sandbox_exchange_json(x, 200, &j);
}

static void
handle_payload(struct exchange *x, const char *id)
{
	const struct task *t = sandbox_task_find(x->sandbox, id);
	struct json *j;

	if (t == NULL) {
		sandbox_exchange_answer(x, ANSWER_TASK_UNKNOWN, id, NULL);
		return;
	}
	j = json_new_object();
	json_set_text(j, "task", id);
	json_set(j, "payload", json_clone(t->payload));
	sandbox_exchange_json(x, 200, &j);
}

static void
handle_kill(struct exchange *x, const char *id)
{
	struct task *t = sandbox_task_find(x->sandbox, id);

	if (t != NULL)
		sandbox_task_kill(t, KILLED);
	sandbox_exchange_answer(x, ANSWER_KILLED, id, NULL);
}

static void
handle_kill_all(struct exchange *x, const char *ds)
{
	for (struct task *t = x->sandbox->tasks; t != NULL; t = t->next)
		if (strcmp(t->spec.ds, ds) == 0)
			sandbox_task_kill(t, KILLED);
	sandbox_exchange_answer(x, ANSWER_ALL_KILLED, ds, NULL);
}

static void
handle_task_status(struct exchange *x)
{
	struct json_error error;
	struct json *ids = json_parse(x->body, x->body_bytes, &error), *j;

	if (!json_is_array(ids) || json_size(ids) == 0) {
		json_free(&ids);
		sandbox_exchange_answer(x, ANSWER_IDS_MISSING, NULL, NULL);
		return;
	}
	j = json_new_object();
	for (size_t i = 0; i < json_size(ids); i++) {
		const char *id = json_text(json_at(ids, i), "");
		const struct task *t = sandbox_task_find(x->sandbox, id);

		if (t != NULL)
			json_set(j, id, status_middle(t));
	}
	json_free(&ids);
	sandbox_exchange_json(x, 200, &j);
}

/* ---- submission ---- */

static void
answer_existing(
    struct exchange *x, const struct task *t, const struct json *payload)
{
	if (!json_same(t->payload, payload))
		sandbox_violation_add(&x->sandbox->violations,
		    VIOLATION_TASK_ID_REUSED, "%s: with another payload",
		    t->spec.id);
	sandbox_exchange_answer(x, ANSWER_TASK_EXISTS, t->spec.id, NULL);
}

static bool
is_queue_full(const struct sandbox *s)
{
	int64_t count = 0;

	for (const struct task *t = s->tasks; t != NULL; t = t->next)
		count += t->state < TASK_SUCCESS;
	return s->options.queue_tasks > 0 && count >= s->options.queue_tasks;
}

static void
submit(struct exchange *x, struct json **payload)
{
	struct sandbox *s = x->sandbox;
	struct spec_context c = { .version = s->options.version,
		.overlord_service = s->options.overlord_service,
		.now_ms = clock_wall_ms(),
		.violations = &s->violations };
	const char *id = json_get_text(*payload, "id", "");
	const struct task *old = sandbox_task_find(s, id);
	struct task *t;
	struct spec spec;
	char most[24];

	if (old != NULL) {
		answer_existing(x, old, *payload);
		return;
	}
	switch (sandbox_spec_read(*payload, &c, &spec)) {
	case SPEC_OK: break;
	case SPEC_TYPE:
		sandbox_exchange_answer(x, ANSWER_TASK_TYPE, c.error, NULL);
		return;
	case SPEC_ID_ILLEGAL:
		sandbox_exchange_answer(
		    x, ANSWER_TASK_ID_ILLEGAL, c.error, NULL);
		return;
	case SPEC_REFUSED:
		sandbox_violation_add(&s->violations, VIOLATION_TASK_SPEC,
		    "%.100s: refused: %s", id, c.error);
		sandbox_exchange_answer(x, ANSWER_TASK_REFUSED, c.error, NULL);
		return;
	}
	if (is_queue_full(s)) {
		snprintf(most, sizeof most, "%lld",
		    (long long)s->options.queue_tasks);
		sandbox_spec_free(&spec);
		sandbox_exchange_answer(x, ANSWER_QUEUE_FULL, most, NULL);
		return;
	}
	t = sandbox_task_add(s, &spec, payload);
	sandbox_exchange_answer(x, ANSWER_SUBMITTED, t->spec.id, NULL);
}

static void
handle_submit(struct exchange *x)
{
	static const char json[] = "application/json";
	struct http_view type = x->head->content_type;
	struct json_error error;
	struct json *payload;

	if (type.bytes < sizeof json - 1 ||
	    strncasecmp(x->bytes + type.at, json, sizeof json - 1) != 0) {
		sandbox_exchange_answer(x, ANSWER_MEDIA_TYPE, NULL, NULL);
		return;
	}
	payload = json_parse(x->body, x->body_bytes, &error);
	if (payload == NULL) {
		sandbox_violation_add(&x->sandbox->violations,
		    VIOLATION_TASK_SPEC, "not JSON: %s", error.text);
		sandbox_exchange_answer(
		    x, ANSWER_JSON_BROKEN, error.text, NULL);
		return;
	}
	submit(x, &payload);
	json_free(&payload);
}

/* ---- leadership ---- */

static void
handle_leader(struct exchange *x, const char *leader)
{
	const struct sandbox *s = x->sandbox;
	const char *scheme =
	    s->options.version > DRUID_LEADER_SCHEME ? "http://" : "";
	char url[URL_BYTES];
	struct sandbox_reply reply = {
		.status = 200, .type = "application/json", .body = url
	};

	if (leader != NULL)
		snprintf(url, sizeof url, "%s", leader);
	else
		snprintf(url, sizeof url, "%s%s:%u", scheme,
		    s->options.url_host, s->port);
	reply.bytes = strlen(url);
	sandbox_exchange_reply(x, &reply);
}

static void
redirect(struct exchange *x, const char *leader)
{
	struct http_view path = x->head->path, query = x->head->query;
	char *url = must_format("%s%.*s%s%.*s", leader, (int)path.bytes,
	    x->bytes + path.at, x->head->has_query ? "?" : "", (int)query.bytes,
	    x->bytes + query.at);

	sandbox_exchange_answer(x, ANSWER_REDIRECT, url, NULL);
	free(url);
}

/* True: answered, since there is no leader here. */
static bool
led_elsewhere(struct exchange *x)
{
	struct fault_target at = { FAULT_AT_OVERLORD, "", "" };
	const struct fault *f;
	struct path path;

	f = sandbox_fault_strike(&x->sandbox->faults, FAULT_OVERLORD_AWAY, &at);
	if (f != NULL) {
		if (f->is_refused)
			sandbox_exchange_reset(x);
		else
			sandbox_exchange_answer(x, ANSWER_AWAY, NULL, NULL);
		return true;
	}
	if (!sandbox_exchange_path(x, BASE, &path))
		return false; /* answered by each node for itself */
	f = sandbox_fault_strike(&x->sandbox->faults, FAULT_NOT_LEADER, &at);
	if (f == NULL)
		return false;
	if (http_view_is(x->head->path, x->bytes, BASE "leader"))
		handle_leader(x, f->url);
	else if (http_view_is(x->head->path, x->bytes, BASE "isleader"))
		sandbox_exchange_answer(x, ANSWER_NO_LEADER, NULL, NULL);
	else
		redirect(x, f->url);
	return true;
}

/* ---- routes ---- */

static void
handle_wrong_method(struct exchange *x)
{
	sandbox_violation_add(&x->sandbox->violations, VIOLATION_HTTP,
	    "method of %.*s", (int)MIN_OF(x->head->path.bytes, 100u),
	    x->bytes + x->head->path.at);
	sandbox_exchange_answer(x, ANSWER_METHOD, NULL, NULL);
}

static void
handle_unknown(struct exchange *x)
{
	sandbox_violation_add(&x->sandbox->violations, VIOLATION_HTTP,
	    "path %.*s", (int)MIN_OF(x->head->path.bytes, 100u),
	    x->bytes + x->head->path.at);
	sandbox_exchange_answer(x, ANSWER_NOT_FOUND, NULL, NULL);
}

static void
handle_running(struct exchange *x)
{
	handle_list(x, LIST_RUNNING);
}

static void
handle_pending(struct exchange *x)
{
	handle_list(x, LIST_PENDING);
}

static void
handle_waiting(struct exchange *x)
{
	handle_list(x, LIST_WAITING);
}

static void
handle_complete(struct exchange *x)
{
	handle_list(x, LIST_COMPLETE);
}

static void
handle_leader_here(struct exchange *x)
{
	handle_leader(x, NULL);
}

static void
handle_is_leader(struct exchange *x)
{
	sandbox_exchange_answer(x, ANSWER_LEADER, NULL, NULL);
}

/* Paths with one segment behind the base. */
static const struct {
	const char *method, *name;
	void (*handle)(struct exchange *);
} routes[] = {
	{ "POST", "task", handle_submit },
	{ "POST", "taskStatus", handle_task_status },
	{ "GET", "tasks", handle_tasks },
	{ "GET", "runningTasks", handle_running },
	{ "GET", "pendingTasks", handle_pending },
	{ "GET", "waitingTasks", handle_waiting },
	{ "GET", "completeTasks", handle_complete },
	{ "GET", "leader", handle_leader_here },
	{ "GET", "isLeader", handle_is_leader },
};

static void
route_short(struct exchange *x, const char *name)
{
	bool is_known = false;

	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		if (strcmp(routes[i].name, name) != 0)
			continue;
		is_known = true;
		if (sandbox_exchange_is_method(x, routes[i].method)) {
			routes[i].handle(x);
			return;
		}
	}
	if (is_known)
		handle_wrong_method(x);
	else
		handle_unknown(x);
}

/* task/{id}, task/{id}/status, task/{id}/shutdown, datasources/{ds}/… */
static void
route_long(struct exchange *x, const struct path *path)
{
	const char *name = path->segments[1];
	const char *action = path->count == 3 ? path->segments[2] : "";
	bool is_task = strcmp(path->segments[0], "task") == 0;
	bool is_get = sandbox_exchange_is_method(x, "GET");

	if (is_task && path->count == 2 && is_get)
		handle_payload(x, name);
	else if (is_task && strcmp(action, "status") == 0 && is_get)
		handle_status(x, name);
	else if (is_task && strcmp(action, "reports") == 0 && is_get)
		handle_report(x, name);
	else if (is_task && strcmp(action, "shutdown") == 0 && !is_get)
		handle_kill(x, name);
	else if (strcmp(path->segments[0], "datasources") == 0 &&
	    strcmp(action, "shutdownAllTasks") == 0 && !is_get)
		handle_kill_all(x, name);
	else
		handle_unknown(x);
}

/* What a Coordinator knows of the Overlord. */
static void
handle_cluster(struct exchange *x)
{
	const struct sandbox *s = x->sandbox;
	struct json *list = json_new_array(), *j = json_new_object();

	json_set_text(j, "host", s->options.address);
	json_set_text(j, "service", s->options.overlord_service);
	json_set_int(j, "plaintextPort", s->port);
	json_append(list, j);
	sandbox_exchange_json(x, 200, &list);
}

static void
handle_druid_status(struct exchange *x)
{
	const struct sandbox_options *o = &x->sandbox->options;

	sandbox_exchange_answer(x,
	    o->has_no_kafka ? ANSWER_DRUID_STATUS : ANSWER_DRUID_STATUS_KAFKA,
	    o->version_text, NULL);
}

static void
route_other(struct exchange *x)
{
	struct http_view path = x->head->path;

	if (http_view_is(path, x->bytes, "/status/health"))
		sandbox_exchange_answer(x, ANSWER_HEALTH, NULL, NULL);
	else if (http_view_is(path, x->bytes, "/status"))
		handle_druid_status(x);
	else if (http_view_is(
		     path, x->bytes, "/druid/coordinator/v1/cluster/overlord"))
		handle_cluster(x);
	else
		handle_unknown(x);
}

void
sandbox_overlord_locate(struct exchange *x)
{
	struct path path;

	if (sandbox_exchange_path(x, BASE, &path) && path.count >= 2)
		x->task = sandbox_task_find(x->sandbox, path.segments[1]);
}

void
sandbox_overlord_handle(struct exchange *x)
{
	struct path path;

	x->sandbox->counts.overlord_requests++;
	if (led_elsewhere(x))
		return;
	if (!sandbox_exchange_path(x, BASE, &path))
		route_other(x);
	else if (path.count > 0 && strcmp(path.segments[0], "supervisor") == 0)
		sandbox_supervise_handle(x);
	else if (path.count == 1)
		route_short(x, path.segments[0]);
	else if (path.count == 2 || path.count == 3)
		route_long(x, &path);
	else
		handle_unknown(x);
}
