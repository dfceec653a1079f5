/*
 * endpoint - "host:port" as text
 *
 * Process: all. Pure.
 */
#pragma once

#include "base.h"

#define ENDPOINT_HOST_BYTES 256

struct endpoint {
	char host[ENDPOINT_HOST_BYTES]; /* an IPv6 address without brackets */
	unsigned port; /* 0: none was given, or any */
};

/* HOST, HOST:PORT, [IPV6], [IPV6]:PORT; no host, or *, is everywhere. False: it
 * is none of these. */
bool endpoint_parse(const char *text, struct endpoint *) MUST_CHECK;
/* No certain one: "", *, 0.0.0.0 or ::. */
bool endpoint_is_everywhere(const struct endpoint *);
/* Of this machine only: localhost, 127.… or ::1. */
bool endpoint_is_loopback(const struct endpoint *);
