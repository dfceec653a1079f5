/*
 * sink_check - the members that a reader notes are those that json_scan finds
 */
#pragma once

#include <string.h>

#include "json_scan.h"
#include "panic.h"

struct sink_check {
	struct json_scan noted, found;
	uint32_t events;
	struct json_sink sink;
};

/* json_scan_next on the event alone. */
static inline void UNUSED
sink_check_scan(struct sink_check *c)
{
	const struct json_scan *n = &c->noted;

	json_scan_reset(&c->found, n->body + n->event, n->event_bytes);
	must(json_scan_next(&c->found) == JSON_SCAN_EVENT);
	must(c->found.event == 0 && c->found.event_bytes == n->event_bytes);
	must(c->found.field_count == n->field_count);
}

static inline bool UNUSED
sink_check_take(void *context)
{
	struct sink_check *c = context;
	const struct json_scan *n = &c->noted;

	must(n->event_index == c->events++);
	sink_check_scan(c);
	for (unsigned i = 0; i < n->field_count; i++) {
		const struct json_field *a = &n->fields[i];
		const struct json_field *b = &c->found.fields[i];

		must(a->name == n->event + b->name);
		must(a->name_bytes == b->name_bytes);
		must(a->name_escaped == b->name_escaped);
		must(a->value == n->event + b->value);
		must(a->value_bytes == b->value_bytes);
		must(a->value_escaped == b->value_escaped);
		must(a->type == b->type);
	}
	return true;
}

static inline void UNUSED
sink_check_init(struct sink_check *c)
{
	c->events = 0;
	json_scan_init(&c->noted, "", 0);
	json_scan_init(&c->found, "", 0);
	c->sink = (struct json_sink){ &c->noted, sink_check_take, c };
}

static inline void UNUSED
sink_check_fini(struct sink_check *c)
{
	json_scan_fini(&c->noted);
	json_scan_fini(&c->found);
}
