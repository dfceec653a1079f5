/*
 * archive - events of closed intervals as files: late.policy archive
 *
 * Process: worker.
 */
#include "archive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive_file.h"
#include "backoff.h"
#include "clock.h"
#include "fault.h"
#include "iso.h"
#include "log.h"
#include "panic.h"
#include "spool_dir.h"

#define RETRY_FIRST_MS 1000
#define RETRY_MAX_MS 60000
#define COMPLAIN_MS 60000
#define LOOK_AGAIN_MS 10000 /* whether somebody has made room */
#define DEPTH_MAX 3 /* dataSource, interval, done */
#define NOTE_BYTES 400

struct archive {
	struct archive_parts p;
	archive_done_fn *done;
	void *context;
	char *dir; /* of the dataSource */
	uint64_t used; /* bytes of its files */
	int64_t looked_ms; /* when they were added up; 0: never */

	struct parcel *parcel; /* that is written now, or NULL */
	struct archive_file *file;
	char *file_dir, *file_name;
	unsigned at; /* its next batch */
	struct buf text;
	struct loop_timer timer;
	unsigned failures;
	int64_t complained_ms;
	char note[NOTE_BYTES];
};

struct archive *
archive_new(
    const struct archive_parts *parts, archive_done_fn *done, void *context)
{
	struct archive *a = must_calloc(1, sizeof *a);

	a->p = *parts;
	a->done = done;
	a->context = context;
	a->dir = must_format("%s/%s", parts->dir, parts->ds->name);
	buf_init(&a->text, SIZE_MAX);
	a->timer.context = a;
	return a;
}

void
archive_hold(struct archive *a)
{
	loop_timer_stop(&a->timer);
	archive_file_free(&a->file);
}

void
archive_free(struct archive **archive)
{
	struct archive *a = *archive;

	if (a == NULL)
		return;
	*archive = NULL;
	archive_hold(a);
	buf_free(&a->text);
	free(a->file_dir);
	free(a->file_name);
	free(a->dir);
	free(a);
}

const char *
archive_note(const struct archive *a)
{
	return a->note;
}

bool
archive_is_busy(const struct archive *a)
{
	return a->parcel != NULL;
}

/* ---- room ---- */

/* What a predecessor was writing when it was killed. */
static bool
is_left_over(const char *name)
{
	size_t bytes = strlen(name);

	return name[0] == '.' && bytes > 4 &&
	    strcmp(name + bytes - 4, ".tmp") == 0;
}

/* Of sealed files. sweep: what is left over is removed. */
static uint64_t
bytes_below(int parent, const char *name, int depth, bool sweep)
{
	int fd = openat(
	    parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;
	struct stat s;
	uint64_t sum = 0;

	if (dir == NULL) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	while ((e = readdir(dir)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 ||
		    strcmp(e->d_name, "..") == 0 ||
		    fstatat(fd, e->d_name, &s, AT_SYMLINK_NOFOLLOW) != 0)
			continue;
		if (S_ISDIR(s.st_mode) && depth < DEPTH_MAX)
			sum += bytes_below(fd, e->d_name, depth + 1, sweep);
		else if (S_ISREG(s.st_mode) && !is_left_over(e->d_name))
			sum += (uint64_t)s.st_size;
		else if (S_ISREG(s.st_mode) && sweep)
			unlinkat(fd, e->d_name, 0);
	}
	closedir(dir);
	return sum;
}

/* A file is smaller than the events in it, but by how much is not known before
 * it is written, so the bound may be passed by one file. */
bool
archive_has_room(struct archive *a)
{
	uint64_t max = (uint64_t)a->p.ds->archive_bytes_max;
	int64_t now = clock_mono_ms();

	if (a->looked_ms == 0 ||
	    (a->used >= max && now - a->looked_ms >= LOOK_AGAIN_MS)) {
		a->used = bytes_below(
		    AT_FDCWD, a->dir, 1, a->looked_ms == 0 && a->file == NULL);
		a->looked_ms = now;
	}
	if (a->used < max) {
		if (a->parcel == NULL)
			a->note[0] = '\0';
		return true;
	}
	snprintf(a->note, sizeof a->note,
	    "%s holds archive.bytesMax (%" PRIu64 " bytes): bring files in "
	    "with tranqctl archive reindex, delete what is done, or raise it",
	    a->dir, a->used);
	if (log_may_repeat(&a->complained_ms, COMPLAIN_MS))
		log_warnx("archive: %s; events wait in the spool", a->note);
	return false;
}

/* ---- one parcel ---- */

static char *
interval_dir(const struct archive *a, const struct parcel *p)
{
	const struct spool_lane *at = &p->batches[0].entry.at;
	char start[ISO_BYTES], end[ISO_BYTES];

	iso_format(at->start, start);
	iso_format(at->end, end);
	return must_format("%s/%s_%s", a->dir, start, end);
}

static char *
name_of(const struct archive *a, const struct parcel *p)
{
	return must_format("%020" PRIu64 "-%.8s-%" PRIu64 ".ndjson.zst",
	    parcel_id(p), spool_identity(a->p.spool), p->events);
}

static bool
is_there(const char *dir, const char *inner, const char *name)
{
	char *path = must_format("%s/%s%s", dir, inner, name);
	bool there = access(path, F_OK) == 0;

	free(path);
	return there;
}

bool
archive_has(const struct archive *a, const struct parcel *p)
{
	char *dir = interval_dir(a, p), *name = name_of(a, p);
	bool has = is_there(dir, "", name) || is_there(dir, "done/", name);

	free(dir);
	free(name);
	return has;
}

static void
finish(struct archive *a)
{
	struct parcel *p = a->parcel;

	FAULT_POINT(ARCHIVED);
	free(a->file_dir);
	free(a->file_name);
	a->file_dir = a->file_name = NULL;
	a->parcel = NULL;
	a->failures = 0;
	a->note[0] = '\0';
	a->done(a->context, p);
}

static void begin_due(struct loop_timer *);

static void
fail(struct archive *a, const char *doing)
{
	snprintf(a->note, sizeof a->note, "%s/%s: %s: %s", a->file_dir,
	    a->file_name, doing, strerror(errno));
	if (log_may_repeat(&a->complained_ms, COMPLAIN_MS))
		log_error("archive: %s; mend it (archive.dir, its disk and "
			  "its owner); events wait in the spool, it is tried "
			  "again",
		    a->note);
	archive_file_free(&a->file);
	loop_timer_start(a->p.loop, &a->timer,
	    backoff_ms(++a->failures, RETRY_FIRST_MS, RETRY_MAX_MS,
		(uint32_t)clock_mono_ns()),
	    begin_due);
}

static void
seal(struct archive *a)
{
	uint64_t size;

	if (!archive_file_seal(&a->file, &size)) {
		fail(a, "cannot be made durable");
		return;
	}
	a->used += size;
	log_info("archive: %s/%s: %" PRIu64 " events", a->file_dir,
	    a->file_name, a->parcel->events);
	finish(a);
}

static void
step_due(struct loop_timer *t)
{
	struct archive *a = t->context;

	buf_reset(&a->text);
	if (!parcel_text(a->parcel, a->at, a->p.spool, &a->text)) {
		errno = ENOMEM;
		fail(a, "a batch cannot be read");
		return;
	}
	if (!archive_file_add(a->file, a->text.bytes, a->text.used)) {
		fail(a, "cannot be written");
		return;
	}
	if (++a->at < a->parcel->count)
		loop_timer_start(a->p.loop, t, 0, step_due);
	else
		seal(a);
}

static bool
make_dirs(const struct archive *a)
{
	return spool_dir_make(a->p.dir) && spool_dir_make(a->dir) &&
	    spool_dir_make(a->file_dir);
}

static void
begin_due(struct loop_timer *t)
{
	struct archive *a = t->context;

	if (!make_dirs(a)) {
		fail(a, "its folder cannot be made");
		return;
	}
	if (archive_has(a, a->parcel)) {
		/* written before we, or our predecessor, could note it */
		if (spool_dir_sync(a->file_dir))
			finish(a);
		else
			fail(a, "its folder cannot be synced");
		return;
	}
	a->at = 0;
	a->file = archive_file_new(a->file_dir, a->file_name);
	if (a->file == NULL)
		fail(a, "cannot be made");
	else
		loop_timer_start(a->p.loop, t, 0, step_due);
}

void
archive_write(struct archive *a, struct parcel *p)
{
	must(a->parcel == NULL && p->count > 0);
	a->parcel = p;
	a->file_dir = interval_dir(a, p);
	a->file_name = name_of(a, p);
	loop_timer_start(a->p.loop, &a->timer, 0, begin_due);
}
