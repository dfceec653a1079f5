/*
 * test_conf_legacy - every property of Tranquility's is ours, or accepted
 * with a warning; none is unknown or passed over. Its files load unchanged
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
#include "receiver_check.h"

enum fate { OURS, WARNED };

/* Tranquility's list, with its defaults as it writes them. */
static const struct {
	const char *name, *otherwise;
	bool is_global; /* refused inside a dataSource */
	enum fate fate;
	const char *value; /* one that asks for something */
} properties[] = {
	{ "zookeeper.connect", "localhost:2181", false, OURS, "z:1" },
	{ "zookeeper.timeout", "PT20S", false, OURS, "PT3S" },
	{ "zookeeper.path", "/tranquility/beams", false, OURS, "/x" },
	{ "druid.discovery.curator.path", "/druid/discovery", false, OURS,
	    "/x" },
	{ "druid.selectors.indexing.serviceName", "druid/overlord", false, OURS,
	    "overlord" },
	{ "druidBeam.firehoseBufferSize", "100000", false, OURS, "7" },
	{ "druidBeam.firehoseChunkSize", "1000", false, OURS, "7" },
	{ "druidBeam.firehoseGracePeriod", "PT5M", false, OURS, "PT3S" },
	{ "druidBeam.firehoseQuietPeriod", "PT1M", false, OURS, "PT3S" },
	{ "druidBeam.firehoseRetryPeriod", "PT1M", false, OURS, "PT3S" },
	{ "druidBeam.indexRetryPeriod", "PT1M", false, OURS, "PT3S" },
	{ "druidBeam.overlordLocator", "curator", false, OURS, "curator" },
	{ "druidBeam.taskLocator", "curator", false, OURS, "overlord" },
	{ "druidBeam.overlordPollPeriod", "PT20S", false, OURS, "PT3S" },
	{ "druidBeam.randomizeTaskId", "false", false, OURS, "true" },
	{ "druidBeam.basicAuthUser", "", false, OURS, "u" },
	{ "druidBeam.basicAuthPass", "", false, OURS, "p" },
	{ "druid.tls.enable", "false", false, OURS, "true" },
	{ "druid.tls.protocol", "TLSv1.2", false, OURS, "TLSv1.2" },
	{ "druid.tls.trustStorePath", "", false, OURS, "/x" },
	{ "druid.tls.trustStoreType", "", false, WARNED, "jks" },
	{ "druid.tls.trustStoreAlgorithm", "", false, WARNED, "x" },
	{ "druid.tls.trustStorePassword", "", false, OURS, "p" },
	{ "serialization.format", "json", false, OURS, "smile" },
	{ "task.partitions", "1", false, OURS, "7" },
	{ "task.replicants", "1", false, OURS, "7" },
	{ "task.warmingPeriod", "PT0M", false, OURS, "PT3S" },
	{ "tranquility.maxBatchSize", "2000", false, OURS, "7" },
	{ "tranquility.maxPendingBatches", "5", false, OURS, "7" },
	{ "tranquility.lingerMillis", "0", false, OURS, "-1" },
	{ "tranquility.blockOnFull", "true", false, OURS, "false" },
	{ "http.port", "8200", true, OURS, "7" },
	{ "http.port.enable", "true", true, OURS, "true" },
	{ "https.port", "8400", true, OURS, "7" },
	{ "https.port.enable", "false", true, OURS, "true" },
	{ "https.keyStorePath", "", true, OURS, "/x" },
	{ "https.keyStoreType", "", true, OURS, "jks" },
	{ "https.keyStorePassword", "", true, OURS, "p" },
	{ "https.certAlias", "", true, OURS, "x" },
	{ "https.keyManagerPassword", "", true, OURS, "p" },
	{ "https.includeCipherSuites", "", true, OURS, "x" },
	{ "https.excludeCipherSuites", "", true, OURS, "x" },
	{ "https.includeProtocols", "", true, OURS, "x" },
	{ "https.excludeProtocols", "", true, OURS, "x" },
	{ "http.threads", "40", true, WARNED, "40" },
	{ "http.idleTimeout", "PT5M", true, OURS, "PT3S" },
	{ "kafka.zookeeper.connect", "", true, WARNED, "z:1" },
	{ "kafka.group.id", "tranquility-kafka", true, WARNED, "x" },
	{ "kafka.auto.offset.reset", "", true, WARNED, "x" },
	{ "consumer.numThreads", "", true, WARNED, "7" },
	{ "commit.periodMillis", "15000", true, WARNED, "7" },
	{ "topicPattern", "", false, WARNED, "x" },
	{ "topicPattern.priority", "1", false, WARNED, "7" },
	{ "useTopicAsDataSource", "false", false, WARNED, "true" },
	{ "reportDropsAsExceptions", "false", false, WARNED, "true" },
};

static const char spec[] =
    "{\"dataSchema\":{\"dataSource\":\"a\",\"parser\":{\"parseSpec\":"
    "{\"format\":\"json\",\"timestampSpec\":{\"column\":\"t\"},"
    "\"dimensionsSpec\":{}}},\"metricsSpec\":[],\"granularitySpec\":{}}}";

/* The property with that value, in the dataSource or above all. */
static struct conf *
parse(const char *name, const char *value, bool is_own,
    struct conf_problems *problems)
{
	/* user and password make sense together only */
	const char *other = strcmp(name, "druidBeam.basicAuthUser") == 0
	    ? ",\"druidBeam.basicAuthPass\":\"x\""
	    : strcmp(name, "druidBeam.basicAuthPass") == 0
	    ? ",\"druidBeam.basicAuthUser\":\"x\""
	    : "";
	char *property = must_format("\"%s\":\"%s\"%s", name, value, other);
	char *text =
	    must_format("{\"dataSources\":[{\"spec\":%s,"
			"\"properties\":{%s}}],\"properties\":"
			"{\"druid.overlord.url\":\"https://o:1\"%s%s}}",
		spec, is_own ? property : "", is_own ? "" : ",",
		is_own ? "" : property);
	struct conf *conf = conf_parse("x", text, strlen(text), problems);

	free(text);
	free(property);
	return conf;
}

/* One line, at the property's place, that says what to do. */
static void
check_line(char *const *lines, unsigned count, const char *name, bool is_own)
{
	char *place = must_format(
	    "x: %sproperties.%s: ", is_own ? "dataSources[0]." : "", name);

	assert_int_equal(count, 1);
	if (strncmp(lines[0], place, strlen(place)) != 0)
		fail_msg("'%s' does not begin with '%s'", lines[0], place);
	assert_null(strstr(lines[0], "there is no such property"));
	assert_non_null(strchr(lines[0], ';'));
	free(place);
}

static void
check_fate(size_t i, bool is_own)
{
	const char *name = properties[i].name;
	struct conf_problems p;
	struct conf *conf = parse(name, properties[i].value, is_own, &p);
	bool refused = is_own && properties[i].is_global;

	if ((conf == NULL) != refused)
		fail_msg("%s: %s", name, p.count > 0 ? p.lines[0] : "taken");
	if (refused)
		check_line(p.lines, p.count, name, is_own);
	else if (properties[i].fate == WARNED)
		check_line(p.warnings, p.warning_count, name, is_own);
	else if (p.warning_count > 0)
		fail_msg("%s", p.warnings[0]);
	conf_free(&conf);
	conf_problems_free(&p);
}

static void
test_fates(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(properties); i++) {
		check_fate(i, false);
		check_fate(i, true);
	}
}

static const struct conf_property *
ours(const char *name)
{
	for (unsigned i = 0; i < conf_property_count; i++)
		if (strcmp(conf_properties[i].name, name) == 0)
			return &conf_properties[i];
	return NULL;
}

/* A file that says nothing means the same as to Tranquility. */
static void
test_defaults(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(properties); i++) {
		const struct conf_property *p = ours(properties[i].name);

		assert_true((p != NULL) == (properties[i].fate == OURS));
		if (p == NULL)
			continue;
		assert_true(p->is_global == properties[i].is_global ||
		    strcmp(p->name, "http.port.enable") == 0);
		/* without it one instance runs alone */
		if (strcmp(p->name, "zookeeper.connect") != 0)
			assert_string_equal(
			    p->otherwise, properties[i].otherwise);
	}
}

static void
check_receiver(struct conf *conf, struct conf_problems *problems)
{
	receiver_check(conf, problems);
}

/* Files as Tranquility's users have them, after its own examples: JSON and
 * YAML, list and map, numbers as text, without tuningConfig, with an ioConfig,
 * with properties that were never read, and one of the Kafka program's. */
static void
test_whole_files(void **state)
{
	static const struct {
		const char *file;
		unsigned warnings;
		int64_t window_ms, linger_ms;
	} files[] = {
		{ "server.json", 1, 600000, 0 },
		{ "server.yaml", 1, 600000, 0 },
		{ "untuned.json", 0, 600000, 0 },
		{ "delimited.yaml", 1, 600000, 1000 },
		{ "kafka.json", 8, 600000, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		char *path =
		    must_format("tests/golden/tranquility/%s", files[i].file);
		struct conf_problems p;
		struct conf *c = conf_load_checked(path, check_receiver, &p);

		if (c == NULL)
			fail_msg("%s", p.lines[0]);
		assert_int_equal(p.warning_count, files[i].warnings);
		assert_int_equal(c->ds_count, 1);
		assert_int_equal(c->http_port, 8201);
		assert_string_equal(c->ds[0].name, "clicks");
		assert_string_equal(
		    c->ds[0].zookeeper_connect, "localhost:2181");
		assert_int_equal(c->ds[0].partitions, 2);
		assert_int_equal(c->ds[0].replicants, 1);
		assert_int_equal(c->ds[0].linger_ms, files[i].linger_ms);
		assert_int_equal(
		    period_ms(&c->ds[0].window), files[i].window_ms);
		conf_free(&c);
		conf_problems_free(&p);
		free(path);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fates),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_whole_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
