/*
 * pulse - whether a child still lives: what follows from its count of turns
 *
 * Process: supervisor. Pure: no clock, no I/O.
 *
 * Time here is what the supervisor itself has seen pass while it ran, so a
 * child is not blamed for a pause of the supervisor or of the whole machine.
 */
#pragma once

#include "base.h"

/* Parts of the time-out (tranqd.hangTimeout): silent for a quarter, it is
 * asked to turn; for a half, it is spoken of; for the whole, it hangs. */
#define PULSE_ASK_PART 4
#define PULSE_WORRY_PART 2
/* A process that waits for the disk gets so many times the time-out: an fsync
 * of a busy disk may take minutes and is no fault of the process. */
#define PULSE_PATIENCE 5
/* So does one that would run, but has had less CPU than this part of the
 * time-out since it is spoken of. */
#define PULSE_CPU_PART 4
#define PULSE_LOOK_MIN_MS 100
#define PULSE_LOOK_MAX_MS 5000

struct pulse {
	uint64_t turns; /* as seen last */
	int64_t seen_ms; /* when */
	int64_t silent_ms; /* since it has turned */
	bool is_asked, is_worrying;
};

enum pulse_verdict {
	PULSE_GOOD,
	PULSE_ASK, /* send ORDER_PING */
	PULSE_WORRY, /* say so, once */
	PULSE_HANGS,
};

/* For a process that begins now. */
void pulse_begin(struct pulse *, uint64_t turns, int64_t now_ms);
/* A look; timeout_ms 0: it may be silent for ever. */
enum pulse_verdict
pulse_look(struct pulse *, uint64_t turns, int64_t now_ms, int64_t timeout_ms);
/* PULSE_HANGS holds for one that is waited for too. */
bool pulse_is_lost(const struct pulse *, int64_t timeout_ms);
/* How often to look. */
int64_t pulse_period_ms(int64_t timeout_ms);
