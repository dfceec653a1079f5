/*
 * conf_reader - where in the document the reader is, and what it complains of
 *
 * Process: all.
 */
#include "conf_reader.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "panic.h"

#define QUOTED_BYTES_MAX 120
#define NAME_BYTES_MAX 64

int
conf_reader_cut(const char *text)
{
	size_t n = strnlen(text, QUOTED_BYTES_MAX + 1);

	if (n <= QUOTED_BYTES_MAX)
		return (int)n;
	for (n = QUOTED_BYTES_MAX; n > 0 && (text[n] & 0xc0) == 0x80;)
		n--;
	return (int)n;
}

static size_t
extend(struct conf_reader *r, const char *part)
{
	size_t mark = r->path_bytes;
	size_t n = strlen(part);

	if (mark + n < sizeof r->path) {
		memcpy(r->path + mark, part, n + 1);
		r->path_bytes += n;
	}
	return mark;
}

size_t
conf_reader_enter(struct conf_reader *r, const char *name)
{
	char part[QUOTED_BYTES_MAX + 8];

	snprintf(part, sizeof part, "%s%.*s", r->path_bytes > 0 ? "." : "",
	    conf_reader_cut(name), name);
	return extend(r, part);
}

size_t
conf_reader_enter_index(struct conf_reader *r, size_t index)
{
	char part[32];

	snprintf(part, sizeof part, "[%zu]", index);
	return extend(r, part);
}

void
conf_reader_leave(struct conf_reader *r, size_t mark)
{
	must(mark <= r->path_bytes);
	r->path_bytes = mark;
	r->path[mark] = '\0';
}

/* One line, whatever the file's names contain. Takes over `text`. */
static void
keep(char ***lines, unsigned *count, char *text)
{
	if (*count > CONF_PROBLEMS_MAX) {
		free(text);
		return;
	}
	if (*count == CONF_PROBLEMS_MAX) {
		free(text);
		text = must_strdup("there are more; mend these first");
	}
	for (char *c = text; *c != '\0'; c++)
		if (iscntrl((unsigned char)*c))
			*c = '?';
	*lines = must_realloc(*lines, (*count + 1) * sizeof(*lines)[0]);
	(*lines)[(*count)++] = text;
}

static char *
format_text(const char *format, va_list args)
{
	char *text = NULL;

	must_afford(vasprintf(&text, format, args) >= 0);
	return text;
}

void
conf_problem(struct conf_problems *p, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	keep(&p->lines, &p->count, format_text(format, args));
	va_end(args);
}

void
conf_warning(struct conf_problems *p, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	keep(&p->warnings, &p->warning_count, format_text(format, args));
	va_end(args);
}

static char *
text_of(const struct conf *conf, const char *property, const char *format,
    va_list args)
{
	char *text = format_text(format, args);
	char *line =
	    must_format("%s: properties.%s: %s", conf->file, property, text);

	free(text);
	return line;
}

void
conf_problem_of(struct conf_problems *p, const struct conf *conf,
    const char *property, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	keep(&p->lines, &p->count, text_of(conf, property, format, args));
	va_end(args);
}

void
conf_warning_of(struct conf_problems *p, const struct conf *conf,
    const char *property, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	keep(&p->warnings, &p->warning_count,
	    text_of(conf, property, format, args));
	va_end(args);
}

static char *
located(const struct conf_reader *r, const char *format, va_list args)
{
	char *text = format_text(format, args);
	char *line = must_format("%s: %s%s%s", r->file, r->path,
	    r->path_bytes > 0 ? ": " : "", text);

	free(text);
	return line;
}

void
conf_reader_problem(struct conf_reader *r, const char *format, ...)
{
	struct conf_problems *p = r->problems;
	va_list args;

	va_start(args, format);
	keep(&p->lines, &p->count, located(r, format, args));
	va_end(args);
}

void
conf_reader_warning(struct conf_reader *r, const char *format, ...)
{
	struct conf_problems *p = r->problems;
	va_list args;

	va_start(args, format);
	keep(&p->warnings, &p->warning_count, located(r, format, args));
	va_end(args);
}

void
conf_problems_free(struct conf_problems *p)
{
	for (unsigned i = 0; i < p->count; i++)
		free(p->lines[i]);
	for (unsigned i = 0; i < p->warning_count; i++)
		free(p->warnings[i]);
	free(p->lines);
	free(p->warnings);
	*p = (struct conf_problems){ 0 };
}

/* Levenshtein's distance; letters of either case are the same. */
static size_t
edit_distance(const char *a, size_t a_bytes, const char *b)
{
	size_t row[NAME_BYTES_MAX + 1];

	for (size_t i = 0; i <= a_bytes; i++)
		row[i] = i;
	for (; *b != '\0'; b++) {
		size_t diagonal = row[0]++;

		for (size_t i = 1; i <= a_bytes; i++) {
			bool same = tolower((unsigned char)a[i - 1]) ==
			    tolower((unsigned char)*b);
			size_t cost = diagonal + (same ? 0 : 1);

			diagonal = row[i];
			cost = MIN_OF(cost, row[i] + 1);
			row[i] = MIN_OF(cost, row[i - 1] + 1);
		}
	}
	return row[a_bytes];
}

void
conf_reader_offer(struct conf_nearest *n, const char *candidate)
{
	size_t bytes = strlen(n->name);
	size_t distance;

	if (bytes > NAME_BYTES_MAX)
		return;
	distance = edit_distance(n->name, bytes, candidate);
	/* a third of it wrong: another word, not a slip */
	if (distance > MAX_OF(bytes / 3, 1))
		return;
	if (n->best == NULL || distance < n->distance) {
		n->best = candidate;
		n->distance = distance;
	}
}

const char *
conf_reader_hint(const struct conf_nearest *n, char *out)
{
	out[0] = '\0';
	if (n->best != NULL)
		snprintf(
		    out, CONF_PATH_BYTES, " (did you mean '%s'?)", n->best);
	return out;
}
