/*
 * tranqctl_drain - tranqctl drain [--undo] [--timeout PERIOD] [DATASOURCE]
 *
 * Process: tranqctl.
 */
#include "tranqctl_drain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "ctl.h"
#include "json.h"
#include "panic.h"
#include "period.h"

#define LOOK_MS 500
#define SAY_MS 5000 /* the same is said again after that */
#define LINE_BYTES 512
#define STATE_DONE 2 /* counters.def: drain */

/* One dataSource on its way. */
struct one {
	char *name;
	char said[LINE_BYTES];
	int64_t said_ms;
	bool is_done, has_more; /* drained; with what cannot be delivered */
};

struct run {
	const struct drain_arguments *a;
	struct one *all;
	size_t count;
	struct json *status; /* the last one */
};

static void
free_run(struct run *r)
{
	for (size_t i = 0; i < r->count; i++)
		free(r->all[i].name);
	free(r->all);
	json_free(&r->status);
}

/* False: said why. */
static bool
ask(struct run *r, const char *line, struct ctl_answer *answer,
    enum drain_outcome *outcome)
{
	enum ctl_outcome got = ctl_ask(r->a->socket, line, answer);

	*outcome = got == CTL_NO_DAEMON ? DRAIN_NO_DAEMON : DRAIN_LEFT;
	if (got == CTL_DONE)
		return true;
	if (got == CTL_NO_DAEMON)
		fprintf(stderr,
		    "tranqctl: no tranqd at %s: %s; it drains while it runs, "
		    "and goes on after a start\n",
		    r->a->socket, answer->text);
	return false;
}

static bool
read_status(struct run *r, enum drain_outcome *outcome)
{
	struct ctl_answer answer;
	bool good = ask(r, ctl_name(CTL_STATUS), &answer, outcome);

	json_free(&r->status);
	if (good)
		r->status =
		    json_parse(answer.body.bytes, answer.body.used, NULL);
	else if (*outcome != DRAIN_NO_DAEMON)
		fprintf(stderr, "tranqctl: status: %s\n", answer.text);
	ctl_answer_free(&answer);
	return r->status != NULL;
}

static const struct json *
find(const struct run *r, const char *name)
{
	const struct json *all = json_get(r->status, "dataSources");

	for (size_t i = 0; i < json_size(all); i++)
		if (strcmp(json_get_text(json_at(all, i), "name", ""), name) ==
		    0)
			return json_at(all, i);
	return NULL;
}

static void
add(struct run *r, const char *name)
{
	r->all = must_realloc(r->all, (r->count + 1) * sizeof r->all[0]);
	r->all[r->count] = (struct one){ .name = must_strdup(name) };
	r->count++;
}

static void
choose(struct run *r)
{
	const struct json *all = json_get(r->status, "dataSources");

	if (r->a->ds != NULL) {
		add(r, r->a->ds);
		return;
	}
	for (size_t i = 0; i < json_size(all); i++)
		add(r, json_get_text(json_at(all, i), "name", ""));
}

static bool
order(struct run *r, const struct one *o, enum drain_outcome *outcome)
{
	char *line = must_format("%s %s %s", ctl_name(CTL_DRAIN),
	    r->a->undo ? "off" : "on", o->name);
	struct ctl_answer answer;
	bool good = ask(r, line, &answer, outcome);

	if (good)
		printf("%s: %s\n", o->name, answer.text);
	else if (*outcome != DRAIN_NO_DAEMON)
		fprintf(
		    stderr, "tranqctl: drain %s: %s\n", o->name, answer.text);
	ctl_answer_free(&answer);
	free(line);
	return good;
}

/* ---- what is left ---- */

static int64_t
count_of(const struct json *src, const char *name)
{
	return json_get_int(json_get(src, "counters"), name, 0);
}

static void
describe(const struct json *src, char to[LINE_BYTES])
{
	const struct json *supervisor =
	    json_get(json_get(src, "beams"), "supervisor");
	const char *waits = json_get_text(supervisor, "waits", "");

	if (src == NULL)
		snprintf(to, LINE_BYTES,
		    "not in the configuration any more; what its spool has "
		    "stays there");
	else if (strcmp(json_get_text(json_get(src, "worker"), "state", ""),
		     "ready") != 0)
		snprintf(to, LINE_BYTES, "its worker is %s",
		    json_get_text(json_get(src, "worker"), "state", "-"));
	else
		snprintf(to, LINE_BYTES,
		    "%lld events in rings, %lld in the spool%s%s",
		    (long long)json_get_int(src, "inRings", 0),
		    (long long)count_of(src, "spoolEvents"),
		    *waits != '\0' ? "; Druid's supervisor " : "", waits);
}

static void
say(struct one *o, const char *text)
{
	int64_t now = clock_mono_ms();

	if (strcmp(text, o->said) == 0 && now - o->said_ms < SAY_MS)
		return;
	snprintf(o->said, sizeof o->said, "%s", text);
	o->said_ms = now;
	printf("%s: %s\n", o->name, text);
	fflush(stdout);
}

static void
say_done(struct one *o, const struct json *src)
{
	int64_t letters = count_of(src, "deadLetterCount");
	int64_t archived = count_of(src, "archived");
	int64_t aside = count_of(src, "quarantined");

	o->is_done = true;
	printf("%s: drained: all that it took, and can be delivered, is in "
	       "Druid\n",
	    o->name);
	if (letters > 0) {
		o->has_more = true;
		fprintf(stderr,
		    "tranqctl: %s: %lld dead letters (%lld events) stay: "
		    "tranqctl deadletters list\n",
		    o->name, (long long)letters,
		    (long long)count_of(src, "deadLetters"));
	}
	if (archived > 0 || count_of(src, "copied") > 0)
		printf("%s: files of its archive stay on this machine's disk "
		       "(tranqctl archive list)\n",
		    o->name);
	if (aside > 0)
		printf("%s: %lld events were set aside in the quarantine's "
		       "files\n",
		    o->name, (long long)aside);
}

/* Whether all are drained. */
static bool
look(struct run *r)
{
	bool all = true;

	for (size_t i = 0; i < r->count; i++) {
		struct one *o = &r->all[i];
		const struct json *src = find(r, o->name);
		char text[LINE_BYTES];

		if (o->is_done)
			continue;
		describe(src, text);
		if (count_of(src, "drain") == STATE_DONE)
			say_done(o, src);
		else
			say(o, text);
		all &= o->is_done;
	}
	return all;
}

/* The time is up. */
static void
say_left(const struct run *r)
{
	for (size_t i = 0; i < r->count; i++) {
		const struct one *o = &r->all[i];
		const struct json *src = find(r, o->name);
		const struct json *notes =
		    json_get(json_get(src, "beams"), "notes");
		char text[LINE_BYTES];

		if (o->is_done)
			continue;
		describe(src, text);
		fprintf(stderr,
		    "tranqctl: %s: not drained in time (it goes on): %s\n",
		    o->name, text);
		for (size_t n = 0; n < json_size(notes); n++)
			fprintf(
			    stderr, "  %s\n", json_text(json_at(notes, n), ""));
	}
}

static enum drain_outcome
outcome_of(const struct run *r)
{
	for (size_t i = 0; i < r->count; i++)
		if (!r->all[i].is_done || r->all[i].has_more)
			return DRAIN_LEFT;
	return DRAIN_GOOD;
}

static enum drain_outcome
wait_for_end(struct run *r, int64_t timeout_ms)
{
	int64_t until = clock_mono_ms() + timeout_ms;
	enum drain_outcome outcome;

	for (;;) {
		if (!read_status(r, &outcome))
			return outcome;
		if (look(r))
			break;
		if (clock_mono_ms() >= until) {
			say_left(r);
			break;
		}
		usleep(LOOK_MS * 1000);
	}
	return outcome_of(r);
}

static enum drain_outcome
run(struct run *r, int64_t timeout_ms)
{
	enum drain_outcome outcome, all = DRAIN_GOOD;

	if (!read_status(r, &outcome))
		return outcome;
	choose(r);
	for (size_t i = 0; i < r->count; i++)
		if (!order(r, &r->all[i], &outcome))
			all = outcome;
	if (all != DRAIN_GOOD || r->a->undo)
		return all;
	return wait_for_end(r, timeout_ms);
}

enum drain_outcome
drain_command(const struct drain_arguments *a)
{
	const char *timeout = a->timeout != NULL ? a->timeout : DRAIN_TIMEOUT;
	struct run r = { .a = a };
	struct period period;
	enum drain_outcome outcome;

	if (!period_parse(timeout, &period)) {
		fprintf(stderr,
		    "tranqctl: --timeout %s: a period such as PT10M\n",
		    timeout);
		return DRAIN_WRONG_USE;
	}
	outcome = run(&r, period_ms(&period));
	free_run(&r);
	return outcome;
}
