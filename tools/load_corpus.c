/*
 * load_corpus - the events that bodies are made of
 *
 * Process: tranq-load.
 */
#include "load_corpus.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "iso.h"
#include "load_gzip.h"
#include "panic.h"

static struct corpus_event *
add_event(struct load_corpus *c, size_t bytes)
{
	struct corpus_event *e;

	if (c->count == c->size) {
		c->size = MAX_OF(c->size * 2, 1024);
		c->events =
		    must_realloc(c->events, c->size * sizeof c->events[0]);
	}
	e = &c->events[c->count++];
	*e = (struct corpus_event){ .text = must_malloc(bytes + 1),
		.bytes = (uint32_t)bytes };
	c->bytes += bytes;
	return e;
}

void
load_corpus_fini(struct load_corpus *c)
{
	for (size_t i = 0; i < c->count; i++)
		free(c->events[i].text);
	free(c->events);
	*c = (struct load_corpus){ 0 };
}

static unsigned
draw(uint64_t *state, unsigned below)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (unsigned)((*state >> 20) % below);
}

static const char *const channels[] = { "#en.wikipedia", "#de.wikipedia",
	"#fr.wikipedia", "#vi.wikipedia", "#ru.wikipedia", "#ja.wikipedia" };
static const char *const cities[] = {
	"null,\"countryIsoCode\":null,\"countryName\":null",
	"null,\"countryIsoCode\":null,\"countryName\":null",
	"null,\"countryIsoCode\":null,\"countryName\":null",
	"\"Auburn\",\"countryIsoCode\":\"AU\",\"countryName\":\"Australia\"",
	"\"Zürich\",\"countryIsoCode\":\"CH\",\"countryName\":\"Switzerland\"",
};
static const char *const comments[] = {
	"/* Status of peremptory norms */ fixed spelling of 'Wimbledon'",
	"Robot inserta {{Commonscat}} que enlla\\u00e7a [[commons:x]]",
	"fix Lỗi CS1: ngày tháng",
	"added \\\"project\\\" and a reference to page 12\\u201314",
	"/* Личная жизнь */ опечатка",
};
static const char *const pages[] = { "Talk:Oswald Tilghman", "Rallicula",
	"Peremptory norm", "Apamea abruzzorum", "Атмосфера Земли",
	"青森県道38号青森東インター線", "Wikipedia:Löschkandidaten" };
static const char *const names[] = { "GELongstreet", "PereBot", "60.225.66.142",
	"Cheers!-bot", "ThitxongkhoiAWB", "Sokolnikoff" };

static const char *
yes_no(uint64_t *state, unsigned one_in)
{
	return draw(state, one_in) == 0 ? "true" : "false";
}

static int
print_event(char *out, size_t size, uint64_t *s)
{
	unsigned added = draw(s, 2000),
		 deleted = draw(s, 4) == 0 ? added / 3 : 0;
	unsigned serial = draw(s, 100000);

	return snprintf(out, size,
	    "\"time\":\"1970-01-01T00:00:00.000Z\",\"channel\":\"%s\","
	    "\"cityName\":%s,\"comment\":\"%s\",\"isAnonymous\":%s,"
	    "\"isMinor\":%s,\"isNew\":%s,\"isRobot\":%s,\"isUnpatrolled\":%s,"
	    "\"metroCode\":null,\"namespace\":\"Main\",\"page\":\"%s %u\","
	    "\"regionIsoCode\":null,\"regionName\":null,\"user\":\"%s%u\","
	    "\"delta\":%d,\"added\":%u,\"deleted\":%u",
	    channels[draw(s, ARRAY_LEN(channels))],
	    cities[draw(s, ARRAY_LEN(cities))],
	    comments[draw(s, ARRAY_LEN(comments))], yes_no(s, 6), yes_no(s, 3),
	    yes_no(s, 10), yes_no(s, 3), yes_no(s, 12),
	    pages[draw(s, ARRAY_LEN(pages))], serial,
	    names[draw(s, ARRAY_LEN(names))], serial % 997,
	    (int)added - (int)deleted, added, deleted);
}

void
load_corpus_generate(struct load_corpus *c, size_t count, double spread_seconds)
{
	uint64_t state = UINT64_C(0x9e3779b97f4a7c15);
	unsigned spread_ms = (unsigned)(spread_seconds * 1000);
	char text[2048];

	*c = (struct load_corpus){ 0 };
	while (c->count < count) {
		int n = print_event(text, sizeof text, &state);
		struct corpus_event *e;

		must(n > 0 && (size_t)n < sizeof text);
		e = add_event(c, (size_t)n);
		memcpy(e->text, text, (size_t)n + 1);
		e->time_at = sizeof "\"time\":\"" - 1;
		e->age_ms = draw(&state, spread_ms + 1);
	}
}

struct replay {
	struct load_corpus *corpus;
	char *error;
	unsigned line;
	int64_t first, last;
};

/* Finds the value of "time": its bytes without the quotes. */
static bool
find_time(const char *line, const char **value, size_t *bytes, int64_t *ms)
{
	static const char name[] = "\"time\"";
	const char *at = strstr(line, name), *end;

	if (at == NULL)
		return false;
	at += sizeof name - 1;
	at += strspn(at, " \t:");
	if (*at != '"' || (end = strchr(at + 1, '"')) == NULL)
		return false;
	*value = at + 1;
	*bytes = (size_t)(end - at - 1);
	return iso_parse(*value, *bytes, ISO_T_OR_SPACE, ms);
}

static void
take_line(void *context, char *line, size_t bytes)
{
	struct replay *r = context;
	struct corpus_event *e;
	const char *value, *tail, *end = line + bytes;
	size_t before, value_bytes;
	int64_t ms;

	r->line++;
	if (*r->error != '\0')
		return;
	if (line[0] != '{' || end[-1] != '}' ||
	    !find_time(line, &value, &value_bytes, &ms)) {
		snprintf(r->error, 256,
		    "line %u is no JSON object with an ISO "
		    "8601 `time`",
		    r->line);
		return;
	}
	if (strstr(line, "\"id\"") != NULL) {
		snprintf(r->error, 256,
		    "line %u has an `id` of its own, which would hide ours; "
		    "rename it",
		    r->line);
		return;
	}
	if (r->corpus->bytes + bytes > CORPUS_BYTES_MAX) {
		snprintf(r->error, 256, "more than %u MiB, give a part of it",
		    CORPUS_BYTES_MAX / MiB);
		return;
	}
	before = (size_t)(value - line - 1); /* without the brace */
	tail = value + value_bytes;
	end--;
	e = add_event(
	    r->corpus, before + CORPUS_TIME_BYTES + (size_t)(end - tail));
	e->time_at = (uint32_t)before;
	memcpy(e->text, line + 1, before);
	memset(e->text + before, '0', CORPUS_TIME_BYTES);
	memcpy(
	    e->text + before + CORPUS_TIME_BYTES, tail, (size_t)(end - tail));
	e->age_ms = ms; /* until the last one is known */
	r->first = r->corpus->count == 1 ? ms : MIN_OF(r->first, ms);
	r->last = r->corpus->count == 1 ? ms : MAX_OF(r->last, ms);
}

bool
load_corpus_replay(
    struct load_corpus *c, const char *file, double spread_seconds, char *error)
{
	struct replay r = { .corpus = c, .error = error };
	double factor;

	*c = (struct load_corpus){ 0 };
	*error = '\0';
	if (!load_gzip_read(file, take_line, &r)) {
		snprintf(error, 256, "%s", strerror(errno));
		return false;
	}
	if (*error == '\0' && c->count == 0)
		snprintf(error, 256, "there is no event in it");
	if (*error != '\0')
		return false;
	factor = r.last > r.first
	    ? spread_seconds * 1000 / (double)(r.last - r.first)
	    : 0;
	for (size_t i = 0; i < c->count; i++)
		c->events[i].age_ms =
		    (int64_t)((double)(r.last - c->events[i].age_ms) * factor);
	return true;
}
