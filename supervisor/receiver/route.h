/*
 * route - what a request's head asks for
 *
 * Process: receiver. Pure.   After: http_request.c.   Before: post.c.
 * Checks in Tranquility's order (tranquility.md 1): path, async, content
 * type, content encoding.
 */
#pragma once

#include "base.h"
#include "http_request.h"
#include "inflate.h"

enum route_kind { ROUTE_BANNER, ROUTE_POST, ROUTE_REFUSED };

struct route {
	enum route_kind kind;
	/* post */
	const char *ds; /* NULL: each event names its own */
	size_t ds_bytes;
	bool is_async;
	enum inflate_coding coding; /* of the body */
	/* refused */
	unsigned status;
	const char *text; /* with its newline */
	/* private */
	char decoded[512];
};

/* `head` must live as long as the route's ds is used. */
void route_find(struct route *, const struct http_request *, const char *head);
