/*
 * fuzz_json - any bytes as a body of JSON: json_scan against jansson
 *
 * Every way of looking at the bytes (plain, SSE2, AVX2) must find the same
 * events and members. jansson then reads the same bytes: the verdict must be
 * the same, and so must each member's value. Where they differ by right:
 *
 *   - numbers: json_scan takes any size; jansson refuses what overflows an
 *     int64 or a double
 *   - \u escapes of lone surrogates, and of NUL in a name: jansson refuses
 *   - nesting: json_scan ends at 512, jansson at 2048; json_scan also ends at
 *     65536 members of one event
 *   - a name that comes twice: json_scan lists all, the last one counts in
 *     both
 *   - jansson passes over a NUL byte behind a number
 */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "json_scan.h"
#include "panic.h"

#define JANSSON_FLAGS (JSON_DECODE_ANY | JSON_ALLOW_NUL)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* ---- the ways to look ---- */

static void
must_be_same(const struct json_scan *a, const struct json_scan *b)
{
	must(a->event == b->event && a->event_bytes == b->event_bytes);
	must(a->event_index == b->event_index);
	must(a->field_count == b->field_count);
	for (unsigned i = 0; i < a->field_count; i++) {
		const struct json_field *f = &a->fields[i], *g = &b->fields[i];

		must(f->name == g->name && f->name_bytes == g->name_bytes);
		must(f->value == g->value && f->value_bytes == g->value_bytes);
		must(f->type == g->type);
		must(f->name_escaped == g->name_escaped);
		must(f->value_escaped == g->value_escaped);
	}
}

static void
compare_cpus(const char *body, size_t bytes)
{
	struct json_scan plain, other;

	for (int cpu = JSON_SCAN_SSE2; cpu <= JSON_SCAN_AVX2; cpu++) {
		enum json_scan_result result = JSON_SCAN_EVENT;

		json_scan_init(&plain, body, bytes);
		json_scan_init(&other, body, bytes);
		must(json_scan_use(&plain, JSON_SCAN_PLAIN));
		if (!json_scan_use(&other, (enum json_scan_cpu)cpu))
			result = JSON_SCAN_END; /* not on this machine */
		while (result == JSON_SCAN_EVENT) {
			result = json_scan_next(&plain);
			must(json_scan_next(&other) == result);
			if (result == JSON_SCAN_EVENT)
				must_be_same(&plain, &other);
		}
		if (result == JSON_SCAN_MALFORMED) {
			must(plain.error_offset == other.error_offset);
			must(plain.error == other.error);
		}
		json_scan_fini(&plain);
		json_scan_fini(&other);
	}
}

/* ---- jansson ---- */

struct reader {
	const char *at, *end;
	bool in_array, is_first;
	bool needs_event; /* behind a byte order mark, as Jackson does */
	bool is_excused; /* it refuses what json_scan rightly takes */
	json_error_t error;
};

static void
skip_space(struct reader *r)
{
	while (r->at < r->end && strchr(" \t\r\n", *r->at) != NULL && *r->at)
		r->at++;
}

/* A surrogate's escape somewhere: whether it is alone is not asked. */
static bool
has_surrogate(const char *at, const char *end)
{
	for (; end - at >= 4; at++)
		if (at[0] == '\\' && at[1] == 'u' && (at[2] | 32) == 'd' &&
		    strchr("89abcdefABCDEF", at[3]) != NULL && at[3] != '\0')
			return true;
	return false;
}

/* NULL at the end, or when it is malformed (*ok is false then). */
static json_t *
next_event(struct reader *r, bool *ok)
{
	enum json_error_code code;
	const char *from;
	json_t *j;

	skip_space(r);
	if (r->in_array && !r->is_first && r->at < r->end) {
		if (*r->at == ']') {
			r->at++;
			skip_space(r);
			*ok = r->at == r->end;
			return NULL;
		}
		*ok = *r->at++ == ',';
		skip_space(r);
	}
	if (r->at == r->end)
		*ok = *ok && !r->in_array && !r->needs_event;
	r->needs_event = false;
	if (!*ok || r->at == r->end)
		return NULL;
	r->is_first = false;
	j = json_loadb(r->at, (size_t)(r->end - r->at),
	    JANSSON_FLAGS | JSON_DISABLE_EOF_CHECK, &r->error);
	code = json_error_code(&r->error);
	from = r->at;
	r->at += j != NULL ? r->error.position : 0;
	*ok = json_is_object(j) &&
	    memchr(from, '\0', (size_t)(r->at - from)) == NULL;
	if (j == NULL)
		r->is_excused = code == json_error_numeric_overflow ||
		    code == json_error_null_byte_in_key ||
		    has_surrogate(r->at, r->end);
	if (!*ok && j != NULL)
		json_decref(j);
	return *ok ? j : NULL;
}

static void
begin(struct reader *r, const char *body, size_t bytes)
{
	*r = (struct reader){ body, body + bytes, .is_first = true };
	r->needs_event = bytes >= 3 && memcmp(body, "\xef\xbb\xbf", 3) == 0;
	if (r->needs_event)
		r->at += 3;
	skip_space(r);
	if (r->at < r->end && *r->at == '[') {
		r->in_array = true;
		r->at++;
		skip_space(r);
		if (r->at < r->end && *r->at == ']')
			r->is_first = false;
	}
}

/* ---- values ---- */

static void
check_text(const json_t *j, const char *raw, size_t bytes, bool escaped)
{
	char *text = must_malloc(bytes + 1);
	size_t n = json_unescape(raw, bytes, text);

	must(n <= bytes && (escaped || n == bytes));
	must(json_string_length(j) == n);
	must(memcmp(json_string_value(j), text, n) == 0);
	free(text);
}

static void
check_number(const json_t *j, const char *raw, size_t bytes)
{
	char *text = must_malloc(bytes + 1);

	memcpy(text, raw, bytes);
	text[bytes] = '\0';
	if (json_is_integer(j))
		must(json_integer_value(j) == strtoll(text, NULL, 10));
	else
		must(json_real_value(j) == strtod(text, NULL));
	free(text);
}

static void
check_value(const struct json_scan *s, const struct json_field *f, json_t *j)
{
	const char *raw = s->body + f->value;
	static const uint8_t types[] = { [JSON_NULL] = SCAN_NULL,
		[JSON_FALSE] = SCAN_FALSE,
		[JSON_TRUE] = SCAN_TRUE,
		[JSON_INTEGER] = SCAN_NUMBER,
		[JSON_REAL] = SCAN_NUMBER,
		[JSON_STRING] = SCAN_STRING,
		[JSON_ARRAY] = SCAN_ARRAY,
		[JSON_OBJECT] = SCAN_OBJECT };
	json_t *alone;

	must(f->type == types[json_typeof(j)]);
	if (f->type == SCAN_STRING) {
		check_text(j, raw, f->value_bytes, f->value_escaped);
		return;
	}
	if (f->type == SCAN_NUMBER) {
		check_number(j, raw, f->value_bytes);
		return;
	}
	/* its bytes are the whole value and nothing more */
	alone = json_loadb(raw, f->value_bytes, JANSSON_FLAGS, NULL);
	must(alone != NULL && json_equal(alone, j));
	json_decref(alone);
}

/* Each name's last field; what has none is not there. */
static void
check_event(const struct json_scan *s, json_t *event)
{
	size_t found = 0;

	for (unsigned i = s->field_count; i-- > 0;) {
		const struct json_field *f = &s->fields[i];
		char *name = must_malloc(f->name_bytes + 1u);
		size_t n =
		    json_unescape(s->body + f->name, f->name_bytes, name);
		json_t *j;

		name[n] = '\0';
		must(strlen(name) == n);
		must(json_name_is(s, f, name, n));
		j = json_object_get(event, name);
		if (j != NULL) {
			check_value(s, f, j);
			json_object_del(event, name);
			found++;
		}
		free(name);
	}
	must(json_object_size(event) == 0 && found <= s->field_count);
}

/* json_scan's own bounds. */
static bool
is_bound(const struct json_scan *s)
{
	return strcmp(s->error, "nested too deep") == 0 ||
	    strstr(s->error, "of more than") != NULL ||
	    strcmp(s->error, "too many members in one event") == 0;
}

static void
compare_with_jansson(const char *body, size_t bytes)
{
	struct json_scan s;
	struct reader r;
	enum json_scan_result result;

	begin(&r, body, bytes);
	json_scan_init(&s, body, bytes);
	do {
		bool ok = true;
		json_t *event;

		result = json_scan_next(&s);
		if (result == JSON_SCAN_MALFORMED && is_bound(&s))
			break;
		event = next_event(&r, &ok);
		if (r.is_excused)
			break;
		must(ok == (result != JSON_SCAN_MALFORMED));
		must((event != NULL) == (result == JSON_SCAN_EVENT));
		if (event != NULL)
			check_event(&s, event);
		json_decref(event);
	} while (result == JSON_SCAN_EVENT);
	must(result != JSON_SCAN_MALFORMED || s.error_offset <= bytes);
	json_scan_fini(&s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	char *body = must_malloc(bytes + JSON_SCAN_PADDING);

	memcpy(body, data, bytes);
	/* what lies behind the body must not matter */
	memset(body + bytes, bytes % 2 ? '"' : '}', JSON_SCAN_PADDING);
	compare_cpus(body, bytes);
	compare_with_jansson(body, bytes);
	free(body);
	return 0;
}
