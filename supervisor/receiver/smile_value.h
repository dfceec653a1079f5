/*
 * smile_value - Smile's numbers and binaries, and their JSON text
 *
 * Process: receiver. Pure. Part of smile, apart because neither knows of
 * tokens, documents or buffers.
 *
 * Readers take bytes [p, end) and return the place behind what was read; NULL:
 * too short or malformed. Writers return the end of the text they wrote.
 */
#pragma once

#include "base.h"

/* Of a big number, about 1000 digits: its text takes quadratic time. */
#define SMILE_VALUE_BIG_BYTES_MAX 416
#define SMILE_VALUE_BIG_TEXT_MAX 1040

/* A variable-length number of at most `bits` (32 or 64). */
const unsigned char *smile_value_read_vint(const unsigned char *p,
    const unsigned char *end, unsigned bits, uint64_t *number);
/* A number in `groups` bytes of seven bits. */
const unsigned char *smile_value_read_groups(const unsigned char *p,
    const unsigned char *end, unsigned groups, uint64_t *number);
/* How many bytes `count` ones take when they are written seven bits a byte,
 * and those bytes again. False: one of them has its eighth bit set. */
size_t smile_value_safe_bytes(size_t count);
bool smile_value_from_safe(const unsigned char *from, size_t count, void *to);

static inline int64_t
smile_value_unzigzag(uint64_t n)
{
	return (int64_t)(n >> 1 ^ (0 - (n & 1)));
}

char *smile_value_write_int(char *to, int64_t); /* up to 20 bytes */
/* DOUBLE_TEXT_BYTES at most. As in Jackson's JSON, what is not a number is one
 * of the strings "NaN", "Infinity", "-Infinity". */
char *smile_value_write_double(char *to, uint64_t bits);
char *smile_value_write_float(char *to, uint32_t bits);
/* The big-endian two's complement number, 1 … BIG_BYTES_MAX bytes, times ten
 * to -scale, as Java's BigDecimal.toString has it. */
char *smile_value_write_big(
    char *to, const unsigned char *bytes, size_t count, int32_t scale);
