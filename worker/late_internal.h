/*
 * late_internal - what late.c and late_plan.c share
 *
 * Process: worker.
 */
#pragma once

#include "archive.h"
#include "late.h"
#include "parcel.h"
#include "pile.h"

#define PARCELS_MAX 16 /* at one time; those that rest after a failure too */
#define LOOK_AGAIN_MS 10000

struct late {
	struct late_parts p;
	struct piles piles; /* in the open lane */
	struct piles copies; /* archive.all: to be written, in no parcel yet */
	TAILQ_HEAD(parcel_list, parcel) parcels;
	unsigned parcel_count;
	uint32_t next_number;
	struct archive *archive;
	uint64_t parcel_batches;
	struct loop_timer timer;
	int64_t rest_until_ms; /* after a refusal, monotonic */
	unsigned refusals; /* in a row */
	uint64_t tasks_created; /* by this process */
	uint64_t unread; /* events that batch tasks could not read, ever */
	/* the open lane has, or may have, what delivery.mode append has taken:
	 * all of it is for batch tasks, whatever late.policy says */
	bool is_owed;
	bool document_due, on_hold, changed;
	bool in_a_hurry;
};

/* How events are collected for batch tasks now. */
struct append_rule {
	int64_t wait_ms, bytes;
	unsigned tasks; /* at one time */
};

struct append_rule late_append_rule(const struct late *);
/* What becomes of what is in the open lane. */
enum late_policy late_policy_now(const struct late *);
/* Whether a batch task may have the interval. */
bool late_is_over(const struct late *, const struct pile *, int64_t now_ms);
/* So much waits, or it is so late, that nothing waits for its time any more. */
bool late_is_pressed(const struct late *);
struct parcel *
late_add_parcel(struct late *, uint32_t number, enum late_policy kind);
void late_drop_parcel(struct late *, struct parcel *);
/* One that the spool does not know yet as it is; NULL: there is none. */
const struct parcel *late_uncommitted(const struct late *);
/* Parcels are planned then; at that time at the latest. */
void late_plan_in(struct late *, int64_t delay_ms);
void late_plan_within(struct late *, int64_t ms);
void late_plan_due(struct loop_timer *);
