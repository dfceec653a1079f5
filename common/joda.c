/*
 * joda - times in text, as a pattern of Joda's DateTimeFormat has them
 *
 * Process: all. This part compiles patterns.
 */
#include "joda.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "iso.h"
#include "joda_internal.h"
#include "panic.h"

#define PATTERN_BYTES_MAX 512
#define YEAR_DIGITS_MAX 9
#define FRACTION_DIGITS_MAX 18

/* Letters of plain number fields, and their most digits. */
static const struct letter {
	char letter;
	enum joda_field field;
	unsigned most;
} letters[] = {
	{ 'M', JODA_MONTH, 2 },
	{ 'd', JODA_DAY, 2 },
	{ 'D', JODA_DAY_OF_YEAR, 3 },
	{ 'w', JODA_WEEK, 2 },
	{ 'e', JODA_DAY_OF_WEEK, 1 },
	{ 'H', JODA_HOUR, 2 },
	{ 'k', JODA_CLOCK_HOUR, 2 },
	{ 'K', JODA_HOUR_OF_HALFDAY, 2 },
	{ 'h', JODA_CLOCK_HOUR_OF_HALFDAY, 2 },
	{ 'm', JODA_MINUTE, 2 },
	{ 's', JODA_SECOND, 2 },
};

struct compiler {
	struct joda *joda;
	const char *pattern;
	size_t at; /* behind the letters that are looked at */
	char *why;
};

static bool PRINTF_LIKE(3, 4)
    fail(struct compiler *c, size_t at, const char *format, ...)
{
	va_list args;
	int n = snprintf(c->why, JODA_WHY_BYTES,
	    "at character %zu of the pattern: ", at + 1);

	va_start(args, format);
	vsnprintf(c->why + n, JODA_WHY_BYTES - (size_t)n, format, args);
	va_end(args);
	return false;
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Letters from `at` on that are the same. */
static size_t
run_length(const char *at)
{
	size_t n = 1;

	while (at[n] == at[0])
		n++;
	return n;
}

/* Whether a number follows, so that one before it has to keep its width. */
static bool
number_follows(const struct compiler *c)
{
	const char *at = c->pattern + c->at;

	if (*at == '\0' || strchr("CxyYdhHmsSeDwkK", *at) == NULL)
		return *at == 'M' && run_length(at) <= 2;
	return true;
}

static bool
add(struct compiler *c, struct joda_element element)
{
	struct joda *j = c->joda;

	if (j->count == JODA_ELEMENTS_MAX)
		return fail(c, c->at, "too many parts; give at most %d",
		    JODA_ELEMENTS_MAX);
	j->elements[j->count++] = element;
	return true;
}

/* Text up to the next letter outside quotes. */
static bool
add_literal(struct compiler *c)
{
	struct joda_element e = { .kind = JODA_LITERAL };
	const char *pattern = c->pattern;
	char *out = c->joda->text + strlen(c->joda->text);
	bool is_quoted = false;

	e.at = (size_t)(out - c->joda->text);
	for (; pattern[c->at] != '\0'; c->at++) {
		if (!is_quoted && is_letter(pattern[c->at]))
			break;
		if (pattern[c->at] != '\'')
			*out++ = pattern[c->at];
		else if (pattern[c->at + 1] == '\'')
			*out++ = pattern[c->at++];
		else
			is_quoted = !is_quoted;
	}
	e.bytes = (size_t)(out - c->joda->text) - e.at;
	return e.bytes == 0 || add(c, e);
}

static bool
add_year(struct compiler *c, char letter, size_t length)
{
	struct joda_element e = { .kind = JODA_NUMBER,
		.field = letter == 'x' ? JODA_WEEKYEAR : JODA_YEAR,
		.most = YEAR_DIGITS_MAX,
		.is_signed = letter != 'Y' };

	if (length == 2) {
		e.kind = JODA_TWO_DIGITS;
		e.is_lenient = !number_follows(c);
	} else {
		if (letter == 'Y')
			e.field = JODA_YEAR_OF_ERA;
		if (number_follows(c))
			e.most = (unsigned)length;
	}
	return add(c, e);
}

static bool
add_name(struct compiler *c, enum joda_field field)
{
	return add(
	    c, (struct joda_element){ .kind = JODA_NAME, .field = field });
}

static bool
add_zone(struct compiler *c, char letter, size_t length)
{
	enum joda_kind kind = letter == 'z' ? JODA_ZONE_NAME
	    : length >= 3                   ? JODA_ZONE_ID
					    : JODA_OFFSET;

	if (letter == 'z' && length >= 4)
		return fail(c, c->at - length,
		    "the full name of a zone cannot be read; give z (PST), Z "
		    "(+0100) or ZZZ (Europe/Paris)");
	return add(c, (struct joda_element){ .kind = kind });
}

static bool
add_number(struct compiler *c, char letter, size_t length)
{
	for (size_t i = 0; i < ARRAY_LEN(letters); i++)
		if (letters[i].letter == letter)
			return add(c,
			    (struct joda_element){ .kind = JODA_NUMBER,
				.field = letters[i].field,
				.most = MAX_OF(
				    letters[i].most, (unsigned)length) });
	return fail(c, c->at - length,
	    "'%c' is no letter of a pattern; put text in quotes ('%c')", letter,
	    letter);
}

static bool
add_letters(struct compiler *c)
{
	char letter = c->pattern[c->at];
	size_t length = run_length(c->pattern + c->at);

	c->at += length;
	switch (letter) {
	case 'G': return add_name(c, JODA_ERA);
	case 'E': return add_name(c, JODA_DAY_OF_WEEK);
	case 'a': return add_name(c, JODA_HALFDAY);
	case 'x':
	case 'y':
	case 'Y': return add_year(c, letter, length);
	case 'z':
	case 'Z': return add_zone(c, letter, length);
	case 'C':
		return add(c,
		    (struct joda_element){ .kind = JODA_NUMBER,
			.field = JODA_CENTURY,
			.most = (unsigned)length,
			.is_signed = true });
	case 'S':
		return add(c,
		    (struct joda_element){ .kind = JODA_DIGITS_OF_SECOND,
			.field = JODA_FRACTION,
			.most =
			    MIN_OF((unsigned)length, FRACTION_DIGITS_MAX) });
	case 'M':
		if (length >= 3)
			return add_name(c, JODA_MONTH);
		break;
	default: break;
	}
	return add_number(c, letter, length);
}

static bool
has_field(const struct joda_element *e)
{
	return e->kind == JODA_NUMBER || e->kind == JODA_TWO_DIGITS ||
	    e->kind == JODA_NAME || e->kind == JODA_DIGITS_OF_SECOND;
}

/* Fields that Joda sets at the same time stay as they come. */
static int
rank(enum joda_field field)
{
	switch (field) {
	case JODA_YEAR_OF_ERA:
	case JODA_WEEKYEAR: return JODA_YEAR;
	case JODA_CLOCK_HOUR: return JODA_HOUR;
	case JODA_CLOCK_HOUR_OF_HALFDAY: return JODA_HOUR_OF_HALFDAY;
	default: return (int)field;
	}
}

static void
put_in_order(struct joda *j)
{
	for (unsigned i = 0; i < j->count; i++) {
		unsigned at = j->field_count;

		if (!has_field(&j->elements[i]))
			continue;
		for (; at > 0 &&
		     rank(j->elements[j->order[at - 1]].field) >
			 rank(j->elements[i].field);
		     at--)
			j->order[at] = j->order[at - 1];
		j->order[at] = i;
		j->field_count++;
	}
}

static bool
compile(struct compiler *c)
{
	if (*c->pattern == '\0')
		return fail(c, 0, "it is empty; give one such as yyyy-MM-dd");
	if (strlen(c->pattern) > PATTERN_BYTES_MAX)
		return fail(c, PATTERN_BYTES_MAX,
		    "it is too long; give at most %d bytes", PATTERN_BYTES_MAX);
	while (c->pattern[c->at] != '\0')
		if (!(is_letter(c->pattern[c->at]) ? add_letters(c)
						   : add_literal(c)))
			return false;
	put_in_order(c->joda);
	return true;
}

struct joda *
joda_new(const char *pattern, int64_t now, char why[static JODA_WHY_BYTES])
{
	struct joda *j = must_calloc(1, sizeof *j);
	struct compiler c = { .joda = j, .pattern = pattern, .why = why };

	j->pivot = (int)iso_date_of(iso_day_of(now)).year - 30;
	j->text = must_calloc(1, strlen(pattern) + 1);
	if (!compile(&c))
		joda_free(&j);
	return j;
}

void
joda_free(struct joda **joda)
{
	struct joda *j = *joda;

	*joda = NULL;
	if (j == NULL)
		return;
	free(j->text);
	free(j);
}

bool
joda_read(const struct joda *j, const char *text, size_t bytes, int64_t *ms)
{
	struct joda_values values;

	return joda_read_text(j, text, bytes, &values) &&
	    joda_time(j, &values, ms);
}
