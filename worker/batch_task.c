/*
 * batch_task - names and JSON of a batch task that appends or replaces
 *
 * Process: worker, tranqctl. Pure.
 */
#include "batch_task.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "iso.h"
#include "json.h"
#include "panic.h"
#include "task.h"

#define ROWS_PER_SEGMENT 5000000
#define IDENTITY_SHOWN 8

char *
batch_task_id(const struct ds_conf *ds, const char *identity, uint64_t first_id,
    unsigned attempt)
{
	return must_format("append_%s_%.*s-%" PRIu64 "_a%u", ds->name,
	    IDENTITY_SHOWN, identity, first_id, attempt);
}

static struct json *
make_schema(const struct ds_conf *ds, const struct batch_task *t)
{
	struct json *schema = task_schema(ds), *intervals;

	if (t->interval_count == 0)
		return schema;
	intervals = json_new_array();
	for (unsigned i = 0; i < t->interval_count; i++) {
		char start[ISO_BYTES], end[ISO_BYTES], *text;

		iso_format(t->intervals[i].start, start);
		iso_format(t->intervals[i].end, end);
		text = must_format("%s/%s", start, end);
		json_append(intervals, json_new_text(text));
		free(text);
	}
	json_set(json_get(schema, "granularitySpec"), "intervals", intervals);
	return schema;
}

static struct json *
make_tuning(void)
{
	struct json *tuning = json_new_object(), *parts = json_new_object();

	json_set_text(parts, "type", "dynamic");
	json_set_int(parts, "maxRowsPerSegment", ROWS_PER_SEGMENT);
	json_set_text(tuning, "type", "index_parallel");
	json_set(tuning, "partitionsSpec", parts);
	/* all of it in the one task: one slot, one publication */
	json_set_int(tuning, "maxNumConcurrentSubTasks", 1);
	/* as a realtime task does: what it cannot read, it counts */
	json_set_int(tuning, "maxParseExceptions", INT32_MAX);
	return tuning;
}

/* All of the task but its rows, which are text already. */
static struct json *
make_task(const struct ds_conf *ds, const struct batch_task *t)
{
	struct json *task = json_new_object(), *spec = json_new_object();
	struct json *context = json_new_object();

	/* appending tasks lock the interval together (Druid 29 and newer) */
	json_set_bool(context, "useConcurrentLocks", true);
	json_set(spec, "dataSchema", make_schema(ds, t));
	json_set(spec, "tuningConfig", make_tuning());
	json_set_text(task, "type", "index_parallel");
	json_set_text(task, "id", t->id);
	json_set(task, "context", context);
	json_set(task, "spec", spec);
	return task;
}

/* `"ioConfig":{…}` */
static void
print_io(const struct batch_task *t, struct buf *to)
{
	buf_addf(to,
	    "\"ioConfig\":{\"type\":\"index_parallel\","
	    "\"appendToExisting\":%s,\"inputFormat\":{\"type\":\"json\"},"
	    "\"inputSource\":{\"type\":\"inline\",\"data\":",
	    t->replaces ? "false,\"dropExisting\":true" : "true");
	buf_add_json_string(to, t->rows, t->row_bytes);
	buf_add_text(to, "}}");
}

void
batch_task_print(
    const struct ds_conf *ds, const struct batch_task *t, struct buf *to)
{
	struct json *task = make_task(ds, t);
	char *text = json_to_text(task);
	size_t bytes = strlen(text);

	/* the rows may be many megabytes: they go in as the last member of
	 * the last member, not through a document */
	must(bytes > 2 && strcmp(text + bytes - 2, "}}") == 0);
	buf_add(to, text, bytes - 2);
	buf_add(to, ",", 1);
	print_io(t, to);
	buf_add(to, "}}", 2);
	free(text);
	json_free(&task);
}
