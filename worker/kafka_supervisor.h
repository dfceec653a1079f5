/*
 * kafka_supervisor - the care for the Kafka supervisor that pulls our log
 *
 * Process: worker.   After: kafka_spec.   Before: overlord, log_floor.
 * kafka-pull.md 5.2 to 5.4 has the calls and the answers.
 *
 * With CARE_MANAGE it is made when it is not there, and updated when our
 * configuration has become another one. One that bears no marker of ours
 * (kafka_spec.h), or was changed in Druid, is let alone. It is never ended; one
 * that somebody has suspended stays so.
 *
 * Druid commits any range as long as it has stored no offsets, so those are set
 * before a task begins, by steps of which each one can be the last that we do:
 *
 *   1. it is posted as it shall be, but suspended and marked as not seeded
 *   2. none of its tasks is alive: they would publish what is not of this log
 *   3. resetOffsets stores where the log begins
 *   4. the spool has it that it was made (kafka_supervisor_stored)
 *   5. it is posted as it shall be
 *
 * Whoever finds that mark goes on from step 2. From step 4 on Druid's offsets
 * are Druid's business, also when it is ended there, and made again by step 5
 * alone. The same steps bring one that was made for another log to this one, if
 * ours is a new one; if not, another tranqd has taken it over, and it is let
 * alone. So is one that has been as it shall be and is not any more: a tranqd
 * with a copy of our spool has it now.
 *
 * A partition that comes to a topic which is shared gets its offset in the same
 * way: suspended, none of its tasks alive, resetOffsets; then it is known to all
 * (parts.seeded), and the spec that has it resumes the supervisor.
 *
 * Its status goes to the log's floor, with that of the tasks it asks for, as
 * long as its spec says that it pulls from us; each status comes after a look at
 * that.
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
	const char *id, *topic, *servers; /* as its spec has them */
	unsigned partitions;
	enum supervisor_care care;
	int64_t poll_ms;
	/* where the log begins, for a supervisor that is new to it, and where it
	 * ends, for one that is drained */
	uint64_t (*log_start)(void *context, unsigned partition);
	uint64_t (*log_end)(void *context, unsigned partition);
	void *context;
	/* One that is shared with others, which have the other partitions: our
	 * own one, else −1; then, too: */
	int own;
	/* a partition that is new, and of which Druid has no offset; it has one
	 * now */
	bool (*unseeded)(void *context, unsigned *partition);
	void (*seeded)(void *context, unsigned partition);
	/* what kafka_supervisor_rest wants: whoever manages it suspends it, or
	 * does so no longer (kafka_supervisor_suspend) */
	void (*suspend)(void *context, bool on);
};

/* was_made: kafka_supervisor_was_made of an earlier life, as the spool has it. */
struct kafka_supervisor *
kafka_supervisor_new(const struct kafka_supervisor_parts *, bool was_made);
void kafka_supervisor_free(struct kafka_supervisor **);
/* What it shall be (kafka_spec_make), taken over: at the beginning, and after
 * each reload. Begins at once. */
void kafka_supervisor_want(struct kafka_supervisor *, struct json *spec);
/* Druid has offsets of this supervisor that are of our log. */
bool kafka_supervisor_was_made(const struct kafka_supervisor *);
/* What that says is in the spool by now: what waits for it goes on. */
void kafka_supervisor_stored(struct kafka_supervisor *);
/* Why no more comes into the log. */
enum supervisor_rest {
	REST_NOT, /* it does come */
	REST_FULL, /* there is no room */
	REST_RETIRED, /* it was drained */
};

/* When all of it is read the supervisor is suspended, so that its tasks publish
 * and what they have committed is known: with a full log that is what makes room,
 * since the floor otherwise follows events that come later. When nothing is left
 * of a log that is retired it is ended, or, where it has the dataSource's name,
 * stays suspended. With REST_NOT it is made to be as it was. One that is not ours
 * to change is only waited for. */
void kafka_supervisor_rest(struct kafka_supervisor *, enum supervisor_rest);
/* It has come to that. */
bool kafka_supervisor_is_retired(const struct kafka_supervisor *);
/* Of a shared one: somebody wants it to be suspended, to know what is committed. */
void kafka_supervisor_suspend(struct kafka_supervisor *, bool on);
/* Nothing is begun any more. */
void kafka_supervisor_hold(struct kafka_supervisor *);
/* Nothing is on its way that changes something in Druid. */
bool kafka_supervisor_is_settled(const struct kafka_supervisor *);
/* Whether something to see or to keep has changed since the last call. */
bool kafka_supervisor_changed(struct kafka_supervisor *);
/* Adds its members, and sentences to `notes`. */
void kafka_supervisor_describe(
    const struct kafka_supervisor *, struct json *to, struct json *notes);
