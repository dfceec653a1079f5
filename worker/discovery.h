/*
 * discovery - where a service is, as announced in ZooKeeper (Curator)
 *
 * Process: worker. {path}/{service, '/' as ':'}/{instance}, one JSON document
 * an instance: druid-api.md 4.1. Overlords and the firehoses of tasks are
 * announced there.
 */
#pragma once

#include "base.h"
#include "result.h"
#include "zk.h"

#define DISCOVERY_HOST_BYTES 256
#define DISCOVERY_NAMES_MAX 64

struct discovery_place {
	char host[DISCOVERY_HOST_BYTES];
	int port; /* 0: no plain HTTP there */
	int tls_port; /* 0: no TLS there */
};

/* One instance's document. False with `*why` (static) when it is none. */
bool discovery_parse(
    const char *text, size_t bytes, struct discovery_place *, const char **why);

struct discovery_answer {
	/* GONE: no such service, or none of it is there. REFUSED: access
	 * denied, or no instance's document can be used (said in the log) */
	enum result result;
	struct discovery_place place; /* RESULT_OK: one of them, drawn */
	/* RESULT_GONE: services that are there, without the firehoses; at most
	 * DISCOVERY_NAMES_MAX, in order */
	const char *const *names;
	size_t name_count;
};

/* Lent for the call. */
typedef void discovery_done_fn(void *context, const struct discovery_answer *);

struct discovery;

/* One look-up; `path` and `service` are copied. It ends by itself with `done`
 * (the pointer is no good from then on), or by discovery_cancel without. */
struct discovery *discovery_find(struct zk *, const char *path,
    const char *service, discovery_done_fn *done, void *context);
void discovery_cancel(struct discovery **);
