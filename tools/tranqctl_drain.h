/*
 * tranqctl_drain - tranqctl drain [--undo] [--timeout PERIOD] [DATASOURCE]
 *
 * Process: tranqctl. The daemon's workers do it; this tells them, and shows how
 * far they are.
 */
#pragma once

#include "base.h"

struct drain_arguments {
	const char *socket; /* the daemon's */
	const char *ds; /* NULL: all that it has */
	bool undo;
	const char *timeout; /* ISO 8601; NULL: DRAIN_TIMEOUT */
};

#define DRAIN_TIMEOUT "PT1H"

enum drain_outcome {
	DRAIN_GOOD, /* all is in Druid; undo: events are taken again */
	DRAIN_LEFT, /* not all (said what), or refused */
	DRAIN_WRONG_USE,
	DRAIN_NO_DAEMON,
};

enum drain_outcome drain_command(const struct drain_arguments *);
