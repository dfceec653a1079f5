/*
 * kafka_wire - the primitive types of the Kafka protocol, read and written
 *
 * Process: feed. Pure.
 */
#include "kafka_wire.h"

#include <string.h>

void
kafka_wire_reader(struct kafka_reader *r, const void *bytes, size_t count)
{
	static const uint8_t nothing[1];

	*r = (struct kafka_reader){ .at = count > 0 ? bytes : nothing };
	r->end = r->at + count;
}

/* The next bytes, or NULL. */
static const uint8_t *
take(struct kafka_reader *r, size_t bytes)
{
	const uint8_t *at = r->at;

	if (bytes > (size_t)(r->end - at)) {
		r->is_bad = true;
		r->at = r->end;
		return NULL;
	}
	r->at += bytes;
	return at;
}

static uint64_t
number(struct kafka_reader *r, size_t bytes)
{
	const uint8_t *at = take(r, bytes);
	uint64_t n = 0;

	for (size_t i = 0; at != NULL && i < bytes; i++)
		n = n << 8 | at[i];
	return n;
}

int8_t
kafka_wire_i8(struct kafka_reader *r)
{
	return (int8_t)number(r, 1);
}

int16_t
kafka_wire_i16(struct kafka_reader *r)
{
	return (int16_t)number(r, 2);
}

int32_t
kafka_wire_i32(struct kafka_reader *r)
{
	return (int32_t)number(r, 4);
}

int64_t
kafka_wire_i64(struct kafka_reader *r)
{
	return (int64_t)number(r, 8);
}

uint32_t
kafka_wire_uvarint(struct kafka_reader *r)
{
	uint64_t n = 0;

	for (unsigned shift = 0; shift < 35; shift += 7) {
		const uint8_t *at = take(r, 1);

		if (at == NULL)
			return 0;
		n |= (uint64_t)(*at & 0x7f) << shift;
		if ((*at & 0x80) == 0 && n <= UINT32_MAX)
			return (uint32_t)n;
	}
	r->is_bad = true;
	return 0;
}

static struct kafka_text
view(struct kafka_reader *r, int64_t bytes, bool may_be_null)
{
	const uint8_t *at;

	if (bytes < 0) {
		if (bytes != -1 || !may_be_null)
			r->is_bad = true;
		return (struct kafka_text){ NULL, 0 };
	}
	at = take(r, (size_t)bytes);
	if (at == NULL)
		return (struct kafka_text){ NULL, 0 };
	return (struct kafka_text){ (const char *)at, (size_t)bytes };
}

struct kafka_text
kafka_wire_string(struct kafka_reader *r)
{
	return view(r, kafka_wire_i16(r), false);
}

struct kafka_text
kafka_wire_nullable(struct kafka_reader *r)
{
	return view(r, kafka_wire_i16(r), true);
}

struct kafka_text
kafka_wire_compact(struct kafka_reader *r)
{
	return view(r, (int64_t)kafka_wire_uvarint(r) - 1, true);
}

struct kafka_text
kafka_wire_bytes(struct kafka_reader *r)
{
	return view(r, kafka_wire_i32(r), true);
}

int32_t
kafka_wire_count(struct kafka_reader *r, size_t least)
{
	int32_t count = kafka_wire_i32(r);

	if (count == -1 && !r->is_bad)
		return -1;
	if (count < 0 || (size_t)count > (size_t)(r->end - r->at) / least) {
		r->is_bad = true;
		return 0;
	}
	return count;
}

void
kafka_wire_tags(struct kafka_reader *r)
{
	uint32_t count = kafka_wire_uvarint(r);

	/* each takes two bytes at least, so the end comes soon */
	for (uint32_t i = 0; i < count && !r->is_bad; i++) {
		(void)kafka_wire_uvarint(r);
		(void)take(r, kafka_wire_uvarint(r));
	}
}

static void
put(struct buf *b, uint64_t n, size_t bytes)
{
	uint8_t to[8];

	for (size_t i = 0; i < bytes; i++)
		to[i] = (uint8_t)(n >> (8 * (bytes - 1 - i)));
	buf_add(b, to, bytes);
}

void
kafka_wire_put_i8(struct buf *b, int8_t n)
{
	put(b, (uint8_t)n, 1);
}

void
kafka_wire_put_i16(struct buf *b, int16_t n)
{
	put(b, (uint16_t)n, 2);
}

void
kafka_wire_put_i32(struct buf *b, int32_t n)
{
	put(b, (uint32_t)n, 4);
}

void
kafka_wire_put_i64(struct buf *b, int64_t n)
{
	put(b, (uint64_t)n, 8);
}

void
kafka_wire_put_uvarint(struct buf *b, uint32_t n)
{
	for (; n >= 0x80; n >>= 7)
		put(b, 0x80 | (n & 0x7f), 1);
	put(b, n, 1);
}

void
kafka_wire_put_string(struct buf *b, struct kafka_text text)
{
	if (text.bytes > INT16_MAX) {
		b->failed = true;
		return;
	}
	kafka_wire_put_i16(b, (int16_t)text.bytes);
	buf_add(b, text.at, text.bytes);
}

void
kafka_wire_put_nullable(struct buf *b, struct kafka_text text)
{
	if (text.at == NULL)
		kafka_wire_put_i16(b, -1);
	else
		kafka_wire_put_string(b, text);
}

void
kafka_wire_put_bytes(struct buf *b, const void *bytes, size_t count)
{
	if (count > INT32_MAX) {
		b->failed = true;
		return;
	}
	kafka_wire_put_i32(b, (int32_t)count);
	buf_add(b, bytes, count);
}

struct kafka_text
kafka_wire_text(const char *text)
{
	return (struct kafka_text){ text, text != NULL ? strlen(text) : 0 };
}

bool
kafka_wire_is(struct kafka_text text, const char *other)
{
	return text.at != NULL && strlen(other) == text.bytes &&
	    memcmp(text.at, other, text.bytes) == 0;
}

int32_t
kafka_wire_frame_size(const void *bytes)
{
	struct kafka_reader r;

	kafka_wire_reader(&r, bytes, KAFKA_FRAME_HEAD);
	return kafka_wire_i32(&r);
}

size_t
kafka_wire_frame_begin(struct buf *b)
{
	size_t begin = b->used;

	kafka_wire_put_i32(b, 0);
	return begin;
}

void
kafka_wire_frame_end(struct buf *b, size_t begin, size_t more)
{
	uint64_t size;

	if (b->failed)
		return;
	size = b->used - begin - KAFKA_FRAME_HEAD + more;
	if (size > INT32_MAX) {
		b->failed = true;
		return;
	}
	for (unsigned i = 0; i < KAFKA_FRAME_HEAD; i++)
		b->bytes[begin + i] = (char)(size >> (24 - 8 * i));
}
