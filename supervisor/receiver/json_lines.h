/*
 * json_lines - text bodies of one JSON object a line
 *
 * Process: receiver.   After: inflate.c.   Before: json_scan.c.
 * Owns:    its scanner and the flattenSpec.
 * Fails:   LINE_MALFORMED with the line's number, and as line_text says.
 *
 * With names in lower case (jsonLowercase) there is no flattenSpec: nulls are
 * left out, of lists too, objects and lists in lists are empty texts, booleans
 * texts, as in Druid. Case is changed for ASCII, Latin-1, Greek and Cyrillic
 * letters.
 */
#pragma once

#include "flatten.h"

struct json_lines;

/* Takes the flattenSpec over; NULL: names in lower case instead. */
struct json_lines *json_lines_new(struct flatten *);
void json_lines_free(struct json_lines **);

/* Appends one object a line; blank lines are passed over. [body, end) is
 * UTF-8, padded as json_scan wants it. */
enum line_result json_lines_read(struct json_lines *, const char *body,
    const char *end, struct line_out *, struct line_error *);
/* To the next line that is an event; false: there is none. */
bool json_lines_next(struct line_cursor *);
