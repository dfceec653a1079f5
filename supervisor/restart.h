/*
 * restart - when a child that has died is to be started again
 *
 * Process: supervisor. Pure: no clock, no I/O.
 */
#pragma once

#include "base.h"

#define RESTART_HISTORY 16
#define RESTART_TEXT_BYTES 512
/* A life that was READY this long makes what came before it forgotten. */
#define RESTART_STEADY_MS (60 * 1000)
/* So many deaths of READY children in a row cost no delay: a kill under load
 * costs milliseconds, and a record that kills its worker is found by its
 * third death. */
#define RESTART_FREE 5
#define RESTART_DELAY_MIN_MS 100
#define RESTART_DELAY_MAX_MS (30 * 1000)

struct death {
	int64_t at_wall_ms;
	int pid;
	int status; /* as waitpid gave it; -1: fork failed */
	int64_t lived_ms; /* from the fork on */
	int64_t ready_ms; /* of that, READY; -1: it never was */
	bool hung; /* the supervisor killed it for that */
	char text[RESTART_TEXT_BYTES]; /* panic text, "" if none */
};

struct restart_history {
	struct death deaths[RESTART_HISTORY]; /* a ring */
	uint64_t count; /* all deaths ever */
	unsigned streak; /* deaths since the last steady life, with its end */
	unsigned streak_ready; /* of them, of children that were READY */
};

enum restart_verdict { RESTART_NOW, RESTART_LATER, RESTART_NEVER };

struct restart_decision {
	enum restart_verdict verdict;
	int64_t delay_ms;
};

/* Children that die together are not forked together: so many at once, and
 * then one in so many ms, whoever they are. */
#define RESTART_BURST 64
#define RESTART_SPACING_MS 25

struct restart_queue {
	int64_t next_ms; /* what is before it has been given away */
};

/* The next moment is taken; ms from now until it. */
int64_t restart_queue_take(struct restart_queue *, int64_t now_ms);

void restart_record(struct restart_history *, const struct death *);
/* What follows from the latest death recorded. */
struct restart_decision restart_decide(const struct restart_history *);
/* The latest death but `back`, NULL when there are not so many (kept). */
const struct death *
restart_death(const struct restart_history *, unsigned back);
/* "killed by signal 9 (Killed)", "exit status 75", … */
void restart_describe(const struct death *, char *to, size_t bytes);
