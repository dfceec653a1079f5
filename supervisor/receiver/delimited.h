/*
 * delimited - csv and tsv: each line becomes a JSON object of strings
 *
 * Process: receiver. Pure.   After: inflate.c.   Before: json_scan.c.
 * Owns:    the columns; their names are kept as the JSON text they become.
 * Fails:   LINE_MALFORMED with the line's number, and as line_text says.
 *
 * Follows druid-api.md 9.4: an empty value is left out, values without a
 * column are dropped, columns without a value are left out, and a value with
 * the list delimiter in it becomes a list. What quotes mean is the dialect's:
 * see delimited_quotes.h. Blank lines are passed over.
 */
#pragma once

#include "delimited_quotes.h"

struct delimited_spec {
	enum delimited_dialect dialect;
	const char *delimiter, *list_delimiter; /* not empty, no line ends */
	char *const *columns; /* unless has_header */
	unsigned column_count;
	uint32_t skip_rows; /* lines at the start of each body */
	bool has_header; /* the first line behind them names the columns */
	/* an empty element of a list is null, not "" */
	bool null_in_lists;
	bool tries_numbers; /* a value that is a JSON number is sent as one */
};

struct delimited;

/* All texts are copied. NULL: out of memory. */
struct delimited *delimited_new(const struct delimited_spec *);
void delimited_free(struct delimited **);

/* Appends one object a line. [body, end) is UTF-8, JSON_SCAN_PADDING readable
 * bytes behind it. After a failure what was written must not be used. */
enum line_result delimited_read(struct delimited *, const char *body,
    const char *end, struct line_out *, struct line_error *);
/* To the next line that is an event, from a cursor at the body's start or from
 * the one before. False: there is none. */
bool delimited_next(const struct delimited *, struct line_cursor *);
