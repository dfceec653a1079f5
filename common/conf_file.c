/*
 * conf_file - the bytes of a file that a property names
 *
 * Process: all.
 */
#include "conf_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "panic.h"

#define PART_BYTES (16u * KiB)

/* 0, or errno. */
static int
read_all(int fd, struct buf *to, size_t max)
{
	size_t from = to->used;

	for (;;) {
		size_t part = MIN_OF(PART_BYTES, max + 1 - (to->used - from));
		char *room = buf_room(to, part);
		ssize_t n;

		must_afford(room != NULL);
		n = read(fd, room, part);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		if (n == 0)
			return 0;
		to->used += (size_t)n;
		if (to->used - from > max)
			return EFBIG;
	}
}

bool
conf_file_read(const char *path, struct buf *to, size_t max)
{
	/* not to wait for a pipe's writer */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int error;

	if (fd < 0)
		return false;
	if (fstat(fd, &st) < 0)
		error = errno;
	else if (!S_ISREG(st.st_mode))
		error = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
	else
		error = read_all(fd, to, max);
	close(fd);
	errno = error;
	return error == 0;
}

const char *
conf_file_why(int error)
{
	switch (error) {
	case EINVAL: return "no regular file";
	case EFBIG: return "too large";
	default: return strerror(error);
	}
}
