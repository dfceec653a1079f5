/*
 * preload_io - makes file operations of tranqd fail, as a test tells it to
 *
 * Loaded into tranqd by LD_PRELOAD. The test maps the same file (its path is
 * in TRANQ_FAULT_IO) and writes rules into it: which operation, on what, in
 * which kind of process, the how manieth, how often, and the error. Children
 * inherit the mapping, so nothing has to be opened by them. tests/helper/
 * injection.py is the test's side and has the same layout.
 *
 * A descriptor is known by the path it was opened with; what was not opened
 * by path (sockets, memfds, pipes) is never touched.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define RULES 4
#define PATH_PART 64
#define FDS 1024
#define TEXT_BYTES 256

enum operation {
	OPERATION_OPEN = 1 << 0, /* of anything */
	OPERATION_MAKE = 1 << 6, /* open that makes a file */
	OPERATION_WRITE = 1 << 1, /* write, pwrite, writev, pwritev, dprintf */
	OPERATION_SYNC = 1 << 2, /* fsync, fdatasync, msync */
	OPERATION_TRUNCATE = 1 << 3, /* ftruncate, posix_fallocate */
	OPERATION_MKDIR = 1 << 4,
	OPERATION_RENAME = 1 << 5,
};

enum kind {
	KIND_SUPERVISOR = 1 << 0,
	KIND_RECEIVER = 1 << 1,
	KIND_WORKER = 1 << 2
};

enum how { HOW_FAILS, HOW_SHORT, HOW_DONE };

struct rule {
	_Atomic uint32_t operations, kinds; /* masks; 0: the rule is off */
	_Atomic uint32_t passes; /* so many go well before it strikes */
	_Atomic uint32_t strikes; /* so many fail */
	_Atomic int32_t error;
	_Atomic uint32_t how; /* enum how: of a write that strikes */
	_Atomic uint32_t seen, struck;
	char path[PATH_PART]; /* a part of it; "": any */
};

struct control {
	struct rule rules[RULES];
};

static struct control *control;
static _Atomic uint32_t kind = KIND_SUPERVISOR;
static char paths[FDS][TEXT_BYTES]; /* "": not by path */

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int (*next_open)(const char *, int, ...);
static int (*next_openat)(int, const char *, int, ...);
static ssize_t (*next_write)(int, const void *, size_t);
static ssize_t (*next_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*next_writev)(int, const struct iovec *, int);
static ssize_t (*next_pwritev)(int, const struct iovec *, int, off_t);
static int (*next_fsync)(int);
static int (*next_fdatasync)(int);
static int (*next_msync)(void *, size_t, int);
static int (*next_ftruncate)(int, off_t);
static int (*next_posix_fallocate)(int, off_t, off_t);
static int (*next_mkdir)(const char *, mode_t);
static int (*next_rename)(const char *, const char *);
static int (*next_close)(int);
static int (*next_close_range)(unsigned, unsigned, int);
static int (*next_prctl)(int, ...);

__attribute__((constructor)) static void
begin(void)
{
	const char *path = getenv("TRANQ_FAULT_IO");
	int fd;

	next_open = NEXT(open);
	next_openat = NEXT(openat);
	next_write = NEXT(write);
	next_pwrite = NEXT(pwrite);
	next_writev = NEXT(writev);
	next_pwritev = NEXT(pwritev);
	next_fsync = NEXT(fsync);
	next_fdatasync = NEXT(fdatasync);
	next_msync = NEXT(msync);
	next_ftruncate = NEXT(ftruncate);
	next_posix_fallocate = NEXT(posix_fallocate);
	next_mkdir = NEXT(mkdir);
	next_rename = NEXT(rename);
	next_close = NEXT(close);
	next_close_range = NEXT(close_range);
	next_prctl = NEXT(prctl);
	if (path == NULL || (fd = next_open(path, O_RDWR | O_CLOEXEC)) < 0)
		return;
	control = mmap(
	    NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (control == MAP_FAILED)
		control = NULL;
	next_close(fd);
}

static bool
concerns(const struct rule *r, uint32_t operation, const char *path)
{
	return (r->operations & operation) != 0 && (r->kinds & kind) != 0 &&
	    strstr(path, r->path) != NULL;
}

/* The rule that strikes now, or NULL; errno is set by it. */
static struct rule *
strike(uint32_t operation, const char *path)
{
	if (control == NULL || path == NULL || path[0] == '\0')
		return NULL;
	for (unsigned i = 0; i < RULES; i++) {
		struct rule *r = &control->rules[i];
		uint32_t nth;

		if (!concerns(r, operation, path))
			continue;
		nth = atomic_fetch_add(&r->seen, 1);
		if (nth < r->passes || nth - r->passes >= r->strikes)
			continue;
		atomic_fetch_add(&r->struck, 1);
		errno = r->error;
		return r;
	}
	return NULL;
}

/* What is there already asks the disk for no room. */
static bool
is_there(int dir, const char *path)
{
	int error = errno;
	bool there = faccessat(dir, path, F_OK, 0) == 0;

	errno = error;
	return there;
}

static bool
is_long(int fd, off_t size)
{
	struct stat s;

	return fstat(fd, &s) == 0 && s.st_size >= size;
}

static const char *
path_of(int fd)
{
	return fd >= 0 && fd < FDS ? paths[fd] : NULL;
}

static int
remember(int fd, const char *path)
{
	if (fd >= 0 && fd < FDS)
		snprintf(paths[fd], TEXT_BYTES, "%s", path);
	return fd;
}

static void
path_below(int dir, const char *path, char text[static TEXT_BYTES])
{
	const char *above = path_of(dir);

	if (path[0] == '/' || dir == AT_FDCWD || above == NULL)
		snprintf(text, TEXT_BYTES, "%s", path);
	else
		snprintf(text, TEXT_BYTES, "%.120s/%.120s", above, path);
}

/* ---- what stands before the C library's ---- */

#define MODE_OF(flags, last)                           \
	__extension__({                                \
		mode_t mode_ = 0;                      \
		if (((flags)&O_CREAT) != 0) {          \
			va_list args_;                 \
			va_start(args_, last);         \
			mode_ = va_arg(args_, mode_t); \
			va_end(args_);                 \
		}                                      \
		mode_;                                 \
	})

static int
open_path(const char *path, int flags, mode_t mode)
{
	if ((flags & O_CREAT) != 0 && !is_there(AT_FDCWD, path) &&
	    strike(OPERATION_MAKE, path) != NULL)
		return -1;
	if (strike(OPERATION_OPEN, path) != NULL)
		return -1;
	return remember(next_open(path, flags, mode), path);
}

int
open(const char *path, int flags, ...)
{
	return open_path(path, flags, MODE_OF(flags, flags));
}

int
open64(const char *path, int flags, ...)
{
	return open_path(path, flags, MODE_OF(flags, flags));
}

int
openat(int dir, const char *path, int flags, ...)
{
	mode_t mode = MODE_OF(flags, flags);
	char whole[TEXT_BYTES];

	path_below(dir, path, whole);
	if ((flags & O_CREAT) != 0 && !is_there(dir, path) &&
	    strike(OPERATION_MAKE, whole) != NULL)
		return -1;
	if (strike(OPERATION_OPEN, whole) != NULL)
		return -1;
	return remember(next_openat(dir, path, flags, mode), whole);
}

int
close(int fd)
{
	if (fd >= 0 && fd < FDS)
		paths[fd][0] = '\0';
	return next_close(fd);
}

int
close_range(unsigned first, unsigned last, int flags)
{
	for (unsigned fd = first; fd < FDS && fd <= last; fd++)
		paths[fd][0] = '\0';
	return next_close_range(first, last, flags);
}

static ssize_t
struck_write(const struct rule *r, int fd, const void *bytes, size_t count)
{
	return r->how == HOW_SHORT && count > 1
	    ? next_write(fd, bytes, count / 2)
	    : -1;
}

ssize_t
write(int fd, const void *bytes, size_t count)
{
	const struct rule *r = strike(OPERATION_WRITE, path_of(fd));

	return r != NULL ? struck_write(r, fd, bytes, count)
			 : next_write(fd, bytes, count);
}

static ssize_t
write_at(int fd, const void *bytes, size_t count, off_t at)
{
	const struct rule *r = strike(OPERATION_WRITE, path_of(fd));

	if (r == NULL)
		return next_pwrite(fd, bytes, count, at);
	if (r->how == HOW_SHORT && count > 1)
		return next_pwrite(fd, bytes, count / 2, at);
	if (r->how == HOW_DONE) {
		next_pwrite(fd, bytes, count, at);
		errno = r->error;
	}
	return -1;
}

ssize_t
pwrite(int fd, const void *bytes, size_t count, off_t at)
{
	return write_at(fd, bytes, count, at);
}

ssize_t
pwrite64(int fd, const void *bytes, size_t count, off_t at)
{
	return write_at(fd, bytes, count, at);
}

ssize_t
writev(int fd, const struct iovec *parts, int count)
{
	return strike(OPERATION_WRITE, path_of(fd)) != NULL
	    ? -1
	    : next_writev(fd, parts, count);
}

ssize_t
pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
	return strike(OPERATION_WRITE, path_of(fd)) != NULL
	    ? -1
	    : next_pwritev(fd, parts, count, at);
}

/* The C library's own would not call our write. */
static int
print(int fd, const char *format, va_list args)
{
	char text[4096];
	int bytes = vsnprintf(text, sizeof text, format, args);

	return (int)write(fd, text, (size_t)bytes);
}

int
dprintf(int fd, const char *format, ...)
{
	va_list args;
	int bytes;

	va_start(args, format);
	bytes = print(fd, format, args);
	va_end(args);
	return bytes;
}

int __dprintf_chk(int fd, int flag, const char *format, ...);

int
__dprintf_chk(int fd, int flag, const char *format, ...)
{
	va_list args;
	int bytes;

	(void)flag;
	va_start(args, format);
	bytes = print(fd, format, args);
	va_end(args);
	return bytes;
}

int
fsync(int fd)
{
	return strike(OPERATION_SYNC, path_of(fd)) != NULL ? -1
							   : next_fsync(fd);
}

int
fdatasync(int fd)
{
	return strike(OPERATION_SYNC, path_of(fd)) != NULL ? -1
							   : next_fdatasync(fd);
}

int
msync(void *at, size_t bytes, int flags)
{
	return strike(OPERATION_SYNC, "memory") != NULL
	    ? -1
	    : next_msync(at, bytes, flags);
}

int
ftruncate(int fd, off_t size)
{
	return !is_long(fd, size) &&
		strike(OPERATION_TRUNCATE, path_of(fd)) != NULL
	    ? -1
	    : next_ftruncate(fd, size);
}

int
posix_fallocate(int fd, off_t at, off_t bytes)
{
	const struct rule *r = is_long(fd, at + bytes)
	    ? NULL
	    : strike(OPERATION_TRUNCATE, path_of(fd));

	return r != NULL ? r->error : next_posix_fallocate(fd, at, bytes);
}

int
mkdir(const char *path, mode_t mode)
{
	if (!is_there(AT_FDCWD, path) && strike(OPERATION_MKDIR, path) != NULL)
		return -1;
	return next_mkdir(path, mode);
}

int
rename(const char *from, const char *to)
{
	return strike(OPERATION_RENAME, to) != NULL ? -1
						    : next_rename(from, to);
}

/* A child says what it is when it takes its name. */
int
prctl(int option, ...)
{
	unsigned long a[4];
	va_list args;

	va_start(args, option);
	for (unsigned i = 0; i < 4; i++)
		a[i] = va_arg(args, unsigned long);
	va_end(args);
	if (option == PR_SET_NAME)
		kind = strstr((const char *)a[0], "worker") != NULL
		    ? KIND_WORKER
		    : KIND_RECEIVER;
	return next_prctl(option, a[0], a[1], a[2], a[3]);
}
