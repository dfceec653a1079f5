/*
 * load_format - bodies in other formats than JSON
 *
 * Process: tranq-load. Pure but for the buffer's memory.
 */
#pragma once

#include "base.h"
#include "buf.h"

enum load_format {
	LOAD_JSON,
	LOAD_TEXT, /* JSON, one event a line */
	LOAD_CSV, /* the columns are the events' members in their order */
	LOAD_TSV,
	LOAD_SMILE,
	LOAD_FORMATS
};

bool load_format_parse(const char *name, enum load_format *) MUST_CHECK;
const char *load_format_content_type(enum load_format);
/* Appends what the JSON body says. False: no room. */
bool load_format_convert(
    enum load_format, const struct buf *json, struct buf *to) MUST_CHECK;
