/*
 * listener - new connections from a socket that all receivers share
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

#include "fault.h"
#include "log.h"
#include "patience.h"

#define ACCEPTS_A_TURN 8
/* So many go for one that comes, so that a limit that a reload has lowered is
 * reached. */
#define GO_FOR_ONE 2
#define PAUSE_MS 50 /* when there is no descriptor, or no room */
#define COMPLAIN_MS 60000
/* So large a part of the connections may be in their TLS handshakes: whoever
 * begins many and ends none does not keep the others out. */
#define HANDSHAKES_PART 4

static void listener_ready(struct loop_io *, uint32_t);

/* Of one receiver. */
static unsigned
handshakes_max(const struct listener *l)
{
	return l->connections_max / MAX_OF(l->connections->crowd_count, 1) /
	    HANDSHAKES_PART +
	    1;
}

/* When connections are short, a receiver that is woken may have to leave the
 * new one to another; so all of them are woken then. */
static bool
is_scarce(const struct listener *l)
{
	return connection_crowd(l->connections) >= l->connections_max / 4 * 3 ||
	    (l->is_tls && l->connections->handshaking >= handshakes_max(l) / 2);
}

static bool
watch(struct listener *l)
{
	return loop_io_start(l->loop, &l->io, l->fd,
	    EPOLLIN | (is_scarce(l) ? 0 : EPOLLEXCLUSIVE), listener_ready);
}

bool
listener_start(struct listener *l, struct loop *loop, int fd)
{
	l->loop = loop;
	l->fd = fd;
	l->io.fd = -1;
	return fd < 0 || watch(l);
}

static bool
has_room(const struct listener *l)
{
	return connection_crowd(l->connections) < l->connections_max;
}

/* Whether a new one may come, for a silent one if there must one go. */
static bool
is_open(const struct listener *l)
{
	if (l->is_tls && l->connections->handshaking >= handshakes_max(l))
		return false;
	return has_room(l) || patience_can_make_room(l->connections);
}

void
listener_stop(struct listener *l)
{
	l->is_stopped = true;
	loop_io_stop(&l->io);
	loop_timer_stop(&l->pause);
}

static void pause_over(struct loop_timer *);

/* The connections wait in the kernel's queue. */
static void
pause_listening(struct listener *l)
{
	loop_io_stop(&l->io);
	l->pause.context = l;
	loop_timer_start(l->loop, &l->pause, PAUSE_MS, pause_over);
}

void
listener_turn(struct listener *l)
{
	if (l->is_stopped || l->fd < 0 || loop_io_active(&l->io) ||
	    loop_timer_active(&l->pause))
		return;
	if (!is_open(l))
		pause_listening(l);
	else if (!watch(l))
		log_warn("the listening socket cannot be watched");
}

static void
pause_over(struct loop_timer *timer)
{
	listener_turn(timer->context);
}

static void
no_descriptor(struct listener *l)
{
	if (log_may_repeat(&l->complained_ms, COMPLAIN_MS))
		log_warn("connections cannot be accepted; raise the limit of "
			 "open files or lower http.maxConnections");
	pause_listening(l);
}

static void
complain_of_many(struct listener *l)
{
	if (log_may_repeat(&l->complained_ms, COMPLAIN_MS))
		log_warnx("%u connections are open, %u of them in their TLS "
			  "handshakes here; http.maxConnections allows %u: new "
			  "ones wait, or are taken for those that have long "
			  "been silent",
		    connection_crowd(l->connections),
		    l->connections->handshaking, l->connections_max);
}

/* False: none came. */
static bool
accept_one(struct listener *l)
{
	int on = 1;
	int fd;

	FAULT_POINT(ACCEPT);
	fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0) {
		if (is_lack(errno))
			no_descriptor(l);
		/* others are of that one connection, or there is none */
		return false;
	}
	if (!has_room(l))
		complain_of_many(l);
	for (unsigned i = 0; i < GO_FOR_ONE && !has_room(l); i++)
		patience_make_room(l->connections);
	/* fails for sockets that are not TCP: nothing to be done */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	connection_accept(l->connections, fd, l->is_tls);
	FAULT_POINT(ACCEPTED);
	return true;
}

static void
listener_ready(struct loop_io *io, uint32_t events)
{
	struct listener *l = CONTAINER_OF(io, struct listener, io);
	unsigned accepted = 0;

	(void)events;
	while (accepted < ACCEPTS_A_TURN && is_open(l) && accept_one(l))
		accepted++;
	if (!loop_io_active(io))
		return;
	if (!is_open(l)) {
		complain_of_many(l);
		pause_listening(l);
	} else if (accepted > 0) {
		loop_io_stop(io);
		listener_turn(l);
	}
}
