/*
 * life - a child's page of shared memory: signs of life, last words, counters
 *
 * Process: supervisor makes and reads it, the child writes.
 * Fails:   a child that dies or goes mad in the middle of a publication costs
 *          the reader a bounded number of looks, never a wait.
 */
#include "life.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "panic.h"

#define LIFE_MAGIC UINT64_C(0x316566696c717274) /* "trqlife1" */
#define LIFE_VERSION 2
#define READ_TRIES 64

static struct life *
map_page(int fd)
{
	void *at = mmap(NULL, sizeof(struct life), PROT_READ | PROT_WRITE,
	    MAP_SHARED, fd, 0);

	return at != MAP_FAILED ? at : NULL;
}

static void
mark(struct life *life)
{
	life->version = LIFE_VERSION;
	/* release: whoever sees the magic sees the version */
	atomic_store_explicit(&life->magic, LIFE_MAGIC, memory_order_release);
}

int
life_create(void)
{
	int fd = memfd_create("tranqd-life", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct life *life = NULL;

	if (fd < 0)
		return -1;
	if (ftruncate(fd, (off_t)sizeof *life) == 0)
		life = map_page(fd);
	if (life == NULL) {
		close(fd);
		return -1;
	}
	mark(life);
	munmap(life, sizeof *life);
	/* a child that shrank it would kill the supervisor by SIGBUS */
	must(fcntl(fd, F_ADD_SEALS,
		 F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0);
	return fd;
}

struct life *
life_attach(int fd)
{
	struct life *life = map_page(fd);

	if (life == NULL)
		return NULL;
	/* acquire: pairs with the release in life_create */
	must(atomic_load_explicit(&life->magic, memory_order_acquire) ==
	    LIFE_MAGIC);
	must(life->version == LIFE_VERSION);
	return life;
}

void
life_detach(struct life **life)
{
	if (*life != NULL)
		munmap(*life, sizeof **life);
	*life = NULL;
}

#define LIFE_STEP(name, text) text,
static const char *const step_texts[] = { LIFE_STEPS(LIFE_STEP) };
#undef LIFE_STEP

void
life_turn(struct life *life)
{
	/* the child is the only writer */
	uint64_t turns =
	    atomic_load_explicit(&life->turns, memory_order_relaxed);

	atomic_store_explicit(&life->turns, turns + 1, memory_order_relaxed);
}

void
life_step(struct life *life, enum life_step step)
{
	atomic_store_explicit(&life->step, step, memory_order_relaxed);
}

uint64_t
life_turns(const struct life *life)
{
	return atomic_load_explicit(&life->turns, memory_order_relaxed);
}

const char *
life_doing(const struct life *life)
{
	uint32_t step = atomic_load_explicit(&life->step, memory_order_relaxed);

	/* the child may have written anything */
	return step < LIFE_STEP_COUNT ? step_texts[step] : "is out of its mind";
}

void
life_begin(struct life *life)
{
	/* the last one has written over it */
	if (atomic_load_explicit(&life->magic, memory_order_acquire) !=
		LIFE_MAGIC ||
	    life->version != LIFE_VERSION) {
		memset(life, 0, sizeof *life);
		mark(life);
	}
	life_step(life, LIFE_START);
	life->panic[0] = life->confined[0] = '\0';
	atomic_store_explicit(&life->refused, 0, memory_order_relaxed);
}

void
life_refused(struct life *life, int call)
{
	atomic_store_explicit(&life->refused_call, call, memory_order_relaxed);
	/* release: whoever counts it knows which one it was */
	atomic_fetch_add_explicit(&life->refused, 1, memory_order_release);
}

void
life_publish(
    struct life *life, const struct counters *counters, const char *text)
{
	/* a predecessor that died in the middle has left it odd */
	uint64_t odd =
	    atomic_load_explicit(&life->sequence, memory_order_relaxed) | 1;

	atomic_store_explicit(&life->sequence, odd, memory_order_relaxed);
	/* release: no reader sees a byte of what follows before it sees odd */
	atomic_thread_fence(memory_order_release);
	life->counters = *counters;
	if (text != NULL) {
		size_t bytes = strlen(text) + 1;

		if (bytes > sizeof life->text)
			life->text[0] = '\0';
		else
			memcpy(life->text, text, bytes);
	}
	/* release: whoever sees the even number sees all of it */
	atomic_store_explicit(&life->sequence, odd + 1, memory_order_release);
}

static void
copy_out(const struct life *life, struct counters *counters, char *to)
{
	size_t bytes;

	*counters = life->counters;
	if (to == NULL)
		return;
	bytes = strnlen(life->text, sizeof life->text - 1);
	memcpy(to, life->text, bytes);
	to[bytes] = '\0';
}

bool
life_read(struct life *life, struct counters *counters, char *to)
{
	for (int i = 0; i < READ_TRIES; i++) {
		/* acquire: pairs with the last store of life_publish */
		uint64_t before =
		    atomic_load_explicit(&life->sequence, memory_order_acquire);
		uint64_t after;

		copy_out(life, counters, to);
		/* acquire: the copy is complete before we look again */
		atomic_thread_fence(memory_order_acquire);
		after =
		    atomic_load_explicit(&life->sequence, memory_order_relaxed);
		if (before == after && before % 2 == 0)
			return true;
	}
	return false;
}
