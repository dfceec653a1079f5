/*
 * fuzz_conf - any bytes as a configuration, JSON or YAML
 *
 * A file that is refused has lines for it that name the file; one that is
 * taken can be shown, and as the text that goes to running receivers it reads
 * back the same. What is a document both as JSON and as YAML is the same one.
 */
#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "conf_reader.h"
#include "panic.h"
#include "receiver_check.h"
#include "yaml.h"

#define FILE_NAME "conf.yaml"
#define ALIASES_MAX 20

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* One line each, in the form in which it will stand in a log. */
static void
check_lines(char *const *lines, unsigned count)
{
	must(count <= CONF_PROBLEMS_MAX + 1);
	for (unsigned i = 0; i < count; i++) {
		const char *begin =
		    i == CONF_PROBLEMS_MAX ? "there are more" : FILE_NAME ":";

		must(strncmp(lines[i], begin, strlen(begin)) == 0);
		for (const char *p = lines[i]; *p != '\0'; p++)
			must((unsigned char)*p >= ' ' && *p != 0x7f);
	}
}

static void
check_problems(struct conf_problems *problems)
{
	check_lines(problems->lines, problems->count);
	check_lines(problems->warnings, problems->warning_count);
	conf_problems_free(problems);
}

static void
check_same(const struct conf *a, const struct conf *b)
{
	char *names = conf_restart_needed(a, b);

	must(names == NULL && a->ds_count == b->ds_count);
	for (unsigned i = 0; i < a->ds_count; i++) {
		must(strcmp(a->ds[i].name, b->ds[i].name) == 0);
		must(a->ds[i].digest == b->ds[i].digest);
		must(conf_find(a, b->ds[i].name, strlen(b->ds[i].name)) ==
		    &a->ds[i]);
	}
}

static void
use(const struct conf *conf)
{
	struct conf_problems problems = { 0 };
	char *text = conf_text(conf), *shown;
	struct conf *again;
	struct json *show = conf_show(conf);

	shown = json_to_text(show);
	again = conf_parse(FILE_NAME, text, strlen(text), &problems);
	must(again != NULL);
	check_same(conf, again);
	conf_problems_free(&problems);
	problems = (struct conf_problems){ 0 };
	receiver_check(conf, &problems);
	check_problems(&problems);
	conf_free(&again);
	json_free(&show);
	free(shown);
	free(text);
}

static void
compare_readers(const char *text, size_t bytes)
{
	struct json_error error;
	struct json *json = json_parse(text, bytes, &error);
	struct json *yaml = yaml_parse(text, bytes, &error);

	must(yaml != NULL || strlen(error.text) > 0);
	must(json == NULL || yaml == NULL || json_same(json, yaml));
	json_free(&json);
	json_free(&yaml);
}

/* Aliases may be written out to YAML_BYTES_MAX, which takes seconds here and
 * is tried in test_yaml: no use in trying nothing else. */
static bool
is_bomb(const uint8_t *data, size_t bytes)
{
	unsigned aliases = 0;

	for (size_t i = 0; i < bytes; i++)
		aliases += data[i] == '*';
	return aliases > ALIASES_MAX;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct conf_problems problems = { 0 };
	struct conf *conf;
	char *text;

	if (bytes == 0 || is_bomb(data, bytes))
		return 0;
	text = must_malloc(bytes);
	memcpy(text, data, bytes);
	compare_readers(text, bytes);
	conf = conf_parse(FILE_NAME, text, bytes, &problems);
	must((conf == NULL) == (problems.count > 0));
	check_problems(&problems);
	if (conf != NULL)
		use(conf);
	conf_free(&conf);
	free(text);
	return 0;
}
