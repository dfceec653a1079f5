/*
 * test_conf_show - the configuration in effect, and where it comes from
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "conf_property.h"
#include "panic.h"

#define SCHEMA(name)                                                      \
	"dataSchema: {dataSource: " name ", parser: {parseSpec: {format:" \
	" json, timestampSpec: {column: t}, dimensionsSpec: {dimensions:" \
	" [x, y]}}}, metricsSpec: [{type: count, name: n}],"              \
	" granularitySpec: {segmentGranularity: HOUR}}"
#define SCHEMALESS                                                       \
	"dataSchema: {dataSource: b, timestampSpec: {format: posix,"     \
	" missingValue: 0}, dimensionsSpec: {dimensionExclusions: [z]}," \
	" metricsSpec: [], granularitySpec: {segmentGranularity: DAY,"   \
	" queryGranularity: {type: period, period: P2D, timeZone: "      \
	"Asia/Tokyo}}}, "                                                \
	"tuningConfig: {windowPeriod: PT1H}"
#define PROPERTIES                                    \
	"properties:\n  zookeeper.connect: z,y:1/c\n" \
	"  task.partitions: 3\n  http.port: '8201'\n" \
	"  spool.bytesMax: 1073741824\n  tranqd.receivers: 3\n"

static struct conf *
parse(const char *text)
{
	struct conf_problems p;
	struct conf *conf = conf_parse("x.yaml", text, strlen(text), &p);

	if (conf == NULL)
		fail_msg("%s", p.lines[0]);
	conf_problems_free(&p);
	return conf;
}

static void
check_property(const struct json *properties, const char *name,
    const char *value, const char *from)
{
	const struct json *p = json_get(properties, name);
	char *text;

	if (p == NULL)
		fail_msg("%s is not there", name);
	text = json_to_text(json_get(p, "value"));
	assert_string_equal(text, value);
	assert_string_equal(json_get_text(p, "from", ""), from);
	free(text);
}

static void
check_text(const struct json *j, const char *expected)
{
	char *text = json_to_text(j);

	assert_string_equal(text, expected);
	free(text);
}

/* No property is left out, none is in the wrong place. */
static void
check_all_there(const struct json *properties, bool is_global)
{
	size_t count = 0;

	for (unsigned i = 0; i < conf_property_count; i++) {
		if (conf_properties[i].is_global != is_global)
			continue;
		assert_non_null(json_get(properties, conf_properties[i].name));
		count++;
	}
	assert_int_equal(json_size(properties), count);
}

static void
test_list(void **state)
{
	struct conf *conf =
	    parse("dataSources:\n- spec: {" SCHEMALESS "}\n"
		  "- spec: {" SCHEMA(
		      "a") "}\n"
			   "  properties:\n"
			   "    task.partitions: 1\n"
			   "    druidBeam.firehoseGracePeriod: P1D\n"
			   "    tranquility.blockOnFull: 'False'\n" PROPERTIES);
	struct json *shown = conf_show(conf), *all, *a, *b, *own;

	(void)state;
	assert_string_equal(json_get_text(shown, "file", ""), "x.yaml");
	all = json_get(shown, "properties");
	check_all_there(all, true);
	check_property(all, "http.port", "8201", "properties");
	check_property(all, "http.port.enable", "true", "default");
	check_property(all, "http.idleTimeout", "\"PT5M\"", "default");
	check_property(all, "tranqd.ringBytes", "\"16MiB\"", "default");
	check_property(all, "tranqd.user", "\"\"", "default");
	check_text(json_get(shown, "derived"),
	    "{\"receivers\":3,\"controlSocket\":\"/run/tranqd/control.sock\"}");
	a = json_at(json_get(shown, "dataSources"), 0);
	b = json_at(json_get(shown, "dataSources"), 1);
	assert_string_equal(json_get_text(a, "dataSource", ""), "a");
	assert_string_equal(json_get_text(a, "at", ""), "dataSources[1]");
	own = json_get(a, "properties");
	check_all_there(own, false);
	check_property(
	    own, "task.partitions", "1", "dataSources[1].properties");
	check_property(own, "druidBeam.firehoseGracePeriod", "\"P1D\"",
	    "dataSources[1].properties");
	check_property(own, "tranquility.blockOnFull", "false",
	    "dataSources[1].properties");
	check_property(
	    own, "zookeeper.connect", "\"z:2181,y:1/c\"", "properties");
	check_property(own, "spool.bytesMax", "\"1GiB\"", "properties");
	check_property(own, "task.replicants", "1", "default");
	check_property(own, "task.warmingPeriod", "\"PT0S\"", "default");
	check_text(json_get(a, "derived"),
	    "{\"timestampColumn\":\"t\",\"timestampFormat\":\"auto\","
	    "\"schemaless\":false,\"dimensions\":[\"x\",\"y\"],\"exclusions\":["
	    "\"t\",\"n\"],\"segmentGranularity\":\"hour\","
	    "\"queryGranularity\":\"none\",\"windowPeriod\":\"PT10M\"}");
	assert_string_equal(json_get_text(b, "at", ""), "dataSources[0]");
	check_property(
	    json_get(b, "properties"), "task.partitions", "3", "properties");
	check_text(json_get(b, "derived"),
	    "{\"timestampColumn\":\"timestamp\",\"timestampFormat\":\"posix\","
	    "\"timestampMissing\":\"1970-01-01T00:00:00.000Z\","
	    "\"schemaless\":true,\"dimensions\":[],\"exclusions\":[\"z\","
	    "\"timestamp\"],\"segmentGranularity\":\"day\","
	    "\"queryGranularity\":{\"type\":\"period\",\"period\":"
	    "\"P2D\",\"timeZone\":\"Asia/Tokyo\"},\"windowPeriod\":\"PT1H\"}");
	json_free(&shown);
	conf_free(&conf);
}

static void
test_map(void **state)
{
	struct conf *conf =
	    parse("dataSources:\n"
		  "  a: {spec: {" SCHEMA(
		      "a") "},"
			   " properties: {task.replicants: 2}}\n" PROPERTIES);
	struct json *shown = conf_show(conf);
	const struct json *a = json_at(json_get(shown, "dataSources"), 0);

	(void)state;
	assert_string_equal(json_get_text(a, "at", ""), "dataSources.a");
	check_property(json_get(a, "properties"), "task.replicants", "2",
	    "dataSources.a.properties");
	json_free(&shown);
	conf_free(&conf);
}

static void
test_no_properties(void **state)
{
	struct conf *conf = parse("dataSources:\n- spec: {" SCHEMA(
	    "a") "}\n"
		 "  properties: {druid.overlord.url:"
		 " 'http://o:1'}\n"
		 "properties: ~\n");
	struct json *shown = conf_show(conf);
	const struct json *a = json_at(json_get(shown, "dataSources"), 0);

	(void)state;
	check_property(
	    json_get(shown, "properties"), "http.port", "8200", "default");
	check_property(json_get(a, "properties"), "druid.overlord.url",
	    "\"http://o:1\"", "dataSources[0].properties");
	check_property(
	    json_get(a, "properties"), "zookeeper.connect", "\"\"", "default");
	json_free(&shown);
	conf_free(&conf);
}

static void
test_secret_values(void **state)
{
	char set[] = "hidden", unset[] = "";
	struct conf conf = { .user = set };
	const struct conf_property secret = { .name = "x.password",
		.type = CONF_SECRET,
		.offset = offsetof(struct conf, user) };
	const struct conf_property open = { .name = "x.user",
		.type = CONF_TEXT,
		.offset = offsetof(struct conf, user) };
	struct json *j = conf_show_value(&secret, &conf);

	(void)state;
	check_text(j, "\"(set)\"");
	json_free(&j);
	j = conf_show_value(&open, &conf);
	check_text(j, "\"hidden\"");
	json_free(&j);
	conf.user = unset;
	j = conf_show_value(&secret, &conf);
	check_text(j, "\"\"");
	json_free(&j);
}

/* What a reference stands for is shown, and how it was written. */
static void
test_written(void **state)
{
	struct conf *conf;
	struct json *shown;
	const struct json *a, *own;

	(void)state;
	assert_int_equal(setenv("TRANQ_PORT", "8201", 1), 0);
	assert_int_equal(setenv("TRANQ_TASKS", "3", 1), 0);
	conf = parse("dataSources:\n"
		     "  a: {spec: {" SCHEMA(
			 "a") "},"
			      " properties: {task.partitions:"
			      " '${env:TRANQ_TASKS}', task.replicants: 2}}\n"
			      "properties:\n"
			      "  zookeeper.connect: z\n"
			      "  http.port: '${env:TRANQ_PORT}'\n");
	shown = conf_show(conf);
	check_property(
	    json_get(shown, "properties"), "http.port", "8201", "properties");
	assert_string_equal(
	    json_get_text(json_get(json_get(shown, "properties"), "http.port"),
		"written", ""),
	    "${env:TRANQ_PORT}");
	a = json_at(json_get(shown, "dataSources"), 0);
	own = json_get(a, "properties");
	check_property(own, "task.partitions", "3", "dataSources.a.properties");
	assert_string_equal(
	    json_get_text(json_get(own, "task.partitions"), "written", ""),
	    "${env:TRANQ_TASKS}");
	assert_null(json_get(json_get(own, "task.replicants"), "written"));
	json_free(&shown);
	conf_free(&conf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_no_properties),
		cmocka_unit_test(test_secret_values),
		cmocka_unit_test(test_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
