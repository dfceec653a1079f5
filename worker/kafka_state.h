/*
 * kafka_state - what of a supervisor's status is worth to be seen
 *
 * Process: worker. Pure.   After: kafka_supervisor. kafka-pull.md 5.3.
 */
#pragma once

#include "json.h"

/* Of the payload of GET supervisor/{id}/status, new: state, lag, how many tasks
 * read and publish, the last errors. */
struct json *kafka_state_of(const struct json *payload);
