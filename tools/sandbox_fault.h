/*
 * sandbox_fault - misfortunes that the sandbox was told to cause
 *
 * Process: tranq-sandbox. Pure: who is struck is asked here, what then
 * happens is done where the request is handled.
 */
#pragma once

#include "base.h"
#include "json.h"

#define FAULTS_MAX 64
#define FAULT_TEXT_BYTES 256

enum fault_kind {
	FAULT_SLOW, /* answered `ms` late */
	FAULT_REFUSE, /* reset as soon as the head is there */
	FAULT_HANG, /* not touched, not answered, until it is off */
	FAULT_ERROR, /* `status` for an answer, nothing taken */
	FAULT_DROP, /* done, but closed without an answer */
	FAULT_DROP_BEFORE, /* read, not done, closed without an answer */
	FAULT_KILL_TASK, /* at once: FAILED, its process gone */
	FAULT_FULL, /* firehose buffer full: pushes block */
	FAULT_OVERLORD_AWAY,
	FAULT_NOT_LEADER,
	FAULT_UNREACHABLE, /* pushes are reset, the Overlord says RUNNING */
	FAULT_UNAVAILABLE, /* no chat handler */
	FAULT_NO_SLOTS, /* tasks stay PENDING */
	FAULT_FAIL_BATCH, /* a batch task ends FAILED */
	FAULT_FAIL_LATE, /* it does so behind its publication */
	FAULT_BAD_ROW, /* a row with `text` in it cannot be parsed */
	FAULTS
};

/* What a fault may strike; KILL_TASK, FULL, UNREACHABLE, UNAVAILABLE,
 * NO_SLOTS and BAD_ROW know tasks only, OVERLORD_AWAY and NOT_LEADER the Overlord. */
enum fault_where { FAULT_AT_PUSH, FAULT_AT_OVERLORD, FAULT_AT_ALL };

struct fault {
	enum fault_kind kind;
	enum fault_where where;
	int64_t ms;
	unsigned status;
	bool is_refused; /* OVERLORD_AWAY: reset instead of 503 */
	unsigned percent;
	int64_t count; /* strikes left; -1: without end */
	uint64_t struck;
	char text[FAULT_TEXT_BYTES];
	bool is_quiet; /* BAD_ROW: the page does not say why */
	char ds[FAULT_TEXT_BYTES]; /* "": any */
	char task[FAULT_TEXT_BYTES]; /* start of its id; "": any */
	char url[FAULT_TEXT_BYTES];
};

struct faults {
	struct fault list[FAULTS_MAX];
	unsigned count;
	uint64_t random;
};

/* What is about to happen; ds and task "" when there is none. */
struct fault_target {
	enum fault_where where;
	const char *ds, *task;
};

void sandbox_fault_init(struct faults *, uint64_t seed);
const char *sandbox_fault_name(enum fault_kind);
/* Reads POST /sandbox/fault. False with a sentence in error. `on`: begin it,
 * else end those of its kind that name the same dataSource and task (none
 * named: all of its kind). KIND FAULTS: "none", end all. */
bool sandbox_fault_read(const struct json *, struct fault *, bool *on,
    char error[static FAULT_TEXT_BYTES]);
/* False: FAULTS_MAX are on. */
bool sandbox_fault_begin(struct faults *, const struct fault *);
unsigned
sandbox_fault_end(struct faults *, const struct fault *); /* how many */
/* The fault of this kind that strikes now, counted; or NULL. */
struct fault *sandbox_fault_strike(
    struct faults *, enum fault_kind, const struct fault_target *);
/* The BAD_ROW of which the body has the text, counted; or NULL. */
struct fault *sandbox_fault_bad_row(struct faults *,
    const struct fault_target *, const char *body, size_t bytes);
/* Whether one of this kind would strike for certain; nothing is counted. */
bool sandbox_fault_is_on(
    const struct faults *, enum fault_kind, const struct fault_target *);
struct json *sandbox_fault_report(const struct faults *); /* new: an array */
