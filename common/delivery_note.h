/*
 * delivery_note - the file that says which way a dataSource's events went
 *
 * Process: worker writes it, the supervisor looks before it makes channels.
 *
 * {dataDir}/spool/{dataSource}/delivery: the way, and which Druid it was chosen
 * for ("pull 34.0.1 kafka"). With delivery.mode auto a start goes on by it until
 * Druid has been asked.
 */
#pragma once

#include "base.h"
#include "delivery_mode.h"

#define DELIVERY_NOTE_DRUID_BYTES 64

struct delivery_note {
	enum delivery_mode mode;
	char druid[DELIVERY_NOTE_DRUID_BYTES]; /* "": it was not known */
	bool has_kafka; /* its Kafka ingestion was loaded */
};

/* dir: the spool's. False: there is none, or it cannot be read. */
bool delivery_note_read(const char *dir, struct delivery_note *) MUST_CHECK;
/* Durable when it returns true; false with errno: the one before is there. */
bool
delivery_note_write(const char *dir, const struct delivery_note *) MUST_CHECK;
/* The text of the file, and back. Pure. */
#define DELIVERY_NOTE_BYTES (DELIVERY_NOTE_DRUID_BYTES + 32)
void delivery_note_print(
    const struct delivery_note *, char to[static DELIVERY_NOTE_BYTES]);
bool delivery_note_parse(const char *text, struct delivery_note *) MUST_CHECK;
