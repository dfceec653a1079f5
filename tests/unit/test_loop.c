/*
 * test_loop - descriptors, timers, signals and turns
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "clock.h"
#include "loop.h"
#include "panic.h"

#define MANY 200

/* A pipe with something in it, and who has been told. */
struct end {
	struct loop_io io;
	int fds[2];
	int calls;
	uint32_t events;
	struct end *other;
	void (*then)(struct end *);
};

static void
ready(struct loop_io *io, uint32_t events)
{
	struct end *e = io->context;

	e->calls++;
	e->events = events;
	if (e->then != NULL)
		e->then(e);
}

static void
open_end(struct end *e, struct loop *l)
{
	*e = (struct end){ .io.fd = -1 };
	assert_int_equal(pipe2(e->fds, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(write(e->fds[1], "xy", 2), 2);
	e->io.context = e;
	if (l != NULL)
		assert_true(
		    loop_io_start(l, &e->io, e->fds[0], EPOLLIN, ready));
}

static void
close_end(struct end *e)
{
	loop_io_stop(&e->io);
	close(e->fds[0]);
	close(e->fds[1]);
}

static void
test_io(void **state)
{
	struct loop *l = loop_new();
	struct end e;
	char bytes[2];

	(void)state;
	open_end(&e, l);
	assert_true(loop_io_active(&e.io));
	loop_once(l);
	assert_int_equal(e.calls, 1);
	assert_true(e.events & EPOLLIN);
	loop_once(l); /* level: as long as it is there */
	assert_int_equal(e.calls, 2);
	assert_int_equal(read(e.fds[0], bytes, 2), 2);
	loop_poll(l);
	loop_once(l);
	assert_int_equal(e.calls, 2);
	close(e.fds[1]);
	e.fds[1] = -1;
	loop_once(l);
	assert_true(e.events & EPOLLHUP);
	loop_io_stop(&e.io);
	assert_false(loop_io_active(&e.io));
	loop_io_stop(&e.io); /* twice is harmless */
	loop_poll(l);
	loop_once(l);
	assert_int_equal(e.calls, 3);
	close(e.fds[0]);
	loop_free(&l);
	assert_null(l);
	loop_free(&l);
}

static void
test_io_change(void **state)
{
	struct loop *l = loop_new();
	struct end e;

	(void)state;
	open_end(&e, l);
	loop_io_change(&e.io, 0);
	loop_poll(l);
	loop_once(l);
	assert_int_equal(e.calls, 0);
	loop_io_change(&e.io, EPOLLIN);
	loop_io_change(&e.io, EPOLLIN);
	loop_once(l);
	assert_int_equal(e.calls, 1);
	close_end(&e);
	loop_free(&l);
}

static void
test_io_refused(void **state)
{
	struct loop *l = loop_new();
	struct loop_io io = { .context = NULL };
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_false(loop_io_active(&io)); /* never started */
	loop_io_stop(&io);
	assert_false(loop_io_start(l, &io, fd, EPOLLIN, ready));
	assert_int_equal(errno, EPERM); /* a file cannot be waited for */
	assert_false(loop_io_active(&io));
	loop_io_stop(&io);
	close(fd);
	loop_free(&l);
}

static void
stop_other(struct end *e)
{
	loop_io_stop(&e->other->io);
	loop_io_stop(&e->io);
}

/* Of two that are ready, the first to be told stops both: the other is not
 * told any more. */
static void
test_io_stop_in_callback(void **state)
{
	struct loop *l = loop_new();
	struct end a, b;

	(void)state;
	open_end(&a, l);
	open_end(&b, l);
	a.other = &b;
	b.other = &a;
	a.then = b.then = stop_other;
	loop_once(l);
	assert_int_equal(a.calls + b.calls, 1);
	close_end(&a);
	close_end(&b);
	loop_free(&l);
}

static void
replace_other(struct end *e)
{
	struct end *o = e->other;
	struct loop *l = e->io.loop;

	if (o == NULL)
		return;
	e->other = o->other = NULL;
	loop_io_stop(&o->io);
	close(o->fds[0]);
	close(o->fds[1]);
	open_end(o, NULL);
	o->io.context = o;
	assert_int_equal(write(o->fds[1], "z", 1), 1);
	assert_true(loop_io_start(l, &o->io, o->fds[0], EPOLLOUT, ready));
}

/* The same struct, perhaps with the same number for another descriptor: what
 * epoll said of the old one is not delivered to the new one. */
static void
test_io_replaced_in_callback(void **state)
{
	struct loop *l = loop_new();
	struct end a, b;

	(void)state;
	open_end(&a, l);
	open_end(&b, l);
	a.other = &b;
	b.other = &a;
	a.then = b.then = replace_other;
	loop_once(l);
	assert_int_equal(a.calls + b.calls, 1);
	close_end(&a);
	close_end(&b);
	loop_free(&l);
}

/* ---- timers ---- */

struct tick {
	struct loop_timer timer;
	int calls;
	int64_t due_ms;
	struct tick *other;
	void (*then)(struct tick *);
};

static int64_t last_due_ms;
static int ticks;

static void
due(struct loop_timer *t)
{
	struct tick *k = t->context;

	assert_false(loop_timer_active(t));
	k->calls++;
	ticks++;
	assert_true(k->due_ms >= last_due_ms); /* in the order of their time */
	last_due_ms = k->due_ms;
	assert_true(clock_mono_ms() >= k->due_ms); /* not before it */
	if (k->then != NULL)
		k->then(k);
}

static void
start_tick(struct loop *l, struct tick *k, int64_t delay_ms)
{
	k->timer.context = k;
	k->due_ms = loop_now_ms(l) + MAX_OF(delay_ms, 0);
	loop_timer_start(l, &k->timer, delay_ms, due);
	assert_true(loop_timer_active(&k->timer));
}

static void
test_timers_in_order(void **state)
{
	struct loop *l = loop_new();
	struct tick all[MANY] = { 0 };
	unsigned random = 1;

	(void)state;
	last_due_ms = 0;
	ticks = 0;
	for (int i = 0; i < MANY; i++) {
		random = random * 1103515245 + 12345;
		start_tick(l, &all[i], random / 65536 % 40);
	}
	for (int i = 0; i < MANY; i += 3)
		loop_timer_stop(&all[i].timer);
	for (int i = 1; i < MANY; i += 3) /* moved */
		start_tick(l, &all[i], 20 - i % 20);
	while (ticks < MANY - (MANY + 2) / 3)
		loop_once(l);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(all[i].calls, i % 3 != 0);
	loop_timer_stop(&all[0].timer); /* not active: harmless */
	loop_free(&l);
}

static void
again(struct tick *k)
{
	start_tick(k->timer.loop, k, 0);
}

/* One that starts itself anew waits for its turn: others are not starved. */
static void
test_timer_again(void **state)
{
	struct loop *l = loop_new();
	struct tick k = { .then = again };
	struct end e;

	(void)state;
	last_due_ms = 0;
	open_end(&e, l);
	start_tick(l, &k, -5); /* at once */
	for (int i = 1; i <= 5; i++) {
		loop_once(l);
		assert_int_equal(k.calls, i);
		assert_int_equal(e.calls, i);
	}
	loop_timer_stop(&k.timer);
	close_end(&e);
	loop_free(&l);
}

static void
stop_other_tick(struct tick *k)
{
	loop_timer_stop(&k->other->timer);
}

static void
test_timer_stopped_by_another(void **state)
{
	struct loop *l = loop_new();
	struct tick a = { .then = stop_other_tick },
		    b = { .then = stop_other_tick };

	(void)state;
	last_due_ms = 0;
	a.other = &b;
	b.other = &a;
	start_tick(l, &a, 0);
	start_tick(l, &b, 0);
	loop_once(l);
	assert_int_equal(a.calls + b.calls, 1);
	assert_false(loop_timer_active(&a.timer));
	assert_false(loop_timer_active(&b.timer));
	loop_free(&l);
}

/* ---- turns ---- */

struct turns {
	struct loop *loop;
	char order[32];
	int left;
};

static void
note(struct turns *t, char what)
{
	size_t used = strlen(t->order);

	must(used + 1 < sizeof t->order);
	t->order[used] = what;
}

static void
turn_end(void *context)
{
	struct turns *t = context;

	note(t, 'e');
	if (--t->left == 0)
		loop_stop(t->loop);
	else
		loop_poll(t->loop); /* the next wait returns at once */
}

static void
woke(void *context)
{
	note(context, 'w');
}

static void
note_timer(struct loop_timer *t)
{
	note(t->context, 't');
}

static void
note_io(struct loop_io *io, uint32_t events)
{
	(void)events;
	note(io->context, 'i');
	loop_io_stop(io);
}

static void
test_turns(void **state)
{
	struct turns t = { .loop = loop_new(), .left = 3 };
	struct loop_timer timer = { .context = &t };
	struct end e;

	(void)state;
	open_end(&e, NULL);
	e.io.context = &t;
	assert_true(loop_io_start(t.loop, &e.io, e.fds[0], EPOLLIN, note_io));
	loop_set_turn(t.loop, turn_end, &t);
	loop_set_woke(t.loop, woke, &t);
	loop_timer_start(t.loop, &timer, 0, note_timer);
	loop_run(t.loop);
	assert_string_equal(t.order, "witewewe");
	assert_true(loop_stopping(t.loop));
	close(e.fds[0]);
	close(e.fds[1]);
	loop_free(&t.loop);
}

static void
stop_loop(struct end *e)
{
	loop_stop(e->io.loop);
}

/* A loop that was stopped by a callback has no end of a turn any more. */
static void
test_stopped_in_callback(void **state)
{
	struct turns t = { .loop = loop_new(), .left = 3 };
	struct end e;

	(void)state;
	open_end(&e, t.loop);
	e.then = stop_loop;
	loop_set_turn(t.loop, turn_end, &t);
	loop_run(t.loop);
	assert_int_equal(e.calls, 1);
	assert_string_equal(t.order, "");
	close_end(&e);
	loop_free(&t.loop);
}

/* ---- signals, several loops ---- */

struct arrivals {
	int usr1, usr2;
	pid_t from;
};

static void
arrived(void *context, const struct signalfd_siginfo *info)
{
	struct arrivals *a = context;

	a->usr1 += info->ssi_signo == SIGUSR1;
	a->usr2 += info->ssi_signo == SIGUSR2;
	a->from = (pid_t)info->ssi_pid;
}

static void
test_signals(void **state)
{
	struct loop *l = loop_new();
	struct arrivals a = { 0 };
	sigset_t set;

	(void)state;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	assert_true(loop_signals_start(l, &set, arrived, &a));
	kill(getpid(), SIGUSR1);
	kill(getpid(), SIGUSR2);
	loop_once(l);
	assert_int_equal(a.usr1, 1);
	assert_int_equal(a.usr2, 1);
	assert_int_equal(a.from, getpid());
	loop_free(&l);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static void
test_timer_after_a_wait(void **state)
{
	struct loop *l = loop_new();
	struct tick k = { 0 };
	int64_t now;

	(void)state;
	do
		now = clock_mono_ms();
	while (now == loop_now_ms(l));
	loop_waited(l);
	start_tick(l, &k, 1000);
	assert_true(k.due_ms >= now + 1000);
	loop_timer_stop(&k.timer);
	loop_free(&l);
}

static void
test_two_loops(void **state)
{
	struct loop *one = loop_new(), *two = loop_new();
	struct end a, b;

	(void)state;
	open_end(&a, one);
	open_end(&b, two);
	loop_stop(one);
	loop_once(two);
	assert_int_equal(a.calls, 0);
	assert_int_equal(b.calls, 1);
	assert_false(loop_stopping(two));
	close_end(&a);
	close_end(&b);
	loop_free(&one);
	loop_free(&two);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_io),
		cmocka_unit_test(test_io_change),
		cmocka_unit_test(test_io_refused),
		cmocka_unit_test(test_io_stop_in_callback),
		cmocka_unit_test(test_io_replaced_in_callback),
		cmocka_unit_test(test_timers_in_order),
		cmocka_unit_test(test_timer_again),
		cmocka_unit_test(test_timer_after_a_wait),
		cmocka_unit_test(test_timer_stopped_by_another),
		cmocka_unit_test(test_turns),
		cmocka_unit_test(test_stopped_in_callback),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_two_loops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
