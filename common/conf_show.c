/*
 * conf_show - the configuration that is in effect, and where it comes from
 *
 * Process: tranqd, on the command line.
 *
 * The document itself tells where a value was given, so nothing is kept of it
 * while it is read.
 */
#include <stdlib.h>
#include <string.h>

#include "conf_property.h"
#include "conf_spec.h"
#include "conf_value.h"
#include "panic.h"

struct json *
conf_show_value(const struct conf_property *p, const void *base)
{
	char span[PERIOD_BYTES];
	struct json *value;
	struct buf text;
	int64_t number;

	buf_init(&text, 64 * KiB);
	conf_property_print(p, base, &text);
	must_afford(!text.failed);
	number = strtoll(buf_must_text(&text), NULL, 10);
	if (p->type == CONF_SECRET)
		value = json_new_text(text.used > 0 ? "(set)" : "");
	else if (p->type == CONF_TEXT || p->type == CONF_CALENDAR)
		value = json_new_text(buf_must_text(&text));
	else if (p->type == CONF_BOOL)
		value = json_new_bool(number != 0);
	else if (p->type == CONF_INT)
		value = json_new_int(number);
	else {
		conf_value_format(p->type, number, span);
		value = json_new_text(span);
	}
	buf_free(&text);
	return value;
}

/* What a property is shown from. */
struct origin {
	const struct conf *conf;
	const void *base; /* of the values */
	const char *from;
};

static void
add_property(
    struct json *to, const struct conf_property *p, const struct origin *o)
{
	struct json *entry = json_new_object();
	char *path = must_format("%s.%s", o->from, p->name);
	const char *written = json_get_text(o->conf->references, path, NULL);

	json_set(entry, "value", conf_show_value(p, o->base));
	json_set_text(entry, "from", o->from);
	if (written != NULL)
		json_set_text(entry, "written", written);
	json_set(to, p->name, entry);
	free(path);
}

static const struct json *
global_properties(const struct conf *conf)
{
	return conf_spec_get(conf->document, "properties");
}

static struct json *
show_global(const struct conf *conf)
{
	const struct json *given = global_properties(conf);
	struct json *all = json_new_object();

	for (unsigned i = 0; i < conf_property_count; i++) {
		const struct conf_property *p = &conf_properties[i];
		struct origin o = { conf, conf, "default" };

		if (!p->is_global)
			continue;
		if (json_get(given, p->name) != NULL)
			o.from = "properties";
		add_property(all, p, &o);
	}
	return all;
}

static struct json *
show_own(const struct conf *conf, const struct ds_conf *ds,
    const struct json *own, const char *own_path)
{
	const struct json *given = global_properties(conf);
	struct json *all = json_new_object();

	for (unsigned i = 0; i < conf_property_count; i++) {
		const struct conf_property *p = &conf_properties[i];
		struct origin o = { conf, ds, "default" };

		if (p->is_global)
			continue;
		if (json_get(own, p->name) != NULL)
			o.from = own_path;
		else if (json_get(given, p->name) != NULL)
			o.from = "properties";
		add_property(all, p, &o);
	}
	return all;
}

static struct json *
show_names(char *const *names, unsigned count)
{
	struct json *list = json_new_array();

	for (unsigned i = 0; i < count; i++)
		json_append(list, json_new_text(names[i]));
	return list;
}

/* Its name; an object that has none as the spec writes it. */
static struct json *
show_granularity(
    const struct ds_conf *ds, const char *member, const struct granularity *g)
{
	const struct json *spec = json_get(ds->data_schema, "granularitySpec");

	if (g->kind == GRANULARITY_PERIOD || g->kind == GRANULARITY_DURATION)
		return json_clone(json_get(spec, member));
	return json_new_text(granularity_name(g));
}

/* What was read out of the spec. */
static struct json *
show_derived(const struct ds_conf *ds)
{
	struct json *j = json_new_object();
	char window[PERIOD_BYTES];

	json_set_text(j, "timestampColumn", ds->timestamp_column);
	json_set_text(j, "timestampFormat", ds->timestamp_format);
	if (ds->timestamp_missing != NULL)
		json_set_text(j, "timestampMissing", ds->timestamp_missing);
	json_set_bool(j, "schemaless", ds->dimension_count == 0);
	json_set(
	    j, "dimensions", show_names(ds->dimensions, ds->dimension_count));
	json_set(
	    j, "exclusions", show_names(ds->exclusions, ds->exclusion_count));
	json_set(j, "segmentGranularity",
	    show_granularity(
		ds, "segmentGranularity", &ds->segment_granularity));
	json_set(j, "queryGranularity",
	    show_granularity(ds, "queryGranularity", &ds->query_granularity));
	period_format(&ds->window, window);
	json_set_text(j, "windowPeriod", window);
	return j;
}

static bool
is_entry_of(const struct json *entry, const struct ds_conf *ds)
{
	return json_get(json_get(entry, "spec"), "dataSchema") ==
	    ds->data_schema;
}

/* The dataSource's entry in the document; its path is new text. */
static const struct json *
find_entry(const struct json *all, const struct ds_conf *ds, char **path)
{
	for (struct json_member *m = json_first(all); m != NULL;
	     m = json_next(all, m)) {
		if (!is_entry_of(json_member(m), ds))
			continue;
		*path = must_format("dataSources.%s", json_member_name(m));
		return json_member(m);
	}
	for (size_t i = 0; json_is_array(all) && i < json_size(all); i++) {
		if (!is_entry_of(json_at(all, i), ds))
			continue;
		*path = must_format("dataSources[%zu]", i);
		return json_at(all, i);
	}
	unreachable("a dataSource that is not in its document");
}

static struct json *
show_ds(const struct conf *conf, const struct ds_conf *ds)
{
	struct json *j = json_new_object();
	char *path, *own_path;
	const struct json *entry =
	    find_entry(json_get(conf->document, "dataSources"), ds, &path);

	own_path = must_format("%s.properties", path);
	json_set_text(j, "dataSource", ds->name);
	json_set_text(j, "at", path);
	json_set(j, "properties",
	    show_own(conf, ds, conf_spec_get(entry, "properties"), own_path));
	json_set(j, "derived", show_derived(ds));
	free(own_path);
	free(path);
	return j;
}

struct json *
conf_show(const struct conf *conf)
{
	struct json *all = json_new_object();
	struct json *derived = json_new_object();
	struct json *list = json_new_array();

	json_set_text(all, "file", conf->file);
	json_set(all, "properties", show_global(conf));
	json_set_int(derived, "receivers", conf->receiver_count);
	json_set_text(derived, "controlSocket", conf->control_path);
	json_set(all, "derived", derived);
	for (unsigned i = 0; i < conf->ds_count; i++)
		json_append(list, show_ds(conf, &conf->ds[i]));
	json_set(all, "dataSources", list);
	return all;
}
