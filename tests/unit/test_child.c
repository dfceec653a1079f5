/*
 * test_child - the table of a child's life, without a fork
 *
 * Links: supervisor/child.c, supervisor/restart.c, common. Time is what the
 * test says; pids are numbers; the "child's" end of the control socket is in
 * the test's hand.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "child.h"
#include "log.h"

#define EXITED(code) ((code) << 8)

struct fixture {
	struct child c;
	struct loop *loop;
	int64_t now_ms;
	int other_end; /* the child's */
	int spawns, changes, reports;
	bool fork_fails;
	int64_t queue_ms;
	char process_state;
	int64_t cpu_ms; /* of the process */
	int64_t cpu_a_look_ms;
	int signals[8];
	unsigned signal_count;
};

static pid_t
fake_spawn(struct child *c)
{
	struct fixture *f = c->owner;
	int ends[2];

	if (f->fork_fails) {
		errno = EAGAIN;
		return -1;
	}
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC,
		0, ends),
	    0);
	c->control_fd = ends[0];
	if (f->other_end >= 0)
		close(f->other_end);
	f->other_end = ends[1];
	return 1000 + ++f->spawns;
}

static void
fake_kill(struct child *c, int number)
{
	struct fixture *f = c->owner;

	assert_true(f->signal_count < ARRAY_LEN(f->signals));
	f->signals[f->signal_count++] = number;
}

static void
fake_changed(struct child *c)
{
	((struct fixture *)c->owner)->changes++;
}

static void
fake_report(struct child *c, const struct order_message *m UNUSED)
{
	((struct fixture *)c->owner)->reports++;
}

static int64_t
fake_queue(struct child *c, int64_t now_ms UNUSED)
{
	return ((struct fixture *)c->owner)->queue_ms;
}

static void
fake_examine(struct child *c, struct vitals *v)
{
	const struct fixture *f = c->owner;

	v->state = f->process_state;
	v->cpu_ms = f->cpu_ms;
	snprintf(v->text, sizeof v->text, "is %c", v->state);
}

static const struct child_ops fake_ops = { .spawn = fake_spawn,
	.queue = fake_queue,
	.examine = fake_examine,
	.kill = fake_kill,
	.changed = fake_changed,
	.report = fake_report };

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	struct log_options quiet = { .file = "/dev/null" };

	assert_true(log_init(&quiet));
	f->loop = loop_new();
	f->other_end = -1;
	f->now_ms = 1000000;
	f->process_state = 'R';
	assert_true(child_init(&f->c, f->loop, &fake_ops, f));
	child_name(&f->c, "worker %s", "test");
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	f->c.pid = 0;
	child_fini(&f->c);
	loop_free(&f->loop);
	if (f->other_end >= 0)
		close(f->other_end);
	free(f);
	return 0;
}

static void
send_event(struct fixture *f, enum child_event e, int64_t after_ms)
{
	f->now_ms += after_ms;
	child_event(&f->c, e, f->now_ms);
}

static void
exits(struct fixture *f, int status, int64_t after_ms)
{
	f->c.exit_status = status;
	send_event(f, CHILD_ON_EXIT, after_ms);
}

static void
bring_up(struct fixture *f)
{
	send_event(f, CHILD_ON_SPAWN, 0);
	assert_int_equal(f->c.state, CHILD_STARTING);
	send_event(f, CHILD_ON_READY, 10);
	assert_int_equal(f->c.state, CHILD_READY);
}

/* The delay of its timer; -1: not active. */
static int64_t
timer_ms(const struct fixture *f)
{
	if (!loop_timer_active(&f->c.timer))
		return -1;
	return f->c.timer.due_ms - loop_now_ms(f->loop);
}

/* The next order that the child has got; 0: none. */
static uint32_t
next_order(struct fixture *f, struct order_message *m)
{
	int fd0, fd1;

	if (order_receive(f->other_end, m, &fd0, &fd1) != 1)
		return 0;
	if (fd0 >= 0)
		close(fd0);
	if (fd1 >= 0)
		close(fd1);
	return m->order;
}

static void
test_birth(void **state)
{
	struct fixture *f = *state;

	assert_true(child_at_rest(&f->c));
	bring_up(f);
	assert_int_equal(f->c.incarnation, 1);
	assert_int_equal(f->c.pid, 1001);
	assert_true(f->c.wanted);
	assert_false(child_at_rest(&f->c));
	assert_int_equal(f->changes, 2);
	/* said twice: once is enough */
	send_event(f, CHILD_ON_READY, 0);
	send_event(f, CHILD_ON_SPAWN, 0);
	assert_int_equal(f->spawns, 1);
}

static void
test_death_when_ready(void **state)
{
	struct fixture *f = *state;

	bring_up(f);
	strcpy(f->c.life->panic, "spool.c:7: f: x\n > 0");
	life_step(f->c.life, LIFE_COMMIT);
	exits(f, SIGKILL, 1000);
	/* there is a new one, at once */
	assert_int_equal(f->c.state, CHILD_STARTING);
	assert_int_equal(f->c.pid, 1002);
	assert_int_equal(f->c.history.count, 1);
	assert_int_equal(restart_death(&f->c.history, 0)->lived_ms, 1010);
	assert_int_equal(restart_death(&f->c.history, 0)->ready_ms, 1000);
	assert_string_equal(
	    restart_death(&f->c.history, 0)->text, "spool.c:7: f: x? > 0");
	assert_string_equal(f->c.life->panic, "");
	assert_string_equal(life_doing(f->c.life), "starts");
	assert_int_equal(f->c.ready_at_ms, 0);
}

static void
test_death_before_ready(void **state)
{
	struct fixture *f = *state;

	send_event(f, CHILD_ON_SPAWN, 0);
	exits(f, EXITED(CHILD_TEMPFAIL), 3);
	assert_int_equal(f->c.state, CHILD_BACKOFF);
	assert_int_equal(timer_ms(f), 100);
	assert_int_equal(f->c.pid, 0);
	send_event(f, CHILD_ON_TIMER, 100);
	assert_int_equal(f->c.state, CHILD_STARTING);
	exits(f, EXITED(CHILD_TEMPFAIL), 3);
	assert_int_equal(timer_ms(f), 200);
	/* an order to start, or a reload, does not wait */
	send_event(f, CHILD_ON_RELOAD, 0);
	assert_int_equal(f->c.state, CHILD_STARTING);
	assert_int_equal(timer_ms(f), -1);
}

static void
test_refusal(void **state)
{
	struct fixture *f = *state;

	send_event(f, CHILD_ON_SPAWN, 0);
	exits(f, EXITED(CHILD_BAD_CONFIG), 3);
	assert_int_equal(f->c.state, CHILD_FAILED);
	assert_int_equal(timer_ms(f), -1);
	assert_true(child_at_rest(&f->c));
	send_event(f, CHILD_ON_TIMER, 100000);
	assert_int_equal(f->c.state, CHILD_FAILED);
	send_event(f, CHILD_ON_RELOAD, 0);
	assert_int_equal(f->c.state, CHILD_STARTING);
	exits(f, EXITED(CHILD_BAD_CONFIG), 3);
	send_event(f, CHILD_ON_STOP, 0);
	assert_int_equal(f->c.state, CHILD_DOWN);
}

static void
test_fork_fails(void **state)
{
	struct fixture *f = *state;

	f->fork_fails = true;
	send_event(f, CHILD_ON_SPAWN, 0);
	assert_int_equal(f->c.state, CHILD_BACKOFF);
	assert_int_equal(f->c.pid, 0);
	assert_string_equal(restart_death(&f->c.history, 0)->text,
	    "Resource temporarily unavailable");
	f->fork_fails = false;
	send_event(f, CHILD_ON_TIMER, 100);
	assert_int_equal(f->c.state, CHILD_STARTING);
}

static void
test_stop(void **state)
{
	struct fixture *f = *state;
	struct order_message m;

	bring_up(f);
	f->c.stop_ms = 5000;
	send_event(f, CHILD_ON_STOP, 0);
	assert_int_equal(f->c.state, CHILD_STOPPING);
	assert_false(f->c.wanted);
	assert_int_equal(next_order(f, &m), ORDER_STOP);
	assert_int_equal(m.value, 5000);
	assert_int_equal(timer_ms(f), 5000 + CHILD_STOP_GRACE_MS);
	/* it hangs while it drains: its time is bounded anyhow */
	send_event(f, CHILD_ON_STALL, 0);
	assert_int_equal(f->signal_count, 0);
	/* less time */
	f->c.stop_ms = 0;
	send_event(f, CHILD_ON_STOP, 0);
	assert_int_equal(next_order(f, &m), ORDER_STOP);
	assert_int_equal(timer_ms(f), CHILD_STOP_GRACE_MS);
	exits(f, EXITED(CHILD_DRAINED), 5);
	assert_int_equal(f->c.state, CHILD_DOWN);
	assert_int_equal(f->c.history.count, 0);
	assert_true(child_at_rest(&f->c));
	assert_int_equal(timer_ms(f), -1);
}

static void
test_stop_that_is_not_heard(void **state)
{
	struct fixture *f = *state;

	bring_up(f);
	send_event(f, CHILD_ON_STOP, 0);
	send_event(f, CHILD_ON_TIMER, 1000);
	assert_int_equal(f->signal_count, 1);
	assert_int_equal(f->signals[0], SIGKILL);
	exits(f, SIGKILL, 1);
	assert_int_equal(f->c.state, CHILD_DOWN);
	assert_int_equal(f->c.history.count, 1);
	assert_int_equal(f->spawns, 1);
}

static void
test_reload(void **state)
{
	struct fixture *f = *state;
	struct order_message m;

	bring_up(f);
	f->c.stop_ms = 2000;
	send_event(f, CHILD_ON_RELOAD, 0);
	assert_int_equal(f->c.state, CHILD_STOPPING);
	assert_true(f->c.wanted);
	assert_int_equal(next_order(f, &m), ORDER_STOP);
	assert_int_equal(m.value, 2000);
	exits(f, EXITED(CHILD_DRAINED), 5);
	assert_int_equal(f->c.state, CHILD_STARTING);
	assert_int_equal(f->c.incarnation, 2);
	assert_int_equal(f->c.history.count, 0);
}

static void
test_stop_wins_over_reload(void **state)
{
	struct fixture *f = *state;

	bring_up(f);
	send_event(f, CHILD_ON_RELOAD, 0);
	send_event(f, CHILD_ON_STOP, 0);
	exits(f, EXITED(CHILD_DRAINED), 5);
	assert_int_equal(f->c.state, CHILD_DOWN);
	/* and the other way round */
	bring_up(f);
	send_event(f, CHILD_ON_STOP, 0);
	send_event(f, CHILD_ON_RELOAD, 0);
	exits(f, SIGKILL, 5);
	assert_int_equal(f->c.state, CHILD_STARTING);
}

static void
test_refusal_while_stopping_for_reload(void **state)
{
	struct fixture *f = *state;

	bring_up(f);
	send_event(f, CHILD_ON_RELOAD, 0);
	exits(f, EXITED(CHILD_BAD_CONFIG), 5);
	assert_int_equal(f->c.state, CHILD_FAILED);
}

static void
test_stop_at_rest(void **state)
{
	struct fixture *f = *state;

	send_event(f, CHILD_ON_STOP, 0);
	assert_int_equal(f->c.state, CHILD_DOWN);
	send_event(f, CHILD_ON_SPAWN, 0);
	exits(f, SIGSEGV, 1);
	assert_int_equal(f->c.state, CHILD_BACKOFF);
	send_event(f, CHILD_ON_STOP, 0);
	assert_int_equal(f->c.state, CHILD_DOWN);
	assert_int_equal(timer_ms(f), -1);
}

#define HANG_MS 8000
#define LOOK_MS (HANG_MS / 8)

/* Looks at it for so long. */
static void
watch(struct fixture *f, int64_t ms)
{
	int64_t end = f->now_ms + ms;

	while (f->now_ms < end) {
		f->now_ms += LOOK_MS;
		f->cpu_ms += f->cpu_a_look_ms;
		child_check(&f->c, f->now_ms, HANG_MS);
	}
}

static void
test_stall(void **state)
{
	struct fixture *f = *state;
	struct order_message m;
	char text[200];

	assert_int_equal(pulse_period_ms(HANG_MS), LOOK_MS);
	bring_up(f);
	f->cpu_a_look_ms = LOOK_MS / 2; /* half of a core, in an endless loop */
	life_turn(f->c.life);
	watch(f, LOOK_MS);
	watch(f, HANG_MS / 4 - LOOK_MS);
	assert_int_equal(next_order(f, &m), 0);
	/* it is asked once, then spoken of, then replaced */
	watch(f, LOOK_MS);
	assert_int_equal(next_order(f, &m), ORDER_PING);
	assert_int_equal(child_silent_ms(&f->c), 0);
	watch(f, HANG_MS / 4);
	assert_int_equal(child_silent_ms(&f->c), HANG_MS / 2);
	assert_int_equal(next_order(f, &m), 0);
	life_step(f->c.life, LIFE_COMMIT);
	child_silence(&f->c, text, sizeof text);
	assert_string_equal(text,
	    "no sign of life for 4 s; it commits to the spool (fsync); the "
	    "process is R");
	watch(f, HANG_MS / 2 - LOOK_MS);
	assert_int_equal(f->signal_count, 0);
	watch(f, LOOK_MS);
	assert_int_equal(f->signal_count, 1);
	assert_int_equal(f->signals[0], SIGABRT);
	assert_int_equal(timer_ms(f), CHILD_ABORT_MS);
	/* once is enough */
	watch(f, HANG_MS);
	assert_int_equal(f->signal_count, 1);
	send_event(f, CHILD_ON_TIMER, CHILD_ABORT_MS);
	assert_int_equal(f->signals[1], SIGKILL);
	/* nothing comes before it is really dead */
	send_event(f, CHILD_ON_TIMER, CHILD_KILL_MS);
	assert_int_equal(f->signals[2], SIGKILL);
	assert_int_equal(f->spawns, 1);
	exits(f, SIGKILL, 1);
	assert_true(restart_death(&f->c.history, 0)->hung);
	assert_non_null(
	    strstr(restart_death(&f->c.history, 0)->text, "commits to"));
	assert_int_equal(f->c.state, CHILD_STARTING);
	assert_false(f->c.hung);
	assert_int_equal(child_silent_ms(&f->c), 0);
}

/* Asked, it turns, and goes to sleep again: for ever. */
static void
test_silent_but_well(void **state)
{
	struct fixture *f = *state;
	struct order_message m;
	int asked = 0;

	bring_up(f);
	for (int i = 0; i < 1000; i++) {
		watch(f, LOOK_MS);
		if (next_order(f, &m) != ORDER_PING)
			continue;
		life_turn(f->c.life);
		asked++;
	}
	assert_int_equal(f->signal_count, 0);
	assert_true(asked > 100);
	/* 0: whatever it does */
	for (int i = 0; i < 1000; i++)
		child_check(&f->c, f->now_ms += 60000, 0);
	assert_int_equal(f->signal_count, 0);
}

/* The supervisor was stopped for an hour, or the machine was: the child has
 * had no chance to turn, even one that was silent for long before. */
static void
test_own_pause(void **state)
{
	struct fixture *f = *state;

	bring_up(f);
	f->process_state = 'S';
	life_turn(f->c.life);
	watch(f, LOOK_MS + HANG_MS / 2);
	assert_int_equal(child_silent_ms(&f->c), HANG_MS / 2);
	f->now_ms += 3600 * 1000;
	watch(f, LOOK_MS);
	assert_int_equal(f->signal_count, 0);
	assert_int_equal(child_silent_ms(&f->c), HANG_MS / 2 + 2 * LOOK_MS);
	life_turn(f->c.life);
	watch(f, HANG_MS / 2);
	assert_int_equal(f->signal_count, 0);
}

/* An fsync that takes minutes is no fault of the process. */
static void
test_disk_is_waited_for(void **state)
{
	struct fixture *f = *state;

	bring_up(f);
	f->process_state = 'D';
	watch(f, PULSE_PATIENCE * HANG_MS - LOOK_MS);
	assert_int_equal(f->signal_count, 0);
	assert_true(child_silent_ms(&f->c) > 4 * HANG_MS);
	watch(f, 2 * LOOK_MS);
	assert_int_equal(f->signal_count, 1);
}

/* Nor is a machine that has no CPU left for it. */
static void
test_cpu_is_waited_for(void **state)
{
	struct fixture *f = *state;

	bring_up(f);
	f->cpu_a_look_ms = LOOK_MS / 20;
	watch(f, 4 * HANG_MS);
	assert_int_equal(f->signal_count, 0);
	/* asleep it wants none */
	f->process_state = 'S';
	watch(f, LOOK_MS);
	assert_int_equal(f->signal_count, 1);
}

/* Many have died together: each is forked when it is its turn. */
static void
test_queue(void **state)
{
	struct fixture *f = *state;

	bring_up(f);
	f->queue_ms = 250;
	exits(f, SIGKILL, 1000);
	assert_int_equal(f->c.state, CHILD_BACKOFF);
	assert_int_equal(timer_ms(f), 250);
	assert_int_equal(child_next_start_ms(&f->c), 250);
	send_event(f, CHILD_ON_TIMER, 250);
	assert_int_equal(f->c.state, CHILD_STARTING);
	/* its own delay comes first */
	exits(f, EXITED(CHILD_TEMPFAIL), 3);
	assert_int_equal(timer_ms(f), 100);
	send_event(f, CHILD_ON_TIMER, 100);
	assert_int_equal(timer_ms(f), 250);
	assert_int_equal(f->c.state, CHILD_BACKOFF);
	/* an operator's order does not queue */
	send_event(f, CHILD_ON_RELOAD, 0);
	assert_int_equal(f->c.state, CHILD_STARTING);
	assert_int_equal(child_next_start_ms(&f->c), -1);
}

/* Closed its control socket and lives on: nobody can tell it anything. */
static void
test_unreachable(void **state)
{
	struct fixture *f = *state;

	bring_up(f);
	shutdown(f->other_end, SHUT_RDWR);
	f->c.control.ready(&f->c.control, EPOLLIN);
	assert_int_equal(f->c.control_fd, -1);
	child_check(&f->c, f->now_ms, HANG_MS);
	assert_int_equal(f->signals[0], SIGABRT);
}

static void
test_reports(void **state)
{
	struct fixture *f = *state;
	struct order_message m = { .order = ORDER_READY };
	int zero = open("/dev/zero", O_RDONLY), next;

	send_event(f, CHILD_ON_SPAWN, 0);
	assert_true(order_send(f->other_end, &m, -1, -1));
	m.order = ORDER_CONF_TAKEN;
	/* a descriptor from a child is closed, not kept */
	assert_true(order_send(f->other_end, &m, zero, -1));
	m.order = 4711;
	assert_true(order_send(f->other_end, &m, -1, -1));
	next = dup(zero);
	close(next);
	f->c.control.ready(&f->c.control, EPOLLIN);
	assert_int_equal(f->c.state, CHILD_READY);
	assert_int_equal(f->reports, 2);
	assert_int_equal(fcntl(next, F_GETFD), -1);
	close(zero);
}

/* More orders than the socket takes wait in the queue, in order, and their
 * descriptors may be closed meanwhile. */
static void
test_orders_wait(void **state)
{
	struct fixture *f = *state;
	struct order_message m = { .order = ORDER_CHANNEL };
	uint32_t got = 0;

	bring_up(f);
	for (; m.index < CHILD_ORDERS_MAX / 2; m.index++) {
		int fd = dup(f->other_end);

		child_order(&f->c, &m, fd, -1);
		close(fd);
	}
	assert_true(f->c.order_count > 0);
	assert_int_equal(f->c.control.events, EPOLLIN | EPOLLOUT);
	while (got < CHILD_ORDERS_MAX / 2) {
		if (next_order(f, &m) == 0)
			f->c.control.ready(&f->c.control, EPOLLOUT);
		else
			assert_int_equal(m.index, got++);
	}
	assert_int_equal(f->c.order_count, 0);
	assert_int_equal(f->c.control.events, EPOLLIN);
	assert_int_equal(f->signal_count, 0);
}

static void
test_too_many_orders(void **state)
{
	struct fixture *f = *state;
	struct order_message m = { .order = ORDER_REOPEN_LOG };

	bring_up(f);
	for (int i = 0; i < 3 * CHILD_ORDERS_MAX && f->signal_count == 0; i++)
		child_order(&f->c, &m, -1, -1);
	assert_int_equal(f->signals[0], SIGKILL);
	exits(f, SIGKILL, 1);
	assert_int_equal(f->c.state, CHILD_STARTING);
	assert_int_equal(f->c.order_count, 0);
}

static void
test_orders_to_nobody(void **state)
{
	struct fixture *f = *state;
	struct order_message m = { .order = ORDER_REOPEN_LOG };

	child_order(&f->c, &m, -1, -1);
	bring_up(f);
	close(f->other_end);
	f->other_end = -1;
	/* it is dying: no reason to kill it */
	child_order(&f->c, &m, -1, -1);
	assert_int_equal(f->signal_count, 0);
	assert_int_equal(f->c.order_count, 0);
}

/* Every cell can be entered from its state, and no event makes a second
 * process or leaves one behind. */
static void
test_every_cell(void **state)
{
	struct fixture *f = *state;
	unsigned seed = 1;

	for (int i = 0; i < 20000; i++) {
		enum child_event e;

		seed = seed * 1103515245 + 12345;
		e = (enum child_event)(seed >> 16) % CHILD_EVENT_COUNT;
		if (e == CHILD_ON_EXIT && f->c.pid == 0)
			continue;
		f->c.stop_ms = (int64_t)(seed >> 20) % 3000;
		f->c.exit_status = seed % 3 == 0 ? SIGKILL
		    : seed % 3 == 1              ? EXITED(CHILD_DRAINED)
						 : EXITED(CHILD_BAD_CONFIG);
		f->fork_fails = seed % 50 == 0;
		f->signal_count = 0;
		send_event(f, e, 1);
		assert_int_equal(f->c.pid != 0,
		    f->c.state == CHILD_STARTING || f->c.state == CHILD_READY ||
			f->c.state == CHILD_STOPPING);
		assert_int_equal(f->c.pid != 0, f->c.control_fd >= 0);
		if (f->c.state == CHILD_BACKOFF || f->c.state == CHILD_STOPPING)
			assert_true(timer_ms(f) >= 0);
		assert_true(
		    timer_ms(f) <= MAX_OF(RESTART_DELAY_MAX_MS, CHILD_KILL_MS));
	}
	assert_true(f->spawns > 1000);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_birth),
		CASE(test_death_when_ready),
		CASE(test_death_before_ready),
		CASE(test_refusal),
		CASE(test_fork_fails),
		CASE(test_stop),
		CASE(test_stop_that_is_not_heard),
		CASE(test_reload),
		CASE(test_stop_wins_over_reload),
		CASE(test_refusal_while_stopping_for_reload),
		CASE(test_stop_at_rest),
		CASE(test_stall),
		CASE(test_silent_but_well),
		CASE(test_own_pause),
		CASE(test_disk_is_waited_for),
		CASE(test_cpu_is_waited_for),
		CASE(test_queue),
		CASE(test_unreachable),
		CASE(test_reports),
		CASE(test_orders_wait),
		CASE(test_too_many_orders),
		CASE(test_orders_to_nobody),
		CASE(test_every_cell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
