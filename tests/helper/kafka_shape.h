/*
 * kafka_shape - answers of the Kafka protocol, read by their description
 *
 * Independent of supervisor/feed: a shape is text, one letter a field, and one
 * small reader goes through bytes and shape together.
 *
 *   b h w q   numbers of 1, 2, 4, 8 bytes      s n  STRING, NULLABLE_STRING
 *   y         BYTES (-1: null)                 [ ]  ARRAY
 *   { }       COMPACT_ARRAY                    t    tags
 */
#pragma once

#include <stdio.h>
#include <string.h>

#include "base.h"
#include "panic.h"

struct kafka_shape {
	const uint8_t *at, *end;
	/* the numbers in the order in which they came, counts left out */
	int64_t numbers[64];
	unsigned number_count;
};

/* NULL: the bytes end too early, or are none of the shape. */
static inline const char *
kafka_shape_pass(struct kafka_shape *, const char *shape, bool counts);

static inline bool
kafka_shape_number(struct kafka_shape *s, unsigned bytes, int64_t *n)
{
	uint64_t sum = 0;

	if ((size_t)(s->end - s->at) < bytes)
		return false;
	for (unsigned i = 0; i < bytes; i++)
		sum = sum * 256 + *s->at++;
	if (bytes < 8 && sum >> (8 * bytes - 1) != 0)
		sum -= UINT64_C(1) << 8 * bytes;
	*n = (int64_t)sum;
	return true;
}

static inline bool
kafka_shape_varint(struct kafka_shape *s, int64_t *n)
{
	unsigned shift = 0;

	*n = 0;
	do {
		if (s->at == s->end || shift > 28)
			return false;
		*n |= (int64_t)(*s->at & 127) << shift;
		shift += 7;
	} while (*s->at++ >= 128);
	return true;
}

static inline bool
kafka_shape_skip(struct kafka_shape *s, int64_t bytes, bool may_be_null)
{
	if (bytes < 0)
		return may_be_null && bytes == -1;
	if (s->end - s->at < bytes)
		return false;
	s->at += bytes;
	return true;
}

/* What is between the brackets, `count` times; the shape behind them. */
static inline const char *
kafka_shape_repeat(struct kafka_shape *s, const char *shape, int64_t count)
{
	const char *behind = kafka_shape_pass(s, shape, false);

	for (int64_t i = 0; behind != NULL && i < count; i++)
		if (kafka_shape_pass(s, shape, true) == NULL)
			return NULL;
	return behind;
}

static inline bool
kafka_shape_plain(struct kafka_shape *s, char letter)
{
	unsigned bytes = letter == 'b' ? 1
	    : letter == 'h'            ? 2
	    : letter == 'w'            ? 4
	    : letter == 'q'            ? 8
				       : 0;
	int64_t n = 0;

	switch (letter) {
	case 's':
	case 'n':
		return kafka_shape_number(s, 2, &n) &&
		    kafka_shape_skip(s, n, letter == 'n');
	case 'y':
		return kafka_shape_number(s, 4, &n) &&
		    kafka_shape_skip(s, n, true);
	case 't': return kafka_shape_varint(s, &n) && n == 0;
	default: break;
	}
	must(bytes > 0);
	if (!kafka_shape_number(s, bytes, &n))
		return false;
	if (s->number_count < ARRAY_LEN(s->numbers))
		s->numbers[s->number_count++] = n;
	return true;
}

static inline const char *
kafka_shape_pass(struct kafka_shape *s, const char *shape, bool counts)
{
	for (; *shape != '\0' && *shape != ']' && *shape != '}'; shape++) {
		int64_t n = 0;

		if (*shape == '[' || *shape == '{') {
			if (counts &&
			    !(*shape == '[' ? kafka_shape_number(s, 4, &n)
					    : kafka_shape_varint(s, &n)))
				return NULL;
			if (*shape == '{')
				n -= counts;
			if (n < 0)
				return NULL;
			shape = kafka_shape_repeat(s, shape + 1, n);
			if (shape == NULL)
				return NULL;
		} else if (counts && !kafka_shape_plain(s, *shape)) {
			return NULL;
		}
	}
	return shape;
}

/* Whether a whole answer, behind its correlation id, has that shape. */
static inline bool
kafka_shape_holds(
    struct kafka_shape *s, const void *bytes, size_t count, const char *shape)
{
	*s = (struct kafka_shape){ .at = bytes };
	s->end = s->at + count;
	return kafka_shape_pass(s, shape, true) != NULL && s->at == s->end;
}

/* The shape of an API's answer (reference: Kafka's XResponse.json). */
static inline const char *
kafka_shape_of(int api, int version, char to[static 128])
{
	int v = version;

	switch (api) {
	case 1:
		snprintf(to, 128, "w%s[s[whqq%s[qq]%sy]]", v >= 7 ? "hw" : "",
		    v >= 5 ? "q" : "", v >= 11 ? "w" : "");
		break;
	case 2:
		snprintf(to, 128, "%s[s[whqq%s]]", v >= 2 ? "w" : "",
		    v >= 4 ? "w" : "");
		break;
	case 3:
		snprintf(to, 128, "%s[wsw%s]%s%s[hs%s[hww%s[w][w]%s]%s]%s",
		    v >= 3 ? "w" : "", v >= 1 ? "n" : "", v >= 2 ? "n" : "",
		    v >= 1 ? "w" : "", v >= 1 ? "b" : "", v >= 7 ? "w" : "",
		    v >= 5 ? "[w]" : "", v >= 8 ? "w" : "", v >= 8 ? "w" : "");
		break;
	case 17: snprintf(to, 128, "h[s]"); break;
	case 18:
		snprintf(to, 128, "%s",
		    v > 4        ? "h[hhh]"
			: v >= 3 ? "h{hhht}wt"
			: v >= 1 ? "h[hhh]w"
				 : "h[hhh]");
		break;
	case 36: snprintf(to, 128, "hny%s", v >= 1 ? "q" : ""); break;
	default: unreachable("an API without an answer");
	}
	return to;
}
