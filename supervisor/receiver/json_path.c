/*
 * json_path - JsonPath expressions of a flattenSpec: from text to tokens
 *
 * Process: receiver. Pure.
 */
#include "json_path_internal.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "panic.h"

bool
json_path_fail(struct json_path_source *s, const char *format, ...)
{
	va_list args;
	size_t used;

	if (*s->why != '\0')
		return false;
	va_start(args, format);
	vsnprintf(s->why, JSON_PATH_WHY_BYTES, format, args);
	va_end(args);
	used = strlen(s->why);
	snprintf(s->why + used, JSON_PATH_WHY_BYTES - used, " (character %d)",
	    (int)(s->at - s->start) + 1);
	return false;
}

void
json_path_skip_blanks(struct json_path_source *s)
{
	while (s->at < s->end && (*s->at == ' ' || *s->at == '\t'))
		s->at++;
}

static bool
is_next(const struct json_path_source *s, char c)
{
	return s->at < s->end && *s->at == c;
}

/* Past blanks and then c. */
static bool
take(struct json_path_source *s, char c)
{
	json_path_skip_blanks(s);
	if (!is_next(s, c))
		return json_path_fail(s, "expected '%c'", c);
	s->at++;
	return true;
}

static struct json_path_token *
add_token(
    struct json_path_source *s, struct json_path *p, enum json_path_kind kind)
{
	struct json_path_token *t;

	if (p->count == JSON_PATH_TOKENS_MAX) {
		json_path_fail(
		    s, "the path has more than %d steps", JSON_PATH_TOKENS_MAX);
		return NULL;
	}
	p->tokens = must_realloc(p->tokens, (p->count + 1) * sizeof *t);
	t = &p->tokens[p->count++];
	*t = (struct json_path_token){ .kind = kind };
	return t;
}

static void
add_name(struct json_path_token *t, char *text, size_t bytes)
{
	t->names = must_realloc(t->names, (t->count + 1) * sizeof t->names[0]);
	t->names[t->count++] = (struct json_path_name){ text, bytes };
}

/* \uXXXX as UTF-8; a lone surrogate in three bytes, as java_string has it. */
static size_t
put_unit(char *out, unsigned unit)
{
	if (unit < 0x80) {
		out[0] = (char)unit;
		return 1;
	}
	if (unit < 0x800) {
		out[0] = (char)(0xc0 | unit >> 6);
		out[1] = (char)(0x80 | (unit & 0x3f));
		return 2;
	}
	out[0] = (char)(0xe0 | unit >> 12);
	out[1] = (char)(0x80 | (unit >> 6 & 0x3f));
	out[2] = (char)(0x80 | (unit & 0x3f));
	return 3;
}

/* The character behind a backslash. */
static bool
unescape(struct json_path_source *s, char *out, size_t *used)
{
	static const char letters[] = "bfnrt", meaning[] = "\b\f\n\r\t";
	char digits[5] = "", *stop;
	const char *letter;

	if (s->at == s->end)
		return json_path_fail(s, "a quote is not closed");
	if (*s->at != 'u') {
		letter = strchr(letters, *s->at);
		out[(*used)++] = letter == NULL || *letter == '\0'
		    ? *s->at
		    : meaning[letter - letters];
		s->at++;
		return true;
	}
	if (s->end - s->at < 5)
		return json_path_fail(s, "\\u needs four digits");
	memcpy(digits, s->at + 1, 4);
	*used += put_unit(out + *used, (unsigned)strtoul(digits, &stop, 16));
	if (stop != digits + 4 || !isxdigit((unsigned char)digits[0]))
		return json_path_fail(s, "\\u needs four digits");
	s->at += 5;
	return true;
}

char *
json_path_quoted(struct json_path_source *s, size_t *bytes)
{
	char quote = *s->at++, *out = must_malloc((size_t)(s->end - s->at) + 4);

	*bytes = 0;
	while (s->at < s->end && *s->at != quote) {
		if (*s->at == '\\') {
			s->at++;
			if (!unescape(s, out, bytes))
				break;
		} else {
			out[(*bytes)++] = *s->at++;
		}
	}
	if (*s->why == '\0' && s->at == s->end)
		json_path_fail(s, "a quote is not closed");
	if (*s->why != '\0') {
		free(out);
		return NULL;
	}
	s->at++;
	out[*bytes] = '\0';
	return out;
}

/* ['a'] or ['a','b'], from the first quote. */
static bool
read_names(struct json_path_source *s, struct json_path *p)
{
	struct json_path_token *t = add_token(s, p, PATH_MEMBER);

	while (t != NULL) {
		size_t bytes;
		char *text;

		json_path_skip_blanks(s);
		if (!is_next(s, '\'') && !is_next(s, '"'))
			return json_path_fail(s, "expected a quoted name");
		if (t->count == JSON_PATH_LIST_MAX)
			return json_path_fail(s, "too many names");
		if ((text = json_path_quoted(s, &bytes)) == NULL)
			return false;
		add_name(t, text, bytes);
		json_path_skip_blanks(s);
		if (!is_next(s, ','))
			return take(s, ']');
		s->at++;
	}
	return false;
}

static bool
is_digit_next(const struct json_path_source *s)
{
	return s->at < s->end &&
	    (*s->at == '-' || isdigit((unsigned char)*s->at));
}

static bool
read_integer(struct json_path_source *s, int32_t *value)
{
	char *stop;
	long n;

	if (!is_digit_next(s))
		return json_path_fail(s, "expected a number");
	errno = 0;
	n = strtol(s->at, &stop, 10);
	if (stop == s->at)
		return json_path_fail(s, "expected a number");
	if (errno != 0 || n > INT32_MAX || n < INT32_MIN)
		return json_path_fail(s, "the number is too large");
	s->at = stop;
	*value = (int32_t)n;
	return true;
}

/* [1:2], from the colon. */
static bool
read_slice_end(struct json_path_source *s, struct json_path_token *t)
{
	s->at++;
	json_path_skip_blanks(s);
	t->has_to = is_digit_next(s);
	if (t->has_to && !read_integer(s, &t->to))
		return false;
	json_path_skip_blanks(s);
	if (is_next(s, ':'))
		return json_path_fail(s, "slices have no step here");
	if (!t->has_from && !t->has_to)
		return json_path_fail(
		    s, "a slice needs a start or an end; [*] takes all");
	return take(s, ']');
}

/* [1], [1,2], [1:], [1:2], [:2] */
static bool
read_elements(struct json_path_source *s, struct json_path *p)
{
	struct json_path_token *t = add_token(s, p, PATH_ELEMENT);

	if (t == NULL)
		return false;
	if (is_next(s, ':')) {
		t->kind = PATH_SLICE;
		return read_slice_end(s, t);
	}
	for (;;) {
		int32_t index;

		json_path_skip_blanks(s);
		if (!read_integer(s, &index))
			return false;
		json_path_skip_blanks(s);
		if (t->count == 0 && is_next(s, ':')) {
			t->kind = PATH_SLICE;
			t->from = index;
			t->has_from = true;
			return read_slice_end(s, t);
		}
		if (t->count == JSON_PATH_LIST_MAX)
			return json_path_fail(s, "too many indices");
		t->indices = must_realloc(
		    t->indices, (t->count + 1) * sizeof t->indices[0]);
		t->indices[t->count++] = index;
		if (!is_next(s, ','))
			return take(s, ']');
		s->at++;
	}
}

static bool
read_filter(struct json_path_source *s, struct json_path *p)
{
	struct json_path_token *t = add_token(s, p, PATH_FILTER);

	if (t == NULL)
		return false;
	s->at++;
	t->filter = json_path_filter_compile(s);
	return t->filter != NULL && take(s, ']');
}

static bool
read_bracket(struct json_path_source *s, struct json_path *p)
{
	s->at++;
	json_path_skip_blanks(s);
	if (is_next(s, '\'') || is_next(s, '"'))
		return read_names(s, p);
	if (is_next(s, ':') || is_digit_next(s))
		return read_elements(s, p);
	if (is_next(s, '?'))
		return read_filter(s, p);
	if (!is_next(s, '*'))
		return json_path_fail(
		    s, "expected a quoted name, a number, '*' or '?' behind [");
	s->at++;
	return add_token(s, p, PATH_WILDCARD) != NULL && take(s, ']');
}

/* A name as it stands behind a dot. */
static bool
read_plain_name(struct json_path_source *s, struct json_path *p)
{
	const char *start = s->at;
	struct json_path_token *t;
	char *text;

	while (s->at < s->end && *s->at != '.' && *s->at != '[') {
		if (*s->at == '(')
			return json_path_fail(s,
			    "functions are not supported in paths; a field of "
			    "type jq can do it (.a | length, add, min, max)");
		if (*s->at == ' ')
			return json_path_fail(
			    s, "a name with blanks goes into ['…']");
		s->at++;
	}
	if (s->at == start)
		return json_path_fail(s, "a name is missing");
	if ((t = add_token(s, p, PATH_MEMBER)) == NULL)
		return false;
	text = must_malloc((size_t)(s->at - start) + 1);
	memcpy(text, start, (size_t)(s->at - start));
	text[s->at - start] = '\0';
	add_name(t, text, (size_t)(s->at - start));
	return true;
}

static bool
read_scan(struct json_path_source *s, struct json_path *p)
{
	unsigned scans = 0;

	for (unsigned i = 0; i < p->count; i++)
		scans += p->tokens[i].kind == PATH_SCAN;
	if (scans == JSON_PATH_SCANS_MAX)
		return json_path_fail(s, "the path has '..' more than %d times",
		    JSON_PATH_SCANS_MAX);
	s->at++;
	return add_token(s, p, PATH_SCAN) != NULL;
}

static bool
read_token(struct json_path_source *s, struct json_path *p)
{
	if (is_next(s, '['))
		return read_bracket(s, p);
	if (!is_next(s, '.'))
		return json_path_fail(s, "expected '.' or '['");
	s->at++;
	if (is_next(s, '.') && !read_scan(s, p))
		return false;
	if (s->at == s->end)
		return json_path_fail(s, "the path must not end with '.'");
	if (is_next(s, '['))
		return read_bracket(s, p);
	if (is_next(s, '*')) {
		s->at++;
		return add_token(s, p, PATH_WILDCARD) != NULL;
	}
	return read_plain_name(s, p);
}

static bool
is_token_definite(const struct json_path_token *t)
{
	switch (t->kind) {
	case PATH_MEMBER: return t->count == 1 || t->is_last;
	case PATH_ELEMENT: return t->count == 1;
	case PATH_SLICE:
	case PATH_WILDCARD:
	case PATH_SCAN:
	case PATH_FILTER: break;
	}
	return false;
}

static void
settle_definite(struct json_path *p)
{
	p->is_definite = true;
	if (p->count > 0)
		p->tokens[p->count - 1].is_last = true;
	for (unsigned i = 0; i < p->count; i++) {
		p->tokens[i].is_upstream_definite = p->is_definite;
		p->is_definite &= is_token_definite(&p->tokens[i]);
	}
}

struct json_path *
json_path_compile_source(struct json_path_source *s)
{
	struct json_path *p = must_calloc(1, sizeof *p);

	p->is_root = *s->at == '$';
	s->at++;
	while (s->at < s->end) {
		if (!read_token(s, p)) {
			json_path_free(&p);
			return NULL;
		}
	}
	settle_definite(p);
	return p;
}

struct json_path *
json_path_compile(const char *expression, char why[JSON_PATH_WHY_BYTES])
{
	struct json_path_source s = { .why = why };
	struct json_path *p = NULL;
	char *text;

	*why = '\0';
	while (*expression == ' ' || *expression == '\t')
		expression++;
	text = *expression == '$' || *expression == '@'
	    ? must_strdup(expression)
	    : must_format("$.%s", expression);
	s.start = s.at = text;
	s.end = text + strlen(text);
	while (s.end > text && (s.end[-1] == ' ' || s.end[-1] == '\t'))
		s.end--;
	if (*expression == '\0')
		json_path_fail(&s, "the path is empty");
	else
		p = json_path_compile_source(&s);
	free(text);
	return p;
}

void
json_path_free(struct json_path **path)
{
	struct json_path *p = *path;

	if (p == NULL)
		return;
	*path = NULL;
	for (unsigned i = 0; i < p->count; i++) {
		struct json_path_token *t = &p->tokens[i];

		for (unsigned j = 0; t->names != NULL && j < t->count; j++)
			free(t->names[j].text);
		free(t->names);
		free(t->indices);
		json_path_filter_free(&t->filter);
	}
	free(p->tokens);
	free(p);
}

bool
json_path_is_definite(const struct json_path *p)
{
	return p->is_definite;
}

const char *
json_path_merged_name(const struct json_path *p, unsigned i, size_t *bytes)
{
	const struct json_path_token *t = &p->tokens[p->count - 1];

	must(p->count > 0 && t->kind == PATH_MEMBER);
	if (i >= t->count)
		return NULL;
	*bytes = t->names[i].bytes;
	return t->names[i].text;
}
