/*
 * sandbox_violation - what a correct tranqd never does to a Druid
 *
 * Process: tranq-sandbox. Pure.
 */
#pragma once

#include "base.h"
#include "json.h"

#define VIOLATION_EXAMPLES 5
#define VIOLATION_TEXT_BYTES 240

enum violation {
#define VIOLATION(name, text) VIOLATION_##name,
#include "sandbox_violation.def"
#undef VIOLATION
	VIOLATIONS
};

struct violations {
	uint64_t count[VIOLATIONS];
	char examples[VIOLATIONS][VIOLATION_EXAMPLES][VIOLATION_TEXT_BYTES];
};

/* Counts one; its text is kept when it is among the first. */
void sandbox_violation_add(struct violations *, enum violation,
    const char *format, ...) PRINTF_LIKE(3, 4);
const char *sandbox_violation_name(enum violation);
uint64_t sandbox_violation_total(const struct violations *);
/* New: {"total":N,"byKind":{…},"examples":{…}}; kinds without one are left
 * out. */
struct json *sandbox_violation_report(const struct violations *);
