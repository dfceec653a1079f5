/*
 * json_path_filter - the filters of JsonPath expressions: from text to tree
 *
 * Process: receiver. Pure.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "json_path_internal.h"
#include "panic.h"

static struct json_path_filter *read_or(struct json_path_source *);

static bool
is_text(const struct json_path_source *s, const char *text)
{
	size_t bytes = strlen(text);

	return (size_t)(s->end - s->at) >= bytes &&
	    memcmp(s->at, text, bytes) == 0;
}

/* Whether one of the characters comes. */
static bool
is_any(const struct json_path_source *s, const char *characters)
{
	return s->at < s->end && *s->at != '\0' &&
	    strchr(characters, *s->at) != NULL;
}

static struct json_path_filter *
new_filter(enum json_path_filter_kind kind, struct json_path_filter *left,
    struct json_path_filter *right)
{
	struct json_path_filter *f = must_calloc(1, sizeof *f);

	f->kind = kind;
	f->left = left;
	f->right = right;
	return f;
}

static void
free_operand(struct json_path_operand *o)
{
	json_path_free(&o->path);
	free(o->text);
}

void
json_path_filter_free(struct json_path_filter **filter)
{
	struct json_path_filter *f = *filter;

	if (f == NULL)
		return;
	*filter = NULL;
	json_path_filter_free(&f->left);
	json_path_filter_free(&f->right);
	free_operand(&f->a);
	free_operand(&f->b);
	free(f);
}

/* Behind the bracket that closes the one at p, or NULL. */
static const char *
behind_bracket(const char *p, const char *end)
{
	unsigned open = 0;

	for (; p < end; p++) {
		if (*p == '\'' || *p == '"') {
			char quote = *p++;

			while (p < end && *p != quote)
				p += *p == '\\' && p + 1 < end ? 2 : 1;
		} else if (*p == '[') {
			open++;
		} else if (*p == ']' && --open == 0) {
			return p + 1;
		}
	}
	return NULL;
}

/* Where a path in a filter ends, or NULL. */
static const char *
path_end(struct json_path_source *s)
{
	const char *p = s->at + 1;

	while (p < s->end && strchr("<>=~! )\t", *p) == NULL) {
		if (*p == '[') {
			p = behind_bracket(p, s->end);
			if (p == NULL) {
				json_path_fail(s, "a [ is not closed");
				return NULL;
			}
			continue;
		}
		if (p + 1 < s->end && p[0] == p[1] && (*p == '&' || *p == '|'))
			break;
		p++;
	}
	return p;
}

static bool
read_path(struct json_path_source *s, struct json_path_operand *o)
{
	struct json_path_source part = *s;

	part.end = path_end(s);
	if (part.end == NULL)
		return false;
	if (++part.nest > JSON_PATH_NEST_MAX)
		return json_path_fail(s, "nested too deep");
	o->value.kind = VALUE_PATH;
	o->path = json_path_compile_source(&part);
	s->at = part.end;
	return o->path != NULL;
}

static bool
is_digit_at(const char *p, const char *end)
{
	return p < end && isdigit((unsigned char)*p);
}

/* A number as BigDecimal prints it: no zeros in front but one before a point,
 * none of a point alone. */
static bool
read_number(struct json_path_source *s, struct json_path_operand *o)
{
	const char *p = s->at, *digits;
	bool is_negative = p < s->end && *p == '-', has_digits;
	size_t used = 0;

	o->text = must_malloc((size_t)(s->end - p) + 2);
	p += is_negative;
	if (is_negative)
		o->text[used++] = '-';
	has_digits = is_digit_at(p, s->end);
	while (is_digit_at(p, s->end) && *p == '0')
		p++;
	if (!is_digit_at(p, s->end))
		o->text[used++] = '0';
	while (is_digit_at(p, s->end))
		o->text[used++] = *p++;
	if (p < s->end && *p == '.') {
		digits = ++p;
		o->text[used++] = '.';
		while (is_digit_at(p, s->end))
			o->text[used++] = *p++;
		used -= p == digits;
		has_digits |= p > digits;
	}
	if (!has_digits)
		return json_path_fail(s,
		    "expected a value: a path, number, quoted text, true, "
		    "false or null");
	s->at = p;
	o->text[used] = '\0';
	o->value.kind = VALUE_NUMBER;
	o->value.text = (struct java_string){ o->text, used, false };
	return true;
}

static bool
read_word(struct json_path_source *s, struct json_path_operand *o,
    const char *word, enum json_path_value_kind kind)
{
	if (!is_text(s, word))
		return false;
	s->at += strlen(word);
	o->value.kind = kind;
	o->value.is_true = *word == 't';
	return true;
}

static bool
read_operand(struct json_path_source *s, struct json_path_operand *o)
{
	size_t bytes;

	json_path_skip_blanks(s);
	if (is_any(s, "$@"))
		return read_path(s, o);
	if (is_any(s, "'\"")) {
		if ((o->text = json_path_quoted(s, &bytes)) == NULL)
			return false;
		o->value.kind = VALUE_STRING;
		o->value.text = (struct java_string){ o->text, bytes, false };
		return true;
	}
	if (is_any(s, "[{/"))
		return json_path_fail(s,
		    "lists, objects and patterns are not supported in "
		    "filters; a field of type jq can do it");
	return read_word(s, o, "true", VALUE_BOOL) ||
	    read_word(s, o, "false", VALUE_BOOL) ||
	    read_word(s, o, "null", VALUE_NULL) || read_number(s, o);
}

/* Whether an operator comes; it is taken. */
static bool
read_operator(struct json_path_source *s, enum json_path_operator *op)
{
	static const struct {
		const char *text;
		enum json_path_operator op;
	} operators[] = { { "===", OPERATOR_SAME },
		{ "!==", OPERATOR_NOT_SAME }, { "==", OPERATOR_EQ },
		{ "!=", OPERATOR_NE }, { "<=", OPERATOR_LE },
		{ ">=", OPERATOR_GE }, { "<", OPERATOR_LT },
		{ ">", OPERATOR_GT } };

	json_path_skip_blanks(s);
	for (size_t i = 0; i < ARRAY_LEN(operators); i++)
		if (is_text(s, operators[i].text)) {
			s->at += strlen(operators[i].text);
			*op = operators[i].op;
			return true;
		}
	if (s->at < s->end &&
	    (is_any(s, "=~!") || isalpha((unsigned char)*s->at)))
		return json_path_fail(s,
		    "only == != === !== < <= > >= are supported; a field of "
		    "type jq can do more");
	return false;
}

/* A comparison, or a path alone: whether it exists. */
static struct json_path_filter *
read_expression(struct json_path_source *s, bool is_negated)
{
	struct json_path_filter *f = new_filter(FILTER_COMPARE, NULL, NULL);
	bool is_good = read_operand(s, &f->a);

	if (is_good && read_operator(s, &f->op)) {
		is_good = read_operand(s, &f->b);
		if (is_good && is_negated)
			is_good = json_path_fail(s,
			    "'!' before a comparison needs parentheses: "
			    "!(…)");
	} else if (is_good && *s->why == '\0') {
		f->kind = FILTER_EXISTS;
		f->should_exist = !is_negated;
		if (f->a.path == NULL)
			is_good =
			    json_path_fail(s, "a value alone is no condition");
	}
	if (!is_good || *s->why != '\0')
		json_path_filter_free(&f);
	return f;
}

static bool
go_down(struct json_path_source *s)
{
	s->at++;
	if (++s->nest > JSON_PATH_NEST_MAX)
		return json_path_fail(s, "nested too deep");
	return true;
}

static struct json_path_filter *
read_parentheses(struct json_path_source *s)
{
	struct json_path_filter *f;

	if (!go_down(s))
		return NULL;
	f = read_or(s);
	s->nest--;
	json_path_skip_blanks(s);
	if (f != NULL && !is_any(s, ")")) {
		json_path_fail(s, "expected ')', && or ||");
		json_path_filter_free(&f);
	}
	s->at += f != NULL;
	return f;
}

static struct json_path_filter *
read_condition(struct json_path_source *s)
{
	struct json_path_filter *f;

	json_path_skip_blanks(s);
	if (is_any(s, "("))
		return read_parentheses(s);
	if (!is_any(s, "!"))
		return read_expression(s, false);
	if (!go_down(s))
		return NULL;
	json_path_skip_blanks(s);
	/* before a path it is part of the test of existence */
	if (is_any(s, "$@")) {
		f = read_expression(s, true);
	} else {
		f = read_condition(s);
		if (f != NULL)
			f = new_filter(FILTER_NOT, f, NULL);
	}
	s->nest--;
	return f;
}

static struct json_path_filter *
read_and(struct json_path_source *s)
{
	struct json_path_filter *f = read_condition(s), *right;

	while (f != NULL) {
		json_path_skip_blanks(s);
		if (!is_text(s, "&&"))
			break;
		s->at += 2;
		right = read_condition(s);
		if (right == NULL)
			json_path_filter_free(&f);
		else
			f = new_filter(FILTER_AND, f, right);
	}
	return f;
}

static struct json_path_filter *
read_or(struct json_path_source *s)
{
	struct json_path_filter *f = read_and(s), *right;

	while (f != NULL) {
		json_path_skip_blanks(s);
		if (!is_text(s, "||"))
			break;
		s->at += 2;
		right = read_and(s);
		if (right == NULL)
			json_path_filter_free(&f);
		else
			f = new_filter(FILTER_OR, f, right);
	}
	return f;
}

struct json_path_filter *
json_path_filter_compile(struct json_path_source *s)
{
	json_path_skip_blanks(s);
	if (!is_any(s, "(")) {
		json_path_fail(s, "expected '(' behind '?'");
		return NULL;
	}
	return read_parentheses(s);
}
