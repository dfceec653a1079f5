/*
 * sandbox_http - the sandbox's HTTP/1.1 server
 *
 * Process: tranq-sandbox.   Owns: listeners, connections, their buffers.
 *
 * One buffer a connection: head and body lie in it one behind the other, the
 * chunked framing is taken out in place, and a body is handed on where it was
 * read. Answers of pipelined requests go out in one write.
 */
#include "sandbox_http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "inflate.h"
#include "json_scan.h"
#include "log.h"
#include "panic.h"

#define LISTENERS_MAX 2
#define BACKLOG 1024
#define ACCEPTS_MAX 64 /* in one turn */
#define READ_BYTES (64u * KiB)
#define READS_MAX 16 /* in one turn */
#define WHOLE_BODY_BYTES (16u * MiB) /* room made at once up to here */
#define OUT_BYTES (1u * MiB) /* unsent answers that stop the reading */
#define STREAM_BYTES (256u * KiB)

enum connection_state { READ_HEAD, READ_BODY, WAIT_ANSWER, STREAM };

struct listener {
	struct loop_io io;
	struct sandbox_http *http;
	int fd;
	unsigned port;
};

struct sandbox_http {
	struct sandbox_http_options options;
	struct listener listeners[LISTENERS_MAX];
	unsigned listener_count;
	struct sandbox_connection *connections;
	struct inflater inflater;
};

struct sandbox_connection {
	struct loop_io io;
	struct sandbox_http *http;
	struct sandbox_connection *next, *previous;
	enum connection_state state;
	struct sandbox_request request;
	struct http_chunked chunked;
	bool is_begun, is_processing, is_dead, ends;

	char *in;
	size_t in_at; /* first byte of the request */
	size_t in_used, in_size;
	size_t body_at, body_end, next_at;

	struct buf out;
	size_t out_sent;
	sandbox_stream_fn *more;
	void *more_context;
};

static void go(struct sandbox_connection *);

/* ---- birth and death of connections ---- */

static void
end_stream(struct sandbox_connection *c)
{
	if (c->more == NULL)
		return;
	c->more(c->more_context, NULL);
	c->more = NULL;
}

static void
free_connection(struct sandbox_connection **connection)
{
	struct sandbox_connection *c = *connection;

	*connection = NULL;
	end_stream(c);
	if (c->is_begun) {
		c->is_begun = false;
		c->http->options.gone(c->http->options.context, &c->request);
	}
	if (c->io.fd >= 0) {
		int fd = c->io.fd;

		loop_io_stop(&c->io);
		close(fd);
	}
	if (c->previous != NULL)
		c->previous->next = c->next;
	else
		c->http->connections = c->next;
	if (c->next != NULL)
		c->next->previous = c->previous;
	buf_free(&c->out);
	free(c->in);
	free(c);
}

/* From any depth: the outermost caller frees. */
static void
kill_connection(struct sandbox_connection *c, bool reset)
{
	const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

	if (reset && c->io.fd >= 0)
		setsockopt(
		    c->io.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
	c->is_dead = true;
	if (!c->is_processing)
		free_connection(&c);
}

static void connection_ready(struct loop_io *, uint32_t);

static void
add_connection(struct listener *l, int fd)
{
	struct sandbox_connection *c = must_calloc(1, sizeof *c);
	const int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	c->http = l->http;
	c->io.context = c;
	c->request.port = l->port;
	c->request.connection = c;
	http_request_init(&c->request.head);
	buf_init(&c->out, SIZE_MAX / 2);
	if (!loop_io_start(l->http->options.loop, &c->io, fd,
		EPOLLIN | EPOLLRDHUP, connection_ready)) {
		log_warn("connection");
		close(fd);
		free(c);
		return;
	}
	c->next = l->http->connections;
	if (c->next != NULL)
		c->next->previous = c;
	l->http->connections = c;
}

static void
listener_ready(struct loop_io *io, uint32_t events UNUSED)
{
	struct listener *l = io->context;

	for (unsigned i = 0; i < ACCEPTS_MAX; i++) {
		int fd =
		    accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0)
			return;
		add_connection(l, fd);
	}
}

/* ---- out ---- */

static const char *
reason_of(unsigned status)
{
	static const struct {
		unsigned status;
		const char *reason;
	} reasons[] = { { 200, "OK" }, { 307, "Temporary Redirect" },
		{ 400, "Bad Request" }, { 401, "Unauthorized" },
		{ 403, "Forbidden" }, { 404, "Not Found" },
		{ 405, "Method Not Allowed" }, { 413, "Payload Too Large" },
		{ 415, "Unsupported Media Type" }, { 429, "Too Many Requests" },
		{ 500, "Server Error" }, { 502, "Bad Gateway" },
		{ 503, "Service Unavailable" }, { 504, "Gateway Timeout" } };

	for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Status";
}

static void
add_head(struct sandbox_connection *c, const struct sandbox_reply *r,
    bool is_chunked)
{
	buf_addf(
	    &c->out, "HTTP/1.1 %u %s\r\n", r->status, reason_of(r->status));
	if (r->type != NULL)
		buf_addf(&c->out, "Content-Type: %s\r\n", r->type);
	if (r->headers != NULL)
		buf_add_text(&c->out, r->headers);
	if (c->ends)
		buf_add_text(&c->out, "Connection: close\r\n");
	if (is_chunked)
		buf_add_text(&c->out, "Transfer-Encoding: chunked\r\n\r\n");
	else
		buf_addf(&c->out, "Content-Length: %zu\r\n\r\n", r->bytes);
}

static void
next_chunk(struct sandbox_connection *c)
{
	static const size_t room = sizeof "00000000\r\n" - 1;
	size_t start = c->out.used, bytes;
	char size[24];

	must(buf_room(&c->out, room) != NULL);
	c->out.used += room;
	c->more(c->more_context, &c->out);
	bytes = c->out.used - start - room;
	if (bytes == 0) {
		c->out.used = start;
		buf_add_text(&c->out, "0\r\n\r\n");
		end_stream(c);
		c->state = READ_HEAD;
		return;
	}
	snprintf(size, sizeof size, "%08zx\r\n", bytes);
	memcpy(c->out.bytes + start, size, room);
	buf_add_text(&c->out, "\r\n");
}

static void
watch(struct sandbox_connection *c)
{
	uint32_t events = EPOLLRDHUP;

	if (c->out_sent < c->out.used)
		events |= EPOLLOUT;
	if ((c->state == READ_HEAD || c->state == READ_BODY) && !c->ends &&
	    c->out.used - c->out_sent < OUT_BYTES)
		events |= EPOLLIN;
	loop_io_change(&c->io, events);
}

/* Sends what there is, streams included, until the socket is full. */
static void
flush(struct sandbox_connection *c)
{
	for (;;) {
		ssize_t n;

		if (c->out_sent == c->out.used) {
			buf_reset(&c->out);
			c->out_sent = 0;
			if (c->state != STREAM)
				break;
			next_chunk(c);
			if (c->out.used == 0)
				break;
		}
		n = send(c->io.fd, c->out.bytes + c->out_sent,
		    c->out.used - c->out_sent, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			c->is_dead = true;
			return;
		}
		c->out_sent += (size_t)n;
	}
	if (c->ends && c->state == READ_HEAD)
		c->is_dead = true;
}

/* ---- in ---- */

/* The next request of the connection starts behind this one. */
static void
next_request(struct sandbox_connection *c)
{
	c->in_at = c->next_at;
	c->state = READ_HEAD;
	c->is_begun = false;
	http_request_init(&c->request.head);
	c->request.body = NULL;
	c->request.body_bytes = c->request.wire_bytes = 0;
	c->request.is_gzip = c->request.is_inflated = false;
	c->request.context = NULL;
}

static void
refuse(struct sandbox_connection *c, unsigned status, const char *reason)
{
	const struct sandbox_reply r = { .status = status,
		.type = "text/plain",
		.body = reason,
		.bytes = strlen(reason) };

	if (c->is_begun) {
		c->is_begun = false;
		c->http->options.gone(c->http->options.context, &c->request);
	}
	c->ends = true;
	c->state = READ_HEAD;
	c->in_at = c->in_used;
	add_head(c, &r, false);
	buf_add(&c->out, r.body, r.bytes);
}

static void
begin(struct sandbox_connection *c)
{
	struct sandbox_request *r = &c->request;

	r->bytes = c->in + c->in_at;
	r->is_gzip = http_view_is(r->head.content_encoding, r->bytes, "gzip");
	c->is_begun = true;
	c->http->options.begin(c->http->options.context, r);
	if (r->head.expects_continue && !c->is_dead)
		buf_add_text(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
}

static bool
inflate_body(struct sandbox_connection *c)
{
	struct inflater *i = &c->http->inflater;
	struct sandbox_request *r = &c->request;
	struct inflate_input in = {
		.coding = INFLATE_GZIP,
		.from = r->body,
		.bytes = r->body_bytes,
		.max_bytes = SANDBOX_BODY_MAX,
		.padding = JSON_SCAN_PADDING,
	};

	if (inflate_decode(i, &in) != INFLATE_DONE)
		return false;
	r->body = i->bytes;
	r->body_bytes = i->used;
	r->is_inflated = true;
	return true;
}

static void
finish(struct sandbox_connection *c)
{
	struct sandbox_request *r = &c->request;

	r->bytes = c->in + c->in_at;
	r->body = c->in + c->body_at;
	r->body_bytes = c->body_end - c->body_at;
	r->wire_bytes = c->next_at - c->in_at;
	c->state = WAIT_ANSWER;
	if (!r->head.keep_alive)
		c->ends = true;
	if (r->is_gzip && c->http->options.inflates && !inflate_body(c)) {
		refuse(c, 400, "gzip body is damaged");
		return;
	}
	c->http->options.finish(c->http->options.context, r);
}

/* Makes room for `more` bytes and the scanner's padding. */
static bool
make_room(struct sandbox_connection *c, size_t more)
{
	size_t shift = c->in_at, size;

	if (c->in_used + more + JSON_SCAN_PADDING <= c->in_size)
		return true;
	if (shift > 0) {
		memmove(c->in, c->in + shift, c->in_used - shift);
		c->in_at = 0;
		c->in_used -= shift;
		if (c->state == READ_BODY) {
			c->body_at -= shift;
			c->body_end -= shift;
		}
	}
	size = c->in_used + more + JSON_SCAN_PADDING;
	if (size <= c->in_size)
		return true;
	if (size > (size_t)SANDBOX_BODY_MAX * 2)
		return false;
	c->in_size = MAX_OF(size, c->in_size * 2);
	c->in = must_realloc(c->in, c->in_size);
	return true;
}

/* True: the body is complete, what follows it is at next_at. */
static bool
body_complete(struct sandbox_connection *c)
{
	const struct http_request *h = &c->request.head;
	size_t used, body, count = c->in_used - c->body_end;
	enum http_result done;

	if (!h->is_chunked) {
		c->body_end =
		    MIN_OF(c->in_used, c->body_at + (size_t)h->content_length);
		c->next_at = c->body_end;
		return c->body_end - c->body_at == h->content_length;
	}
	done = http_chunked_decode(
	    &c->chunked, c->in + c->body_end, count, &used, &body);
	if (done == HTTP_BAD) {
		refuse(c, c->chunked.status, c->chunked.reason);
		return false;
	}
	if (done == HTTP_NEED_MORE)
		c->in_used = c->body_end + body;
	else
		c->next_at = c->body_end + used;
	c->body_end += body;
	if (c->body_end - c->body_at > SANDBOX_BODY_MAX) {
		refuse(c, 413, "body is too large");
		return false;
	}
	return done == HTTP_DONE;
}

static bool
head_complete(struct sandbox_connection *c)
{
	struct http_request *h = &c->request.head;

	if (c->in_at == c->in_used)
		return false;
	switch (
	    http_request_parse(h, c->in + c->in_at, c->in_used - c->in_at)) {
	case HTTP_NEED_MORE: return false;
	case HTTP_BAD: refuse(c, h->status, h->reason); return false;
	case HTTP_DONE: break;
	}
	if (h->content_length > SANDBOX_BODY_MAX) {
		refuse(c, 413, "body is too large");
		return false;
	}
	c->body_at = c->body_end = c->in_at + h->head_bytes;
	c->state = READ_BODY;
	http_chunked_init(&c->chunked);
	if (h->content_length > 0 && h->content_length <= WHOLE_BODY_BYTES)
		return make_room(c, (size_t)h->content_length);
	return true;
}

/* As Jetty: a handler hears of a request with its body's first byte. */
static bool
may_begin(const struct sandbox_connection *c)
{
	const struct http_request *h = &c->request.head;

	return (!h->is_chunked && h->content_length == 0) ||
	    h->expects_continue || c->in_used > c->body_at;
}

/* One step forward; false: more has to come, or the answer is awaited. */
static bool
step(struct sandbox_connection *c)
{
	if (c->ends && c->state == READ_HEAD)
		return false;
	if (c->state == READ_HEAD)
		return head_complete(c);
	if (c->state != READ_BODY)
		return false;
	if (!c->is_begun) {
		if (!may_begin(c))
			return false;
		begin(c);
		if (c->is_dead)
			return false;
	}
	if (!body_complete(c))
		return false;
	finish(c);
	return true;
}

static void
go(struct sandbox_connection *c)
{
	bool was_processing = c->is_processing;

	if (was_processing)
		return;
	c->is_processing = true;
	do {
		while (!c->is_dead && c->out.used - c->out_sent < OUT_BYTES &&
		    step(c))
			;
		if (!c->is_dead)
			flush(c);
	} while (!c->is_dead && c->out.used == 0 && c->state == READ_HEAD &&
	    c->in_at < c->in_used && step(c));
	c->is_processing = false;
	if (c->is_dead) {
		free_connection(&c);
		return;
	}
	if (c->state == READ_HEAD && c->in_at == c->in_used)
		c->in_at = c->in_used = 0;
	watch(c);
}

static size_t
wanted(const struct sandbox_connection *c)
{
	size_t have = c->in_used - c->body_at;
	uint64_t length = c->request.head.content_length;

	if (c->state == READ_BODY && length > have &&
	    length <= WHOLE_BODY_BYTES)
		return MAX_OF((size_t)length - have, READ_BYTES);
	return READ_BYTES;
}

static void
read_more(struct sandbox_connection *c)
{
	for (unsigned i = 0; i < READS_MAX; i++) {
		size_t room = wanted(c);
		ssize_t n;

		if (!make_room(c, room)) {
			c->is_dead = true;
			return;
		}
		room = c->in_size - JSON_SCAN_PADDING - c->in_used;
		n = read(c->io.fd, c->in + c->in_used, room);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			c->is_dead = true;
			return;
		}
		c->in_used += (size_t)n;
		if ((size_t)n < room)
			return;
		if (c->state != READ_BODY || c->request.head.is_chunked)
			return;
	}
}

static void
connection_ready(struct loop_io *io, uint32_t events)
{
	struct sandbox_connection *c = io->context;
	bool reads = c->state == READ_HEAD || c->state == READ_BODY;

	if (reads && (events & (EPOLLIN | EPOLLRDHUP)) != 0 && !c->ends)
		read_more(c);
	else if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0 &&
	    !(c->ends && c->out_sent < c->out.used &&
		(events & (EPOLLHUP | EPOLLERR)) == 0))
		c->is_dead = true;
	if (c->is_dead) {
		free_connection(&c);
		return;
	}
	go(c);
}

/* ---- for the handlers ---- */

void
sandbox_http_answer(
    struct sandbox_request *r, const struct sandbox_reply *reply)
{
	struct sandbox_connection *c = r->connection;

	must(c->state == WAIT_ANSWER);
	add_head(c, reply, false);
	buf_add(&c->out, reply->body, reply->bytes);
	next_request(c);
	go(c);
}

void
sandbox_http_stream(struct sandbox_request *r, const char *type,
    sandbox_stream_fn *more, void *context)
{
	const struct sandbox_reply reply = { .status = 200, .type = type };
	struct sandbox_connection *c = r->connection;

	must(c->state == WAIT_ANSWER);
	add_head(c, &reply, true);
	next_request(c);
	c->state = STREAM;
	c->more = more;
	c->more_context = context;
	go(c);
}

void
sandbox_http_reset(struct sandbox_request *r)
{
	r->connection->is_begun = false;
	kill_connection(r->connection, true);
}

void
sandbox_http_close(struct sandbox_request *r)
{
	r->connection->is_begun = false;
	kill_connection(r->connection, false);
}

bool
sandbox_http_connected(const struct sandbox_request *r)
{
	struct pollfd p = { .fd = r->connection->io.fd, .events = POLLRDHUP };

	return poll(&p, 1, 0) == 0;
}

bool
sandbox_http_field(const struct sandbox_request *r, const char *name,
    const char **value, size_t *bytes)
{
	struct http_view v;

	if (!http_request_field(&r->head, r->bytes, name, &v))
		return false;
	*value = r->bytes + v.at;
	*bytes = v.bytes;
	return true;
}

/* ---- the server ---- */

struct sandbox_http *
sandbox_http_new(const struct sandbox_http_options *options)
{
	struct sandbox_http *h = must_calloc(1, sizeof *h);

	h->options = *options;
	inflate_init(&h->inflater);
	return h;
}

void
sandbox_http_free(struct sandbox_http **http)
{
	struct sandbox_http *h = *http;

	*http = NULL;
	for (struct sandbox_connection *c; (c = h->connections) != NULL;)
		free_connection(&c);
	for (unsigned i = 0; i < h->listener_count; i++) {
		loop_io_stop(&h->listeners[i].io);
		close(h->listeners[i].fd);
	}
	inflate_fini(&h->inflater);
	free(h);
}

/* A place to bind: IPv4 or IPv6. */
struct place {
	struct sockaddr_storage at;
	socklen_t bytes;
};

static int
bind_socket(struct place *p)
{
	const int on = 1;
	int fd = socket(
	    p->at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&p->at, p->bytes) == 0 &&
	    getsockname(fd, (struct sockaddr *)&p->at, &p->bytes) == 0)
		return fd;
	close(fd);
	return -1;
}

static bool
find_place(const char *address, unsigned port, struct place *p)
{
	struct addrinfo wanted = { .ai_flags = AI_NUMERICHOST,
		.ai_socktype = SOCK_STREAM },
			*found;
	char digits[16];

	snprintf(digits, sizeof digits, "%u", port);
	if (getaddrinfo(address, digits, &wanted, &found) != 0) {
		errno = EINVAL;
		return false;
	}
	memcpy(&p->at, found->ai_addr, found->ai_addrlen);
	p->bytes = found->ai_addrlen;
	freeaddrinfo(found);
	return true;
}

static unsigned
port_of(const struct place *p)
{
	const struct sockaddr_in *v4 = (const void *)&p->at;
	const struct sockaddr_in6 *v6 = (const void *)&p->at;

	return ntohs(
	    p->at.ss_family == AF_INET6 ? v6->sin6_port : v4->sin_port);
}

/* A port that the kernel chose is bound a second time by its number: only
 * then it stays ours when the socket stops listening. */
static int
open_socket(const char *address, unsigned port, struct place *p)
{
	int chosen = -1, fd;

	if (!find_place(address, port, p))
		return -1;
	if (port == 0 && (chosen = bind_socket(p)) < 0)
		return -1;
	fd = bind_socket(p);
	if (chosen >= 0)
		close(chosen);
	if (fd >= 0 && listen(fd, BACKLOG) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

unsigned
sandbox_http_listen(struct sandbox_http *h, const char *address, unsigned port)
{
	struct listener *l = &h->listeners[h->listener_count];
	struct place p;

	must(h->listener_count < LISTENERS_MAX);
	if ((l->fd = open_socket(address, port, &p)) < 0)
		return 0;
	l->http = h;
	l->port = port_of(&p);
	l->io.context = l;
	if (!loop_io_start(
		h->options.loop, &l->io, l->fd, EPOLLIN, listener_ready)) {
		close(l->fd);
		return 0;
	}
	h->listener_count++;
	return l->port;
}

static void
reset_port(struct sandbox_http *h, unsigned port)
{
	for (struct sandbox_connection *c = h->connections, *next; c != NULL;
	     c = next) {
		next = c->next;
		if (c->request.port == port)
			kill_connection(c, true);
	}
}

void
sandbox_http_accept(struct sandbox_http *h, unsigned port, bool on)
{
	for (unsigned i = 0; i < h->listener_count; i++) {
		struct listener *l = &h->listeners[i];

		if (l->port != port || loop_io_active(&l->io) == on)
			continue;
		if (!on) {
			/* stops listening and keeps the port (Linux) */
			loop_io_stop(&l->io);
			shutdown(l->fd, SHUT_RD);
			reset_port(h, port);
		} else if (listen(l->fd, BACKLOG) < 0 ||
		    !loop_io_start(h->options.loop, &l->io, l->fd, EPOLLIN,
			listener_ready)) {
			log_warn("port %u: cannot listen again", port);
		}
	}
}
