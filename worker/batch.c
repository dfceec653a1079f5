/*
 * batch - events of one interval and partition that are sent together
 *
 * Process: worker.
 */
#include "batch.h"

#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "ndjson.h"
#include "panic.h"

#define BATCH_MAGIC 0x68637462u /* "btch" */
#define BATCH_VERSION 1
#define CRC_FROM 8 /* the checksum covers all behind itself */
#define FIRST_BYTES (16u * KiB)

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the spool's format is written for little-endian machines"
#endif

_Static_assert(sizeof(struct batch_header) == 80, "on disk");
_Static_assert(sizeof(struct batch_ticket) == 16, "on disk");
_Static_assert(
    sizeof(struct batch_ticket) == EVENT_KEY_BYTES, "in a row's place");
_Static_assert(sizeof(struct batch_chunk) == 16, "on disk");

struct batch *
batch_new(
    struct interval interval, unsigned partition, unsigned chunk_events_max)
{
	struct batch *b = must_calloc(1, sizeof *b);

	b->interval = interval;
	b->partition = partition;
	b->chunk_events_max = chunk_events_max;
	b->chunk_bytes_max = BATCH_CHUNK_BYTES_MAX;
	b->size = FIRST_BYTES;
	b->value = must_malloc(b->size);
	b->used = b->chunk_start = sizeof(struct batch_header);
	return b;
}

struct batch *
batch_new_records(struct interval interval, unsigned partition)
{
	struct batch *b = must_calloc(1, sizeof *b);

	b->interval = interval;
	b->partition = partition;
	b->records = must_malloc(sizeof *b->records);
	record_batch_init(b->records);
	return b;
}

void
batch_free(struct batch **batch)
{
	struct batch *b = *batch;

	if (b == NULL)
		return;
	*batch = NULL;
	if (b->records != NULL)
		record_batch_free(b->records);
	free(b->records);
	free(b->value);
	free(b->tickets);
	free(b->chunks);
	free(b);
}

static void
need(struct batch *b, size_t more)
{
	if (b->used + more <= b->size)
		return;
	b->size = MAX_OF(b->size * 2, b->used + more);
	b->value = must_realloc(b->value, b->size);
}

static void
put_ticket(struct batch *b, const void *ticket)
{
	if (b->ticket_count == b->ticket_size) {
		b->ticket_size = MAX_OF(b->ticket_size * 2, 8u);
		b->tickets = must_realloc(
		    b->tickets, b->ticket_size * sizeof b->tickets[0]);
	}
	memcpy(&b->tickets[b->ticket_count++], ticket, sizeof b->tickets[0]);
}

static void
count_ticket(struct batch *b, const struct batch_run *run)
{
	struct batch_ticket *last =
	    b->ticket_count > 0 ? &b->tickets[b->last_run] : NULL;
	struct batch_ticket t = { .ticket = run->ticket,
		.receiver =
		    run->receiver | (run->key != NULL ? BATCH_KEYED : 0),
		.events = run->events };

	if (last != NULL && last->ticket == t.ticket &&
	    last->receiver == t.receiver &&
	    (run->key == NULL ||
		memcmp(last + 1, run->key, EVENT_KEY_BYTES) == 0)) {
		last->events += t.events;
		return;
	}
	b->last_run = b->ticket_count;
	put_ticket(b, &t);
	if (run->key != NULL)
		put_ticket(b, run->key);
}

/* Once somebody waits, all runs are noted, the others as ticket 0: a refused
 * event's place tells whose it is. */
static void
count_run(struct batch *b, const struct batch_run *run)
{
	if (b->records != NULL ||
	    (run->ticket == 0 && run->key == NULL && b->ticket_count == 0))
		return;
	if (b->ticket_count == 0 && b->events > 1)
		count_ticket(b, &(struct batch_run){ .events = b->events - 1 });
	count_ticket(b, run);
}

static void
end_chunk(struct batch *b)
{
	struct batch_chunk *c;

	if (b->chunk_count == b->chunk_size) {
		b->chunk_size = MAX_OF(b->chunk_size * 2, 4u);
		b->chunks = must_realloc(
		    b->chunks, b->chunk_size * sizeof b->chunks[0]);
	}
	need(b, 1);
	b->value[b->used++] = ']';
	c = &b->chunks[b->chunk_count++];
	c->offset = (uint32_t)(b->chunk_start - sizeof(struct batch_header));
	c->bytes = (uint32_t)(b->used - b->chunk_start);
	c->first = b->chunk_first;
	c->events = b->events - b->chunk_first;
	b->chunk_start = b->used;
	b->chunk_first = b->events;
}

static void
add(struct batch *b, const struct event *e, const char *text)
{
	size_t in_chunk = b->used - b->chunk_start;

	if (b->records != NULL) {
		record_batch_add(b->records, e->timestamp_ms, text, e->bytes);
		b->events++;
		return;
	}
	if (in_chunk > 0 &&
	    (b->events - b->chunk_first >= b->chunk_events_max ||
		in_chunk + e->bytes + 2 > b->chunk_bytes_max)) {
		end_chunk(b);
		in_chunk = 0;
	}
	need(b, (size_t)e->bytes + 1);
	b->value[b->used++] = in_chunk == 0 ? '[' : ',';
	memcpy(b->value + b->used, text, e->bytes);
	b->used += e->bytes;
	b->events++;
}

void
batch_add(struct batch *b, const struct event *e, const char *text,
    uint64_t ticket, unsigned receiver)
{
	struct batch_run run = { .ticket = ticket,
		.receiver = ticket == 0 ? 0 : receiver,
		.events = 1 };

	add(b, e, text);
	count_run(b, &run);
}

void
batch_add_keyed(struct batch *b, const struct event *e, const char *text,
    const struct batch_run *run)
{
	add(b, e, text);
	count_run(b, run);
}

size_t
batch_bytes(const struct batch *b)
{
	return b->records != NULL ? record_batch_bytes(b->records) : b->used;
}

static void
append(struct batch *b, const void *from, size_t bytes)
{
	need(b, bytes);
	if (bytes > 0)
		memcpy(b->value + b->used, from, bytes);
	b->used += bytes;
}

/* What stands behind the body, and the header. */
static char *
finish(struct batch **batch, const struct batch_seal *seal, size_t *bytes)
{
	static const char zeros[8];
	struct batch *b = *batch;
	struct batch_header h = { .magic = BATCH_MAGIC,
		.version = BATCH_VERSION,
		.header_bytes = sizeof h,
		.id = seal->id,
		.generation = seal->generation,
		.start = b->interval.start,
		.end = b->interval.end,
		.sealed_ms = seal->now_ms,
		.partition = b->partition,
		.lane = seal->lane,
		.events = b->events,
		.ticket_count = b->ticket_count };
	char *value;

	h.chunk_count = b->chunk_count;
	h.body_bytes = (uint32_t)(b->used - sizeof h);
	append(b, zeros, (8 - b->used % 8) % 8);
	append(b, b->tickets, b->ticket_count * sizeof b->tickets[0]);
	append(b, b->chunks, b->chunk_count * sizeof b->chunks[0]);
	memcpy(b->value, &h, sizeof h);
	h.crc = checksum_crc32c(0, b->value + CRC_FROM, b->used - CRC_FROM);
	memcpy(b->value, &h, sizeof h);
	*bytes = b->used;
	/* it waits in memory by its length, which is what is counted */
	value = must_realloc(b->value, b->used);
	b->value = NULL;
	batch_free(batch);
	return value;
}

char *
batch_seal(struct batch **batch, const struct batch_seal *seal, size_t *bytes)
{
	must((*batch)->events > 0 && (*batch)->records == NULL);
	end_chunk(*batch);
	return finish(batch, seal, bytes);
}

char *
batch_move(const struct batch_view *v, const struct batch_seal *seal,
    struct interval interval, unsigned partition, unsigned first_chunk,
    size_t *bytes)
{
	const struct batch_chunk *first = &v->chunks[first_chunk];
	struct batch *b =
	    batch_new(interval, partition, v->header->events /* not used */);

	must(first_chunk < v->header->chunk_count);
	b->events = v->header->events - first->first;
	append(
	    b, v->body + first->offset, v->header->body_bytes - first->offset);
	b->ticket_count = v->header->ticket_count;
	b->tickets = must_calloc(b->ticket_count, sizeof b->tickets[0]);
	memcpy(b->tickets, v->tickets, b->ticket_count * sizeof b->tickets[0]);
	b->chunk_count = v->header->chunk_count - first_chunk;
	b->chunks = must_calloc(b->chunk_count, sizeof b->chunks[0]);
	for (unsigned i = 0; i < b->chunk_count; i++) {
		b->chunks[i] = first[i];
		b->chunks[i].offset -= first->offset;
		b->chunks[i].first -= first->first;
	}
	return finish(&b, seal, bytes);
}

static void
pick(struct batch *b, const char *text, size_t bytes)
{
	struct event e = { .bytes = (uint32_t)bytes & EVENT_BYTES_MAX };

	batch_add(b, &e, text, 0, 0);
}

static struct batch *
same_place(const struct batch_view *v, unsigned partition)
{
	struct batch *b =
	    batch_new((struct interval){ v->header->start, v->header->end },
		partition, 1);

	/* chunks as long as the longest */
	b->chunk_bytes_max = 0;
	for (unsigned i = 0; i < v->header->chunk_count; i++) {
		b->chunk_events_max =
		    MAX_OF(b->chunk_events_max, v->chunks[i].events);
		b->chunk_bytes_max =
		    MAX_OF(b->chunk_bytes_max, v->chunks[i].bytes);
	}
	return b;
}

char *
batch_pick(const struct batch_view *v, const struct batch_seal *seal,
    unsigned event, size_t *bytes)
{
	const char *at = v->body, *end = at + v->header->body_bytes, *text;
	struct batch *b;
	size_t length;

	do {
		if ((text = ndjson_next(&at, end, &length)) == NULL)
			return NULL;
	} while (event-- > 0);
	b = same_place(v, v->header->partition);
	pick(b, text, length);
	return batch_seal(&b, seal, bytes);
}

char *
batch_without(const struct batch_view *v, const struct batch_seal *seal,
    unsigned partition, const unsigned *events, unsigned count, size_t *bytes)
{
	const char *at = v->body, *end = at + v->header->body_bytes, *text;
	struct batch *b = same_place(v, partition);
	unsigned i = 0, next = 0;
	size_t length;

	for (; (text = ndjson_next(&at, end, &length)) != NULL; i++)
		if (next < count && events[next] == i)
			next++;
		else
			pick(b, text, length);
	return batch_seal(&b, seal, bytes);
}

static bool
take_apart(const char *value, size_t bytes, struct batch_view *v)
{
	const struct batch_header *h = (const void *)value;
	size_t at;

	if (bytes < sizeof *h || h->magic != BATCH_MAGIC ||
	    h->version != BATCH_VERSION || h->header_bytes != sizeof *h)
		return false;
	at = sizeof *h + h->body_bytes;
	at += (8 - at % 8) % 8;
	if (bytes !=
	    at + h->ticket_count * sizeof v->tickets[0] +
		h->chunk_count * sizeof v->chunks[0])
		return false;
	v->header = h;
	v->body = value + sizeof *h;
	v->tickets = (const void *)(value + at);
	v->chunks = (const void *)(v->tickets + h->ticket_count);
	return true;
}

/* The chunks are the body and the events, one behind the other. A checksum that
 * is right says only that the value is as it was written. */
static bool
is_whole(const struct batch_view *v)
{
	uint64_t bytes = 0, events = 0;

	for (uint32_t i = 0; i < v->header->chunk_count; i++) {
		const struct batch_chunk *c = &v->chunks[i];

		if (c->offset != bytes || c->first != events)
			return false;
		bytes += c->bytes;
		events += c->events;
	}
	return events > 0 && events == v->header->events &&
	    bytes == v->header->body_bytes;
}

bool
batch_view(const char *value, size_t bytes, struct batch_view *v)
{
	return take_apart(value, bytes, v) &&
	    v->header->crc ==
	    checksum_crc32c(0, value + CRC_FROM, bytes - CRC_FROM) &&
	    is_whole(v);
}

void
batch_view_own(const char *value, size_t bytes, struct batch_view *v)
{
	must(take_apart(value, bytes, v));
}

bool
batch_next_run(const struct batch_view *v, unsigned *at, struct batch_run *run)
{
	const struct batch_ticket *t = &v->tickets[*at];
	unsigned left = v->header->ticket_count - *at;
	bool is_keyed;

	if (left == 0)
		return false;
	is_keyed = (t->receiver & BATCH_KEYED) != 0 && left > 1;
	*run = (struct batch_run){ .ticket = t->ticket,
		.receiver = t->receiver & ~BATCH_KEYED,
		.events = t->events,
		.key = is_keyed ? (const uint8_t *)(t + 1) : NULL };
	*at += is_keyed ? 2 : 1;
	return true;
}
