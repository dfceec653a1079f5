/*
 * loop - one epoll set with timers and signals
 *
 * Process: all long-lived ones.   Owns: the epoll and signal descriptors.
 *
 * Timers are a binary heap: the next one decides how long epoll waits, so an
 * idle process sleeps without a tick.
 */
#include "loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "panic.h"

#define READY_MAX 256 /* descriptors served in one turn */

struct loop {
	int epoll_fd;
	bool stopping, poll;
	int64_t now_ms;
	loop_turn_fn *turn_end, *woke;
	void *turn_context, *woke_context;
	struct loop_timer **heap; /* heap[1 … timers] */
	size_t timers, heap_size;
	struct epoll_event ready[READY_MAX];
	int ready_count, ready_at;
	struct loop_io signal_io;
	loop_signal_fn *signal_arrived;
	void *signal_context;
};

struct loop *
loop_new(void)
{
	struct loop *l = must_calloc(1, sizeof *l);

	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll_fd < 0)
		fatal("epoll_create1");
	l->now_ms = clock_mono_ms();
	l->signal_io.fd = -1;
	return l;
}

void
loop_free(struct loop **loop)
{
	struct loop *l = *loop;

	if (l == NULL)
		return;
	*loop = NULL;
	if (l->signal_io.fd >= 0)
		close(l->signal_io.fd);
	close(l->epoll_fd);
	free(l->heap);
	free(l);
}

bool
loop_io_start(struct loop *l, struct loop_io *io, int fd, uint32_t events,
    loop_io_fn *ready)
{
	struct epoll_event e = { .events = events, .data.ptr = io };

	must(fd >= 0);
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0) {
		io->fd = -1;
		return false;
	}
	io->loop = l;
	io->fd = fd;
	io->events = events;
	io->ready = ready;
	return true;
}

void
loop_io_change(struct loop_io *io, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = io };

	must(io->fd >= 0);
	if (io->events == events)
		return;
	io->events = events;
	must(epoll_ctl(io->loop->epoll_fd, EPOLL_CTL_MOD, io->fd, &e) == 0);
}

void
loop_io_stop(struct loop_io *io)
{
	struct loop *l = io->loop;

	if (io->loop == NULL || io->fd < 0)
		return;
	epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, io->fd, NULL);
	io->fd = -1;
	/* what epoll has already told us about it must not be delivered */
	for (int i = l->ready_at; i < l->ready_count; i++)
		if (l->ready[i].data.ptr == io)
			l->ready[i].data.ptr = NULL;
}

bool
loop_io_active(const struct loop_io *io)
{
	return io->loop != NULL && io->fd >= 0;
}

static void
place(struct loop *l, size_t at, struct loop_timer *t)
{
	l->heap[at] = t;
	t->place = at;
}

static void
sift_up(struct loop *l, size_t at)
{
	struct loop_timer *t = l->heap[at];

	for (; at > 1 && l->heap[at / 2]->due_ms > t->due_ms; at /= 2)
		place(l, at, l->heap[at / 2]);
	place(l, at, t);
}

static void
sift_down(struct loop *l, size_t at)
{
	struct loop_timer *t = l->heap[at];
	size_t child;

	for (; (child = at * 2) <= l->timers; at = child) {
		if (child < l->timers &&
		    l->heap[child + 1]->due_ms < l->heap[child]->due_ms)
			child++;
		if (l->heap[child]->due_ms >= t->due_ms)
			break;
		place(l, at, l->heap[child]);
	}
	place(l, at, t);
}

void
loop_timer_start(
    struct loop *l, struct loop_timer *t, int64_t delay_ms, loop_timer_fn *due)
{
	loop_timer_stop(t);
	t->loop = l;
	t->due = due;
	t->due_ms = l->now_ms + MAX_OF(delay_ms, 0);
	if (l->timers + 2 > l->heap_size) {
		l->heap_size = MAX_OF(l->heap_size * 2, 64);
		l->heap =
		    must_realloc(l->heap, l->heap_size * sizeof l->heap[0]);
	}
	l->heap[++l->timers] = t;
	sift_up(l, l->timers);
}

void
loop_timer_stop(struct loop_timer *t)
{
	struct loop *l = t->loop;
	struct loop_timer *last;
	size_t at = t->place;

	if (at == 0)
		return;
	must(l->heap[at] == t);
	t->place = 0;
	last = l->heap[l->timers--];
	if (last == t)
		return;
	place(l, at, last);
	sift_up(l, at);
	sift_down(l, last->place);
}

bool
loop_timer_active(const struct loop_timer *t)
{
	return t->place != 0;
}

void
loop_set_turn(struct loop *l, loop_turn_fn *end, void *context)
{
	l->turn_end = end;
	l->turn_context = context;
}

void
loop_set_woke(struct loop *l, loop_turn_fn *woke, void *context)
{
	l->woke = woke;
	l->woke_context = context;
}

void
loop_poll(struct loop *l)
{
	l->poll = true;
}

int64_t
loop_now_ms(const struct loop *l)
{
	return l->now_ms;
}

void
loop_waited(struct loop *l)
{
	l->now_ms = clock_mono_ms();
}

static void
signal_ready(struct loop_io *io, uint32_t events UNUSED)
{
	struct loop *l = io->context;
	struct signalfd_siginfo info;

	while (read(io->fd, &info, sizeof info) == (ssize_t)sizeof info)
		l->signal_arrived(l->signal_context, &info);
}

bool
loop_signals_start(struct loop *l, const sigset_t *signals,
    loop_signal_fn *arrived, void *context)
{
	int fd;

	if (sigprocmask(SIG_BLOCK, signals, NULL) < 0)
		return false;
	fd = signalfd(-1, signals, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return false;
	l->signal_arrived = arrived;
	l->signal_context = context;
	l->signal_io.context = l;
	return loop_io_start(l, &l->signal_io, fd, EPOLLIN, signal_ready);
}

static int
wait_ms(const struct loop *l)
{
	int64_t left;

	if (l->poll)
		return 0;
	if (l->timers == 0)
		return -1;
	left = l->heap[1]->due_ms - clock_mono_ms();
	return (int)MIN_OF(MAX_OF(left, 0), 3600 * 1000);
}

static void
run_ready(struct loop *l)
{
	for (l->ready_at = 0; l->ready_at < l->ready_count;) {
		const struct epoll_event *e = &l->ready[l->ready_at++];
		struct loop_io *io = e->data.ptr;

		if (io != NULL)
			io->ready(io, e->events);
	}
	l->ready_count = l->ready_at = 0;
}

static void
run_timers(struct loop *l)
{
	/* a timer that starts itself anew with no delay waits for its turn */
	size_t budget = l->timers;

	while (
	    budget-- > 0 && l->timers > 0 && l->heap[1]->due_ms <= l->now_ms) {
		struct loop_timer *t = l->heap[1];

		loop_timer_stop(t);
		t->due(t);
	}
}

void
loop_once(struct loop *l)
{
	int n = epoll_wait(l->epoll_fd, l->ready, READY_MAX, wait_ms(l));

	if (n < 0 && errno != EINTR)
		fatal("epoll_wait");
	l->poll = false;
	l->now_ms = clock_mono_ms();
	l->ready_count = MAX_OF(n, 0);
	if (l->woke != NULL)
		l->woke(l->woke_context);
	run_ready(l);
	run_timers(l);
	if (l->turn_end != NULL && !l->stopping)
		l->turn_end(l->turn_context);
}

void
loop_run(struct loop *l)
{
	while (!l->stopping)
		loop_once(l);
}

void
loop_stop(struct loop *l)
{
	l->stopping = true;
}

bool
loop_stopping(const struct loop *l)
{
	return l->stopping;
}
