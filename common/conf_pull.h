/*
 * conf_pull - what the properties pull.* come to
 *
 * Process: all. Pure.
 */
#pragma once

#include "conf.h"
#include "endpoint.h"

struct conf_reader;

#define CONF_PULL_INSTANCE_MAX 64

/* The conf's global properties are read. */
void conf_pull_read(struct conf_reader *, const struct conf *);
/* The dataSource's properties and spec are. */
void
conf_pull_read_ds(struct conf_reader *, const struct conf *, struct ds_conf *);
/* The digest with all that its worker goes by besides. */
uint64_t conf_pull_digest(uint64_t digest, const struct conf *);

/* Where consumers are told to go: pull.advertise, or pull.listen; `port` is
 * where we listen, for one that has none. pull.listen is set. */
void conf_pull_address(const struct conf *, unsigned port, struct endpoint *);
/* The same as Kafka's clients write it, new: "tq1.example:9094". */
char *conf_pull_servers(const struct conf *, unsigned port);
/* This tranqd's name among others, new: pull.instance, or else the address,
 * "tq1.example-9094". */
char *conf_pull_instance(const struct conf *, unsigned port);
