/*
 * line_golden - bodies of lines and what Druid's own readers made of them
 *
 * A golden file has a JSON object a line: "form" and "spec" for the parser,
 * "body" (or "hex") for it to read, and either "events" or, when it must be
 * refused, "line". How they came about: see the files' README.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "line_parser.h"
#include "panic.h"
#include "sink_check.h"

#define LINE_GOLDEN_OUT_MAX (64u * MiB)

static inline struct json *
line_golden_json(const char *text, size_t bytes)
{
	struct json_error error;
	struct json *j = json_parse(text, bytes, &error);

	if (j == NULL)
		fail_msg("%s: %.*s", error.text, (int)bytes, text);
	return j;
}

static inline struct line_parser *
line_golden_compile(const struct json *spec, enum line_parser_form form,
    struct line_parser_problem *problem)
{
	return line_parser_compile(
	    &(struct line_parser_spec){ .format = spec,
		.dimensions = json_get(spec, "dimensionsSpec"),
		.form = form },
	    problem);
}

/* A spec as C text; single quotes stand for double ones, unless they have a
 * backslash before them. */
static inline struct line_parser *
line_golden_try(const char *spec, enum line_parser_form form,
    struct line_parser_problem *problem)
{
	char *text = must_malloc(strlen(spec) + 1), *end = text;
	struct line_parser *p;
	struct json *j;

	for (; *spec != '\0'; spec++) {
		if (spec[0] == '\\' && spec[1] == '\'')
			*end++ = *++spec;
		else
			*end++ = *spec == '\'' ? '"' : *spec;
	}
	j = line_golden_json(text, (size_t)(end - text));
	p = line_golden_compile(j, form, problem);
	json_free(&j);
	free(text);
	return p;
}

static inline struct line_parser *
line_golden_parser(const char *spec, enum line_parser_form form)
{
	struct line_parser_problem problem;
	struct line_parser *p = line_golden_try(spec, form, &problem);

	if (p == NULL)
		fail_msg("%s: %s", problem.where, problem.why);
	return p;
}

/* Reads a body that ends where its memory does, padding apart. */
static inline enum line_result
line_golden_read(struct line_parser *p, const char *body, size_t bytes,
    struct buf *out, struct line_error *error)
{
	char *copy = must_malloc(bytes + JSON_SCAN_PADDING);
	struct line_feed feed = { out, NULL };
	struct sink_check check;
	enum line_result result;

	sink_check_init(&check);
	if (line_parser_knows_members(p))
		feed.sink = &check.sink;
	memcpy(copy, body, bytes);
	/* what tempts a reader to go on */
	memset(copy + bytes, '"', JSON_SCAN_PADDING);
	result = line_parser_feed(p, copy, bytes, &feed, error);
	sink_check_fini(&check);
	if (result == LINE_OK)
		for (size_t i = 0; i < JSON_SCAN_PADDING; i++)
			assert_int_equal(out->bytes[out->used + i], 0);
	free(copy);
	return result;
}

/* The events that must come of a body, as text: a line each. */
static inline void
line_golden_expect(struct line_parser *p, const char *body, const char *events)
{
	struct line_error error;
	struct buf out;

	buf_init(&out, LINE_GOLDEN_OUT_MAX);
	if (line_golden_read(p, body, strlen(body), &out, &error) != LINE_OK)
		fail_msg("line %d: %s", (int)error.line, error.why);
	buf_add(&out, "", 1);
	assert_string_equal(out.bytes, events);
	buf_free(&out);
}

/* A body that must be refused at this line, for this reason (a part of it). */
static inline void
line_golden_refuse(
    struct line_parser *p, const char *body, unsigned line, const char *why)
{
	struct line_error error;
	struct buf out;

	buf_init(&out, LINE_GOLDEN_OUT_MAX);
	assert_int_equal(line_golden_read(p, body, strlen(body), &out, &error),
	    LINE_MALFORMED);
	assert_int_equal(error.line, line);
	if (strstr(error.why, why) == NULL)
		fail_msg("\"%s\" is not in: %s", why, error.why);
	buf_free(&out);
}

/* The line of an event. */
static inline void
line_golden_line(
    struct line_parser *p, const char *body, uint64_t event, uint64_t line)
{
	size_t bytes = strlen(body);
	char *copy = must_calloc(1, bytes + JSON_SCAN_PADDING);

	memcpy(copy, body, bytes);
	assert_int_equal(line_parser_line(p, copy, bytes, event), line);
	free(copy);
}

/* A spec that must be refused at this place, for this reason. */
static inline void
line_golden_problem(const char *spec, enum line_parser_form form,
    const char *where, const char *why)
{
	struct line_parser_problem problem;
	struct line_parser *p = line_golden_try(spec, form, &problem);

	assert_null(p);
	assert_string_equal(problem.where, where);
	if (strstr(problem.why, why) == NULL)
		fail_msg("\"%s\" is not in: %s", why, problem.why);
}

static inline char *
line_golden_body(const struct json *j, size_t *bytes)
{
	const char *hex = json_get_text(j, "hex", NULL);
	char *body;

	if (hex == NULL) {
		body = must_strdup(json_get_text(j, "body", ""));
		*bytes = strlen(body);
		return body;
	}
	*bytes = strlen(hex) / 2;
	body = must_malloc(*bytes + 1);
	for (size_t i = 0; i < *bytes; i++) {
		unsigned value;

		assert_int_equal(sscanf(hex + 2 * i, "%2x", &value), 1);
		body[i] = (char)value;
	}
	return body;
}

static inline void
line_golden_compare(
    const struct json *vector, const struct buf *out, const char *text)
{
	const struct json *events = json_get(vector, "events");
	const char *p = out->bytes;

	for (size_t i = 0; i < json_size(events); i++) {
		const char *end = strchr(p, '\n');
		struct json *j;

		assert_non_null(end);
		j = line_golden_json(p, (size_t)(end - p));
		if (!json_same(j, json_at(events, i)))
			fail_msg("event %zu of %s is %.*s", i, text,
			    (int)(end - p), p);
		json_free(&j);
		p = end + 1;
	}
	assert_ptr_equal(p, out->bytes + out->used);
}

static inline void
line_golden_check(const char *text, size_t bytes)
{
	struct json *vector = line_golden_json(text, bytes);
	bool is_new =
	    strcmp(json_get_text(vector, "form", ""), "inputFormat") == 0;
	struct line_parser_problem problem;
	struct line_parser *p = line_golden_compile(json_get(vector, "spec"),
	    is_new ? LINE_PARSER_INPUT_FORMAT : LINE_PARSER_PARSE_SPEC,
	    &problem);
	struct line_error error;
	enum line_result result;
	size_t body_bytes;
	char *body = line_golden_body(vector, &body_bytes);
	struct buf out;

	if (p == NULL)
		fail_msg("%s: %s: %s", problem.where, problem.why, text);
	buf_init(&out, LINE_GOLDEN_OUT_MAX);
	result = line_golden_read(p, body, body_bytes, &out, &error);
	if (json_get(vector, "events") != NULL) {
		if (result != LINE_OK)
			fail_msg("%s: %s", error.why, text);
		line_golden_compare(vector, &out, text);
	} else {
		assert_int_equal(result, LINE_MALFORMED);
		assert_int_equal(error.line, json_get_int(vector, "line", -1));
	}
	buf_free(&out);
	free(body);
	line_parser_free(&p);
	json_free(&vector);
}

/* Every vector of a file; there must be this many at least. */
static inline void
line_golden_file(const char *path, unsigned least)
{
	FILE *f = fopen(path, "r");
	char *line = NULL;
	size_t size = 0;
	unsigned count = 0;
	ssize_t bytes;

	if (f == NULL)
		fail_msg("%s cannot be read", path);
	while ((bytes = getline(&line, &size, f)) > 0) {
		line[--bytes] = '\0';
		line_golden_check(line, (size_t)bytes);
		count++;
	}
	free(line);
	fclose(f);
	assert_true(count >= least);
}
