/*
 * sandbox_answer - what a Druid of a given version says, word by word
 *
 * Process: tranq-sandbox. Pure.
 */
#include "sandbox_answer.h"

#include <stdio.h>
#include <string.h>

#include "panic.h"

#define JSON "application/json"
#define HTML "text/html;charset=iso-8859-1"
#define TEXT "text/plain"
#define ERROR(text) "{\"error\":\"" text "\"}"
#define ERROR_RESPONSE(code, persona, category, message)          \
	"{\"error\":\"druidException\",\"errorCode\":\"" code     \
	"\",\"persona\":\"" persona "\",\"category\":\"" category \
	"\",\"errorMessage\":\"" message "\",\"context\":{}}"
/* Jetty's page for what a handler did not catch */
#define PAGE(status, text)                                               \
	"<html>\n<head>\n<title>Error " status " Server Error</title>\n" \
	"</head>\n<body><h2>HTTP ERROR " status "</h2>\n<pre>" text      \
	"</pre></body>\n</html>\n"
#define MODULE(name, artifact)                            \
	"{\"name\":\"" name "\",\"artifact\":\"" artifact \
	"\",\"version\":\"$1\"}"
#define OTHER_MODULE                                      \
	MODULE("org.apache.druid.metadata.storage.derby." \
	       "DerbyMetadataStorageDruidModule",         \
	    "druid-server")
#define KAFKA_MODULE                                                   \
	MODULE("org.apache.druid.indexing.kafka.KafkaIndexTaskModule", \
	    "druid-kafka-indexing-service")
#define STATUS(modules)                                       \
	"{\"version\":\"$1\",\"modules\":[" modules           \
	"],\"memory\":{\"maxMemory\":1073741824,"             \
	"\"totalMemory\":536870912,\"freeMemory\":268435456," \
	"\"usedMemory\":268435456,\"directMemory\":134217728}}"

/* The row of the newest release that is not newer than ours counts. */
static const struct sandbox_answer_row rows[] = {
	{ ANSWER_PUSHED, 0, 200, JSON, "{\"eventCount\":$1}" },
	{ ANSWER_SKIPPED, 0, 200, JSON, "{\"eventCount\":0,\"skipped\":true}" },
	{ ANSWER_SEQ_MISSING, 0, 400, JSON,
	    ERROR("Producer sequence value is missing") },
	{ ANSWER_SEQ_NO_NUMBER, 0, 400, JSON,
	    ERROR("Producer sequence must be a number") },
	{ ANSWER_PRODUCERS_FULL, 0, 403, JSON,
	    ERROR("Too many individual producer IDs for this firehose.  "
		  "Max is 10000") },
	{ ANSWER_BODY_MALFORMED, 0, 500, JSON, ERROR("$1") },
	{ ANSWER_ROW_MALFORMED, 0, 500, HTML,
	    PAGE("500", "ParseException: Unparseable timestamp found! $1") },
	{ ANSWER_FIREHOSE_CLOSED, 0, 500, HTML,
	    PAGE("500",
		"IllegalStateException: Cannot add events to closed "
		"firehose!") },
	{ ANSWER_MEDIA_TYPE, 0, 415, HTML,
	    PAGE("415", "Unsupported Media Type") },
	{ ANSWER_OTHER_TASK, 0, 404, NULL, NULL },
	{ ANSWER_OTHER_TASK, DRUID(0, 16, 0), 400, JSON,
	    ERROR("Requested taskId[$1] doesn't match with taskId[$2]") },
	{ ANSWER_NO_HANDLER, 0, 404, NULL, NULL },
	{ ANSWER_NO_HANDLER, DRUID(0, 16, 0), 400, JSON,
	    ERROR("Can't find chatHandler for handler[$1]") },
	{ ANSWER_NO_HANDLER, DRUID(29, 0, 0), 503, JSON,
	    ERROR("Can't find chatHandler for handler[$1]") },
	{ ANSWER_SHUT_DOWN, 0, 200, NULL, NULL },
	{ ANSWER_SHUTOFF_TIME, 0, 400, JSON, ERROR("$1") },
	{ ANSWER_SUBMITTED, 0, 200, JSON, "{\"task\":\"$1\"}" },
	{ ANSWER_TASK_EXISTS, 0, 400, JSON, ERROR("Task[$1] already exists!") },
	{ ANSWER_TASK_EXISTS, DRUID(27, 0, 0), 400, JSON,
	    ERROR("Task [$1] already exists.") },
	{ ANSWER_TASK_EXISTS, DRUID(30, 0, 0), 400, JSON,
	    ERROR_RESPONSE("entryAlreadyExists", "USER", "INVALID_INPUT",
		"Task[$1] already exists") },
	{ ANSWER_TASK_REFUSED, 0, 400, JSON, ERROR("$1") },
	{ ANSWER_TASK_TYPE, 0, 400, JSON,
	    ERROR("Could not resolve type id '$1' as a subtype of "
		  "`org.apache.druid.indexing.common.task.Task`") },
	{ ANSWER_TASK_ID_ILLEGAL, 0, 500, JSON, ERROR("$1") },
	{ ANSWER_TASK_ID_ILLEGAL, DRUID(29, 0, 0), 400, JSON,
	    ERROR_RESPONSE("invalidInput", "USER", "INVALID_INPUT", "$1") },
	{ ANSWER_JSON_BROKEN, 0, 500, JSON, ERROR("$1") },
	{ ANSWER_QUEUE_FULL, 0, 500, JSON, ERROR("Too many tasks (max = $1)") },
	{ ANSWER_QUEUE_FULL, DRUID(29, 0, 0), 429, JSON,
	    ERROR("Too many tasks are in the queue (Limit = $1)") },
	{ ANSWER_QUEUE_FULL, DRUID(30, 0, 0), 429, JSON,
	    ERROR_RESPONSE("general", "OPERATOR", "CAPACITY_EXCEEDED",
		"Task queue already contains [$1] tasks.") },
	{ ANSWER_STATUS_UNKNOWN, 0, 404, JSON, "{\"task\":\"$1\"}" },
	{ ANSWER_STATUS_UNKNOWN, DRUID(0, 12, 0), 404, JSON,
	    "{\"task\":\"$1\",\"status\":null}" },
	{ ANSWER_TASK_UNKNOWN, 0, 404, JSON,
	    "{\"task\":\"$1\",\"payload\":null}" },
	{ ANSWER_NO_REPORT, 0, 404, TEXT,
	    "No task reports were found for this task. The task may not exist, "
	    "or it may not have completed yet." },
	{ ANSWER_KILLED, 0, 200, JSON, "{\"task\":\"$1\"}" },
	{ ANSWER_LEADER, 0, 200, JSON, "{\"leader\":true}" },
	{ ANSWER_NO_LEADER, 0, 404, JSON, "{\"leader\":false}" },
	{ ANSWER_HEALTH, 0, 200, JSON, "true" },
	{ ANSWER_DRUID_STATUS, 0, 200, JSON, STATUS(OTHER_MODULE) },
	{ ANSWER_DRUID_STATUS_KAFKA, 0, 200, JSON,
	    STATUS(OTHER_MODULE "," KAFKA_MODULE) },
	{ ANSWER_STATE_WRONG, 0, 400, TEXT,
	    "Invalid task state '$1', must be one of "
	    "[pending, waiting, running, complete]" },
	{ ANSWER_IDS_MISSING, 0, 400, JSON, ERROR("No TaskIds provided.") },
	{ ANSWER_ALL_KILLED, 0, 200, JSON, "{\"dataSource\":\"$1\"}" },
	{ ANSWER_AWAY, 0, 503, NULL, NULL },
	{ ANSWER_REDIRECT, 0, 307, NULL, NULL },
	{ ANSWER_SUPERVISOR_ID, 0, 200, JSON, "{\"id\":\"$1\"}" },
	{ ANSWER_SUPERVISOR_POSTED, 0, 200, JSON, "{\"id\":\"$1\"}" },
	{ ANSWER_SUPERVISOR_POSTED, DRUID(38, 0, 0), 200, JSON,
	    "{\"id\":\"$1\",\"modified\":$2,\"restarted\":$2}" },
	{ ANSWER_SUPERVISOR_UNKNOWN, 0, 404, TEXT,
	    "Cannot find any supervisor with id: [$1]" },
	{ ANSWER_SUPERVISOR_ALREADY, 0, 400, JSON,
	    ERROR("[$1] is already $2") },
	{ ANSWER_SUPERVISOR_TYPE, 0, 400, JSON,
	    ERROR("Could not resolve type id '$1' as a subtype of "
		  "`org.apache.druid.indexing.overlord.supervisor."
		  "SupervisorSpec`") },
	{ ANSWER_SUPERVISOR_REFUSED, 0, 400, JSON, ERROR("$1") },
	{ ANSWER_SUPERVISOR_STREAM, 0, 400, JSON,
	    ERROR_RESPONSE("invalidInput", "USER", "INVALID_INPUT",
		"Update of the input source stream from [$1] to [$2] is not "
		"supported for a running supervisor.") },
	{ ANSWER_SUPERVISOR_GROUPS, 0, 400, JSON,
	    ERROR("List of task groups to handoff can't be empty") },
	{ ANSWER_SUPERVISOR_HANDED_OFF, 0, 200, NULL, NULL },
	{ ANSWER_SUPERVISOR_HANDED_OFF, DRUID(36, 0, 0), 202, NULL, NULL },
	{ ANSWER_UNAUTHORIZED, 0, 401, HTML, PAGE("401", "Unauthorized") },
	{ ANSWER_NOT_FOUND, 0, 404, HTML, PAGE("404", "Not Found") },
	{ ANSWER_METHOD, 0, 405, HTML, PAGE("405", "Method Not Allowed") },
	{ ANSWER_FAULT, 0, 500, HTML, PAGE("500", "$1") },
};

bool
sandbox_answer_version_parse(const char *text, unsigned *version)
{
	unsigned major, minor = 0, patch = 0;

	if (sscanf(text, "%3u.%3u.%3u", &major, &minor, &patch) < 1)
		return false;
	*version = DRUID(major, minor, patch);
	return true;
}

const struct sandbox_answer_row *
sandbox_answer_row(enum answer answer, unsigned version)
{
	const struct sandbox_answer_row *best = NULL;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].answer == answer && rows[i].since <= version &&
		    (best == NULL || best->since <= rows[i].since))
			best = &rows[i];
	must(best != NULL);
	return best;
}

/* A JSON string without its quotes. */
static void
add_escaped(struct buf *to, const char *text)
{
	size_t at = to->used;

	buf_add_json_string(to, text, strlen(text));
	if (to->failed)
		return;
	memmove(to->bytes + at, to->bytes + at + 1, to->used - at - 2);
	to->used -= 2;
}

void
sandbox_answer_compose(const struct sandbox_answer_row *row, const char *one,
    const char *two, struct buf *to)
{
	const char *at = row->body, *dollar;
	bool json = row->type != NULL && strcmp(row->type, JSON) == 0;

	if (at == NULL)
		return;
	for (; (dollar = strchr(at, '$')) != NULL; at = dollar + 2) {
		const char *text = dollar[1] == '1' ? one : two;

		buf_add(to, at, (size_t)(dollar - at));
		must(text != NULL);
		if (json)
			add_escaped(to, text);
		else
			buf_add_text(to, text);
	}
	buf_add_text(to, at);
}
