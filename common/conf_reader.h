/*
 * conf_reader - where in the document the reader is, and what it complains of
 *
 * Process: all. Internal to conf*.c.
 */
#pragma once

#include "conf.h"

#define CONF_PATH_BYTES 512
/* Lines kept of one file; a last one says that there were more. */
#define CONF_PROBLEMS_MAX 200

struct conf_reader {
	const char *file;
	struct conf_problems *problems;
	/* as people write it: dataSources[0].properties.task.partitions */
	char path[CONF_PATH_BYTES];
	size_t path_bytes;
	/* path → value as written, of those that hold ${…} */
	struct json *references;
};

/* Goes down to a member or element; returns what leave needs to come back. */
size_t conf_reader_enter(struct conf_reader *, const char *name);
size_t conf_reader_enter_index(struct conf_reader *, size_t index);
void conf_reader_leave(struct conf_reader *, size_t mark);

/* "FILE: PATH: …"; the text says what is wrong; what to do. */
void conf_reader_problem(struct conf_reader *, const char *format, ...)
    PRINTF_LIKE(2, 3);
void conf_reader_warning(struct conf_reader *, const char *format, ...)
    PRINTF_LIKE(2, 3);

/* How many bytes of a user's text a message may quote, for %.*s: never half a
 * character. */
int conf_reader_cut(const char *text);
/* The name of `names` that is nearest to `name`, or NULL when none is near.
 * Each candidate is offered by a call. */
struct conf_nearest {
	const char *name, *best;
	size_t distance;
};
void conf_reader_offer(struct conf_nearest *, const char *candidate);
/* " (did you mean 'x'?)" or "". `out` has CONF_PATH_BYTES. */
const char *conf_reader_hint(const struct conf_nearest *, char *out);
