/*
 * status - the document that `tranqctl status` prints
 *
 * Process: supervisor.
 *
 * Schema, version 1 (members are added, never changed or taken away):
 * {"version", "supervisor": {…}, "receivers": […], "dataSources": […]};
 * counters have the names of counters.def.
 */
#pragma once

#include "buf.h"

#define STATUS_VERSION 1

struct supervisor;

/* Compact JSON; the workers' own texts (beams) are left out when the whole
 * would not fit into the buffer. */
void status_print(struct supervisor *, struct buf *);
