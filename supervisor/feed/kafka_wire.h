/*
 * kafka_wire - the primitive types of the Kafka protocol, read and written
 *
 * Process: feed. Pure.
 * Follows: kafka.apache.org/protocol, "Protocol Primitive Types". All numbers
 *          are big-endian.
 *
 * A reader never goes beyond its end: what is missing reads as 0, null or
 * empty and marks the reader as bad, so a row of reads is checked once. Texts
 * are views of what is read. What is written goes to a buf, whose mark works
 * in the same way.
 */
#pragma once

#include "base.h"
#include "buf.h"

#define KAFKA_FRAME_HEAD 4u /* the size in front of each message */

struct kafka_reader {
	const uint8_t *at, *end;
	bool is_bad;
};

/* Not terminated. */
struct kafka_text {
	const char *at; /* NULL: null */
	size_t bytes;
};

void kafka_wire_reader(struct kafka_reader *, const void *bytes, size_t count);
int8_t kafka_wire_i8(struct kafka_reader *);
int16_t kafka_wire_i16(struct kafka_reader *);
int32_t kafka_wire_i32(struct kafka_reader *);
int64_t kafka_wire_i64(struct kafka_reader *);
uint32_t kafka_wire_uvarint(struct kafka_reader *);
/* STRING, which is never null; NULLABLE_STRING; COMPACT_STRING; BYTES. */
struct kafka_text kafka_wire_string(struct kafka_reader *);
struct kafka_text kafka_wire_nullable(struct kafka_reader *);
struct kafka_text kafka_wire_compact(struct kafka_reader *);
struct kafka_text kafka_wire_bytes(struct kafka_reader *);
/* ARRAY: its count of elements, each of at least so many bytes, so that no
 * count is larger than what has really come; -1: null. */
int32_t kafka_wire_count(struct kafka_reader *, size_t least);
/* Passes over tagged fields. */
void kafka_wire_tags(struct kafka_reader *);

void kafka_wire_put_i8(struct buf *, int8_t);
void kafka_wire_put_i16(struct buf *, int16_t);
void kafka_wire_put_i32(struct buf *, int32_t);
void kafka_wire_put_i64(struct buf *, int64_t);
void kafka_wire_put_uvarint(struct buf *, uint32_t);
/* STRING, NULLABLE_STRING; a longer one than there can be marks the buf. */
void kafka_wire_put_string(struct buf *, struct kafka_text);
void kafka_wire_put_nullable(struct buf *, struct kafka_text);
void kafka_wire_put_bytes(struct buf *, const void *bytes, size_t count);

/* Of a text that ends with a NUL; NULL: null. */
struct kafka_text kafka_wire_text(const char *);
bool kafka_wire_is(struct kafka_text, const char *);

/* The size in front of a frame, as a client has sent it. */
int32_t kafka_wire_frame_size(const void *bytes);
/* Begins a frame of our own; what is behind it is measured when it ends, with
 * `more` bytes that follow from elsewhere. */
size_t kafka_wire_frame_begin(struct buf *);
void kafka_wire_frame_end(struct buf *, size_t begin, size_t more);
