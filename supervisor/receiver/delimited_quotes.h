/*
 * delimited_quotes - one line taken apart, by the letter of each dialect
 *
 * Process: receiver. Pure. Part of delimited, which comes here only with what
 * its fast path does not read: header rows, quotes inside a value, backslashes.
 *
 * OPENCSV is opencsv 2.3's CSVParser with its defaults (what csv in a
 * parseSpec meant in Tranquility): a backslash before a quote or backslash
 * inside a field gives that character, any other backslash is dropped; a
 * quote inside a field is kept and still opens or closes a quotation; white
 * space before an opening quote is dropped; a quotation that the line does
 * not close is an error. RFC4180 is opencsv 4.6's RFC4180Parser (what csv in
 * an inputFormat means): backslashes are text, only a quote at the very start
 * of a field opens a quotation, white space stays, nothing is an error.
 * Both: "" inside quotes is a quote, no value spans lines.
 */
#pragma once

#include "line_text.h"

enum delimited_dialect {
	DELIMITED_UNQUOTED, /* tsv */
	DELIMITED_OPENCSV,
	DELIMITED_RFC4180,
};

struct delimited_value {
	size_t at, bytes; /* in the values' text */
	bool is_quoted; /* RFC 4180 only */
};

struct delimited_values {
	struct delimited_value *list;
	unsigned count, capacity;
	struct buf text; /* JSON_SCAN_PADDING readable bytes behind it */
	bool is_out_of_memory;
};

void delimited_values_init(struct delimited_values *);
void delimited_values_free(struct delimited_values *);
/* NULL, or why it cannot be (or is_out_of_memory). The delimiter of the csv
 * dialects is one byte. */
const char *
delimited_values_split(struct delimited_values *, enum delimited_dialect,
    struct line_cursor *line, const char *delimiter, size_t delimiter_bytes);
