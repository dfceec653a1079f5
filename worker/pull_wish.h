/*
 * pull_wish - what of the configuration makes a pull supervisor
 *
 * Process: worker; supervisor at start, reload and `tranqd check`. Pure.
 */
#pragma once

#include "kafka_spec.h"

/* Its texts are the configuration's, and its own; pull_wish_fini frees these.
 * Of the wish `druid`, `instance`, `id`, `log` and `partitions` are to be set
 * by whoever makes a spec of it. */
struct pull_wish {
	struct kafka_spec_wish wish;
	char *servers;
};

/* port: where the feed listens. */
void pull_wish_init(struct pull_wish *, const struct conf *,
    const struct ds_conf *, unsigned port);
void pull_wish_fini(struct pull_wish *);
/* How long a task reads: spec.ioConfig.taskDuration stands above
 * pull.taskDuration. */
int64_t pull_wish_task_ms(const struct ds_conf *);
