/*
 * hand - what a worker has in hand, and how often it has died of it
 *
 * Process: worker and supervisor.
 */
#include "hand.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

/* ---- worker ---- */

void
hand_take(struct hand *h, const struct hand_item *item, int64_t now_ms)
{
	if (h == NULL)
		return;
	/* release: who dies in the middle has nothing in hand */
	atomic_store_explicit(&h->kind, HAND_NOTHING, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	h->now = *item;
	h->since_ms = now_ms;
	atomic_store_explicit(&h->commits, 0, memory_order_relaxed);
	/* release: whoever sees the kind sees the item */
	atomic_store_explicit(&h->kind, item->kind, memory_order_release);
}

void
hand_event(struct hand *h, uint32_t event)
{
	if (h == NULL)
		return;
	h->now.event = event;
	/* the compiler must not keep it back from what the event does to us */
	atomic_signal_fence(memory_order_seq_cst);
}

void
hand_commits(struct hand *h)
{
	if (h == NULL)
		return;
	hand_event(h, HAND_WHOLE);
	atomic_store_explicit(&h->commits, 1, memory_order_relaxed);
}

static bool
is_same(const struct hand_item *a, const struct hand_item *b)
{
	return a->kind == b->kind && a->part == b->part &&
	    a->generation == b->generation && a->key == b->key &&
	    a->event == b->event;
}

void
hand_drop(struct hand *h)
{
	if (h == NULL)
		return;
	atomic_store_explicit(&h->kind, HAND_NOTHING, memory_order_release);
	if (h->deaths > 0 && h->suspect.kind == HAND_BATCH &&
	    is_same(&h->suspect, &h->now))
		h->deaths = 0;
}

static void
take_off(struct hand *h, uint32_t i)
{
	h->condemned[i] = h->condemned[--h->condemned_count];
}

static bool
is_behind(const struct hand_item *i, uint32_t receiver, uint64_t position)
{
	return i->kind == HAND_BLOCK && i->part == receiver &&
	    (int64_t)(position - i->key) > 0;
}

void
hand_passed(struct hand *h, uint32_t receiver, uint64_t position)
{
	if (h == NULL)
		return;
	if (h->deaths > 0 && is_behind(&h->suspect, receiver, position))
		h->deaths = 0;
	for (uint32_t i = h->condemned_count; i-- > 0;)
		if (is_behind(&h->condemned[i], receiver, position))
			take_off(h, i);
}

void
hand_settled(struct hand *h, const struct hand_item *item)
{
	for (uint32_t i = h->condemned_count; i-- > 0;)
		if (is_same(&h->condemned[i], item))
			take_off(h, i);
}

bool
hand_is_careful(const struct hand *h)
{
	return h != NULL && h->deaths > 0 && h->suspect.kind == HAND_BLOCK;
}

const struct hand_item *
hand_condemned(const struct hand *h, const struct hand_item *item)
{
	for (uint32_t i = 0; h != NULL && i < h->condemned_count; i++)
		if (is_same(&h->condemned[i], item))
			return &h->condemned[i];
	return NULL;
}

/* ---- supervisor ---- */

/* Whether it died of what it did, as far as that can be told. */
static bool
is_own_doing(const struct hand *h, int status, bool hung, int64_t now_ms)
{
	bool commits =
	    atomic_load_explicit(&h->commits, memory_order_relaxed) != 0;

	if (hung)
		return !commits;
	if (status == -1 || !WIFSIGNALED(status))
		return false;
	switch (WTERMSIG(status)) {
	case SIGSEGV:
	case SIGILL:
	case SIGFPE:
	case SIGABRT:
	case SIGSYS:
	case SIGTRAP: return true;
	case SIGBUS: return !commits;
	case SIGKILL: return now_ms - h->since_ms >= HAND_SLOW_MS && !commits;
	default: return false;
	}
}

/* A block with many such events is set aside as a whole. */
static void
condemn(struct hand *h)
{
	uint32_t of_block = 0;

	h->deaths = 0;
	for (uint32_t i = h->condemned_count; i-- > 0;)
		of_block += h->condemned[i].kind == h->suspect.kind &&
		    h->condemned[i].part == h->suspect.part &&
		    h->condemned[i].key == h->suspect.key;
	if (h->suspect.kind == HAND_BLOCK && of_block + 1 >= HAND_BLOCK_MAX)
		h->suspect.event = HAND_WHOLE;
	if (h->condemned_count < HAND_CONDEMNED_MAX)
		h->condemned[h->condemned_count++] = h->suspect;
}

/* The worker may have written anything there before it died. */
static void
make_sane(struct hand *h)
{
	if (h->condemned_count > HAND_CONDEMNED_MAX)
		h->condemned_count = 0;
	if (h->deaths > HAND_DEATHS)
		h->deaths = 0;
}

void
hand_died(struct hand *h, int status, bool hung, int64_t now_ms)
{
	/* acquire: pairs with the release in hand_take */
	uint32_t kind = atomic_load_explicit(&h->kind, memory_order_acquire);

	atomic_store_explicit(&h->kind, HAND_NOTHING, memory_order_relaxed);
	make_sane(h);
	if (kind == HAND_NOTHING || !is_own_doing(h, status, hung, now_ms))
		return;
	if (h->deaths == 0 || !is_same(&h->suspect, &h->now)) {
		h->suspect = h->now;
		h->deaths = 0;
	}
	h->suspect.signal = hung ? 0 : WTERMSIG(status);
	if (++h->deaths >= HAND_DEATHS)
		condemn(h);
}
