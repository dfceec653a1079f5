/*
 * line_parser - the reader of a dataSource's text/plain bodies
 *
 * Process: receiver.
 */
#include "line_parser.h"

#include <stdio.h>
#include <stdlib.h>

#include "delimited.h"
#include "flatten.h"
#include "json_lines.h"
#include "panic.h"
#include "parse_spec.h"
#include "regex_line.h"

#define BYTE_ORDER_MARK "\xef\xbb\xbf"

struct line_parser {
	enum parse_spec_format format;
	/* the one that the format needs */
	struct delimited *delimited;
	struct regex_line *regex;
	struct json_lines *json;
};

static bool
compile_delimited(struct line_parser *p, const struct parse_spec *s)
{
	bool is_old = s->form == LINE_PARSER_PARSE_SPEC;
	struct delimited_spec spec = { .dialect = DELIMITED_UNQUOTED,
		.delimiter = s->delimiter,
		.list_delimiter = s->list_delimiter,
		.columns = s->columns,
		.column_count = s->column_count,
		.skip_rows = s->skip_rows,
		.has_header = s->has_header,
		.null_in_lists = is_old,
		.tries_numbers = s->tries_numbers };

	if (s->format == PARSE_SPEC_CSV)
		spec.dialect = is_old ? DELIMITED_OPENCSV : DELIMITED_RFC4180;
	p->delimited = delimited_new(&spec);
	must_afford(p->delimited != NULL);
	return true;
}

/* What is compiled, and where its problems go. */
struct job {
	struct line_parser *p;
	const struct parse_spec *s;
	const struct line_parser_spec *from;
	struct line_parser_problem *first;
};

static bool
compile_regex(const struct job *j)
{
	const struct parse_spec *s = j->s;
	struct regex_line_spec spec = { .pattern = s->pattern,
		.list_delimiter = s->list_delimiter,
		.list_is_pattern = s->form == LINE_PARSER_PARSE_SPEC,
		.columns = s->columns,
		.column_count = s->column_count };
	struct line_parser_problem problem;
	enum regex_line_fault fault;
	char why[REGEX_LINE_WHY_BYTES];

	j->p->regex = regex_line_new(&spec, &fault, why);
	if (j->p->regex != NULL)
		return true;
	snprintf(problem.where, sizeof problem.where, "%s",
	    fault == REGEX_LINE_PATTERN ? "pattern" : "listDelimiter");
	snprintf(problem.why, sizeof problem.why,
	    "\"%.160s\" cannot be used: %s",
	    fault == REGEX_LINE_PATTERN ? s->pattern : s->list_delimiter, why);
	parse_spec_report(j->from, &problem, j->first);
	return false;
}

static void
report_flatten(void *context, const struct flatten_problem *fault)
{
	const struct job *j = context;
	struct line_parser_problem problem;

	snprintf(problem.where, sizeof problem.where, "flattenSpec%s%s",
	    fault->where[0] == '\0' ? "" : ".", fault->where);
	snprintf(problem.why, sizeof problem.why, "%s", fault->why);
	parse_spec_report(j->from, &problem, j->first);
}

static bool
compile_json(struct job *j)
{
	struct flatten_problems problems = { .report = report_flatten,
		.context = j };
	struct flatten *flatten = flatten_compile(j->s->flatten, &problems);
	const char *name;

	if (flatten == NULL)
		return false;
	for (unsigned i = 0;
	     (name = parse_spec_nested_dimension(j->s, i)) != NULL; i++)
		flatten_keep(flatten, name);
	if (j->s->discovers_nested)
		flatten_discover_nested(flatten);
	j->p->json = json_lines_new(flatten);
	return true;
}

static bool
compile(struct job *j)
{
	struct line_parser *p = j->p;

	p->format = j->s->format;
	switch (p->format) {
	case PARSE_SPEC_JSON: return compile_json(j);
	case PARSE_SPEC_JSON_LOWERCASE:
		p->json = json_lines_new(NULL);
		return true;
	case PARSE_SPEC_CSV:
	case PARSE_SPEC_TSV: return compile_delimited(p, j->s);
	case PARSE_SPEC_REGEX: return compile_regex(j);
	case PARSE_SPEC_NO_TEXT: break;
	}
	return true;
}

struct line_parser *
line_parser_compile(
    const struct line_parser_spec *spec, struct line_parser_problem *problem)
{
	struct line_parser *p = must_calloc(1, sizeof *p);
	struct parse_spec s = { .document = NULL };
	struct job job = { p, &s, spec, problem };
	bool good;

	problem->where[0] = problem->why[0] = '\0';
	good = parse_spec_read(&s, spec, problem);
	/* a flattenSpec's problems are told beside others */
	if (good || s.flatten != NULL)
		good = compile(&job) && good;
	if (!good)
		line_parser_free(&p);
	parse_spec_fini(&s);
	return p;
}

void
line_parser_free(struct line_parser **parser)
{
	struct line_parser *p = *parser;

	if (p == NULL)
		return;
	*parser = NULL;
	delimited_free(&p->delimited);
	regex_line_free(&p->regex);
	json_lines_free(&p->json);
	free(p);
}

static const char *
skip_mark(const char *body, const char *end)
{
	size_t bytes = strlen(BYTE_ORDER_MARK);

	if ((size_t)(end - body) >= bytes &&
	    memcmp(body, BYTE_ORDER_MARK, bytes) == 0)
		body += bytes;
	return body;
}

static enum line_result
read_text(struct line_parser *p, const char *body, const char *end,
    struct line_out *out, struct line_error *error)
{
	switch (p->format) {
	case PARSE_SPEC_CSV:
	case PARSE_SPEC_TSV:
		return delimited_read(p->delimited, body, end, out, error);
	case PARSE_SPEC_REGEX:
		return regex_line_read(p->regex, body, end, out, error);
	case PARSE_SPEC_JSON:
	case PARSE_SPEC_JSON_LOWERCASE:
		return json_lines_read(p->json, body, end, out, error);
	case PARSE_SPEC_NO_TEXT: break;
	}
	return line_error_set(error, 1,
	    "the dataSource's parseSpec has the format timeAndDims, which "
	    "reads no text; send application/json");
}

/* A copy of the body that is UTF-8, padded. */
static enum line_result
repair(const char *body, const char *end, struct buf *copy)
{
	static const char padding[JSON_SCAN_PADDING];

	/* a byte becomes at most three */
	buf_init(copy, 3 * (size_t)(end - body) + sizeof padding);
	(void)line_utf8_repair(body, end, copy);
	buf_add(copy, padding, sizeof padding);
	return copy->failed ? LINE_NO_MEMORY : LINE_OK;
}

bool
line_parser_knows_members(const struct line_parser *p)
{
	return p->delimited != NULL;
}

enum line_result
line_parser_read(struct line_parser *p, const char *body, size_t bytes,
    struct buf *to, struct line_error *error)
{
	struct line_feed feed = { to, NULL };

	return line_parser_feed(p, body, bytes, &feed, error);
}

enum line_result
line_parser_feed(struct line_parser *p, const char *body, size_t bytes,
    struct line_feed *feed, struct line_error *error)
{
	const char *end = body + bytes;
	enum line_result result = LINE_OK;
	struct line_out out;
	struct buf copy = { .max = 0 };

	*error = (struct line_error){ .line = 0 };
	body = skip_mark(body, end);
	if (UNLIKELY(!line_utf8_valid(body, end))) {
		result = repair(body, end, &copy);
		body = copy.bytes;
		end = copy.bytes + copy.used;
		if (result == LINE_OK)
			end -= JSON_SCAN_PADDING;
	}
	line_out_init(&out, feed->json);
	out.sink = feed->sink;
	must(out.sink == NULL || line_parser_knows_members(p));
	if (result == LINE_OK)
		result = read_text(p, body, end, &out, error);
	if (result == LINE_OK && !line_out_finish(&out))
		result = line_out_failure(&out);
	buf_free(&copy);
	return result;
}

static bool
next_event(const struct line_parser *p, struct line_cursor *c)
{
	switch (p->format) {
	case PARSE_SPEC_CSV:
	case PARSE_SPEC_TSV: return delimited_next(p->delimited, c);
	case PARSE_SPEC_REGEX: return regex_line_next(c);
	case PARSE_SPEC_JSON:
	case PARSE_SPEC_JSON_LOWERCASE: return json_lines_next(c);
	case PARSE_SPEC_NO_TEXT: break;
	}
	return false;
}

void
line_parser_walk(const char *body, size_t bytes, struct line_walk *w)
{
	const char *end = body + bytes;

	line_cursor_init(&w->cursor, skip_mark(body, end), end);
	w->next = 0;
}

uint64_t
line_parser_walk_to(
    const struct line_parser *p, struct line_walk *w, uint64_t event)
{
	while (w->next <= event) {
		if (!next_event(p, &w->cursor))
			return 0;
		w->next++;
	}
	return w->cursor.line;
}

uint64_t
line_parser_line(
    const struct line_parser *p, const char *body, size_t bytes, uint64_t event)
{
	struct line_walk walk;

	line_parser_walk(body, bytes, &walk);
	return line_parser_walk_to(p, &walk, event);
}

const char *
line_parser_error(const struct line_error *error, char *text, size_t text_bytes)
{
	snprintf(text, text_bytes, "Malformed string on line[%llu]: %s",
	    (unsigned long long)error->line, error->why);
	return text;
}
