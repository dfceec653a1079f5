/*
 * feed_link - consumers' connections: frames in, answers out, waits
 *
 * Process: feed.   After: feed_door.c accepts.   Before: feed_serve.c.
 *
 * A connection's requests are served one after the other. Nothing more is read
 * from it while one waits or its answer is not out, so that a client who reads
 * nothing holds his frame and the head of one answer: the records stay in the
 * spool, and are found there when the socket takes more.
 *
 * Clients who stand still go: after pull.idleTimeout, or, when connections are
 * short, whoever has done so the longest.
 */
#pragma once

#include <sys/queue.h>

#include "feed_serve.h"
#include "loop.h"
#include "memory.h"
#include "tls.h"

#define FEED_LINK_PEER_BYTES 64
/* Whoever has to log in sends no larger frame before. */
#define FEED_LINK_LOGIN_BYTES_MAX (16u * KiB)
/* So long may it take to shake hands (TLS) and to log in, and a frame to
 * come. */
#define FEED_LINK_LOGIN_MS (10 * 1000)
#define FEED_LINK_FRAME_MS (30 * 1000)
/* Who has moved so lately is not sent away for a new one. */
#define FEED_LINK_STILL_MS 300

struct feed_link;

TAILQ_HEAD(feed_link_row, feed_link);

struct feed_links {
	struct loop *loop;
	struct feed_server *server;
	struct tls *tls; /* NULL: it is not spoken */
	struct memory memory; /* of all of them */
	unsigned count;
	bool is_draining, has_counted;
	/* private */
	struct feed_link_row row; /* by when something moved last */
	struct feed_link_row waiting, again, dead;
	struct loop_timer sweep;
	int64_t said_ms, said_memory_ms;
};

/* loop, server and tls are set. */
void feed_link_init_all(struct feed_links *, int64_t memory_bytes);
void feed_link_fini_all(struct feed_links *); /* closes them */
/* Takes over an accepted, non-blocking socket. */
void feed_link_accept(struct feed_links *, int fd);
/* End of a turn, also of one in which only the bell rang: who waits for a topic
 * that has changed is served. True: there is work for another one at once. */
bool feed_link_turn(struct feed_links *);
/* What waits is answered; who has his answer is closed. */
void feed_link_drain(struct feed_links *);
/* Room for a new one, for which a silent one goes. false: all are busy. */
bool feed_link_make_room(struct feed_links *);
