/*
 * feed_link - consumers' connections: frames in, answers out, waits
 *
 * Process: feed.
 *
 * Sockets are watched edge-triggered for both directions all the time: a read
 * or a write that is short says that there is no more for now.
 */
#include "feed_link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "panic.h"

#define COMPLAIN_MS 60000
#define FIRST_ROOM 512u
#define SWEEP_MIN_MS 50
/* Of one connection in one turn. */
#define REQUESTS_A_TURN 16u
#define BYTES_A_TURN (4u * MiB)

enum state {
	SHAKING, /* hands, of TLS */
	READING,
	WAITING, /* until a topic changes, or the timer is due */
	BUSY, /* until the timer is due: then it is served again */
	HELD, /* until the timer is due: then the answer goes out */
	WRITING,
};

/* What is to be written: a head, and pieces that come between its bytes. */
struct output {
	char *head;
	size_t used, at;
	struct feed_piece *pieces;
	unsigned count, next;
};

struct feed_link {
	struct loop_io io;
	struct feed_links *all;
	TAILQ_ENTRY(feed_link) row, waiting, again, dead;
	int64_t moved_ms, login_until_ms, frame_since_ms;
	struct loop_timer timer;
	struct tls_session *tls;
	struct feed_client client;
	enum state state;
	char *in; /* NULL: nothing has come */
	size_t in_size, in_used;
	struct output out; /* what could not be written at once */
	size_t out_charged;
	bool is_readable; /* as far as epoll has told */
	bool is_peer_done;
	bool is_ending; /* the answer is the last one */
	bool is_again, is_dead;
	char peer[FEED_LINK_PEER_BYTES];
};

static void advance(struct feed_link *);

/* ---- birth and death ---- */

static void
look_again(struct feed_link *l)
{
	if (l->is_again || l->is_dead)
		return;
	l->is_again = true;
	TAILQ_INSERT_TAIL(&l->all->again, l, again);
}

static void
touch(struct feed_link *l)
{
	l->moved_ms = loop_now_ms(l->all->loop);
	TAILQ_REMOVE(&l->all->row, l, row);
	TAILQ_INSERT_TAIL(&l->all->row, l, row);
}

static void
count(struct feed_links *all, int change)
{
	all->count += (unsigned)change;
	all->server->counters.connections = all->count;
	all->has_counted = true;
}

static struct feed_call
call_of(const struct feed_link *l, bool is_late)
{
	return (struct feed_call){ .frame = l->in + KAFKA_FRAME_HEAD,
		.bytes = (size_t)kafka_wire_frame_size(l->in),
		.now_ms = loop_now_ms(l->all->loop),
		.is_late = is_late };
}

static void
stop_waiting(struct feed_link *l)
{
	struct feed_call call;

	if (l->state != WAITING)
		return;
	call = call_of(l, false);
	feed_serve_count(l->all->server, &call, -1);
	TAILQ_REMOVE(&l->all->waiting, l, waiting);
	l->state = READING;
}

static void
release_in(struct feed_link *l)
{
	if (l->in != NULL)
		memory_put(&l->all->memory, l->in, l->in_size);
	l->in = NULL;
	l->in_size = l->in_used = 0;
}

static void
release_out(struct feed_link *l)
{
	free(l->out.head);
	free(l->out.pieces);
	l->out = (struct output){ .head = NULL };
	memory_credit(&l->all->memory, l->out_charged);
	l->out_charged = 0;
}

static void
destroy(struct feed_link *l)
{
	int fd = l->io.fd;

	if (l->is_dead)
		return;
	l->is_dead = true;
	loop_io_stop(&l->io);
	loop_timer_stop(&l->timer);
	stop_waiting(l);
	tls_close(&l->tls);
	close(fd);
	release_in(l);
	release_out(l);
	feed_serve_client_fini(&l->client);
	TAILQ_REMOVE(&l->all->row, l, row);
	TAILQ_INSERT_TAIL(&l->all->dead, l, dead);
	count(l->all, -1);
}

static void
name_peer(struct feed_link *l, int fd)
{
	struct sockaddr_storage at;
	socklen_t bytes = sizeof at;
	char host[INET6_ADDRSTRLEN];

	if (getpeername(fd, (void *)&at, &bytes) < 0 ||
	    getnameinfo((const void *)&at, bytes, host, sizeof host, NULL, 0,
		NI_NUMERICHOST) != 0)
		snprintf(host, sizeof host, "?");
	snprintf(l->peer, sizeof l->peer, "%s", host);
}

/* ---- deadlines ---- */

static void timer_due(struct loop_timer *);

static void
set_timer(struct feed_link *l, int64_t delay_ms)
{
	l->timer.context = l;
	loop_timer_start(
	    l->all->loop, &l->timer, MAX_OF(delay_ms, 0), timer_due);
}

/* While nothing else is timed. */
static void
watch_progress(struct feed_link *l)
{
	int64_t until = INT64_MAX;

	if (l->is_dead || l->state == WAITING || l->state == BUSY ||
	    l->state == HELD)
		return;
	if (l->client.login != FEED_LOGIN_DONE || l->state == SHAKING)
		until = l->login_until_ms;
	if (l->state == READING && l->in_used > 0)
		until = MIN_OF(until, l->frame_since_ms + FEED_LINK_FRAME_MS);
	if (until == INT64_MAX)
		loop_timer_stop(&l->timer);
	else
		set_timer(l, until - loop_now_ms(l->all->loop));
}

static void sweep_due(struct loop_timer *);

static void
start_sweep(struct feed_links *all)
{
	const struct feed_link *oldest = TAILQ_FIRST(&all->row);
	int64_t idle = all->server->conf->pull_idle_timeout_ms, delay;

	if (idle == 0 || oldest == NULL)
		return;
	delay = oldest->moved_ms + idle - loop_now_ms(all->loop);
	all->sweep.context = all;
	loop_timer_start(
	    all->loop, &all->sweep, MAX_OF(delay, SWEEP_MIN_MS), sweep_due);
}

static void
sweep_due(struct loop_timer *timer)
{
	struct feed_links *all = timer->context;
	int64_t before =
	    loop_now_ms(all->loop) - all->server->conf->pull_idle_timeout_ms;
	struct feed_link *l;

	while ((l = TAILQ_FIRST(&all->row)) != NULL && l->moved_ms <= before) {
		/* it is we who let him wait */
		if (l->state == WAITING)
			touch(l);
		else
			destroy(l);
	}
	start_sweep(all);
}

/* ---- out ---- */

/* As sendmsg. */
static ssize_t
write_some(struct feed_link *l, struct iovec *iovs, unsigned n)
{
	struct msghdr message = { .msg_iov = iovs, .msg_iovlen = n };
	ssize_t sum = 0;

	if (l->tls == NULL)
		return sendmsg(l->io.fd, &message, MSG_NOSIGNAL);
	for (unsigned i = 0; i < n; i++) {
		ssize_t done =
		    tls_write(l->tls, iovs[i].iov_base, iovs[i].iov_len);

		if (done < 0)
			return sum > 0 ? sum : -1;
		sum += done;
		if ((size_t)done < iovs[i].iov_len)
			break;
	}
	return sum;
}

/* The head up to its next piece, and of that what is found. -1 with errno; 0:
 * all is written. */
static ssize_t
write_part(struct feed_link *l, struct output *o)
{
	struct feed_piece *piece =
	    o->next < o->count ? &o->pieces[o->next] : NULL;
	size_t until = piece != NULL ? piece->head_at : o->used;
	size_t head = until - o->at;
	struct iovec iovs[FEED_TOPIC_IOVS + 1];
	struct feed_gather found = { .count = 0 };
	unsigned n = 0;
	ssize_t done = -1;
	int error = EIO;

	if (head > 0)
		iovs[n++] = (struct iovec){ o->head + o->at, head };
	if (piece == NULL)
		return n > 0 ? write_some(l, iovs, n) : 0;
	if (feed_topic_begin(piece->topic, loop_now_ms(l->all->loop))) {
		if (feed_topic_gather(piece, &found) > 0) {
			memcpy(
			    iovs + n, found.iovs, found.count * sizeof iovs[0]);
			done = write_some(l, iovs, n + found.count);
			error = errno;
		}
		feed_topic_end(piece->topic);
	}
	errno = error;
	if (done > (ssize_t)head)
		feed_topic_sent(piece, &found, (size_t)done - head);
	if (piece->left == 0)
		o->next++;
	return done;
}

enum written { ALL_WRITTEN, SOME_WRITTEN, NOT_WRITTEN };

/* NOT_WRITTEN: the connection is broken, or what was promised is gone. */
static enum written
write_out(struct feed_link *l, struct output *o)
{
	size_t sum = 0;

	while (o->at < o->used || o->next < o->count) {
		const struct feed_piece *piece =
		    o->next < o->count ? &o->pieces[o->next] : NULL;
		size_t until = piece != NULL ? piece->head_at : o->used;
		ssize_t done;

		if (sum >= BYTES_A_TURN) {
			look_again(l);
			return SOME_WRITTEN;
		}
		done = write_part(l, o);
		if (done < 0)
			return errno == EAGAIN || errno == EINTR ? SOME_WRITTEN
								 : NOT_WRITTEN;
		o->at += MIN_OF((size_t)done, until - o->at);
		sum += (size_t)done;
		touch(l);
	}
	return ALL_WRITTEN;
}

/* What is left of the server's answer becomes the connection's own. */
static bool
keep_out(struct feed_link *l, const struct output *o)
{
	size_t head = o->used - o->at;
	size_t pieces = (o->count - o->next) * sizeof o->pieces[0];
	struct output *to = &l->out;

	if (!memory_charge(&l->all->memory, head + pieces))
		return false;
	l->out_charged = head + pieces;
	*to = (struct output){ .head = must_malloc(MAX_OF(head, 1)),
		.used = head,
		.pieces = must_malloc(MAX_OF(pieces, 1)),
		.count = o->count - o->next };
	memcpy(to->head, o->head + o->at, head);
	for (unsigned i = 0; i < to->count; i++) {
		to->pieces[i] = o->pieces[o->next + i];
		to->pieces[i].head_at -= MIN_OF(o->at, to->pieces[i].head_at);
	}
	return true;
}

static void
no_memory(struct feed_link *l)
{
	if (log_may_repeat(&l->all->said_memory_ms, COMPLAIN_MS))
		log_warnx("pull.memoryBytes is used up: a consumer at %s is "
			  "sent away",
		    l->peer);
	destroy(l);
}

/* The frame is done with. */
static void
consume(struct feed_link *l)
{
	size_t bytes = KAFKA_FRAME_HEAD + (size_t)kafka_wire_frame_size(l->in);

	must(bytes <= l->in_used);
	l->in_used -= bytes;
	memmove(l->in, l->in + bytes, l->in_used);
	l->frame_since_ms = loop_now_ms(l->all->loop);
	if (l->in_used == 0)
		release_in(l);
}

static void
is_out(struct feed_link *l)
{
	release_out(l);
	l->state = READING;
	if (!l->is_ending && !l->all->is_draining)
		return;
	if (l->tls != NULL)
		tls_end(l->tls);
	destroy(l);
}

static void
send_answer(struct feed_link *l)
{
	struct feed_server *s = l->all->server;
	struct output o = { .head = s->head.bytes,
		.used = s->head.used,
		.pieces = s->pieces,
		.count = s->piece_count };

	l->state = WRITING;
	switch (write_out(l, &o)) {
	case ALL_WRITTEN: is_out(l); break;
	case SOME_WRITTEN:
		if (!keep_out(l, &o))
			no_memory(l);
		break;
	case NOT_WRITTEN: destroy(l); break;
	}
}

/* ---- a frame ---- */

static void
hold_answer(struct feed_link *l, int64_t wait_ms)
{
	struct feed_server *s = l->all->server;
	struct output o = { .head = s->head.bytes, .used = s->head.used };

	l->is_ending = true;
	if (!keep_out(l, &o)) {
		no_memory(l);
		return;
	}
	l->state = HELD;
	set_timer(l, wait_ms);
}

/* It waits now, or goes on waiting. */
static void
wait_on(struct feed_link *l, const struct feed_call *call, bool has_waited)
{
	if (has_waited)
		return;
	feed_serve_count(l->all->server, call, +1);
	TAILQ_INSERT_TAIL(&l->all->waiting, l, waiting);
	l->state = WAITING;
	set_timer(l, call->wait_ms);
}

static void
serve(struct feed_link *l, bool is_late)
{
	struct feed_links *all = l->all;
	struct feed_call call = call_of(l, is_late || all->is_draining);
	bool has_waited = l->state == WAITING;
	enum feed_served served = feed_serve(all->server, &l->client, &call);

	all->has_counted = true;
	if (served == FEED_WAITS) {
		wait_on(l, &call, has_waited);
		return;
	}
	stop_waiting(l);
	loop_timer_stop(&l->timer);
	if (served == FEED_BUSY) {
		l->state = BUSY;
		set_timer(l, call.wait_ms);
		return;
	}
	all->server->counters.requests++;
	consume(l);
	switch (served) {
	case FEED_ANSWERED: send_answer(l); break;
	case FEED_REFUSED: hold_answer(l, call.wait_ms); break;
	default: destroy(l); break;
	}
}

static void
timer_due(struct loop_timer *timer)
{
	struct feed_link *l = timer->context;

	switch (l->state) {
	case WAITING: serve(l, true); break;
	case BUSY:
		l->state = READING;
		serve(l, false);
		break;
	case HELD: l->state = WRITING; break;
	default: destroy(l); return; /* too slow */
	}
	advance(l);
}

/* ---- in ---- */

static void
complain_of_size(struct feed_link *l, int32_t size)
{
	const unsigned char *at = (const unsigned char *)l->in;
	const char *what = "what is no request of Kafka's protocol";

	l->all->server->counters.requests_refused++;
	if (!log_may_repeat(&l->all->said_ms, COMPLAIN_MS))
		return;
	if (at[0] == 0x16 && at[1] == 0x03)
		what = "TLS, and pull.tls is not set; set it, or "
		       "security.protocol in consumerProperties";
	else if (memcmp(at, "GET ", 4) == 0 || memcmp(at, "POST", 4) == 0)
		what = "HTTP; events go to http.port";
	else if (size > 0 && l->client.login != FEED_LOGIN_DONE)
		what = "a long request before he has logged in";
	log_warnx("a client at %s sends to pull.listen %s", l->peer, what);
}

/* Of the frame that is coming; 0: not known yet, -1: it is none. */
static int64_t
frame_bytes(const struct feed_link *l)
{
	int32_t most = l->client.login == FEED_LOGIN_DONE
	    ? (int32_t)KAFKA_REQUEST_BYTES_MAX
	    : (int32_t)FEED_LINK_LOGIN_BYTES_MAX;
	int32_t size;

	if (l->in_used < KAFKA_FRAME_HEAD)
		return 0;
	size = kafka_wire_frame_size(l->in);
	if (size < 0 || size > most)
		return -1;
	return (int64_t)size + KAFKA_FRAME_HEAD;
}

/* Memory is given as bytes come, whatever the frame's head promises. */
static bool
make_room(struct feed_link *l)
{
	size_t want = (size_t)MAX_OF(frame_bytes(l), 0);
	char *larger;

	if (l->in_used < l->in_size)
		return true;
	want = MIN_OF(
	    MAX_OF(want, FIRST_ROOM), MAX_OF(2 * l->in_used, FIRST_ROOM));
	want = MAX_OF(want, l->in_used + 1);
	larger = l->in == NULL
	    ? memory_get(&l->all->memory, want, &l->in_size)
	    : memory_grow(&l->all->memory, l->in, &l->in_size, want);
	if (larger == NULL) {
		no_memory(l);
		return false;
	}
	l->in = larger;
	return true;
}

static void
read_once(struct feed_link *l)
{
	size_t room;
	ssize_t n;

	if (!make_room(l))
		return;
	room = l->in_size - l->in_used;
	n = l->tls != NULL ? tls_read(l->tls, l->in + l->in_used, room)
			   : recv(l->io.fd, l->in + l->in_used, room, 0);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		destroy(l);
		return;
	}
	if (n < 0) {
		l->is_readable = errno == EINTR;
		if (l->in_used == 0)
			release_in(l);
		return;
	}
	l->is_readable = (size_t)n == room || l->is_peer_done ||
	    (l->tls != NULL && tls_has_more(l->tls));
	if (l->in_used == 0)
		l->frame_since_ms = loop_now_ms(l->all->loop);
	l->in_used += (size_t)n;
	l->all->server->counters.bytes_in += (size_t)n;
	touch(l);
}

static void
shake_hands(struct feed_link *l)
{
	struct counters *c = &l->all->server->counters;
	char why[TLS_WHY_BYTES];

	switch (tls_handshake(l->tls, why)) {
	case TLS_WAITS: return;
	case TLS_DONE:
		c->handshakes++;
		l->state = READING;
		l->is_readable = true;
		touch(l);
		return;
	case TLS_PLAIN:
		snprintf(why, sizeof why, "he speaks no TLS (pull.tls)");
		break;
	case TLS_FAILED: break;
	}
	c->handshakes_failed++;
	if (log_may_repeat(&l->all->said_ms, COMPLAIN_MS))
		log_info("TLS handshake with %s failed: %s (more may fail, "
			 "status counts them)",
		    l->peer, why);
	destroy(l);
}

/* One thing that can be done now; false: there is none. */
static bool
step(struct feed_link *l)
{
	enum state before = l->state;
	int64_t bytes;

	switch (l->state) {
	case SHAKING: shake_hands(l); return !l->is_dead && l->state != before;
	case WAITING:
	case BUSY:
	case HELD:
		/* nobody is there any more to be answered */
		if (l->is_peer_done)
			destroy(l);
		return false;
	case WRITING:
		switch (write_out(l, &l->out)) {
		case ALL_WRITTEN: is_out(l); return !l->is_dead;
		case SOME_WRITTEN: return false;
		case NOT_WRITTEN: break;
		}
		destroy(l);
		return false;
	case READING: break;
	}
	bytes = frame_bytes(l);
	if (bytes < 0) {
		complain_of_size(l, kafka_wire_frame_size(l->in));
		destroy(l);
	} else if (bytes > 0 && l->in_used >= (size_t)bytes) {
		serve(l, false);
	} else if (l->is_readable) {
		read_once(l);
	} else {
		return false;
	}
	return !l->is_dead;
}

/* As far as it goes in one turn. */
static void
advance(struct feed_link *l)
{
	unsigned steps = 0;

	while (!l->is_dead && step(l))
		if (++steps == 2 * REQUESTS_A_TURN) {
			look_again(l);
			break;
		}
	watch_progress(l);
}

static void
link_ready(struct loop_io *io, uint32_t events)
{
	struct feed_link *l = CONTAINER_OF(io, struct feed_link, io);

	if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
		destroy(l);
		return;
	}
	if ((events & EPOLLRDHUP) != 0)
		l->is_peer_done = true;
	if ((events & EPOLLIN) != 0 ||
	    (l->tls != NULL && tls_wants_write(l->tls)))
		l->is_readable = true;
	advance(l);
}

/* ---- all of them ---- */

void
feed_link_init_all(struct feed_links *all, int64_t memory_bytes)
{
	memory_init(&all->memory, (size_t)memory_bytes);
	TAILQ_INIT(&all->row);
	TAILQ_INIT(&all->waiting);
	TAILQ_INIT(&all->again);
	TAILQ_INIT(&all->dead);
}

void
feed_link_accept(struct feed_links *all, int fd)
{
	struct feed_link *l = calloc(1, sizeof *l);

	if (l != NULL && all->tls != NULL)
		l->tls = tls_open(all->tls, fd);
	if (l == NULL || (all->tls != NULL && l->tls == NULL) ||
	    !loop_io_start(all->loop, &l->io, fd,
		EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, link_ready)) {
		log_warn("a consumer's connection cannot be taken");
		if (l != NULL)
			tls_close(&l->tls);
		free(l);
		close(fd);
		return;
	}
	l->all = all;
	l->state = l->tls != NULL ? SHAKING : READING;
	name_peer(l, fd);
	feed_serve_client_init(all->server, &l->client, l->peer);
	l->moved_ms = loop_now_ms(all->loop);
	l->login_until_ms = l->moved_ms + FEED_LINK_LOGIN_MS;
	TAILQ_INSERT_TAIL(&all->row, l, row);
	count(all, +1);
	all->server->counters.accepted++;
	watch_progress(l);
	if (!loop_timer_active(&all->sweep))
		start_sweep(all);
}

/* Announces to the workers that we sleep; true: to one that did not know, or
 * has rung, so that who waits for its topic must look once more. */
static bool
announce(struct feed_links *all)
{
	struct feed_topics *topics = &all->server->topics;
	bool is_new = false;

	if (TAILQ_EMPTY(&all->waiting))
		return false;
	for (unsigned i = 0; i < topics->count; i++) {
		struct feed_topic *t = &topics->all[i];

		t->has_changed = t->waiters > 0 && log_page_await(t->page);
		is_new = is_new || t->has_changed;
	}
	return is_new;
}

static void
serve_waiting(struct feed_links *all)
{
	struct feed_link *l = TAILQ_FIRST(&all->waiting), *next;

	for (; l != NULL; l = next) {
		struct feed_call call = call_of(l, false);

		next = TAILQ_NEXT(l, waiting);
		if (!feed_serve_is_due(all->server, &call))
			continue;
		serve(l, false);
		if (!l->is_dead && l->state != WAITING)
			look_again(l);
	}
}

static void
reap(struct feed_links *all)
{
	struct feed_link *l = TAILQ_FIRST(&all->dead), *next;

	for (; l != NULL; l = next) {
		next = TAILQ_NEXT(l, dead);
		if (l->is_again)
			continue; /* it stands in that row */
		TAILQ_REMOVE(&all->dead, l, dead);
		free(l);
	}
}

bool
feed_link_turn(struct feed_links *all)
{
	struct feed_link_row again;
	struct feed_link *l;

	TAILQ_INIT(&again);
	TAILQ_CONCAT(&again, &all->again, again);
	while ((l = TAILQ_FIRST(&again)) != NULL) {
		TAILQ_REMOVE(&again, l, again);
		l->is_again = false;
		if (!l->is_dead)
			advance(l);
	}
	if (announce(all))
		serve_waiting(all);
	reap(all);
	return !TAILQ_EMPTY(&all->again);
}

void
feed_link_drain(struct feed_links *all)
{
	struct feed_link *l = TAILQ_FIRST(&all->row), *next;

	all->is_draining = true;
	for (; l != NULL; l = next) {
		next = TAILQ_NEXT(l, row);
		if (l->state == WAITING)
			serve(l, true);
		else if (l->state != WRITING && l->state != HELD)
			destroy(l);
	}
}

bool
feed_link_make_room(struct feed_links *all)
{
	int64_t before = loop_now_ms(all->loop) - FEED_LINK_STILL_MS;
	struct feed_link *l;

	TAILQ_FOREACH(l, &all->row, row)
	{
		if (l->moved_ms > before)
			return false;
		if (l->state == WAITING)
			continue;
		all->server->counters.evicted++;
		destroy(l);
		return true;
	}
	return false;
}

void
feed_link_fini_all(struct feed_links *all)
{
	struct feed_link *l;

	while ((l = TAILQ_FIRST(&all->row)) != NULL)
		destroy(l);
	while ((l = TAILQ_FIRST(&all->dead)) != NULL) {
		TAILQ_REMOVE(&all->dead, l, dead);
		free(l);
	}
	loop_timer_stop(&all->sweep);
	memory_fini(&all->memory);
}
