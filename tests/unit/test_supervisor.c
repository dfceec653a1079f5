/*
 * test_supervisor - the whole supervisor with stub children: births, deaths,
 * reloads, stops, and what is left over (nothing)
 *
 * Links: supervisor but main.c, common, tests/helper/stub_children.c.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "clock.h"
#include "conf.h"
#include "ctl.h"
#include "json.h"
#include "panic.h"
#include "supervisor.h"
#include "title.h"

#define WAIT_MS 20000
#define REPEATS 200
#define RECEIVERS 2

struct daemon {
	char dir[64];
	char file[96], socket[96], log[96], story[96];
	pid_t pid;
	int port; /* http.port */
};

static const char ds_text[] =
    "{\"spec\":{\"dataSchema\":{\"dataSource\":\"%s\",\"parser\":{\"type\":"
    "\"string\",\"parseSpec\":{\"format\":\"json\",\"timestampSpec\":"
    "{\"column\":\"time\",\"format\":\"auto\"},\"dimensionsSpec\":{}}},"
    "\"metricsSpec\":[],\"granularitySpec\":{\"type\":\"uniform\","
    "\"segmentGranularity\":\"HOUR\",\"queryGranularity\":\"NONE\"}},"
    "\"tuningConfig\":{\"type\":\"realtime\",\"windowPeriod\":\"%s\"}}}";

/* `sources`: "a:PT10M b:PT5M". `more`: further properties, with a comma in
 * front. */
static void
write_conf(const struct daemon *d, const char *sources, const char *more)
{
	char *copy = must_strdup(sources), *rest = copy, *one;
	FILE *f = fopen(d->file, "w");
	const char *comma = "";

	assert_non_null(f);
	fprintf(f, "{\"dataSources\":[");
	while ((one = strsep(&rest, " ")) != NULL) {
		const char *name = strsep(&one, ":");

		fprintf(f, "%s", comma);
		fprintf(f, ds_text, name, one);
		comma = ",\n";
	}
	fprintf(f,
	    "],\"properties\":{\"druid.overlord.url\":\"http://localhost:1\","
	    "\"http.address\":\"127.0.0.1\",\"http.port\":%d,"
	    "\"tranqd.runDir\":\"%s/run\",\"tranqd.dataDir\":\"%s/data\","
	    "\"tranqd.ringBytes\":\"64KiB\",\"tranqd.receivers\":%d,"
	    "\"tranqd.drainTimeout\":\"PT3S\",\"http.maxConnections\":100%s}}",
	    d->port, d->dir, d->dir, RECEIVERS, more);
	fclose(f);
	free(copy);
}

static char *
read_file(const char *path)
{
	char *text = must_calloc(1, MiB);
	FILE *f = fopen(path, "r");

	if (f != NULL) {
		text[fread(text, 1, MiB - 1, f)] = '\0';
		fclose(f);
	}
	return text;
}

static void
be_daemon(const struct daemon *d)
{
	struct supervisor_options options = { .file = d->file, .ready_fd = -1 };
	struct conf_problems problems = { 0 };
	int fd = open(d->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	struct conf *conf;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(fd, STDERR_FILENO);
	close(fd);
	conf = conf_load(d->file, &problems);
	for (unsigned i = 0; i < problems.count; i++)
		fprintf(stderr, "%s\n", problems.lines[i]);
	conf_problems_free(&problems);
	exit(conf == NULL ? EX_CONFIG : supervisor_run(&options, &conf));
}

static void
launch(struct daemon *d)
{
	fflush(NULL);
	d->pid = fork();
	if (d->pid == 0)
		be_daemon(d);
	assert_true(d->pid > 0);
}

static void
make_place(struct daemon *d)
{
	char path[96];

	snprintf(d->dir, sizeof d->dir, "/tmp/test_supervisor.XXXXXX");
	assert_non_null(mkdtemp(d->dir));
	snprintf(d->file, sizeof d->file, "%s/conf.json", d->dir);
	snprintf(d->socket, sizeof d->socket, "%s/run/control.sock", d->dir);
	snprintf(d->log, sizeof d->log, "%s/log", d->dir);
	snprintf(d->story, sizeof d->story, "%s/data/story", d->dir);
	snprintf(path, sizeof path, "%s/data", d->dir);
	assert_int_equal(mkdir(path, 0755), 0);
}

/* `what` and `name`: stub_children.c. */
static void
flag(const struct daemon *d, const char *what, const char *name, bool on)
{
	char path[160];

	snprintf(path, sizeof path, "%s/data/%s.%s", d->dir, what, name);
	if (on)
		close(open(path, O_WRONLY | O_CREAT, 0600));
	else
		unlink(path);
}

static enum ctl_outcome
ask(const struct daemon *d, const char *line, struct ctl_answer *a)
{
	return ctl_ask(d->socket, line, a);
}

/* The status document, or NULL when nobody answers. */
static struct json *
status(const struct daemon *d)
{
	struct ctl_answer a;
	struct json_error error;
	struct json *document = NULL;

	if (ask(d, "status", &a) == CTL_DONE) {
		document = json_parse(a.body.bytes, a.body.used, &error);
		assert_non_null(document);
	}
	ctl_answer_free(&a);
	return document;
}

static const struct json *
source_in(const struct json *document, const char *name)
{
	const struct json *all = json_get(document, "dataSources");

	for (size_t i = 0; i < json_size(all); i++)
		if (strcmp(json_get_text(json_at(all, i), "name", ""), name) ==
		    0)
			return json_at(all, i);
	return NULL;
}

struct seen {
	char state[16];
	int64_t pid, restarts, deaths;
};

/* How a worker (or "receiver0") is; state "" when it is not there. */
static struct seen
look(const struct daemon *d, const char *name)
{
	struct json *document = status(d);
	const struct json *c = json_get(source_in(document, name), "worker");
	struct seen seen = { 0 };

	if (strncmp(name, "receiver", 8) == 0)
		c = json_at(
		    json_get(document, "receivers"), (size_t)(name[8] - '0'));
	snprintf(
	    seen.state, sizeof seen.state, "%s", json_get_text(c, "state", ""));
	seen.pid = json_get_int(c, "pid", 0);
	seen.restarts = json_get_int(c, "restarts", 0);
	seen.deaths = json_get_int(c, "deathCount", 0);
	json_free(&document);
	return seen;
}

static void
pause_a_bit(void)
{
	poll(NULL, 0, 5);
}

static void
wait_for_state(const struct daemon *d, const char *name, const char *state)
{
	int64_t end = clock_mono_ms() + WAIT_MS;

	while (strcmp(look(d, name).state, state) != 0) {
		if (clock_mono_ms() > end)
			fail_msg("%s is %s, not %s", name, look(d, name).state,
			    state);
		pause_a_bit();
	}
}

static void
wait_for_start(const struct daemon *d)
{
	int64_t end = clock_mono_ms() + WAIT_MS;

	for (;;) {
		struct json *document = status(d);
		bool running =
		    strcmp(json_get_text(
			       json_get(document, "supervisor"), "state", ""),
			"running") == 0;

		json_free(&document);
		if (running)
			return;
		if (clock_mono_ms() > end)
			fail_msg("not started:\n%s", read_file(d->log));
		pause_a_bit();
	}
}

static void
start(struct daemon *d, const char *sources)
{
	make_place(d);
	write_conf(d, sources, "");
	launch(d);
	wait_for_start(d);
}

static int
wait_for_exit(struct daemon *d)
{
	int64_t end = clock_mono_ms() + WAIT_MS;
	int code = 0;

	while (waitpid(d->pid, &code, WNOHANG) == 0) {
		if (clock_mono_ms() > end)
			fail_msg("does not end:\n%s", read_file(d->log));
		pause_a_bit();
	}
	d->pid = 0;
	return code;
}

static void
remove_place(const struct daemon *d)
{
	char command[128];

	snprintf(command, sizeof command, "rm -rf %s", d->dir);
	assert_int_equal(system(command), 0);
}

static void
assert_story(const struct daemon *d, const char *const *lines)
{
	char *story = read_file(d->story), *at = story;

	for (; *lines != NULL; lines++) {
		char *found = strstr(at, *lines);

		if (found == NULL)
			fail_msg("'%s' is not (in this order) in:\n%s", *lines,
			    story);
		at = found + strlen(*lines);
	}
	if (strstr(story, "LEAK") != NULL)
		fail_msg("%s", story);
	free(story);
}

static unsigned
count_in(const char *text, const char *what)
{
	unsigned n = 0;

	for (; (text = strstr(text, what)) != NULL; text++)
		n++;
	return n;
}

static void
forget_story(const struct daemon *d)
{
	assert_int_equal(truncate(d->story, 0), 0);
}

static void
stop(struct daemon *d)
{
	struct ctl_answer a;

	assert_int_equal(ask(d, "stop", &a), CTL_DONE);
	assert_string_equal(a.text, "stopped");
	assert_int_equal(a.pid, d->pid);
	assert_int_equal(wait_for_exit(d), 0);
	ctl_answer_free(&a);
	remove_place(d);
}

static void
assert_reload(
    const struct daemon *d, enum ctl_outcome outcome, const char *text)
{
	struct ctl_answer a;

	assert_int_equal(ask(d, "reload", &a), outcome);
	assert_string_equal(a.text, text);
	ctl_answer_free(&a);
}

static unsigned
count_dir(const char *path)
{
	DIR *dir = opendir(path);
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

static unsigned
fds_of(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
	return count_dir(path);
}

/* Children of a process, dead ones too. */
static unsigned
children_of(pid_t pid)
{
	char path[96], *text;
	unsigned n;

	snprintf(
	    path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
	text = read_file(path);
	n = count_in(text, " ");
	free(text);
	return n;
}

static void
assert_title(int64_t pid, const char *title)
{
	char path[64], *text;

	snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
	text = read_file(path);
	assert_string_equal(text, title);
	free(text);
}

static bool
is_there(const struct daemon *d, const char *name)
{
	char path[160];

	snprintf(path, sizeof path, "%s/%s", d->dir, name);
	return access(path, F_OK) == 0;
}

/*
 * The cases.
 */

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
test_killed_worker_is_back_at_once(void **state UNUSED)
{
	struct daemon d = { .port = 0 };
	struct json *document;
	struct seen before, after;
	int64_t since;

	start(&d, "a:PT10M b:PT10M");
	before = look(&d, "a");
	since = clock_mono_ms();
	kill((pid_t)before.pid, SIGKILL);
	do {
		after = look(&d, "a");
		assert_true(clock_mono_ms() - since < WAIT_MS);
	} while (after.pid == before.pid || strcmp(after.state, "ready") != 0);
	/* far below the first delay of the back-off plus a slow machine */
	assert_true(clock_mono_ms() - since < 1000);
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
test_refusal_waits_for_reload(void **state UNUSED)
{
	struct daemon d = { .port = 0 };

	make_place(&d);
	write_conf(&d, "a:PT10M b:PT10M", "");
	flag(&d, "refuse", "a", true);
	launch(&d);
	wait_for_state(&d, "a", "failed");
	assert_int_equal(look(&d, "a").deaths, 1);
	flag(&d, "refuse", "a", false);
	assert_reload(&d, CTL_DONE,
	    "reloaded: 0 added, 0 changed, 0 removed, 2 unchanged");
	wait_for_state(&d, "a", "ready");
	stop(&d);
}

static void
test_reload_in_order(void **state UNUSED)
{
	struct daemon d = { .port = 0 };
	struct seen same;

	start(&d, "a:PT10M b:PT10M c:PT10M d:PT10M");
	same = look(&d, "d");
	forget_story(&d);
	write_conf(&d, "new:PT10M b:PT5M c:PT10M d:PT10M", "");
	assert_reload(&d, CTL_DONE,
	    "reloaded: 1 added (new), 1 changed (b), 1 removed (a), "
	    "2 unchanged");
	/* servable before receivers know; removed after they have forgotten */
	assert_story(&d,
	    (const char *const[]){ "new ready", "channel new", "taken 2 (4)",
		"taken 2 (4)", "a stop", NULL });
	assert_story(&d,
	    (const char *const[]){ "b stop", "b start 2 window 300000",
		"b ready", "taken 2", NULL });
	assert_int_equal(look(&d, "d").pid, same.pid);
	assert_int_equal(look(&d, "d").restarts, 0);
	assert_string_equal(look(&d, "a").state, "");
	assert_true(is_there(&d, "data/spool/a"));
	assert_int_equal(children_of(d.pid), 6);
	/* a receiver that is born now has it from its birth */
	kill((pid_t)look(&d, "receiver0").pid, SIGKILL);
	wait_for_state(&d, "receiver0", "ready");
	stop(&d);
}

static void
test_removed_spool_is_mentioned(void **state UNUSED)
{
	struct daemon d = { .port = 0 };
	struct ctl_answer a;

	start(&d, "a:PT10M b:PT10M");
	write_conf(&d, "b:PT10M", "");
	assert_int_equal(ask(&d, "reload", &a), CTL_DONE);
	assert_non_null(strstr(buf_text(&a.body),
	    "warning: a is removed, but 2 events still wait in"));
	ctl_answer_free(&a);
	stop(&d);
}

static void
test_bad_configuration_changes_nothing(void **state UNUSED)
{
	struct daemon d = { .port = 0 };
	struct ctl_answer a;
	struct seen before;
	FILE *f;

	start(&d, "a:PT10M");
	before = look(&d, "a");
	write_conf(&d, "a:PT10M b:never c:PT99Z", ",\"http.wrong\":1");
	assert_int_equal(ask(&d, "reload", &a), CTL_REFUSED);
	assert_string_equal(
	    a.text, "the configuration is not good; nothing was changed");
	/* every problem at once */
	assert_non_null(
	    strstr(buf_text(&a.body), "dataSources[1].spec.tuningConfig"));
	assert_non_null(
	    strstr(buf_text(&a.body), "dataSources[2].spec.tuningConfig"));
	assert_non_null(strstr(buf_text(&a.body), "http.wrong"));
	ctl_answer_free(&a);
	f = fopen(d.file, "w");
	fputs("{ not JSON", f);
	fclose(f);
	assert_reload(&d, CTL_REFUSED,
	    "the configuration is not good; nothing was changed");
	unlink(d.file);
	assert_reload(&d, CTL_REFUSED,
	    "the configuration is not good; nothing was changed");
	assert_int_equal(look(&d, "a").pid, before.pid);
	assert_string_equal(look(&d, "b").state, "");
	stop(&d);
}

static void
test_refused_reload_is_undone(void **state UNUSED)
{
	struct daemon d = { .port = 0 };
	char *story;

	start(&d, "a:PT10M b:PT10M");
	forget_story(&d);
	flag(&d, "refuse", "c", true);
	write_conf(&d, "a:PT5M c:PT10M", "");
	assert_reload(&d, CTL_REFUSED,
	    "the worker of c refuses its new configuration (its log lines say "
	    "why); nothing was changed");
	wait_for_state(&d, "a", "ready");
	assert_string_equal(look(&d, "b").state, "ready");
	assert_string_equal(look(&d, "c").state, "");
	/* the last one has the old window again */
	story = read_file(d.story);
	assert_non_null(strstr(story, "window 600000"));
	assert_null(strstr(story, "taken"));
	free(story);
	flag(&d, "refuse", "c", false);
	assert_reload(&d, CTL_DONE,
	    "reloaded: 1 added (c), 1 changed (a), 1 removed (b), 0 "
	    "unchanged");
	stop(&d);
}

static void
test_restart_property_keeps_its_value(void **state UNUSED)
{
	struct daemon d = { .port = 0 };
	struct ctl_answer a;

	start(&d, "a:PT10M");
	forget_story(&d);
	write_conf(&d, "a:PT5M b:PT10M",
	    ",\"http.port.enable\":false,\"log.level\":\"debug\"");
	assert_int_equal(ask(&d, "reload", &a), CTL_DONE);
	assert_string_equal(a.text,
	    "reloaded: 1 added (b), 1 changed (a), 0 removed, 0 unchanged");
	assert_non_null(strstr(buf_text(&a.body),
	    "warning: http.port.enable: keeps its old value until tranqd is "
	    "restarted"));
	ctl_answer_free(&a);
	/* log.level is applied live, in all children: debug is 3 */
	assert_story(&d, (const char *const[]){ "log 3", "log 3", NULL });
	/* a new receiver still has the listening socket */
	kill((pid_t)look(&d, "receiver0").pid, SIGKILL);
	wait_for_state(&d, "receiver0", "ready");
	stop(&d);
}

static void
test_deaf_receiver_is_replaced(void **state UNUSED)
{
	struct daemon d = { .port = 0 };
	struct seen before;

	make_place(&d);
	write_conf(&d, "a:PT10M", ",\"http.blockTimeout\":\"PT0.001S\"");
	launch(&d);
	wait_for_start(&d);
	before = look(&d, "receiver1");
	flag(&d, "deaf", "receiver1", true);
	write_conf(
	    &d, "a:PT10M b:PT10M", ",\"http.blockTimeout\":\"PT0.001S\"");
	assert_reload(&d, CTL_DONE,
	    "reloaded: 1 added (b), 0 changed, 0 removed, 1 unchanged");
	assert_true(look(&d, "receiver1").pid != before.pid);
	assert_int_equal(look(&d, "receiver0").restarts, 0);
	stop(&d);
}

static void
test_reloads_queue(void **state UNUSED)
{
	struct daemon d = { .port = 0 };
	pid_t asker;
	int code;

	start(&d, "a:PT10M");
	flag(&d, "slow", "b", true);
	write_conf(&d, "a:PT10M b:PT10M", "");
	asker = fork();
	if (asker == 0) {
		struct ctl_answer a;

		_exit(ask(&d, "reload", &a) == CTL_DONE &&
			    strstr(a.text, "1 added (b)") != NULL
			? 0
			: 1);
	}
	wait_for_state(&d, "b", "starting");
	write_conf(&d, "a:PT10M b:PT10M c:PT10M", "");
	kill(d.pid, SIGHUP);
	flag(&d, "slow", "b", false);
	assert_int_equal(waitpid(asker, &code, 0), asker);
	assert_int_equal(code, 0);
	wait_for_state(&d, "c", "ready");
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
	assert_true(clock_mono_ms() - since < 8000);
	remove_place(&d);
}

static void
test_quit_is_quick(void **state UNUSED)
{
	struct daemon d = { .port = 0 };
	int64_t since;

	start(&d, "a:PT10M b:PT10M");
	flag(&d, "stuck", "a", true);
	since = clock_mono_ms();
	kill(d.pid, SIGQUIT);
	assert_int_equal(wait_for_exit(&d), 0);
	assert_true(clock_mono_ms() - since < 2500);
	remove_place(&d);
}

static void
test_hung_worker_is_aborted(void **state UNUSED)
{
	struct daemon d = { .port = 0 };
	struct json *document;
	int64_t end = clock_mono_ms() + WAIT_MS;

	start(&d, "a:PT10M b:PT10M");
	flag(&d, "hang", "a", true);
	while (look(&d, "a").deaths == 0 && clock_mono_ms() < end)
		pause_a_bit();
	flag(&d, "hang", "a", false);
	document = status(&d);
	assert_string_equal(
	    json_get_text(json_get(json_get(source_in(document, "a"), "worker"),
			      "lastDeath"),
		"how", ""),
	    "hung and was killed");
	json_free(&document);
	wait_for_state(&d, "a", "ready");
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

/* 200 reloads, each of which adds, changes and removes one, with a kill of
 * the changed worker before it. */
static void
test_nothing_is_left_over(void **state UNUSED)
{
	static const char *const turns[] = { "a:PT5M b:PT10M",
		"a:PT10M c:PT10M" };
	static const char *const answers[] = {
		"reloaded: 1 added (b), 1 changed (a), 1 removed (c), 0 "
		"unchanged",
		"reloaded: 1 added (c), 1 changed (a), 1 removed (b), 0 "
		"unchanged"
	};
	struct daemon d = { .port = 0 };
	unsigned fds, maps;
	char path[64], *text;

	start(&d, "a:PT10M c:PT10M");
	snprintf(path, sizeof path, "/proc/%d/maps", (int)d.pid);
	fds = fds_of(d.pid);
	text = read_file(path);
	maps = count_in(text, "\n");
	free(text);
	for (int i = 0; i < REPEATS; i++) {
		pid_t pid = (pid_t)look(&d, "a").pid;

		if (pid > 0)
			kill(pid, SIGKILL);
		write_conf(&d, turns[i % 2], "");
		assert_reload(&d, CTL_DONE, answers[i % 2]);
	}
	assert_true(look(&d, "a").restarts >= REPEATS);
	assert_int_equal(look(&d, "receiver0").restarts, 0);
	assert_int_equal(fds_of(d.pid), fds);
	text = read_file(path);
	/* the heap may have got a piece or two */
	assert_in_range(count_in(text, "\n"), maps - 4, maps + 4);
	free(text);
	assert_int_equal(children_of(d.pid), 4);
	assert_story(&d, (const char *const[]){ NULL });
	stop(&d);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start_and_stop),
		cmocka_unit_test(test_port_is_open),
		cmocka_unit_test(test_killed_worker_is_back_at_once),
		cmocka_unit_test(test_crash_before_ready_backs_off),
		cmocka_unit_test(test_refusal_waits_for_reload),
		cmocka_unit_test(test_reload_in_order),
		cmocka_unit_test(test_removed_spool_is_mentioned),
		cmocka_unit_test(test_bad_configuration_changes_nothing),
		cmocka_unit_test(test_refused_reload_is_undone),
		cmocka_unit_test(test_restart_property_keeps_its_value),
		cmocka_unit_test(test_deaf_receiver_is_replaced),
		cmocka_unit_test(test_reloads_queue),
		cmocka_unit_test(test_stuck_children_are_killed),
		cmocka_unit_test(test_quit_is_quick),
		cmocka_unit_test(test_hung_worker_is_aborted),
		cmocka_unit_test(test_children_outlive_nobody),
		cmocka_unit_test(test_second_daemon_is_refused),
		cmocka_unit_test(test_taken_port),
		cmocka_unit_test(test_start_failures),
		cmocka_unit_test(test_control_is_bounded),
		cmocka_unit_test(test_log_is_reopened),
		cmocka_unit_test(test_nothing_is_left_over),
	};

	title_init(argc, argv);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
