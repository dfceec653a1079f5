/*
 * keys - a request with an Idempotency-Key is stored once, and answered as it
 * was the first time
 *
 * Process: worker.
 */
#include "keys.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "clock.h"
#include "fault.h"
#include "log.h"
#include "panic.h"

#define BUCKET_BITS 12
#define BUCKETS (1u << BUCKET_BITS)
/* Acks of what others have brought: an id that no batch has, so that a
 * receiver counts them beside those of its own. */
#define OTHERS_BATCH (UINT64_C(1) << 63)
/* Rows of one batch that are looked through for the same key. */
#define LOOK_BACK 64
#define SWEEP_LEAST 16
#define COMPLAIN_MS 600000

/* What is known of a key that blocks have come of since the last commit. */
struct keys_row {
	struct keys_row *next; /* of the bucket */
	uint8_t key[EVENT_KEY_BYTES];
	bool is_changed;
	struct spool_key row;
};

/* A request whose last block has been read. */
struct verdict {
	struct keys_row *row;
	uint64_t ticket, ack_ticket;
	unsigned receiver;
	enum ack_kind kind;
};

/* What became of events of a key, of one batch. */
struct outcome {
	uint8_t key[EVENT_KEY_BYTES];
	uint64_t batch, ticket;
	uint32_t receiver, events;
	enum ack_kind kind;
	bool is_mixed; /* of several tickets */
};

/* In the spool. */
struct word {
	uint64_t generation;
	uint32_t receiver, unused;
	struct ack ack;
};

_Static_assert(sizeof(struct word) == 48, "on disk");
_Static_assert(sizeof(struct ack_key) == sizeof(struct ack), "one record");

struct keys {
	struct keys_parts p;
	struct keys_row *buckets[BUCKETS];
	uint64_t salt[2];
	unsigned row_count;
	struct verdict *verdicts;
	size_t verdict_count, verdict_size;
	struct outcome *outcomes;
	size_t outcome_count, outcome_size;
	size_t outcome_written; /* of them, in the commit that is under way */
	struct word *words; /* of the commit that is written now */
	size_t word_count, word_size;
	int64_t window_ms; /* as receivers had them last */
	uint32_t keys_max;
	struct keys_counts counts;
	int64_t complained_ms;
};

/* ---- rows ---- */

/* Salted: who writes the keys cannot have them all in one bucket. */
static struct keys_row **
bucket_of(struct keys *k, const uint8_t *key)
{
	uint64_t half[2];

	memcpy(half, key, sizeof half);
	return &k->buckets[(half[0] * k->salt[0] + half[1] * k->salt[1]) >>
	    (64 - BUCKET_BITS)];
}

static struct keys_row *
find_row(struct keys *k, const uint8_t *key)
{
	struct keys_row *r = *bucket_of(k, key);

	while (r != NULL && memcmp(r->key, key, sizeof r->key) != 0)
		r = r->next;
	return r;
}

/* Tickets of another generation are nobody's. */
static void
disown(const struct keys *k, struct spool_key *row)
{
	if (row->generation == k->p.generation)
		return;
	row->generation = k->p.generation;
	row->ticket = 0;
	row->asker_count = 0;
}

static bool
is_known(struct keys *k, const struct event_key *key, int64_t now_ms,
    struct spool_key *row)
{
	return spool_key(k->p.spool, key->key, row) &&
	    now_ms - row->came_ms < key->window_ms;
}

static struct keys_row *
have_row(struct keys *k, const struct event_key *key)
{
	struct keys_row *r = find_row(k, key->key);
	int64_t now_ms = clock_wall_ms();

	if (r != NULL)
		return r;
	r = must_calloc(1, sizeof *r);
	memcpy(r->key, key->key, sizeof r->key);
	if (!is_known(k, key, now_ms, &r->row))
		r->row =
		    (struct spool_key){ .body = key->body, .came_ms = now_ms };
	disown(k, &r->row);
	r->next = *bucket_of(k, key->key);
	*bucket_of(k, key->key) = r;
	k->row_count++;
	return r;
}

static void
forget_rows(struct keys *k)
{
	for (unsigned i = 0; i < BUCKETS && k->row_count > 0; i++) {
		struct keys_row *r;

		while ((r = k->buckets[i]) != NULL) {
			k->buckets[i] = r->next;
			k->row_count--;
			free(r);
		}
	}
	k->verdict_count = 0;
}

/* ---- blocks ---- */

void
keys_open(struct keys *k, struct keys_block *b, const struct event_block *head,
    const struct event_key *key, unsigned receiver)
{
	const struct spool_key *row;

	b->row = have_row(k, key);
	b->key = key;
	b->ticket = head->ticket;
	b->receiver = receiver;
	b->taken = b->late = 0;
	row = &b->row->row;
	b->decided = row->decided;
	b->word = ACK_KEY_FIRST;
	if (row->body != key->body)
		b->word = ACK_KEY_OTHER;
	else if (key->from > row->decided || key->to < key->from)
		b->word = ACK_KEY_AGAIN;
	k->window_ms =
	    MIN_OF(MAX_OF(key->window_ms, 0), EVENT_KEY_WINDOW_MS_MAX);
	k->keys_max = MIN_OF(key->keys_max, EVENT_KEYS_MAX);
}

static void
note_verdict(struct keys *k, const struct keys_block *b, enum ack_kind kind)
{
	if (k->verdict_count == k->verdict_size) {
		k->verdict_size = MAX_OF(k->verdict_size * 2, 64u);
		k->verdicts = must_realloc(
		    k->verdicts, k->verdict_size * sizeof k->verdicts[0]);
	}
	k->verdicts[k->verdict_count++] = (struct verdict){ .row = b->row,
		.ticket = b->key->ticket,
		.ack_ticket = b->ticket,
		.receiver = b->receiver,
		.kind = kind };
}

/* What was taken of the block, into the row. */
static void
add_taken(struct keys_block *b)
{
	struct spool_key *row = &b->row->row;

	if (row->taken == 0) {
		row->ticket = b->ticket;
		row->receiver = b->receiver;
	} else if (b->taken > 0 &&
	    (row->ticket != b->ticket || row->receiver != b->receiver)) {
		row->ticket = 0;
	}
	row->taken += b->taken;
	row->late += b->late;
	row->decided = MAX_OF(row->decided, b->key->to);
	b->row->is_changed = true;
}

/* All of the request has been decided. */
static uint32_t
complete(struct keys_block *b)
{
	struct spool_key *row = &b->row->row;
	uint64_t kept = (uint64_t)row->taken + row->late;

	row->is_complete = true;
	row->dropped = b->key->all > kept ? b->key->all - (uint32_t)kept : 0;
	return row->dropped;
}

uint32_t
keys_close(struct keys *k, struct keys_block *b, bool is_whole)
{
	struct spool_key *row = &b->row->row;
	enum ack_kind word = b->word;
	uint32_t dropped = 0;

	if (word == ACK_KEY_FIRST && !is_whole)
		word = ACK_KEY_AGAIN; /* what was taken of it comes twice */
	if (word == ACK_KEY_FIRST && row->is_complete) {
		word = ACK_KEY_REPEAT;
	} else if (word == ACK_KEY_FIRST) {
		add_taken(b);
		if (b->key->is_last)
			dropped = complete(b);
	}
	FAULT_POINT(KEY_TAKEN);
	if (b->key->is_last || word == ACK_KEY_OTHER || word == ACK_KEY_AGAIN)
		note_verdict(k, b, word);
	return dropped;
}

/* ---- what becomes of the events ---- */

static struct outcome *
same_outcome(struct keys *k, const struct batch_run *run, const struct ack *ack)
{
	size_t open = k->outcome_count - k->outcome_written;
	size_t from = k->outcome_count - MIN_OF(open, (size_t)LOOK_BACK);

	for (size_t i = k->outcome_count; i-- > from;) {
		struct outcome *o = &k->outcomes[i];

		if (o->batch != ack->batch)
			return NULL;
		if (memcmp(o->key, run->key, sizeof o->key) == 0 &&
		    o->kind == (enum ack_kind)ack->kind)
			return o;
	}
	return NULL;
}

static void
take_outcome(void *context, const struct batch_run *run, const struct ack *ack)
{
	struct keys *k = context;
	struct outcome *o = same_outcome(k, run, ack);

	if (o != NULL) {
		o->is_mixed |=
		    o->ticket != run->ticket || o->receiver != run->receiver;
		o->events += ack->events;
		return;
	}
	if (k->outcome_count == k->outcome_size) {
		k->outcome_size = MAX_OF(k->outcome_size * 2, 64u);
		k->outcomes = must_realloc(
		    k->outcomes, k->outcome_size * sizeof k->outcomes[0]);
	}
	o = &k->outcomes[k->outcome_count++];
	*o = (struct outcome){ .batch = ack->batch,
		.ticket = run->ticket,
		.receiver = run->receiver,
		.events = ack->events,
		.kind = (enum ack_kind)ack->kind };
	memcpy(o->key, run->key, sizeof o->key);
}

/* False: it has been counted before. */
static bool
count_outcome(struct spool_key *row, const struct outcome *o)
{
	uint32_t left = row->taken - MIN_OF(row->taken, row->sent + row->dead);
	uint32_t events = MIN_OF(o->events, left);

	for (uint32_t i = 0; i < row->batch_count; i++)
		if (row->batches[i] == o->batch)
			return false;
	if (row->batch_count < SPOOL_KEY_BATCHES)
		row->batches[row->batch_count++] = o->batch;
	if (o->kind == ACK_SENT)
		row->sent += events;
	else
		row->dead += events;
	return true;
}

/* Nothing more will become of the events. */
static bool
is_settled(const struct spool_key *row)
{
	return row->is_complete &&
	    (uint64_t)row->sent + row->dead >= row->taken;
}

static void
settle(struct spool_key *row)
{
	if (is_settled(row))
		row->asker_count = row->batch_count = 0;
}

static struct ack *
add_word(struct keys *k, unsigned receiver)
{
	struct word *w;

	if (k->word_count == k->word_size) {
		k->word_size = MAX_OF(k->word_size * 2, 64u);
		k->words =
		    must_realloc(k->words, k->word_size * sizeof k->words[0]);
	}
	w = &k->words[k->word_count++];
	*w = (struct word){ .generation = k->p.generation,
		.receiver = receiver };
	return &w->ack;
}

static void
tell_askers(
    struct keys *k, const struct spool_key *row, const struct outcome *o)
{
	for (uint32_t i = 0; i < row->asker_count; i++) {
		const struct spool_asker *a = &row->askers[i];

		if (a->ticket != o->ticket || a->receiver != o->receiver ||
		    o->is_mixed)
			*add_word(k, a->receiver) =
			    (struct ack){ .ticket = a->ticket,
				    .batch = o->batch | OTHERS_BATCH,
				    .events = o->events,
				    .kind = o->kind };
	}
}

/* The row in memory, if there is one, has what the spool's has, and what has
 * come since. */
static void
store_outcome(struct keys *k, const struct outcome *o, bool has_rings)
{
	struct keys_row *r = find_row(k, o->key);
	struct spool_key row;

	if (r != NULL && count_outcome(&r->row, o)) {
		tell_askers(k, &r->row, o);
		r->is_changed |= has_rings;
		settle(&r->row);
	}
	if ((r != NULL && has_rings) ||
	    !spool_key_now(k->p.spool, o->key, &row))
		return;
	disown(k, &row);
	if (!count_outcome(&row, o))
		return;
	if (r == NULL)
		tell_askers(k, &row, o);
	settle(&row);
	spool_set_key(k->p.spool, o->key, &row);
}

/* ---- what is told ---- */

/* The oldest of too many is told that nothing more will be told. */
static void
ask(struct keys *k, struct spool_key *row, const struct verdict *v)
{
	struct spool_asker *a = row->askers;

	if (row->asker_count == SPOOL_KEY_ASKERS) {
		struct ack_key enough = { .ticket = a->ticket,
			.kind = ACK_KEY_ENOUGH };

		memcpy(add_word(k, a->receiver), &enough, sizeof enough);
		memmove(a, a + 1, (SPOOL_KEY_ASKERS - 1) * sizeof *a);
		row->asker_count--;
	}
	a[row->asker_count++] = (struct spool_asker){ .ticket = v->ack_ticket,
		.receiver = v->receiver };
}

static void
tell(struct keys *k, const struct verdict *v)
{
	struct spool_key *row = &v->row->row;
	struct ack_key word = { .ticket = v->ticket, .kind = v->kind };

	if (v->kind == ACK_KEY_FIRST || v->kind == ACK_KEY_REPEAT) {
		word.sent = row->sent;
		word.dead = row->dead;
		word.events = row->taken;
		word.late = row->late;
		word.dropped = row->dropped;
		if (v->ack_ticket != 0 && !is_settled(row) &&
		    (row->ticket != v->ack_ticket ||
			row->receiver != v->receiver)) {
			ask(k, row, v);
			v->row->is_changed = true;
		}
	}
	memcpy(add_word(k, v->receiver), &word, sizeof word);
}

static void
complain(struct keys *k, unsigned early)
{
	k->counts.forgotten += early;
	if (early > 0 && log_may_repeat(&k->complained_ms, COMPLAIN_MS))
		log_warnx("there are more than http.idempotencyKeys (%u) keys: "
			  "the oldest are forgotten before "
			  "http.idempotencyWindow is over; raise the one or "
			  "shorten the other",
		    k->keys_max);
}

/* More go than come, so that the sweep keeps up. */
static void
store_rows(struct keys *k, const struct keys_commit *c)
{
	unsigned changed = 0, early;

	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct keys_row *r = k->buckets[i]; r != NULL;
		     r = r->next) {
			if (!r->is_changed)
				continue;
			settle(&r->row);
			spool_set_key(k->p.spool, r->key, &r->row);
			changed++;
		}
	if (changed == 0)
		return;
	early = spool_forget_keys(k->p.spool, c->now_ms - k->window_ms,
	    k->keys_max, 2 * changed + SWEEP_LEAST);
	complain(k, early);
	FAULT_POINT(KEY_STORED);
}

/* Druid has what is in the spool, as far as clients are concerned. */
static void
settle_rows(struct keys *k)
{
	for (size_t i = 0; i < k->verdict_count; i++) {
		struct spool_key *row = &k->verdicts[i].row->row;

		if (!row->is_complete || is_settled(row))
			continue;
		row->sent = row->taken - row->dead;
		k->verdicts[i].row->is_changed = true;
	}
}

void
keys_write(struct keys *k, const struct keys_commit *c)
{
	k->word_count = 0;
	k->outcome_written = k->outcome_count;
	for (size_t i = 0; i < k->outcome_count; i++)
		store_outcome(k, &k->outcomes[i], c->has_rings);
	if (k->outcome_count > 0)
		FAULT_POINT(KEY_OUTCOME);
	if (c->has_rings && k->row_count > 0) {
		if (c->answers_durable)
			settle_rows(k);
		for (size_t i = 0; i < k->verdict_count; i++)
			tell(k, &k->verdicts[i]);
		store_rows(k, c);
	}
	if (k->word_count > 0)
		spool_set_key_words(
		    k->p.spool, k->words, k->word_count * sizeof k->words[0]);
}

static void
tell_words(struct keys *k, const struct word *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (words[i].generation == k->p.generation)
			acks_tell(k->p.acks, words[i].receiver, &words[i].ack);
}

void
keys_written(struct keys *k, const struct keys_commit *c)
{
	if (k->word_count > 0) {
		FAULT_POINT(KEY_TELL);
		tell_words(k, k->words, k->word_count);
		FAULT_POINT(KEY_TOLD);
	}
	k->word_count = 0;
	/* some may have come since, from who heard of the commit first */
	k->outcome_count -= k->outcome_written;
	if (k->outcome_count > 0)
		memmove(k->outcomes, k->outcomes + k->outcome_written,
		    k->outcome_count * sizeof k->outcomes[0]);
	k->outcome_written = 0;
	if (!c->has_rings || k->row_count == 0)
		return;
	for (size_t i = 0; i < k->verdict_count; i++) {
		k->counts.repeats += k->verdicts[i].kind == ACK_KEY_REPEAT;
		k->counts.others += k->verdicts[i].kind == ACK_KEY_OTHER;
	}
	forget_rows(k);
}

bool
keys_want_commit(const struct keys *k)
{
	return k->outcome_count > 0;
}

struct keys_counts
keys_counts(const struct keys *k)
{
	return k->counts;
}

/* ---- life ---- */

struct keys *
keys_new(const struct keys_parts *parts)
{
	struct keys *k = must_calloc(1, sizeof *k);
	struct word *words;
	size_t bytes = 0;

	k->p = *parts;
	k->keys_max = EVENT_KEYS_MAX;
	must(getrandom(k->salt, sizeof k->salt, 0) == sizeof k->salt);
	k->salt[0] |= 1;
	k->salt[1] |= 1;
	acks_watch_keys(parts->acks, take_outcome, k);
	words = spool_key_words(parts->spool, &bytes);
	tell_words(k, words, bytes / sizeof words[0]);
	free(words);
	return k;
}

void
keys_free(struct keys **keys)
{
	struct keys *k = *keys;

	if (k == NULL)
		return;
	*keys = NULL;
	forget_rows(k);
	acks_watch_keys(k->p.acks, NULL, NULL);
	free(k->verdicts);
	free(k->outcomes);
	free(k->words);
	free(k);
}

void
keys_resume(struct keys *k)
{
	forget_rows(k);
}
