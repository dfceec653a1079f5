/*
 * log_peers - the partitions of a topic that several tranqds share, and who
 * serves them
 *
 * Process: worker agrees on them (pull_share.h), the feed serves by them. Pure.
 *
 * Druid before version 34 has one Kafka supervisor for a dataSource, so that
 * there is one topic, and each tranqd's log is a partition of it. A partition is
 * never taken away again, and always has somebody who leads it, or Druid would
 * begin no tasks at all (kafka-pull.md 8.3): its owner, or, while he is away, one
 * who stands in for him: he knows where the log begins and ends, and has none of
 * its records.
 */
#pragma once

#include "base.h"
#include "endpoint.h"

#define LOG_PEERS_MAX 64

/* A tranqd, as clients reach it. */
struct log_broker {
	int32_t node; /* log_peers_node */
	uint32_t port;
	char host[ENDPOINT_HOST_BYTES];
};

struct log_peer {
	uint32_t number; /* of the partition */
	int32_t leader; /* a broker's node; −1: nobody's */
	uint64_t start, end; /* offsets, as last known */
};

struct log_peers {
	/* else the topic is ours alone, and its partitions are those of our
	 * log */
	uint32_t is_shared;
	uint32_t count; /* 0: nothing is agreed on yet, there is no topic */
	uint32_t broker_count;
	int32_t node; /* ours */
	uint32_t own; /* the partition that our log is */
	struct log_peer all[LOG_PEERS_MAX]; /* ascending */
	struct log_broker brokers[LOG_PEERS_MAX]; /* ascending by node */
};

/* A broker's number, by which all tranqds call him alike: made from the address
 * that he is reached by. */
int32_t log_peers_node(const char *host, unsigned port);
/* Whatever it is, all of it can be used afterwards. */
void log_peers_bound(struct log_peers *);
/* NULL: there is no such partition. */
const struct log_peer *log_peers_find(const struct log_peers *, int64_t number);
/* Adds one, unless its node is there; false: there is no room. */
bool log_peers_add_broker(
    struct log_peers *, const char *host, unsigned port) MUST_CHECK;
