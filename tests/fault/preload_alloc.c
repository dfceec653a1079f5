/*
 * preload_alloc - lets the n-th allocation of a process of tranqd fail
 *
 * Loaded into tranqd by LD_PRELOAD. The test maps the same file (its path is
 * in TRANQ_FAULT_ALLOC); tests/helper/injection.py is the test's side and has
 * the same layout. A process of a kind that is meant takes its n, and counts
 * from 0, when it begins or when the test gives out a new epoch; each one
 * takes another n, so that many are tried in one daemon.
 *
 * What is counted: malloc and all that comes through it (strdup, asprintf,
 * libraries), mmap and memfd_create.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define NEVER UINT32_MAX

enum kind {
	KIND_NONE = 0, /* a child that has not yet said what it is */
	KIND_SUPERVISOR = 1 << 0,
	KIND_RECEIVER = 1 << 1,
	KIND_WORKER = 1 << 2
};

struct control {
	_Atomic uint32_t kinds; /* 0: nothing fails, nothing is counted */
	_Atomic uint32_t epoch;
	_Atomic uint32_t next, step, last; /* the n that are given out */
	_Atomic uint32_t strikes; /* so many fail, from the n-th on */
	_Atomic uint32_t struck;
	_Atomic uint32_t most; /* allocations of the process that had most */
};

static struct control *control;
static enum kind kind = KIND_SUPERVISOR;
static uint32_t epoch, n, seen;

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

static void
begin_child(void)
{
	kind = KIND_NONE;
}

__attribute__((constructor)) static void
begin(void)
{
	const char *path = getenv("TRANQ_FAULT_ALLOC");
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *at;

	if (fd < 0)
		return;
	pthread_atfork(NULL, NULL, begin_child);
	at = mmap(
	    NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (at != MAP_FAILED)
		control = at;
}

static void
take_n(void)
{
	epoch = control->epoch;
	seen = 0;
	n = atomic_fetch_add(&control->next, control->step);
	if (n > control->last)
		n = NEVER;
}

/* Libraries that do not bear it, whatever we do: libseccomp 2.5.4 goes round
 * for ever or leaves rules out, jq 1.6 calls a handler that is not there. */
static bool
is_left_out(const void *caller)
{
	static const char *const names[] = { "/libseccomp.", "/libjq." };
	Dl_info where;

	if (dladdr(caller, &where) == 0 || where.dli_fname == NULL)
		return false;
	for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
		if (strstr(where.dli_fname, names[i]) != NULL)
			return true;
	return false;
}

static bool
strikes(const void *caller)
{
	uint32_t at, most;

	if (control == NULL || (control->kinds & kind) == 0)
		return false;
	if (epoch != control->epoch)
		take_n();
	at = seen++;
	most = control->most;
	while (seen > most &&
	    !atomic_compare_exchange_weak(&control->most, &most, seen))
		;
	if (at < n || at - n >= control->strikes)
		return false;
	atomic_fetch_add(&control->struck, 1);
	if (is_left_out(caller))
		return false;
	errno = ENOMEM;
	return true;
}

/* A child says what it is when it takes its name. */
int
prctl(int option, ...)
{
	int (*next)(int, ...) = (__typeof__(&prctl))dlsym(RTLD_NEXT, "prctl");
	unsigned long a[4];
	va_list args;

	va_start(args, option);
	for (unsigned i = 0; i < 4; i++)
		a[i] = va_arg(args, unsigned long);
	va_end(args);
	if (option == PR_SET_NAME) {
		epoch = 0;
		kind = strstr((const char *)a[0], "worker") != NULL
		    ? KIND_WORKER
		    : KIND_RECEIVER;
	}
	return next(option, a[0], a[1], a[2], a[3]);
}

/* ---- what stands before the C library's ---- */

void *
malloc(size_t bytes)
{
	return strikes(__builtin_return_address(0)) ? NULL
						    : __libc_malloc(bytes);
}

void *
calloc(size_t count, size_t bytes)
{
	return strikes(__builtin_return_address(0))
	    ? NULL
	    : __libc_calloc(count, bytes);
}

void *
realloc(void *old, size_t bytes)
{
	return strikes(__builtin_return_address(0))
	    ? NULL
	    : __libc_realloc(old, bytes);
}

void *
reallocarray(void *old, size_t count, size_t bytes)
{
	size_t all;

	if (__builtin_mul_overflow(count, bytes, &all) ||
	    strikes(__builtin_return_address(0))) {
		errno = ENOMEM;
		return NULL;
	}
	return __libc_realloc(old, all);
}

int
posix_memalign(void **to, size_t alignment, size_t bytes)
{
	void *at = strikes(__builtin_return_address(0))
	    ? NULL
	    : __libc_memalign(alignment, bytes);

	if (at == NULL)
		return ENOMEM;
	*to = at;
	return 0;
}

void *
aligned_alloc(size_t alignment, size_t bytes)
{
	return strikes(__builtin_return_address(0))
	    ? NULL
	    : __libc_memalign(alignment, bytes);
}

void *memalign(size_t alignment, size_t bytes);

void *
memalign(size_t alignment, size_t bytes)
{
	return strikes(__builtin_return_address(0))
	    ? NULL
	    : __libc_memalign(alignment, bytes);
}

void *
mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
	static __typeof__(&mmap) next;

	if (next == NULL)
		next = (__typeof__(&mmap))dlsym(RTLD_NEXT, "mmap");
	return strikes(__builtin_return_address(0))
	    ? MAP_FAILED
	    : next(at, bytes, protection, flags, fd, offset);
}

int
memfd_create(const char *name, unsigned flags)
{
	static __typeof__(&memfd_create) next;

	if (next == NULL)
		next =
		    (__typeof__(&memfd_create))dlsym(RTLD_NEXT, "memfd_create");
	return strikes(__builtin_return_address(0)) ? -1 : next(name, flags);
}
