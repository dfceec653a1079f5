/*
 * route - what a request's head asks for
 *
 * Process: receiver. Pure.   After: http_request.c.   Before: post.c.
 * Checks in Tranquility's order (tranquility.md 1): path, async (and our
 * detail), content type, content encoding.
 */
#pragma once

#include "base.h"
#include "http_request.h"
#include "inflate.h"

enum route_kind { ROUTE_BANNER, ROUTE_POST, ROUTE_REFUSED };

/* What a body is written in. */
enum route_type { ROUTE_JSON, ROUTE_SMILE, ROUTE_TEXT };

struct route {
	enum route_kind kind;
	/* post */
	const char *ds; /* NULL: each event names its own */
	size_t ds_bytes;
	bool is_async, is_detailed;
	enum route_type type; /* ROUTE_TEXT: with a ds */
	enum inflate_coding coding; /* of the body */
	/* refused */
	unsigned status;
	const char *text; /* with its newline */
	/* private */
	char decoded[512];
};

/* `head` must live as long as the route's ds is used. */
void route_find(struct route *, const struct http_request *, const char *head);
