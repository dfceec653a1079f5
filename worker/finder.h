/*
 * finder - where the Overlord is, by ZooKeeper
 *
 * Process: worker.   After: overlord asks.   Before: discovery, place.
 */
#pragma once

#include "conf.h"
#include "overlord.h"
#include "zk.h"

struct finder;

/* zk: NULL without ZooKeeper; then nobody may ask. */
struct finder *finder_new(const struct ds_conf *, struct zk *);
void finder_free(struct finder **);
/* For overlord_new, with the finder as its context: overlord_found answers. */
void finder_find(void *finder, struct overlord *);
