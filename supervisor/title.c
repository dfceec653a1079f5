/*
 * title - what ps shows of a process
 *
 * Process: supervisor notes the place at its start, children write.
 * Owns:    the memory that the kernel gave for arguments and environment.
 */
#include "title.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "panic.h"

static char *area;
static size_t area_bytes;

/* Strings that lie directly one behind the other, from `end` on. */
static char *
end_of_row(char *end, char **strings)
{
	for (; *strings != NULL && *strings == end; strings++)
		end += strlen(*strings) + 1;
	return end;
}

void
title_init(int argc, char **argv)
{
	char *end;

	if (argc < 1)
		return;
	end = end_of_row(argv[0], argv);
	end = end_of_row(end, environ);
	area = argv[0];
	area_bytes = (size_t)(end - area);
}

/* The environment goes on living elsewhere before its place is overwritten. */
static void
move_environment(void)
{
	size_t count = 0;
	char **moved;

	while (environ[count] != NULL)
		count++;
	moved = must_calloc(count + 1, sizeof moved[0]);
	for (size_t i = 0; i < count; i++)
		moved[i] = must_strdup(environ[i]);
	environ = moved;
}

void
title_set(const char *format, ...)
{
	va_list args;

	if (area_bytes == 0)
		return;
	move_environment();
	memset(area, 0, area_bytes);
	va_start(args, format);
	vsnprintf(area, area_bytes, format, args);
	va_end(args);
}
