/*
 * port - the listening socket that all receivers share
 *
 * Process: supervisor makes it, receivers accept.
 */
#pragma once

#include "conf.h"
#include "prepare.h"

#define PORT_BACKLOG 4096 /* the kernel cuts it to net.core.somaxconn */

/* The socket, and the port that it really has; -1 with the trouble. Not to
 * be called when http.port.enable is false. */
int port_open(const struct conf *, unsigned *port, struct trouble *) MUST_CHECK;
