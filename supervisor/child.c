/*
 * child - the whole life of one receiver or worker, as state × event table
 *
 * Process: supervisor.   After: supervisor.c, reload.c send events.
 * Before:  spawn.c forks.
 * Owns:    the life page, the supervisor's end of the control socket.
 *
 * What is wanted (`wanted`) and what is (`state`) are two things: an event
 * changes the first at once and the second as far as it can; the exit of the
 * process does the rest.
 */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "confine.h"
#include "fault.h"
#include "log.h"
#include "panic.h"

#define REPORTS_A_TURN 16
#define SILENCE_BYTES 400

struct order_out {
	struct order_message message;
	int fd0, fd1;
};

#define CHILD_STATE(name, text) text,
static const char *const state_names[] = { CHILD_STATES(CHILD_STATE) };
#undef CHILD_STATE
#define CHILD_EVENT(name, text) text,
static const char *const event_names[] = { CHILD_EVENTS(CHILD_EVENT) };
#undef CHILD_EVENT

typedef void action(struct child *, int64_t now_ms);

const char *
child_state_name(enum child_state state)
{
	must((unsigned)state < CHILD_STATE_COUNT);
	return state_names[state];
}

static void
enter(struct child *c, enum child_state state)
{
	log_debug("%s: %s, was %s", c->name, state_names[state],
	    state_names[c->state]);
	c->state = state;
	c->ops->changed(c);
}

/*
 * The control socket.
 */

static void
drop_order(struct order_out *o)
{
	if (o->fd0 >= 0)
		close(o->fd0);
	if (o->fd1 >= 0)
		close(o->fd1);
}

static void
forget_orders(struct child *c)
{
	for (unsigned i = 0; i < c->order_count; i++)
		drop_order(&c->orders[i]);
	free(c->orders);
	c->orders = NULL;
	c->order_count = 0;
}

static void
close_control(struct child *c)
{
	loop_io_stop(&c->control);
	if (c->control_fd >= 0)
		close(c->control_fd);
	c->control_fd = -1;
	forget_orders(c);
}

/* It hangs or cannot be talked to: SIGABRT, later SIGKILL. */
static void
abort_child(struct child *c, const char *why)
{
	if (c->hung)
		return;
	log_error("%s[%d]: %s; it is replaced", c->name, (int)c->pid, why);
	c->hung = true;
	c->ops->kill(c, SIGABRT);
}

static void
untellable(struct child *c)
{
	log_warn("%s[%d]: cannot be sent an order, it is killed", c->name,
	    (int)c->pid);
	forget_orders(c);
	c->ops->kill(c, SIGKILL);
}

/* After a failed send: true when there only is no room. */
static bool
send_failed_for_now(struct child *c)
{
	if (errno == EAGAIN)
		return true;
	/* EPIPE: it is dying, we shall hear of it */
	if (errno == EPIPE || errno == ECONNRESET)
		forget_orders(c);
	else
		untellable(c);
	return false;
}

/* Sends what waits, as far as there is room. */
static void
send_orders(struct child *c)
{
	unsigned sent = 0;

	for (; sent < c->order_count; sent++) {
		struct order_out *o = &c->orders[sent];

		if (order_send(c->control_fd, &o->message, o->fd0, o->fd1)) {
			drop_order(o);
			o->fd0 = o->fd1 = -1;
			continue;
		}
		if (!send_failed_for_now(c))
			return;
		break;
	}
	c->order_count -= sent;
	memmove(
	    c->orders, c->orders + sent, c->order_count * sizeof c->orders[0]);
	loop_io_change(
	    &c->control, c->order_count > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void
queue_order(struct child *c, const struct order_message *m, int fd0, int fd1)
{
	struct order_out o = { .message = *m, .fd0 = -1, .fd1 = -1 };

	if (c->order_count >= CHILD_ORDERS_MAX) {
		untellable(c);
		return;
	}
	if ((fd0 >= 0 && (o.fd0 = fcntl(fd0, F_DUPFD_CLOEXEC, 0)) < 0) ||
	    (fd1 >= 0 && (o.fd1 = fcntl(fd1, F_DUPFD_CLOEXEC, 0)) < 0)) {
		drop_order(&o);
		untellable(c);
		return;
	}
	c->orders =
	    must_realloc(c->orders, (c->order_count + 1) * sizeof c->orders[0]);
	c->orders[c->order_count++] = o;
	loop_io_change(&c->control, EPOLLIN | EPOLLOUT);
}

void
child_order(struct child *c, const struct order_message *m, int fd0, int fd1)
{
	if (c->pid == 0 || c->control_fd < 0)
		return;
	if (c->order_count == 0 && order_send(c->control_fd, m, fd0, fd1))
		return;
	if (c->order_count > 0 || send_failed_for_now(c))
		queue_order(c, m, fd0, fd1);
}

static void
take_report(struct child *c, const struct order_message *m)
{
	if (m->order == ORDER_READY)
		child_event(c, CHILD_ON_READY, loop_now_ms(c->loop));
	else
		c->ops->report(c, m);
}

static void
control_ready(struct loop_io *io, uint32_t events)
{
	struct child *c = CONTAINER_OF(io, struct child, control);
	struct order_message m;
	int fd0, fd1;

	if ((events & EPOLLOUT) != 0)
		send_orders(c);
	for (int i = 0; i < REPORTS_A_TURN && c->control_fd >= 0; i++) {
		int got = order_receive(c->control_fd, &m, &fd0, &fd1);

		if (got == 0) {
			/* it has died or it is mad: the first we hear of by
			 * SIGCHLD, the second is found by child_check */
			close_control(c);
			return;
		}
		if (got < 0)
			return;
		/* children have no descriptors to give */
		if (fd0 >= 0)
			close(fd0);
		if (fd1 >= 0)
			close(fd1);
		take_report(c, &m);
	}
}

/*
 * Birth and death.
 */

static void
timer_due(struct loop_timer *t)
{
	struct child *c = CONTAINER_OF(t, struct child, timer);

	child_event(c, CHILD_ON_TIMER, loop_now_ms(c->loop));
}

static void
start_timer(struct child *c, int64_t delay_ms)
{
	loop_timer_start(c->loop, &c->timer, delay_ms, timer_due);
}

/* Copies a text out of the page, which the child may have filled with
 * anything and may fill again meanwhile. */
static void
copy_text(const char *from, size_t from_bytes, char *to, size_t to_bytes)
{
	size_t bytes = MIN_OF(from_bytes, to_bytes) - 1;

	memcpy(to, from, bytes);
	to[bytes] = '\0';
	for (char *p = to; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || (unsigned char)*p >= 0x7f)
			*p = '?';
}

static void
tell_silence(const struct child *c, char *to, size_t bytes)
{
	snprintf(to, bytes, "no sign of life for %lld s; it %s; the process %s",
	    (long long)c->pulse.silent_ms / 1000, life_doing(c->life),
	    c->vitals.text);
}

/* Copies the last words out of the page, which the dead child may have filled
 * with anything. Of one that had none it is told what we know. */
static void
take_last_words(const struct child *c, struct death *d)
{
	copy_text(
	    c->life->panic, sizeof c->life->panic, d->text, sizeof d->text);
	if (c->refusal[0] != '\0')
		snprintf(d->text, sizeof d->text, "%s", c->refusal);
	else if (c->hung && d->text[0] == '\0')
		tell_silence(c, d->text, sizeof d->text);
}

void
child_confined(const struct child *c, char to[LIFE_CONFINED_BYTES])
{
	to[0] = '\0';
	if (c->pid != 0)
		copy_text(c->life->confined, sizeof c->life->confined, to,
		    LIFE_CONFINED_BYTES);
}

/* A library that asked for a file and did without, or somebody who should not
 * be there. */
static void
tell_refusals(struct child *c)
{
	uint32_t now =
	    atomic_load_explicit(&c->life->refused, memory_order_acquire);
	int call =
	    atomic_load_explicit(&c->life->refused_call, memory_order_relaxed);
	char name[CONFINE_CALL_BYTES];

	if (now == c->refused_told)
		return;
	confine_call_name(call, name);
	log_warnx("%s[%d]: %u system calls were refused since its start, the "
		  "last one was %s (tranqd.confine)",
	    c->name, (int)c->pid, now, name);
	c->refused_told = now;
}

static void
write_obituary(const struct child *c, const struct death *d)
{
	char how[96];

	restart_describe(d, how, sizeof how);
	log_error("%s[%d]: %s after %lld.%03lld s (%s), death %llu%s%s",
	    c->name, d->pid, how, (long long)d->lived_ms / 1000,
	    (long long)d->lived_ms % 1000,
	    d->ready_ms < 0 ? "never ready" : "was ready",
	    (unsigned long long)c->history.count,
	    d->text[0] != '\0' ? ", last words: " : "", d->text);
}

/* Enters a death in the history. */
static void
bury(struct child *c, int64_t now_ms, int status)
{
	struct death d = { .at_wall_ms = clock_wall_ms(),
		.pid = (int)c->pid,
		.status = status,
		.lived_ms = now_ms - c->started_ms,
		.ready_ms = c->ready_at_ms == 0 ? -1 : now_ms - c->ready_at_ms,
		.hung = c->hung };

	hand_died(&c->life->hand, status, c->hung, now_ms);
	take_last_words(c, &d);
	restart_record(&c->history, &d);
	write_obituary(c, &d);
}

/* What is left of the process is cleared away. */
static void
clear_away(struct child *c)
{
	loop_timer_stop(&c->timer);
	close_control(c);
	c->pid = 0;
	c->ready_at_ms = 0;
	c->hung = c->is_killed = false;
}

static void follow_policy(struct child *c, int64_t now_ms);

static void
spawn(struct child *c, int64_t now_ms)
{
	must(c->pid == 0 && c->control_fd < 0);
	c->incarnation++;
	c->started_ms = now_ms;
	c->is_queued = false;
	c->refusal[0] = '\0';
	c->refused_told = 0;
	life_begin(c->life);
	pulse_begin(&c->pulse, life_turns(c->life), now_ms);
	c->pid = c->ops->spawn(c);
	if (c->pid < 0) {
		if (c->refusal[0] == '\0')
			snprintf(c->refusal, sizeof c->refusal, "%s",
			    strerror(errno));
		c->pid = 0;
		bury(c, now_ms, -1);
		follow_policy(c, now_ms);
		return;
	}
	if (c->control_fd >= 0)
		must(loop_io_start(c->loop, &c->control, c->control_fd, EPOLLIN,
		    control_ready));
	enter(c, CHILD_STARTING);
}

static void
wait_for_start(struct child *c, int64_t delay_ms)
{
	start_timer(c, delay_ms);
	if (c->state != CHILD_BACKOFF)
		enter(c, CHILD_BACKOFF);
}

/* Its own time has come; that of all who have died together is shared out. */
static void
start_again(struct child *c, int64_t now_ms)
{
	int64_t delay_ms = c->is_queued ? 0 : c->ops->queue(c, now_ms);

	if (delay_ms == 0) {
		spawn(c, now_ms);
		return;
	}
	log_info("%s: many have died together; started again in %lld ms",
	    c->name, (long long)delay_ms);
	c->is_queued = true;
	wait_for_start(c, delay_ms);
}

/* After a death that was not asked for. */
static void
follow_policy(struct child *c, int64_t now_ms)
{
	struct restart_decision next = restart_decide(&c->history);

	switch (next.verdict) {
	case RESTART_NEVER:
		log_error("%s: does not accept its configuration; it stays "
			  "down until the next reload",
		    c->name);
		enter(c, CHILD_FAILED);
		return;
	case RESTART_NOW: start_again(c, now_ms); return;
	case RESTART_LATER:
		log_info("%s: started again in %lld ms", c->name,
		    (long long)next.delay_ms);
		wait_for_start(c, next.delay_ms);
		return;
	}
	unreachable("restart verdict");
}

/* Died as asked, or while it was asked to. */
static bool
ended_well(const struct child *c)
{
	return WIFEXITED(c->exit_status) &&
	    WEXITSTATUS(c->exit_status) == CHILD_DRAINED;
}

/*
 * The cells: state_event.
 */

static void
nothing(struct child *c UNUSED, int64_t now_ms UNUSED)
{
}

static void
any_spawn(struct child *c, int64_t now_ms)
{
	c->wanted = true;
	loop_timer_stop(&c->timer);
	spawn(c, now_ms);
}

static void
already_spawn(struct child *c, int64_t now_ms UNUSED)
{
	c->wanted = true;
}

static void
never_exit(struct child *c, int64_t now_ms UNUSED)
{
	panic_at(__FILE__, __LINE__, c->name, "exit of no process");
}

static void
starting_ready(struct child *c, int64_t now_ms)
{
	char confined[LIFE_CONFINED_BYTES];

	c->ready_at_ms = now_ms;
	child_confined(c, confined);
	log_info("%s[%d]: ready after %lld ms (%s)", c->name, (int)c->pid,
	    (long long)(now_ms - c->started_ms),
	    confined[0] != '\0' ? confined : "not confined");
	enter(c, CHILD_READY);
}

static void
running_exit(struct child *c, int64_t now_ms)
{
	tell_refusals(c);
	bury(c, now_ms, c->exit_status);
	clear_away(c);
	FAULT_POINT(REAPED);
	follow_policy(c, now_ms);
}

static void
say_unkillable(struct child *c)
{
	c->ops->examine(c, &c->vitals);
	log_error("%s[%d]: killed, but the kernel does not let it go: it %s; "
		  "its successor waits",
	    c->name, (int)c->pid, c->vitals.text);
}

/* Its successor must wait for its end: one spool has one owner. */
static void
kill_for_good(struct child *c)
{
	c->ops->kill(c, SIGKILL);
	c->is_killed = true;
	start_timer(c, CHILD_KILL_MS);
}

static void
running_timer(struct child *c, int64_t now_ms UNUSED)
{
	/* SIGABRT has not helped */
	if (c->is_killed)
		say_unkillable(c);
	kill_for_good(c);
}

static void
running_stall(struct child *c, int64_t now_ms UNUSED)
{
	char why[SILENCE_BYTES];

	if (c->hung)
		return;
	start_timer(c, CHILD_ABORT_MS);
	if (c->control_fd < 0) {
		abort_child(c, "has closed its control socket");
		return;
	}
	child_silence(c, why, sizeof why);
	abort_child(c, why);
}

static void
tell_stop(struct child *c)
{
	struct order_message stop = { .order = ORDER_STOP,
		/* one that is wanted again has a successor at once */
		.index = c->wanted ? ORDER_STOP_HAND_OVER : 0,
		.value = (uint64_t)c->stop_ms };

	child_order(c, &stop, -1, -1);
	/* one that hangs has no use for the time */
	start_timer(
	    c, c->hung ? CHILD_ABORT_MS : c->stop_ms + CHILD_STOP_GRACE_MS);
}

static void
running_stop(struct child *c, int64_t now_ms UNUSED)
{
	c->wanted = false;
	tell_stop(c);
	enter(c, CHILD_STOPPING);
}

static void
running_reload(struct child *c, int64_t now_ms UNUSED)
{
	c->wanted = true;
	tell_stop(c);
	enter(c, CHILD_STOPPING);
}

static void
stopping_exit(struct child *c, int64_t now_ms)
{
	bool well = ended_well(c);

	if (!well)
		bury(c, now_ms, c->exit_status);
	else
		log_info("%s[%d]: stopped as asked", c->name, (int)c->pid);
	clear_away(c);
	if (!c->wanted)
		enter(c, CHILD_DOWN);
	else if (well || WIFSIGNALED(c->exit_status))
		spawn(c, now_ms);
	else
		follow_policy(c, now_ms);
}

static void
stopping_timer(struct child *c, int64_t now_ms UNUSED)
{
	if (c->is_killed)
		say_unkillable(c);
	else
		log_warnx("%s[%d]: not drained in time, it is killed; what it "
			  "had is in the spool",
		    c->name, (int)c->pid);
	kill_for_good(c);
}

static void
stopping_stop(struct child *c, int64_t now_ms UNUSED)
{
	c->wanted = false;
	tell_stop(c);
}

static void
backoff_timer(struct child *c, int64_t now_ms)
{
	start_again(c, now_ms);
}

static void
resting_stop(struct child *c, int64_t now_ms UNUSED)
{
	c->wanted = false;
	loop_timer_stop(&c->timer);
	enter(c, CHILD_DOWN);
}

/* One line a state, one column an event. */
/* clang-format off */
static action *const actions[CHILD_STATE_COUNT][CHILD_EVENT_COUNT] = {
/*                    SPAWN          READY           EXIT           TIMER           STALL          STOP           RELOAD */
[CHILD_DOWN]     = { any_spawn,     nothing,        never_exit,    nothing,        nothing,       resting_stop,  any_spawn },
[CHILD_STARTING] = { already_spawn, starting_ready, running_exit,  running_timer,  running_stall, running_stop,  running_reload },
[CHILD_READY]    = { already_spawn, nothing,        running_exit,  running_timer,  running_stall, running_stop,  running_reload },
[CHILD_STOPPING] = { already_spawn, nothing,        stopping_exit, stopping_timer, nothing,       stopping_stop, already_spawn },
[CHILD_BACKOFF]  = { any_spawn,     nothing,        never_exit,    backoff_timer,  nothing,       resting_stop,  any_spawn },
[CHILD_FAILED]   = { any_spawn,     nothing,        never_exit,    nothing,        nothing,       resting_stop,  any_spawn },
};
/* clang-format on */

void
child_event(struct child *c, enum child_event event, int64_t now_ms)
{
	must((unsigned)event < CHILD_EVENT_COUNT);
	must((unsigned)c->state < CHILD_STATE_COUNT);
	if (event != CHILD_ON_STALL)
		log_debug("%s: %s while %s", c->name, event_names[event],
		    state_names[c->state]);
	actions[c->state][event](c, now_ms);
}

void
child_start(struct child *c)
{
	child_event(c, CHILD_ON_SPAWN, loop_now_ms(c->loop));
}

void
child_stop(struct child *c, int64_t stop_ms)
{
	must(stop_ms >= 0);
	c->stop_ms = stop_ms;
	child_event(c, CHILD_ON_STOP, loop_now_ms(c->loop));
}

void
child_reload(struct child *c, int64_t settle_ms)
{
	must(settle_ms >= 0);
	c->stop_ms = settle_ms;
	child_event(c, CHILD_ON_RELOAD, loop_now_ms(c->loop));
}

void
child_reaped(struct child *c, int status)
{
	c->exit_status = status;
	child_event(c, CHILD_ON_EXIT, loop_now_ms(c->loop));
}

/* It is silent for as long as it may. False: it waits for the disk, or would
 * run if the machine let it, which is borne for longer. */
static bool
is_lost(struct child *c, int64_t hang_timeout_ms)
{
	int64_t cpu_ms;

	c->ops->examine(c, &c->vitals);
	cpu_ms = c->vitals.cpu_ms - c->worry_cpu_ms;
	if (c->vitals.state != 'D' &&
	    (c->vitals.state != 'R' ||
		cpu_ms >= hang_timeout_ms / PULSE_CPU_PART))
		return true;
	return pulse_is_lost(&c->pulse, hang_timeout_ms);
}

static void
worry(struct child *c)
{
	char text[SILENCE_BYTES];

	c->ops->examine(c, &c->vitals);
	c->worry_cpu_ms = c->vitals.cpu_ms;
	child_silence(c, text, sizeof text);
	log_warnx("%s[%d]: %s", c->name, (int)c->pid, text);
}

void
child_check(struct child *c, int64_t now_ms, int64_t hang_timeout_ms)
{
	static const struct order_message ping = { .order = ORDER_PING };

	if (c->pid == 0)
		return;
	tell_refusals(c);
	if (c->control_fd < 0) {
		child_event(c, CHILD_ON_STALL, now_ms);
		return;
	}
	switch (pulse_look(
	    &c->pulse, life_turns(c->life), now_ms, hang_timeout_ms)) {
	case PULSE_GOOD: return;
	case PULSE_ASK: child_order(c, &ping, -1, -1); return;
	case PULSE_WORRY: worry(c); return;
	case PULSE_HANGS:
		/* of one that is being ended, what it did before counts */
		if (!c->hung && is_lost(c, hang_timeout_ms))
			child_event(c, CHILD_ON_STALL, now_ms);
		return;
	}
	unreachable("pulse verdict");
}

int64_t
child_silent_ms(const struct child *c)
{
	return c->pid != 0 && c->pulse.is_worrying ? c->pulse.silent_ms : 0;
}

void
child_silence(const struct child *c, char *to, size_t bytes)
{
	size_t used;

	tell_silence(c, to, bytes);
	used = strlen(to);
	if (c->is_killed)
		snprintf(to + used, bytes - used,
		    "; it is killed, and the kernel has not let it go yet");
}

int64_t
child_next_start_ms(const struct child *c)
{
	if (c->state != CHILD_BACKOFF || !loop_timer_active(&c->timer))
		return -1;
	return MAX_OF(c->timer.due_ms - loop_now_ms(c->loop), 0);
}

bool
child_at_rest(const struct child *c)
{
	return c->pid == 0 &&
	    (c->state == CHILD_DOWN || c->state == CHILD_FAILED);
}

void
child_counters(struct child *c, char *text)
{
	struct counters now;

	if (life_read(c->life, &now, text))
		c->counters = now;
}

bool
child_init(struct child *c, struct loop *loop, const struct child_ops *ops,
    void *owner)
{
	*c = (struct child){ .loop = loop,
		.ops = ops,
		.owner = owner,
		.control_fd = -1,
		.control.fd = -1,
		.life_fd = -1 };
	c->life_fd = life_create();
	if (c->life_fd < 0)
		return false;
	c->life = life_attach(c->life_fd);
	if (c->life == NULL) {
		close(c->life_fd);
		return false;
	}
	/* a child sees its own page only, and maps it itself */
	must(madvise(c->life, sizeof *c->life, MADV_DONTFORK) == 0);
	return true;
}

void
child_fini(struct child *c)
{
	must(c->pid == 0);
	loop_timer_stop(&c->timer);
	close_control(c);
	life_detach(&c->life);
	if (c->life_fd >= 0)
		close(c->life_fd);
	c->life_fd = -1;
}

void
child_name(struct child *c, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(c->name, sizeof c->name, format, args);
	va_end(args);
}
