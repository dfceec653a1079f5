/*
 * timestamp - an event's time, by its dataSource's timestampSpec
 *
 * Process: all. strtod's decimal point is always '.': no tranqd process calls
 * setlocale.
 */
#include "timestamp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "iso.h"
#include "joda.h"
#include "panic.h"
#include "saturate.h"
#include "zone.h"

/* A number longer than this is not read as a double. */
#define NUMBER_BYTES_MAX 512
#define LONG_END 9223372036854775808.0 /* 2^63: a long is less */

enum kind {
	KIND_AUTO,
	KIND_ISO,
	KIND_POSIX,
	KIND_MILLIS,
	KIND_MICRO,
	KIND_NANO,
	KIND_RUBY,
	KIND_PATTERN
};

static const char *const names[] = {
	[KIND_AUTO] = "auto",
	[KIND_ISO] = "iso",
	[KIND_POSIX] = "posix",
	[KIND_MILLIS] = "millis",
	[KIND_MICRO] = "micro",
	[KIND_NANO] = "nano",
	[KIND_RUBY] = "ruby",
};

struct timestamp_format {
	enum kind kind;
	struct joda *pattern; /* of KIND_PATTERN, else NULL */
	char *name;
};

static enum kind
find_kind(const char *name)
{
	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (strcasecmp(name, names[i]) == 0)
			return (enum kind)i;
	return KIND_PATTERN;
}

struct timestamp_format *
timestamp_format_new(
    const char *name, int64_t now, char why[static TIMESTAMP_WHY_BYTES])
{
	struct timestamp_format *f = must_calloc(1, sizeof *f);
	char where[JODA_WHY_BYTES];

	f->kind = find_kind(name);
	f->name = must_strdup(f->kind == KIND_PATTERN ? name : names[f->kind]);
	if (f->kind != KIND_PATTERN)
		return f;
	f->pattern = joda_new(name, now, where);
	if (f->pattern != NULL)
		return f;
	snprintf(why, TIMESTAMP_WHY_BYTES,
	    "'%.*s' is neither auto, iso, posix, millis, micro, nano or ruby "
	    "nor a Joda pattern: %s",
	    (int)strnlen(name, 60), name, where);
	timestamp_format_free(&f);
	return NULL;
}

void
timestamp_format_free(struct timestamp_format **format)
{
	struct timestamp_format *f = *format;

	*format = NULL;
	if (f == NULL)
		return;
	joda_free(&f->pattern);
	free(f->name);
	free(f);
}

const char *
timestamp_format_name(const struct timestamp_format *format)
{
	return format->name;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static size_t
count_digits(const char *text, size_t bytes)
{
	size_t n = 0;

	while (n < bytes && is_digit(text[n]))
		n++;
	return n;
}

/* As Java's Long.parseLong: a sign, digits, nothing else. */
static bool
parse_long(const char *text, size_t bytes, int64_t *value)
{
	const char *end = text + bytes;
	bool negative = false;
	uint64_t sum = 0;

	if (bytes > 0 && (*text == '-' || *text == '+'))
		negative = *text++ == '-';
	if (text == end)
		return false;
	while (end - text > 1 && *text == '0')
		text++;
	/* nineteen digits fit 64 bits without a sign */
	if (end - text > 19)
		return false;
	for (; text < end; text++) {
		if (!is_digit(*text))
			return false;
		sum = sum * 10 + (unsigned)(*text - '0');
	}
	if (sum > (uint64_t)INT64_MAX + negative)
		return false;
	*value = negative ? (int64_t)(0 - sum) : (int64_t)sum;
	return true;
}

/* Decimal notation only; Java's hexadecimal, NaN and type letters are not
 * times. */
static bool
is_decimal(const char *text, size_t bytes)
{
	size_t at = bytes > 0 && (*text == '-' || *text == '+');
	size_t digits = count_digits(text + at, bytes - at);

	at += digits;
	if (at < bytes && text[at] == '.') {
		size_t fraction = count_digits(text + at + 1, bytes - at - 1);

		digits += fraction;
		at += fraction + 1;
	}
	if (digits == 0)
		return false;
	if (at < bytes && (text[at] == 'e' || text[at] == 'E')) {
		at++;
		if (at < bytes && (text[at] == '-' || text[at] == '+'))
			at++;
		digits = count_digits(text + at, bytes - at);
		if (digits == 0)
			return false;
		at += digits;
	}
	return at == bytes;
}

static bool
parse_double(const char *text, size_t bytes, double *value)
{
	char copy[NUMBER_BYTES_MAX];

	if (bytes >= sizeof(copy) || !is_decimal(text, bytes))
		return false;
	memcpy(copy, text, bytes);
	copy[bytes] = '\0';
	*value = strtod(copy, NULL);
	return true;
}

/* Towards zero, as Java's casts; out of range is refused instead of cut. */
static bool
double_to_long(double value, int64_t *out)
{
	if (!(value >= -LONG_END && value < LONG_END))
		return false;
	*out = (int64_t)value;
	return true;
}

static bool
scale(enum kind kind, int64_t value, int64_t *ms)
{
	if (kind == KIND_POSIX)
		return !__builtin_mul_overflow(value, 1000, ms);
	*ms = kind == KIND_MICRO ? value / 1000
	    : kind == KIND_NANO  ? value / 1000000
				 : value;
	return true;
}

static bool
parse_ruby(const char *text, size_t bytes, int64_t *ms)
{
	double seconds;

	return parse_double(text, bytes, &seconds) &&
	    double_to_long(seconds * 1000, ms);
}

bool
timestamp_read_number(const struct timestamp_format *f, const char *text,
    size_t bytes, int64_t *ms)
{
	size_t sign = bytes > 0 && *text == '-';
	int64_t value;
	double fraction;

	if (f->kind == KIND_RUBY)
		return parse_ruby(text, bytes, ms);
	if (parse_long(text, bytes, &value))
		return (f->pattern != NULL &&
			   joda_read(f->pattern, text, bytes, ms)) ||
		    scale(f->kind, value, ms);
	/* a whole number too large for a long is not rounded into one */
	if (count_digits(text + sign, bytes - sign) == bytes - sign)
		return false;
	return parse_double(text, bytes, &fraction) &&
	    double_to_long(fraction, &value) && scale(f->kind, value, ms);
}

/* As Java's String.trim. */
static void
trim(const char **text, size_t *bytes)
{
	while (*bytes > 0 && (unsigned char)**text <= ' ') {
		++*text;
		--*bytes;
	}
	while (*bytes > 0 && (unsigned char)(*text)[*bytes - 1] <= ' ')
		--*bytes;
}

static void
strip_quotes(const char **text, size_t *bytes)
{
	trim(text, bytes);
	if (*bytes < 2 || **text != '"' || (*text)[*bytes - 1] != '"')
		return;
	++*text;
	*bytes -= 2;
	trim(text, bytes);
}

/* A local time, a space and a zone's name. */
static bool
parse_in_zone(const char *text, size_t bytes, int64_t *ms)
{
	const char *space = memrchr(text, ' ', bytes);
	size_t before, name_bytes;
	int64_t offset = 0;
	struct zone *z = NULL;
	bool has_offset;

	if (space == NULL || is_digit(space[1]))
		return false;
	before = (size_t)(space - text);
	if (!iso_parse_local(text, before, ISO_T_OR_SPACE, ms, &has_offset))
		return false;
	name_bytes = bytes - before - 1;
	if (!zone_is_offset(space + 1, name_bytes, &offset) &&
	    (z = zone_find(space + 1, name_bytes)) == NULL)
		return false;
	if (has_offset)
		return true; /* it says all */
	if (z == NULL) {
		*ms = saturate_add(*ms, -offset);
		return true;
	}
	if (zone_skips(z, *ms))
		return false;
	*ms = zone_to_utc(z, *ms);
	return true;
}

static bool
parse_auto(const char *text, size_t bytes, int64_t *ms)
{
	return iso_parse(text, bytes, ISO_T_OR_SPACE, ms) ||
	    parse_in_zone(text, bytes, ms);
}

bool
timestamp_read_text(const struct timestamp_format *f, const char *text,
    size_t bytes, int64_t *ms)
{
	int64_t value;

	/* only what is digits as it stands is a number to "auto" */
	if (f->kind == KIND_AUTO && count_digits(text, bytes) == bytes)
		return parse_long(text, bytes, ms);
	strip_quotes(&text, &bytes);
	switch (f->kind) {
	case KIND_AUTO: return parse_auto(text, bytes, ms);
	case KIND_ISO:
		return iso_parse(text, bytes, ISO_T, ms) ||
		    parse_long(text, bytes, ms);
	case KIND_RUBY: return parse_ruby(text, bytes, ms);
	case KIND_PATTERN:
		return bytes > 0 && joda_read(f->pattern, text, bytes, ms);
	case KIND_POSIX:
	case KIND_MILLIS:
	case KIND_MICRO:
	case KIND_NANO: break;
	}
	return parse_long(text, bytes, &value) && scale(f->kind, value, ms);
}
