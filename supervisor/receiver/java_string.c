/*
 * java_string - what Java makes of text and numbers: order, hashes, digits
 *
 * Process: receiver. Pure, but for the decimal point of strtod and snprintf:
 * no tranqd process calls setlocale, so it is always '.'.
 */
#include "java_string.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "panic.h"

#include "java_double.h"

/* Decimals of so many digits name a double each, so that no shorter one does
 * where one of them does. */
#define DIGITS_SURE 15
#define DIGITS_MAX JAVA_DOUBLE_DIGITS
/* Powers of ten between which Java prints those digits: far from what is
 * subnormal, and below where whole numbers have several names. */
#define EXPONENT_LEAST (-290)
#define EXPONENT_MOST 15
#define EXPONENT_MAX 1000000 /* as good as any larger one */

#define HASH_STEP 31u /* String.hashCode's */

/* A text, taken one UTF-16 code unit after the other. */
struct units {
	const char *at, *end;
	bool is_escaped;
	unsigned low; /* the second unit of a pair, to come; or 0 */
};

/* 0.d1 d2 … dn times ten to the exponent. No digits: zero. */
struct decimal {
	char digits[DIGITS_MAX];
	unsigned count; /* of significant digits, may exceed the room */
	int64_t exponent;
	bool is_negative;
};

static unsigned
hex_value(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

static unsigned
next_escaped(struct units *u)
{
	static const char letters[] = "bfnrt", meaning[] = "\b\f\n\r\t";
	const char *at = u->at, *letter;
	unsigned unit = 0;

	must(u->end - at >= 2);
	if (at[1] != 'u') {
		u->at += 2;
		letter = strchr(letters, at[1]);
		return (unsigned char)(letter != NULL
			? meaning[letter - letters]
			: at[1]);
	}
	must(u->end - at >= 6);
	u->at += 6;
	for (unsigned i = 2; i < 6; i++)
		unit = unit << 4 | hex_value(at[i]);
	return unit;
}

/* A character of several bytes. What is not UTF-8 is not read past the end. */
static inline unsigned
next_wide(struct units *u)
{
	unsigned lead = (unsigned char)*u->at++;
	unsigned more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
	unsigned c = lead & (0x3fu >> more);

	for (; more > 0 && u->at < u->end; more--)
		c = c << 6 | ((unsigned char)*u->at++ & 0x3f);
	if (c < 0x10000)
		return c;
	u->low = 0xdc00 + (c & 0x3ff);
	return 0xd800 + ((c - 0x10000) >> 10);
}

/* The next unit, or -1. */
static int
next_unit(struct units *u)
{
	if (u->low != 0) {
		unsigned low = u->low;

		u->low = 0;
		return (int)low;
	}
	if (u->at == u->end)
		return -1;
	if ((unsigned char)*u->at >= 0x80)
		return (int)next_wide(u);
	if (*u->at == '\\' && u->is_escaped)
		return (int)next_escaped(u);
	return *u->at++;
}

static struct units
units_from(struct java_string s, size_t skipped)
{
	return (struct units){ .at = s.text + skipped,
		.end = s.text + s.bytes,
		.is_escaped = s.is_escaped };
}

/* Adds eight bytes to a hash, if they are ASCII. */
static inline bool
hash_eight(const char *p, uint32_t *hash)
{
	/* of 31, modulo 2^32 */
	static const uint32_t powers[] = { 1742810335u, 887503681u, 28629151u,
		923521u, 29791u, 961u, 31u, 1u };
	uint32_t sum = 0;
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	if ((word & UINT64_C(0x8080808080808080)) != 0)
		return false;
	for (unsigned i = 0; i < ARRAY_LEN(powers); i++)
		sum += (unsigned char)p[i] * powers[i];
	*hash = *hash * (powers[0] * HASH_STEP) + sum;
	return true;
}

/* Without escapes: most of a text goes eight bytes at a time. Where there are
 * bytes that are not ASCII, the next ones likely are not either. */
static uint32_t
hash_plain(const char *p, const char *end)
{
	struct units wide = { .end = end };
	uint32_t hash = 0;

	while (p < end) {
		const char *stop = p + 8;

		if (end - p >= 8 && hash_eight(p, &hash)) {
			p += 8;
			continue;
		}
		while (p < end && p < stop) {
			if ((unsigned char)*p < 0x80) {
				hash = hash * HASH_STEP + (unsigned char)*p++;
				continue;
			}
			wide.at = p;
			hash = hash * HASH_STEP + next_wide(&wide);
			if (wide.low != 0)
				hash = hash * HASH_STEP + wide.low;
			wide.low = 0;
			p = wide.at;
		}
	}
	return hash;
}

int32_t
java_string_hash(struct java_string s)
{
	struct units u = units_from(s, 0);
	uint32_t hash = 0;
	int unit;

	if (!s.is_escaped)
		return (int32_t)hash_plain(s.text, s.text + s.bytes);
	while ((unit = next_unit(&u)) >= 0)
		hash = hash * HASH_STEP + (uint32_t)unit;
	return (int32_t)hash;
}

/* How many bytes two texts have in common at their start. */
static size_t
common_bytes(const char *a, const char *b, size_t bytes)
{
	size_t n = 0;

	while (bytes - n >= 8 && memcmp(a + n, b + n, 8) == 0)
		n += 8;
	while (n < bytes && a[n] == b[n])
		n++;
	return n;
}

int
java_string_compare(struct java_string a, struct java_string b)
{
	struct units left, right;
	size_t same = 0;
	int x, y;

	if (!a.is_escaped && !b.is_escaped) {
		size_t bytes = MIN_OF(a.bytes, b.bytes);

		same = common_bytes(a.text, b.text, bytes);
		if (same == bytes)
			return (a.bytes > bytes) - (b.bytes > bytes);
		x = (unsigned char)a.text[same];
		y = (unsigned char)b.text[same];
		/* Bytes are in the order of units but for leads from EE on:
		 * pairs of surrogates come before U+E000. */
		if (x < 0xee && y < 0xee)
			return x < y ? -1 : 1;
	}
	left = units_from(a, same);
	right = units_from(b, same);
	do {
		x = next_unit(&left);
		y = next_unit(&right);
	} while (x == y && x >= 0);
	return (x > y) - (x < y);
}

static char *
put_unit(char *out, unsigned c)
{
	if (c < 0x80) {
		*out++ = (char)c;
	} else if (c < 0x800) {
		*out++ = (char)(0xc0 | c >> 6);
		*out++ = (char)(0x80 | (c & 0x3f));
	} else {
		*out++ = (char)(0xe0 | c >> 12);
		*out++ = (char)(0x80 | (c >> 6 & 0x3f));
		*out++ = (char)(0x80 | (c & 0x3f));
	}
	return out;
}

/* A pair whose first unit was written as three bytes becomes one of four. */
static char *
join_pair(char *out, unsigned high, unsigned low)
{
	unsigned c = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);

	out -= 3;
	*out++ = (char)(0xf0 | c >> 18);
	*out++ = (char)(0x80 | (c >> 12 & 0x3f));
	*out++ = (char)(0x80 | (c >> 6 & 0x3f));
	*out++ = (char)(0x80 | (c & 0x3f));
	return out;
}

size_t
java_string_unescape(struct java_string s, char *out)
{
	struct units u = units_from(s, 0);
	char *start = out;
	unsigned last = 0;
	int next;

	while ((next = next_unit(&u)) >= 0) {
		unsigned unit = (unsigned)next;
		bool is_low = unit >= 0xdc00 && unit <= 0xdfff;

		if (is_low && last >= 0xd800 && last <= 0xdbff)
			out = join_pair(out, last, unit);
		else
			out = put_unit(out, unit);
		last = unit;
	}
	return (size_t)(out - start);
}

static void
add_digit(struct decimal *d, unsigned *zeros, char c)
{
	if (c == '0') {
		/* of consequence only if another digit follows */
		*zeros += d->count > 0;
		return;
	}
	for (; *zeros > 0 && d->count < DIGITS_MAX; --*zeros)
		d->digits[d->count++] = '0';
	d->count += *zeros;
	*zeros = 0;
	if (d->count < DIGITS_MAX)
		d->digits[d->count] = c;
	d->count++;
}

/* The exponent behind the e, with its sign. */
static int64_t
read_exponent(const char *p, const char *end)
{
	bool is_negative = *p == '-';
	int64_t value = 0;

	if (*p == '-' || *p == '+')
		p++;
	for (; p < end && value < EXPONENT_MAX; p++)
		value = value * 10 + (*p - '0');
	return is_negative ? -value : value;
}

static struct decimal
read_decimal(const char *p, size_t bytes)
{
	struct decimal d = { .is_negative = *p == '-' };
	const char *end = p + bytes;
	bool is_fraction = false;
	unsigned zeros = 0;

	for (p += d.is_negative; p < end; p++) {
		if (*p == '.') {
			is_fraction = true;
			continue;
		}
		if (*p == 'e' || *p == 'E')
			break;
		add_digit(&d, &zeros, *p);
		if (is_fraction)
			d.exponent -= d.count == 0;
		else
			d.exponent += d.count > 0;
	}
	if (p < end)
		d.exponent += read_exponent(p + 1, end);
	return d;
}

/* The digits of the double of a literal. */
static struct decimal
digits_of(double value)
{
	struct decimal d = { .is_negative = signbit(value) };
	int exponent;

	d.count = java_double_digits(fabs(value), d.digits, &exponent);
	d.exponent = exponent;
	return d;
}

static char *
put_digits(char *out, const struct decimal *d, int64_t from, int64_t to)
{
	for (; from < to; from++)
		*out++ = from >= 0 && from < d->count ? d->digits[from] : '0';
	return out;
}

/* As Double.toString lays it out. */
static size_t
put_double(const struct decimal *d, char out[static JAVA_NUMBER_BYTES])
{
	char *start = out;
	int64_t count = d->count;
	bool is_plain = count == 0 || (d->exponent > -3 && d->exponent <= 7);
	/* digits before the point; none of them: a zero there */
	int64_t whole = count == 0 || !is_plain ? 1 : MAX_OF(d->exponent, 1);
	int64_t from =
	    is_plain && count > 0 && d->exponent < 1 ? d->exponent - 1 : 0;

	if (d->is_negative)
		*out++ = '-';
	out = put_digits(out, d, from, from + whole);
	*out++ = '.';
	out = put_digits(out, d, from + whole, MAX_OF(count, from + whole + 1));
	if (!is_plain)
		out += snprintf(out, (size_t)(start + JAVA_NUMBER_BYTES - out),
		    "E%d", (int)(d->exponent - 1));
	return (size_t)(out - start);
}

static bool
is_whole(const char *literal, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (literal[i] == '.' || (literal[i] | 0x20) == 'e')
			return false;
	return true;
}

struct java_string
java_string_of_number(
    const char *literal, size_t bytes, char out[static JAVA_NUMBER_BYTES])
{
	struct decimal d;
	double value;

	if (is_whole(literal, bytes)) {
		if (bytes == 2 && memcmp(literal, "-0", 2) == 0)
			return (struct java_string){ .text = "0", .bytes = 1 };
		return (struct java_string){ .text = literal, .bytes = bytes };
	}
	d = read_decimal(literal, bytes);
	if (d.count > DIGITS_SURE || d.exponent < EXPONENT_LEAST ||
	    d.exponent > EXPONENT_MOST) {
		value = strtod(literal, NULL);
		if (isinf(value))
			return value < 0
			    ? (struct java_string){ "-Infinity", 9, false }
			    : (struct java_string){ "Infinity", 8, false };
		if (value == 0)
			d.count = 0;
		else
			d = digits_of(value);
	}
	return (
	    struct java_string){ .text = out, .bytes = put_double(&d, out) };
}
