/*
 * period - spans of time as ISO 8601 writes them
 *
 * Process: all. Pure: now is an argument. All times are milliseconds since
 * 1970. Results that would not fit 64 bits stay at the last value that does.
 */
#pragma once

#include "base.h"

/* What period_format may write, the NUL included. */
#define PERIOD_BYTES 96

/* Joda's fields, each for itself: P12M and P1Y are not the same to Druid's
 * granularities. Never negative. */
struct period {
	int32_t years, months, weeks, days;
	int32_t hours, minutes, seconds, ms;
};

/* ISO 8601: P1Y2M3W4DT5H6M7.008S, any subset in that order, letters of either
 * case. Refused: signs, nothing after P or T, a fraction of anything but
 * seconds (of which digits past the third are dropped), numbers past 32 bits
 * (Joda's limit), a whole that period_ms could not tell. */
bool period_parse(const char *text, struct period *);
/* As it was written: PT90S stays PT90S; PT0S when all is 0. */
void period_format(const struct period *, char out[static PERIOD_BYTES]);
/* Days, hours, minutes, seconds and milliseconds; 0 <= ms <= INT32_MAX days. */
struct period period_of_ms(int64_t ms);
/* Its length with every month taken as 30 days and every year as 365: what a
 * time-out means by one. */
int64_t period_ms(const struct period *);
bool period_equal(const struct period *, const struct period *);

/* `times` times the period later, by the calendar of UTC as Joda does it: years
 * first, then months (31 January + P1M is the last of February), weeks, days,
 * the rest. Negative `times`: earlier. */
int64_t period_add(int64_t ms, const struct period *, int times);
/* A date moved by months; the time of day is kept, the day cut to fit. */
int64_t period_add_months(int64_t ms, int64_t months);
