/*
 * test_task - names and JSON of tasks, as JVM Tranquility gives them
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "iso.h"
#include "json.h"
#include "one_ds.h"
#include "partition.h"
#include "task.h"

#define TEXT(text) text, strlen(text), NULL

static int64_t
at(const char *text)
{
	int64_t ms;

	assert_true(iso_parse(text, strlen(text), ISO_T, &ms));
	return ms;
}

static struct task_place
place(const char *start, const char *end)
{
	return (struct task_place){ .interval = { at(start), at(end) } };
}

static void
check(char *got, const char *expected)
{
	assert_string_equal(got, expected);
	free(got);
}

/* The task of druid-api.md 2.2, with the tuning that the file has. */
static void
test_golden(void **state)
{
	static const char spec[] =
	    "{\"dataSchema\":{\"dataSource\":\"foo\",\"parser\":{\"type\":"
	    "\"string\",\"parseSpec\":{\"format\":\"json\",\"timestampSpec\":{"
	    "\"column\":\"timestamp\",\"format\":\"auto\"},\"dimensionsSpec\":"
	    "{\"dimensions\":[\"page\",\"user\"],\"spatialDimensions\":[]}}},"
	    "\"metricsSpec\":[{\"type\":\"count\",\"name\":\"count\"}],"
	    "\"granularitySpec\":{\"type\":\"uniform\",\"segmentGranularity\":"
	    "\"HOUR\",\"queryGranularity\":{\"type\":\"none\"},\"rollup\":true,"
	    "\"intervals\":[\"2024-01-01/2025-01-01\"]}},\"tuningConfig\":{"
	    "\"type\":\"realtime\",\"maxRowsInMemory\":75000,"
	    "\"intermediatePersistPeriod\":\"PT10M\",\"maxPendingPersists\":0,"
	    "\"windowPeriod\":\"PT10M\",\"shardSpec\":{\"type\":\"none\"},"
	    "\"rejectionPolicy\":{\"type\":\"serverTime\"}}}";
	static const char expected[] =
	    "{\"type\":\"index_realtime\","
	    "\"id\":\"index_realtime_foo_2024-05-01T10:00:00.000Z_0_0\","
	    "\"resource\":{\"availabilityGroup\":"
	    "\"foo-2024-05-01T10:00:00.000Z-0000\",\"requiredCapacity\":1},"
	    "\"spec\":{\"dataSchema\":{\"dataSource\":\"foo\",\"parser\":{"
	    "\"type\":\"map\",\"parseSpec\":{\"format\":\"json\","
	    "\"timestampSpec\":{\"column\":\"timestamp\",\"format\":\"millis\","
	    "\"missingValue\":null},\"dimensionsSpec\":{\"dimensions\":["
	    "\"page\",\"user\"],\"spatialDimensions\":[]}}},"
	    "\"metricsSpec\":[{\"type\":\"count\",\"name\":\"count\"}],"
	    "\"granularitySpec\":{\"type\":\"uniform\","
	    "\"segmentGranularity\":\"HOUR\",\"queryGranularity\":{"
	    "\"type\":\"none\"},\"rollup\":true}},\"ioConfig\":{"
	    "\"type\":\"realtime\",\"plumber\":null,\"firehose\":{"
	    "\"type\":\"clipped\",\"interval\":"
	    "\"2024-05-01T10:00:00.000Z/2024-05-01T11:00:00.000Z\","
	    "\"delegate\":{\"type\":\"timed\",\"shutoffTime\":"
	    "\"2024-05-01T11:15:00.000Z\",\"delegate\":{\"type\":\"receiver\","
	    "\"serviceName\":\"firehose:druid:overlord:foo-010-0000-0000\","
	    "\"bufferSize\":100000}}}},\"tuningConfig\":{\"type\":\"realtime\","
	    "\"maxRowsInMemory\":75000,\"intermediatePersistPeriod\":\"PT10M\","
	    "\"maxPendingPersists\":0,\"windowPeriod\":\"PT10M\","
	    "\"shardSpec\":{\"type\":\"linear\",\"partitionNum\":0},"
	    "\"rejectionPolicy\":{\"type\":\"none\"}}}}";
	struct conf *conf = one_ds(spec, "\"druid.overlord.url\":\"http://x\"");
	struct task_place p =
	    place("2024-05-01T10:00:00Z", "2024-05-01T11:00:00Z");
	char *id = task_id(&conf->ds[0], &p, 0);
	char *firehose = task_firehose_id(&conf->ds[0], &p);
	struct json *got = task_json(&conf->ds[0], &p, id, firehose);
	struct json *want = json_parse(expected, strlen(expected), NULL);
	char *text = json_to_text(got);

	(void)state;
	assert_non_null(want);
	if (!json_same(got, want))
		assert_string_equal(text, expected);
	free(text);
	free(id);
	free(firehose);
	json_free(&got);
	json_free(&want);
	conf_free(&conf);
}

/* A partition's replicants differ in their names only. */
static void
test_partitions_and_replicants(void **state)
{
	struct conf *conf = one_ds(NULL,
	    "\"druid.overlord.url\":\"http://x\",\"druidBeam."
	    "firehoseGracePeriod\":\"PT1M\",\"druidBeam.firehoseBufferSize\":"
	    "5,\"druid.selectors.indexing.serviceName\":\"a/b/overlord\"");
	const struct ds_conf *ds = &conf->ds[0];
	struct task_place p =
	    place("2026-11-22T23:00:00Z", "2026-11-23T00:00:00Z");
	struct json *j, *firehose;

	(void)state;
	p.partition = 12;
	p.replicant = 3;
	check(task_firehose_id(ds, &p), "foo-023-0012-0003");
	check(task_id(ds, &p, 0),
	    "index_realtime_foo_2026-11-22T23:00:00.000Z_12_3");
	check(task_availability_group(ds, &p),
	    "foo-2026-11-22T23:00:00.000Z-0012");
	check(task_service_name(ds, "foo-023-0012-0003"),
	    "firehose:a:b:overlord:foo-023-0012-0003");
	assert_int_equal(
	    task_shutoff_ms(ds, &p.interval), at("2026-11-23T00:11:00Z"));
	j = task_json(ds, &p, "the-id", "foo-023-0012-0003");
	assert_string_equal(json_get_text(j, "id", ""), "the-id");
	assert_int_equal(
	    json_get_int(json_get(json_get(json_get(j, "spec"), "tuningConfig"),
			     "shardSpec"),
		"partitionNum", -1),
	    12);
	firehose = json_get(
	    json_get(
		json_get(json_get(json_get(j, "spec"), "ioConfig"), "firehose"),
		"delegate"),
	    "delegate");
	assert_string_equal(json_get_text(firehose, "serviceName", ""),
	    "firehose:a:b:overlord:foo-023-0012-0003");
	assert_int_equal(json_get_int(firehose, "bufferSize", 0), 5);
	json_free(&j);
	conf_free(&conf);
}

/* Replacements have names of their own; the first ones have Tranquility's. */
static void
test_attempts(void **state)
{
	struct conf *conf = one_ds(NULL, "\"druid.overlord.url\":\"http://x\"");
	const struct ds_conf *ds = &conf->ds[0];
	struct task_place p =
	    place("2026-11-22T10:00:00Z", "2026-11-22T11:00:00Z");

	(void)state;
	for (p.attempt = 0; p.attempt < 200; p.attempt += 7) {
		char *firehose = task_firehose_id(ds, &p);

		assert_int_equal(task_attempt(firehose), p.attempt);
		free(firehose);
	}
	p.attempt = 12;
	p.replicant = 1;
	check(task_firehose_id(ds, &p), "foo-010-0000-0001-r12");
	check(task_id(ds, &p, 0),
	    "index_realtime_foo_2026-11-22T10:00:00.000Z_0_1_r12");
	check(task_availability_group(ds, &p),
	    "foo-2026-11-22T10:00:00.000Z-0000-r12");
	assert_int_equal(task_attempt("foo-010-0000-0001"), 0);
	assert_int_equal(task_attempt("my-r5-010-0000-0001"), 0);
	assert_int_equal(task_attempt("x-r"), 0);
	assert_int_equal(task_attempt("x-r1x"), 0);
	assert_int_equal(task_attempt(""), 0);
	assert_int_equal(task_attempt("x-r99999999999999999999"), 0);
	conf_free(&conf);
}

static void
test_random_ids(void **state)
{
	struct conf *conf = one_ds(NULL,
	    "\"druid.overlord.url\":\"http://x\","
	    "\"druidBeam.randomizeTaskId\":true");
	const struct ds_conf *ds = &conf->ds[0];
	struct task_place p =
	    place("2026-11-22T10:00:00Z", "2026-11-22T11:00:00Z");

	(void)state;
	check(task_id(ds, &p, 0xfedcba98),
	    "index_realtime_foo_2026-11-22T10:00:00.000Z_0_0_ijklmnop");
	p.attempt = 2;
	check(task_id(ds, &p, 0x10),
	    "index_realtime_foo_2026-11-22T10:00:00.000Z_0_0_r2_abaaaaaa");
	check(task_firehose_id(ds, &p), "foo-010-0000-0000-r2");
	conf_free(&conf);
}

/* Cycles by granularity: tranquility.md 3. */
static void
test_cycles(void **state)
{
	static const struct {
		const char *granularity, *start, *firehose;
	} cases[] = {
		{ "SECOND", "2026-11-22T10:16:07Z", "foo-067-0000-0000" },
		{ "MINUTE", "2026-11-22T10:16:00Z", "foo-076-0000-0000" },
		{ "FIVE_MINUTE", "2026-11-22T11:15:00Z", "foo-135-0000-0000" },
		{ "TEN_MINUTE", "2026-11-22T12:10:00Z", "foo-010-0000-0000" },
		{ "FIFTEEN_MINUTE", "2026-11-22T01:45:00Z",
		    "foo-105-0000-0000" },
		{ "SIX_HOUR", "2026-11-22T18:00:00Z", "foo-018-0000-0000" },
		{ "DAY", "2026-11-22T00:00:00Z", "foo-022-0000-0000" },
		{ "WEEK", "2026-12-28T00:00:00Z", "foo-053-0000-0000" },
		{ "MONTH", "2026-11-01T00:00:00Z", "foo-011-0000-0000" },
		{ "YEAR", "2026-01-01T00:00:00Z", "foo-026-0000-0000" },
	};
	struct conf *conf = one_ds(NULL, "\"druid.overlord.url\":\"http://x\"");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct ds_conf ds = conf->ds[0];
		struct task_place p = { .interval.start = at(cases[i].start) };

		assert_true(granularity_parse(
		    cases[i].granularity, &ds.segment_granularity));
		check(task_firehose_id(&ds, &p), cases[i].firehose);
	}
	conf_free(&conf);
}

/* A zone's bucket goes to the task as a duration that starts with it. */
static void
test_period(void **state)
{
	static const char spec[] =
	    "{\"dataSchema\":{\"dataSource\":\"foo\",\"timestampSpec\":{},"
	    "\"dimensionsSpec\":{},\"metricsSpec\":[],\"granularitySpec\":{"
	    "\"segmentGranularity\":{\"type\":\"period\",\"period\":\"P1D\","
	    "\"timeZone\":\"America/Los_Angeles\"}}},\"tuningConfig\":{"
	    "\"windowPeriod\":\"P1M\"}}";
	struct conf *conf = one_ds(spec, "\"druid.overlord.url\":\"http://x\"");
	struct interval day = granularity_bucket(
	    &conf->ds[0].segment_granularity, at("2026-11-01T12:00:00Z"));
	struct task_place p = { .interval = day }, next = p;
	char *id = task_id(&conf->ds[0], &p, 0);
	struct json *j = task_json(&conf->ds[0], &p, id, "f");
	struct json *schema = json_get(json_get(j, "spec"), "dataSchema");
	char *text = json_to_text(json_get(schema, "granularitySpec"));
	char *firehose = task_firehose_id(&conf->ds[0], &p), *other;

	(void)state;
	assert_string_equal(text,
	    "{\"segmentGranularity\":{\"type\":\"duration\","
	    "\"duration\":90000000,\"origin\":\"2026-11-01T07:00:00.000Z\"},"
	    "\"type\":\"uniform\"}");
	assert_string_equal(
	    id, "index_realtime_foo_2026-11-01T07:00:00.000Z_0_0");
	/* clocks are set back in this night */
	assert_int_equal(day.end, at("2026-11-02T08:00:00Z"));
	/* a month, and the five minutes of firehoseGracePeriod */
	assert_int_equal(
	    task_shutoff_ms(&conf->ds[0], &day), at("2026-12-02T08:05:00Z"));
	next.interval =
	    granularity_bucket(&conf->ds[0].segment_granularity, day.end);
	other = task_firehose_id(&conf->ds[0], &next);
	assert_string_not_equal(firehose, other);
	free(other);
	free(firehose);
	free(text);
	json_free(&j);
	free(id);
	conf_free(&conf);
}

/* Newer files have no parser, and need not say what is the default. */
static void
test_new_schema(void **state)
{
	static const char spec[] =
	    "{\"dataSchema\":{\"dataSource\":\"foo\",\"timestampSpec\":{"
	    "\"column\":\"t\"},\"dimensionsSpec\":{\"dimensions\":[\"a\"]},"
	    "\"granularitySpec\":{},\"metricsSpec\":[],\"transformSpec\":{"
	    "\"transforms\":[]}}}";
	struct conf *conf = one_ds(spec, "\"druid.overlord.url\":\"http://x\"");
	struct task_place p =
	    place("2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z");
	struct json *j = task_json(&conf->ds[0], &p, "id", "f");
	struct json *schema = json_get(json_get(j, "spec"), "dataSchema");
	struct json *parse = json_get(json_get(schema, "parser"), "parseSpec");
	char *text = json_to_text(json_get(schema, "granularitySpec"));

	(void)state;
	assert_string_equal(text,
	    "{\"type\":\"uniform\","
	    "\"segmentGranularity\":\"day\"}");
	free(text);
	text = json_to_text(json_get(schema, "metricsSpec"));
	assert_string_equal(text, "[]");
	free(text);
	assert_string_equal(
	    json_get_text(json_get(parse, "timestampSpec"), "column", ""), "t");
	assert_string_equal(
	    json_text(json_at(json_get(json_get(parse, "dimensionsSpec"),
				  "dimensions"),
			  0),
		""),
	    "a");
	assert_non_null(json_get(schema, "transformSpec"));
	text = json_to_text(json_get(json_get(j, "spec"), "tuningConfig"));
	assert_string_equal(text,
	    "{\"type\":\"realtime\",\"windowPeriod\":\"PT10M\",\"shardSpec\":{"
	    "\"type\":\"linear\",\"partitionNum\":0},\"rejectionPolicy\":{"
	    "\"type\":\"none\"}}");
	free(text);
	json_free(&j);
	conf_free(&conf);
}

/* What Druid reads itself goes to it as it was written (druid-api.md 9.2, 9.3),
 * in either form of a dataSchema. */
#define DIMENSIONS                                                           \
	"{\"dimensions\":[\"s\",{\"type\":\"long\",\"name\":\"l\"},"         \
	"{\"type\":\"float\",\"name\":\"f\"},{\"type\":\"double\",\"name\":" \
	"\"d\"},{\"type\":\"json\",\"name\":\"j\"},{\"type\":\"auto\","      \
	"\"name\":"                                                          \
	"\"a\"},{\"type\":\"string\",\"name\":\"m\",\"multiValueHandling\":" \
	"\"SORTED_SET\",\"createBitmapIndex\":false}],"                      \
	"\"dimensionExclusions\":"                                           \
	"[\"x\"],\"spatialDimensions\":[{\"dimName\":\"at\",\"dims\":["      \
	"\"lat\","                                                           \
	"\"lon\"]}],\"useSchemaDiscovery\":false}"
#define METRICS                                                                \
	"[{\"type\":\"filtered\",\"filter\":{\"type\":\"selector\","           \
	"\"dimension\":\"unlisted\",\"value\":\"1\"},\"aggregator\":{"         \
	"\"type\":"                                                            \
	"\"doubleSum\",\"name\":\"sum\",\"fieldName\":\"in\"}},{\"type\":"     \
	"\"thetaSketch\",\"name\":\"t\",\"fieldName\":\"user\",\"size\":1024}" \
	"]"
#define GRANULARITIES                                                     \
	"{\"type\":\"uniform\",\"segmentGranularity\":\"HOUR\","          \
	"\"queryGranularity\":{\"type\":\"period\",\"period\":\"PT5M\"}," \
	"\"rollup\":false}"
#define TRANSFORMS                                                            \
	"{\"filter\":{\"type\":\"selector\",\"dimension\":\"unlisted\","      \
	"\"value\":\"1\"},\"transforms\":[{\"type\":\"expression\",\"name\":" \
	"\"e\",\"expression\":\"in * 2\"}]}"

static void
check_passed(const struct json *schema, const char *name, const char *expected)
{
	struct json *want = json_parse(TEXT(expected));

	assert_non_null(want);
	if (!json_same(json_get(schema, name), want))
		fail_msg("%s is not as it was written", name);
	json_free(&want);
}

static void
test_passed_through(void **state)
{
	static const char *const forms[] = {
		"\"timestampSpec\":{},\"dimensionsSpec\":" DIMENSIONS,
		"\"parser\":{\"type\":\"string\",\"parseSpec\":{\"format\":"
		"\"json\",\"timestampSpec\":{},\"dimensionsSpec\":" DIMENSIONS
		"}}",
	};
	struct task_place p =
	    place("2026-11-22T10:00:00Z", "2026-11-22T11:00:00Z");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		char *spec = must_format("{\"dataSchema\":{\"dataSource\":"
					 "\"foo\",%s,\"metricsSpec\":" METRICS
					 ",\"granularitySpec\":" GRANULARITIES
					 ",\"transformSpec\":" TRANSFORMS "}}",
		    forms[i]);
		struct conf *conf =
		    one_ds(spec, "\"druid.overlord.url\":\"http://x\"");
		struct json *j = task_json(&conf->ds[0], &p, "id", "f");
		const struct json *schema =
		    json_get(json_get(j, "spec"), "dataSchema");

		check_passed(json_get(json_get(schema, "parser"), "parseSpec"),
		    "dimensionsSpec", DIMENSIONS);
		check_passed(schema, "metricsSpec", METRICS);
		check_passed(schema, "granularitySpec", GRANULARITIES);
		check_passed(schema, "transformSpec", TRANSFORMS);
		json_free(&j);
		conf_free(&conf);
		free(spec);
	}
}

/* druid-api.md 2.4: no window, no clipping, names of its own. */
static void
test_any_time(void **state)
{
	static const char spec[] =
	    "{\"dataSchema\":{\"dataSource\":\"foo\",\"timestampSpec\":{"
	    "\"column\":\"t\"},\"dimensionsSpec\":{},\"metricsSpec\":[],"
	    "\"granularitySpec\":{\"segmentGranularity\":\"HOUR\"}},"
	    "\"tuningConfig\":{\"type\":\"realtime\",\"windowPeriod\":"
	    "\"PT20M\",\"rejectionPolicy\":{\"type\":\"none\"},"
	    "\"shardSpec\":{\"type\":\"none\"},\"maxRowsInMemory\":7,"
	    "\"maxRowsPerSegment\":9}}";
	struct conf *conf = one_ds(spec,
	    "\"druid.overlord.url\":\"http://x\","
	    "\"task.type\":\"index_realtime_appenderator\"");
	const struct ds_conf *ds = &conf->ds[0];
	struct task_place p =
	    place("2026-11-22T10:00:00Z", "2026-11-22T11:00:00Z");
	struct json *j, *expected;
	const struct json *inside;

	(void)state;
	p.partition = PARTITION_ANY_TIME + 3;
	check(task_id(ds, &p, 0),
	    "index_realtime_appenderator_foo_2026-11-22T10:00:00.000Z_3_0");
	check(task_firehose_id(ds, &p), "foo-010-0003-0000-a");
	check(task_availability_group(ds, &p),
	    "foo-2026-11-22T10:00:00.000Z-0003-a");
	assert_int_equal(task_attempt("foo-010-0003-0000-a"), 0);
	p.attempt = 4;
	check(task_firehose_id(ds, &p), "foo-010-0003-0000-a-r4");
	check(task_availability_group(ds, &p),
	    "foo-2026-11-22T10:00:00.000Z-0003-a-r4");
	assert_int_equal(task_attempt("foo-010-0003-0000-a-r4"), 4);
	j = task_json(ds, &p, "id", "f");
	assert_string_equal(
	    json_get_text(j, "type", ""), "index_realtime_appenderator");
	inside = json_get(json_get(j, "spec"), "tuningConfig");
	expected = json_parse(TEXT("{\"type\":\"realtime_appenderator\","
				   "\"maxRowsInMemory\":7,"
				   "\"maxRowsPerSegment\":9}"));
	assert_true(json_same(inside, expected));
	json_free(&expected);
	inside =
	    json_get(json_get(json_get(j, "spec"), "ioConfig"), "firehose");
	expected = json_parse(
	    TEXT("{\"type\":\"timed\",\"shutoffTime\":"
		 "\"2026-11-22T11:25:00.000Z\",\"delegate\":{"
		 "\"type\":\"receiver\",\"serviceName\":"
		 "\"firehose:druid:overlord:f\",\"bufferSize\":100000}}"));
	assert_true(json_same(inside, expected));
	json_free(&expected);
	json_free(&j);
	conf_free(&conf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_partitions_and_replicants),
		cmocka_unit_test(test_attempts),
		cmocka_unit_test(test_random_ids),
		cmocka_unit_test(test_cycles),
		cmocka_unit_test(test_period),
		cmocka_unit_test(test_new_schema),
		cmocka_unit_test(test_passed_through),
		cmocka_unit_test(test_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
