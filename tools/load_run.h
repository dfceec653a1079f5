/*
 * load_run - the connections, from the first request to the last answer
 *
 * Process: tranq-load.
 */
#pragma once

#include "load_body.h"
#include "load_histogram.h"
#include "load_ledger.h"
#include "load_options.h"

#define LOAD_STATUS_MAX 600

struct load_stats {
	struct load_histogram latency; /* of all answers */
	uint64_t answers[LOAD_STATUS_MAX];
	uint64_t requests_sent; /* with those sent again */
	uint64_t bytes_sent;
	uint64_t broken; /* connections that ended with a request open */
	uint64_t timeouts; /* of these, for want of an answer */
	uint64_t bad; /* of these, answers that could not be read */
	uint64_t refused_connections;
	uint64_t received, sent, dropped, spooled; /* sums of 200 answers */
	int64_t started_ns, ended_ns; /* first byte sent, last answer */
};

/* Sends what the options ask for and settles each request in the ledger,
 * which ends where the sending did. False: no connection ever came about. */
bool load_run(const struct load_options *, struct load_ledger *,
    struct load_body *, struct load_stats *) MUST_CHECK;
