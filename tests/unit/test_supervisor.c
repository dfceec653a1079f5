/*
 * test_supervisor - the whole supervisor with stub children: births, deaths,
 * stops, and what it refuses
 *
 * Links: supervisor but main.c, receiver_check, common.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "stub_children.h"
#include "supervisor_place.h"

static void
test_start_and_stop(void **state UNUSED)
{
	struct daemon d = { .port = 0 };
	struct json *document;
	const struct json *accounts;

	start(&d, "beta:PT10M alpha:PT10M");
	document = status(&d);
	assert_int_equal(json_get_int(document, "version", 0), 1);
	assert_int_equal(json_size(json_get(document, "receivers")), 2);
	assert_int_equal(json_size(json_get(document, "dataSources")), 2);
	accounts = json_get(source_in(document, "alpha"), "accounts");
	/* 7 received = 5 sent + 2 in the spool; the stub has taken one more
	 * than was offered, which counts as nothing in the rings */
	assert_int_equal(json_get_int(accounts, "received", 0), 7);
	assert_true(json_get_bool(accounts, "holds", false));
	assert_int_equal(json_get_int(accounts, "inRings", -1), 0);
	assert_true(
	    json_is_object(json_get(source_in(document, "alpha"), "beams")));
	json_free(&document);
	assert_title(look(&d, "alpha").pid, "tranqd: worker alpha");
	assert_title(look(&d, "receiver1").pid, "tranqd: receiver 1");
	assert_int_equal(children_of(d.pid), 4);
	assert_true(is_there(&d, "run/http.port"));
	assert_true(is_there(&d, "data/spool/alpha"));
	kill(d.pid, SIGTERM);
	assert_int_equal(wait_for_exit(&d), 0);
	assert_story(&d,
	    (const char *const[]){
		"receiver", " stop", "receiver", " stop", "alpha stop", NULL });
	assert_false(is_there(&d, "run/http.port"));
	assert_false(is_there(&d, "run/tranqd.pid"));
	assert_false(is_there(&d, "run/control.sock"));
	remove_place(&d);
}

static void
test_port_is_open(void **state UNUSED)
{
	struct daemon d = { .port = 0 };
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	char path[160], *text;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	start(&d, "a:PT10M");
	snprintf(path, sizeof path, "%s/run/http.port", d.dir);
	text = read_file(path);
	to.sin_port = htons((uint16_t)atoi(text));
	free(text);
	assert_int_equal(connect(fd, (const void *)&to, sizeof to), 0);
	close(fd);
	stop(&d);
}

static void
replace_in(const char *path, const char *what, const char *by)
{
	char *text = read_file(path), *at = strstr(text, what);
	FILE *f = fopen(path, "w");

	assert_non_null(at);
	fprintf(f, "%.*s%s%s", (int)(at - text), text, by, at + strlen(what));
	fclose(f);
	free(text);
}

static void
test_killed_worker_is_back_at_once(void **state UNUSED)
{
	struct daemon d = { .port = 0 };
	struct json *document;
	struct seen before, after;
	int64_t since;
	char *log;

	start(&d, "a:PT10M b:PT10M");
	before = look(&d, "a");
	since = clock_mono_ms();
	kill((pid_t)before.pid, SIGKILL);
	do {
		after = look(&d, "a");
		assert_true(clock_mono_ms() - since < WAIT_MS);
	} while (after.pid == before.pid || strcmp(after.state, "ready") != 0);
	/* which is what is said of one that has to wait */
	log = read_file(d.log);
	assert_null(strstr(log, "started again in"));
	free(log);
	assert_int_equal(after.restarts, 1);
	document = status(&d);
	/* the second start has found the ring of the first */
	assert_int_equal(
	    json_get_int(
		json_get(source_in(document, "a"), "counters"), "commits", 0),
	    2);
	assert_string_equal(
	    json_get_text(json_get(json_get(source_in(document, "a"), "worker"),
			      "lastDeath"),
		"how", ""),
	    "killed by signal 9 (Killed)");
	json_free(&document);
	assert_int_equal(look(&d, "b").restarts, 0);
	assert_int_equal(children_of(d.pid), 4);
	stop(&d);
}

/* The third kind of child: born with the pages of all logs, replaced when it
 * dies, and by a reload. */
static void
test_feed(void **state UNUSED)
{
	struct daemon d = { .port = 0 };
	struct json *document;
	const struct json *feed;
	int64_t first;

	make_place(&d);
	write_conf(
	    &d, "beta:PT10M alpha:PT10M", ",\"pull.listen\":\"127.0.0.1:0\"");
	launch(&d);
	wait_for_start(&d);
	document = status(&d);
	feed = json_get(document, "feed");
	assert_string_equal(json_get_text(feed, "state", ""), "ready");
	assert_true(json_get_int(feed, "port", 0) > 0);
	json_free(&document);
	first = look(&d, "feed").pid;
	assert_title(first, "tranqd: feed");
	assert_int_equal(children_of(d.pid), 5);
	assert_true(is_there(&d, "run/pull.port"));
	kill((pid_t)first, SIGKILL);
	wait_for_successor(&d, "feed", first);
	assert_story(&d,
	    (const char *const[]){ "page of alpha at 97", "page of beta at 98",
		"feed start 2", NULL });
	first = look(&d, "feed").pid;
	kill(d.pid, SIGHUP);
	wait_for_successor(&d, "feed", first);
	kill(d.pid, SIGTERM);
	assert_int_equal(wait_for_exit(&d), 0);
	assert_story(&d,
	    (const char *const[]){
		"feed stop", "feed start 3", "feed stop", "alpha stop", NULL });
	assert_false(is_there(&d, "run/pull.port"));
	remove_place(&d);
}

static void
test_crash_before_ready_backs_off(void **state UNUSED)
{
	struct daemon d = { .port = 0 };
	struct json *document;
	int64_t since = clock_mono_ms();
	struct seen seen;

	make_place(&d);
	write_conf(&d, "a:PT10M b:PT10M", "");
	flag(&d, "crash", "a", true);
	launch(&d);
	wait_for_state(&d, "a", "backoff");
	do {
		seen = look(&d, "a");
		pause_a_bit();
	} while (seen.deaths < 4 && clock_mono_ms() - since < WAIT_MS);
	/* 100 + 200 + 400 ms lie between four deaths */
	assert_true(clock_mono_ms() - since >= 700);
	document = status(&d);
	assert_non_null(strstr(
	    json_get_text(json_get(json_get(source_in(document, "a"), "worker"),
			      "lastDeath"),
		"lastWords", ""),
	    "shall crash"));
	json_free(&document);
	flag(&d, "crash", "a", false);
	wait_for_state(&d, "a", "ready");
	stop(&d);
}

static void
test_stuck_children_are_killed(void **state UNUSED)
{
	struct daemon d = { .port = 0 };
	int64_t since;

	start(&d, "a:PT10M b:PT10M");
	flag(&d, "stuck", "a", true);
	flag(&d, "stuck", "receiver0", true);
	since = clock_mono_ms();
	kill(d.pid, SIGTERM);
	assert_int_equal(wait_for_exit(&d), 0);
	/* 2/3 of 3 s and a second of grace, the rest and another second */
	assert_true(clock_mono_ms() - since >= 3000);
	assert_true(clock_mono_ms() - since < 15000);
	remove_place(&d);
}

static void
test_quit_is_quick(void **state UNUSED)
{
	struct daemon d = { .port = 0 };
	int64_t since;

	make_place(&d);
	write_conf(&d, "a:PT10M b:PT10M", "");
	replace_in(d.file, "\"PT3S\"", "\"PT40S\"");
	launch(&d);
	wait_for_start(&d);
	flag(&d, "stuck", "a", true);
	since = clock_mono_ms();
	kill(d.pid, SIGQUIT);
	assert_int_equal(wait_for_exit(&d), 0);
	assert_true(clock_mono_ms() - since < 15000);
	remove_place(&d);
}

static void
start_watchful(struct daemon *d)
{
	make_place(d);
	write_conf(d, "a:PT10M b:PT10M", ",\"tranqd.hangTimeout\":\"PT1S\"");
	launch(d);
	wait_for_start(d);
}

/* Waits for its first death; nothing else has died. */
static void
assert_was_hung(const struct daemon *d, const char *words)
{
	int64_t end = clock_mono_ms() + WAIT_MS;
	struct json *document;
	const struct json *death;

	while (look(d, "a").deaths == 0 && clock_mono_ms() < end)
		pause_a_bit();
	document = status(d);
	death =
	    json_get(json_get(source_in(document, "a"), "worker"), "lastDeath");
	assert_string_equal(
	    json_get_text(death, "how", ""), "hung and was killed");
	assert_non_null(
	    strstr(json_get_text(death, "lastWords", ""), "no sign of life"));
	if (strstr(json_get_text(death, "lastWords", ""), words) == NULL)
		fail_msg("%s", json_get_text(death, "lastWords", ""));
	json_free(&document);
	wait_for_state(d, "a", "ready");
	assert_int_equal(look(d, "b").deaths, 0);
	assert_int_equal(look(d, "receiver0").deaths, 0);
}

static void
test_hung_worker_is_aborted(void **state UNUSED)
{
	struct daemon d = { .port = 0 };

	start_watchful(&d);
	flag(&d, "hang", "a", true);
	while (look(&d, "a").deaths == 0)
		pause_a_bit();
	flag(&d, "hang", "a", false);
	assert_was_hung(&d, "starts");
	stop(&d);
}

/* Neither SIGABRT nor anything else reaches it but SIGKILL. */
static void
test_stopped_worker_is_replaced(void **state UNUSED)
{
	struct daemon d = { .port = 0 };
	char *log;

	start_watchful(&d);
	kill((pid_t)look(&d, "a").pid, SIGSTOP);
	assert_was_hung(&d, "is stopped (SIGSTOP)");
	/* it was spoken of first */
	log = read_file(d.log);
	assert_int_equal(count_in(log, "no sign of life"), 3);
	free(log);
	stop(&d);
}

/* The children go on, and are not blamed for it. */
static void
test_stopped_supervisor(void **state UNUSED)
{
	struct daemon d = { .port = 0 };
	int64_t a, end;

	start_watchful(&d);
	a = look(&d, "a").pid;
	kill(d.pid, SIGSTOP);
	end = clock_mono_ms() + 2500;
	while (clock_mono_ms() < end)
		pause_a_bit();
	kill(d.pid, SIGCONT);
	end = clock_mono_ms() + 1500;
	while (clock_mono_ms() < end)
		assert_int_equal(look(&d, "a").pid, a);
	assert_int_equal(look(&d, "a").deaths, 0);
	stop(&d);
}

/* Whoever started us does not care for his children; we do for ours. */
static void
test_ignored_sigchld(void **state UNUSED)
{
	struct daemon d = { .port = 0 };
	struct seen before;

	make_place(&d);
	write_conf(&d, "a:PT10M", "");
	fflush(NULL);
	d.pid = fork();
	if (d.pid == 0) {
		signal(SIGCHLD, SIG_IGN);
		be_daemon(&d);
	}
	wait_for_start(&d);
	before = look(&d, "a");
	kill((pid_t)before.pid, SIGKILL);
	for (int64_t end = clock_mono_ms() + WAIT_MS;
	     look(&d, "a").pid == before.pid;)
		assert_true(clock_mono_ms() < end);
	wait_for_state(&d, "a", "ready");
	stop(&d);
}

/* One dataSource's trouble is no other's, it says why, and it gets on by itself
 * when that is mended. */
static void
test_one_spool_that_cannot_be(void **state UNUSED)
{
	struct daemon d = { .port = 0 };
	struct json *document;
	const struct json *worker;
	char path[96], *log;

	make_place(&d);
	write_conf(&d, "a:PT10M b:PT10M", "");
	snprintf(path, sizeof path, "%s/data/spool", d.dir);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof path, "%s/data/spool/a", d.dir);
	close(open(path, O_WRONLY | O_CREAT, 0600));
	launch(&d);
	wait_for_state(&d, "b", "ready");
	wait_for_state(&d, "a", "backoff");
	document = status(&d);
	worker = json_get(source_in(document, "a"), "worker");
	assert_non_null(strstr(
	    json_get_text(json_get(worker, "lastDeath"), "lastWords", ""),
	    path));
	assert_string_equal(
	    json_get_text(json_get(worker, "lastDeath"), "how", ""),
	    "could not be started");
	assert_true(json_get_int(worker, "nextStartMs", -1) >= 0);
	json_free(&document);
	assert_int_equal(unlink(path), 0);
	wait_for_state(&d, "a", "ready");
	log = read_file(d.log);
	/* 100, 200, 400 ms, …: no endless row of attempts */
	assert_true(count_in(log, "could not be started") < 10);
	free(log);
	stop(&d);
}

static void
test_children_outlive_nobody(void **state UNUSED)
{
	struct daemon d = { .port = 0 };
	int64_t end = clock_mono_ms() + WAIT_MS;
	char *story;

	start(&d, "a:PT10M b:PT10M");
	kill(d.pid, SIGKILL);
	wait_for_exit(&d);
	/* each of them sees the end of its control socket: no sibling holds
	 * the supervisor's end of it */
	for (;;) {
		story = read_file(d.story);
		if (count_in(story, "orphan") == 4)
			break;
		free(story);
		assert_true(clock_mono_ms() < end);
		pause_a_bit();
	}
	free(story);
	/* the next one takes over what lies there */
	launch(&d);
	wait_for_start(&d);
	stop(&d);
}

static void
test_second_daemon_is_refused(void **state UNUSED)
{
	struct daemon d = { .port = 0 }, second;
	char expected[64], *log;

	start(&d, "a:PT10M");
	second = d;
	snprintf(second.log, sizeof second.log, "%s/log2", d.dir);
	launch(&second);
	assert_int_equal(WEXITSTATUS(wait_for_exit(&second)), EX_UNAVAILABLE);
	log = read_file(second.log);
	snprintf(expected, sizeof expected, "already running with pid %d",
	    (int)d.pid);
	assert_non_null(strstr(log, expected));
	free(log);
	assert_true(is_there(&d, "run/tranqd.pid"));
	assert_true(is_there(&d, "run/http.port"));
	assert_int_equal(look(&d, "a").restarts, 0);
	stop(&d);
}

static void
assert_start_fails(int port, const char *more, int code, const char *message)
{
	struct daemon d = { .port = port };
	char *log;

	make_place(&d);
	write_conf(&d, "a:PT10M", more);
	launch(&d);
	assert_int_equal(WEXITSTATUS(wait_for_exit(&d)), code);
	log = read_file(d.log);
	if (strstr(log, message) == NULL)
		fail_msg("'%s' is not in:\n%s", message, log);
	/* nothing was forked */
	assert_null(strstr(log, "ready after"));
	assert_false(is_there(&d, "run/tranqd.pid"));
	free(log);
	remove_place(&d);
}

static void
test_taken_port(void **state UNUSED)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t bytes = sizeof at;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char message[64];

	assert_int_equal(bind(fd, (const void *)&at, sizeof at), 0);
	assert_int_equal(listen(fd, 1), 0);
	getsockname(fd, (void *)&at, &bytes);
	snprintf(message, sizeof message, "http.port 127.0.0.1:%d cannot be",
	    ntohs(at.sin_port));
	assert_start_fails(ntohs(at.sin_port), "", EX_UNAVAILABLE, message);
	close(fd);
}

static void
test_start_failures(void **state UNUSED)
{
	assert_start_fails(0, ",\"tranqd.user\":\"nobody-of-that-name\"",
	    EX_CONFIG, "tranqd.user: there is no user");
	assert_start_fails(0, ",\"tranqd.controlSocket\":\"/proc/none/sock\"",
	    EX_CANTCREAT, "control socket /proc/none/sock");
	assert_start_fails(0, ",\"log.file\":\"/proc/none/log\"", EX_CANTCREAT,
	    "log.file /proc/none/log");
}

static void
test_spool_that_cannot_be(void **state UNUSED)
{
	struct daemon d = { .port = 0 };
	char path[96], *log;

	make_place(&d);
	write_conf(&d, "a:PT10M", "");
	snprintf(path, sizeof path, "%s/data/spool", d.dir);
	close(open(path, O_WRONLY | O_CREAT, 0600));
	launch(&d);
	assert_int_equal(WEXITSTATUS(wait_for_exit(&d)), EX_CANTCREAT);
	log = read_file(d.log);
	assert_non_null(strstr(log, path));
	assert_non_null(strstr(log, "choose another tranqd.dataDir"));
	free(log);
	remove_place(&d);
}

#if !defined(__SANITIZE_ADDRESS__)
/* Rings that do not fit into the address space (a sanitizer's shadow does not
 * either). */
static void
test_memory_that_is_not_to_be_had(void **state UNUSED)
{
	struct daemon d = { .port = 0 };
	struct rlimit little = { 256 * MiB, 256 * MiB };
	char *log;

	make_place(&d);
	write_conf(&d, "a:PT10M", "");
	replace_in(d.file, "\"64KiB\"", "\"1GiB\"");
	fflush(NULL);
	d.pid = fork();
	if (d.pid == 0) {
		setrlimit(RLIMIT_AS, &little);
		be_daemon(&d);
	}
	assert_int_equal(WEXITSTATUS(wait_for_exit(&d)), EX_OSERR);
	log = read_file(d.log);
	assert_non_null(strstr(log, "lower tranqd.ringBytes"));
	free(log);
	remove_place(&d);
}
#endif

/* What systemd is told, with Type=notify or notify-reload. */
static void
test_systemd_is_told(void **state UNUSED)
{
	static const char *const expected[] = { "WATCHDOG=1", "READY=1\n",
		"RELOADING=1\nMONOTONIC_USEC=", "READY=1\n", "STOPPING=1\n" };
	struct daemon d = { .port = 0 };
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	char text[256];

	make_place(&d);
	snprintf(at.sun_path, sizeof at.sun_path, "%s/notify", d.dir);
	assert_int_equal(bind(fd, (const void *)&at, sizeof at), 0);
	setenv("NOTIFY_SOCKET", at.sun_path, 1);
	setenv("WATCHDOG_USEC", "60000000", 1);
	write_conf(&d, "a:PT10M", "");
	launch(&d);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	wait_for_start(&d);
	kill(d.pid, SIGHUP);
	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		do {
			ssize_t bytes = recv(fd, text, sizeof text - 1, 0);

			assert_true(bytes > 0);
			text[bytes] = '\0';
			/* that comes again and again */
		} while (i > 0 && strncmp(text, expected[0], 8) == 0);
		if (strncmp(text, expected[i], strlen(expected[i])) != 0)
			fail_msg("'%s', not '%s'", text, expected[i]);
		if (i == 3)
			kill(d.pid, SIGTERM);
	}
	assert_int_equal(wait_for_exit(&d), 0);
	close(fd);
	remove_place(&d);
}

static void
test_control_is_bounded(void **state UNUSED)
{
	struct daemon d = { .port = 0 };
	struct ctl_answer a;
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fds[CONTROL_CLIENTS];
	char line[CTL_LINE_MAX] = { 0 };

	start(&d, "a:PT10M");
	assert_int_equal(ask(&d, "frobnicate", &a), CTL_REFUSED);
	ctl_answer_free(&a);
	memset(line, 'x', sizeof line - 1);
	assert_int_equal(ask(&d, line, &a), CTL_REFUSED);
	ctl_answer_free(&a);
	strcpy(to.sun_path, d.socket);
	for (int i = 0; i < CONTROL_CLIENTS; i++) {
		fds[i] = socket(AF_UNIX, SOCK_STREAM, 0);
		assert_int_equal(
		    connect(fds[i], (const void *)&to, sizeof to), 0);
	}
	assert_int_equal(ask(&d, "status", &a), CTL_REFUSED);
	assert_non_null(strstr(a.text, "too many"));
	ctl_answer_free(&a);
	for (int i = 0; i < CONTROL_CLIENTS; i++)
		close(fds[i]);
	wait_for_state(&d, "a", "ready");
	stop(&d);
}

static void
test_log_is_reopened(void **state UNUSED)
{
	struct daemon d = { .port = 0 };
	char more[200], from[96], to[96];
	int64_t end = clock_mono_ms() + WAIT_MS;

	make_place(&d);
	snprintf(from, sizeof from, "%s/file.log", d.dir);
	snprintf(to, sizeof to, "%s/file.old", d.dir);
	snprintf(more, sizeof more, ",\"log.file\":\"%s\"", from);
	write_conf(&d, "a:PT10M", more);
	launch(&d);
	wait_for_start(&d);
	assert_int_equal(rename(from, to), 0);
	kill(d.pid, SIGUSR1);
	while (access(from, F_OK) != 0 && clock_mono_ms() < end)
		pause_a_bit();
	assert_int_equal(access(from, F_OK), 0);
	stop(&d);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start_and_stop),
		cmocka_unit_test(test_port_is_open),
		cmocka_unit_test(test_killed_worker_is_back_at_once),
		cmocka_unit_test(test_feed),
		cmocka_unit_test(test_crash_before_ready_backs_off),
		cmocka_unit_test(test_stuck_children_are_killed),
		cmocka_unit_test(test_quit_is_quick),
		cmocka_unit_test(test_hung_worker_is_aborted),
		cmocka_unit_test(test_stopped_worker_is_replaced),
		cmocka_unit_test(test_stopped_supervisor),
		cmocka_unit_test(test_ignored_sigchld),
		cmocka_unit_test(test_one_spool_that_cannot_be),
		cmocka_unit_test(test_children_outlive_nobody),
		cmocka_unit_test(test_second_daemon_is_refused),
		cmocka_unit_test(test_taken_port),
		cmocka_unit_test(test_start_failures),
		cmocka_unit_test(test_spool_that_cannot_be),
#if !defined(__SANITIZE_ADDRESS__)
		cmocka_unit_test(test_memory_that_is_not_to_be_had),
#endif
		cmocka_unit_test(test_systemd_is_told),
		cmocka_unit_test(test_control_is_bounded),
		cmocka_unit_test(test_log_is_reopened),
	};

	title_init(argc, argv);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
