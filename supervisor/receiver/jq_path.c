/*
 * jq_path - the jq fields of a flattenSpec
 *
 * Process: receiver.
 */
#include "jq_path.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <jq.h>
#include <jv.h>

#include "panic.h"

#define WORD_BYTES 32
#define PLUSES_MAX 8 /* each may double a text */
#define COMMAS_MAX 4 /* each may double the results */

struct jq_path {
	jq_state *jq;
	unsigned iterations;
	unsigned doublings; /* commas */
};

/* Functions and words that a program may use, and whether they iterate. Not
 * among them is what an event can make libjq 1.6 crash or hang with: implode,
 * indices and its kin, and the operator %. */
static const struct {
	char name[WORD_BYTES];
	unsigned iterations;
} words[] = { { "add", 1 }, { "all", 1 }, { "and", 0 }, { "any", 1 },
	{ "arrays", 0 }, { "as", 0 }, { "ascii_downcase", 0 },
	{ "ascii_upcase", 0 }, { "booleans", 0 }, { "catch", 0 }, { "ceil", 0 },
	{ "contains", 1 }, { "elif", 0 }, { "else", 0 }, { "empty", 0 },
	{ "end", 0 }, { "endswith", 0 }, { "explode", 0 }, { "fabs", 0 },
	{ "false", 0 }, { "first", 0 }, { "flatten", 1 }, { "floor", 0 },
	{ "from_entries", 1 }, { "fromjson", 0 }, { "group_by", 1 },
	{ "has", 0 }, { "if", 0 }, { "in", 0 }, { "inside", 1 },
	{ "iterables", 0 }, { "join", 1 }, { "keys", 0 },
	{ "keys_unsorted", 0 }, { "last", 0 }, { "leaf_paths", 1 },
	{ "length", 0 }, { "ltrimstr", 0 }, { "map", 1 }, { "map_values", 1 },
	{ "max", 0 }, { "max_by", 1 }, { "min", 0 }, { "min_by", 1 },
	{ "not", 0 }, { "nth", 0 }, { "null", 0 }, { "nulls", 0 },
	{ "numbers", 0 }, { "objects", 0 }, { "or", 0 }, { "paths", 1 },
	{ "reverse", 0 }, { "round", 0 }, { "rtrimstr", 0 }, { "scalars", 0 },
	{ "select", 0 }, { "sort", 0 }, { "sort_by", 1 }, { "split", 0 },
	{ "sqrt", 0 }, { "startswith", 0 }, { "strings", 0 }, { "then", 0 },
	{ "to_entries", 1 }, { "tojson", 0 }, { "tonumber", 0 },
	{ "tostring", 0 }, { "true", 0 }, { "try", 0 }, { "type", 0 },
	{ "unique", 0 }, { "unique_by", 1 }, { "utf8bytelength", 0 },
	{ "values", 0 }, { "with_entries", 1 } };

/* The program while it is checked. */
struct check {
	const char *p;
	char *why;
	char open[JQ_PATH_PROGRAM_BYTES_MAX]; /* brackets */
	unsigned depth;
	unsigned iterations, commas, pluses;
};

static bool refuse(struct check *c, const char *format, ...) PRINTF_LIKE(2, 3);

/* False, for the caller to return. */
static bool
refuse(struct check *c, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(c->why, JQ_PATH_WHY_BYTES, format, args);
	va_end(args);
	return false;
}

static size_t
word_bytes(const char *p)
{
	size_t n = 0;

	while (isalnum((unsigned char)p[n]) || p[n] == '_')
		n++;
	return n;
}

static const char *
skip_blanks(const char *p)
{
	while (isspace((unsigned char)*p))
		p++;
	return p;
}

/* {name: …}, {name} and {a, name}: a word there is a key. */
static bool
is_key(const struct check *c, const char *before, size_t bytes)
{
	const char *behind = skip_blanks(c->p + bytes);

	return c->depth > 0 && c->open[c->depth - 1] == '{' &&
	    (*before == '{' || *before == ',') && *behind != '\0' &&
	    strchr(":,}", *behind) != NULL;
}

/* `before`: the last character that is no blank. */
static bool
check_word(struct check *c, const char *before)
{
	size_t bytes = word_bytes(c->p);

	if ((*before == '.' && before + 1 == c->p) ||
	    is_key(c, before, bytes)) {
		c->p += bytes;
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strlen(words[i].name) == bytes &&
		    memcmp(words[i].name, c->p, bytes) == 0) {
			c->iterations += words[i].iterations;
			c->p += bytes;
			return true;
		}
	return refuse(c,
	    "'%.*s' is not supported: only what ends after a bounded number "
	    "of steps is",
	    (int)MIN_OF(bytes, 40u), c->p);
}

/* From behind an opening quote, or behind the ) of an interpolation, to
 * behind the closing quote or the ( of the next interpolation. */
static bool
check_string(struct check *c)
{
	for (; *c->p != '"'; c->p++) {
		if (*c->p == '\0')
			return refuse(c, "a quote is not closed");
		if (*c->p == '\\' && c->p[1] == '(') {
			c->p += 2;
			c->open[c->depth++] = '"';
			return true;
		}
		if (*c->p == '\\' && c->p[1] != '\0')
			c->p++;
	}
	c->p++;
	return true;
}

static bool
check_variable(struct check *c)
{
	size_t bytes = word_bytes(++c->p);

	if ((bytes == 3 && memcmp(c->p, "ENV", 3) == 0) || *c->p == '_')
		return refuse(c, "'$%.*s' is not supported",
		    (int)MIN_OF(bytes, 40u), c->p);
	c->p += bytes;
	return true;
}

static bool
check_bracket(struct check *c)
{
	char bracket = *c->p++;

	if (strchr("([{", bracket) != NULL) {
		if (bracket == '[' && *skip_blanks(c->p) == ']')
			c->iterations++;
		c->open[c->depth++] = bracket;
		return true;
	}
	if (c->depth == 0)
		return refuse(c, "a '%c' closes nothing", bracket);
	if (c->open[--c->depth] == '"')
		return check_string(c);
	return true;
}

static bool
check_comma(struct check *c)
{
	c->p++;
	if (c->depth > 0 && strchr("[{", c->open[c->depth - 1]) != NULL)
		return true;
	return ++c->commas <= COMMAS_MAX ||
	    refuse(c, "more than %d ',' between results", COMMAS_MAX);
}

static bool
check_operator(struct check *c)
{
	if (strchr("=!<>", *c->p) != NULL && c->p[1] == '=') {
		c->p += 2;
		return true;
	}
	if (*c->p == '=' || *c->p == '*' || *c->p == ';' ||
	    (*c->p != '\0' && strchr("|+-/", *c->p) != NULL &&
		(c->p[1] == '=' ||
		    (c->p[0] == '/' && c->p[1] == '/' && c->p[2] == '='))))
		return refuse(c, "'%c%s' is not supported", *c->p,
		    *c->p != '=' && c->p[1] == '=' ? "=" : "");
	if (*c->p == '+' && ++c->pluses > PLUSES_MAX)
		return refuse(c, "more than %d '+'", PLUSES_MAX);
	if (strchr("|+-/.?:<>@", *c->p) == NULL)
		return refuse(c, "'%c' is not supported", *c->p);
	if (c->p[0] == '.' && c->p[1] == '.') {
		c->iterations++;
		c->p++;
	}
	c->p++;
	return true;
}

static bool
check_token(struct check *c, const char *before)
{
	if (isalpha((unsigned char)*c->p) || *c->p == '_') {
		if (*before != '@')
			return check_word(c, before);
		c->p += word_bytes(c->p); /* a format, as @text */
		return true;
	}
	if (isdigit((unsigned char)*c->p)) {
		while (isalnum((unsigned char)*c->p) || *c->p == '.')
			c->p++;
		return true;
	}
	switch (*c->p) {
	case '"': c->p++; return check_string(c);
	case '$': return check_variable(c);
	case '(':
	case '[':
	case '{':
	case ')':
	case ']':
	case '}': return check_bracket(c);
	case ',': return check_comma(c);
	default: return check_operator(c);
	}
}

static bool
check_program(struct check *c, const char *program)
{
	const char *before = "";

	if (strlen(program) > JQ_PATH_PROGRAM_BYTES_MAX)
		return refuse(c, "the program is longer than %d bytes",
		    JQ_PATH_PROGRAM_BYTES_MAX);
	for (c->p = skip_blanks(program); *c->p != '\0';
	     c->p = skip_blanks(c->p)) {
		if (*c->p == '#')
			return refuse(c, "comments are not supported");
		if (!check_token(c, before))
			return false;
		before = c->p - 1;
	}
	return true;
}

/* The first message says what is wrong, the last one only that it is. */
static void
keep_error(void *why, jv message)
{
	const char *text;

	message = jq_format_error(message);
	text = jv_string_value(message);
	if (strncmp(text, "jq: error: ", 11) == 0)
		text += 11;
	if (*(char *)why == '\0')
		snprintf(why, JQ_PATH_WHY_BYTES, "%.*s",
		    (int)strcspn(text, "\n"), text);
	jv_free(message);
}

static void
ignore_error(void *context, jv message)
{
	(void)context;
	jv_free(message);
}

struct jq_path *
jq_path_compile(const char *program, char why[JQ_PATH_WHY_BYTES])
{
	struct check c = { .why = why };
	struct jq_path *q;

	*why = '\0';
	if (!check_program(&c, program))
		return NULL;
	q = must_calloc(1, sizeof *q);
	q->iterations = c.iterations;
	q->doublings = c.commas;
	q->jq = jq_init();
	must(q->jq != NULL);
	jq_set_error_cb(q->jq, keep_error, why);
	if (!jq_compile(q->jq, program)) {
		if (*why == '\0')
			snprintf(why, JQ_PATH_WHY_BYTES, "no jq program");
		jq_path_free(&q);
		return NULL;
	}
	jq_set_error_cb(q->jq, ignore_error, NULL);
	return q;
}

void
jq_path_free(struct jq_path **path)
{
	struct jq_path *q = *path;

	if (q == NULL)
		return;
	*path = NULL;
	jq_teardown(&q->jq);
	free(q);
}

static bool
is_too_long(const struct jq_path *q, size_t bytes, uint32_t values)
{
	double steps = 1u << q->doublings;

	if (bytes > JQ_PATH_EVENT_BYTES_MAX)
		return true;
	for (unsigned i = 0; i < q->iterations && steps <= JQ_PATH_STEPS_MAX;
	     i++)
		steps *= values;
	return steps > JQ_PATH_STEPS_MAX;
}

enum jq_path_result
jq_path_read(struct jq_path *q, const char *text, size_t bytes, uint32_t values,
    struct line_out *out)
{
	enum jq_path_result result = JQ_PATH_VALUE;
	jv event, value;

	if (is_too_long(q, bytes, values))
		return JQ_PATH_TOO_LONG;
	event = jv_parse_sized(text, (int)bytes);
	if (!jv_is_valid(event)) { /* nested deeper than jq reads */
		jv_free(event);
		return JQ_PATH_NONE;
	}
	jq_start(q->jq, event, 0);
	value = jq_next(q->jq);
	if (!jv_is_valid(value) || jv_get_kind(value) == JV_KIND_NULL) {
		jv_free(value);
		result = JQ_PATH_NONE;
	} else {
		jv dump = jv_dump_string(value, 0);

		if (!line_out_add(out, jv_string_value(dump),
			(size_t)jv_string_length_bytes(jv_copy(dump))))
			result = JQ_PATH_NO_ROOM;
		jv_free(dump);
	}
	/* lets go of the event */
	jq_start(q->jq, jv_null(), 0);
	return result;
}
