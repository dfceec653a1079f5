/*
 * chooser - delivery.mode auto: asks Druid, chooses the way, remembers it
 *
 * Process: worker.
 */
#include "chooser.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "choice.h"
#include "delivery_note.h"
#include "fault.h"
#include "heritage.h"
#include "log.h"
#include "panic.h"
#include "spool_log.h"

/* Questions are so much rarer than those for tasks: an upgrade of Druid is. */
#define PERIOD_POLLS 3
#define FAILED_SAID_MS 60000
#define SILENT_SAID_MS 600000

struct chooser {
	struct chooser_parts p;
	char *no_pull; /* what stands against it, NULL: nothing */
	struct druid *druid; /* NULL: nobody is asked */
	struct delivery_note note; /* as it is in the file */
	bool is_noted;
	struct choice choice; /* the last one */
	bool is_due; /* Druid has been heard */
	bool changed, is_told;
	char told_version[DELIVERY_NOTE_DRUID_BYTES];
	int64_t failed_said_ms, silent_said_ms;
};

/* ---- the start ---- */

/* Without a note: what the spool has. Before there were notes all was push. */
static enum delivery_mode
mode_at_start(const struct chooser *c)
{
	const struct ds_conf *ds = c->p.ds;

	if (!ds->is_auto)
		return ds->delivery;
	if (c->is_noted)
		return c->note.mode;
	return spool_log_counts(c->p.spool).events > 0 ? DELIVERY_PULL
						       : DELIVERY_PUSH;
}

static bool
same_note(const struct delivery_note *a, const struct delivery_note *b)
{
	return a->mode == b->mode && a->has_kafka == b->has_kafka &&
	    strcmp(a->druid, b->druid) == 0;
}

/* False: it could not be written, and is not so. */
static bool
remember(struct chooser *c, const struct delivery_note *note)
{
	if (c->is_noted && same_note(&c->note, note))
		return true;
	if (!delivery_note_write(c->p.dir, note)) {
		if (log_may_repeat(&c->failed_said_ms, FAILED_SAID_MS))
			log_warn("%s/delivery cannot be written", c->p.dir);
		return false;
	}
	c->note = *note;
	c->is_noted = true;
	return true;
}

struct chooser *
chooser_new(const struct chooser_parts *parts)
{
	struct chooser *c = must_calloc(1, sizeof *c);
	struct delivery_note note = { .mode = DELIVERY_PUSH };

	c->p = *parts;
	c->is_noted = delivery_note_read(parts->dir, &c->note);
	note.mode = mode_at_start(c);
	/* that another way was chosen for this Druid says nothing of this one */
	if (c->is_noted && c->note.mode == note.mode)
		note = c->note;
	(void)remember(c, &note);
	c->choice.mode = note.mode;
	if (parts->ds->is_auto)
		conf_deliver(parts->ds, note.mode);
	return c;
}

void
chooser_free(struct chooser **chooser)
{
	struct chooser *c = *chooser;

	if (c == NULL)
		return;
	*chooser = NULL;
	druid_free(&c->druid);
	free(c->no_pull);
	free(c);
}

/* ---- asking, choosing ---- */

static void
heard(void *context)
{
	struct chooser *c = context;

	c->is_due = true;
}

/* What the note says of Druid; false: nothing. */
static bool
druid_of_note(const struct chooser *c, struct druid_facts *to)
{
	*to = (struct druid_facts){ .has_kafka = c->note.has_kafka };
	return c->is_noted && druid_read_version(c->note.druid, to);
}

void
chooser_ask(struct chooser *c, struct overlord *overlord)
{
	struct druid_facts before;
	struct druid_parts parts = { .loop = c->p.loop,
		.overlord = overlord,
		.period_ms = c->p.ds->overlord_poll_ms * PERIOD_POLLS,
		.heard = heard,
		.context = c };

	if (!c->p.ds->is_auto)
		return;
	c->no_pull = worker_no_pull(c->p.conf, c->p.ds);
	if (druid_of_note(c, &before))
		parts.before = &before;
	c->druid = druid_new(&parts);
	c->is_due = true;
}

/* What is said is what was chosen, for which Druid, and what to do; the rest of
 * the reason changes too often. */
static void
tell(struct chooser *c, const struct choice *now, const char *version)
{
	bool is_other = now->mode != c->p.ds->delivery;

	if (c->is_told && now->mode == c->choice.mode &&
	    strcmp(now->better, c->choice.better) == 0 &&
	    strcmp(version, c->told_version) == 0)
		return;
	c->is_told = true;
	snprintf(c->told_version, sizeof c->told_version, "%s", version);
	log_info("delivery.mode auto: %s%s: %s%s%s",
	    delivery_mode_name(now->mode), is_other ? " from now on" : "",
	    now->why, now->better[0] != '\0' ? "; " : "", now->better);
}

/* Druid, which has said before what it is, does not any more; "": it does. */
static const char *
silence(const struct chooser *c)
{
	return c->druid != NULL && druid_facts(c->druid) != NULL
	    ? druid_trouble(c->druid)
	    : "";
}

static void
tell_silence(struct chooser *c)
{
	const char *why = silence(c);

	if (*why != '\0' && log_may_repeat(&c->silent_said_ms, SILENT_SAID_MS))
		log_warnx("delivery.mode auto: %s goes on; which Druid it is "
			  "now cannot be seen: %s",
		    delivery_mode_name(c->p.ds->delivery), why);
}

/* Whether another way is to be taken. A choice that is not remembered is none:
 * it is made again at the next word of Druid. */
static bool
follow(struct chooser *c, const struct choice *now)
{
	const struct druid_facts *druid = druid_facts(c->druid);
	struct delivery_note note = { .mode = now->mode };
	bool is_other = now->mode != c->p.ds->delivery;

	if (druid != NULL) {
		snprintf(note.druid, sizeof note.druid, "%s", druid->version);
		note.has_kafka = druid->has_kafka;
		if (is_other)
			FAULT_POINT(CHOOSE);
		if (!remember(c, &note) && is_other)
			return false;
	}
	if (druid != NULL || druid_was_asked(c->druid))
		tell(c, now, note.druid);
	c->choice = *now;
	if (is_other)
		FAULT_POINT(CHOSEN);
	return is_other;
}

bool
chooser_look(struct chooser *c, bool is_open)
{
	struct choice_facts facts = { .now = c->p.ds->delivery,
		.no_pull = c->no_pull };
	struct choice now;

	if (!c->is_due)
		return false;
	c->is_due = false;
	c->changed = true;
	facts.druid = druid_facts(c->druid);
	facts.trouble = druid_trouble(c->druid);
	facts.log_events = spool_log_counts(c->p.spool).events + is_open;
	tell_silence(c);
	choice_make(&facts, &now);
	return follow(c, &now);
}

/* ---- what can be seen ---- */

void
chooser_describe(const struct chooser *c, struct json *to)
{
	struct json *j = json_new_object();
	const struct druid_facts *druid =
	    c->druid != NULL ? druid_facts(c->druid) : NULL;

	json_set_text(j, "mode", delivery_mode_name(c->p.ds->delivery));
	json_set_bool(j, "auto", c->p.ds->is_auto);
	if (druid != NULL)
		json_set_text(j, "druid", druid->version);
	if (c->choice.why[0] != '\0')
		json_set_text(j, "why", c->choice.why);
	if (c->choice.better[0] != '\0')
		json_set_text(j, "better", c->choice.better);
	if (*silence(c) != '\0')
		json_set_text(j, "silence", silence(c));
	json_set(to, "delivery", j);
}

bool
chooser_changed(struct chooser *c)
{
	bool changed = c->changed;

	c->changed = false;
	return changed;
}
