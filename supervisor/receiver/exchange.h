/*
 * exchange - requests out of a connection's bytes, one after the other
 *
 * Process: receiver.   After: connection.c reads.   Before: http_request.c,
 * route.c, post.c.
 * Fails:   the connection's is_broken is set; its owner destroys it.
 */
#pragma once

#include "base.h"
#include "connection.h"

#define EXCHANGE_OUTPUT_BYTES (64u * KiB) /* of connections.output */

/* Bytes that are looked at, at … used: shared input, or a connection's own. */
struct span {
	char *bytes;
	size_t at, used;
};

/* Handles whole requests until there is none, or one has to be waited for. */
void exchange_serve(struct connection *, struct span *);
/* Nothing more is to be taken from it for now. */
bool exchange_is_busy(const struct connection *);
/* Appends an answer to the output. */
void exchange_answer(struct connection *, const struct reply *);
/* The same, and nothing more is read behind it. */
void exchange_refuse(struct connection *, unsigned status, const char *text);
/* Moves `at` behind the request that is answered or in the rings. */
void exchange_consume(struct connection *, size_t *at);
/* Writes the output; what the socket does not take is kept. */
void exchange_flush(struct connection *);
/* Frees what is kept of it. */
void exchange_drop_output(struct connection *);
const struct conf *exchange_conf(const struct connections *);
