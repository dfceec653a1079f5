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
/* It is, and has been in touch with us, so that it does what it is asked for. */
bool kafka_state_is_suspended(const struct json *payload);
/* What was asked for; and that there is no such thing. */
bool kafka_state_is_good(enum result, const struct overlord_answer *);
bool kafka_state_is_absent(enum result, const struct overlord_answer *);
/* To a POST of a spec: what it means, in words. NULL: there was no answer. */
const char *kafka_state_refusal(const struct overlord_answer *);
/* Where the Overlord lists the tasks of a dataSource, new. */
char *kafka_state_tasks(const char *ds);
/* A list of the Overlord's tasks: how many of the supervisor's have not ended.
 * False: it is no list. */
bool kafka_state_alive(const struct overlord_answer *,
    const char *supervisor_id, unsigned *count) MUST_CHECK;
/* The answer to a POST is about that one: before Druid 34 there are no ids, and
 * another one was made. */
bool kafka_state_is_of(const struct overlord_answer *, const char *supervisor);
/* The body of a resetOffsets, new; `map` of partitions is taken over. */
struct json *kafka_state_offsets(const char *topic, struct json *map);
