/*
 * druid - which Druid is there: its version, and whether it can pull
 *
 * Process: worker.
 */
#include "druid.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backoff.h"
#include "clock.h"
#include "json.h"
#include "panic.h"

#define FIRST_MS 1000 /* after a failure, then doubled */
#define LONGEST_MS 10000
#define AGAIN_MS 2000 /* for a word that is another one than before */
/* Druid's own numbers are lower than this, years that vendors count by not. */
#define MAJOR_MAX 1000
#define KAFKA_ARTIFACT "druid-kafka-indexing-service"
#define KAFKA_MODULE "KafkaIndexTaskModule"

struct druid {
	struct druid_parts p;
	struct loop_timer timer;
	struct overlord_ask *ask;
	bool is_known, was_asked, has_other;
	struct druid_facts facts;
	struct druid_facts other; /* has_other: the last word, not believed */
	unsigned failures; /* in a row */
	char trouble[OVERLORD_WHY_BYTES];
};

static void ask(struct druid *);

/* ---- reading ---- */

bool
druid_read_version(const char *text, struct druid_facts *to)
{
	size_t bytes = strlen(text), digits = strspn(text, "0123456789");
	unsigned long number;

	to->has_major = false;
	to->major = 0;
	if (digits == 0 || strchr(".-", text[digits]) == NULL) /* or the end */
		return false;
	for (size_t i = 0; i < bytes; i++)
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	snprintf(to->version, sizeof to->version, "%s", text);
	number = digits < 9 ? strtoul(text, NULL, 10) : MAJOR_MAX;
	to->has_major = number < MAJOR_MAX;
	if (to->has_major)
		to->major = (unsigned)number;
	return true;
}

static bool
ends_with(const char *text, const char *end)
{
	size_t bytes = strlen(text), end_bytes = strlen(end);

	return bytes >= end_bytes && strcmp(text + bytes - end_bytes, end) == 0;
}

/* A vendor's artifact may have another name, its class has not. */
static bool
is_kafka(const struct json *module)
{
	return strcmp(json_get_text(module, "artifact", ""), KAFKA_ARTIFACT) ==
	    0 ||
	    ends_with(json_get_text(module, "name", ""), KAFKA_MODULE);
}

bool
druid_read(const struct overlord_answer *answer, struct druid_facts *to)
{
	struct json *j = answer->status == 200
	    ? json_parse(answer->body, answer->body_bytes, NULL)
	    : NULL;
	const struct json *modules = json_get(j, "modules");
	bool good;

	memset(to, 0, sizeof *to);
	good = druid_read_version(json_get_text(j, "version", ""), to);
	for (size_t i = 0; good && i < json_size(modules); i++)
		to->has_kafka |= is_kafka(json_at(modules, i));
	json_free(&j);
	return good;
}

/* ---- asking ---- */

static void
time_due(struct loop_timer *t)
{
	ask(t->context);
}

static void
ask_in(struct druid *d, int64_t wait_ms)
{
	loop_timer_start(d->p.loop, &d->timer, wait_ms, time_due);
}

static bool
same(const struct druid_facts *a, const struct druid_facts *b)
{
	return a->has_kafka == b->has_kafka &&
	    strcmp(a->version, b->version) == 0;
}

/* Whether what is believed is what has been said now. */
static bool
believe(struct druid *d, const struct druid_facts *said)
{
	if (d->is_known && !same(&d->facts, said) &&
	    !(d->has_other && same(&d->other, said))) {
		d->other = *said;
		d->has_other = true;
		return false;
	}
	d->facts = *said;
	d->is_known = true;
	d->has_other = false;
	return true;
}

static void
fail(struct druid *d, const char *why)
{
	snprintf(d->trouble, sizeof d->trouble, "%s", why);
	d->has_other = false;
	ask_in(d,
	    backoff_ms(++d->failures, MIN_OF(FIRST_MS, d->p.period_ms),
		MIN_OF(LONGEST_MS, d->p.period_ms), (uint32_t)clock_mono_ns()));
}

static void
take(struct druid *d, const struct overlord_answer *answer)
{
	struct druid_facts said;
	char why[OVERLORD_WHY_BYTES];

	if (!druid_read(answer, &said)) {
		snprintf(why, sizeof why,
		    "%.200s/status answered %d and no version of Druid",
		    answer->server, answer->status);
		fail(d, why);
		return;
	}
	d->failures = 0;
	d->trouble[0] = '\0';
	ask_in(d,
	    believe(d, &said)
		? backoff_jitter(d->p.period_ms, (uint32_t)clock_mono_ns())
		: MIN_OF(AGAIN_MS, d->p.period_ms));
}

static void
heard(void *context, enum result result, const struct overlord_answer *answer,
    const char *why)
{
	struct druid *d = context;

	d->ask = NULL;
	d->was_asked = true;
	if (result == RESULT_OK)
		take(d, answer);
	else
		fail(d, why);
	if (d->p.heard != NULL)
		d->p.heard(d->p.context);
}

static void
ask(struct druid *d)
{
	d->ask = overlord_self(d->p.overlord, heard, d);
}

struct druid *
druid_new(const struct druid_parts *parts)
{
	struct druid *d = must_calloc(1, sizeof *d);

	d->p = *parts;
	d->timer.context = d;
	if (parts->before != NULL) {
		d->facts = *parts->before;
		d->is_known = true;
	}
	d->p.before = NULL;
	ask_in(d, 0);
	return d;
}

void
druid_free(struct druid **druid)
{
	struct druid *d = *druid;

	if (d == NULL)
		return;
	*druid = NULL;
	loop_timer_stop(&d->timer);
	overlord_cancel(&d->ask);
	free(d);
}

const struct druid_facts *
druid_facts(const struct druid *d)
{
	return d->is_known ? &d->facts : NULL;
}

bool
druid_was_asked(const struct druid *d)
{
	return d->was_asked;
}

const char *
druid_trouble(const struct druid *d)
{
	return d->trouble;
}
