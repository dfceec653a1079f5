/*
 * body - a request's bytes become a plan: its events, by dataSource
 *
 * Process: receiver. Pure but for the memory that it keeps.
 *
 * The whole body is read before anything is taken, so the plan holds where
 * each event lies and what becomes of it: 32 bytes an event.
 */
#include "body.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "panic.h"

#define FIRST_EVENTS 1024u
#define KEEP_EVENTS 65536u /* between requests */
#define WHY_BYTES 384u
#define TIME_BYTES_MAX 256u /* of a text that may be a time */

void
body_init(struct body_reader *r)
{
	memset(r, 0, sizeof *r);
}

void
body_free_plan(struct body_plan *p)
{
	free(p->events);
	free(p->shares);
	free(p->ordinals);
	memset(p, 0, sizeof *p);
}

void
body_fini(struct body_reader *r)
{
	body_free_plan(&r->plan);
	drops_free(&r->drops);
	if (r->is_ready)
		json_scan_fini(&r->scan);
	memset(r, 0, sizeof *r);
}

void
body_take_plan(struct body_reader *r, struct body_plan *to)
{
	*to = r->plan;
	memset(&r->plan, 0, sizeof r->plan);
}

void
body_take_drops(struct body_reader *r, struct drops *to)
{
	*to = r->drops;
	drops_init(&r->drops, 0);
}

size_t
body_plan_bytes(const struct body_plan *p)
{
	return p->event_capacity * sizeof p->events[0] +
	    p->share_capacity * sizeof p->shares[0] +
	    p->ordinal_capacity * sizeof p->ordinals[0];
}

unsigned
body_digits(int64_t ms)
{
	uint64_t n = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms;
	unsigned digits = ms < 0 ? 2 : 1;

	if (n >= 1000000000000 && n < 10000000000000) /* 2001 to 2286 */
		return digits + 12;
	for (; n >= 10; n /= 10)
		digits++;
	return digits;
}

uint32_t
body_event_bytes(const struct body_event *e, const struct settings_ds *ds)
{
	uint32_t digits = body_digits(e->ms);

	if (e->time_bytes > 0)
		return e->bytes - e->time_bytes + digits;
	return e->bytes + (uint32_t)ds->member_bytes + digits + e->time_at;
}

PRINTF_LIKE(3, 4)
static bool
fail(struct body_reader *r, unsigned status, const char *format, ...)
{
	va_list args;
	int used;

	va_start(args, format);
	used = vsnprintf(r->error, sizeof r->error - 1, format, args);
	va_end(args);
	must(used >= 0);
	used = MIN_OF(used, (int)sizeof r->error - 2);
	memcpy(r->error + used, "\n", 2);
	r->status = status;
	return false;
}

/* The event that is read now, as its sender counts: "event[2]", or in text
 * "line[3]". */
static const char *
place(struct body_reader *r)
{
	const struct body_input *in = r->in;
	uint32_t index = r->scan.event_index;

	if (in->lines == NULL)
		snprintf(r->place, sizeof r->place, "event[%u]", index);
	else
		snprintf(r->place, sizeof r->place, "line[%llu]",
		    (unsigned long long)line_parser_line(
			in->to->lines, in->lines, in->lines_bytes, index));
	return r->place;
}

/* "Malformed …: event[2]", or of any text "Malformed string on line[3]", as
 * Tranquility says it. */
static bool
fail_malformed(struct body_reader *r, const char *what, const char *why)
{
	if (r->in->lines != NULL)
		return fail(
		    r, 400, "Malformed string on %s: %s", place(r), why);
	return fail(r, 400, "Malformed %s: %s: %s", what, place(r), why);
}

void
body_show(const char *text, size_t bytes, char out[static BODY_SHOWN_BYTES])
{
	size_t n = MIN_OF(bytes, BODY_SHOWN_BYTES - 4);

	while (n < bytes && n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
		n--;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)text[i];

		out[i] = c < 0x20 || c == 0x7f ? '?' : text[i];
	}
	memcpy(out + n, bytes > n ? "..." : "", bytes > n ? 4 : 1);
}

/* The last one of this name: names may repeat, the last one counts. */
static const struct json_field *
find_field(const struct json_scan *s, const char *name, size_t bytes)
{
	for (unsigned i = s->field_count; i-- > 0;)
		if (json_name_is(s, &s->fields[i], name, bytes))
			return &s->fields[i];
	return NULL;
}

static bool
fail_ds(struct body_reader *r, const char *name, size_t bytes)
{
	char shown[BODY_SHOWN_BYTES];

	body_show(name, bytes, shown);
	return fail(r, 400, "No definition for dataSource '%s'", shown);
}

static bool
fail_destination(struct body_reader *r, const char *what)
{
	return fail(r, 400, "Missing 'dataSource' or 'feed': event[%u]%s",
	    r->scan.event_index, what);
}

/* The dataSource that the event names. */
static struct settings_ds *
destination(struct body_reader *r, struct settings *settings)
{
	const struct json_scan *s = &r->scan;
	const struct json_field *f = find_field(s, "dataSource", 10);
	char name[CONF_DS_NAME_MAX * 6];
	const char *raw;
	size_t bytes;
	struct settings_ds *ds;

	if (f == NULL || f->type == SCAN_NULL)
		f = find_field(s, "feed", 4);
	if (f == NULL || f->type == SCAN_NULL) {
		fail_destination(r, "");
		return NULL;
	}
	if (f->type != SCAN_STRING) {
		fail_destination(r, " has one that is not a string");
		return NULL;
	}
	raw = s->body + f->value;
	bytes = f->value_bytes;
	if (f->value_escaped && bytes <= sizeof name) {
		bytes = json_unescape(raw, bytes, name);
		raw = name;
	}
	if ((ds = settings_find(settings, raw, bytes)) == NULL)
		fail_ds(r, raw, bytes);
	return ds;
}

static bool
fail_time(struct body_reader *r, const struct settings_ds *ds,
    const struct json_field *f)
{
	const char *column = ds->conf->timestamp_column;
	char value[BODY_SHOWN_BYTES], name[BODY_SHOWN_BYTES];
	const char *quote = f != NULL && f->type == SCAN_STRING ? "'" : "";
	char why[WHY_BYTES];

	r->at_fault = ds;
	body_show(column, ds->column_bytes, name);
	if (f == NULL) {
		snprintf(why, sizeof why, "column '%s' is missing", name);
		return fail_malformed(r, "timestamp", why);
	}
	body_show(r->scan.body + f->value, f->value_bytes, value);
	snprintf(why, sizeof why,
	    "column '%s' holds %s%s%s, which is no time in format %.*s", name,
	    quote, value, quote, (int)BODY_SHOWN_BYTES - 4,
	    timestamp_format_name(ds->format));
	return fail_malformed(r, "timestamp", why);
}

static bool
read_time(const struct json_scan *s, const struct settings_ds *ds,
    const struct json_field *f, int64_t *ms)
{
	const char *value = s->body + f->value;
	size_t bytes = f->value_bytes;
	char text[TIME_BYTES_MAX];

	if (UNLIKELY(f->value_escaped && f->type == SCAN_STRING)) {
		if (bytes > sizeof text)
			return false;
		bytes = json_unescape(value, bytes, text);
		value = text;
	}
	if (LIKELY(f->type == SCAN_STRING))
		return timestamp_read_text(ds->format, value, bytes, ms);
	return f->type == SCAN_NUMBER &&
	    timestamp_read_number(ds->format, value, bytes, ms);
}

/* The event's time, and what of its text is replaced by it. */
static bool
take_time(
    struct body_reader *r, const struct settings_ds *ds, struct body_event *e)
{
	const struct json_scan *s = &r->scan;
	const char *column = ds->conf->timestamp_column;
	const struct json_field *f = find_field(s, column, ds->column_bytes);

	if (UNLIKELY((f == NULL || f->type == SCAN_NULL) && ds->has_missing)) {
		e->ms = ds->missing_ms;
		e->time_at = f != NULL ? f->value : s->field_count > 0;
		e->time_bytes = f != NULL ? f->value_bytes : 0;
		return true;
	}
	if (UNLIKELY(f == NULL || !read_time(s, ds, f, &e->ms)))
		return fail_time(r, ds, f);
	e->time_at = f->value;
	e->time_bytes = f->value_bytes;
	if (f->type == SCAN_STRING) {
		e->time_at--; /* the quotes go too */
		e->time_bytes += 2;
	}
	return true;
}

/* Years 0 to 9999: Druid compares the times of segments as text, which goes
 * wrong beyond, and a task that makes such a segment may fail with all it has. */
static const struct interval druid_times = { -62167219200000, 253402300800000 };

/* window_accepts for many events: the buckets that it allows lie in a row, so
 * an event is accepted when it lies between the first and the last. */
static bool
in_window(struct settings_ds *ds, int64_t now_ms, int64_t event_ms)
{
	if (ds->window_now != now_ms) {
		ds->window_now = now_ms;
		ds->window = ds->no_window
		    ? druid_times
		    : window_interval(&ds->conf->segment_granularity, now_ms,
			  &ds->conf->window);
	}
	return event_ms >= ds->window.start && event_ms < ds->window.end;
}

/* Whether late.policy can keep an event outside the window: a file takes any
 * time, a task that appends only Druid's years: it would fail with all that it
 * has, or be waited for without end. */
static bool
is_kept(const struct settings_ds *ds, int64_t ms)
{
	if (ds->late == LATE_APPEND)
		return ms >= druid_times.start && ms < druid_times.end;
	/* without a window it is out of all that Druid could keep */
	return ds->late != LATE_DROP && !ds->no_window;
}

static bool
grow_ordinals(struct body_plan *p)
{
	uint32_t *grown =
	    realloc(p->ordinals, p->event_capacity * sizeof p->ordinals[0]);

	if (grown == NULL)
		return false;
	p->ordinals = grown;
	p->ordinal_capacity = p->event_capacity;
	return true;
}

/* Room for one more event or share. */
static bool
grow(struct body_reader *r)
{
	struct body_plan *p = &r->plan;

	if (p->event_count == p->event_capacity) {
		uint32_t n = MAX_OF(p->event_capacity * 2, FIRST_EVENTS);
		void *grown = realloc(p->events, n * sizeof p->events[0]);

		if (grown == NULL)
			return fail(r, 503, "Out of memory");
		p->events = grown;
		p->event_capacity = n;
	}
	if (UNLIKELY(p->is_keyed) && p->event_count >= p->ordinal_capacity &&
	    !grow_ordinals(p))
		return fail(r, 503, "Out of memory");
	if (p->share_count == p->share_capacity) {
		p->share_capacity = MAX_OF(p->share_capacity * 2, 4);
		p->shares = must_realloc(
		    p->shares, p->share_capacity * sizeof p->shares[0]);
	}
	return true;
}

static struct body_share *
share_of(struct body_reader *r, struct settings_ds *ds)
{
	struct body_plan *p = &r->plan;
	struct body_share *s;

	if (ds->mark == r->mark)
		return &p->shares[ds->share];
	settings_follow(ds);
	ds->mark = r->mark;
	ds->share = p->share_count++;
	s = &p->shares[ds->share];
	*s = (struct body_share){ .ds = ds,
		.policy = ds->late,
		.bytes = body_head_bytes(p),
		.block_bytes = body_head_bytes(p) };
	return s;
}

/* Appends the plan's last event to its share. */
static bool
append(struct body_reader *r, struct body_share *s, uint32_t index)
{
	struct body_event *e = &r->plan.events[index];
	uint64_t max = s->ds->block_bytes_max;
	size_t head = body_head_bytes(&r->plan);
	uint64_t bytes =
	    body_record_bytes(&r->plan, body_event_bytes(e, s->ds));

	if (UNLIKELY(head + bytes > max))
		return fail(r, 413,
		    "%s of %u bytes is larger than a quarter of "
		    "tranqd.ringBytes (%llu bytes)",
		    place(r), e->bytes, (unsigned long long)max);
	if (s->block_bytes + bytes > max) {
		s->bytes += head;
		s->block_bytes = head;
	}
	s->bytes += bytes;
	s->block_bytes += bytes;
	if (UNLIKELY(r->plan.is_keyed))
		r->plan.ordinals[index] = r->plan.received - 1;
	if (s->events++ == 0)
		s->first = index;
	else
		r->plan.events[s->last].next = index;
	s->last = index;
	return true;
}

static int32_t
hash(struct settings_ds *ds, const struct json_scan *scan, int64_t ms)
{
	struct interval bucket = granularity_bucket_near(
	    &ds->conf->query_granularity, &ds->query_bucket, ms);

	return partition_hash(&ds->hash, bucket.start, scan->body, scan->fields,
	    scan->field_count);
}

static bool
drop(struct body_reader *r, struct body_share *s, const struct body_event *e,
    enum drop_reason reason)
{
	struct drop d = { .event = r->scan.event_index,
		.reason = reason,
		.timestamp_ms = e->ms };

	s->dropped[reason]++;
	s->dropped_ms = e->ms;
	return drops_add(&r->drops, &d) || fail(r, 503, "Out of memory");
}

/* Late, and not dropped. */
static bool
note_kept(struct body_reader *r, const struct settings_ds *ds,
    const struct body_event *e)
{
	struct drop d = { .event = r->scan.event_index,
		.is_kept = true,
		.policy = ds->late,
		.timestamp_ms = e->ms };

	return drops_add(&r->drops, &d) || fail(r, 503, "Out of memory");
}

static bool
take_event(struct body_reader *r, const struct body_input *in)
{
	struct json_scan *scan = &r->scan;
	struct settings_ds *ds = in->to;
	struct body_share *s;
	struct body_event *e;

	if (!grow(r) ||
	    (ds == NULL && (ds = destination(r, in->settings)) == NULL))
		return false;
	if (UNLIKELY(ds->outlet == NULL))
		return fail(
		    r, 503, "dataSource '%s' is not ready yet", ds->conf->name);
	e = &r->plan.events[r->plan.event_count];
	e->at = scan->event;
	e->bytes = scan->event_bytes & EVENT_BYTES_MAX;
	e->hash = 0;
	if (!take_time(r, ds, e))
		return false;
	r->plan.received++;
	s = share_of(r, ds);
	e->is_late = !in_window(ds, in->now_ms, e->ms);
	if (UNLIKELY(e->is_late)) {
		if (!is_kept(ds, e->ms))
			return drop(r, s, e, DROP_WINDOW);
		s->late++;
		if (!note_kept(r, ds, e))
			return false;
	} else if (ds->is_hashed ||
	    channel_wants_hashes(&ds->outlet->channel)) {
		e->hash = hash(ds, scan, e->ms);
	}
	return append(r, s, r->plan.event_count++);
}

static bool
fail_json(struct body_reader *r)
{
	const struct json_scan *s = &r->scan;

	if (s->is_out_of_memory)
		return fail(r, 503, "Out of memory");
	if (r->in->lines != NULL) /* such as too many members */
		return fail_malformed(r, "JSON", s->error);
	return fail(r, 400, "Malformed JSON: event[%u], at byte %u: %s",
	    s->event_index, s->error_offset, s->error);
}

static void
begin(struct body_reader *r, const struct body_input *in)
{
	struct body_plan *p = &r->plan;

	if (p->event_capacity > KEEP_EVENTS)
		body_free_plan(p);
	r->in = in;
	drops_free(&r->drops);
	r->drops.max = in->drops_max;
	p->event_count = p->received = 0;
	p->share_count = 0;
	p->is_keyed = in->key != NULL;
	if (UNLIKELY(p->is_keyed))
		p->key = *in->key;
	r->status = 0;
	r->at_fault = in->to;
	r->mark++; /* the marks of bodies before are forgotten */
	if (r->is_ready)
		json_scan_reset(&r->scan, in->bytes, in->count);
	else
		json_scan_init(&r->scan, in->bytes, in->count);
	r->is_ready = true;
}

/* The dropped events of a text are told by their lines. */
static void
find_lines(struct body_reader *r, const struct body_input *in)
{
	struct line_walk walk;

	line_parser_walk(in->lines, in->lines_bytes, &walk);
	for (uint32_t i = 0; i < r->drops.count; i++) {
		struct drop *d = &r->drops.list[i];

		d->line = line_parser_walk_to(in->to->lines, &walk, d->event);
	}
}

static bool
take_next(void *context)
{
	struct body_reader *r = context;
	int64_t max = r->in->settings->conf->http_max_request_events;

	if (UNLIKELY(r->plan.received >= max))
		return fail(r, 413,
		    "More events in the request than http.maxRequestEvents "
		    "(%lld)",
		    (long long)max);
	return take_event(r, r->in);
}

static bool
scan_events(struct body_reader *r)
{
	enum json_scan_result result;

	while ((result = json_scan_next(&r->scan)) == JSON_SCAN_EVENT)
		if (UNLIKELY(!take_next(r)))
			return false;
	return result == JSON_SCAN_END || fail_json(r);
}

bool
body_read(struct body_reader *r, const struct body_input *in)
{
	struct json_sink sink = {
		.scan = &r->scan, .take = take_next, .context = r
	};

	begin(r, in);
	if (!(in->write_events != NULL ? in->write_events(in->context, &sink)
				       : scan_events(r)))
		return false;
	if (UNLIKELY(in->lines != NULL && r->drops.count > 0))
		find_lines(r, in);
	return true;
}
