/*
 * line_parser - the reader of a dataSource's text/plain bodies
 *
 * Process: receiver.   After: inflate.c.   Before: body.c, json_scan.c.
 * Owns:    what the parseSpec was compiled into, room to work in.
 *
 * A body of lines becomes JSON objects, one after another, so that they go the
 * way of any JSON body. Every line that is not blank, and no header, becomes
 * exactly one object.
 *
 * What is not UTF-8 becomes U+FFFD, one for one as Java's decoder does it; a
 * byte order mark at the body's start is passed over.
 *
 * csv is read as opencsv 2.3 read it when it comes from a parseSpec (what
 * Tranquility did), and as RFC 4180 when it comes from an inputFormat (what
 * Druid does today): see delimited_quotes.h.
 */
#pragma once

#include "json.h"
#include "line_text.h"

#define LINE_PARSER_WHERE_BYTES 96
#define LINE_PARSER_WHY_BYTES 480

enum line_parser_form {
	LINE_PARSER_PARSE_SPEC, /* dataSchema.parser.parseSpec */
	LINE_PARSER_INPUT_FORMAT, /* ioConfig.inputFormat and its like */
};

struct line_parser_problem {
	char where[LINE_PARSER_WHERE_BYTES]; /* below the spec: "columns[2]" */
	char why[LINE_PARSER_WHY_BYTES]; /* what is wrong; what to do */
};

struct line_parser_spec {
	const struct json *format; /* NULL: one JSON object a line */
	const struct json *dimensions; /* the dimensionsSpec, or NULL */
	enum line_parser_form form;
	/* is told of each problem, or NULL */
	void (*report)(void *context, const struct line_parser_problem *);
	void *context;
};

struct line_parser;

/* The documents are not needed afterwards. NULL with the first problem. */
struct line_parser *line_parser_compile(
    const struct line_parser_spec *, struct line_parser_problem *);
void line_parser_free(struct line_parser **);

/* Appends the body's events to `out`, JSON_SCAN_PADDING readable bytes behind
 * them. JSON_SCAN_PADDING bytes behind the body must be readable. After
 * LINE_MALFORMED the answer's words are line_parser_error's; then, and after
 * LINE_TOO_LARGE (out->max is reached), `out` must not be used. */
enum line_result line_parser_read(struct line_parser *, const char *body,
    size_t bytes, struct buf *out, struct line_error *) MUST_CHECK;
/* Whether events can be handed on as they are written: csv and tsv. */
bool line_parser_knows_members(const struct line_parser *);
/* The same with that: LINE_STOPPED when the sink wanted no more. */
struct line_feed {
	struct buf *json;
	struct json_sink *sink;
};
enum line_result line_parser_feed(struct line_parser *, const char *body,
    size_t bytes, struct line_feed *, struct line_error *) MUST_CHECK;
/* The line, from 1, of the event with this index, from 0, in a body that was
 * read: for what json_scan's readers complain of. 0: no such event. */
uint64_t line_parser_line(
    const struct line_parser *, const char *body, size_t bytes, uint64_t event);
/* The same for many events, in one pass. */
struct line_walk {
	struct line_cursor cursor;
	uint64_t next; /* the event behind the cursor's */
};
void line_parser_walk(const char *body, size_t bytes, struct line_walk *);
/* Events must ascend. */
uint64_t line_parser_walk_to(
    const struct line_parser *, struct line_walk *, uint64_t event);
/* "Malformed string on line[3]: why", as Tranquility begins it, without a
 * newline. Returns `text`. */
const char *
line_parser_error(const struct line_error *, char *text, size_t text_bytes);
