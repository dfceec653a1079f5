/*
 * ctl - the control protocol: one request a connection, in lines
 *
 * Process: supervisor (the table), tranqctl (all of it).
 * Fails:   every wait has an end; what was wrong stands in the answer's text.
 */
#include "ctl.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "panic.h"

static const struct {
	const char *name, *text;
	enum ctl_wait waits;
} commands[] = {
#define CTL_COMMAND(member, name, waits, text) { name, text, waits },
#include "commands.def"
#undef CTL_COMMAND
};

const char *
ctl_name(enum ctl_command command)
{
	must((unsigned)command < CTL_COMMANDS);
	return commands[command].name;
}

const char *
ctl_text(enum ctl_command command)
{
	must((unsigned)command < CTL_COMMANDS);
	return commands[command].text;
}

enum ctl_wait
ctl_waits(enum ctl_command command)
{
	must((unsigned)command < CTL_COMMANDS);
	return commands[command].waits;
}

bool
ctl_parse(const char *line, enum ctl_command *command, const char **arguments)
{
	size_t bytes = strcspn(line, " ");

	for (unsigned i = 0; i < CTL_COMMANDS; i++) {
		if (strlen(commands[i].name) != bytes ||
		    memcmp(commands[i].name, line, bytes) != 0)
			continue;
		*command = (enum ctl_command)i;
		*arguments = line + bytes + strspn(line + bytes, " ");
		return true;
	}
	return false;
}

static enum ctl_outcome
explain(struct ctl_answer *a, enum ctl_outcome outcome, const char *text)
{
	snprintf(a->text, sizeof a->text, "%s", text);
	return outcome;
}

/* Connected, or -1 with errno. */
static int
connect_to(const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	struct timeval bound = { .tv_sec = CTL_ANSWER_MS / 1000 };
	size_t bytes = strlen(path);
	int fd, error;

	if (bytes >= sizeof to.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(to.sun_path, path, bytes + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	/* one that is stopped and has a full queue must not hold us up */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof bound);
	if (connect(fd, (const void *)&to, sizeof to) == 0)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

/* Takes one "wait MS" line off the front of the body, if there is a whole
 * one; moves the deadline. */
static bool
take_wait(struct ctl_answer *a, int64_t *deadline_ms)
{
	const char *end = memchr(a->body.bytes, '\n', a->body.used);
	long long wait;

	if (end == NULL || end - a->body.bytes < 6 ||
	    memcmp(a->body.bytes, "wait ", 5) != 0)
		return false;
	wait = strtoll(a->body.bytes + 5, NULL, 10);
	*deadline_ms =
	    clock_mono_ms() + MIN_OF(MAX_OF(wait, 0), CTL_WAIT_MAX_MS);
	buf_consume(&a->body, (size_t)(end - a->body.bytes) + 1);
	return true;
}

/* Reads up to the end of the file; NULL, or what went wrong. */
static const char *
read_all(int fd, struct ctl_answer *a)
{
	int64_t deadline_ms = clock_mono_ms() + CTL_ANSWER_MS;

	for (;;) {
		struct pollfd wait = { .fd = fd, .events = POLLIN };
		int64_t left = deadline_ms - clock_mono_ms();
		char *room = buf_room(&a->body, 4096);
		ssize_t got;

		if (room == NULL)
			return "the daemon's answer is too long";
		if (left <= 0)
			return "the daemon does not answer in time";
		if (poll(&wait, 1, (int)MIN_OF(left, 60 * 1000)) <= 0)
			continue;
		got = read(fd, room, 4096);
		if (got < 0 && errno == EINTR)
			continue;
		/* it may have answered without having read the request */
		if (got == 0 || (got < 0 && a->body.used > 0))
			return NULL;
		if (got < 0)
			return "the daemon has broken the connection";
		a->body.used += (size_t)got;
		while (take_wait(a, &deadline_ms))
			continue;
	}
}

/* Takes the status line off the front of the body. */
static enum ctl_outcome
take_status_line(struct ctl_answer *a)
{
	const char *line = a->body.used > 0 ? a->body.bytes : "";
	const char *end = memchr(line, '\n', a->body.used);
	enum ctl_outcome outcome = CTL_BROKEN;
	size_t word = 0, bytes;

	if (end == NULL)
		return explain(a, CTL_BROKEN,
		    "the daemon ended without an answer; look into its log");
	bytes = (size_t)(end - line);
	if (bytes >= 2 && memcmp(line, "ok", 2) == 0) {
		outcome = CTL_DONE;
		word = 2;
	} else if (bytes >= 5 && memcmp(line, "error", 5) == 0) {
		outcome = CTL_REFUSED;
		word = 5;
	}
	if (outcome == CTL_BROKEN)
		return explain(a, CTL_BROKEN,
		    "what listens there does not speak tranqd's protocol");
	if (word < bytes && line[word] == ' ')
		word++;
	snprintf(
	    a->text, sizeof a->text, "%.*s", (int)(bytes - word), line + word);
	buf_consume(&a->body, bytes + 1);
	return outcome;
}

static void
send_line(int fd, const char *line)
{
	char request[CTL_LINE_MAX + 2];
	int bytes = snprintf(request, sizeof request, "%s\n", line);

	must(bytes > 0 && (size_t)bytes < sizeof request);
	/* a failure shows when the answer is read */
	(void)!send(fd, request, (size_t)bytes, MSG_NOSIGNAL);
}

enum ctl_outcome
ctl_ask(const char *path, const char *line, struct ctl_answer *a)
{
	struct ucred other;
	socklen_t bytes = sizeof other;
	const char *wrong;
	int fd = connect_to(path);

	*a = (struct ctl_answer){ .pid = 0 };
	buf_init(&a->body, CTL_BODY_MAX);
	if (fd < 0)
		return explain(a, CTL_NO_DAEMON, strerror(errno));
	/* a listening socket's credentials are those of who listens */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &other, &bytes) == 0)
		a->pid = other.pid;
	/* sent or not: an answer may be there, or the reason why not */
	send_line(fd, line);
	wrong = read_all(fd, a);
	close(fd);
	if (wrong != NULL)
		return explain(a, CTL_BROKEN, wrong);
	return take_status_line(a);
}

void
ctl_answer_free(struct ctl_answer *a)
{
	buf_free(&a->body);
}

bool
ctl_wait_for_end(pid_t pid, int64_t timeout_ms)
{
	struct pollfd wait = { .events = POLLIN };
	int ready;

	wait.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (wait.fd < 0)
		return errno == ESRCH;
	do
		ready = poll(&wait, 1, (int)timeout_ms);
	while (ready < 0 && errno == EINTR);
	close(wait.fd);
	return ready > 0;
}
