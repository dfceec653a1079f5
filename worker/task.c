/*
 * task - names and JSON of a realtime task
 *
 * Process: worker. Pure.
 */
#include "task.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "iso.h"
#include "panic.h"
#include "partition.h"

#define ATTEMPT_MARK "-r" /* before the attempt's number in a firehose id */
#define RANDOM_LETTERS 8
/* In names of tasks that take any time, so that they can live beside those of
 * index_realtime for the same interval. */
#define ANY_TIME_MARK "-a"

char *
task_firehose_id(const struct ds_conf *ds, const struct task_place *p)
{
	unsigned cycle =
	    granularity_cycle(&ds->segment_granularity, p->interval.start);
	char *base = must_format("%s-%03u-%04u-%04u%s", ds->name, cycle,
	    partition_number(p->partition), p->replicant,
	    partition_is_any_time(p->partition) ? ANY_TIME_MARK : "");
	char *id;

	if (p->attempt == 0)
		return base;
	id = must_format("%s" ATTEMPT_MARK "%u", base, p->attempt);
	free(base);
	return id;
}

unsigned
task_attempt(const char *firehose_id)
{
	const char *mark = strrchr(firehose_id, '-');
	char *end;
	unsigned long attempt;

	if (mark == NULL ||
	    strncmp(mark, ATTEMPT_MARK, strlen(ATTEMPT_MARK)) != 0)
		return 0;
	attempt = strtoul(mark + strlen(ATTEMPT_MARK), &end, 10);
	return *end == '\0' && attempt < 1000000 ? (unsigned)attempt : 0;
}

static const char *
type_of(const struct task_place *p)
{
	return partition_is_any_time(p->partition)
	    ? "index_realtime_appenderator"
	    : "index_realtime";
}

char *
task_id(const struct ds_conf *ds, const struct task_place *p, uint32_t random)
{
	char start[ISO_BYTES], letters[RANDOM_LETTERS + 2] = "";
	char attempt[16] = "";

	iso_format(p->interval.start, start);
	if (p->attempt > 0)
		snprintf(attempt, sizeof attempt, "_r%u", p->attempt);
	if (ds->randomize_task_id) {
		letters[0] = '_';
		for (int i = 1; i <= RANDOM_LETTERS; i++, random >>= 4)
			letters[i] = (char)('a' + (random & 15));
	}
	return must_format("%s_%s_%s_%u_%u%s%s", type_of(p), ds->name, start,
	    partition_number(p->partition), p->replicant, attempt, letters);
}

char *
task_service_name(const struct ds_conf *ds, const char *firehose_id)
{
	char *name = must_format("firehose:%s:", ds->overlord_service);
	char *whole;

	for (char *c = name; *c != '\0'; c++)
		if (*c == '/')
			*c = ':';
	whole = must_format("%s%s", name, firehose_id);
	free(name);
	return whole;
}

char *
task_availability_group(const struct ds_conf *ds, const struct task_place *p)
{
	char start[ISO_BYTES], attempt[16] = "";

	iso_format(p->interval.start, start);
	if (p->attempt > 0)
		snprintf(
		    attempt, sizeof attempt, ATTEMPT_MARK "%u", p->attempt);
	return must_format("%s-%s-%04u%s%s", ds->name, start,
	    partition_number(p->partition),
	    partition_is_any_time(p->partition) ? ANY_TIME_MARK : "", attempt);
}

int64_t
task_shutoff_ms(const struct ds_conf *ds, const struct interval *interval)
{
	return period_add(
	    period_add(interval->end, &ds->window, 1), &ds->firehose_grace, 1);
}

static struct json *
clone_or(const struct json *from, struct json *otherwise)
{
	if (from == NULL || json_is_null(from))
		return otherwise;
	json_free(&otherwise);
	return json_clone(from);
}

struct json *
task_schema_part(
    const struct ds_conf *ds, const char *name, struct json *otherwise)
{
	const struct json *schema = ds->data_schema;
	const struct json *old =
	    json_get(json_get(json_get(schema, "parser"), "parseSpec"), name);

	return clone_or(old != NULL ? old : json_get(schema, name), otherwise);
}

/* Tasks cannot do with another type; JVM Tranquility gives no other. */
static struct json *
make_granularity(const struct ds_conf *ds)
{
	struct json *g =
	    task_schema_part(ds, "granularitySpec", json_new_object());

	json_set_text(g, "type", "uniform");
	if (json_get(g, "segmentGranularity") == NULL)
		json_set_text(g, "segmentGranularity",
		    granularity_name(&ds->segment_granularity));
	json_remove(g, "intervals");
	return g;
}

static void
copy_transform(const struct ds_conf *ds, struct json *schema)
{
	const struct json *transform =
	    json_get(ds->data_schema, "transformSpec");

	if (transform != NULL)
		json_set(schema, "transformSpec", json_clone(transform));
}

struct json *
task_schema(const struct ds_conf *ds)
{
	struct json *schema = json_new_object(), *time = json_new_object();

	json_set_text(time, "column", ds->timestamp_column);
	json_set_text(time, "format", "millis");
	json_set_text(schema, "dataSource", ds->name);
	json_set(schema, "timestampSpec", time);
	json_set(schema, "dimensionsSpec",
	    task_schema_part(ds, "dimensionsSpec", json_new_object()));
	json_set(schema, "metricsSpec",
	    task_schema_part(ds, "metricsSpec", json_new_array()));
	json_set(schema, "granularitySpec", make_granularity(ds));
	copy_transform(ds, schema);
	return schema;
}

static struct json *
make_parser(const struct ds_conf *ds)
{
	struct json *parser = json_new_object();
	struct json *spec = json_new_object(), *time = json_new_object();

	/* rows come as objects with the time in milliseconds already */
	json_set_text(time, "column", ds->timestamp_column);
	json_set_text(time, "format", "millis");
	json_set(time, "missingValue", json_new_null());
	json_set_text(spec, "format", "json");
	json_set(spec, "timestampSpec", time);
	json_set(spec, "dimensionsSpec",
	    task_schema_part(ds, "dimensionsSpec", json_new_object()));
	json_set_text(parser, "type", "map");
	json_set(parser, "parseSpec", spec);
	return parser;
}

/* The buckets of a zone go to their tasks as durations: Druid names a segment
 * of a running task by the clocks of the granularity's zone, the Broker does
 * not know it by that name, and SQL does not show it before hand-off (seen with
 * 28.0.0). */
static void
set_interval(struct json *granularity, const struct interval *interval)
{
	const struct json *segment =
	    json_get(granularity, "segmentGranularity");
	const char *zone = json_get_text(segment, "timeZone", "UTC");
	struct json *duration;
	char start[ISO_BYTES];

	if (strcmp(zone, "UTC") == 0)
		return;
	iso_format(interval->start, start);
	duration = json_new_object();
	json_set_text(duration, "type", "duration");
	json_set_int(duration, "duration", interval->end - interval->start);
	json_set_text(duration, "origin", start);
	json_set(granularity, "segmentGranularity", duration);
}

static struct json *
make_schema(const struct ds_conf *ds, const struct task_place *p)
{
	struct json *schema = json_new_object(), *granularity;

	json_set_text(schema, "dataSource", ds->name);
	json_set(schema, "parser", make_parser(ds));
	json_set(schema, "metricsSpec",
	    task_schema_part(ds, "metricsSpec", json_new_array()));
	granularity = make_granularity(ds);
	if (!partition_is_any_time(p->partition))
		set_interval(granularity, &p->interval);
	json_set(schema, "granularitySpec", granularity);
	copy_transform(ds, schema);
	return schema;
}

/* The firehose behind one that passes the interval's events only. */
static struct json *
clip(const struct interval *i, struct json *firehose)
{
	struct json *clipped = json_new_object();
	char start[ISO_BYTES], end[ISO_BYTES], *interval;

	iso_format(i->start, start);
	iso_format(i->end, end);
	interval = must_format("%s/%s", start, end);
	json_set_text(clipped, "type", "clipped");
	json_set_text(clipped, "interval", interval);
	json_set(clipped, "delegate", firehose);
	free(interval);
	return clipped;
}

static struct json *
make_firehose(const struct ds_conf *ds, const struct task_place *p,
    const char *firehose_id)
{
	struct json *receiver = json_new_object(), *timed = json_new_object();
	char *service = task_service_name(ds, firehose_id);
	char shutoff[ISO_BYTES];

	iso_format(task_shutoff_ms(ds, &p->interval), shutoff);
	json_set_text(receiver, "type", "receiver");
	json_set_text(receiver, "serviceName", service);
	json_set_int(receiver, "bufferSize", ds->firehose_buffer_events);
	json_set_text(timed, "type", "timed");
	json_set_text(timed, "shutoffTime", shutoff);
	json_set(timed, "delegate", receiver);
	free(service);
	return partition_is_any_time(p->partition) ? timed
						   : clip(&p->interval, timed);
}

/* There is no window, and Druid itself numbers the segments. What else only
 * the other type knows is passed over by Druid. */
static struct json *
make_tuning_any_time(const struct ds_conf *ds)
{
	static const char *const foreign[] = { "windowPeriod",
		"rejectionPolicy", "shardSpec" };
	struct json *tuning = clone_or(ds->tuning, json_new_object());

	json_set_text(tuning, "type", "realtime_appenderator");
	for (size_t i = 0; i < ARRAY_LEN(foreign); i++)
		json_remove(tuning, foreign[i]);
	return tuning;
}

static struct json *
make_tuning(const struct ds_conf *ds, const struct task_place *p)
{
	struct json *tuning, *shard, *rejection;

	if (partition_is_any_time(p->partition))
		return make_tuning_any_time(ds);
	tuning = clone_or(ds->tuning, json_new_object());
	shard = json_new_object();
	rejection = json_new_object();

	json_set_text(tuning, "type", "realtime");
	if (json_get(tuning, "windowPeriod") == NULL)
		json_set_text(tuning, "windowPeriod", "PT10M");
	json_set_text(shard, "type", "linear");
	json_set_int(shard, "partitionNum", p->partition);
	json_set(tuning, "shardSpec", shard);
	json_set_text(rejection, "type", "none");
	json_set(tuning, "rejectionPolicy", rejection);
	return tuning;
}

struct json *
task_json(const struct ds_conf *ds, const struct task_place *p, const char *id,
    const char *firehose_id)
{
	struct json *task = json_new_object(), *resource = json_new_object();
	struct json *spec = json_new_object(), *io = json_new_object();
	char *group = task_availability_group(ds, p);

	json_set_text(resource, "availabilityGroup", group);
	json_set_int(resource, "requiredCapacity", 1);
	json_set_text(io, "type", "realtime");
	json_set(io, "plumber", json_new_null());
	json_set(io, "firehose", make_firehose(ds, p, firehose_id));
	json_set(spec, "dataSchema", make_schema(ds, p));
	json_set(spec, "ioConfig", io);
	json_set(spec, "tuningConfig", make_tuning(ds, p));
	json_set_text(task, "type", type_of(p));
	json_set_text(task, "id", id);
	json_set(task, "resource", resource);
	json_set(task, "spec", spec);
	free(group);
	return task;
}
