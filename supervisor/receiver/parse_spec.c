/*
 * parse_spec - how a dataSource's text bodies are written: what its parseSpec
 * or inputFormat says, checked
 *
 * Process: receiver. Pure.
 */
#include "parse_spec.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "json_scan.h"
#include "panic.h"

#define DELIMITER_BYTES_MAX 64

struct reading {
	struct parse_spec *s;
	const struct line_parser_spec *from;
	struct line_parser_problem *first;
};

void
parse_spec_report(const struct line_parser_spec *spec,
    const struct line_parser_problem *p, struct line_parser_problem *first)
{
	if (first->why[0] == '\0')
		*first = *p;
	if (spec->report != NULL)
		spec->report(spec->context, p);
}

/* False, with the problem, for the caller to return. */
static bool problem(struct reading *r, const char *where, const char *format,
    ...) PRINTF_LIKE(3, 4);

static bool
problem(struct reading *r, const char *where, const char *format, ...)
{
	struct line_parser_problem p;
	va_list args;

	snprintf(p.where, sizeof p.where, "%s", where);
	va_start(args, format);
	vsnprintf(p.why, sizeof p.why, format, args);
	va_end(args);
	parse_spec_report(r->from, &p, r->first);
	return false;
}

static bool
is_input_format(const struct reading *r)
{
	return r->s->form == LINE_PARSER_INPUT_FORMAT;
}

/* NULL for null, too. */
static const struct json *
get(const struct reading *r, const char *name)
{
	const struct json *j = json_get(r->s->document, name);

	return json_is_null(j) ? NULL : j;
}

static bool
read_text(struct reading *r, const char *name, const char **text)
{
	const struct json *j = get(r, name);

	if (j == NULL)
		return true;
	if (!json_is_text(j))
		return problem(r, name, "%s; it is a text", json_type_name(j));
	*text = json_text(j, NULL);
	return true;
}

/* As Druid's JSON reader takes booleans: "true" will do. */
static bool
read_bool(struct reading *r, const char *name, bool *value, bool *is_there)
{
	const struct json *j = get(r, name);
	const char *text = json_text(j, "");

	*is_there = j != NULL;
	if (j == NULL)
		return true;
	if (json_is_bool(j))
		*value = json_bool(j, false);
	else if (strcasecmp(text, "true") == 0)
		*value = true;
	else if (strcasecmp(text, "false") == 0)
		*value = false;
	else
		return problem(
		    r, name, "%s; it is true or false", json_type_name(j));
	return true;
}

static bool
read_format(struct reading *r)
{
	static const struct {
		const char *name;
		enum parse_spec_format format;
		bool in_input_format;
	} formats[] = { { "json", PARSE_SPEC_JSON, true },
		{ "jsonLowercase", PARSE_SPEC_JSON_LOWERCASE, false },
		{ "csv", PARSE_SPEC_CSV, true },
		{ "tsv", PARSE_SPEC_TSV, true },
		{ "regex", PARSE_SPEC_REGEX, true },
		{ "timeAndDims", PARSE_SPEC_NO_TEXT, false } };
	const char *member = is_input_format(r) ? "type" : "format";
	const char *name = is_input_format(r) ? NULL : "tsv";

	if (!read_text(r, member, &name))
		return false;
	if (name == NULL)
		return problem(
		    r, member, "missing; it is json, csv, tsv or regex");
	for (size_t i = 0; i < ARRAY_LEN(formats); i++)
		if (strcmp(name, formats[i].name) == 0 &&
		    (formats[i].in_input_format || !is_input_format(r))) {
			r->s->format = formats[i].format;
			return true;
		}
	if (strcmp(name, "javascript") == 0)
		return problem(r, member,
		    "javascript is not run here, since a program in the "
		    "configuration could stop the receiver; use regex, or let "
		    "the client send application/json");
	return problem(r, member, "\"%.80s\" is not supported; it is %s", name,
	    is_input_format(r)
		? "json, csv, tsv or regex"
		: "json, jsonLowercase, csv, tsv, regex or timeAndDims");
}

/* What may stand between values. */
static bool
check_delimiter(struct reading *r, const char *name, const char *text)
{
	if (*text == '\0')
		return problem(r, name, "is empty; give the characters");
	if (strlen(text) > DELIMITER_BYTES_MAX)
		return problem(r, name, "is longer than %d bytes; shorten it",
		    DELIMITER_BYTES_MAX);
	if (strpbrk(text, "\r\n") != NULL)
		return problem(r, name,
		    "has a line end in it, where every line is an event; "
		    "choose another");
	return true;
}

static bool
is_text_format(const struct parse_spec *s)
{
	return s->format == PARSE_SPEC_CSV || s->format == PARSE_SPEC_TSV;
}

static bool
read_delimiters(struct reading *r)
{
	struct parse_spec *s = r->s;
	bool good;

	s->list_delimiter = "\x01";
	s->delimiter = s->format == PARSE_SPEC_CSV ? "," : "\t";
	good = read_text(r, "listDelimiter", &s->list_delimiter);
	/* a regex's list delimiter may be a pattern: not ours to check */
	if (!is_text_format(s))
		return good;
	if (s->format == PARSE_SPEC_TSV)
		good = read_text(r, "delimiter", &s->delimiter) && good;
	good = check_delimiter(r, "delimiter", s->delimiter) && good;
	good = check_delimiter(r, "listDelimiter", s->list_delimiter) && good;
	/* csv in a parseSpec may list inside quotes */
	if (good && strcmp(s->delimiter, s->list_delimiter) == 0 &&
	    (s->format == PARSE_SPEC_TSV || is_input_format(r)))
		return problem(r, "listDelimiter",
		    "is the same as the delimiter; choose another");
	return good;
}

/* Compared as the form does it: 0.9.2 disregarded case. */
static bool
is_same_name(const struct reading *r, const char *a, const char *b)
{
	return is_input_format(r) ? strcmp(a, b) == 0 : strcasecmp(a, b) == 0;
}

static bool
read_column(struct reading *r, const struct json *j, const char *where)
{
	struct parse_spec *s = r->s;
	const char *name = json_text(j, NULL);
	const char *comma = is_input_format(r) ? s->delimiter : ",";

	if (name == NULL)
		return problem(
		    r, where, "%s; a column is a name", json_type_name(j));
	if (is_text_format(s) && strstr(name, comma) != NULL)
		return problem(r, where,
		    "'%.80s' has '%s' in it, which no column may have; rename "
		    "it",
		    name, comma);
	for (unsigned i = 0; i < s->column_count; i++)
		if (is_same_name(r, s->columns[i], name))
			return problem(r, where,
			    "'%.80s' is there twice%s; rename one", name,
			    strcmp(s->columns[i], name) == 0
				? ""
				: " (case is disregarded)");
	s->columns[s->column_count++] = (char *)(uintptr_t)name;
	return true;
}

static bool
read_columns(struct reading *r)
{
	const struct json *columns = get(r, "columns");
	size_t count = json_size(columns);
	bool good = true;
	char where[32];

	if (columns == NULL)
		return true;
	if (!json_is_array(columns))
		return problem(r, "columns", "%s; it is a list of names",
		    json_type_name(columns));
	if (count > JSON_SCAN_FIELDS_MAX / 16)
		return problem(r, "columns",
		    "more than %d columns; list those that are needed",
		    JSON_SCAN_FIELDS_MAX / 16);
	r->s->columns = must_calloc(count + 1, sizeof r->s->columns[0]);
	for (size_t i = 0; i < count; i++) {
		snprintf(where, sizeof where, "columns[%zu]", i);
		good = read_column(r, json_at(columns, i), where) && good;
	}
	return good;
}

static bool
read_header(struct reading *r)
{
	struct parse_spec *s = r->s;
	const struct json *skip = get(r, "skipHeaderRows");
	const struct json *columns = get(r, "columns");
	bool finds = false, has = false, is_there;
	bool good = read_bool(r, "hasHeaderRow", &has, &is_there);
	int64_t rows = json_int(skip, -1);

	good = read_bool(r, "findColumnsFromHeader", &finds, &is_there) && good;
	good = read_bool(r, "tryParseNumbers", &s->tries_numbers, &is_there) &&
	    good;
	s->has_header = has || finds;
	if (skip != NULL && (rows < 0 || rows > INT32_MAX))
		good = problem(
		    r, "skipHeaderRows", "it is a number of lines, 0 or more");
	s->skip_rows = skip == NULL ? 0 : (uint32_t)rows;
	if (s->has_header || !good || json_size(columns) > 0 ||
	    (columns != NULL && !json_is_array(columns)))
		return good;
	return problem(r, "columns",
	    "missing; list the columns in their order, or set %s to true "
	    "when the first line of every body names them",
	    is_input_format(r) ? "findColumnsFromHeader" : "hasHeaderRow");
}

/* The dimension's name and type. */
static const char *
dimension_name(const struct json *j, const char **type)
{
	*type = json_get_text(j, "type", "string");
	return json_text(j, json_get_text(j, "name", NULL));
}

/* Every listed dimension needs a column. */
static bool
check_dimensions(struct reading *r)
{
	const struct json *dimensions = r->s->dimensions;
	bool good = true;
	char where[64];

	if (r->s->column_count == 0 || r->s->has_header || is_input_format(r))
		return true;
	for (size_t i = 0; i < json_size(dimensions); i++) {
		const char *type;
		const char *name =
		    dimension_name(json_at(dimensions, i), &type);
		unsigned j = 0;

		if (name == NULL || strcmp(type, "spatial") == 0)
			continue;
		while (j < r->s->column_count &&
		    strcmp(r->s->columns[j], name) != 0)
			j++;
		if (j < r->s->column_count)
			continue;
		snprintf(
		    where, sizeof where, "dimensionsSpec.dimensions[%zu]", i);
		good = problem(r, where,
		    "'%.80s' is not among the columns; add it there, or remove "
		    "it here",
		    name);
	}
	return good;
}

/* Jackson's switches: those that make its reader more lenient than JSON have
 * no counterpart here. */
static bool
check_features(struct reading *r)
{
	const struct json *features = get(r, "featureSpec");
	struct json_member *m;
	bool good = true;
	char where[64];

	if (features != NULL && !json_is_object(features))
		return problem(r, "featureSpec", "%s; it is an object",
		    json_type_name(features));
	for (m = json_first(features); m != NULL; m = json_next(features, m)) {
		const char *name = json_member_name(m);

		snprintf(where, sizeof where, "featureSpec.%.40s", name);
		if (!json_is_bool(json_member(m)))
			good = problem(r, where, "%s; it is true or false",
			    json_type_name(json_member(m)));
		if (strncmp(name, "ALLOW_", 6) == 0 &&
		    json_bool(json_member(m), false))
			good = problem(r, where,
			    "is not supported: events are read as strict JSON; "
			    "remove it and let clients send strict JSON");
	}
	return good;
}

static bool
read_json(struct reading *r)
{
	if (r->s->format == PARSE_SPEC_JSON)
		r->s->flatten = get(r, "flattenSpec");
	return check_features(r);
}

static bool
read_regex(struct reading *r)
{
	bool good = read_text(r, "pattern", &r->s->pattern);

	if (good && (r->s->pattern == NULL || *r->s->pattern == '\0'))
		good = problem(r, "pattern",
		    "missing; give a regular expression that matches the whole "
		    "line, a group (…) for each column");
	good = read_delimiters(r) && good;
	return read_columns(r) && check_dimensions(r) && good;
}

static bool
read_delimited(struct reading *r)
{
	bool good = read_delimiters(r);
	bool has_columns = read_columns(r);

	good = read_header(r) && good;
	return has_columns && check_dimensions(r) && good;
}

bool
parse_spec_read(struct parse_spec *s, const struct line_parser_spec *from,
    struct line_parser_problem *p)
{
	struct reading r = { s, from, p };

	*s = (struct parse_spec){ .form = from->form,
		.format = PARSE_SPEC_JSON,
		.document = from->format,
		.dimensions = json_get(from->dimensions, "dimensions"),
		.discovers_nested = json_bool(
		    json_get(from->dimensions, "useSchemaDiscovery"), false) };
	if (from->format == NULL)
		return true;
	if (!json_is_object(from->format))
		return problem(&r, "", "%s; it is an object",
		    json_type_name(from->format));
	if (!read_format(&r))
		return false;
	switch (s->format) {
	case PARSE_SPEC_JSON:
	case PARSE_SPEC_JSON_LOWERCASE: return read_json(&r);
	case PARSE_SPEC_CSV:
	case PARSE_SPEC_TSV: return read_delimited(&r);
	case PARSE_SPEC_REGEX: return read_regex(&r);
	case PARSE_SPEC_NO_TEXT: break;
	}
	return true;
}

void
parse_spec_fini(struct parse_spec *s)
{
	free(s->columns);
	s->columns = NULL;
}

const char *
parse_spec_nested_dimension(const struct parse_spec *s, unsigned i)
{
	static const char *const flat[] = { "string", "long", "float", "double",
		"spatial" };
	const struct json *dimensions = s->dimensions;

	for (size_t j = 0; j < json_size(dimensions); j++) {
		const char *type;
		const char *name =
		    dimension_name(json_at(dimensions, j), &type);
		bool is_flat = name == NULL;

		for (size_t k = 0; k < ARRAY_LEN(flat); k++)
			is_flat |= strcasecmp(type, flat[k]) == 0;
		if (!is_flat && i-- == 0)
			return name;
	}
	return NULL;
}
