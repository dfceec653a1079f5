/*
 * kafka_state - what of a supervisor and its tasks is worth to be seen
 *
 * Process: worker. Pure.   After: kafka_supervisor. kafka-pull.md 5.3.
 */
#pragma once

#include "json.h"

/* Of the payload of GET supervisor/{id}/status, new: state, lag, how many tasks
 * read and publish, the last errors. */
struct json *kafka_state_of(const struct json *payload);
/* Of the Overlord's tasks, those of the supervisor that have not ended. */
unsigned kafka_state_alive(const struct json *tasks, const char *supervisor_id);
