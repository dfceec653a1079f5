/*
 * json_index - the values of one event, nested ones too, found by one pass
 *
 * Process: receiver. Pure. For flatten, whose paths go down into an event.
 * The text has passed json_scan, so nothing is checked again.
 */
#pragma once

#include "java_string.h"
#include "json_scan.h"

#define JSON_INDEX_NODES_MAX (1u << 24)

/* In the order of the text: a container's members follow it. */
struct json_node {
	uint32_t name, name_bytes; /* of a member, raw, without quotes */
	uint32_t text, bytes; /* the value as it stands, strings quoted */
	uint32_t next; /* the node behind this one and all inside it */
	uint8_t type; /* enum scan_type */
	bool name_escaped, escaped;
	/* an integer that may not fit 64 bits is this or is inside */
	bool has_big;
};

struct json_index {
	const char *text;
	struct json_node *nodes; /* 0 is the event */
	uint32_t count, capacity;
	/* private */
	uint32_t open[JSON_SCAN_DEPTH_MAX];
};

void json_index_init(struct json_index *);
void json_index_free(struct json_index *);
/* `text` is one object that json_scan has read, padded as a body is; it must
 * live as long as the index is used. False: no memory, or too many values. */
bool json_index_build(struct json_index *, const char *text, size_t bytes);

/* Whether a member has this name (UTF-8). */
bool json_index_has_name(const struct json_index *, uint32_t node,
    const char *name, size_t name_bytes);
/* The last member of this name (UTF-8), as Jackson has it, or 0. */
uint32_t json_index_member(const struct json_index *, uint32_t object,
    const char *name, size_t name_bytes);
/* The element, or 0. */
uint32_t
json_index_element(const struct json_index *, uint32_t array, uint32_t index);
uint32_t json_index_length(const struct json_index *, uint32_t container);
/* A string's inside. */
struct java_string json_index_string(const struct json_index *, uint32_t node);
bool json_index_same(const struct json_index *, uint32_t a, uint32_t b);
