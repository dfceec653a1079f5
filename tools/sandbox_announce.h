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
	unsigned task_port;
	bool has_tls_field; /* "sslPort":-1 instead of null */
};

/* NULL: the connect string is none. */
struct announce *announce_new(struct loop *, const struct announce_options *);
void announce_free(struct announce **); /* ends the session */
/* "druid/overlord", on the Overlord's port. */
void announce_overlord(struct announce *, const char *service, unsigned port);
void announce_firehose(struct announce *, const char *service);
void announce_withdraw(struct announce *, const char *service);
bool announce_is_connected(const struct announce *);
