/*
 * text_map - from a text to a pointer
 *
 * Process: tools. Owns its copies of the texts, never what the pointers
 * point to. Not for texts that a foe chooses: the hash has no secret.
 */
#pragma once

#include "base.h"

struct text_map {
	struct text_entry *entries; /* open addressing, size is 2^n */
	size_t size, used, graves;
};

struct text_entry {
	char *text; /* NULL: free */
	uint64_t hash;
	void *value; /* NULL: a grave */
};

void text_map_init(struct text_map *);
void text_map_fini(struct text_map *);
/* NULL: not there. */
void *text_map_get(const struct text_map *, const char *text, size_t bytes);
/* value: not NULL. Returns what it replaced, or NULL. */
void *
text_map_set(struct text_map *, const char *text, size_t bytes, void *value);
/* Returns what was there, or NULL. */
void *text_map_remove(struct text_map *, const char *text, size_t bytes);
/* Walks all entries in no order: *at starts as 0; NULL is the end. The value
 * it came to may be removed, nothing set, before the next call. */
struct text_entry *text_map_next(const struct text_map *, size_t *at);
size_t text_map_count(const struct text_map *);
