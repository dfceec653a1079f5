/*
 * vitals - what the kernel says of a process that has gone silent
 *
 * Process: supervisor. Reads /proc.
 */
#pragma once

#include <sys/types.h>

#include "base.h"

#define VITALS_TEXT_BYTES 160

struct vitals {
	/* as in /proc/PID/stat: R runs, S sleeps, D waits for the disk, T is
	 * stopped, t is held by a debugger; '?' when it cannot be read */
	char state;
	int64_t cpu_ms; /* that it has used in all its life */
	char text[VITALS_TEXT_BYTES]; /* "waits for the disk, in fdatasync" */
};

void vitals_read(pid_t, struct vitals *);
