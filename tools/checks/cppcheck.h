/*
 * cppcheck - what the static analysis has to know of macros whose headers it
 * does not read
 *
 * Process: none; given to cppcheck by tools/check.
 */
#pragma once

#define PRINTF_LIKE(text, first)
#define TAILQ_HEAD(name, type)          \
	struct name {                   \
		struct type *tqh_first; \
	}
#define TAILQ_ENTRY(type)              \
	struct {                       \
		struct type *tqe_next; \
	}
#define TAILQ_FOREACH(v, head, field) \
	for (v = (head)->tqh_first; v; v = v->field.tqe_next)
