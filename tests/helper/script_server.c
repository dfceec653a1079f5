/*
 * script_server - an HTTP server on the test's own loop that does what the
 * test has told it beforehand, request by request
 */
#include "script_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "panic.h"

#define REQUEST_BYTES_MAX (64u * MiB)
#define READ_BYTES (64u * KiB)
#define RECEIVE_BYTES (64 * 1024) /* so that an unread body stays outside */

enum step_kind {
	STEP_ANSWER,
	STEP_CLOSE,
	STEP_RESET,
	STEP_RESET_AT_HEAD,
	STEP_HOLD,
};

struct step {
	TAILQ_ENTRY(step) link;
	enum step_kind kind;
	bool and_close;
	size_t bytes;
	char *answer;
};

struct connection {
	TAILQ_ENTRY(connection) link;
	struct script_server *server;
	struct loop_io io;
	struct buf in;
	unsigned number;
	bool is_held;
	/* an answer that did not go out at once */
	char *out;
	size_t out_bytes, out_at;
	bool close_after;
};

struct script_server {
	struct loop *loop;
	struct loop_io listener;
	int port;
	char url[40];
	TAILQ_HEAD(, step) steps;
	TAILQ_HEAD(, connection) open;
	struct script_request *requests;
	unsigned request_count, step_count, connection_count;
};

static void
end_connection(struct connection *c, bool reset)
{
	struct linger linger = { .l_onoff = 1 };
	int fd = c->io.fd;

	loop_io_stop(&c->io);
	if (reset)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
	close(fd);
	TAILQ_REMOVE(&c->server->open, c, link);
	buf_free(&c->in);
	free(c->out);
	free(c);
}

/* ---- requests ---- */

static size_t
body_length(const char *head)
{
	const char *at = strcasestr(head, "\r\nContent-Length:");

	return at != NULL ? strtoul(at + 17, NULL, 10) : 0;
}

static void
note_request(struct connection *c, size_t head, size_t body)
{
	struct script_server *s = c->server;
	struct script_request *r;

	s->requests = must_realloc(
	    s->requests, (s->request_count + 1) * sizeof s->requests[0]);
	r = &s->requests[s->request_count++];
	memset(r, 0, sizeof *r);
	r->connection = c->number;
	r->head = must_malloc(head + 1);
	memcpy(r->head, c->in.bytes, head);
	r->head[head] = '\0';
	r->body = must_malloc(body + 1);
	memcpy(r->body, c->in.bytes + head, body);
	r->body[body] = '\0';
	r->body_bytes = body;
	must(sscanf(r->head, "%15s %511s", r->method, r->target) == 2);
}

/* Writes what is left of the answer; false: the connection is gone. */
static bool
write_out(struct connection *c)
{
	while (c->out_at < c->out_bytes) {
		ssize_t n = send(c->io.fd, c->out + c->out_at,
		    c->out_bytes - c->out_at, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN) {
			loop_io_change(&c->io, EPOLLOUT);
			return true;
		}
		if (n < 0) {
			end_connection(c, false);
			return false;
		}
		c->out_at += (size_t)n;
	}
	free(c->out);
	c->out = NULL;
	if (c->close_after) {
		end_connection(c, false);
		return false;
	}
	loop_io_change(&c->io, EPOLLIN);
	return true;
}

/* False: the connection is gone. */
static bool
take_step(struct connection *c, struct step *step)
{
	switch (step->kind) {
	case STEP_CLOSE: end_connection(c, false); return false;
	case STEP_RESET:
	case STEP_RESET_AT_HEAD: end_connection(c, true); return false;
	case STEP_HOLD: c->is_held = true; return true;
	case STEP_ANSWER: break;
	}
	c->out = step->answer;
	c->out_bytes = step->bytes;
	c->out_at = 0;
	c->close_after = step->and_close;
	step->answer = NULL;
	return write_out(c);
}

static void
free_step(struct script_server *s, struct step *step)
{
	TAILQ_REMOVE(&s->steps, step, link);
	s->step_count--;
	free(step->answer);
	free(step);
}

static bool
next_step(struct connection *c)
{
	struct script_server *s = c->server;
	struct step *step;
	bool alive;

	if (TAILQ_EMPTY(&s->steps))
		script_answer(s, 599, "not in the script");
	step = TAILQ_FIRST(&s->steps);
	alive = take_step(c, step);
	free_step(s, step);
	return alive;
}

/* All requests that are there whole. */
static void
serve(struct connection *c)
{
	while (c->in.used > 0 && !c->is_held && c->out == NULL) {
		const char *text = buf_text(&c->in);
		const char *end = strstr(text, "\r\n\r\n");
		struct step *step = TAILQ_FIRST(&c->server->steps);
		size_t head, body;

		if (end == NULL)
			return;
		head = (size_t)(end - text) + 4;
		body = body_length(text);
		if (step != NULL && step->kind == STEP_RESET_AT_HEAD) {
			note_request(c, head, 0);
			next_step(c);
			return;
		}
		if (c->in.used < head + body)
			return;
		note_request(c, head, body);
		buf_consume(&c->in, head + body);
		if (!next_step(c))
			return;
	}
}

static void
connection_ready(struct loop_io *io, uint32_t events)
{
	struct connection *c = io->context;
	char *to;
	ssize_t n;

	if (c->out != NULL) {
		if (write_out(c))
			serve(c);
		return;
	}
	to = buf_room(&c->in, READ_BYTES);
	must(to != NULL);
	n = recv(io->fd, to, READ_BYTES, 0);
	if (n < 0 && errno == EAGAIN && !(events & EPOLLERR))
		return;
	if (n <= 0) {
		end_connection(c, false);
		return;
	}
	c->in.used += (size_t)n;
	serve(c);
}

static void
listener_ready(struct loop_io *io, uint32_t events UNUSED)
{
	struct script_server *s = io->context;
	int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct connection *c;

	if (fd < 0)
		return;
	c = must_calloc(1, sizeof *c);
	c->server = s;
	c->number = ++s->connection_count;
	buf_init(&c->in, REQUEST_BYTES_MAX);
	c->io.context = c;
	must(loop_io_start(s->loop, &c->io, fd, EPOLLIN, connection_ready));
	TAILQ_INSERT_TAIL(&s->open, c, link);
}

/* ---- life ---- */

struct script_server *
script_new(struct loop *loop)
{
	struct script_server *s = must_calloc(1, sizeof *s);
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t bytes = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int receive = RECEIVE_BYTES;

	s->loop = loop;
	s->listener.context = s;
	TAILQ_INIT(&s->steps);
	TAILQ_INIT(&s->open);
	must(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive, sizeof receive);
	must(bind(fd, (struct sockaddr *)&a, sizeof a) == 0);
	must(listen(fd, 256) == 0);
	must(getsockname(fd, (struct sockaddr *)&a, &bytes) == 0);
	must(loop_io_start(loop, &s->listener, fd, EPOLLIN, listener_ready));
	s->port = ntohs(a.sin_port);
	snprintf(s->url, sizeof s->url, "http://127.0.0.1:%d", s->port);
	return s;
}

void
script_drop(struct script_server *s)
{
	while (!TAILQ_EMPTY(&s->open))
		end_connection(TAILQ_FIRST(&s->open), false);
}

void
script_free(struct script_server **server)
{
	struct script_server *s = *server;
	int fd;

	if (s == NULL)
		return;
	*server = NULL;
	script_drop(s);
	while (!TAILQ_EMPTY(&s->steps))
		free_step(s, TAILQ_FIRST(&s->steps));
	for (unsigned i = 0; i < s->request_count; i++) {
		free(s->requests[i].head);
		free(s->requests[i].body);
	}
	free(s->requests);
	fd = s->listener.fd;
	loop_io_stop(&s->listener);
	close(fd);
	free(s);
}

int
script_port(const struct script_server *s)
{
	return s->port;
}

const char *
script_url(const struct script_server *s)
{
	return s->url;
}

/* ---- the script ---- */

static struct step *
add_step(struct script_server *s, enum step_kind kind)
{
	struct step *step = must_calloc(1, sizeof *step);

	step->kind = kind;
	TAILQ_INSERT_TAIL(&s->steps, step, link);
	s->step_count++;
	return step;
}

void
script_bytes(
    struct script_server *s, const char *bytes, size_t count, bool and_close)
{
	struct step *step = add_step(s, STEP_ANSWER);

	step->and_close = and_close;
	step->bytes = count;
	step->answer = must_malloc(count);
	memcpy(step->answer, bytes, count);
}

void
script_answer(struct script_server *s, int status, const char *body)
{
	char *text = must_format("HTTP/1.1 %d Because\r\n"
				 "Content-Type: application/json\r\n"
				 "Content-Length: %zu\r\n\r\n%s",
	    status, strlen(body), body);

	script_bytes(s, text, strlen(text), false);
	free(text);
}

void
script_close(struct script_server *s)
{
	add_step(s, STEP_CLOSE);
}

void
script_reset(struct script_server *s)
{
	add_step(s, STEP_RESET);
}

void
script_reset_at_head(struct script_server *s)
{
	add_step(s, STEP_RESET_AT_HEAD);
}

void
script_hold(struct script_server *s)
{
	add_step(s, STEP_HOLD);
}

/* ---- what happened ---- */

unsigned
script_left(const struct script_server *s)
{
	return s->step_count;
}

unsigned
script_held(const struct script_server *s)
{
	const struct connection *c;
	unsigned count = 0;

	TAILQ_FOREACH(c, &s->open, link)
	count += c->is_held;
	return count;
}

unsigned
script_connections(const struct script_server *s)
{
	return s->connection_count;
}

unsigned
script_requests(const struct script_server *s)
{
	return s->request_count;
}

const struct script_request *
script_request(const struct script_server *s, unsigned index)
{
	must(index < s->request_count);
	return &s->requests[index];
}

bool
script_header(
    const struct script_request *r, const char *name, char *to, size_t bytes)
{
	char *line = must_format("\r\n%s:", name);
	const char *at = strcasestr(r->head, line);
	size_t n;

	free(line);
	if (at == NULL)
		return false;
	at += strlen(name) + 3;
	at += strspn(at, " ");
	n = MIN_OF(strcspn(at, "\r"), bytes - 1);
	memcpy(to, at, n);
	to[n] = '\0';
	return true;
}
