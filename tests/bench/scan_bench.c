/*
 * scan_bench - how fast bodies are read, by format: MB/s of what is sent, and
 * ns an event, one core
 *
 * Over the wiki sample when it is there ($TRANQ_SHARED or ../shared), else
 * over events made here. Each row is what a receiver does to have an event's
 * members, and for text and Smile to have written it out as JSON. Prints,
 * asserts nothing.
 *
 *     scan_bench [ROW]     only rows whose names begin so
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base.h"
#include "json.h"
#include "json_scan.h"
#include "line_parser.h"
#include "panic.h"
#include "smile.h"
#include "smile_writer.h"

#define SAMPLE "data/wikiticker-2015-09-12-sampled.json.gz"
#define BODY_MAX (64u * MiB)
#define ROUNDS 20
#define MADE_EVENTS 40000

struct body {
	char *text;
	size_t bytes;
};

/* How a body becomes JSON; NULL for what is JSON. */
struct format {
	const char *name;
	struct line_parser *lines;
	struct smile *smile;
};

PRINTF_LIKE(1, 2)
static _Noreturn void
die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static const char *only = "";

static bool
is_wanted(const char *row)
{
	return strncmp(row, only, strlen(only)) == 0;
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct body
new_body(void)
{
	struct body b = { calloc(1, BODY_MAX + JSON_SCAN_PADDING), 0 };

	must(b.text != NULL);
	return b;
}

/* False: the sample is not there. */
static bool
read_sample(struct body *b)
{
	const char *shared = getenv("TRANQ_SHARED");
	char command[4096];
	FILE *pipe;

	(void)snprintf(command, sizeof(command),
	    "gzip -dc '%s/" SAMPLE "' 2>/dev/null",
	    shared != NULL ? shared : "../shared");
	pipe = popen(command, "r");
	if (pipe == NULL)
		return false;
	b->bytes = fread(b->text, 1, BODY_MAX, pipe);
	return pclose(pipe) == 0 && b->bytes > 0;
}

static void
make_events(struct body *b)
{
	b->bytes = 0;
	for (unsigned i = 0; i < MADE_EVENTS; i++)
		b->bytes += (size_t)snprintf(b->text + b->bytes,
		    BODY_MAX - b->bytes,
		    "{\"time\":\"2015-09-12T00:%02u:%02u.%03uZ\",\"channel\":"
		    "\"#en.wikipedia\",\"cityName\":null,\"comment\":\"edit "
		    "%u of a page\",\"isNew\":false,\"isRobot\":%s,"
		    "\"namespace\":\"Main\",\"page\":\"Page %u\",\"user\":"
		    "\"user%u\",\"delta\":%d,\"added\":%u,\"deleted\":0}\n",
		    i / 60 % 60, i % 60, i % 1000, i,
		    i % 3 == 0 ? "true" : "false", i % 977, i % 131,
		    (int)(i % 400) - 200, i % 400);
}

/* ---- the same events in other formats ---- */

static char *
put(char *to, const char *bytes, size_t count)
{
	memcpy(to, bytes, count);
	return to + count;
}

static char *
put_value(char *to, const struct json_scan *s, const struct json_field *f,
    bool is_csv)
{
	static char text[BODY_MAX];
	size_t bytes = f->value_bytes;
	bool is_quoted;

	if (f->type == SCAN_NULL)
		return to;
	memcpy(text, s->body + f->value, bytes);
	if (f->value_escaped)
		bytes = json_unescape(text, bytes, text);
	is_quoted = is_csv &&
	    (memchr(text, '"', bytes) != NULL ||
		memchr(text, ',', bytes) != NULL);
	if (is_quoted)
		*to++ = '"';
	for (size_t i = 0; i < bytes; i++) {
		if (text[i] == '"' && is_quoted)
			*to++ = '"';
		*to++ = text[i] == '\n' || text[i] == '\t' ? ' ' : text[i];
	}
	if (is_quoted)
		*to++ = '"';
	return to;
}

/* All events have the same members in the same order. */
static struct body
as_text(const struct body *json, bool is_csv)
{
	struct body b = new_body();
	char *to = b.text;
	struct json_scan s;

	json_scan_init(&s, json->text, json->bytes);
	while (json_scan_next(&s) == JSON_SCAN_EVENT) {
		for (unsigned i = 0; i < s.field_count; i++) {
			if (i > 0)
				*to++ = is_csv ? ',' : '\t';
			to = put_value(to, &s, &s.fields[i], is_csv);
		}
		*to++ = '\n';
	}
	json_scan_fini(&s);
	b.bytes = (size_t)(to - b.text);
	return b;
}

static struct body
as_smile(const struct body *json)
{
	static struct smile_writer writer;
	struct body b = new_body();
	struct buf out;

	buf_init(&out, BODY_MAX);
	must(smile_writer_transcode(&writer, json->text, json->bytes, &out));
	put(b.text, out.bytes, out.used);
	b.bytes = out.used;
	buf_free(&out);
	return b;
}

/* The first event's names, as a parseSpec with these members has them. */
static struct line_parser *
new_parser(const struct body *json, const char *format, const char *members)
{
	struct line_parser_problem problem;
	struct json *spec, *columns;
	struct line_parser *p;
	struct json_error error;
	struct json_scan s;

	spec = json_parse(members, strlen(members), &error);
	must(spec != NULL);
	columns = json_new_array();
	json_scan_init(&s, json->text, json->bytes);
	must(json_scan_next(&s) == JSON_SCAN_EVENT);
	for (unsigned i = 0; i < s.field_count; i++) {
		char name[256];
		size_t bytes = MIN_OF(s.fields[i].name_bytes, sizeof name - 1);

		*put(name, json->text + s.fields[i].name, bytes) = '\0';
		json_append(columns, json_new_text(name));
	}
	json_scan_fini(&s);
	json_set_text(spec, "format", format);
	json_set(spec, "columns", columns);
	p = line_parser_compile(
	    &(struct line_parser_spec){ .format = spec }, &problem);
	if (p == NULL)
		die("%s: %s", problem.where, problem.why);
	json_free(&spec);
	return p;
}

/* ---- measuring ---- */

struct counts {
	const struct json_scan *scan;
	uint64_t events, members;
};

static bool
take(void *context)
{
	struct counts *c = context;

	c->events++;
	c->members += c->scan->field_count;
	return true;
}

/* The sink may be NULL. */
static void
write_out(const struct format *f, const struct body *b, struct buf *json,
    struct json_sink *sink)
{
	struct line_feed feed = { json, sink };
	struct line_error error;

	buf_reset(json);
	if (f->smile != NULL)
		must(smile_feed(f->smile, b->text, b->bytes, json, sink) ==
		    SMILE_DONE);
	else if (line_parser_feed(f->lines, b->text, b->bytes, &feed, &error) !=
	    LINE_OK)
		die("line %llu: %s", (unsigned long long)error.line, error.why);
}

/* Counts its events. */
static uint64_t
scan(struct json_scan *s, const char *text, size_t bytes)
{
	enum json_scan_result result;
	uint64_t events = 0;

	json_scan_reset(s, text, bytes);
	while ((result = json_scan_next(s)) == JSON_SCAN_EVENT)
		events++;
	if (result != JSON_SCAN_END)
		die("malformed at %u: %s", s->error_offset, s->error);
	return events;
}

static void
print_row(
    const char *name, const struct body *b, double seconds, uint64_t events)
{
	printf("%-12s %7.0f MB/s %7.1f ns an event\n", name,
	    (double)b->bytes / seconds / 1e6, seconds / (double)events * 1e9);
}

static void
bench_scan(const struct body *b, enum json_scan_cpu cpu, const char *name)
{
	double best = 0, start, seconds;
	uint64_t events = 0;
	struct json_scan s;

	if (!is_wanted(name))
		return;
	json_scan_init(&s, b->text, b->bytes);
	if (!json_scan_use(&s, cpu)) {
		printf("%-12s not on this machine\n", name);
		return;
	}
	for (unsigned round = 0; round < ROUNDS; round++) {
		start = now();
		events = scan(&s, b->text, b->bytes);
		seconds = now() - start;
		if (best == 0 || seconds < best)
			best = seconds;
	}
	print_row(name, b, best, events);
	json_scan_fini(&s);
}

/* Written out and found, at once where that can be. */
static uint64_t
read_format(const struct format *f, const struct body *b, struct json_scan *s,
    struct buf *json)
{
	struct counts counts = { .scan = s };
	struct json_sink sink = { s, take, &counts };

	json_scan_reset(s, "", 0);
	if (f->smile == NULL && !line_parser_knows_members(f->lines)) {
		write_out(f, b, json, NULL);
		return scan(s, json->bytes, json->used);
	}
	write_out(f, b, json, &sink);
	return counts.events;
}

static void
bench(const struct format *f, const struct body *b)
{
	double best = 0, start, seconds;
	uint64_t events = 0;
	struct json_scan s;
	struct buf json;

	if (!is_wanted(f->name))
		return;
	buf_init(&json, 4 * BODY_MAX);
	json_scan_init(&s, "", 0);
	for (unsigned round = 0; round < ROUNDS; round++) {
		start = now();
		events = read_format(f, b, &s, &json);
		seconds = now() - start;
		if (best == 0 || seconds < best)
			best = seconds;
	}
	print_row(f->name, b, best, events);
	json_scan_fini(&s);
	buf_free(&json);
}

static void
bench_lines(const char *name, const struct body *json, const struct body *b,
    const char *format, const char *members)
{
	struct format f = { .name = name,
		.lines = new_parser(json, format, members) };

	bench(&f, b);
	line_parser_free(&f.lines);
}

static void
bench_formats(const struct body *json)
{
	static struct smile smile_reader;
	struct format smile = { .name = "smile", .smile = &smile_reader };
	struct body b = as_smile(json);

	bench(&smile, &b);
	free(b.text);
	b = as_text(json, true);
	bench_lines("csv", json, &b, "csv", "{}");
	free(b.text);
	b = as_text(json, false);
	bench_lines("tsv", json, &b, "tsv", "{}");
	bench_lines(
	    "regex", json, &b, "regex", "{\"pattern\":\"([^\\t]*)\\t(.*)\"}");
	free(b.text);
	bench_lines("json lines", json, json, "json", "{}");
	bench_lines("flattened", json, json, "json",
	    "{\"flattenSpec\":{\"fields\":[{\"type\":\"path\",\"name\":\"p\","
	    "\"expr\":\"$.page\"}]}}");
}

int
main(int count, char **arguments)
{
	struct body b = new_body();
	bool sampled = read_sample(&b);

	if (count > 1)
		only = arguments[1];

	if (!sampled)
		make_events(&b);
	printf("%s, %.1f MB as JSON, best of %d\n",
	    sampled ? "wiki sample" : "made events", (double)b.bytes / 1e6,
	    ROUNDS);
	bench_scan(&b, JSON_SCAN_AVX2, "json avx2");
	bench_scan(&b, JSON_SCAN_SSE2, "json sse2");
	bench_scan(&b, JSON_SCAN_PLAIN, "json plain");
	bench_formats(&b);
	free(b.text);
	return 0;
}
