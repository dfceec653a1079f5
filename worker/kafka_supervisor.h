/*
 * kafka_supervisor - the care for the Kafka supervisor that pulls our log
 *
 * Process: worker.   After: kafka_spec.   Before: overlord, log_floor.
 * kafka-pull.md 5.2 to 5.4 has the calls and the answers.
 *
 * With CARE_MANAGE it is made when it is not there, and the offsets that it
 * begins at are stored at once, for Druid commits any range as long as it has
 * stored none; it is updated when our configuration has become another one.
 * One that bears no marker of ours (kafka_spec.h), or was changed in Druid, is
 * let alone. It is never suspended or ended; one that somebody has suspended
 * stays so.
 *
 * Its status goes to the log's floor, with that of the tasks it asks for.
 */
#pragma once

#include "json.h"
#include "log_floor.h"
#include "loop.h"
#include "overlord.h"

struct kafka_supervisor;

enum supervisor_care {
	CARE_MANAGE,
	CARE_OBSERVE, /* asks only */
	CARE_OFF, /* nobody is asked */
};

/* What must stay. */
struct kafka_supervisor_parts {
	struct loop *loop;
	struct overlord *overlord;
	struct log_floor *floor;
	const char *id, *topic;
	unsigned partitions;
	enum supervisor_care care;
	int64_t poll_ms;
	/* where the log begins, for a supervisor that is new to it */
	uint64_t (*log_start)(void *context, unsigned partition);
	void *context;
};

/* was_made: kafka_supervisor_was_made of an earlier life, as the spool has it:
 * Druid has offsets of this supervisor, so none are given to it. */
struct kafka_supervisor *
kafka_supervisor_new(const struct kafka_supervisor_parts *, bool was_made);
void kafka_supervisor_free(struct kafka_supervisor **);
/* What it shall be (kafka_spec_make), taken over: at the beginning, and after
 * each reload. Begins at once. */
void kafka_supervisor_want(struct kafka_supervisor *, struct json *spec);
bool kafka_supervisor_was_made(const struct kafka_supervisor *);
/* Whether something to see or to keep has changed since the last call. */
bool kafka_supervisor_changed(struct kafka_supervisor *);
/* Adds its members, and sentences to `notes`. */
void kafka_supervisor_describe(
    const struct kafka_supervisor *, struct json *to, struct json *notes);
