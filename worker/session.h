/*
 * session - the worker's ZooKeeper session, and its predecessor's
 *
 * Process: worker.   Before: zk.
 *
 * A worker that is killed leaves its session behind: whoever waits for the
 * beams' mutex, its own successor above all, would wait for the session
 * timeout. So each session is noted in the spool, and what is noted there is
 * ended before a new session begins. The spool's lock says that its owner is
 * dead.
 */
#pragma once

#include "conf.h"
#include "loop.h"
#include "spool.h"
#include "zk.h"

struct session;

/* NULL: zookeeper.connect is no list of servers. */
struct session *
session_new(struct loop *, struct spool *, const struct ds_conf *);
void session_free(struct session **); /* ends it */
struct zk *session_zk(const struct session *);
