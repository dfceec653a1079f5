/*
 * pull_care_internal - what the files of pull_care share
 *
 * Process: worker. Internal to pull_care*.c.
 */
#pragma once

#include "committed.h"
#include "druid.h"
#include "kafka_supervisor.h"
#include "log_floor.h"
#include "log_page.h"
#include "pull_care.h"
#include "pull_share.h"

#define NOTE_BYTES 600

struct pull_care {
	struct pull_care_parts p;
	enum supervisor_care care;
	unsigned partitions;
	struct log_floor *floor; /* NULL: not begun */
	struct kafka_supervisor *supervisor; /* NULL: its name is not known */
	struct committed *committed; /* NULL: without pull.committed.url */
	struct druid *druid; /* asked for the name, NULL: it is known */
	/* the word: as it is, and as the spool has it */
	char *instance, *id, *servers;
	bool is_stored, made_is_stored;
	bool is_one; /* partition of a shared topic, since an earlier life */
	bool is_shared; /* with others: */
	int number; /* of our partition; −1: it has none yet */
	struct pull_share *share; /* NULL: not begun, or without ZooKeeper */
	char *base; /* where it is agreed on */
	char *role; /* what the supervisor was begun for */
	unsigned begun_for; /* so many partitions */
	bool share_changed, peers_due, peers_are_told;
	bool word_is_written, made_is_written; /* in the open transaction */
	bool floor_due;
	bool retires, is_full;
	bool is_held;
	uint64_t floors[LOG_PAGE_PARTITIONS_MAX]; /* with pull.retain */
	int64_t looked_ms;
	char trouble[NOTE_BYTES];
	bool changed;
};

/* The partition that this one of our log is in the topic. */
unsigned pull_care_part(const struct pull_care *, unsigned of_log);
/* Druid has committed what this log has never had: it reads another one, that of
 * a spool of which this one is a copy, and has not read what is here alone. */
bool pull_care_is_beyond(const struct pull_care *, unsigned partition);
