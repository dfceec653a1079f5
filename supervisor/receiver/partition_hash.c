/*
 * partition_hash - which partition of its interval an event belongs to
 *
 * Process: receiver, worker. Pure.
 */
#include "partition_hash.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "panic.h"

#include "java_string.h"

#define NONE UINT32_MAX
#define STEPS_FIRST 64 /* room for fields at the first event */
#define SHAPE_MAX (64 * KiB)

struct partition_name {
	char *text;
	uint32_t bytes;
	int32_t hash; /* Java's */
};

/* An element of a list, as text. That made in scratch->text is known by its
 * place there until all elements are, since the buffer moves as it grows. */
struct element {
	const char *text;
	uint32_t bytes, at;
};

/* A dimension of the event: its field, and the hash of that one's name. */
struct step {
	uint32_t field;
	int32_t name_hash;
};

/* Events of one source tend to have the same names in the same order. So what
 * follows from the names alone, the steps, is kept for the next event, and the
 * names to know it by. */
struct partition_scratch {
	struct step *steps; /* in the order they are hashed */
	uint32_t *name_bytes;
	struct buf shape; /* the names, one behind the other */
	unsigned step_count, field_count;
	unsigned size; /* room in steps and name_bytes */
	bool is_known; /* there is an event to compare with */
	uint32_t *picked; /* for each listed name: its field, or NONE */
	struct buf elements, text;
};

/* murmur3_32 over words of four bytes, seed 0. */
struct murmur {
	uint32_t hash, bytes;
};

struct event_view {
	const char *body;
	const struct json_field *fields;
	unsigned count;
};

static uint32_t
rotate(uint32_t x, unsigned n)
{
	return x << n | x >> (32 - n);
}

static void
murmur_add(struct murmur *m, uint32_t word)
{
	word = rotate(word * 0xcc9e2d51u, 15) * 0x1b873593u;
	m->hash = rotate(m->hash ^ word, 13) * 5 + 0xe6546b64u;
	m->bytes += 4;
}

static int32_t
murmur_end(const struct murmur *m)
{
	uint32_t h = m->hash ^ m->bytes;

	h = (h ^ h >> 16) * 0x85ebca6bu;
	h = (h ^ h >> 13) * 0xc2b2ae35u;
	return (int32_t)(h ^ h >> 16);
}

static struct java_string
plain_text(const char *text, size_t bytes)
{
	return (struct java_string){ .text = text, .bytes = bytes };
}

static struct java_string
field_name(const char *body, const struct json_field *f)
{
	return (struct java_string){ body + f->name, f->name_bytes,
		f->name_escaped };
}

/* Where to look for a name first: mixes its length, its first and its last
 * bytes. */
static uint32_t
slot_of(const char *text, size_t bytes)
{
	uint64_t first = 0, last = 0;

	if (bytes >= sizeof(first)) {
		memcpy(&first, text, sizeof(first));
		memcpy(&last, text + bytes - sizeof(last), sizeof(last));
	} else {
		memcpy(&first, text, bytes);
	}
	first = (first ^ bytes) * UINT64_C(0x9e3779b97f4a7c15);
	last = (last ^ first >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
	return (uint32_t)((first ^ last) >> 32);
}

static uint32_t
find_name(
    const struct partition_hash_spec *spec, const char *text, size_t bytes)
{
	uint32_t slot = slot_of(text, bytes) & spec->slot_mask;

	for (; spec->slots[slot] != NONE; slot = (slot + 1) & spec->slot_mask) {
		const struct partition_name *n =
		    &spec->names[spec->slots[slot]];

		if (n->bytes == bytes && memcmp(n->text, text, bytes) == 0)
			return spec->slots[slot];
	}
	return NONE;
}

/* The listed name that a field has, or NONE. */
static uint32_t
find_field(struct partition_hash_spec *spec, const char *body,
    const struct json_field *f)
{
	struct buf *text = &spec->scratch->text;
	char *name;

	if (LIKELY(!f->name_escaped))
		return find_name(spec, body + f->name, f->name_bytes);
	buf_reset(text);
	name = buf_room(text, f->name_bytes);
	/* a name longer than all that we hold is none of the listed ones */
	if (name == NULL)
		return NONE;
	return find_name(
	    spec, name, java_string_unescape(field_name(body, f), name));
}

static int
compare_names(const void *a, const void *b)
{
	const struct partition_name *x = a, *y = b;

	return java_string_compare(
	    plain_text(x->text, x->bytes), plain_text(y->text, y->bytes));
}

static void
build_slots(struct partition_hash_spec *spec)
{
	uint32_t size = 8;

	while (size < 2 * spec->name_count)
		size *= 2;
	spec->slot_mask = size - 1;
	spec->slots = must_malloc(size * sizeof(*spec->slots));
	memset(spec->slots, 0xff, size * sizeof(*spec->slots));
	for (uint32_t i = 0; i < spec->name_count; i++) {
		const struct partition_name *n = &spec->names[i];
		uint32_t slot = slot_of(n->text, n->bytes) & spec->slot_mask;

		while (spec->slots[slot] != NONE)
			slot = (slot + 1) & spec->slot_mask;
		spec->slots[slot] = i;
	}
}

/* Sorted, each once. */
static void
take_names(
    struct partition_hash_spec *spec, const char *const *names, size_t count)
{
	struct partition_name *sorted = must_calloc(count + 1, sizeof(*sorted));
	unsigned kept = 0;

	for (size_t i = 0; i < count; i++) {
		size_t bytes = strlen(names[i]);

		must(bytes < NONE);
		sorted[i].text = must_strdup(names[i]);
		sorted[i].bytes = (uint32_t)bytes;
		sorted[i].hash = java_string_hash(plain_text(names[i], bytes));
	}
	qsort(sorted, count, sizeof(*sorted), compare_names);
	for (size_t i = 0; i < count; i++) {
		if (kept > 0 &&
		    compare_names(&sorted[kept - 1], &sorted[i]) == 0)
			free(sorted[i].text);
		else
			sorted[kept++] = sorted[i];
	}
	spec->names = sorted;
	spec->name_count = kept;
}

void
partition_hash_init(struct partition_hash_spec *spec, bool is_schemaless,
    const char *const *names, size_t count)
{
	struct partition_scratch *s = must_calloc(1, sizeof(*s));

	must(count < NONE / 4);
	*spec = (struct partition_hash_spec){ .is_schemaless = is_schemaless,
		.scratch = s };
	take_names(spec, names, count);
	build_slots(spec);
	s->picked = must_malloc((spec->name_count + 1) * sizeof(*s->picked));
	memset(s->picked, 0xff, spec->name_count * sizeof(*s->picked));
	buf_init(&s->shape, SHAPE_MAX);
	buf_init(&s->elements, PARTITION_LIST_MAX * sizeof(struct element));
	buf_init(&s->text, PARTITION_TEXT_MAX);
}

void
partition_hash_fini(struct partition_hash_spec *spec)
{
	for (unsigned i = 0; i < spec->name_count; i++)
		free(spec->names[i].text);
	free(spec->names);
	free(spec->slots);
	if (spec->scratch != NULL) {
		free(spec->scratch->picked);
		free(spec->scratch->steps);
		free(spec->scratch->name_bytes);
		buf_free(&spec->scratch->shape);
		buf_free(&spec->scratch->elements);
		buf_free(&spec->scratch->text);
		free(spec->scratch);
	}
	*spec = (struct partition_hash_spec){ .name_count = 0 };
}

/* A string's closing quote, from behind its opening one. */
static const char *
string_end(const char *p, bool *escaped)
{
	*escaped = false;
	while (*p != '"') {
		*escaped |= *p == '\\';
		p += *p == '\\' ? 2 : 1;
	}
	return p;
}

static const char *
number_end(const char *p)
{
	while ((*p >= '0' && *p <= '9') || *p == '-' || *p == '+' ||
	    *p == '.' || (*p | 0x20) == 'e')
		p++;
	return p;
}

static void
add_text(struct buf *text, struct java_string s)
{
	char *room;

	if (!s.is_escaped) {
		buf_add(text, s.text, s.bytes);
		return;
	}
	room = buf_room(text, s.bytes);
	if (room != NULL)
		text->used += java_string_unescape(s, room);
}

/* Adds the token at p as Java's toString of maps and lists shows it. Returns
 * behind it. */
static const char *
add_token(struct buf *text, const char *p)
{
	char number[JAVA_NUMBER_BYTES];
	const char *end;
	bool escaped;

	switch (*p) {
	case '"':
		end = string_end(++p, &escaped);
		add_text(text,
		    (struct java_string){ p, (size_t)(end - p), escaped });
		return end + 1;
	case ',': buf_add(text, ", ", 2); return p + 1;
	case ':': buf_add(text, "=", 1); return p + 1;
	case '{':
	case '}':
	case '[':
	case ']': buf_add(text, p, 1); return p + 1;
	case 't':
	case 'n': buf_add(text, p, 4); return p + 4;
	case 'f': buf_add(text, p, 5); return p + 5;
	case ' ':
	case '\t':
	case '\r':
	case '\n': return p + 1;
	default: break;
	}
	end = number_end(p);
	add_text(text, java_string_of_number(p, (size_t)(end - p), number));
	return end;
}

/* Adds a whole value to the text. Of an object's repeated names all are shown
 * where Java shows one. */
static const char *
add_value(struct buf *text, const char *p)
{
	unsigned depth = 0;

	do {
		depth += *p == '{' || *p == '[';
		depth -= *p == '}' || *p == ']';
		p = add_token(text, p);
	} while (depth > 0);
	return p;
}

static void
add_element(struct partition_scratch *s, struct element e)
{
	if (e.bytes > 0)
		buf_add(&s->elements, &e, sizeof(e));
}

/* An element whose text stands nowhere in the body. */
static const char *
make_element(struct partition_scratch *s, const char *p)
{
	size_t start = s->text.used;

	p = add_value(&s->text, p);
	if (s->text.failed) {
		/* it does not fit: left out, the next ones may */
		s->text.failed = false;
		s->text.used = start;
		return p;
	}
	add_element(s,
	    (struct element){ .at = (uint32_t)start,
		.bytes = (uint32_t)(s->text.used - start) });
	return p;
}

/* Takes the list's element at p; returns behind it. */
static const char *
take_element(struct partition_scratch *s, const char *p)
{
	const char *start = p, *end;
	bool escaped;

	switch (*p) {
	case '"':
		end = string_end(++p, &escaped);
		if (escaped)
			return make_element(s, start);
		add_element(s, (struct element){ p, (uint32_t)(end - p), 0 });
		return end + 1;
	case 'n': return p + 4;
	default: return make_element(s, p);
	}
}

static int
compare_elements(const void *a, const void *b)
{
	const struct element *x = a, *y = b;

	return java_string_compare(
	    plain_text(x->text, x->bytes), plain_text(y->text, y->bytes));
}

/* The list's elements, sorted. */
static struct element *
take_elements(struct partition_scratch *s, const char *list, size_t *count)
{
	const char *p = list + 1;
	struct element *e;

	buf_reset(&s->elements);
	buf_reset(&s->text);
	while (*p != ']' && !s->elements.failed) {
		if (*p == ',' || *p == ' ' || *p == '\t' || *p == '\r' ||
		    *p == '\n')
			p++;
		else
			p = take_element(s, p);
	}
	e = (struct element *)(void *)s->elements.bytes;
	*count = s->elements.used / sizeof(*e);
	for (size_t i = 0; i < *count; i++)
		if (e[i].text == NULL)
			e[i].text = s->text.bytes + e[i].at;
	if (*count > 1)
		qsort(e, *count, sizeof(*e), compare_elements);
	return e;
}

/* A list counts as the set of its elements. */
static void
add_list(struct murmur *m, struct partition_scratch *s, int32_t name,
    const char *list)
{
	size_t count;
	struct element *e = take_elements(s, list, &count);

	if (count == 0)
		return;
	murmur_add(m, (uint32_t)name);
	for (size_t i = 0; i < count; i++)
		if (i == 0 || compare_elements(&e[i - 1], &e[i]) != 0)
			murmur_add(m,
			    (uint32_t)java_string_hash(
				plain_text(e[i].text, e[i].bytes)));
}

/* `name` is the hash of the field's name. */
static void
add_field(struct murmur *m, struct partition_scratch *s, int32_t name,
    const char *body, const struct json_field *f)
{
	char number[JAVA_NUMBER_BYTES];
	struct java_string value = { body + f->value, f->value_bytes,
		f->value_escaped };

	switch ((enum scan_type)f->type) {
	case SCAN_NUMBER:
		value = java_string_of_number(value.text, value.bytes, number);
		break;
	case SCAN_STRING:
		if (value.bytes == 0)
			return;
		break;
	case SCAN_ARRAY: add_list(m, s, name, value.text); return;
	case SCAN_NULL:
	case SCAN_FALSE:
	case SCAN_TRUE:
	case SCAN_OBJECT: return;
	}
	murmur_add(m, (uint32_t)name);
	murmur_add(m, (uint32_t)java_string_hash(value));
}

/* Room for as many fields. Their number is bounded by the scanner. */
static void
reserve_steps(struct partition_scratch *s, unsigned count)
{
	unsigned size = s->size == 0 ? STEPS_FIRST : s->size;

	must(count <= JSON_SCAN_FIELDS_MAX);
	if (count <= s->size)
		return;
	while (size < count)
		size *= 2;
	s->steps = must_realloc(s->steps, size * sizeof(*s->steps));
	s->name_bytes =
	    must_realloc(s->name_bytes, size * sizeof(*s->name_bytes));
	s->size = size;
}

static void
plan_listed(struct partition_hash_spec *spec, const struct event_view *v)
{
	struct partition_scratch *s = spec->scratch;

	for (uint32_t i = 0; i < v->count; i++) {
		uint32_t name = find_field(spec, v->body, &v->fields[i]);

		if (name != NONE)
			s->picked[name] = i;
	}
	for (unsigned i = 0; i < spec->name_count; i++) {
		if (s->picked[i] == NONE)
			continue;
		s->steps[s->step_count++] =
		    (struct step){ s->picked[i], spec->names[i].hash };
		s->picked[i] = NONE;
	}
}

static int
compare_fields(const struct event_view *v, uint32_t a, uint32_t b)
{
	return java_string_compare(field_name(v->body, &v->fields[a]),
	    field_name(v->body, &v->fields[b]));
}

/* By name; of equal names the later field is the greater. */
static int
compare_steps(const void *a, const void *b, void *view)
{
	const struct step *x = a, *y = b;
	int order = compare_fields(view, x->field, y->field);

	return order != 0 ? order
			  : (x->field > y->field) - (x->field < y->field);
}

static void
plan_schemaless(struct partition_hash_spec *spec, struct event_view *v)
{
	struct partition_scratch *s = spec->scratch;
	struct step *steps = s->steps;
	unsigned count = 0;

	for (uint32_t i = 0; i < v->count; i++)
		if (find_field(spec, v->body, &v->fields[i]) == NONE)
			steps[count++].field = i;
	if (count > 1)
		qsort_r(steps, count, sizeof(*steps), compare_steps, v);
	for (unsigned i = 0; i < count; i++) {
		uint32_t field = steps[i].field;

		if (i + 1 < count &&
		    compare_fields(v, field, steps[i + 1].field) == 0)
			continue;
		steps[s->step_count++] = (struct step){ field,
			java_string_hash(
			    field_name(v->body, &v->fields[field])) };
	}
}

/* Finds the steps from the names, and keeps both. */
static void
plan(struct partition_hash_spec *spec, struct event_view *v)
{
	struct partition_scratch *s = spec->scratch;

	reserve_steps(s, v->count);
	s->step_count = 0;
	if (spec->is_schemaless)
		plan_schemaless(spec, v);
	else
		plan_listed(spec, v);
	buf_reset(&s->shape);
	for (unsigned i = 0; i < v->count; i++) {
		const struct json_field *f = &v->fields[i];

		s->name_bytes[i] = f->name_bytes;
		buf_add(&s->shape, v->body + f->name, f->name_bytes);
	}
	s->field_count = v->count;
	s->is_known = !s->shape.failed;
}

static inline uint64_t
load8(const char *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

static inline bool
same_bytes(const char *a, const char *b, size_t bytes)
{
	if (bytes < 8 || bytes > 16)
		return memcmp(a, b, bytes) == 0;
	return load8(a) == load8(b) &&
	    load8(a + bytes - 8) == load8(b + bytes - 8);
}

static bool
plan_holds(const struct partition_scratch *s, const struct event_view *v)
{
	const char *name = s->shape.bytes;

	if (!s->is_known || v->count != s->field_count)
		return false;
	for (unsigned i = 0; i < v->count; i++) {
		const struct json_field *f = &v->fields[i];

		if (f->name_bytes != s->name_bytes[i] ||
		    !same_bytes(v->body + f->name, name, f->name_bytes))
			return false;
		name += f->name_bytes;
	}
	return true;
}

int32_t
partition_hash(struct partition_hash_spec *spec, int64_t truncated_ms,
    const char *body, const struct json_field *fields, unsigned count)
{
	struct event_view v = {
		.body = body, .fields = fields, .count = count
	};
	struct partition_scratch *s = spec->scratch;
	struct murmur m = { 0 };

	murmur_add(&m, (uint32_t)truncated_ms);
	murmur_add(&m, (uint32_t)((uint64_t)truncated_ms >> 32));
	if (!plan_holds(s, &v))
		plan(spec, &v);
	for (unsigned i = 0; i < s->step_count; i++)
		add_field(&m, s, s->steps[i].name_hash, body,
		    &fields[s->steps[i].field]);
	return murmur_end(&m);
}
