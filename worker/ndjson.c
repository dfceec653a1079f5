/*
 * ndjson - a batch's body as lines: one JSON object each
 *
 * Process: worker. Pure.
 */
#include "ndjson.h"

#include <string.h>

/* Behind the string that begins at `at`: its quotes are found from one
 * backslash to the next. */
static const char *
skip_string(const char *at, const char *end)
{
	for (at++; at < end && *at != '"'; at++)
		if (*at == '\\' && at + 1 < end)
			at++;
	return at < end ? at + 1 : end;
}

/* Behind the brace that closes the event at `at`. */
static const char *
event_end(const char *at, const char *end)
{
	unsigned depth = 0;

	while (at < end) {
		char c = *at;

		if (c == '"') {
			at = skip_string(at, end);
			continue;
		}
		depth += c == '{' || c == '[';
		depth -= c == '}' || c == ']';
		at++;
		if (depth == 0)
			break;
	}
	return at;
}

const char *
ndjson_next(const char **at, const char *end, size_t *bytes)
{
	const char *event = *at;

	while (event < end && *event != '{')
		event++; /* between events: [ , ] */
	if (event >= end)
		return NULL;
	*at = event_end(event, end);
	*bytes = (size_t)(*at - event);
	return event;
}

void
ndjson_add_event(struct buf *b, const char *event, size_t bytes)
{
	char *to = buf_room(b, bytes + 1);

	if (to == NULL)
		return;
	memcpy(to, event, bytes);
	/* no line end can stand within a string of valid JSON */
	for (char *p = to; p < to + bytes; p++)
		if (*p == '\n' || *p == '\r')
			*p = ' ';
	to[bytes] = '\n';
	b->used += bytes + 1;
}

void
ndjson_add(struct buf *b, const char *body, size_t bytes)
{
	ndjson_add_without(b, body, bytes, NULL, 0);
}

unsigned
ndjson_add_without(struct buf *b, const char *body, size_t bytes,
    const uint32_t *events, unsigned count)
{
	const char *at = body, *end = body + bytes, *event;
	unsigned next = 0, lines = 0;
	size_t length;

	/* as a rule each event gives a bracket or comma away for its newline;
	 * a body that a receiver gone wrong has made may need more */
	if (buf_room(b, bytes) == NULL)
		return 0;
	while ((event = ndjson_next(&at, end, &length)) != NULL) {
		if (next < count && events[next] == next + lines) {
			next++;
			continue;
		}
		ndjson_add_event(b, event, length);
		lines++;
	}
	return lines;
}
