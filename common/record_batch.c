/*
 * record_batch - Kafka's record batches, version 2: build, check, take apart
 *
 * Process: worker, feed, tranqctl. Pure.
 */
#include "record_batch.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "panic.h"

#define MAGIC 2
#define LENGTH_FROM 12 /* the length counts what stands behind it */
#define CRC_FROM 21 /* and the checksum */
#define CODEC_MASK 7u
#define FIRST_BYTES (16u * KiB)
#define NO_PRODUCER UINT64_MAX

/* Where things stand in the head. */
enum {
	AT_FIRST = 0,
	AT_LENGTH = 8,
	AT_EPOCH = 12,
	AT_MAGIC = 16,
	AT_CRC = 17,
	AT_ATTRIBUTES = 21,
	AT_LAST_DELTA = 23,
	AT_FIRST_MS = 27,
	AT_MAX_MS = 35,
	AT_PRODUCER = 43,
	AT_PRODUCER_EPOCH = 51,
	AT_SEQUENCE = 53,
	AT_RECORDS = 57,
};

static void
put_16(char *at, uint16_t value)
{
	value = htobe16(value);
	memcpy(at, &value, sizeof value);
}

static void
put_32(char *at, uint32_t value)
{
	value = htobe32(value);
	memcpy(at, &value, sizeof value);
}

static void
put_64(char *at, uint64_t value)
{
	value = htobe64(value);
	memcpy(at, &value, sizeof value);
}

static uint16_t
get_16(const char *at)
{
	uint16_t value;

	memcpy(&value, at, sizeof value);
	return be16toh(value);
}

static uint32_t
get_32(const char *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof value);
	return be32toh(value);
}

static uint64_t
get_64(const char *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof value);
	return be64toh(value);
}

/* ---- building ---- */

void
record_batch_init(struct record_batch *b)
{
	*b = (struct record_batch){ .used = RECORD_BATCH_HEAD_BYTES };
}

void
record_batch_free(struct record_batch *b)
{
	free(b->bytes);
	record_batch_init(b);
}

static void
need(struct record_batch *b, size_t more)
{
	if (b->bytes != NULL && b->used + more <= b->size)
		return;
	b->size = MAX_OF(MAX_OF(b->size * 2, b->used + more), FIRST_BYTES);
	b->bytes = must_realloc(b->bytes, b->size);
}

/* Zigzag: small numbers of both signs become small. */
static uint64_t
zigzag(int64_t value)
{
	return (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0);
}

static char *
put_varint(char *at, int64_t value)
{
	uint64_t left = zigzag(value);

	for (; left > 0x7f; left >>= 7)
		*at++ = (char)(left | 0x80);
	*at++ = (char)left;
	return at;
}

static size_t
varint_bytes(int64_t value)
{
	uint64_t left = zigzag(value) | 1;

	return (size_t)(70 - __builtin_clzll(left)) / 7;
}

void
record_batch_add(struct record_batch *b, int64_t timestamp_ms,
    const char *value, size_t bytes)
{
	int64_t since, length;
	char *at;

	must(b->used + bytes + RECORD_BATCH_RECORD_EXTRA <=
	    RECORD_BATCH_BYTES_MAX);
	if (b->records == 0)
		b->first_ms = b->max_ms = timestamp_ms;
	b->max_ms = MAX_OF(b->max_ms, timestamp_ms);
	/* readers add it up the same way, over the edge and back */
	since = (int64_t)((uint64_t)timestamp_ms - (uint64_t)b->first_ms);
	length = (int64_t)(3 + varint_bytes(since) + varint_bytes(b->records) +
	    varint_bytes((int64_t)bytes) + bytes);
	need(b, bytes + RECORD_BATCH_RECORD_EXTRA);
	at = put_varint(b->bytes + b->used, length);
	*at++ = 0; /* attributes */
	at = put_varint(at, since);
	at = put_varint(at, b->records);
	at = put_varint(at, -1); /* no key */
	at = put_varint(at, (int64_t)bytes);
	memcpy(at, value, bytes);
	at = put_varint(at + bytes, 0); /* no headers */
	b->used = (size_t)(at - b->bytes);
	b->records++;
}

size_t
record_batch_bytes(const struct record_batch *b)
{
	return b->used;
}

static void
write_head(char *at, const struct record_batch *b, size_t bytes, unsigned codec)
{
	put_64(at + AT_FIRST, 0);
	put_32(at + AT_LENGTH, (uint32_t)(bytes - LENGTH_FROM));
	put_32(at + AT_EPOCH, 0);
	at[AT_MAGIC] = MAGIC;
	put_16(at + AT_ATTRIBUTES, (uint16_t)codec);
	put_32(at + AT_LAST_DELTA, b->records - 1);
	put_64(at + AT_FIRST_MS, (uint64_t)b->first_ms);
	put_64(at + AT_MAX_MS, (uint64_t)b->max_ms);
	put_64(at + AT_PRODUCER, NO_PRODUCER);
	put_16(at + AT_PRODUCER_EPOCH, UINT16_MAX);
	put_32(at + AT_SEQUENCE, UINT32_MAX);
	put_32(at + AT_RECORDS, b->records);
	put_32(
	    at + AT_CRC, checksum_crc32c(0, at + CRC_FROM, bytes - CRC_FROM));
}

/* The records packed, with room for a head before them; NULL: it is not worth
 * it. */
static char *
pack(const struct record_batch *b, struct compression *c, size_t *bytes)
{
	struct buf to;

	buf_init(&to, SIZE_MAX);
	if (buf_room(&to, RECORD_BATCH_HEAD_BYTES) != NULL) {
		to.used = RECORD_BATCH_HEAD_BYTES;
		if (compression_pack(c, b->bytes + RECORD_BATCH_HEAD_BYTES,
			b->used - RECORD_BATCH_HEAD_BYTES, &to) &&
		    to.used < b->used) {
			*bytes = to.used;
			/* its room was a guess, and it is kept for long */
			return must_realloc(to.bytes, to.used);
		}
	}
	buf_free(&to);
	return NULL;
}

char *
record_batch_seal(
    struct record_batch *b, struct compression *compression, size_t *bytes)
{
	unsigned codec = COMPRESSION_NONE;
	char *value = NULL;

	must(b->records > 0);
	if (compression != NULL &&
	    compression_codec(compression) != COMPRESSION_NONE)
		value = pack(b, compression, bytes);
	if (value != NULL) {
		codec = compression_codec(compression);
		write_head(value, b, *bytes, codec);
		record_batch_free(b);
		return value;
	}
	value = b->bytes;
	*bytes = b->used;
	write_head(value, b, *bytes, codec);
	record_batch_init(b);
	return value;
}

void
record_batch_set_first(char *batch, uint64_t first)
{
	put_64(batch + AT_FIRST, first);
}

/* ---- looking at one ---- */

static bool
is_ours(const char *at)
{
	return at[AT_MAGIC] == MAGIC &&
	    get_32(at + AT_LENGTH) >= RECORD_BATCH_HEAD_BYTES - LENGTH_FROM &&
	    get_32(at + AT_LENGTH) <= RECORD_BATCH_BYTES_MAX - LENGTH_FROM &&
	    (get_16(at + AT_ATTRIBUTES) & ~CODEC_MASK) == 0 &&
	    compression_is_known(get_16(at + AT_ATTRIBUTES)) &&
	    get_64(at + AT_PRODUCER) == NO_PRODUCER;
}

enum record_batch_verdict
record_batch_look(
    const void *batch, size_t bytes, struct record_batch_head *head)
{
	const char *at = batch;
	uint32_t last;

	*head = (struct record_batch_head){ 0 };
	if (bytes < RECORD_BATCH_HEAD_BYTES)
		return RECORD_BATCH_SHORT;
	if (!is_ours(at))
		return RECORD_BATCH_FOREIGN;
	head->first = get_64(at + AT_FIRST);
	last = get_32(at + AT_LAST_DELTA);
	head->next = head->first + last + 1;
	head->bytes = get_32(at + AT_LENGTH) + LENGTH_FROM;
	head->records = get_32(at + AT_RECORDS);
	head->first_ms = (int64_t)get_64(at + AT_FIRST_MS);
	head->max_ms = (int64_t)get_64(at + AT_MAX_MS);
	head->codec = get_16(at + AT_ATTRIBUTES);
	if (head->records == 0 || head->records - 1 > last ||
	    last > INT32_MAX - 1 || head->first > INT64_MAX - INT32_MAX)
		return RECORD_BATCH_DAMAGED;
	return head->bytes <= bytes ? RECORD_BATCH_GOOD : RECORD_BATCH_SHORT;
}

enum record_batch_verdict
record_batch_check(
    const void *batch, size_t bytes, struct record_batch_head *head)
{
	const char *at = batch;
	struct record_batch_head own;
	enum record_batch_verdict v;

	if (head == NULL)
		head = &own;
	v = record_batch_look(batch, bytes, head);
	if (v != RECORD_BATCH_GOOD)
		return v;
	return checksum_crc32c(0, at + CRC_FROM, head->bytes - CRC_FROM) ==
		get_32(at + AT_CRC)
	    ? RECORD_BATCH_GOOD
	    : RECORD_BATCH_DAMAGED;
}

const char *
record_batch_verdict_name(enum record_batch_verdict v)
{
	static const char *const names[] = { [RECORD_BATCH_GOOD] = "good",
		[RECORD_BATCH_SHORT] = "cut off",
		[RECORD_BATCH_FOREIGN] = "no record batch",
		[RECORD_BATCH_DAMAGED] = "damaged" };

	return names[v];
}

/* ---- taking one apart ---- */

bool
record_batch_open(struct record_batch_reader *r, const void *batch,
    size_t bytes, size_t unpacked_max)
{
	const char *at = batch;

	*r = (struct record_batch_reader){ 0 };
	if (record_batch_look(batch, bytes, &r->head) != RECORD_BATCH_GOOD)
		return false;
	r->left = r->head.records;
	r->delta = -1;
	r->next = at + RECORD_BATCH_HEAD_BYTES;
	r->end = at + r->head.bytes;
	if (r->head.codec == COMPRESSION_NONE)
		return true;
	buf_init(&r->unpacked, unpacked_max);
	if (!compression_unpack((enum compression_codec)r->head.codec, r->next,
		(size_t)(r->end - r->next), &r->unpacked)) {
		buf_free(&r->unpacked);
		return false;
	}
	r->next = r->unpacked.bytes;
	r->end = r->unpacked.bytes + r->unpacked.used;
	return true;
}

/* What is left of a row of bytes; `at` NULL once it has been overrun. */
struct span {
	const char *at, *end;
};

static int64_t
take_varint(struct span *s)
{
	uint64_t value = 0;

	for (unsigned shift = 0; s->at != NULL && shift < 64; shift += 7) {
		uint64_t byte;

		if (s->at == s->end)
			break;
		byte = (unsigned char)*s->at++;
		if (shift == 63 && byte > 1)
			break;
		value |= (byte & 0x7f) << shift;
		if (byte < 0x80)
			return (int64_t)(value >> 1 ^ (0 - (value & 1)));
	}
	s->at = NULL;
	return 0;
}

static const char *
take_bytes(struct span *s, int64_t count)
{
	const char *at = s->at;

	if (at == NULL || count < 0 || count > s->end - at) {
		s->at = NULL;
		return NULL;
	}
	s->at += count;
	return at;
}

/* Bytes with their length before them; *count -1: null, which is no bytes. */
static const char *
take_sized(struct span *s, int64_t *count)
{
	*count = take_varint(s);
	if (s->at == NULL || *count == -1)
		return NULL;
	return take_bytes(s, *count);
}

static void
skip_headers(struct span *s)
{
	int64_t count = take_varint(s), bytes;

	if (count < 0)
		s->at = NULL;
	while (s->at != NULL && count-- > 0) {
		if (take_sized(s, &bytes) == NULL)
			s->at = NULL; /* a key is never null */
		take_sized(s, &bytes);
	}
}

static bool
take_record(struct record_batch_reader *r, struct record_batch_record *to)
{
	struct span all = { r->next, r->end }, s;
	int64_t length = take_varint(&all), delta, bytes;

	s.at = take_bytes(&all, length);
	s.end = all.at;
	take_bytes(&s, 1); /* attributes: none are in use */
	to->timestamp_ms =
	    (int64_t)((uint64_t)r->head.first_ms + (uint64_t)take_varint(&s));
	delta = take_varint(&s);
	take_sized(&s, &bytes); /* the key */
	to->value = take_sized(&s, &bytes);
	to->bytes = to->value == NULL ? 0 : (size_t)bytes;
	skip_headers(&s);
	if (s.at == NULL || s.at != s.end || delta <= r->delta ||
	    delta > INT32_MAX - 1)
		return false;
	r->delta = delta;
	to->offset = r->head.first + (uint64_t)delta;
	r->next = s.end;
	return to->offset < r->head.next;
}

bool
record_batch_next(struct record_batch_reader *r, struct record_batch_record *to)
{
	if (r->is_damaged)
		return false;
	if (r->left == 0) {
		r->is_damaged = r->next != r->end;
		return false;
	}
	r->left--;
	r->is_damaged = !take_record(r, to);
	return !r->is_damaged;
}

void
record_batch_close(struct record_batch_reader *r)
{
	buf_free(&r->unpacked);
	r->next = r->end = NULL;
	r->left = 0;
}
