/*
 * sandbox_violation - what a correct tranqd never does to a Druid
 *
 * Process: tranq-sandbox. Pure.
 */
#include "sandbox_violation.h"

#include <stdarg.h>
#include <stdio.h>

static const char *const names[] = {
#define VIOLATION(name, text) [VIOLATION_##name] = text,
#include "sandbox_violation.def"
#undef VIOLATION
};

void
sandbox_violation_add(
    struct violations *v, enum violation kind, const char *format, ...)
{
	uint64_t before = v->count[kind]++;
	va_list args;

	if (before >= VIOLATION_EXAMPLES)
		return;
	va_start(args, format);
	vsnprintf(
	    v->examples[kind][before], VIOLATION_TEXT_BYTES, format, args);
	va_end(args);
}

const char *
sandbox_violation_name(enum violation kind)
{
	return names[kind];
}

uint64_t
sandbox_violation_total(const struct violations *v)
{
	uint64_t total = 0;

	for (size_t i = 0; i < VIOLATIONS; i++)
		total += v->count[i];
	return total;
}

static struct json *
examples_of(const struct violations *v, size_t kind)
{
	struct json *list = json_new_array();

	for (size_t i = 0; i < MIN_OF(v->count[kind], VIOLATION_EXAMPLES); i++)
		json_append(list, json_new_text(v->examples[kind][i]));
	return list;
}

struct json *
sandbox_violation_report(const struct violations *v)
{
	struct json *report = json_new_object(), *kinds = json_new_object();
	struct json *examples = json_new_object();

	for (size_t i = 0; i < VIOLATIONS; i++) {
		if (v->count[i] == 0)
			continue;
		json_set_int(kinds, names[i], (int64_t)v->count[i]);
		json_set(examples, names[i], examples_of(v, i));
	}
	json_set_int(report, "total", (int64_t)sandbox_violation_total(v));
	json_set(report, "byKind", kinds);
	json_set(report, "examples", examples);
	return report;
}
