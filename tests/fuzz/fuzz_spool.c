/*
 * fuzz_spool - a batch's value as it may lie on the disk, or come out of a ring
 *
 * The first byte chooses: the bytes as they are, or as a value whose header
 * and checksum are right, so that what stands behind them is looked at. A value
 * that is taken apart must hold together, be moved to another label, and come
 * out as lines that stay within the body's bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "checksum.h"
#include "fuzz_input.h"
#include "ndjson.h"

#define CRC_FROM 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* From a seal of an event, since batch.c keeps them to itself. */
static struct batch_header
plain_header(void)
{
	const struct event e = { .bytes = 2 };
	const struct batch_seal seal = { .id = 1, .generation = 2 };
	struct batch *b = batch_new((struct interval){ 0, 1 }, 0, 1);
	struct batch_header h;
	size_t bytes;
	char *value;

	batch_add(b, &e, "{}", 1, 0);
	value = batch_seal(&b, &seal, &bytes);
	memcpy(&h, value, sizeof h);
	free(value);
	return h;
}

static void
put(struct buf *to, const void *from, size_t bytes)
{
	buf_add(to, from, bytes);
	must(!to->failed);
}

/* Tickets and chunks out of the input, the rest is the body. */
static void
build(struct fuzz_input *in, struct buf *to)
{
	static const char zeros[8];
	struct batch_header h = plain_header();
	struct batch_chunk chunks[4];
	struct batch_ticket ticket = { 0 };

	h.ticket_count = fuzz_byte(in) % 4;
	h.chunk_count = fuzz_byte(in) % 5;
	h.events = (uint32_t)fuzz_number(in, 2);
	for (uint32_t i = 0; i < h.chunk_count; i++)
		chunks[i] =
		    (struct batch_chunk){ .offset =
					      (uint32_t)fuzz_number(in, 2),
			    .bytes = (uint32_t)fuzz_number(in, 2),
			    .first = (uint32_t)fuzz_number(in, 2),
			    .events = (uint32_t)fuzz_number(in, 2) };
	h.body_bytes = (uint32_t)(in->end - in->at);
	put(to, &h, sizeof h);
	put(to, in->at, h.body_bytes);
	put(to, zeros, (8 - to->used % 8) % 8);
	for (uint32_t i = 0; i < h.ticket_count; i++)
		put(to, &ticket, sizeof ticket);
	put(to, chunks, h.chunk_count * sizeof chunks[0]);
	h.crc = checksum_crc32c(0, to->bytes + CRC_FROM, to->used - CRC_FROM);
	memcpy(to->bytes, &h, sizeof h);
}

/* ---- what is taken ---- */

static void
check_lines(const struct batch_view *v)
{
	struct buf lines;

	buf_init(&lines, 2u * MiB);
	ndjson_add(&lines, v->body, v->header->body_bytes);
	must(!lines.failed);
	must(lines.used == 0 || lines.bytes[lines.used - 1] == '\n');
	must(lines.used <= 2 * (size_t)v->header->body_bytes);
	for (size_t i = 0; i < lines.used; i++)
		must(lines.bytes[i] != '\r');
	buf_free(&lines);
}

static void
check_chunks(const struct batch_view *v)
{
	const struct batch_header *h = v->header;
	uint64_t events = 0, bytes = 0;

	must(h->chunk_count > 0);
	for (uint32_t i = 0; i < h->chunk_count; i++) {
		const struct batch_chunk *c = &v->chunks[i];

		must(c->offset == bytes && c->first == events);
		bytes += c->bytes;
		events += c->events;
	}
	must(bytes == h->body_bytes && events == h->events);
}

static void
check_moved(const struct batch_view *v)
{
	const struct batch_seal seal = { .id = 3, .generation = 4 };

	for (uint32_t i = 0; i < v->header->chunk_count; i++) {
		struct batch_view moved;
		size_t bytes;
		char *value = batch_move(
		    v, &seal, (struct interval){ 5, 6 }, 7, i, &bytes);

		must(batch_view(value, bytes, &moved));
		check_chunks(&moved);
		must(moved.header->ticket_count == v->header->ticket_count);
		must(moved.header->chunk_count == v->header->chunk_count - i);
		free(value);
	}
}

static void
take_apart(const char *bytes, size_t count)
{
	char *value = must_malloc(count + 1);
	struct batch_view v;

	memcpy(value, bytes, count);
	value = must_realloc(value, MAX_OF(count, 1u));
	if (batch_view(value, count, &v)) {
		check_chunks(&v);
		if (v.header->chunk_count < 100)
			check_moved(&v);
		check_lines(&v);
	}
	free(value);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct fuzz_input in = { data, data + bytes };
	struct batch_view v = { 0 };
	struct batch_header h = { 0 };
	struct buf value;
	bool is_built = fuzz_byte(&in) & 1;

	if (bytes < 2)
		return 0;
	buf_init(&value, 2u * MiB);
	if (is_built)
		build(&in, &value);
	else
		put(&value, in.at, (size_t)(in.end - in.at));
	take_apart(value.bytes, value.used);
	/* a body is made of what a ring held: any bytes */
	h.body_bytes = (uint32_t)(in.end - in.at);
	v = (struct batch_view){ .header = &h, .body = (const char *)in.at };
	check_lines(&v);
	buf_free(&value);
	return 0;
}
