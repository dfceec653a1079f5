/*
 * test_kafka_retire - what is done with a supervisor whose log gets no more
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "kafka_retire.h"

#define TOPIC "foo"
#define UPDATED "2026-03-01T10:00:00.000Z"
#define LATER "2026-03-01T10:00:30.000Z"

struct log {
	uint64_t start[2], end[2];
};

static struct log log_of = { { 100, 500 }, { 150, 500 } };

static uint64_t
log_start(void *context, unsigned partition)
{
	return ((struct log *)context)->start[partition];
}

static uint64_t
log_end(void *context, unsigned partition)
{
	return ((struct log *)context)->end[partition];
}

static struct json *
text_json(const char *text)
{
	struct json *j = json_parse(text, strlen(text), NULL);

	assert_non_null(j);
	return j;
}

static enum kafka_retire_step
next(struct kafka_retire *r, const char *payload, char *text)
{
	struct json *j = text_json(payload);
	enum kafka_retire_step step;

	r->payload = j;
	step = kafka_retire_next(r, text);
	json_free(&j);
	return step;
}

/* A status of one that is suspended and has no tasks. */
static void
tell_exact(struct log_floor *f, const char *updated, int lag, int64_t now_ms)
{
	char text[600];
	struct json *j;

	snprintf(text, sizeof text,
	    "{\"payload\":{\"stream\":\"" TOPIC "\",\"suspended\":true,"
	    "\"detailedState\":\"SUSPENDED\",\"activeTasks\":[],"
	    "\"publishingTasks\":[],\"latestOffsets\":{\"0\":150,\"1\":500},"
	    "\"minimumLag\":{\"0\":%d,\"1\":0},\"offsetsLastUpdated\":\"%s\"}}",
	    lag, updated);
	j = text_json(text);
	log_floor_status(f, j, "leader", now_ms);
	json_free(&j);
}

static struct kafka_retire
begin(struct log_floor *f)
{
	return (struct kafka_retire){ .floor = f,
		.partitions = 2,
		.log_start = log_start,
		.log_end = log_end,
		.context = &log_of,
		.can = true };
}

/* Suspended when all is read, and not before. */
static void
test_reads_first(void **state UNUSED)
{
	struct log_floor *f = log_floor_new(TOPIC, 2, 0);
	struct kafka_retire r = begin(f);
	char text[KAFKA_RETIRE_BYTES];

	assert_int_equal(next(&r, "{}", text), KAFKA_RETIRE_WAIT);
	assert_string_equal(text, "has 50 events to read");
	assert_int_equal(next(&r,
			     "{\"activeTasks\":[{\"currentOffsets\":{}}],"
			     "\"publishingTasks\":[{\"currentOffsets\":"
			     "{\"0\":150}}]}",
			     text),
	    KAFKA_RETIRE_WAIT);
	assert_int_equal(next(&r,
			     "{\"activeTasks\":[{\"currentOffsets\":"
			     "{\"0\":149}}]}",
			     text),
	    KAFKA_RETIRE_WAIT);
	assert_string_equal(text, "has 1 events to read");
	assert_int_equal(next(&r,
			     "{\"activeTasks\":[{\"currentOffsets\":"
			     "{\"0\":149}},{\"currentOffsets\":"
			     "{\"0\":150}}]}",
			     text),
	    KAFKA_RETIRE_SUSPEND);
	r.can = false;
	assert_int_equal(next(&r,
			     "{\"activeTasks\":[{\"currentOffsets\":"
			     "{\"0\":150}}]}",
			     text),
	    KAFKA_RETIRE_WAIT);
	assert_non_null(strstr(text, "suspend it in Druid"));
	log_floor_free(&f);
}

/* With idleConfig it has no tasks when nothing comes: they would not show what
 * they have read. */
static void
test_idle(void **state UNUSED)
{
	struct log_floor *f = log_floor_new(TOPIC, 2, 0);
	struct kafka_retire r = begin(f);
	char text[KAFKA_RETIRE_BYTES];

	assert_int_equal(next(&r, "{\"detailedState\":\"RUNNING\"}", text),
	    KAFKA_RETIRE_WAIT);
	assert_int_equal(next(&r, "{\"detailedState\":\"IDLE\"}", text),
	    KAFKA_RETIRE_SUSPEND);
	log_floor_free(&f);
}

/* By us: until what is committed is known, and resumed when that is not all. */
static void
test_suspended(void **state UNUSED)
{
	struct log_floor *f = log_floor_new(TOPIC, 2, 0);
	struct kafka_retire r = begin(f);
	char text[KAFKA_RETIRE_BYTES];

	r.is_suspended = true;
	assert_int_equal(next(&r, "{}", text), KAFKA_RETIRE_WAIT);
	assert_non_null(strstr(text, "resume it"));
	r.by_us = true;
	assert_int_equal(next(&r, "{}", text), KAFKA_RETIRE_WAIT);
	assert_non_null(strstr(text, "publishes"));
	tell_exact(f, UPDATED, 10, 1);
	tell_exact(f, UPDATED, 10, 2);
	/* that may have been before it was suspended */
	assert_int_equal(next(&r, "{}", text), KAFKA_RETIRE_WAIT);
	assert_true(log_floor_exact(f, 0) == UINT64_MAX);
	tell_exact(f, LATER, 10, 3);
	assert_int_equal(log_floor_exact(f, 0), 140);
	assert_int_equal(next(&r, "{}", text), KAFKA_RETIRE_RESUME);
	r.can = false;
	assert_int_equal(next(&r, "{}", text), KAFKA_RETIRE_WAIT);
	r.can = true;
	/* all of it, which has not left the log yet */
	tell_exact(f, LATER, 0, 4);
	tell_exact(f, "later yet", 0, 5);
	assert_int_equal(log_floor_exact(f, 0), 150);
	assert_int_equal(next(&r, "{}", text), KAFKA_RETIRE_WAIT);
	log_floor_free(&f);
}

static void
test_empty(void **state UNUSED)
{
	struct log_floor *f = log_floor_new(TOPIC, 2, 0);
	struct log empty = { { 150, 500 }, { 150, 500 } };
	struct kafka_retire r = begin(f);
	char text[KAFKA_RETIRE_BYTES];

	r.context = &empty;
	for (unsigned i = 0; i < 8; i++) {
		r.can = i & 1;
		r.is_suspended = i & 2;
		r.by_us = i & 4;
		assert_int_equal(next(&r, "{}", text), KAFKA_RETIRE_END);
	}
	log_floor_free(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_first),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_suspended),
		cmocka_unit_test(test_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
