/*
 * preload_record - records what a process and its children do to the files of
 * one folder, with the bytes, and when answers leave
 *
 * TRANQ_RECORD names the record's file, TRANQ_RECORD_UNDER the folder. The
 * record is mapped before main, so that children need to open nothing. What
 * is written through a mapping is not seen: LMDB does that to its lock file
 * only, which needs to survive nothing.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "record.h"

#define FDS_MAX 4096
#define PATH_BYTES 4096
#define ANSWER "HTTP/1.1 200"

static struct record_head *head;
static char under[PATH_BYTES];
static size_t under_bytes;
static _Atomic uint32_t *openings; /* behind the head, shared by all */

static struct {
	uint32_t file; /* 0: not ours */
	bool is_dir, is_durable; /* O_DSYNC, O_SYNC */
	uint64_t at; /* for write */
	uint16_t port; /* of an accepted connection's client */
	char path[256];
} fds[FDS_MAX];

#define REAL(name)                     \
	static __typeof__(name) *real; \
	if (real == NULL)              \
	real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void
begin(void)
{
	const char *path = getenv("TRANQ_RECORD");
	const char *folder = getenv("TRANQ_RECORD_UNDER");
	int fd;

	if (path == NULL || folder == NULL || strlen(folder) >= sizeof under)
		return;
	strcpy(under, folder);
	under_bytes = strlen(under);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)RECORD_BYTES_MAX) != 0)
		abort();
	head = mmap(
	    NULL, RECORD_BYTES_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (head == MAP_FAILED)
		abort();
	close(fd);
	openings = (_Atomic uint32_t *)(head + 1);
	if (head->magic == RECORD_MAGIC)
		return;
	head->used = sizeof *head + sizeof(uint64_t);
	head->magic = RECORD_MAGIC;
}

/* ---- entries ---- */

/* Room for an entry with that much data; the caller fills it in. */
static struct record_entry *
reserve(size_t bytes)
{
	size_t whole = (sizeof(struct record_entry) + bytes + 7) / 8 * 8;
	uint64_t at = atomic_fetch_add(&head->used, whole);
	struct record_entry *e;

	if (at + whole > RECORD_BYTES_MAX)
		abort();
	e = (struct record_entry *)((char *)head + at);
	e->length = bytes;
	return e;
}

static uint64_t
publish(struct record_entry *e, enum record_kind kind)
{
	atomic_store(&e->kind, kind);
	return (uint64_t)((char *)e - (char *)head);
}

static void
add_text(enum record_kind kind, const char *text, size_t bytes, uint32_t file,
    uint32_t flags)
{
	struct record_entry *e = reserve(bytes);

	memcpy(e + 1, text, bytes);
	e->file = file;
	e->flags = flags;
	publish(e, kind);
}

static void
add_number(enum record_kind kind, uint32_t file, uint64_t number)
{
	struct record_entry *e = reserve(0);

	e->file = file;
	e->offset = number;
	publish(e, kind);
}

/* For programs that are recorded and want to say how far they are. */
void record_mark(uint64_t number);
void
record_mark(uint64_t number)
{
	if (head != NULL)
		add_number(RECORD_MARK, 0, number);
}

/* ---- which files are ours ---- */

static bool
is_under(const char *path)
{
	return head != NULL && path != NULL &&
	    strncmp(path, under, under_bytes) == 0 &&
	    (path[under_bytes] == '/' || path[under_bytes] == '\0');
}

static uint32_t
file_of(int fd)
{
	return head != NULL && fd >= 0 && fd < FDS_MAX ? fds[fd].file : 0;
}

static void
opened(int fd, const char *path, int flags)
{
	if (fd < 0 || fd >= FDS_MAX || !is_under(path))
		return;
	fds[fd].file = atomic_fetch_add(openings, 1) + 1;
	fds[fd].is_dir = (flags & O_DIRECTORY) != 0;
	fds[fd].is_durable = (flags & O_DSYNC) != 0;
	fds[fd].at = 0;
	snprintf(fds[fd].path, sizeof fds[fd].path, "%s", path);
	if (!fds[fd].is_dir)
		add_text(RECORD_OPEN, path, strlen(path) + 1, fds[fd].file,
		    (uint32_t)flags);
}

#define OPEN(name)                                                            \
	int name(const char *path, int flags, ...);                           \
	int name(const char *path, int flags, ...)                            \
	{                                                                     \
		int (*next)(const char *, int, ...) =                         \
		    (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, #name); \
		mode_t mode;                                                  \
		va_list args;                                                 \
		int fd;                                                       \
                                                                              \
		va_start(args, flags);                                        \
		mode = va_arg(args, mode_t);                                  \
		va_end(args);                                                 \
		fd = next(path, flags, mode);                                 \
		opened(fd, path, flags);                                      \
		return fd;                                                    \
	}
OPEN(open)
OPEN(open64)
OPEN(__open_2)
OPEN(__open64_2)

/* ---- writing ---- */

static struct record_entry *
begin_write(int fd, const struct iovec *v, int count, uint64_t at)
{
	struct record_entry *e;
	size_t bytes = 0;
	char *to;

	for (int i = 0; i < count; i++)
		bytes += v[i].iov_len;
	e = reserve(bytes);
	to = (char *)(e + 1);
	for (int i = 0; i < count; i++) {
		memcpy(to, v[i].iov_base, v[i].iov_len);
		to += v[i].iov_len;
	}
	e->file = fds[fd].file;
	e->offset = at;
	publish(e, RECORD_WRITE);
	return e;
}

static void
end_write(int fd, const struct record_entry *e, ssize_t n)
{
	if (n > 0 && fds[fd].is_durable)
		add_number(RECORD_WRITTEN, fds[fd].file,
		    (uint64_t)((const char *)e - (const char *)head));
}

#define PWRITE(name, type)                                            \
	ssize_t name(int fd, const void *from, size_t bytes, type at) \
	{                                                             \
		REAL(name);                                           \
		struct iovec v = { (void *)(uintptr_t)from, bytes };  \
		struct record_entry *e;                               \
		ssize_t n;                                            \
                                                                      \
		if (file_of(fd) == 0)                                 \
			return real(fd, from, bytes, at);             \
		e = begin_write(fd, &v, 1, (uint64_t)at);             \
		n = real(fd, from, bytes, at);                        \
		end_write(fd, e, n);                                  \
		return n;                                             \
	}
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define PWRITEV(name, type)                                             \
	ssize_t name(int fd, const struct iovec *v, int count, type at) \
	{                                                               \
		REAL(name);                                             \
		struct record_entry *e;                                 \
		ssize_t n;                                              \
                                                                        \
		if (file_of(fd) == 0)                                   \
			return real(fd, v, count, at);                  \
		e = begin_write(fd, v, count, (uint64_t)at);            \
		n = real(fd, v, count, at);                             \
		end_write(fd, e, n);                                    \
		return n;                                               \
	}
PWRITEV(pwritev, off_t)
PWRITEV(pwritev64, off64_t)

static void
answered(int fd, const void *from, size_t bytes)
{
	if (head != NULL && fd >= 0 && fd < FDS_MAX && fds[fd].port != 0 &&
	    bytes >= sizeof ANSWER - 1 &&
	    memcmp(from, ANSWER, sizeof ANSWER - 1) == 0)
		add_number(RECORD_ANSWER, 0, fds[fd].port);
}

ssize_t
write(int fd, const void *from, size_t bytes)
{
	REAL(write);
	struct iovec v = { (void *)(uintptr_t)from, bytes };
	struct record_entry *e;
	ssize_t n;

	if (file_of(fd) == 0) {
		answered(fd, from, bytes);
		return real(fd, from, bytes);
	}
	e = begin_write(fd, &v, 1, fds[fd].at);
	n = real(fd, from, bytes);
	if (n > 0)
		fds[fd].at += (uint64_t)n;
	end_write(fd, e, n);
	return n;
}

ssize_t
send(int fd, const void *from, size_t bytes, int flags)
{
	REAL(send);

	answered(fd, from, bytes);
	return real(fd, from, bytes, flags);
}

ssize_t
writev(int fd, const struct iovec *v, int count)
{
	REAL(writev);

	struct record_entry *e;
	ssize_t n;

	if (file_of(fd) == 0) {
		if (count > 0)
			answered(fd, v[0].iov_base, v[0].iov_len);
		return real(fd, v, count);
	}
	e = begin_write(fd, v, count, fds[fd].at);
	n = real(fd, v, count);
	if (n > 0)
		fds[fd].at += (uint64_t)n;
	end_write(fd, e, n);
	return n;
}

ssize_t
sendmsg(int fd, const struct msghdr *m, int flags)
{
	REAL(sendmsg);

	if (m->msg_iovlen > 0)
		answered(fd, m->msg_iov[0].iov_base, m->msg_iov[0].iov_len);
	return real(fd, m, flags);
}

#define SEEK(name, type)                            \
	type name(int fd, type at, int from)        \
	{                                           \
		REAL(name);                         \
		type now = real(fd, at, from);      \
                                                    \
		if (now >= 0 && file_of(fd) != 0)   \
			fds[fd].at = (uint64_t)now; \
		return now;                         \
	}
SEEK(lseek, off_t)
SEEK(lseek64, off64_t)

#define TRUNCATE(name, type)                                                \
	int name(int fd, type size)                                         \
	{                                                                   \
		REAL(name);                                                 \
		if (file_of(fd) != 0)                                       \
			add_number(                                         \
			    RECORD_TRUNCATE, fds[fd].file, (uint64_t)size); \
		return real(fd, size);                                      \
	}
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

/* ---- syncs ---- */

static int
synced(int fd, int rc)
{
	if (rc != 0 || file_of(fd) == 0)
		return rc;
	if (fds[fd].is_dir)
		add_text(RECORD_SYNC_DIR, fds[fd].path,
		    strlen(fds[fd].path) + 1, 0, 0);
	else
		add_number(RECORD_SYNC, fds[fd].file, 0);
	return rc;
}

int
fsync(int fd)
{
	REAL(fsync);

	return synced(fd, real(fd));
}

int
fdatasync(int fd)
{
	REAL(fdatasync);

	return synced(fd, real(fd));
}

/* ---- names ---- */

int
rename(const char *from, const char *to)
{
	char both[2 * PATH_BYTES];
	REAL(rename);
	int rc = real(from, to);

	if (rc == 0 && is_under(to)) {
		size_t first = strlen(from) + 1, second = strlen(to) + 1;

		memcpy(both, from, first);
		memcpy(both + first, to, second);
		add_text(RECORD_RENAME, both, first + second, 0, 0);
	}
	return rc;
}

#define NAME(name, kind)                                              \
	int name(const char *path)                                    \
	{                                                             \
		REAL(name);                                           \
		int rc = real(path);                                  \
                                                                      \
		if (rc == 0 && is_under(path))                        \
			add_text(kind, path, strlen(path) + 1, 0, 0); \
		return rc;                                            \
	}
NAME(unlink, RECORD_UNLINK)
NAME(rmdir, RECORD_UNLINK)

int
mkdir(const char *path, mode_t mode)
{
	REAL(mkdir);
	int rc = real(path, mode);

	if (rc == 0 && is_under(path))
		add_text(RECORD_MKDIR, path, strlen(path) + 1, 0, 0);
	return rc;
}

int
close(int fd)
{
	REAL(close);

	if (fd >= 0 && fd < FDS_MAX) {
		fds[fd].file = 0;
		fds[fd].port = 0;
	}
	return real(fd);
}

int
accept4(int fd, struct sockaddr *address, socklen_t *bytes, int flags)
{
	REAL(accept4);
	struct sockaddr_in6 mine;
	socklen_t size = sizeof mine;
	int client;

	if (address != NULL)
		return real(fd, address, bytes, flags);
	client = real(fd, (struct sockaddr *)&mine, &size, flags);
	/* the port is at one place for IPv4 and IPv6 */
	if (client >= 0 && client < FDS_MAX)
		fds[client].port = ntohs(mine.sin6_port);
	return client;
}
