/*
 * smile_value - Smile's numbers and binaries, and their JSON text
 *
 * Process: receiver. Pure.
 */
#include "smile_value.h"

#include <string.h>

#include "panic.h"

#include "double_text.h"

#define BIG_WORDS (SMILE_VALUE_BIG_BYTES_MAX / 8)
#define BIG_DIGITS 1008 /* 2^3327 has 1002; whole chunks of CHUNK_DIGITS */
#define CHUNK UINT64_C(10000000000000000000)
#define CHUNK_DIGITS 19

_Static_assert(BIG_WORDS * 8 == SMILE_VALUE_BIG_BYTES_MAX, "whole words");

const unsigned char *
smile_value_read_vint(const unsigned char *p, const unsigned char *end,
    unsigned bits, uint64_t *number)
{
	unsigned most = bits == 32 ? 5 : 10;
	uint64_t n = 0;

	for (; p < end && most > 0; most--) {
		unsigned char b = *p++;

		if (b & 0x80) {
			/* the last one has six bits, so as never to be FF */
			if ((b & 0x40) || n >> (bits - 6))
				return NULL;
			*number = n << 6 | (b & 0x3f);
			return p;
		}
		if (n >> (bits - 7))
			return NULL;
		n = n << 7 | b;
	}
	return NULL;
}

const unsigned char *
smile_value_read_groups(const unsigned char *p, const unsigned char *end,
    unsigned groups, uint64_t *number)
{
	unsigned char seen = 0;
	uint64_t n = 0;

	if ((size_t)(end - p) < groups)
		return NULL;
	for (unsigned i = 0; i < groups; i++) {
		seen |= p[i];
		n = n << 7 | p[i];
	}
	/* bits of the first one that no number needs are not heeded */
	*number = n;
	return seen & 0x80 ? NULL : p + groups;
}

size_t
smile_value_safe_bytes(size_t count)
{
	return count / 7 * 8 + (count % 7 > 0 ? count % 7 + 1 : 0);
}

/* The last 1 … 6 bytes: 7 bits in each byte, in one more what is left. */
static unsigned char
from_safe_rest(const unsigned char *from, size_t count, unsigned char *to)
{
	unsigned left = (unsigned)count;
	unsigned char seen = from[count];
	uint64_t x = 0;

	for (size_t i = 0; i < count; i++) {
		seen |= from[i];
		x = x << 7 | from[i];
	}
	x = x << left | (from[count] & ((1u << left) - 1));
	for (; count > 0; x >>= 8)
		to[--count] = (unsigned char)x;
	return seen;
}

bool
smile_value_from_safe(const unsigned char *from, size_t count, void *to)
{
	unsigned char *out = to;
	uint64_t seen = 0, x;

	for (; count >= 7; count -= 7, from += 8, out += 7) {
		memcpy(&x, from, sizeof x);
		seen |= x;
		x = __builtin_bswap64(x);
		/* eight groups of 7 bits, four of 14, two of 28, one of 56 */
		x = (x & 0x007f007f007f007f) | (x & 0x7f007f007f007f00) >> 1;
		x = (x & 0x00003fff00003fff) | (x & 0x3fff00003fff0000) >> 2;
		x = (x & 0x000000000fffffff) | (x & 0x0fffffff00000000) >> 4;
		x = __builtin_bswap64(x << 8);
		memcpy(out, &x, 7);
	}
	if (count > 0)
		seen |= from_safe_rest(from, count, out);
	return (seen & 0x8080808080808080) == 0;
}

char *
smile_value_write_int(char *to, int64_t number)
{
	uint64_t n = (uint64_t)number;
	char digits[20];
	unsigned at = sizeof digits;

	if (number < 0) {
		*to++ = '-';
		n = 0 - n;
	}
	do
		digits[--at] = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	memcpy(to, digits + at, sizeof digits - at);
	return to + (sizeof digits - at);
}

static char *
write_text(char *to, const char *text)
{
	size_t bytes = strlen(text);

	memcpy(to, text, bytes);
	return to + bytes;
}

static char *
write_no_number(char *to, bool is_infinite, bool is_negative)
{
	if (!is_infinite)
		return write_text(to, "\"NaN\"");
	return write_text(to, is_negative ? "\"-Infinity\"" : "\"Infinity\"");
}

char *
smile_value_write_double(char *to, uint64_t bits)
{
	double number;

	memcpy(&number, &bits, sizeof number);
	if (UNLIKELY((bits >> 52 & 0x7ff) == 0x7ff))
		return write_no_number(to, bits << 12 == 0, bits >> 63);
	return double_text_write(to, number);
}

char *
smile_value_write_float(char *to, uint32_t bits)
{
	float number;

	memcpy(&number, &bits, sizeof number);
	if (UNLIKELY((bits >> 23 & 0xff) == 0xff))
		return write_no_number(to, bits << 9 == 0, bits >> 31);
	return double_text_write_float(to, number);
}

/* The magnitude as words, the lowest first; returns how many. */
static unsigned
to_words(const unsigned char *bytes, size_t count, uint64_t *words)
{
	bool is_negative = bytes[0] & 0x80;
	unsigned used = (unsigned)(count + 7) / 8, carry = is_negative;

	memset(words, 0, used * sizeof *words);
	for (size_t i = 0; i < count; i++) {
		unsigned b = bytes[count - 1 - i];

		if (is_negative)
			b = (b ^ 0xff) + carry;
		carry = b >> 8 & carry;
		words[i / 8] |= (uint64_t)(b & 0xff) << i % 8 * 8;
	}
	while (used > 0 && words[used - 1] == 0)
		used--;
	return used;
}

/* Divides by CHUNK, returns the rest. */
static uint64_t
divide(uint64_t *words, unsigned used)
{
	unsigned __int128 rest = 0;

	while (used-- > 0) {
		rest = rest << 64 | words[used];
		words[used] = (uint64_t)(rest / CHUNK);
		rest %= CHUNK;
	}
	return (uint64_t)rest;
}

/* Digits into the end of digits[BIG_DIGITS]; returns how many, at least 1. */
static unsigned
to_digits(uint64_t *words, unsigned used, char *digits)
{
	unsigned at = BIG_DIGITS;

	while (used > 0) {
		uint64_t chunk = divide(words, used);

		if (words[used - 1] == 0)
			used--;
		for (unsigned i = 0; i < CHUNK_DIGITS; i++) {
			if (used == 0 && chunk == 0)
				break;
			digits[--at] = (char)('0' + chunk % 10);
			chunk /= 10;
		}
	}
	if (at == BIG_DIGITS)
		digits[--at] = '0';
	return BIG_DIGITS - at;
}

/* As BigDecimal.toString: with an exponent when zeros would be many. */
static char *
write_scaled(char *to, const char *digits, unsigned count, int64_t scale)
{
	int64_t exponent = (int64_t)count - 1 - scale, whole = count - scale;

	if (scale < 0 || exponent < -6) {
		*to++ = digits[0];
		if (count > 1)
			*to++ = '.';
		memcpy(to, digits + 1, count - 1);
		to += count - 1;
		to = write_text(to, exponent > 0 ? "E+" : "E");
		return smile_value_write_int(to, exponent);
	}
	if (whole <= 0) {
		to = write_text(to, "0.");
		for (; whole < 0; whole++)
			*to++ = '0';
	} else {
		memcpy(to, digits, (size_t)whole);
		to += whole;
		if (scale > 0)
			*to++ = '.';
	}
	memcpy(to, digits + whole, count - (size_t)whole);
	return to + (count - (size_t)whole);
}

char *
smile_value_write_big(
    char *to, const unsigned char *bytes, size_t count, int32_t scale)
{
	uint64_t words[BIG_WORDS];
	char digits[BIG_DIGITS];
	unsigned used;

	must(count > 0 && count <= SMILE_VALUE_BIG_BYTES_MAX);
	if (bytes[0] & 0x80)
		*to++ = '-';
	used = to_digits(words, to_words(bytes, count, words), digits);
	return write_scaled(to, digits + BIG_DIGITS - used, used, scale);
}
