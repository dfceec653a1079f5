/*
 * conf_digest - one number for everything that a dataSource's worker goes by
 *
 * Process: all. Pure.
 */
#include "conf_digest.h"

#include <stdlib.h>
#include <string.h>

#include "conf_property.h"
#include "panic.h"

/* FNV-1a, 64 bit */
#define DIGEST_START UINT64_C(0xcbf29ce484222325)
#define DIGEST_FACTOR UINT64_C(0x100000001b3)

static uint64_t
add_bytes(uint64_t digest, const char *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		digest = (digest ^ (unsigned char)bytes[i]) * DIGEST_FACTOR;
	return digest;
}

/* With its NUL, so that two texts never look like another two. */
static uint64_t
add_text(uint64_t digest, const char *text)
{
	return add_bytes(digest, text, strlen(text) + 1);
}

static int
compare_names(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

static uint64_t add_json(uint64_t digest, const struct json *);

static uint64_t
add_object(uint64_t digest, const struct json *object)
{
	size_t count = json_size(object), n = 0;
	const char **names = must_calloc(count, sizeof names[0]);

	for (struct json_member *m = json_first(object); m != NULL;
	     m = json_next(object, m))
		names[n++] = json_member_name(m);
	must(n == count);
	qsort(names, count, sizeof names[0], compare_names);
	digest = add_text(digest, "{");
	for (size_t i = 0; i < count; i++) {
		digest = add_text(digest, names[i]);
		digest = add_json(digest, json_get(object, names[i]));
	}
	free(names);
	return add_text(digest, "}");
}

/* As deep as json_parse lets a document be. */
static uint64_t
add_json(uint64_t digest, const struct json *j)
{
	char *text;

	if (json_is_object(j))
		return add_object(digest, j);
	if (json_is_array(j)) {
		digest = add_text(digest, "[");
		for (size_t i = 0; i < json_size(j); i++)
			digest = add_json(digest, json_at(j, i));
		return add_text(digest, "]");
	}
	text = json_to_text(j);
	digest = add_text(digest, text);
	free(text);
	return digest;
}

uint64_t
conf_digest_add(uint64_t digest, const char *text)
{
	return add_text(digest, text);
}

uint64_t
conf_digest_json(const struct json *j)
{
	return add_json(DIGEST_START, j);
}

uint64_t
conf_digest(const struct ds_conf *ds)
{
	uint64_t digest = DIGEST_START;
	struct buf value;

	buf_init(&value, 64 * KiB);
	digest = add_json(digest, ds->data_schema);
	if (ds->tuning != NULL)
		digest = add_json(digest, ds->tuning);
	if (ds->io != NULL)
		digest = add_json(add_text(digest, "ioConfig"), ds->io);
	for (unsigned i = 0; i < conf_property_count; i++) {
		if (conf_properties[i].is_global)
			continue;
		buf_reset(&value);
		conf_property_print(&conf_properties[i], ds, &value);
		must_afford(!value.failed);
		digest = add_text(digest, conf_properties[i].name);
		digest = add_text(digest, buf_must_text(&value));
	}
	buf_free(&value);
	return digest;
}
