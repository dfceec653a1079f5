/*
 * test_ring - the ring alone, between two threads, and between two processes
 * that are killed at random
 *
 * Built under ThreadSanitizer too (make tsan); the processes are left out
 * there, since it does not see across them.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "channel.h"
#include "panic.h"
#include "ring.h"

#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#ifndef UNDER_TSAN
#define UNDER_TSAN 0
#endif

#define PAGE 4096u
#define WATCHDOG_MS 20000 /* a wake-up that takes longer is a lost one */
#define KILLS 400

/* ---- a ring in memory of its own ---- */

struct mapped {
	struct ring_control *control;
	char *data;
	uint64_t size;
};

static struct mapped
map_ring(uint64_t size)
{
	struct mapped m = { .size = size };
	int fd = memfd_create("test-ring", MFD_CLOEXEC);
	char *base;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)(PAGE + size)), 0);
	base = mmap(NULL, PAGE + 2 * size, PROT_NONE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(base, MAP_FAILED);
	assert_ptr_not_equal(mmap(base, PAGE + size, PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_FIXED, fd, 0),
	    MAP_FAILED);
	assert_ptr_not_equal(
	    mmap(base + PAGE + size, size, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_FIXED, fd, (off_t)PAGE),
	    MAP_FAILED);
	close(fd);
	m.control = (void *)base;
	m.data = base + PAGE;
	return m;
}

static void
unmap_ring(struct mapped *m)
{
	munmap(m->control, PAGE + 2 * m->size);
}

static struct ring
attach(const struct mapped *m)
{
	struct ring r;

	assert_true(ring_attach(&r, m->control, m->data, m->size));
	return r;
}

static struct mapped
make_ring(uint64_t size)
{
	struct mapped m = map_ring(size);

	ring_init(m.control, size);
	return m;
}

static bool
put(struct ring *r, uint64_t bytes, int fill)
{
	void *to = ring_reserve(r, bytes);

	if (to == NULL)
		return false;
	memset(to, fill, bytes);
	ring_commit(r, bytes);
	return true;
}

static void
test_attach_checks(void **state)
{
	struct mapped m = map_ring(PAGE);
	struct ring r;
	uint64_t head;

	(void)state;
	assert_false(ring_attach(&r, m.control, m.data, PAGE)); /* no magic */
	ring_init(m.control, PAGE);
	assert_true(ring_attach(&r, m.control, m.data, PAGE));
	assert_false(ring_attach(&r, m.control, m.data, 2 * PAGE));
	m.control->version++;
	assert_false(ring_attach(&r, m.control, m.data, PAGE));
	m.control->version--;
	head = atomic_load(&m.control->head);
	atomic_store(&m.control->tail, head + PAGE + 8); /* too much */
	assert_false(ring_attach(&r, m.control, m.data, PAGE));
	atomic_store(&m.control->tail, head - 8); /* before the head */
	assert_false(ring_attach(&r, m.control, m.data, PAGE));
	atomic_store(&m.control->tail, head + 4); /* no record ends there */
	assert_false(ring_attach(&r, m.control, m.data, PAGE));
	atomic_store(&m.control->tail, head + PAGE);
	assert_true(ring_attach(&r, m.control, m.data, PAGE));
	unmap_ring(&m);
}

static void
test_first_lap_overflows(void **state)
{
	struct mapped m = make_ring(PAGE);
	struct ring p = attach(&m), c = attach(&m);
	uint64_t bytes;

	(void)state;
	assert_true(ring_tail(&p) > UINT64_MAX / 2);
	assert_true(put(&p, PAGE, 'x')); /* beyond 2^64 */
	assert_int_equal(ring_tail(&p), PAGE / 2);
	assert_int_equal(ring_free_bytes(&p), 0);
	assert_non_null(ring_peek(&c, &bytes));
	assert_int_equal(bytes, PAGE);
	ring_take(&c, bytes);
	ring_advance(&c, ring_taken(&c));
	assert_int_equal(ring_head(&p), PAGE / 2);
	assert_int_equal(ring_free_bytes(&p), PAGE);
	unmap_ring(&m);
}

static void
test_exact_fit_and_full(void **state)
{
	struct mapped m = make_ring(PAGE);
	struct ring p = attach(&m), c = attach(&m);
	uint64_t bytes;

	(void)state;
	assert_true(put(&p, PAGE - 8, 'a'));
	assert_null(ring_reserve(&p, 16));
	assert_int_equal(ring_free_bytes(&p), 8);
	assert_true(put(&p, 8, 'b')); /* the last bytes */
	assert_null(ring_reserve(&p, 8));
	assert_non_null(ring_peek(&c, &bytes));
	ring_take(&c, PAGE - 8);
	assert_null(ring_reserve(&p, 8)); /* taken is not yet given back */
	ring_advance(&c, ring_taken(&c));
	assert_non_null(ring_reserve(&p, PAGE - 8));
	assert_null(ring_reserve(&p, PAGE));
	assert_non_null(ring_peek(&c, &bytes));
	assert_int_equal(bytes, 8);
	unmap_ring(&m);
}

static void
test_reserved_is_not_there(void **state)
{
	struct mapped m = make_ring(PAGE);
	struct ring p = attach(&m), c = attach(&m), again;
	uint64_t bytes;
	char *at;

	(void)state;
	at = ring_reserve(&p, 64);
	memset(at, 'x', 64);
	assert_ptr_equal(ring_reserve(&p, 64), at); /* the same place */
	assert_null(ring_peek(&c, &bytes));
	again = attach(&m); /* the producer died and came back */
	assert_ptr_equal(ring_reserve(&again, 8), at);
	ring_commit(&again, 8);
	assert_non_null(ring_peek(&c, &bytes));
	assert_int_equal(bytes, 8);
	unmap_ring(&m);
}

static void
test_resume(void **state)
{
	struct mapped m = make_ring(PAGE);
	struct ring p = attach(&m), c = attach(&m);
	uint64_t start = ring_taken(&c), bytes;
	const char *at;

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_true(put(&p, 1000, 'a' + i));
	assert_non_null(ring_peek(&c, &bytes));
	ring_take(&c, 3000);
	ring_advance(&c, start + 1000);
	assert_int_equal(*(const char *)ring_at(&c, start + 2000), 'c');

	c = attach(&m); /* the consumer died and came back */
	assert_int_equal(ring_taken(&c), start + 1000);
	assert_false(ring_resume(&c, start)); /* given back already */
	assert_false(ring_resume(&c, start + 4008)); /* not written yet */
	assert_false(ring_resume(&c, start + 2004)); /* inside a record */
	assert_true(ring_resume(&c, start + 2000));
	assert_int_equal(ring_head(&p), start + 2000); /* made known */
	at = ring_peek(&c, &bytes);
	assert_int_equal(bytes, 2000);
	assert_int_equal(at[0], 'c');
	/* in one life: back to what is durable */
	ring_take(&c, 2000);
	assert_true(ring_resume(&c, start + 2000));
	at = ring_peek(&c, &bytes);
	assert_int_equal(bytes, 2000);
	assert_int_equal(at[1000], 'd');
	assert_true(ring_resume(&c, start + 4000)); /* all of it */
	assert_null(ring_peek(&c, &bytes));
	unmap_ring(&m);
}

/* What a process gone wrong writes must not make the other read or write where
 * it may not. */
static void
test_nonsense_is_ignored(void **state)
{
	struct mapped m = make_ring(PAGE);
	struct ring p = attach(&m), c = attach(&m);
	uint64_t tail = ring_tail(&p), head, bytes;

	(void)state;
	assert_true(put(&p, 2048, 'x'));
	head = ring_head(&p);
	atomic_store(&m.control->head, tail + 2056); /* beyond the tail */
	assert_int_equal(ring_head(&p), head);
	atomic_store(&m.control->head, head - 8); /* backwards */
	assert_int_equal(ring_head(&p), head);
	assert_null(ring_reserve(&p, PAGE));
	atomic_store(&m.control->tail, tail + 2 * PAGE);
	assert_null(ring_peek(&c, &bytes));
	assert_true(ring_consumer_may_sleep(&c));
	atomic_store(&m.control->tail, tail + 12);
	assert_null(ring_peek(&c, &bytes));
	atomic_store(&m.control->tail, tail + 2048);
	assert_non_null(ring_peek(&c, &bytes));
	assert_int_equal(bytes, 2048);
	unmap_ring(&m);
}

static void
test_bells(void **state)
{
	struct mapped m = make_ring(PAGE);
	struct ring p = attach(&m), c = attach(&m);
	uint64_t bytes, seen = ring_head(&p);

	(void)state;
	assert_false(ring_consumer_needs_bell(&p));
	assert_true(ring_consumer_may_sleep(&c));
	assert_true(put(&p, 8, 'x'));
	assert_true(ring_consumer_needs_bell(&p));
	assert_false(ring_consumer_needs_bell(&p)); /* once a sleep */
	assert_false(ring_consumer_may_sleep(&c)); /* there is work */
	assert_false(ring_consumer_needs_bell(&p)); /* not announced */
	assert_non_null(ring_peek(&c, &bytes));
	ring_take(&c, bytes);
	assert_true(ring_consumer_may_sleep(&c));
	ring_consumer_awake(&c);
	assert_false(ring_consumer_needs_bell(&p));

	assert_true(ring_producer_may_sleep(&p, seen));
	ring_advance(&c, ring_taken(&c));
	assert_true(ring_producer_needs_bell(&c));
	assert_false(ring_producer_needs_bell(&c));
	assert_false(ring_producer_may_sleep(&p, seen)); /* it has moved */
	assert_false(ring_producer_needs_bell(&c));
	assert_true(ring_producer_may_sleep(&p, ring_head(&p)));
	ring_producer_awake(&p);
	assert_false(ring_producer_needs_bell(&c));
	unmap_ring(&m);
}

/* ---- a stream of records that can be checked ---- */

struct record {
	uint64_t position; /* where in the stream it is */
	uint64_t bytes;
	uint64_t fill[];
};

static uint64_t
mix(uint64_t x)
{
	x ^= x >> 33;
	x *= UINT64_C(0xff51afd7ed558ccd);
	x ^= x >> 33;
	x *= UINT64_C(0xc4ceb9fe1a85ec53);
	return x ^ x >> 33;
}

/* Sizes and contents follow from the position: a new producer goes on with
 * the same stream, and everybody knows what has to be there. */
static uint64_t
record_bytes(uint64_t position)
{
	uint64_t x = mix(position);

	return x % 64 == 0 ? 1024 : 16 + 8 * (x % 24);
}

static void
fill_record(struct record *to, uint64_t position)
{
	uint64_t words = (record_bytes(position) - sizeof *to) / 8;

	to->position = position;
	to->bytes = record_bytes(position);
	for (uint64_t i = 0; i < words; i++)
		to->fill[i] = mix(position + i);
}

static bool
record_good(const struct record *r, uint64_t position, uint64_t available)
{
	uint64_t words = (record_bytes(position) - sizeof *r) / 8;

	if (available < sizeof *r || r->position != position ||
	    r->bytes != record_bytes(position) || r->bytes > available)
		return false;
	for (uint64_t i = 0; i < words; i++)
		if (r->fill[i] != mix(position + i))
			return false;
	return true;
}

/* One record, if there is room. */
static bool
write_record(struct ring *r)
{
	uint64_t bytes = record_bytes(ring_tail(r));
	struct record *to = ring_reserve(r, bytes);

	if (to == NULL)
		return false;
	fill_record(to, ring_tail(r));
	ring_commit(r, bytes);
	return true;
}

/* One ring against a model: whatever the order of the calls, what comes out is
 * what went in. */
static void
test_random_calls(void **state)
{
	struct mapped m = make_ring(PAGE);
	struct ring p = attach(&m), c = attach(&m);
	uint64_t bytes, random = 42, written = 0, laps = 0;
	const struct record *r;

	(void)state;
	for (int i = 0; i < 300000; i++) {
		random = mix(random + (uint64_t)i);
		if (random % 97 == 0)
			p = attach(&m);
		if (random % 89 == 0) {
			uint64_t head = ring_head(&p);

			c = attach(&m);
			assert_int_equal(ring_taken(&c), head);
		}
		if (random % 5 < 2) {
			written += write_record(&p);
		} else if (random % 5 < 4) {
			if ((r = ring_peek(&c, &bytes)) == NULL)
				continue;
			assert_true(record_good(r, ring_taken(&c), bytes));
			laps += r->bytes;
			ring_take(&c, r->bytes);
		} else {
			ring_advance(&c, ring_taken(&c));
		}
		assert_true(ring_tail(&p) - ring_head(&p) <= PAGE);
	}
	assert_true(written > 50000);
	assert_true(laps > 1000 * (uint64_t)PAGE);
	unmap_ring(&m);
}

/* ---- two threads ---- */

struct pair {
	struct mapped mapped;
	int worker_bell, receiver_bell;
	uint64_t records, sleeps;
	bool lockstep; /* each record is waited for until it is given back */
	const char *failed; /* of the producer's thread */
};

/* False: nobody rang in time. */
static bool
wait_for_bell(int bell)
{
	struct pollfd p = { .fd = bell, .events = POLLIN };
	int n;

	do
		n = poll(&p, 1, WATCHDOG_MS);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		bell_silence(bell);
	return n > 0;
}

/* Until the head has moved on from `seen`; may come back early. */
static bool
wait_for_head(struct pair *pair, struct ring *r, uint64_t seen)
{
	if (!ring_producer_may_sleep(r, seen))
		return true;
	pair->sleeps++;
	if (!wait_for_bell(pair->receiver_bell))
		return false;
	ring_producer_awake(r);
	return true;
}

/* A moment of this thread's own, so that the two meet at every instruction. */
static void
dawdle(uint64_t random)
{
	for (volatile uint64_t i = mix(random) % 512; i > 0; i--)
		;
}

static bool
produce_one(struct pair *pair, struct ring *r)
{
	uint64_t seen = ring_head(r);

	while (!write_record(r)) {
		if (!wait_for_head(pair, r, seen))
			return false;
		seen = ring_head(r);
	}
	if (ring_consumer_needs_bell(r))
		bell_ring(pair->worker_bell);
	if (!pair->lockstep)
		return true;
	dawdle(ring_tail(r));
	while ((seen = ring_head(r)) != ring_tail(r))
		if (!wait_for_head(pair, r, seen))
			return false;
	return true;
}

static void *
produce(void *context)
{
	struct pair *pair = context;
	struct ring r;

	if (!ring_attach(&r, pair->mapped.control, pair->mapped.data,
		pair->mapped.size)) {
		pair->failed = "the producer cannot attach";
		return NULL;
	}
	for (uint64_t i = 0; i < pair->records; i++) {
		if (!produce_one(pair, &r)) {
			pair->failed = "nobody woke the producer";
			return NULL;
		}
	}
	return NULL;
}

static void
take_records(struct ring *r, uint64_t *count)
{
	const struct record *record;
	uint64_t bytes;

	/* not more than some, so that room comes in small pieces too */
	for (uint64_t i = mix(*count) % 32 + 1; i > 0; i--) {
		if ((record = ring_peek(r, &bytes)) == NULL)
			return;
		if (!record_good(record, ring_taken(r), bytes))
			fail_msg("record %llu is not what was written",
			    (unsigned long long)*count);
		ring_take(r, record->bytes);
		++*count;
	}
}

static void
consume(struct pair *pair, uint64_t *sleeps)
{
	struct ring r = attach(&pair->mapped);
	uint64_t count = 0;

	while (count < pair->records) {
		take_records(&r, &count);
		ring_advance(&r, ring_taken(&r));
		if (ring_producer_needs_bell(&r))
			bell_ring(pair->receiver_bell);
		if (pair->lockstep)
			dawdle(count);
		if (count == pair->records || !ring_consumer_may_sleep(&r))
			continue;
		++*sleeps;
		if (!wait_for_bell(pair->worker_bell))
			fail_msg("nobody woke the consumer");
		ring_consumer_awake(&r);
	}
}

static void
run_threads(uint64_t size, uint64_t records, bool lockstep)
{
	struct pair pair = { .mapped = make_ring(size),
		.worker_bell = bell_new(),
		.receiver_bell = bell_new(),
		.records = records,
		.lockstep = lockstep };
	uint64_t sleeps = 0;
	pthread_t producer;

	assert_int_equal(pthread_create(&producer, NULL, produce, &pair), 0);
	consume(&pair, &sleeps);
	assert_int_equal(pthread_join(producer, NULL), 0);
	if (pair.failed != NULL)
		fail_msg("%s", pair.failed);
	print_message("%llu records through %llu bytes: the producer slept "
		      "%llu times, the consumer %llu times\n",
	    (unsigned long long)records, (unsigned long long)size,
	    (unsigned long long)pair.sleeps, (unsigned long long)sleeps);
	close(pair.worker_bell);
	close(pair.receiver_bell);
	unmap_ring(&pair.mapped);
}

static void
test_threads(void **state)
{
	(void)state;
	run_threads(MiB, UNDER_TSAN ? 300000 : 3000000, false);
}

/* So little room that both sides sleep all the time. */
static void
test_threads_sleepy(void **state)
{
	(void)state;
	run_threads(PAGE, UNDER_TSAN ? 60000 : 600000, false);
}

/* Every wake-up counts: one that is lost is not made up for by a later one. */
static void
test_threads_lockstep(void **state)
{
	(void)state;
	run_threads(PAGE, UNDER_TSAN ? 20000 : 100000, true);
}

/* ---- two processes ---- */

/* What the consumer keeps for good: written before ring_advance, in the slot
 * that is not in use, so that it may be killed at any instruction. */
struct durable {
	uint64_t position, records;
};

struct shared {
	struct durable slots[2];
	_Atomic unsigned slot; /* the one that counts */
	_Atomic bool stop; /* the producer ends */
	_Atomic bool drain; /* the consumer ends when there is no more */
	_Atomic uint64_t wrong_at; /* what the consumer found wrong */
};

enum child_code { CHILD_DONE, CHILD_NO_RING, CHILD_WRONG, CHILD_ASLEEP };

struct arena {
	struct shared *shared;
	int memory_fd, worker_bell, receiver_bell;
	pid_t producer, consumer;
	unsigned producers, consumers; /* started */
};

static struct channel
child_channel(const struct arena *a)
{
	struct channel c;

	if (!channel_attach(&c, a->memory_fd, a->worker_bell, a->receiver_bell))
		_exit(CHILD_NO_RING);
	return c;
}

static void
producer_child(const struct arena *a)
{
	struct channel c = child_channel(a);

	while (!atomic_load(&a->shared->stop)) {
		uint64_t seen = ring_head(&c.events);

		if (write_record(&c.events)) {
			channel_ring_worker(&c);
			continue;
		}
		if (!ring_producer_may_sleep(&c.events, seen))
			continue;
		if (!wait_for_bell(a->receiver_bell))
			_exit(CHILD_ASLEEP);
		ring_producer_awake(&c.events);
	}
	_exit(CHILD_DONE);
}

static void
keep(struct shared *s, uint64_t position, uint64_t more)
{
	unsigned now = atomic_load(&s->slot);

	s->slots[!now].position = position;
	s->slots[!now].records = s->slots[now].records + more;
	atomic_store(&s->slot, !now);
}

static void
consume_some(const struct arena *a, struct channel *c)
{
	struct ring *r = &c->events;
	uint64_t bytes, count = 0, most = mix(ring_taken(r)) % 16 + 1;
	const struct record *record;

	while (count < most && (record = ring_peek(r, &bytes)) != NULL) {
		if (!record_good(record, ring_taken(r), bytes)) {
			atomic_store(&a->shared->wrong_at, ring_taken(r));
			_exit(CHILD_WRONG);
		}
		ring_take(r, record->bytes);
		count++;
	}
	if (count == 0)
		return;
	keep(a->shared, ring_taken(r), count);
	ring_advance(r, ring_taken(r));
	channel_ring_receiver(c);
}

static void
consumer_child(const struct arena *a)
{
	struct channel c = child_channel(a);
	const struct shared *s = a->shared;
	struct ring *r = &c.events;

	if (!ring_resume(r, s->slots[atomic_load(&s->slot)].position))
		_exit(CHILD_NO_RING);
	channel_ring_receiver(&c);
	for (;;) {
		consume_some(a, &c);
		if (!ring_consumer_may_sleep(r))
			continue;
		if (atomic_load(&s->drain))
			_exit(CHILD_DONE);
		if (!wait_for_bell(a->worker_bell))
			_exit(CHILD_ASLEEP);
		ring_consumer_awake(r);
	}
}

static pid_t
start(const struct arena *a, void (*run)(const struct arena *))
{
	pid_t parent = getpid(), pid = fork();

	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(CHILD_DONE);
	run(a);
	abort();
}

static void
check_end(const struct arena *a, pid_t pid, bool killed)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (killed && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		return;
	if (!killed && WIFEXITED(status) && WEXITSTATUS(status) == CHILD_DONE)
		return;
	fail_msg("the %s ended with status %x, at %llu",
	    pid == a->producer ? "producer" : "consumer", (unsigned)status,
	    (unsigned long long)atomic_load(&a->shared->wrong_at));
}

static void
kill_one(struct arena *a, bool producer)
{
	pid_t *pid = producer ? &a->producer : &a->consumer;

	kill(*pid, SIGKILL);
	check_end(a, *pid, true);
	*pid = start(a, producer ? producer_child : consumer_child);
	++*(producer ? &a->producers : &a->consumers);
}

/* Lets them run for a random while: nothing, or some milliseconds. */
static void
let_run(uint64_t random)
{
	struct timespec t = { .tv_nsec = (long)(random % 4 == 0
				      ? random / 4 % 100000
				      : random / 4 % 12000000) };

	nanosleep(&t, NULL);
}

static void
open_arena(struct arena *a)
{
	struct channel c;

	*a = (struct arena){ .worker_bell = bell_new(),
		.receiver_bell = bell_new(),
		.memory_fd = channel_create("test", 0, 1, 4 * PAGE) };
	a->shared = mmap(NULL, sizeof *a->shared, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(a->shared, MAP_FAILED);
	assert_true(channel_attach(&c, a->memory_fd, -1, -1));
	a->shared->slots[0].position = ring_taken(&c.events);
	channel_detach(&c);
}

/* Every record from the first position to the tail, once, in order: that is
 * what the durable position and count must say. */
static void
check_arena(const struct arena *a, uint64_t from)
{
	const struct durable *d =
	    &a->shared->slots[atomic_load(&a->shared->slot)];
	uint64_t position = from, records = 0;
	struct channel c;

	assert_true(channel_attach(&c, a->memory_fd, -1, -1));
	assert_int_equal(d->position, ring_tail(&c.events));
	assert_int_equal(ring_head(&c.events), ring_tail(&c.events));
	channel_detach(&c);
	for (; position != d->position; records++)
		position += record_bytes(position);
	assert_int_equal(d->records, records);
	assert_true(records > 100 * KILLS);
	print_message("%llu records through %u producers and %u consumers\n",
	    (unsigned long long)records, a->producers, a->consumers);
}

static void
test_killed_processes(void **state)
{
	uint64_t random = (uint64_t)time(NULL), from;
	struct arena a;

	(void)state;
	if (UNDER_TSAN)
		skip();
	print_message("random: %llu\n", (unsigned long long)random);
	open_arena(&a);
	from = a.shared->slots[0].position;
	a.producer = start(&a, producer_child);
	a.consumer = start(&a, consumer_child);
	a.producers = a.consumers = 1;
	for (int i = 0; i < KILLS; i++) {
		random = mix(random + 1);
		let_run(random >> 8);
		if (random % 8 < 5)
			kill_one(&a, false);
		if (random % 8 >= 4)
			kill_one(&a, true);
	}
	atomic_store(&a.shared->stop, true);
	bell_ring(a.receiver_bell);
	check_end(&a, a.producer, false);
	atomic_store(&a.shared->drain, true);
	bell_ring(a.worker_bell);
	check_end(&a, a.consumer, false);
	check_arena(&a, from);
	munmap(a.shared, sizeof *a.shared);
	close(a.memory_fd);
	close(a.worker_bell);
	close(a.receiver_bell);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attach_checks),
		cmocka_unit_test(test_first_lap_overflows),
		cmocka_unit_test(test_exact_fit_and_full),
		cmocka_unit_test(test_reserved_is_not_there),
		cmocka_unit_test(test_resume),
		cmocka_unit_test(test_nonsense_is_ignored),
		cmocka_unit_test(test_bells),
		cmocka_unit_test(test_random_calls),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_threads_sleepy),
		cmocka_unit_test(test_threads_lockstep),
		cmocka_unit_test(test_killed_processes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
