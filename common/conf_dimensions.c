/*
 * conf_dimensions - which fields of an event are dimensions
 *
 * Process: all. Internal to conf*.c.
 *
 * Druid's rules (druid-api.md 9.2, 9.3): the listed names, spatial ones too;
 * where none is listed all fields but those excluded, the timestamp column,
 * and the names and input fields of metrics. A spatial dimension is a listed
 * one: with it alone, no other field is a dimension. Options of dimensions are
 * Druid's; what it would refuse of them is said before it has the chance.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf_spec.h"
#include "panic.h"

#define FILTERS_MAX 8 /* filtered aggregators inside each other */

/* Names as they come, each once. */
struct names {
	char **list;
	unsigned count;
	struct json *set;
};

struct fields {
	struct conf_reader *reader;
	struct names dimensions, exclusions, metrics;
	struct json *lowercase; /* dimensions, to tell doubles */
};

static bool
has_name(const struct names *n, const char *name)
{
	return json_get(n->set, name) != NULL;
}

static void
add_name(struct names *n, const char *name)
{
	if (has_name(n, name))
		return;
	json_set_bool(n->set, name, true);
	n->list = must_realloc(n->list, (n->count + 1) * sizeof n->list[0]);
	n->list[n->count++] = must_strdup(name);
}

/* What becomes an exclusion unless it is listed as a dimension. */
static void
exclude(struct fields *f, const char *name)
{
	if (!has_name(&f->dimensions, name))
		add_name(&f->exclusions, name);
}

/* A member that may be absent or null and else must be an array. The path
 * stands on it afterwards. */
static const struct json *
enter_array(struct fields *f, const struct json *parent, const char *name)
{
	const struct json *j = conf_spec_get(parent, name);

	conf_reader_enter(f->reader, name);
	if (j == NULL || json_is_array(j))
		return j;
	conf_reader_problem(
	    f->reader, "%s, not an array; give an array", json_type_name(j));
	return NULL;
}

static void
add_dimension(struct fields *f, const char *name)
{
	char *lower = must_strdup(name);

	for (char *c = lower; *c != '\0'; c++)
		*c = (char)tolower((unsigned char)*c);
	if (json_get(f->lowercase, lower) != NULL)
		conf_reader_problem(f->reader,
		    "'%.*s' is listed twice (case does "
		    "not count); take one out",
		    conf_reader_cut(name), name);
	json_set_bool(f->lowercase, lower, true);
	free(lower);
	add_name(&f->dimensions, name);
}

/* Whether a text is one of the names, which end with NULL. */
static bool
is_one_of(const char *text, const char *const *names)
{
	while (*names != NULL && strcasecmp(text, *names) != 0)
		names++;
	return *names != NULL;
}

/* Types are passed through: extensions have more than Druid itself. */
static void
check_type(struct fields *f, const struct json *dimension)
{
	static const char *const known[] = { "string", "long", "float",
		"double", "spatial", "json", "auto", NULL };
	const struct json *type = conf_spec_get(dimension, "type");
	size_t mark = conf_reader_enter(f->reader, "type");
	const char *text = json_text(type, "");

	if (type != NULL && *text == '\0')
		conf_reader_problem(f->reader,
		    "%s; give string, long, float, double, json or auto, or "
		    "take it out for string",
		    json_is_text(type) ? "empty" : json_type_name(type));
	else if (type != NULL && !is_one_of(text, known))
		conf_reader_warning(f->reader,
		    "'%.*s' is none of Druid's own types (string, long, float, "
		    "double, spatial, json, auto); without an extension that "
		    "has it the Overlord refuses the tasks",
		    conf_reader_cut(text), text);
	conf_reader_leave(f->reader, mark);
}

static void
check_options(struct fields *f, const struct json *dimension)
{
	static const char *const handlings[] = { "SORTED_ARRAY", "SORTED_SET",
		"ARRAY", NULL };
	const struct json *j = conf_spec_get(dimension, "multiValueHandling");
	size_t mark = conf_reader_enter(f->reader, "multiValueHandling");

	if (j != NULL && !is_one_of(json_text(j, ""), handlings))
		conf_reader_problem(f->reader,
		    "not known; give SORTED_ARRAY, SORTED_SET or ARRAY");
	conf_reader_leave(f->reader, mark);
	mark = conf_reader_enter(f->reader, "createBitmapIndex");
	j = conf_spec_get(dimension, "createBitmapIndex");
	if (j != NULL && !json_is_bool(j))
		conf_reader_problem(
		    f->reader, "%s; give true or false", json_type_name(j));
	conf_reader_leave(f->reader, mark);
}

/* The fields that a spatial dimension is made of; without any it holds "x,y"
 * itself. Tasks need them, and get them, since events go whole. */
static void
check_dims(struct fields *f, const struct json *dimension)
{
	size_t inside, mark = f->reader->path_bytes;
	const struct json *names = enter_array(f, dimension, "dims");

	for (size_t i = 0; i < json_size(names); i++) {
		inside = conf_reader_enter_index(f->reader, i);
		if (*json_text(json_at(names, i), "") == '\0')
			conf_reader_problem(
			    f->reader, "no name of a field; give a string");
		conf_reader_leave(f->reader, inside);
	}
	conf_reader_leave(f->reader, mark);
}

static void
read_dimension(struct fields *f, const struct json *j)
{
	const char *name = json_text(j, json_get_text(j, "name", ""));

	if (*name == '\0') {
		conf_reader_problem(f->reader,
		    "no name of a dimension; give a string, or an object with "
		    "'name'");
		return;
	}
	if (strcmp(name, "__time") == 0 &&
	    strcasecmp(json_get_text(j, "type", ""), "long") != 0)
		conf_reader_problem(f->reader,
		    "'__time' is Druid's own name of the timestamp; take it "
		    "out, it is there anyway");
	if (json_is_object(j)) {
		check_type(f, j);
		check_options(f, j);
		check_dims(f, j);
	}
	add_dimension(f, name);
}

static void
read_spatial(struct fields *f, const struct json *j)
{
	const char *name = json_get_text(j, "dimName", "");

	if (*name == '\0') {
		conf_reader_problem(f->reader,
		    "no name of a dimension; give an object with 'dimName' "
		    "and 'dims'");
		return;
	}
	check_dims(f, j);
	add_dimension(f, name);
}

static void
read_dimensions(struct fields *f, const struct json *spec, const char *list,
    void (*read)(struct fields *, const struct json *))
{
	size_t inside, mark = f->reader->path_bytes;
	const struct json *names = enter_array(f, spec, list);

	for (size_t i = 0; i < json_size(names); i++) {
		inside = conf_reader_enter_index(f->reader, i);
		read(f, json_at(names, i));
		conf_reader_leave(f->reader, inside);
	}
	conf_reader_leave(f->reader, mark);
}

static void
read_exclusions(struct fields *f, const struct json *spec)
{
	size_t inside, mark = f->reader->path_bytes;
	const struct json *names = enter_array(f, spec, "dimensionExclusions");

	for (size_t i = 0; i < json_size(names); i++) {
		const char *name = json_text(json_at(names, i), "");

		inside = conf_reader_enter_index(f->reader, i);
		if (*name == '\0')
			conf_reader_problem(f->reader,
			    "no name of a field; give "
			    "a string");
		else if (has_name(&f->dimensions, name))
			conf_reader_problem(f->reader,
			    "'%.*s' is listed as a "
			    "dimension too; take it out of one list",
			    conf_reader_cut(name), name);
		else
			add_name(&f->exclusions, name);
		conf_reader_leave(f->reader, inside);
	}
	conf_reader_leave(f->reader, mark);
}

static void
exclude_all(struct fields *f, const struct json *names)
{
	for (size_t i = 0; i < json_size(names); i++) {
		const struct json *j = json_at(names, i);
		const char *name =
		    json_text(j, json_get_text(j, "dimension", NULL));

		if (name != NULL)
			exclude(f, name);
	}
}

static bool
needs_field(const char *type)
{
	static const char *const types[] = { "longSum", "doubleSum", "floatSum",
		"longMin", "longMax", "doubleMin", "doubleMax", "floatMin",
		"floatMax", "hyperUnique", "histogram", "doubleMean" };

	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (strcmp(types[i], type) == 0)
			return true;
	return false;
}

/* The input fields of one aggregator; unknown types have the same members. */
static void
read_inputs(struct fields *f, const struct json *metric)
{
	const char *type = json_get_text(metric, "type", "");
	const char *field = json_get_text(metric, "fieldName", NULL);

	if (strcmp(type, "count") == 0)
		return;
	if (field == NULL && needs_field(type) &&
	    conf_spec_get(metric, "expression") == NULL)
		conf_reader_problem(f->reader,
		    "fieldName is missing; give the "
		    "field that %s reads",
		    type);
	if (field != NULL)
		exclude(f, field);
	/* of first and last; of tuple sketches */
	if (json_get_text(metric, "timeColumn", NULL) != NULL)
		exclude(f, json_get_text(metric, "timeColumn", NULL));
	exclude_all(f, json_get(metric, "metricColumns"));
	exclude_all(f, json_get(metric, "fieldNames"));
	exclude_all(f, json_get(metric, "fields"));
}

/* A filtered aggregator has its delegate's fields, and its name unless it has
 * one of its own. */
static const struct json *
find_delegate(const struct json *metric, const char **name)
{
	unsigned depth = 0;

	*name = json_get_text(metric, "name", NULL);
	while (depth++ < FILTERS_MAX &&
	    strcmp(json_get_text(metric, "type", ""), "filtered") == 0) {
		metric = json_get(metric, "aggregator");
		if (*name == NULL)
			*name = json_get_text(metric, "name", NULL);
	}
	return metric;
}

static void
read_metric(struct fields *f, const struct json *metric)
{
	const char *name;
	const struct json *delegate = find_delegate(metric, &name);

	if (!json_is_object(metric)) {
		conf_reader_problem(f->reader,
		    "%s, not an object; give an "
		    "aggregator such as {\"type\": \"count\", \"name\": "
		    "\"count\"}",
		    json_type_name(metric));
		return;
	}
	if (json_get_text(delegate, "type", NULL) == NULL)
		conf_reader_problem(f->reader,
		    "type is missing; give the "
		    "aggregator's type");
	if (name == NULL || *name == '\0') {
		conf_reader_problem(f->reader,
		    "name is missing; give the metric "
		    "a name");
		return;
	}
	if (strcmp(name, "__time") == 0)
		conf_reader_problem(f->reader,
		    "'__time' is Druid's own name of the timestamp; rename the "
		    "metric");
	if (has_name(&f->metrics, name))
		conf_reader_problem(f->reader,
		    "there are two metrics '%.*s'; "
		    "rename one",
		    conf_reader_cut(name), name);
	if (has_name(&f->dimensions, name))
		conf_reader_problem(f->reader,
		    "'%.*s' is a dimension too; rename "
		    "the metric",
		    conf_reader_cut(name), name);
	add_name(&f->metrics, name);
	exclude(f, name);
	read_inputs(f, delegate);
}

static void
read_metrics(struct fields *f, const struct json *schema)
{
	size_t inside, mark = f->reader->path_bytes;
	const struct json *metrics = enter_array(f, schema, "metricsSpec");

	if (conf_spec_get(schema, "metricsSpec") == NULL)
		conf_reader_warning(f->reader,
		    "missing: the dataSource has no metrics; [] says the same "
		    "without this warning");
	for (size_t i = 0; i < json_size(metrics); i++) {
		inside = conf_reader_enter_index(f->reader, i);
		read_metric(f, json_at(metrics, i));
		conf_reader_leave(f->reader, inside);
	}
	conf_reader_leave(f->reader, mark);
}

static void
names_init(struct names *n)
{
	*n = (struct names){ .set = json_new_object() };
}

/* The list goes to the ds_conf. */
static char **
names_take(struct names *n, unsigned *count)
{
	json_free(&n->set);
	*count = n->count;
	return n->list;
}

static void
names_drop(struct names *n)
{
	json_free(&n->set);
	for (unsigned i = 0; i < n->count; i++)
		free(n->list[i]);
	free(n->list);
}

void
conf_dimensions_read(struct conf_reader *r, const struct json *schema,
    const struct json *spec, const char *at, struct ds_conf *ds)
{
	struct fields f = { .reader = r, .lowercase = json_new_object() };
	size_t mark = r->path_bytes;

	names_init(&f.dimensions);
	names_init(&f.exclusions);
	names_init(&f.metrics);
	if (*at != '\0')
		conf_reader_enter(r, at);
	conf_reader_enter(r, "dimensionsSpec");
	read_dimensions(&f, spec, "dimensions", read_dimension);
	read_dimensions(&f, spec, "spatialDimensions", read_spatial);
	read_exclusions(&f, spec);
	conf_reader_leave(r, mark);
	exclude(&f, ds->timestamp_column);
	read_metrics(&f, schema);
	ds->dimensions = names_take(&f.dimensions, &ds->dimension_count);
	ds->exclusions = names_take(&f.exclusions, &ds->exclusion_count);
	names_drop(&f.metrics);
	json_free(&f.lowercase);
}
