/*
 * sandbox_store - the events that arrived, in order, by dataSource
 *
 * Process: tranq-sandbox.   After: sandbox_check.
 * Owns:    the events' bytes, or, when it only counts, their digests.
 */
#pragma once

#include "base.h"
#include "buf.h"
#include "digest.h"
#include "json.h"
#include "sandbox_check.h"
#include "text_map.h"

struct store_ds;

/* Events of one task. */
struct store_source {
	struct store_ds *ds;
	struct store_source *next; /* of the dataSource */
	char *task;
	unsigned replicant;
	bool is_lost; /* the task died before it handed off */
	struct digest digest;
};

struct store {
	bool keeps;
	uint64_t kept_bytes, kept_bytes_max;
	bool is_truncated; /* kept_bytes_max was reached */
	uint64_t generation; /* counts clearings */
	struct text_map by_name; /* struct store_ds */
	struct store_ds *first;
};

void sandbox_store_init(struct store *, bool keeps, uint64_t kept_bytes_max);
void sandbox_store_clear(struct store *); /* sources are gone, too */
/* A task that will bring events; belongs to the store. */
struct store_source *sandbox_store_add_source(
    struct store *, const char *ds, const char *task, unsigned replicant);
/* Events of a body that sandbox_check_body judged; those outside are not stored. */
void sandbox_store_add_events(struct store *, struct store_source *,
    const char *body, const struct check_event *, size_t count);
#define STORE_ANY_REPLICANT UINT32_MAX

struct store_query {
	const char *ds;
	const char *task; /* start of its id; "": any */
	unsigned replicant; /* or STORE_ANY_REPLICANT */
	int lost; /* 1: only lost ones, 0: none of them, -1: any */
	bool is_wrapped; /* {"task":…,"replicant":…,"lost":…,"event":…} */
};

/* Walks a dataSource as it is now, one event a line. */
struct store_cursor;
struct store_cursor *
sandbox_store_open(struct store *, const struct store_query *);
void sandbox_store_close(struct store_cursor **);
/* Appends some lines; none: the end. */
void sandbox_store_read(struct store_cursor *, struct buf *);

/* New: {"name":{"events":…,"digest":…,"tasks":{…}}} */
struct json *sandbox_store_report(const struct store *);
