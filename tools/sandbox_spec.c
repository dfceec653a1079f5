/*
 * sandbox_spec - a realtime task as it was submitted
 *
 * Process: tranq-sandbox. Pure.
 */
#include "sandbox_spec.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "iso.h"
#include "panic.h"
#include "sandbox_answer.h"
#include "sandbox_batch.h"

#define BUFFER_EVENTS 100000 /* Druid's default */
#define DELEGATES_MAX 8
#define NAME_BYTES 512

void
sandbox_spec_free(struct spec *s)
{
	free(s->id);
	free(s->ds);
	free(s->column);
	free(s->service);
	free(s->group);
	*s = (struct spec){ 0 };
}

enum spec_result
sandbox_spec_refuse(struct spec_context *c, const char *why)
{
	snprintf(c->error, sizeof c->error, "%s", why);
	return SPEC_REFUSED;
}

void
sandbox_spec_expect(struct spec_context *c, const struct spec *s,
    bool fulfilled, const char *what)
{
	if (!fulfilled)
		sandbox_violation_add(c->violations, VIOLATION_TASK_SPEC,
		    "%s: expected %s", s->id, what);
}

static bool
is_text(const struct json *j, const char *name, const char *value)
{
	return strcmp(json_get_text(j, name, ""), value) == 0;
}

/* ---- the id ---- */

static bool
id_legal(const char *id)
{
	if (id[0] == '\0' || id[0] == '.')
		return false;
	for (; *id != '\0'; id++)
		if (*id == '/' || (unsigned char)*id < 0x20 || *id == 0x7f)
			return false;
	return true;
}

/* index_realtime_{ds}_{interval start}_{partition}_{replicant}[_{suffix}] */
static bool
read_id(struct spec *s)
{
	char start[ISO_BYTES], prefix[NAME_BYTES];
	unsigned partition, replicant;
	int used = 0;
	size_t bytes;

	iso_format(s->interval.start, start);
	snprintf(prefix, sizeof prefix, "index_realtime_%s_%s_", s->ds, start);
	bytes = strlen(prefix);
	if (strncmp(s->id, prefix, bytes) != 0)
		return false;
	if (sscanf(s->id + bytes, "%5u_%5u%n", &partition, &replicant, &used) !=
	    2)
		return false;
	s->replicant = replicant;
	if (s->id[bytes + (size_t)used] != '\0' &&
	    s->id[bytes + (size_t)used] != '_')
		return false;
	return partition == s->partition;
}

static void
check_id(struct spec_context *c, struct spec *s)
{
	if (s->is_appenderator || !s->has_interval || read_id(s))
		return;
	sandbox_violation_add(c->violations, VIOLATION_TASK_ID,
	    "%s: does not fit dataSource %s, partition %u and its interval",
	    s->id, s->ds, s->partition);
}

/* ---- names ---- */

/* The cycle by a granularity's name; without one that in the service's name,
 * where the dataSource stands at `ds_at`: the producer of an object numbers its
 * buckets as it likes. */
static unsigned
cycle_of(const struct spec *s, const struct granularity *named, size_t ds_at)
{
	size_t at = ds_at + strlen(s->ds);
	unsigned cycle = 0;

	if (named != NULL)
		return granularity_cycle(named, s->interval.start);
	if (strlen(s->service) > at)
		(void)sscanf(s->service + at, "-%3u", &cycle);
	return cycle;
}

/* firehose:druid:overlord:{ds}-{cycle}-{partition}-{replicant}[suffix] */
static void
check_service(struct spec_context *c, const struct spec *s,
    const struct granularity *named)
{
	char name[NAME_BYTES];
	size_t colon;

	snprintf(name, sizeof name, "firehose:%s", c->overlord_service);
	for (char *at = name; *at != '\0'; at++)
		if (*at == '/')
			*at = ':';
	colon = strlen(name);
	snprintf(name + colon, sizeof name - colon, ":%s-%03u-%04u-%04u", s->ds,
	    cycle_of(s, named, colon + 1), s->partition, s->replicant);
	if (strncmp(s->service, name, strlen(name)) != 0)
		sandbox_violation_add(c->violations, VIOLATION_TASK_SPEC,
		    "%s: expected serviceName %s, it is %s", s->id, name,
		    s->service);
}

static void
check_group(struct spec_context *c, const struct spec *s)
{
	char start[ISO_BYTES], name[NAME_BYTES];

	iso_format(s->interval.start, start);
	snprintf(name, sizeof name, "%s-%s-%04u", s->ds, start, s->partition);
	if (strncmp(s->group, name, strlen(name)) != 0)
		sandbox_violation_add(c->violations, VIOLATION_TASK_SPEC,
		    "%s: expected availabilityGroup %s, it is %s", s->id, name,
		    s->group);
}

/* Names that no task of index_realtime has. */
static void
check_any_time(struct spec_context *c, const struct spec *s)
{
	char prefix[NAME_BYTES];
	const char *colon = strrchr(s->service, ':');

	snprintf(
	    prefix, sizeof prefix, "index_realtime_appenderator_%s_", s->ds);
	sandbox_spec_expect(c, s, strncmp(s->id, prefix, strlen(prefix)) == 0,
	    "an id that names type and dataSource");
	snprintf(prefix, sizeof prefix, ":%s-", s->ds);
	sandbox_spec_expect(c, s,
	    colon != NULL && strncmp(colon, prefix, strlen(prefix)) == 0 &&
		strstr(colon, "-0000-a") != NULL,
	    "a serviceName that is no index_realtime's");
}

static void
check_names(
    struct spec_context *c, struct spec *s, const struct json *granularity_spec)
{
	const struct json *segment =
	    json_get(granularity_spec, "segmentGranularity");
	char why[GRANULARITY_WHY_BYTES];
	struct granularity g;
	bool known = granularity_read(segment, &g, why);

	sandbox_spec_expect(c, s, known, "granularitySpec.segmentGranularity");
	s->granularity = known ? g : granularity_of(GRANULARITY_DAY);
	if (s->is_appenderator)
		check_any_time(c, s);
	if (!known || !s->has_interval || s->is_appenderator)
		return;
	sandbox_spec_expect(c, s,
	    granularity_truncate(&g, s->interval.start) == s->interval.start &&
		granularity_truncate(&g, s->interval.end) == s->interval.end,
	    "an interval of whole segments");
	check_service(c, s, json_is_object(segment) ? NULL : &g);
	check_group(c, s);
}

/* ---- parts of the document ---- */

bool
sandbox_spec_interval(const char *text, struct interval *out)
{
	const char *slash = strchr(text, '/');

	return slash != NULL &&
	    iso_parse(text, (size_t)(slash - text), ISO_T, &out->start) &&
	    iso_parse(slash + 1, strlen(slash + 1), ISO_T, &out->end) &&
	    out->start < out->end;
}

static enum spec_result
read_receiver(
    struct spec_context *c, const struct json *firehose, struct spec *s)
{
	const char *service = json_get_text(firehose, "serviceName", NULL);

	if (service == NULL || service[0] == '\0')
		return sandbox_spec_refuse(c, "serviceName");
	s->service = must_strdup(service);
	s->buffer = json_get_int(firehose, "bufferSize", 0);
	if (s->buffer <= 0)
		s->buffer = BUFFER_EVENTS;
	if (c->version >= DRUID_IDLE_TIME)
		s->idle_ms =
		    MAX_OF(json_get_int(firehose, "maxIdleTime", 0), 0);
	return SPEC_OK;
}

static enum spec_result
read_wrapper(
    struct spec_context *c, const struct json *firehose, struct spec *s)
{
	const char *text;

	if (is_text(firehose, "type", "clipped")) {
		text = json_get_text(firehose, "interval", "");
		s->has_interval = sandbox_spec_interval(text, &s->interval);
		return s->has_interval
		    ? SPEC_OK
		    : sandbox_spec_refuse(c, "clipped: interval");
	}
	if (is_text(firehose, "type", "timed")) {
		text = json_get_text(firehose, "shutoffTime", "");
		s->has_shutoff =
		    iso_parse(text, strlen(text), ISO_T, &s->shutoff_ms);
		return s->has_shutoff
		    ? SPEC_OK
		    : sandbox_spec_refuse(c, "timed: shutoffTime");
	}
	return sandbox_spec_refuse(
	    c, "Could not resolve the firehose's type id");
}

static enum spec_result
read_firehose(
    struct spec_context *c, const struct json *firehose, struct spec *s)
{
	enum spec_result result;

	for (unsigned i = 0; i < DELEGATES_MAX; i++) {
		if (is_text(firehose, "type", "receiver"))
			return read_receiver(c, firehose, s);
		result = read_wrapper(c, firehose, s);
		if (result != SPEC_OK)
			return result;
		firehose = json_get(firehose, "delegate");
	}
	return sandbox_spec_refuse(c, "firehoses are nested too deeply");
}

static void
check_firehose(
    struct spec_context *c, const struct spec *s, const struct json *io)
{
	const struct json *clipped = json_get(io, "firehose");
	const struct json *timed = json_get(clipped, "delegate");

	sandbox_spec_expect(
	    c, s, is_text(io, "type", "realtime"), "ioConfig.type realtime");
	if (s->is_appenderator) {
		sandbox_spec_expect(c, s, is_text(clipped, "type", "timed"),
		    "firehose timed over receiver");
		return;
	}
	sandbox_spec_expect(c, s,
	    is_text(clipped, "type", "clipped") &&
		is_text(timed, "type", "timed"),
	    "firehose clipped over timed over receiver");
	sandbox_spec_expect(c, s,
	    s->has_interval && s->has_shutoff &&
		s->shutoff_ms >= s->interval.end,
	    "shutoffTime not before the interval's end");
}

void
sandbox_spec_fields(struct spec_context *c, struct spec *s,
    const struct json *schema, const struct json *parts)
{
	const struct json *time = json_get(parts, "timestampSpec");

	s->column = must_strdup(json_get_text(time, "column", "timestamp"));
	sandbox_spec_expect(c, s, json_is_text(json_get(time, "column")),
	    "timestampSpec.column");
	sandbox_spec_expect(c, s, is_text(time, "format", "millis"),
	    "timestampSpec.format millis");
	sandbox_spec_expect(c, s,
	    json_is_object(json_get(parts, "dimensionsSpec")),
	    "dimensionsSpec");
	sandbox_spec_expect(c, s,
	    json_is_array(json_get(schema, "metricsSpec")),
	    "metricsSpec, a list");
}

static enum spec_result
read_schema(struct spec_context *c, const struct json *schema, struct spec *s)
{
	const struct json *parser = json_get(schema, "parser");
	const struct json *parse = json_get(parser, "parseSpec");
	const char *ds = json_get_text(schema, "dataSource", NULL);

	if (ds == NULL || ds[0] == '\0')
		return sandbox_spec_refuse(
		    c, "dataSource cannot be null or empty");
	s->ds = must_strdup(ds);
	sandbox_spec_expect(
	    c, s, is_text(parser, "type", "map"), "parser.type map");
	sandbox_spec_fields(c, s, schema, parse);
	sandbox_spec_expect(c, s,
	    json_is_object(json_get(schema, "granularitySpec")),
	    "granularitySpec");
	return SPEC_OK;
}

static void
read_tuning(struct spec_context *c, const struct json *tuning, struct spec *s)
{
	const struct json *shard = json_get(tuning, "shardSpec");
	int64_t partition = json_get_int(shard, "partitionNum", -1);

	s->partition = partition >= 0 ? (unsigned)partition : 0;
	sandbox_spec_expect(c, s, json_is_object(tuning), "tuningConfig");
	if (s->is_appenderator) {
		sandbox_spec_expect(c, s,
		    is_text(tuning, "type", "realtime_appenderator") &&
			json_get(tuning, "windowPeriod") == NULL &&
			json_get(tuning, "rejectionPolicy") == NULL &&
			shard == NULL,
		    "tuningConfig realtime_appenderator without window, "
		    "rejectionPolicy and shardSpec");
		return;
	}
	sandbox_spec_expect(c, s, is_text(tuning, "type", "realtime"),
	    "tuningConfig.type realtime");
	sandbox_spec_expect(c, s,
	    is_text(shard, "type", "linear") && partition >= 0,
	    "shardSpec linear with partitionNum");
	sandbox_spec_expect(c, s,
	    json_is_text(json_get(tuning, "windowPeriod")),
	    "tuningConfig.windowPeriod");
	sandbox_spec_expect(c, s,
	    json_is_text(json_get(json_get(tuning, "rejectionPolicy"), "type")),
	    "tuningConfig.rejectionPolicy");
}

static void
read_resource(
    struct spec_context *c, const struct json *resource, struct spec *s)
{
	const char *group = json_get_text(resource, "availabilityGroup", "");

	s->group = must_strdup(group);
	sandbox_spec_expect(
	    c, s, group[0] != '\0', "resource.availabilityGroup");
	sandbox_spec_expect(c, s,
	    json_get_int(resource, "requiredCapacity", 0) >= 1,
	    "resource.requiredCapacity");
}

static void
name_task(struct spec_context *c, const struct json *task, struct spec *s)
{
	const char *id = json_get_text(task, "id", NULL);

	if (id != NULL) {
		s->id = must_strdup(id);
		return;
	}
	s->id = must_format(
	    "index_realtime_%s_%u_%" PRId64, s->ds, s->partition, c->now_ms);
	sandbox_violation_add(
	    c->violations, VIOLATION_TASK_ID, "a task without an id");
}

static enum spec_result
read_type(struct spec_context *c, const struct json *task, struct spec *s)
{
	const char *type = json_get_text(task, "type", "");

	s->is_appenderator = strcmp(type, "index_realtime_appenderator") == 0;
	s->is_batch = strcmp(type, "index_parallel") == 0;
	if (s->is_batch && c->version >= DRUID_BATCH)
		return SPEC_OK;
	if (c->version < DRUID_NO_PUSH &&
	    (strcmp(type, "index_realtime") == 0 ||
		(s->is_appenderator && c->version >= DRUID_APPENDERATOR)))
		return SPEC_OK;
	snprintf(c->error, sizeof c->error, "%.100s", type);
	return SPEC_TYPE;
}

static enum spec_result
read_parts(struct spec_context *c, const struct json *task, struct spec *s)
{
	const struct json *spec = json_get(task, "spec");
	const struct json *schema = json_get(spec, "dataSchema");
	const struct json *io = json_get(spec, "ioConfig");
	enum spec_result result;

	if (!json_is_object(schema) || !json_is_object(io))
		return sandbox_spec_refuse(
		    c, "spec wants dataSchema and ioConfig");
	s->id = must_strdup(json_get_text(task, "id", "task without id"));
	if ((result = read_schema(c, schema, s)) != SPEC_OK)
		return result;
	result = read_firehose(c, json_get(io, "firehose"), s);
	if (result != SPEC_OK)
		return result;
	read_tuning(c, json_get(spec, "tuningConfig"), s);
	read_resource(c, json_get(task, "resource"), s);
	free(s->id);
	name_task(c, task, s);
	check_firehose(c, s, io);
	check_id(c, s);
	check_names(c, s, json_get(schema, "granularitySpec"));
	return SPEC_OK;
}

enum spec_result
sandbox_spec_read(
    const struct json *task, struct spec_context *c, struct spec *s)
{
	enum spec_result result;

	*s = (struct spec){ 0 };
	if (!json_is_object(task))
		return sandbox_spec_refuse(c, "a task is an object");
	result = read_type(c, task, s);
	if (result == SPEC_OK)
		result = s->is_batch ? sandbox_batch_read(task, c, s)
				     : read_parts(c, task, s);
	if (result == SPEC_OK && !id_legal(s->id)) {
		snprintf(c->error, sizeof c->error,
		    "task ID [%.100s] is not legal", s->id);
		result = SPEC_ID_ILLEGAL;
	}
	if (result != SPEC_OK)
		sandbox_spec_free(s);
	return result;
}
