/*
 * sandbox_control - what tests and people ask the sandbox: /sandbox/…
 *
 * Process: tranq-sandbox.
 */
#include "sandbox_control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "panic.h"
#include "sandbox_announce.h"
#include "sandbox_supervise.h"

#define BASE "/sandbox/"
#define NAME_BYTES 1024
#define KILLED "Killed by the sandbox"

/* ---- events ---- */

static void
read_events(void *context, struct buf *to)
{
	struct store_cursor *c = context;

	if (to == NULL)
		sandbox_store_close(&c);
	else
		sandbox_store_read(c, to);
}

static unsigned
replicant_of(const char *text)
{
	return strcmp(text, "any") == 0 ? STORE_ANY_REPLICANT
					: (unsigned)strtoul(text, NULL, 10);
}

static void
stream(struct exchange *x, const struct store_query *q)
{
	struct sandbox_request *r = x->request;
	struct store_cursor *c = sandbox_store_open(&x->sandbox->store, q);

	sandbox_exchange_hand_over(x);
	sandbox_http_stream(r, "application/x-ndjson", read_events, c);
}

static void
handle_events(struct exchange *x)
{
	char ds[NAME_BYTES], task[NAME_BYTES] = "", number[24] = "0";
	char lost[8] = "", all[8] = "";
	struct store_query q = { .ds = ds, .task = task, .lost = -1 };

	if (x->sandbox->options.counts_only) {
		sandbox_exchange_text(x, 400, "events are only counted\n");
		return;
	}
	if (x->sandbox->store.is_truncated) {
		sandbox_exchange_text(
		    x, 500, "more events came than --keep-bytes\n");
		return;
	}
	if (!sandbox_exchange_query(x, "dataSource", ds, sizeof ds)) {
		sandbox_exchange_text(x, 400, "dataSource is missing\n");
		return;
	}
	sandbox_exchange_query(x, "task", task, sizeof task);
	sandbox_exchange_query(x, "all", all, sizeof all);
	q.is_wrapped = strcmp(all, "true") == 0;
	if (q.is_wrapped)
		snprintf(number, sizeof number, "any");
	sandbox_exchange_query(x, "replicant", number, sizeof number);
	q.replicant = replicant_of(number);
	if (sandbox_exchange_query(x, "lost", lost, sizeof lost))
		q.lost = strcmp(lost, "true") == 0;
	stream(x, &q);
}

/* ---- statistics ---- */

static struct json *
report_tasks(const struct sandbox *s)
{
	struct json *j = json_new_object();
	int64_t count[TASK_STATES] = { 0 };

	for (const struct task *t = s->tasks; t != NULL; t = t->next)
		count[t->state]++;
	for (unsigned i = 0; i < TASK_STATES; i++)
		json_set_int(
		    j, sandbox_task_state_name((enum task_state)i), count[i]);
	return j;
}

static struct json *
report_statuses(const struct sandbox *s)
{
	struct json *j = json_new_object();
	char name[8];

	for (unsigned i = 0; i < ARRAY_LEN(s->counts.pushes_by_status); i++) {
		if (s->counts.pushes_by_status[i] == 0)
			continue;
		snprintf(name, sizeof name, "%u", i);
		json_set_int(j, name, (int64_t)s->counts.pushes_by_status[i]);
	}
	return j;
}

static int64_t
count_waiting(const struct sandbox *s)
{
	const struct exchange *x = s->exchanges;
	int64_t count = 0;

	if (x == NULL)
		return 0;
	do {
		count += x->is_waiting || x->is_hung;
		x = x->next;
	} while (x != s->exchanges);
	return count;
}

static void
set_counts(struct json *j, const struct sandbox *s)
{
	const struct sandbox_counts *c = &s->counts;

	json_set_int(j, "pushes", (int64_t)c->pushes);
	json_set_int(j, "skipped", (int64_t)c->skipped);
	json_set_int(j, "gzip", (int64_t)c->gzip);
	json_set_int(j, "smile", (int64_t)c->smile);
	json_set_int(j, "clipped", (int64_t)c->clipped);
	json_set_int(j, "wireBytes", (int64_t)c->wire_bytes);
	json_set_int(j, "overlordRequests", (int64_t)c->overlord_requests);
	json_set_int(j, "waiting", count_waiting(s));
	json_set_int(j, "unjudged", (int64_t)s->check.unjudged);
	json_set(j, "pushesByStatus", report_statuses(s));
}

static void
sum_source(const struct store_source *source, uint64_t *events, uint64_t *bytes)
{
	if (source == NULL || source->replicant != 0)
		return;
	*events += source->digest.events;
	*bytes += source->digest.bytes;
}

/* Pushed ones, and what Kafka tasks have pulled. */
static void
sum_events(const struct sandbox *s, uint64_t *events, uint64_t *bytes)
{
	*events = *bytes = 0;
	for (const struct task *t = s->tasks; t != NULL; t = t->next)
		sum_source(t->source, events, bytes);
	for (const struct supervisor *v = s->supervisors.first; v != NULL;
	     v = v->next)
		for (const struct pull_task *t = v->tasks; t != NULL;
		     t = t->next)
			sum_source(t->source, events, bytes);
}

static void
handle_stats(struct exchange *x)
{
	const struct sandbox *s = x->sandbox;
	struct json *j = json_new_object();
	uint64_t events, bytes;

	sum_events(s, &events, &bytes);
	json_set_text(j, "version", s->options.version_text);
	json_set_int(j, "uptimeMs", loop_now_ms(s->loop) - s->started_ms);
	json_set_int(j, "events", (int64_t)events);
	json_set_int(j, "bytes", (int64_t)bytes);
	set_counts(j, s);
	json_set(j, "tasks", report_tasks(s));
	json_set(j, "dataSources", sandbox_store_report(&s->store));
	json_set(j, "violations", sandbox_violation_report(&s->violations));
	json_set(j, "faults", sandbox_fault_report(&s->faults));
	json_set_bool(
	    j, "zookeeper", sandbox_announce_is_connected(s->announce));
	sandbox_exchange_json(x, 200, &j);
}

/* ---- faults ---- */

static int64_t
kill_tasks(struct sandbox *s, const struct fault *f)
{
	int64_t left = f->count < 0 ? INT64_MAX : f->count, killed = 0;

	for (struct task *t = s->tasks; t != NULL && killed < left;
	     t = t->next) {
		if (t->state >= TASK_SUCCESS ||
		    (f->ds[0] != '\0' && strcmp(f->ds, t->spec.ds) != 0) ||
		    strncmp(t->spec.id, f->task, strlen(f->task)) != 0)
			continue;
		sandbox_task_kill(t, KILLED);
		killed++;
	}
	return killed;
}

/* A fault that strikes every task, when tasks have a port of their own:
 * connections are refused, as by a host that is down. */
static void
set_port(struct sandbox *s)
{
	bool on = true;

	if (s->task_port == s->port)
		return;
	for (unsigned i = 0; i < s->faults.count; i++) {
		const struct fault *f = &s->faults.list[i];

		if (f->kind == FAULT_REFUSE && f->ds[0] == '\0' &&
		    f->task[0] == '\0' && f->percent == 100 && f->count < 0 &&
		    f->where != FAULT_AT_OVERLORD)
			on = false;
	}
	sandbox_http_accept(s->http, s->task_port, on);
}

static void
handle_fault(struct exchange *x)
{
	struct sandbox *s = x->sandbox;
	char error[FAULT_TEXT_BYTES] = "";
	struct json_error syntax = { .text = "not an object" };
	struct json *j = json_parse(x->body, x->body_bytes, &syntax);
	int64_t changed = 1;
	struct fault f;
	bool on, good;

	if (!json_is_object(j))
		snprintf(error, sizeof error, "%s", syntax.text);
	good = json_is_object(j) && sandbox_fault_read(j, &f, &on, error);
	json_free(&j);
	if (!good) {
		sandbox_exchange_text(x, 400, error);
		return;
	}
	if (f.kind == FAULT_KILL_TASK && on)
		changed = kill_tasks(s, &f);
	else if (f.kind == FAULTS || !on)
		changed = sandbox_fault_end(&s->faults, &f);
	else if (!sandbox_fault_begin(&s->faults, &f))
		changed = 0;
	set_port(s);
	sandbox_exchange_faults_changed(s);
	j = json_new_object();
	json_set_int(j, "changed", changed);
	sandbox_exchange_json(x, 200, &j);
}

static void
handle_faults(struct exchange *x)
{
	struct json *j = sandbox_fault_report(&x->sandbox->faults);

	sandbox_exchange_json(x, 200, &j);
}

/* ---- reset ---- */

static void
handle_reset(struct exchange *x)
{
	struct sandbox *s = x->sandbox;
	struct json *j = json_new_object();

	sandbox_exchange_clear(s, x);
	sandbox_task_clear(s);
	sandbox_supervisor_clear(&s->supervisors);
	sandbox_store_clear(&s->store);
	s->counts = (struct sandbox_counts){ 0 };
	s->violations = (struct violations){ 0 };
	s->check.unjudged = 0;
	sandbox_fault_init(&s->faults, (uint64_t)s->options.seed);
	set_port(s);
	sandbox_exchange_json(x, 200, &j);
}

/* ---- another Druid ---- */

static void
handle_druid(struct exchange *x)
{
	struct sandbox_options *o = &x->sandbox->options;
	struct json *j = json_parse(x->body, x->body_bytes, NULL);
	bool good = json_is_object(j) &&
	    sandbox_options_druid(
		o, json_get_text(j, "version", o->version_text));

	if (good)
		o->has_no_kafka = !json_get_bool(j, "kafka", !o->has_no_kafka);
	json_free(&j);
	if (good)
		sandbox_exchange_text(x, 200, o->version_text);
	else
		sandbox_exchange_text(x, 400, "version: like 30.0.1\n");
}

/* ---- routes ---- */

static const struct {
	const char *method, *name;
	void (*handle)(struct exchange *);
} routes[] = {
	{ "GET", "events", handle_events },
	{ "GET", "stats", handle_stats },
	{ "GET", "fault", handle_faults },
	{ "POST", "fault", handle_fault },
	{ "POST", "reset", handle_reset },
	{ "POST", "druid", handle_druid },
	{ "GET", "supervisor", sandbox_supervise_show },
	{ "POST", "supervisor", sandbox_supervise_do },
	{ "GET", "committed", sandbox_supervise_committed },
	{ "POST", "read", sandbox_supervise_read },
};

void
sandbox_control_handle(struct exchange *x)
{
	struct path path;

	if (sandbox_exchange_path(x, BASE, &path) && path.count == 1)
		for (size_t i = 0; i < ARRAY_LEN(routes); i++)
			if (strcmp(routes[i].name, path.segments[0]) == 0 &&
			    sandbox_exchange_is_method(x, routes[i].method)) {
				routes[i].handle(x);
				return;
			}
	sandbox_exchange_text(
	    x, 404, "it is none of those in tools/sandbox_control.h\n");
}
