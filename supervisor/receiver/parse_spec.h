/*
 * parse_spec - how a dataSource's text bodies are written: what its parseSpec
 * or inputFormat says, checked
 *
 * Process: receiver. Pure. Internal to line_parser.
 */
#pragma once

#include "json.h"
#include "line_parser.h"

enum parse_spec_format {
	PARSE_SPEC_JSON,
	PARSE_SPEC_JSON_LOWERCASE,
	PARSE_SPEC_CSV,
	PARSE_SPEC_TSV,
	PARSE_SPEC_REGEX,
	PARSE_SPEC_NO_TEXT, /* timeAndDims: there is no such text */
};

/* Texts are the document's. */
struct parse_spec {
	enum line_parser_form form;
	enum parse_spec_format format;
	const struct json *document;
	const struct json *dimensions; /* the list, or NULL */
	bool discovers_nested; /* useSchemaDiscovery: any field may be */
	char **columns; /* the array is ours */
	unsigned column_count;
	const char *delimiter, *list_delimiter, *pattern;
	bool has_header, tries_numbers;
	uint32_t skip_rows;
	const struct json *flatten; /* the flattenSpec, or NULL */
};

/* False with the problem, which must be empty before. */
bool parse_spec_read(struct parse_spec *, const struct line_parser_spec *,
    struct line_parser_problem *);
/* Tells of a problem; `first` keeps it when it is that. */
void parse_spec_report(const struct line_parser_spec *,
    const struct line_parser_problem *, struct line_parser_problem *first);
void parse_spec_fini(struct parse_spec *);
/* The i-th listed dimension that may hold nested values (of a type such as
 * json or auto), or NULL when there are no more. */
const char *parse_spec_nested_dimension(const struct parse_spec *, unsigned i);
