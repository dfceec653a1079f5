/*
 * script_server - an HTTP server on the test's own loop that does what the
 * test has told it beforehand, request by request
 */
#pragma once

#include "buf.h"
#include "loop.h"

struct script_server;

/* What came in; lent until the server is freed. */
struct script_request {
	char method[16], target[512];
	char *head; /* the lines of the head, with the first one */
	char *body;
	size_t body_bytes;
	unsigned connection; /* counted from 1 */
};

struct script_server *script_new(struct loop *);
void script_free(struct script_server **);
int script_port(const struct script_server *);
const char *script_url(const struct script_server *); /* http://127.0.0.1:… */

/* Steps, one a request, in their order. A request for which there is none is
 * answered 599. */
void script_answer(struct script_server *, int status, const char *body);
/* These bytes; then the connection is closed when `and_close`. */
void script_bytes(
    struct script_server *, const char *bytes, size_t count, bool and_close);
/* Reads the request whole and closes, or resets, without an answer. */
void script_close(struct script_server *);
void script_reset(struct script_server *);
/* Resets as soon as the head is there, the body unread. */
void script_reset_at_head(struct script_server *);
/* Answers nothing, for as long as nobody lets go. */
void script_hold(struct script_server *);
/* Ends all connections, idle ones and held ones. */
void script_drop(struct script_server *);

unsigned script_left(const struct script_server *); /* steps not yet used */
unsigned script_held(const struct script_server *);
unsigned script_connections(const struct script_server *); /* so far */
unsigned script_requests(const struct script_server *);
const struct script_request *
script_request(const struct script_server *, unsigned index);
/* Value of a header, copied to `to`; false: not there. */
bool script_header(
    const struct script_request *, const char *name, char *to, size_t bytes);
