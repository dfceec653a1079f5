/*
 * ways - the delivery that a dataSource's configuration asks for
 *
 * Process: worker.
 */
#include "ways.h"

#include <string.h>
#include <strings.h>

#include "append_delivery.h"
#include "beam_cluster.h"
#include "beam_store_local.h"
#include "beam_store_zk.h"
#include "dispatch.h"
#include "log.h"
#include "log_delivery.h"
#include "log_page.h"
#include "panic.h"
#include "push.h"

#define LOCK_WAIT_MS 30000

static struct beam_store *
make_store(const struct ways_parts *p)
{
	const struct ds_conf *ds = p->heritage->ds;
	struct beam_store_zk_options options = { .path = ds->zookeeper_path,
		.service = ds->overlord_service,
		.ds = ds->name,
		.lock_wait_ms = LOCK_WAIT_MS,
		.zk = p->zk };

	return p->zk != NULL ? beam_store_zk_new(&options)
			     : beam_store_local_new(p->loop, p->spool);
}

static void
make_push(struct ways *w, const struct ways_parts *p)
{
	const struct ds_conf *ds = p->heritage->ds;
	struct dispatch_parts dispatch = { .loop = p->loop,
		.ds = ds,
		.spool = p->spool,
		.http = p->http,
		.overlord = p->overlord,
		.acks = p->acks,
		.late = p->late,
		.hand = &p->heritage->life->hand };
	struct push_parts push = {
		.ds = ds, .spool = p->spool, .late = p->late
	};

	if (strcasecmp(ds->task_locator, "curator") == 0)
		dispatch.zk = p->zk;
	w->store = make_store(p);
	w->cluster = beam_cluster_new(p->loop, ds, w->store, p->overlord);
	dispatch.cluster = push.cluster = w->cluster;
	push.dispatch = dispatch_new(&dispatch);
	w->delivery = push_new(&push);
}

static void
make_pull(struct ways *w, const struct ways_parts *p)
{
	struct log_delivery_parts pull = { .ds = p->heritage->ds,
		.spool = p->spool,
		.acks = p->acks,
		.late = p->late,
		.feed_bell = p->heritage->feed_bell };
	struct pull_care_parts care = { .loop = p->loop,
		.conf = p->heritage->conf,
		.ds = p->heritage->ds,
		.spool = p->spool,
		.overlord = p->overlord,
		.http = p->http,
		.zk = p->zk,
		.port = p->heritage->pull_port };

	w->page = log_page_attach(p->heritage->page_fd);
	if (w->page == NULL)
		fatal("worker: the log's page");
	pull.page = w->page;
	pull.care = w->care = pull_care_new(&care);
	w->delivery = log_delivery_new(&pull);
}

static void
make_append(struct ways *w, const struct ways_parts *p)
{
	struct append_delivery_parts append = { .ds = p->heritage->ds,
		.spool = p->spool,
		.acks = p->acks,
		.late = p->late };

	w->delivery = append_delivery_new(&append);
}

void
ways_open(struct ways *w, const struct ways_parts *p)
{
	memset(w, 0, sizeof *w);
	switch (p->heritage->ds->delivery) {
	case DELIVERY_PUSH: make_push(w, p); return;
	case DELIVERY_PULL: make_pull(w, p); return;
	case DELIVERY_APPEND: make_append(w, p); return;
	case DELIVERY_MODES: break;
	}
	unreachable("delivery mode");
}

void
ways_close(struct ways *w)
{
	delivery_free(&w->delivery);
	beam_store_free(&w->store);
	beam_cluster_free(&w->cluster);
	pull_care_free(&w->care);
	log_page_detach(&w->page);
}
