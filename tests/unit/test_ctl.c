/*
 * test_ctl - the control protocol, asked of servers that do as they should
 * not
 *
 * Links: common.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "ctl.h"

struct server {
	char dir[32];
	char path[64];
	pid_t pid;
};

typedef void script_fn(int fd);

/* A process that takes one connection and plays `script` on it. */
static void
serve(struct server *s, script_fn *script)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(s->dir, "/tmp/test_ctl.XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->path, sizeof s->path, "%s/socket", s->dir);
	strcpy(at.sun_path, s->path);
	assert_int_equal(bind(fd, (const void *)&at, sizeof at), 0);
	s->pid = fork();
	if (s->pid == 0) {
		int client;

		alarm(20);
		assert_int_equal(listen(fd, 1), 0);
		client = accept(fd, NULL, NULL);
		script(client);
		_exit(0);
	}
	close(fd);
}

static void
end(struct server *s)
{
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	unlink(s->path);
	rmdir(s->dir);
}

static enum ctl_outcome
ask(struct server *s, const char *line, struct ctl_answer *a)
{
	enum ctl_outcome outcome;

	/* it may not listen yet */
	for (int i = 0; i < 1000; i++) {
		outcome = ctl_ask(s->path, line, a);
		if (outcome != CTL_NO_DAEMON)
			break;
		ctl_answer_free(a);
		poll(NULL, 0, 5);
	}
	return outcome;
}

static void
say(int fd, const char *text)
{
	if (write(fd, text, strlen(text)) < 0)
		_exit(1);
}

static void
hear(int fd, const char *expected)
{
	char text[256] = { 0 };
	ssize_t bytes = read(fd, text, sizeof text - 1);

	if (bytes < 0 || strcmp(text, expected) != 0)
		_exit(1);
}

static void
test_commands_parse(void **state UNUSED)
{
	enum ctl_command c;
	const char *rest;

	for (int i = 0; i < CTL_COMMANDS; i++) {
		enum ctl_command named = (enum ctl_command)i;

		assert_true(ctl_parse(ctl_name(named), &c, &rest));
		assert_int_equal(c, named);
		assert_string_equal(rest, "");
		assert_true(strlen(ctl_text(named)) > 10);
	}
	assert_true(ctl_parse("status  --json x", &c, &rest));
	assert_int_equal(c, CTL_STATUS);
	assert_string_equal(rest, "--json x");
	assert_int_equal(ctl_waits(CTL_STATUS), CTL_AT_ONCE);
	assert_int_equal(ctl_waits(CTL_STOP), CTL_LATER);
	assert_false(ctl_parse("", &c, &rest));
	assert_false(ctl_parse("stat", &c, &rest));
	assert_false(ctl_parse("statuss", &c, &rest));
	assert_false(ctl_parse(" status", &c, &rest));
}

static void
good(int fd)
{
	hear(fd, "status\n");
	say(fd, "ok all is well\nbody\nof lines");
}

static void
test_good_answer(void **state UNUSED)
{
	struct server s;
	struct ctl_answer a;

	serve(&s, good);
	assert_int_equal(ask(&s, "status", &a), CTL_DONE);
	assert_string_equal(a.text, "all is well");
	assert_string_equal(buf_text(&a.body), "body\nof lines");
	assert_int_equal(a.pid, s.pid);
	ctl_answer_free(&a);
	end(&s);
}

static void
refusal(int fd)
{
	/* before the request was read, as when there are too many */
	say(fd, "error no\n");
}

static void
test_refusal(void **state UNUSED)
{
	struct server s;
	struct ctl_answer a;

	serve(&s, refusal);
	assert_int_equal(ask(&s, "stop", &a), CTL_REFUSED);
	assert_string_equal(a.text, "no");
	assert_int_equal(a.body.used, 0);
	ctl_answer_free(&a);
	end(&s);
}

static void
byte_by_byte(int fd)
{
	static const char text[] = "wait 5000\nwait 60000\nok\n{}";

	hear(fd, "reload\n");
	for (size_t i = 0; i < sizeof text - 1; i++) {
		if (write(fd, text + i, 1) != 1)
			_exit(1);
		poll(NULL, 0, 1);
	}
}

static void
test_waits_in_pieces(void **state UNUSED)
{
	struct server s;
	struct ctl_answer a;

	serve(&s, byte_by_byte);
	assert_int_equal(ask(&s, "reload", &a), CTL_DONE);
	assert_string_equal(a.text, "");
	assert_string_equal(buf_text(&a.body), "{}");
	ctl_answer_free(&a);
	end(&s);
}

static void
silent_after_wait(int fd)
{
	say(fd, "wait 100\n");
	poll(NULL, 0, 15000);
}

static void
test_waiting_ends(void **state UNUSED)
{
	struct server s;
	struct ctl_answer a;
	int64_t since = clock_mono_ms();

	serve(&s, silent_after_wait);
	assert_int_equal(ask(&s, "stop", &a), CTL_BROKEN);
	assert_string_equal(a.text, "the daemon does not answer in time");
	assert_true(clock_mono_ms() - since < 12000);
	ctl_answer_free(&a);
	end(&s);
}

static void
mute(int fd UNUSED)
{
}

static void
foreign(int fd)
{
	say(fd, "HTTP/1.1 200 OK\r\n\r\n");
}

static void
half_a_line(int fd)
{
	say(fd, "ok but the daemon die");
}

static void
assert_broken(script_fn *script, const char *text)
{
	struct server s;
	struct ctl_answer a;

	serve(&s, script);
	assert_int_equal(ask(&s, "status", &a), CTL_BROKEN);
	assert_non_null(strstr(a.text, text));
	ctl_answer_free(&a);
	end(&s);
}

static void
test_broken_answers(void **state UNUSED)
{
	/* closed with the request unread or read, that depends on chance */
	assert_broken(mute, "the daemon");
	assert_broken(foreign, "does not speak");
	assert_broken(half_a_line, "ended without an answer");
}

static void
long_text(int fd)
{
	say(fd, "ok ");
	for (int i = 0; i < 1000; i++)
		say(fd, "0123456789");
	say(fd, "\nbody");
}

static void
test_long_text_is_cut(void **state UNUSED)
{
	struct server s;
	struct ctl_answer a;

	serve(&s, long_text);
	assert_int_equal(ask(&s, "status", &a), CTL_DONE);
	assert_int_equal(strlen(a.text), CTL_LINE_MAX - 1);
	assert_string_equal(buf_text(&a.body), "body");
	ctl_answer_free(&a);
	end(&s);
}

static void
test_nobody_there(void **state UNUSED)
{
	struct ctl_answer a;
	char path[200];

	assert_int_equal(
	    ctl_ask("/tmp/none/of/that/name", "status", &a), CTL_NO_DAEMON);
	assert_string_equal(a.text, "No such file or directory");
	ctl_answer_free(&a);
	memset(path, 'x', sizeof path - 1);
	path[sizeof path - 1] = '\0';
	assert_int_equal(ctl_ask(path, "status", &a), CTL_NO_DAEMON);
	ctl_answer_free(&a);
}

static void
test_end_of_a_process(void **state UNUSED)
{
	pid_t pid = fork();

	if (pid == 0) {
		pause();
		_exit(0);
	}
	assert_false(ctl_wait_for_end(pid, 10));
	kill(pid, SIGKILL);
	assert_true(ctl_wait_for_end(pid, 5000));
	waitpid(pid, NULL, 0);
	assert_true(ctl_wait_for_end(pid, 0));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commands_parse),
		cmocka_unit_test(test_good_answer),
		cmocka_unit_test(test_refusal),
		cmocka_unit_test(test_waits_in_pieces),
		cmocka_unit_test(test_waiting_ends),
		cmocka_unit_test(test_broken_answers),
		cmocka_unit_test(test_long_text_is_cut),
		cmocka_unit_test(test_nobody_there),
		cmocka_unit_test(test_end_of_a_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
