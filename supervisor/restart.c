/*
 * restart - when a child that has died is to be started again
 *
 * Process: supervisor. Pure.
 */
#include "restart.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "heritage.h"
#include "panic.h"

void
restart_record(struct restart_history *h, const struct death *d)
{
	must(d->lived_ms >= 0 && d->ready_ms <= d->lived_ms);
	h->deaths[h->count++ % RESTART_HISTORY] = *d;
	if (d->ready_ms >= RESTART_STEADY_MS)
		h->streak = h->streak_ready = 0;
	h->streak++;
	if (d->ready_ms >= 0)
		h->streak_ready++;
}

const struct death *
restart_death(const struct restart_history *h, unsigned back)
{
	if (back >= h->count || back >= RESTART_HISTORY)
		return NULL;
	return &h->deaths[(h->count - 1 - back) % RESTART_HISTORY];
}

/* 100 ms, 200 ms, … for the first, second, … that has to wait. */
static int64_t
delay_ms(unsigned nth)
{
	int64_t ms = RESTART_DELAY_MIN_MS;

	while (nth-- > 1 && ms < RESTART_DELAY_MAX_MS)
		ms *= 2;
	return MIN_OF(ms, RESTART_DELAY_MAX_MS);
}

struct restart_decision
restart_decide(const struct restart_history *h)
{
	const struct death *last = restart_death(h, 0);
	unsigned free_of_charge = MIN_OF(h->streak_ready, RESTART_FREE);

	must(last != NULL);
	if (last->status != -1 && WIFEXITED(last->status) &&
	    WEXITSTATUS(last->status) == CHILD_BAD_CONFIG)
		return (struct restart_decision){ RESTART_NEVER, 0 };
	if (last->ready_ms >= 0 && h->streak <= RESTART_FREE)
		return (struct restart_decision){ RESTART_NOW, 0 };
	must(h->streak > 0);
	return (struct restart_decision){ RESTART_LATER,
		delay_ms(MAX_OF(h->streak - free_of_charge, 1)) };
}

int64_t
restart_queue_take(struct restart_queue *q, int64_t now_ms)
{
	int64_t at = MAX_OF(
	    q->next_ms, now_ms - (RESTART_BURST - 1) * RESTART_SPACING_MS);

	q->next_ms = at + RESTART_SPACING_MS;
	return MAX_OF(at - now_ms, 0);
}

void
restart_describe(const struct death *d, char *to, size_t bytes)
{
	if (d->status == -1)
		snprintf(to, bytes, "could not be started");
	else if (d->hung)
		snprintf(to, bytes, "hung and was killed");
	else if (WIFSIGNALED(d->status))
		snprintf(to, bytes, "killed by signal %d (%s)",
		    WTERMSIG(d->status), strsignal(WTERMSIG(d->status)));
	else
		snprintf(to, bytes, "exit status %d", WEXITSTATUS(d->status));
}
