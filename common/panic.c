/*
 * panic - the end of a process that found its own bug
 *
 * Process: all.
 */
#include "panic.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

static char *kept;
static size_t kept_bytes;

void
panic_keep(char *text, size_t bytes)
{
	kept = text;
	kept_bytes = bytes;
}

void
panic_words(const char *text)
{
	if (kept != NULL)
		snprintf(kept, kept_bytes, "%s", text);
}

void
panic_at(const char *file, int line, const char *function, const char *what)
{
	char text[512];

	snprintf(
	    text, sizeof text, "%s:%d: %s: %s", file, line, function, what);
	panic_words(text);
	log_error("panic: %s", text);
	abort();
}

void
panic_no_memory(void)
{
	fatalx("out of memory; give the process more, or lower "
	       "tranqd.ringBytes and http.bodyMemoryBytes");
}

static void *
checked(void *memory)
{
	must_afford(memory != NULL);
	return memory;
}

void *
must_malloc(size_t bytes)
{
	return checked(malloc(bytes > 0 ? bytes : 1));
}

void *
must_calloc(size_t count, size_t bytes)
{
	return checked(calloc(count > 0 ? count : 1, bytes > 0 ? bytes : 1));
}

void *
must_realloc(void *old, size_t bytes)
{
	return checked(realloc(old, bytes > 0 ? bytes : 1));
}

char *
must_strdup(const char *text)
{
	return checked(strdup(text));
}

char *
must_format(const char *format, ...)
{
	va_list args;
	char *text = NULL;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	return checked(text);
}
