/*
 * fault - named points at which a test kills, stops or fails a process
 *
 * Process: all.   Only with -DTRANQ_FAULTS (make fault-programs): in the
 * program that is installed a point is nothing at all.
 *
 * The points are in fault.def. What is to happen at which passage stands in a
 * file that TRANQ_FAULT_FILE names (tests/helper/faults.py writes it); the
 * supervisor maps it before it forks, so it works behind a sandbox too, and
 * outlives whoever is killed. Without that variable nothing happens.
 */
#pragma once

#include "base.h"

#ifdef TRANQ_FAULTS

enum fault_point {
#define FAULT(name, scenario, text) FAULT_##name,
#include "fault.def"
#undef FAULT
	FAULT_POINTS
};

/* Maps the file, if there is one; before the first fork. */
void fault_open(void);
/* For `tranqd faults`: a line for each point: name, scenario, text. */
void fault_print(void);
/* A passage: may not return, or after a SIGCONT. An errno when a failure is
 * wanted here, else 0. */
int fault_pass(enum fault_point);

#define FAULT_POINT(name) ((void)fault_pass(FAULT_##name))
/* The same where a failure can be played: an errno, or 0. */
#define FAULT_ERROR(name) fault_pass(FAULT_##name)

#else

#define FAULT_POINT(name) ((void)0)
#define FAULT_ERROR(name) 0

static inline void
fault_open(void)
{
}

#endif
