/*
 * patience - how long a connection may be slow, and who goes first
 *
 * Process: receiver.   Beside connection.c, which tells what moves.
 *
 * All connections stand in a row by when something moved on them last. What
 * moves: a request's first byte, a body that comes at http.bodyRateMin, an
 * answer's bytes that are taken. Who has stood still for http.idleTimeout is
 * closed. A head has http.headTimeout, whatever moves.
 */
#pragma once

#include "connection.h"

void patience_enter(struct connection *); /* a new one, at the row's end */
void patience_leave(struct connection *);
/* Something moved: the idle time begins anew. */
void patience_touch(struct connection *);
/* Bytes came; they may be too few to count as movement. */
void patience_received(struct connection *, size_t bytes);
/* After bytes were looked at: whether a head is being waited for. */
void patience_watch_head(struct connection *);
/* The times may have changed. */
void patience_settings_changed(struct connections *);
void patience_fini(struct connections *);
/* Whether somebody would have to go for a new one, and could. */
bool patience_can_make_room(struct connections *);
/* Closes him: on whom nothing has moved the longest, whose events are not
 * under way. */
void patience_make_room(struct connections *);
