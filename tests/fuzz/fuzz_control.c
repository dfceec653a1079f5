/*
 * fuzz_control - the control protocol, both ends of it
 *
 * The first byte chooses. Asking: what listens at the control socket says
 * anything, and tranqctl must come to an end that it can print. Serving: a
 * client says anything, in pieces, and gets one status line or none; whatever
 * it does, the next client is served.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "control.h"
#include "fuzz_input.h"
#include "loop.h"

#define ANSWER_MAX (64 * KiB) /* fits a socket */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* ---- asking ---- */

static struct fuzz_input daemon_says;
static bool is_asking;

int connect(int fd, const struct sockaddr *to, socklen_t bytes);

/* The other end has said all and is gone. ctl.c only: we ourselves connect by
 * socketpair. */
int
connect(int fd, const struct sockaddr *to UNUSED, socklen_t bytes UNUSED)
{
	size_t n = MIN_OF(
	    (size_t)(daemon_says.end - daemon_says.at), (size_t)ANSWER_MAX);
	int ends[2];

	if (!is_asking) {
		errno = ECONNREFUSED;
		return -1;
	}
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
	must(n == 0 || write(ends[0], daemon_says.at, n) == (ssize_t)n);
	must(shutdown(ends[0], SHUT_WR) == 0);
	must(dup2(ends[1], fd) == fd);
	close(ends[1]);
	close(ends[0]);
	return 0;
}

static void
ask(const struct fuzz_input *in)
{
	struct ctl_answer a;
	enum ctl_outcome outcome;
	size_t said = (size_t)(in->end - in->at);

	daemon_says = *in;
	is_asking = true;
	outcome = ctl_ask("/run/x", "status", &a);
	is_asking = false;
	must(outcome == CTL_DONE || outcome == CTL_REFUSED ||
	    outcome == CTL_BROKEN);
	must(memchr(a.text, '\0', sizeof a.text) != NULL);
	must(strchr(a.text, '\n') == NULL);
	must(outcome != CTL_BROKEN || a.text[0] != '\0');
	must(a.body.used <= said);
	ctl_answer_free(&a);
}

/* ---- serving ---- */

static struct {
	struct loop *loop;
	struct control *control;
	char path[80];
	uint8_t manners;
	unsigned asked;
	uint64_t waiting; /* a ticket */
} server;

static void
handle(void *context UNUSED, uint64_t ticket, enum ctl_command command,
    const char *arguments)
{
	struct buf body;

	server.asked++;
	must((unsigned)command < CTL_COMMANDS);
	must(strlen(arguments) < CTL_LINE_MAX && *arguments != ' ');
	if (server.manners & 1)
		control_delay(server.control, ticket, 1000);
	if (server.manners & 2) {
		server.waiting = ticket;
		return;
	}
	buf_init(&body, MiB);
	buf_add_text(&body, arguments);
	control_answer(server.control, ticket, (server.manners & 4) == 0,
	    arguments, &body);
	buf_free(&body);
}

static void
remove_folder(void)
{
	char *slash = strrchr(server.path, '/');

	control_close(&server.control);
	*slash = '\0';
	rmdir(server.path);
}

static void
open_server(void)
{
	struct trouble t;

	if (server.loop != NULL)
		return;
	fuzz_silence();
	snprintf(server.path, sizeof server.path, "/tmp/fuzz_control_XXXXXX");
	must(mkdtemp(server.path) != NULL);
	strcat(server.path, "/socket");
	server.loop = loop_new();
	server.control =
	    control_open(server.loop, server.path, handle, NULL, &t);
	must(server.control != NULL);
	atexit(remove_folder);
}

static int
connect_client(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	must(fd >= 0);
	snprintf(at.sun_path, sizeof at.sun_path, "%s", server.path);
	must(syscall(SYS_connect, fd, &at, sizeof at) == 0);
	return fd;
}

static void
turn(unsigned turns)
{
	for (; turns > 0; turns--) {
		loop_poll(server.loop);
		loop_once(server.loop);
	}
}

static void
check_answer(int fd)
{
	static char text[2 * CTL_LINE_MAX + 4096];
	ssize_t got = recv(fd, text, sizeof text - 1, MSG_DONTWAIT);
	const char *line = text;

	if (got <= 0)
		return;
	text[got] = '\0';
	if (strncmp(line, "wait 1000\n", 10) == 0)
		line += 10;
	must(*line == '\0' || strncmp(line, "ok", 2) == 0 ||
	    strncmp(line, "error", 5) == 0);
}

static void
serve(struct fuzz_input *in)
{
	int fd;

	open_server();
	server.manners = fuzz_byte(in);
	server.asked = 0;
	server.waiting = 0;
	fd = connect_client();
	turn(1);
	while (in->at < in->end) {
		size_t n = MIN_OF(
		    (size_t)(in->end - in->at), 1 + (size_t)fuzz_byte(in) * 16);

		n = MIN_OF(n, (size_t)(in->end - in->at));
		(void)!send(fd, in->at, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		in->at += n;
		turn(1);
	}
	if (server.manners & 8)
		(void)shutdown(fd, SHUT_WR);
	turn(1);
	must(server.asked <= 1);
	if (server.waiting != 0)
		control_answer(server.control, server.waiting, true, "", NULL);
	check_answer(fd);
	close(fd);
	turn(2);
}

/* However the client before was. */
static void
serve_good_one(void)
{
	int fd = connect_client();
	char text[16] = "";

	server.manners = 0;
	must(send(fd, "status x\n", 9, MSG_NOSIGNAL) == 9);
	turn(2);
	must(recv(fd, text, sizeof text - 1, MSG_DONTWAIT) == 6);
	must(strcmp(text, "ok x\nx") == 0);
	close(fd);
	turn(1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct fuzz_input in = { data, data + bytes };

	if (bytes == 0)
		return 0;
	if (fuzz_byte(&in) & 1) {
		ask(&in);
	} else {
		serve(&in);
		serve_good_one();
	}
	return 0;
}
