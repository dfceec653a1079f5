/*
 * prepare - what must be there before anything is forked
 *
 * Process: supervisor.
 */
#pragma once

#include <sys/types.h>

#include "conf.h"

/* Why a start or a reload cannot go on: an exit code of sysexits.h and a
 * sentence that names the thing and the remedy. */
struct trouble {
	int code;
	char text[512];
};

/* Fills it; always false. With errno's text behind the message when
 * `error` is not 0. */
bool trouble_set(struct trouble *, int code, int error, const char *format, ...)
    PRINTF_LIKE(4, 5);

/* Whom children run as; ourselves when nothing is to be changed. */
struct identity {
	bool change; /* we are root and tranqd.user is set */
	uid_t uid;
	gid_t gid;
};

/* A conf_check of all that the processes will need, files of certificates with
 * it. */
void prepare_check(struct conf *, struct conf_problems *);
bool prepare_identity(
    const struct conf *, struct identity *, struct trouble *) MUST_CHECK;
bool prepare_run_dir(
    const struct conf *, const struct identity *, struct trouble *) MUST_CHECK;
/* {runDir}/tranqd.pid, locked as long as the process lives and the returned
 * descriptor is open; -1: another tranqd has it. `was_killed`: the one before
 * us has left it behind, so its children may still be about to leave. */
int prepare_pid_file(
    const struct conf *, bool *was_killed, struct trouble *) MUST_CHECK;
void prepare_pid_file_remove(const struct conf *);
/* {dataDir} and what all dataSources share. */
bool prepare_data_dir(
    const struct conf *, const struct identity *, struct trouble *) MUST_CHECK;
/* Whether {ds} can be the name of a folder; else EX_CONFIG. */
bool prepare_spool_name(const char *ds, struct trouble *) MUST_CHECK;
/* {dataDir}/spool/{ds}, writable for the worker. */
bool prepare_spool(const struct conf *, const char *ds, const struct identity *,
    struct trouble *) MUST_CHECK;
/* Raises RLIMIT_NOFILE to what children and we need (children that live
 * already do not see it: prepare_limits_of); a limit that is too low for
 * http.maxConnections alone is a warning. */
bool prepare_limits(
    const struct conf *, unsigned receivers, struct trouble *) MUST_CHECK;
/* Gives our RLIMIT_NOFILE to a child that was born before it was raised. */
void prepare_limits_of(pid_t);
/* Writes a small file in one step, for others to read. */
bool prepare_publish(const char *path, const char *text) MUST_CHECK;
