/*
 * joda_internal - what a compiled Joda pattern is made of
 *
 * Process: all. Only for joda*.c.
 */
#pragma once

#include "joda.h"
#include "zone.h"

#define JODA_ELEMENTS_MAX 64

/* In the order in which Joda sets them: from the longest on. */
enum joda_field {
	JODA_ERA,
	JODA_CENTURY,
	JODA_YEAR,
	JODA_YEAR_OF_ERA,
	JODA_WEEKYEAR,
	JODA_MONTH,
	JODA_WEEK,
	JODA_DAY_OF_YEAR,
	JODA_DAY,
	JODA_DAY_OF_WEEK,
	JODA_HALFDAY,
	JODA_HOUR,
	JODA_CLOCK_HOUR, /* 1 to 24 */
	JODA_HOUR_OF_HALFDAY,
	JODA_CLOCK_HOUR_OF_HALFDAY, /* 1 to 12 */
	JODA_MINUTE,
	JODA_SECOND,
	JODA_FRACTION
};

enum joda_kind {
	JODA_LITERAL,
	JODA_NUMBER,
	JODA_TWO_DIGITS, /* a year */
	JODA_NAME,
	JODA_DIGITS_OF_SECOND,
	JODA_OFFSET,
	JODA_ZONE_ID,
	JODA_ZONE_NAME
};

struct joda_element {
	enum joda_kind kind;
	enum joda_field field;
	unsigned most; /* digits */
	bool is_signed;
	bool is_lenient; /* of two digits: any number will do */
	size_t at, bytes; /* of a literal, in the pattern's text */
};

struct joda {
	struct joda_element elements[JODA_ELEMENTS_MAX];
	unsigned count;
	/* those with a field, in the order in which they are set */
	unsigned order[JODA_ELEMENTS_MAX];
	unsigned field_count;
	int pivot; /* the year in the middle of the hundred that yy means */
	char *text; /* of literals */
};

/* What was read of a text. */
struct joda_values {
	int32_t of[JODA_ELEMENTS_MAX]; /* by element */
	bool has_offset;
	int64_t offset;
	struct zone *zone; /* NULL: none */
};

/* joda_read.c */
bool joda_read_text(
    const struct joda *, const char *text, size_t bytes, struct joda_values *);
/* joda_time.c: false when there is no such time. */
bool joda_time(const struct joda *, const struct joda_values *, int64_t *ms);
