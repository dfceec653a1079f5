/*
 * sandbox_announce - the sandbox in Curator's service discovery
 *
 * Process: tranq-sandbox. druid-api.md 4.1. Every function does nothing on
 * NULL: ZooKeeper is optional.
 */
#pragma once

#include "base.h"
#include "loop.h"

struct announce;

struct announce_options {
	const char *connect; /* host:port[,…][/folder] */
	const char *discovery; /* "/druid/discovery" */
	const char *address;
	unsigned task_port,
	    tls_port; /* tls_port: instead of the plain ones; or 0 */
	bool has_tls_field; /* "sslPort":-1 instead of null */
};

/* NULL: the connect string is none. */
struct announce *
sandbox_announce_new(struct loop *, const struct announce_options *);
void sandbox_announce_free(struct announce **); /* ends the session */
/* "druid/overlord", on the Overlord's port. */
void sandbox_announce_overlord(
    struct announce *, const char *service, unsigned port);
void sandbox_announce_firehose(struct announce *, const char *service);
void sandbox_announce_withdraw(struct announce *, const char *service);
bool sandbox_announce_is_connected(const struct announce *);
