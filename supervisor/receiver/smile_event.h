/*
 * smile_event - one event of a Smile body, as JSON
 *
 * Process: receiver. Pure but for the buffer's memory. Internal to smile.
 */
#pragma once

#include "json_string.h"
#include "smile.h"

#define SMILE_EVENT_TURN 1024 /* bytes that one member may write unasked */

enum smile_token {
	SMILE_ARRAY_START = 0xf8,
	SMILE_ARRAY_END = 0xf9,
	SMILE_OBJECT_START = 0xfa,
	SMILE_OBJECT_END = 0xfb,
	SMILE_CONTENT_END = 0xff
};

struct smile_reader {
	const unsigned char *p, *end, *body;
	char *o, *o_end; /* the output's next byte, and its memory's end */
	struct smile *s;
	struct buf *out;
	const struct json_string_ops *ops;
	enum smile_result result;
	bool has_raw;
	bool is_escaped; /* something in the name or value is */
	struct json_sink *sink; /* or NULL */
};

/* An object at the top, from its token, at r->p, to behind its end. False: see
 * r->result. */
bool smile_event_read(struct smile_reader *);
/* Notes what is wrong at this place. False, for the caller to return. */
bool smile_event_fail(
    struct smile_reader *, const unsigned char *at, const char *sentence);
