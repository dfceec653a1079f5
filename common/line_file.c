/*
 * line_file - a small file of text that is whole, or as it was before
 *
 * Process: worker, supervisor.
 */
#include "line_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "panic.h"

bool
line_file_read(const char *dir, const char *name, char *to, size_t bytes)
{
	char *path = must_format("%s/%s", dir, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t got;

	free(path);
	to[0] = '\0';
	if (fd < 0)
		return false;
	got = read(fd, to, bytes - 1);
	close(fd);
	to[MAX_OF(got, 0)] = '\0';
	return true;
}

/* As the file `draft`, which is whole then. */
static bool
put_draft(int dir, const char *draft, const char *text)
{
	ssize_t bytes = (ssize_t)strlen(text), written;
	int fd = openat(dir, draft,
	    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool good;

	if (fd < 0)
		return false;
	written = write(fd, text, (size_t)bytes);
	if (written >= 0 && written < bytes)
		errno = ENOSPC;
	good = written == bytes && fsync(fd) == 0;
	close(fd);
	return good;
}

static bool
put(int dir, const char *name, const char *text)
{
	char *draft = must_format("%s.new", name);
	bool good = put_draft(dir, draft, text) &&
	    renameat(dir, draft, dir, name) == 0 && fsync(dir) == 0;
	int error = errno;

	if (!good)
		(void)unlinkat(dir, draft, 0);
	free(draft);
	errno = error;
	return good;
}

static bool
take_away(int dir, const char *name)
{
	return (unlinkat(dir, name, 0) == 0 || errno == ENOENT) &&
	    fsync(dir) == 0;
}

/* text: NULL: it is to be gone. */
static bool
change(const char *dir, const char *name, const char *text)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), error = 0;

	if (fd < 0)
		return false;
	if (!(text != NULL ? put(fd, name, text) : take_away(fd, name)))
		error = errno;
	close(fd);
	errno = error;
	return error == 0;
}

bool
line_file_write(const char *dir, const char *name, const char *text)
{
	return change(dir, name, text);
}

bool
line_file_remove(const char *dir, const char *name)
{
	return change(dir, name, NULL);
}
