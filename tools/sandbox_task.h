/*
 * sandbox_task - the life of a realtime task
 *
 * Process: tranq-sandbox.
 *
 * PENDING → RUNNING (its address is known, its handler a little later) →
 * CLOSING (no handler: it hands off) → SUCCESS; FAILED from each of the first
 * three.
 */
#pragma once

#include "sandbox.h"
#include "sandbox_lock.h"
#include "sandbox_producer.h"
#include "sandbox_spec.h"

enum task_state {
	TASK_PENDING,
	TASK_RUNNING,
	TASK_CLOSING,
	TASK_SUCCESS,
	TASK_FAILED,
	TASK_STATES
};

struct task {
	struct sandbox *sandbox;
	struct task *next;
	struct spec spec;
	char *encoded_id; /* as in a header */
	struct json *payload;
	enum task_state state;
	bool has_handler;
	int64_t created_ms, started_ms, ended_ms; /* wall */
	int64_t shutoff_ms; /* wall; the spec's, or as it was told later */
	bool has_shutoff;
	const char *error; /* of FAILED */
	bool has_published; /* a batch task, all of its rows */
	uint64_t processed, unparseable; /* its rows */

	struct locks locks;
	struct producers producers;
	struct store_source *source;
	uint64_t pushes, skipped, clipped;
	int64_t queued; /* rows that are not drained yet */
	int64_t drained_ms, drain_rest, last_push_ms; /* monotonic */

	struct loop_timer step_timer; /* start, then handler, then hand-off */
	struct loop_timer shutoff_timer, drain_timer, idle_timer;
};

const char *sandbox_task_state_name(enum task_state);
/* The spec and the payload are taken over. */
struct task *
sandbox_task_add(struct sandbox *, struct spec *, struct json **payload);
struct task *sandbox_task_find(const struct sandbox *, const char *id);
/* The task whose handler has this name (long or short); when several do, the
 * one of that id. NULL: none. */
struct task *sandbox_task_by_handler(const struct sandbox *, const char *name,
    size_t bytes, const char *id, size_t id_bytes);

/* Closes the firehose at a time; past: now. */
void sandbox_task_close_at(struct task *, int64_t wall_ms);
void sandbox_task_close(struct task *);
/* Its process is gone, what it did not hand off is lost. */
void sandbox_task_kill(struct task *, const char *error);
/* Rows that have room in the firehose's buffer now. */
int64_t sandbox_task_room(struct task *);
/* Rows of a judged body into the buffer; there must be room. */
void sandbox_task_take(
    struct task *, const char *body, const struct check_event *, size_t count);
void sandbox_task_heard(struct task *); /* a push came: not idle */
/* The fault that kept tasks pending is over. */
void sandbox_task_start_pending(struct sandbox *);
void sandbox_task_clear(struct sandbox *);
