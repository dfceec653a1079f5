/*
 * ndjson - a batch's body as lines: one JSON object each
 *
 * Process: worker. Pure.
 */
#include "ndjson.h"

#include <string.h>

/* Behind the string that begins at `at`: its quotes are found from one
 * backslash to the next. The body was checked when it came in. */
static const char *
skip_string(const char *at, const char *end)
{
	for (at++; at < end && *at != '"'; at++)
		if (*at == '\\' && at + 1 < end)
			at++;
	return at < end ? at + 1 : end;
}

/* One event from its brace to the one that closes it; returns its end. */
static const char *
add_event(char **to, const char *at, const char *end)
{
	const char *from = at;
	unsigned depth = 0;
	char *out = *to;

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
	memcpy(out, from, (size_t)(at - from));
	/* no line end can stand within a string of valid JSON */
	for (char *p = out; p < out + (at - from); p++)
		if (*p == '\n' || *p == '\r')
			*p = ' ';
	out += at - from;
	*out++ = '\n';
	*to = out;
	return at;
}

void
ndjson_add(struct buf *b, const char *body, size_t bytes)
{
	const char *at = body, *end = body + bytes;
	char *room, *to;

	/* each event gives a bracket or comma away for its newline */
	room = to = buf_room(b, bytes);
	if (room == NULL)
		return;
	while (at < end) {
		if (*at == '{')
			at = add_event(&to, at, end);
		else
			at++; /* between events: [ , ] */
	}
	b->used += (size_t)(to - room);
}
