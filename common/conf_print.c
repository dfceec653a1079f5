/*
 * conf_print - the table of properties, for people
 *
 * Process: tranqd and tranqctl, on the command line.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf_property.h"
#include "panic.h"

static void
print_row(const struct conf_property *p)
{
	printf("| `%s` | %s%s%s | %s | %s | %s |\n", p->name,
	    *p->otherwise != '\0' ? "`" : "",
	    *p->otherwise != '\0' ? p->otherwise : "none",
	    *p->otherwise != '\0' ? "`" : "",
	    p->is_global ? "global" : "global, per dataSource",
	    p->reload == CONF_LIVE ? "live" : "restart", p->meaning);
}

void
conf_print_properties(void)
{
	printf("| property | default | where | reload | meaning |\n"
	       "|---|---|---|---|---|\n");
	for (unsigned i = 0; i < conf_property_count; i++)
		print_row(&conf_properties[i]);
}

/* The dataSource of the example; what an edit of Wikipedia looks like. */
static const char example_spec[] =
    "{\"dataSchema\":{\"dataSource\":\"wikipedia\","
    "\"parser\":{\"type\":\"string\",\"parseSpec\":{\"format\":\"json\","
    "\"timestampSpec\":{\"column\":\"time\",\"format\":\"auto\"},"
    "\"dimensionsSpec\":{\"dimensions\":[\"channel\",\"page\",\"user\"]}}},"
    "\"metricsSpec\":[{\"type\":\"count\",\"name\":\"count\"},"
    "{\"type\":\"longSum\",\"name\":\"added\",\"fieldName\":\"added\"}],"
    "\"granularitySpec\":{\"type\":\"uniform\","
    "\"segmentGranularity\":\"HOUR\",\"queryGranularity\":\"none\"}},"
    "\"tuningConfig\":{\"type\":\"realtime\",\"windowPeriod\":\"PT10M\"}}";

/* Numbers and booleans without quotes. */
static struct json *
default_value(const struct conf_property *p)
{
	/* one way to Druid must be given: Tranquility's default */
	if (strcmp(p->name, "zookeeper.connect") == 0)
		return json_new_text("localhost:2181");
	if (p->type == CONF_BOOL)
		return json_new_bool(strcmp(p->otherwise, "true") == 0);
	if (p->type == CONF_INT)
		return json_new_int(strtoll(p->otherwise, NULL, 10));
	return json_new_text(p->otherwise);
}

void
conf_print_example(void)
{
	struct json *document = json_new_object();
	struct json *properties = json_new_object();
	struct json *list = json_new_array();
	struct json *entry = json_new_object();
	struct buf text;

	for (unsigned i = 0; i < conf_property_count; i++)
		json_set(properties, conf_properties[i].name,
		    default_value(&conf_properties[i]));
	json_set(entry, "spec",
	    json_parse(example_spec, sizeof example_spec - 1, NULL));
	json_set(entry, "properties", json_new_object());
	json_append(list, entry);
	json_set(document, "dataSources", list);
	json_set(document, "properties", properties);
	buf_init(&text, MiB);
	json_print_pretty(document, &text);
	must_afford(!text.failed);
	puts(buf_must_text(&text));
	buf_free(&text);
	json_free(&document);
}
