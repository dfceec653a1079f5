/*
 * load_body - whole requests, made before the clock starts
 *
 * Process: tranq-load.
 */
#include "load_body.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "iso.h"
#include "json_scan.h"
#include "load_gzip.h"
#include "panic.h"

#define EVENTS_MIN 2048 /* different ones in all templates */
#define TEMPLATES_BYTES_MAX (1024u * MiB)
#define PREPARED_BYTES_MAX (128u * MiB)

struct slot {
	uint32_t id_at, time_at;
	int64_t age_ms;
};

struct template
{
	struct buf bytes; /* head and body */
	size_t head_bytes;
	size_t
	    key_at; /* the request's number in its Idempotency-Key; 0: none */
	struct slot *slots;
	uint64_t count;
	int64_t base_ms; /* that its times count from; 0: none written */
};

struct packed {
	char *bytes;
	size_t count;
};

struct load_body {
	const struct load_options *options;
	const struct load_ledger *ledger;
	struct template *templates;
	uint64_t template_count; /* a multiple of ds_count */
	struct template tail; /* of the last request, when it is shorter */
	struct packed *prepared;
	uint64_t prepared_count;
	char *scratch;
	size_t scratch_bytes;
};

size_t
load_body_corpus_count(uint64_t batch)
{
	return (size_t)MAX_OF(batch, EVENTS_MIN);
}

static void
add_event(struct load_body *b, struct template *t, uint64_t number,
    const struct corpus_event *e)
{
	struct slot *slot = &t->slots[t->count++];

	buf_addf(&t->bytes, "{\"id\":\"%s-", b->ledger->run);
	slot->id_at = (uint32_t)t->bytes.used;
	buf_addf(&t->bytes, "%0*d\",", LEDGER_DIGITS, 0);
	if (b->options->is_mixed)
		buf_addf(&t->bytes, "\"dataSource\":\"%s\",",
		    b->ledger->ds[load_ledger_ds_of(b->ledger, number)]);
	slot->time_at = (uint32_t)t->bytes.used + e->time_at;
	slot->age_ms = e->age_ms;
	buf_add(&t->bytes, e->text, e->bytes);
	buf_add_text(&t->bytes, "}");
}

static void
free_template(struct template *t)
{
	buf_free(&t->bytes);
	free(t->slots);
}

/* Everything before Content-Length. */
static void
add_head(struct load_body *b, struct template *t, uint64_t number)
{
	const struct load_ledger *l = b->ledger;

	buf_addf(&t->bytes,
	    "POST /v1/post%s%s%s HTTP/1.1\r\nHost: %s\r\n"
	    "Content-Type: %s\r\n%s%s",
	    l->is_mixed ? "" : "/",
	    l->is_mixed ? "" : l->ds[load_ledger_ds_of(l, number)],
	    b->options->is_async ? "?async=true" : "", b->options->url.host,
	    load_format_content_type(b->options->format),
	    b->options->is_gzip ? "Content-Encoding: gzip\r\n" : "",
	    b->options->is_twice ? "" : "Content-Length: ");
	t->head_bytes = t->bytes.used;
}

/* The number is written over later. */
static void
add_key(struct load_body *b, struct template *t)
{
	buf_addf(&t->bytes, "Idempotency-Key: %s-", b->ledger->run);
	t->key_at = t->bytes.used;
	buf_addf(&t->bytes, "%0*d\r\nContent-Length: ", LEDGER_DIGITS, 0);
	t->head_bytes = t->bytes.used;
}

static void
add_events(struct load_body *b, struct template *t, uint64_t first,
    const struct load_corpus *c)
{
	uint64_t count = b->ledger->batch;

	count = MIN_OF(count, b->ledger->events - first);
	t->slots = must_calloc(count, sizeof t->slots[0]);
	for (uint64_t i = 0; i < count; i++) {
		buf_add_text(&t->bytes,
		    b->options->is_array ? (i == 0 ? "[" : ",") : "");
		add_event(b, t, first + i, &c->events[(first + i) % c->count]);
		buf_add_text(&t->bytes, b->options->is_array ? "" : "\n");
	}
	buf_add_text(&t->bytes, b->options->is_array ? "]" : "");
}

/* Where ids and times are in the converted body: the same texts, in the same
 * order. */
static void
find_slots(struct template *t, const struct buf *json, const struct buf *body)
{
	const char *at = body->bytes, *end = at + body->used;

	for (uint64_t i = 0; i < t->count; i++) {
		struct slot *s = &t->slots[i];
		const char *id = json->bytes + s->id_at;
		const char *time = json->bytes + s->time_at;

		at = memmem(at, (size_t)(end - at), id, LEDGER_DIGITS);
		must(at != NULL);
		s->id_at = (uint32_t)(at - body->bytes);
		at = memmem(at, (size_t)(end - at), time, CORPUS_TIME_BYTES);
		must(at != NULL);
		s->time_at = (uint32_t)(at - body->bytes);
		at += CORPUS_TIME_BYTES;
	}
}

/* The body in its format. */
static bool
convert(const struct load_body *b, struct template *body)
{
	struct buf json = body->bytes;
	bool good;

	if (b->options->format == LOAD_JSON || b->options->format == LOAD_TEXT)
		return true;
	/* json_scan reads a little further than to the end */
	if (buf_room(&json, JSON_SCAN_PADDING) == NULL)
		return false;
	buf_init(&body->bytes, TEMPLATES_BYTES_MAX);
	good = load_format_convert(b->options->format, &json, &body->bytes);
	if (good)
		find_slots(body, &json, &body->bytes);
	buf_free(&json);
	return good;
}

/* The template of a request: its body is made first, since the head tells
 * how long it is. A packed body gets its length later. */
static bool
build(struct load_body *b, struct template *t, uint64_t request,
    const struct load_corpus *c)
{
	uint64_t first = request * b->ledger->batch;
	struct template body = { 0 };
	size_t shift;

	buf_init(&t->bytes, TEMPLATES_BYTES_MAX);
	buf_init(&body.bytes, TEMPLATES_BYTES_MAX);
	add_events(b, &body, first, c);
	if (body.bytes.failed || !convert(b, &body)) {
		free_template(&body);
		return false;
	}
	add_head(b, t, first);
	if (b->options->is_twice)
		add_key(b, t);
	if (!b->options->is_gzip)
		buf_addf(&t->bytes, "%zu\r\n\r\n", body.bytes.used);
	shift = t->bytes.used;
	buf_add(&t->bytes, body.bytes.bytes, body.bytes.used);
	t->slots = body.slots;
	t->count = body.count;
	for (uint64_t i = 0; i < t->count; i++) {
		t->slots[i].id_at += (uint32_t)shift;
		t->slots[i].time_at += (uint32_t)shift;
	}
	buf_free(&body.bytes);
	return !body.bytes.failed && !t->bytes.failed;
}

static uint64_t
choose_count(const struct load_ledger *l, const struct load_corpus *c)
{
	uint64_t count = (c->count + l->batch - 1) / l->batch;

	count = (MAX_OF(count, 2) + l->ds_count - 1) / l->ds_count;
	return count * l->ds_count;
}

static bool
build_all(struct load_body *b, const struct load_corpus *c)
{
	const struct load_ledger *l = b->ledger;
	uint64_t bytes = 0;

	for (uint64_t i = 0; i < b->template_count && i < l->requests; i++) {
		if (!build(b, &b->templates[i], i, c))
			return false;
		bytes += b->templates[i].bytes.size;
		if (bytes > TEMPLATES_BYTES_MAX)
			return false;
	}
	if (l->events % l->batch == 0)
		return true;
	return build(b, &b->tail, l->requests - 1, c);
}

static size_t
largest_body(const struct load_body *b)
{
	size_t largest = b->tail.bytes.used;

	for (uint64_t i = 0; i < b->template_count; i++)
		largest = MAX_OF(largest, b->templates[i].bytes.used);
	return largest;
}

struct load_body *
load_body_new(const struct load_options *o, const struct load_ledger *l,
    const struct load_corpus *c)
{
	struct load_body *b = must_calloc(1, sizeof *b);

	b->options = o;
	b->ledger = l;
	b->template_count = choose_count(l, c);
	b->templates = must_calloc(b->template_count, sizeof b->templates[0]);
	if (!build_all(b, c)) {
		load_body_free(&b);
		return NULL;
	}
	if (o->is_gzip) {
		b->scratch_bytes = load_gzip_bound(largest_body(b)) + KiB;
		b->scratch = must_malloc(b->scratch_bytes);
	}
	return b;
}

void
load_body_free(struct load_body **body)
{
	struct load_body *b = *body;

	if (b == NULL)
		return;
	*body = NULL;
	for (uint64_t i = 0; i < b->template_count; i++)
		free_template(&b->templates[i]);
	free_template(&b->tail);
	for (uint64_t i = 0; i < b->prepared_count; i++)
		free(b->prepared[i].bytes);
	free(b->prepared);
	free(b->templates);
	free(b->scratch);
	free(b);
}

/* The digits in front of the number are zeros or what a larger number left
 * there. */
static void
write_number(char *to, uint64_t n)
{
	char *at = to + LEDGER_DIGITS;

	for (unsigned digit = 0; digit < LEDGER_DIGITS; digit++) {
		*--at = (char)('0' + n % 10);
		n /= 10;
	}
}

static void
write_ids(struct template *t, uint64_t first)
{
	for (uint64_t i = 0; i < t->count; i++)
		write_number(t->bytes.bytes + t->slots[i].id_at, first + i);
}

static void
write_times(struct template *t, int64_t base_ms)
{
	char text[ISO_BYTES];

	for (uint64_t i = 0; i < t->count; i++) {
		iso_format(base_ms - t->slots[i].age_ms, text);
		memcpy(t->bytes.bytes + t->slots[i].time_at, text,
		    CORPUS_TIME_BYTES);
	}
	t->base_ms = base_ms;
}

static struct template *
fill(struct load_body *b, uint64_t request, int64_t base_ms)
{
	bool is_tail = b->tail.count > 0 && request == b->ledger->requests - 1;
	struct template *t =
	    is_tail ? &b->tail : &b->templates[request % b->template_count];

	if (t->base_ms != base_ms)
		write_times(t, base_ms);
	write_ids(t, request * b->ledger->batch);
	if (t->key_at > 0)
		write_number(t->bytes.bytes + t->key_at, request);
	return t;
}

/* Head, length and packed body at scratch. */
static size_t
pack(struct load_body *b, const struct template *t)
{
	char *body = b->scratch + KiB, length[32];
	size_t packed = load_gzip_pack(t->bytes.bytes + t->head_bytes,
	    t->bytes.used - t->head_bytes, body, b->scratch_bytes - KiB);
	size_t length_bytes =
	    (size_t)snprintf(length, sizeof length, "%zu\r\n\r\n", packed);

	must(t->head_bytes + length_bytes <= KiB);
	memcpy(b->scratch, t->bytes.bytes, t->head_bytes);
	memcpy(b->scratch + t->head_bytes, length, length_bytes);
	memmove(b->scratch + t->head_bytes + length_bytes, body, packed);
	return t->head_bytes + length_bytes + packed;
}

void
load_body_prepare(struct load_body *b, int64_t base_ms)
{
	size_t used = 0;

	if (!b->options->is_gzip)
		return;
	while (b->prepared_count < b->ledger->requests &&
	    used < PREPARED_BYTES_MAX) {
		uint64_t n = b->prepared_count;
		size_t bytes = pack(b, fill(b, n, base_ms));

		b->prepared =
		    must_realloc(b->prepared, (n + 1) * sizeof b->prepared[0]);
		b->prepared[n].bytes = must_malloc(bytes);
		b->prepared[n].count = bytes;
		memcpy(b->prepared[n].bytes, b->scratch, bytes);
		b->prepared_count++;
		used += bytes;
	}
}

const char *
load_body_get(
    struct load_body *b, uint64_t request, int64_t base_ms, size_t *bytes)
{
	struct template *t;

	if (request < b->prepared_count) {
		*bytes = b->prepared[request].count;
		return b->prepared[request].bytes;
	}
	t = fill(b, request, base_ms);
	if (b->options->is_gzip) {
		*bytes = pack(b, t);
		return b->scratch;
	}
	*bytes = t->bytes.used;
	return t->bytes.bytes;
}
