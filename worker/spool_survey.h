/*
 * spool_survey - goes through a spool as it lies on the disk, damaged or not
 *
 * Process: tranqctl. Changes nothing, and needs nothing of LMDB to read.
 *
 * While no worker runs it holds the spool (a shared lock on owner.lock), so
 * that none begins meanwhile. Beside a running one it reads what a
 * transaction left; between two batches it lets go of that.
 */
#pragma once

#include "base.h"
#include "batch.h"

enum spool_survey_place {
	SURVEY_WAITING, /* in the queue */
	SURVEY_DEAD, /* a dead letter */
	SURVEY_COPY, /* delivered, and still here for its copy (archive.all) */
	SURVEY_LOG, /* in the log: Druid pulls it, or has pulled it */
	SURVEY_LOST, /* in no list: these are damaged */
};

struct spool_survey_batch {
	uint64_t id; /* in the log: its first offset */
	enum spool_survey_place place;
	uint64_t bytes;
	uint32_t events; /* as its list says */
	const struct batch_view *view; /* NULL: damaged */
	/* events of it, by their place, that are dead letters by themselves */
	const uint32_t *refused;
	unsigned refused_count;
	/* in the log, instead of a view: a record batch, whole; NULL: damaged */
	const char *records;
	size_t records_bytes;
	unsigned partition;
};

struct spool_survey_sum {
	uint64_t batches, events, bytes;
};

struct spool_survey {
	const char *dir;
	/* false: pages only, no batch is read */
	bool reads_batches;
	/* each may be NULL; what is wrong, a sentence a call */
	void (*damage)(void *context, const char *what);
	/* false: that is enough */
	bool (*batch)(void *context, const struct spool_survey_batch *);
	void *context;

	/* what has been found */
	bool is_running; /* a worker has it */
	uint64_t txn, pages;
	unsigned page_bytes;
	struct spool_survey_sum sums[SURVEY_LOST + 1];
	uint64_t bad_pages, bad_batches, bad_events, other;
};

/* false with a sentence in `error`: nothing of it can be read. Damage is no
 * reason for that. */
bool
spool_survey(struct spool_survey *, char *error, size_t error_bytes) MUST_CHECK;
bool spool_survey_is_whole(const struct spool_survey *);
