/*
 * json - JSON documents: configuration, control, Overlord and ZooKeeper data
 *
 * Process: all.   Owns: jansson.
 *
 * Without memory the process ends: these documents are small and bounded where
 * they come in.
 */
#include "json.h"

#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "iso.h"
#include "panic.h"

static json_t *
in(const struct json *j)
{
	union {
		const struct json *from;
		json_t *to;
	} u = { .from = j };

	return u.to;
}

static struct json *
out(json_t *j)
{
	return (struct json *)(void *)j;
}

/* A parser without memory calls the document malformed. */
__attribute__((constructor)) static void
use_our_memory(void)
{
	json_set_alloc_funcs(must_malloc, free);
}

static struct json *
built(json_t *j)
{
	must_afford(j != NULL);
	return out(j);
}

struct json *
json_parse(const char *text, size_t bytes, struct json_error *error)
{
	json_error_t e;
	json_t *j = json_loadb(
	    text, bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);

	if (j == NULL && error != NULL) {
		error->line = e.line;
		error->column = e.column;
		snprintf(error->text, sizeof error->text, "%s", e.text);
	}
	return out(j);
}

void
json_free(struct json **j)
{
	json_decref(in(*j));
	*j = NULL;
}

struct json *
json_clone(const struct json *j)
{
	return built(json_deep_copy(in(j)));
}

/* jansson's type tests are macros of the same names as ours */
#undef json_is_object
#undef json_is_array
#undef json_is_number
#undef json_is_null

static bool
is(const struct json *j, json_type type)
{
	return j != NULL && json_typeof(in(j)) == type;
}

bool
json_is_object(const struct json *j)
{
	return is(j, JSON_OBJECT);
}

bool
json_is_array(const struct json *j)
{
	return is(j, JSON_ARRAY);
}

bool
json_is_text(const struct json *j)
{
	return is(j, JSON_STRING);
}

bool
json_is_int(const struct json *j)
{
	return is(j, JSON_INTEGER);
}

bool
json_is_number(const struct json *j)
{
	return is(j, JSON_INTEGER) || is(j, JSON_REAL);
}

bool
json_is_bool(const struct json *j)
{
	return is(j, JSON_TRUE) || is(j, JSON_FALSE);
}

bool
json_is_null(const struct json *j)
{
	return is(j, JSON_NULL);
}

const char *
json_type_name(const struct json *j)
{
	static const char *const names[] = {
		[JSON_OBJECT] = "an object",
		[JSON_ARRAY] = "an array",
		[JSON_STRING] = "a string",
		[JSON_INTEGER] = "a number",
		[JSON_REAL] = "a number",
		[JSON_TRUE] = "a boolean",
		[JSON_FALSE] = "a boolean",
		[JSON_NULL] = "null",
	};

	return j == NULL ? "nothing" : names[json_typeof(in(j))];
}

struct json *
json_get(const struct json *object, const char *name)
{
	return out(json_object_get(in(object), name));
}

struct json *
json_at(const struct json *array, size_t index)
{
	return out(json_array_get(in(array), index));
}

size_t
json_size(const struct json *j)
{
	return is(j, JSON_ARRAY) ? json_array_size(in(j))
				 : json_object_size(in(j));
}

const char *
json_text(const struct json *j, const char *otherwise)
{
	return is(j, JSON_STRING) ? json_string_value(in(j)) : otherwise;
}

int64_t
json_int(const struct json *j, int64_t otherwise)
{
	return is(j, JSON_INTEGER) ? json_integer_value(in(j)) : otherwise;
}

double
json_number(const struct json *j, double otherwise)
{
	return json_is_number(j) ? json_number_value(in(j)) : otherwise;
}

bool
json_bool(const struct json *j, bool otherwise)
{
	return json_is_bool(j) ? is(j, JSON_TRUE) : otherwise;
}

const char *
json_get_text(
    const struct json *object, const char *name, const char *otherwise)
{
	return json_text(json_get(object, name), otherwise);
}

int64_t
json_get_int(const struct json *object, const char *name, int64_t otherwise)
{
	return json_int(json_get(object, name), otherwise);
}

bool
json_get_bool(const struct json *object, const char *name, bool otherwise)
{
	return json_bool(json_get(object, name), otherwise);
}

struct json_member *
json_first(const struct json *object)
{
	return json_object_iter(in(object));
}

struct json_member *
json_next(const struct json *object, struct json_member *member)
{
	return json_object_iter_next(in(object), member);
}

const char *
json_member_name(struct json_member *member)
{
	return json_object_iter_key(member);
}

struct json *
json_member(struct json_member *member)
{
	return out(json_object_iter_value(member));
}

struct json *
json_new_object(void)
{
	return built(json_object());
}

struct json *
json_new_array(void)
{
	return built(json_array());
}

struct json *
json_new_text(const char *text)
{
	json_t *j = json_string(text);

	return built(j != NULL ? j : json_string(""));
}

struct json *
json_new_int(int64_t value)
{
	return built(json_integer(value));
}

struct json *
json_new_number(double value)
{
	return built(json_real(value));
}

struct json *
json_new_bool(bool value)
{
	return built(json_boolean(value));
}

struct json *
json_new_null(void)
{
	return built(json_null());
}

void
json_set(struct json *object, const char *name, struct json *value)
{
	must(json_object_set_new(in(object), name, in(value)) == 0);
}

void
json_set_text(struct json *object, const char *name, const char *text)
{
	json_set(object, name, json_new_text(text));
}

void
json_set_int(struct json *object, const char *name, int64_t value)
{
	json_set(object, name, json_new_int(value));
}

void
json_set_bool(struct json *object, const char *name, bool value)
{
	json_set(object, name, json_new_bool(value));
}

void
json_set_time(struct json *object, const char *name, int64_t ms)
{
	char text[ISO_BYTES];

	iso_format(ms, text);
	json_set_text(object, name, text);
}

void
json_remove(struct json *object, const char *name)
{
	json_object_del(in(object), name);
}

void
json_append(struct json *array, struct json *value)
{
	must(json_array_append_new(in(array), in(value)) == 0);
}

bool
json_same(const struct json *a, const struct json *b)
{
	return a == b || (a != NULL && b != NULL && json_equal(in(a), in(b)));
}

static int
print_part(const char *bytes, size_t count, void *to)
{
	struct buf *b = to;

	buf_add(b, bytes, count);
	return b->failed ? -1 : 0;
}

void
json_print(const struct json *j, struct buf *to)
{
	if (json_dump_callback(
		in(j), print_part, to, JSON_COMPACT | JSON_ENCODE_ANY) < 0)
		to->failed = true;
}

void
json_print_pretty(const struct json *j, struct buf *to)
{
	if (json_dump_callback(
		in(j), print_part, to, JSON_INDENT(2) | JSON_ENCODE_ANY) < 0)
		to->failed = true;
}

char *
json_to_text(const struct json *j)
{
	char *text = json_dumps(in(j), JSON_COMPACT | JSON_ENCODE_ANY);

	must_afford(text != NULL);
	return text;
}
