/*
 * pulse - whether a child still lives: what follows from its count of turns
 *
 * Process: supervisor. Pure.
 */
#include "pulse.h"

int64_t
pulse_period_ms(int64_t timeout_ms)
{
	if (timeout_ms == 0)
		return PULSE_LOOK_MAX_MS;
	return MIN_OF(
	    MAX_OF(timeout_ms / (2 * PULSE_ASK_PART), PULSE_LOOK_MIN_MS),
	    PULSE_LOOK_MAX_MS);
}

void
pulse_begin(struct pulse *p, uint64_t turns, int64_t now_ms)
{
	*p = (struct pulse){ .turns = turns, .seen_ms = now_ms };
}

enum pulse_verdict
pulse_look(struct pulse *p, uint64_t turns, int64_t now_ms, int64_t timeout_ms)
{
	/* a longer pause than that is ours */
	int64_t passed =
	    MIN_OF(now_ms - p->seen_ms, 2 * pulse_period_ms(timeout_ms));

	if (turns != p->turns) {
		pulse_begin(p, turns, now_ms);
		return PULSE_GOOD;
	}
	p->seen_ms = now_ms;
	p->silent_ms += MAX_OF(passed, 0);
	if (timeout_ms == 0)
		return PULSE_GOOD;
	if (p->silent_ms >= timeout_ms && p->is_worrying)
		return PULSE_HANGS;
	if (p->silent_ms >= timeout_ms / PULSE_WORRY_PART && p->is_asked &&
	    !p->is_worrying) {
		p->is_worrying = true;
		return PULSE_WORRY;
	}
	if (p->silent_ms >= timeout_ms / PULSE_ASK_PART && !p->is_asked) {
		p->is_asked = true;
		return PULSE_ASK;
	}
	return PULSE_GOOD;
}

bool
pulse_is_lost(const struct pulse *p, int64_t timeout_ms)
{
	return p->silent_ms / PULSE_PATIENCE >= timeout_ms;
}
