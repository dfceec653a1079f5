/*
 * drain_mark - the file that says that a dataSource is being drained
 *
 * Process: worker, supervisor.
 */
#include "drain_mark.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "panic.h"

#define NAME "draining"
#define TEXT_BYTES 24

static char *
path_of(const char *dir)
{
	return must_format("%s/" NAME, dir);
}

int64_t
drain_mark_since(const char *dir)
{
	char *path = path_of(dir), text[TEXT_BYTES + 1] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	int64_t since = 0;

	free(path);
	if (fd < 0)
		return 0;
	if (read(fd, text, TEXT_BYTES) > 0)
		since = strtoll(text, NULL, 10);
	close(fd);
	/* that it is there is what counts: whoever wrote it may have been
	 * killed before he wrote when */
	return since > 0 ? since : 1;
}

static bool
sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), error;

	if (fd < 0)
		return false;
	error = fsync(fd) < 0 ? errno : 0;
	close(fd);
	errno = error;
	return error == 0;
}

static bool
write_mark(int fd, int64_t now_ms)
{
	char text[TEXT_BYTES];
	int bytes = snprintf(text, sizeof text, "%lld\n", (long long)now_ms);
	ssize_t written = write(fd, text, (size_t)bytes);

	if (written >= 0 && written < bytes)
		errno = ENOSPC;
	return written == bytes && fsync(fd) == 0;
}

bool
drain_mark_set(const char *dir, int64_t now_ms)
{
	char *path = path_of(dir);
	int fd = open(
	    path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int error = 0;

	if (fd < 0 && errno != EEXIST)
		error = errno;
	else if (fd >= 0 && !write_mark(fd, now_ms))
		error = errno;
	if (fd >= 0)
		close(fd);
	if (error != 0 && fd >= 0)
		(void)unlink(path);
	free(path);
	errno = error;
	return error == 0 && sync_dir(dir);
}

bool
drain_mark_clear(const char *dir)
{
	char *path = path_of(dir);
	int error = unlink(path) < 0 && errno != ENOENT ? errno : 0;

	free(path);
	errno = error;
	return error == 0 && sync_dir(dir);
}
