/*
 * http_client - HTTP requests out, on the loop
 *
 * Process: worker.   Owns: libcurl (multi interface); nothing else includes
 * it. Connections are kept and used again.
 */
#pragma once

#include "base.h"
#include "conf.h"
#include "loop.h"

#define HTTP_ANSWER_MAX (16u * MiB) /* a longer answer is a failure */

struct http_client;

enum http_outcome {
	HTTP_ANSWERED, /* status and body are there */
	HTTP_UNREACHED, /* no connection: the request never left */
	/* broken off before all of the request had left, or while not all of
	 * it was confirmed */
	HTTP_CUT_SHORT,
	HTTP_UNKNOWN, /* all of it left, no complete answer came */
};

struct http_answer {
	enum http_outcome outcome;
	int status; /* 0: none came; without HTTP_ANSWERED the rest did not */
	const char *body; /* as far as it came, with a NUL behind it, lent for
			     the call */
	size_t body_bytes;
	const char *redirect; /* of a 3xx: the URL it leads to, or NULL; lent */
	const char *why; /* one sentence when it was not answered */
};

typedef void http_done_fn(void *context, const struct http_answer *);
typedef void http_held_fn(void *context);

struct http_call {
	const char *url;
	/* POST when not NULL; must stay until `done` */
	const char *body;
	size_t body_bytes;
	/* "Name: value" lines, NULL-terminated; copied */
	const char *const *headers;
	bool authorize; /* with user and password, if there are any */
	int64_t timeout_ms; /* for the whole of it */
	/* A request whose bytes the other machine has not all confirmed when
	 * the time is over may be there in part, whole, or not at all. The
	 * kernel goes on trying, so it is held on to until that is clear, at
	 * most this long; 0: it is not. `held`, if any, is told again and
	 * again; it may cancel the call. */
	int64_t hold_ms;
	http_held_fn *held;
	http_done_fn *done; /* once, from the loop, unless cancelled */
	void *context;
};

struct http_client *http_client_new(struct loop *);
/* TLS and Basic authentication as the dataSource has them (druid.tls.*,
 * druidBeam.basicAuth*), which must stay. */
void http_client_secure(struct http_client *, const struct ds_conf *);
/* Cancels what is under way. */
void http_client_free(struct http_client **);
/* Begins a call (redirects are answers, what to do is the caller's business); a handle for http_cancel, good until `done` has begun. */
struct http_exchange *http_send(struct http_client *, const struct http_call *);
/* Ends it without `done`. What the kernel has of the request it goes on
 * sending. */
void http_cancel(struct http_client *, struct http_exchange **);
/* The same, and what was held on to is sent no more. True: the other machine
 * may have a part of the request, and not the rest. */
bool http_give_up(struct http_client *, struct http_exchange **);
unsigned http_under_way(const struct http_client *);
/* Text for one part of a URL's path, escaped; new, to be freed. */
char *http_escape(const char *text);
