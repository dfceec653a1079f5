/*
 * conf_property - the table of properties, and how their values are read
 *
 * Process: all. Internal to conf*.c.
 *
 * A value is a JSON string, number or boolean; "1" and 1 are the same, and null
 * is the default. A string may hold references (conf_reference.h).
 *   BOOL    true or false
 *   INT     a whole decimal number
 *   SIZE    bytes, or a whole number with a unit: KiB MiB GiB TiB (or K M G T)
 *           are powers of 1024, KB MB GB TB powers of 1000; any case
 *   PERIOD  ISO 8601 (PT10M, P1D, PT0.5S), or 0; a month is 30 days, a year 365
 *   CALENDAR  the same, with months and years as the calendar has them
 */
#pragma once

#include "conf.h"
#include "conf_reader.h"

enum conf_type {
	CONF_TEXT,
	CONF_SECRET, /* a text that no message, log line or status shows */
	CONF_BOOL,
	CONF_INT,
	CONF_SIZE,
	CONF_PERIOD,
	CONF_CALENDAR,
};
enum conf_reload { CONF_LIVE, CONF_RESTART };

struct conf_property {
	const char *name;
	enum conf_type type;
	bool is_global;
	enum conf_reload reload;
	size_t offset; /* in struct conf, or struct ds_conf */
	const char *otherwise;
	int64_t minimum, maximum;
	const char *meaning;
};

extern const struct conf_property conf_properties[];
extern const unsigned conf_property_count;

/* TEXT or SECRET: a char *. */
bool conf_property_is_text(const struct conf_property *);
/* Defaults into a zeroed conf and a zeroed ds_conf. */
void conf_property_set_defaults(struct conf *, struct ds_conf *shared);
/* The global properties; those that a dataSource may have too go to `shared`.
 * NULL: there are none. References in them are replaced by what they stand
 * for. */
void conf_property_read_global(struct conf_reader *, struct json *properties,
    struct conf *, struct ds_conf *shared);
void conf_property_read_ds(
    struct conf_reader *, struct json *properties, struct ds_conf *);
/* `to` gets its own copies of the texts. */
void conf_property_copy_ds(struct ds_conf *to, const struct ds_conf *from);
void conf_property_free(struct conf *);
void conf_property_free_ds(struct ds_conf *);
/* Base: the struct conf or ds_conf that the property is a member of. */
bool conf_property_same(
    const struct conf_property *, const void *base, const void *other);
/* Its value as text, for a digest. */
void conf_property_print(
    const struct conf_property *, const void *base, struct buf *to);
/* conf_show.c: its value as it may be written in a file, new; "(set)" where a
 * secret is set. */
struct json *conf_show_value(const struct conf_property *, const void *base);
