/*
 * timestamp - an event's time, by its dataSource's timestampSpec
 *
 * Process: all. Pure, but for what ICU knows of zones.
 * After: json_scan.c.   Before: the window.
 *
 * Follows druid-api.md 9.1, and TimestampParser of Druid 28: micro and ruby as
 * 0.13 and later. Different on purpose: iso takes numbers as milliseconds (as
 * 0.9.2 to 0.18 do, which Tranquility ran with), so does a pattern that a whole
 * number does not fit, and auto uses the zone that a text ends with (Druid
 * reads the name and takes the time as UTC all the same).
 */
#pragma once

#include "base.h"

#define TIMESTAMP_WHY_BYTES 512

struct timestamp_format;

/* auto, iso, posix, millis, micro, nano or ruby in any case, or a Joda pattern
 * (joda.h, also for `now`). NULL: `why` says what is wrong and what to do. */
struct timestamp_format *timestamp_format_new(
    const char *name, int64_t now, char why[static TIMESTAMP_WHY_BYTES]);
void timestamp_format_free(struct timestamp_format **);
const char *timestamp_format_name(const struct timestamp_format *);

/* Milliseconds since 1970 of a JSON string (without escapes), or of a JSON
 * number. False: not a time in this format, or out of range. Text without an
 * offset or a zone is UTC. */
bool timestamp_read_text(const struct timestamp_format *, const char *text,
    size_t bytes, int64_t *ms);
bool timestamp_read_number(const struct timestamp_format *, const char *text,
    size_t bytes, int64_t *ms);
