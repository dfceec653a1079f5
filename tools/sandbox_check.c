/*
 * sandbox_check - judges the body of a push as a realtime task would
 *
 * Process: tranq-sandbox. Pure.
 */
#include "sandbox_check.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "panic.h"

#define NUMBER_BYTES 64
#define SHOWN_BYTES 64

void
sandbox_check_init(struct check *c, bool is_full, struct violations *violations)
{
	*c = (struct check){ .is_full = is_full, .violations = violations };
	json_scan_init(&c->scan, "", 0);
}

void
sandbox_check_fini(struct check *c)
{
	json_scan_fini(&c->scan);
	free(c->events);
	c->events = NULL;
}

/* The last member of that name counts, as for Jackson. */
static const struct json_field *
find_column(const struct json_scan *s, const struct check_rule *rule)
{
	for (unsigned i = s->field_count; i-- > 0;) {
		const struct json_field *f = &s->fields[i];

		if (LIKELY(!f->name_escaped)) {
			if (f->name_bytes == rule->column_bytes &&
			    memcmp(s->body + f->name, rule->column,
				f->name_bytes) == 0)
				return f;
		} else if (json_name_is(
			       s, f, rule->column, rule->column_bytes)) {
			return f;
		}
	}
	return NULL;
}

static bool
parse_digits(const char *text, size_t bytes, int64_t *ms)
{
	bool negative = bytes > 0 && text[0] == '-';
	int64_t value = 0;

	text += negative;
	bytes -= negative;
	if (bytes == 0 || bytes > 18)
		return false;
	for (size_t i = 0; i < bytes; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (text[i] - '0');
	}
	*ms = negative ? -value : value;
	return true;
}

/* Druid's millis format also takes strings of digits and cuts fractions. */
static bool
parse_leniently(const struct json_field *f, const char *value, int64_t *ms)
{
	char text[NUMBER_BYTES], *end;
	double number;

	if (f->type == SCAN_STRING)
		return !f->value_escaped &&
		    parse_digits(value, f->value_bytes, ms);
	if (f->type != SCAN_NUMBER || f->value_bytes >= sizeof text)
		return false;
	memcpy(text, value, f->value_bytes);
	text[f->value_bytes] = '\0';
	number = strtod(text, &end);
	if (*end != '\0' || number < -9e18 || number > 9e18)
		return false;
	*ms = (int64_t)number;
	return true;
}

static bool
read_timestamp(struct check *c, const struct check_rule *rule, int64_t *ms)
{
	const struct json_scan *s = &c->scan;
	const struct json_field *f = find_column(s, rule);
	const char *value = f != NULL ? s->body + f->value : "nothing";
	int shown = f != NULL ? (int)MIN_OF(f->value_bytes, SHOWN_BYTES) : 7;

	if (LIKELY(f != NULL && f->type == SCAN_NUMBER &&
		parse_digits(value, f->value_bytes, ms)))
		return true;
	/* a question of tranqd's, which it knows that no task takes */
	if (f == NULL ||
	    memmem(value, f->value_bytes, CHECK_ASK_MARK,
		sizeof CHECK_ASK_MARK - 1) == NULL)
		sandbox_violation_add(c->violations, VIOLATION_TIMESTAMP,
		    "%s: event %u: %s is %.*s", rule->task, s->event_index,
		    rule->column, shown, value);
	if (f != NULL && parse_leniently(f, value, ms))
		return true;
	snprintf(c->error, sizeof c->error, "[%.*s]", shown, value);
	return false;
}

static struct check_event *
next_event(struct check *c)
{
	if (c->count == c->size) {
		c->size = MAX_OF(c->size * 2, 1024);
		c->events =
		    must_realloc(c->events, c->size * sizeof c->events[0]);
	}
	return &c->events[c->count++];
}

static void
add_event(struct check *c, const struct check_rule *rule, int64_t ms)
{
	struct check_event *e = next_event(c);

	*e = (struct check_event){
		.at = c->scan.event, .bytes = c->scan.event_bytes, .ms = ms
	};
	if (!rule->has_interval ||
	    (ms >= rule->interval.start && ms < rule->interval.end))
		return;
	e->is_outside = true;
	sandbox_violation_add(c->violations, VIOLATION_INTERVAL,
	    "%s: event %u: %lld is not in its interval", rule->task,
	    c->scan.event_index, (long long)ms);
}

static bool
is_array(const char *body, size_t bytes)
{
	size_t i = 0;

	while (
	    i < bytes && strchr(" \t\r\n", body[i]) != NULL && body[i] != '\0')
		i++;
	return i < bytes && body[i] == '[';
}

static enum check_result
scan_body(struct check *c, const struct check_rule *rule, const char *body,
    size_t bytes)
{
	bool is_bad_row = false;
	int64_t ms;

	c->count = 0;
	if (!is_array(body, bytes)) {
		snprintf(c->error, sizeof c->error,
		    "Cannot deserialize: not an array");
		return CHECK_BODY;
	}
	json_scan_reset(&c->scan, body, bytes);
	for (;;) {
		switch (json_scan_next(&c->scan)) {
		case JSON_SCAN_END: return is_bad_row ? CHECK_ROW : CHECK_OK;
		case JSON_SCAN_MALFORMED:
			snprintf(c->error, sizeof c->error,
			    "event %u, byte %u: %s", c->scan.event_index,
			    c->scan.error_offset, c->scan.error);
			return CHECK_BODY;
		case JSON_SCAN_EVENT: break;
		}
		if (is_bad_row)
			continue;
		if (read_timestamp(c, rule, &ms))
			add_event(c, rule, ms);
		else
			is_bad_row = true;
	}
}

/* ---- the second judge ---- */

/* JSON that jansson does not take, and Jackson does. */
static bool
is_beyond_jansson(const char *error)
{
	static const char *const starts[] = { "duplicate object key", "too big",
		"real number overflow", "\\u0000 is not allowed",
		"invalid Unicode" };

	for (size_t i = 0; i < ARRAY_LEN(starts); i++)
		if (strncmp(error, starts[i], strlen(starts[i])) == 0)
			return true;
	return false;
}

static void
differ(struct check *c, const struct check_rule *rule, const char *what)
{
	sandbox_violation_add(
	    c->violations, VIOLATION_JUDGES, "%s: %s", rule->task, what);
}

static void
compare_events(
    struct check *c, const struct check_rule *rule, const struct json *array)
{
	if (json_size(array) != c->count) {
		differ(c, rule, "not the same number of events");
		return;
	}
	for (size_t i = 0; i < c->count; i++) {
		const struct json *event = json_at(array, i), *time;
		int64_t ms;
		bool is_outside;

		time = json_get(event, rule->column);
		if (!json_is_object(event))
			differ(c, rule, "an event that is no object");
		if (!json_is_int(time))
			continue; /* a violation of its own */
		ms = json_int(time, 0);
		is_outside = rule->has_interval &&
		    (ms < rule->interval.start || ms >= rule->interval.end);
		if (is_outside != c->events[i].is_outside)
			differ(c, rule, "not the same timestamp");
	}
}

static void
judge(struct check *c, const struct check_rule *rule, const char *body,
    size_t bytes, enum check_result first)
{
	struct json_error error;
	struct json *array = json_parse(body, bytes, &error);

	if (array == NULL && is_beyond_jansson(error.text))
		c->unjudged++;
	else if ((array == NULL || !json_is_array(array)) &&
	    first != CHECK_BODY)
		differ(c, rule, array == NULL ? error.text : "not an array");
	else if (array != NULL && json_is_array(array) && first == CHECK_OK)
		compare_events(c, rule, array);
	json_free(&array);
}

enum check_result
sandbox_check_body(struct check *c, const struct check_rule *rule,
    const char *body, size_t bytes)
{
	enum check_result result = scan_body(c, rule, body, bytes);

	if (c->is_full)
		judge(c, rule, body, bytes, result);
	return result;
}
