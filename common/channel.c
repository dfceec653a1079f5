/*
 * channel - what one receiver and one worker share: event ring, ack ring
 *
 * Process: supervisor makes it, receiver and worker attach.
 *
 * The memfd: page 0 the header, page 1 the rings' control words, then the
 * event ring's and the ack ring's data, each of them mapped twice in a row.
 */
#include "channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log.h"
#include "panic.h"

#define CHANNEL_MAGIC UINT64_C(0x316e616863717274) /* "trqchan1" */
#define CHANNEL_VERSION 4
#define PAGE_BYTES 4096u
#define CONTROLS_AT PAGE_BYTES
#define DATA_AT (2 * PAGE_BYTES)

struct controls {
	struct ring_control events, acks;
};

_Static_assert(sizeof(struct channel_header) <= PAGE_BYTES, "one page");
_Static_assert(sizeof(struct controls) <= PAGE_BYTES, "one page");

static uint64_t
power_of_two(uint64_t bytes)
{
	uint64_t size = PAGE_BYTES;

	while (size < bytes)
		size *= 2;
	return size;
}

static void
init_memory(char *memory, const char *ds, unsigned receiver,
    uint64_t generation, uint64_t event_bytes)
{
	struct channel_header *h = (void *)memory;
	struct controls *c = (void *)(memory + CONTROLS_AT);

	h->version = CHANNEL_VERSION;
	h->receiver = receiver;
	h->generation = generation;
	h->event_bytes = event_bytes;
	h->ack_bytes = CHANNEL_ACK_BYTES;
	snprintf(h->ds, sizeof h->ds, "%s", ds);
	ring_init(&c->events, event_bytes);
	ring_init(&c->acks, CHANNEL_ACK_BYTES);
	/* release: whoever sees the magic sees all of the above */
	atomic_store_explicit(&h->magic, CHANNEL_MAGIC, memory_order_release);
}

static bool
is_as_made(const struct channel_header *h, const struct channel_header *made)
{
	return h->magic == made->magic && h->version == made->version &&
	    h->receiver == made->receiver &&
	    h->generation == made->generation &&
	    h->event_bytes == made->event_bytes &&
	    h->ack_bytes == made->ack_bytes &&
	    memcmp(h->ds, made->ds, sizeof h->ds) == 0;
}

static bool
mend_memory(char *memory, const struct channel_header *made)
{
	struct channel_header *h = (void *)memory;
	struct controls *c = (void *)(memory + CONTROLS_AT);
	bool events = ring_mend(&c->events, made->event_bytes);
	bool acks = ring_mend(&c->acks, made->ack_bytes);

	if (is_as_made(h, made))
		return events && acks;
	/* its counters are no better than the rest */
	memcpy(memory, made, sizeof *made);
	return false;
}

bool
channel_mend(int fd, const char *ds, unsigned receiver, uint64_t generation,
    uint64_t bytes)
{
	struct channel_header made = { .magic = CHANNEL_MAGIC,
		.version = CHANNEL_VERSION,
		.receiver = receiver,
		.generation = generation,
		.event_bytes = power_of_two(bytes),
		.ack_bytes = CHANNEL_ACK_BYTES };
	char *memory =
	    mmap(NULL, DATA_AT, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	bool whole;

	if (memory == MAP_FAILED) {
		log_warn("channel of %s", ds);
		return true; /* nobody else will map it either */
	}
	snprintf(made.ds, sizeof made.ds, "%s", ds);
	whole = mend_memory(memory, &made);
	if (!whole)
		log_error("channel of %s and receiver %u: somebody has written "
			  "over it; what it held is given up",
		    ds, receiver);
	munmap(memory, DATA_AT);
	return whole;
}

int
channel_create(
    const char *ds, unsigned receiver, uint64_t generation, uint64_t bytes)
{
	uint64_t event_bytes = power_of_two(bytes);
	off_t total = (off_t)(DATA_AT + event_bytes + CHANNEL_ACK_BYTES);
	char *memory = MAP_FAILED;
	int fd =
	    memfd_create("tranqd-channel", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -1;
	if (ftruncate(fd, total) == 0)
		memory = mmap(
		    NULL, DATA_AT, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED) {
		close(fd);
		return -1;
	}
	init_memory(memory, ds, receiver, generation, event_bytes);
	munmap(memory, DATA_AT);
	/* a side that shrank it would kill the other by SIGBUS */
	must(fcntl(fd, F_ADD_SEALS,
		 F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0);
	return fd;
}

/* Maps `bytes` of the file from `offset` twice at `at` (address space that is
 * already ours). */
static bool
map_twice(char *at, uint64_t bytes, int fd, uint64_t offset)
{
	for (int i = 0; i < 2; i++, at += bytes)
		if (mmap(at, bytes, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_FIXED, fd,
			(off_t)offset) == MAP_FAILED)
			return false;
	return true;
}

static bool
header_valid(const struct channel_header *h, uint64_t file_bytes)
{
	/* acquire: pairs with the release in init_memory */
	if (atomic_load_explicit(&h->magic, memory_order_acquire) !=
	    CHANNEL_MAGIC)
		return false;
	return h->version == CHANNEL_VERSION &&
	    h->ack_bytes == CHANNEL_ACK_BYTES && h->event_bytes > 0 &&
	    h->event_bytes < file_bytes &&
	    DATA_AT + h->event_bytes + h->ack_bytes == file_bytes;
}

/* Reads the event ring's size out of a channel; 0 when it is none. */
static uint64_t
event_bytes_of(int fd)
{
	off_t end = lseek(fd, 0, SEEK_END);
	struct channel_header *h;
	uint64_t bytes = 0;

	if (end < (off_t)DATA_AT)
		return 0;
	h = mmap(NULL, DATA_AT, PROT_READ, MAP_SHARED, fd, 0);
	if (h == MAP_FAILED)
		return 0;
	if (header_valid(h, (uint64_t)end))
		bytes = h->event_bytes;
	munmap(h, DATA_AT);
	return bytes;
}

static bool
attach_rings(struct channel *c, uint64_t event_bytes)
{
	char *base = c->mapped, *data = base + DATA_AT;
	struct controls *controls = (void *)(base + CONTROLS_AT);

	c->header = c->mapped;
	return ring_attach(&c->events, &controls->events, data, event_bytes) &&
	    ring_attach(&c->acks, &controls->acks, data + 2 * event_bytes,
		CHANNEL_ACK_BYTES);
}

/* Our predecessor may have died between a commit or an advance and its bell:
 * the other side sleeps beside what it waits for, and if the announcement was
 * withdrawn already, no later bell would come either. */
static void
ring_both(struct channel *c)
{
	if (c->worker_bell >= 0)
		bell_ring(c->worker_bell);
	if (c->receiver_bell >= 0)
		bell_ring(c->receiver_bell);
}

bool
channel_attach(struct channel *c, int fd, int worker_bell, int receiver_bell)
{
	uint64_t events = event_bytes_of(fd);
	uint64_t acks = CHANNEL_ACK_BYTES;
	char *base;

	*c = (struct channel){ .memory_fd = fd,
		.worker_bell = worker_bell,
		.receiver_bell = receiver_bell };
	if (events == 0) {
		log_error(
		    "channel: the memory is not a channel of this version");
		return false;
	}
	c->mapped_bytes = DATA_AT + 2 * events + 2 * acks;
	base = mmap(NULL, c->mapped_bytes, PROT_NONE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED) {
		log_warn("channel: cannot map %zu bytes", c->mapped_bytes);
		return false;
	}
	c->mapped = base;
	if (mmap(base, DATA_AT, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		fd, 0) == MAP_FAILED ||
	    !map_twice(base + DATA_AT, events, fd, DATA_AT) ||
	    !map_twice(
		base + DATA_AT + 2 * events, acks, fd, DATA_AT + events)) {
		log_warn("channel: cannot map the rings");
		channel_detach(c);
		return false;
	}
	if (!attach_rings(c, events)) {
		log_error("channel %.*s: the rings are damaged",
		    CHANNEL_DS_BYTES, c->header->ds);
		channel_detach(c);
		return false;
	}
	ring_both(c);
	return true;
}

void
channel_detach(struct channel *c)
{
	if (c->mapped != NULL)
		munmap(c->mapped, c->mapped_bytes);
	c->mapped = NULL;
	c->header = NULL;
}

void
channel_ring_worker(struct channel *c)
{
	if (ring_consumer_needs_bell(&c->events))
		bell_ring(c->worker_bell);
}

void
channel_ring_receiver(struct channel *c)
{
	/* not ||: both announcements are withdrawn by one ring of the bell */
	bool acks = ring_consumer_needs_bell(&c->acks);
	bool room = ring_producer_needs_bell(&c->events);

	if (acks || room)
		bell_ring(c->receiver_bell);
}

bool
channel_ack(struct channel *c, const struct ack *ack)
{
	struct ack *to = ring_reserve(&c->acks, sizeof *to);

	if (to == NULL)
		return false;
	*to = *ack;
	ring_commit(&c->acks, sizeof *to);
	return true;
}

bool
channel_next_ack(struct channel *c, struct ack *ack)
{
	uint64_t bytes;
	const struct ack *from = ring_peek(&c->acks, &bytes);

	if (from == NULL)
		return false;
	if (bytes < sizeof *from) {
		/* no worker of ours leaves a part of one; left there, it would
		 * keep us awake for ever */
		ring_take(&c->acks, bytes);
		ring_advance(&c->acks, ring_taken(&c->acks));
		return false;
	}
	*ack = *from;
	ring_take(&c->acks, sizeof *from);
	ring_advance(&c->acks, ring_taken(&c->acks));
	return true;
}

bool
channel_receiver_may_sleep(struct channel *c, uint64_t head_seen)
{
	if (!ring_consumer_may_sleep(&c->acks))
		return false;
	if (ring_producer_may_sleep(&c->events, head_seen))
		return true;
	ring_consumer_awake(&c->acks);
	return false;
}

void
channel_receiver_awake(struct channel *c)
{
	ring_consumer_awake(&c->acks);
	ring_producer_awake(&c->events);
}

void
channel_stop(struct channel *c, bool stop)
{
	atomic_store_explicit(
	    &c->header->is_stopped, stop, memory_order_release);
	/* whoever waits is not asleep beside the ring: no announcement */
	if (!stop && c->receiver_bell >= 0)
		bell_ring(c->receiver_bell);
}

bool
channel_is_stopped(const struct channel *c)
{
	return atomic_load_explicit(
		   &c->header->is_stopped, memory_order_acquire) != 0;
}

void
channel_drain(struct channel *c, bool drain)
{
	atomic_store_explicit(
	    &c->header->is_draining, drain, memory_order_relaxed);
	/* before a look at `offering`: whoever counts himself there after that
	 * look sees the word, whoever did before it is seen */
	atomic_thread_fence(memory_order_seq_cst);
	if (c->receiver_bell >= 0) /* for who waits for room */
		bell_ring(c->receiver_bell);
}

bool
channel_is_draining(const struct channel *c)
{
	return atomic_load_explicit(
		   &c->header->is_draining, memory_order_relaxed) != 0;
}

void
channel_offers(struct channel *c, int more)
{
	uint32_t now =
	    atomic_load_explicit(&c->header->offering, memory_order_relaxed);

	/* release: who sees that none is left sees what was written */
	atomic_store_explicit(
	    &c->header->offering, now + (uint32_t)more, memory_order_release);
}

void
channel_offers_fence(void)
{
	atomic_thread_fence(memory_order_seq_cst);
}

bool
channel_is_shut(const struct channel *c)
{
	return channel_is_draining(c) &&
	    atomic_load_explicit(&c->header->offering, memory_order_acquire) ==
	    0;
}

void
channel_want_hashes(struct channel *c, bool want)
{
	atomic_store_explicit(
	    &c->header->wants_no_hashes, !want, memory_order_relaxed);
}

bool
channel_wants_hashes(const struct channel *c)
{
	return atomic_load_explicit(
		   &c->header->wants_no_hashes, memory_order_relaxed) == 0;
}

void
channel_answer_durable(struct channel *c, bool durable)
{
	atomic_store_explicit(
	    &c->header->answers_durable, durable, memory_order_relaxed);
}

bool
channel_answers_durable(const struct channel *c)
{
	return atomic_load_explicit(
		   &c->header->answers_durable, memory_order_relaxed) != 0;
}

void
channel_deliver(struct channel *c, enum delivery_mode mode)
{
	atomic_store_explicit(
	    &c->header->delivery, (uint32_t)mode, memory_order_relaxed);
}

/* Whatever a worker may have written. */
enum delivery_mode
channel_delivery(const struct channel *c)
{
	uint32_t mode =
	    atomic_load_explicit(&c->header->delivery, memory_order_relaxed);

	return mode < DELIVERY_MODES ? (enum delivery_mode)mode : DELIVERY_PUSH;
}

int
bell_new(void)
{
	return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

void
bell_ring(int bell)
{
	uint64_t one = 1;

	/* EAGAIN: the count is full, it rings anyhow */
	if (write(bell, &one, sizeof one) < 0 && errno != EAGAIN)
		log_warn("doorbell");
}

void
bell_silence(int bell)
{
	uint64_t count;

	if (read(bell, &count, sizeof count) < 0 && errno != EAGAIN)
		log_warn("doorbell");
}
