/*
 * load_answer - an HTTP answer, as far as a load generator cares
 *
 * Process: tranq-load. Pure.
 */
#include "load_answer.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The line's value when it is this field; lines end in CRLF within a head, so
 * reading a number stops there. */
static const char *
field_value(const char *line, const char *name)
{
	size_t n = strlen(name);

	return strncasecmp(line, name, n) == 0 ? line + n : NULL;
}

static uint64_t
read_count(const char *at, const char *end)
{
	uint64_t n = 0;

	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	for (; at < end && isdigit((unsigned char)*at) &&
	     n < LOAD_ANSWER_MAX * UINT64_C(1000000);
	     at++)
		n = n * 10 + (uint64_t)(*at - '0');
	return n;
}

static void
read_line(
    const char *line, const char *end, struct load_answer *a, int64_t *length)
{
	const char *value;

	if ((value = field_value(line, "content-length:")) != NULL)
		*length = (int64_t)read_count(value, end);
	else if ((value = field_value(line, "x-tranq-dropped:")) != NULL)
		a->dropped = read_count(value, end);
	else if ((value = field_value(line, "x-tranq-spooled:")) != NULL)
		a->spooled = read_count(value, end);
	else if ((value = field_value(line, "connection:")) != NULL) {
		while (value < end && *value == ' ')
			value++;
		a->is_close = strncasecmp(value, "close", 5) == 0;
	}
}

/* The head with its empty line, `end` behind it. */
static enum load_answer_result
read_head(
    const char *head, const char *end, struct load_answer *a, int64_t *length)
{
	const char *line, *next;

	if (end - head < 13 || strncmp(head, "HTTP/1.", 7) != 0 ||
	    head[8] != ' ')
		return ANSWER_BAD;
	a->status = (int)read_count(head + 9, end);
	if (a->status < 100 || a->status > 599)
		return ANSWER_BAD;
	a->is_close = head[7] == '0';
	for (line = head; line < end; line = next) {
		next = memmem(line, (size_t)(end - line), "\r\n", 2);
		if (next == NULL)
			break;
		read_line(line, next, a, length);
		next += 2;
	}
	return ANSWER_DONE;
}

static uint64_t
find_count(const char *body, const char *end, const char *name)
{
	const char *at = memmem(body, (size_t)(end - body), name, strlen(name));

	return at == NULL ? 0 : read_count(at + strlen(name), end);
}

/* A number in Smile; 0 for what is none. */
static uint64_t
read_smile_count(const unsigned char *at, const unsigned char *end)
{
	uint64_t n = 0;

	if (at < end && (*at & 0xe0) == 0xc0)
		return (*at & 0x1f) / 2;
	if (at >= end || (*at != 0x24 && *at != 0x25))
		return 0;
	for (at++; at < end && *at < 0x80; at++)
		n = n << 7 | *at;
	return at < end ? (n << 6 | (*at & 0x3f)) / 2 : 0;
}

static uint64_t
find_smile_count(const char *body, const char *end, const char *name)
{
	const char *at = memmem(body, (size_t)(end - body), name, strlen(name));

	return at == NULL ? 0
			  : read_smile_count((const void *)(at + strlen(name)),
				(const void *)end);
}

enum load_answer_result
load_answer_parse(const char *bytes, size_t count, struct load_answer *a)
{
	const char *head = bytes, *stop = bytes + count, *end;
	int64_t length;

	do {
		*a = (struct load_answer){ 0 };
		length = -1;
		end = memmem(head, (size_t)(stop - head), "\r\n\r\n", 4);
		if (end == NULL)
			return count >= LOAD_ANSWER_MAX ? ANSWER_BAD
							: ANSWER_MORE;
		end += 4;
		if (read_head(head, end, a, &length) == ANSWER_BAD)
			return ANSWER_BAD;
		head = end;
	} while (a->status < 200);
	a->head_bytes = (size_t)(end - bytes);
	if (a->status == 204 || a->status == 304)
		length = 0;
	if (length < 0 || (uint64_t)length + a->head_bytes > LOAD_ANSWER_MAX)
		return ANSWER_BAD;
	a->bytes = a->head_bytes + (size_t)length;
	if (a->bytes > count)
		return ANSWER_MORE;
	if (length > 3 && memcmp(end, ":)\n", 3) == 0) {
		a->received =
		    find_smile_count(end, bytes + a->bytes, "received");
		a->sent = find_smile_count(end, bytes + a->bytes, "sent");
		return ANSWER_DONE;
	}
	a->received = find_count(end, bytes + a->bytes, "\"received\":");
	a->sent = find_count(end, bytes + a->bytes, "\"sent\":");
	return ANSWER_DONE;
}
