/*
 * connection - one client: bytes in, requests one after the other, answers out
 *
 * Process: receiver.
 *
 * Sockets are watched edge-triggered for both directions all the time, so a
 * request costs one recv and one send and no epoll_ctl. A short read means
 * that there is no more for now.
 */
#include "connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "exchange.h"
#include "fault.h"
#include "log.h"
#include "panic.h"
#include "patience.h"

#define INPUT_BYTES (256u * KiB)
#define READ_MAX (1u * MiB) /* of one connection in one turn */
#define TIGHT_READ (3u * KiB) /* when memory is short */
#define FIRST_OWN (512u * KiB) /* a body's first memory, at most */
#define FIRST_HEAD 2048u
#define LINGER_MS 2000
#define COMPLAIN_MS 10000

/* To who speaks plain HTTP where HTTPS is spoken. */
static const char plain_answer[] =
    "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain;charset=UTF-8\r\n"
    "Content-Length: 46\r\nConnection: close\r\n\r\n"
    "This port speaks HTTPS: use an https:// URL.\r\n";

static void connection_ready(struct loop_io *, uint32_t);

/* It gets another look in this turn's end, or in the next turn. */
static void
look_again(struct connection *c)
{
	struct connections *all = c->all;

	if (c->is_again || c->is_dead)
		return;
	c->is_again = true;
	c->next_again = NULL;
	*all->again_end = c;
	all->again_end = &c->next_again;
}

static void
unpark(struct connection *c)
{
	struct connections *all = c->all;
	struct connection **at = &all->parked;

	if (!c->is_parked)
		return;
	while (*at != c)
		at = &(*at)->next_parked;
	*at = c->next_parked;
	if (all->parked_end == &c->next_parked)
		all->parked_end = at;
	c->is_parked = false;
	loop_timer_stop(&c->timer);
}

static void
release_own(struct connection *c)
{
	if (c->own != NULL)
		memory_put(&c->all->memory, c->own, c->own_size);
	c->own = NULL;
	c->own_size = c->own_at = c->own_used = 0;
}

static void
note_count(struct connections *all, unsigned count)
{
	all->count = count;
	all->counters.connections = count;
	all->has_counted = true;
	if (all->crowd != NULL)
		atomic_store_explicit(
		    &all->crowd[all->crowd_index], count, memory_order_relaxed);
}

void
connection_destroy(struct connection *c)
{
	struct connections *all = c->all;
	int fd = c->io.fd;

	if (c->is_dead)
		return;
	c->is_dead = true;
	loop_io_stop(&c->io);
	tls_close(&c->tls);
	all->handshaking -= c->is_handshaking;
	c->is_handshaking = false;
	close(fd);
	if (c->post != NULL)
		post_abandon(c->post);
	c->post = NULL;
	unpark(c);
	loop_timer_stop(&c->timer);
	release_own(c);
	exchange_drop_output(c);
	patience_leave(c);
	note_count(all, all->count - 1);
	c->next_dead = all->dead;
	all->dead = c;
}

static void
linger_over(struct loop_timer *timer)
{
	connection_destroy(timer->context);
}

/* All is said. A close with bytes unread would reset the connection, and the
 * client might lose our answer; so it gets time to read it. */
static void
close_politely(struct connection *c, bool has_unread)
{
	if (!has_unread && !c->is_readable) {
		connection_destroy(c);
		return;
	}
	release_own(c);
	c->is_lingering = true;
	if (c->tls != NULL)
		tls_end(c->tls);
	shutdown(c->io.fd, SHUT_WR);
	c->timer.context = c;
	loop_timer_start(c->all->loop, &c->timer, LINGER_MS, linger_over);
	look_again(c);
}

const char *
connection_peer(
    const struct connection *c, char to[static CONNECTION_PEER_BYTES])
{
	struct sockaddr_storage at;
	socklen_t bytes = sizeof at;
	char host[INET6_ADDRSTRLEN];

	if (getpeername(c->io.fd, (void *)&at, &bytes) < 0 ||
	    getnameinfo((const void *)&at, bytes, host, sizeof host, NULL, 0,
		NI_NUMERICHOST) != 0)
		snprintf(host, sizeof host, "?");
	snprintf(to, CONNECTION_PEER_BYTES, "%s", host);
	return to;
}

/* As recv. */
static ssize_t
receive(struct connection *c, void *to, size_t room)
{
	FAULT_POINT(READ);
	if (LIKELY(c->tls == NULL))
		return recv(c->io.fd, to, room, 0);
	return tls_read(c->tls, to, room);
}

ssize_t
connection_send(struct connection *c, const void *bytes, size_t count)
{
	if (LIKELY(c->tls == NULL))
		return send(c->io.fd, bytes, count, MSG_NOSIGNAL);
	return tls_write(c->tls, bytes, count);
}

/* The next read says something, whether or not epoll does. */
static bool
has_news(const struct connection *c)
{
	return c->is_peer_done || (c->tls != NULL && tls_has_more(c->tls));
}

/* Reads and forgets; what is encrypted need not be understood. */
static void
discard_input(struct connection *c)
{
	ssize_t n;

	if (!c->is_readable)
		return;
	n = recv(c->io.fd, c->all->input, INPUT_BYTES, 0);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		connection_destroy(c);
		return;
	}
	c->is_readable = n == (ssize_t)INPUT_BYTES || c->is_peer_done;
	if (c->is_readable)
		look_again(c);
}

/* False: there is still something that waits to be written. */
static bool
flush_kept(struct connection *c)
{
	ssize_t n;

	if (c->out == NULL)
		return true;
	n = connection_send(c, c->out + c->out_at, c->out_used - c->out_at);
	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			connection_destroy(c);
		return false;
	}
	patience_touch(c);
	c->out_at += (size_t)n;
	if (c->out_at < c->out_used)
		return false;
	exchange_drop_output(c);
	return true;
}

/* The post waits for room and needs its body, which now lies in `own`. */
static void
keep_body(struct connection *c)
{
	const char *body = c->own + c->own_at + c->request.head_bytes;
	struct reply reply;

	if (!c->is_kept || c->post == NULL || post_keep(c->post, body, &reply))
		return;
	c->post = NULL;
	c->is_kept = false;
	exchange_consume(c, &c->own_at);
	exchange_answer(c, &reply);
}

static void
after_answers(struct connection *c, bool has_unread)
{
	exchange_flush(c);
	if (c->is_broken)
		connection_destroy(c);
	if (c->is_dead || c->out != NULL)
		return;
	if (c->is_closing) {
		close_politely(c, has_unread);
		return;
	}
	if (!exchange_is_busy(c) && (c->is_readable || c->is_unserved))
		look_again(c);
}

/* What was read cannot be kept. A request that is in the rings is still
 * answered, what came behind it is not. */
static void
no_memory(struct connection *c)
{
	c->keeps_alive = false;
	if (c->post != NULL && !c->is_kept)
		return;
	if (c->post != NULL)
		post_abandon(c->post);
	c->post = NULL;
	c->is_kept = false;
	exchange_refuse(c, 503, "http.bodyMemoryBytes is used up\n");
}

/* What is left of the shared input goes to memory of its own. */
static void
stash(struct connection *c, const struct span *s)
{
	struct connections *all = c->all;
	size_t rest = s->used - s->at;

	if (rest == 0 || c->is_closing || c->is_dead)
		return;
	c->own =
	    memory_get(&all->memory, rest + JSON_SCAN_PADDING, &c->own_size);
	if (c->own == NULL) {
		no_memory(c);
		return;
	}
	memcpy(c->own, s->bytes + s->at, rest);
	c->own_at = 0;
	c->own_used = rest;
	/* behind a post that is waited for, there may be whole requests */
	c->is_unserved = c->post != NULL || c->out != NULL;
	keep_body(c);
	patience_watch_head(c);
}

static void
serve_own(struct connection *c)
{
	struct span s = { c->own, c->own_at, c->own_used };

	c->is_unserved = false;
	exchange_serve(c, &s);
	c->own_at = s.at;
	c->own_used = s.used;
	keep_body(c);
	c->is_unserved = c->own_at < c->own_used && exchange_is_busy(c);
	if (c->own_at == c->own_used)
		release_own(c);
	patience_watch_head(c);
	after_answers(c, c->own != NULL);
}

static void
serve_shared(struct connection *c, size_t count)
{
	struct span s = { c->all->input, 0, count };

	exchange_serve(c, &s);
	stash(c, &s);
	after_answers(c, s.at < s.used);
}

static void
parked_too_long(struct loop_timer *timer)
{
	struct connection *c = timer->context;

	unpark(c);
	exchange_refuse(c, 503, "http.bodyMemoryBytes is used up\n");
	after_answers(c, true);
}

/* No memory for more of the body: it waits unread, and not for longer because
 * something comes free again and again that is not enough. */
static void
park(struct connection *c)
{
	struct connections *all = c->all;
	int64_t now = loop_now_ms(all->loop);
	int64_t limit = exchange_conf(all)->http_block_timeout_ms;

	if (c->waits_ms == 0)
		c->waits_ms = now;
	c->is_parked = true;
	c->is_head_timed = false;
	c->next_parked = NULL;
	*all->parked_end = c;
	all->parked_end = &c->next_parked;
	c->timer.context = c;
	loop_timer_start(all->loop, &c->timer,
	    MAX_OF(c->waits_ms + limit - now, 0), parked_too_long);
}

/* How large `own` should be: for all of the request when its length is known,
 * but memory is given only as bytes come. */
static size_t
wanted_bytes(const struct connection *c)
{
	size_t live = c->own_used - c->own_at;
	size_t wanted = MAX_OF(live * 2, FIRST_OWN);

	if (c->has_head && !c->request.is_chunked)
		return MAX_OF(MIN_OF(wanted, c->request_bytes), live + 1);
	return c->has_head ? wanted : MAX_OF(live * 2, FIRST_HEAD);
}

/* Room to read into; false: parked. */
static bool
make_room(struct connection *c)
{
	struct memory *memory = &c->all->memory;
	size_t live = c->own_used - c->own_at;
	char *larger;

	if (c->own_used + JSON_SCAN_PADDING < c->own_size)
		return true;
	if (c->own_at > 0) {
		memmove(c->own, c->own + c->own_at, live);
		c->own_at = 0;
		c->own_used = live;
		return true;
	}
	larger = memory_grow(
	    memory, c->own, &c->own_size, wanted_bytes(c) + JSON_SCAN_PADDING);
	if (larger == NULL) {
		park(c);
		return false;
	}
	c->own = larger;
	c->waits_ms = 0;
	return true;
}

static void
input_ended(struct connection *c)
{
	c->is_readable = false;
	if (c->own == NULL) {
		connection_destroy(c);
		return;
	}
	exchange_refuse(c, 400, "The request ends too early\n");
	after_answers(c, false);
}

static size_t
room_of(const struct connection *c)
{
	const struct memory *m = &c->all->memory;

	if (c->own != NULL)
		return MIN_OF(
		    c->own_size - JSON_SCAN_PADDING - c->own_used, READ_MAX);
	return m->max - MIN_OF(m->used, m->max) < 2 * INPUT_BYTES ? TIGHT_READ
								  : INPUT_BYTES;
}

static void
read_once(struct connection *c)
{
	char *to;
	size_t room;
	ssize_t n;

	if (c->own != NULL && !make_room(c))
		return;
	to = c->own != NULL ? c->own + c->own_used : c->all->input;
	room = room_of(c);
	n = receive(c, to, room);
	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			connection_destroy(c);
		c->is_readable = errno == EINTR;
		return;
	}
	if (n == 0) {
		input_ended(c);
		return;
	}
	c->is_readable = (size_t)n == room || has_news(c);
	c->all->counters.bytes_in += (size_t)n;
	c->all->has_counted = true;
	patience_received(c, (size_t)n);
	if (c->own == NULL) {
		serve_shared(c, (size_t)n);
		return;
	}
	c->own_used += (size_t)n;
	serve_own(c);
}

static void
handshake_over(struct loop_timer *timer)
{
	struct connection *c = timer->context;

	c->all->counters.handshakes_failed++;
	c->all->has_counted = true;
	connection_destroy(c);
}

static void
complain_of_handshake(struct connection *c, const char *why)
{
	char peer[CONNECTION_PEER_BYTES];

	if (log_may_repeat(&c->all->complained_tls_ms, COMPLAIN_MS))
		log_info("TLS handshake with %s failed: %s (more may fail, "
			 "status counts them)",
		    connection_peer(c, peer), why);
}

/* True: it is over, requests may come. */
static bool
shake_hands(struct connection *c)
{
	char why[TLS_WHY_BYTES];

	switch (tls_handshake(c->tls, why)) {
	case TLS_WAITS: return false;
	case TLS_DONE: break;
	case TLS_PLAIN:
		/* whether it gets out or not */
		(void)send(c->io.fd, plain_answer, sizeof plain_answer - 1,
		    MSG_NOSIGNAL);
		/* fallthrough */
	case TLS_FAILED:
		c->all->counters.handshakes_failed++;
		complain_of_handshake(c, why);
		connection_destroy(c);
		return false;
	}
	c->is_handshaking = false;
	c->all->handshaking--;
	c->all->counters.handshakes++;
	c->all->has_counted = true;
	loop_timer_stop(&c->timer);
	patience_touch(c);
	c->is_readable = true; /* a request may have come along */
	return true;
}

/* As far as it goes in one turn. */
static void
advance(struct connection *c)
{
	if (UNLIKELY(c->is_handshaking) && !shake_hands(c))
		return;
	if (c->is_lingering) {
		discard_input(c);
		return;
	}
	if (c->out != NULL) {
		if (!flush_kept(c))
			return;
		after_answers(c, c->own != NULL);
		if (c->is_dead || c->is_lingering)
			return;
	}
	if (exchange_is_busy(c))
		return;
	if (c->is_unserved)
		serve_own(c);
	else if (c->is_readable)
		read_once(c);
	if (!c->is_dead && !exchange_is_busy(c) &&
	    (c->is_readable || c->is_unserved))
		look_again(c);
}

static void
connection_ready(struct loop_io *io, uint32_t events)
{
	struct connection *c = CONTAINER_OF(io, struct connection, io);

	if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
		connection_destroy(c);
		return;
	}
	if ((events & EPOLLRDHUP) != 0)
		c->is_peer_done = true;
	if ((events & EPOLLIN) != 0 ||
	    (c->tls != NULL && tls_wants_write(c->tls)))
		c->is_readable = true;
	advance(c);
}

/* posts.done: the answer of the request that was waited for. */
static void
post_done(void *owner, const struct reply *reply)
{
	struct connection *c = owner;

	c->post = NULL;
	if (c->is_kept)
		exchange_consume(c, &c->own_at);
	c->is_kept = false;
	if (c->own != NULL && c->own_at == c->own_used)
		release_own(c);
	c->is_unserved = c->own != NULL;
	patience_touch(c);
	exchange_answer(c, reply);
	after_answers(c, c->own != NULL);
}

/* posts.written: the body that was kept is in the rings. */
static void
post_written(void *owner)
{
	struct connection *c = owner;

	exchange_consume(c, &c->own_at);
	c->is_kept = false;
	if (c->own_at == c->own_used)
		release_own(c);
}

void
connection_time_out(struct connection *c, const char *why)
{
	bool is_partial = c->own != NULL && c->out == NULL && !c->is_lingering;

	if (!is_partial) {
		connection_destroy(c);
		return;
	}
	unpark(c);
	patience_touch(c);
	exchange_refuse(c, 408, why);
	after_answers(c, true);
}

void
connection_settings_changed(struct connections *all)
{
	all->memory.max = (size_t)exchange_conf(all)->http_body_memory_bytes;
	patience_settings_changed(all);
}

/* False: no memory, or HTTPS is not served. */
static bool
begin_tls(struct connections *all, struct connection *c, int fd)
{
	struct tls *tls = all->posts->settings->tls;

	if (tls != NULL)
		c->tls = tls_open(tls, fd);
	if (c->tls == NULL)
		return false;
	c->is_handshaking = true;
	c->timer.context = c;
	loop_timer_start(all->loop, &c->timer,
	    exchange_conf(all)->https_handshake_timeout_ms, handshake_over);
	all->handshaking++;
	return true;
}

static void
not_taken(struct connections *all, struct connection *c)
{
	if (c == NULL)
		return;
	all->handshaking -= c->is_handshaking;
	loop_timer_stop(&c->timer);
	tls_close(&c->tls);
	free(c);
}

unsigned
connection_crowd(const struct connections *all)
{
	unsigned open = all->count;

	for (unsigned i = 0; i < all->crowd_count; i++)
		if (i != all->crowd_index)
			open += atomic_load_explicit(
			    &all->crowd[i], memory_order_relaxed);
	return open;
}

void
connection_accept(struct connections *all, int fd, bool is_tls)
{
	struct connection *c = calloc(1, sizeof *c);

	if (c == NULL || (is_tls && !begin_tls(all, c, fd)) ||
	    !loop_io_start(all->loop, &c->io, fd,
		EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, connection_ready)) {
		log_warn("a connection cannot be taken");
		not_taken(all, c);
		close(fd);
		return;
	}
	c->all = all;
	http_request_init(&c->request);
	patience_enter(c);
	note_count(all, all->count + 1);
	all->counters.accepted++;
}

static void
unpark_all(struct connections *all)
{
	struct connection *c;

	if (!all->memory.has_freed)
		return;
	all->memory.has_freed = false;
	while ((c = all->parked) != NULL) {
		unpark(c);
		/* it was we who stood still */
		patience_touch(c);
		patience_watch_head(c);
		look_again(c);
	}
}

static void
reap(struct connections *all)
{
	struct connection **at = &all->dead, *c;

	while ((c = *at) != NULL) {
		if (c->is_again) {
			at = &c->next_dead;
			continue;
		}
		*at = c->next_dead;
		free(c);
	}
}

bool
connection_turn(struct connections *all)
{
	struct connection *c, *next;

	unpark_all(all);
	c = all->again;
	all->again = NULL;
	all->again_end = &all->again;
	for (; c != NULL; c = next) {
		next = c->next_again;
		c->is_again = false;
		if (!c->is_dead)
			advance(c);
	}
	reap(all);
	return all->again != NULL;
}

void
connection_drain(struct connections *all)
{
	struct connection *c, *next;

	all->is_draining = true;
	for (c = all->oldest; c != NULL; c = next) {
		next = c->newer;
		if (c->is_handshaking ||
		    (c->post == NULL && c->own == NULL && c->out == NULL &&
			!c->is_readable && !c->is_lingering))
			connection_destroy(c);
	}
}

void
connection_init_all(
    struct connections *all, struct loop *loop, struct posts *posts)
{
	memset(all, 0, sizeof *all);
	all->loop = loop;
	all->posts = posts;
	all->again_end = &all->again;
	all->parked_end = &all->parked;
	all->input = must_malloc(INPUT_BYTES + JSON_SCAN_PADDING);
	all->output = must_malloc(EXCHANGE_OUTPUT_BYTES);
	posts->done = post_done;
	posts->written = post_written;
	memory_init(&all->memory, 0);
}

void
connection_fini_all(struct connections *all)
{
	while (all->oldest != NULL)
		connection_destroy(all->oldest);
	for (struct connection *c = all->again; c != NULL; c = c->next_again)
		c->is_again = false;
	reap(all);
	patience_fini(all);
	memory_fini(&all->memory);
	free(all->input);
	free(all->output);
}
