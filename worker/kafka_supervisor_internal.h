/*
 * kafka_supervisor_internal - what the files of kafka_supervisor share
 *
 * Process: worker. Internal to kafka_supervisor*.c.
 */
#pragma once

#include "kafka_retire.h"
#include "kafka_spec.h"
#include "kafka_state.h"
#include "kafka_supervisor.h"

#define API "druid/indexer/v1/supervisor"
/* Without it Druid ends the tasks of one that gets the same spec again, as
 * after an answer that was lost; 33 and newer know it. */
#define UNLESS_SAME "?skipRestartIfUnmodified=true"
#define NOTE_BYTES 600
#define TASKS_MAX 8 /* asked for after one status */

struct kafka_supervisor {
	struct kafka_supervisor_parts p;
	struct json *wanted; /* NULL: nothing yet */
	struct loop_timer timer;
	struct overlord_ask *ask;
	bool changes; /* the ask does, in Druid */
	bool is_held;
	bool is_misnamed; /* Druid made another one of it */
	bool was_made, is_stored; /* that it was made: in the spool */
	bool trusted; /* what it commits is of our log */
	bool has_been; /* as it shall be, since we know what that is */
	bool stays; /* suspended, when it is seeded */
	unsigned from; /* the first partition that is to be seeded */
	enum supervisor_rest rests;
	bool is_retired;
	bool suspends; /* a shared one: others want that */
	unsigned seeds; /* the partition that is being seeded */
	/* as it was found last */
	bool is_ours, is_suspended, is_drained;
	char *tasks[TASKS_MAX]; /* to be asked for */
	unsigned task_count;
	/* for the status */
	char note[NOTE_BYTES]; /* about the spec */
	char lost[NOTE_BYTES]; /* about the log */
	char trouble[NOTE_BYTES]; /* why nothing is known now */
	char waits[NOTE_BYTES]; /* for what, until it is retired */
	struct json *state; /* of the last answer, NULL: none */
	bool changed;
	int64_t complained_ms, lost_ms;
};

/* ---- kafka_supervisor.c ---- */

/* `to` is one of its texts for the status. */
void kafka_supervisor_set_text(struct kafka_supervisor *, char *to,
    const char *format, ...) PRINTF_LIKE(3, 4);
bool kafka_supervisor_is_shared(const struct kafka_supervisor *);
/* path: taken over. body: posted; NULL: GET. */
void kafka_supervisor_call(struct kafka_supervisor *, char *path,
    const struct json *body, overlord_answer_fn *done);
/* What the Overlord has at `more` of this supervisor. */
void kafka_supervisor_call_at(struct kafka_supervisor *, const char *more,
    const struct json *body, overlord_answer_fn *done);
/* Until the next look. */
void kafka_supervisor_pause(struct kafka_supervisor *);
/* Something is being made. */
void kafka_supervisor_pause_briefly(struct kafka_supervisor *);
/* An answer that did not come, or none that was expected. The rest waits for
 * the next turn. */
void kafka_supervisor_give_up(struct kafka_supervisor *, const char *what,
    const struct overlord_answer *, const char *why);
void kafka_supervisor_set_state(
    struct kafka_supervisor *, const struct json *payload);
/* Whether a spec was taken; else the rest waits. */
bool kafka_supervisor_check_posted(struct kafka_supervisor *, enum result,
    const struct overlord_answer *, const char *why);
/* As it shall be, suspended or not. */
void kafka_supervisor_post(struct kafka_supervisor *, bool suspended);
/* Druid's own business from now on, also when it is ended there and made again:
 * that must be in the spool before the first task begins, since to seed it once
 * more would double what was read. */
void kafka_supervisor_begin(struct kafka_supervisor *);
void kafka_supervisor_ask_for_tasks(
    struct kafka_supervisor *, overlord_answer_fn *done);
/* How many of its tasks are alive; false: the rest waits. */
bool kafka_supervisor_count_tasks(struct kafka_supervisor *, enum result,
    const struct overlord_answer *, const char *why, unsigned *alive);

/* ---- kafka_supervisor_seed.c ---- */

/* Suspended and marked; its offsets are set when none of its tasks is left, and
 * then it begins. */
void kafka_supervisor_post_unseeded(struct kafka_supervisor *);
/* From there on. */
void kafka_supervisor_seed(struct kafka_supervisor *);
/* A partition is to come to a topic that is shared: by us, who see to it. */
bool kafka_supervisor_joins(struct kafka_supervisor *);
/* After a status; the spec suspends it by now. */
void
kafka_supervisor_join(struct kafka_supervisor *, const struct json *payload);

/* ---- kafka_supervisor_end.c ---- */

struct kafka_retire kafka_supervisor_retirement(
    const struct kafka_supervisor *, const struct json *payload);
void kafka_supervisor_end_retirement(struct kafka_supervisor *);
/* Suspended, so that its tasks publish. */
void kafka_supervisor_post_drained(struct kafka_supervisor *);
/* After a status. false: nothing was begun. */
bool
kafka_supervisor_retire(struct kafka_supervisor *, const struct json *payload);
