/*
 * spool_dir - the folder of a spool: made, synced, owned by one process
 *
 * Process: worker.
 */
#include "spool_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

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

int
spool_dir_lock(const char *dir, int wait_ms)
{
	char *path = must_format("%s/owner.lock", dir);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);

	free(path);
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
	return fd;
}

bool
spool_dir_reserve(const char *dir, const char *name, size_t bytes)
{
	char *path = must_format("%s/%s", dir, name);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640), error;

	free(path);
	if (fd < 0)
		return false;
	error = posix_fallocate(fd, 0, (off_t)bytes);
	close(fd);
	errno = error;
	return error == 0;
}
