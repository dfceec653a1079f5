/*
 * sealed - bytes in memory that go from one process to another as a descriptor
 *
 * Process: supervisor makes them, all read them.
 */
#include "sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "panic.h"

int
sealed_new(const char *name, const void *bytes, size_t count)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), error;
	const char *from = bytes;

	while (fd >= 0 && count > 0) {
		ssize_t n = write(fd, from, count);

		if (n < 0 && errno != EINTR) {
			error = errno;
			close(fd);
			errno = error;
			return -1;
		}
		from += MAX_OF(n, 0);
		count -= (size_t)MAX_OF(n, 0);
	}
	if (fd >= 0)
		must(fcntl(fd, F_ADD_SEALS,
			 F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0);
	return fd;
}

const char *
sealed_map(int fd, size_t max, size_t *count)
{
	struct stat st;
	void *at;

	if (fstat(fd, &st) < 0)
		return NULL;
	errno = EBADMSG;
	if (st.st_size <= 0 || (size_t)st.st_size > max)
		return NULL;
	*count = (size_t)st.st_size;
	at = mmap(NULL, *count, PROT_READ, MAP_PRIVATE, fd, 0);
	return at == MAP_FAILED ? NULL : at;
}

void
sealed_unmap(const char **bytes, size_t count)
{
	if (*bytes != NULL)
		/* a cast of const away: munmap only forgets it */
		munmap((void *)(uintptr_t)*bytes, count);
	*bytes = NULL;
}
