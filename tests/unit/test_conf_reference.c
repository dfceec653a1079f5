/*
 * test_conf_reference - ${env:…} and ${file:…} in properties
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf_reference.h"
#include "conf_value.h"
#include "panic.h"

#define SPEC                                                                \
	"{\"dataSchema\":{\"dataSource\":\"a\",\"parser\":{\"parseSpec\":"  \
	"{\"format\":\"json\",\"timestampSpec\":{\"column\":\"t\"},"        \
	"\"dimensionsSpec\":{}}},\"metricsSpec\":[],\"granularitySpec\":{}" \
	"}}"

static char dir[] = "/tmp/tranq-reference-XXXXXX";

static char *
path_of(const char *name)
{
	return must_format("%s/%s", dir, name);
}

static void
write_file(const char *name, const char *bytes, size_t count)
{
	char *path = path_of(name);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, count, f), count);
	assert_int_equal(fclose(f), 0);
	free(path);
}

static void
write_line(const char *name, const char *text)
{
	write_file(name, text, strlen(text));
}

/* "${file:DIR/name}" */
static char *
file_reference(const char *name)
{
	return must_format("${file:%s/%s}", dir, name);
}

static void
check(const char *text, const char *expected)
{
	char why[CONF_REFERENCE_WHY_BYTES];
	char *got = conf_reference_expand(text, why);

	if (got == NULL)
		fail_msg("%s: %s", text, why);
	assert_string_equal(got, expected);
	free(got);
}

static void
check_wrong(const char *text, const char *expected)
{
	char why[CONF_REFERENCE_WHY_BYTES];

	assert_null(conf_reference_expand(text, why));
	if (strstr(why, expected) == NULL)
		fail_msg("'%s' does not say '%s'", why, expected);
	assert_non_null(strchr(why, ';'));
}

static void
check_file(const char *bytes, size_t count, const char *expected)
{
	char *reference = file_reference("f");

	write_file("f", bytes, count);
	check(reference, expected);
	free(reference);
}

static void
test_environment(void **state)
{
	(void)state;
	assert_int_equal(setenv("TRANQ_A", "one", 1), 0);
	assert_int_equal(setenv("TRANQ_B", "", 1), 0);
	assert_int_equal(unsetenv("TRANQ_C"), 0);
	check("${env:TRANQ_A}", "one");
	check("x${env:TRANQ_A}-${env:TRANQ_A}y", "xone-oney");
	check("${env:TRANQ_B}", "");
	check_wrong("${env:TRANQ_C}", "no such environment variable");
	check_wrong("a${env:TRANQ_A}${env:TRANQ_C}", "${env:TRANQ_C}");
}

/* What a value stands for is not read for references again. */
static void
test_once(void **state)
{
	(void)state;
	assert_int_equal(setenv("TRANQ_A", "${env:TRANQ_B}", 1), 0);
	assert_int_equal(setenv("TRANQ_B", "no", 1), 0);
	check("${env:TRANQ_A}", "${env:TRANQ_B}");
}

static void
test_plain(void **state)
{
	(void)state;
	check("", "");
	check("a$b$$c{}$", "a$b$$c{}$");
	check("$${env:X}", "${env:X}");
	check("$$${", "$${");
	check_wrong("${", "this is neither");
	check_wrong("a${env:X", "this is neither");
	check_wrong("${env:}", "this is neither");
	check_wrong("${file:}", "this is neither");
	check_wrong("${X}", "this is neither");
	check_wrong("${ENV:X}", "'$${'");
}

static void
test_escape(void **state)
{
	static const char *const texts[] = { "", "$", "${", "$${", "$$${",
		"${${", "a${env:X}b$", "{$}${}" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		char *escaped = conf_reference_escape(texts[i]);

		check(escaped, texts[i]);
		free(escaped);
	}
}

static void
test_file(void **state)
{
	char *reference = file_reference("not there");

	(void)state;
	check_file("pw", 2, "pw");
	check_file("pw\n", 3, "pw");
	check_file("pw\r\n", 4, "pw");
	check_file(" p w \n\n", 7, " p w \n");
	check_file("", 0, "");
	check_file("\n", 1, "");
	check_wrong(reference, "No such file or directory");
	check_wrong("${file:secret}", "no absolute path");
	check_wrong("${file:/tmp}", "Is a directory");
	check_wrong("${file:/dev/zero}", "no regular file");
	free(reference);
}

/* As systemd and Kubernetes give them. */
static void
test_link(void **state)
{
	char *from = path_of("link"), *to = path_of("f");
	char *reference = file_reference("link");

	(void)state;
	write_line("f", "linked\n");
	assert_int_equal(symlink(to, from), 0);
	check(reference, "linked");
	free(from);
	free(to);
	free(reference);
}

static void
test_pipe(void **state)
{
	char *path = path_of("pipe"), *reference = file_reference("pipe");

	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	/* and does not wait for a writer */
	check_wrong(reference, "no regular file");
	free(path);
	free(reference);
}

static void
test_bounds(void **state)
{
	char *reference = file_reference("f");
	char *twice = must_format("%s%s", reference, reference);
	char bytes[CONF_TEXT_BYTES_MAX + 3];
	char expected[CONF_TEXT_BYTES_MAX + 1];

	(void)state;
	memset(bytes, 'x', sizeof bytes);
	bytes[CONF_TEXT_BYTES_MAX] = '\n';
	memset(expected, 'x', CONF_TEXT_BYTES_MAX);
	expected[CONF_TEXT_BYTES_MAX] = '\0';
	check_file(bytes, CONF_TEXT_BYTES_MAX + 1, expected);
	check_wrong(twice, "longer than 4096 bytes");
	write_file("f", bytes, CONF_TEXT_BYTES_MAX + 2);
	check_wrong(reference, "longer than 4096 bytes");
	write_file("f", bytes, CONF_TEXT_BYTES_MAX + 3);
	check_wrong(reference, "too large");
	write_file("f", "a\0b", 3);
	check_wrong(reference, "zero byte");
	free(reference);
	free(twice);
}

/* ---- in a configuration ---- */

static struct conf *
parse(const char *properties, struct conf_problems *p)
{
	char *text = must_format("{\"dataSources\":[{\"spec\":" SPEC
				 ",\"properties\":{%s}}],\"properties\":"
				 "{\"druid.overlord.url\":\"http://o:1\"}}",
	    properties);
	struct conf *conf = conf_parse("x", text, strlen(text), p);

	free(text);
	return conf;
}

static struct conf *
must_parse(const char *properties)
{
	struct conf_problems p;
	struct conf *conf = parse(properties, &p);

	if (conf == NULL)
		fail_msg("%s", p.lines[0]);
	conf_problems_free(&p);
	return conf;
}

/* The text that goes to receivers needs neither file nor environment, and
 * gives the same. */
static void
test_travels(void **state)
{
	char *written = must_format(
	    "\"druid.overlord.url\":\"http://${env:TRANQ_A}:8090/$${x\","
	    "\"zookeeper.path\":\"${file:%s/f}\"",
	    dir);
	struct conf_problems p;
	struct conf *conf, *again;
	char *text;

	(void)state;
	assert_int_equal(setenv("TRANQ_A", "h", 1), 0);
	write_line("f", "/p${env:TRANQ_A}\n");
	conf = must_parse(written);
	assert_string_equal(conf->ds[0].overlord_url, "http://h:8090/${x");
	assert_string_equal(conf->ds[0].zookeeper_path, "/p${env:TRANQ_A}");
	text = conf_text(conf);
	assert_int_equal(setenv("TRANQ_A", "other", 1), 0);
	write_line("f", "/other");
	again = conf_parse("x", text, strlen(text), &p);
	if (again == NULL)
		fail_msg("%s", p.lines[0]);
	assert_string_equal(
	    again->ds[0].overlord_url, conf->ds[0].overlord_url);
	assert_string_equal(
	    again->ds[0].zookeeper_path, conf->ds[0].zookeeper_path);
	assert_true(again->ds[0].digest == conf->ds[0].digest);
	conf_free(&again);
	free(text);
	/* a reload reads them anew */
	again = must_parse(written);
	assert_string_equal(again->ds[0].zookeeper_path, "/other");
	assert_true(again->ds[0].digest != conf->ds[0].digest);
	conf_free(&again);
	conf_free(&conf);
	conf_problems_free(&p);
	free(written);
}

static void
check_problem(const char *properties, const char *expected)
{
	struct conf_problems p;

	assert_null(parse(properties, &p));
	assert_int_equal(p.count, 1);
	if (strstr(p.lines[0], expected) == NULL)
		fail_msg("'%s' does not say '%s'", p.lines[0], expected);
	assert_null(strstr(p.lines[0], "hidden"));
	conf_problems_free(&p);
}

/* The place is named; what a reference stands for never is. */
static void
test_problems(void **state)
{
	(void)state;
	assert_int_equal(unsetenv("TRANQ_C"), 0);
	assert_int_equal(setenv("TRANQ_A", "hidden", 1), 0);
	check_problem("\"task.partitions\":\"${env:TRANQ_C}\"",
	    "x: dataSources[0].properties.task.partitions: ${env:TRANQ_C}: "
	    "there is no");
	check_problem("\"task.partitions\":\"${env:TRANQ_A}\"",
	    "'${env:TRANQ_A}' stands for a value (not shown) that does not "
	    "belong here; give a whole number, 1 to 10000");
	check_problem("\"druid.overlord.url\":\"${env:TRANQ_A}\"",
	    "'${env:TRANQ_A}' stands for");
	check_problem("\"druidBeam.taskLocator\":\"${env:TRANQ_A}\"",
	    "give curator or overlord");
	check_problem(
	    "\"task.warmingPeriod\":\"${env:TRANQ_A}\"", "such as PT10M");
}

/* A file that is neither JSON nor YAML: the place, and not what stands there. */
static void
test_broken_text(void **state)
{
	static const char *const texts[] = {
		"{\"a\":\"hidden\" \"b\":1}",
		"{\"a\":hidden}",
		"{\"a\":\"hidden\nx\"}",
		"{\"a\":\"hidden",
		"a: !hidden\n",
		"a: *hidden\n",
		"a: \"hidden\n",
		"a: %hidden\n",
		"a: 'hidden' x\n",
		"a: 99999999999999999999999\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct conf_problems p;

		assert_null(conf_parse("x", texts[i], strlen(texts[i]), &p));
		assert_true(p.count > 0);
		assert_non_null(strstr(p.lines[0], "x: line "));
		assert_null(strstr(p.lines[0], "hidden"));
		assert_null(strstr(p.lines[0], "999"));
		conf_problems_free(&p);
	}
}

static void
test_not_utf8(void **state)
{
	char *property =
	    must_format("\"zookeeper.path\":\"${file:%s/f}\"", dir);

	(void)state;
	write_line("f", "/p\xe4\n");
	check_problem(property, "not UTF-8");
	free(property);
}

/* tranqctl needs neither the secrets nor a file that is good. */
static void
test_socket(void **state)
{
	char *path = path_of("conf.yaml");
	struct conf_problems p;
	char *socket;

	(void)state;
	assert_int_equal(setenv("TRANQ_A", "/run/x", 1), 0);
	write_line("conf.yaml",
	    "dataSources: nothing\nproperties:\n"
	    "  tranqd.runDir: ${env:TRANQ_A}\n"
	    "  zookeeper.path: ${file:/not/there}\n  wrong: 1\n");
	socket = conf_load_socket(path, &p);
	assert_string_equal(socket, "/run/x/control.sock");
	assert_int_equal(p.count, 0);
	free(socket);
	conf_problems_free(&p);
	write_line("conf.yaml", "- 1\n");
	socket = conf_load_socket(path, &p);
	assert_string_equal(socket, "/run/tranqd/control.sock");
	free(socket);
	conf_problems_free(&p);
	write_line("conf.yaml", "{");
	assert_null(conf_load_socket(path, &p));
	assert_int_equal(p.count, 1);
	conf_problems_free(&p);
	free(path);
}

static int
make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) == NULL;
}

static int
remove_dir(void **state)
{
	static const char *const names[] = { "f", "link", "pipe", "conf.yaml" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char *path = path_of(names[i]);

		unlink(path);
		free(path);
	}
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_once),
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_escape),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_link),
		cmocka_unit_test(test_pipe),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_travels),
		cmocka_unit_test(test_problems),
		cmocka_unit_test(test_broken_text),
		cmocka_unit_test(test_not_utf8),
		cmocka_unit_test(test_socket),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
