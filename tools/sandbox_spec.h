/*
 * sandbox_spec - a realtime task as it was submitted
 *
 * Process: tranq-sandbox. Pure. Reads what the sandbox acts on, refuses what
 * Druid would refuse, and counts as violations what differs from the task
 * that Tranquility submits (druid-api.md 2.2, tranquility.md 3).
 */
#pragma once

#include "base.h"
#include "json.h"
#include "granularity.h"
#include "sandbox_violation.h"

#define SPEC_ERROR_BYTES 240

struct spec {
	bool is_appenderator; /* index_realtime_appenderator */
	bool is_batch, replaces; /* index_parallel (sandbox_batch.h) */
	char *id, *ds, *column, *service, *group;
	bool has_interval, has_shutoff;
	struct interval interval;
	int64_t shutoff_ms; /* wall */
	int64_t buffer; /* events */
	int64_t idle_ms; /* 0: never */
	unsigned partition, replicant;
	struct granularity granularity; /* of its segments */
};

struct spec_context {
	unsigned version;
	const char *overlord_service; /* "druid/overlord" */
	int64_t now_ms; /* for the id of a task without one */
	struct violations *violations;
	char error[SPEC_ERROR_BYTES];
};

enum spec_result { SPEC_OK, SPEC_TYPE, SPEC_ID_ILLEGAL, SPEC_REFUSED };

/* SPEC_OK: to be freed with sandbox_spec_free. Else context->error says why, of
 * SPEC_TYPE it is the type. */
enum spec_result sandbox_spec_read(
    const struct json *task, struct spec_context *, struct spec *);
void sandbox_spec_free(struct spec *);

/* For sandbox_batch.c. SPEC_REFUSED, with the reason. */
enum spec_result sandbox_spec_refuse(struct spec_context *, const char *why);
/* What a dataSchema of either form has: `parts` is the object that has its
 * timestampSpec and dimensionsSpec. */
void sandbox_spec_fields(struct spec_context *, struct spec *,
    const struct json *schema, const struct json *parts);
/* A wish about the spec; what is not fulfilled is counted. */
void sandbox_spec_expect(struct spec_context *, const struct spec *,
    bool fulfilled, const char *what);
/* "start/end", not empty. */
bool sandbox_spec_interval(const char *text, struct interval *);
