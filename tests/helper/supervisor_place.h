/*
 * supervisor_place - a supervisor with stub children in a place of its own,
 * and questions to it
 *
 * Process: tests of the supervisor. Everything is under a new directory in
 * /tmp; each wait has an end.
 */
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
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
#include "vault.h"

#define WAIT_MS 20000
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
static inline void
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

static inline char *
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

static inline void
be_daemon(const struct daemon *d)
{
	struct supervisor_options options = {
		.file = d->file, .ready_fd = -1, .complain_fd = -1
	};
	struct conf_problems problems = { 0 };
	int fd = open(d->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	struct conf *conf;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(fd, STDERR_FILENO);
	close(fd);
	conf = vault_load(d->file, NULL, &problems);
	for (unsigned i = 0; i < problems.count; i++)
		fprintf(stderr, "%s\n", problems.lines[i]);
	conf_problems_free(&problems);
	exit(conf == NULL ? EX_CONFIG : supervisor_run(&options, &conf));
}

static inline void
launch(struct daemon *d)
{
	fflush(NULL);
	d->pid = fork();
	if (d->pid == 0)
		be_daemon(d);
	assert_true(d->pid > 0);
}

static inline void
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
static inline void
flag(const struct daemon *d, const char *what, const char *name, bool on)
{
	char path[160];

	snprintf(path, sizeof path, "%s/data/%s.%s", d->dir, what, name);
	if (on)
		close(open(path, O_WRONLY | O_CREAT, 0600));
	else
		unlink(path);
}

static inline enum ctl_outcome
ask(const struct daemon *d, const char *line, struct ctl_answer *a)
{
	return ctl_ask(d->socket, line, a);
}

/* The status document, or NULL when nobody answers. */
static inline struct json *
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

static inline const struct json *
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
static inline struct seen
look(const struct daemon *d, const char *name)
{
	struct json *document = status(d);
	const struct json *c = json_get(source_in(document, name), "worker");
	struct seen seen = { 0 };

	if (strncmp(name, "receiver", 8) == 0)
		c = json_at(
		    json_get(document, "receivers"), (size_t)(name[8] - '0'));
	if (strcmp(name, "feed") == 0)
		c = json_get(document, "feed");
	snprintf(
	    seen.state, sizeof seen.state, "%s", json_get_text(c, "state", ""));
	seen.pid = json_get_int(c, "pid", 0);
	seen.restarts = json_get_int(c, "restarts", 0);
	seen.deaths = json_get_int(c, "deathCount", 0);
	json_free(&document);
	return seen;
}

static inline void
pause_a_bit(void)
{
	poll(NULL, 0, 5);
}

static inline void
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

/* Another process than that one, and ready. */
static inline void
wait_for_successor(const struct daemon *d, const char *name, int64_t pid)
{
	int64_t end = clock_mono_ms() + WAIT_MS;

	while (look(d, name).pid == 0 || look(d, name).pid == pid) {
		if (clock_mono_ms() > end)
			fail_msg("%s has no successor", name);
		pause_a_bit();
	}
	wait_for_state(d, name, "ready");
}

static inline void
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

static inline void
start(struct daemon *d, const char *sources)
{
	make_place(d);
	write_conf(d, sources, "");
	launch(d);
	wait_for_start(d);
}

static inline int
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

static inline void
remove_place(const struct daemon *d)
{
	char command[128];

	snprintf(command, sizeof command, "rm -rf %s", d->dir);
	assert_int_equal(system(command), 0);
}

/* The first of the lines that is not there, in this order; NULL: all are. */
static inline const char *
story_lacks(const char *story, const char *const *lines)
{
	for (; *lines != NULL; lines++) {
		const char *found = strstr(story, *lines);

		if (found == NULL)
			return *lines;
		story = found + strlen(*lines);
	}
	return NULL;
}

static inline void
assert_story(const struct daemon *d, const char *const *lines)
{
	char *story = read_file(d->story);
	const char *lacks = story_lacks(story, lines);

	if (lacks != NULL)
		fail_msg("'%s' is not (in this order) in:\n%s", lacks, story);
	if (strstr(story, "LEAK") != NULL)
		fail_msg("%s", story);
	free(story);
}

/* What children do by themselves, a moment after the answer. */
static inline void
await_story(const struct daemon *d, const char *const *lines)
{
	int64_t end = clock_mono_ms() + WAIT_MS;
	bool lacks = true;

	while (lacks && clock_mono_ms() < end) {
		char *story = read_file(d->story);

		lacks = story_lacks(story, lines) != NULL;
		free(story);
		if (lacks)
			pause_a_bit();
	}
	assert_story(d, lines);
}

static inline unsigned
count_in(const char *text, const char *what)
{
	unsigned n = 0;

	for (; (text = strstr(text, what)) != NULL; text++)
		n++;
	return n;
}

static inline void
forget_story(const struct daemon *d)
{
	assert_int_equal(truncate(d->story, 0), 0);
}

static inline void
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

static inline void
assert_reload(
    const struct daemon *d, enum ctl_outcome outcome, const char *text)
{
	struct ctl_answer a;

	assert_int_equal(ask(d, "reload", &a), outcome);
	assert_string_equal(a.text, text);
	ctl_answer_free(&a);
}

static inline unsigned
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

static inline unsigned
fds_of(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
	return count_dir(path);
}

/* Children of a process, dead ones too. */
static inline unsigned
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

static inline void
assert_title(int64_t pid, const char *title)
{
	char path[64], *text;

	snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
	text = read_file(path);
	assert_string_equal(text, title);
	free(text);
}

static inline bool
is_there(const struct daemon *d, const char *name)
{
	char path[160];

	snprintf(path, sizeof path, "%s/%s", d->dir, name);
	return access(path, F_OK) == 0;
}
