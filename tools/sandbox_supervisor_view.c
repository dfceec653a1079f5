/*
 * sandbox_supervisor_view - the documents that Druid shows of a supervisor
 *
 * Process: tranq-sandbox.
 */
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "iso.h"
#include "panic.h"
#include "period.h"
#include "sandbox_pull.h"

#define TASK_DURATION_MS ISO_HOUR_MS
#define COMPLETION_MS (30 * ISO_MINUTE_MS)

/* ---- the spec ---- */

/* Joda's Duration: PT3600S. */
static void
show_duration(struct json *io, const char *name, const char *otherwise)
{
	struct period period;
	char text[40];

	if (!period_parse(json_get_text(io, name, otherwise), &period))
		return;
	snprintf(
	    text, sizeof text, "PT%lldS", (long long)period_ms(&period) / 1000);
	json_set_text(io, name, text);
}

static void
show_number(struct json *io, const char *name, int64_t otherwise)
{
	if (json_get(io, name) == NULL)
		json_set_int(io, name, otherwise);
}

/* What has two names, and the parts of the spec once more outside of it. */
static void
show_twice(struct json *shown, struct json *io)
{
	static const char *const parts[] = { "dataSchema", "tuningConfig",
		"ioConfig" };
	bool earliest = json_get_bool(io, "useEarliestOffset", false);

	json_remove(io, "type");
	json_set_bool(io, "useEarliestOffset", earliest);
	json_set_bool(io, "useEarliestSequenceNumber", earliest);
	json_set_text(io, "stream", json_get_text(io, "topic", ""));
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		const struct json *part =
		    json_get(json_get(shown, "spec"), parts[i]);

		if (part != NULL)
			json_set(shown, parts[i], json_clone(part));
	}
}

struct json *
sandbox_supervisor_shown(
    const struct json *sent, unsigned version, const char *id)
{
	struct json *shown = json_clone(sent);
	struct json *io = json_get(json_get(shown, "spec"), "ioConfig");

	json_set_text(shown, "type", "kafka");
	if (version >= DRUID_SUPERVISOR_ID)
		json_set_text(shown, "id", id);
	else
		json_remove(shown, "id");
	show_number(io, "replicas", 1);
	show_number(io, "taskCount", 1);
	show_number(io, "pollTimeout", 100);
	show_duration(io, "taskDuration", "PT1H");
	show_duration(io, "startDelay", "PT5S");
	show_duration(io, "period", "PT30S");
	show_duration(io, "completionTimeout", "PT30M");
	show_twice(shown, io);
	json_set_bool(
	    shown, "suspended", json_get_bool(sent, "suspended", false));
	return shown;
}

struct json *
sandbox_supervisor_history(const struct supervisor *s)
{
	struct json *list = json_new_array();

	for (size_t i = json_size(s->versions); i-- > 0;) {
		const struct json *spec = json_at(s->versions, i);
		struct json *j = json_new_object();
		char version[40];

		snprintf(version, sizeof version, "%zu", i);
		json_set(j, "spec",
		    json_is_null(spec) ? json_new_object() : json_clone(spec));
		json_set_text(j, "version", version);
		json_append(list, j);
	}
	return list;
}

/* ---- states ---- */

static const char *
detailed_state(const struct supervisor *s)
{
	if (s->state != NULL)
		return s->state;
	if (s->is_suspended)
		return "SUSPENDED";
	return s->tasks != NULL ? "RUNNING" : "DISCOVERING_INITIAL_TASKS";
}

/* The plain state of a detailed one. */
static const char *
plain_state(const struct supervisor *s)
{
	static const char *const plain[] = { "PENDING", "RUNNING", "IDLE",
		"SUSPENDED", "STOPPING", "UNHEALTHY_SUPERVISOR",
		"UNHEALTHY_TASKS" };
	const char *state = detailed_state(s);

	for (size_t i = 0; i < ARRAY_LEN(plain); i++)
		if (strcmp(plain[i], state) == 0)
			return state;
	return sandbox_supervisor_healthy(s) ? "RUNNING"
					     : "UNHEALTHY_SUPERVISOR";
}

bool
sandbox_supervisor_healthy(const struct supervisor *s)
{
	const char *state = detailed_state(s);

	return strncmp(state, "UNHEALTHY", 9) != 0 &&
	    strcmp(state, "UNABLE_TO_CONNECT_TO_STREAM") != 0 &&
	    strcmp(state, "LOST_CONTACT_WITH_STREAM") != 0;
}

struct json *
sandbox_supervisor_row(const struct supervisor *s, bool is_full)
{
	struct json *j = json_new_object();

	json_set_text(j, "id", s->id);
	json_set_text(j, "state", plain_state(s));
	json_set_text(j, "detailedState", detailed_state(s));
	json_set_bool(j, "healthy", sandbox_supervisor_healthy(s));
	json_set_text(j, "type", "kafka");
	json_set_text(j, "source", s->topic);
	/* so says 33.0.0 of one that is suspended, too */
	json_set_bool(j, "suspended", false);
	if (is_full)
		json_set(j, "spec", json_clone(s->spec));
	return j;
}

/* ---- the status ---- */

/* {"0": 17, …} of those that are known. */
static struct json *
offsets_of(const uint64_t at[static PULL_PARTITIONS_MAX])
{
	struct json *j = json_new_object();
	char name[16];

	for (unsigned p = 0; p < PULL_PARTITIONS_MAX; p++) {
		if (at[p] == PULL_NONE)
			continue;
		snprintf(name, sizeof name, "%u", p);
		json_set_int(j, name, (int64_t)at[p]);
	}
	return j;
}

/* How far they are from the log's end; below zero when that is older. */
static struct json *
lag_of(
    const struct supervisor *s, const uint64_t at[static PULL_PARTITIONS_MAX])
{
	struct json *j = json_new_object();
	char name[16];

	for (unsigned p = 0; p < PULL_PARTITIONS_MAX; p++) {
		if (at[p] == PULL_NONE || s->end[p] == PULL_NONE)
			continue;
		snprintf(name, sizeof name, "%u", p);
		json_set_int(j, name, (int64_t)(s->end[p] - at[p]));
	}
	return j;
}

static int64_t
seconds_of(const struct supervisor *s, const char *name, int64_t otherwise_ms)
{
	const struct json *io = sandbox_pull_io(s->spec);
	struct period period;

	return (period_parse(json_get_text(io, name, ""), &period)
		       ? period_ms(&period)
		       : otherwise_ms) /
	    1000;
}

static void
add_rows(
    const struct supervisor *s, const struct pull_group *g, struct json *rows)
{
	int64_t since = g->is_publishing ? g->published_ms : g->created_ms;
	int64_t whole = g->is_publishing
	    ? seconds_of(s, "completionTimeout", COMPLETION_MS)
	    : seconds_of(s, "taskDuration", TASK_DURATION_MS);

	for (unsigned i = 0; i < g->task_count; i++) {
		struct json *row = json_new_object();

		json_set_text(row, "id", g->tasks[i]->id);
		json_set(row, "startingOffsets", offsets_of(g->start));
		json_set_time(row, "startTime", g->tasks[i]->created_ms);
		json_set_int(row, "remainingSeconds",
		    MAX_OF(whole - (clock_wall_ms() - since) / 1000, 0));
		json_set_text(
		    row, "type", g->is_publishing ? "PUBLISHING" : "ACTIVE");
		json_set(row, "currentOffsets", offsets_of(g->at));
		if (!g->is_publishing)
			json_set(row, "lag", lag_of(s, g->at));
		json_append(rows, row);
	}
}

/* Of the task that is farthest. */
static uint64_t
farthest(const struct supervisor *s, unsigned partition)
{
	uint64_t at = PULL_NONE;

	for (const struct pull_group *g = s->groups; g != NULL; g = g->next)
		if (g->at[partition] != PULL_NONE &&
		    (at == PULL_NONE || at < g->at[partition]))
			at = g->at[partition];
	return at;
}

/* Of what is stored when it is suspended, or no task has the partition; then
 * nothing stored counts as 0. */
static struct json *
least_lag(const struct supervisor *s)
{
	uint64_t at[PULL_PARTITIONS_MAX];

	for (unsigned p = 0; p < PULL_PARTITIONS_MAX; p++) {
		at[p] = s->is_suspended ? PULL_NONE : farthest(s, p);
		if (at[p] == PULL_NONE)
			at[p] = s->stored[p] != PULL_NONE ? s->stored[p] : 0;
	}
	return lag_of(s, at);
}

static void
set_lag(struct json *payload, const struct supervisor *s)
{
	struct json *lag = least_lag(s), *ends = offsets_of(s->end);
	int64_t sum = 0;

	for (struct json_member *m = json_first(lag); m != NULL;
	     m = json_next(lag, m))
		sum += json_int(json_member(m), 0);
	json_set(payload, "minimumLag", lag);
	json_set_int(payload, "aggregateLag", sum);
	if (json_size(ends) > 0) {
		json_set(payload, "latestOffsets", json_clone(ends));
		json_set_time(payload, "offsetsLastUpdated", clock_wall_ms());
	}
	json_free(&ends);
}

static unsigned
partitions_of(const struct supervisor *s)
{
	unsigned count = 0;

	for (unsigned p = 0; p < PULL_PARTITIONS_MAX; p++)
		count += s->stored[p] != PULL_NONE ||
		    s->earliest[p] != PULL_NONE || s->end[p] != PULL_NONE;
	return count;
}

static struct json *
payload_of(const struct supervisor *s, unsigned version)
{
	const struct json *io = sandbox_pull_io(s->spec);
	struct json *j = json_new_object();
	struct json *active = json_new_array(), *publishing = json_new_array();

	if (version >= DRUID_SUPERVISOR_ID)
		json_set_text(j, "id", s->id);
	json_set_text(j, "dataSource", s->ds);
	json_set_text(j, "stream", s->topic);
	json_set_int(j, "partitions", partitions_of(s));
	json_set_int(j, "replicas", json_get_int(io, "replicas", 1));
	json_set_int(j, "durationSeconds",
	    seconds_of(s, "taskDuration", TASK_DURATION_MS));
	for (const struct pull_group *g = s->groups; g != NULL; g = g->next)
		add_rows(s, g, g->is_publishing ? publishing : active);
	json_set(j, "activeTasks", active);
	json_set(j, "publishingTasks", publishing);
	set_lag(j, s);
	json_set_bool(j, "suspended", s->is_suspended);
	json_set_bool(j, "healthy", sandbox_supervisor_healthy(s));
	json_set_text(j, "state", plain_state(s));
	json_set_text(j, "detailedState", detailed_state(s));
	json_set(j, "recentErrors", json_clone(s->errors));
	return j;
}

struct json *
sandbox_supervisor_status(const struct supervisor *s, unsigned version)
{
	struct json *j = json_new_object();

	json_set_text(j, "id", s->id);
	json_set_time(j, "generationTime", clock_wall_ms());
	json_set(j, "payload", payload_of(s, version));
	return j;
}

/* ---- the truth ---- */

static struct json *
tasks_of(const struct supervisor *s)
{
	static const char *const states[] = { "RUNNING", "SUCCESS", "FAILED" };
	struct json *j = json_new_object();

	for (const struct pull_task *t = s->tasks; t != NULL; t = t->next)
		json_set_text(j, t->id, states[t->state]);
	return j;
}

static struct json *
truth_of_group(const struct pull_group *g)
{
	struct json *j = json_new_object();

	json_set_text(j, "name", g->name);
	json_set_int(j, "number", g->number);
	json_set_bool(j, "publishing", g->is_publishing);
	json_set(j, "start", offsets_of(g->start));
	json_set(j, "at", offsets_of(g->at));
	return j;
}

struct json *
sandbox_supervisor_truth(const struct supervisor *s)
{
	struct json *j = json_new_object(), *groups = json_new_array();

	for (const struct pull_group *g = s->groups; g != NULL; g = g->next)
		json_append(groups, truth_of_group(g));
	json_set_text(j, "dataSource", s->ds);
	json_set_text(j, "topic", s->topic);
	json_set(
	    j, "spec", s->spec != NULL ? json_clone(s->spec) : json_new_null());
	json_set_int(j, "posts", (int64_t)json_size(s->versions));
	json_set_bool(j, "suspended", s->is_suspended);
	json_set(j, "stored", offsets_of(s->stored));
	json_set(j, "end", offsets_of(s->end));
	json_set(j, "groups", groups);
	json_set(j, "tasks", tasks_of(s));
	return j;
}
