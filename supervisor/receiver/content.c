/*
 * content - what a request's body says, as JSON text
 *
 * Process: receiver.
 *
 * Text and Smile are written out as JSON, since JSON is what tasks are sent.
 * Readers that know an event's members hand them on event by event, the others
 * write all and leave it to json_scan to find them. What an inflated or
 * written-out body may grow to is bounded by http.maxBodyBytes, each.
 */
#include "content.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "panic.h"

#define KEPT_BYTES (1u * MiB) /* between requests */

void
content_init(struct content *c)
{
	c->status = 0;
	inflate_init(&c->inflater);
	buf_init(&c->json, 0);
}

void
content_fini(struct content *c)
{
	inflate_fini(&c->inflater);
	buf_free(&c->json);
}

PRINTF_LIKE(3, 4)
static bool
fail(struct content *c, unsigned status, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(c->error, sizeof c->error - 1, format, args);
	va_end(args);
	strcat(c->error, "\n");
	c->status = status;
	return false;
}

static bool
fail_inflate(struct content *c, const struct inflate_input *in,
    enum inflate_result result)
{
	switch (result) {
	case INFLATE_DONE: break;
	case INFLATE_MALFORMED:
		return fail(c, 400, "Malformed %s body: %s",
		    inflate_coding_name(in->coding), c->inflater.reason);
	case INFLATE_TOO_LARGE:
		return fail(c, 413,
		    "The inflated body is larger than http.maxBodyBytes "
		    "(%zu bytes)",
		    in->max_bytes);
	case INFLATE_TOO_DENSE:
		return fail(c, 413,
		    "The inflated body is larger than http.maxInflationRatio "
		    "(%zu) times its %zu bytes as sent",
		    in->max_ratio, in->bytes);
	case INFLATE_NO_MEMORY: return fail(c, 503, "Out of memory");
	}
	unreachable("it is inflated");
}

/* The body as it is after its content coding. */
static bool
decode(struct content *c, struct content_input *in)
{
	struct inflate_input coded = {
		.coding = in->route->coding,
		.from = in->body,
		.bytes = in->bytes,
		.max_bytes = (size_t)in->conf->http_max_body_bytes,
		.max_ratio = (size_t)in->conf->http_max_inflation_ratio,
		.padding = JSON_SCAN_PADDING,
	};
	enum inflate_result result;

	if (LIKELY(coded.coding == INFLATE_IDENTITY))
		return true;
	result = inflate_decode(&c->inflater, &coded);
	if (result != INFLATE_DONE)
		return fail_inflate(c, &coded, result);
	in->body = c->inflater.bytes;
	in->bytes = c->inflater.used;
	return true;
}

static bool
fail_large(struct content *c, const struct content_input *in)
{
	return fail(c, 413,
	    "The body, written as JSON, is larger than http.maxBodyBytes "
	    "(%lld bytes)",
	    (long long)in->conf->http_max_body_bytes);
}

static bool
write_smile(void *context, struct json_sink *sink)
{
	struct content *c = context;
	const struct content_input *in = &c->in;

	c->json.max = (size_t)in->conf->http_max_body_bytes + SMILE_SPARE;
	switch (smile_feed(&c->smile, in->body, in->bytes, &c->json, sink)) {
	case SMILE_DONE: return true;
	case SMILE_STOPPED: return false;
	case SMILE_MALFORMED:
		return fail(c, 400,
		    "Malformed Smile: event[%u], at byte %u: %s",
		    c->smile.events, c->smile.error_offset, c->smile.error);
	case SMILE_TOO_LARGE: return fail_large(c, in);
	case SMILE_NO_MEMORY: break;
	}
	return fail(c, 503, "Out of memory");
}

/* The sink may be NULL. */
static bool
write_lines(void *context, struct json_sink *sink)
{
	struct content *c = context;
	const struct content_input *in = &c->in;
	struct line_feed feed = { &c->json, sink };
	struct line_error error;
	char text[CONTENT_ERROR_BYTES];

	c->json.max = (size_t)in->conf->http_max_body_bytes + JSON_SCAN_PADDING;
	switch (
	    line_parser_feed(c->lines, in->body, in->bytes, &feed, &error)) {
	case LINE_OK: return true;
	case LINE_STOPPED: return false;
	case LINE_MALFORMED:
		return fail(
		    c, 400, "%s", line_parser_error(&error, text, sizeof text));
	case LINE_TOO_LARGE: return fail_large(c, in);
	case LINE_NO_MEMORY: break;
	}
	return fail(c, 503, "Out of memory");
}

static void
trim(struct content *c)
{
	inflate_trim(&c->inflater, KEPT_BYTES);
	if (c->json.size > KEPT_BYTES)
		buf_free(&c->json);
	buf_reset(&c->json);
}

static bool
read_text(struct content *c, struct body_input *to)
{
	c->lines = to->to->lines;
	to->lines = to->bytes;
	to->lines_bytes = to->count;
	if (line_parser_knows_members(c->lines)) {
		to->write_events = write_lines;
		return true;
	}
	if (!write_lines(c, NULL))
		return false;
	to->bytes = c->json.bytes;
	to->count = c->json.used;
	return true;
}

bool
content_read(
    struct content *c, const struct content_input *input, struct body_input *to)
{
	struct content_input *in = &c->in;

	trim(c);
	*in = *input;
	if (!decode(c, in))
		return false;
	to->bytes = in->body;
	to->count = in->bytes;
	to->context = c;
	switch (input->route->type) {
	case ROUTE_JSON: break;
	case ROUTE_SMILE: to->write_events = write_smile; break;
	case ROUTE_TEXT: return read_text(c, to);
	}
	return true;
}

const char *
content_decoded(const struct content *c, size_t *bytes)
{
	*bytes = c->in.bytes;
	return c->in.body;
}

const char *
content_json(const struct content *c, const struct body_input *in)
{
	return in->write_events != NULL ? c->json.bytes : in->bytes;
}

char *
content_take(struct content *c, const char *bytes, size_t *size)
{
	char *taken = c->json.bytes, *shrunk;

	if (bytes == c->inflater.bytes)
		return inflate_take(&c->inflater, size);
	if (bytes != taken)
		return NULL;
	*size = c->json.used + JSON_SCAN_PADDING;
	shrunk = realloc(taken, *size);
	if (shrunk == NULL)
		shrunk = taken;
	c->json.bytes = NULL;
	buf_free(&c->json);
	return shrunk;
}
