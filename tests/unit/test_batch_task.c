/*
 * test_batch_task - batch tasks as the Overlord gets them
 */
#include "batch_task.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "json.h"
#include "one_ds.h"

static const struct interval intervals[] = { { 0, 3600000 },
	{ 7200000, 10800000 } };
static const char rows[] = "{\"timestamp\":1,\"page\":\"a\\\"b\"}\n"
			   "{\"timestamp\":7200000,\"page\":\"\\u00fc\"}\n";

static struct json *
task_over(const struct ds_conf *ds, bool replaces, unsigned interval_count)
{
	struct batch_task t = { .id = "an id",
		.intervals = intervals,
		.interval_count = interval_count,
		.replaces = replaces,
		.rows = rows,
		.row_bytes = strlen(rows) };
	struct json_error error;
	struct json *j;
	struct buf b;

	buf_init(&b, MiB);
	batch_task_print(ds, &t, &b);
	assert_non_null(buf_text(&b));
	j = json_parse(b.bytes, b.used, &error);
	if (j == NULL)
		fail_msg("%s: %s", error.text, b.bytes);
	buf_free(&b);
	return j;
}

static struct json *
task_of(const struct ds_conf *ds, bool replaces)
{
	return task_over(ds, replaces, ARRAY_LEN(intervals));
}

static void
expect(const struct json *j, const char *text)
{
	struct json *wanted = json_parse(text, strlen(text), NULL);
	char *found = json_to_text(j);

	assert_non_null(wanted);
	if (!json_same(j, wanted))
		fail_msg("%s, not %s", found, text);
	free(found);
	json_free(&wanted);
}

static void
test_append(void **state)
{
	struct conf *conf = one_ds(NULL, "\"druid.overlord.url\":\"http://x\"");
	struct json *task = task_of(&conf->ds[0], false);
	const struct json *spec = json_get(task, "spec"), *io;

	(void)state;
	assert_string_equal(json_get_text(task, "type", ""), "index_parallel");
	assert_string_equal(json_get_text(task, "id", ""), "an id");
	expect(json_get(task, "context"), "{\"useConcurrentLocks\":true}");
	expect(json_get(spec, "dataSchema"),
	    "{\"dataSource\":\"foo\","
	    "\"timestampSpec\":{\"column\":\"timestamp\",\"format\":\"millis\"}"
	    ","
	    "\"dimensionsSpec\":{\"dimensions\":[\"page\",\"user\"]},"
	    "\"metricsSpec\":[{\"type\":\"count\",\"name\":\"count\"}],"
	    "\"granularitySpec\":{\"type\":\"uniform\","
	    "\"segmentGranularity\":\"HOUR\",\"queryGranularity\":\"NONE\","
	    "\"intervals\":["
	    "\"1970-01-01T00:00:00.000Z/1970-01-01T01:00:00.000Z\","
	    "\"1970-01-01T02:00:00.000Z/1970-01-01T03:00:00.000Z\"]}}");
	io = json_get(spec, "ioConfig");
	assert_true(json_get_bool(io, "appendToExisting", false));
	assert_null(json_get(io, "dropExisting"));
	assert_string_equal(
	    json_get_text(json_get(io, "inputSource"), "data", ""), rows);
	expect(json_get(io, "inputFormat"), "{\"type\":\"json\"}");
	expect(json_get(json_get(spec, "tuningConfig"), "partitionsSpec"),
	    "{\"type\":\"dynamic\",\"maxRowsPerSegment\":5000000}");
	json_free(&task);
	conf_free(&conf);
}

/* The newer form of a dataSchema, and what goes through as it is. */
static void
test_newer_form(void **state)
{
	static const char spec[] =
	    "{\"dataSchema\":{\"dataSource\":\"foo\","
	    "\"timestampSpec\":{\"column\":\"t\",\"format\":\"iso\"},"
	    "\"dimensionsSpec\":{\"dimensions\":[{\"type\":\"long\","
	    "\"name\":\"n\"}]},\"metricsSpec\":[],"
	    "\"transformSpec\":{\"transforms\":[]},"
	    "\"granularitySpec\":{\"segmentGranularity\":\"DAY\","
	    "\"rollup\":false,\"intervals\":[\"2000/2001\"]}}}";
	struct conf *conf = one_ds(spec, "\"druid.overlord.url\":\"http://x\"");
	struct json *task = task_of(&conf->ds[0], false);
	const struct json *schema =
	    json_get(json_get(task, "spec"), "dataSchema");
	const struct json *g = json_get(schema, "granularitySpec");

	(void)state;
	expect(json_get(schema, "timestampSpec"),
	    "{\"column\":\"t\",\"format\":\"millis\"}");
	expect(json_get(schema, "dimensionsSpec"),
	    "{\"dimensions\":[{\"type\":\"long\",\"name\":\"n\"}]}");
	expect(json_get(schema, "transformSpec"), "{\"transforms\":[]}");
	assert_false(json_get_bool(g, "rollup", true));
	assert_int_equal(json_size(json_get(g, "intervals")), 2);
	json_free(&task);
	/* Druid looks for them in the rows, not in those of the spec */
	task = task_over(&conf->ds[0], false, 0);
	schema = json_get(json_get(task, "spec"), "dataSchema");
	assert_null(json_get(json_get(schema, "granularitySpec"), "intervals"));
	json_free(&task);
	conf_free(&conf);
}

static void
test_replace(void **state)
{
	struct conf *conf = one_ds(NULL, "\"druid.overlord.url\":\"http://x\"");
	struct json *task = task_of(&conf->ds[0], true);
	const struct json *io = json_get(json_get(task, "spec"), "ioConfig");

	(void)state;
	assert_false(json_get_bool(io, "appendToExisting", true));
	assert_true(json_get_bool(io, "dropExisting", false));
	json_free(&task);
	conf_free(&conf);
}

static void
test_id(void **state)
{
	struct conf *conf = one_ds(NULL, "\"druid.overlord.url\":\"http://x\"");
	char *id = batch_task_id(
	    &conf->ds[0], "0123abcd-4567-89ab-cdef-0123456789ab", 42, 3);

	(void)state;
	assert_string_equal(id, "append_foo_0123abcd-42_a3");
	free(id);
	conf_free(&conf);
}

static void
test_no_room(void **state)
{
	struct conf *conf = one_ds(NULL, "\"druid.overlord.url\":\"http://x\"");
	struct batch_task t = { .id = "x",
		.intervals = intervals,
		.interval_count = 1,
		.rows = rows,
		.row_bytes = strlen(rows) };
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	batch_task_print(&conf->ds[0], &t, &b);
	assert_null(buf_text(&b));
	buf_free(&b);
	conf_free(&conf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_append),
		cmocka_unit_test(test_newer_form),
		cmocka_unit_test(test_replace),
		cmocka_unit_test(test_id),
		cmocka_unit_test(test_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
