/*
 * child - the whole life of one receiver or worker, as state × event table
 *
 * Process: supervisor.
 */
#pragma once

#include <sys/types.h>

#include "heritage.h"
#include "loop.h"
#include "pulse.h"
#include "restart.h"
#include "vitals.h"

#define CHILD_NAME_BYTES (CONF_DS_NAME_MAX + 16)
/* SIGABRT (for the core), and so much later SIGKILL. */
#define CHILD_ABORT_MS 2000
/* SIGKILL, and so often it is said that it has not helped. */
#define CHILD_KILL_MS (30 * 1000)
/* A stop's time is over, and so much later SIGKILL. */
#define CHILD_STOP_GRACE_MS 1000
/* Orders that wait for room in the socket. */
#define CHILD_ORDERS_MAX (2 * CONF_DS_MAX)

/* clang-format off */
#define CHILD_STATES(X) \
	X(DOWN, "down") X(STARTING, "starting") X(READY, "ready") \
	X(STOPPING, "stopping") X(BACKOFF, "backoff") X(FAILED, "failed")
#define CHILD_EVENTS(X) \
	X(SPAWN, "spawn") X(READY, "ready") X(EXIT, "exit") X(TIMER, "timer") \
	X(STALL, "stall") X(STOP, "stop") X(RELOAD, "reload")
/* clang-format on */

#define CHILD_STATE(name, text) CHILD_##name,
enum child_state { CHILD_STATES(CHILD_STATE) CHILD_STATE_COUNT };
#undef CHILD_STATE
#define CHILD_EVENT(name, text) CHILD_ON_##name,
enum child_event { CHILD_EVENTS(CHILD_EVENT) CHILD_EVENT_COUNT };
#undef CHILD_EVENT

struct child;
struct order_out;

/* What a child needs from outside; a test gives its own. */
struct child_ops {
	/* Forks; fills control_fd. -1 when it cannot be done, with the reason
	 * in `refusal`, or with errno alone. */
	pid_t (*spawn)(struct child *);
	/* One that has died is to be forked again: ms until it may be. The
	 * moment is taken: the next one to ask gets a later one. */
	int64_t (*queue)(struct child *, int64_t now_ms);
	void (*examine)(struct child *, struct vitals *);
	void (*kill)(struct child *, int signal);
	/* after each change of its state */
	void (*changed)(struct child *);
	/* a report other than ORDER_READY */
	void (*report)(struct child *, const struct order_message *);
};

struct child {
	enum child_state state;
	bool wanted; /* up; what the table steers to */
	char name[CHILD_NAME_BYTES]; /* "receiver 0", "worker wikipedia" */
	const struct child_ops *ops;
	void *owner;
	struct loop *loop;

	pid_t pid; /* 0: there is none */
	uint32_t incarnation;
	int64_t started_ms, ready_at_ms; /* ready: 0 not (yet) */
	bool hung; /* we have sent it SIGABRT */
	bool is_killed; /* by SIGKILL, for it did not end */
	bool is_queued; /* the timer is for its moment to be forked */
	struct pulse pulse;
	struct vitals vitals; /* when it was last silent for long */
	int64_t worry_cpu_ms; /* its CPU time when it was first spoken of */
	char refusal[RESTART_TEXT_BYTES]; /* why it could not be forked */
	int exit_status; /* for CHILD_ON_EXIT */
	int64_t stop_ms; /* for CHILD_ON_STOP and CHILD_ON_RELOAD */
	struct loop_timer timer;
	struct restart_history history;

	int control_fd; /* -1: there is none */
	struct loop_io control;
	struct order_out *orders; /* that wait, a queue */
	unsigned order_count;

	int life_fd;
	struct life *life;
	struct counters counters; /* as last read in one piece */
	uint32_t refused_told; /* life->refused that the log knows of */
};

/* Makes its life page; false with errno when that cannot be had. */
bool child_init(struct child *, struct loop *, const struct child_ops *,
    void *owner) MUST_CHECK;
/* Only when it is DOWN or FAILED and no process is left. */
void child_fini(struct child *);
void child_name(struct child *, const char *format, ...) PRINTF_LIKE(2, 3);

const char *child_state_name(enum child_state);
/* Every event goes through here, in the order in which they happen. */
void child_event(struct child *, enum child_event, int64_t now_ms);

/* Shorthands. stop: time for draining in ms; reload: for settling what is in
 * flight, then a new process is started. */
void child_start(struct child *);
void child_stop(struct child *, int64_t stop_ms);
void child_reload(struct child *, int64_t settle_ms);
void child_reaped(struct child *, int status);
/* Looks at its signs of life, now and then (pulse_period_ms). */
void child_check(struct child *, int64_t now_ms, int64_t hang_timeout_ms);
/* It has been silent for so long that it is spoken of, in ms; 0: it lives. */
int64_t child_silent_ms(const struct child *);
/* What it was at, and what the kernel says of it. */
void child_silence(const struct child *, char *to, size_t bytes);
/* Until it is started again, in ms; -1: nothing of that sort is due. */
int64_t child_next_start_ms(const struct child *);
/* No process, and none will come by itself. */
bool child_at_rest(const struct child *);

/* Sends, or queues until there is room; the descriptors (-1: none) stay the
 * caller's. A child that cannot be told is killed: its successor is born with
 * the newest. Nothing when there is no process. */
void
child_order(struct child *, const struct order_message *, int fd0, int fd1);
/* What bounds it, "" when nothing does (or there is no process). */
void child_confined(const struct child *, char to[LIFE_CONFINED_BYTES]);
/* Its counters; the last complete ones when it died while it published. text:
 * as life_read. */
void child_counters(struct child *, char *text);
