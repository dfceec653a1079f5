/*
 * conf_property - the table of properties, and how their values are read
 *
 * Process: all.
 */
#include "conf_property.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf_reference.h"
#include "conf_value.h"
#include "panic.h"

const struct conf_property conf_properties[] = {
#define GLOBAL_PROPERTY(                                    \
    type, member, name, otherwise, low, high, reload, text) \
	{ name, CONF_##type, true, CONF_##reload,           \
		offsetof(struct conf, member), otherwise, low, high, text },
#define DS_PROPERTY(type, member, name, otherwise, low, high, text)     \
	{ name, CONF_##type, false, CONF_LIVE,                          \
		offsetof(struct ds_conf, member), otherwise, low, high, \
		text },
#include "properties.def"
#undef GLOBAL_PROPERTY
#undef DS_PROPERTY
};

const unsigned conf_property_count = ARRAY_LEN(conf_properties);

/* Properties of Tranquility that have no effect. */
static const struct legacy {
	const char *name; /* with a '*' at its end: all that start so */
	bool is_global;
	const char *text; /* NULL: of its Kafka program */
} legacies[] = {
	{ "http.threads", true,
	    "has no meaning any more, receivers are one a core; take it out, "
	    "or see tranqd.receivers" },
	{ "druid.tls.trustStoreAlgorithm", false,
	    "has no meaning any more (it names a Java class); take it out" },
	{ "druid.tls.trustStoreType", false,
	    "has no meaning any more, PEM and PKCS#12 are told apart by the "
	    "file; take it out" },
	{ "tranquility.batchSize", false,
	    "has never had an effect; see tranquility.maxBatchSize, or take "
	    "it out" },
	{ "topicPattern", false, NULL },
	{ "topicPattern.priority", false, NULL },
	{ "useTopicAsDataSource", false, NULL },
	{ "reportDropsAsExceptions", false, NULL },
	{ "consumer.numThreads", true, NULL },
	{ "commit.periodMillis", true, NULL },
	{ "kafka.*", true, NULL },
};

static const char kafka_text[] =
    "belongs to Tranquility Kafka and has no effect here; take it out";

bool
conf_property_is_text(const struct conf_property *p)
{
	return p->type == CONF_TEXT || p->type == CONF_SECRET;
}

static const struct conf_property *
find_property(const char *name)
{
	for (unsigned i = 0; i < conf_property_count; i++)
		if (strcmp(conf_properties[i].name, name) == 0)
			return &conf_properties[i];
	return NULL;
}

static const struct legacy *
find_legacy(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(legacies); i++) {
		const char *known = legacies[i].name;
		size_t n = strlen(known);

		if (known[n - 1] == '*' ? strncmp(known, name, n - 1) == 0
					: strcmp(known, name) == 0)
			return &legacies[i];
	}
	return NULL;
}

static void
say_unknown(struct conf_reader *r, const char *name)
{
	struct conf_nearest nearest = { .name = name };
	char hint[CONF_PATH_BYTES];

	for (unsigned i = 0; i < conf_property_count; i++)
		conf_reader_offer(&nearest, conf_properties[i].name);
	for (size_t i = 0; i < ARRAY_LEN(legacies); i++)
		if (strchr(legacies[i].name, '*') == NULL)
			conf_reader_offer(&nearest, legacies[i].name);
	conf_reader_problem(r,
	    "there is no such property%s; mend the name or "
	    "take it out",
	    conf_reader_hint(&nearest, hint));
}

/* "1" and 1 and true and "true" are the same. New text, or NULL. */
static char *
scalar_text(const struct json *value)
{
	if (json_is_text(value))
		return must_strdup(json_text(value, ""));
	if (json_is_number(value) || json_is_bool(value))
		return json_to_text(value);
	return NULL;
}

static void
read_one(struct conf_reader *r, const struct conf_property *p, void *base,
    const char *value)
{
	char why[CONF_WHY_BYTES], wanted[CONF_WHY_BYTES];
	const char *written = json_get_text(r->references, r->path, NULL);

	if (conf_value_set(p, base, value, why))
		return;
	if (written == NULL) {
		conf_reader_problem(r, "%s", why);
		return;
	}
	/* it may be a secret that stands in the wrong place */
	conf_value_wanted(p, wanted);
	conf_reader_problem(r,
	    "'%.*s' stands for a value (not shown) that does not belong here; "
	    "give %s",
	    conf_reader_cut(written), written, wanted);
}

/* Where the properties of one place go. */
struct target {
	struct conf *conf; /* NULL within a dataSource */
	struct ds_conf *ds;
	struct json *replaced; /* name → what its references stand for */
};

/* What a value stands for, new; NULL with the problem said. */
static char *
expand(struct conf_reader *r, const char *name, const char *written,
    struct json *replaced)
{
	char why[CONF_REFERENCE_WHY_BYTES];
	char *value = conf_reference_expand(written, why), *escaped;

	if (value == NULL) {
		conf_reader_problem(r, "%s", why);
		return NULL;
	}
	escaped = conf_reference_escape(value);
	json_set_text(replaced, name, escaped);
	if (strcmp(json_get_text(replaced, name, ""), escaped) != 0) {
		conf_reader_problem(r,
		    "'%.*s' stands for bytes that are not UTF-8; give text",
		    conf_reader_cut(written), written);
		free(value);
		value = NULL;
	} else if (strcmp(escaped, written) != 0) {
		json_set_text(r->references, r->path, written);
	}
	free(escaped);
	return value;
}

/* The value as text, new; NULL with the problem said. */
static char *
value_of(struct conf_reader *r, const char *name, const struct json *json,
    struct json *replaced)
{
	char *written = scalar_text(json), *value;

	if (written == NULL)
		conf_reader_problem(r,
		    "%s is no value of a property; give a "
		    "string, a number or a boolean, or take it out",
		    json_type_name(json));
	if (written == NULL || !conf_reference_is_in(written))
		return written;
	value = expand(r, name, written, replaced);
	free(written);
	return value;
}

static void
read_member(struct conf_reader *r, const char *name, const struct json *json,
    const struct target *to)
{
	const struct conf_property *p = find_property(name);
	const struct legacy *l = p == NULL ? find_legacy(name) : NULL;
	char *value;

	if (p == NULL && l == NULL) {
		say_unknown(r, name);
		return;
	}
	if (to->conf == NULL && (p != NULL ? p->is_global : l->is_global)) {
		conf_reader_problem(r,
		    "a global property; move it to the "
		    "properties of the whole file");
		return;
	}
	/* as to Tranquility: nothing is said, but for one more global value
	 * that is taken back */
	value = !json_is_null(json) ? value_of(r, name, json, to->replaced)
	    : p != NULL             ? must_strdup(p->otherwise)
				    : NULL;
	if (value == NULL)
		return;
	if (l != NULL)
		conf_reader_warning(
		    r, "%s", l->text != NULL ? l->text : kafka_text);
	else if (p->is_global)
		read_one(r, p, to->conf, value);
	else
		read_one(r, p, to->ds, value);
	free(value);
}

static void
replace(struct json *properties, const struct json *replaced)
{
	for (struct json_member *m = json_first(replaced); m != NULL;
	     m = json_next(replaced, m))
		json_set(properties, json_member_name(m),
		    json_clone(json_member(m)));
}

static void
read_members(struct conf_reader *r, struct json *properties, struct target to)
{
	size_t inside, mark = conf_reader_enter(r, "properties");

	if (properties != NULL && !json_is_object(properties) &&
	    !json_is_null(properties))
		conf_reader_problem(r, "%s; give an object, or take it out",
		    json_type_name(properties));
	to.replaced = json_new_object();
	for (struct json_member *m = json_first(properties); m != NULL;
	     m = json_next(properties, m)) {
		inside = conf_reader_enter(r, json_member_name(m));
		read_member(r, json_member_name(m), json_member(m), &to);
		conf_reader_leave(r, inside);
	}
	replace(properties, to.replaced);
	json_free(&to.replaced);
	conf_reader_leave(r, mark);
}

void
conf_property_read_global(struct conf_reader *r, struct json *properties,
    struct conf *conf, struct ds_conf *shared)
{
	read_members(
	    r, properties, (struct target){ .conf = conf, .ds = shared });
}

void
conf_property_read_ds(
    struct conf_reader *r, struct json *properties, struct ds_conf *ds)
{
	read_members(r, properties, (struct target){ .ds = ds });
}

void
conf_property_set_defaults(struct conf *conf, struct ds_conf *shared)
{
	char why[CONF_WHY_BYTES];

	for (unsigned i = 0; i < conf_property_count; i++) {
		const struct conf_property *p = &conf_properties[i];

		if (p->is_global)
			must(conf_value_set(p, conf, p->otherwise, why));
		else
			must(conf_value_set(p, shared, p->otherwise, why));
	}
}

static size_t
member_bytes(const struct conf_property *p)
{
	return conf_property_is_text(p) ? sizeof(char *)
	    : p->type == CONF_BOOL      ? sizeof(bool)
	    : p->type == CONF_CALENDAR  ? sizeof(struct period)
					: sizeof(int64_t);
}

static char *
text_at(const struct conf_property *p, const void *base)
{
	char *text;

	must(conf_property_is_text(p));
	memcpy(&text, (const char *)base + p->offset, sizeof text);
	return text;
}

void
conf_property_copy_ds(struct ds_conf *to, const struct ds_conf *from)
{
	for (unsigned i = 0; i < conf_property_count; i++) {
		const struct conf_property *p = &conf_properties[i];
		char *text;

		if (p->is_global)
			continue;
		memcpy((char *)to + p->offset, (const char *)from + p->offset,
		    member_bytes(p));
		if (conf_property_is_text(p)) {
			text = must_strdup(text_at(p, from));
			memcpy((char *)to + p->offset, &text, sizeof text);
		}
	}
}

static void
free_texts(void *base, bool is_global)
{
	char *none = NULL;

	for (unsigned i = 0; i < conf_property_count; i++) {
		const struct conf_property *p = &conf_properties[i];

		if (!conf_property_is_text(p) || p->is_global != is_global)
			continue;
		free(text_at(p, base));
		memcpy((char *)base + p->offset, &none, sizeof none);
	}
}

void
conf_property_free(struct conf *conf)
{
	free_texts(conf, true);
}

void
conf_property_free_ds(struct ds_conf *ds)
{
	free_texts(ds, false);
}

bool
conf_property_same(
    const struct conf_property *p, const void *base, const void *other)
{
	if (conf_property_is_text(p))
		return strcmp(text_at(p, base), text_at(p, other)) == 0;
	return memcmp((const char *)base + p->offset,
		   (const char *)other + p->offset, member_bytes(p)) == 0;
}

void
conf_property_print(
    const struct conf_property *p, const void *base, struct buf *to)
{
	const char *member = (const char *)base + p->offset;
	char span[PERIOD_BYTES];
	struct period period;
	int64_t number = 0;
	bool yes;

	if (conf_property_is_text(p)) {
		buf_add_text(to, text_at(p, base));
		return;
	}
	if (p->type == CONF_CALENDAR) {
		memcpy(&period, member, sizeof period);
		period_format(&period, span);
		buf_add_text(to, span);
		return;
	}
	if (p->type == CONF_BOOL) {
		memcpy(&yes, member, sizeof yes);
		number = yes;
	} else
		memcpy(&number, member, sizeof number);
	buf_addf(to, "%" PRId64, number);
}
