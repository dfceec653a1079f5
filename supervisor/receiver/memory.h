/*
 * memory - what unfinished requests of one receiver may hold, all together
 *
 * Process: receiver. Buffers come in a few sizes; some that were given back
 * are kept, so that a steady load allocates nothing.
 */
#pragma once

#include "base.h"

#define MEMORY_CLASSES 12 /* 512 bytes … 1 MiB */

struct memory_spare;

struct memory {
	size_t used, max; /* bytes; http.bodyMemoryBytes */
	bool has_freed; /* set when bytes come back; the reader clears it */
	/* private */
	struct memory_spare *spare[MEMORY_CLASSES];
	size_t spare_bytes;
};

void memory_init(struct memory *, size_t max);
void memory_fini(struct memory *);
/* At least `want` bytes; *size says how many. NULL: the limit is reached, or
 * there are none. */
char *memory_get(struct memory *, size_t want, size_t *size);
/* More of the same, *size bytes before and after. NULL: as it was. */
char *memory_grow(struct memory *, char *bytes, size_t *size, size_t want);
/* What memory_get really takes for `want`. */
size_t memory_size(size_t want);
void memory_put(struct memory *, char *bytes, size_t size);
/* Counts memory that was not got here. */
bool memory_charge(struct memory *, size_t bytes);
void memory_credit(struct memory *, size_t bytes);
