/*
 * reload - brings a new configuration into force without losing a request
 *
 * Process: supervisor.
 *
 * All or nothing: the new configuration is read, checked, and tried by every
 * worker that it concerns before receivers hear of it; what fails before that
 * is undone.
 *
 *   WORKERS    added: channels made, worker started; changed: worker stopped
 *              (its rings and spool stay), new one started. All READY: on.
 *              One refuses (exit 78), or is not ready in time: UNDO.
 *   RECEIVERS  told (ORDER_CONF); all have confirmed: on. A new feed follows
 *              the one that there is; nobody waits for it.
 *   REMOVALS   workers of removed dataSources drain and end, then their
 *              channels go; their spools stay on disk.
 *   UNDO       added ones go, changed ones get their old worker back.
 */
#pragma once

#include "conf.h"
#include "ctl.h"
#include "loop.h"

#define RELOAD_ASKERS 16
/* Time of a changed worker to settle what is in flight. */
#define RELOAD_SETTLE_MS 2000
/* Time of the feed to write what is on its way; another one follows it. */
#define RELOAD_FEED_MS 500
/* Time for new workers to become READY. */
#define RELOAD_READY_MS (30 * 1000)
/* Time for receivers to confirm, beyond http.blockTimeout. */
#define RELOAD_TAKE_MS (10 * 1000)

struct supervisor;

enum reload_phase {
	RELOAD_IDLE,
	RELOAD_WORKERS,
	RELOAD_RECEIVERS,
	RELOAD_REMOVALS,
	RELOAD_UNDO,
};

/* Who waits for the answer. */
struct reload_askers {
	uint64_t tickets[RELOAD_ASKERS];
	unsigned count;
};

struct reload {
	enum reload_phase phase;
	/* the configuration that comes, up to RECEIVERS; from then on the
	 * one that goes */
	struct conf *other;
	struct reload_askers now, next;
	bool again; /* another one was asked for meanwhile */
	bool late; /* this phase's time is over */
	struct loop_timer timer;
	struct buf report; /* lines for the askers: warnings, problems */
	char failure[CTL_LINE_MAX]; /* why it is undone */

	uint64_t number; /* of the configuration in force, from 1 */
	uint64_t count; /* reloads asked for */
	int64_t last_wall_ms;
	bool last_good;
	char last_text[CTL_LINE_MAX];
};

void reload_init(struct supervisor *);
/* ticket 0: SIGHUP; the log is told then. */
void reload_ask(struct supervisor *, uint64_t ticket);
/* Goes on as far as it can; called whenever something has changed. */
void reload_advance(struct supervisor *);
/* The daemon stops: whoever waits is told. */
void reload_abandon(struct supervisor *);
void reload_fini(struct supervisor *);
