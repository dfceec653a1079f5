/*
 * java_double - the digits that Java prints of a double
 *
 * Process: receiver. Pure.
 *
 * Steele and White's way: the number is B / S times a power of ten, and M half
 * the distance to the next double on the same scale. Digits are taken off B / S
 * until what is left is less than M away from them, from below or above. What
 * sets the JDK apart are the rules for when that holds, and that whole numbers
 * are printed whole; all of them are kept here, to the overflow of its long
 * arithmetic.
 */
#include "java_double.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "panic.h"

#define FRACTION_BITS 52
#define WHOLE_EXPONENT_MAX 62 /* numbers below 2^63 */
#define WORDS_MAX 40 /* 1280 bits: 5^325 times a mantissa, and more */
#define FIVES_MAX 27 /* 5^27 fits a long */

/* A number of many words, the lowest first. */
struct big {
	uint32_t words[WORDS_MAX];
	unsigned count;
};

/* mantissa times 2^(exponent - bits + 1), where the mantissa is odd and has so
 * many bits; `significant` of them could have been there. */
struct parts {
	uint64_t mantissa;
	int exponent, bits, significant;
};

/* B, S and M, as powers of five and two; B has the mantissa besides. */
struct scale {
	int b5, b2, s5, s2, m5, m2;
	int exponent; /* of the first digit, or one less */
};

struct digits {
	char *text;
	unsigned count;
};

/* How the digits end. */
struct end {
	bool low, high;
	int half; /* what is left, against a half: its sign, when both hold */
};

/* ---- numbers of many words ---- */

static void
big_multiply(struct big *b, uint32_t factor)
{
	uint64_t carry = 0;

	for (unsigned i = 0; i < b->count; i++) {
		carry += (uint64_t)b->words[i] * factor;
		b->words[i] = (uint32_t)carry;
		carry >>= 32;
	}
	if (carry > 0) {
		must(b->count < WORDS_MAX);
		b->words[b->count++] = (uint32_t)carry;
	}
}

static void
big_shift(struct big *b, unsigned bits)
{
	unsigned words = bits / 32;

	for (; bits % 32 > 0; bits--)
		big_multiply(b, 2);
	if (words == 0 || b->count == 0)
		return;
	must(b->count + words <= WORDS_MAX);
	memmove(b->words + words, b->words, b->count * sizeof b->words[0]);
	memset(b->words, 0, words * sizeof b->words[0]);
	b->count += words;
}

/* value times 5^fives times 2^twos. */
static void
big_set(struct big *b, uint64_t value, int fives, int twos)
{
	b->words[0] = (uint32_t)value;
	b->words[1] = (uint32_t)(value >> 32);
	b->count = value == 0 ? 0 : value >> 32 == 0 ? 1 : 2;
	for (; fives >= 13; fives -= 13)
		big_multiply(b, 1220703125); /* 5^13 */
	for (; fives > 0; fives--)
		big_multiply(b, 5);
	big_shift(b, (unsigned)twos);
}

static int
big_compare(const struct big *a, const struct big *b)
{
	if (a->count != b->count)
		return a->count < b->count ? -1 : 1;
	for (unsigned i = a->count; i-- > 0;)
		if (a->words[i] != b->words[i])
			return a->words[i] < b->words[i] ? -1 : 1;
	return 0;
}

/* a - b, not below 0. */
static void
big_subtract(struct big *a, const struct big *b)
{
	int64_t borrow = 0;

	for (unsigned i = 0; i < a->count; i++) {
		borrow += a->words[i];
		borrow -= i < b->count ? b->words[i] : 0;
		a->words[i] = (uint32_t)borrow;
		borrow >>= 32;
	}
	while (a->count > 0 && a->words[a->count - 1] == 0)
		a->count--;
}

static void
big_add(struct big *a, const struct big *b)
{
	uint64_t carry = 0;

	for (unsigned i = 0; i < b->count || (carry > 0 && i < WORDS_MAX);
	     i++) {
		if (i == a->count)
			a->words[a->count++] = 0;
		carry += a->words[i];
		carry += i < b->count ? b->words[i] : 0;
		a->words[i] = (uint32_t)carry;
		carry >>= 32;
	}
	must(carry == 0);
}

/* Takes the quotient of b / s, a digit, off b, and goes on to the next one. */
static int
big_digit(struct big *b, const struct big *s)
{
	int digit = 0;

	for (; big_compare(b, s) >= 0; digit++)
		big_subtract(b, s);
	must(digit < 10);
	big_multiply(b, 10);
	return digit;
}

/* ---- how the digits are taken ---- */

static void
add_digit(struct digits *d, int digit)
{
	must(d->count < JAVA_DOUBLE_DIGITS);
	d->text[d->count++] = (char)('0' + digit);
}

/* The first digit; 0 is none but when it will be rounded up. Numbers that are
 * printed with an exponent have at least two. */
static void
add_first(struct digits *d, int digit, struct end *end, int *exponent)
{
	if (digit == 0 && !end->high)
		--*exponent;
	else
		add_digit(d, digit);
	if (*exponent < -3 || *exponent >= 8)
		end->low = end->high = false;
}

static struct end
big_end(const struct big *b, const struct big *m, const struct big *tens)
{
	struct big sum = *b;
	struct end end = { .low = big_compare(b, m) < 0 };

	big_add(&sum, m);
	end.high = big_compare(tens, &sum) <= 0;
	return end;
}

static struct end
take_big(struct scale *at, uint64_t mantissa, struct digits *d)
{
	struct big b, s, m, tens;
	struct end end;
	int digit;

	big_set(&b, mantissa, at->b5, at->b2);
	big_set(&s, 1, at->s5, at->s2);
	big_set(&m, 1, at->m5 + 1, at->m2 + 1);
	big_set(&tens, 1, at->s5 + 1, at->s2 + 1);
	digit = big_digit(&b, &s);
	end = big_end(&b, &m, &tens);
	add_first(d, digit, &end, &at->exponent);
	while (!end.low && !end.high) {
		digit = big_digit(&b, &s);
		big_multiply(&m, 10);
		end = big_end(&b, &m, &tens);
		add_digit(d, digit);
	}
	big_shift(&b, 1);
	end.half = big_compare(&b, &tens);
	return end;
}

static uint64_t
power_of_5(int fives)
{
	uint64_t power = 1;

	for (; fives > 0; fives--)
		power *= 5;
	return power;
}

/* As above in words of 64 bits. M may overflow; then it is larger than all
 * else, as long as it looks negative. Its sum with B is strictly compared. */
static struct end
take_long(struct scale *at, uint64_t mantissa, struct digits *d)
{
	uint64_t b = (mantissa * power_of_5(at->b5)) << at->b2;
	uint64_t s = power_of_5(at->s5) << at->s2;
	uint64_t m = power_of_5(at->m5) << at->m2;
	uint64_t tens = s * 10;
	struct end end = { false };
	bool is_first = true;
	int digit;

	do {
		digit = (int)(b / s);
		b = 10 * (b % s);
		m *= 10;
		end.low = (int64_t)m <= 0 || (int64_t)b < (int64_t)m;
		end.high = (int64_t)m <= 0 || (int64_t)(b + m) > (int64_t)tens;
		if (is_first)
			add_first(d, digit, &end, &at->exponent);
		else
			add_digit(d, digit);
		is_first = false;
	} while (!end.low && !end.high);
	b <<= 1;
	end.half = (int64_t)(b - tens) < 0 ? -1 : b != tens;
	return end;
}

/* One more in the last place. */
static void
round_up(struct digits *d, int *exponent)
{
	unsigned i = d->count;

	while (i > 0 && d->text[i - 1] == '9')
		d->text[--i] = '0';
	if (i > 0) {
		d->text[i - 1]++;
		return;
	}
	d->text[0] = '1';
	++*exponent;
}

static void
finish(struct digits *d, const struct end *end, int *exponent)
{
	bool is_odd = (d->text[d->count - 1] & 1) != 0;

	if (!end->high)
		return;
	if (!end->low || end->half > 0 || (end->half == 0 && is_odd))
		round_up(d, exponent);
}

/* ---- the number's parts ---- */

static struct parts
take_apart(double value)
{
	uint64_t bits, mantissa;
	struct parts p;
	int field;

	memcpy(&bits, &value, sizeof bits);
	field = (int)(bits >> FRACTION_BITS & 0x7ff);
	mantissa = bits & ((UINT64_C(1) << FRACTION_BITS) - 1);
	p.significant = FRACTION_BITS + 1;
	if (field > 0)
		mantissa |= UINT64_C(1) << FRACTION_BITS;
	else
		p.significant = 64 - __builtin_clzll(mantissa);
	p.exponent = MAX_OF(field, 1) - 1076 + p.significant;
	p.bits = p.significant - __builtin_ctzll(mantissa);
	p.mantissa = mantissa >> __builtin_ctzll(mantissa);
	return p;
}

/* How many decimal digits 2^bits leaves without meaning. */
static int
idle_digits(int bits)
{
	return bits > 1 ? bits * 30103 / 100000 : 0;
}

static unsigned
take_whole(const struct parts *p, char *digits, int *exponent)
{
	uint64_t value = p->mantissa << (p->exponent - p->bits + 1);
	uint64_t unit = 1;
	int idle = p->exponent > p->significant
	    ? idle_digits(p->exponent - p->significant - 1)
	    : 0;
	unsigned count = 0;
	char text[JAVA_DOUBLE_DIGITS] = "";

	for (int i = 0; i < idle; i++)
		unit *= 10;
	value = value / unit + (idle > 0 && value % unit >= unit / 2);
	for (; value > 0; value /= 10)
		text[count++] = (char)('0' + value % 10);
	*exponent = idle + (int)count;
	for (unsigned i = 0; i < count; i++)
		digits[i] = text[count - 1 - i];
	while (count > 1 && digits[count - 1] == '0')
		count--;
	return count;
}

/* The decimal exponent, or one more. */
static int
guess_exponent(const struct parts *p)
{
	double fraction =
	    (double)p->mantissa / (double)(UINT64_C(1) << (p->bits - 1));
	double guess = (fraction - 1.5) * 0.289529654 + 0.176091259 +
	    p->exponent * 0.301029995663981;
	int whole = (int)guess;

	return whole - (guess < whole);
}

static struct scale
find_scale(const struct parts *p)
{
	int tiny = MAX_OF(0, p->bits - p->exponent - 1), common;
	struct scale at = { .exponent = guess_exponent(p) };

	at.b5 = at.m5 = MAX_OF(0, -at.exponent);
	at.b2 = at.b5 + tiny + p->exponent;
	at.s5 = MAX_OF(0, at.exponent);
	at.s2 = at.s5 + tiny;
	at.m2 = at.b2 - p->significant;
	at.b2 -= p->bits - 1;
	common = MIN_OF(at.b2, at.s2);
	at.b2 -= common;
	at.s2 -= common;
	at.m2 -= common;
	/* below a power of two the doubles lie closer */
	at.m2 -= p->bits == 1;
	if (at.m2 < 0) {
		at.b2 -= at.m2;
		at.s2 -= at.m2;
		at.m2 = 0;
	}
	return at;
}

/* Bits of 5^fives; for higher powers a bound of them. */
static int
bits_of_5(int fives)
{
	return fives >= FIVES_MAX ? fives * 3
	    : fives == 0          ? 0
				  : 64 - __builtin_clzll(power_of_5(fives));
}

unsigned
java_double_digits(
    double value, char digits[static JAVA_DOUBLE_DIGITS], int *exponent)
{
	struct digits d = { .text = digits };
	struct parts p = take_apart(value);
	struct scale at;
	struct end end;

	must(value > 0 && isfinite(value));
	if (p.exponent <= WHOLE_EXPONENT_MAX && p.exponent >= p.bits - 1)
		return take_whole(&p, digits, exponent);
	at = find_scale(&p);
	if (p.bits + at.b2 + bits_of_5(at.b5) < 64 &&
	    at.s2 + 1 + bits_of_5(at.s5 + 1) < 64)
		end = take_long(&at, p.mantissa, &d);
	else
		end = take_big(&at, p.mantissa, &d);
	*exponent = at.exponent + 1;
	finish(&d, &end, exponent);
	return d.count;
}
