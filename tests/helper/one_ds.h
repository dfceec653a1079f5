/*
 * one_ds - a configuration of one dataSource, for tests of what serves it
 */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "panic.h"

/* As one_ds, with global properties. */
static inline struct conf *
one_ds_within(const char *global, const char *spec, const char *properties)
{
	static const char plain[] =
	    "{\"dataSchema\":{\"dataSource\":\"foo\",\"parser\":{"
	    "\"type\":\"string\",\"parseSpec\":{\"format\":\"json\","
	    "\"timestampSpec\":{\"column\":\"timestamp\",\"format\":\"auto\"},"
	    "\"dimensionsSpec\":{\"dimensions\":[\"page\",\"user\"]}}},"
	    "\"metricsSpec\":[{\"type\":\"count\",\"name\":\"count\"}],"
	    "\"granularitySpec\":{\"type\":\"uniform\","
	    "\"segmentGranularity\":\"HOUR\","
	    "\"queryGranularity\":\"NONE\"}},\"tuningConfig\":{"
	    "\"type\":\"realtime\",\"windowPeriod\":\"PT10M\"}}";
	char *text = must_format("{\"dataSources\":[{\"spec\":%s,"
				 "\"properties\":{%s}}],"
				 "\"properties\":{%s}}",
	    spec != NULL ? spec : plain, properties, global);
	struct conf_problems problems;
	struct conf *conf =
	    conf_parse("test.json", text, strlen(text), &problems);

	if (conf == NULL)
		panic_at(__FILE__, __LINE__, __func__,
		    problems.count > 0 ? problems.lines[0] : "no conf");
	conf_problems_free(&problems);
	free(text);
	return conf;
}

/* New configuration of the dataSource "foo". properties: members of an object
 * ("\"task.partitions\":2,…"), its own; spec: NULL for hours and one count. */
static inline struct conf *
one_ds(const char *spec, const char *properties)
{
	return one_ds_within("", spec, properties);
}
