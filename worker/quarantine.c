/*
 * quarantine - files of what has killed its worker again and again
 *
 * Process: worker.
 */
#include "quarantine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "iso.h"
#include "json.h"
#include "panic.h"
#include "spool_dir.h"

#define NAME_BYTES 120

static void
name_file(const struct hand_item *i, char name[static NAME_BYTES])
{
	if (i->kind == HAND_BATCH)
		snprintf(name, NAME_BYTES, "batch-%" PRIu64 ".json", i->key);
	else if (i->event == HAND_WHOLE)
		snprintf(name, NAME_BYTES,
		    "ring-%" PRIu64 "-%" PRIu32 "-%" PRIu64 ".json",
		    i->generation, i->part, i->key);
	else
		snprintf(name, NAME_BYTES,
		    "ring-%" PRIu64 "-%" PRIu32 "-%" PRIu64 "-%" PRIu32 ".json",
		    i->generation, i->part, i->key, i->event);
}

static uint64_t
bytes_there(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	struct stat st;
	uint64_t sum = 0;

	if (d == NULL)
		return 0;
	while ((e = readdir(d)) != NULL)
		if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) ==
			0 &&
		    S_ISREG(st.st_mode))
			sum += (uint64_t)st.st_size;
	closedir(d);
	return sum;
}

static void
add_head(const struct quarantine_options *o, const struct quarantine_piece *p,
    struct buf *to)
{
	struct json *j = json_new_object();
	char at[ISO_BYTES], why[64];

	iso_format(p->now_ms, at);
	if (p->item->signal == 0)
		snprintf(why, sizeof why, "hung");
	else
		snprintf(why, sizeof why, "killed by signal %d (%s)",
		    p->item->signal, strsignal(p->item->signal));
	json_set_text(j, "dataSource", o->ds);
	json_set_text(j, "reason", "its worker died of it again and again");
	json_set_int(j, "deaths", HAND_DEATHS);
	json_set_text(j, "lastDeath", why);
	json_set_text(j, "at", at);
	json_set_text(j, "was",
	    p->item->kind == HAND_BATCH ? "batch of the spool" : "in a ring");
	json_set_int(j, "events", p->events);
	json_print(j, to);
	buf_add_text(to, "\n");
	json_free(&j);
}

static bool
write_all(int fd, const char *at, size_t bytes)
{
	while (bytes > 0) {
		ssize_t n = write(fd, at, bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		at += n;
		bytes -= (size_t)n;
	}
	return true;
}

static bool
store(const char *path, const struct buf *text)
{
	char *draft = must_format("%s.new", path);
	int fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool good = fd >= 0 && write_all(fd, text->bytes, text->used) &&
	    fdatasync(fd) == 0;
	int code = errno;

	if (fd >= 0)
		close(fd);
	if (good) {
		good = rename(draft, path) == 0;
		code = errno;
	} else {
		unlink(draft);
	}
	free(draft);
	errno = code;
	return good;
}

bool
quarantine_write(const struct quarantine_options *o,
    const struct quarantine_piece *p, char *error, size_t error_bytes)
{
	char name[NAME_BYTES], *path;
	struct buf text;
	bool good;

	name_file(p->item, name);
	path = must_format("%s/%s", o->dir, name);
	buf_init(&text, SIZE_MAX);
	add_head(o, p, &text);
	buf_add(&text, p->lines->bytes, p->lines->used);
	/* a file that lacks events would pass for one that has them */
	must_afford(!p->lines->failed && !text.failed);
	if (access(path, F_OK) != 0 &&
	    bytes_there(o->dir) + text.used > (uint64_t)o->bytes_max) {
		good = false;
		snprintf(error, error_bytes,
		    "quarantine %s is full: move its files away, or raise "
		    "quarantine.bytesMax; until then nothing goes on",
		    o->dir);
	} else {
		good = spool_dir_make(o->dir) && store(path, &text) &&
		    spool_dir_sync(o->dir);
		if (!good)
			snprintf(error, error_bytes, "quarantine %s: %s", path,
			    strerror(errno));
	}
	buf_free(&text);
	free(path);
	return good;
}
