/*
 * tranqctl_reindex - brings an interval's archive files in by batch tasks
 *
 * Process: tranqctl.
 */
#include "tranqctl_reindex.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "batch_task.h"
#include "clock.h"
#include "conf_file.h"
#include "discovery.h"
#include "http_client.h"
#include "iso.h"
#include "json.h"
#include "log.h"
#include "loop.h"
#include "overlord.h"
#include "panic.h"
#include "place.h"
#include "tranqctl_files.h"
#include "tranqctl_rows.h"
#include "zk.h"

#define FAILURES_MAX 5 /* tasks of one share, then a person has to look */
#define UNREACHED_MAX_MS 60000
#define RETRY_MS 1000
#define PLAN_BYTES_MAX (64u * MiB)
#define TASK_BYTES_MAX (1024u * MiB)

struct job {
	const struct reindex *r;
	char *dir; /* of the interval */
	struct interval interval;
	struct json *plan;
	char **paths;
	size_t path_count;
	struct rows_place at;

	struct loop *loop;
	struct http_client *http;
	struct overlord *overlord;
	struct zk *zk; /* when there is no URL */
	struct discovery *finding;
	struct loop_timer timer;
	struct buf rows;
	char *task_id;
	int64_t reached_ms; /* when the Overlord last answered */
	bool is_over; /* with this task */
	bool is_good; /* the share is in */
	bool is_failed; /* its task is FAILED: another attempt */
	bool is_resumed; /* the plan is an earlier call's */
};

PRINTF_LIKE(1, 2)
static bool
complain(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("tranqctl: ", stderr);
	vfprintf(stderr, format, args);
	fputs("\n", stderr);
	va_end(args);
	return false;
}

/* ---- the plan ---- */

static char *
plan_path(const struct job *j)
{
	return must_format("%s/%s", j->dir, FILES_PLAN);
}

static bool
sync_path(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool good = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		close(fd);
	return good;
}

/* Durable when it returns. */
static bool
store_plan(const struct job *j)
{
	char *path = plan_path(j), *next = must_format("%s.tmp", path);
	char *text = json_to_text(j->plan);
	FILE *f = fopen(next, "we");
	bool good = f != NULL && fputs(text, f) >= 0;

	if (f != NULL)
		good = fclose(f) == 0 && good;
	good = good && sync_path(next) && rename(next, path) == 0 &&
	    sync_path(j->dir);
	if (!good)
		complain("%s: %s; give the archive's folders to this user "
			 "(run it as tranqd.user)",
		    path, strerror(errno));
	free(text);
	free(next);
	free(path);
	return good;
}

static void
make_plan(struct job *j, const struct archived_list *files)
{
	const struct reindex *r = j->r;
	struct json *names = json_new_array();

	for (size_t i = 0; i < files->count; i++) {
		const struct archived *f = &files->all[i];
		char *name;

		/* what it replaces holds what was brought in before */
		if (f->is_done && !r->replaces)
			continue;
		name = must_format("%s%s", f->is_done ? "done/" : "", f->name);
		json_append(names, json_new_text(name));
		free(name);
	}
	j->plan = json_new_object();
	json_set(j->plan, "files", names);
	json_set_bool(j->plan, "replaces", r->replaces);
	json_set_int(j->plan, "shareBytes", r->ds->late_append_bytes);
	/* in ids: another reindex of the same files has tasks of its own */
	json_set_int(j->plan, "begun", clock_wall_ms());
	json_set_int(j->plan, "file", 0);
	json_set_int(j->plan, "offset", 0);
	json_set_int(j->plan, "share", 0);
	json_set_int(j->plan, "attempt", 0);
}

/* A death while the files were moved leaves some where they belong. */
static char *
path_of(const struct job *j, const char *name)
{
	char *path = must_format("%s/%s", j->dir, name);

	if (access(path, F_OK) == 0)
		return path;
	free(path);
	return must_format("%s/done/%s", j->dir, name);
}

static void
read_plan(struct job *j)
{
	const struct json *names = json_get(j->plan, "files");

	j->path_count = json_size(names);
	j->paths = must_calloc(j->path_count + 1, sizeof j->paths[0]);
	for (size_t i = 0; i < j->path_count; i++)
		j->paths[i] = path_of(j, json_text(json_at(names, i), ""));
	j->at.file = (size_t)json_get_int(j->plan, "file", 0);
	j->at.offset = (uint64_t)json_get_int(j->plan, "offset", 0);
}

/* False: there is none. One that is there and cannot be read is told, and
 * leaves j->plan NULL: its rows may be in Druid already. */
static bool
find_plan(struct job *j)
{
	char *path = plan_path(j);
	bool is_there = true;
	struct buf text;

	buf_init(&text, PLAN_BYTES_MAX + MiB);
	if (!conf_file_read(path, &text, PLAN_BYTES_MAX)) {
		is_there = errno != ENOENT;
		if (is_there)
			complain("%s: %s; run it as the user who began this "
				 "reindex",
			    path, conf_file_why(errno));
	} else if ((j->plan = json_parse(text.bytes, text.used, NULL)) !=
	    NULL) {
		j->is_resumed = true;
		printf(
		    "%s: goes on with what was begun before\n", j->r->interval);
	} else {
		complain("%s: damaged; look at the tasks that were made of "
			 "it, then delete it",
		    path);
	}
	buf_free(&text);
	free(path);
	return is_there;
}

/* The one that is under way, or a new one. */
static bool
have_plan(struct job *j, const struct archived_list *files)
{
	if (j->r->prints || !find_plan(j))
		make_plan(j, files);
	return j->plan != NULL;
}

/* ---- one share: its task until it has ended ---- */

static char *
id_of_share(const struct job *j)
{
	const char *first =
	    json_text(json_at(json_get(j->plan, "files"), 0), "");
	const char *slash = strrchr(first, '/');

	first = slash != NULL ? slash + 1 : first;
	return must_format("reindex_%s_%.29s_%lld_%lld_a%lld", j->r->ds->name,
	    first, (long long)json_get_int(j->plan, "begun", 0),
	    (long long)json_get_int(j->plan, "share", 0),
	    (long long)json_get_int(j->plan, "attempt", 0));
}

static void submit_due(struct loop_timer *);
static void poll_due(struct loop_timer *);

/* False: the Overlord has been away for too long. */
static bool
try_later(struct job *j, loop_timer_fn *due)
{
	if (loop_now_ms(j->loop) - j->reached_ms < UNREACHED_MAX_MS) {
		loop_timer_start(j->loop, &j->timer, RETRY_MS, due);
		return true;
	}
	complain("the Overlord is not reached: %s; the same command goes on "
		 "from here",
	    overlord_where(j->overlord));
	j->is_over = true;
	return false;
}

static void
known(void *context, enum result result, const struct task_status *s)
{
	struct job *j = context;

	if (result != RESULT_OK) {
		try_later(j, poll_due);
		return;
	}
	j->reached_ms = loop_now_ms(j->loop);
	switch (s->state) {
	case TASK_SUCCESS:
		j->is_good = true;
		j->is_over = true;
		return;
	case TASK_FAILED:
		j->is_failed = true;
		complain("task %s failed: %s", j->task_id, s->error);
		j->is_over = true;
		return;
	case TASK_ABSENT:
		loop_timer_start(j->loop, &j->timer, RETRY_MS, submit_due);
		return;
	case TASK_UNKNOWN:
	case TASK_WAITING:
	case TASK_RUNNING: break;
	}
	loop_timer_start(j->loop, &j->timer,
	    MIN_OF(j->r->ds->overlord_poll_ms, 5000), poll_due);
}

static void
poll_due(struct loop_timer *t)
{
	struct job *j = t->context;

	overlord_status(j->overlord, j->task_id, known, j);
}

static void
submitted(void *context, enum result result, const char *why)
{
	struct job *j = context;

	if (result == RESULT_RETRY) {
		try_later(j, submit_due);
		return;
	}
	j->reached_ms = loop_now_ms(j->loop);
	if (result == RESULT_OK) {
		printf("%s: task %s\n", j->r->interval, j->task_id);
		fflush(stdout);
		loop_timer_start(j->loop, &j->timer, RETRY_MS / 4, poll_due);
		return;
	}
	complain("the Overlord refuses task %s: %s", j->task_id, why);
	j->is_over = true;
}

static char *
print_task(struct job *j)
{
	/* the first share replaces, the others are appended to it */
	bool replaces = json_get_bool(j->plan, "replaces", false) &&
	    json_get_int(j->plan, "share", 0) == 0;
	struct batch_task task = { .id = j->task_id,
		.intervals = &j->interval,
		.interval_count = 1,
		.replaces = replaces,
		.rows = j->rows.bytes,
		.row_bytes = j->rows.used };
	struct buf text;

	buf_init(&text, TASK_BYTES_MAX);
	batch_task_print(j->r->ds, &task, &text);
	if (buf_text(&text) == NULL)
		fatalx("no memory for a task");
	return text.bytes;
}

static void
submit_due(struct loop_timer *t)
{
	struct job *j = t->context;

	overlord_submit(j->overlord, print_task(j), submitted, j);
}

static void
name_task(struct job *j)
{
	free(j->task_id);
	j->task_id = id_of_share(j);
}

static bool
bring_in(struct job *j)
{
	for (unsigned failures = 0; failures < FAILURES_MAX; failures++) {
		name_task(j);
		j->is_over = j->is_good = j->is_failed = false;
		j->reached_ms = loop_now_ms(j->loop);
		loop_timer_start(j->loop, &j->timer, 0, submit_due);
		while (!j->is_over)
			loop_once(j->loop);
		if (!j->is_failed)
			return j->is_good;
		json_set_int(j->plan, "attempt",
		    json_get_int(j->plan, "attempt", 0) + 1);
		if (!store_plan(j))
			return false;
	}
	return complain("%s: %u tasks failed one after the other; look at "
			"their logs, then call it again",
	    j->r->interval, FAILURES_MAX);
}

/* ---- all shares ---- */

static bool
note_progress(struct job *j)
{
	json_set_int(j->plan, "file", (int64_t)j->at.file);
	json_set_int(j->plan, "offset", (int64_t)j->at.offset);
	json_set_int(j->plan, "share", json_get_int(j->plan, "share", 0) + 1);
	json_set_int(j->plan, "attempt", 0);
	return j->r->prints || store_plan(j);
}

static bool
do_share(struct job *j)
{
	char *text;

	if (!j->r->prints)
		return bring_in(j);
	name_task(j);
	text = print_task(j);
	puts(text);
	free(text);
	return true;
}

static bool
do_shares(struct job *j)
{
	uint64_t most = (uint64_t)json_get_int(j->plan, "shareBytes", MiB);
	char error[512];

	for (;;) {
		buf_reset(&j->rows);
		if (!rows_read(
			&j->rows, j->paths, j->path_count, &j->at, most, error))
			return complain("%s", error);
		if (j->rows.used == 0)
			return true;
		if (!do_share(j) || !note_progress(j))
			return false;
	}
}

/* They are in: a file that has moved already is where it belongs. */
static bool
move_files(struct job *j)
{
	char *done = must_format("%s/done", j->dir), *plan = plan_path(j);
	bool good = mkdir(done, 0750) == 0 || errno == EEXIST;

	for (size_t i = 0; i < j->path_count && good; i++) {
		const char *name = strrchr(j->paths[i], '/') + 1;
		char *to = must_format("%s/%s", done, name);

		good = rename(j->paths[i], to) == 0 ||
		    (errno == ENOENT && access(to, F_OK) == 0);
		free(to);
	}
	good = good && sync_path(done) && sync_path(j->dir) &&
	    (unlink(plan) == 0 || errno == ENOENT) && sync_path(j->dir);
	if (!good)
		complain("%s: its files cannot be moved to done: %s", j->dir,
		    strerror(errno));
	free(done);
	free(plan);
	return good;
}

/* One at a time. */
static int
lock_dir(const struct job *j)
{
	int fd = open(j->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0) {
		complain("%s: %s", j->dir, strerror(errno));
	} else if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		complain("%s: another reindex of it runs", j->dir);
		close(fd);
		fd = -1;
	}
	return fd;
}

static void
placed(void *context, const struct discovery_answer *a)
{
	struct job *j = context;
	const struct ds_conf *ds = j->r->ds;
	struct place place;
	char *text;

	j->finding = NULL;
	if (a->result == RESULT_OK &&
	    place_choose(
		&place, ds->tls_enable, a->place.port, a->place.tls_port)) {
		text = place_url(a->place.host, &place);
		overlord_found(j->overlord, text, NULL);
	} else {
		text = must_format("service %s under %s in ZooKeeper %s: %s",
		    ds->overlord_service, ds->discovery_path,
		    ds->zookeeper_connect,
		    a->result == RESULT_OK ? PLACE_NO_TLS
					   : result_name(a->result));
		overlord_found(j->overlord, NULL, text);
	}
	free(text);
}

/* As the daemon does, which need not run. */
static void
find_overlord(void *context, struct overlord *o)
{
	struct job *j = context;
	const struct ds_conf *ds = j->r->ds;
	struct zk_options options = { .connect = ds->zookeeper_connect,
		.timeout_ms = ds->zookeeper_timeout_ms,
		.scheme = ds->zookeeper_auth_scheme,
		.credentials = ds->zookeeper_auth_credentials };

	if (j->zk == NULL)
		j->zk = zk_open_with(j->loop, &options);
	if (j->zk == NULL) {
		overlord_found(
		    o, NULL, "zookeeper.connect is no list of servers");
		return;
	}
	j->finding = discovery_find(
	    j->zk, ds->discovery_path, ds->overlord_service, placed, j);
}

static bool
run(struct job *j, const struct archived_list *files)
{
	struct ds_conf ds = *j->r->ds; /* with another Overlord, perhaps */
	union {
		const char *from;
		char *to;
	} url = { .from = j->r->overlord };
	bool good;

	if (url.from != NULL)
		ds.overlord_url = url.to;
	j->loop = loop_new();
	j->http = http_client_new(j->loop);
	http_client_secure(j->http, &ds);
	j->overlord = overlord_new(j->http, &ds, find_overlord, j);
	j->timer.context = j;
	buf_init(&j->rows, SIZE_MAX);
	good = have_plan(j, files);
	if (good) {
		read_plan(j);
		good = (j->r->prints || store_plan(j)) && do_shares(j) &&
		    (j->r->prints || move_files(j));
	}
	if (j->finding != NULL)
		discovery_cancel(&j->finding);
	overlord_free(&j->overlord);
	if (j->zk != NULL)
		zk_close(&j->zk);
	http_client_free(&j->http);
	loop_free(&j->loop);
	return good;
}

static bool
read_interval(const char *name, struct interval *to)
{
	const char *mark = strchr(name, '_');

	return mark != NULL &&
	    iso_parse(name, (size_t)(mark - name), ISO_T, &to->start) &&
	    iso_parse(mark + 1, strlen(mark + 1), ISO_T, &to->end);
}

static void
free_job(struct job *j)
{
	for (size_t i = 0; i < j->path_count; i++)
		free(j->paths[i]);
	free(j->paths);
	json_free(&j->plan);
	buf_free(&j->rows);
	free(j->task_id);
	free(j->dir);
}

/* Whether there is still something to do behind a plan of an earlier call:
 * files that it does not have, or another kind of reindex. */
static bool
is_left(const struct job *j)
{
	bool left =
	    j->r->replaces && !json_get_bool(j->plan, "replaces", false);
	struct archived_list files = { 0 };

	files_read(
	    &files, j->r->conf->archive_path, j->r->ds->name, j->r->interval);
	for (size_t i = 0; i < files.count; i++)
		left |= !files.all[i].is_done;
	files_free(&files);
	return left;
}

/* *left: to be called again, for what an earlier call had not begun. */
static bool
reindex_once(const struct reindex *r, bool *left)
{
	struct job j = { .r = r };
	struct archived_list files = { 0 };
	bool good = false;
	int lock;

	*left = false;
	j.dir = must_format(
	    "%s/%s/%s", r->conf->archive_path, r->ds->name, r->interval);
	if (!read_interval(r->interval, &j.interval)) {
		complain("'%s' is no interval of the archive", r->interval);
	} else if ((lock = lock_dir(&j)) >= 0) {
		files_read(
		    &files, r->conf->archive_path, r->ds->name, r->interval);
		good = run(&j, &files);
		*left = good && j.is_resumed && is_left(&j);
		close(lock);
	}
	files_free(&files);
	free_job(&j);
	return good;
}

bool
reindex_interval(const struct reindex *r)
{
	bool left;

	return reindex_once(r, &left) && (!left || reindex_once(r, &left));
}
