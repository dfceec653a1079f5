/*
 * supervisor - owns sockets and shared memory, keeps receivers and workers up
 *
 * Process: supervisor.
 */
#pragma once

#include "control.h"
#include "feeder.h"
#include "front.h"
#include "reload.h"
#include "source.h"

/* In this order, never back. */
enum supervisor_phase {
	SUPERVISOR_STARTING,
	SUPERVISOR_RUNNING,
	SUPERVISOR_STOPS_FRONTS, /* receivers and feed answer what is in flight */
	SUPERVISOR_STOPS_WORKERS, /* workers drain */
};

struct supervisor_options {
	const char *file; /* of the configuration */
	const char *pid_file; /* a second one, or NULL */
	int ready_fd; /* gets a byte when all is up; -1: nobody waits */
	/* standard error for a failed start, when the log is elsewhere; -1 */
	int complain_fd;
};

struct supervisor {
	struct supervisor_options options;
	struct loop *loop;
	enum supervisor_phase phase;
	/* in force, without secrets: what new receivers get */
	struct conf *conf;
	/* start time in ns; those of channels count on from it */
	uint64_t generation, sources_made;
	int64_t started_ms, started_wall_ms;
	struct identity identity;
	struct confine *confine; /* of children; NULL: they are not */
	int pid_fd;
	bool follows_killed; /* the supervisor before us left no good order */
	int listen_fds[PORT_KINDS]; /* -1: not enabled, or stopping */
	unsigned ports[PORT_KINDS];
	int feed_bell; /* rung by all workers (log_page.h) */

	struct feeder *feeder; /* NULL: pull.listen is not set */
	struct front *fronts;
	unsigned front_count;
	_Atomic uint32_t *crowd; /* heritage.h */
	size_t crowd_bytes;
	struct source **sources; /* sorted by name */
	unsigned source_count;

	struct control *control;
	struct reload reload;
	bool look; /* something has changed since the last look */
	int64_t stop_deadline_ms;
	uint64_t stop_tickets[CONTROL_CLIENTS];
	unsigned stop_ticket_count;
	struct loop_timer tick, pulse_timer, start_timer;
	struct restart_queue restarts;
};

/* Runs the daemon; the exit code. Takes over the configuration, which should be
 * one without secrets (vault_load). */
int supervisor_run(const struct supervisor_options *, struct conf **);

/* For front, source, reload, status. */
struct source *supervisor_find(const struct supervisor *, const char *name);
void supervisor_add(struct supervisor *, struct source *);
void supervisor_take_out(struct supervisor *, const struct source *);
/* Something has changed: the turn's end looks what follows from it. */
void supervisor_look(struct supervisor *);
void supervisor_kill(struct child *, int signal);
void supervisor_examine(struct child *, struct vitals *);
/* log.* as the configuration in force has it, here and in all children. */
void supervisor_apply_log(struct supervisor *);
bool supervisor_stopping(const struct supervisor *);
