/*
 * content - what a request's body says, as JSON text
 *
 * Process: receiver.   After: connection.c has the whole body.
 * Before:  body.c scans the JSON.
 * Owns:    the room that bodies are inflated into, and written out as JSON
 *          when they are Smile or lines of text.
 * Fails:   with a status and a sentence.
 */
#pragma once

#include "base.h"
#include "body.h"
#include "buf.h"
#include "inflate.h"
#include "route.h"
#include "smile.h"

#define CONTENT_ERROR_BYTES 512

struct content_input {
	const struct route *route;
	const struct conf *conf;
	const char *body; /* JSON_SCAN_PADDING readable bytes behind it */
	size_t bytes;
};

struct content {
	/* after a failure */
	unsigned status;
	char error[CONTENT_ERROR_BYTES]; /* ends with a newline */
	/* private */
	struct inflater inflater;
	struct smile smile;
	struct buf json;
	struct content_input in; /* inflated */
	struct line_parser *lines;
};

void content_init(struct content *);
void content_fini(struct content *);
/* Makes a body ready for body_read; `to` has its dataSource, and gets the
 * bytes or who writes the events. False, as when body_read has failed without
 * a status: see status and error. */
bool content_read(struct content *, const struct content_input *,
    struct body_input *to) MUST_CHECK;
/* The body after its content coding, until the next call. */
const char *content_decoded(const struct content *, size_t *bytes);
/* Where the JSON is that body_read has read, until the next call. */
const char *content_json(const struct content *, const struct body_input *);
/* Gives the bytes away when they are ours: the caller frees them. `size` is
 * their memory. NULL: they are the connection's. */
char *content_take(struct content *, const char *bytes, size_t *size);
