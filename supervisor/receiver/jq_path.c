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

/* A lost reference to a text of the program itself is but a count too high;
 * long before the count overflows there is a new jq_state. */
#define RUNS_MAX (1u << 28)
#define WORD_BYTES 32
#define PLUSES_MAX 8 /* each may double a text */
#define COMMAS_MAX 4 /* each may double the results */
#define DEPTH_MAX 200 /* libjq prints 256 levels */
#define SUM "def sum: add; " /* Druid's documentation uses it */

struct jq_path {
	char *program;
	jq_state *jq;
	uint32_t runs; /* of this jq_state */
	unsigned iterations;
	unsigned doublings; /* commas */
};

/* Functions and words that a program may use, and whether they iterate. Not
 * among them is what an event can make libjq 1.6 crash or hang with (implode,
 * indices and its kin, %), what loses memory at every use (ltrimstr, paths),
 * and what makes member names (from_entries, fromjson): see forget_event. */
static const struct {
	char name[WORD_BYTES];
	unsigned iterations;
} words[] = { { "add", 1 }, { "and", 0 }, { "arrays", 0 }, { "as", 0 },
	{ "ascii_downcase", 0 }, { "ascii_upcase", 0 }, { "booleans", 0 },
	{ "catch", 0 }, { "ceil", 0 }, { "contains", 1 }, { "elif", 0 },
	{ "else", 0 }, { "empty", 0 }, { "end", 0 }, { "endswith", 0 },
	{ "explode", 0 }, { "fabs", 0 }, { "false", 0 }, { "first", 0 },
	{ "flatten", 1 }, { "floor", 0 }, { "group_by", 1 }, { "has", 0 },
	{ "if", 0 }, { "in", 0 }, { "inside", 1 }, { "iterables", 0 },
	{ "join", 1 }, { "keys", 0 }, { "keys_unsorted", 0 }, { "last", 0 },
	{ "length", 0 }, { "map", 1 }, { "max", 0 }, { "max_by", 1 },
	{ "min", 0 }, { "min_by", 1 }, { "not", 0 }, { "nth", 0 },
	{ "null", 0 }, { "nulls", 0 }, { "numbers", 0 }, { "objects", 0 },
	{ "or", 0 }, { "reverse", 0 }, { "round", 0 }, { "scalars", 0 },
	{ "select", 0 }, { "sort", 0 }, { "sort_by", 1 }, { "split", 0 },
	{ "sqrt", 0 }, { "startswith", 0 }, { "strings", 0 }, { "sum", 1 },
	{ "then", 0 }, { "to_entries", 1 }, { "tojson", 0 }, { "tonumber", 0 },
	{ "tostring", 0 }, { "true", 0 }, { "try", 0 }, { "type", 0 },
	{ "unique", 0 }, { "unique_by", 1 }, { "utf8bytelength", 0 },
	{ "values", 0 } };

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

/* Whether what comes is the name of an object's member. */
static bool
is_at_key(const struct check *c, const char *before)
{
	return c->depth > 0 && c->open[c->depth - 1] == '{' &&
	    (*before == '{' || *before == ',');
}

/* {name: …}, {name} and {a, name}: a word there is a key. */
static bool
is_key(const struct check *c, const char *before, size_t bytes)
{
	const char *behind = skip_blanks(c->p + bytes);

	return is_at_key(c, before) && *behind != '\0' &&
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
	char bracket = *c->p++, opened;

	if (strchr("([{", bracket) != NULL) {
		if (bracket == '[' && *skip_blanks(c->p) == ']')
			c->iterations++;
		c->open[c->depth++] = bracket;
		return true;
	}
	if (c->depth == 0)
		return refuse(c, "a '%c' closes nothing", bracket);
	opened = c->open[--c->depth];
	if (opened == '"' && bracket == ')')
		return check_string(c);
	return strchr(opened == '('    ? ")"
		       : opened == '[' ? "]"
				       : "}",
		   bracket) != NULL ||
	    refuse(c, "a '%c' does not close a '%c'", bracket, opened);
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
	if (is_at_key(c, before) && strchr("\"(@", *c->p) != NULL)
		return refuse(c, "computed names of members are not supported");
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
	return c->depth == 0 ||
	    refuse(c, "a '%c' is not closed", c->open[c->depth - 1]);
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

static bool
start(struct jq_path *q, char *why)
{
	q->jq = jq_init();
	must_afford(q->jq != NULL);
	q->runs = 0;
	jq_set_error_cb(q->jq, keep_error, why);
	if (!jq_compile(q->jq, q->program))
		return false;
	jq_set_error_cb(q->jq, ignore_error, NULL);
	return true;
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
	q->program = must_format(SUM "%s", program);
	q->iterations = c.iterations;
	q->doublings = c.commas;
	if (!start(q, why)) {
		if (*why == '\0')
			snprintf(why, JQ_PATH_WHY_BYTES, "no jq program");
		jq_path_free(&q);
	}
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
	free(q->program);
	free(q);
}

static bool
is_too_long(const struct jq_path *q, const struct json_index *x)
{
	double steps = 1u << q->doublings;

	if (x->nodes[0].bytes > JQ_PATH_EVENT_BYTES_MAX)
		return true;
	for (unsigned i = 0; i < q->iterations && steps <= JQ_PATH_STEPS_MAX;
	     i++)
		steps *= x->count;
	return steps > JQ_PATH_STEPS_MAX;
}

/* The event as libjq has it, and a reference of ours to each of its names. */
struct event {
	const struct json_index *x;
	jv *names;
	uint32_t name_count;
	char *text; /* room to unescape in */
};

static jv
make_string(struct event *e, const char *raw, size_t bytes, bool escaped)
{
	if (escaped) {
		bytes = json_unescape(raw, bytes, e->text);
		raw = e->text;
	}
	return jv_string_sized(raw, (int)bytes);
}

static jv make_value(struct event *, uint32_t node, unsigned depth);

static jv
make_object(struct event *e, uint32_t node, unsigned depth)
{
	const struct json_node *nodes = e->x->nodes;
	jv object = jv_object();
	uint32_t i;

	for (i = node + 1; i < nodes[node].next; i = nodes[i].next) {
		jv name = make_string(e, e->x->text + nodes[i].name,
		    nodes[i].name_bytes, nodes[i].name_escaped);

		e->names[e->name_count++] = jv_copy(name);
		object =
		    jv_object_set(object, name, make_value(e, i, depth + 1));
	}
	return object;
}

static jv
make_array(struct event *e, uint32_t node, unsigned depth)
{
	const struct json_node *nodes = e->x->nodes;
	jv array = jv_array();
	uint32_t i;

	for (i = node + 1; i < nodes[node].next; i = nodes[i].next)
		array = jv_array_append(array, make_value(e, i, depth + 1));
	return array;
}

/* What is nested deeper than libjq prints is null. */
static jv
make_value(struct event *e, uint32_t node, unsigned depth)
{
	const struct json_node *n = &e->x->nodes[node];
	const char *text = e->x->text + n->text;

	switch ((enum scan_type)n->type) {
	case SCAN_FALSE: return jv_false();
	case SCAN_TRUE: return jv_true();
	case SCAN_NUMBER: return jv_number(strtod(text, NULL));
	case SCAN_STRING:
		return make_string(e, text + 1, n->bytes - 2, n->escaped);
	case SCAN_ARRAY:
		if (depth < DEPTH_MAX)
			return make_array(e, node, depth);
		break;
	case SCAN_OBJECT:
		if (depth < DEPTH_MAX)
			return make_object(e, node, depth);
		break;
	case SCAN_NULL: break;
	}
	return jv_null();
}

static bool
make_event(struct event *e, const struct json_index *x, jv *made)
{
	*e = (struct event){ .x = x };
	e->names = malloc(x->count * sizeof *e->names);
	e->text = malloc(x->nodes[0].bytes);
	if (e->names == NULL || e->text == NULL) {
		free(e->names);
		free(e->text);
		return false;
	}
	*made = make_value(e, 0, 0);
	return true;
}

/* When an error ends a walk over an object's members, libjq 1.6 loses a
 * reference to the name that was next. By now nobody but us has any: what is
 * above our own is lost, and is given back here. */
static void
forget_event(struct event *e)
{
	for (uint32_t i = 0; i < e->name_count; i++) {
		while (jv_get_refcnt(e->names[i]) > 1)
			jv_free(e->names[i]);
		jv_free(e->names[i]);
	}
	free(e->names);
	free(e->text);
}

/* To the program's end, whatever else it has to say: libjq 1.6 loses memory or
 * fails an assertion when a run is given up before, and fails one when a run is
 * asked for more that has ended. */
static void
end_run(struct jq_path *q, bool has_ended)
{
	while (!has_ended) {
		jv value = jq_next(q->jq);

		has_ended = !jv_is_valid(value);
		jv_free(value);
	}
	/* lets go of the event */
	jq_start(q->jq, jv_null(), 0);
	if (++q->runs >= RUNS_MAX) {
		char why[JQ_PATH_WHY_BYTES] = "";

		jq_teardown(&q->jq);
		must(start(q, why));
	}
}

/* Takes the value over. False: no room. */
static bool
put_value(jv value, struct line_out *out)
{
	jv text = jv_dump_string(value, 0);
	bool has_room = line_out_add(out, jv_string_value(text),
	    (size_t)jv_string_length_bytes(jv_copy(text)));

	jv_free(text);
	return has_room;
}

enum jq_path_result
jq_path_read(
    struct jq_path *q, const struct json_index *x, struct line_out *out)
{
	enum jq_path_result result = JQ_PATH_NONE;
	struct event event;
	bool has_ended;
	jv value;

	if (is_too_long(q, x))
		return JQ_PATH_TOO_LONG;
	if (!make_event(&event, x, &value))
		return JQ_PATH_NO_MEMORY;
	jq_start(q->jq, value, 0);
	value = jq_next(q->jq);
	has_ended = !jv_is_valid(value);
	if (has_ended || jv_get_kind(value) == JV_KIND_NULL)
		jv_free(value);
	else if (put_value(value, out))
		result = JQ_PATH_VALUE;
	else
		result = JQ_PATH_NO_ROOM;
	end_run(q, has_ended);
	forget_event(&event);
	return result;
}
