/*
 * control - the control socket's server side
 *
 * Process: supervisor.
 */
#pragma once

#include <sys/types.h>

#include "ctl.h"
#include "loop.h"
#include "prepare.h"

#define CONTROL_CLIENTS 16
#define CONTROL_READ_MS (5 * 1000) /* for the request */
#define CONTROL_WRITE_MS (30 * 1000) /* for the answer */

struct control;

/* A request: the ticket is how the answer finds its way, now or later; it
 * may have become void meanwhile (the client is gone). */
typedef void control_fn(
    void *context, uint64_t ticket, enum ctl_command, const char *arguments);

/* Listens at `path`; takes over a socket that a dead daemon has left. */
struct control *control_open(struct loop *, const char *path, control_fn *,
    void *context, struct trouble *) MUST_CHECK;
/* This user and the members of this group may ask too. */
void control_allow(struct control *, uid_t, gid_t);
/* Sends what is still to be sent as far as it goes without waiting, and
 * removes the socket. */
void control_close(struct control **);

/* "wait MS": the answer may take so long from now. */
void control_delay(struct control *, uint64_t ticket, int64_t ms);
/* One line of text, and a body (copied; NULL: none). */
void control_answer(struct control *, uint64_t ticket, bool ok,
    const char *text, const struct buf *body);
