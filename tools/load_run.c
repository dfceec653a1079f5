/*
 * load_run - the connections, from the first request to the last answer
 *
 * Process: tranq-load.
 *
 * Each connection has one request open at most and keeps it until it is
 * settled, through reconnections when requests are sent again.
 */
#include "load_run.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "load_answer.h"
#include "loop.h"
#include "panic.h"

#define CONNECTING_MAX 256 /* at one time: what a backlog takes */
#define CONNECT_DELAY_MS 5
#define RECONNECT_DELAY_MAX_MS 500
#define RETRY_DELAY_MIN_MS 50
#define RETRY_DELAY_MAX_MS 2000
#define FIRST_CONNECTION_MS 10000
#define PACE_MS 1
#define SWEEP_MS 1000
#define PACE_BURST 1024 /* requests begun in one tick */

enum state { DOWN, CONNECTING, IDLE, SENDING, WAITING, RETRY_LATER };

struct connection {
	struct run *run;
	struct loop_io io;
	struct loop_timer timer; /* reconnect or retry */
	enum state state;
	int fd;
	bool has_request;
	bool is_again; /* it was answered 200, and is sent once more */
	uint64_t request;
	int64_t base_ms; /* its events' times count from here */
	int64_t due_ns; /* what its latency counts from */
	int64_t begun_ns; /* this try */
	size_t out; /* bytes of it that are sent */
	char *in; /* of an answer that came in parts */
	size_t in_bytes;
	unsigned failures; /* in a row */
	unsigned begun_times; /* tries of the request, with a key */
	struct connection *next_idle;
};

struct run {
	const struct load_options *options;
	struct load_ledger *ledger;
	struct load_body *body;
	struct load_stats *stats;
	struct loop *loop;
	struct connection *connections;
	struct connection *idle;
	unsigned connecting, open_requests;
	uint64_t next; /* request */
	bool ever_connected, no_more;
	int64_t began_wall_ms, began_ns;
	double request_ns; /* between two requests; 0: no pace */
	struct loop_timer pace, sweep, send_end, end, first;
	char answer[LOAD_ANSWER_MAX];
};

static void connect_soon(struct connection *);
static void take_work(struct connection *);

static bool
is_over(const struct run *run)
{
	return run->no_more || run->next >= run->ledger->requests;
}

static void
stop_when_done(struct run *run)
{
	if (is_over(run) && run->open_requests == 0)
		loop_stop(run->loop);
}

static void
settle(struct connection *c, enum load_fate fate)
{
	struct run *run = c->run;

	must(c->has_request && run->open_requests > 0);
	c->has_request = false;
	run->open_requests--;
	load_ledger_settle(run->ledger, c->request, fate);
	stop_when_done(run);
}

static void
disconnect(struct connection *c)
{
	if (c->state == CONNECTING)
		c->run->connecting--;
	if (c->fd >= 0) {
		loop_io_stop(&c->io);
		close(c->fd);
	}
	loop_timer_stop(&c->timer);
	free(c->in);
	c->in = NULL;
	c->in_bytes = 0;
	c->fd = -1;
	c->state = DOWN;
}

/* The connection is of no use any more; its request, if there is one, has no
 * answer. */
static void
give_up_connection(struct connection *c)
{
	struct run *run = c->run;
	struct connection **at = &run->idle;

	if (c->state == IDLE) {
		while (*at != NULL && *at != c)
			at = &(*at)->next_idle;
		if (*at == c)
			*at = c->next_idle;
	}
	disconnect(c);
	if (c->has_request) {
		run->stats->broken++;
		if (!run->options->retries)
			settle(c, FATE_UNKNOWN);
	}
	connect_soon(c);
}

static bool
is_pushing_back(int status)
{
	return status >= 500 || status == 408 || status == 429;
}

static void
send_more(struct connection *c)
{
	struct run *run = c->run;
	size_t bytes;
	const char *request =
	    load_body_get(run->body, c->request, c->base_ms, &bytes);
	ssize_t n = send(c->fd, request + c->out, bytes - c->out, MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		give_up_connection(c);
		return;
	}
	c->out += (size_t)MAX_OF(n, 0);
	run->stats->bytes_sent += (uint64_t)MAX_OF(n, 0);
	c->state = c->out < bytes ? SENDING : WAITING;
	loop_io_change(
	    &c->io, c->state == SENDING ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void
send_request(struct connection *c)
{
	struct run *run = c->run;

	c->state = SENDING;
	c->out = 0;
	c->begun_ns = clock_mono_ns();
	if (run->stats->started_ns == 0)
		run->stats->started_ns = c->begun_ns;
	run->stats->requests_sent++;
	/* what has a key counts once, however often it is sent */
	if (!run->options->is_twice || c->begun_times++ == 0)
		load_ledger_sent(run->ledger, c->request);
	send_more(c);
}

static int64_t
due_ns(const struct run *run)
{
	return run->began_ns + (int64_t)((double)run->next * run->request_ns);
}

static void
begin_request(struct connection *c)
{
	struct run *run = c->run;
	int64_t now_ns = clock_mono_ns();

	c->due_ns = run->request_ns > 0 ? due_ns(run) : now_ns;
	/* whole seconds, so that templates keep their times for one */
	c->base_ms =
	    run->began_wall_ms + (now_ns - run->began_ns) / 1000000000 * 1000;
	c->request = run->next++;
	c->has_request = true;
	c->is_again = false;
	c->begun_times = 0;
	run->open_requests++;
	send_request(c);
}

static void
take_work(struct connection *c)
{
	struct run *run = c->run;

	if (c->has_request) {
		send_request(c);
		return;
	}
	if (!is_over(run) &&
	    (run->request_ns <= 0 || due_ns(run) <= clock_mono_ns())) {
		begin_request(c);
		return;
	}
	c->state = IDLE;
	c->next_idle = run->idle;
	run->idle = c;
	stop_when_done(run);
}

static void
retry_due(struct loop_timer *timer)
{
	struct connection *c = CONTAINER_OF(timer, struct connection, timer);

	send_request(c);
}

static void
retry_later(struct connection *c, bool is_close)
{
	unsigned shift = MIN_OF(c->failures, 8);
	int64_t delay = (int64_t)RETRY_DELAY_MIN_MS << shift;

	c->failures++;
	if (is_close) {
		disconnect(c);
		connect_soon(c);
		return;
	}
	c->state = RETRY_LATER;
	loop_timer_start(c->run->loop, &c->timer,
	    MIN_OF(delay, RETRY_DELAY_MAX_MS), retry_due);
}

static bool
is_first_of_two(const struct connection *c)
{
	return c->run->options->is_twice && !c->is_again;
}

/* Whichever receiver takes the next connection. */
static void
send_again(struct connection *c)
{
	c->is_again = true;
	c->due_ns = clock_mono_ns();
	disconnect(c);
	connect_soon(c);
}

static void
count_answer(struct connection *c, const struct load_answer *a)
{
	struct load_stats *s = c->run->stats;

	s->ended_ns = clock_mono_ns();
	s->answers[a->status]++;
	load_histogram_add(
	    &s->latency, (uint64_t)(s->ended_ns - c->due_ns) / 1000);
	if (a->status != 200 || is_first_of_two(c))
		return;
	s->received += a->received;
	s->sent += a->sent;
	s->dropped += a->dropped;
	s->spooled += a->spooled;
}

static void
take_answer(struct connection *c, const struct load_answer *a)
{
	bool is_close = a->is_close || c->state == SENDING;

	count_answer(c, a);
	if (a->status != 200 && c->run->options->retries &&
	    is_pushing_back(a->status)) {
		retry_later(c, is_close);
		return;
	}
	c->failures = 0;
	if (a->status == 200 && is_first_of_two(c)) {
		send_again(c);
		return;
	}
	settle(c, a->status == 200 ? FATE_ANSWERED : FATE_REFUSED);
	if (is_close) {
		disconnect(c);
		connect_soon(c);
	} else
		take_work(c);
}

static void
stash(struct connection *c, const char *bytes, size_t count)
{
	if (c->in == NULL)
		c->in = must_malloc(LOAD_ANSWER_MAX);
	if (bytes != c->in)
		memcpy(c->in, bytes, count);
	c->in_bytes = count;
}

static void
parse_answer(struct connection *c, const char *bytes, size_t count)
{
	enum load_answer_result result;
	struct load_answer a;

	result = load_answer_parse(bytes, count, &a);
	if (result == ANSWER_MORE && count < LOAD_ANSWER_MAX) {
		stash(c, bytes, count);
		return;
	}
	if (result != ANSWER_DONE || a.bytes != count || !c->has_request ||
	    c->state == RETRY_LATER) {
		c->run->stats->bad++;
		give_up_connection(c);
		return;
	}
	c->in_bytes = 0;
	take_answer(c, &a);
}

static void
receive(struct connection *c)
{
	char *to = c->in_bytes > 0 ? c->in : c->run->answer;
	ssize_t n =
	    recv(c->fd, to + c->in_bytes, LOAD_ANSWER_MAX - c->in_bytes, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		give_up_connection(c);
	else
		parse_answer(c, to, c->in_bytes + (size_t)n);
}

static void
connected(struct connection *c)
{
	int error = 0, on = 1;
	socklen_t bytes = sizeof error;

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &bytes);
	if (error != 0) {
		c->run->stats->refused_connections++;
		c->failures++;
		disconnect(c);
		connect_soon(c);
		return;
	}
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	c->run->connecting--;
	c->run->ever_connected = true;
	c->failures = 0;
	loop_io_change(&c->io, EPOLLIN);
	take_work(c);
}

static void
ready(struct loop_io *io, uint32_t events)
{
	struct connection *c = CONTAINER_OF(io, struct connection, io);

	if (c->state == CONNECTING)
		connected(c);
	else if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
		receive(c);
	else if (c->state == SENDING)
		send_more(c);
}

static void
connect_due(struct loop_timer *timer)
{
	struct connection *c = CONTAINER_OF(timer, struct connection, timer);
	struct run *run = c->run;
	const struct load_target *t = &run->options->url;

	if (is_over(run) && !c->has_request)
		return;
	if (run->connecting >= CONNECTING_MAX) {
		loop_timer_start(
		    run->loop, &c->timer, CONNECT_DELAY_MS, connect_due);
		return;
	}
	c->fd = socket(t->address.ss_family,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd >= 0 &&
	    (connect(c->fd, (const void *)&t->address, t->address_bytes) == 0 ||
		errno == EINPROGRESS) &&
	    loop_io_start(run->loop, &c->io, c->fd, EPOLLOUT, ready)) {
		c->state = CONNECTING;
		run->connecting++;
		return;
	}
	run->stats->refused_connections++;
	c->failures++;
	disconnect(c);
	connect_soon(c);
}

static void
connect_soon(struct connection *c)
{
	unsigned shift = MIN_OF(c->failures, 8);
	int64_t delay = c->failures == 0 ? 0 : (int64_t)2 << shift;

	loop_timer_start(c->run->loop, &c->timer,
	    MIN_OF(delay, RECONNECT_DELAY_MAX_MS), connect_due);
}

static void
pace_due(struct loop_timer *timer)
{
	struct run *run = CONTAINER_OF(timer, struct run, pace);

	for (unsigned i = 0; i < PACE_BURST && run->idle != NULL &&
	     !is_over(run) && due_ns(run) <= clock_mono_ns();
	     i++) {
		struct connection *c = run->idle;

		run->idle = c->next_idle;
		begin_request(c);
	}
	loop_timer_start(run->loop, timer, PACE_MS, pace_due);
}

static void
sweep_due(struct loop_timer *timer)
{
	struct run *run = CONTAINER_OF(timer, struct run, sweep);
	int64_t patience_ns = (int64_t)(run->options->timeout_seconds * 1e9);
	int64_t now_ns = clock_mono_ns();

	for (unsigned i = 0; i < run->options->connections; i++) {
		struct connection *c = &run->connections[i];

		if ((c->state != SENDING && c->state != WAITING) ||
		    now_ns - c->begun_ns < patience_ns)
			continue;
		run->stats->timeouts++;
		give_up_connection(c);
	}
	loop_timer_start(run->loop, timer, SWEEP_MS, sweep_due);
}

static void
send_end_due(struct loop_timer *timer)
{
	struct run *run = CONTAINER_OF(timer, struct run, send_end);

	run->no_more = true;
	stop_when_done(run);
}

static void
end_due(struct loop_timer *timer)
{
	loop_stop(timer->loop);
}

static void
first_due(struct loop_timer *timer)
{
	struct run *run = CONTAINER_OF(timer, struct run, first);

	if (!run->ever_connected)
		loop_stop(run->loop);
}

static void
interrupted(void *context, const struct signalfd_siginfo *info UNUSED)
{
	struct run *run = context;

	loop_stop(run->loop);
}

static void
start_timers(struct run *run)
{
	const struct load_options *o = run->options;
	int64_t send_ms = (int64_t)(o->seconds * 1000);

	if (run->request_ns > 0)
		loop_timer_start(run->loop, &run->pace, PACE_MS, pace_due);
	loop_timer_start(run->loop, &run->sweep, SWEEP_MS, sweep_due);
	loop_timer_start(run->loop, &run->send_end, send_ms, send_end_due);
	/* a request begun at the last moment has its whole time */
	loop_timer_start(run->loop, &run->end,
	    send_ms + (int64_t)(o->timeout_seconds * 1000) + 2 * SWEEP_MS,
	    end_due);
	loop_timer_start(
	    run->loop, &run->first, FIRST_CONNECTION_MS, first_due);
}

static void
start(struct run *run)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	must(loop_signals_start(run->loop, &signals, interrupted, run));
	run->began_wall_ms = clock_wall_ms();
	load_body_prepare(run->body, run->began_wall_ms);
	run->began_ns = clock_mono_ns();
	start_timers(run);
	for (unsigned i = 0; i < run->options->connections; i++) {
		struct connection *c = &run->connections[i];

		c->run = run;
		c->fd = c->io.fd = -1;
		connect_soon(c);
	}
}

static void
finish(struct run *run)
{
	run->no_more = true;
	for (unsigned i = 0; i < run->options->connections; i++) {
		struct connection *c = &run->connections[i];

		disconnect(c);
		if (c->has_request)
			settle(c, FATE_UNKNOWN);
	}
	must(run->open_requests == 0);
	load_ledger_cut(run->ledger, run->next);
	run->ledger->dropped = run->stats->dropped;
	loop_free(&run->loop);
	free(run->connections);
}

bool
load_run(const struct load_options *o, struct load_ledger *ledger,
    struct load_body *body, struct load_stats *stats)
{
	struct run *run = must_calloc(1, sizeof *run);
	bool ever_connected;

	*stats = (struct load_stats){ 0 };
	run->options = o;
	run->ledger = ledger;
	run->body = body;
	run->stats = stats;
	run->loop = loop_new();
	run->connections =
	    must_calloc(o->connections, sizeof run->connections[0]);
	if (o->rate > 0)
		run->request_ns = (double)o->batch / o->rate * 1e9;
	start(run);
	loop_run(run->loop);
	finish(run);
	ever_connected = run->ever_connected;
	free(run);
	return ever_connected;
}
