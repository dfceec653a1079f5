/*
 * port - the listening sockets that all receivers share, and the feed's
 *
 * Process: supervisor makes it, receivers and the feed accept.
 */
#pragma once

#include "conf.h"
#include "heritage.h"
#include "prepare.h"

#define PORT_BACKLOG 4096 /* the kernel cuts it to net.core.somaxconn */

/* "http.port": the file in {runDir} that has the number. */
const char *port_name(enum port_kind);
bool port_is_enabled(const struct conf *, enum port_kind);
/* The socket, and the port that it really has; -1 with the trouble. Not to
 * be called for one that is not enabled. */
int port_open(const struct conf *, enum port_kind, unsigned *port,
    struct trouble *) MUST_CHECK;
