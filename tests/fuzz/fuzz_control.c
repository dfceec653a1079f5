/*
 * fuzz_control - the control protocol, both ends of it
 *
 * The first byte chooses. Asking: what listens at the control socket says
 * anything, and tranqctl must come to an end that it can print, which is what
 * the first line behind all "wait" says, and has all that follows. Serving: a
 * client says anything, in pieces, and gets the answer that was given, or one
 * line of refusal, or none; whatever it does, the next client is served.
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

/* What the first line behind all "wait" says; *body: what follows it. */
static enum ctl_outcome
read_naively(const uint8_t *said, const uint8_t *end, const uint8_t **body)
{
	const uint8_t *line = said, *stop;

	for (;; line = stop + 1) {
		stop = line < end ? memchr(line, '\n', (size_t)(end - line))
				  : NULL;
		if (stop == NULL)
			return CTL_BROKEN;
		if (stop - line < 6 || memcmp(line, "wait ", 5) != 0)
			break;
	}
	*body = stop + 1;
	if (stop - line >= 2 && memcmp(line, "ok", 2) == 0)
		return CTL_DONE;
	return stop - line >= 5 && memcmp(line, "error", 5) == 0 ? CTL_REFUSED
								 : CTL_BROKEN;
}

static void
ask(const struct fuzz_input *in)
{
	size_t said = MIN_OF((size_t)(in->end - in->at), (size_t)ANSWER_MAX);
	const uint8_t *body = NULL;
	enum ctl_outcome outcome, wanted;
	struct ctl_answer a;

	daemon_says = *in;
	is_asking = true;
	outcome = ctl_ask("/run/x", "status", &a);
	is_asking = false;
	must(memchr(a.text, '\0', sizeof a.text) != NULL);
	must(strchr(a.text, '\n') == NULL);
	wanted = read_naively(in->at, in->at + said, &body);
	if (outcome == CTL_BROKEN) {
		/* "wait 0" is over at once */
		must(wanted == CTL_BROKEN || strstr(a.text, "in time") != NULL);
		must(a.text[0] != '\0');
	} else {
		must(outcome == wanted);
		must(a.body.used == (size_t)(in->at + said - body));
		must(a.body.used == 0 ||
		    memcmp(a.body.bytes, body, a.body.used) == 0);
	}
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
	struct buf answer; /* that the client must get */
} server;

/* Its text's first line is told. */
static void
answer(uint64_t ticket, const char *arguments)
{
	bool is_ok = (server.manners & 4) == 0;
	char *text =
	    must_format("%s%s", arguments, server.manners & 16 ? "\nx" : "");
	struct buf body;

	buf_init(&body, MiB);
	buf_add_text(&body, arguments);
	control_answer(server.control, ticket, is_ok, text, &body);
	buf_addf(&server.answer, "%s%s%s\n%s", is_ok ? "ok" : "error",
	    *arguments != '\0' ? " " : "", arguments, arguments);
	buf_free(&body);
	free(text);
}

static void
handle(void *context UNUSED, uint64_t ticket, enum ctl_command command,
    const char *arguments)
{
	server.asked++;
	must((unsigned)command < CTL_COMMANDS);
	must(strlen(arguments) < CTL_LINE_MAX && *arguments != ' ');
	if (server.manners & 1) {
		control_delay(server.control, ticket, 1000);
		buf_add_text(&server.answer, "wait 1000\n");
	}
	if (server.manners & 2)
		server.waiting = ticket;
	else
		answer(ticket, arguments);
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
	buf_init(&server.answer, MiB);
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

/* Unless it has gone before, or was told before that it says too much. */
static void
check_answer(int fd)
{
	static char text[2 * CTL_LINE_MAX + 4096];
	ssize_t got = recv(fd, text, sizeof text - 1, MSG_DONTWAIT);

	if (got <= 0)
		return;
	text[got] = '\0';
	if (server.asked > 0)
		must((size_t)got == server.answer.used &&
		    memcmp(text, server.answer.bytes, (size_t)got) == 0);
	else
		must(strncmp(text, "error ", 6) == 0 &&
		    text[strcspn(text, "\n") + 1] == '\0');
}

/* A whole line that comes in any pieces is one command, or is none. */
static void
check_asked(struct buf *sent)
{
	const char *stop = memchr(buf_must_text(sent), '\n', sent->used);
	const char *arguments;
	enum ctl_command command;

	if (stop == NULL || stop - sent->bytes >= CTL_LINE_MAX) {
		must(server.asked == 0);
		return;
	}
	sent->bytes[stop - sent->bytes] = '\0';
	must(server.asked == ctl_parse(sent->bytes, &command, &arguments));
}

static void
send_pieces(struct fuzz_input *in, int fd, struct buf *sent)
{
	while (in->at < in->end) {
		size_t n = 1 + (size_t)fuzz_byte(in) * 16;

		n = MIN_OF(n, (size_t)(in->end - in->at));
		if (send(fd, in->at, n, MSG_NOSIGNAL | MSG_DONTWAIT) ==
		    (ssize_t)n)
			buf_add(sent, in->at, n);
		in->at += n;
		turn(1);
	}
}

static void
serve(struct fuzz_input *in)
{
	struct buf sent;
	int fd;

	open_server();
	server.manners = fuzz_byte(in);
	server.asked = 0;
	server.waiting = 0;
	buf_reset(&server.answer);
	buf_init(&sent, SIZE_MAX);
	fd = connect_client();
	turn(1);
	send_pieces(in, fd, &sent);
	if (server.manners & 8)
		(void)shutdown(fd, SHUT_WR);
	turn(1);
	check_asked(&sent);
	if (server.waiting != 0 && !(server.manners & 32))
		answer(server.waiting, "late");
	check_answer(fd);
	close(fd);
	turn(2);
	if (server.manners & 64) /* nobody is there any more */
		answer(server.waiting, "too late");
	buf_free(&sent);
}

/* However the client before was. */
static void
serve_good_one(void)
{
	int fd = connect_client();
	char text[16] = "";

	server.manners = 0;
	buf_reset(&server.answer);
	must(send(fd, "status x\n", 9, MSG_NOSIGNAL) == 9);
	turn(2);
	must(recv(fd, text, sizeof text - 1, MSG_DONTWAIT) == 6);
	must(strcmp(text, "ok x\nx") == 0);
	must(recv(fd, text, sizeof text, MSG_DONTWAIT) == 0);
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
