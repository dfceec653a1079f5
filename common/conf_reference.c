/*
 * conf_reference - ${env:NAME} and ${file:/path} in the values of properties
 *
 * Process: all.
 */
#include "conf_reference.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "conf_file.h"
#include "conf_reader.h"
#include "conf_value.h"
#include "panic.h"

#define START "${"
#define ESCAPED "$${"
#define NAME_BYTES_MAX 4096

static bool PRINTF_LIKE(2, 3)
    because(char why[static CONF_REFERENCE_WHY_BYTES], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, CONF_REFERENCE_WHY_BYTES, format, args);
	va_end(args);
	return false;
}

static bool
starts(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

bool
conf_reference_is_in(const char *text)
{
	return strstr(text, START) != NULL;
}

static bool
add_variable(
    struct buf *to, const char *name, char why[static CONF_REFERENCE_WHY_BYTES])
{
	const char *value = getenv(name);

	if (value == NULL)
		return because(why,
		    "${env:%.*s}: there is no such environment variable; set "
		    "it where tranqd is started",
		    conf_reader_cut(name), name);
	buf_add_text(to, value);
	return true;
}

static size_t
without_line_end(const char *bytes, size_t count)
{
	if (count > 0 && bytes[count - 1] == '\n')
		count--;
	if (count > 0 && bytes[count - 1] == '\r')
		count--;
	return count;
}

static bool
add_file(
    struct buf *to, const char *path, char why[static CONF_REFERENCE_WHY_BYTES])
{
	int cut = conf_reader_cut(path);
	struct buf bytes;
	bool good = true;

	if (path[0] != '/')
		return because(why,
		    "${file:%.*s}: no absolute path; begin it with a slash",
		    cut, path);
	/* the text, a line end */
	buf_init(&bytes, CONF_TEXT_BYTES_MAX + KiB);
	if (!conf_file_read(path, &bytes, CONF_TEXT_BYTES_MAX + 2))
		good = because(why,
		    "${file:%.*s}: cannot be read: %s; give a file of at most "
		    "%d bytes that tranqd may read when it starts",
		    cut, path, conf_file_why(errno), CONF_TEXT_BYTES_MAX);
	else if (memchr(buf_text(&bytes), '\0', bytes.used) != NULL)
		good = because(why,
		    "${file:%.*s}: has a zero byte in it; give a text file",
		    cut, path);
	else
		buf_add(
		    to, bytes.bytes, without_line_end(bytes.bytes, bytes.used));
	buf_free(&bytes);
	return good;
}

/* `*text` stands on a reference and is moved behind it. */
static bool
add_reference(struct buf *to, const char **text,
    char why[static CONF_REFERENCE_WHY_BYTES])
{
	static const struct {
		const char *start;
		bool (*add)(struct buf *, const char *name,
		    char why[static CONF_REFERENCE_WHY_BYTES]);
	} kinds[] = {
		{ "${env:", add_variable },
		{ "${file:", add_file },
	};
	const char *end = strchr(*text, '}');
	char name[NAME_BYTES_MAX];

	for (size_t i = 0; end != NULL && i < ARRAY_LEN(kinds); i++) {
		const char *from = *text + strlen(kinds[i].start);

		if (!starts(*text, kinds[i].start))
			continue;
		if (end == from || (size_t)(end - from) >= sizeof name)
			break;
		memcpy(name, from, (size_t)(end - from));
		name[end - from] = '\0';
		*text = end + 1;
		return kinds[i].add(to, name, why);
	}
	return because(why,
	    "'${' begins ${env:NAME} or ${file:/path}, and this is neither; "
	    "mend it, or write '$${' for a plain '${'");
}

char *
conf_reference_expand(
    const char *text, char why[static CONF_REFERENCE_WHY_BYTES])
{
	struct buf to;
	bool good = true;
	char *result = NULL;

	buf_init(&to, 2 * CONF_TEXT_BYTES_MAX + KiB);
	while (good && *text != '\0') {
		if (starts(text, ESCAPED)) {
			buf_add_text(&to, START);
			text += strlen(ESCAPED);
		} else if (starts(text, START)) {
			good = add_reference(&to, &text, why);
		} else {
			buf_add(&to, text++, 1);
		}
		if (good && (to.failed || to.used > CONF_TEXT_BYTES_MAX))
			good = because(why,
			    "longer than %d bytes with what it refers to; "
			    "shorten it",
			    CONF_TEXT_BYTES_MAX);
	}
	if (good)
		result = must_strdup(buf_must_text(&to));
	buf_free(&to);
	return result;
}

char *
conf_reference_escape(const char *text)
{
	size_t bytes = strlen(text);
	struct buf to;
	char *result;

	/* at worst each pair becomes three */
	buf_init(&to, bytes + bytes / 2 + KiB);
	for (; *text != '\0'; text++) {
		if (starts(text, START))
			buf_add_text(&to, "$");
		buf_add(&to, text, 1);
	}
	must_afford(!to.failed);
	result = must_strdup(buf_must_text(&to));
	buf_free(&to);
	return result;
}
