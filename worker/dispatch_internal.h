/*
 * dispatch_internal - what dispatch.c, dispatch_trial.c and dispatch_move.c
 * share
 *
 * Process: worker.
 */
#pragma once

#include "dispatch.h"
#include "feed.h"
#include "spool_dead.h"

enum beam_state {
	BEAM_WANTED, /* beam_cluster has been asked for it */
	BEAM_OPEN, /* has tasks */
	BEAM_OVER, /* closed: what waits goes on, is late, or becomes dead
		    letters */
};

/* A replicant and its feeds, one a lane. */
struct target {
	struct replicant *replicant;
	struct feed *feeds;
	bool is_over; /* replicant_is_over, and its feeds take nothing */
	/* given up once and tried again: what it had taken by then */
	bool is_taken_back;
	uint64_t served;
};

struct beam {
	TAILQ_ENTRY(beam) link;
	struct dispatch *dispatch;
	struct interval interval;
	unsigned partition;
	enum beam_state state;
	struct lane *lanes;
	unsigned lane_count, next_lane;
	struct target *targets;
	unsigned target_count, lost_count;
	int64_t taken_ms; /* when the tasks came, monotonic */
	unsigned short_lived; /* sets of tasks in a row that were soon gone */
	struct loop_timer replace; /* when the next set may be asked for */
};

/* A batch that goes on to the tasks of a later interval. */
struct move {
	struct held *held;
	struct interval interval;
	unsigned partition, lane, first_chunk;
	char *value; /* once written */
	struct spool_entry entry;
};

/* How a batch leaves the queue: Druid has it, or it missed its interval. */
enum leave { LEAVE_SENT, LEAVE_DEAD, LEAVE_LATE, LEAVE_ARCHIVED };

struct removal {
	struct spool_entry entry;
	enum leave how;
	enum spool_why why; /* LEAVE_DEAD */
	struct move *move; /* NULL: it leaves */
};

/* At a beam that is over: there may be room for what waits, or a spool that can
 * be read again. */
#define DISPATCH_LOOK_AGAIN_MS 100

struct dispatch {
	struct dispatch_parts p;
	struct feeds feeds;
	TAILQ_HEAD(, beam) beams;
	unsigned beam_count;
	struct removal *removals;
	size_t removal_count, removal_size;
	unsigned moving; /* of the removals */
	uint64_t tasks_lost;
	struct loop_timer sweep; /* runs while there are beams */
	bool changed;
};

/* ---- dispatch.c ---- */

struct beam *
dispatch_have_beam(struct dispatch *, struct interval, unsigned partition);
/* Batches that wait, or are on their way. */
uint64_t dispatch_waiting(const struct beam *);
/* Whether a task of it runs still, be its firehose closed. */
bool dispatch_is_running(const struct beam *);
/* The entry leaves the spool with the next transaction. What is returned may
 * be given another fate, until the next call. */
struct removal *
dispatch_leave_lane(struct lane *, const struct spool_entry *, enum leave);

/* ---- dispatch_trial.c ---- */

/* A replicant that does not take what its siblings take is not waited for
 * longer than firehoseRetryPeriod. */
void dispatch_feed_failing(void *dispatch, struct feed *, int64_t for_ms);
/* Those that were given up may be reached by now. once_more: even if they have
 * been tried again and have taken nothing. False: there is none. */
bool dispatch_take_back(struct beam *, bool once_more);

/* ---- dispatch_move.c ----
 *
 * With task.type index_realtime_appenderator an event is bound to no interval:
 * what the tasks of one have not taken when they end goes to those of the
 * interval that it is now. A batch moves when it is about to be sent there, so
 * that each moves about once, however long the queue. */

/* Moves what there is room for. The beam is over. */
void dispatch_move_some(struct beam *);
/* A beam that is over is kept while others of its interval look at it. */
bool dispatch_move_watches(const struct beam *);
/* Within the transaction, after its commit, and in place of either. */
void dispatch_move_write(struct dispatch *, struct removal *);
void dispatch_move_done(struct dispatch *, struct move *);
void dispatch_move_free(struct dispatch *, struct move *);
