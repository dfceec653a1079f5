/*
 * text_map - from a text to a pointer
 *
 * Process: tools.
 */
#include "text_map.h"

#include <stdlib.h>
#include <string.h>

#include "panic.h"

#define SIZE_MIN 16

void
text_map_init(struct text_map *m)
{
	*m = (struct text_map){ 0 };
}

void
text_map_fini(struct text_map *m)
{
	for (size_t i = 0; i < m->size; i++)
		free(m->entries[i].text);
	free(m->entries);
	text_map_init(m);
}

/* FNV-1a, and a last mixing because the table looks at the low bits. */
static uint64_t
hash_text(const char *text, size_t bytes)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < bytes; i++)
		h = (h ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
	return h ^ (h >> 32);
}

static bool
is_text(
    const struct text_entry *e, uint64_t hash, const char *text, size_t bytes)
{
	return e->hash == hash && strncmp(e->text, text, bytes) == 0 &&
	    e->text[bytes] == '\0';
}

static struct text_entry *
find(const struct text_map *m, uint64_t hash, const char *text, size_t bytes)
{
	if (m->size == 0)
		return NULL;
	for (size_t i = hash & (m->size - 1);; i = (i + 1) & (m->size - 1)) {
		struct text_entry *e = &m->entries[i];

		if (e->text == NULL)
			return NULL;
		if (e->value != NULL && is_text(e, hash, text, bytes))
			return e;
	}
}

static struct text_entry *
free_place(const struct text_map *m, uint64_t hash)
{
	size_t i = hash & (m->size - 1);

	while (m->entries[i].text != NULL)
		i = (i + 1) & (m->size - 1);
	return &m->entries[i];
}

/* Twice the room that the living entries need; graves are left behind. */
static void
rebuild(struct text_map *m)
{
	struct text_map old = *m;

	m->size = SIZE_MIN;
	while (m->size < (old.used - old.graves + 1) * 3)
		m->size *= 2;
	m->entries = must_calloc(m->size, sizeof m->entries[0]);
	m->used = m->graves = 0;
	for (size_t i = 0; i < old.size; i++) {
		struct text_entry *e = &old.entries[i];

		if (e->text == NULL)
			continue;
		if (e->value == NULL) {
			free(e->text);
			continue;
		}
		*free_place(m, e->hash) = *e;
		m->used++;
	}
	free(old.entries);
}

void *
text_map_get(const struct text_map *m, const char *text, size_t bytes)
{
	const struct text_entry *e =
	    find(m, hash_text(text, bytes), text, bytes);

	return e != NULL ? e->value : NULL;
}

void *
text_map_set(struct text_map *m, const char *text, size_t bytes, void *value)
{
	uint64_t hash = hash_text(text, bytes);
	struct text_entry *e = find(m, hash, text, bytes);
	void *old = NULL;

	must(value != NULL);
	if (e != NULL) {
		old = e->value;
		e->value = value;
		return old;
	}
	if ((m->used + 1) * 4 > m->size * 3)
		rebuild(m);
	e = free_place(m, hash);
	*e = (struct text_entry){ .hash = hash, .value = value };
	e->text = must_malloc(bytes + 1);
	memcpy(e->text, text, bytes);
	e->text[bytes] = '\0';
	m->used++;
	return NULL;
}

void *
text_map_remove(struct text_map *m, const char *text, size_t bytes)
{
	struct text_entry *e = find(m, hash_text(text, bytes), text, bytes);
	void *old;

	if (e == NULL)
		return NULL;
	old = e->value;
	e->value = NULL;
	m->graves++;
	return old;
}

struct text_entry *
text_map_next(const struct text_map *m, size_t *at)
{
	while (*at < m->size) {
		struct text_entry *e = &m->entries[(*at)++];

		if (e->text != NULL && e->value != NULL)
			return e;
	}
	return NULL;
}

size_t
text_map_count(const struct text_map *m)
{
	return m->used - m->graves;
}
