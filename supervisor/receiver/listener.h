/*
 * listener - new connections from a socket that all receivers share
 *
 * Process: receiver.   Before: connection.c.
 */
#pragma once

#include "base.h"
#include "connection.h"
#include "loop.h"

struct listener {
	struct connections *connections;
	unsigned connections_max; /* of all listeners of all receivers */
	bool is_tls;
	/* private */
	int fd;
	struct loop *loop;
	struct loop_io io;
	struct loop_timer pause;
	int64_t complained_ms;
	bool is_stopped;
};

/* fd: listening, not owned; -1: none. False with errno. */
bool listener_start(struct listener *, struct loop *, int fd);
void listener_stop(struct listener *);
/* End of a turn: goes on when there is room for connections again. */
void listener_turn(struct listener *);
