/*
 * fuzz_timestamp - formats and texts: no byte outside, the same answer twice
 *
 * The input is a format, a newline and a text. What auto and iso read must read
 * the same when it is written as ISO 8601.
 */
#include <stdlib.h>
#include <string.h>

#include "iso.h"
#include "panic.h"
#include "timestamp.h"

#define NOW INT64_C(1790000000000) /* 2026 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const struct timestamp_format *f, const char *text, size_t bytes)
{
	const char *name = timestamp_format_name(f);
	char *copy = must_malloc(bytes), again[ISO_BYTES];
	int64_t ms = 0, other = 0;
	bool read;

	memcpy(copy, text, bytes); /* so that reading past it is seen */
	(void)timestamp_read_number(f, copy, bytes, &ms);
	read = timestamp_read_text(f, copy, bytes, &ms);
	must(timestamp_read_text(f, copy, bytes, &other) == read);
	must(!read || ms == other);
	free(copy);
	if (!read || (strcmp(name, "auto") != 0 && strcmp(name, "iso") != 0))
		return;
	iso_format(ms, again);
	must(timestamp_read_text(f, again, strlen(again), &other));
	must(ms == other);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	const char *stop = memchr(text, '\n', size);
	char why[TIMESTAMP_WHY_BYTES], *name;
	struct timestamp_format *f;

	if (stop == NULL)
		return 0;
	name = must_calloc(1, (size_t)(stop - text) + 1);
	memcpy(name, text, (size_t)(stop - text));
	f = timestamp_format_new(name, NOW, why);
	free(name);
	if (f == NULL) {
		must(strlen(why) > 0);
		return 0;
	}
	check(f, stop + 1, size - (size_t)(stop + 1 - text));
	timestamp_format_free(&f);
	return 0;
}
