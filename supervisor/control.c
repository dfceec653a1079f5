/*
 * control - the control socket's server side
 *
 * Process: supervisor.
 * Owns:    the socket and its clients: a bounded number, each with a bounded
 *          request, answer and time. Nothing here waits.
 */
#include "control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "log.h"
#include "panic.h"

#define GROUPS_MAX 1024 /* of a user, that are looked through */

enum client_state { CLIENT_FREE, CLIENT_READS, CLIENT_WAITS, CLIENT_WRITES };

struct client {
	struct control *control;
	enum client_state state;
	uint64_t ticket;
	struct loop_io io;
	struct loop_timer timer;
	char line[CTL_LINE_MAX];
	size_t line_bytes;
	struct buf out;
	size_t out_at; /* sent up to here */
};

struct control {
	struct loop *loop;
	char *path;
	int fd;
	uid_t uid; /* who may ask, besides root and ourselves */
	gid_t gid;
	struct loop_io io;
	control_fn *handle;
	void *context;
	uint64_t serial;
	struct client clients[CONTROL_CLIENTS];
};

static void
drop(struct client *cl)
{
	int fd = cl->io.fd;

	loop_timer_stop(&cl->timer);
	loop_io_stop(&cl->io);
	if (fd >= 0)
		close(fd);
	buf_free(&cl->out);
	cl->state = CLIENT_FREE;
	cl->ticket = 0;
}

static void
time_over(struct loop_timer *t)
{
	drop(CONTAINER_OF(t, struct client, timer));
}

/* The answer is out, or what there is of it so far. */
static void
written(struct client *cl)
{
	buf_reset(&cl->out);
	cl->out_at = 0;
	if (cl->state == CLIENT_WRITES)
		drop(cl);
	else
		/* it waits: only its end is of interest */
		loop_io_change(&cl->io, 0);
}

/* Writes what can be written. */
static void
write_out(struct client *cl)
{
	while (cl->out_at < cl->out.used) {
		ssize_t sent = send(cl->io.fd, cl->out.bytes + cl->out_at,
		    cl->out.used - cl->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno == EAGAIN) {
			loop_io_change(&cl->io, EPOLLOUT);
			return;
		}
		if (sent < 0) {
			drop(cl);
			return;
		}
		cl->out_at += (size_t)sent;
		if (cl->state == CLIENT_WRITES)
			loop_timer_start(cl->control->loop, &cl->timer,
			    CONTROL_WRITE_MS, time_over);
	}
	written(cl);
}

static void
begin_answer(struct client *cl, bool ok, const char *text)
{
	int bytes = (int)MIN_OF(strcspn(text, "\n"), CTL_LINE_MAX - 1);

	cl->state = CLIENT_WRITES;
	buf_addf(&cl->out, "%s%s%.*s\n", ok ? "ok" : "error",
	    bytes > 0 ? " " : "", bytes, text);
}

static void
refuse(struct client *cl, const char *text)
{
	begin_answer(cl, false, text);
	write_out(cl);
}

static void
take_request(struct client *cl)
{
	struct control *c = cl->control;
	enum ctl_command command;
	const char *arguments;

	if (!ctl_parse(cl->line, &command, &arguments)) {
		refuse(cl, "no such command; 'tranqctl help' lists them");
		return;
	}
	loop_timer_stop(&cl->timer);
	cl->state = CLIENT_WAITS;
	loop_io_change(&cl->io, 0);
	c->handle(c->context, cl->ticket, command, arguments);
}

static void
read_request(struct client *cl)
{
	size_t room = sizeof cl->line - cl->line_bytes;
	ssize_t got =
	    recv(cl->io.fd, cl->line + cl->line_bytes, room, MSG_DONTWAIT);
	char *end;

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		drop(cl);
		return;
	}
	cl->line_bytes += (size_t)got;
	end = memchr(cl->line, '\n', cl->line_bytes);
	if (end != NULL) {
		*end = '\0';
		take_request(cl);
	} else if (cl->line_bytes == sizeof cl->line) {
		refuse(cl, "the request is too long");
	}
}

static void
client_ready(struct loop_io *io, uint32_t events)
{
	struct client *cl = CONTAINER_OF(io, struct client, io);

	if (cl->state == CLIENT_READS)
		read_request(cl);
	else if ((events & (EPOLLHUP | EPOLLERR)) != 0)
		drop(cl);
	else
		write_out(cl);
}

static bool
is_member(int fd, const struct ucred *who, gid_t gid)
{
	gid_t groups[GROUPS_MAX];
	socklen_t bytes = sizeof groups;

	if (who->gid == gid)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &bytes) < 0)
		return false;
	for (size_t i = 0; i < bytes / sizeof groups[0]; i++)
		if (groups[i] == gid)
			return true;
	return false;
}

/* Root, who runs the daemon, tranqd.user and his group. */
static bool
is_allowed(const struct control *c, int fd)
{
	struct ucred who;
	socklen_t bytes = sizeof who;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &bytes) < 0)
		return false;
	if (who.uid == 0 || who.uid == geteuid() || who.uid == c->uid ||
	    is_member(fd, &who, c->gid))
		return true;
	log_warnx("control socket: uid %u (pid %d) is not allowed to ask",
	    (unsigned)who.uid, (int)who.pid);
	return false;
}

static struct client *
free_client(struct control *c)
{
	for (unsigned i = 0; i < CONTROL_CLIENTS; i++)
		if (c->clients[i].state == CLIENT_FREE)
			return &c->clients[i];
	return NULL;
}

static void
welcome(struct control *c, struct client *cl, int fd)
{
	cl->control = c;
	cl->line_bytes = cl->out_at = 0;
	cl->ticket = ++c->serial;
	buf_init(&cl->out, CTL_BODY_MAX + CTL_LINE_MAX + 64);
	if (!loop_io_start(c->loop, &cl->io, fd, EPOLLIN, client_ready)) {
		close(fd);
		return;
	}
	cl->state = CLIENT_READS;
	loop_timer_start(c->loop, &cl->timer, CONTROL_READ_MS, time_over);
	if (!is_allowed(c, fd))
		refuse(cl,
		    "permission denied; be root, the user that runs tranqd, "
		    "or of his group");
}

static void
accept_client(struct loop_io *io, uint32_t events UNUSED)
{
	static const char full[] = "error too many at one time; try again\n";
	struct control *c = CONTAINER_OF(io, struct control, io);
	int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct client *cl;

	if (fd < 0)
		return;
	cl = free_client(c);
	if (cl != NULL) {
		welcome(c, cl, fd);
		return;
	}
	if (send(fd, full, sizeof full - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_debug("control socket: a client too many");
	close(fd);
}

static struct client *
find_client(struct control *c, uint64_t ticket)
{
	for (unsigned i = 0; i < CONTROL_CLIENTS; i++)
		if (c->clients[i].state == CLIENT_WAITS &&
		    c->clients[i].ticket == ticket)
			return &c->clients[i];
	return NULL;
}

void
control_delay(struct control *c, uint64_t ticket, int64_t ms)
{
	struct client *cl = find_client(c, ticket);

	if (cl == NULL)
		return;
	buf_addf(&cl->out, "wait %lld\n", (long long)ms);
	write_out(cl);
}

void
control_answer(struct control *c, uint64_t ticket, bool ok, const char *text,
    const struct buf *body)
{
	struct client *cl = find_client(c, ticket);

	if (cl == NULL)
		return;
	begin_answer(cl, ok, text);
	if (body != NULL && body->used > 0)
		buf_add(&cl->out, body->bytes, body->used);
	if (cl->out.failed) {
		drop(cl);
		return;
	}
	loop_timer_start(c->loop, &cl->timer, CONTROL_WRITE_MS, time_over);
	write_out(cl);
}

/* Nobody listens at what lies there. */
static bool
is_stale(const struct sockaddr_un *at)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool stale;

	if (fd < 0)
		return false;
	stale = connect(fd, (const void *)at, sizeof *at) < 0 &&
	    errno == ECONNREFUSED;
	close(fd);
	return stale;
}

static int
bind_socket(const struct sockaddr_un *at)
{
	mode_t mask = umask(0117);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error = 0;

	if (fd >= 0 &&
	    (bind(fd, (const void *)at, sizeof *at) < 0 ||
		listen(fd, CONTROL_CLIENTS) < 0)) {
		error = errno;
		close(fd);
		fd = -1;
	}
	umask(mask);
	errno = error;
	return fd;
}

static int
listen_at(const char *path, struct trouble *t)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct stat there;
	int fd;

	must(strlen(path) < sizeof at.sun_path);
	strcpy(at.sun_path, path);
	if (lstat(path, &there) == 0 && S_ISSOCK(there.st_mode) &&
	    is_stale(&at))
		unlink(path);
	fd = bind_socket(&at);
	if (fd < 0)
		trouble_set(t,
		    errno == EADDRINUSE ? EX_UNAVAILABLE : EX_CANTCREAT, errno,
		    "control socket %s cannot be made; if no daemon uses it, "
		    "remove it, or choose another tranqd.controlSocket",
		    path);
	return fd;
}

struct control *
control_open(struct loop *loop, const char *path, control_fn *handle,
    void *context, struct trouble *t)
{
	struct control *c;
	int fd = listen_at(path, t);

	if (fd < 0)
		return NULL;
	c = must_calloc(1, sizeof *c);
	c->loop = loop;
	c->path = must_strdup(path);
	c->fd = fd;
	c->handle = handle;
	c->context = context;
	c->uid = geteuid();
	c->gid = getegid();
	for (unsigned i = 0; i < CONTROL_CLIENTS; i++)
		c->clients[i].io.fd = -1;
	must(loop_io_start(loop, &c->io, fd, EPOLLIN, accept_client));
	return c;
}

void
control_allow(struct control *c, uid_t uid, gid_t gid)
{
	c->uid = uid;
	c->gid = gid;
	if (chown(c->path, (uid_t)-1, gid) < 0)
		log_warn("control socket %s: cannot be given to group %u",
		    c->path, (unsigned)gid);
}

void
control_close(struct control **control)
{
	struct control *c = *control;

	if (c == NULL)
		return;
	*control = NULL;
	unlink(c->path);
	for (unsigned i = 0; i < CONTROL_CLIENTS; i++) {
		struct client *cl = &c->clients[i];

		if (cl->state == CLIENT_WRITES)
			write_out(cl);
		if (cl->state != CLIENT_FREE)
			drop(cl);
	}
	loop_io_stop(&c->io);
	close(c->fd);
	free(c->path);
	free(c);
}
