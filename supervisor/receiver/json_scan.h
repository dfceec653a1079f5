/*
 * json_scan - one pass over a request's JSON: its events, their fields
 *
 * Process: receiver. Pure.   After: inflate.c.   Before: post.c.
 * Owns:    the field list; fields point into the caller's body by offset.
 * Fails:   JSON_SCAN_MALFORMED with place and sentence.
 *
 * A body is one array of objects, or objects one after another with any white
 * space, or none, between them. Every top-level object is an event. The rules
 * are RFC 8259's to the letter: UTF-8 is checked (no overlong forms, no
 * surrogates), control characters must be escaped, no trailing comma. A byte
 * order mark before the first event is passed over, as Jackson does. Where the
 * RFC leaves room: numbers may be of any size and precision; \u escapes may
 * name lone surrogates; names may repeat (all are listed, the last one
 * counts); nesting goes JSON_SCAN_DEPTH_MAX deep.
 */
#pragma once

#include "base.h"

#define JSON_SCAN_PADDING 64 /* readable bytes behind the body */
#define JSON_SCAN_DEPTH_MAX 512 /* objects and arrays, the event is the first */
/* What Druid's reader (Jackson, from 2.15 on) refuses as well: it would refuse
 * the whole request for it. Bytes, as they are written; a sign is none of a
 * number's. */
#define JSON_SCAN_NUMBER_MAX 1000
#define JSON_SCAN_STRING_MAX 20000000
#define JSON_SCAN_NAME_MAX 50000
#define JSON_SCAN_NUMBER_TOO_LONG "a number of more than 1000 characters"
#define JSON_SCAN_STRING_TOO_LONG "a string of more than 20000000 bytes"
#define JSON_SCAN_NAME_TOO_LONG "a member's name of more than 50000 bytes"
#define JSON_SCAN_FIELDS_MAX 65536 /* of one event */

enum scan_type {
	SCAN_NULL,
	SCAN_FALSE,
	SCAN_TRUE,
	SCAN_NUMBER,
	SCAN_STRING,
	SCAN_ARRAY,
	SCAN_OBJECT
};

/* A member of an event. Offsets are into the body; strings are given without
 * their quotes, raw: json_unescape them when the escaped flag is set. */
struct json_field {
	uint32_t name, name_bytes;
	uint32_t value, value_bytes;
	uint8_t type; /* enum scan_type */
	bool name_escaped, value_escaped;
};

/* How bytes are looked at; all read the same language. */
enum json_scan_cpu { JSON_SCAN_PLAIN, JSON_SCAN_SSE2, JSON_SCAN_AVX2 };

enum json_scan_result { JSON_SCAN_EVENT, JSON_SCAN_END, JSON_SCAN_MALFORMED };

struct json_scan {
	/* after JSON_SCAN_EVENT: the object from { to }, its members in order,
	 * and how many events came before it */
	uint32_t event, event_bytes;
	struct json_field *fields;
	unsigned field_count;
	uint32_t event_index;
	/* after JSON_SCAN_MALFORMED; event_index is the bad event's. Out of
	 * memory is the server's fault, not the client's. */
	uint32_t error_offset;
	const char *error;
	bool is_out_of_memory;
	/* private */
	const char *body;
	uint32_t bytes, at;
	unsigned field_capacity;
	uint8_t state, cpu;
};

/* The body stays the caller's and must live and stay unchanged while scanned;
 * JSON_SCAN_PADDING bytes behind it must be readable, whatever they hold.
 * bytes <= UINT32_MAX - JSON_SCAN_PADDING. */
void json_scan_init(struct json_scan *, const char *body, size_t bytes);
/* As init for a further body; keeps the field list's memory. */
void json_scan_reset(struct json_scan *, const char *body, size_t bytes);
void json_scan_fini(struct json_scan *);
/* For tests: another way than the best one. False: not on this machine. */
bool json_scan_use(struct json_scan *, enum json_scan_cpu);

/* The next event. END: no further one; a body of white space or [] has none.
 * END and MALFORMED are final: further calls repeat them. */
enum json_scan_result json_scan_next(struct json_scan *);

/* Readers of other formats write events as JSON themselves, and so know their
 * members: they note them in a scan, as if it had found them, and hand on
 * event after event. */
struct json_sink {
	struct json_scan *scan; /* reset */
	/* The scan has an event. False: no more are wanted. */
	bool (*take)(void *context);
	void *context;
};
/* json_scan_note is a further member of the event that is written now;
 * json_scan_forget takes all of them back. */
/* The event lies whole at { in the text, JSON_SCAN_PADDING readable bytes
 * behind it. False: as `take`. */
bool json_scan_hand_on(
    struct json_sink *, const char *text, size_t event, size_t bytes);

/* What a value is, by its first character. */
extern const uint8_t json_scan_types[256];

/* A string's raw bytes, escapes resolved, into `out` (at least `bytes` long,
 * may be `raw` itself). Returns the bytes written. Lone surrogates become
 * U+FFFD. `raw` must come from a scanned string. */
size_t json_unescape(const char *raw, size_t bytes, char *out);
/* Whether the field has this name (UTF-8, unescaped). */
bool json_name_is(const struct json_scan *, const struct json_field *,
    const char *name, size_t name_bytes);

/* For json_scan_note: NULL when memory is out or the members are too many. */
struct json_field *json_scan_note_more(struct json_scan *);

static inline struct json_field *
json_scan_note(struct json_scan *s)
{
	if (LIKELY(s->field_count < s->field_capacity))
		return &s->fields[s->field_count++];
	return json_scan_note_more(s);
}

static inline void
json_scan_forget(struct json_scan *s)
{
	s->field_count = 0;
}
