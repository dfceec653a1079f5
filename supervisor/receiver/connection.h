/*
 * connection - one client: bytes in, requests one after the other, answers out
 *
 * Process: receiver.   After: listener.c.   Before: http_request.c, post.c.
 *
 * Bytes are read into one buffer that all connections share, and requests
 * that are complete are handled there. Only what is left over - half a
 * request, one that waits for room - is copied to memory of the connection,
 * so an idle connection costs this struct and nothing more.
 */
#pragma once

#include "base.h"
#include "http_request.h"
#include "life.h"
#include "loop.h"
#include "memory.h"
#include "post.h"
#include "tls.h"

#define CONNECTION_PEER_BYTES 48

struct connection {
	struct loop_io io;
	struct connections *all;
	struct connection *older, *newer; /* by when something moved last */
	struct connection *next_again, *next_parked, *next_dead;
	int64_t moved_ms;
	int64_t waits_ms; /* since when, for memory; 0: it does not */
	struct loop_timer timer; /* handshake, head, parked, lingering */
	struct post *post; /* the request that is waited for, or NULL */
	struct tls_session *tls; /* NULL: plain HTTP */

	/* bytes at … used of `own` are read and not consumed */
	char *own;
	size_t own_size, own_at, own_used;
	/* bytes at … used of `out` could not be written yet */
	char *out;
	size_t out_at, out_used;
	size_t out_charged; /* to the memory */

	struct http_request request;
	struct http_chunked chunked;
	size_t body_bytes; /* of a chunked body, so far */
	size_t request_bytes; /* of a complete request, as they came */
	uint64_t trickle; /* bytes of a body since `moved_ms` */

	bool is_handshaking; /* of TLS; nothing else is done then */
	bool is_readable; /* as far as epoll has told */
	bool is_peer_done; /* it will send nothing more */
	bool is_unserved; /* `own` may hold a whole request */
	bool has_head, is_checked; /* of the request that is being read */
	bool is_kept; /* `own` holds the request that `post` needs */
	bool is_old, is_head, keeps_alive; /* of the request to be answered */
	bool is_closing; /* the last answer is on its way */
	bool is_broken; /* to be destroyed */
	bool is_head_timed; /* `timer` is of the head that is being read */
	bool is_lingering, is_parked, is_again, is_dead;
};

/* All of a receiver's. */
struct connections {
	struct loop *loop;
	struct posts *posts;
	struct counters counters;
	bool has_counted; /* counters differ from what was published */
	struct memory memory;
	unsigned count, handshaking;
	/* with all other receivers', http.maxConnections (heritage.h) */
	_Atomic uint32_t *crowd;
	unsigned crowd_count, crowd_index;
	bool is_draining;
	/* private */
	char *input, *output;
	size_t output_used;
	struct connection *oldest, *newest;
	struct connection *again, **again_end;
	struct connection *parked, **parked_end;
	struct connection *dead;
	struct loop_timer sweep;
	int64_t date_second;
	/* of a handshake, of credentials */
	int64_t complained_tls_ms, complained_auth_ms;
	char date[REPLY_DATE_BYTES];
};

void connection_init_all(struct connections *, struct loop *, struct posts *);
void connection_fini_all(struct connections *); /* closes them */
/* How many are open, all receivers together. */
unsigned connection_crowd(const struct connections *);
/* Takes over an accepted, non-blocking socket; is_tls: by the settings'. */
void connection_accept(struct connections *, int fd, bool is_tls);
/* Closes it at once; its memory goes at the turn's end. */
void connection_destroy(struct connection *);
/* It was too slow: an unfinished request is answered 408 with that text. */
void connection_time_out(struct connection *, const char *why);
/* As send: to the socket, through TLS where that is spoken. */
ssize_t connection_send(struct connection *, const void *, size_t);
/* The other side's address, for the log. */
const char *connection_peer(
    const struct connection *, char to[static CONNECTION_PEER_BYTES]);
/* End of a turn; true: there is work for another one at once. */
bool connection_turn(struct connections *);
/* Closes the idle ones; the others are closed behind their answers. */
void connection_drain(struct connections *);
/* The time-out may have changed. */
void connection_settings_changed(struct connections *);
