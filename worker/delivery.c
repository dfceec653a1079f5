/*
 * delivery - what ways to Druid have in common
 *
 * Process: worker.
 */
#include "delivery.h"

#include <inttypes.h>
#include <stdlib.h>

#include "panic.h"
#include "spool_log.h"

void
delivery_nothing(struct delivery *d UNUSED)
{
}

void
delivery_no_warmth(struct delivery *d UNUSED, struct interval i UNUSED)
{
}

unsigned
delivery_one_lane(struct delivery *d UNUSED, struct interval i UNUSED,
    unsigned partition UNUSED)
{
	return 0;
}

void
delivery_no_drain(struct delivery *d UNUSED, bool on UNUSED)
{
}

bool
delivery_yes(const struct delivery *d UNUSED)
{
	return true;
}

void
delivery_note_log(const struct spool *s, struct json *notes)
{
	uint64_t events = spool_log_counts(s).events;
	char *text;

	if (events == 0)
		return;
	text = must_format("%" PRIu64 " events are in the spool's log, which "
			   "no task is sent; with delivery.mode pull Druid "
			   "gets them",
	    events);
	json_append(notes, json_new_text(text));
	free(text);
}
