/*
 * sandbox_check - judges the body of a push as a realtime task would
 *
 * Process: tranq-sandbox. Pure.   After: sandbox_http.   Before: sandbox_store.
 *
 * An array of objects, each with a timestamp in milliseconds. What Druid
 * takes though tranqd should never send it is counted as a violation.
 */
#pragma once

#include "base.h"
#include "json_scan.h"
#include "granularity.h"
#include "sandbox_violation.h"

#define CHECK_ERROR_BYTES 240

enum check_result {
	CHECK_OK,
	CHECK_BODY, /* not parseable as an array of objects */
	CHECK_ROW /* an event without a usable timestamp */
};

/* What the task's spec says. */
struct check_rule {
	const char *column;
	size_t column_bytes;
	bool has_interval;
	struct interval interval;
	const char *task; /* for messages */
};

struct check_event {
	uint32_t at, bytes; /* of the body */
	int64_t ms; /* its time */
	bool is_outside; /* of the interval: to be clipped */
};

/* What tranqd has in place of a time when it asks what became of a request. */
#define CHECK_ASK_MARK "tranqd asks"

struct check {
	struct json_scan scan;
	struct check_event *events;
	size_t count, size;
	bool is_full; /* jansson judges too */
	uint64_t unjudged; /* bodies that are JSON, but beyond jansson */
	char error[CHECK_ERROR_BYTES];
	struct violations *violations;
};

void sandbox_check_init(struct check *, bool is_full, struct violations *);
void sandbox_check_fini(struct check *);
/* body: with JSON_SCAN_PADDING readable bytes behind. After CHECK_OK the
 * events are in `events` until the next call. */
enum check_result sandbox_check_body(
    struct check *, const struct check_rule *, const char *body, size_t bytes);
