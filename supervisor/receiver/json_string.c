/*
 * json_string - the bytes of JSON strings: where they end, whether UTF-8
 *
 * Process: receiver. Pure.
 */
#include "json_string.h"

#include <string.h>

#include "panic.h"

#define BLOCK 64 /* bytes that one word of bits speaks of */

#define EVERY_BYTE UINT64_C(0x0101010101010101)

/* Which bytes are below n <= 128; only the lowest set one is to be trusted. */
static uint64_t
bytes_below(uint64_t word, unsigned n)
{
	return (word - EVERY_BYTE * n) & ~word & (EVERY_BYTE * 0x80);
}

static bool
is_stop(char c)
{
	return c == '"' || c == '\\' || (unsigned char)c < ' ';
}

static const char *
find_stop_plain(const char *p, const char *end, bool *high)
{
	uint64_t word, seen = 0;

	for (; p < end; p += sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		/* flipping bit 1 puts the quote next to the controls */
		if (bytes_below(word ^ (EVERY_BYTE * 2), '"' - 1) ||
		    bytes_below(word ^ (EVERY_BYTE * '\\'), 1))
			break;
		seen |= word;
	}
	for (; p < end && !is_stop(*p); p++)
		seen |= (uint64_t)(unsigned char)*p;
	*high = (seen & (EVERY_BYTE * 0x80)) != 0;
	return p < end ? p : end;
}

static bool
is_continuation(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

/* Length of the character at p < end, 0 when it is ill-formed (RFC 3629). */
static unsigned
utf8_length(const unsigned char *p, const unsigned char *end)
{
	size_t left = (size_t)(end - p);
	unsigned char low = 0x80, high = 0xbf;
	unsigned length = 2;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	if (p[0] >= 0xe0)
		length = p[0] >= 0xf0 ? 4 : 3;
	if (left < length)
		return 0;
	/* overlong forms, surrogates, and what lies above U+10FFFF */
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	if (length > 2 && !is_continuation(p[2]))
		return 0;
	return length > 3 && !is_continuation(p[3]) ? 0 : length;
}

const char *
json_string_utf8_error(const char *text, const char *end)
{
	const unsigned char *p = (const unsigned char *)text;
	unsigned length = 1;

	while (p < (const unsigned char *)end && length > 0) {
		length = utf8_length(p, (const unsigned char *)end);
		p += length;
	}
	return (const char *)p;
}

static bool
utf8_valid_plain(const char *p, const char *end)
{
	return json_string_utf8_error(p, end) == end;
}

static const struct json_string_ops plain_ops = { find_stop_plain,
	utf8_valid_plain };

#ifdef __SSE2__

#define TARGET_AVX2 __attribute__((target("avx2")))
#define INLINE inline __attribute__((always_inline))

/* A bit for each of 64 bytes. Leads are told apart by their length. */
struct utf8_bits {
	uint64_t high; /* not ASCII */
	uint64_t continuation; /* 80 … BF */
	uint64_t three, four; /* leads of at least so many bytes: E0 …, F0 … */
	uint64_t never; /* C0, C1, F5 … FF */
	uint64_t narrow; /* leads that bound their second byte */
};

static INLINE uint64_t
low_bits(unsigned n)
{
	return n < BLOCK ? (UINT64_C(1) << n) - 1 : ~UINT64_C(0);
}

/* Second bytes of E0, ED, F0 and F4. There are few such leads. */
static bool
narrow_valid(const char *text, uint64_t narrow)
{
	const unsigned char *p = (const unsigned char *)text;

	for (; narrow != 0; narrow &= narrow - 1) {
		unsigned i = (unsigned)__builtin_ctzll(narrow);
		unsigned char second = p[i + 1];
		bool is_low = p[i] == 0xe0 ? second < 0xa0
					   : p[i] == 0xf0 && second < 0x90;
		bool is_high = p[i] == 0xed ? second > 0x9f
					    : p[i] == 0xf4 && second > 0x8f;

		if (is_low || is_high)
			return false;
	}
	return true;
}

/* Checks the characters at the front of a block that has `left` bytes of the
 * string and starts with a character. Returns how many bytes they are, which
 * is not 0, or 0 when one is ill-formed. A block that is not the last stops
 * early enough for no character to reach past it. */
static INLINE unsigned
block_valid(const char *p, size_t left, const struct utf8_bits *b)
{
	unsigned n = left < BLOCK ? (unsigned)left : BLOCK;
	uint64_t in = low_bits(n);
	uint64_t lead_in = in & low_bits(n > BLOCK - 3 ? BLOCK - 3 : n);
	uint64_t continuation = b->continuation & in;
	uint64_t expected = (b->high & ~b->continuation & lead_in) << 1 |
	    (b->three & lead_in) << 2 | (b->four & lead_in) << 3;

	if (n > BLOCK - 3)
		n = BLOCK - 3 +
		    (unsigned)__builtin_ctzll(~(continuation >> (BLOCK - 3)));
	if (((expected ^ (continuation & low_bits(n))) |
		(b->never & lead_in)) != 0)
		return 0;
	if ((b->narrow & lead_in) != 0 && !narrow_valid(p, b->narrow & lead_in))
		return 0;
	return n;
}

static const char *
find_stop_sse2(const char *p, const char *end, bool *high)
{
	uint32_t seen = 0, stops;

	for (; p < end; p += 16) {
		__m128i v = json_string_load16(p);

		stops = json_string_stops16(v);
		if (stops != 0) {
			seen |= json_string_high16(v) & (stops - 1) & ~stops;
			p += __builtin_ctz(stops);
			break;
		}
		seen |= json_string_high16(v);
	}
	/* bytes behind the end may have been seen: then it is only checked
	 * in vain */
	*high = seen != 0;
	return p < end ? p : end;
}

static INLINE void
utf8_bits16(const char *p, unsigned shift, struct utf8_bits *b)
{
	__m128i v = json_string_load16(p);
	/* a saturated difference reaches bit 7 from a certain byte on */
	__m128i c0 = _mm_cmpeq_epi8(_mm_and_si128(v, _mm_set1_epi8((char)0xfe)),
	    _mm_set1_epi8((char)0xc0));
	__m128i f5 = _mm_subs_epu8(v, _mm_set1_epi8(0xf5 - 0x80));
	__m128i e0 = _mm_cmpeq_epi8(v, _mm_set1_epi8((char)0xe0));
	__m128i ed = _mm_cmpeq_epi8(v, _mm_set1_epi8((char)0xed));
	/* F0 and F4 differ in one bit */
	__m128i f0 = _mm_cmpeq_epi8(_mm_and_si128(v, _mm_set1_epi8((char)0xfb)),
	    _mm_set1_epi8((char)0xf0));

	b->high |= (uint64_t)json_string_high16(v) << shift;
	b->continuation |= (uint64_t)json_string_high16(
			       _mm_cmplt_epi8(v, _mm_set1_epi8((char)0xc0)))
	    << shift;
	b->three |= (uint64_t)json_string_high16(
			_mm_subs_epu8(v, _mm_set1_epi8(0xe0 - 0x80)))
	    << shift;
	b->four |= (uint64_t)json_string_high16(
		       _mm_subs_epu8(v, _mm_set1_epi8(0xf0 - 0x80)))
	    << shift;
	b->never |= (uint64_t)json_string_high16(_mm_or_si128(c0, f5)) << shift;
	b->narrow |=
	    (uint64_t)json_string_high16(_mm_or_si128(f0, _mm_or_si128(e0, ed)))
	    << shift;
}

static bool
utf8_valid_sse2(const char *p, const char *end)
{
	unsigned taken;

	for (; p < end; p += taken) {
		struct utf8_bits b = { 0 };

		for (unsigned i = 0; i < BLOCK; i += 16)
			utf8_bits16(p + i, i, &b);
		taken = block_valid(p, (size_t)(end - p), &b);
		if (taken == 0)
			return false;
	}
	return true;
}

static const struct json_string_ops sse2_ops = { find_stop_sse2,
	utf8_valid_sse2 };

static INLINE TARGET_AVX2 __m256i
load32(const char *p)
{
	return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

static INLINE TARGET_AVX2 uint32_t
high32(__m256i v)
{
	return (uint32_t)_mm256_movemask_epi8(v);
}

static INLINE TARGET_AVX2 uint32_t
stops32(__m256i v)
{
	__m256i flipped = _mm256_xor_si256(v, _mm256_set1_epi8(2));
	__m256i low = _mm256_cmpeq_epi8(
	    _mm256_min_epu8(flipped, _mm256_set1_epi8(' ')), flipped);

	return high32(
	    _mm256_or_si256(low, _mm256_cmpeq_epi8(v, _mm256_set1_epi8('\\'))));
}

static TARGET_AVX2 const char *
find_stop_avx2(const char *p, const char *end, bool *high)
{
	uint32_t seen = 0, stops;

	for (; p < end; p += 32) {
		__m256i v = load32(p);

		stops = stops32(v);
		if (stops != 0) {
			seen |= high32(v) & (stops - 1) & ~stops;
			p += __builtin_ctz(stops);
			break;
		}
		seen |= high32(v);
	}
	*high = seen != 0;
	return p < end ? p : end;
}

static INLINE TARGET_AVX2 void
utf8_bits32(const char *p, unsigned shift, struct utf8_bits *b)
{
	__m256i v = load32(p);
	__m256i c0 =
	    _mm256_cmpeq_epi8(_mm256_and_si256(v, _mm256_set1_epi8((char)0xfe)),
		_mm256_set1_epi8((char)0xc0));
	__m256i f5 = _mm256_subs_epu8(v, _mm256_set1_epi8(0xf5 - 0x80));
	__m256i e0 = _mm256_cmpeq_epi8(v, _mm256_set1_epi8((char)0xe0));
	__m256i ed = _mm256_cmpeq_epi8(v, _mm256_set1_epi8((char)0xed));
	__m256i f0 =
	    _mm256_cmpeq_epi8(_mm256_and_si256(v, _mm256_set1_epi8((char)0xfb)),
		_mm256_set1_epi8((char)0xf0));

	b->high |= (uint64_t)high32(v) << shift;
	b->continuation |=
	    (uint64_t)high32(_mm256_cmpgt_epi8(_mm256_set1_epi8((char)0xc0), v))
	    << shift;
	b->three |=
	    (uint64_t)high32(_mm256_subs_epu8(v, _mm256_set1_epi8(0xe0 - 0x80)))
	    << shift;
	b->four |=
	    (uint64_t)high32(_mm256_subs_epu8(v, _mm256_set1_epi8(0xf0 - 0x80)))
	    << shift;
	b->never |= (uint64_t)high32(_mm256_or_si256(c0, f5)) << shift;
	b->narrow |=
	    (uint64_t)high32(_mm256_or_si256(f0, _mm256_or_si256(e0, ed)))
	    << shift;
}

static TARGET_AVX2 bool
utf8_valid_avx2(const char *p, const char *end)
{
	unsigned taken;

	for (; p < end; p += taken) {
		struct utf8_bits b = { 0 };

		utf8_bits32(p, 0, &b);
		utf8_bits32(p + 32, 32, &b);
		taken = block_valid(p, (size_t)(end - p), &b);
		if (taken == 0)
			return false;
	}
	return true;
}

static const struct json_string_ops avx2_ops = { find_stop_avx2,
	utf8_valid_avx2 };

static const struct json_string_ops *const ops_of[] = { &plain_ops, &sse2_ops,
	&avx2_ops };

enum json_scan_cpu
json_string_best_cpu(void)
{
	return __builtin_cpu_supports("avx2") ? JSON_SCAN_AVX2 : JSON_SCAN_SSE2;
}

#else

static const struct json_string_ops *const ops_of[] = { &plain_ops };

enum json_scan_cpu
json_string_best_cpu(void)
{
	return JSON_SCAN_PLAIN;
}

#endif

const struct json_string_ops *
json_string_ops(enum json_scan_cpu cpu)
{
	must((unsigned)cpu <= (unsigned)json_string_best_cpu());
	return ops_of[cpu];
}
