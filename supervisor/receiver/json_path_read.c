/*
 * json_path_read - a compiled JsonPath led through an event
 *
 * Process: receiver. Pure.
 *
 * The names of results follow Jayway's exceptions: NOT_FOUND is its
 * PathNotFoundException, INVALID its InvalidPathException; both end a path
 * without a value, but make a difference inside filters.
 */
#include <stdlib.h>
#include <string.h>

#include "json_path_internal.h"
#include "panic.h"

#define HITS_FIRST 64
#define DECIMAL_BYTES 64 /* longer numbers in texts are no numbers here */

enum walk {
	WALK_OK,
	WALK_NOT_FOUND,
	WALK_INVALID,
	WALK_TOO_LONG,
	WALK_NO_MEMORY,
};

struct walker {
	const struct json_index *x;
	const struct json_path *path;
	struct json_path_hits *hits;
	/* a missing member is an error: tests of existence */
	bool is_strict;
};

static enum walk walk_token(struct walker *, unsigned token, uint32_t node);
static enum walk accept(struct walker *, const struct json_path_filter *,
    uint32_t node, bool *accepted);

static bool
is_object(const struct walker *w, uint32_t node)
{
	return w->x->nodes[node].type == SCAN_OBJECT;
}

static bool
is_array(const struct walker *w, uint32_t node)
{
	return w->x->nodes[node].type == SCAN_ARRAY;
}

static enum walk
step(struct walker *w)
{
	if (w->hits->steps_left == 0)
		return WALK_TOO_LONG;
	w->hits->steps_left--;
	return WALK_OK;
}

/* The last member of this name, or 0. Each that is looked at is a step. */
static enum walk
find_member(struct walker *w, uint32_t object,
    const struct json_path_name *name, uint32_t *found)
{
	const struct json_node *nodes = w->x->nodes;
	enum walk end = WALK_OK;
	uint32_t i;

	*found = 0;
	for (i = object + 1; end == WALK_OK && i < nodes[object].next;
	     i = nodes[i].next) {
		if (json_index_has_name(w->x, i, name->text, name->bytes))
			*found = i;
		end = step(w);
	}
	return end;
}

static enum walk
add_hit(struct walker *w, uint32_t node, bool is_merged)
{
	struct json_path_hits *h = w->hits;

	if (h->count == h->capacity) {
		uint32_t capacity =
		    h->capacity == 0 ? HITS_FIRST : h->capacity * 2;
		struct json_path_hit *list =
		    realloc(h->list, capacity * sizeof *list);

		if (list == NULL)
			return WALK_NO_MEMORY;
		h->list = list;
		h->capacity = capacity;
	}
	h->list[h->count++] = (struct json_path_hit){ node, is_merged };
	return step(w);
}

/* The token has led to this node: on to the next token. */
static enum walk
go_on(struct walker *w, unsigned token, uint32_t node)
{
	return token + 1 < w->path->count ? walk_token(w, token + 1, node)
					  : add_hit(w, node, false);
}

static enum walk
walk_member(struct walker *w, unsigned token, uint32_t node,
    const struct json_path_name *name)
{
	uint32_t member;
	enum walk end = find_member(w, node, name, &member);

	if (end != WALK_OK)
		return end;
	if (member == 0)
		return w->is_strict ? WALK_NOT_FOUND : WALK_OK;
	return go_on(w, token, member);
}

/* Several names in the last token: one object of them. */
static enum walk
walk_merged(struct walker *w, const struct json_path_token *t, uint32_t node)
{
	for (unsigned i = 0; w->is_strict && i < t->count; i++) {
		uint32_t member;
		enum walk end = find_member(w, node, &t->names[i], &member);

		if (end != WALK_OK)
			return end;
		if (member == 0)
			return WALK_NOT_FOUND;
	}
	return add_hit(w, node, true);
}

static enum walk
walk_members(struct walker *w, unsigned token, uint32_t node)
{
	const struct json_path_token *t = &w->path->tokens[token];
	enum walk end = WALK_OK;

	if (!is_object(w, node))
		return t->is_upstream_definite ? WALK_NOT_FOUND : WALK_OK;
	if (t->count > 1 && t->is_last)
		return walk_merged(w, t, node);
	for (unsigned i = 0; end == WALK_OK && i < t->count; i++)
		end = walk_member(w, token, node, &t->names[i]);
	return end;
}

/* The number of elements, each a step. */
static enum walk
count_elements(struct walker *w, uint32_t array, int64_t *length)
{
	*length = json_index_length(w->x, array);
	if (w->hits->steps_left < (uint64_t)*length)
		return WALK_TOO_LONG;
	w->hits->steps_left -= (uint64_t)*length;
	return WALK_OK;
}

/* The elements from { to } - 1, both at least 0. */
static enum walk
walk_range(
    struct walker *w, unsigned token, uint32_t array, int64_t from, int64_t to)
{
	const struct json_node *nodes = w->x->nodes;
	enum walk end = WALK_OK;
	int64_t at = 0;

	for (uint32_t i = array + 1;
	     end == WALK_OK && i < nodes[array].next && at < to;
	     i = nodes[i].next, at++) {
		end = step(w);
		if (end == WALK_OK && at >= from)
			end = go_on(w, token, i);
	}
	return end;
}

static enum walk
walk_element(struct walker *w, unsigned token, uint32_t array, int64_t index)
{
	if (index < 0) {
		int64_t length;
		enum walk end = count_elements(w, array, &length);

		index += length;
		if (end != WALK_OK || index < 0)
			return end;
	}
	return walk_range(w, token, array, index, index + 1);
}

static enum walk
walk_slice(struct walker *w, unsigned token, uint32_t array)
{
	const struct json_path_token *t = &w->path->tokens[token];
	int64_t length, from = t->has_from ? t->from : 0, to;
	enum walk end = count_elements(w, array, &length);

	if (end != WALK_OK)
		return end;
	to = t->has_to ? t->to : length;
	if (from < 0 && t->has_to) {
		/* with both ends Jayway counts neither from behind, but each
		 * index that it comes to */
		if (from >= MIN_OF(to, length))
			return WALK_OK;
		end = walk_range(w, token, array, MAX_OF(from + length, 0),
		    MIN_OF(to, 0) + length);
		from = 0;
	} else if (from < 0) {
		from = MAX_OF(from + length, 0);
	} else if (to < 0 && !t->has_from) {
		to += length;
	}
	return end == WALK_OK ? walk_range(w, token, array, from, to) : end;
}

static enum walk
walk_elements(struct walker *w, unsigned token, uint32_t node)
{
	const struct json_path_token *t = &w->path->tokens[token];
	enum walk end = WALK_OK;

	if (!is_array(w, node))
		return t->is_upstream_definite ? WALK_NOT_FOUND : WALK_OK;
	if (t->kind == PATH_SLICE)
		return walk_slice(w, token, node);
	for (unsigned i = 0; end == WALK_OK && i < t->count; i++)
		end = walk_element(w, token, node, t->indices[i]);
	return end;
}

static enum walk
walk_all(struct walker *w, unsigned token, uint32_t node)
{
	const struct json_node *nodes = w->x->nodes;
	enum walk end = WALK_OK;
	uint32_t i;

	if (!is_object(w, node) && !is_array(w, node))
		return WALK_OK;
	for (i = node + 1; end == WALK_OK && i < nodes[node].next;
	     i = nodes[i].next) {
		end = step(w);
		if (end == WALK_OK)
			end = go_on(w, token, i);
	}
	return end;
}

static enum walk
walk_filter(struct walker *w, unsigned token, uint32_t node)
{
	const struct json_path_token *t = &w->path->tokens[token];
	const struct json_node *nodes = w->x->nodes;
	enum walk end;
	bool accepted;
	uint32_t i;

	if (is_object(w, node)) {
		end = accept(w, t->filter, node, &accepted);
		return end == WALK_OK && accepted ? go_on(w, token, node) : end;
	}
	if (!is_array(w, node))
		return t->is_upstream_definite ? WALK_INVALID : WALK_OK;
	for (i = node + 1; i < nodes[node].next; i = nodes[i].next) {
		end = accept(w, t->filter, i, &accepted);
		if (end == WALK_OK && accepted)
			end = go_on(w, token, i);
		if (end != WALK_OK)
			return end;
	}
	return WALK_OK;
}

/* Names must be there, but several of them on the way are tried each. */
static enum walk
scan_has_members(struct walker *w, const struct json_path_token *t,
    uint32_t node, bool *matches)
{
	enum walk end = WALK_OK;
	uint32_t member;

	*matches = is_object(w, node);
	if (t->count > 1 && !t->is_last)
		return end;
	for (unsigned i = 0; *matches && end == WALK_OK && i < t->count; i++) {
		end = find_member(w, node, &t->names[i], &member);
		*matches = member != 0;
	}
	return end;
}

/* Whether what a scan looks for can start at this node. */
static enum walk
scan_matches(struct walker *w, const struct json_path_token *t, uint32_t node,
    bool *matches)
{
	*matches = false;
	switch (t->kind) {
	case PATH_MEMBER: return scan_has_members(w, t, node, matches);
	case PATH_ELEMENT:
	case PATH_SLICE: *matches = is_array(w, node); return WALK_OK;
	case PATH_WILDCARD: *matches = true; return WALK_OK;
	case PATH_FILTER: return accept(w, t->filter, node, matches);
	case PATH_SCAN: break;
	}
	return WALK_OK;
}

/* Where the token behind `..` matches. In an array that is not the path's
 * last step, Jayway takes every element, whatever the token says. */
static enum walk
scan_found(struct walker *w, unsigned token, uint32_t node)
{
	const struct json_path_token *t = &w->path->tokens[token];
	const struct json_node *nodes = w->x->nodes;
	enum walk end = WALK_OK;
	uint32_t i;

	if (is_object(w, node) || t->is_last)
		return walk_token(w, token, node);
	for (i = node + 1; end == WALK_OK && i < nodes[node].next;
	     i = nodes[i].next)
		end = walk_token(w, token + 1, i);
	return end;
}

/* The token is the one behind `..`. Recursion is as deep as the event. */
static enum walk
scan(struct walker *w, unsigned token, uint32_t node)
{
	const struct json_node *nodes = w->x->nodes;
	enum walk end = step(w);
	bool matches;
	uint32_t i;

	if (end != WALK_OK || (!is_object(w, node) && !is_array(w, node)))
		return end;
	end = scan_matches(w, &w->path->tokens[token], node, &matches);
	if (end == WALK_OK && matches)
		end = scan_found(w, token, node);
	for (i = node + 1; end == WALK_OK && i < nodes[node].next;
	     i = nodes[i].next)
		end = scan(w, token, i);
	return end;
}

static enum walk
walk_token(struct walker *w, unsigned token, uint32_t node)
{
	switch (w->path->tokens[token].kind) {
	case PATH_MEMBER: return walk_members(w, token, node);
	case PATH_ELEMENT:
	case PATH_SLICE: return walk_elements(w, token, node);
	case PATH_WILDCARD: return walk_all(w, token, node);
	case PATH_SCAN: return scan(w, token + 1, node);
	case PATH_FILTER: return walk_filter(w, token, node);
	}
	unreachable("a token of no kind");
}

static enum walk
walk_path(struct walker *w, uint32_t node)
{
	return w->path->count == 0 ? add_hit(w, node, false)
				   : walk_token(w, 0, node);
}

static void
set_value(const struct walker *w, struct json_path_value *v, uint32_t node)
{
	const struct json_node *n = &w->x->nodes[node];

	v->node = node;
	v->is_true = n->type == SCAN_TRUE;
	switch ((enum scan_type)n->type) {
	case SCAN_NULL: v->kind = VALUE_NULL; break;
	case SCAN_FALSE:
	case SCAN_TRUE: v->kind = VALUE_BOOL; break;
	case SCAN_NUMBER:
		v->kind = VALUE_NUMBER;
		v->text = java_string_of_number(
		    w->x->text + n->text, n->bytes, v->number);
		break;
	case SCAN_STRING:
		v->kind = VALUE_STRING;
		v->text = json_index_string(w->x, node);
		break;
	case SCAN_ARRAY:
	case SCAN_OBJECT: v->kind = VALUE_NODE; break;
	}
}

/* What an operand is worth at this node. */
static enum walk
evaluate(struct walker *w, const struct json_path_operand *o, uint32_t node,
    struct json_path_value *v)
{
	struct walker inner = *w;
	const struct json_path_hits *hits = w->hits;
	uint32_t mark = hits->count;
	enum walk end;

	if (o->value.kind != VALUE_PATH) {
		*v = o->value;
		return WALK_OK;
	}
	inner.path = o->path;
	inner.is_strict = false;
	end = walk_path(&inner, o->path->is_root ? 0 : node);
	if (end == WALK_OK || end == WALK_NOT_FOUND) {
		if (end == WALK_OK && !o->path->is_definite)
			v->kind = VALUE_OTHER;
		else if (end == WALK_NOT_FOUND || hits->count == mark)
			v->kind = VALUE_UNDEFINED;
		else if (hits->list[hits->count - 1].is_merged)
			v->kind = VALUE_OTHER;
		else
			set_value(w, v, hits->list[hits->count - 1].node);
		end = WALK_OK;
	}
	w->hits->count = mark;
	return end;
}

/* Whether a path exists; Jayway looks from the node even for one from $. An
 * indefinite path exists when nothing on it is missing. */
static enum walk
exists(struct walker *w, const struct json_path_filter *f, uint32_t node,
    bool *answer)
{
	struct walker inner = *w;
	uint32_t mark = w->hits->count;
	enum walk end;
	bool found;

	inner.path = f->a.path;
	inner.is_strict = true;
	end = walk_path(&inner, node);
	found = end == WALK_OK &&
	    (!f->a.path->is_definite || w->hits->count > mark);
	w->hits->count = mark;
	*answer = found == f->should_exist;
	return end == WALK_NOT_FOUND ? WALK_OK : end;
}

static bool
is_integer(const struct java_string *s)
{
	if (s->bytes > 18)
		return false;
	for (size_t i = 0; i < s->bytes; i++)
		if (s->text[i] == '.' || (s->text[i] | 0x20) == 'e')
			return false;
	return true;
}

/* The text as a NUL-terminated number. False: it is none. */
static bool
copy_number(const struct java_string *s, char out[DECIMAL_BYTES])
{
	char *stop;

	if (s->bytes == 0 || s->bytes >= DECIMAL_BYTES || s->is_escaped)
		return false;
	memcpy(out, s->text, s->bytes);
	out[s->bytes] = '\0';
	if (strspn(out, "+-.0123456789eE") != s->bytes)
		return false;
	(void)strtod(out, &stop);
	return *stop == '\0';
}

/* The sign of a - b; *comparable is false when one is no number. */
static int
compare_numbers(
    const struct java_string *a, const struct java_string *b, bool *comparable)
{
	char one[DECIMAL_BYTES], other[DECIMAL_BYTES];
	double x, y;

	*comparable = copy_number(a, one) && copy_number(b, other);
	if (!*comparable)
		return 0;
	if (is_integer(a) && is_integer(b)) {
		long long m = atoll(one), n = atoll(other);

		return (m > n) - (m < n);
	}
	x = strtod(one, NULL);
	y = strtod(other, NULL);
	return (x > y) - (x < y);
}

static bool
is_text_like(const struct json_path_value *v)
{
	return v->kind == VALUE_STRING || v->kind == VALUE_NUMBER;
}

/* Jayway's ==, which is not symmetric: the left side decides whether texts or
 * numbers are compared. */
static bool
is_equal(const struct walker *w, const struct json_path_value *a,
    const struct json_path_value *b)
{
	bool comparable;

	switch (a->kind) {
	case VALUE_NULL: return b->kind == VALUE_NULL;
	case VALUE_BOOL:
		return b->kind == VALUE_BOOL && a->is_true == b->is_true;
	case VALUE_NUMBER:
		return is_text_like(b) &&
		    compare_numbers(&a->text, &b->text, &comparable) == 0 &&
		    comparable;
	case VALUE_STRING:
		return is_text_like(b) &&
		    java_string_compare(a->text, b->text) == 0;
	case VALUE_NODE:
		return b->kind == VALUE_NODE &&
		    json_index_same(w->x, a->node, b->node);
	case VALUE_UNDEFINED:
	case VALUE_OTHER:
	case VALUE_PATH: break;
	}
	return false;
}

/* Whether both have an order, and which. */
static bool
order(
    const struct json_path_value *a, const struct json_path_value *b, int *sign)
{
	bool comparable = true;

	if (a->kind != b->kind || !is_text_like(a))
		return false;
	*sign = a->kind == VALUE_STRING
	    ? java_string_compare(a->text, b->text)
	    : compare_numbers(&a->text, &b->text, &comparable);
	return comparable;
}

static bool
compare(const struct walker *w, enum json_path_operator op,
    const struct json_path_value *a, const struct json_path_value *b)
{
	int sign = 0;

	switch (op) {
	case OPERATOR_EQ: return is_equal(w, a, b);
	case OPERATOR_NE: return !is_equal(w, a, b);
	case OPERATOR_SAME: return a->kind == b->kind && is_equal(w, a, b);
	case OPERATOR_NOT_SAME: return a->kind != b->kind || !is_equal(w, a, b);
	case OPERATOR_LT: return order(a, b, &sign) && sign < 0;
	case OPERATOR_LE: return order(a, b, &sign) && sign <= 0;
	case OPERATOR_GT: return order(a, b, &sign) && sign > 0;
	case OPERATOR_GE: return order(a, b, &sign) && sign >= 0;
	}
	unreachable("an operator of no kind");
}

static enum walk
test_comparison(struct walker *w, const struct json_path_filter *f,
    uint32_t node, bool *answer)
{
	struct json_path_value a, b;
	enum walk end = evaluate(w, &f->a, node, &a);

	/* a copied literal's text is the filter's, a path's number is here */
	if (end == WALK_OK)
		end = evaluate(w, &f->b, node, &b);
	if (end == WALK_OK)
		*answer = compare(w, f->op, &a, &b);
	return end;
}

static enum walk
test(struct walker *w, const struct json_path_filter *f, uint32_t node,
    bool *answer)
{
	enum walk end;

	switch (f->kind) {
	case FILTER_COMPARE: return test_comparison(w, f, node, answer);
	case FILTER_EXISTS: return exists(w, f, node, answer);
	case FILTER_NOT:
		end = test(w, f->left, node, answer);
		*answer = !*answer;
		return end;
	case FILTER_AND:
	case FILTER_OR:
		end = test(w, f->left, node, answer);
		if (end != WALK_OK || *answer == (f->kind == FILTER_OR))
			return end;
		return test(w, f->right, node, answer);
	}
	unreachable("a filter of no kind");
}

static enum walk
accept(struct walker *w, const struct json_path_filter *f, uint32_t node,
    bool *accepted)
{
	enum walk end = step(w);

	*accepted = false;
	if (end == WALK_OK)
		end = test(w, f, node, accepted);
	if (end == WALK_INVALID || end == WALK_NOT_FOUND) {
		*accepted = false;
		end = WALK_OK;
	}
	return end;
}

enum json_path_result
json_path_read(const struct json_path *p, const struct json_index *x,
    struct json_path_hits *hits)
{
	struct walker w = { .x = x, .path = p, .hits = hits };
	enum walk end;

	hits->count = 0;
	end = walk_path(&w, 0);
	if (end == WALK_TOO_LONG)
		return JSON_PATH_TOO_LONG;
	if (end == WALK_NO_MEMORY)
		return JSON_PATH_NO_MEMORY;
	if (end != WALK_OK)
		hits->count = 0;
	return JSON_PATH_OK;
}
