/*
 * loop_until - a test turns its loop until something is so
 */
#pragma once

#include "loop.h"

#define LOOP_UNTIL_MS 20000 /* then the test has failed */

struct loop_watchdog {
	struct loop_timer timer;
	bool barked;
};

static inline void
loop_watchdog_due(struct loop_timer *t)
{
	struct loop_watchdog *w = t->context;

	w->barked = true;
}

#define LOOP_UNTIL(l, condition)                                         \
	do {                                                             \
		struct loop_watchdog dog_ = { .barked = false };         \
		dog_.timer.context = &dog_;                              \
		loop_timer_start(                                        \
		    (l), &dog_.timer, LOOP_UNTIL_MS, loop_watchdog_due); \
		while (!(condition) && !dog_.barked)                     \
			loop_once(l);                                    \
		loop_timer_stop(&dog_.timer);                            \
		if (dog_.barked)                                         \
			fail_msg("not in time: %s", #condition);         \
	} while (0)
