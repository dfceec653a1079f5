/*
 * sandbox_http - the sandbox's HTTP/1.1 server
 *
 * Process: tranq-sandbox.   Owns: listeners, connections, their buffers.
 *
 * A request is told in two steps, since Druid acts on its head before it has
 * read the body: `begin` when the head and the body's first byte are there,
 * `finish` when the body is complete. It is answered from `finish` or any
 * time later; until then its connection waits. `gone` is called instead of
 * what was still to come when the client leaves before the answer.
 */
#pragma once

#include "buf.h"
#include "http_request.h"
#include "loop.h"

#define SANDBOX_BODY_MAX (256u * MiB)

struct sandbox_http;
struct sandbox_connection;

struct sandbox_request {
	struct http_request head;
	const char *bytes; /* what the head's views are offsets into */
	unsigned port; /* the listener it came by */
	/* from `finish` on: as the handler sees it, with JSON_SCAN_PADDING
	 * readable bytes behind; valid until `finish` returns */
	char *body;
	size_t body_bytes, wire_bytes;
	bool is_gzip;
	bool is_inflated;
	void *context; /* the handler's; NULL in `begin` */
	struct sandbox_connection *connection;
};

struct sandbox_reply {
	unsigned status;
	const char *type; /* NULL: no body */
	const char *headers; /* further lines, each with CRLF; or NULL */
	const char *body;
	size_t bytes;
};

typedef void sandbox_request_fn(void *context, struct sandbox_request *);

struct sandbox_http_options {
	struct loop *loop;
	bool inflates; /* gzip bodies; else they are passed on as they came */
	sandbox_request_fn *begin, *finish, *gone;
	void *context;
};

struct sandbox_http *sandbox_http_new(const struct sandbox_http_options *);
void sandbox_http_free(struct sandbox_http **);

/* port 0: any free one. Returns the port, or 0 with errno. */
unsigned
sandbox_http_listen(struct sandbox_http *, const char *address, unsigned port);
/* Refuses or takes new connections on a port that is listened on; those that
 * were there when it stops are reset. */
void sandbox_http_accept(struct sandbox_http *, unsigned port, bool on);

/* Each ends the request: the struct is not to be touched afterwards. */
void
sandbox_http_answer(struct sandbox_request *, const struct sandbox_reply *);
/* The connection is reset (RST), or closed properly. */
void sandbox_http_reset(struct sandbox_request *);
void sandbox_http_close(struct sandbox_request *);
/* 200 with a body of unknown length. `more` appends to the buffer what comes
 * next, nothing at the end; it is called once with NULL at last, end or not.
 */
typedef void sandbox_stream_fn(void *context, struct buf *);
void sandbox_http_stream(struct sandbox_request *, const char *type,
    sandbox_stream_fn *more, void *context);

/* Whether the client of a request that is not answered yet is still there. */
bool sandbox_http_connected(const struct sandbox_request *);
/* Trimmed value of a header field (lower case name); false: none. */
bool sandbox_http_field(const struct sandbox_request *, const char *name,
    const char **value, size_t *bytes);
