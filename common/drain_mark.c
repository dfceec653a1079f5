/*
 * drain_mark - the file that says that a dataSource is being drained
 *
 * Process: worker, supervisor.
 */
#include "drain_mark.h"

#include <stdio.h>
#include <stdlib.h>

#include "line_file.h"

#define NAME "draining"
#define TEXT_BYTES 24
#define LONG_SINCE 1 /* of one that does not say when */

int64_t
drain_mark_since(const char *dir)
{
	char text[TEXT_BYTES];
	int64_t since;

	if (!line_file_read(dir, NAME, text, sizeof text))
		return 0;
	since = strtoll(text, NULL, 10);
	/* that it is there is what counts, whoever wrote it */
	return since > 0 ? since : LONG_SINCE;
}

bool
drain_mark_set(const char *dir, int64_t now_ms)
{
	int64_t since = drain_mark_since(dir);
	char text[TEXT_BYTES];

	/* whoever wrote one that is there may have been killed before it was
	 * durable */
	snprintf(text, sizeof text, "%lld\n",
	    (long long)(since > LONG_SINCE ? since : now_ms));
	return line_file_write(dir, NAME, text);
}

bool
drain_mark_clear(const char *dir)
{
	return line_file_remove(dir, NAME);
}
