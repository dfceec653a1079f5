/*
 * supervisor - owns sockets and shared memory, keeps receivers and workers up
 *
 * Process: supervisor.   After: main.c.
 * Owns:    listening socket, channels, life pages, control socket, pid file.
 *          It never reads a byte that came from the network.
 *
 * Events come from signals, control sockets and timers; what follows from
 * them for the whole (a start that is complete, a reload or a stop that can go
 * on) is decided at one place, look_again at the end of the loop's turn.
 */
#include "supervisor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "fault.h"
#include "feed_check.h"
#include "log.h"
#include "panic.h"

#include "dead_order.h"
#include "drain_order.h"
#include "footprint.h"
#include "notify.h"
#include "port.h"
#include "privileges.h"
#include "status.h"

#define PATH_BYTES 1024
#define PRIVATE_UMASK 027
#define TICK_MS 5000
/* So long do we wait for all children before we call ourselves started. */
#define START_MS (10 * 1000)
/* Of a stop's time, receivers get at most two thirds and workers at least
 * this much, to bring what is in their rings into the spool. */
#define WORKERS_STOP_MS 1000
#define LOOKS_MAX 64
#define PORT_WAIT_MS 5000
#define PORT_RETRY_MS 20

bool
supervisor_stopping(const struct supervisor *s)
{
	return s->phase >= SUPERVISOR_STOPS_FRONTS;
}

void
supervisor_look(struct supervisor *s)
{
	s->look = true;
	loop_poll(s->loop);
}

void
supervisor_kill(struct child *c, int signal)
{
	if (c->pid > 0 && kill(c->pid, signal) < 0)
		log_warn("%s[%d]: signal %d", c->name, (int)c->pid, signal);
}

void
supervisor_examine(struct child *c, struct vitals *v)
{
	vitals_read(c->pid, v);
}

/*
 * The dataSources, sorted by name.
 */

static unsigned
place_of(const struct supervisor *s, const char *name)
{
	unsigned low = 0, high = s->source_count;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (strcmp(s->sources[middle]->name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct source *
supervisor_find(const struct supervisor *s, const char *name)
{
	unsigned at = place_of(s, name);

	if (at == s->source_count || strcmp(s->sources[at]->name, name) != 0)
		return NULL;
	return s->sources[at];
}

void
supervisor_add(struct supervisor *s, struct source *src)
{
	unsigned at = place_of(s, src->name);

	must(supervisor_find(s, src->name) == NULL);
	s->sources = must_realloc(
	    s->sources, (s->source_count + 1) * sizeof s->sources[0]);
	memmove(s->sources + at + 1, s->sources + at,
	    (s->source_count - at) * sizeof s->sources[0]);
	s->sources[at] = src;
	s->source_count++;
}

void
supervisor_take_out(struct supervisor *s, const struct source *src)
{
	unsigned at = place_of(s, src->name);

	must(at < s->source_count && s->sources[at] == src);
	s->source_count--;
	memmove(s->sources + at, s->sources + at + 1,
	    (s->source_count - at) * sizeof s->sources[0]);
}

/* Calls it for every child, those that serve first. */
static void
for_each_child(
    struct supervisor *s, void (*call)(struct child *, void *), void *context)
{
	for (unsigned i = 0; i < s->front_count; i++)
		call(&s->fronts[i].child, context);
	if (s->feeder != NULL)
		call(&s->feeder->child, context);
	for (unsigned i = 0; i < s->source_count; i++)
		call(&s->sources[i]->worker, context);
}

/*
 * The log.
 */

static void
tell_log(struct child *c, void *context)
{
	child_order(c, context, log_fd(), -1);
}

static void
pass_log_on(struct supervisor *s)
{
	struct order_message m = { .order = ORDER_REOPEN_LOG,
		.value = order_log_value() };

	for_each_child(s, tell_log, &m);
}

static bool
init_log(const struct conf *conf)
{
	struct log_options options = { .file = conf->log_file };

	/* conf has checked both names */
	must(log_level_parse(conf->log_level, &options.level));
	must(log_format_parse(conf->log_format, &options.format));
	return log_init(&options);
}

void
supervisor_apply_log(struct supervisor *s)
{
	if (!init_log(s->conf))
		log_warn("log.file %s: cannot be opened, lines go where they "
			 "went before",
		    s->conf->log_file);
	pass_log_on(s);
}

/*
 * Stop.
 */

static void
close_ports(struct supervisor *s)
{
	for (unsigned i = 0; i < PORT_KINDS; i++) {
		if (s->listen_fds[i] >= 0)
			close(s->listen_fds[i]);
		s->listen_fds[i] = -1;
	}
}

static void
stop_child(struct child *c, void *context)
{
	const int64_t *ms = context;

	child_stop(c, *ms);
}

static void
remember_stop(struct supervisor *s, uint64_t ticket)
{
	if (ticket == 0 || s->stop_ticket_count == CONTROL_CLIENTS)
		return;
	s->stop_tickets[s->stop_ticket_count++] = ticket;
	control_delay(s->control, ticket,
	    s->conf->drain_timeout_ms + 2 * CHILD_STOP_GRACE_MS +
		WORKERS_STOP_MS + CTL_ANSWER_MS);
}

/* Receivers first: they answer what is in flight, for which they need the
 * workers. */
static void
begin_stop(struct supervisor *s, const char *why)
{
	int64_t drain_ms = s->conf->drain_timeout_ms, fronts_ms;

	if (supervisor_stopping(s))
		return;
	FAULT_POINT(STOP);
	log_info("%s: stopping, at most %lld s", why,
	    (long long)(drain_ms + 999) / 1000);
	notify_send("STOPPING=1\nSTATUS=draining");
	s->phase = SUPERVISOR_STOPS_FRONTS;
	s->stop_deadline_ms = loop_now_ms(s->loop) + drain_ms;
	loop_timer_stop(&s->start_timer);
	reload_abandon(s);
	close_ports(s);
	fronts_ms = drain_ms - drain_ms / 3;
	for (unsigned i = 0; i < s->front_count; i++)
		child_stop(&s->fronts[i].child, fronts_ms);
	if (s->feeder != NULL)
		child_stop(&s->feeder->child, fronts_ms);
	supervisor_look(s);
}

static void
stop_at_once(struct supervisor *s)
{
	int64_t none = 0;

	begin_stop(s, "SIGQUIT");
	log_info("stopping at once");
	s->phase = SUPERVISOR_STOPS_WORKERS;
	for_each_child(s, stop_child, &none);
}

static bool
fronts_are_at_rest(const struct supervisor *s)
{
	for (unsigned i = 0; i < s->front_count; i++)
		if (!child_at_rest(&s->fronts[i].child))
			return false;
	return s->feeder == NULL || child_at_rest(&s->feeder->child);
}

static void
advance_stop(struct supervisor *s)
{
	int64_t left =
	    MAX_OF(s->stop_deadline_ms - loop_now_ms(s->loop), WORKERS_STOP_MS);

	if (s->phase == SUPERVISOR_STOPS_FRONTS) {
		if (!fronts_are_at_rest(s))
			return;
		FAULT_POINT(STOP_WORKERS);
		s->phase = SUPERVISOR_STOPS_WORKERS;
		for (unsigned i = 0; i < s->source_count; i++)
			child_stop(&s->sources[i]->worker, left);
	}
	if (!fronts_are_at_rest(s))
		return;
	for (unsigned i = 0; i < s->source_count; i++)
		if (!child_at_rest(&s->sources[i]->worker))
			return;
	loop_stop(s->loop);
}

/*
 * Start.
 */

static void
started(struct supervisor *s)
{
	const char byte = 1;

	FAULT_POINT(STARTED);
	loop_timer_stop(&s->start_timer);
	s->phase = SUPERVISOR_RUNNING;
	footprint_trim();
	log_info("ready: %u receivers, %u dataSources, HTTP port %u",
	    s->front_count, s->source_count, s->ports[PORT_HTTP]);
	if (s->listen_fds[PORT_HTTPS] >= 0)
		log_info("HTTPS port %u", s->ports[PORT_HTTPS]);
	if (s->listen_fds[PORT_PULL] >= 0)
		log_info("Druid pulls from port %u", s->ports[PORT_PULL]);
	notify_send("READY=1\nSTATUS=running");
	if (s->options.complain_fd >= 0)
		close(s->options.complain_fd);
	s->options.complain_fd = -1;
	if (s->options.ready_fd < 0)
		return;
	if (write(s->options.ready_fd, &byte, 1) != 1)
		log_debug("nobody waits for the start any more");
	close(s->options.ready_fd);
	s->options.ready_fd = -1;
}

/* Started is who has all children READY; a worker that takes its time (a long
 * spool, no ZooKeeper) must not keep receivers from being used. */
static void
start_time_over(struct loop_timer *t)
{
	struct supervisor *s = CONTAINER_OF(t, struct supervisor, start_timer);

	log_warnx("not all receivers and workers are ready after %d s; "
		  "'tranqctl status' shows which",
	    START_MS / 1000);
	started(s);
}

static void
advance_start(struct supervisor *s)
{
	for (unsigned i = 0; i < s->front_count; i++)
		if (s->fronts[i].child.state != CHILD_READY)
			return;
	if (s->feeder != NULL && s->feeder->child.state != CHILD_READY)
		return;
	for (unsigned i = 0; i < s->source_count; i++)
		if (s->sources[i]->worker.state != CHILD_READY)
			return;
	started(s);
}

/* At the end of each turn. */
static void
look_again(void *context)
{
	struct supervisor *s = context;

	for (int i = 0; s->look && i < LOOKS_MAX; i++) {
		s->look = false;
		if (s->phase == SUPERVISOR_STARTING)
			advance_start(s);
		reload_advance(s);
		if (supervisor_stopping(s))
			advance_stop(s);
	}
	if (s->look)
		loop_poll(s->loop);
}

/*
 * What comes from outside.
 */

static struct child *
find_pid(struct supervisor *s, pid_t pid)
{
	for (unsigned i = 0; i < s->front_count; i++)
		if (s->fronts[i].child.pid == pid)
			return &s->fronts[i].child;
	if (s->feeder != NULL && s->feeder->child.pid == pid)
		return &s->feeder->child;
	for (unsigned i = 0; i < s->source_count; i++)
		if (s->sources[i]->worker.pid == pid)
			return &s->sources[i]->worker;
	return NULL;
}

static void
reap(struct supervisor *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct child *c = find_pid(s, pid);

		if (c != NULL)
			child_reaped(c, status);
		else
			log_debug(
			    "reaped pid %d, which is none of ours", (int)pid);
	}
}

static void
reopen_log(struct supervisor *s)
{
	log_reopen();
	log_info("SIGUSR1: log opened again");
	pass_log_on(s);
}

static void
signal_arrived(void *context, const struct signalfd_siginfo *info)
{
	struct supervisor *s = context;

	switch (info->ssi_signo) {
	case SIGCHLD: reap(s); break;
	case SIGTERM: begin_stop(s, "SIGTERM"); break;
	case SIGINT: begin_stop(s, "SIGINT"); break;
	case SIGQUIT: stop_at_once(s); break;
	case SIGHUP: reload_ask(s, 0); break;
	case SIGUSR1: reopen_log(s); break;
	default: unreachable("a signal that was not asked for");
	}
}

static void
answer_status(struct supervisor *s, uint64_t ticket)
{
	struct buf body;

	buf_init(&body, CTL_BODY_MAX);
	status_print(s, &body);
	if (body.failed)
		control_answer(
		    s->control, ticket, false, "the status is too long", NULL);
	else
		control_answer(s->control, ticket, true, "", &body);
	buf_free(&body);
}

static void
command_arrived(void *context, uint64_t ticket, enum ctl_command command,
    const char *arguments)
{
	struct supervisor *s = context;

	switch (command) {
	case CTL_STATUS: answer_status(s, ticket); return;
	case CTL_RELOAD: reload_ask(s, ticket); return;
	case CTL_DEADLETTERS: dead_order_begin(s, ticket, arguments); return;
	case CTL_DRAIN: drain_order_begin(s, ticket, arguments); return;
	case CTL_STOP:
		remember_stop(s, ticket);
		begin_stop(s, "tranqctl stop");
		return;
	case CTL_COMMANDS: break;
	}
	unreachable("a command that is not in the table");
}

static void
check_child(struct child *c, void *context)
{
	const struct supervisor *s = context;

	child_check(c, loop_now_ms(s->loop), s->conf->hang_timeout_ms);
}

static void
feel_pulses(struct loop_timer *t)
{
	struct supervisor *s = CONTAINER_OF(t, struct supervisor, pulse_timer);

	loop_timer_start(
	    s->loop, t, pulse_period_ms(s->conf->hang_timeout_ms), feel_pulses);
	for_each_child(s, check_child, s);
	notify_alive();
}

/* Every few seconds: samples for the rates. */
static void
tick(struct loop_timer *t)
{
	struct supervisor *s = CONTAINER_OF(t, struct supervisor, tick);
	int64_t now_ms = loop_now_ms(s->loop);

	loop_timer_start(s->loop, t, TICK_MS, tick);
	for (unsigned i = 0; i < s->front_count; i++)
		front_sample(&s->fronts[i], now_ms);
	for (unsigned i = 0; i < s->source_count; i++)
		source_sample(s->sources[i], now_ms);
}

/*
 * The start, in order.
 */

static bool
start_signals(struct supervisor *s, struct trouble *t)
{
	static const int wanted[] = { SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1,
		SIGCHLD };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
		sigaddset(&set, wanted[i]);
	signal(SIGPIPE, SIG_IGN);
	/* ignored by whoever started us: we would hear of no child's death */
	signal(SIGCHLD, SIG_DFL);
	signal(SIGXFSZ, SIG_IGN); /* a limit on files is an error, no death */
	return loop_signals_start(s->loop, &set, signal_arrived, s) ||
	    trouble_set(t, EX_OSERR, errno, "signals");
}

static bool
lock_run_dir(struct supervisor *s, struct trouble *t)
{
	s->pid_fd = prepare_pid_file(s->conf, &s->follows_killed, t);
	return s->pid_fd >= 0;
}

/* The receivers of a supervisor that was killed give the port back as soon as
 * they notice; an init system that starts us at once is faster. */
static bool
wait_for_port(struct supervisor *s, enum port_kind kind, struct trouble *t)
{
	const struct timespec pause = { .tv_nsec = PORT_RETRY_MS * 1000000L };
	int64_t until =
	    clock_mono_ms() + (s->follows_killed ? PORT_WAIT_MS : 0);

	while ((s->listen_fds[kind] =
		       port_open(s->conf, kind, &s->ports[kind], t)) < 0) {
		if (t->code != EX_UNAVAILABLE || clock_mono_ms() >= until)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

static void
port_path(const struct supervisor *s, enum port_kind kind, char *path)
{
	snprintf(path, PATH_BYTES, "%s/%s", s->conf->run_dir, port_name(kind));
}

static bool
open_port(struct supervisor *s, enum port_kind kind, struct trouble *t)
{
	char path[PATH_BYTES], text[16];

	if (!port_is_enabled(s->conf, kind))
		return true;
	if (!wait_for_port(s, kind, t))
		return false;
	port_path(s, kind, path);
	snprintf(text, sizeof text, "%u\n", s->ports[kind]);
	return prepare_publish(path, text) ||
	    trouble_set(t, EX_CANTCREAT, errno, "%s cannot be written", path);
}

static bool
make_feed_bell(struct supervisor *s, struct trouble *t)
{
	s->feed_bell = bell_new();
	return s->feed_bell >= 0 ||
	    trouble_set(t, EX_OSERR, errno, "no descriptor for a bell");
}

static bool
make_fronts(struct supervisor *s, struct trouble *t)
{
	unsigned count = s->conf->receiver_count;

	s->crowd_bytes = count * sizeof s->crowd[0];
	s->crowd = mmap(NULL, s->crowd_bytes, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s->crowd == MAP_FAILED) {
		s->crowd = NULL;
		return trouble_set(
		    t, EX_OSERR, errno, "no memory for %u receivers", count);
	}
	s->fronts = must_calloc(count, sizeof s->fronts[0]);
	for (; s->front_count < count; s->front_count++)
		if (!front_init(&s->fronts[s->front_count], s, s->front_count))
			return trouble_set(t, EX_OSERR, errno,
			    "no descriptors or memory for receiver %u; raise "
			    "the limits (ulimit -n, -v)",
			    s->front_count);
	return true;
}

static bool
make_feeder(struct supervisor *s, struct trouble *t)
{
	if (!port_is_enabled(s->conf, PORT_PULL))
		return true;
	if (feed_check_is_open(s->conf))
		log_warnx("everybody who reaches %s can read all events "
			  "(pull.insecure)",
		    s->conf->pull_listen);
	s->feeder = feeder_new(s);
	return s->feeder != NULL ||
	    trouble_set(t, EX_OSERR, errno,
		"no descriptors or memory for the feed; raise the limits "
		"(ulimit -n, -v)");
}

/* The spools are made by and by, before each worker starts: one that cannot be
 * made is its own dataSource's trouble only. A name that can never be one is
 * not. */
static bool
make_sources(struct supervisor *s, struct trouble *t)
{
	for (unsigned i = 0; i < s->conf->ds_count; i++) {
		const char *name = s->conf->ds[i].name;
		struct source *src;

		if (!prepare_spool_name(name, t))
			return false;
		src = source_new(s, s->conf, name, t);
		if (src == NULL)
			return false;
		supervisor_add(s, src);
	}
	return true;
}

static bool
open_control(struct supervisor *s, struct trouble *t)
{
	s->control = control_open(
	    s->loop, conf_control_socket(s->conf), command_arrived, s, t);
	if (s->control != NULL && s->identity.change)
		control_allow(s->control, s->identity.uid, s->identity.gid);
	return s->control != NULL;
}

static bool
write_second_pid_file(struct supervisor *s, struct trouble *t)
{
	char text[16];

	if (s->options.pid_file == NULL)
		return true;
	snprintf(text, sizeof text, "%d\n", (int)getpid());
	return prepare_publish(s->options.pid_file, text) ||
	    trouble_set(t, EX_CANTCREAT, errno,
		"--pid-file %s cannot be written", s->options.pid_file);
}

/* Everything that can be had or not, before anything is forked. */
static bool
prepare_all(struct supervisor *s, struct trouble *t)
{
	return prepare_identity(s->conf, &s->identity, t) &&
	    prepare_run_dir(s->conf, &s->identity, t) && lock_run_dir(s, t) &&
	    prepare_limits(s->conf, s->conf->receiver_count, t) &&
	    prepare_data_dir(s->conf, &s->identity, t) &&
	    open_port(s, PORT_HTTP, t) && open_port(s, PORT_HTTPS, t) &&
	    open_port(s, PORT_PULL, t) && make_feed_bell(s, t) &&
	    privileges_confine(s->conf, &s->confine, t) && make_fronts(s, t) &&
	    make_feeder(s, t) && make_sources(s, t) && start_signals(s, t) &&
	    open_control(s, t) && write_second_pid_file(s, t);
}

static void
start_child(struct child *c, void *context UNUSED)
{
	child_start(c);
}

static void
run(struct supervisor *s)
{
	loop_set_turn(s->loop, look_again, s);
	loop_timer_start(s->loop, &s->tick, TICK_MS, tick);
	feel_pulses(&s->pulse_timer);
	loop_timer_start(s->loop, &s->start_timer, START_MS, start_time_over);
	FAULT_POINT(PREPARED);
	for_each_child(s, start_child, NULL);
	loop_run(s->loop);
	FAULT_POINT(STOPPED);
}

/*
 * The end, in the opposite order.
 */

static void
remove_files(struct supervisor *s)
{
	char path[PATH_BYTES];

	if (s->pid_fd < 0)
		return; /* another one's */
	for (unsigned i = 0; i < PORT_KINDS; i++) {
		port_path(s, i, path);
		unlink(path);
	}
	if (s->options.pid_file != NULL)
		unlink(s->options.pid_file);
	prepare_pid_file_remove(s->conf);
}

static void
clean_up(struct supervisor *s)
{
	remove_files(s);
	for (unsigned i = 0; i < s->stop_ticket_count; i++)
		control_answer(
		    s->control, s->stop_tickets[i], true, "stopped", NULL);
	control_close(&s->control);
	while (s->source_count > 0) {
		struct source *src = s->sources[s->source_count - 1];

		supervisor_take_out(s, src);
		source_free(&src);
	}
	while (s->front_count > 0)
		front_fini(&s->fronts[--s->front_count]);
	feeder_free(&s->feeder);
	confine_free(&s->confine);
	if (s->crowd != NULL)
		munmap(s->crowd, s->crowd_bytes);
	free(s->sources);
	free(s->fronts);
	close_ports(s);
	if (s->feed_bell >= 0)
		close(s->feed_bell);
	reload_fini(s);
	conf_free(&s->conf);
	loop_free(&s->loop);
	if (s->pid_fd >= 0)
		close(s->pid_fd);
}

/* Whoever starts us by hand looks at the terminal, not into the log. */
static void
complain(const struct supervisor *s, const char *text)
{
	log_error("%s", text);
	if (s->options.complain_fd >= 0)
		dprintf(s->options.complain_fd, "tranqd: %s\n", text);
}

int
supervisor_run(const struct supervisor_options *options, struct conf **conf)
{
	struct supervisor s = { .options = *options,
		.conf = *conf,
		.generation = (uint64_t)clock_wall_ms() * 1000000,
		.started_ms = clock_mono_ms(),
		.started_wall_ms = clock_wall_ms(),
		.pid_fd = -1,
		.listen_fds = { -1, -1, -1 },
		.feed_bell = -1 };
	struct trouble trouble = { .code = EX_OK };

	*conf = NULL;
	log_process("supervisor", NULL);
	if (!init_log(s.conf)) {
		trouble_set(&trouble, EX_CANTCREAT, errno,
		    "log.file %s: cannot be opened; make its directory "
		    "writable or choose another one",
		    s.conf->log_file);
		complain(&s, trouble.text);
		conf_free(&s.conf);
		return trouble.code;
	}
	s.loop = loop_new();
	reload_init(&s);
	log_info("tranqd %s starts with %s", TRANQD_VERSION, options->file);
	privileges_hide(s.conf->core_dumps);
	umask(PRIVATE_UMASK);
	if (prepare_all(&s, &trouble))
		run(&s);
	else
		complain(&s, trouble.text);
	clean_up(&s);
	if (trouble.code == EX_OK)
		log_info("stopped");
	return trouble.code;
}
