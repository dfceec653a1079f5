/*
 * json_index - the values of one event, nested ones too, found by one pass
 *
 * Process: receiver. Pure.
 */
#include "json_index.h"

#include <stdlib.h>
#include <string.h>

#include "json_string.h"
#include "panic.h"

#define NODES_FIRST 256
/* Integers of fewer digits fit 64 bits. */
#define LONG_DIGITS 19

/* Where the pass is. */
struct pass {
	struct json_index *x;
	const struct json_string_ops *ops;
	const char *p, *end;
	unsigned depth;
	struct json_node next; /* name of the member whose value comes */
};

void
json_index_init(struct json_index *x)
{
	x->nodes = NULL;
	x->count = x->capacity = 0;
}

void
json_index_free(struct json_index *x)
{
	free(x->nodes);
	json_index_init(x);
}

static void
skip_space(struct pass *s)
{
	while (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r')
		s->p++;
}

/* From behind a quote to behind the closing one. True: with escapes. */
static bool
skip_string(struct pass *s)
{
	bool escaped = false, high;

	for (;;) {
		s->p = s->ops->find_stop(s->p, s->end, &high);
		must(s->p < s->end);
		if (*s->p++ == '"')
			return escaped;
		escaped = true;
		s->p++;
	}
}

static void
read_name(struct pass *s)
{
	const char *start = ++s->p;

	s->next.name_escaped = skip_string(s);
	s->next.name = (uint32_t)(start - s->x->text);
	s->next.name_bytes = (uint32_t)(s->p - 1 - start);
	skip_space(s);
	s->p++;
	skip_space(s);
}

static struct json_node *
add_node(struct pass *s)
{
	struct json_index *x = s->x;
	struct json_node *n;

	if (x->count == x->capacity) {
		uint32_t capacity =
		    x->capacity == 0 ? NODES_FIRST : x->capacity * 2;

		if (capacity > JSON_INDEX_NODES_MAX)
			return NULL;
		n = realloc(x->nodes, capacity * sizeof *n);
		if (n == NULL)
			return NULL;
		x->nodes = n;
		x->capacity = capacity;
	}
	n = &x->nodes[x->count++];
	*n = s->next;
	n->text = (uint32_t)(s->p - x->text);
	n->next = x->count;
	n->escaped = n->has_big = false;
	return n;
}

static void
read_number(struct pass *s, struct json_node *n)
{
	bool is_integer = true;

	n->type = SCAN_NUMBER;
	for (; *s->p == '-' || *s->p == '+' || *s->p == '.' ||
	     (*s->p >= '0' && *s->p <= '9') || (*s->p | 0x20) == 'e';
	     s->p++)
		is_integer &= *s->p != '.' && (*s->p | 0x20) != 'e';
	n->bytes = (uint32_t)(s->p - s->x->text) - n->text;
	if (!is_integer || n->bytes < LONG_DIGITS)
		return;
	n->has_big = true;
	for (unsigned i = 0; i < s->depth; i++)
		s->x->nodes[s->x->open[i]].has_big = true;
}

static void
read_scalar(struct pass *s, struct json_node *n)
{
	if (*s->p == '"') {
		n->type = SCAN_STRING;
		s->p++;
		n->escaped = skip_string(s);
	} else if (*s->p == 'n') {
		n->type = SCAN_NULL;
		s->p += 4;
	} else if (*s->p == 't') {
		n->type = SCAN_TRUE;
		s->p += 4;
	} else if (*s->p == 'f') {
		n->type = SCAN_FALSE;
		s->p += 5;
	} else {
		read_number(s, n);
	}
	n->bytes = (uint32_t)(s->p - s->x->text) - n->text;
}

static bool
is_in_object(const struct pass *s)
{
	return s->x->nodes[s->x->open[s->depth - 1]].type == SCAN_OBJECT;
}

/* Behind a value: closes what ends here, up to the next value. False: the
 * event has ended. */
static bool
to_next_value(struct pass *s)
{
	while (s->depth > 0) {
		struct json_node *n;

		skip_space(s);
		if (*s->p == ',') {
			s->p++;
			skip_space(s);
			if (is_in_object(s))
				read_name(s);
			return true;
		}
		s->p++;
		n = &s->x->nodes[s->x->open[--s->depth]];
		n->bytes = (uint32_t)(s->p - s->x->text) - n->text;
		n->next = s->x->count;
	}
	return false;
}

/* A container from its bracket. True: a value comes in it. */
static bool
open_container(struct pass *s, struct json_node *n)
{
	bool is_object = *s->p == '{';

	n->type = is_object ? SCAN_OBJECT : SCAN_ARRAY;
	must(s->depth < JSON_SCAN_DEPTH_MAX);
	s->x->open[s->depth++] = s->x->count - 1;
	s->next.name_bytes = 0;
	s->next.name_escaped = false;
	s->p++;
	skip_space(s);
	if (*s->p == (is_object ? '}' : ']'))
		return false;
	if (is_object)
		read_name(s);
	return true;
}

bool
json_index_build(struct json_index *x, const char *text, size_t bytes)
{
	struct pass s = { .x = x,
		.ops = json_string_ops(json_string_best_cpu()),
		.p = text,
		.end = text + bytes };
	bool has_value = true;

	x->text = text;
	x->count = 0;
	skip_space(&s);
	while (has_value) {
		struct json_node *n = add_node(&s);

		if (n == NULL)
			return false;
		if (*s.p == '{' || *s.p == '[') {
			if (open_container(&s, n))
				continue;
		} else {
			read_scalar(&s, n);
		}
		has_value = to_next_value(&s);
	}
	return true;
}

bool
json_index_has_name(const struct json_index *x, uint32_t node, const char *name,
    size_t name_bytes)
{
	const struct json_node *n = &x->nodes[node];
	struct java_string raw = { x->text + n->name, n->name_bytes,
		n->name_escaped };
	struct java_string wanted = { name, name_bytes, false };

	if (!n->name_escaped)
		return n->name_bytes == name_bytes &&
		    memcmp(raw.text, name, name_bytes) == 0;
	return java_string_compare(raw, wanted) == 0;
}

uint32_t
json_index_member(const struct json_index *x, uint32_t object, const char *name,
    size_t name_bytes)
{
	uint32_t found = 0, end = x->nodes[object].next;

	if (x->nodes[object].type != SCAN_OBJECT)
		return 0;
	for (uint32_t i = object + 1; i < end; i = x->nodes[i].next)
		if (json_index_has_name(x, i, name, name_bytes))
			found = i;
	return found;
}

uint32_t
json_index_element(const struct json_index *x, uint32_t array, uint32_t index)
{
	uint32_t end = x->nodes[array].next;

	for (uint32_t i = array + 1; i < end; i = x->nodes[i].next)
		if (index-- == 0)
			return i;
	return 0;
}

uint32_t
json_index_length(const struct json_index *x, uint32_t container)
{
	uint32_t count = 0, end = x->nodes[container].next;

	for (uint32_t i = container + 1; i < end; i = x->nodes[i].next)
		count++;
	return count;
}

struct java_string
json_index_string(const struct json_index *x, uint32_t node)
{
	const struct json_node *n = &x->nodes[node];

	must(n->type == SCAN_STRING);
	return (struct java_string){ x->text + n->text + 1, n->bytes - 2,
		n->escaped };
}

static bool
is_same_number(const struct json_index *x, uint32_t a, uint32_t b)
{
	char one[JAVA_NUMBER_BYTES], other[JAVA_NUMBER_BYTES];
	const struct json_node *p = &x->nodes[a], *q = &x->nodes[b];

	return java_string_compare(
		   java_string_of_number(x->text + p->text, p->bytes, one),
		   java_string_of_number(x->text + q->text, q->bytes, other)) ==
	    0;
}

/* The member of `object` that has the name of node n, or 0. */
static uint32_t
namesake(const struct json_index *x, const struct json_node *n, uint32_t object)
{
	struct java_string name = { x->text + n->name, n->name_bytes,
		n->name_escaped };
	uint32_t i = object + 1, end = x->nodes[object].next;

	for (; i < end; i = x->nodes[i].next) {
		const struct json_node *m = &x->nodes[i];
		struct java_string other = { x->text + m->name, m->name_bytes,
			m->name_escaped };

		if (java_string_compare(name, other) == 0)
			return i;
	}
	return 0;
}

static bool
is_same_container(const struct json_index *x, uint32_t a, uint32_t b)
{
	bool is_object = x->nodes[a].type == SCAN_OBJECT;
	uint32_t i, j = b + 1;

	if (json_index_length(x, a) != json_index_length(x, b))
		return false;
	for (i = a + 1; i < x->nodes[a].next; i = x->nodes[i].next) {
		if (is_object && (j = namesake(x, &x->nodes[i], b)) == 0)
			return false;
		if (!json_index_same(x, i, j))
			return false;
		j = x->nodes[j].next;
	}
	return true;
}

/* Recursion is as deep as the event: JSON_SCAN_DEPTH_MAX. */
bool
json_index_same(const struct json_index *x, uint32_t a, uint32_t b)
{
	uint8_t type = x->nodes[a].type;

	if (type != x->nodes[b].type)
		return false;
	if (type == SCAN_STRING)
		return java_string_compare(json_index_string(x, a),
			   json_index_string(x, b)) == 0;
	if (type == SCAN_NUMBER)
		return is_same_number(x, a, b);
	return (type != SCAN_ARRAY && type != SCAN_OBJECT) ||
	    is_same_container(x, a, b);
}
