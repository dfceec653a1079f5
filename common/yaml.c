/*
 * yaml - YAML documents, for the configuration
 *
 * Process: all.   Owns: libyaml.
 *
 * Goes through libyaml's events, not its document tree, which knows neither
 * bounds nor duplicates. One call of read_value for each level of the
 * document, at most YAML_DEPTH_MAX.
 */
#include "yaml.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "panic.h"

#define QUOTED_BYTES_MAX 40

struct reading {
	yaml_parser_t parser;
	yaml_event_t event; /* the one that is being looked at */
	const char *text;
	struct json *anchors; /* name → its value, a copy */
	size_t weight; /* of YAML_BYTES_MAX */
	unsigned depth;
	struct json_error *error;
};

static struct json *read_value(struct reading *);

static void PRINTF_LIKE(3, 4)
    say(struct reading *in, yaml_mark_t at, const char *format, ...)
{
	struct json_error *e = in->error;
	va_list args;

	e->line = (int)at.line + 1;
	e->column = (int)at.column + 1;
	va_start(args, format);
	vsnprintf(e->text, sizeof e->text, format, args);
	va_end(args);
}

/* For %.*s: never half a character. */
static int
cut(const char *text)
{
	size_t n = strnlen(text, QUOTED_BYTES_MAX + 1);

	if (n <= QUOTED_BYTES_MAX)
		return (int)n;
	for (n = QUOTED_BYTES_MAX; n > 0 && (text[n] & 0xc0) == 0x80;)
		n--;
	return (int)n;
}

/* libyaml tells only the byte at which the encoding broke. */
static yaml_mark_t
mark_of_byte(const char *text, size_t byte)
{
	yaml_mark_t at = { 0 };

	for (size_t i = 0; i < byte; i++) {
		at.column += (text[i] & 0xc0) != 0x80;
		if (text[i] == '\n') {
			at.line++;
			at.column = 0;
		}
	}
	return at;
}

static void
say_parser(struct reading *in)
{
	const yaml_parser_t *p = &in->parser;
	yaml_mark_t at = p->problem_mark;
	const char *what = p->problem != NULL ? p->problem : "not YAML";

	if (p->error == YAML_MEMORY_ERROR)
		panic_at(__FILE__, __LINE__, __func__, "out of memory");
	if (p->error == YAML_READER_ERROR)
		at = mark_of_byte(in->text, p->problem_offset);
	if (p->context != NULL)
		say(in, at, "%s %s (it began in line %zu); mend it there",
		    p->context, what, p->context_mark.line + 1);
	else
		say(in, at, "%s; mend it there", what);
}

/* To the next event; false with the error. */
static bool
advance(struct reading *in)
{
	yaml_event_delete(&in->event);
	if (yaml_parser_parse(&in->parser, &in->event))
		return true;
	say_parser(in);
	return false;
}

static bool
charge(struct reading *in, yaml_mark_t at, size_t bytes)
{
	in->weight += bytes;
	if (in->weight <= YAML_BYTES_MAX)
		return true;
	say(in, at,
	    "more than %u MiB with its aliases written out; take anchors out",
	    YAML_BYTES_MAX / MiB);
	return false;
}

struct extent {
	size_t weight;
	unsigned depth;
};

static struct extent
measure(const struct json *j)
{
	struct extent all = { YAML_VALUE_BYTES + strlen(json_text(j, "")), 1 };
	struct extent one;

	for (struct json_member *m = json_first(j); m != NULL;
	     m = json_next(j, m)) {
		one = measure(json_member(m));
		all.weight += one.weight + strlen(json_member_name(m));
		all.depth = MAX_OF(all.depth, one.depth + 1);
	}
	for (size_t i = 0; json_is_array(j) && i < json_size(j); i++) {
		one = measure(json_at(j, i));
		all.weight += one.weight;
		all.depth = MAX_OF(all.depth, one.depth + 1);
	}
	return all;
}

static bool
check_depth(struct reading *in, yaml_mark_t at, unsigned more)
{
	if (in->depth + more <= YAML_DEPTH_MAX)
		return true;
	say(in, at, "more than %d levels deep; make it flatter",
	    YAML_DEPTH_MAX);
	return false;
}

static struct json *
read_alias(struct reading *in)
{
	const char *name = (const char *)in->event.data.alias.anchor;
	const struct json *kept = json_get(in->anchors, name);
	yaml_mark_t at = in->event.start_mark;
	struct extent e;

	if (kept == NULL) {
		/* not quoted: it may be a password that wants quotes */
		say(in, at,
		    "an alias (*) without an anchor (&) of its name that ends "
		    "before it; mend the name, or put it in quotes if it is "
		    "text");
		return NULL;
	}
	e = measure(kept);
	if (!check_depth(in, at, e.depth) || !charge(in, at, e.weight))
		return NULL;
	return json_clone(kept);
}

static bool
is_one_of(const char *text, const char *const names[4])
{
	for (size_t i = 0; i < 4 && names[i] != NULL; i++)
		if (strcmp(text, names[i]) == 0)
			return true;
	return false;
}

static size_t
digits(const char *text)
{
	return strspn(text, "0123456789");
}

enum number { NUMBER_NOT, NUMBER_INT, NUMBER_REAL };

/* JSON's numbers, also with a plus, without digits before or behind the
 * point. A needless zero in front makes it text: to some it is octal. */
static enum number
number_kind(const char *text)
{
	size_t whole, part = 0;
	bool has_point, has_exponent;

	if (*text == '-' || *text == '+')
		text++;
	whole = digits(text);
	if (whole > 1 && *text == '0')
		return NUMBER_NOT;
	text += whole;
	has_point = *text == '.';
	if (has_point) {
		part = digits(text + 1);
		text += 1 + part;
	}
	if (whole + part == 0)
		return NUMBER_NOT;
	has_exponent = *text == 'e' || *text == 'E';
	if (has_exponent) {
		text++;
		if (*text == '-' || *text == '+')
			text++;
		if (digits(text) == 0)
			return NUMBER_NOT;
		text += digits(text);
	}
	if (*text != '\0')
		return NUMBER_NOT;
	return has_point || has_exponent ? NUMBER_REAL : NUMBER_INT;
}

static struct json *
read_number(struct reading *in, const char *text, enum number kind)
{
	double real;
	int64_t whole;

	errno = 0;
	if (kind == NUMBER_INT) {
		whole = strtoll(text, NULL, 10);
		if (errno == 0)
			return json_new_int(whole);
	} else {
		real = strtod(text, NULL);
		if (isfinite(real))
			return json_new_number(real);
	}
	say(in, in->event.start_mark,
	    "a number out of range; put it in quotes if it is text");
	return NULL;
}

static struct json *
read_plain(struct reading *in, const char *text)
{
	static const char *const nulls[4] = { "~", "null", "Null", "NULL" };
	static const char *const yes[4] = { "true", "True", "TRUE" };
	static const char *const no[4] = { "false", "False", "FALSE" };
	enum number kind = number_kind(text);

	if (*text == '\0' || is_one_of(text, nulls))
		return json_new_null();
	if (is_one_of(text, yes))
		return json_new_bool(true);
	if (is_one_of(text, no))
		return json_new_bool(false);
	if (kind != NUMBER_NOT)
		return read_number(in, text, kind);
	return json_new_text(text);
}

/* The scalar's text, the event's own; NULL with the error. */
static const char *
scalar_text(struct reading *in)
{
	const char *text = (const char *)in->event.data.scalar.value;
	size_t bytes = in->event.data.scalar.length;

	if (memchr(text, '\0', bytes) != NULL) {
		say(in, in->event.start_mark,
		    "text with a NUL character in it; take \\0 out");
		return NULL;
	}
	return charge(in, in->event.start_mark, bytes) ? text : NULL;
}

static struct json *
read_scalar(struct reading *in)
{
	const char *text = scalar_text(in);

	if (text == NULL)
		return NULL;
	if (in->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		return read_plain(in, text);
	return json_new_text(text);
}

static struct json *
read_list(struct reading *in)
{
	struct json *list = json_new_array();
	struct json *value;

	while (advance(in)) {
		if (in->event.type == YAML_SEQUENCE_END_EVENT)
			return list;
		value = read_value(in);
		if (value == NULL)
			break;
		json_append(list, value);
	}
	json_free(&list);
	return NULL;
}

static bool
check_merge(struct reading *in, yaml_mark_t at, const struct json *from)
{
	bool good = json_is_object(from) || json_is_array(from);

	for (size_t i = 0; good && json_is_array(from) && i < json_size(from);
	     i++)
		good = json_is_object(json_at(from, i));
	if (!good)
		say(in, at,
		    "<< takes a map or a list of maps over; give an alias of "
		    "a map, or put \"<<\" in quotes");
	return good;
}

static bool
merge_one(struct reading *in, yaml_mark_t at, struct json *to,
    const struct json *from)
{
	struct extent e = measure(from);

	if (!charge(in, at, e.weight))
		return false;
	for (struct json_member *m = json_first(from); m != NULL;
	     m = json_next(from, m))
		if (json_get(to, json_member_name(m)) == NULL)
			json_set(to, json_member_name(m),
			    json_clone(json_member(m)));
	return true;
}

/* What the map has not itself; takes over `from`. */
static bool
merge(struct reading *in, yaml_mark_t at, struct json *to, struct json *from)
{
	bool good = true;

	if (json_is_object(from))
		good = merge_one(in, at, to, from);
	for (size_t i = 0; good && json_is_array(from) && i < json_size(from);
	     i++)
		good = merge_one(in, at, to, json_at(from, i));
	json_free(&from);
	return good;
}

struct map {
	struct json *object;
	struct json *merged; /* the value of <<, or NULL */
	yaml_mark_t merged_at;
};

/* On a key: it and its value. */
static bool
read_member(struct reading *in, struct map *map)
{
	yaml_mark_t at = in->event.start_mark;
	bool is_merge, good = true;
	struct json *value;
	const char *text;
	char *key;

	if (in->event.type != YAML_SCALAR_EVENT ||
	    in->event.data.scalar.anchor != NULL ||
	    in->event.data.scalar.tag != NULL) {
		say(in, at,
		    "a key that is no plain text; give text without anchor, "
		    "alias or tag");
		return false;
	}
	text = scalar_text(in);
	if (text == NULL)
		return false;
	is_merge = strcmp(text, "<<") == 0 &&
	    in->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	if (is_merge ? map->merged != NULL
		     : json_get(map->object, text) != NULL) {
		say(in, at, "duplicate key '%.*s'; take one of the two out",
		    cut(text), text);
		return false;
	}
	key = must_strdup(text);
	value = advance(in) ? read_value(in) : NULL;
	if (value == NULL)
		good = false;
	else if (!is_merge)
		json_set(map->object, key, value);
	else {
		map->merged = value;
		map->merged_at = at;
		good = check_merge(in, at, value);
	}
	free(key);
	return good;
}

static struct json *
read_map(struct reading *in)
{
	struct map map = { .object = json_new_object() };
	bool good;

	while ((good = advance(in)) && in->event.type != YAML_MAPPING_END_EVENT)
		if (!(good = read_member(in, &map)))
			break;
	if (good && map.merged != NULL)
		good = merge(in, map.merged_at, map.object, map.merged);
	else
		json_free(&map.merged);
	if (!good)
		json_free(&map.object);
	return map.object;
}

/* The anchor and tag of the event's value, the event's own. */
static const char *
node_marks(const yaml_event_t *e, const char **tag)
{
	const yaml_char_t *anchor = NULL, *t = NULL;

	if (e->type == YAML_SCALAR_EVENT) {
		anchor = e->data.scalar.anchor;
		t = e->data.scalar.tag;
	} else if (e->type == YAML_SEQUENCE_START_EVENT) {
		anchor = e->data.sequence_start.anchor;
		t = e->data.sequence_start.tag;
	} else if (e->type == YAML_MAPPING_START_EVENT) {
		anchor = e->data.mapping_start.anchor;
		t = e->data.mapping_start.tag;
	}
	*tag = (const char *)t;
	return (const char *)anchor;
}

static struct json *
read_bare(struct reading *in)
{
	switch (in->event.type) {
	case YAML_SCALAR_EVENT: return read_scalar(in);
	case YAML_SEQUENCE_START_EVENT: return read_list(in);
	case YAML_MAPPING_START_EVENT: return read_map(in);
	default: return read_alias(in);
	}
}

/* A name that is given anew means the newer value from here on. */
static bool
keep_anchor(struct reading *in, yaml_mark_t at, const char *name,
    const struct json *value)
{
	if (!charge(in, at, measure(value).weight + strlen(name)))
		return false;
	json_set(in->anchors, name, json_clone(value));
	return true;
}

/* The value that the event begins; the event is its last one then. */
static struct json *
read_value(struct reading *in)
{
	yaml_mark_t at = in->event.start_mark;
	const char *tag, *name = node_marks(&in->event, &tag);
	char *anchor = name != NULL ? must_strdup(name) : NULL;
	struct json *value = NULL;

	if (tag != NULL)
		say(in, at,
		    "a tag (!) is not read here; take it out (quotes make "
		    "text of what looks like one, or like a number)");
	else if (check_depth(in, at, 1) && charge(in, at, YAML_VALUE_BYTES)) {
		in->depth++;
		value = read_bare(in);
		in->depth--;
	}
	if (value != NULL && anchor != NULL &&
	    !keep_anchor(in, at, anchor, value))
		json_free(&value);
	free(anchor);
	return value;
}

/* On what follows the first document. */
static bool
check_end(struct reading *in)
{
	if (!advance(in) || !advance(in)) /* the document's end */
		return false;
	if (in->event.type == YAML_STREAM_END_EVENT)
		return true;
	say(in, in->event.start_mark,
	    "a second document begins; keep one, in a file of its own");
	return false;
}

static struct json *
read_stream(struct reading *in)
{
	struct json *value;

	if (!advance(in) || !advance(in)) /* the stream's start */
		return NULL;
	if (in->event.type == YAML_STREAM_END_EVENT) {
		say(in, (yaml_mark_t){ 0 }, "empty; give a document");
		return NULL;
	}
	value = advance(in) ? read_value(in) : NULL;
	if (value != NULL && !check_end(in))
		json_free(&value);
	return value;
}

struct json *
yaml_parse(const char *text, size_t bytes, struct json_error *error)
{
	struct reading in = { .text = text, .error = error };
	struct json *value;

	if (!yaml_parser_initialize(&in.parser))
		panic_at(__FILE__, __LINE__, __func__, "out of memory");
	in.anchors = json_new_object();
	yaml_parser_set_encoding(&in.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(
	    &in.parser, (const unsigned char *)text, bytes);
	value = read_stream(&in);
	yaml_event_delete(&in.event);
	yaml_parser_delete(&in.parser);
	json_free(&in.anchors);
	return value;
}
