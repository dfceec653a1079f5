/*
 * flatten - flattenSpec: nested events become flat ones
 *
 * Process: receiver.
 */
#include "flatten.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "jq_path.h"
#include "json_path.h"
#include "panic.h"

#define DOUBLE_BYTES 32
/* What is kept from one event to the next. */
#define NODES_KEPT 65536
#define HITS_KEPT 65536
/* Integers of fewer characters fit 64 bits. */
#define LONG_CHARACTERS 19
#define LONG_CHARACTERS_MAX 400 /* longer ones are infinite as doubles */

enum field_type { FIELD_ROOT, FIELD_PATH, FIELD_JQ, FIELD_TREE };

struct field {
	enum field_type type;
	char *name;
	size_t name_bytes;
	char *prefix; /* ,"name": */
	size_t prefix_bytes;
	char *source; /* of a root field: the member's name */
	size_t source_bytes;
	struct json_path *path;
	struct jq_path *jq;
	char **nodes;
	unsigned node_count;
	bool is_present; /* in the event at hand */
};

struct flatten {
	struct field *fields;
	unsigned count;
	bool discovers, discovers_nested;
	bool needs_index;
	struct json_index index;
	struct json_path_hits hits;
};

/* What of an event is worked on. */
struct job {
	struct flatten *f;
	const struct json_scan *scan;
	struct line_out *out;
	struct line_error *error;
	uint64_t line;
};

static bool
problem(struct flatten_problems *p, const char *format, ...) PRINTF_LIKE(2, 3);

/* False, for the caller to return. */
static bool
problem(struct flatten_problems *p, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(p->now.why, sizeof p->now.why, format, args);
	va_end(args);
	p->report(p->context, &p->now);
	return false;
}

static void
set_where(struct flatten_problems *p, unsigned index, const char *member)
{
	snprintf(p->now.where, sizeof p->now.where, "fields[%u]%s%s", index,
	    *member == '\0' ? "" : ".", member);
}

/* The field with this name, or NULL. */
static struct field *
find_field(const struct flatten *f, const char *name, size_t bytes)
{
	for (unsigned i = 0; i < f->count; i++) {
		struct field *field = &f->fields[i];

		if (field->name_bytes == bytes &&
		    memcmp(field->name, name, bytes) == 0)
			return field;
	}
	return NULL;
}

static struct field *
add_field(struct flatten *f, enum field_type type, const char *name)
{
	struct buf prefix;
	struct field *field;

	f->fields = must_realloc(f->fields, (f->count + 1) * sizeof *field);
	field = &f->fields[f->count++];
	*field = (struct field){ .type = type,
		.name = must_strdup(name),
		.name_bytes = strlen(name) };
	buf_init(&prefix, SIZE_MAX / 2);
	buf_add(&prefix, ",", 1);
	buf_add_json_string(&prefix, name, strlen(name));
	buf_add(&prefix, ":", 2); /* with a NUL */
	must_afford(!prefix.failed);
	field->prefix = prefix.bytes;
	field->prefix_bytes = prefix.used - 1;
	f->needs_index |= type != FIELD_ROOT;
	return field;
}

static void
set_source(struct field *field, const char *name)
{
	field->source = must_strdup(name);
	field->source_bytes = strlen(name);
}

void
flatten_keep(struct flatten *f, const char *name)
{
	if (find_field(f, name, strlen(name)) == NULL)
		set_source(add_field(f, FIELD_ROOT, name), name);
}

void
flatten_discover_nested(struct flatten *f)
{
	f->discovers_nested = true;
}

static bool
read_type(
    const struct json *j, enum field_type *type, struct flatten_problems *p)
{
	static const char *const names[] = { "root", "path", "jq", "tree" };
	const char *text = json_get_text(j, "type", NULL);

	for (unsigned i = 0; text != NULL && i < ARRAY_LEN(names); i++)
		if (strcasecmp(text, names[i]) == 0) {
			*type = (enum field_type)i;
			return true;
		}
	return problem(p,
	    "%s%s%s; a field's type is \"root\", \"path\", \"jq\" or \"tree\"",
	    text == NULL ? "missing" : "\"", text == NULL ? "" : text,
	    text == NULL ? "" : "\" is not known");
}

static bool
read_nodes(
    const struct json *j, struct field *field, struct flatten_problems *p)
{
	const struct json *nodes = json_get(j, "nodes");
	size_t count = json_size(nodes);

	if (!json_is_array(nodes) || count == 0)
		return problem(p,
		    "a tree field needs \"nodes\", a list of member names from "
		    "the event down");
	field->nodes = must_calloc(count, sizeof field->nodes[0]);
	for (size_t i = 0; i < count; i++) {
		const char *name = json_text(json_at(nodes, i), NULL);

		if (name == NULL)
			return problem(p,
			    "has %s in it; every node is the name of a member",
			    json_type_name(json_at(nodes, i)));
		field->nodes[field->node_count++] = must_strdup(name);
	}
	return true;
}

static bool
read_expression(
    const char *expr, struct field *field, struct flatten_problems *p)
{
	char why[MAX_OF(JSON_PATH_WHY_BYTES, JQ_PATH_WHY_BYTES)];

	if (expr == NULL)
		return problem(p, "missing; field '%s' needs an expression, %s",
		    field->name,
		    field->type == FIELD_JQ ? "as \".a.b\"" : "as \"$.a.b\"");
	if (field->type == FIELD_JQ)
		field->jq = jq_path_compile(expr, why);
	else
		field->path = json_path_compile(expr, why);
	return field->jq != NULL || field->path != NULL ||
	    problem(p, "field '%s': \"%.120s\" cannot be used: %s", field->name,
		expr, why);
}

/* What is particular to the field's type. */
static bool
read_details(const struct json *j, unsigned index, struct field *field,
    struct flatten_problems *p)
{
	const char *expr = json_get_text(j, "expr", NULL);

	switch (field->type) {
	case FIELD_ROOT:
		set_source(field, expr == NULL ? field->name : expr);
		return true;
	case FIELD_TREE: set_where(p, index, "nodes"); break;
	case FIELD_PATH:
	case FIELD_JQ: set_where(p, index, "expr"); break;
	}
	return field->type == FIELD_TREE ? read_nodes(j, field, p)
					 : read_expression(expr, field, p);
}

static bool
read_field(struct flatten *f, const struct json *j, unsigned index,
    struct flatten_problems *p)
{
	const char *name = json_text(j, NULL);
	enum field_type type = FIELD_ROOT;
	bool is_plain = name != NULL;

	set_where(p, index, "");
	if (!is_plain && !json_is_object(j))
		return problem(
		    p, "%s; a field is an object or a name", json_type_name(j));
	if (!is_plain) {
		name = json_get_text(j, "name", NULL);
		set_where(p, index, "name");
		if (name == NULL)
			return problem(
			    p, "missing; name the field as it shall be called");
		set_where(p, index, "type");
		if (!read_type(j, &type, p))
			return false;
	}
	set_where(p, index, is_plain ? "" : "name");
	if (find_field(f, name, strlen(name)) != NULL)
		return problem(
		    p, "'%s' is defined twice; remove one or rename it", name);
	add_field(f, type, name);
	if (is_plain) {
		set_source(&f->fields[f->count - 1], name);
		return true;
	}
	return read_details(j, index, &f->fields[f->count - 1], p);
}

static bool
read_fields(
    struct flatten *f, const struct json *spec, struct flatten_problems *p)
{
	const struct json *fields = json_get(spec, "fields");
	bool good = true;

	if (fields == NULL || json_is_null(fields))
		return true;
	snprintf(p->now.where, sizeof p->now.where, "fields");
	if (!json_is_array(fields))
		return problem(
		    p, "%s; it is a list of fields", json_type_name(fields));
	if (json_size(fields) > FLATTEN_FIELDS_MAX)
		return problem(
		    p, "more than %d fields; list fewer", FLATTEN_FIELDS_MAX);
	for (unsigned i = 0; i < json_size(fields); i++)
		good = read_field(f, json_at(fields, i), i, p) && good;
	return good;
}

static bool
read_spec(
    struct flatten *f, const struct json *spec, struct flatten_problems *p)
{
	const struct json *discovers = json_get(spec, "useFieldDiscovery");
	bool good = true;

	if (spec == NULL || json_is_null(spec))
		return true;
	if (!json_is_object(spec))
		return problem(p,
		    "%s; a flattenSpec is an object with \"fields\"",
		    json_type_name(spec));
	if (discovers != NULL && !json_is_null(discovers)) {
		snprintf(
		    p->now.where, sizeof p->now.where, "useFieldDiscovery");
		if (!json_is_bool(discovers))
			good = problem(p, "%s; it is true or false",
			    json_type_name(discovers));
		f->discovers = json_bool(discovers, true);
	}
	return read_fields(f, spec, p) && good;
}

struct flatten *
flatten_compile(const struct json *spec, struct flatten_problems *p)
{
	struct flatten *f = must_calloc(1, sizeof *f);

	*p->now.where = '\0';
	f->discovers = true;
	json_index_init(&f->index);
	if (!read_spec(f, spec, p))
		flatten_free(&f);
	return f;
}

void
flatten_free(struct flatten **flatten)
{
	struct flatten *f = *flatten;

	if (f == NULL)
		return;
	*flatten = NULL;
	for (unsigned i = 0; i < f->count; i++) {
		struct field *field = &f->fields[i];

		free(field->name);
		free(field->prefix);
		free(field->source);
		json_path_free(&field->path);
		jq_path_free(&field->jq);
		for (unsigned j = 0; j < field->node_count; j++)
			free(field->nodes[j]);
		free(field->nodes);
	}
	free(f->fields);
	free(f->hits.list);
	json_index_free(&f->index);
	free(f);
}

static bool
is_number_byte(char c)
{
	return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' ||
	    c == 'e' || c == 'E';
}

/* An integer too large for 64 bits as the double that Druid makes of it; any
 * other number, and one that would be infinite, as it is. */
static bool
put_number(struct line_out *o, const char *text, size_t bytes)
{
	char copy[LONG_CHARACTERS_MAX + 1], number[DOUBLE_BYTES];
	double value;

	if (LIKELY(bytes < LONG_CHARACTERS) || bytes > LONG_CHARACTERS_MAX ||
	    memchr(text, '.', bytes) != NULL ||
	    memchr(text, 'e', bytes) != NULL ||
	    memchr(text, 'E', bytes) != NULL)
		return line_out_add(o, text, bytes);
	memcpy(copy, text, bytes);
	copy[bytes] = '\0';
	errno = 0;
	(void)strtoll(copy, NULL, 10);
	value = strtod(copy, NULL);
	if (errno != ERANGE || isinf(value))
		return line_out_add(o, text, bytes);
	snprintf(number, sizeof number, "%.17g", value);
	return line_out_add(o, number, strlen(number));
}

/* Behind the string whose quote is at p. */
static const char *
skip_string(const char *p)
{
	for (p++; *p != '"'; p++)
		p += *p == '\\';
	return p + 1;
}

/* A container's text, its numbers as put_number has them. */
static bool
put_container(struct line_out *o, const char *text, size_t bytes)
{
	const char *p = text, *end = text + bytes;

	while (p < end) {
		const char *number;

		if (*p == '"') {
			p = skip_string(p);
			continue;
		}
		if (*p != '-' && (*p < '0' || *p > '9')) {
			p++;
			continue;
		}
		for (number = p; p < end && is_number_byte(*p);)
			p++;
		if (UNLIKELY(p - number >= LONG_CHARACTERS)) {
			if (!line_out_add(o, text, (size_t)(number - text)) ||
			    !put_number(o, number, (size_t)(p - number)))
				return false;
			text = p;
		}
	}
	return line_out_add(o, text, (size_t)(end - text));
}

bool
flatten_put(struct line_out *o, const char *text, size_t bytes)
{
	switch (*text) {
	case '[':
	case '{': return put_container(o, text, bytes);
	case '"':
	case 't':
	case 'f':
	case 'n': return line_out_add(o, text, bytes);
	default: return put_number(o, text, bytes);
	}
}

static bool
put_node(struct job *j, uint32_t node)
{
	const struct json_node *n = &j->f->index.nodes[node];

	return flatten_put(j->out, j->f->index.text + n->text, n->bytes);
}

/* The members of a node that the path names, as an object. */
static bool
put_merged(struct job *j, const struct field *field, uint32_t node)
{
	const struct json_index *x = &j->f->index;
	const char *name, *comma = "{";
	size_t bytes;

	for (unsigned i = 0;
	     (name = json_path_merged_name(field->path, i, &bytes)) != NULL;
	     i++) {
		uint32_t member = json_index_member(x, node, name, bytes);

		if (member == 0)
			continue;
		if (!line_out_add(j->out, comma, 1) ||
		    !line_out_add(j->out, "\"", 1) ||
		    !line_out_text(j->out, name, bytes) ||
		    !line_out_add(j->out, "\":", 2) || !put_node(j, member))
			return false;
		comma = ",";
	}
	return line_out_add(
	    j->out, *comma == '{' ? "{}" : "}", *comma == '{' ? 2 : 1);
}

static bool
put_hit(struct job *j, const struct field *field, const struct json_path_hit *h)
{
	return h->is_merged ? put_merged(j, field, h->node)
			    : put_node(j, h->node);
}

static bool
put_hits(struct job *j, const struct field *field)
{
	const struct json_path_hits *h = &j->f->hits;

	if (!line_out_add(j->out, "[", 1))
		return false;
	for (uint32_t i = 0; i < h->count; i++)
		if ((i > 0 && !line_out_add(j->out, ",", 1)) ||
		    !put_hit(j, field, &h->list[i]))
			return false;
	return line_out_add(j->out, "]", 1);
}

static enum line_result
too_long(struct job *j, const struct field *field)
{
	return line_error_set(j->error, j->line,
	    "field '%.100s' of the flattenSpec is too much work for an event "
	    "of %u bytes",
	    field->name, j->scan->event_bytes);
}

/* Each of these writes a value behind the prefix and sets is_present, or
 * writes nothing. */

static enum line_result
put_path_field(struct job *j, struct field *field)
{
	struct json_path_hits *h = &j->f->hits;
	const struct json_index *x = &j->f->index;
	bool is_definite = json_path_is_definite(field->path);
	const struct json_path_hit *last;

	h->steps_left = JSON_PATH_STEPS(x->count);
	switch (json_path_read(field->path, x, h)) {
	case JSON_PATH_OK: break;
	case JSON_PATH_TOO_LONG: return too_long(j, field);
	case JSON_PATH_NO_MEMORY: return LINE_NO_MEMORY;
	}
	if (is_definite) {
		if (h->count == 0)
			return LINE_OK;
		last = &h->list[h->count - 1];
		if (!last->is_merged && x->nodes[last->node].type == SCAN_NULL)
			return LINE_OK;
		field->is_present = true;
		return put_hit(j, field, last) ? LINE_OK
					       : line_out_failure(j->out);
	}
	field->is_present = true;
	return put_hits(j, field) ? LINE_OK : line_out_failure(j->out);
}

static enum line_result
put_jq_field(struct job *j, struct field *field)
{
	switch (jq_path_read(field->jq, &j->f->index, j->out)) {
	case JQ_PATH_VALUE: field->is_present = true; break;
	case JQ_PATH_NONE: break;
	case JQ_PATH_TOO_LONG: return too_long(j, field);
	case JQ_PATH_NO_ROOM: return line_out_failure(j->out);
	case JQ_PATH_NO_MEMORY: return LINE_NO_MEMORY;
	}
	return LINE_OK;
}

static enum line_result
put_tree_field(struct job *j, struct field *field)
{
	const struct json_index *x = &j->f->index;
	uint32_t node = 0;

	for (unsigned i = 0; i < field->node_count; i++) {
		node = json_index_member(
		    x, node, field->nodes[i], strlen(field->nodes[i]));
		if (node == 0)
			return LINE_OK;
	}
	if (x->nodes[node].type == SCAN_NULL)
		return LINE_OK;
	field->is_present = true;
	return put_node(j, node) ? LINE_OK : line_out_failure(j->out);
}

/* A member's value as it stands in the body, quotes included. */
static bool
put_member(struct job *j, const struct json_field *m)
{
	const char *value = j->scan->body + m->value;

	if (m->type == SCAN_STRING)
		return line_out_add(j->out, value - 1, m->value_bytes + 2);
	return flatten_put(j->out, value, m->value_bytes);
}

static enum line_result
put_root_field(struct job *j, struct field *field)
{
	const struct json_scan *s = j->scan;
	const struct json_field *found = NULL;

	for (unsigned i = 0; i < s->field_count; i++)
		if (json_name_is(
			s, &s->fields[i], field->source, field->source_bytes))
			found = &s->fields[i];
	if (found == NULL || found->type == SCAN_NULL)
		return LINE_OK;
	field->is_present = true;
	return put_member(j, found) ? LINE_OK : line_out_failure(j->out);
}

static enum line_result
put_field(struct job *j, struct field *field)
{
	size_t start = line_out_used(j->out);
	enum line_result result = LINE_OK;

	if (!line_out_add(j->out, field->prefix, field->prefix_bytes))
		return line_out_failure(j->out);
	field->is_present = false;
	switch (field->type) {
	case FIELD_ROOT: result = put_root_field(j, field); break;
	case FIELD_PATH: result = put_path_field(j, field); break;
	case FIELD_JQ: result = put_jq_field(j, field); break;
	case FIELD_TREE: result = put_tree_field(j, field); break;
	}
	if (result == LINE_OK && !field->is_present)
		j->out->at = j->out->to->bytes + start;
	return result;
}

static bool
is_flat_list(const char *p, size_t bytes)
{
	const char *end = p + bytes;

	for (p++; p < end;) {
		if (*p == '"') {
			p = skip_string(p);
			continue;
		}
		if (*p == '[' || *p == '{')
			return false;
		p++;
	}
	return true;
}

static bool
is_discovered(const struct job *j, const struct json_field *m)
{
	switch ((enum scan_type)m->type) {
	case SCAN_NULL: return false;
	case SCAN_OBJECT: return j->f->discovers_nested;
	case SCAN_ARRAY:
		return j->f->discovers_nested ||
		    is_flat_list(j->scan->body + m->value, m->value_bytes);
	case SCAN_FALSE:
	case SCAN_TRUE:
	case SCAN_NUMBER:
	case SCAN_STRING: break;
	}
	return true;
}

/* Whether a listed field has given this name a value. */
static bool
is_listed(const struct job *j, const struct json_field *m)
{
	const struct flatten *f = j->f;

	for (unsigned i = 0; i < f->count; i++)
		if (f->fields[i].is_present &&
		    json_name_is(
			j->scan, m, f->fields[i].name, f->fields[i].name_bytes))
			return true;
	return false;
}

static bool
put_discovered(struct job *j)
{
	const struct json_scan *s = j->scan;

	for (unsigned i = 0; i < s->field_count; i++) {
		const struct json_field *m = &s->fields[i];

		if (!is_discovered(j, m) || is_listed(j, m))
			continue;
		if (!line_out_add(j->out, ",\"", 2) ||
		    !line_out_add(j->out, s->body + m->name, m->name_bytes) ||
		    !line_out_add(j->out, "\":", 2) || !put_member(j, m))
			return false;
	}
	return true;
}

/* Whether the event would be written as it is. */
static bool
is_flat(const struct flatten *f, const struct json_scan *s)
{
	if (f->count > 0 || !f->discovers)
		return false;
	for (unsigned i = 0; i < s->field_count; i++) {
		const struct json_field *m = &s->fields[i];

		if (m->type == SCAN_NUMBER
			? m->value_bytes >= LONG_CHARACTERS
			: m->type == SCAN_NULL || m->type >= SCAN_ARRAY)
			return false;
	}
	return true;
}

static enum line_result
put_event(struct job *j)
{
	struct flatten *f = j->f;
	size_t start = line_out_used(j->out);

	for (unsigned i = 0; i < f->count; i++) {
		enum line_result result = put_field(j, &f->fields[i]);

		if (result != LINE_OK)
			return result;
	}
	if ((f->discovers && !put_discovered(j)) || !line_out_room(j->out, 3))
		return line_out_failure(j->out);
	if (line_out_used(j->out) == start)
		j->out->at++;
	j->out->to->bytes[start] = '{';
	memcpy(j->out->at, "}\n", 2);
	j->out->at += 2;
	return LINE_OK;
}

/* The memory of an unusual event is not kept. */
static void
trim(struct flatten *f)
{
	if (f->index.capacity > NODES_KEPT)
		json_index_free(&f->index);
	if (f->hits.capacity > HITS_KEPT) {
		free(f->hits.list);
		f->hits = (struct json_path_hits){ .count = 0 };
	}
}

enum line_result
flatten_event(struct flatten *f, const struct json_scan *s,
    struct line_out *out, struct line_error *error, uint64_t line)
{
	struct job j = { f, s, out, error, line };
	const char *event = s->body + s->event;
	enum line_result result;

	if (is_flat(f, s))
		return line_out_add(out, event, s->event_bytes) &&
			line_out_add(out, "\n", 1)
		    ? LINE_OK
		    : line_out_failure(out);
	if (f->needs_index &&
	    !json_index_build(&f->index, event, s->event_bytes))
		return LINE_NO_MEMORY;
	result = put_event(&j);
	trim(f);
	return result;
}
