/*
 * test_kafka_spec - the supervisor that a dataSource's spec gives, and what is
 * made of the one that Druid shows
 *
 * Golden files: tests/golden/kafka/X.json (a dataSource, what is wished, and
 * the spec as Druid shows it) must give the text of X.ref: the supervisor, or
 * its problems. With TRANQ_GOLDEN_WRITE set they are written instead.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "golden.h"
#include "iso.h"
#include "kafka_spec.h"
#include "one_ds.h"

#define GOLDEN_MIN 5

struct rig {
	struct json *golden;
	struct conf *conf;
	struct kafka_spec_wish wish;
	struct json *problems, *made;
	char where[KAFKA_SPEC_WHERE_BYTES];
};

static void
make(struct rig *r)
{
	json_free(&r->problems);
	json_free(&r->made);
	r->problems = json_new_array();
	r->made = kafka_spec_make(&r->wish, r->problems);
	assert_int_equal(r->made == NULL, json_size(r->problems) > 0);
}

static void
read_conf(struct rig *r)
{
	const struct json *more = json_get(r->golden, "properties");
	char *spec = json_to_text(json_get(r->golden, "spec"));
	char *properties =
	    more != NULL ? json_to_text(more) : must_strdup("{}");
	char *all;

	properties[strlen(properties) - 1] = '\0';
	all = must_format("%s%s\"druid.overlord.url\":\"http://x\"",
	    properties + 1, properties[1] != '\0' ? "," : "");
	conf_free(&r->conf);
	r->conf = one_ds(spec, all);
	r->wish.ds = &r->conf->ds[0];
	r->wish.id = json_get_text(r->golden, "id", r->wish.ds->name);
	free(all);
	free(spec);
	free(properties);
}

/* `golden` is taken over. */
static void
set_up_from(struct rig *r, struct json *golden)
{
	assert_non_null(golden);
	*r = (struct rig){ .golden = golden };
	read_conf(r);
	r->wish.druid = (unsigned)json_get_int(golden, "druid", 0);
	r->wish.instance = "tq1";
	r->wish.log = "log-1";
	r->wish.servers = "tq1.example:9094";
	r->wish.topic = "tranqd-tq1";
	r->wish.partitions = (unsigned)json_get_int(golden, "partitions", 1);
	r->wish.tls = json_get_bool(golden, "tls", false);
	r->wish.sasl_mechanism = json_get_text(golden, "sasl", NULL);
	r->wish.task_duration_ms = ISO_HOUR_MS;
	r->wish.completion_timeout_ms = 30 * ISO_MINUTE_MS;
	make(r);
}

static void
set_up_file(struct rig *r, const char *path)
{
	char *text = golden_read(path);
	struct json_error e = { 0 };
	struct json *golden = json_parse(text, strlen(text), &e);

	if (golden == NULL)
		fail_msg("%s:%d: %s", path, e.line, e.text);
	free(text);
	set_up_from(r, golden);
}

static void
tear_down(struct rig *r)
{
	json_free(&r->golden);
	json_free(&r->problems);
	json_free(&r->made);
	conf_free(&r->conf);
}

static char *
text_of(const struct rig *r)
{
	struct buf b;
	char *text;

	buf_init(&b, MiB);
	if (r->made != NULL)
		json_print_pretty(r->made, &b);
	for (size_t i = 0; i < json_size(r->problems); i++)
		buf_addf(&b, "%s%s", i > 0 ? "\n" : "",
		    json_text(json_at(r->problems, i), ""));
	buf_add_text(&b, "\n");
	text = must_strdup(buf_must_text(&b));
	buf_free(&b);
	return text;
}

static enum kafka_spec_match
compare(struct rig *r, const struct json *found)
{
	return kafka_spec_compare(r->made, found, r->where);
}

static void
mark(struct json *found, const struct rig *r)
{
	json_set(found, "context", json_clone(json_get(r->made, "context")));
}

static void
check_golden(const char *path)
{
	struct rig r;
	char *ref = must_strdup(path), *got, *wanted;
	struct json *shown;

	set_up_file(&r, path);
	strcpy(strrchr(ref, '.'), ".ref");
	got = text_of(&r);
	if (getenv("TRANQ_GOLDEN_WRITE") != NULL)
		golden_write(ref, got);
	wanted = golden_read(ref);
	assert_string_equal(got, wanted);
	shown = json_get(r.golden, "shown");
	assert_int_equal(shown != NULL, r.made != NULL);
	if (shown != NULL) {
		assert_int_equal(compare(&r, shown), KAFKA_SPEC_FOREIGN);
		mark(shown, &r);
		if (compare(&r, shown) != KAFKA_SPEC_SAME)
			fail_msg("%s: differs at %s", path, r.where);
		assert_int_equal(compare(&r, r.made), KAFKA_SPEC_SAME);
	}
	free(got);
	free(wanted);
	free(ref);
	tear_down(&r);
}

static void
test_golden(void **state)
{
	glob_t found;

	(void)state;
	assert_int_equal(glob("tests/golden/kafka/*.json", 0, NULL, &found), 0);
	assert_true(found.gl_pathc >= GOLDEN_MIN);
	for (size_t i = 0; i < found.gl_pathc; i++)
		check_golden(found.gl_pathv[i]);
	globfree(&found);
}

static void
test_id(void **state)
{
	struct conf *conf = one_ds(NULL, "\"druid.overlord.url\":\"http://x\"");
	static const struct {
		const char *instance, *id;
		unsigned druid;
	} cases[] = { { "tq1", "foo", 31 }, { "tq1", "foo", 33 },
		{ "tq1", "foo-tq1", 34 }, { NULL, "foo", 34 },
		{ NULL, "foo", 31 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *id = kafka_spec_id(
		    &conf->ds[0], cases[i].instance, cases[i].druid);

		assert_string_equal(id, cases[i].id);
		free(id);
	}
	conf_free(&conf);
}

/* Another configuration is noticed wherever it differs, the order of members
 * is not. */
static void
test_old(void **state)
{
	static const char other[] =
	    "{\"tuningConfig\":{\"windowPeriod\":\"PT10M\","
	    "\"type\":\"realtime\"},"
	    "\"dataSchema\":{\"metricsSpec\":[{\"name\":\"n\",\"type\":"
	    "\"count\"}],\"dataSource\":\"foo\",\"timestampSpec\":{},"
	    "\"dimensionsSpec\":{}}}";
	static const char spec[] =
	    "{\"spec\":{\"dataSchema\":{\"dataSource\":\"foo\","
	    "\"timestampSpec\":{},\"dimensionsSpec\":{},\"metricsSpec\":"
	    "[{\"type\":\"count\",\"name\":\"n\"}]},\"tuningConfig\":{"
	    "\"type\":\"realtime\"}},\"druid\":36}";
	struct rig r;
	struct json *found;

	(void)state;
	set_up_from(&r, json_parse(spec, strlen(spec), NULL));
	found = json_clone(r.made);
	/* the window is not Druid's */
	json_set(r.golden, "spec", json_parse(other, strlen(other), NULL));
	read_conf(&r);
	make(&r);
	assert_int_equal(compare(&r, found), KAFKA_SPEC_SAME);
	r.wish.servers = "tq1.example:9095";
	make(&r);
	assert_int_equal(compare(&r, found), KAFKA_SPEC_OLD);
	r.wish.servers = "tq1.example:9094";
	r.wish.partitions = 2;
	make(&r);
	assert_int_equal(compare(&r, found), KAFKA_SPEC_GROWN);
	r.wish.partitions = 1;
	r.wish.instance = "tq2";
	make(&r);
	assert_int_equal(compare(&r, found), KAFKA_SPEC_OTHER);
	assert_string_equal(r.where, "tq1");
	json_free(&found);
	tear_down(&r);
}

struct edit {
	const char *path, *value; /* what somebody sets */
	const char *where; /* what is told; NULL: it means the same */
};

#define GRANULARITY "spec/dataSchema/granularitySpec/segmentGranularity"
#define DIMENSIONS "spec/dataSchema/dimensionsSpec/dimensions"
#define CONSUMER "spec/ioConfig/consumerProperties"

static const struct edit edits[] = {
	{ "spec/ioConfig/taskCount", "3", "spec.ioConfig.taskCount" },
	{ "spec/ioConfig/taskDuration", "\"PT3601S\"",
	    "spec.ioConfig.taskDuration" },
	{ "spec/ioConfig/taskDuration", "\"PT60M\"", NULL },
	{ "spec/ioConfig/useEarliestOffset", "false",
	    "spec.ioConfig.useEarliestOffset" },
	{ CONSUMER "/request.timeout.ms", "5",
	    "spec.ioConfig.consumerProperties.request.timeout.ms" },
	{ CONSUMER "/client.rack", "\"x\"", NULL },
	{ CONSUMER, "null", "spec.ioConfig.consumerProperties" },
	{ "spec/ioConfig/topic", "[]", "spec.ioConfig.topic" },
	{ GRANULARITY, "\"DAY\"",
	    "spec.dataSchema.granularitySpec.segmentGranularity" },
	{ GRANULARITY, "{\"type\":\"period\",\"period\":\"PT1H\"}", NULL },
	{ DIMENSIONS, "[\"page\",{\"type\":\"long\",\"name\":\"user\"}]",
	    "spec.dataSchema.dimensionsSpec.dimensions.1" },
	{ DIMENSIONS, "[\"page\"]",
	    "spec.dataSchema.dimensionsSpec.dimensions" },
	{ "spec/dataSchema/metricsSpec",
	    "[{\"type\":\"count\",\"name\":\"k\"},{\"type\":\"doubleSum\","
	    "\"name\":\"x\",\"fieldName\":\"x\"}]",
	    "spec.dataSchema.metricsSpec.0.name" },
	{ "spec/tuningConfig/maxRowsInMemory", "75000.0", NULL },
	{ "spec/tuningConfig/maxRowsInMemory", "\"75000\"", NULL },
	{ "spec/tuningConfig/maxRowsInMemory", "75001",
	    "spec.tuningConfig.maxRowsInMemory" },
};

static void
apply(struct json *to, const struct edit *e)
{
	char *path = must_strdup(e->path), *rest = path, *name;

	while ((name = strsep(&rest, "/")) != NULL && rest != NULL)
		to = json_get(to, name);
	assert_non_null(to);
	json_set(to, name, json_parse(e->value, strlen(e->value), NULL));
	free(path);
}

static void
check_edit(struct rig *r, const struct edit *e)
{
	struct json *found = json_clone(json_get(r->golden, "shown"));
	enum kafka_spec_match match;

	mark(found, r);
	apply(found, e);
	match = compare(r, found);
	json_free(&found);
	if (match != (e->where == NULL ? KAFKA_SPEC_SAME : KAFKA_SPEC_EDITED))
		fail_msg("%s = %s: %d, at %s", e->path, e->value, (int)match,
		    r->where);
	assert_string_equal(r->where, e->where != NULL ? e->where : "");
}

/* What somebody does to it in Druid is noticed and named, but for what means
 * the same. */
static void
test_edited(void **state)
{
	struct rig r;

	(void)state;
	set_up_file(&r, "tests/golden/kafka/plain.json");
	for (size_t i = 0; i < ARRAY_LEN(edits); i++)
		check_edit(&r, &edits[i]);
	tear_down(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_id),
		cmocka_unit_test(test_old),
		cmocka_unit_test(test_edited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
