/*
 * floor_status - a Kafka supervisor's status as Druid answers it, for tests of
 * log_floor
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "panic.h"

#define FLOOR_TOPIC "tranqd-tq1"

/* "0:100 1:7" → {"0": 100, "1": 7} */
static inline struct json *
floor_offsets(const char *text)
{
	struct json *j = json_new_object();
	unsigned partition;
	long long offset;
	int used;

	while (sscanf(text, " %u:%lld%n", &partition, &offset, &used) == 2) {
		char name[16];

		snprintf(name, sizeof name, "%u", partition);
		json_set_int(j, name, offset);
		text += used;
	}
	return j;
}

/* New. state: RUNNING, SUSPENDED …, as detailedState has it. */
static inline struct json *
floor_status(const char *state)
{
	struct json *j = json_new_object(), *payload = json_new_object();

	json_set_text(payload, "dataSource", "foo");
	json_set_text(payload, "stream", FLOOR_TOPIC);
	json_set(payload, "activeTasks", json_new_array());
	json_set(payload, "publishingTasks", json_new_array());
	json_set_bool(payload, "suspended", strcmp(state, "SUSPENDED") == 0);
	json_set_text(payload, "state", state);
	json_set_text(payload, "detailedState", state);
	json_set_text(j, "id", "foo");
	json_set(j, "payload", payload);
	return j;
}

static inline void
floor_row(struct json *status, const char *list, const char *task_id,
    struct json *starts)
{
	struct json *row = json_new_object();

	json_set_text(row, "id", task_id);
	json_set(row, "startingOffsets", starts);
	json_set(row, "startTime", json_new_null());
	json_append(json_get(json_get(status, "payload"), list), row);
}
