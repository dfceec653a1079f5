/*
 * buf - growable bytes with a hard limit
 *
 * Process: all.
 */
#include "buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "panic.h"

void
buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max };
}

void
buf_free(struct buf *b)
{
	free(b->bytes);
	buf_init(b, b->max);
}

void
buf_reset(struct buf *b)
{
	b->used = 0;
	b->failed = false;
}

char *
buf_room(struct buf *b, size_t more)
{
	size_t want = b->used + more, size = b->size;
	char *grown;

	if (b->failed || more > b->max || want > b->max) {
		b->failed = true;
		return NULL;
	}
	if (want <= size && b->bytes != NULL)
		return b->bytes + b->used;
	size = MAX_OF(want, MIN_OF(MAX_OF(size * 2, 256), b->max));
	if ((grown = realloc(b->bytes, size)) == NULL) {
		b->failed = true;
		return NULL;
	}
	b->bytes = grown;
	b->size = size;
	return b->bytes + b->used;
}

void
buf_add(struct buf *b, const void *bytes, size_t count)
{
	char *to = buf_room(b, count);

	if (to == NULL || count == 0)
		return;
	memcpy(to, bytes, count);
	b->used += count;
}

void
buf_add_text(struct buf *b, const char *text)
{
	buf_add(b, text, strlen(text));
}

void
buf_addf(struct buf *b, const char *format, ...)
{
	va_list args;
	char *to;
	int bytes;

	va_start(args, format);
	bytes = vsnprintf(NULL, 0, format, args);
	va_end(args);
	must(bytes >= 0);
	if ((to = buf_room(b, (size_t)bytes + 1)) == NULL)
		return;
	va_start(args, format);
	vsnprintf(to, (size_t)bytes + 1, format, args);
	va_end(args);
	b->used += (size_t)bytes;
}

void
buf_add_json_string(struct buf *b, const char *text, size_t count)
{
	size_t plain = 0;

	buf_add(b, "\"", 1);
	for (size_t i = 0; i < count; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		buf_add(b, text + plain, i - plain);
		plain = i + (c < 0x20);
		if (c < 0x20)
			buf_addf(b, "\\u%04x", c);
		else
			buf_add(b, "\\", 1); /* the character follows */
	}
	buf_add(b, text + plain, count - plain);
	buf_add(b, "\"", 1);
}

void
buf_consume(struct buf *b, size_t count)
{
	must(count <= b->used);
	b->used -= count;
	if (b->used > 0)
		memmove(b->bytes, b->bytes + count, b->used);
}

const char *
buf_text(struct buf *b)
{
	char *end = buf_room(b, 1);

	if (end == NULL)
		return NULL;
	*end = '\0';
	return b->bytes;
}

const char *
buf_must_text(struct buf *b)
{
	const char *text = buf_text(b);

	must_afford(text != NULL);
	return text;
}
