/*
 * finder - where the Overlord is, by ZooKeeper
 *
 * Process: worker.
 */
#include "finder.h"

#include <stdio.h>
#include <stdlib.h>

#include "discovery.h"
#include "panic.h"
#include "place.h"
#include "result.h"

#define WHY_BYTES 400

struct finder {
	const struct ds_conf *ds;
	struct zk *zk;
	struct overlord *asks; /* who waits */
	struct discovery *finding; /* NULL: nobody does */
};

struct finder *
finder_new(const struct ds_conf *ds, struct zk *zk)
{
	struct finder *f = must_calloc(1, sizeof *f);

	f->ds = ds;
	f->zk = zk;
	return f;
}

void
finder_free(struct finder **finder)
{
	struct finder *f = *finder;

	if (f == NULL)
		return;
	*finder = NULL;
	if (f->finding != NULL)
		discovery_cancel(&f->finding);
	free(f);
}

/* Why it has no place. */
static void
explain(const struct finder *f, const struct discovery_answer *a,
    char why[static WHY_BYTES])
{
	size_t used;

	if (a->result == RESULT_OK) {
		snprintf(why, WHY_BYTES, "the Overlord at %s:%d " PLACE_NO_TLS,
		    a->place.host, a->place.port);
		return;
	}
	used = (size_t)snprintf(why, WHY_BYTES,
	    "service %s under %s in ZooKeeper %s: %s", f->ds->overlord_service,
	    f->ds->discovery_path, f->ds->zookeeper_connect,
	    a->result == RESULT_GONE ? "not there; services there:"
				     : result_name(a->result));
	for (size_t i = 0;
	     a->result == RESULT_GONE && i < a->name_count && used < WHY_BYTES;
	     i++)
		used += (size_t)snprintf(
		    why + used, WHY_BYTES - used, " %s", a->names[i]);
}

static void
finder_found(void *context, const struct discovery_answer *a)
{
	struct finder *f = context;
	struct place place;
	char *url, why[WHY_BYTES];

	f->finding = NULL;
	if (a->result == RESULT_OK &&
	    place_choose(
		&place, f->ds->tls_enable, a->place.port, a->place.tls_port)) {
		url = place_url(a->place.host, &place);
		overlord_found(f->asks, url, NULL);
		free(url);
		return;
	}
	if (a->result == RESULT_RETRY && overlord_last(f->asks) != NULL) {
		overlord_found(f->asks, overlord_last(f->asks), NULL);
		return;
	}
	explain(f, a, why);
	overlord_found(f->asks, NULL, why);
}

void
finder_find(void *finder, struct overlord *asks)
{
	struct finder *f = finder;

	must(f->zk != NULL); /* conf demands a URL without ZooKeeper */
	f->asks = asks;
	f->finding = discovery_find(f->zk, f->ds->discovery_path,
	    f->ds->overlord_service, finder_found, f);
}
