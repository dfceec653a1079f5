/*
 * json_string - the bytes of JSON strings: where they end, whether UTF-8
 *
 * Process: receiver. Pure. Part of json_scan, apart because the same is said
 * three times: in plain C, for SSE2 and for AVX2.
 */
#pragma once

#include "base.h"
#include "json_scan.h"

#ifdef __SSE2__
#include <immintrin.h>
#endif

/* Both may read, but not heed, up to BLOCK bytes (64) from any p < end on. */
struct json_string_ops {
	/* The first byte of [p, end) that cannot stand in a string as it is:
	 * quote, backslash or control character; `end` if there is none.
	 * *high is set when a byte before it is not ASCII, and sometimes when
	 * only one behind the end is not. */
	const char *(*find_stop)(const char *p, const char *end, bool *high);
	bool (*utf8_valid)(const char *p, const char *end);
};

enum json_scan_cpu json_string_best_cpu(void);
const struct json_string_ops *json_string_ops(enum json_scan_cpu);
/* The first ill-formed character (RFC 3629), or `end`. */
const char *json_string_utf8_error(const char *p, const char *end);

#ifdef __SSE2__

static inline __m128i
json_string_load16(const char *p)
{
	return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static inline uint32_t
json_string_high16(__m128i v)
{
	return (uint32_t)_mm_movemask_epi8(v);
}

static inline uint32_t
json_string_stops16(__m128i v)
{
	/* flipping bit 1 puts the quote next to the controls */
	__m128i flipped = _mm_xor_si128(v, _mm_set1_epi8(2));
	__m128i low =
	    _mm_cmpeq_epi8(_mm_min_epu8(flipped, _mm_set1_epi8(' ')), flipped);

	return json_string_high16(
	    _mm_or_si128(low, _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))));
}

#endif
