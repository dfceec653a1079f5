/*
 * listener - new connections from the socket that all receivers share
 *
 * Process: receiver.
 *
 * EPOLLEXCLUSIVE wakes the first receiver that waits in the socket's queue.
 * Watching it anew after an accept puts this one at the queue's end, so that
 * connections spread.
 */
#include "listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "log.h"

#define ACCEPTS_A_TURN 8
#define PAUSE_MS 200 /* when there are no descriptors */
#define COMPLAIN_MS 60000

static void listener_ready(struct loop_io *, uint32_t);

static bool
watch(struct listener *l)
{
	return loop_io_start(
	    l->loop, &l->io, l->fd, EPOLLIN | EPOLLEXCLUSIVE, listener_ready);
}

bool
listener_start(struct listener *l, struct loop *loop, int fd)
{
	l->loop = loop;
	l->fd = fd;
	l->io.fd = -1;
	return fd < 0 || watch(l);
}

void
listener_stop(struct listener *l)
{
	l->is_stopped = true;
	loop_io_stop(&l->io);
	loop_timer_stop(&l->pause);
}

void
listener_turn(struct listener *l)
{
	if (l->is_stopped || l->fd < 0 || loop_io_active(&l->io) ||
	    loop_timer_active(&l->pause) ||
	    l->connections->count >= l->connections_max)
		return;
	if (!watch(l))
		log_warn("the listening socket cannot be watched");
}

static void
pause_over(struct loop_timer *timer)
{
	listener_turn(timer->context);
}

/* No descriptor, no memory: the connections wait in the kernel's queue. */
static void
pause_listening(struct listener *l)
{
	if (log_may_repeat(&l->complained_ms, COMPLAIN_MS))
		log_warn("connections cannot be accepted; raise the limit of "
			 "open files or lower http.maxConnections");
	loop_io_stop(&l->io);
	l->pause.context = l;
	loop_timer_start(l->loop, &l->pause, PAUSE_MS, pause_over);
}

static bool
is_lack(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS ||
	    error == ENOMEM;
}

/* False: none came. */
static bool
accept_one(struct listener *l)
{
	int on = 1;
	int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0) {
		if (is_lack(errno))
			pause_listening(l);
		/* others are of that one connection, or there is none */
		return false;
	}
	/* fails for sockets that are not TCP: nothing to be done */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	connection_accept(l->connections, fd);
	return true;
}

static void
listener_ready(struct loop_io *io, uint32_t events)
{
	struct listener *l = CONTAINER_OF(io, struct listener, io);
	unsigned room = l->connections_max -
	    MIN_OF(l->connections->count, l->connections_max);
	unsigned accepted = 0;

	(void)events;
	while (accepted < MIN_OF(room, ACCEPTS_A_TURN) && accept_one(l))
		accepted++;
	if (!loop_io_active(io))
		return;
	if (accepted == room) {
		if (log_may_repeat(&l->complained_ms, COMPLAIN_MS))
			log_warnx("%u connections are open, this receiver's "
				  "part of http.maxConnections; new ones wait",
			    l->connections_max);
		loop_io_stop(io);
	} else if (accepted > 0) {
		loop_io_stop(io);
		listener_turn(l);
	}
}
