/*
 * conf_spec - a dataSource's ingestion spec: what we need to know of it
 *
 * Process: all. Internal to conf*.c.
 *
 * What is not read here is passed on to Druid's tasks as it stands.
 */
#pragma once

#include "conf.h"
#include "conf_reader.h"

/* Fills the spec's part of a zeroed ds_conf; what is wrong goes to the
 * reader, whose path stands on `spec`. `spec` may be NULL. */
void
conf_spec_read(struct conf_reader *, const struct json *spec, struct ds_conf *);
void conf_spec_free(struct ds_conf *);
/* A member that is there and not null, else NULL. */
const struct json *conf_spec_get(const struct json *object, const char *name);

/* conf_dimensions.c: dimensionsSpec and metricsSpec to dimensions and
 * exclusions. The reader's path stands on dataSchema and `dimensions_at` is
 * the way from there to dimensionsSpec. */
void conf_dimensions_read(struct conf_reader *, const struct json *data_schema,
    const struct json *dimensions_spec, const char *dimensions_at,
    struct ds_conf *);
