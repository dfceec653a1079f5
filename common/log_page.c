/*
 * log_page - how far a dataSource's log is durable: what its worker shows feeds
 *
 * Process: supervisor makes it, worker writes, feed reads.
 * Fails:   a side that dies leaves nothing to repair: each word is whole by
 *          itself, and a range is told end first, read start first, so that
 *          one that is read in the middle is too small at most.
 */
#include "log_page.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "channel.h"
#include "panic.h"

#define LOG_PAGE_MAGIC UINT64_C(0x0031676f6c717274) /* "trqlog1" */
#define LOG_PAGE_VERSION 2

struct told_range {
	_Atomic uint64_t start, end;
	_Atomic uint64_t asked_beyond; /* feed's */
	uint64_t unused;
};

struct log_page {
	_Atomic uint64_t magic;
	uint32_t version, unused;
	_Alignas(CACHE_LINE) _Atomic uint64_t opening; /* odd: closed */
	char identity[LOG_PAGE_IDENTITY_BYTES]; /* while it is closed */
	_Alignas(CACHE_LINE) _Atomic uint32_t is_awaited; /* feed's */
	_Alignas(CACHE_LINE) struct told_range told[LOG_PAGE_PARTITIONS_MAX];
	/* odd while the worker writes what follows */
	_Alignas(CACHE_LINE) _Atomic uint64_t peers_version;
	struct log_peers peers;
};

static struct log_page *
map_page(int fd)
{
	void *at = mmap(NULL, sizeof(struct log_page), PROT_READ | PROT_WRITE,
	    MAP_SHARED, fd, 0);

	return at != MAP_FAILED ? at : NULL;
}

int
log_page_create(void)
{
	int fd =
	    memfd_create("tranqd-log-page", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct log_page *p = NULL;

	if (fd < 0)
		return -1;
	if (ftruncate(fd, (off_t)sizeof *p) == 0)
		p = map_page(fd);
	if (p == NULL) {
		close(fd);
		return -1;
	}
	p->version = LOG_PAGE_VERSION;
	atomic_store_explicit(&p->opening, 1, memory_order_relaxed);
	/* release: whoever sees the magic sees the rest */
	atomic_store_explicit(&p->magic, LOG_PAGE_MAGIC, memory_order_release);
	munmap(p, sizeof *p);
	/* a side that shrank it would kill the other by SIGBUS */
	must(fcntl(fd, F_ADD_SEALS,
		 F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0);
	return fd;
}

struct log_page *
log_page_attach(int fd)
{
	struct log_page *p;

	if (lseek(fd, 0, SEEK_END) != (off_t)sizeof *p) {
		errno = EPROTO;
		return NULL;
	}
	if ((p = map_page(fd)) == NULL)
		return NULL;
	/* acquire: pairs with the release in log_page_create */
	if (atomic_load_explicit(&p->magic, memory_order_acquire) ==
		LOG_PAGE_MAGIC &&
	    p->version == LOG_PAGE_VERSION)
		return p;
	munmap(p, sizeof *p);
	errno = EPROTO;
	return NULL;
}

void
log_page_detach(struct log_page **page)
{
	if (*page != NULL)
		munmap(*page, sizeof **page);
	*page = NULL;
}

/* ---- worker ---- */

void
log_page_close(struct log_page *p)
{
	uint64_t opening =
	    atomic_load_explicit(&p->opening, memory_order_relaxed);

	atomic_store_explicit(&p->opening, opening | 1, memory_order_seq_cst);
}

void
log_page_open(struct log_page *p, const char *identity)
{
	uint64_t opening;

	log_page_close(p); /* of a predecessor that was killed */
	opening = atomic_load_explicit(&p->opening, memory_order_relaxed);
	snprintf(p->identity, sizeof p->identity, "%s", identity);
	/* release: whoever sees the opening sees the identity and the ranges
	 * that were told before */
	atomic_store_explicit(&p->opening, opening + 1, memory_order_release);
}

void
log_page_tell(struct log_page *p, unsigned partition, struct log_range range)
{
	struct told_range *t = &p->told[partition];

	must(partition < LOG_PAGE_PARTITIONS_MAX && range.start <= range.end);
	atomic_store_explicit(&t->end, range.end, memory_order_release);
	atomic_store_explicit(&t->start, range.start, memory_order_release);
}

void
log_page_ring(struct log_page *p, int feed_bell)
{
	/* full fence: what was told is seen by a feed that announces itself
	 * behind it, or its announcement is seen here (log_page_await) */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&p->is_awaited, memory_order_relaxed) == 0)
		return;
	atomic_store_explicit(&p->is_awaited, 0, memory_order_seq_cst);
	if (feed_bell >= 0)
		bell_ring(feed_bell);
}

uint64_t
log_page_asked_beyond(struct log_page *p, unsigned partition)
{
	must(partition < LOG_PAGE_PARTITIONS_MAX);
	return atomic_exchange_explicit(
	    &p->told[partition].asked_beyond, 0, memory_order_relaxed);
}

void
log_page_tell_peers(struct log_page *p, const struct log_peers *peers)
{
	/* a predecessor that was killed amid it has left it odd */
	uint64_t odd =
	    atomic_load_explicit(&p->peers_version, memory_order_relaxed) | 1;

	atomic_store_explicit(&p->peers_version, odd, memory_order_relaxed);
	/* nothing of what follows is seen before the version is odd */
	atomic_thread_fence(memory_order_release);
	memcpy(&p->peers, peers, sizeof p->peers);
	atomic_store_explicit(&p->peers_version, odd + 1, memory_order_release);
}

/* ---- feed ---- */

bool
log_page_peers(
    const struct log_page *p, uint64_t *version, struct log_peers *to)
{
	uint64_t now =
	    atomic_load_explicit(&p->peers_version, memory_order_acquire);
	struct log_peers copy;

	if (now == *version || (now & 1) != 0)
		return false;
	memcpy(&copy, &p->peers, sizeof copy);
	atomic_thread_fence(memory_order_acquire);
	if (atomic_load_explicit(&p->peers_version, memory_order_relaxed) !=
	    now)
		return false; /* the worker's ring wakes us, or a request does */
	*version = now;
	*to = copy;
	log_peers_bound(to);
	return true;
}

uint64_t
log_page_opening(const struct log_page *p, char *identity)
{
	uint64_t opening =
	    atomic_load_explicit(&p->opening, memory_order_acquire);

	if (opening & 1)
		return 0;
	if (identity == NULL)
		return opening;
	memcpy(identity, p->identity, sizeof p->identity);
	identity[sizeof p->identity - 1] = '\0';
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&p->opening, memory_order_relaxed) ==
		opening
	    ? opening
	    : 0;
}

struct log_range
log_page_range(const struct log_page *p, unsigned partition)
{
	struct log_range r = { 0, 0 };

	if (partition >= LOG_PAGE_PARTITIONS_MAX)
		return r;
	r.start = atomic_load_explicit(
	    &p->told[partition].start, memory_order_acquire);
	r.end =
	    atomic_load_explicit(&p->told[partition].end, memory_order_acquire);
	/* whatever a worker gone wrong may have written */
	r.end = MAX_OF(r.end, r.start);
	return r;
}

bool
log_page_await(struct log_page *p)
{
	/* one that is withdrawn at this moment is followed by the bell */
	if (atomic_load_explicit(&p->is_awaited, memory_order_relaxed) != 0)
		return false;
	atomic_store_explicit(&p->is_awaited, 1, memory_order_relaxed);
	/* full fence: see log_page_ring */
	atomic_thread_fence(memory_order_seq_cst);
	return true;
}

void
log_page_note_beyond(struct log_page *p, unsigned partition, uint64_t offset)
{
	struct told_range *t;

	if (partition >= LOG_PAGE_PARTITIONS_MAX)
		return;
	t = &p->told[partition];
	if (atomic_load_explicit(&t->asked_beyond, memory_order_relaxed) <
	    offset)
		atomic_store_explicit(
		    &t->asked_beyond, offset, memory_order_relaxed);
}
