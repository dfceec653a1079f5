/*
 * memory - what unfinished requests of one receiver may hold, all together
 *
 * Process: receiver.
 */
#include "memory.h"

#include <stdlib.h>
#include <string.h>

#include "panic.h"

#define SMALLEST 512u
#define SPARE_MAX (8u * MiB)
#define LARGE_STEP (64u * KiB)

struct memory_spare {
	struct memory_spare *next;
};

void
memory_init(struct memory *m, size_t max)
{
	*m = (struct memory){ .max = max };
}

void
memory_fini(struct memory *m)
{
	for (unsigned i = 0; i < MEMORY_CLASSES; i++) {
		while (m->spare[i] != NULL) {
			struct memory_spare *s = m->spare[i];

			m->spare[i] = s->next;
			free(s);
		}
	}
	m->spare_bytes = 0;
}

/* The class that holds `want` bytes; MEMORY_CLASSES: none, it is large. */
static unsigned
class_of(size_t want)
{
	unsigned c = 0;

	while (c < MEMORY_CLASSES && ((size_t)SMALLEST << c) < want)
		c++;
	return c;
}

bool
memory_charge(struct memory *m, size_t bytes)
{
	if (bytes > m->max || m->used > m->max - bytes)
		return false;
	m->used += bytes;
	return true;
}

void
memory_credit(struct memory *m, size_t bytes)
{
	must(bytes <= m->used);
	m->used -= bytes;
	m->has_freed = true;
}

size_t
memory_size(size_t want)
{
	unsigned c = class_of(want);

	if (c < MEMORY_CLASSES)
		return (size_t)SMALLEST << c;
	return (want + LARGE_STEP - 1) / LARGE_STEP * LARGE_STEP;
}

/* Of a size that memory_size has given; not counted. */
static char *
take(struct memory *m, size_t size)
{
	unsigned c = class_of(size);
	struct memory_spare *s;

	if (c == MEMORY_CLASSES || (s = m->spare[c]) == NULL)
		return malloc(size);
	m->spare[c] = s->next;
	m->spare_bytes -= size;
	return (char *)s;
}

static void
recycle(struct memory *m, char *bytes, size_t size)
{
	struct memory_spare *s = (void *)bytes;
	unsigned c = class_of(size);

	if (c == MEMORY_CLASSES || m->spare_bytes + size > SPARE_MAX) {
		free(bytes);
		return;
	}
	s->next = m->spare[c];
	m->spare[c] = s;
	m->spare_bytes += size;
}

char *
memory_get(struct memory *m, size_t want, size_t *size)
{
	char *bytes;

	*size = memory_size(want);
	if (!memory_charge(m, *size))
		return NULL;
	if ((bytes = take(m, *size)) == NULL)
		m->used -= *size;
	return bytes;
}

char *
memory_grow(struct memory *m, char *bytes, size_t *size, size_t want)
{
	size_t larger = memory_size(want);
	char *grown;

	must(larger > *size);
	if (!memory_charge(m, larger - *size))
		return NULL;
	/* both large: the kernel moves pages instead of bytes */
	grown = class_of(*size) == MEMORY_CLASSES ? realloc(bytes, larger)
						  : take(m, larger);
	if (grown == NULL) {
		m->used -= larger - *size;
		return NULL;
	}
	if (class_of(*size) < MEMORY_CLASSES) {
		memcpy(grown, bytes, *size);
		recycle(m, bytes, *size);
	}
	*size = larger;
	return grown;
}

void
memory_put(struct memory *m, char *bytes, size_t size)
{
	memory_credit(m, size);
	recycle(m, bytes, size);
}
