/*
 * feed_door - consumers' new connections
 *
 * Process: feed.   Before: feed_link.c.
 */
#pragma once

#include "feed_link.h"

struct feed_door {
	struct feed_links *links;
	unsigned connections_max;
	/* private */
	struct loop_io io;
	struct loop_timer pause;
	int fd;
	int64_t said_ms;
	bool is_closed;
};

/* links and connections_max are set. fd: listening, taken over. False with
 * errno. */
bool feed_door_open(struct feed_door *, int fd);
void feed_door_close(struct feed_door *);
