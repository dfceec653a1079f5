/*
 * preload_clock - clocks that a test moves, in the processes that it starts
 *
 * LD_PRELOAD. The file that TRANQ_TEST_CLOCK names holds two numbers of 64
 * bits: nanoseconds that are added to the wall clock, and to the clocks that
 * only go forward. It is mapped once, at start: children that were forked see
 * the same, and whoever writes into it moves all of them at one time.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000

typedef int get_fn(clockid_t, struct timespec *);

static const volatile int64_t *moved; /* wall, monotonic; NULL: not at all */
static get_fn *get;

static void __attribute__((constructor)) map_moved(void)
{
	const char *path = getenv("TRANQ_TEST_CLOCK");
	int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *at;

	*(void **)&get = dlsym(RTLD_NEXT, "clock_gettime");
	if (get == NULL)
		abort();
	if (fd < 0)
		return;
	at = mmap(NULL, 2 * sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		abort();
	moved = at;
	close(fd);
}

static int64_t
moved_by(clockid_t clock)
{
	if (moved == NULL)
		return 0;
	switch (clock) {
	case CLOCK_REALTIME:
	case CLOCK_REALTIME_COARSE: return moved[0];
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_MONOTONIC_COARSE:
	case CLOCK_BOOTTIME: return moved[1];
	default: return 0; /* CPU time */
	}
}

int
clock_gettime(clockid_t clock, struct timespec *t)
{
	int64_t ns;

	if (get == NULL) /* another library's constructor came first */
		*(void **)&get = dlsym(RTLD_NEXT, "clock_gettime");
	if (get(clock, t) < 0)
		return -1;
	ns = t->tv_sec * NS_PER_S + t->tv_nsec + moved_by(clock);
	t->tv_sec = ns / NS_PER_S;
	t->tv_nsec = ns % NS_PER_S;
	return 0;
}

int
gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec t;

	(void)zone;
	if (clock_gettime(CLOCK_REALTIME, &t) < 0)
		return -1;
	tv->tv_sec = t.tv_sec;
	tv->tv_usec = t.tv_nsec / 1000;
	return 0;
}

time_t
time(time_t *to)
{
	struct timespec t;

	if (clock_gettime(CLOCK_REALTIME, &t) < 0)
		return -1;
	if (to != NULL)
		*to = t.tv_sec;
	return t.tv_sec;
}
