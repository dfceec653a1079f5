/*
 * smile - a request's Smile (binary JSON) becomes JSON text
 *
 * Process: receiver. Pure but for the buffer's memory.
 */
#include "smile.h"

#include "panic.h"

#include "smile_event.h"

enum {
	HEADER_BYTES = 4,
	HEADER_NAMES = 0x01,
	HEADER_VALUES = 0x02,
	HEADER_RAW = 0x04,
	HEADER_VERSION = 0xf0
};

static bool
read_array(struct smile_reader *r)
{
	r->p++;
	while (r->p < r->end && *r->p != SMILE_ARRAY_END) {
		if (*r->p != SMILE_OBJECT_START)
			return smile_event_fail(
			    r, r->p, "event is not an object");
		if (!smile_event_read(r))
			return false;
	}
	if (r->p >= r->end)
		return smile_event_fail(r, r->end, "");
	r->p++;
	return true;
}

static bool
read_header(struct smile_reader *r)
{
	static const unsigned char smile[] = { ':', ')', '\n' };
	unsigned flags;

	for (size_t i = 0; i < sizeof smile; i++)
		if (r->p + i >= r->end || r->p[i] != smile[i])
			return smile_event_fail(r, r->p + i,
			    i == 0 && (*r->p == '{' || *r->p == '[')
				? "this is JSON text, not Smile"
				: "expected a Smile header");
	if (r->end - r->p < HEADER_BYTES)
		return smile_event_fail(r, r->end, "");
	flags = r->p[3];
	if (flags & HEADER_VERSION)
		return smile_event_fail(
		    r, r->p + 3, "a version of Smile other than 0");
	r->s->names.is_on = flags & HEADER_NAMES;
	r->s->values.is_on = flags & HEADER_VALUES;
	r->s->names.count = r->s->values.count = 0;
	r->has_raw = flags & HEADER_RAW;
	r->p += HEADER_BYTES;
	return true;
}

/* From a header to the next one, or to the end. */
static bool
read_document(struct smile_reader *r)
{
	const unsigned char *start;

	if (!read_header(r))
		return false;
	for (start = r->p; r->p < r->end && *r->p != ':';) {
		if (*r->p == SMILE_CONTENT_END) {
			r->p++;
			break;
		}
		if (*start == SMILE_ARRAY_START && r->p > start)
			return smile_event_fail(
			    r, r->p, "more behind the array of events");
		if (*r->p == SMILE_ARRAY_START && r->p == start) {
			if (!read_array(r))
				return false;
			continue;
		}
		if (*r->p != SMILE_OBJECT_START)
			return smile_event_fail(
			    r, r->p, "event is not an object");
		if (!smile_event_read(r))
			return false;
	}
	while (r->p < r->end && *r->p == SMILE_CONTENT_END)
		r->p++;
	return true;
}

enum smile_result
smile_feed(struct smile *s, const char *body, size_t bytes, struct buf *out,
    struct json_sink *sink)
{
	struct smile_reader r = { .p = (const unsigned char *)body,
		.body = (const unsigned char *)body,
		.end = (const unsigned char *)body + bytes,
		.s = s,
		.out = out,
		.sink = sink,
		.ops = json_string_ops(json_string_best_cpu()) };

	must(bytes <= UINT32_MAX && out->max <= UINT32_MAX);
	must(out->max > SMILE_SPARE);
	s->events = 0;
	s->error = NULL;
	buf_reset(out);
	/* JSON is mostly half as long again as its Smile */
	if (buf_room(out,
		MIN_OF(bytes + bytes / 2 + SMILE_EVENT_TURN, out->max)) == NULL)
		return SMILE_NO_MEMORY;
	r.o = out->bytes;
	r.o_end = out->bytes + out->size;
	while (r.p < r.end)
		if (!read_document(&r))
			return r.result;
	out->used = (size_t)(r.o - out->bytes);
	return out->used > out->max - SMILE_SPARE ? SMILE_TOO_LARGE
						  : SMILE_DONE;
}

enum smile_result
smile_read(struct smile *s, const char *body, size_t bytes, struct buf *out)
{
	return smile_feed(s, body, bytes, out, NULL);
}
