/*
 * double_text - the shortest text that reads back to the same number
 *
 * Process: receiver. Pure.
 *
 * R. Giulietti's Schubfach: the interval that rounds to the number is scaled
 * by a power of ten to where it holds one or two integers of at most 17
 * digits. The powers are needed to 128 bits, rounded up. They are worked out
 * exactly at the first use (0.2 ms) rather than listed.
 */
#include "double_text.h"

#include <string.h>

#include "panic.h"

#define POWER_MIN (-292)
#define POWER_MAX 324
#define WORDS 20 /* 10^324 takes 1077 bits, 2^1248 / 10^292 more than 128 */
#define PLAIN_MIN (-3) /* exponents of ten that are written out */
#define PLAIN_MAX 6

struct power {
	uint64_t high, low;
};

/* The interval's middle is c * 2^q. */
struct binary {
	uint64_t c;
	int q;
	bool is_lower_closer; /* the number below lies half as far */
};

struct decimal {
	uint64_t digits;
	int exponent;
};

static struct power powers[POWER_MAX - POWER_MIN + 1];

/* The 128 bits from the highest one on, rounded up when `is_cut` or when ones
 * are left behind. */
static struct power
top_bits(const uint64_t *words, bool is_cut)
{
	struct power p;
	uint64_t rest;
	unsigned top = WORDS - 1, shift;

	while (words[top] == 0)
		top--;
	shift = (unsigned)__builtin_clzll(words[top]);
	p.high = words[top] << shift;
	p.low = top > 0 ? words[top - 1] << shift : 0;
	rest = top > 1 ? words[top - 2] << shift : 0;
	if (shift > 0) {
		p.high |= top > 0 ? words[top - 1] >> (64 - shift) : 0;
		p.low |= top > 1 ? words[top - 2] >> (64 - shift) : 0;
	}
	for (unsigned i = 0; i + 2 < top; i++)
		rest |= words[i];
	if ((is_cut || rest != 0) && ++p.low == 0)
		p.high++;
	return p;
}

static void
times_ten(uint64_t *words)
{
	unsigned __int128 carry = 0;

	for (unsigned i = 0; i < WORDS; i++) {
		carry += (unsigned __int128)words[i] * 10;
		words[i] = (uint64_t)carry;
		carry >>= 64;
	}
}

static void
divide_by_ten(uint64_t *words)
{
	unsigned __int128 rest = 0;

	for (unsigned i = WORDS; i-- > 0;) {
		rest = rest << 64 | words[i];
		words[i] = (uint64_t)(rest / 10);
		rest %= 10;
	}
}

static void
make_powers(void)
{
	uint64_t words[WORDS] = { 1 };

	for (int k = 0; k <= POWER_MAX; k++) {
		powers[k - POWER_MIN] = top_bits(words, false);
		times_ten(words);
	}
	/* the quotients of 2^n, each the floor of the true one */
	memset(words, 0, sizeof words);
	words[WORDS - 1] = UINT64_C(1) << 63;
	for (int k = -1; k >= POWER_MIN; k--) {
		divide_by_ten(words);
		powers[k - POWER_MIN] = top_bits(words, true);
	}
}

static inline int
floor_log2_of_power(int k)
{
	return (k * 1741647) >> 19;
}

/* Product shifted right by 128; the last bit also says that ones were cut. */
static inline uint64_t
multiply_round_odd(struct power g, uint64_t c)
{
	unsigned __int128 low = (unsigned __int128)g.low * c;
	unsigned __int128 high = (unsigned __int128)g.high * c + (low >> 64);

	return (uint64_t)(high >> 64) | ((uint64_t)high > 1);
}

static struct decimal
shortest(struct binary b)
{
	bool is_odd = b.c & 1, is_lower_in, is_upper_in;
	int k = (b.q * 1262611 - (b.is_lower_closer ? 524031 : 0)) >> 22;
	int shift = b.q + floor_log2_of_power(-k) + 1;
	struct power g = powers[-k - POWER_MIN];
	uint64_t lower =
	    multiply_round_odd(g, (4 * b.c - 2 + b.is_lower_closer) << shift);
	uint64_t middle = multiply_round_odd(g, 4 * b.c << shift);
	uint64_t upper = multiply_round_odd(g, (4 * b.c + 2) << shift);
	uint64_t s = middle / 4;

	/* the bounds themselves round to the even neighbour */
	lower += is_odd;
	upper -= is_odd;
	if (s >= 10) {
		uint64_t tens = s / 10;

		is_lower_in = lower <= 40 * tens;
		is_upper_in = 40 * tens + 40 <= upper;
		if (is_lower_in != is_upper_in)
			return (struct decimal){ tens + is_upper_in, k + 1 };
	}
	is_lower_in = lower <= 4 * s;
	is_upper_in = 4 * s + 4 <= upper;
	if (is_lower_in != is_upper_in)
		return (struct decimal){ s + is_upper_in, k };
	/* both: the nearer one, the even one of two as near */
	if (middle > 4 * s + 2 || (middle == 4 * s + 2 && (s & 1)))
		s++;
	return (struct decimal){ s, k };
}

static struct decimal
to_decimal(struct binary b)
{
	struct decimal d;

	/* whole numbers below 2^53 are their own digits */
	if (b.q <= 0 && b.q > -64 && (b.c & ((UINT64_C(1) << -b.q) - 1)) == 0) {
		d = (struct decimal){ b.c >> -b.q, 0 };
	} else {
		if (UNLIKELY(powers[0].high == 0))
			make_powers();
		d = shortest(b);
	}
	while (d.digits % 10 == 0) {
		d.digits /= 10;
		d.exponent++;
	}
	return d;
}

static char *
write_exponent(char *to, int exponent)
{
	*to++ = 'E';
	if (exponent < 0)
		*to++ = '-';
	exponent = exponent < 0 ? -exponent : exponent;
	if (exponent >= 100)
		*to++ = (char)('0' + exponent / 100);
	if (exponent >= 10)
		*to++ = (char)('0' + exponent / 10 % 10);
	*to++ = (char)('0' + exponent % 10);
	return to;
}

/* There is always a digit before the point and one behind it. */
static char *
lay_out(char *to, struct decimal d)
{
	char digits[20] = { 0 };
	int count = 0, first, whole;
	bool is_plain;

	for (uint64_t n = d.digits; n > 0; n /= 10)
		digits[sizeof digits - (size_t)++count] = (char)('0' + n % 10);
	first = (int)sizeof digits - count;
	whole = count + d.exponent; /* digits before the point, when plain */
	is_plain = whole > PLAIN_MIN && whole <= PLAIN_MAX + 1;
	if (!is_plain)
		whole = 1;
	if (whole <= 0)
		*to++ = '0';
	for (int i = 0; i < whole; i++)
		*to++ = i < count ? digits[first + i] : '0';
	*to++ = '.';
	for (int i = whole; i < 0; i++)
		*to++ = '0';
	if (whole >= count)
		*to++ = '0';
	for (int i = MAX_OF(whole, 0); i < count; i++)
		*to++ = digits[first + i];
	return is_plain ? to : write_exponent(to, count + d.exponent - 1);
}

static char *
write_zero(char *to)
{
	memcpy(to, "0.0", 3);
	return to + 3;
}

char *
double_text_write(char *to, double number)
{
	uint64_t bits, fraction;
	int exponent;
	struct binary b;

	memcpy(&bits, &number, sizeof bits);
	fraction = bits & ((UINT64_C(1) << 52) - 1);
	exponent = (int)(bits >> 52 & 0x7ff);
	must(exponent < 0x7ff);
	if (bits >> 63)
		*to++ = '-';
	if (exponent == 0 && fraction == 0)
		return write_zero(to);
	b.c = exponent == 0 ? fraction : fraction | UINT64_C(1) << 52;
	b.q = (exponent == 0 ? 1 : exponent) - 1075;
	b.is_lower_closer = fraction == 0 && exponent > 1;
	return lay_out(to, to_decimal(b));
}

char *
double_text_write_float(char *to, float number)
{
	uint32_t bits, fraction;
	int exponent;
	struct binary b;

	memcpy(&bits, &number, sizeof bits);
	fraction = bits & ((1u << 23) - 1);
	exponent = (int)(bits >> 23 & 0xff);
	must(exponent < 0xff);
	if (bits >> 31)
		*to++ = '-';
	if (exponent == 0 && fraction == 0)
		return write_zero(to);
	b.c = exponent == 0 ? fraction : fraction | 1u << 23;
	b.q = (exponent == 0 ? 1 : exponent) - 150;
	b.is_lower_closer = fraction == 0 && exponent > 1;
	return lay_out(to, to_decimal(b));
}
