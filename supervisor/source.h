/*
 * source - one dataSource as the supervisor sees it: its channels, its worker
 *
 * Process: supervisor.
 */
#pragma once

#include "channel.h"
#include "child.h"
#include "prepare.h"
#include "rate.h"
#include "worker_order.h"

struct supervisor;

/* What a running reload does with it. */
enum source_change {
	SOURCE_SAME,
	SOURCE_ADDED,
	SOURCE_CHANGED,
	SOURCE_REMOVED,
};

struct source_channel {
	int fd; /* the memfd; both sides attach it */
	const struct channel_header *header; /* read only, of that memfd */
};

struct source {
	struct supervisor *supervisor;
	char *name;
	/* what the next start of its worker is made from */
	const struct conf *conf;
	/* of its channels: one that was removed and comes back has new ones,
	 * and the cursors in its spool are of the old ones */
	uint64_t generation;
	struct source_channel *channels; /* one a receiver */
	unsigned channel_count;
	int bell; /* the worker's */
	int page_fd; /* of its log, for the feed (log_page.h) */
	struct child worker;
	enum source_change change;
	bool was_pulled; /* when that reload began */
	struct rate rate; /* received, sent */
	struct loop_timer renew_timer; /* ORDER_RENEW has come */
	int64_t renew_from_ms; /* not before that again */
	struct worker_order dead, drain; /* dead_order.c, drain_order.c */
};

/* Sums over its channels, as they are now. */
struct source_sums {
	uint64_t offered; /* events, dropped ones with them */
	uint64_t in_rings; /* of them, not yet taken for good */
	uint64_t requests, refused_full, refused_malformed;
	uint64_t refused_draining;
};

/* Makes channels, bell and life page, and starts nothing. */
struct source *source_new(struct supervisor *, const struct conf *,
    const char *name, struct trouble *) MUST_CHECK;
/* Its worker is at rest. The spool stays. */
void source_free(struct source **);
/* Its channel to this receiver, before one of both sides is started; false:
 * channel_mend. */
bool source_mend(struct source *, unsigned receiver);
/* Whether Druid pulls what its worker takes, by its configuration in force or by
 * what delivery.mode auto has chosen. */
bool source_is_pulled(const struct source *);
void source_sums(const struct source *, struct source_sums *);
void source_sample(struct source *, int64_t now_ms);
void source_rates(struct source *, int64_t now_ms, double *out);
