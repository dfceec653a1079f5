/*
 * committed - what Druid has committed, by a URL that knows it exactly
 *
 * Process: worker.
 */
#include "committed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "panic.h"

#define ID_MARK "{supervisor}" /* in the URL */
#define TIMEOUT_MS 10000
#define SAID_MS 60000

struct committed {
	struct committed_parts p;
	char *url;
	char *authorization; /* a header's line, NULL: none */
	struct loop_timer timer;
	struct http_exchange *exchange;
	char trouble[COMMITTED_WHY_BYTES];
	bool changed;
	int64_t said_ms;
};

static void ask(struct committed *);

/* ---- reading ---- */

/* At least one: a partition that is pulled has one from the beginning. */
static bool
are_offsets(const struct json *map)
{
	for (struct json_member *m = json_first(map); m != NULL;
	     m = json_next(map, m))
		if (!json_is_int(json_member(m)) ||
		    json_int(json_member(m), -1) < 0)
			return false;
	return json_is_object(map) && json_size(map) > 0;
}

struct json *
committed_read(const char *body, size_t bytes, const char *topic,
    char why[static COMMITTED_WHY_BYTES])
{
	struct json *j = json_parse(body, bytes, NULL), *offsets = NULL;
	const struct json *of = json_get(j, "partitions");
	const struct json *map = json_get(of, "partitionSequenceNumberMap");
	const char *stream = json_get_text(of, "stream", "");

	if (!are_offsets(map))
		snprintf(why, COMMITTED_WHY_BYTES,
		    "it answered without offsets in "
		    "partitions.partitionSequenceNumberMap: %.*s",
		    (int)MIN_OF(bytes, 200), body);
	else if (strcmp(stream, topic) != 0)
		snprintf(why, COMMITTED_WHY_BYTES,
		    "what it answered is of the topic '%.100s', not of "
		    "'%.100s'",
		    stream, topic);
	else
		offsets = json_clone(map);
	json_free(&j);
	return offsets;
}

/* ---- asking ---- */

static void
set_trouble(struct committed *c, const char *why)
{
	if (strcmp(why, c->trouble) == 0)
		return;
	c->changed = true;
	snprintf(c->trouble, sizeof c->trouble, "%s", why);
	if (*why != '\0' && log_may_repeat(&c->said_ms, SAID_MS))
		log_warnx("pull.committed.url: %s", why);
}

static void
take(struct committed *c, const struct http_answer *answer)
{
	char why[COMMITTED_WHY_BYTES] = "";
	struct json *offsets = NULL;

	if (answer->outcome != HTTP_ANSWERED)
		snprintf(why, sizeof why, "%.300s", answer->why);
	else if (answer->status != 200)
		snprintf(why, sizeof why, "it answered %d: %.200s",
		    answer->status, answer->body);
	else
		offsets = committed_read(
		    answer->body, answer->body_bytes, c->p.ds->name, why);
	log_floor_committed(c->p.floor, offsets);
	json_free(&offsets);
	set_trouble(c, why);
}

static void
time_due(struct loop_timer *t)
{
	ask(t->context);
}

static void
answered(void *context, const struct http_answer *answer)
{
	struct committed *c = context;

	c->exchange = NULL;
	take(c, answer);
	loop_timer_start(c->p.loop, &c->timer, c->p.period_ms, time_due);
}

static void
ask(struct committed *c)
{
	const char *const headers[] = { "Accept: application/json",
		c->authorization, NULL };
	struct http_call call = { .url = c->url,
		.headers = headers,
		.timeout_ms = TIMEOUT_MS,
		.done = answered,
		.context = c };

	c->exchange = http_send(c->p.http, &call);
}

/* With the supervisor's id at its marks; new. */
static char *
url_of(const struct committed_parts *p)
{
	char *id = http_escape(p->id), *url = must_strdup(""), *longer;
	const char *from = p->ds->committed_url, *mark;

	while ((mark = strstr(from, ID_MARK)) != NULL) {
		longer =
		    must_format("%s%.*s%s", url, (int)(mark - from), from, id);
		free(url);
		url = longer;
		from = mark + strlen(ID_MARK);
	}
	longer = must_format("%s%s", url, from);
	free(url);
	free(id);
	return longer;
}

struct committed *
committed_new(const struct committed_parts *parts)
{
	struct committed *c = must_calloc(1, sizeof *c);
	const char *authorization = parts->ds->committed_authorization;

	c->p = *parts;
	c->url = url_of(parts);
	if (*authorization != '\0')
		c->authorization =
		    must_format("Authorization: %s", authorization);
	c->timer.context = c;
	log_floor_ask_source(c->p.floor);
	ask(c);
	return c;
}

void
committed_free(struct committed **committed)
{
	struct committed *c = *committed;

	*committed = NULL;
	if (c == NULL)
		return;
	loop_timer_stop(&c->timer);
	http_cancel(c->p.http, &c->exchange);
	free(c->url);
	free(c->authorization);
	free(c);
}

const char *
committed_trouble(const struct committed *c)
{
	return c->trouble;
}

bool
committed_changed(struct committed *c)
{
	bool changed = c->changed;

	c->changed = false;
	return changed;
}
