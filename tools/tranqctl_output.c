/*
 * tranqctl_output - the status document as tables for people
 *
 * Process: tranqctl.
 */
#include "tranqctl_output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "panic.h"

#define CELL_BYTES 128
#define COLUMNS_MAX 12
#define SHORT_BYTES 32

/*
 * Values.
 */

/* "1,234,567" */
static const char *
count_text(int64_t n, char to[SHORT_BYTES])
{
	char digits[SHORT_BYTES];
	int bytes = snprintf(
	    digits, sizeof digits, "%lld", (long long)(n < 0 ? -n : n));
	char *out = to;

	if (n < 0)
		*out++ = '-';
	for (int i = 0; i < bytes; i++) {
		if (i > 0 && (bytes - i) % 3 == 0)
			*out++ = ',';
		*out++ = digits[i];
	}
	*out = '\0';
	return to;
}

/* A member of counts; "-" when it is not there. */
static const char *
count_of(const struct json *o, const char *name, char to[SHORT_BYTES])
{
	const struct json *value = json_get(o, name);

	if (!json_is_number(value))
		return strcpy(to, "-");
	return count_text((int64_t)json_number(value, 0), to);
}

/* "350.2 KiB" */
static const char *
bytes_text(int64_t n, char to[SHORT_BYTES])
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB" };
	double value = (double)n / 1024;
	size_t unit = 0;

	if (n < 1024) {
		snprintf(to, SHORT_BYTES, "%lld bytes", (long long)n);
		return to;
	}
	for (; value >= 1024 && unit + 1 < ARRAY_LEN(units); unit++)
		value /= 1024;
	snprintf(to, SHORT_BYTES, "%.1f %s", value, units[unit]);
	return to;
}

/* "250 ms", "12.5 s", "3 min 20 s", "5 h 2 min", "3 d 4 h" */
static const char *
duration_text(int64_t ms, char to[SHORT_BYTES])
{
	int64_t s = ms / 1000;

	if (ms < 1000)
		snprintf(to, SHORT_BYTES, "%lld ms", (long long)ms);
	else if (s < 60)
		snprintf(to, SHORT_BYTES, "%lld.%lld s", (long long)s,
		    (long long)(ms % 1000 / 100));
	else if (s < 3600)
		snprintf(to, SHORT_BYTES, "%lld min %lld s",
		    (long long)(s / 60), (long long)(s % 60));
	else if (s < 86400)
		snprintf(to, SHORT_BYTES, "%lld h %lld min",
		    (long long)(s / 3600), (long long)(s % 3600 / 60));
	else
		snprintf(to, SHORT_BYTES, "%lld d %lld h",
		    (long long)(s / 86400), (long long)(s % 86400 / 3600));
	return to;
}

static int64_t
now_of(const struct json *document)
{
	return json_get_int(json_get(document, "supervisor"), "now", 0);
}

/* Adds a text from outside: no control characters reach the terminal. */
static void
add_clean(struct buf *to, const char *text)
{
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		buf_add(to, c < ' ' || c == 0x7f ? "?" : text, 1);
	}
}

/*
 * Tables: the widest cell decides a column's width.
 */

struct table {
	unsigned columns, rows;
	const char *alignment; /* 'l' or 'r', one a column */
	char (*cells)[CELL_BYTES];
};

static void
begin_table(struct table *t, const char *alignment)
{
	*t = (struct table){ .alignment = alignment,
		.columns = (unsigned)strlen(alignment) };
	must(t->columns <= COLUMNS_MAX);
}

/* A row of cells, `text` with tabs between them. */
static void
add_row(struct table *t, const char *text)
{
	unsigned first = t->rows++ * t->columns;

	t->cells =
	    must_realloc(t->cells, (first + t->columns) * sizeof t->cells[0]);
	for (unsigned i = 0; i < t->columns; i++) {
		size_t bytes = strcspn(text, "\t");

		snprintf(
		    t->cells[first + i], CELL_BYTES, "%.*s", (int)bytes, text);
		text += bytes + (text[bytes] == '\t');
	}
}

static void
measure(const struct table *t, size_t widths[COLUMNS_MAX])
{
	memset(widths, 0, COLUMNS_MAX * sizeof widths[0]);
	for (unsigned i = 0; i < t->rows * t->columns; i++)
		widths[i % t->columns] =
		    MAX_OF(widths[i % t->columns], strlen(t->cells[i]));
}

static void
add_cell(struct buf *to, const char *cell, size_t width, char alignment)
{
	size_t bytes = strlen(cell);

	for (size_t i = bytes; alignment == 'r' && i < width; i++)
		buf_add(to, " ", 1);
	add_clean(to, cell);
	for (size_t i = bytes; alignment == 'l' && i < width; i++)
		buf_add(to, " ", 1);
}

static void
print_table(struct table *t, struct buf *to)
{
	size_t widths[COLUMNS_MAX];

	measure(t, widths);
	for (unsigned row = 0; row < t->rows; row++) {
		for (unsigned i = 0; i < t->columns; i++) {
			if (i > 0)
				buf_add_text(to, "  ");
			add_cell(to, t->cells[row * t->columns + i], widths[i],
			    t->alignment[i]);
		}
		while (to->used > 0 && to->bytes[to->used - 1] == ' ')
			to->used--;
		buf_add_text(to, "\n");
	}
	free(t->cells);
}

/*
 * Parts of the page.
 */

static void
print_supervisor(const struct json *document, struct buf *to)
{
	const struct json *s = json_get(document, "supervisor");
	const struct json *last = json_get(s, "lastReload");
	char up[SHORT_BYTES], ago[SHORT_BYTES];

	buf_addf(to, "tranqd %s, pid %lld, %s, up %s, HTTP port %lld",
	    json_get_text(s, "version", "-"),
	    (long long)json_get_int(s, "pid", 0),
	    json_get_text(s, "state", "-"),
	    duration_text(json_get_int(s, "uptimeMs", 0), up),
	    (long long)json_get_int(s, "httpPort", 0));
	if (json_get(s, "httpsPort") != NULL)
		buf_addf(to, ", HTTPS port %lld",
		    (long long)json_get_int(s, "httpsPort", 0));
	buf_add_text(to, "\n");
	buf_addf(
	    to, "configuration %s", json_get_text(s, "configuration", "-"));
	if (json_get_bool(s, "reloading", false))
		buf_add_text(to, ", being reloaded");
	buf_add_text(to, "\n");
	if (json_get_int(s, "logLinesLost", 0) > 0)
		buf_addf(to, "log: %lld lines could not be written\n",
		    (long long)json_get_int(s, "logLinesLost", 0));
	if (!json_is_object(last))
		return;
	buf_addf(to, "last reload %s ago %s: ",
	    duration_text(now_of(document) - json_get_int(last, "at", 0), ago),
	    json_get_bool(last, "ok", false) ? "was good" : "FAILED");
	add_clean(to, json_get_text(last, "text", ""));
	buf_add_text(to, "\n");
}

static void
add_receiver_row(struct table *t, const struct json *r)
{
	const struct json *c = json_get(r, "counters");
	const struct json *rates = json_get(r, "rates");
	char row[512], n[7][SHORT_BYTES], in[SHORT_BYTES];

	snprintf(row, sizeof row,
	    "%lld\t%lld\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s/s",
	    (long long)json_get_int(r, "index", 0),
	    (long long)json_get_int(r, "pid", 0),
	    json_get_text(r, "state", "-"), count_of(r, "restarts", n[0]),
	    count_of(r, "connections", n[1]), count_of(c, "requests", n[2]),
	    count_of(c, "answers2xx", n[3]), count_of(c, "answers4xx", n[4]),
	    count_of(c, "answers5xx", n[5]),
	    count_of(rates, "requestsPerSecond", n[6]),
	    bytes_text(
		(int64_t)json_number(json_get(rates, "bytesInPerSecond"), 0),
		in));
	add_row(t, row);
}

static void
print_last_death(const struct json *worker, int64_t now, struct buf *to)
{
	const struct json *d = json_get(worker, "lastDeath");
	const char *words = json_get_text(d, "lastWords", "");
	char ago[SHORT_BYTES], lived[SHORT_BYTES];

	if (!json_is_object(d))
		return;
	buf_addf(to, "  last death  %s ago: pid %lld, ",
	    duration_text(now - json_get_int(d, "at", 0), ago),
	    (long long)json_get_int(d, "pid", 0));
	add_clean(to, json_get_text(d, "how", "-"));
	buf_addf(to, " after %s\n",
	    duration_text(json_get_int(d, "livedMs", 0), lived));
	if (words[0] == '\0')
		return;
	buf_add_text(to, "              ");
	add_clean(to, words);
	buf_add_text(to, "\n");
}

/* One that hangs, or that is to be started again. */
static void
print_life(const struct json *child, struct buf *to)
{
	const char *silence = json_get_text(child, "silence", "");
	char n[SHORT_BYTES];

	if (silence[0] != '\0') {
		buf_add_text(to, "  SILENT      ");
		add_clean(to, silence);
		buf_add_text(to, "\n");
	}
	if (json_get(child, "nextStartMs") != NULL)
		buf_addf(to, "  next start  in %s\n",
		    duration_text(json_get_int(child, "nextStartMs", 0), n));
}

/* Why a receiver, or the feed, is not there. */
static void
print_absence(const struct json *r, int64_t now, struct buf *to)
{
	bool is_ready =
	    strcmp(json_get_text(r, "state", "ready"), "ready") == 0;

	if (is_ready ? json_get(r, "silence") == NULL
		     : !json_is_object(json_get(r, "lastDeath")))
		return;
	if (json_get(r, "index") != NULL)
		buf_addf(to, "receiver %lld\n",
		    (long long)json_get_int(r, "index", 0));
	else
		buf_add_text(to, "feed\n");
	if (!is_ready)
		print_last_death(r, now, to);
	print_life(r, to);
}

static void
print_receivers(const struct json *document, struct buf *to)
{
	const struct json *all = json_get(document, "receivers");
	struct table t;

	begin_table(&t, "rrlrrrrrrrr");
	add_row(&t,
	    "RECEIVER\tPID\tSTATE\tRESTARTS\tCONNS\tREQUESTS\t2XX\t4XX\t5XX\t"
	    "REQ/S\tBYTES IN");
	for (size_t i = 0; i < json_size(all); i++)
		add_receiver_row(&t, json_at(all, i));
	print_table(&t, to);
	for (size_t i = 0; i < json_size(all); i++)
		print_absence(json_at(all, i), now_of(document), to);
}

static void
add_topic_rows(struct table *t, const struct json *topic)
{
	const struct json *all = json_get(topic, "partitions");

	for (size_t i = 0; i < json_size(all); i++) {
		const struct json *p = json_at(all, i);
		int64_t end = json_get_int(p, "end", 0);
		int64_t asked = json_get_int(p, "asked", -1);
		char row[512], n[SHORT_BYTES] = "-", at[32] = "-";

		if (asked >= 0) {
			snprintf(at, sizeof at, "%lld", (long long)asked);
			(void)count_text(end - asked, n);
		}
		snprintf(row, sizeof row, "%s\t%lld\t%lld\t%lld\t%s\t%s",
		    json_get_text(topic, "name", "-"),
		    (long long)json_get_int(p, "index", 0),
		    (long long)json_get_int(p, "start", 0), (long long)end, at,
		    n);
		add_row(t, row);
	}
}

/* From where Druid pulls; nothing when it does not. */
static void
print_feed(const struct json *document, struct buf *to)
{
	const struct json *feed = json_get(document, "feed");
	const struct json *counters = json_get(feed, "counters");
	const struct json *log = json_get(feed, "log");
	const struct json *topics = json_get(log, "topics");
	int64_t left_out = json_get_int(log, "topicsLeftOut", 0);
	char row[256], n[5][SHORT_BYTES];
	struct table t;

	if (!json_is_object(feed))
		return;
	begin_table(&t, "rrlrrrrr");
	add_row(&t,
	    "FEED\tPID\tSTATE\tRESTARTS\tCONNS\tFETCHES\tERRORS\tBYTES "
	    "OUT");
	snprintf(row, sizeof row, "%lld\t%lld\t%s\t%s\t%s\t%s\t%s\t%s",
	    (long long)json_get_int(feed, "port", 0),
	    (long long)json_get_int(feed, "pid", 0),
	    json_get_text(feed, "state", "-"), count_of(feed, "restarts", n[0]),
	    count_of(feed, "connections", n[1]),
	    count_of(counters, "fetches", n[2]),
	    count_of(counters, "fetchErrors", n[3]),
	    count_of(counters, "recordBytes", n[4]));
	add_row(&t, row);
	print_table(&t, to);
	print_absence(feed, now_of(document), to);
	if (left_out > 0)
		buf_addf(to, "%lld topics are too many to be listed\n",
		    (long long)left_out);
	if (json_size(topics) == 0)
		return;
	begin_table(&t, "lrrrrr");
	add_row(&t, "TOPIC\tPARTITION\tSTART\tEND\tASKED\tBEHIND");
	for (size_t i = 0; i < json_size(topics); i++)
		add_topic_rows(&t, json_at(topics, i));
	print_table(&t, to);
}

static const char *
accounts_text(const struct json *accounts)
{
	if (!json_is_bool(json_get(accounts, "holds")))
		return "-";
	return json_get_bool(accounts, "holds", false) ? "hold" : "DO NOT HOLD";
}

static int64_t
dropped_in_all(const struct json *accounts)
{
	const struct json *d = json_get(accounts, "dropped");
	int64_t sum = 0;

	for (struct json_member *m = json_first(d); m != NULL;
	     m = json_next(d, m))
		sum += json_int(json_member(m), 0);
	return sum;
}

/* A worker that drains has nothing more to be said of than that. */
static const char *
worker_state(const struct json *src)
{
	static const char *const drains[] = { NULL, "draining", "drained" };
	const char *state =
	    json_get_text(json_get(src, "worker"), "state", "-");
	int64_t drain = json_get_int(json_get(src, "counters"), "drain", 0);

	return strcmp(state, "ready") == 0 && drain > 0 &&
		drain < (int64_t)ARRAY_LEN(drains)
	    ? drains[drain]
	    : state;
}

static void
add_source_row(struct table *t, const struct json *src)
{
	const struct json *worker = json_get(src, "worker");
	const struct json *rates = json_get(src, "rates");
	const struct json *accounts = json_get(src, "accounts");
	char row[512], n[7][SHORT_BYTES];

	snprintf(row, sizeof row,
	    "%s\t%s\t%lld\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s",
	    json_get_text(src, "name", "-"), worker_state(src),
	    (long long)json_get_int(worker, "pid", 0),
	    count_of(worker, "restarts", n[0]),
	    count_of(rates, "receivedPerSecond", n[1]),
	    count_of(rates, "sentPerSecond", n[2]),
	    count_of(accounts, "received", n[3]),
	    count_of(accounts, "sent", n[4]),
	    count_text(dropped_in_all(accounts), n[5]),
	    count_of(accounts, "spool", n[6]), accounts_text(accounts));
	add_row(t, row);
}

static void
print_sources(const struct json *document, struct buf *to)
{
	const struct json *all = json_get(document, "dataSources");
	struct table t;

	begin_table(&t, "llrrrrrrrrl");
	add_row(&t,
	    "DATASOURCE\tWORKER\tPID\tRESTARTS\tIN/S\tSENT/S\tRECEIVED\tSENT\t"
	    "DROPPED\tIN SPOOL\tACCOUNTS");
	for (size_t i = 0; i < json_size(all); i++)
		add_source_row(&t, json_at(all, i));
	print_table(&t, to);
}

/*
 * One dataSource in detail; lines that would only say "none" are left out.
 */

static void
print_events(const struct json *accounts, struct buf *to)
{
	const struct json *d = json_get(accounts, "dropped");
	char n[3][SHORT_BYTES];

	buf_addf(to, "  events      %s received, %s sent, %s in rings",
	    count_of(accounts, "received", n[0]),
	    count_of(accounts, "sent", n[1]),
	    count_of(accounts, "inRings", n[2]));
	for (struct json_member *m = json_first(d); m != NULL;
	     m = json_next(d, m)) {
		if (json_int(json_member(m), 0) == 0)
			continue;
		buf_addf(to, ", %s dropped (",
		    count_text(json_int(json_member(m), 0), n[0]));
		add_clean(to, json_member_name(m));
		buf_add_text(to, ")");
	}
	if (json_get_int(accounts, "deadLetters", 0) > 0)
		buf_addf(to, ", %s dead letters",
		    count_of(accounts, "deadLetters", n[0]));
	if (json_get_int(accounts, "archived", 0) > 0)
		buf_addf(
		    to, ", %s archived", count_of(accounts, "archived", n[0]));
	if (json_get_int(accounts, "appended", 0) > 0)
		buf_addf(
		    to, ", %s appended", count_of(accounts, "appended", n[0]));
	if (json_get_int(accounts, "quarantined", 0) > 0)
		buf_addf(to, ", %s quarantined",
		    count_of(accounts, "quarantined", n[0]));
	buf_add_text(to, "\n");
	if (!json_get_bool(accounts, "holds", true))
		buf_addf(to,
		    "  accounts    DO NOT HOLD: %s events are unaccounted "
		    "for\n",
		    count_of(accounts, "difference", n[0]));
}

static const char *
stopped_text(int64_t reason)
{
	static const char *const reasons[] = { NULL,
		"takes no events: the spool or its disk is full",
		"takes no events: the disk fails",
		"takes no events: tranqctl drain" };

	if (reason <= 0)
		return NULL;
	return reason < (int64_t)ARRAY_LEN(reasons) ? reasons[reason]
						    : "takes no events";
}

static void
print_spool(const struct json *src, struct buf *to)
{
	const struct json *c = json_get(src, "counters");
	const char *stopped = stopped_text(json_get_int(c, "stopped", 0));
	int64_t age = json_get_int(src, "oldestAgeMs", 0);
	char n[4][SHORT_BYTES];

	buf_addf(to, "  spool       %s batches, %s events, %s",
	    count_of(c, "spoolBatches", n[0]), count_of(c, "spoolEvents", n[1]),
	    bytes_text(json_get_int(c, "spoolBytes", 0), n[2]));
	if (age > 0)
		buf_addf(to, ", oldest %s", duration_text(age, n[3]));
	buf_addf(
	    to, "; %s batches on their way\n", count_of(c, "inFlight", n[0]));
	if (stopped != NULL)
		buf_addf(to, "  STOPPED     %s\n", stopped);
}

static void
print_refused(const struct json *src, struct buf *to)
{
	const struct json *r = json_get(src, "requests");
	char n[3][SHORT_BYTES];

	if (json_get_int(r, "refusedFull", 0) == 0 &&
	    json_get_int(r, "refusedDraining", 0) == 0 &&
	    json_get_int(r, "refusedMalformed", 0) == 0)
		return;
	buf_addf(to,
	    "  requests    %s taken, %s refused (full), %s refused "
	    "(malformed)",
	    count_of(r, "requests", n[0]), count_of(r, "refusedFull", n[1]),
	    count_of(r, "refusedMalformed", n[2]));
	if (json_get_int(r, "refusedDraining", 0) > 0)
		buf_addf(to, ", %s refused (draining)",
		    count_of(r, "refusedDraining", n[0]));
	buf_add_text(to, "\n");
}

static void
print_task(const struct json *task, struct buf *to)
{
	const char *location = json_get_text(task, "location", "");
	const char *trouble = json_get_text(task, "trouble", "");

	buf_add_text(to, "              task ");
	add_clean(to, json_get_text(task, "id", "-"));
	buf_add_text(to, " ");
	add_clean(to, json_get_text(task, "state", "-"));
	if (location[0] != '\0') {
		buf_add_text(to, " at ");
		add_clean(to, location);
	}
	if (trouble[0] != '\0') {
		buf_add_text(to, ": ");
		add_clean(to, trouble);
	}
	buf_add_text(to, "\n");
}

static void
print_beam(const struct json *beam, struct buf *to)
{
	const struct json *tasks = json_get(beam, "tasks");
	int64_t waiting = json_get_int(beam, "waitingBatches", 0);
	char n[SHORT_BYTES];

	buf_add_text(to, "  beam        ");
	add_clean(to, json_get_text(beam, "interval", "-"));
	buf_addf(to, " partition %s%s, ", count_of(beam, "partition", n),
	    json_get_bool(beam, "anyTime", false) ? " of any time" : "");
	add_clean(to, json_get_text(beam, "state", "-"));
	if (waiting > 0)
		buf_addf(to, ", %s batches wait", count_text(waiting, n));
	buf_add_text(to, "\n");
	for (size_t i = 0; i < json_size(tasks); i++)
		print_task(json_at(tasks, i), to);
}

static void
print_line(const char *label, const char *text, struct buf *to)
{
	if (text == NULL || text[0] == '\0')
		return;
	buf_addf(to, "  %-10s  ", label);
	add_clean(to, text);
	buf_add_text(to, "\n");
}

static void
print_parcel(const struct json *parcel, struct buf *to)
{
	char n[SHORT_BYTES];

	buf_addf(to, "              %s events ", count_of(parcel, "events", n));
	add_clean(to, json_get_text(parcel, "kind", "-"));
	buf_add_text(to, " ");
	add_clean(to, json_get_text(parcel, "task", ""));
	buf_add_text(to, " ");
	add_clean(to, json_get_text(parcel, "state", "-"));
	if (json_get(parcel, "note") != NULL) {
		buf_add_text(to, ": ");
		add_clean(to, json_get_text(parcel, "note", ""));
	}
	buf_add_text(to, "\n");
}

/* What is for batch tasks or files: late events, or all of them. */
static void
print_piles(const struct json *late, bool all, struct buf *to)
{
	const struct json *waiting = json_get(late, "waiting");
	const struct json *parcels = json_get(late, "parcels");
	char n[2][SHORT_BYTES];

	if (!json_is_object(late))
		return;
	buf_addf(to, "  %-12s", all ? "append" : "late");
	if (!all) {
		add_clean(to, json_get_text(late, "policy", "-"));
		buf_add_text(to, ", ");
	}
	buf_addf(to, "%s events of %s intervals wait",
	    count_of(waiting, "events", n[0]),
	    count_of(waiting, "intervals", n[1]));
	if (json_get_int(waiting, "early", 0) > 0)
		buf_addf(to, " (%s of intervals that are not over)",
		    count_of(waiting, "early", n[0]));
	if (json_get_int(late, "unread", 0) > 0)
		buf_addf(to, ", Druid could not read %s",
		    count_of(late, "unread", n[0]));
	buf_add_text(to, "\n");
	for (size_t i = 0; i < json_size(parcels); i++)
		print_parcel(json_at(parcels, i), to);
	if (json_get(late, "note") != NULL) {
		buf_add_text(to, "              ");
		add_clean(to, json_get_text(late, "note", ""));
		buf_add_text(to, "\n");
	}
}

static void
print_log(const struct json *log, struct buf *to)
{
	const struct json *all = json_get(log, "partitions");

	for (size_t i = 0; i < json_size(all); i++) {
		const struct json *p = json_at(all, i);

		buf_addf(to, "  %-12spartition %lld: offsets %lld to %lld",
		    i == 0 ? "log" : "",
		    (long long)json_get_int(p, "partition", 0),
		    (long long)json_get_int(p, "start", 0),
		    (long long)json_get_int(p, "end", 0));
		if (json_get(p, "committed") != NULL)
			buf_addf(to, ", committed to %lld",
			    (long long)json_get_int(p, "committed", 0));
		buf_add_text(to, "\n");
	}
}

/* Who pulls from the log. */
static void
print_puller(const struct json *s, struct buf *to)
{
	const struct json *errors = json_get(s, "errors");
	char n[3][SHORT_BYTES];

	if (!json_is_object(s))
		return;
	buf_add_text(to, "  supervisor  ");
	if (json_get(s, "id") != NULL) {
		add_clean(to, json_get_text(s, "id", ""));
		buf_add_text(to, " ");
	}
	buf_addf(to, "(%s)", json_get_text(s, "care", "-"));
	if (json_get(s, "state") != NULL) {
		buf_add_text(to, ": ");
		add_clean(to, json_get_text(s, "state", "-"));
		buf_addf(to, ", %s behind, %s tasks read, %s publish",
		    count_of(s, "lag", n[0]), count_of(s, "reading", n[1]),
		    count_of(s, "publishing", n[2]));
	}
	buf_add_text(to, "\n");
	print_line("", json_get_text(s, "waits", NULL), to);
	for (size_t i = 0; i < json_size(errors); i++)
		print_line("", json_text(json_at(errors, i), NULL), to);
}

/* The way to Druid; of delivery.mode auto also why. */
static void
print_delivery(const struct json *delivery, struct buf *to)
{
	static const char *const more[] = { "better", "silence" };

	if (!json_is_object(delivery))
		return;
	buf_addf(to, "  %-12s", "delivery");
	add_clean(to, json_get_text(delivery, "mode", "-"));
	if (json_get_bool(delivery, "auto", false)) {
		buf_add_text(to, " (auto)");
		if (json_get(delivery, "why") != NULL)
			buf_add_text(to, ": ");
		add_clean(to, json_get_text(delivery, "why", ""));
	}
	buf_add_text(to, "\n");
	for (size_t i = 0; i < ARRAY_LEN(more); i++)
		print_line("", json_get_text(delivery, more[i], NULL), to);
}

/* Of a topic that several tranqds share: which partition is ours, and whose the
 * others are. */
static void
print_share(const struct json *share, struct buf *to)
{
	const struct json *all = json_get(share, "members");
	int64_t own = json_get_int(share, "partition", -1);

	if (!json_is_object(share))
		return;
	if (own < 0)
		buf_add_text(to, "  shared      has no partition yet");
	else
		buf_addf(to, "  shared      partition %lld of %zu is ours%s",
		    (long long)own, json_size(all),
		    json_get_bool(share, "serves", false) ? ""
							  : ", and NOT SERVED");
	buf_addf(to, "%s\n",
	    json_get_bool(share, "manages", false)
		? "; we see to the supervisor"
		: "");
	for (size_t i = 0; i < json_size(all); i++) {
		const struct json *m = json_at(all, i);

		if (json_get_int(m, "partition", 0) == own)
			continue;
		buf_addf(to, "              partition %lld at ",
		    (long long)json_get_int(m, "partition", 0));
		add_clean(to, json_get_text(m, "at", "-"));
		buf_add_text(to, ": ");
		add_clean(to, json_get_text(m, "state", "-"));
		buf_add_text(to, "\n");
	}
}

static void
print_druid(const struct json *text, struct buf *to)
{
	const struct json *beams = json_get(text, "beams");
	const struct json *notes = json_get(text, "notes");

	print_delivery(json_get(text, "delivery"), to);
	print_line("overlord", json_get_text(text, "overlord", NULL), to);
	print_line("zookeeper", json_get_text(text, "zookeeper", NULL), to);
	for (size_t i = 0; i < json_size(beams); i++)
		print_beam(json_at(beams, i), to);
	print_log(json_get(text, "log"), to);
	print_share(json_get(text, "share"), to);
	print_puller(json_get(text, "supervisor"), to);
	print_piles(json_get(text, "append"), true, to);
	print_piles(json_get(text, "late"), false, to);
	for (size_t i = 0; i < json_size(notes); i++)
		print_line("note", json_text(json_at(notes, i), NULL), to);
	/* what the daemon could not read as JSON either */
	print_line("says", json_text(text, NULL), to);
}

static void
print_source(const struct json *src, int64_t now, struct buf *to)
{
	const struct json *worker = json_get(src, "worker");

	buf_add_text(to, "\n");
	add_clean(to, json_get_text(src, "name", "-"));
	buf_add_text(to, "\n");
	print_last_death(worker, now, to);
	print_life(worker, to);
	print_events(json_get(src, "accounts"), to);
	print_spool(src, to);
	print_refused(src, to);
	print_druid(json_get(src, "beams"), to);
}

void
output_status(const struct json *document, struct buf *to)
{
	const struct json *all = json_get(document, "dataSources");

	print_supervisor(document, to);
	buf_add_text(to, "\n");
	print_receivers(document, to);
	buf_add_text(to, "\n");
	print_feed(document, to);
	if (json_is_object(json_get(document, "feed")))
		buf_add_text(to, "\n");
	print_sources(document, to);
	for (size_t i = 0; i < json_size(all); i++)
		print_source(json_at(all, i), now_of(document), to);
}
