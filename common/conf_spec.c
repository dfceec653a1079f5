/*
 * conf_spec - a dataSource's ingestion spec: what we need to know of it
 *
 * Process: all.
 */
#include "conf_spec.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "iso.h"
#include "panic.h"
#include "timestamp.h"

#define WINDOW_MS_DEFAULT (10 * ISO_MINUTE_MS)
/* More than anybody's window, and far from where sums overflow. */
#define WINDOW_MS_MAX (36525 * ISO_DAY_MS)

const struct json *
conf_spec_get(const struct json *object, const char *name)
{
	const struct json *j = json_get(object, name);

	return json_is_null(j) ? NULL : j;
}

/* The member as an object. NULL with a problem when it is not there or is
 * something else. */
static const struct json *
need_object(struct conf_reader *r, const struct json *parent, const char *name,
    const char *remedy)
{
	const struct json *j = conf_spec_get(parent, name);
	size_t mark;

	if (json_is_object(j))
		return j;
	mark = conf_reader_enter(r, name);
	if (j == NULL)
		conf_reader_problem(r, "missing; %s", remedy);
	else
		conf_reader_problem(
		    r, "%s, not an object; %s", json_type_name(j), remedy);
	conf_reader_leave(r, mark);
	return NULL;
}

static bool
has_blank(const char *name)
{
	for (; *name != '\0'; name++)
		if (isspace((unsigned char)*name) ||
		    iscntrl((unsigned char)*name))
			return true;
	return false;
}

/* The name becomes a folder, a znode and a part of URLs. */
static const char *
name_fault(const char *name)
{
	if (*name == '\0')
		return "is empty; give the dataSource's name";
	if (strlen(name) > CONF_DS_NAME_MAX)
		return "is longer than 100 bytes; choose a shorter name";
	if (strchr(name, '/') != NULL)
		return "has a slash in it; choose a name without";
	if (has_blank(name))
		return "has white space or a control character in it; choose a "
		       "name without";
	if (*name == '.')
		return "starts with a dot; choose a name that does not";
	return NULL;
}

static void
read_name(struct conf_reader *r, const struct json *schema, struct ds_conf *ds)
{
	const struct json *name = conf_spec_get(schema, "dataSource");
	size_t mark = conf_reader_enter(r, "dataSource");
	const char *fault;

	if (name == NULL)
		conf_reader_problem(r, "missing; give the dataSource's name");
	else if (!json_is_text(name))
		conf_reader_problem(r,
		    "%s, not a string; give the dataSource's "
		    "name",
		    json_type_name(name));
	else if ((fault = name_fault(json_text(name, ""))) != NULL)
		conf_reader_problem(r, "'%.*s' %s",
		    conf_reader_cut(json_text(name, "")), json_text(name, ""),
		    fault);
	else
		ds->name = must_strdup(json_text(name, ""));
	conf_reader_leave(r, mark);
}

static void
read_column(struct conf_reader *r, const struct json *spec, struct ds_conf *ds)
{
	const struct json *column = conf_spec_get(spec, "column");
	size_t mark = conf_reader_enter(r, "column");

	if (column != NULL &&
	    (!json_is_text(column) || *json_text(column, "") == '\0'))
		conf_reader_problem(r,
		    "%s; give the name of the field with the "
		    "event's time",
		    json_is_text(column) ? "empty" : json_type_name(column));
	ds->timestamp_column = must_strdup(json_text(column, "timestamp"));
	conf_reader_leave(r, mark);
}

static void
read_format(struct conf_reader *r, const struct json *spec, struct ds_conf *ds)
{
	const struct json *format = conf_spec_get(spec, "format");
	size_t mark = conf_reader_enter(r, "format");
	char why[TIMESTAMP_WHY_BYTES];
	struct timestamp_format *read;

	ds->timestamp_format = must_strdup(json_text(format, "auto"));
	if (format != NULL && !json_is_text(format))
		conf_reader_problem(r,
		    "%s; give auto, iso, posix, millis, micro, nano, ruby or "
		    "a Joda pattern such as \"yyyy-MM-dd HH:mm:ss\"",
		    json_type_name(format));
	read = timestamp_format_new(ds->timestamp_format, 0, why);
	if (read == NULL)
		conf_reader_problem(r, "%s", why);
	timestamp_format_free(&read);
	conf_reader_leave(r, mark);
}

static void
read_missing(struct conf_reader *r, const struct json *spec, struct ds_conf *ds)
{
	const struct json *value = conf_spec_get(spec, "missingValue");
	const char *text = json_text(value, "");
	size_t mark = conf_reader_enter(r, "missingValue");
	char number[ISO_BYTES];
	int64_t ms;

	if (json_is_int(value)) {
		iso_format(json_int(value, 0), number);
		text = number;
	}
	if (value != NULL &&
	    !iso_parse(text, strlen(text), ISO_T_OR_SPACE, &ms))
		conf_reader_problem(r,
		    "not an ISO 8601 time; give one such as "
		    "2010-01-01T00:00:00Z, or take it out");
	else if (value != NULL)
		ds->timestamp_missing = must_strdup(text);
	conf_reader_leave(r, mark);
}

static void
read_timestamp(
    struct conf_reader *r, const struct json *spec, struct ds_conf *ds)
{
	size_t mark = conf_reader_enter(r, "timestampSpec");

	read_column(r, spec, ds);
	read_format(r, spec, ds);
	read_missing(r, spec, ds);
	conf_reader_leave(r, mark);
}

/* False with a problem; what is not given stays as it is. */
static bool
read_granularity(struct conf_reader *r, const struct json *spec,
    const char *name, struct granularity *out)
{
	const struct json *j = conf_spec_get(spec, name);
	char why[GRANULARITY_WHY_BYTES];
	size_t mark;

	if (j == NULL || granularity_read(j, out, why))
		return true;
	mark = conf_reader_enter(r, name);
	conf_reader_problem(r, "%s", why);
	conf_reader_leave(r, mark);
	return false;
}

/* A member that goes to the tasks as it is, if it is of its kind. */
static void
check_kind(struct conf_reader *r, const struct json *parent, const char *name,
    bool (*is)(const struct json *), const char *remedy)
{
	const struct json *j = conf_spec_get(parent, name);
	size_t mark = conf_reader_enter(r, name);

	if (j != NULL && !is(j))
		conf_reader_problem(r, "%s; give %s, or take it out",
		    json_type_name(j), remedy);
	conf_reader_leave(r, mark);
}

static void
read_granularities(
    struct conf_reader *r, const struct json *schema, struct ds_conf *ds)
{
	const struct json *spec = conf_spec_get(schema, "granularitySpec");
	size_t inside, mark;
	const char *type = json_get_text(spec, "type", "uniform");

	mark = conf_reader_enter(r, "granularitySpec");
	if (spec == NULL) {
		conf_reader_warning(r,
		    "missing: as in Druid, segments of a DAY and times as "
		    "they come");
	} else if (!json_is_object(spec)) {
		conf_reader_problem(r,
		    "%s, not an object; give {\"segmentGranularity\": "
		    "\"HOUR\", \"queryGranularity\": \"none\"}",
		    json_type_name(spec));
		spec = NULL;
	}
	ds->segment_granularity = granularity_of(GRANULARITY_DAY);
	ds->query_granularity = granularity_of(GRANULARITY_NONE);
	if (strcmp(type, "uniform") != 0 && strcmp(type, "arbitrary") != 0) {
		inside = conf_reader_enter(r, "type");
		conf_reader_problem(r, "'%.*s' is not known; give uniform",
		    conf_reader_cut(type), type);
		conf_reader_leave(r, inside);
	}
	if (read_granularity(
		r, spec, "segmentGranularity", &ds->segment_granularity) &&
	    (ds->segment_granularity.kind == GRANULARITY_ALL ||
		ds->segment_granularity.kind == GRANULARITY_NONE)) {
		inside = conf_reader_enter(r, "segmentGranularity");
		conf_reader_problem(r,
		    "'%s' has no intervals to make tasks for; "
		    "give HOUR or DAY, or another span of time",
		    granularity_name(&ds->segment_granularity));
		conf_reader_leave(r, inside);
	}
	read_granularity(r, spec, "queryGranularity", &ds->query_granularity);
	check_kind(r, spec, "rollup", json_is_bool, "true or false");
	conf_reader_leave(r, mark);
}

static void
read_window(
    struct conf_reader *r, const struct json *tuning, struct ds_conf *ds)
{
	const struct json *window = conf_spec_get(tuning, "windowPeriod");
	size_t mark = conf_reader_enter(r, "windowPeriod");
	struct period p;

	ds->window = period_of_ms(WINDOW_MS_DEFAULT);
	if (window != NULL && !period_parse(json_text(window, ""), &p))
		conf_reader_problem(r,
		    "not an ISO 8601 period; give one such as "
		    "PT10M");
	else if (window != NULL && period_ms(&p) > WINDOW_MS_MAX)
		conf_reader_problem(r,
		    "more than a hundred years; give at most "
		    "P100Y");
	else if (window != NULL)
		ds->window = p;
	conf_reader_leave(r, mark);
}

static void
read_tuning(struct conf_reader *r, const struct json *spec, struct ds_conf *ds)
{
	size_t inside, mark = conf_reader_enter(r, "tuningConfig");
	const struct json *tuning = conf_spec_get(spec, "tuningConfig");
	const char *type = json_get_text(tuning, "type", "realtime");

	if (tuning != NULL && !json_is_object(tuning)) {
		conf_reader_problem(r,
		    "%s, not an object; give {\"type\": "
		    "\"realtime\", \"windowPeriod\": \"PT10M\"}, or take it "
		    "out",
		    json_type_name(tuning));
		tuning = NULL;
	}
	/* which of them depends on task.type (conf.c) and delivery.mode
	 * (conf_pull.c) */
	if (strcmp(type, "realtime") != 0 &&
	    strcmp(type, "realtime_appenderator") != 0 &&
	    strcmp(type, "kafka") != 0) {
		inside = conf_reader_enter(r, "type");
		conf_reader_problem(r,
		    "'%.*s' is not for pushed events; give "
		    "realtime",
		    conf_reader_cut(type), type);
		conf_reader_leave(r, inside);
	}
	ds->tuning = tuning;
	read_window(r, tuning, ds);
	conf_reader_leave(r, mark);
}

/* Where events come from is our part of the task. */
static void
read_io(struct conf_reader *r, const struct json *spec, struct ds_conf *ds)
{
	static const char *const ours[] = { "firehose", "plumber" };
	const struct json *io = conf_spec_get(spec, "ioConfig");
	size_t inside, mark = conf_reader_enter(r, "ioConfig");

	for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
		if (conf_spec_get(io, ours[i]) == NULL)
			continue;
		inside = conf_reader_enter(r, ours[i]);
		conf_reader_problem(r,
		    "may not be given, tranqd makes its own; "
		    "take it out");
		conf_reader_leave(r, inside);
	}
	ds->io = json_is_object(io) ? io : NULL;
	conf_reader_leave(r, mark);
}

static void
check_parser_types(struct conf_reader *r, const struct json *parser)
{
	const char *type = json_get_text(parser, "type", "string");
	size_t mark;

	if (strcmp(type, "string") != 0 && strcmp(type, "map") != 0) {
		mark = conf_reader_enter(r, "parser.type");
		conf_reader_problem(r,
		    "'%.*s' is not known; give string or map",
		    conf_reader_cut(type), type);
		conf_reader_leave(r, mark);
	}
}

/* How text bodies are read; the receiver knows what is right in it. The path
 * stands on the object that has it. */
static void
set_text_spec(struct conf_reader *r, const struct json *parent,
    const char *name, struct ds_conf *ds)
{
	size_t mark = conf_reader_enter(r, name);

	ds->text_spec = conf_spec_get(parent, name);
	ds->is_input_format = strcmp(name, "inputFormat") == 0;
	if (ds->text_spec != NULL)
		ds->text_spec_at = must_strdup(r->path);
	conf_reader_leave(r, mark);
}

/* Druid has it in the ioConfig, beside a dataSchema of the newer form; we take
 * it in the dataSchema too. */
static void
read_input_format(
    struct conf_reader *r, const struct json *spec, struct ds_conf *ds)
{
	const struct json *io = conf_spec_get(spec, "ioConfig");
	const struct json *at = conf_spec_get(ds->data_schema, "inputFormat");
	bool is_in_io = conf_spec_get(io, "inputFormat") != NULL;
	size_t mark =
	    conf_reader_enter(r, is_in_io ? "ioConfig" : "dataSchema");

	if (at == NULL && !is_in_io) {
		conf_reader_leave(r, mark);
		return;
	}
	if (ds->text_spec != NULL || (at != NULL && is_in_io)) {
		conf_reader_enter(r, "inputFormat");
		conf_reader_problem(r, "given beside %s; keep one of the two",
		    ds->text_spec != NULL ? ds->text_spec_at
					  : "dataSchema.inputFormat");
	} else {
		set_text_spec(
		    r, is_in_io ? io : ds->data_schema, "inputFormat", ds);
	}
	conf_reader_leave(r, mark);
}

/* timestampSpec and dimensionsSpec stand in `parts`, `at` below dataSchema. */
static void
read_parts(struct conf_reader *r, const struct json *schema,
    const struct json *parts, const char *at, struct ds_conf *ds)
{
	size_t mark = r->path_bytes;
	const struct json *dimensions;

	if (*at != '\0')
		conf_reader_enter(r, at);
	ds->dimensions_spec = conf_spec_get(parts, "dimensionsSpec");
	read_timestamp(r,
	    need_object(r, parts, "timestampSpec",
		"give {\"column\": \"timestamp\", \"format\": \"auto\"}"),
	    ds);
	dimensions = need_object(r, parts, "dimensionsSpec",
	    "give {\"dimensions\": [\"name\", …]}, or {} for all fields");
	conf_reader_leave(r, mark);
	conf_dimensions_read(r, schema, dimensions, at, ds);
}

static void
read_schema(
    struct conf_reader *r, const struct json *schema, struct ds_conf *ds)
{
	const struct json *parser = conf_spec_get(schema, "parser");
	const struct json *parse_spec = NULL;
	bool is_new = conf_spec_get(schema, "timestampSpec") != NULL ||
	    conf_spec_get(schema, "dimensionsSpec") != NULL;
	size_t mark;

	read_name(r, schema, ds);
	if (is_new && parser != NULL) {
		mark = conf_reader_enter(r, "parser");
		conf_reader_problem(r,
		    "given beside timestampSpec or "
		    "dimensionsSpec; keep one of the two forms");
		conf_reader_leave(r, mark);
	}
	if (is_new) {
		read_parts(r, schema, schema, "", ds);
	} else if (need_object(r, schema, "parser",
		       "give a parser with a parseSpec, or timestampSpec and "
		       "dimensionsSpec in dataSchema") != NULL) {
		mark = conf_reader_enter(r, "parser");
		parse_spec = need_object(r, parser, "parseSpec",
		    "give {\"format\": \"json\", \"timestampSpec\": …, "
		    "\"dimensionsSpec\": …}");
		set_text_spec(r, parser, "parseSpec", ds);
		conf_reader_leave(r, mark);
	}
	if (parse_spec != NULL) {
		check_parser_types(r, parser);
		read_parts(r, schema, parse_spec, "parser.parseSpec", ds);
	}
	read_granularities(r, schema, ds);
	check_kind(r, schema, "transformSpec", json_is_object, "an object");
}

void
conf_spec_read(
    struct conf_reader *r, const struct json *spec, struct ds_conf *ds)
{
	size_t mark;

	ds->data_schema = need_object(r, spec, "dataSchema",
	    "give the dataSource's dataSchema as in a Druid ingestion spec");
	if (ds->data_schema != NULL) {
		mark = conf_reader_enter(r, "dataSchema");
		read_schema(r, ds->data_schema, ds);
		conf_reader_leave(r, mark);
	}
	read_input_format(r, spec, ds);
	read_io(r, spec, ds);
	read_tuning(r, spec, ds);
}

static void
free_names(char **names, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		free(names[i]);
	free(names);
}

void
conf_spec_free(struct ds_conf *ds)
{
	free(ds->name);
	free(ds->timestamp_column);
	free(ds->timestamp_format);
	free(ds->timestamp_missing);
	free(ds->text_spec_at);
	free_names(ds->dimensions, ds->dimension_count);
	free_names(ds->exclusions, ds->exclusion_count);
}
