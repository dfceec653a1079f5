/*
 * loop - one epoll set with timers and signals
 *
 * Process: all long-lived ones; several loops in one process do not disturb
 * each other. Callbacks run from loop_run only, never from inside another
 * call. A watch or timer may be stopped from any callback, its own too; the
 * struct belongs to the caller and must stay where it is while it is active.
 */
#pragma once

#include <signal.h>
#include <sys/epoll.h>

#include "base.h"

struct loop;
struct loop_io;
struct loop_timer;
struct signalfd_siginfo;

typedef void loop_io_fn(struct loop_io *, uint32_t epoll_events);
typedef void loop_timer_fn(struct loop_timer *);
typedef void loop_turn_fn(void *context);

struct loop_io {
	struct loop *loop;
	int fd; /* -1: not active */
	uint32_t events;
	loop_io_fn *ready;
	void *context; /* the caller's */
};

struct loop_timer {
	struct loop *loop;
	int64_t due_ms; /* monotonic */
	size_t place; /* in the heap, counted from 1; 0: not active */
	loop_timer_fn *due;
	void *context; /* the caller's */
};

struct loop *loop_new(void);
void loop_free(struct loop **);

/* Watches fd for `events` (EPOLLIN, EPOLLOUT, …; EPOLLEXCLUSIVE is allowed).
 * Does not own the descriptor. False with errno when epoll refuses. */
bool loop_io_start(struct loop *, struct loop_io *, int fd, uint32_t events,
    loop_io_fn *ready);
void loop_io_change(struct loop_io *, uint32_t events);
void loop_io_stop(struct loop_io *);
bool loop_io_active(const struct loop_io *);

/* One shot; starting a running timer moves it. */
void loop_timer_start(
    struct loop *, struct loop_timer *, int64_t delay_ms, loop_timer_fn *due);
void loop_timer_stop(struct loop_timer *);
bool loop_timer_active(const struct loop_timer *);

/* `end` is called at the end of every turn, after the callbacks and before the
 * loop sleeps; when it leaves work behind it calls loop_poll, and the next
 * wait returns at once. */
void loop_set_turn(struct loop *, loop_turn_fn *end, void *context);
/* `woke` is called when the loop has slept and begins to work again. */
void loop_set_woke(struct loop *, loop_turn_fn *woke, void *context);
void loop_poll(struct loop *);

/* Monotonic milliseconds, read once a turn. */
int64_t loop_now_ms(const struct loop *);
/* Reads it again, in a turn that has had to wait for something: what is started
 * now shall have its whole time. */
void loop_waited(struct loop *);

/* Blocks the signals and delivers them to `arrived` through a signalfd. */
typedef void loop_signal_fn(void *context, const struct signalfd_siginfo *);
bool loop_signals_start(
    struct loop *, const sigset_t *, loop_signal_fn *arrived, void *context);

void loop_run(struct loop *); /* until loop_stop */
/* One turn: waits for something to happen, and serves it. */
void loop_once(struct loop *);
void loop_stop(struct loop *);
bool loop_stopping(const struct loop *);
