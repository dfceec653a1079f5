/*
 * preload_process - processes that hang, and forks that fail, as a test says
 *
 * Process: tranqd and all its children (LD_PRELOAD). What shall happen stands
 * in the file that TRANQ_PROCESS_FAULTS names, mapped before the first fork:
 * a child needs to open nothing. One fault strikes one process, once.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum how { HOW_SPIN = 1, HOW_SLEEP, HOW_DISK };
enum where { WHERE_SYNC = 1, WHERE_LOOP };

/* tests/helper/injection.py writes it. */
struct faults {
	_Atomic int32_t pid; /* of whom shall hang; taken by it */
	_Atomic int32_t where, how;
	_Atomic int32_t released; /* all that hang go on */
	_Atomic int32_t forks_fail, memfds_fail; /* while not 0 */
	_Atomic int32_t hits;
};

static struct faults *faults;

__attribute__((constructor)) static void
map_faults(void)
{
	const char *path = getenv("TRANQ_PROCESS_FAULTS");
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *at;

	if (fd < 0)
		return;
	at = mmap(
	    NULL, sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (at != MAP_FAILED)
		faults = at;
}

static void
nap(void)
{
	const struct timespec ten_ms = { .tv_nsec = 10 * 1000 * 1000 };

	nanosleep(&ten_ms, NULL);
}

/* A process whose vfork child lives is in state D, as one that waits for the
 * disk. The child keeps no descriptor: locks are its parent's. */
static void
wait_in_state_d(void)
{
	pid_t child = vfork();

	if (child != 0)
		return;
	syscall(SYS_close_range, 0, ~0u, 0);
	while (!faults->released)
		nap();
	_exit(0);
}

static void
hang_if_told(enum where where)
{
	int32_t me = (int32_t)getpid();

	if (faults == NULL || faults->where != (int32_t)where ||
	    !atomic_compare_exchange_strong(&faults->pid, &me, 0))
		return;
	faults->hits++;
	if (faults->how == HOW_DISK)
		wait_in_state_d();
	while (!faults->released)
		if (faults->how == HOW_SLEEP)
			nap();
}

static void *
real(const char *name)
{
	void *function = dlsym(RTLD_NEXT, name);

	if (function == NULL)
		abort();
	return function;
}

int fdatasync(int);
int
fdatasync(int fd)
{
	static int (*next)(int);

	if (next == NULL)
		next = (int (*)(int))real("fdatasync");
	hang_if_told(WHERE_SYNC);
	return next(fd);
}

int
epoll_wait(int fd, struct epoll_event *events, int count, int timeout_ms)
{
	static int (*next)(int, struct epoll_event *, int, int);
	int n;

	if (next == NULL)
		next = (int (*)(int, struct epoll_event *, int, int))real(
		    "epoll_wait");
	n = next(fd, events, count, timeout_ms);
	hang_if_told(WHERE_LOOP);
	return n;
}

pid_t
fork(void)
{
	static pid_t (*next)(void);

	if (next == NULL)
		next = (pid_t(*)(void))real("fork");
	if (faults != NULL && faults->forks_fail) {
		faults->hits++;
		errno = EAGAIN;
		return -1;
	}
	return next();
}

int
memfd_create(const char *name, unsigned flags)
{
	static int (*next)(const char *, unsigned);

	if (next == NULL)
		next = (int (*)(const char *, unsigned))real("memfd_create");
	/* the configuration's text comes through, so that a reload gets as
	 * far as its rings */
	if (faults != NULL && faults->memfds_fail &&
	    strcmp(name, "tranqd-conf") != 0) {
		faults->hits++;
		errno = EMFILE;
		return -1;
	}
	return next(name, flags);
}
