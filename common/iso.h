/*
 * iso - civil dates and ISO 8601 times, UTC, in milliseconds since 1970
 *
 * Process: all. Pure. Proleptic Gregorian calendar, no leap seconds, as Joda
 * and Druid have it.
 */
#pragma once

#include "base.h"

#define ISO_SECOND_MS INT64_C(1000)
#define ISO_MINUTE_MS (60 * ISO_SECOND_MS)
#define ISO_HOUR_MS (60 * ISO_MINUTE_MS)
#define ISO_DAY_MS (24 * ISO_HOUR_MS)

/* What iso_format may write, the NUL included: an int64_t of milliseconds
 * reaches years of nine digits and a sign. */
#define ISO_BYTES 32

struct iso_date {
	int64_t year;
	unsigned month, day; /* from 1 */
};

/* Days since 1970-01-01. The month is 1 to 12; the day may lie outside the
 * month. |year| < 2^40. */
int64_t iso_days(int64_t year, unsigned month, unsigned day);
/* The date of a day; |days| < 2^50. */
struct iso_date iso_date_of(int64_t days);
unsigned iso_month_days(int64_t year, unsigned month);
unsigned iso_weekday(int64_t days); /* 1 Monday … 7 Sunday */
/* The ISO week a day lies in: 1 to 53. */
unsigned iso_week(int64_t days);
/* The day that holds `ms`: rounds down before 1970 too. */
int64_t iso_day_of(int64_t ms);

/* 2026-11-22T10:00:00.000Z; years as Joda prints them: at least four digits,
 * '-' before the year 0. */
void iso_format(int64_t ms, char out[static ISO_BYTES]);

enum iso_separator { ISO_T, ISO_T_OR_SPACE };

/* Reads the whole text by the grammar of Joda's ISODateTimeFormat
 * .dateTimeParser (druid-api.md 9.1), UTC where no offset is given. It takes
 * what Joda takes: fewer digits than the grammar shows, letters of either
 * case, a signed year. ISO_T_OR_SPACE also lets a space stand for the T
 * between date and time. False: not such a text, or a field out of range. */
bool iso_parse(const char *text, size_t bytes, enum iso_separator, int64_t *ms);
/* The same, and whether an offset was given: without one *ms is what the clocks
 * show, of whichever zone. */
bool iso_parse_local(const char *text, size_t bytes, enum iso_separator,
    int64_t *ms, bool *has_offset);
/* Z or an offset from UTC: (+|-)HH[[:]mm[[:]ss[[.,]SSS]]], letters of either
 * case. *at moves behind it; what follows there is not looked at. */
bool iso_take_offset(const char **at, const char *end, int64_t *ms);
