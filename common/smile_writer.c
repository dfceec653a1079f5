/*
 * smile_writer - JSON text becomes a Smile document (binary JSON)
 *
 * Process: receiver, worker. Pure but for the buffer's memory.
 *
 * One pass, no tree. Events name their members in the same order, so the name
 * that followed last time is tried before the table is asked, which spares
 * looking for the name's end as well.
 */
#include "smile_writer.h"

#include <stdlib.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "panic.h"

#define TURN 64 /* room for all of a turn that says not its own length */
#define SLOTS (2 * SMILE_WRITER_NAMES)
#define NO_NAME UINT16_MAX
#define REPLACEMENT 0xfffd
#define CHUNK_DIGITS 19 /* decimal ones in a word */
#define BIG_WORDS ((SMILE_WRITER_DIGITS_MAX + CHUNK_DIGITS - 1) / CHUNK_DIGITS)

enum {
	ARRAY_START = 0xf8,
	ARRAY_END = 0xf9,
	OBJECT_START = 0xfa,
	OBJECT_END = 0xfb,
	STRING_END = 0xfc,

	NAME_EMPTY = 0x20,
	NAME_REF_LONG = 0x30,
	NAME_LONG = 0x34,
	NAME_REF = 0x40,
	NAME_ASCII = 0x80 - 1,
	NAME_UNICODE = 0xc0 - 2,

	VALUE_EMPTY = 0x20,
	VALUE_NULL = 0x21,
	VALUE_FALSE = 0x22,
	VALUE_TRUE = 0x23,
	VALUE_INT32 = 0x24,
	VALUE_INT64 = 0x25,
	VALUE_BIG_INTEGER = 0x26,
	VALUE_DOUBLE = 0x29,
	VALUE_ASCII = 0x40 - 1,
	VALUE_UNICODE = 0x80 - 2,
	VALUE_SMALL_INT = 0xc0,
	VALUE_LONG_ASCII = 0xe0,
	VALUE_LONG_UNICODE = 0xe4,

	SHORT_VALUE = 64, /* bytes of a string that its token counts */
	SHORT_NAME_ASCII = 64,
	SHORT_NAME_UNICODE = 56,
	SHORT_REFS = 64
};

struct transcoder {
	const char *p, *end, *json;
	unsigned char *o, *o_end; /* the next byte, and the memory's end */
	struct smile_writer *w;
	struct buf *out;
	uint64_t is_object[SMILE_WRITER_DEPTH_MAX / 64];
	unsigned depth;
	bool is_first; /* nothing is before it in its object or array */
};

/* A string without its escapes: in the text, or one byte behind `o`. */
struct text {
	const unsigned char *bytes;
	size_t count;
	bool is_ascii, is_plain;
};

static bool
fail(struct transcoder *t, const char *at)
{
	t->w->error_offset = (size_t)(at - t->json);
	return false;
}

static bool
grow(struct transcoder *t, size_t more)
{
	struct buf *b = t->out;

	b->used = (size_t)(t->o - (unsigned char *)b->bytes);
	if (buf_room(b, more) == NULL)
		return false;
	t->o = (unsigned char *)b->bytes + b->used;
	t->o_end = (unsigned char *)b->bytes + b->size;
	return true;
}

/* Room for `more` bytes. */
static inline bool
make_room(struct transcoder *t, size_t more)
{
	return LIKELY((size_t)(t->o_end - t->o) >= more) || grow(t, more);
}

static inline const char *
skip_space(const struct transcoder *t, const char *p)
{
	while (
	    p < t->end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
		p++;
	return p;
}

/* ---- strings ---- */

/* The first quote or backslash, or `end`; *high is set, never cleared. */
static const char *
find_stop(const char *p, const char *end, bool *high)
{
#ifdef __SSE2__
	for (; end - p >= 16; p += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
		unsigned above = (unsigned)_mm_movemask_epi8(v);
		unsigned stops = (unsigned)_mm_movemask_epi8(
		    _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')),
			_mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))));

		if (stops != 0) {
			*high |= (above & (stops - 1) & ~stops) != 0;
			return p + __builtin_ctz(stops);
		}
		*high |= above != 0;
	}
#endif
	for (; p < end && *p != '"' && *p != '\\'; p++)
		*high |= (unsigned char)*p >= 0x80;
	return p;
}

/* Four hexadecimal digits, or -1. */
static int
code_unit(const char *p, const char *end)
{
	int unit = 0;

	if (end - p < 4)
		return -1;
	for (const char *stop = p + 4; p < stop; p++) {
		int c = *p | 0x20;

		if (*p >= '0' && *p <= '9')
			unit = unit << 4 | (*p - '0');
		else if (c >= 'a' && c <= 'f')
			unit = unit << 4 | (c - 'a' + 10);
		else
			return -1;
	}
	return unit;
}

/* The character of the escape sequence at *p, which moves behind it, or -1. */
static int
unescape(const char **p, const char *end)
{
	static const char letters[] = "\"\\/bfnrt",
			  meaning[] = "\"\\/\b\f\n\r\t";
	const char *at = *p, *letter;
	int unit, low;

	if (end - at < 2)
		return -1;
	if (at[1] != 'u') {
		*p += 2;
		letter = at[1] == '\0' ? NULL : strchr(letters, at[1]);
		return letter == NULL ? -1 : meaning[letter - letters];
	}
	unit = code_unit(at + 2, end);
	*p += 6;
	if (unit < 0xd800 || unit > 0xdfff)
		return unit;
	if (unit > 0xdbff || end - at < 8 || at[6] != '\\' || at[7] != 'u')
		return REPLACEMENT;
	low = code_unit(at + 8, end);
	if (low < 0xdc00 || low > 0xdfff)
		return low < 0 ? -1 : REPLACEMENT;
	*p += 6;
	return 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
}

static unsigned char *
put_utf8(unsigned char *to, unsigned c)
{
	if (c < 0x80) {
		*to++ = (unsigned char)c;
		return to;
	}
	if (c < 0x800) {
		*to++ = (unsigned char)(0xc0 | c >> 6);
	} else {
		if (c < 0x10000) {
			*to++ = (unsigned char)(0xe0 | c >> 12);
		} else {
			*to++ = (unsigned char)(0xf0 | c >> 18);
			*to++ = (unsigned char)(0x80 | (c >> 12 & 0x3f));
		}
		*to++ = (unsigned char)(0x80 | (c >> 6 & 0x3f));
	}
	*to++ = (unsigned char)(0x80 | (c & 0x3f));
	return to;
}

/* The rest of a string from its first backslash on. What is before it starts
 * at `start`. */
static bool
unescape_string(
    struct transcoder *t, const char *start, const char *stop, struct text *s)
{
	size_t count = 0;
	bool high = !s->is_ascii;
	int c;

	for (;; stop = find_stop(start, t->end, &high)) {
		size_t plain = (size_t)(stop - start);

		if (!make_room(t, 1 + count + plain + TURN))
			return false;
		memcpy(t->o + 1 + count, start, plain);
		count += plain;
		if (stop == t->end)
			return fail(t, stop);
		if (*stop == '"')
			break;
		start = stop;
		if ((c = unescape(&start, t->end)) < 0)
			return fail(t, stop);
		high |= c >= 0x80;
		count = (size_t)(put_utf8(t->o + 1 + count, (unsigned)c) -
		    (t->o + 1));
	}
	t->p = stop + 1;
	s->bytes = t->o + 1;
	s->count = count;
	s->is_ascii = !high;
	return true;
}

/* From behind the opening quote to behind the closing one. There is room then
 * for the string and its token. */
static inline bool
read_string(struct transcoder *t, struct text *s)
{
	bool high = false;
	const char *stop = find_stop(t->p, t->end, &high);

	s->is_ascii = !high;
	s->is_plain = stop < t->end && *stop == '"';
	if (!s->is_plain)
		return unescape_string(t, t->p, stop, s);
	s->bytes = (const unsigned char *)t->p;
	s->count = (size_t)(stop - t->p);
	t->p = stop + 1;
	return make_room(t, s->count + TURN);
}

static inline void
put_text(struct transcoder *t, const struct text *s, unsigned token)
{
	*t->o++ = (unsigned char)token;
	if (s->bytes != t->o)
		memcpy(t->o, s->bytes, s->count);
	t->o += s->count;
}

static inline bool
write_string(struct transcoder *t)
{
	struct text s;

	if (!read_string(t, &s))
		return false;
	if (s.count == 0) {
		*t->o++ = VALUE_EMPTY;
	} else if (s.count <= SHORT_VALUE) {
		put_text(t, &s,
		    (s.is_ascii ? VALUE_ASCII : VALUE_UNICODE) +
			(unsigned)s.count);
	} else {
		put_text(
		    t, &s, s.is_ascii ? VALUE_LONG_ASCII : VALUE_LONG_UNICODE);
		*t->o++ = STRING_END;
	}
	return true;
}

/* ---- names ---- */

static void
forget_names(struct smile_writer *w)
{
	memset(w->slots, 0, sizeof w->slots);
	w->count = 0;
	w->last = NO_NAME;
}

static uint32_t
hash_name(const struct text *s)
{
	const unsigned char *p = s->bytes;
	uint64_t hash = s->count, word;
	size_t left = s->count;

	for (; left >= sizeof word; left -= sizeof word, p += sizeof word) {
		memcpy(&word, p, sizeof word);
		hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		hash ^= hash >> 32;
	}
	word = 0;
	memcpy(&word, p, left);
	hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
	return (uint32_t)(hash >> 32);
}

/* References never end in FE or FF. */
static bool
may_refer(unsigned index)
{
	return (index & 0xff) < 0xfe;
}

/* The name's slot, or the empty one where it belongs. */
static uint16_t *
find_slot(struct transcoder *t, const struct text *s, uint32_t hash)
{
	struct smile_writer *w = t->w;
	unsigned at = hash % SLOTS;

	for (; w->slots[at] != 0; at = (at + 1) % SLOTS) {
		const struct smile_writer_name *n = &w->names[w->slots[at] - 1];

		if (n->hash == hash && n->bytes == s->count &&
		    memcmp(t->out->bytes + n->at, s->bytes, s->count) == 0)
			break;
	}
	return &w->slots[at];
}

static void
put_reference(struct transcoder *t, unsigned index)
{
	struct smile_writer *w = t->w;

	if (index < SHORT_REFS) {
		*t->o++ = (unsigned char)(NAME_REF + index);
	} else {
		*t->o++ = (unsigned char)(NAME_REF_LONG + (index >> 8));
		*t->o++ = (unsigned char)index;
	}
	if (w->last != NO_NAME)
		w->names[w->last].follower = (uint16_t)index;
	w->last = index;
}

static void
put_new_name(struct transcoder *t, const struct text *s, uint32_t hash)
{
	struct smile_writer *w = t->w;
	unsigned most = s->is_ascii ? SHORT_NAME_ASCII : SHORT_NAME_UNICODE;
	unsigned index;

	if (w->count == SMILE_WRITER_NAMES)
		forget_names(w);
	index = w->count++;
	/* its bytes are about to move from the text, if they are there */
	if (may_refer(index))
		*find_slot(t, s, hash) = (uint16_t)(index + 1);
	w->names[index] = (struct smile_writer_name){
		.at = (uint32_t)(t->o + 1 - (unsigned char *)t->out->bytes),
		.bytes = (uint32_t)s->count,
		.hash = hash,
		.follower = NO_NAME,
		.is_plain = s->is_plain,
	};
	if (s->count <= most) {
		put_text(t, s,
		    (s->is_ascii ? NAME_ASCII : NAME_UNICODE) +
			(unsigned)s->count);
	} else {
		put_text(t, s, NAME_LONG);
		*t->o++ = STRING_END;
	}
	if (w->last != NO_NAME && may_refer(index))
		w->names[w->last].follower = (uint16_t)index;
	w->last = may_refer(index) ? index : NO_NAME;
}

/* Whether the name that follows is the one that followed last time. */
static inline bool
write_expected_name(struct transcoder *t)
{
	struct smile_writer *w = t->w;
	const struct smile_writer_name *n;
	unsigned index;

	if (w->last == NO_NAME)
		return false;
	index = w->names[w->last].follower;
	if (index == NO_NAME)
		return false;
	n = &w->names[index];
	if (!n->is_plain || (size_t)(t->end - t->p) <= n->bytes ||
	    t->p[n->bytes] != '"' ||
	    memcmp(t->p, t->out->bytes + n->at, n->bytes) != 0)
		return false;
	t->p += n->bytes + 1;
	put_reference(t, index);
	return true;
}

/* From behind the opening quote to behind the closing one. */
static bool
write_name(struct transcoder *t)
{
	struct text s;
	uint32_t hash;
	unsigned slot;

	if (LIKELY(write_expected_name(t)))
		return true;
	if (!read_string(t, &s))
		return false;
	if (s.count == 0) {
		*t->o++ = NAME_EMPTY;
		return true;
	}
	hash = hash_name(&s);
	slot = *find_slot(t, &s, hash);
	if (slot != 0)
		put_reference(t, slot - 1);
	else
		put_new_name(t, &s, hash);
	return true;
}

/* ---- numbers ---- */

/* In bytes of seven bits, the last one of six and with its eighth one set. */
static void
put_vint(struct transcoder *t, uint64_t n)
{
	unsigned shift = 6;

	while (shift < 64 && n >> shift != 0)
		shift += 7;
	for (; shift > 6; shift -= 7)
		*t->o++ = (unsigned char)(n >> (shift - 7) & 0x7f);
	*t->o++ = (unsigned char)(0x80 | (n & 0x3f));
}

static void
put_int(struct transcoder *t, int64_t number)
{
	uint64_t zigzag = (uint64_t)number << 1 ^ (number < 0 ? UINT64_MAX : 0);

	if (zigzag < 32) {
		*t->o++ = (unsigned char)(VALUE_SMALL_INT + zigzag);
		return;
	}
	*t->o++ = zigzag <= UINT32_MAX ? VALUE_INT32 : VALUE_INT64;
	put_vint(t, zigzag);
}

static void
put_double(struct transcoder *t, double number)
{
	uint64_t bits;

	memcpy(&bits, &number, sizeof bits);
	*t->o++ = VALUE_DOUBLE;
	for (unsigned shift = 70; shift > 0; shift -= 7)
		*t->o++ = (unsigned char)(bits >> (shift - 7) & 0x7f);
}

/* Seven bits a byte; what is left at the end in the last one's low bits. */
static void
put_safe(struct transcoder *t, const unsigned char *bytes, size_t count)
{
	unsigned held = 0, bits = 0;

	put_vint(t, count);
	for (size_t i = 0; i < count; i++) {
		held = held << 8 | bytes[i];
		for (bits += 8; bits >= 7;) {
			bits -= 7;
			*t->o++ = (unsigned char)(held >> bits & 0x7f);
		}
		held &= (1u << bits) - 1;
	}
	if (bits > 0)
		*t->o++ = (unsigned char)held;
}

/* The digits' value into words, the lowest first. */
static void
read_words(const char *digits, size_t count, uint64_t words[BIG_WORDS])
{
	memset(words, 0, BIG_WORDS * sizeof words[0]);
	while (count > 0) {
		size_t now = count % CHUNK_DIGITS, i;
		uint64_t power = 1;
		unsigned __int128 carry = 0;

		now = now > 0 ? now : CHUNK_DIGITS;
		for (i = 0; i < now; i++, power *= 10)
			carry = carry * 10 + (unsigned)(digits[i] - '0');
		for (i = 0; i < BIG_WORDS; i++) {
			carry += (unsigned __int128)words[i] * power;
			words[i] = (uint64_t)carry;
			carry >>= 64;
		}
		digits += now;
		count -= now;
	}
}

/* Big-endian two's complement in as few bytes as it takes. */
static void
put_big_integer(
    struct transcoder *t, const char *digits, size_t count, bool is_negative)
{
	uint64_t words[BIG_WORDS + 1], carry = is_negative;
	unsigned char bytes[sizeof words] = { 0 };
	size_t first = 0;

	read_words(digits, count, words);
	words[BIG_WORDS] = 0;
	for (size_t i = 0; i <= BIG_WORDS; i++) {
		uint64_t word = is_negative ? ~words[i] + carry : words[i];

		carry = is_negative && carry && word == 0;
		word = __builtin_bswap64(word);
		memcpy(bytes + sizeof bytes - 8 * (i + 1), &word, 8);
	}
	/* the first byte that is not just its neighbour's sign */
	while (first + 1 < sizeof bytes &&
	    bytes[first] == (bytes[first + 1] & 0x80 ? 0xff : 0))
		first++;
	*t->o++ = VALUE_BIG_INTEGER;
	put_safe(t, bytes + first, sizeof bytes - first);
}

static bool
write_integer(struct transcoder *t, const char *start, const char *end)
{
	bool is_negative = *start == '-';
	const char *digits = start + is_negative;
	size_t count = (size_t)(end - digits);
	unsigned __int128 n = 0;

	if (count <= CHUNK_DIGITS) {
		for (const char *p = digits; p < end; p++)
			n = n * 10 + (unsigned)(*p - '0');
		if (n <= (uint64_t)INT64_MAX + is_negative) {
			put_int(t,
			    (int64_t)(is_negative ? 0 - (uint64_t)n
						  : (uint64_t)n));
			return true;
		}
	}
	if (count <= SMILE_WRITER_DIGITS_MAX) {
		if (!make_room(t, SMILE_WRITER_DIGITS_MAX + TURN))
			return false;
		put_big_integer(t, digits, count, is_negative);
		return true;
	}
	count += is_negative;
	if (!make_room(t, count + TURN))
		return false;
	put_text(t,
	    &(struct text){
		.bytes = (const unsigned char *)start, .count = count },
	    VALUE_LONG_ASCII);
	*t->o++ = STRING_END;
	return true;
}

/* The number where both its digits and its power of ten are exact doubles, so
 * that their product or quotient is rounded once. */
static bool
read_exact(const char *p, const char *end, double *number)
{
	static const double powers[] = { 1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7,
		1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
		1e19, 1e20, 1e21, 1e22 };
	bool is_negative = *p == '-', is_behind = false;
	uint64_t digits = 0;
	unsigned scale = 0;

	if (end - p > 17) /* 15 digits, point and sign */
		return false;
	for (p += is_negative; p < end; p++) {
		if (*p == '.' && !is_behind) {
			is_behind = true;
		} else if (*p >= '0' && *p <= '9') {
			digits = digits * 10 + (unsigned)(*p - '0');
			scale += is_behind;
		} else {
			return false;
		}
	}
	if (digits > UINT64_C(1) << 53)
		return false;
	*number = (double)digits / powers[scale];
	if (is_negative)
		*number = -*number;
	return true;
}

static bool
write_number(struct transcoder *t)
{
	const char *start = t->p, *p = start;
	bool is_integer = true;
	double number;

	for (; p < t->end; p++) {
		if (*p == '.' || *p == 'e' || *p == 'E')
			is_integer = false;
		else if ((*p < '0' || *p > '9') && *p != '-' && *p != '+')
			break;
		else if ((*p == '-' || *p == '+') && is_integer && p > start)
			break;
	}
	/* a number that ends the text is in no array or object */
	if (p == t->end || p - start == (*start == '-'))
		return fail(t, start);
	t->p = p;
	if (is_integer)
		return write_integer(t, start, p);
	if (!read_exact(start, p, &number)) {
		/* what stands behind it cannot be part of a number */
		char *end;

		number = strtod(start, &end);
		if (end != p)
			return fail(t, start);
	}
	put_double(t, number);
	return true;
}

/* ---- objects, arrays, the document ---- */

static bool
write_literal(struct transcoder *t)
{
	size_t left = (size_t)(t->end - t->p);

	if (left >= 4 && memcmp(t->p, "null", 4) == 0) {
		*t->o++ = VALUE_NULL;
		t->p += 4;
	} else if (left >= 4 && memcmp(t->p, "true", 4) == 0) {
		*t->o++ = VALUE_TRUE;
		t->p += 4;
	} else if (left >= 5 && memcmp(t->p, "false", 5) == 0) {
		*t->o++ = VALUE_FALSE;
		t->p += 5;
	} else {
		return fail(t, t->p);
	}
	return true;
}

static bool
open_nested(struct transcoder *t, bool is_object)
{
	uint64_t bit = UINT64_C(1) << t->depth % 64;

	if (t->depth == SMILE_WRITER_DEPTH_MAX)
		return fail(t, t->p);
	if (is_object)
		t->is_object[t->depth / 64] |= bit;
	else
		t->is_object[t->depth / 64] &= ~bit;
	t->depth++;
	t->is_first = true;
	t->p++;
	*t->o++ = is_object ? OBJECT_START : ARRAY_START;
	return true;
}

static bool
write_value(struct transcoder *t)
{
	switch (*t->p) {
	case '{': return open_nested(t, true);
	case '[': return open_nested(t, false);
	case '"': t->p++; return write_string(t);
	case '-':
	case '0':
	case '1':
	case '2':
	case '3':
	case '4':
	case '5':
	case '6':
	case '7':
	case '8':
	case '9': return write_number(t);
	default: return write_literal(t);
	}
}

/* One bracket or one value, with its name in an object. */
static bool
write_turn(struct transcoder *t)
{
	unsigned outer = t->depth - 1;
	bool is_object = t->is_object[outer / 64] >> outer % 64 & 1;

	if (!make_room(t, TURN))
		return false;
	t->p = skip_space(t, t->p);
	if (t->p == t->end)
		return fail(t, t->p);
	if (*t->p == (is_object ? '}' : ']')) {
		*t->o++ = is_object ? OBJECT_END : ARRAY_END;
		t->p++;
		t->depth--;
		t->is_first = false;
		return true;
	}
	if (!t->is_first) {
		if (*t->p != ',')
			return fail(t, t->p);
		t->p = skip_space(t, t->p + 1);
		if (t->p == t->end)
			return fail(t, t->p);
	}
	t->is_first = false;
	if (is_object) {
		if (*t->p++ != '"')
			return fail(t, t->p - 1);
		if (!write_name(t))
			return false;
		t->p = skip_space(t, t->p);
		if (t->p == t->end || *t->p != ':')
			return fail(t, t->p);
		t->p = skip_space(t, t->p + 1);
		if (t->p == t->end)
			return fail(t, t->p);
	}
	return write_value(t);
}

static bool
write_document(struct transcoder *t)
{
	static const unsigned char header[] = { ':', ')', '\n', 1 };

	if (!make_room(t, sizeof header + TURN))
		return false;
	memcpy(t->o, header, sizeof header);
	t->o += sizeof header;
	for (t->p = skip_space(t, t->p); t->p < t->end;
	     t->p = skip_space(t, t->p)) {
		if (!make_room(t, TURN))
			return false;
		if (*t->p != '{' && *t->p != '[')
			return fail(t, t->p);
		if (!open_nested(t, *t->p == '{'))
			return false;
		while (t->depth > 0)
			if (!write_turn(t))
				return false;
	}
	return true;
}

bool
smile_writer_transcode(
    struct smile_writer *w, const char *json, size_t bytes, struct buf *out)
{
	size_t start = out->used;
	struct transcoder t = {
		.p = json, .json = json, .end = json + bytes, .w = w, .out = out
	};

	must(out->max <= UINT32_MAX);
	forget_names(w);
	if (buf_room(out, MIN_OF(TURN, out->max)) == NULL)
		return false;
	t.o = (unsigned char *)out->bytes + start;
	t.o_end = (unsigned char *)out->bytes + out->size;
	if (!write_document(&t)) {
		out->used = start;
		return false;
	}
	out->used = (size_t)(t.o - (unsigned char *)out->bytes);
	return true;
}
