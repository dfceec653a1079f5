/*
 * regex_line - lines taken apart by a regular expression
 *
 * Process: receiver.   Owns: PCRE2; nothing else includes it.
 * Fails:   LINE_MALFORMED with the line's number, and as line_text says.
 *
 * The pattern must match the whole line; its groups become the columns. A
 * group that took no part in the match is left out, as an empty one is. The
 * list delimiter is itself a pattern in a parseSpec, a text in an inputFormat.
 *
 * No pattern can run away: what a match may cost grows with the line, and a
 * line that costs more is malformed.
 */
#pragma once

#include "line_text.h"

#define REGEX_LINE_WHY_BYTES 200
#define REGEX_LINE_GROUPS_MAX 1000
/* Steps of PCRE2 that a match may take. */
#define REGEX_LINE_STEPS 20000
#define REGEX_LINE_STEPS_A_BYTE 100

struct regex_line_spec {
	const char *pattern;
	const char *list_delimiter;
	bool list_is_pattern; /* and empty elements are null, not "" */
	char *const *columns; /* none: column_1 … */
	unsigned column_count;
};

struct regex_line;

enum regex_line_fault { REGEX_LINE_PATTERN, REGEX_LINE_LIST_DELIMITER };

/* NULL with what is wrong with which of the two. */
struct regex_line *regex_line_new(const struct regex_line_spec *,
    enum regex_line_fault *, char why[REGEX_LINE_WHY_BYTES]);
void regex_line_free(struct regex_line **);

/* Appends one object a line; blank lines are passed over. [body, end) is
 * UTF-8, JSON_SCAN_PADDING readable bytes behind it. */
enum line_result regex_line_read(struct regex_line *, const char *body,
    const char *end, struct line_out *, struct line_error *);
/* To the next line that is an event; false: there is none. */
bool regex_line_next(struct line_cursor *);
