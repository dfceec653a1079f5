/*
 * committed - what Druid has committed, by a URL that knows it exactly
 *
 * Process: worker.   After: pull_care.   Before: http_client, log_floor.
 *
 * No call of Druid says it. Its metadata store does: the table druid_dataSource
 * has a row of each supervisor, with commit_metadata_payload (kafka-pull.md 5.4)
 *
 *   {"type": "kafka", "partitions": {"type": "end", "stream": TOPIC,
 *    "partitionSequenceNumberMap": {"0": 120000}}}
 *
 * where an offset is the first that is not committed. pull.committed.url is that
 * of a service which answers with this; it is asked again and again, and the
 * floor gets what it says.
 */
#pragma once

#include "conf.h"
#include "http_client.h"
#include "log_floor.h"
#include "loop.h"

#define COMMITTED_WHY_BYTES 400

struct committed;

/* What must stay. */
struct committed_parts {
	struct loop *loop;
	struct http_client *http;
	const struct ds_conf *ds;
	struct log_floor *floor;
	const char *id; /* the supervisor's */
	int64_t period_ms; /* between two questions */
};

/* Asks at once. */
struct committed *committed_new(const struct committed_parts *);
void committed_free(struct committed **);
/* Why the last answer was of no use; "": it was. Lent. */
const char *committed_trouble(const struct committed *);
/* Whether that has become another text since the last call. */
bool committed_changed(struct committed *);

/* The offsets in an answer's body, {"0": 120000}, new; NULL: it is of no use,
 * and why. Pure. */
struct json *committed_read(const char *body, size_t bytes, const char *topic,
    char why[static COMMITTED_WHY_BYTES]);
