/*
 * flatten - flattenSpec: nested events become flat ones
 *
 * Process: receiver.   After: json_scan.c has read a line.
 * Owns:    the compiled spec and room to work in, one event at a time.
 * Fails:   LINE_MALFORMED when an event is too much work, and as line_text
 *          says. A field whose path leads nowhere is left out.
 *
 * The rules are druid-api.md 9.4's. The listed fields come first, in their
 * order, without those that are null. With useFieldDiscovery the event's own
 * members follow that are not there yet and hold a scalar or a flat list;
 * null, objects and nested lists are passed over. An integer that does not
 * fit 64 bits becomes a double, as in Druid. Values are otherwise sent as
 * they are written.
 */
#pragma once

#include "json.h"
#include "json_scan.h"
#include "line_text.h"

#define FLATTEN_FIELDS_MAX 1024
#define FLATTEN_WHERE_BYTES 64
#define FLATTEN_WHY_BYTES 400

struct flatten;

struct flatten_problem {
	char where[FLATTEN_WHERE_BYTES]; /* "fields[2].expr", or "" */
	char why[FLATTEN_WHY_BYTES]; /* what is wrong; what to do */
};

struct flatten_problems {
	void (*report)(void *context, const struct flatten_problem *);
	void *context;
	struct flatten_problem now; /* private */
};

/* From a flattenSpec, or NULL for none: discovery alone. NULL when there are
 * problems, each of which is reported. */
struct flatten *
flatten_compile(const struct json *spec, struct flatten_problems *);
void flatten_free(struct flatten **);
/* A further listed field, read by its name, unless it is listed already. */
void flatten_keep(struct flatten *, const char *name);
/* Discovery takes nested values too: useSchemaDiscovery of a dimensionsSpec. */
void flatten_discover_nested(struct flatten *);

/* Appends the event that the scan has just read. `line` is for the error. */
enum line_result flatten_event(struct flatten *, const struct json_scan *,
    struct line_out *, struct line_error *, uint64_t line);

/* A value's JSON text as it is sent: its large integers are doubles. */
bool flatten_put(struct line_out *, const char *text, size_t bytes);
