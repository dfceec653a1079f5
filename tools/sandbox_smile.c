/*
 * sandbox_smile - a push in Smile becomes the JSON that is judged and kept
 *
 * Process: tranq-sandbox.
 */
#include "sandbox_smile.h"

#include <stdlib.h>
#include <string.h>

#include "panic.h"
#include "smile.h"

#define HEADER_BYTES 4
#define START_ARRAY 0xf8
#define JSON_MAX (1u << 30)

/* The reader takes objects one after another too, Druid one array only. */
static bool
is_array(const char *body, size_t bytes)
{
	return bytes > HEADER_BYTES && memcmp(body, ":)\n", 3) == 0 &&
	    (unsigned char)body[HEADER_BYTES] == START_ARRAY;
}

/* The reader writes a line an object; a text's own newlines are escaped. */
static char *
join(const struct buf *lines, size_t *count)
{
	char *text = must_calloc(1, lines->used + 2 + JSON_SCAN_PADDING);

	text[0] = '[';
	if (lines->used > 0)
		memcpy(text + 1, lines->bytes, lines->used);
	for (size_t i = 1; i <= lines->used; i++)
		if (text[i] == '\n')
			text[i] = i < lines->used ? ',' : ' ';
	text[lines->used + 1] = ']';
	*count = lines->used + 2;
	return text;
}

char *
sandbox_smile_json(
    const char *body, size_t bytes, size_t *count, const char **error)
{
	struct smile *s;
	char *text = NULL;
	struct buf lines;

	*error = "Smile: not an array";
	if (!is_array(body, bytes))
		return NULL;
	s = must_malloc(sizeof *s);
	buf_init(&lines, JSON_MAX);
	switch (smile_read(s, body, bytes, &lines)) {
	case SMILE_DONE: text = join(&lines, count); break;
	case SMILE_MALFORMED: *error = s->error; break;
	case SMILE_TOO_LARGE:
	case SMILE_NO_MEMORY: *error = "Smile: too large"; break;
	case SMILE_STOPPED: unreachable("nobody stops it");
	}
	buf_free(&lines);
	free(s);
	return text;
}
