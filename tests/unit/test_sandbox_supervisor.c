/*
 * test_sandbox_supervisor - what becomes of a supervisor's groups and offsets,
 * and what Druid shows of it
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "panic.h"
#include "sandbox_supervisor.h"

#define D31 DRUID(31, 0, 0)
#define D34 DRUID(34, 0, 0)

struct rig {
	struct store store;
	struct violations violations;
	struct supervisors all;
};

static int
set_up(void **state)
{
	struct rig *r = must_calloc(1, sizeof *r);

	sandbox_store_init(&r->store, true, MiB);
	sandbox_supervisor_init(&r->all, &r->store, &r->violations);
	*state = r;
	return 0;
}

static int
tear_down(void **state)
{
	struct rig *r = *state;

	sandbox_supervisor_clear(&r->all);
	sandbox_store_clear(&r->store);
	free(r);
	return 0;
}

static struct json *
parse(const char *text)
{
	struct json *j = json_parse(text, strlen(text), NULL);

	assert_non_null(j);
	return j;
}

/* `io`: further members of ioConfig; `more`: of the whole. */
static struct json *
spec(const char *io, const char *more)
{
	char *text = must_format(
	    "{\"type\":\"kafka\",\"spec\":{\"dataSchema\":{\"dataSource\":"
	    "\"foo\",\"timestampSpec\":{},\"granularitySpec\":{}},"
	    "\"ioConfig\":{\"topic\":\"foo\",\"inputFormat\":{},"
	    "\"useEarliestOffset\":true,\"consumerProperties\":"
	    "{\"bootstrap.servers\":\"tq1:9094\"}%s}}%s}",
	    io, more);
	struct json *j = parse(text);

	free(text);
	return j;
}

static struct supervisor *
post_as(struct rig *r, const char *io, const char *more, unsigned version)
{
	struct json *j = spec(io, more);
	struct supervisor_wish w = { .spec = j, .version = version };

	assert_int_equal(sandbox_supervisor_post(&r->all, &w), SUPERVISOR_MADE);
	json_free(&j);
	return w.made;
}

static struct supervisor *
post(struct rig *r)
{
	return post_as(r, "", "", D34);
}

/* {"do": …}; how many were changed. */
static int64_t
tell(struct rig *r, const char *members)
{
	char *text = must_format("{\"id\":\"foo\",%s}", members);
	struct json *command = parse(text), *answer;
	char why[PULL_WHY_BYTES];
	int64_t changed;

	answer = sandbox_supervisor_do(&r->all, command, why);
	assert_non_null(answer);
	changed = json_get_int(answer, "changed", -1);
	json_free(&answer);
	json_free(&command);
	free(text);
	return changed;
}

static void
reset_to(struct supervisor *s, const char *map)
{
	char *text =
	    must_format("{\"type\":\"kafka\",\"partitions\":{\"type\":\"end\","
			"\"stream\":\"foo\",\"partitionOffsetMap\":%s}}",
		map);
	struct json *body = parse(text);
	char why[PULL_WHY_BYTES];

	assert_true(sandbox_supervisor_reset(s, body, why));
	json_free(&body);
	free(text);
}

static void
read_to(struct supervisor *s, unsigned partition, uint64_t offset)
{
	struct pull_group *g = sandbox_supervisor_reader(s, partition);

	assert_non_null(g);
	sandbox_supervisor_read(s, g, partition, offset);
}

/* One that has read from 100 to before 150. */
static struct supervisor *
reading(struct rig *r)
{
	struct supervisor *s = post(r);

	reset_to(s, "{\"0\":100}");
	read_to(s, 0, 150);
	return s;
}

/* What this group's first task does; how many were changed. */
static int64_t
tell_of(struct rig *r, const char *what, const struct pull_group *g)
{
	char *members =
	    must_format("\"do\":\"%s\",\"task\":\"%s\"", what, g->tasks[0]->id);
	int64_t changed = tell(r, members);

	free(members);
	return changed;
}

static uint64_t
reader_starts(const struct supervisor *s, unsigned partition)
{
	const struct pull_group *g = sandbox_supervisor_reader(s, partition);

	return g != NULL ? g->start[partition] : PULL_NONE;
}

static unsigned
groups(const struct supervisor *s)
{
	unsigned count = 0;

	for (const struct pull_group *g = s->groups; g != NULL; g = g->next)
		count++;
	return count;
}

/* ---- the way of offsets ---- */

static void
test_seeded_while_suspended(void **state)
{
	struct rig *r = *state;
	struct supervisor *s = post_as(r, "", ",\"suspended\":true", D34);

	assert_int_equal(groups(s), 0);
	reset_to(s, "{\"0\":100}");
	assert_int_equal(groups(s), 0);
	assert_ptr_equal(post(r), s);
	assert_int_equal(groups(s), 1);
	assert_int_equal(reader_starts(s, 0), 100);
	assert_int_equal(sandbox_violation_total(&r->violations), 0);
}

static void
test_generations(void **state)
{
	struct rig *r = *state;
	struct supervisor *s = post(r);
	const struct pull_task *first;

	/* nobody has said where the log begins */
	assert_int_equal(groups(s), 0);
	reset_to(s, "{\"0\":100}");
	first = s->tasks;
	read_to(s, 0, 150);
	assert_int_equal(tell(r, "\"do\":\"roll\""), 1);
	assert_int_equal(groups(s), 2);
	assert_int_equal(reader_starts(s, 0), 150);
	assert_int_equal(s->stored[0], 100);
	assert_int_equal(first->state, PULL_RUNNING);
	assert_int_equal(tell(r, "\"do\":\"commit\""), 1);
	assert_int_equal(s->stored[0], 150);
	assert_int_equal(first->state, PULL_SUCCESS);
	assert_int_equal(groups(s), 1);
	assert_int_equal(tell(r, "\"do\":\"commit\""), 0);
}

static void
test_order_of_commits(void **state)
{
	struct rig *r = *state;
	struct supervisor *s = reading(r);

	tell(r, "\"do\":\"roll\"");
	read_to(s, 0, 170);
	tell(r, "\"do\":\"roll\"");
	assert_int_equal(
	    tell_of(r, "commit", s->groups->next), 0); /* it waits */
	assert_int_equal(groups(s), 3);
	assert_int_equal(tell(r, "\"do\":\"commit\""), 2);
	assert_int_equal(s->stored[0], 170);
}

/* apache/druid#10922: without stored offsets a later range may come first */
static void
test_nothing_stored(void **state)
{
	struct rig *r = *state;
	struct supervisor *s = post(r);

	tell(r, "\"do\":\"earliest\",\"partition\":0,\"offset\":100");
	assert_int_equal(reader_starts(s, 0), 100);
	read_to(s, 0, 150);
	tell(r, "\"do\":\"roll\"");
	read_to(s, 0, 170);
	tell(r, "\"do\":\"roll\"");
	assert_int_equal(tell_of(r, "commit", s->groups->next), 1);
	assert_int_equal(s->stored[0], 170);
	/* the first one comes too late: all begin again */
	assert_int_equal(tell(r, "\"do\":\"commit\""), 0);
	assert_int_equal(s->stored[0], 170);
	assert_int_equal(reader_starts(s, 0), 170);
	assert_int_equal(groups(s), 1);
}

static void
test_reading_task_fails(void **state)
{
	struct rig *r = *state;
	struct supervisor *s = post(r);
	struct pull_task *first;
	char *name;

	reset_to(s, "{\"0\":100}");
	first = s->tasks;
	(void)sandbox_supervisor_source(s, s->groups);
	read_to(s, 0, 150);
	name = must_strdup(s->groups->name);
	assert_int_equal(tell(r, "\"do\":\"fail\""), 1);
	assert_int_equal(first->state, PULL_FAILED);
	assert_true(first->source->is_lost);
	assert_int_equal(reader_starts(s, 0), 100);
	assert_int_equal(s->groups->at[0], 100);
	assert_string_equal(s->groups->name, name);
	assert_string_not_equal(s->groups->tasks[0]->id, first->id);
	/* SUCCESS is no proof */
	assert_int_equal(tell(r, "\"do\":\"stop\""), 1);
	assert_int_equal(first->next->state, PULL_SUCCESS);
	assert_int_equal(s->stored[0], 100);
	free(name);
}

static void
test_publishing_task_fails(void **state)
{
	struct rig *r = *state;
	struct supervisor *s = reading(r);

	tell(r, "\"do\":\"roll\"");
	read_to(s, 0, 170);
	assert_int_equal(tell_of(r, "fail", s->groups), 1);
	assert_int_equal(groups(s), 1);
	assert_int_equal(reader_starts(s, 0), 100);
	for (const struct pull_task *t = s->tasks; t->next != NULL; t = t->next)
		assert_int_equal(t->state, PULL_FAILED);
}

static void
test_rewound(void **state)
{
	struct rig *r = *state;
	struct supervisor *s = reading(r);

	tell(r, "\"do\":\"roll\"");
	tell(r, "\"do\":\"commit\"");
	assert_int_equal(
	    tell(r, "\"do\":\"rewind\",\"partition\":0,\"offset\":120"), 1);
	assert_int_equal(reader_starts(s, 0), 120);
	assert_int_equal(sandbox_violation_total(&r->violations), 0);
	reset_to(s, "{\"0\":120}"); /* the same */
	assert_int_equal(sandbox_violation_total(&r->violations), 0);
	reset_to(s, "{\"0\":130}");
	assert_int_equal(r->violations.count[VIOLATION_OFFSETS_MOVED], 1);
	/* all of them */
	tell(r, "\"do\":\"lose\"");
	assert_int_equal(s->stored[0], PULL_NONE);
}

/* A group that publishes when offsets are set fails, and what came of it. */
static void
test_reset_under_a_publication(void **state)
{
	struct rig *r = *state;
	struct supervisor *s = reading(r);

	tell(r, "\"do\":\"roll\"");
	tell(r, "\"do\":\"rewind\",\"partition\":0,\"offset\":120");
	assert_int_equal(reader_starts(s, 0), 120);
	assert_int_equal(groups(s), 2);
	assert_int_equal(tell(r, "\"do\":\"commit\""), 0);
	assert_int_equal(groups(s), 1);
	assert_int_equal(reader_starts(s, 0), 120);
	assert_int_equal(s->stored[0], 120);
}

static void
test_suspended_and_resumed(void **state)
{
	struct rig *r = *state;
	struct supervisor *s = reading(r);

	assert_false(sandbox_supervisor_suspend(s, false));
	assert_true(sandbox_supervisor_suspend(s, true));
	assert_false(sandbox_supervisor_suspend(s, true));
	assert_true(s->groups->is_publishing);
	assert_true(sandbox_supervisor_suspend(s, false));
	assert_int_equal(reader_starts(s, 0), 150);
	tell(r, "\"do\":\"commit\"");
	assert_int_equal(s->stored[0], 150);
}

static void
test_terminated(void **state)
{
	struct rig *r = *state;
	struct supervisor *s = reading(r);

	sandbox_supervisor_terminate(s);
	assert_null(sandbox_supervisor_find(&r->all, "foo"));
	tell(r, "\"do\":\"commit\""); /* its task publishes on its own */
	assert_int_equal(groups(s), 0);
	assert_ptr_equal(post(r), s);
	assert_int_equal(reader_starts(s, 0), 150);
}

/* Partition modulo taskCount. */
static void
test_two_groups(void **state)
{
	struct rig *r = *state;
	struct supervisor *s =
	    post_as(r, ",\"taskCount\":2,\"replicas\":2", "", D34);
	struct json *one = parse("[1]"), *two = parse("[2]");

	reset_to(s, "{\"0\":0,\"1\":10,\"2\":20}");
	assert_int_equal(groups(s), 2);
	assert_ptr_equal(
	    sandbox_supervisor_reader(s, 0), sandbox_supervisor_reader(s, 2));
	assert_int_equal(s->groups->task_count, 2);
	read_to(s, 1, 15);
	assert_true(sandbox_supervisor_hand_off(s, one));
	assert_false(sandbox_supervisor_hand_off(s, two));
	assert_int_equal(groups(s), 3);
	assert_int_equal(reader_starts(s, 1), 15);
	assert_int_equal(reader_starts(s, 2), 20);
	json_free(&one);
	json_free(&two);
}

/* ---- by version ---- */

static enum supervisor_post
repost(struct rig *r, const char *io, unsigned version)
{
	struct json *j = spec(io, "");
	struct supervisor_wish w = { .spec = j, .version = version };
	enum supervisor_post result = sandbox_supervisor_post(&r->all, &w);

	json_free(&j);
	return result;
}

static void
test_versions(void **state)
{
	struct rig *r = *state;

	assert_string_equal(
	    post_as(r, "", ",\"id\":\"foo-tq1\"", D34)->id, "foo-tq1");
	assert_string_equal(
	    post_as(r, "", ",\"id\":\"foo-tq1\"", D31)->id, "foo");
	free(r->all.first->next->topic);
	r->all.first->next->topic = must_strdup("bar");
	assert_int_equal(repost(r, "", D34), SUPERVISOR_STREAM);
	assert_int_equal(repost(r, "", D31), SUPERVISOR_MADE);
	assert_int_equal(repost(r, "", D34), SUPERVISOR_MADE);
}

static void
test_unmodified(void **state)
{
	struct rig *r = *state;
	struct supervisor *s = post(r);
	struct json *j = spec("", "");
	struct supervisor_wish w = {
		.spec = j, .version = D34, .skips_same = true
	};

	reset_to(s, "{\"0\":100}");
	assert_int_equal(sandbox_supervisor_post(&r->all, &w), SUPERVISOR_MADE);
	assert_false(w.is_modified || w.is_restarted);
	assert_int_equal(groups(s), 1);
	w.skips_same = false;
	assert_int_equal(sandbox_supervisor_post(&r->all, &w), SUPERVISOR_MADE);
	assert_true(!w.is_modified && w.is_restarted);
	assert_int_equal(groups(s), 2);
	json_free(&j);
}

static void
refuses(struct rig *r, const char *text, const char *why)
{
	struct json *j = parse(text);
	struct supervisor_wish w = { .spec = j, .version = D34 };

	assert_int_equal(
	    sandbox_supervisor_post(&r->all, &w), SUPERVISOR_REFUSED);
	assert_non_null(strstr(w.why, why));
	assert_null(r->all.first);
	json_free(&j);
}

static void
test_refused(void **state)
{
	struct rig *r = *state;

	refuses(r, "{}", "dataSource");
	refuses(r, "{\"spec\":{\"dataSchema\":{\"dataSource\":\"a\"}}}",
	    "granularitySpec");
	refuses(r,
	    "{\"spec\":{\"dataSchema\":{\"dataSource\":\"a\","
	    "\"timestampSpec\":{},\"granularitySpec\":{}}}}",
	    "topic");
}

static void
test_commands_refused(void **state)
{
	static const char *const wrong[] = { "{}",
		"{\"id\":\"bar\",\"do\":\"roll\"}",
		"{\"id\":\"foo\",\"do\":\"dance\"}",
		"{\"id\":\"foo\",\"do\":\"end\",\"partition\":0}",
		("{\"id\":\"foo\",\"do\":\"end\",\"partition\":64,"
		 "\"offset\":1}") };
	struct rig *r = *state;
	char why[PULL_WHY_BYTES];

	post(r);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct json *j = parse(wrong[i]);

		assert_null(sandbox_supervisor_do(&r->all, j, why));
		assert_true(strlen(why) > 0);
		json_free(&j);
	}
}

static void
test_reset_refused(void **state)
{
	static const char *const wrong[] = { "{}",
		"{\"type\":\"kafka\",\"partitions\":{\"stream\":\"bar\","
		"\"partitionOffsetMap\":{\"0\":1}}}",
		"{\"type\":\"kafka\",\"partitions\":{\"stream\":\"foo\","
		"\"partitionOffsetMap\":{}}}",
		"{\"type\":\"kafka\",\"partitions\":{\"stream\":\"foo\","
		"\"partitionOffsetMap\":{\"x\":1}}}" };
	struct rig *r = *state;
	struct supervisor *s = post(r);
	char why[PULL_WHY_BYTES];

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct json *j = parse(wrong[i]);

		assert_false(sandbox_supervisor_reset(s, j, why));
		assert_int_equal(s->stored[0], PULL_NONE);
		json_free(&j);
	}
}

/* ---- what is shown ---- */

static void
shows(const struct json *payload, const char *name, const char *text)
{
	struct json *want = parse(text);

	assert_non_null(json_get(payload, name));
	assert_true(json_same(json_get(payload, name), want));
	json_free(&want);
}

static void
test_status(void **state)
{
	struct rig *r = *state;
	struct supervisor *s = reading(r);
	struct json *j;
	const struct json *payload, *row;

	tell(r, "\"do\":\"roll\"");
	read_to(s, 0, 160);
	tell(r, "\"do\":\"end\",\"partition\":0,\"offset\":172");
	j = sandbox_supervisor_status(s, D34);
	payload = json_get(j, "payload");
	shows(payload, "id", "\"foo\"");
	shows(payload, "stream", "\"foo\"");
	shows(payload, "detailedState", "\"RUNNING\"");
	shows(payload, "suspended", "false");
	shows(payload, "latestOffsets", "{\"0\":172}");
	shows(payload, "minimumLag", "{\"0\":12}");
	shows(payload, "aggregateLag", "12");
	assert_int_equal(json_size(json_get(payload, "activeTasks")), 1);
	row = json_at(json_get(payload, "activeTasks"), 0);
	shows(row, "startingOffsets", "{\"0\":150}");
	shows(row, "currentOffsets", "{\"0\":160}");
	row = json_at(json_get(payload, "publishingTasks"), 0);
	shows(row, "startingOffsets", "{\"0\":100}");
	shows(row, "type", "\"PUBLISHING\"");
	json_free(&j);
	j = sandbox_supervisor_status(s, D31);
	assert_null(json_get(json_get(j, "payload"), "id"));
	json_free(&j);
}

/* Its lag is counted from what is stored: kafka-pull.md 5.5, source 3. */
static void
test_status_of_suspended(void **state)
{
	struct rig *r = *state;
	struct supervisor *s = reading(r);
	struct json *j;

	sandbox_supervisor_suspend(s, true);
	tell(r, "\"do\":\"end\",\"partition\":0,\"offset\":172");
	j = sandbox_supervisor_status(s, D34);
	shows(json_get(j, "payload"), "minimumLag", "{\"0\":72}");
	json_free(&j);
	tell(r, "\"do\":\"commit\"");
	j = sandbox_supervisor_status(s, D34);
	shows(json_get(j, "payload"), "minimumLag", "{\"0\":22}");
	shows(json_get(j, "payload"), "detailedState", "\"SUSPENDED\"");
	shows(json_get(j, "payload"), "activeTasks", "[]");
	json_free(&j);
	tell(r, "\"do\":\"rewind\",\"partition\":0,\"offset\":120");
	j = sandbox_supervisor_status(s, D34);
	shows(json_get(j, "payload"), "minimumLag", "{\"0\":52}");
	json_free(&j);
}

/* kafka-pull.md does not say so, a real one does. */
static void
test_knows_no_end_at_first(void **state)
{
	struct rig *r = *state;
	struct supervisor *s = post(r);
	struct json *j;

	reset_to(s, "{\"0\":100}");
	tell(r, "\"do\":\"end\",\"partition\":0,\"offset\":172");
	sandbox_supervisor_suspend(s, true);
	tell(r, "\"do\":\"commit\"");
	j = sandbox_supervisor_status(s, D34);
	shows(json_get(j, "payload"), "minimumLag", "{}");
	assert_null(json_get(json_get(j, "payload"), "latestOffsets"));
	assert_null(json_get(json_get(j, "payload"), "offsetsLastUpdated"));
	json_free(&j);
}

static void
test_pause(void **state)
{
	struct rig *r = *state;
	struct supervisor *s = reading(r);

	tell(r, "\"do\":\"pause\"");
	tell(r, "\"do\":\"roll\"");
	assert_int_equal(groups(s), 1);
	assert_null(sandbox_supervisor_reader(s, 0));
	tell(r, "\"do\":\"commit\"");
	assert_int_equal(groups(s), 0);
	tell(r, "\"do\":\"start\"");
	assert_int_equal(reader_starts(s, 0), 150);
}

/* One that has read nothing gives its name to the next one. */
static void
test_names(void **state)
{
	struct rig *r = *state;
	struct supervisor *s = post(r);
	const struct pull_group *g;

	reset_to(s, "{\"0\":100}");
	tell(r, "\"do\":\"roll\"");
	g = s->groups;
	assert_string_equal(g->name, g->next->name);
	assert_string_not_equal(g->tasks[0]->id, g->next->tasks[0]->id);
	read_to(s, 0, 101);
	tell(r, "\"do\":\"roll\"");
	assert_string_not_equal(g->name, g->next->next->name);
}

static void
test_told_state(void **state)
{
	struct rig *r = *state;
	struct supervisor *s = post(r);
	struct json *j;

	tell(r,
	    "\"do\":\"state\",\"state\":\"LOST_CONTACT_WITH_STREAM\","
	    "\"error\":\"no broker\"");
	assert_false(sandbox_supervisor_healthy(s));
	j = sandbox_supervisor_row(s, true);
	shows(j, "state", "\"UNHEALTHY_SUPERVISOR\"");
	shows(j, "detailedState", "\"LOST_CONTACT_WITH_STREAM\"");
	shows(j, "healthy", "false");
	json_free(&j);
	j = sandbox_supervisor_status(s, D34);
	shows(json_at(json_get(json_get(j, "payload"), "recentErrors"), 0),
	    "message", "\"no broker\"");
	json_free(&j);
	tell(r, "\"do\":\"state\"");
	assert_true(sandbox_supervisor_healthy(s));
}

static void
test_spec_is_shown_with_defaults(void **state)
{
	struct rig *r = *state;
	struct supervisor *s =
	    post_as(r, ",\"taskDuration\":\"PT1H\"", ",\"context\":{}", D34);
	const struct json *io = json_get(json_get(s->spec, "spec"), "ioConfig");
	struct json *history;

	shows(io, "taskDuration", "\"PT3600S\"");
	shows(io, "completionTimeout", "\"PT1800S\"");
	shows(io, "replicas", "1");
	shows(io, "stream", "\"foo\"");
	assert_null(json_get(io, "type"));
	assert_true(json_same(json_get(s->spec, "ioConfig"), io));
	shows(s->spec, "suspended", "false");
	shows(s->spec, "id", "\"foo\"");
	sandbox_supervisor_suspend(s, true);
	shows(s->spec, "suspended", "true");
	history = sandbox_supervisor_history(s);
	assert_int_equal(json_size(history), 2);
	shows(json_get(json_at(history, 0), "spec"), "suspended", "true");
	json_free(&history);
}

static void
test_tasks_are_known(void **state)
{
	struct rig *r = *state;
	struct supervisor *s = post(r), *of;
	const struct pull_task *t;

	reset_to(s, "{\"0\":100}");
	t = s->groups->tasks[0];
	/* index_kafka_<id>_<15 hex>_<8 letters> */
	assert_int_equal(strlen(t->id), strlen("index_kafka_foo_") + 15 + 9);
	assert_ptr_equal(sandbox_supervisor_task(&r->all, t->id, &of), t);
	assert_ptr_equal(of, s);
	assert_null(sandbox_supervisor_task(&r->all, "index_kafka_foo", &of));
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_seeded_while_suspended),
		TEST(test_generations),
		TEST(test_order_of_commits),
		TEST(test_nothing_stored),
		TEST(test_reading_task_fails),
		TEST(test_publishing_task_fails),
		TEST(test_rewound),
		TEST(test_reset_under_a_publication),
		TEST(test_suspended_and_resumed),
		TEST(test_terminated),
		TEST(test_two_groups),
		TEST(test_versions),
		TEST(test_unmodified),
		TEST(test_refused),
		TEST(test_commands_refused),
		TEST(test_reset_refused),
		TEST(test_status),
		TEST(test_status_of_suspended),
		TEST(test_knows_no_end_at_first),
		TEST(test_pause),
		TEST(test_names),
		TEST(test_told_state),
		TEST(test_spec_is_shown_with_defaults),
		TEST(test_tasks_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
