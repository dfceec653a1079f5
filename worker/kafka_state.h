/*
 * kafka_state - what Druid tells of a Kafka supervisor and its tasks
 *
 * Process: worker. Pure.   After: kafka_supervisor. kafka-pull.md 5.3.
 */
#pragma once

#include "json.h"
#include "overlord.h"

/* Of the payload of GET supervisor/{id}/status, new: state, lag, how many tasks
 * read and publish, the last errors. */
struct json *kafka_state_of(const struct json *payload);
/* Of the Overlord's tasks, those of the supervisor that have not ended. */
unsigned kafka_state_alive(const struct json *tasks, const char *supervisor_id);
/* The answer to a POST is about that one: before Druid 34 there are no ids, and
 * another one was made. */
bool kafka_state_is_of(const struct overlord_answer *, const char *supervisor);
/* The body of a resetOffsets, new; `map` of partitions is taken over. */
struct json *kafka_state_offsets(const char *topic, struct json *map);
