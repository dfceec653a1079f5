/*
 * pull_care - Druid's side of the log: who pulls from it, and what may go
 *
 * Process: worker.   After: log_delivery.   Before: kafka_supervisor,
 * log_floor.
 *
 * By which name the supervisor goes, and whether it was made, stands in the
 * spool ("pull") before Druid hears of it: the name stays when the
 * configuration changes, since Druid keeps the offsets by it. The floor's
 * document ("floor") is written by the transaction that removes what is below
 * it.
 *
 * Before Druid 34 a dataSource has one supervisor, by its own name. With
 * ZooKeeper several tranqds then share it and its topic (pull_share.h): the log
 * is one partition, which number is in the spool with the name.
 */
#pragma once

#include "conf.h"
#include "json.h"
#include "log_peers.h"
#include "loop.h"
#include "overlord.h"
#include "spool.h"
#include "zk.h"

struct pull_care;

/* What must stay. */
struct pull_care_parts {
	struct loop *loop;
	const struct conf *conf;
	const struct ds_conf *ds;
	struct spool *spool;
	struct overlord *overlord;
	struct http_client *http;
	struct zk *zk; /* NULL: without ZooKeeper */
	unsigned port; /* where the feed listens */
};

struct pull_care *pull_care_new(const struct pull_care_parts *);
void pull_care_free(struct pull_care **);
/* How many the log is to have: pull.partitions, but for a shared topic. */
unsigned pull_care_partitions(const struct pull_care *);
/* When there may be a log; nothing happens before there is one. */
void pull_care_begin(struct pull_care *);

/* As delivery.h has them. */
bool pull_care_wants_commit(struct pull_care *);
void pull_care_write(struct pull_care *);
void pull_care_written(struct pull_care *);
void pull_care_hold(struct pull_care *);
void pull_care_retire(struct pull_care *, bool on);
bool pull_care_is_retired(const struct pull_care *);
bool pull_care_is_settled(const struct pull_care *);

/* What lies below may leave the log: Druid has committed it, and pull.retain
 * does not keep it. 0: nothing, for now. */
uint64_t pull_care_floor(const struct pull_care *, unsigned partition);
/* Who serves which partition, as the feed is to know it. False: it is the same
 * as at the last call. Before anything is agreed on there is no topic; *is_first:
 * what was told before of a shared one, in another life, still holds. */
bool pull_care_peers(
    struct pull_care *, struct log_peers *, bool *is_first) MUST_CHECK;
/* Up to where Druid has committed, as far as is known; 0: nothing is. */
uint64_t pull_care_known(const struct pull_care *, unsigned partition);

void pull_care_describe(
    const struct pull_care *, struct json *to, struct json *notes);
bool pull_care_changed(struct pull_care *);
