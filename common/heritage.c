/*
 * heritage - orders and reports between supervisor and child
 *
 * Process: all but tranqctl.
 */
#include "heritage.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"

#define ORDER_FDS 2

union control_bytes {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(ORDER_FDS * sizeof(int))];
};

bool
order_send(int control_fd, const struct order_message *m, int fd0, int fd1)
{
	struct order_message copy = *m;
	struct iovec data = { .iov_base = &copy, .iov_len = sizeof copy };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1 };
	union control_bytes control = { 0 };
	int fds[ORDER_FDS] = { fd0, fd1 };
	size_t bytes = (fd0 < 0 ? 0u : fd1 < 0 ? 1u : 2u) * sizeof(int);
	ssize_t sent;

	if (bytes > 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(bytes);
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(bytes);
		memcpy(CMSG_DATA(&control.align), fds, bytes);
	}
	do
		sent =
		    sendmsg(control_fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	return sent == (ssize_t)sizeof copy;
}

/* Takes the descriptors out of a received message; -1 where none came. */
static void
take_fds(struct msghdr *message, int fds[ORDER_FDS])
{
	struct cmsghdr *c = CMSG_FIRSTHDR(message);

	if (c == NULL || c->cmsg_level != SOL_SOCKET ||
	    c->cmsg_type != SCM_RIGHTS)
		return;
	memcpy(fds, CMSG_DATA(c),
	    MIN_OF(c->cmsg_len - CMSG_LEN(0), ORDER_FDS * sizeof(int)));
}

static void
close_both(int fds[ORDER_FDS])
{
	for (int i = 0; i < ORDER_FDS; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

int
order_receive(int control_fd, struct order_message *m, int *fd0, int *fd1)
{
	struct iovec data = { .iov_base = m, .iov_len = sizeof *m };
	union control_bytes control;
	struct msghdr message = { .msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof control.bytes };
	int fds[ORDER_FDS] = { -1, -1 };
	ssize_t got;

	*fd0 = *fd1 = -1;
	do
		got = recvmsg(
		    control_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		/* reset: it died with something of ours unread */
		return errno == ECONNRESET ? 0 : -1;
	take_fds(&message, fds);
	if (got != (ssize_t)sizeof *m || (message.msg_flags & MSG_TRUNC) != 0) {
		/* the end, or a side that does not speak our language: we
		 * have nothing more to say to each other */
		close_both(fds);
		return 0;
	}
	if ((message.msg_flags & MSG_CTRUNC) != 0)
		close_both(fds);
	*fd0 = fds[0];
	*fd1 = fds[1];
	return 1;
}

void
order_take_log(const struct order_message *m, int fd)
{
	uint64_t level = m->value & 0xff, format = m->value >> 8 & 0xff;

	if (fd >= 0 && level <= LOG_LEVEL_DEBUG && format <= LOG_FORMAT_JSON)
		log_use(fd, (enum log_level)level, (enum log_format)format);
	else if (fd >= 0)
		close(fd);
}

uint64_t
order_log_value(void)
{
	enum log_format format;
	enum log_level level = log_settings(&format);

	return (uint64_t)level | (uint64_t)format << 8;
}

void
heritage_raise_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_warn("the limit of open files cannot be raised");
}
