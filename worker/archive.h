/*
 * archive - events of closed intervals as files: late.policy archive
 *
 * Process: worker.   After: late.c.   Before: archive_file.
 *
 * {dir}/{start}_{end}/{first id}-{identity}-{events}.ndjson.zst, one event a
 * line; what `tranqctl archive reindex` has brought in lies in a folder `done`
 * beside it. A parcel's file has a name that follows from the parcel, so a
 * file that was finished before a death is known again.
 *
 * One parcel at a time, a batch a turn, so that deliveries go on meanwhile.
 */
#pragma once

#include "conf.h"
#include "loop.h"
#include "parcel.h"

struct archive;

struct archive_parts {
	struct loop *loop;
	const struct ds_conf *ds;
	struct spool *spool;
	const char *dir; /* of all dataSources: conf.archive_path */
};

/* All of the parcel's batches, but for damaged ones, are in a file. */
typedef void archive_done_fn(void *context, struct parcel *);

struct archive *
archive_new(const struct archive_parts *, archive_done_fn *, void *context);
void archive_free(struct archive **);
/* Whether its files leave room below archive.bytesMax for a parcel. */
bool archive_has_room(struct archive *);
bool archive_is_busy(const struct archive *);
/* Goes on until it is done, whatever fails on the way. */
void archive_write(struct archive *, struct parcel *);
/* Whether its file is there already. */
bool archive_has(const struct archive *, const struct parcel *);
/* Stops writing, and leaves no trace. */
void archive_hold(struct archive *);
/* Why nothing is written now; "" when all is well. */
const char *archive_note(const struct archive *);
