/*
 * ring - lock-free byte queue in shared memory, one producer, one consumer
 *
 * Process: receiver and worker.
 */
#include "ring.h"

#include "panic.h"

#define RING_MAGIC UINT64_C(0x31676e6972717274) /* "trqring1" */
#define RING_VERSION 1

void
ring_init(struct ring_control *c, uint64_t size)
{
	uint64_t start = 0 - size / 2;

	must(size > 0 && (size & (size - 1)) == 0);
	c->version = RING_VERSION;
	c->size = size;
	atomic_init(&c->tail, start);
	atomic_init(&c->head, start);
	atomic_init(&c->producer_sleeps, 0);
	atomic_init(&c->consumer_sleeps, 0);
	/* release: whoever sees the magic sees the fields above */
	atomic_store_explicit(&c->magic, RING_MAGIC, memory_order_release);
}

bool
ring_mend(struct ring_control *c, uint64_t size)
{
	uint64_t head = atomic_load_explicit(&c->head, memory_order_acquire);
	uint64_t tail = atomic_load_explicit(&c->tail, memory_order_acquire);
	bool is_whole = c->version == RING_VERSION && c->size == size &&
	    atomic_load_explicit(&c->magic, memory_order_acquire) == RING_MAGIC;

	if (tail - head > size || (tail | head) % RING_ALIGN != 0) {
		tail -= tail % RING_ALIGN;
		atomic_store_explicit(&c->tail, tail, memory_order_release);
		atomic_store_explicit(&c->head, tail, memory_order_release);
		is_whole = false;
	}
	c->version = RING_VERSION;
	c->size = size;
	atomic_store_explicit(&c->magic, RING_MAGIC, memory_order_release);
	return is_whole;
}

bool
ring_attach(struct ring *r, struct ring_control *c, char *data, uint64_t size)
{
	uint64_t head, tail;

	/* acquire: pairs with the release in ring_init */
	if (atomic_load_explicit(&c->magic, memory_order_acquire) != RING_MAGIC)
		return false;
	if (c->version != RING_VERSION || c->size != size)
		return false;
	head = atomic_load_explicit(&c->head, memory_order_acquire);
	tail = atomic_load_explicit(&c->tail, memory_order_acquire);
	if (tail - head > size || (tail | head) % RING_ALIGN != 0)
		return false;
	*r = (struct ring){ .control = c,
		.data = data,
		.size = size,
		.tail = tail,
		.head = head,
		.taken = head,
		.seen = tail };
	return true;
}

uint64_t
ring_head(struct ring *r)
{
	/* acquire: the consumer's reads of the bytes it gives back are over
	 * before we write there */
	uint64_t head =
	    atomic_load_explicit(&r->control->head, memory_order_acquire);

	/* a consumer that writes nonsense must not make us overwrite */
	if (r->tail - head <= r->tail - r->head)
		r->head = head;
	return r->head;
}

uint64_t
ring_tail(const struct ring *r)
{
	return r->tail;
}

uint64_t
ring_free_bytes(struct ring *r)
{
	return r->size - (r->tail - ring_head(r));
}

void *
ring_reserve(struct ring *r, uint64_t bytes)
{
	must(bytes > 0 && bytes % RING_ALIGN == 0 && bytes <= r->size);
	if (r->size - (r->tail - r->head) < bytes && ring_free_bytes(r) < bytes)
		return NULL;
	return r->data + (r->tail & (r->size - 1));
}

void
ring_commit(struct ring *r, uint64_t bytes)
{
	must(r->size - (r->tail - r->head) >= bytes);
	r->tail += bytes;
	/* release: the record is complete before it can be seen */
	atomic_store_explicit(&r->control->tail, r->tail, memory_order_release);
}

static uint64_t
look_for_records(struct ring *r)
{
	/* acquire: pairs with the release in ring_commit */
	uint64_t tail =
	    atomic_load_explicit(&r->control->tail, memory_order_acquire);

	/* a producer that writes nonsense must not make us read beyond */
	if (tail - r->taken <= r->size && tail % RING_ALIGN == 0)
		r->seen = tail;
	return r->seen;
}

const void *
ring_peek(struct ring *r, uint64_t *bytes)
{
	if (r->seen == r->taken && look_for_records(r) == r->taken)
		return NULL;
	*bytes = r->seen - r->taken;
	return r->data + (r->taken & (r->size - 1));
}

void
ring_take(struct ring *r, uint64_t bytes)
{
	must(bytes <= r->seen - r->taken);
	r->taken += bytes;
}

uint64_t
ring_taken(const struct ring *r)
{
	return r->taken;
}

const void *
ring_at(const struct ring *r, uint64_t position)
{
	return r->data + (position & (r->size - 1));
}

void
ring_advance(struct ring *r, uint64_t position)
{
	/* forward only, and not beyond what was read */
	must(position - r->head <= r->taken - r->head);
	r->head = position;
	/* release: our reads of those bytes are over before they are free */
	atomic_store_explicit(
	    &r->control->head, position, memory_order_release);
}

bool
ring_resume(struct ring *r, uint64_t position)
{
	uint64_t head =
	    atomic_load_explicit(&r->control->head, memory_order_acquire);
	uint64_t tail = look_for_records(r);

	if (tail - position > tail - head || position % RING_ALIGN != 0)
		return false;
	r->taken = position;
	r->head = head;
	ring_advance(r, position);
	return true;
}

void
ring_skip(struct ring *r)
{
	uint64_t tail =
	    atomic_load_explicit(&r->control->tail, memory_order_acquire);

	r->head = r->taken = r->seen = tail & ~(uint64_t)(RING_ALIGN - 1);
	ring_advance(r, r->taken);
}

bool
ring_consumer_may_sleep(struct ring *r)
{
	if (look_for_records(r) != r->taken)
		return false;
	atomic_store_explicit(
	    &r->control->consumer_sleeps, 1, memory_order_relaxed);
	/* full: our announcement is out before we look again; pairs with the
	 * fence in ring_consumer_needs_bell, so one of the two sees the other */
	atomic_thread_fence(memory_order_seq_cst);
	if (look_for_records(r) == r->taken)
		return true;
	ring_consumer_awake(r);
	return false;
}

void
ring_consumer_awake(struct ring *r)
{
	atomic_store_explicit(
	    &r->control->consumer_sleeps, 0, memory_order_relaxed);
}

bool
ring_consumer_needs_bell(struct ring *r)
{
	/* full: our commit is out before we look at the announcement */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(
		&r->control->consumer_sleeps, memory_order_relaxed) == 0)
		return false;
	return atomic_exchange_explicit(
		   &r->control->consumer_sleeps, 0, memory_order_relaxed) != 0;
}

bool
ring_producer_may_sleep(struct ring *r, uint64_t head_seen)
{
	if (ring_head(r) != head_seen)
		return false;
	atomic_store_explicit(
	    &r->control->producer_sleeps, 1, memory_order_relaxed);
	/* full: announced before we look again; pairs with the fence in
	 * ring_producer_needs_bell */
	atomic_thread_fence(memory_order_seq_cst);
	if (ring_head(r) == head_seen)
		return true;
	ring_producer_awake(r);
	return false;
}

void
ring_producer_awake(struct ring *r)
{
	atomic_store_explicit(
	    &r->control->producer_sleeps, 0, memory_order_relaxed);
}

bool
ring_producer_needs_bell(struct ring *r)
{
	/* full: our advance is out before we look at the announcement */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(
		&r->control->producer_sleeps, memory_order_relaxed) == 0)
		return false;
	return atomic_exchange_explicit(
		   &r->control->producer_sleeps, 0, memory_order_relaxed) != 0;
}
