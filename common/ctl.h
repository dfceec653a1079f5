/*
 * ctl - the control protocol: one request a connection, in lines
 *
 * Process: supervisor (control.c serves), tranqctl asks.
 *
 * Request:  "COMMAND[ ARGUMENTS]\n".
 * Answer:   any number of "wait MS\n" (it may take so long from now), then
 *           "ok[ TEXT]\n" or "error TEXT\n", then a body up to the end.
 */
#pragma once

#include <sys/types.h>

#include "base.h"
#include "buf.h"

#define CTL_LINE_MAX 2048u /* a request, a status line's text */
#define CTL_BODY_MAX (64u * MiB)
#define CTL_ANSWER_MS (10 * 1000) /* before the first "wait" */
#define CTL_WAIT_MAX_MS (24 * 3600 * 1000)

enum ctl_wait { CTL_AT_ONCE, CTL_LATER };

#define CTL_COMMAND(member, ...) CTL_##member,
enum ctl_command {
#include "commands.def"
	CTL_COMMANDS
};
#undef CTL_COMMAND

const char *ctl_name(enum ctl_command);
const char *ctl_text(enum ctl_command); /* what it does, one line */
enum ctl_wait ctl_waits(enum ctl_command);
/* A request line without its newline; `arguments` is what stands behind the
 * command ("" if nothing). False when there is no such command. */
bool ctl_parse(
    const char *line, enum ctl_command *, const char **arguments) MUST_CHECK;

enum ctl_outcome {
	CTL_DONE, /* "ok" */
	CTL_REFUSED, /* "error" */
	CTL_NO_DAEMON, /* nobody listens there */
	CTL_BROKEN, /* no answer in time, or none at all; says why */
};

struct ctl_answer {
	char text[CTL_LINE_MAX]; /* of the status line, or why there is none */
	struct buf body;
	pid_t pid; /* the daemon's; 0: unknown */
};

/* Asks and waits for the whole answer, as long as the daemon says. The
 * answer is to be freed in any case. */
enum ctl_outcome ctl_ask(
    const char *socket_path, const char *line, struct ctl_answer *) MUST_CHECK;
void ctl_answer_free(struct ctl_answer *);
/* Waits until a process that is not our child has ended; false after the
 * time. */
bool ctl_wait_for_end(pid_t, int64_t timeout_ms) MUST_CHECK;
