/*
 * conf_secret - what of a configuration only one worker may know
 *
 * Process: vault's reader takes it apart, each worker gets its own part.
 */
#include "conf_secret.h"

#include <string.h>

#include "conf_property.h"
#include "conf_spec.h"
#include "conf_value.h"
#include "panic.h"

static bool
is_secret_of_ds(const struct conf_property *p)
{
	return p->type == CONF_SECRET && !p->is_global;
}

static bool
is_set(const struct json *value)
{
	return !json_is_null(value) && *json_text(value, "set") != '\0';
}

/* Only what the table knows is taken over: of all else nobody has said that it
 * is no secret. */
static void
hide_in(struct json *place)
{
	const struct json *given = conf_spec_get(place, "properties");
	struct json *shown = json_new_object();

	for (unsigned i = 0; i < conf_property_count; i++) {
		const struct conf_property *p = &conf_properties[i];
		const struct json *value = json_get(given, p->name);

		if (value == NULL)
			continue;
		if (p->type == CONF_SECRET && is_set(value))
			json_set_text(shown, p->name, CONF_SECRET_HIDDEN);
		else
			json_set(shown, p->name, json_clone(value));
	}
	if (given != NULL)
		json_set(place, "properties", shown);
	else
		json_free(&shown);
}

char *
conf_secret_hide(const struct conf *conf)
{
	struct json *document = json_clone(conf->document);
	struct json *all = json_get(document, "dataSources");
	char *text;

	hide_in(document);
	for (struct json_member *m = json_first(all); m != NULL;
	     m = json_next(all, m))
		hide_in(json_member(m));
	for (size_t i = 0; json_is_array(all) && i < json_size(all); i++)
		hide_in(json_at(all, i));
	text = json_to_text(document);
	json_free(&document);
	return text;
}

/* Texts with their NULs: the properties in the table's order, the certificates
 * by which Druid is believed, ours with its key. */
bool
conf_secret_pack(const struct ds_conf *ds, struct buf *to)
{
	const char *const files[] = { ds->druid_trust, ds->druid_key };
	size_t from = to->used, texts = 0;

	for (unsigned i = 0; i < conf_property_count; i++) {
		if (!is_secret_of_ds(&conf_properties[i]))
			continue;
		conf_property_print(&conf_properties[i], ds, to);
		buf_add(to, "", 1);
		texts++;
	}
	for (size_t i = 0; i < ARRAY_LEN(files); i++, texts++)
		buf_add(to, files[i] != NULL ? files[i] : "",
		    files[i] != NULL ? strlen(files[i]) + 1 : 1);
	must_afford(!to->failed);
	return to->used - from > texts;
}

bool
conf_secret_same(const struct ds_conf *a, const struct ds_conf *b)
{
	for (unsigned i = 0; i < conf_property_count; i++)
		if (is_secret_of_ds(&conf_properties[i]) &&
		    !conf_property_same(&conf_properties[i], a, b))
			return false;
	/* one file, one text (trust_store) */
	return a->druid_trust == b->druid_trust && a->druid_key == b->druid_key;
}

/* The text at *at, which is moved behind it. */
static const char *
next_text(const char **at, const char *end)
{
	const char *text = *at;
	const char *nul = memchr(text, '\0', (size_t)(end - text));

	must(nul != NULL);
	*at = nul + 1;
	return text;
}

void
conf_secret_unpack(struct ds_conf *ds, const char *bytes, size_t count)
{
	const char *at = bytes, *end = bytes + count, *text;
	char why[CONF_WHY_BYTES];

	for (unsigned i = 0; i < conf_property_count; i++) {
		if (!is_secret_of_ds(&conf_properties[i]))
			continue;
		text = next_text(&at, end);
		must(conf_value_set(&conf_properties[i], ds, text, why));
	}
	text = next_text(&at, end);
	ds->druid_trust = *text != '\0' ? text : NULL;
	text = next_text(&at, end);
	ds->druid_key = *text != '\0' ? text : NULL;
	must(at == end);
}
