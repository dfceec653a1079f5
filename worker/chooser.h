/*
 * chooser - delivery.mode auto: asks Druid, chooses the way, remembers it
 *
 * Process: worker.   Before: druid, choice.
 *
 * A worker has one way for its whole life. When another one is to be taken that
 * is noted in the spool's folder (delivery_note.h), and a successor begins with
 * it: it finds what waits for tasks in the queue, and moves it. Killed before
 * the note: nothing has happened; behind it: the successor does the rest.
 *
 * As long as nobody has said anything else, that is push: what a Druid without
 * realtime tasks refuses waits, and moves.
 */
#pragma once

#include "conf.h"
#include "druid.h"
#include "json.h"
#include "loop.h"
#include "overlord.h"
#include "spool.h"

struct chooser;

struct chooser_parts {
	struct loop *loop;
	const struct conf *conf;
	struct ds_conf *ds; /* the worker's own copy */
	struct spool *spool;
	const char *dir; /* its folder */
};

/* Brings the way that holds into `ds`. With any delivery.mode: that is noted,
 * so that auto knows where to begin. */
struct chooser *chooser_new(const struct chooser_parts *);
void chooser_free(struct chooser **);
/* Begins to ask, if delivery.mode is auto. */
void chooser_ask(struct chooser *, struct overlord *);
/* At the end of a turn: true when a successor is to take over, and again with
 * each word of Druid until it does; nothing must be taken until then. is_open:
 * events are on their way into the spool or its log, so that pull is not left. */
bool chooser_look(struct chooser *, bool is_open) MUST_CHECK;
/* Adds the member "delivery" to the status document. */
void chooser_describe(const struct chooser *, struct json *to);
/* Whether that may be another one than at the last call. */
bool chooser_changed(struct chooser *);
