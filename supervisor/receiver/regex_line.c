/*
 * regex_line - lines taken apart by a regular expression
 *
 * Process: receiver.
 *
 * Interpreted: PCRE2's compiler needs memory that is written and run, which a
 * process that reads what strangers send must not have (confine.h).
 */
#include "regex_line.h"

#include <stdio.h>
#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "panic.h"
#include "regex_java.h"

#define HEAP_KIB_MAX (16u * KiB)
#define PATTERN_BYTES_MAX (64u * KiB)

struct regex_line {
	pcre2_code *pattern, *list; /* list: NULL when it is a text */
	char *list_text;
	size_t list_bytes;
	pcre2_match_data *groups, *separator;
	pcre2_match_context *context;
	bool null_in_lists;
	unsigned group_count, column_count;
	char **columns; /* ,"name": */
};

static pcre2_code *
compile(const char *pattern, uint32_t options, char why[REGEX_LINE_WHY_BYTES])
{
	char reason[REGEX_JAVA_WHY_BYTES], *text;
	pcre2_compile_context *c;
	PCRE2_SIZE offset;
	pcre2_code *code;
	int error;

	text = regex_java_rewrite(pattern, reason);
	if (text == NULL) {
		snprintf(why, REGEX_LINE_WHY_BYTES, "%s", reason);
		return NULL;
	}
	c = pcre2_compile_context_create(NULL);
	must_afford(c != NULL);
	pcre2_set_max_pattern_length(c, PATTERN_BYTES_MAX);
	/* nearest to Java's: `.` stops at U+0085, U+2028, U+2029 there */
	pcre2_set_newline(c, PCRE2_NEWLINE_ANYCRLF);
	code = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED,
	    options | PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C, &error, &offset, c);
	pcre2_compile_context_free(c);
	free(text);
	if (code == NULL) {
		pcre2_get_error_message(
		    error, (PCRE2_UCHAR *)reason, sizeof reason);
		snprintf(why, REGEX_LINE_WHY_BYTES, "%s (character %zu)",
		    reason, (size_t)offset + 1);
		return NULL;
	}
	return code;
}

static void
set_limit(const struct regex_line *r, size_t bytes)
{
	uint64_t steps =
	    REGEX_LINE_STEPS + (uint64_t)REGEX_LINE_STEPS_A_BYTE * bytes;

	pcre2_set_match_limit(
	    r->context, (uint32_t)MIN_OF(steps, (uint64_t)UINT32_MAX));
}

static int
match(const struct regex_line *r, const pcre2_code *code, const char *text,
    size_t bytes, size_t from, pcre2_match_data *data)
{
	return pcre2_match(code, (PCRE2_SPTR)text, bytes, from,
	    PCRE2_NO_UTF_CHECK, data, r->context);
}

static bool
set_list(struct regex_line *r, const struct regex_line_spec *spec,
    char why[REGEX_LINE_WHY_BYTES])
{
	r->list_text = spec->list_is_pattern
	    ? regex_java_literal(spec->list_delimiter)
	    : must_strdup(spec->list_delimiter);
	r->null_in_lists = spec->list_is_pattern;
	if (r->list_text != NULL) {
		r->list_bytes = strlen(r->list_text);
		if (r->list_bytes > 0)
			return true;
		snprintf(why, REGEX_LINE_WHY_BYTES, "it is empty");
		return false;
	}
	r->list = compile(spec->list_delimiter, 0, why);
	if (r->list == NULL)
		return false;
	r->separator = pcre2_match_data_create_from_pattern(r->list, NULL);
	must_afford(r->separator != NULL);
	set_limit(r, 0);
	if (match(r, r->list, "", 0, 0, r->separator) == PCRE2_ERROR_NOMATCH)
		return true;
	snprintf(why, REGEX_LINE_WHY_BYTES, "it matches an empty text");
	return false;
}

static void
add_column(struct regex_line *r, const char *name)
{
	struct buf text;

	buf_init(&text, SIZE_MAX / 2);
	buf_add(&text, ",", 1);
	buf_add_json_string(&text, name, strlen(name));
	buf_add(&text, ":", 2); /* with a NUL */
	must_afford(!text.failed);
	r->columns[r->column_count++] = text.bytes;
}

static void
set_columns(struct regex_line *r, const struct regex_line_spec *spec)
{
	char name[32];

	r->columns = must_calloc(
	    MAX_OF(r->group_count, spec->column_count) + 1, sizeof(char *));
	for (unsigned i = 0; i < spec->column_count; i++)
		add_column(r, spec->columns[i]);
	for (unsigned i = 0; spec->column_count == 0 && i < r->group_count;
	     i++) {
		snprintf(name, sizeof name, "column_%u", i + 1);
		add_column(r, name);
	}
}

static bool
set_pattern(struct regex_line *r, const struct regex_line_spec *spec,
    char why[REGEX_LINE_WHY_BYTES])
{
	uint32_t groups = 0;

	r->pattern =
	    compile(spec->pattern, PCRE2_ANCHORED | PCRE2_ENDANCHORED, why);
	if (r->pattern == NULL)
		return false;
	must(pcre2_pattern_info(r->pattern, PCRE2_INFO_CAPTURECOUNT, &groups) ==
	    0);
	r->group_count = groups;
	if (groups == 0 || groups > REGEX_LINE_GROUPS_MAX) {
		snprintf(why, REGEX_LINE_WHY_BYTES,
		    groups == 0 ? "it has no group (…) to become a column"
				: "it has more than %d groups",
		    REGEX_LINE_GROUPS_MAX);
		return false;
	}
	r->groups = pcre2_match_data_create_from_pattern(r->pattern, NULL);
	must_afford(r->groups != NULL);
	return true;
}

struct regex_line *
regex_line_new(const struct regex_line_spec *spec, enum regex_line_fault *fault,
    char why[REGEX_LINE_WHY_BYTES])
{
	struct regex_line *r = must_calloc(1, sizeof *r);

	r->context = pcre2_match_context_create(NULL);
	must_afford(r->context != NULL);
	pcre2_set_heap_limit(r->context, HEAP_KIB_MAX);
	*fault = REGEX_LINE_PATTERN;
	if (!set_pattern(r, spec, why)) {
		regex_line_free(&r);
		return NULL;
	}
	*fault = REGEX_LINE_LIST_DELIMITER;
	if (!set_list(r, spec, why)) {
		regex_line_free(&r);
		return NULL;
	}
	set_columns(r, spec);
	return r;
}

void
regex_line_free(struct regex_line **line)
{
	struct regex_line *r = *line;

	if (r == NULL)
		return;
	*line = NULL;
	pcre2_code_free(r->pattern);
	pcre2_code_free(r->list);
	pcre2_match_data_free(r->groups);
	pcre2_match_data_free(r->separator);
	pcre2_match_context_free(r->context);
	free(r->list_text);
	for (unsigned i = 0; i < r->column_count; i++)
		free(r->columns[i]);
	free(r->columns);
	free(r);
}

static enum line_result
fail_match(int error, uint64_t line, struct line_error *to)
{
	switch (error) {
	case PCRE2_ERROR_NOMATCH:
		return line_error_set(
		    to, line, "the pattern does not match the whole line");
	case PCRE2_ERROR_NOMEMORY: return LINE_NO_MEMORY;
	default:
		/* steps or heap */
		return line_error_set(to, line,
		    "matching the line takes more steps than its length "
		    "allows; make the pattern simpler");
	}
}

/* The next separator from `from` on: its place, or 0 for none, or an error. */
static int
find_separator(const struct regex_line *r, const char *text, size_t bytes,
    size_t from, size_t *start, size_t *end)
{
	const PCRE2_SIZE *found;
	int count;

	if (r->list == NULL) {
		const char *at = memmem(
		    text + from, bytes - from, r->list_text, r->list_bytes);

		if (at == NULL)
			return 0;
		*start = (size_t)(at - text);
		*end = *start + r->list_bytes;
		return 1;
	}
	count = match(r, r->list, text, bytes, from, r->separator);
	if (count == PCRE2_ERROR_NOMATCH)
		return 0;
	if (count < 0)
		return count;
	found = pcre2_get_ovector_pointer(r->separator);
	*start = found[0];
	/* \K can end a match before its start; Java has none */
	*end = MAX_OF(found[1], found[0]);
	return 1;
}

static bool
put_element(const struct regex_line *r, struct line_out *out, const char *text,
    size_t bytes)
{
	if (bytes == 0 && r->null_in_lists)
		return line_out_add(out, "null", 4);
	return line_out_add(out, "\"", 1) && line_out_text(out, text, bytes) &&
	    line_out_add(out, "\"", 1);
}

/* The value, which is not empty, as a text or, with separators in it, a list.
 * Guava's splitter: one that matches nothing at an element's start is passed
 * over. Returns 0, a PCRE2 error, or 1: no room. */
static int
put_value(const struct regex_line *r, struct line_out *out, const char *text,
    size_t bytes)
{
	size_t element = 0, from = 0, start, end;
	const char *comma = "[";
	int found;

	set_limit(r, bytes);
	while (from <= bytes &&
	    (found = find_separator(r, text, bytes, from, &start, &end)) > 0) {
		if (end == element) {
			for (from++; from < bytes &&
			     ((unsigned char)text[from] & 0xc0) == 0x80;)
				from++;
			continue;
		}
		if (!line_out_add(out, comma, 1) ||
		    !put_element(r, out, text + element, start - element))
			return 1;
		comma = ",";
		element = from = end;
	}
	if (from <= bytes && found < 0)
		return found;
	if (*comma == ',' && !line_out_add(out, ",", 1))
		return 1;
	if (!put_element(r, out, text + element, bytes - element))
		return 1;
	return *comma == ',' && !line_out_add(out, "]", 1);
}

/* The groups as members. Returns as put_value. */
static int
put_groups(const struct regex_line *r, struct line_out *out, const char *text)
{
	const PCRE2_SIZE *at = pcre2_get_ovector_pointer(r->groups);
	unsigned count = MIN_OF(r->group_count, r->column_count);
	int failed = 0;

	for (unsigned i = 0; failed == 0 && i < count; i++) {
		size_t start = at[2 * i + 2], end = at[2 * i + 3];
		const char *name = r->columns[i];

		if (start == PCRE2_UNSET || end <= start)
			continue;
		if (!line_out_add(out, name, strlen(name)))
			return 1;
		failed = put_value(r, out, text + start, end - start);
	}
	return failed;
}

static enum line_result
read_line(struct regex_line *r, const struct line_cursor *c,
    struct line_out *out, struct line_error *error)
{
	size_t start = line_out_used(out);
	int count;

	set_limit(r, c->bytes);
	count = match(r, r->pattern, c->text, c->bytes, 0, r->groups);
	if (count < 0)
		return fail_match(count, c->line, error);
	count = put_groups(r, out, c->text);
	if (count < 0)
		return fail_match(count, c->line, error);
	if (count > 0 || !line_out_room(out, 3))
		return line_out_failure(out);
	if (line_out_used(out) == start)
		out->at++;
	out->to->bytes[start] = '{';
	memcpy(out->at, "}\n", 2);
	out->at += 2;
	return LINE_OK;
}

enum line_result
regex_line_read(struct regex_line *r, const char *body, const char *end,
    struct line_out *out, struct line_error *error)
{
	enum line_result result = LINE_OK;
	struct line_cursor c;

	line_cursor_init(&c, body, end);
	while (result == LINE_OK && line_cursor_next(&c))
		if (c.bytes > 0)
			result = read_line(r, &c, out, error);
	return result;
}

bool
regex_line_next(struct line_cursor *c)
{
	while (line_cursor_next(c))
		if (c->bytes > 0)
			return true;
	return false;
}
