/*
 * replicant - one task of a beam: whether it runs, and where
 *
 * Process: worker.   After: dispatch.   Before: overlord, discovery.
 *
 * Asked for often until it has a place, then every druidBeam.overlordPollPeriod
 * to learn its end, and at once when a push says that it is not there.
 *
 * A task closes its firehose at a time that was fixed when it was made, by
 * whoever made it. From then on it publishes what it has and waits for the
 * hand-off; a task that took its place would get a newer version in Druid and
 * hide what was published.
 */
#pragma once

#include "beam_data.h"
#include "conf.h"
#include "discovery.h"
#include "loop.h"
#include "overlord.h"

enum replicant_state {
	REPLICANT_SOUGHT, /* its place is not known, or not to be trusted */
	REPLICANT_OPEN, /* runs, and is where replicant_url says */
	REPLICANT_CLOSED, /* takes no more; runs until its hand-off */
	REPLICANT_LOST, /* gone for good */
};

struct replicant;

typedef void replicant_fn(void *context, struct replicant *);

struct replicant_parts {
	struct loop *loop;
	const struct ds_conf *ds;
	struct overlord *overlord;
	struct zk *zk; /* NULL: only the Overlord is asked */
	struct interval interval; /* of its beam */
};

/* Starts to look for the task. changed: its state or place is another one. */
struct replicant *replicant_new(const struct replicant_parts *,
    const struct beam_task *, replicant_fn *changed, void *context);
void replicant_free(struct replicant **);
enum replicant_state replicant_state(const struct replicant *);
/* It takes no events any more: CLOSED or LOST. */
bool replicant_is_over(const struct replicant *);
/* It has closed its firehose in good order, so that what it has is published,
 * or will be. */
bool replicant_has_closed(const struct replicant *);
/* It runs for more than druid.handoffWarnPeriod after its shutoff time. */
bool replicant_is_overdue(const struct replicant *);
const char *replicant_url(const struct replicant *); /* NULL: not known */
const char *replicant_task_id(const struct replicant *);
const char *replicant_firehose_id(const struct replicant *);
/* Has a place and has not taken anything there yet, within
 * druidBeam.firehoseQuietPeriod: pushes that do not find it are no news. */
bool replicant_is_starting(const struct replicant *);
/* A push was taken. */
void replicant_served(struct replicant *);
/* A push met an error that may be of what was in it, or of the task. */
void replicant_erred(struct replicant *);
struct replicant_record {
	uint64_t served, erred; /* pushes */
};
struct replicant_record replicant_record(const struct replicant *);
/* Why it takes nothing now, for the status; NULL: nothing is wrong. */
void replicant_trouble(struct replicant *, const char *why);
/* A push did not find it: look again, soon. */
void replicant_distrust(struct replicant *);
/* Whether the last push to it failed. */
bool replicant_is_in_trouble(const struct replicant *);
/* Given up while others of the beam go on: LOST, though it may run. */
void replicant_give_up(struct replicant *, const char *why);
bool replicant_is_given_up(const struct replicant *);
/* One that was given up is looked for again. */
void replicant_take_back(struct replicant *);
struct json *replicant_describe(const struct replicant *); /* new */
