/*
 * batch_task - names and JSON of a batch task that appends or replaces
 *
 * Process: worker, tranqctl. Pure. druid-api.md 6.1: index_parallel with the
 * rows inline, which every Druid from 0.17 on takes from everywhere; such a
 * task runs in one slot and publishes all of its rows or none.
 */
#pragma once

#include "buf.h"
#include "conf.h"
#include "granularity.h"

struct batch_task {
	const char *id;
	/* that the rows lie in; each one locked before the task runs. None:
	 * Druid looks at the rows for them */
	const struct interval *intervals;
	unsigned interval_count;
	bool replaces; /* what the intervals hold now, instead of appending */
	const char *rows; /* JSON objects, one a line, UTF-8 */
	size_t row_bytes;
};

/* append_{dataSource}_{identity's begin}-{first id}_a{attempt}: the same for
 * the same events, and another one for each attempt, since Druid never takes a
 * task id twice. New, to be freed. */
char *batch_task_id(const struct ds_conf *, const char *identity,
    uint64_t first_id, unsigned attempt);
/* The task as text, appended; marks the buffer as failed when it is full or
 * the rows are not UTF-8. */
void batch_task_print(
    const struct ds_conf *, const struct batch_task *, struct buf *);
