/*
 * timestamp - an event's time, by its dataSource's timestampSpec
 *
 * Process: receiver. Pure, but for strtod's decimal point: no tranqd process
 * calls setlocale, so it is always '.'.
 */
#include "timestamp.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "iso.h"
#include "panic.h"

/* A number longer than this is not read as a double. */
#define NUMBER_BYTES_MAX 512

static const char *const names[] = {
	[TIMESTAMP_AUTO] = "auto",
	[TIMESTAMP_ISO] = "iso",
	[TIMESTAMP_POSIX] = "posix",
	[TIMESTAMP_MILLIS] = "millis",
	[TIMESTAMP_MICRO] = "micro",
	[TIMESTAMP_NANO] = "nano",
	[TIMESTAMP_RUBY] = "ruby",
};

bool
timestamp_format_parse(const char *name, enum timestamp_format *format)
{
	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (strcasecmp(name, names[i]) == 0) {
			*format = (enum timestamp_format)i;
			return true;
		}
	return false;
}

const char *
timestamp_format_name(enum timestamp_format format)
{
	must((unsigned)format < ARRAY_LEN(names));
	return names[format];
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
	if (!(value >= -0x1p63 && value < 0x1p63))
		return false;
	*out = (int64_t)value;
	return true;
}

static bool
scale(enum timestamp_format format, int64_t value, int64_t *ms)
{
	switch (format) {
	case TIMESTAMP_POSIX: return !__builtin_mul_overflow(value, 1000, ms);
	case TIMESTAMP_MICRO: *ms = value / 1000; return true;
	case TIMESTAMP_NANO: *ms = value / 1000000; return true;
	case TIMESTAMP_AUTO:
	case TIMESTAMP_ISO:
	case TIMESTAMP_MILLIS:
	case TIMESTAMP_RUBY: break;
	}
	*ms = value;
	return true;
}

static bool
parse_ruby(const char *text, size_t bytes, int64_t *ms)
{
	double seconds;

	return parse_double(text, bytes, &seconds) &&
	    double_to_long(seconds * 1000, ms);
}

static bool
parse_number(
    enum timestamp_format format, const char *text, size_t bytes, int64_t *ms)
{
	size_t sign = bytes > 0 && *text == '-';
	int64_t value;
	double fraction;

	if (format == TIMESTAMP_RUBY)
		return parse_ruby(text, bytes, ms);
	if (parse_long(text, bytes, &value))
		return scale(format, value, ms);
	/* a whole number too large for a long is not rounded into one */
	if (count_digits(text + sign, bytes - sign) == bytes - sign)
		return false;
	return parse_double(text, bytes, &fraction) &&
	    double_to_long(fraction, &value) && scale(format, value, ms);
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

static bool
parse_string(
    enum timestamp_format format, const char *text, size_t bytes, int64_t *ms)
{
	int64_t value;

	/* only what is digits as it stands is a number to "auto" */
	if (format == TIMESTAMP_AUTO && count_digits(text, bytes) == bytes)
		return parse_long(text, bytes, ms);
	strip_quotes(&text, &bytes);
	if (format == TIMESTAMP_AUTO)
		return iso_parse(text, bytes, ISO_T_OR_SPACE, ms);
	if (format == TIMESTAMP_ISO)
		return iso_parse(text, bytes, ISO_T, ms);
	if (format == TIMESTAMP_RUBY)
		return parse_ruby(text, bytes, ms);
	return parse_long(text, bytes, &value) && scale(format, value, ms);
}

bool
timestamp_parse(enum timestamp_format format, enum scan_type type,
    const char *value, size_t bytes, int64_t *ms)
{
	must((unsigned)format < ARRAY_LEN(names));
	if (type == SCAN_STRING)
		return parse_string(format, value, bytes, ms);
	if (type == SCAN_NUMBER)
		return parse_number(format, value, bytes, ms);
	return false;
}
