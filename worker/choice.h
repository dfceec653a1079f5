/*
 * choice - which way to Druid delivery.mode auto takes
 *
 * Process: worker. Pure.
 *
 * Up to Druid 30 push; from 31 on pull, when Druid's Kafka ingestion is loaded
 * and nothing in the configuration stands against it, else append. As long as
 * nobody knows which Druid it is, and while the log has events that only pull
 * brings to Druid, it stays as it is.
 */
#pragma once

#include "conf.h"
#include "druid.h"

struct choice_facts {
	enum delivery_mode now;
	const struct druid_facts *druid; /* NULL: not known */
	const char *trouble; /* why Druid does not say it now; "": it does */
	const char *no_pull; /* what stands against it; NULL: nothing */
	uint64_t log_events; /* that Druid may not have yet */
};

#define CHOICE_BYTES 600

struct choice {
	enum delivery_mode mode;
	char why[CHOICE_BYTES];
	char better[CHOICE_BYTES]; /* what to do for a better way; "": it is */
};

void choice_make(const struct choice_facts *, struct choice *);
