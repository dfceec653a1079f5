/*
 * test_log_floor - what is committed, by what the supervisor shows: each way
 * in which that may deceive
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "floor_status.h"
#include "log_floor.h"

#define ASKS_MAX 16

struct rig {
	struct log_floor *floor;
	int64_t now_ms;
	const char *leader;
};

static int
set_up(void **state)
{
	struct rig *r = must_calloc(1, sizeof *r);

	r->floor = log_floor_new(FLOOR_TOPIC, 2, LOG_FLOOR_AGREE_MS);
	r->leader = "http://one:8081";
	*state = r;
	return 0;
}

static int
tear_down(void **state)
{
	struct rig *r = *state;

	log_floor_free(&r->floor);
	free(r);
	return 0;
}

static void
answer(struct rig *r, struct json *status)
{
	log_floor_status(r->floor, status, r->leader, r->now_ms);
	json_free(&status);
}

/* "reads g1_a 0:100, publishes g0_a 0:0 1:5"; a minute later. */
static struct json *
rows(const char *state, const char *text)
{
	struct json *status = floor_status(state);
	char *all = must_strdup(text), *rest = all, *one;

	while (*text != '\0' && (one = strsep(&rest, ",")) != NULL) {
		char verb[16], id[64];
		int used;

		assert_int_equal(
		    sscanf(one, " %15s %63s%n", verb, id, &used), 2);
		floor_row(status,
		    strcmp(verb, "reads") == 0 ? "activeTasks"
					       : "publishingTasks",
		    id, floor_offsets(one + used));
	}
	free(all);
	return status;
}

static void
show(struct rig *r, const char *text)
{
	r->now_ms += LOG_FLOOR_AGREE_MS;
	answer(r, rows("RUNNING", text));
}

/* Long enough to be agreed. */
static void
show_twice(struct rig *r, const char *text)
{
	show(r, text);
	show(r, text);
}

static void
end(struct rig *r, const char *task, enum task_state state)
{
	log_floor_task(r->floor, task, state);
}

static void
expect(struct rig *r, unsigned partition, uint64_t floor)
{
	assert_int_equal(log_floor_removable(r->floor, partition), floor);
}

static void
expect_asks(struct rig *r, const char *wanted)
{
	const char *ids[ASKS_MAX];
	unsigned n = log_floor_asks(r->floor, ids, ASKS_MAX);
	char text[512] = "";

	for (unsigned i = 0; i < n; i++)
		snprintf(text + strlen(text), sizeof text - strlen(text),
		    "%s%s", i > 0 ? " " : "", ids[i]);
	assert_string_equal(text, wanted);
}

static unsigned
notes(struct rig *r)
{
	struct json *j = json_new_array();
	size_t count;

	log_floor_describe(r->floor, j);
	count = json_size(j);
	json_free(&j);
	return (unsigned)count;
}

/* Written to the spool and read by the next worker. */
static void
restart(struct rig *r)
{
	struct json *document = log_floor_document(r->floor), *again;

	log_floor_free(&r->floor);
	r->floor = log_floor_new(FLOOR_TOPIC, 2, LOG_FLOOR_AGREE_MS);
	assert_true(log_floor_restore(r->floor, document));
	assert_false(log_floor_changed(r->floor));
	again = log_floor_document(r->floor);
	assert_true(json_same(document, again));
	json_free(&document);
	json_free(&again);
}

/* Generations at 100, 200, … with the publishing one beside. */
static void
test_steady(void **state)
{
	struct rig *r = *state;

	show_twice(r, "reads g1_a 0:100");
	expect(r, 0, 0);
	show_twice(r, "reads g2_a 0:200, publishes g1_a 0:100");
	expect(r, 0, 0);
	show_twice(r, "reads g2_a 0:200");
	expect_asks(r, "g1_a");
	expect(r, 0, 0);
	end(r, "g1_a", TASK_SUCCESS);
	/* 100 is where the group began that has succeeded now */
	expect(r, 0, 100);
	expect_asks(r, "");
	show_twice(r, "reads g3_a 0:300, publishes g2_a 0:200");
	expect(r, 0, 100);
	show(r, "reads g3_a 0:300");
	end(r, "g2_a", TASK_SUCCESS);
	expect(r, 0, 100); /* said once only */
	show(r, "reads g3_a 0:300");
	expect(r, 0, 200);
	expect(r, 1, 0);
	assert_int_equal(notes(r), 0);
}

/* Each partition has its own, whatever group it is in. */
static void
test_partitions(void **state)
{
	struct rig *r = *state;

	show_twice(r, "reads g1_a 0:100 1:1000");
	show_twice(r, "reads g2_a 0:200 1:2000");
	end(r, "g1_a", TASK_SUCCESS);
	expect(r, 0, 100);
	expect(r, 1, 1000);
	/* two groups from here on; one of them is behind */
	show_twice(r,
	    "reads h1_a 0:300, reads k1_a 1:3000, publishes g2_a "
	    "0:200 1:2000");
	show_twice(r, "reads h1_a 0:300, reads k1_a 1:3000");
	end(r, "g2_a", TASK_SUCCESS);
	expect(r, 0, 200);
	expect(r, 1, 2000);
	show_twice(r, "reads h2_a 0:400, reads k1_a 1:3000");
	end(r, "h1_a", TASK_SUCCESS);
	expect(r, 0, 300);
	expect(r, 1, 2000);
}

/* A replica or a replacement that has succeeded is enough; one of them that
 * failed says nothing. */
static void
test_replicas(void **state)
{
	struct rig *r = *state;

	show_twice(r, "reads g1_a 0:100, reads g1_b 0:100");
	show_twice(r, "reads g1_b 0:100, reads g1_c 0:100");
	show_twice(r, "reads g2_a 0:200");
	expect_asks(r, "g1_a g1_b g1_c");
	end(r, "g1_a", TASK_FAILED);
	end(r, "g1_b", TASK_RUNNING);
	expect(r, 0, 0);
	expect_asks(r, "g1_b g1_c");
	end(r, "g1_c", TASK_SUCCESS);
	expect(r, 0, 100);
}

/* Hole a: for a moment the successor of a group that failed stands alone. */
static void
test_hole_a(void **state)
{
	struct rig *r = *state;

	show_twice(r, "reads g1_a 0:100");
	show(r, "reads g2_a 0:200, publishes g1_a 0:100");
	show(r, "reads g2_a 0:200");
	end(r, "g1_a", TASK_FAILED);
	expect(r, 0, 0);
	/* even if the moment lasts */
	show_twice(r, "reads g2_a 0:200");
	expect(r, 0, 0);
	assert_int_equal(notes(r), 1);
	/* the same is read again, under the same name */
	show_twice(r, "reads g1_b 0:100");
	end(r, "g2_a", TASK_FAILED);
	expect(r, 0, 0);
	assert_int_equal(notes(r), 0);
	show_twice(r, "reads g3_a 0:250");
	expect(r, 0, 0);
	end(r, "g1_b", TASK_SUCCESS);
	expect(r, 0, 100);
}

/* What publishes beside a group that fails is not what reads the same again. */
static void
test_beside(void **state)
{
	struct rig *r = *state;

	show_twice(r, "reads g1_a 0:100");
	show_twice(r, "reads g2_a 0:200, publishes g1_a 0:100");
	show_twice(r, "reads g3_a 0:250, publishes g1_a 0:100");
	end(r, "g2_a", TASK_FAILED);
	assert_int_equal(notes(r), 1);
	show_twice(r, "reads g3_a 0:250");
	end(r, "g1_a", TASK_SUCCESS);
	show_twice(r, "reads g3_a 0:250");
	assert_int_equal(notes(r), 1);
	expect(r, 0, 0);
}

/* A group comes again under its name: how its first tasks ended says nothing
 * about what the new ones do. */
static void
test_same_name(void **state)
{
	struct rig *r = *state;

	show_twice(r, "reads g1_a 0:100");
	show(r, "");
	expect_asks(r, "g1_a");
	show_twice(r, "reads g1_b 0:100");
	show_twice(r, "reads g2_a 0:200");
	expect_asks(r, "g1_b");
	end(r, "g1_a", TASK_SUCCESS);
	expect(r, 0, 0);
	end(r, "g1_b", TASK_SUCCESS);
	expect(r, 0, 100);
}

/* Hole b: behind another leader, or by a new supervisor, groups are found one
 * by one. */
static void
test_hole_b(void **state)
{
	struct rig *r = *state;

	show_twice(r, "reads g1_a 0:100");
	show(r, "reads g2_a 0:200, publishes g1_a 0:100");
	r->leader = "http://two:8081";
	show_twice(r, "reads g2_a 0:200");
	end(r, "g1_a", TASK_RUNNING);
	expect(r, 0, 0);
	expect_asks(r, "g1_a");
	/* found; it is the same one as before */
	show_twice(r, "reads g2_a 0:200, publishes g1_a 0:100");
	show(r, "reads g2_a 0:200");
	end(r, "g1_a", TASK_SUCCESS);
	expect(r, 0, 0);
	r->leader = "http://one:8081";
	show(r, "reads g2_a 0:200");
	expect(r, 0, 0); /* the other leader has said it once */
	answer(r, rows("CREATING_TASKS", "reads g2_a 0:200"));
	show(r, "reads g2_a 0:200");
	expect(r, 0, 0);
	show(r, "reads g2_a 0:200");
	expect(r, 0, 100);
}

/* Hole c: nothing was stored, so that Druid committed the second range
 * although the first one had failed. */
static void
test_hole_c(void **state)
{
	struct rig *r = *state;

	show_twice(r, "reads g0_a 0:50");
	show_twice(r, "reads g1_a 0:100, publishes g0_a 0:50");
	show_twice(r, "reads g1_a 0:100");
	end(r, "g0_a", TASK_FAILED);
	show_twice(r, "reads g2_a 0:200, publishes g1_a 0:100");
	show_twice(r, "reads g2_a 0:200");
	end(r, "g1_a", TASK_SUCCESS);
	show_twice(r, "reads g3_a 0:300");
	end(r, "g2_a", TASK_SUCCESS);
	expect(r, 0, 0);
	assert_int_equal(notes(r), 1);
}

/* Hole d: no group reads the partition. */
static void
test_hole_d(void **state)
{
	struct rig *r = *state;

	show_twice(r, "reads g1_a 0:100");
	show_twice(r, "");
	end(r, "g1_a", TASK_SUCCESS);
	show_twice(r, "");
	expect(r, 0, 0);
	show_twice(r, "reads x_a 1:5");
	expect(r, 0, 0);
	/* one that publishes is none that reads */
	show_twice(r, "publishes g2_a 0:200");
	expect(r, 0, 0);
	answer(r, floor_status("SUSPENDED"));
	show_twice(r, "reads g3_a 0:300, publishes g2_a 0:200");
	expect(r, 0, 100);
}

/* Hole e: a task that was stopped has succeeded, and published nothing. */
static void
test_hole_e(void **state)
{
	struct rig *r = *state;

	show_twice(r, "reads g1_a 0:100");
	show_twice(r, "reads g2_a 0:200");
	end(r, "g1_a", TASK_SUCCESS); /* published: 200 is committed */
	expect(r, 0, 100);
	show_twice(r, "reads g3_a 0:300");
	end(r, "g2_a", TASK_SUCCESS); /* and this one lies */
	expect(r, 0, 200);
	/* what it had is read again */
	show_twice(r, "reads g2_b 0:200");
	end(r, "g3_a", TASK_FAILED);
	expect(r, 0, 200);
	assert_int_equal(notes(r), 0);
	show_twice(r, "reads g4_a 0:350");
	expect(r, 0, 200);
	end(r, "g2_b", TASK_SUCCESS);
	expect(r, 0, 200);
	show_twice(r, "reads g5_a 0:450");
	end(r, "g4_a", TASK_SUCCESS);
	expect(r, 0, 350);
}

/* An answer that does not come, or makes no sense, begins the minute anew. */
static void
test_unknown(void **state)
{
	static const char *const bad[] = { "null", "{}", "{\"payload\":{}}",
		"{\"payload\":{\"stream\":\"other\",\"suspended\":false,"
		"\"detailedState\":\"RUNNING\",\"activeTasks\":[{\"id\":"
		"\"g2_a\",\"startingOffsets\":{\"0\":200}}]}}",
		"{\"payload\":{\"stream\":\"" FLOOR_TOPIC "\",\"suspended\":"
		"false,\"detailedState\":\"RUNNING\",\"activeTasks\":[{\"id\":"
		"\"g2_a\"}]}}",
		"{\"payload\":{\"stream\":\"" FLOOR_TOPIC "\",\"suspended\":"
		"false,\"detailedState\":\"RUNNING\",\"activeTasks\":[{\"id\":"
		"\"noname\",\"startingOffsets\":{\"0\":200}}]}}",
		"{\"payload\":{\"stream\":\"" FLOOR_TOPIC "\",\"suspended\":"
		"false,\"detailedState\":\"RUNNING\",\"activeTasks\":[{\"id\":"
		"\"g2_a\",\"startingOffsets\":{\"2\":200}}]}}",
		"{\"payload\":{\"stream\":\"" FLOOR_TOPIC "\",\"suspended\":"
		"false,\"detailedState\":\"RUNNING\",\"activeTasks\":[{\"id\":"
		"\"g2_a\",\"startingOffsets\":{\"t:0\":200}}]}}",
		"{\"payload\":{\"stream\":\"" FLOOR_TOPIC "\",\"suspended\":"
		"false,\"detailedState\":\"RUNNING\",\"activeTasks\":[{\"id\":"
		"\"g2_a\",\"startingOffsets\":{\"0\":-1}}]}}",
		"{\"payload\":{\"stream\":\"" FLOOR_TOPIC "\",\"suspended\":"
		"false,\"detailedState\":\"RUNNING\",\"activeTasks\":{}}}" };
	struct rig *r = *state;

	show_twice(r, "reads g1_a 0:100");
	show(r, "reads g2_a 0:200");
	end(r, "g1_a", TASK_SUCCESS);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		r->now_ms += LOG_FLOOR_AGREE_MS;
		answer(r, json_parse(bad[i], strlen(bad[i]), NULL));
		show(r, "reads g2_a 0:200");
		expect(r, 0, 0);
	}
	answer(r, NULL);
	show(r, "reads g2_a 0:200");
	r->now_ms -= 1;
	show(r, "reads g2_a 0:200");
	expect(r, 0, 0); /* not yet a minute */
	show(r, "reads g2_a 0:200");
	expect(r, 0, 100);
}

/* Offsets that were reset in Druid: what is there yet stays. */
static void
test_rewound(void **state)
{
	struct rig *r = *state;

	show_twice(r, "reads g1_a 0:100");
	show_twice(r, "reads g2_a 0:200");
	end(r, "g1_a", TASK_SUCCESS);
	expect(r, 0, 100);
	show(r, "reads x1_a 0:60");
	expect(r, 0, 0);
	assert_int_equal(log_floor_known(r->floor, 0), 100);
	assert_int_equal(notes(r), 1);
	end(r, "g2_a", TASK_FAILED);
	restart(r);
	expect(r, 0, 0);
	show_twice(r, "reads x1_a 0:60");
	show_twice(r, "reads x2_a 0:90");
	end(r, "x1_a", TASK_SUCCESS);
	expect(r, 0, 0); /* 60 is committed */
	show_twice(r, "reads x3_a 0:140");
	end(r, "x2_a", TASK_SUCCESS);
	expect(r, 0, 0); /* 90 */
	show_twice(r, "reads x4_a 0:240");
	end(r, "x3_a", TASK_SUCCESS);
	expect(r, 0, 140);
	assert_int_equal(notes(r), 0);
}

/* What one worker has seen the next one knows. */
static void
test_restart(void **state)
{
	struct rig *r = *state;

	assert_false(log_floor_changed(r->floor));
	show_twice(r, "reads g1_a 0:100 1:7");
	assert_true(log_floor_changed(r->floor));
	show(r, "reads g1_a 0:100 1:7");
	assert_false(log_floor_changed(r->floor));
	restart(r);
	show(r, "reads g2_a 0:200 1:8");
	restart(r);
	show(r, "reads g2_a 0:200 1:8");
	expect_asks(r, "g1_a");
	restart(r);
	end(r, "g1_a", TASK_SUCCESS);
	restart(r);
	show(r, "reads g2_a 0:200 1:8");
	expect(r, 0, 0); /* the minute is the worker's own */
	show(r, "reads g2_a 0:200 1:8");
	expect(r, 0, 100);
	expect(r, 1, 7);
	restart(r);
	expect(r, 0, 100);
}

/* While nobody looked, generations have come and gone. */
static void
test_away(void **state)
{
	struct rig *r = *state;

	show_twice(r, "reads g1_a 0:100");
	restart(r);
	show_twice(r, "reads g7_a 0:700");
	expect(r, 0, 0);
	end(r, "g1_a", TASK_SUCCESS);
	expect(r, 0, 100);
	restart(r);
	/* Druid has forgotten the task: no witness for 700, one for 900 */
	show_twice(r, "reads g9_a 0:900");
	end(r, "g7_a", TASK_ABSENT);
	expect(r, 0, 100);
	assert_int_equal(notes(r), 1);
	show_twice(r, "reads g7_b 0:700");
	show_twice(r, "reads g9_b 0:900");
	end(r, "g7_b", TASK_SUCCESS);
	end(r, "g9_a", TASK_FAILED);
	expect(r, 0, 700);
}

/* Where nothing that began there is known to have succeeded, it is not the
 * floor, whatever was agreed. */
static void
test_no_witness(void **state)
{
	struct rig *r = *state;
	static const char text[] = "{\"version\":1,\"topic\":\"" FLOOR_TOPIC
				   "\",\"turn\":9,\"partitions\":[{\"floor\":5,"
				   "\"agreed\":100}],\"groups\":[]}";
	struct json *j = json_parse(text, strlen(text), NULL);

	assert_true(log_floor_restore(r->floor, j));
	json_free(&j);
	show_twice(r, "reads g2_a 0:200");
	expect(r, 0, 5);
	show_twice(r, "reads g3_a 0:300");
	end(r, "g2_a", TASK_SUCCESS);
	expect(r, 0, 200);
}

static void
suspended(struct rig *r, const char *end_at, const char *lag,
    const char *updated, const char *text)
{
	struct json *status = rows("SUSPENDED", text);
	struct json *payload = json_get(status, "payload");

	json_set(payload, "latestOffsets", floor_offsets(end_at));
	json_set(payload, "minimumLag", floor_offsets(lag));
	if (updated != NULL)
		json_set_text(payload, "offsetsLastUpdated", updated);
	r->now_ms += LOG_FLOOR_AGREE_MS;
	answer(r, status);
}

/* A supervisor that is suspended counts from what is committed. */
static void
test_exact(void **state)
{
	struct rig *r = *state;

	show_twice(r, "reads g1_a 0:100");
	show_twice(r, "reads g2_a 0:200");
	end(r, "g1_a", TASK_FAILED);
	assert_int_equal(notes(r), 1);
	/* while there are tasks it counts from what they have read */
	suspended(r, "0:900", "0:1", "t1", "publishes g2_a 0:200");
	suspended(r, "0:900", "0:1", "t2", "publishes g2_a 0:200");
	expect(r, 0, 0);
	suspended(r, "0:900", "0:700", "t2", "");
	suspended(r, "0:900", "0:700", "t2", "");
	expect(r, 0, 0); /* it has not looked again since */
	suspended(r, "0:950", "0:750", "t3", "");
	expect(r, 0, 200);
	assert_int_equal(notes(r), 0);
	expect_asks(r, "");
	/* the end is not known, nothing is stored, less than nothing */
	suspended(r, "", "0:0", "t4", "");
	suspended(r, "", "0:0", "t5", "");
	suspended(r, "0:1000 1:1000", "0:1000", "t6", "");
	suspended(r, "0:1000 1:1000", "0:1000", "t7", "");
	suspended(r, "0:1000", "0:-5", "t8", "");
	suspended(r, "0:1000", "0:-5", "t9", "");
	expect(r, 0, 200);
	expect(r, 1, 0);
	/* and on from there */
	show_twice(r, "reads g5_a 0:200");
	show_twice(r, "reads g6_a 0:950");
	end(r, "g5_a", TASK_SUCCESS);
	expect(r, 0, 200);
	/* reset, while it was suspended */
	suspended(r, "0:1000", "0:900", "u1", "");
	suspended(r, "0:1000", "0:900", "u2", "");
	suspended(r, "0:1000", "0:900", "u3", "");
	expect(r, 0, 0);
	assert_int_equal(log_floor_known(r->floor, 0), 200);
}

/* More than there is room for: nothing moves, until they are settled. */
static void
test_many_groups(void **state)
{
	struct rig *r = *state;
	char text[64];

	show_twice(r, "reads g1_a 0:100");
	for (unsigned i = 0; i < LOG_FLOOR_GROUPS_MAX + 10; i++) {
		snprintf(text, sizeof text, "reads n%u_a 0:%u", i, 1000 + i);
		show(r, text);
	}
	assert_true(notes(r) > 0);
	end(r, "g1_a", TASK_SUCCESS);
	show_twice(r, text);
	expect(r, 0, 0);
	suspended(r, "0:2000", "0:500", "t1", "");
	suspended(r, "0:2000", "0:500", "t2", "");
	expect(r, 0, 1500);
	assert_int_equal(notes(r), 0);
}

/* Tasks that keep failing are replaced many times. */
static void
test_many_tasks(void **state)
{
	struct rig *r = *state;
	char text[64];

	show_twice(r, "reads g1_a 0:100, reads g1_b 0:100");
	for (unsigned i = 0; i < 2 * LOG_FLOOR_TASKS_MAX; i++) {
		snprintf(text, sizeof text,
		    "reads g1_a 0:100, reads g1_%u 0:100", i);
		show(r, text);
	}
	show_twice(r, "reads g2_a 0:200");
	snprintf(text, sizeof text, "g1_%u", 2 * LOG_FLOOR_TASKS_MAX - 1);
	end(r, text, TASK_SUCCESS);
	expect(r, 0, 100);
}

/* offsets: NULL: it does not answer. */
static void
committed(struct rig *r, const char *offsets)
{
	struct json *j = offsets != NULL ? floor_offsets(offsets) : NULL;

	log_floor_committed(r->floor, j);
	json_free(&j);
}

/* It has the word, at the next status. */
static void
test_source(void **state)
{
	struct rig *r = *state;

	log_floor_ask_source(r->floor);
	committed(r, "0:100");
	expect(r, 0, 0); /* whose is it? */
	show(r, "reads g1_a 0:100 1:5");
	expect(r, 0, 100);
	assert_true(log_floor_changed(r->floor));
	show(r, "reads g1_a 0:100 1:5");
	assert_false(log_floor_changed(r->floor));
	/* what is gone by the rule is not gone by the source */
	show_twice(r, "reads g2_a 0:200 1:7, publishes g1_a 0:100 1:5");
	show_twice(r, "reads g3_a 0:300 1:9");
	end(r, "g1_a", TASK_SUCCESS);
	end(r, "g2_a", TASK_SUCCESS);
	show_twice(r, "reads g3_a 0:300 1:9");
	show_twice(r, "reads g4_a 0:400 1:9");
	expect(r, 0, 100);
	/* without a group behind it, and not by what was said long ago */
	committed(r, "0:300 1:7 5:9");
	committed(r, NULL);
	show(r, "reads g4_a 0:400 1:9");
	expect(r, 0, 100);
	committed(r, "0:300 1:7 5:9");
	show(r, "reads g4_a 0:400 1:9");
	expect(r, 0, 300);
	expect(r, 1, 7);
	assert_int_equal(notes(r), 0);
}

/* Of a supervisor that does not read this log, or is not known to, it says
 * nothing: somebody else's commits may be meant. */
static void
test_source_of_whom(void **state)
{
	static const char *const states[] = { "PENDING", "RUNNING", "SUSPENDED",
		"UNABLE_TO_CONNECT_TO_STREAM" };
	struct rig *r = *state;

	log_floor_ask_source(r->floor);
	show(r, "reads g1_a 0:100");
	committed(r, "0:200");
	expect(r, 0, 0);
	answer(r, NULL);
	expect(r, 0, 0);
	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		answer(r, rows(states[i], "publishes g1_a 0:100"));
		answer(r, rows(states[i], ""));
		expect(r, 0, 0);
	}
	show(r, "reads g2_a 0:200");
	expect(r, 0, 200);
}

/* A group's task has handed segments over and reads on. A replica of it, or what
 * replaces it while another group publishes, may begin where the group did. */
static void
test_source_is_ahead_of_a_group(void **state)
{
	struct rig *r = *state;

	log_floor_ask_source(r->floor);
	committed(r, "0:150");
	show_twice(r, "reads g1_a 0:100, reads g1_b 0:100");
	expect(r, 0, 100);
	committed(r, "0:200");
	show_twice(r, "reads g2_a 0:200, publishes g1_b 0:100");
	expect(r, 0, 100);
	show(r, "reads g2_a 0:200");
	expect(r, 0, 200);
}

static void
test_source_is_set_back(void **state)
{
	struct rig *r = *state;

	log_floor_ask_source(r->floor);
	committed(r, "0:200");
	show(r, "reads g1_a 0:200");
	expect(r, 0, 200);
	committed(r, "0:150");
	show(r, "reads g1_a 0:200");
	expect(r, 0, 0);
	assert_int_equal(notes(r), 1);
	restart(r);
	log_floor_ask_source(r->floor);
	show(r, "reads g1_b 0:150");
	expect(r, 0, 0);
	assert_int_equal(log_floor_known(r->floor, 0), 200);
	committed(r, "0:200");
	show(r, "reads g1_b 0:150");
	expect(r, 0, 0);
	show(r, "reads g2_a 0:210");
	expect(r, 0, 200);
	assert_int_equal(notes(r), 0);
}

/* Somebody has set Druid's offsets back, and the source does not say so yet. */
static void
test_source_is_late(void **state)
{
	struct rig *r = *state;

	log_floor_ask_source(r->floor);
	committed(r, "0:200");
	show(r, "reads g1_a 0:200");
	committed(r, "0:300");
	show(r, "reads g2_a 0:50");
	expect(r, 0, 0);
	assert_int_equal(log_floor_known(r->floor, 0), 200);
	assert_int_equal(notes(r), 1);
}

/* The rule goes on by itself when the source is taken away. */
static void
test_source_is_given_up(void **state)
{
	struct rig *r = *state;

	log_floor_ask_source(r->floor);
	show(r, "reads g1_a 0:100");
	committed(r, "0:200");
	show(r, "reads g2_a 0:200");
	restart(r);
	show_twice(r, "reads g2_a 0:200");
	expect(r, 0, 200);
	show_twice(r, "reads g3_a 0:300");
	end(r, "g2_a", TASK_SUCCESS);
	show_twice(r, "reads g4_a 0:400");
	end(r, "g3_a", TASK_SUCCESS);
	show_twice(r, "reads g4_a 0:400");
	expect(r, 0, 300);
}

static void
test_bad_documents(void **state)
{
	static const char *const bad[] = { "null", "[]", "{}",
		"{\"version\":2,\"topic\":\"" FLOOR_TOPIC "\"}",
		"{\"version\":1,\"topic\":\"other\"}",
		"{\"version\":1,\"topic\":\"" FLOOR_TOPIC "\",\"turn\":-1}",
		"{\"version\":1,\"topic\":\"" FLOOR_TOPIC "\",\"partitions\":"
		"[{\"floor\":5},{\"floor\":\"x\"}]}",
		"{\"version\":1,\"topic\":\"" FLOOR_TOPIC "\",\"partitions\":"
		"[{},{},{}]}",
		"{\"version\":1,\"topic\":\"" FLOOR_TOPIC "\",\"partitions\":"
		"[{\"floor\":5}],\"groups\":[{}]}",
		"{\"version\":1,\"topic\":\"" FLOOR_TOPIC "\",\"partitions\":"
		"[{\"floor\":5}],\"groups\":[{\"name\":\"g\",\"starts\":"
		"{\"9\":1}}]}",
		"{\"version\":1,\"topic\":\"" FLOOR_TOPIC "\",\"partitions\":"
		"[{\"floor\":5}],\"groups\":[{\"name\":\"g\",\"tasks\":"
		"{\"g_a\":99}}]}",
		"{\"version\":1,\"topic\":\"" FLOOR_TOPIC "\",\"partitions\":"
		"[{\"floor\":5}],\"groups\":[{\"name\":\"g\"},{\"name\":"
		"\"g\"}]}" };
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct json *j = json_parse(bad[i], strlen(bad[i]), NULL);

		assert_non_null(j);
		if (log_floor_restore(r->floor, j))
			fail_msg("taken: %s", bad[i]);
		json_free(&j);
		expect(r, 0, 0);
		expect_asks(r, "");
	}
	/* it is as new */
	test_steady(state);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_steady),
		CASE(test_partitions),
		CASE(test_replicas),
		CASE(test_hole_a),
		CASE(test_beside),
		CASE(test_same_name),
		CASE(test_hole_b),
		CASE(test_hole_c),
		CASE(test_hole_d),
		CASE(test_hole_e),
		CASE(test_unknown),
		CASE(test_rewound),
		CASE(test_restart),
		CASE(test_away),
		CASE(test_no_witness),
		CASE(test_exact),
		CASE(test_many_groups),
		CASE(test_many_tasks),
		CASE(test_source),
		CASE(test_source_of_whom),
		CASE(test_source_is_ahead_of_a_group),
		CASE(test_source_is_set_back),
		CASE(test_source_is_late),
		CASE(test_source_is_given_up),
		CASE(test_bad_documents),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
