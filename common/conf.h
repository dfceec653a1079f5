/*
 * conf - the configuration file: Tranquility's server.json and our additions
 *
 * Process: all. A configuration is read whole, checked whole and never
 * changed; a reload makes a new one. It travels to running receivers as text
 * (conf_text) and is read there by the same code. What the supervisor has, and
 * gives away, is one without secrets (conf_secret.h, supervisor/vault.h).
 */
#pragma once

#include "base.h"
#include "delivery_mode.h"
#include "granularity.h"
#include "json.h"
#include "late_policy.h"
#include "period.h"

#define CONF_DS_MAX 1024
#define CONF_DS_NAME_MAX 100
#define CONF_BYTES_MAX (16u * MiB)

#define PROPERTY_TEXT(member) char *member;
#define PROPERTY_SECRET(member) char *member;
#define PROPERTY_BOOL(member) bool member;
#define PROPERTY_INT(member) int64_t member;
#define PROPERTY_SIZE(member) int64_t member;
#define PROPERTY_PERIOD(member) int64_t member;
#define PROPERTY_CALENDAR(member) struct period member;

/* One dataSource. Strings and arrays belong to the conf. */
struct ds_conf {
	char *name;
	/* the whole spec {dataSchema, tuningConfig}, borrowed from
	 * conf.document */
	const struct json *data_schema;
	const struct json *tuning; /* may be NULL */
	const struct json *io; /* ioConfig; may be NULL */

	char *timestamp_column;
	char *timestamp_format; /* as written, "auto" by default */
	char *timestamp_missing; /* missingValue, or NULL */
	/* how text/plain bodies are read: the parser's parseSpec or an
	 * inputFormat, and where that stands; NULL: JSON lines */
	const struct json *text_spec;
	bool is_input_format;
	char *text_spec_at; /* "dataSources[0].spec.…", not NULL */
	const struct json *dimensions_spec; /* may be NULL */
	/* dimensions that count for the partition, in the file's order;
	 * none: schemaless, all fields but the exclusions */
	char **dimensions;
	unsigned dimension_count;
	/* configured exclusions, timestamp column, metric names and their
	 * input fields (druid-api.md 9.2), without those listed above */
	char **exclusions;
	unsigned exclusion_count;

	struct granularity segment_granularity;
	struct granularity query_granularity;
	/* task.type index_realtime_appenderator: there is no window, and
	 * intervals are those of the clock */
	bool any_time;
	/* delivery.mode; with auto what holds as long as nobody knows better:
	 * push (conf_deliver) */
	enum delivery_mode delivery;
	bool is_auto;
	/* events of any time are taken: any_time, or they need no realtime
	 * tasks */
	bool no_window;
	struct period window; /* tuningConfig.windowPeriod, PT10M by default */
	enum late_policy late; /* late.policy */
	int64_t retain_ms, retain_bytes; /* pull.retain; 0: not by that */

#define GLOBAL_PROPERTY(...)
#define DS_PROPERTY(type, member, ...) PROPERTY_##type(member)
#include "properties.def"
#undef GLOBAL_PROPERTY
#undef DS_PROPERTY

	/* PEM, of the conf; NULL: none is given. By trust_store_load only, and
	 * in a worker by vault_open. */
	const char *druid_trust; /* certificates by which Druid is believed */
	const char *druid_key; /* our certificate and its key, for Druid */
	/* its secrets, where the conf has only CONF_SECRET_HIDDEN for them
	 * (supervisor/vault.h), of the conf; -1: it has none, or has them */
	int secrets_fd;

	/* equal digests: nothing that concerns the worker has changed */
	uint64_t digest;
};

/* A file of certificates that druid.tls.* names (trust_store.h). */
struct conf_store {
	struct conf_store *next;
	const char *path, *password; /* of the ds_conf that named it first */
	bool with_key;
	char *pem; /* NULL: a problem */
};

struct conf {
	char *file; /* name for messages */
	/* with all that references in properties stand for in their places */
	struct json *document;
	/* path of a property → its value as written, where it has ${…} */
	struct json *references;
	struct ds_conf *ds; /* sorted by name */
	unsigned ds_count;
	struct conf_store *stores;
	unsigned receiver_count; /* tranqd.receivers, 0 resolved */
	char *control_path; /* tranqd.controlSocket, the default resolved */
	char *archive_path; /* archive.dir, the default resolved */
	/* what receivers, and the feed, may not read themselves
	 * (receiver_keys.h), by vault_load only; -1: nothing is needed */
	int keys_fd, feed_keys_fd;

#define GLOBAL_PROPERTY(type, member, ...) PROPERTY_##type(member)
#define DS_PROPERTY(...)
#include "properties.def"
#undef GLOBAL_PROPERTY
#undef DS_PROPERTY
};

/* All problems of one file, a line each: "FILE: PATH: what is wrong; what to
 * do" (line and column in place of PATH when it is neither JSON nor YAML). */
struct conf_problems {
	char **lines;
	unsigned count;
	char **warnings; /* not fatal */
	unsigned warning_count;
};

/* What else must hold: adds a line for each problem. It is asked even when
 * there are problems already, so that all come out at once: then members of a
 * ds_conf may be NULL. */
typedef void conf_check(struct conf *, struct conf_problems *);

/* Reads and checks a file: a new configuration, or NULL when there is a
 * problem. `problems` is filled either way (warnings), to be freed. */
struct conf *conf_load(const char *file, struct conf_problems *) MUST_CHECK;
struct conf *conf_load_checked(
    const char *file, conf_check *, struct conf_problems *) MUST_CHECK;
/* The same from text; `file` is the name for messages. What begins with { or [
 * is JSON, all else YAML (yaml.h). */
struct conf *conf_parse(const char *file, const char *text, size_t bytes,
    struct conf_problems *) MUST_CHECK;
/* Of a file only where the control socket is, new: whatever else is wrong in
 * it, and without its secrets, which the caller may not be allowed to read. */
char *conf_load_socket(const char *file, struct conf_problems *) MUST_CHECK;
void conf_free(struct conf **);
void conf_problems_free(struct conf_problems *);
void
conf_problem(struct conf_problems *, const char *format, ...) PRINTF_LIKE(2, 3);
void
conf_warning(struct conf_problems *, const char *format, ...) PRINTF_LIKE(2, 3);
/* "FILE: properties.NAME: …", about what a global property names. */
void conf_problem_of(struct conf_problems *, const struct conf *,
    const char *property, const char *format, ...) PRINTF_LIKE(4, 5);
void conf_warning_of(struct conf_problems *, const struct conf *,
    const char *property, const char *format, ...) PRINTF_LIKE(4, 5);

/* The document as JSON, to be freed; conf_parse reads it back the same, and
 * opens no file and asks no environment for it: references are replaced. */
char *conf_text(const struct conf *);
/* NULL when there is no such dataSource. Binary search. */
const struct ds_conf *
conf_find(const struct conf *, const char *name, size_t bytes);
/* The way that delivery.mode auto has taken, with all that follows from it, into
 * a copy of the dataSource that is the caller's own. */
void conf_deliver(struct ds_conf *, enum delivery_mode);
/* The path of the control socket; belongs to the conf. */
const char *conf_control_socket(const struct conf *);
/* Names of RESTART properties that differ, comma-separated, to be freed; NULL
 * when none does. */
char *conf_restart_needed(const struct conf *now, const struct conf *then);
/* What is in effect, new: every property with its value and where that comes
 * from ("default", "properties" or such as "dataSources[0].properties"; also
 * what is "written" there, when that is a reference), and what follows from
 * properties and specs. Secrets are "(set)". */
struct json *conf_show(const struct conf *);
/* The table of all properties as Markdown rows, for the README. */
void conf_print_properties(void);
/* A whole configuration with every property at its default, as it stands in
 * conf/tranqd.json.example. */
void conf_print_example(void);
/* The same as commented YAML, for conf/tranqd.yaml.example: each property with
 * its meaning, bounds and default, the line itself behind a '#'. */
void conf_print_commented(void);
