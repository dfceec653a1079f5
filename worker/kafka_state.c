/*
 * kafka_state - what Druid tells of a Kafka supervisor and its tasks
 *
 * Process: worker. Pure.
 */
#include "kafka_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "panic.h"

#define ERRORS_SHOWN 3
#define TEXT_BYTES 600

static void
copy_member(struct json *to, const char *as, const struct json *payload,
    const char *name)
{
	const struct json *j = json_get(payload, name);

	if (j != NULL && !json_is_null(j))
		json_set(to, as, json_clone(j));
}

/* The last few, as texts. */
static struct json *
errors_of(const struct json *payload)
{
	const struct json *errors = json_get(payload, "recentErrors");
	size_t count = json_is_array(errors) ? json_size(errors) : 0;
	struct json *texts = json_new_array();
	char text[TEXT_BYTES];

	for (size_t i = count - MIN_OF(count, ERRORS_SHOWN); i < count; i++) {
		const struct json *e = json_at(errors, i);

		snprintf(text, sizeof text, "%.40s %.150s: %.300s",
		    json_get_text(e, "timestamp", ""),
		    json_get_text(e, "exceptionClass", "error"),
		    json_get_text(e, "message", ""));
		json_append(texts, json_new_text(text));
	}
	return texts;
}

struct json *
kafka_state_of(const struct json *payload)
{
	struct json *state = json_new_object();

	copy_member(state, "state", payload, "detailedState");
	copy_member(state, "suspended", payload, "suspended");
	copy_member(state, "lag", payload, "aggregateLag");
	json_set_int(state, "reading",
	    (int64_t)json_size(json_get(payload, "activeTasks")));
	json_set_int(state, "publishing",
	    (int64_t)json_size(json_get(payload, "publishingTasks")));
	json_set(state, "errors", errors_of(payload));
	return state;
}

bool
kafka_state_is_suspended(const struct json *payload)
{
	return strcmp(json_get_text(payload, "detailedState", ""),
		   "SUSPENDED") == 0;
}

/* Of a task's id, "index_kafka_<supervisor>_<15 hex>_<8 letters>". */
static bool
is_task_of(const char *task, const char *supervisor)
{
	static const char start[] = "index_kafka_";
	const char *name = task + strlen(start);
	size_t bytes = strlen(supervisor);
	const char *last;

	if (strncmp(task, start, strlen(start)) != 0 ||
	    strncmp(name, supervisor, bytes) != 0 || name[bytes] != '_')
		return false;
	last = strchr(name + bytes + 1, '_');
	return last == NULL || strchr(last + 1, '_') == NULL;
}

bool
kafka_state_is_good(enum result result, const struct overlord_answer *answer)
{
	return result == RESULT_OK && answer->status >= 200 &&
	    answer->status < 300;
}

bool
kafka_state_is_absent(enum result result, const struct overlord_answer *answer)
{
	return result == RESULT_OK && answer->status == 404;
}

const char *
kafka_state_refusal(const struct overlord_answer *answer)
{
	return answer != NULL && strstr(answer->body, "'kafka'") != NULL
	    ? "it is not made (druid-kafka-indexing-service must be in "
	      "druid.extensions.loadList)"
	    : "it is not made";
}

char *
kafka_state_tasks(const char *ds)
{
	char *name = http_escape(ds);
	char *path = must_format("druid/indexer/v1/tasks?datasource=%s&"
				 "type=index_kafka&max=1",
	    name);

	free(name);
	return path;
}

bool
kafka_state_alive(const struct overlord_answer *answer,
    const char *supervisor_id, unsigned *count)
{
	struct json *tasks = json_parse(answer->body, answer->body_bytes, NULL);
	bool is_list = json_is_array(tasks);

	*count = 0;
	for (size_t i = 0; i < json_size(tasks); i++) {
		const struct json *t = json_at(tasks, i);
		const char *code = json_get_text(t, "statusCode", "RUNNING");

		*count +=
		    is_task_of(json_get_text(t, "id", ""), supervisor_id) &&
		    strcmp(code, "SUCCESS") != 0 && strcmp(code, "FAILED") != 0;
	}
	json_free(&tasks);
	return is_list;
}

bool
kafka_state_is_of(const struct overlord_answer *answer, const char *supervisor)
{
	struct json *j = json_parse(answer->body, answer->body_bytes, NULL);
	bool good = strcmp(json_get_text(j, "id", supervisor), supervisor) == 0;

	json_free(&j);
	return good;
}

struct json *
kafka_state_offsets(const char *topic, struct json *map)
{
	struct json *body = json_new_object(), *partitions = json_new_object();

	json_set_text(partitions, "type", "end");
	json_set_text(partitions, "stream", topic);
	json_set(partitions, "partitionOffsetMap", map);
	json_set_text(body, "type", "kafka");
	json_set(body, "partitions", partitions);
	return body;
}
