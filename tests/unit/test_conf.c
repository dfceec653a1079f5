/*
 * test_conf - the configuration: values, specs, and every complaint
 *
 * The complaints are golden files: tests/golden/conf/X.json (or X.yaml) must
 * give the lines of X.ref. With TRANQ_GOLDEN_WRITE set they are written instead.
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
#include <unistd.h>

#include "conf_property.h"
#include "golden.h"
#include "panic.h"

#define GOLDEN_MIN 41
#define GOLDEN_YAML_MIN 18

static char *
complaints(const char *name, const char *text)
{
	struct conf_problems p;
	struct conf *conf = conf_parse(name, text, strlen(text), &p);
	struct buf lines;
	char *all;

	assert_int_equal(conf == NULL, p.count > 0);
	buf_init(&lines, MiB);
	for (unsigned i = 0; i < p.count; i++)
		buf_addf(&lines, "%s\n", p.lines[i]);
	for (unsigned i = 0; i < p.warning_count; i++)
		buf_addf(&lines, "warning: %s\n", p.warnings[i]);
	all = must_strdup(buf_text(&lines));
	buf_free(&lines);
	conf_free(&conf);
	conf_problems_free(&p);
	return all;
}

static void
check_golden(const char *path)
{
	char *text = golden_read(path), *got, *wanted;
	char *ref = must_strdup(path);

	strcpy(strrchr(ref, '.'), ".ref");
	got = complaints(strrchr(path, '/') + 1, text);
	if (getenv("TRANQ_GOLDEN_WRITE") != NULL)
		golden_write(ref, got);
	wanted = golden_read(ref);
	assert_true(*wanted != '\0');
	assert_string_equal(got, wanted);
	free(ref);
	free(wanted);
	free(got);
	free(text);
}

static void
for_golden(const char *pattern, size_t least, void (*check)(const char *path))
{
	glob_t found;

	assert_int_equal(glob(pattern, 0, NULL, &found), 0);
	assert_true(found.gl_pathc >= least);
	for (size_t i = 0; i < found.gl_pathc; i++)
		check(found.gl_pathv[i]);
	globfree(&found);
}

static void
test_golden(void **state)
{
	(void)state;
	for_golden("tests/golden/conf/*.json", GOLDEN_MIN, check_golden);
	for_golden("tests/golden/conf/*.yaml", GOLDEN_YAML_MIN, check_golden);
}

/* JSON is YAML: behind a document's start it is read by the other reader and
 * must give the same. */
static void
check_as_yaml(const char *path)
{
	char *text = golden_read(path), *yaml, *as_json, *as_yaml;
	struct json *j = json_parse(text, strlen(text), NULL);
	const char *name = strrchr(path, '/') + 1;

	if (j != NULL) {
		yaml = must_format("---\n%s", text);
		as_json = complaints(name, text);
		as_yaml = complaints(name, yaml);
		assert_string_equal(as_json, as_yaml);
		free(as_yaml);
		free(as_json);
		free(yaml);
	}
	json_free(&j);
	free(text);
}

static void
test_json_as_yaml(void **state)
{
	(void)state;
	for_golden("tests/golden/conf/*.json", GOLDEN_MIN, check_as_yaml);
}

static struct conf *
parse(const char *text)
{
	struct conf_problems p;
	struct conf *conf = conf_parse("x.json", text, strlen(text), &p);

	if (conf == NULL)
		fail_msg("%s", p.lines[0]);
	conf_problems_free(&p);
	return conf;
}

/* One dataSource: its dimensionsSpec, metricsSpec, properties, and the global
 * properties beside the way to Druid. */
struct sample {
	const char *name, *dimensions, *metrics, *own, *global;
};

static char *
sample_entry(const struct sample *s)
{
	return must_format(
	    "{\"spec\":{\"dataSchema\":{\"dataSource\":\"%s\",\"parser\":"
	    "{\"parseSpec\":{\"format\":\"json\",\"timestampSpec\":"
	    "{\"column\":\"t\"},\"dimensionsSpec\":%s}},\"metricsSpec\":%s,"
	    "\"granularitySpec\":{}}},\"properties\":%s}",
	    s->name != NULL ? s->name : "a",
	    s->dimensions != NULL ? s->dimensions : "{}",
	    s->metrics != NULL ? s->metrics : "[]",
	    s->own != NULL ? s->own : "{}");
}

static char *
sample_text(const struct sample *s)
{
	char *entry = sample_entry(s);
	char *text = must_format("{\"dataSources\":[%s],\"properties\":"
				 "{\"zookeeper.connect\":\"z\"%s%s}}",
	    entry, s->global != NULL ? "," : "",
	    s->global != NULL ? s->global : "");

	free(entry);
	return text;
}

static struct conf *
parse_sample(struct sample s)
{
	char *text = sample_text(&s);
	struct conf *conf = parse(text);

	free(text);
	return conf;
}

static void
assert_complaint(struct sample s, const char *part)
{
	char *text = sample_text(&s);
	char *lines = complaints("x.json", text);

	if (strstr(lines, part) == NULL)
		fail_msg("'%s' is not in: %s", part, lines);
	free(lines);
	free(text);
}

static void
test_defaults(void **state)
{
	struct conf *c = parse_sample((struct sample){ 0 });
	const struct ds_conf *ds = &c->ds[0];

	(void)state;
	assert_int_equal(c->ds_count, 1);
	assert_int_equal(c->http_port, 8200);
	assert_true(c->http_port_enable);
	assert_int_equal(c->http_idle_timeout_ms, 300000);
	assert_int_equal(c->ring_bytes, 16 * MiB);
	assert_string_equal(c->run_dir, "/run/tranqd");
	assert_string_equal(conf_control_socket(c), "/run/tranqd/control.sock");
	assert_true(c->receiver_count >= 1);
	assert_string_equal(ds->name, "a");
	assert_string_equal(ds->timestamp_column, "t");
	assert_string_equal(ds->timestamp_format, "auto");
	assert_null(ds->timestamp_missing);
	assert_int_equal(ds->segment_granularity.kind, GRANULARITY_DAY);
	assert_int_equal(ds->query_granularity.kind, GRANULARITY_NONE);
	assert_int_equal(period_ms(&ds->window), 600000);
	assert_null(ds->tuning);
	assert_string_equal(ds->zookeeper_connect, "z:2181");
	assert_int_equal(ds->spool_bytes_max, INT64_C(4) << 30);
	assert_int_equal(ds->partitions, 1);
	assert_true(ds->block_on_full);
	conf_free(&c);
	assert_null(c);
}

static void
test_spellings(void **state)
{
	struct conf *c = parse_sample((struct sample){
	    .own = "{\"task.partitions\":\"3\",\"task.replicants\":2,"
		   "\"tranquility.blockOnFull\":\"FALSE\","
		   "\"druidBeam.randomizeTaskId\":true,"
		   "\"tranquility.lingerMillis\":\"-1\","
		   "\"task.warmingPeriod\":0,"
		   "\"druidBeam.firehoseGracePeriod\":\"P1M\"}",
	    .global = "\"http.idleTimeout\":\"0\",\"log.level\":\"DEBUG\","
		      "\"tranqd.runDir\":7" });
	const struct ds_conf *ds = &c->ds[0];

	(void)state;
	assert_int_equal(ds->partitions, 3);
	assert_int_equal(ds->replicants, 2);
	assert_false(ds->block_on_full);
	assert_true(ds->randomize_task_id);
	assert_int_equal(ds->linger_ms, -1);
	assert_int_equal(period_ms(&ds->warming), 0);
	assert_int_equal(ds->firehose_grace.months, 1);
	assert_int_equal(c->http_idle_timeout_ms, 0);
	assert_string_equal(c->log_level, "debug");
	assert_string_equal(c->run_dir, "7");
	conf_free(&c);
}

static void
assert_size(const char *text, int64_t bytes)
{
	char *global = must_format("\"spool.bytesMax\":\"%s\"", text);
	struct conf *c = parse_sample((struct sample){ .global = global });

	assert_int_equal(c->ds[0].spool_bytes_max, bytes);
	conf_free(&c);
	free(global);
}

static void
test_sizes(void **state)
{
	(void)state;
	assert_size("2000000", 2000000);
	assert_size("2000000B", 2000000);
	assert_size("64MiB", 64 * MiB);
	assert_size("64mib", 64 * MiB);
	assert_size("64M", 64 * MiB);
	assert_size("2048k", 2 * MiB);
	assert_size("64MB", 64000000);
	assert_size("6400KB", 6400000);
	assert_size("3GiB", INT64_C(3) << 30);
	assert_size("1TiB", INT64_C(1) << 40);
	assert_complaint(
	    (struct sample){ .own = "{\"spool.bytesMax\":\"1.5GiB\"}" },
	    "cannot be read");
	assert_complaint(
	    (struct sample){ .own = "{\"spool.bytesMax\":\"-1GiB\"}" },
	    "out of range; give 1MiB to 1TiB");
}

static void
test_own_wins(void **state)
{
	struct sample a = { .name = "a",
		.own =
		    "{\"task.partitions\":5,\"zookeeper.connect\":\"\","
		    "\"druid.overlord.url\":\" http://h:1 , https://i/x\"}" };
	struct sample b = { .name = "b" };
	char *first = sample_entry(&a), *second = sample_entry(&b);
	char *text = must_format("{\"dataSources\":{\"b\":%s,\"a\":%s},"
				 "\"properties\":{\"task.partitions\":4,"
				 "\"zookeeper.connect\":\"z:1,y/c/d\"}}",
	    second, first);
	struct conf *c = parse(text);

	(void)state;
	assert_int_equal(c->ds_count, 2);
	assert_string_equal(c->ds[0].name, "a"); /* sorted */
	assert_int_equal(c->ds[0].partitions, 5);
	assert_string_equal(c->ds[0].zookeeper_connect, "");
	assert_string_equal(c->ds[0].overlord_url, "http://h:1,https://i/x");
	assert_int_equal(c->ds[1].partitions, 4);
	assert_string_equal(c->ds[1].zookeeper_connect, "z:1,y:2181/c/d");
	assert_string_equal(c->ds[1].overlord_url, "");
	conf_free(&c);
	free(text);
	free(first);
	free(second);
}

static void
assert_names(char *const *names, unsigned count, const char *wanted)
{
	struct buf all;

	buf_init(&all, MiB);
	for (unsigned i = 0; i < count; i++)
		buf_addf(&all, "%s%s", i > 0 ? " " : "", names[i]);
	assert_string_equal(buf_text(&all), wanted);
	buf_free(&all);
}

static void
assert_fields(struct sample s, const char *dimensions, const char *exclusions)
{
	struct conf *c = parse_sample(s);
	const struct ds_conf *ds = &c->ds[0];

	assert_names(ds->dimensions, ds->dimension_count, dimensions);
	assert_names(ds->exclusions, ds->exclusion_count, exclusions);
	conf_free(&c);
}

static void
test_fields(void **state)
{
	(void)state;
	assert_fields((struct sample){ 0 }, "", "t");
	assert_fields(
	    (struct sample){ .dimensions = "{\"dimensions\":null}" }, "", "t");
	/* the timestamp column, when it is listed, is a dimension too */
	assert_fields(
	    (struct sample){ .dimensions =
				 "{\"dimensions\":[\"b\",{\"name\":\"a\","
				 "\"type\":\"long\"},\"t\"],"
				 "\"dimensionExclusions\":[\"x\",\"x\"]}" },
	    "b a t", "x");
	assert_fields(
	    (struct sample){ .dimensions =
				 "{\"spatialDimensions\":[{\"dimName\":"
				 "\"coord\",\"dims\":[\"lat\",\"lon\"]}]}" },
	    "coord", "t");
	assert_fields(
	    (struct sample){ .dimensions = "{\"dimensions\":[\"in\"]}",
		.metrics =
		    "[{\"type\":\"count\",\"name\":\"n\",\"fieldName\":\"no\"},"
		    "{\"type\":\"longSum\",\"name\":\"s\",\"fieldName\":\"in\"}"
		    ","
		    "{\"type\":\"cardinality\",\"name\":\"c\",\"fieldNames\":"
		    "[\"u\",\"v\"]},"
		    "{\"type\":\"cardinality\",\"name\":\"d\",\"fields\":"
		    "[\"w\",{\"type\":\"default\",\"dimension\":\"z\"},4]},"
		    "{\"type\":\"filtered\",\"filter\":{\"dimension\":\"q\"},"
		    "\"aggregator\":{\"type\":\"filtered\",\"aggregator\":"
		    "{\"type\":\"longMax\",\"name\":\"m\",\"fieldName\":\"k\"}}"
		    "},"
		    "{\"type\":\"filtered\",\"name\":\"own\",\"aggregator\":"
		    "{\"type\":\"longMin\",\"name\":\"l\",\"fieldName\":\"k\"}}"
		    ","
		    "{\"type\":\"thetaSketch\",\"name\":\"h\",\"fieldName\":"
		    "\"user\"},"
		    "{\"type\":\"doubleSum\",\"name\":\"e\",\"expression\":"
		    "\"1+1\"}]" },
	    "in", "t n s c u v d w z m k own h user e");
	/* newer types name more fields; spatial dimensions have two places */
	assert_fields(
	    (struct sample){ .dimensions =
				 "{\"dimensions\":[{\"type\":\"spatial\","
				 "\"name\":\"at\",\"dims\":[\"x\",\"y\"]},"
				 "{\"type\":\"json\",\"name\":\"tree\"}]}",
		.metrics =
		    "[{\"type\":\"longLast\",\"name\":\"l\",\"fieldName\":"
		    "\"f\",\"timeColumn\":\"when\"},"
		    "{\"type\":\"arrayOfDoublesSketch\",\"name\":\"a\","
		    "\"fieldName\":\"key\",\"metricColumns\":[\"p\",\"q\"]}]" },
	    "at tree", "t l f when a key p q");
}

static void
test_new_form(void **state)
{
	struct conf *c = parse(
	    "{\"dataSources\":[{\"spec\":{\"dataSchema\":{"
	    "\"dataSource\":\"a\",\"timestampSpec\":{\"column\":\"w\","
	    "\"format\":\"posix\",\"missingValue\":1262304000000},"
	    "\"dimensionsSpec\":{\"dimensions\":[\"x\"]},"
	    "\"metricsSpec\":[],\"granularitySpec\":{"
	    "\"segmentGranularity\":\"six_hour\","
	    "\"queryGranularity\":{\"type\":\"period\","
	    "\"period\":\"PT1M\"}}},"
	    "\"tuningConfig\":{\"windowPeriod\":\"PT1H\"},"
	    "\"ioConfig\":{\"type\":\"realtime\",\"plumber\":null}}}],"
	    "\"properties\":{\"druid.overlord.url\":\"http://[::1]:8090\","
	    "\"tranqd.controlSocket\":\"/tmp/c\"}}");
	const struct ds_conf *ds = &c->ds[0];

	(void)state;
	assert_string_equal(ds->timestamp_column, "w");
	assert_string_equal(ds->timestamp_format, "posix");
	assert_string_equal(ds->timestamp_missing, "2010-01-01T00:00:00.000Z");
	assert_int_equal(ds->segment_granularity.kind, GRANULARITY_SIX_HOUR);
	assert_int_equal(ds->query_granularity.kind, GRANULARITY_MINUTE);
	assert_int_equal(period_ms(&ds->window), 3600000);
	assert_names(ds->dimensions, ds->dimension_count, "x");
	assert_string_equal(conf_control_socket(c), "/tmp/c");
	assert_string_equal(
	    json_get_text(ds->data_schema, "dataSource", ""), "a");
	assert_non_null(ds->tuning);
	conf_free(&c);
}

static uint64_t
digest_of(const char *metrics, const char *own, const char *global)
{
	struct conf *c = parse_sample((struct sample){
	    .metrics = metrics, .own = own, .global = global });
	uint64_t digest = c->ds[0].digest;

	conf_free(&c);
	return digest;
}

static void
test_digest(void **state)
{
	uint64_t plain = digest_of(NULL, NULL, NULL);

	(void)state;
	/* what means the same */
	assert_true(
	    plain == digest_of("[]", "{\"task.partitions\":\"1\"}", NULL));
	assert_true(plain == digest_of(NULL, NULL, "\"task.partitions\":1"));
	assert_true(plain == digest_of(NULL, NULL, "\"http.port\":1"));
	assert_true(
	    digest_of("[{\"type\":\"count\",\"name\":\"n\"}]", NULL, NULL) ==
	    digest_of("[{\"name\":\"n\",\"type\":\"count\"}]", NULL, NULL));
	/* what does not */
	assert_false(plain == digest_of(NULL, "{\"task.partitions\":2}", NULL));
	assert_false(plain == digest_of(NULL, NULL, "\"task.partitions\":2"));
	assert_false(
	    plain == digest_of(NULL, "{\"zookeeper.path\":\"/x\"}", NULL));
	assert_false(plain ==
	    digest_of("[{\"type\":\"count\",\"name\":\"n\"}]", NULL, NULL));
	assert_false(digest_of("[{\"type\":\"a\",\"name\":\"n\",\"x\":1}]",
			 NULL, NULL) ==
	    digest_of(
		"[{\"type\":\"a\",\"name\":\"n\",\"x\":\"1\"}]", NULL, NULL));
}

static void
test_text(void **state)
{
	char *text = golden_read("conf/quickstart.json"), *copy, *again;
	struct conf *c = parse(text), *d;

	(void)state;
	copy = conf_text(c);
	d = parse(copy);
	again = conf_text(d);
	assert_string_equal(copy, again);
	assert_true(c->ds[0].digest == d->ds[0].digest);
	assert_null(conf_restart_needed(c, d));
	conf_free(&c);
	conf_free(&d);
	free(again);
	free(copy);
	free(text);
}

static void
test_quickstart(void **state)
{
	char *text = golden_read("conf/quickstart.json");
	struct conf *c = parse(text);
	const struct ds_conf *ds = conf_find(c, "wikipedia", 9);

	(void)state;
	assert_non_null(ds);
	assert_string_equal(ds->overlord_url, "http://127.0.0.1:8190");
	assert_string_equal(ds->timestamp_column, "time");
	assert_int_equal(ds->dimension_count, 16);
	assert_int_equal(ds->segment_granularity.kind, GRANULARITY_HOUR);
	assert_names(ds->exclusions, ds->exclusion_count,
	    "time count added deleted delta");
	conf_free(&c);
	free(text);
}

static void
assert_same(const char *one, const char *other)
{
	struct conf_problems p;
	struct conf *a = conf_load(one, &p), *b;
	char *a_text, *b_text;

	assert_non_null(a);
	conf_problems_free(&p);
	b = conf_load(other, &p);
	if (b == NULL)
		fail_msg("%s", p.lines[0]);
	conf_problems_free(&p);
	assert_true(a->ds_count == 1 && b->ds_count == 1);
	assert_true(a->ds[0].digest == b->ds[0].digest);
	assert_null(conf_restart_needed(a, b));
	a_text = conf_text(a);
	b_text = conf_text(b);
	assert_string_equal(a_text, b_text);
	free(a_text);
	free(b_text);
	conf_free(&a);
	conf_free(&b);
}

static void
test_both_forms(void **state)
{
	char *json = golden_read("conf/tranqd.json.example");
	char *text = must_format("\xef\xbb\xbf %s", json);
	struct conf *marked = parse(text);

	(void)state;
	assert_same("conf/quickstart.json", "conf/quickstart.yaml");
	free(text);
	free(json);
	conf_free(&marked);
}

/* The document travels as JSON, so that form is bounded too. */
static void
test_expanded(void **state)
{
	struct conf_problems p;
	struct buf text;

	(void)state;
	buf_init(&text, 4 * MiB);
	buf_add_text(&text, "- &x ");
	for (unsigned i = 0; i < MiB / 16; i++)
		buf_add_text(&text, "0123456789abcdef");
	for (unsigned i = 0; i < 20; i++)
		buf_add_text(&text, "\n- *x");
	assert_null(conf_parse("x", buf_text(&text), text.used, &p));
	assert_int_equal(p.count, 1);
	assert_non_null(strstr(p.lines[0], "larger than 16 MiB with its"));
	conf_problems_free(&p);
	buf_free(&text);
}

static void
test_find(void **state)
{
	const char *const names[] = { "b", "ab", "a", "abc", "ä" };
	struct buf text;
	struct conf *c;

	(void)state;
	buf_init(&text, MiB);
	buf_add_text(&text, "{\"dataSources\":[");
	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		char *entry =
		    sample_entry(&(struct sample){ .name = names[i] });

		buf_addf(&text, "%s%s", i > 0 ? "," : "", entry);
		free(entry);
	}
	buf_add_text(&text, "],\"properties\":{\"zookeeper.connect\":\"z\"}}");
	c = parse(buf_text(&text));
	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		const struct ds_conf *ds =
		    conf_find(c, names[i], strlen(names[i]));

		assert_non_null(ds);
		assert_string_equal(ds->name, names[i]);
	}
	assert_string_equal(conf_find(c, "abcd", 2)->name, "ab");
	assert_null(conf_find(c, "", 0));
	assert_null(conf_find(c, "abcd", 4));
	assert_null(conf_find(c, "aa", 2));
	assert_null(conf_find(c, "z", 1));
	conf_free(&c);
	buf_free(&text);
}

static void
test_restart_needed(void **state)
{
	struct conf *a = parse_sample((struct sample){ 0 });
	struct conf *b = parse_sample((struct sample){
	    .own = "{\"task.partitions\":2}",
	    .global = "\"http.port\":8201,\"tranqd.dataDir\":\"/x\","
		      "\"log.level\":\"warn\",\"http.idleTimeout\":\"PT1M\"" });
	char *names = conf_restart_needed(a, b);

	(void)state;
	assert_string_equal(names, "http.port, tranqd.dataDir");
	assert_null(conf_restart_needed(a, a));
	free(names);
	conf_free(&a);
	conf_free(&b);
}

/* A bound on what is kept, however wrong a file is. */
static void
test_bounds(void **state)
{
	struct conf_problems p;
	struct buf text;
	char *large;

	(void)state;
	buf_init(&text, 4 * MiB);
	buf_add_text(&text, "{\"dataSources\":[");
	for (unsigned i = 0; i < CONF_DS_MAX; i++)
		buf_addf(&text, "%s{}", i > 0 ? "," : "");
	buf_add_text(&text, "]}");
	assert_null(conf_parse("x", buf_text(&text), text.used, &p));
	assert_int_equal(p.count, 201);
	assert_string_equal(p.lines[200], "there are more; mend these first");
	conf_problems_free(&p);
	text.used -= 2;
	buf_add_text(&text, ",{}]}");
	assert_null(conf_parse("x", buf_text(&text), text.used, &p));
	assert_int_equal(p.count, 1);
	assert_non_null(strstr(p.lines[0], "1025 are more than the 1024"));
	conf_problems_free(&p);
	buf_free(&text);
	large = must_calloc(1, CONF_BYTES_MAX + 2);
	memset(large, ' ', CONF_BYTES_MAX + 1);
	assert_null(conf_parse("x", large, CONF_BYTES_MAX + 1, &p));
	assert_non_null(strstr(p.lines[0], "larger than 16 MiB"));
	conf_problems_free(&p);
	free(large);
}

static void
test_load(void **state)
{
	struct conf_problems p;
	struct conf *c;

	(void)state;
	c = conf_load("conf/quickstart.json", &p);
	assert_non_null(c);
	assert_int_equal(p.count + p.warning_count, 0);
	assert_string_equal(c->file, "conf/quickstart.json");
	conf_free(&c);
	conf_problems_free(&p);
	assert_null(conf_load("conf/not there.json", &p));
	assert_non_null(
	    strstr(p.lines[0], "conf/not there.json: cannot be read"));
	conf_problems_free(&p);
	assert_null(conf_load("conf", &p));
	assert_non_null(strstr(p.lines[0], "conf: cannot be read"));
	conf_problems_free(&p);
}

/* What `print` writes to standard output; to be freed. */
static char *
printed(void (*print)(void))
{
	char path[] = "/tmp/test_conf.XXXXXX", *text;
	int fd = mkstemp(path), saved;

	assert_true(fd >= 0);
	fflush(stdout);
	saved = dup(STDOUT_FILENO);
	dup2(fd, STDOUT_FILENO);
	print();
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	close(fd);
	text = golden_read(path);
	unlink(path);
	return text;
}

static void
test_example(void **state)
{
	char *now = printed(conf_print_example);
	char *kept = golden_read("conf/tranqd.json.example");
	struct conf *c = parse(now);

	(void)state;
	if (strcmp(now, kept) != 0)
		fail_msg("conf/tranqd.json.example is old: make generate");
	assert_int_equal(c->ds[0].spool_bytes_max, INT64_C(4) << 30);
	conf_free(&c);
	free(now);
	free(kept);
}

/* The lines behind a '#' as well; the comments' own are longer indented. */
static void
take_marks_away(char *text)
{
	for (char *c = strstr(text, "\n  #"); c != NULL;
	     c = strstr(c + 1, "\n  #"))
		if (c[4] != ' ')
			memmove(c + 3, c + 4, strlen(c + 4) + 1);
}

static void
check_commented(const char *text, const struct conf *example)
{
	struct conf_problems p;
	struct conf *c = conf_parse("x.yaml", text, strlen(text), &p);

	if (c == NULL)
		fail_msg("%s", p.lines[0]);
	assert_int_equal(p.warning_count, 0);
	assert_true(c->ds[0].digest == example->ds[0].digest);
	for (unsigned i = 0; i < conf_property_count; i++)
		if (conf_properties[i].is_global)
			assert_true(conf_property_same(
			    &conf_properties[i], c, example));
	conf_free(&c);
	conf_problems_free(&p);
}

static void
test_commented(void **state)
{
	char *now = printed(conf_print_commented);
	char *kept = golden_read("conf/tranqd.yaml.example");
	char *json = printed(conf_print_example);
	struct conf *example = parse(json);

	(void)state;
	if (strcmp(now, kept) != 0)
		fail_msg("conf/tranqd.yaml.example is old: make generate");
	check_commented(now, example);
	assert_non_null(strstr(now, "\n  #http.port: 8200\n"));
	take_marks_away(now);
	assert_null(strstr(now, "\n  #http.port"));
	check_commented(now, example);
	conf_free(&example);
	free(json);
	free(now);
	free(kept);
}

/* null says nothing; in a dataSource it takes back what is said for all. */
static void
test_null(void **state)
{
	char *text = golden_read("conf/tranqd.yaml.example"), *more;
	struct conf *c;

	(void)state;
	more = must_format("%s  task.partitions: 3\n  task.replicants: 2\n"
			   "  spool.bytesMax: ~\n  http.port:\n"
			   "  https.port: 1\n  http.threads: null\n",
	    text);
	memcpy(strstr(more, "properties: {}              #"),
	    "properties: {task.partitions: } #", 33);
	c = parse(more);
	assert_int_equal(c->http_port, 8200);
	assert_int_equal(c->https_port, 1);
	assert_int_equal(c->ds[0].partitions, 1);
	assert_int_equal(c->ds[0].replicants, 2);
	assert_int_equal(c->ds[0].spool_bytes_max, INT64_C(4) << 30);
	conf_free(&c);
	free(more);
	free(text);
}

static void
test_table(void **state)
{
	char *table = printed(conf_print_properties);

	(void)state;
	assert_non_null(
	    strstr(table, "| `http.port` | `8200` | global | restart |"));
	assert_non_null(strstr(table,
	    "| `task.partitions` | `1` | global, per dataSource | live |"));
	assert_non_null(strstr(table, "| `druid.overlord.url` | none |"));
	free(table);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_json_as_yaml),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_spellings),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_own_wins),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_new_form),
		cmocka_unit_test(test_digest),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_quickstart),
		cmocka_unit_test(test_both_forms),
		cmocka_unit_test(test_expanded),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_restart_needed),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_example),
		cmocka_unit_test(test_commented),
		cmocka_unit_test(test_null),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
