/*
 * kafka_retire - what is to be done with a supervisor whose log gets no more
 *
 * Process: worker. Pure.   After: kafka_supervisor has a status.
 *
 * Its tasks read what is left; then it is suspended, so that they publish; of one
 * that has no tasks Druid says exactly what is committed (log_floor.h), and so
 * the log gets empty; then it is ended. When a task that was to publish fails it
 * is resumed, and reads that again.
 */
#pragma once

#include "json.h"
#include "log_floor.h"

#define KAFKA_RETIRE_BYTES 300

struct kafka_retire {
	const struct log_floor *floor;
	unsigned first, partitions; /* of whom, and how many */
	uint64_t (*log_start)(void *context, unsigned partition);
	uint64_t (*log_end)(void *context, unsigned partition);
	void *context;
	const struct json *payload; /* of the last status */
	bool can; /* it is ours, and we may change it */
	bool is_suspended, by_us;
};

enum kafka_retire_step {
	KAFKA_RETIRE_WAIT, /* for what: the text */
	KAFKA_RETIRE_SUSPEND,
	KAFKA_RETIRE_RESUME,
	KAFKA_RETIRE_END, /* nothing is left */
};

enum kafka_retire_step kafka_retire_next(
    const struct kafka_retire *, char text[static KAFKA_RETIRE_BYTES]);
/* All that was in the log is committed, and has left it. */
bool kafka_retire_is_empty(const struct kafka_retire *);
