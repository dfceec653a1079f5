/*
 * timestamp - an event's time, by its dataSource's timestampSpec
 *
 * Process: receiver. Pure.   After: json_scan.c.   Before: the window.
 * Follows druid-api.md 9.1: iso and auto take numbers as milliseconds (Druid
 * 0.9.2 to 0.18, what Tranquility ran with), micro and ruby as 0.13 and later.
 */
#pragma once

#include "base.h"
#include "json_scan.h"

enum timestamp_format {
	TIMESTAMP_AUTO,
	TIMESTAMP_ISO,
	TIMESTAMP_POSIX,
	TIMESTAMP_MILLIS,
	TIMESTAMP_MICRO,
	TIMESTAMP_NANO,
	TIMESTAMP_RUBY
};

/* Any case. False: none of these names (Joda patterns are not read yet). */
bool timestamp_format_parse(const char *name, enum timestamp_format *);
const char *timestamp_format_name(enum timestamp_format);

/* Milliseconds since 1970 of a value as json_scan lists it; a string with
 * escapes must be unescaped first. False: not a time in this format, out of
 * range, or of a type that is no time (null, a boolean, an array, an object;
 * whether null has a default is the caller's to say). Time zone ids such as
 * Europe/Paris are refused; no offset means UTC. */
bool timestamp_parse(enum timestamp_format, enum scan_type, const char *value,
    size_t bytes, int64_t *ms);
