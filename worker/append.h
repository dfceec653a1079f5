/*
 * append - one parcel's way into Druid by a batch task
 *
 * Process: worker.   After: late.c.   Before: batch_task, overlord.
 *
 * The task's id follows from the parcel and the attempt, so a submission whose
 * answer was lost is repeated without harm ("already exists"), by a successor
 * too. SUCCESS: all rows are in. FAILED: none is, and the next attempt follows,
 * unless the task's report says that it had published before it failed.
 */
#pragma once

#include "conf.h"
#include "loop.h"
#include "overlord.h"
#include "parcel.h"

struct append;

struct append_parts {
	struct loop *loop;
	const struct ds_conf *ds;
	struct spool *spool;
	struct overlord *overlord;
};

enum append_news {
	APPEND_TAKEN, /* the Overlord has its task */
	APPEND_IN, /* Druid has it */
	APPEND_RETRIES, /* parcel->attempt is another one; it goes on by itself */
	APPEND_CHANGED, /* something to see has changed */
	APPEND_BACK, /* there is no such task and will be none: plan it anew */
};

/* After IN and BACK the append is to be freed, not from within the call. */
typedef void append_news_fn(void *context, struct parcel *, enum append_news);

/* Begins at once. is_last: a failure gives it BACK instead of another try (the
 * policy has changed meanwhile). */
struct append *append_new(const struct append_parts *, struct parcel *,
    bool is_last, append_news_fn *, void *context);
void append_free(struct append **);
/* Waits for its next try, so its place may be another one's. */
bool append_is_resting(const struct append *);
/* Adds "task", "state" and "note". */
void append_describe(const struct append *, struct json *);
