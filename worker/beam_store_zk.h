/*
 * beam_store_zk - the beams of a dataSource in ZooKeeper
 *
 * Process: worker. Shared with all other instances, JVM Tranquility's too:
 * {path}/{service, '/' as ':'}/{dataSource}/data and …/mutex.
 */
#pragma once

#include "beam_store.h"
#include "zk.h"

struct beam_store_zk_options {
	struct zk *zk; /* must outlive the store */
	const char *path; /* zookeeper.path */
	const char *service; /* druid.selectors.indexing.serviceName */
	const char *ds;
	int64_t
	    lock_wait_ms; /* what beam_store_lock waits for others at most */
};

/* Texts are copied. */
struct beam_store *beam_store_zk_new(const struct beam_store_zk_options *);
