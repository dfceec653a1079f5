/*
 * zone - time zones: how far local time is from UTC, and when that changes
 *
 * Process: all.   Owns: ICU; nothing else includes it.
 * A zone is made at its first use and stays for the life of the process, so
 * that pointers to it are never stale: who reads texts of clients asks
 * zone_is_offset first, since names are few and offsets many. What ICU has said
 * of a time is kept for the times around it. All times are milliseconds since 1970, offsets are
 * milliseconds east of UTC.
 */
#pragma once

#include "base.h"

struct zone;

/* Offset and the times that have it. */
struct zone_span {
	int64_t from, until; /* until is not in it */
	int64_t offset;
};

/* A name of the tz database (Europe/Paris), one of its three-letter names
 * (PST), UTC, GMT, UT or Z, or an offset (+08:00, -0530, UTC+8). Case counts,
 * as it does to Druid. NULL: no such zone. */
struct zone *zone_find(const char *name, size_t bytes);
/* Whether the name is UTC, GMT, UT, Z, or an offset from it; then *offset is
 * it. No zone is made. */
bool zone_is_offset(const char *name, size_t bytes, int64_t *offset);
/* The name as it was found; an offset as +08:00. */
const char *zone_name(const struct zone *);
/* Whether its offset never changes; then *offset is it. */
bool zone_is_fixed(const struct zone *, int64_t *offset);

int64_t zone_offset(struct zone *, int64_t ms);
struct zone_span zone_span(struct zone *, int64_t ms);

/* The time at which clocks in the zone show `local` (milliseconds since their
 * 1970-01-01T00:00). Of two such times the earlier; when clocks skip it, the
 * time that is as much later as they skip, as Joda counts. */
int64_t zone_to_utc(struct zone *, int64_t local);
/* Whether clocks skip it. */
bool zone_skips(struct zone *, int64_t local);
