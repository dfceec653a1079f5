/*
 * fault - named points at which a test kills, stops or fails a process
 *
 * Process: all.   Only in programs for tests (fault.h).
 */
#include "fault.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log.h"
#include "panic.h"

/* tests/helper/faults.py has the same numbers and the same layout. */
enum action { ACTION_KILL = 1, ACTION_STOP, ACTION_FAIL };

struct fault_slot {
	_Atomic uint64_t passed; /* by all processes, ever */
	_Atomic uint32_t left; /* passages until it happens; 0: not armed */
	uint32_t action;
	int32_t error; /* errno, with ACTION_FAIL */
	uint32_t times; /* passages in a row; 0 is one */
	_Atomic uint32_t hits; /* how often it happened */
	_Atomic uint32_t pid; /* to whom last */
};

_Static_assert(sizeof(struct fault_slot) == 32, "faults.py counts on it");

static struct fault_slot *slots;

void
fault_open(void)
{
	const char *path = getenv("TRANQ_FAULT_FILE");
	size_t bytes = FAULT_POINTS * sizeof slots[0];
	void *at = MAP_FAILED;
	int fd;

	if (path == NULL)
		return;
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0 && ftruncate(fd, (off_t)bytes) == 0)
		at = mmap(
		    NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		fatal("TRANQ_FAULT_FILE %s", path);
	close(fd);
	slots = at;
}

void
fault_print(void)
{
#define FAULT(name, scenario, text) puts(#name "\t" scenario "\t" text);
#include "fault.def"
#undef FAULT
}

/* Whether it is now. Several processes may pass at one time. */
static bool
is_due(struct fault_slot *s)
{
	uint32_t left = atomic_load(&s->left);

	do {
		if (left == 0)
			return false;
	} while (!atomic_compare_exchange_weak(&s->left, &left, left - 1));
	if (left != 1)
		return false;
	if (s->times > 1) {
		s->times--;
		atomic_store(&s->left, 1);
	}
	return true;
}

int
fault_pass(enum fault_point point)
{
	struct fault_slot *s = slots == NULL ? NULL : &slots[point];

	if (s == NULL)
		return 0;
	atomic_fetch_add(&s->passed, 1);
	if (LIKELY(!is_due(s)))
		return 0;
	atomic_store(&s->pid, (uint32_t)getpid());
	atomic_fetch_add(&s->hits, 1);
	if (s->action == ACTION_FAIL)
		return s->error;
	kill(getpid(), s->action == ACTION_STOP ? SIGSTOP : SIGKILL);
	/* a sandbox that forbids it: whoever waits for `hits` kills us */
	while (s->action == ACTION_KILL)
		atomic_thread_fence(memory_order_seq_cst);
	return 0;
}

/* LMDB's commit writes pages, syncs them, and then writes (through a
 * descriptor that syncs by itself) the root that makes them count: the points
 * between are reached here. */
int
fdatasync(int fd)
{
	static int (*next)(int);
	int error = FAULT_ERROR(SYNC), result;

	if (error != 0) {
		errno = error;
		return -1;
	}
	if (next == NULL)
		*(void **)(void *)&next = dlsym(RTLD_NEXT, "fdatasync");
	result = next(fd);
	FAULT_POINT(SYNCED);
	return result;
}
