/*
 * spool_dir - the folder of a spool: made, synced, owned by one process
 *
 * Process: worker.
 */
#include "spool_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "panic.h"

#define LOCK_POLL_MS 10

/* A new file is not there after a power cut before its directory is synced. */
bool
spool_dir_sync(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool done;

	if (fd < 0)
		return false;
	done = fsync(fd) == 0;
	close(fd);
	return done;
}

/* One that is there may have been made by somebody who was killed before he
 * synced it. Who may not read the folder above has not made it. */
bool
spool_dir_make(const char *dir)
{
	bool made = mkdir(dir, 0750) == 0, done;
	char *parent;

	if (!made && errno != EEXIST)
		return false;
	parent = must_format("%s/..", dir);
	done = spool_dir_sync(parent) || (!made && errno == EACCES);
	free(parent);
	return done;
}

static int
open_lock(const char *dir, int flags)
{
	char *path = must_format("%s/owner.lock", dir);
	int fd = open(path, flags | O_CLOEXEC, 0600);

	free(path);
	return fd;
}

/* For whoever finds it locked; the lock itself is what counts. */
static void
write_owner(int fd)
{
	char text[24];
	int bytes = snprintf(text, sizeof text, "%d\n", (int)getpid());

	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)bytes, 0) < 0)
		log_debug("owner.lock: the owner's pid cannot be written");
}

int
spool_dir_lock(const char *dir, int wait_ms)
{
	int fd = open_lock(dir, O_RDWR | O_CREAT);

	/* the worker of a supervisor that was killed needs a moment to save
	 * its rings before it lets go */
	while (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if (wait_ms <= 0) {
			close(fd);
			errno = EWOULDBLOCK;
			return -1;
		}
		usleep(LOCK_POLL_MS * 1000);
		wait_ms -= LOCK_POLL_MS;
	}
	if (fd >= 0)
		write_owner(fd);
	return fd;
}

int
spool_dir_owner(const char *dir)
{
	char text[24] = "";
	int fd = open_lock(dir, O_RDONLY);

	if (fd < 0)
		return 0;
	if (read(fd, text, sizeof text - 1) < 0)
		text[0] = '\0';
	close(fd);
	return atoi(text);
}

bool
spool_dir_reserve(const char *dir, const char *name, size_t bytes)
{
	char *path = must_format("%s/%s", dir, name);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), error;

	free(path);
	if (fd < 0)
		return false;
	error = posix_fallocate(fd, 0, (off_t)bytes);
	close(fd);
	errno = error;
	return error == 0;
}
