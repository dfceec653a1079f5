/*
 * task - names and JSON of a realtime task
 *
 * Process: worker. Pure. tranquility.md 3 (names), druid-api.md 2.2 and 2.4
 * (JSON).
 */
#pragma once

#include "base.h"
#include "conf.h"
#include "json.h"

/* One replicant of one partition of one interval. attempt 0 has exactly the
 * names that JVM Tranquility gives; a replacement (1, 2, …) has names of its
 * own, since Druid never takes a task id twice. The partition says the task's
 * type (partition.h); one that takes any time has names of its own, too. */
struct task_place {
	struct interval interval;
	unsigned partition, replicant, attempt;
};

/* All return new text, to be freed. */
char *task_firehose_id(const struct ds_conf *, const struct task_place *);
/* random: 32 bits for druidBeam.randomizeTaskId, used only then. */
char *
task_id(const struct ds_conf *, const struct task_place *, uint32_t random);
char *task_service_name(const struct ds_conf *, const char *firehose_id);
char *
task_availability_group(const struct ds_conf *, const struct task_place *);
/* The attempt in a firehose id: 0 for one without a suffix. */
unsigned task_attempt(const char *firehose_id);
/* When the task closes its firehose, wall ms. */
int64_t task_shutoff_ms(const struct ds_conf *, const struct interval *);
/* A copy of what the dataSchema, in either form, says under the name, or
 * `otherwise`, which is taken over, where it says nothing; new. */
struct json *task_schema_part(
    const struct ds_conf *, const char *name, struct json *otherwise);
/* The dataSchema, new, in the form that goes with an inputFormat, for events
 * as the spool has them; intervals in it are left out. */
struct json *task_schema(const struct ds_conf *);
/* The task, new; id and firehose_id are those of the beam's record. */
struct json *task_json(const struct ds_conf *, const struct task_place *,
    const char *id, const char *firehose_id);
