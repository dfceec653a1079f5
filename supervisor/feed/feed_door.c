/*
 * feed_door - consumers' new connections
 *
 * Process: feed.
 */
#include "feed_door.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"

#define ACCEPTS_A_TURN 16u
#define PAUSE_MS 50 /* when there is no descriptor, or no room */
#define COMPLAIN_MS 60000

static void door_ready(struct loop_io *, uint32_t);
static void pause_over(struct loop_timer *);

/* The connections wait in the kernel's queue. */
static void
pause_accepting(struct feed_door *d, const char *why)
{
	if (log_may_repeat(&d->said_ms, COMPLAIN_MS))
		log_warnx("%u consumers' connections are open, new ones wait: "
			  "%s",
		    d->links->count, why);
	loop_io_stop(&d->io);
	d->pause.context = d;
	loop_timer_start(d->links->loop, &d->pause, PAUSE_MS, pause_over);
}

static void
pause_over(struct loop_timer *timer)
{
	struct feed_door *d = timer->context;

	if (!loop_io_start(d->links->loop, &d->io, d->fd, EPOLLIN, door_ready))
		pause_accepting(d,
		    "the listening socket cannot be watched; raise "
		    "fs.epoll.max_user_watches");
}

static bool
has_room(struct feed_door *d)
{
	if (d->links->count < d->connections_max ||
	    feed_link_make_room(d->links))
		return true;
	pause_accepting(d, "pull.maxConnections allows no more");
	return false;
}

static void
door_ready(struct loop_io *io, uint32_t events)
{
	struct feed_door *d = CONTAINER_OF(io, struct feed_door, io);
	int on = 1;

	(void)events;
	for (unsigned i = 0; i < ACCEPTS_A_TURN && has_room(d); i++) {
		int fd =
		    accept4(d->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE ||
			    errno == ENOBUFS || errno == ENOMEM)
				pause_accepting(
				    d, "raise the limit of open files");
			return;
		}
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		feed_link_accept(d->links, fd);
	}
}

bool
feed_door_open(struct feed_door *d, int fd)
{
	d->fd = fd;
	d->io.fd = -1;
	return loop_io_start(d->links->loop, &d->io, fd, EPOLLIN, door_ready);
}

void
feed_door_close(struct feed_door *d)
{
	if (d->is_closed)
		return;
	d->is_closed = true;
	loop_io_stop(&d->io);
	loop_timer_stop(&d->pause);
	close(d->fd);
}
