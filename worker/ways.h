/*
 * ways - the delivery that a dataSource's configuration asks for
 *
 * Process: worker.   After: worker.c has what all of them need.
 *
 * With what only the one delivery uses: beams and their store; the log's page
 * and the care for who pulls from it.
 */
#pragma once

#include "ack.h"
#include "delivery.h"
#include "heritage.h"
#include "http_client.h"
#include "late.h"
#include "loop.h"
#include "overlord.h"
#include "spool.h"
#include "zk.h"

struct ways_parts {
	const struct heritage *heritage;
	struct loop *loop;
	struct spool *spool;
	struct http_client *http;
	struct overlord *overlord;
	struct zk *zk; /* NULL: without ZooKeeper */
	struct acks *acks;
	struct late *late;
};

struct ways {
	struct delivery *delivery;
	/* of it; NULL: it has none */
	struct beam_store *store;
	struct beam_cluster *cluster;
	struct log_page *page;
	struct pull_care *care;
};

void ways_open(struct ways *, const struct ways_parts *);
void ways_close(struct ways *);
