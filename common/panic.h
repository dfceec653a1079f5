/*
 * panic - the end of a process that found its own bug
 *
 * Process: all. A child's text goes to its life page as well, where the
 * supervisor finds it when the child is gone.
 */
#pragma once

#include "base.h"

/* Own bug: say where, and abort. On in production: a restart costs no event. */
#define must(x) \
	(LIKELY(x) ? (void)0 : panic_at(__FILE__, __LINE__, __func__, #x))
/* The switch that should have had this case. */
#define unreachable(text) panic_at(__FILE__, __LINE__, __func__, text)

/* Where a panic's text is copied before the abort (bytes > 0), or NULL. */
void panic_keep(char *text, size_t bytes);
/* What a process that is about to end by itself has to say: kept in the same
 * place, or what it wants to be said should it die now. */
void panic_words(const char *text);
NORETURN void
panic_at(const char *file, int line, const char *function, const char *what);

/* What can be false for want of memory only: ends the process as must_malloc
 * does. */
#define must_afford(x) (LIKELY(x) ? (void)0 : panic_no_memory())
NORETURN void panic_no_memory(void);

/* Allocation that ends the process when there is no memory: a worker is
 * restarted from its spool, the supervisor allocates at start and reload
 * only. Requests whose size a client decides use malloc and are refused. */
void *must_malloc(size_t bytes) MUST_CHECK;
void *must_calloc(size_t count, size_t bytes) MUST_CHECK;
void *must_realloc(void *old, size_t bytes) MUST_CHECK;
char *must_strdup(const char *text) MUST_CHECK;
char *must_format(const char *format, ...) PRINTF_LIKE(1, 2) MUST_CHECK;
