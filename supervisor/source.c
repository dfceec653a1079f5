/*
 * source - one dataSource as the supervisor sees it: its channels, its worker
 *
 * Process: supervisor.
 * Owns:    the channels' memory, the log's page and the worker's doorbell; they
 *          outlive every receiver, worker and feed.
 */
#include "source.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <unistd.h>

#include "delivery_note.h"
#include "drain_mark.h"
#include "log_page.h"
#include "panic.h"

#include "dead_order.h"
#include "drain_order.h"
#include "spawn.h"
#include "supervisor.h"

#define HEADER_BYTES 4096u
#define RENEW_SPACING_MS 1000

_Static_assert(sizeof(struct channel_header) <= HEADER_BYTES, "one page");

bool
source_mend(struct source *src, unsigned receiver)
{
	return channel_mend(src->channels[receiver].fd, src->name, receiver,
	    src->generation, (uint64_t)src->conf->ring_bytes);
}

/* The spool's directory is made ready before the first start, and again when a
 * worker has failed to start: the operator may have mended it. Not each time:
 * a disk that does not answer holds up who asks it, and there are others to
 * look after. False with c->refusal. */
static bool
ready_spool(struct child *c)
{
	const struct source *src = c->owner;
	const struct death *last = restart_death(&c->history, 0);
	struct trouble trouble;

	if (c->incarnation > 1 && (last == NULL || last->ready_ms >= 0))
		return true;
	if (prepare_spool(
		src->conf, src->name, &src->supervisor->identity, &trouble))
		return true;
	snprintf(c->refusal, sizeof c->refusal, "%s", trouble.text);
	return false;
}

static pid_t
spawn_worker(struct child *c)
{
	struct source *src = c->owner;
	struct supervisor *s = src->supervisor;
	struct spawn_plan plan = { .door = worker_main,
		.title = c->name,
		.name = "tranqd-worker",
		.process = "worker",
		.ds = src->name,
		.identity = &s->identity };
	struct heritage *h = &plan.heritage;
	pid_t pid;

	if (!ready_spool(c))
		return -1;
	h->conf = src->conf;
	h->confine = s->confine;
	h->ds = conf_find(src->conf, src->name, strlen(src->name));
	must(h->ds != NULL);
	h->generation = src->generation;
	for (unsigned i = 0; i < PORT_KINDS; i++)
		h->listen_fds[i] = -1;
	h->keys_fd = -1;
	h->page_fd = src->page_fd;
	h->feed_bell = s->feed_bell;
	h->pull_port = s->ports[PORT_PULL];
	h->channel_count = src->channel_count;
	h->channels = must_calloc(src->channel_count, sizeof h->channels[0]);
	for (unsigned i = 0; i < src->channel_count; i++) {
		h->channels[i] = (struct heritage_channel){ src->channels[i].fd,
			src->bell, s->fronts[i].bell };
		if (!source_mend(src, i))
			/* it is out of its mind, or was */
			supervisor_kill(&s->fronts[i].child, SIGKILL);
		spawn_keep(&plan, src->channels[i].fd);
		spawn_keep(&plan, s->fronts[i].bell);
	}
	spawn_keep(&plan, src->bell);
	spawn_keep(&plan, src->page_fd);
	spawn_keep(&plan, s->feed_bell);
	spawn_keep(&plan, h->ds->secrets_fd);
	pid = spawn_fork(c, &plan);
	free(h->channels);
	return pid;
}

static void
worker_changed(struct child *c)
{
	struct source *src = c->owner;

	if (c->state != CHILD_READY) {
		dead_order_broken(src);
		drain_order_broken(src);
	}
	supervisor_look(src->supervisor);
}

static void
renew_due(struct loop_timer *t)
{
	struct source *src = CONTAINER_OF(t, struct source, renew_timer);

	if (src->worker.state != CHILD_READY)
		return; /* there will be a successor anyhow */
	src->renew_from_ms =
	    loop_now_ms(src->supervisor->loop) + RENEW_SPACING_MS;
	child_reload(&src->worker, RELOAD_SETTLE_MS);
}

/* A worker that asks for it all the time would be no better than one that dies
 * all the time. */
static void
renew(struct source *src)
{
	struct loop *loop = src->supervisor->loop;

	loop_timer_start(loop, &src->renew_timer,
	    MAX_OF(src->renew_from_ms - loop_now_ms(loop), 0), renew_due);
}

static void
worker_report(struct child *c, const struct order_message *m)
{
	if (m->order == ORDER_DEAD_DONE)
		dead_order_done(c->owner, m);
	if (m->order == ORDER_DRAIN_DONE)
		drain_order_done(c->owner, m);
	if (m->order == ORDER_RENEW)
		renew(c->owner);
}

static int64_t
worker_queue(struct child *c, int64_t now_ms)
{
	const struct source *src = c->owner;

	return restart_queue_take(&src->supervisor->restarts, now_ms);
}

static const struct child_ops worker_ops = {
	.spawn = spawn_worker,
	.queue = worker_queue,
	.examine = supervisor_examine,
	.kill = supervisor_kill,
	.changed = worker_changed,
	.report = worker_report,
};

/* What holds before its worker says so, so that receivers take meanwhile what
 * it will take. */
struct last_word {
	bool is_drained;
	enum delivery_mode delivery; /* for delivery.mode auto */
};

static struct last_word
last_word(const struct source *src)
{
	char *dir = must_format("%s/spool/%s", src->conf->data_dir, src->name);
	struct last_word last = { .is_drained = drain_mark_since(dir) > 0 };
	struct delivery_note note;

	if (delivery_note_read(dir, &note))
		last.delivery = note.mode;
	free(dir);
	return last;
}

/* Makes a channel, tries whether a child can map it, and keeps its header in
 * view. False with errno. */
static bool
open_channel(
    struct source *src, unsigned receiver, const struct last_word *last)
{
	struct source_channel *to = &src->channels[receiver];
	struct channel whole;
	void *at;

	to->fd = channel_create(src->name, receiver, src->generation,
	    (uint64_t)src->conf->ring_bytes);
	if (to->fd < 0)
		return false;
	if (!channel_attach(&whole, to->fd, -1, -1)) {
		errno = ENOMEM;
		return false;
	}
	channel_drain(&whole, last->is_drained);
	channel_deliver(&whole, last->delivery);
	channel_detach(&whole);
	at = mmap(NULL, HEADER_BYTES, PROT_READ, MAP_SHARED, to->fd, 0);
	if (at == MAP_FAILED)
		return false;
	to->header = at;
	must(madvise(at, HEADER_BYTES, MADV_DONTFORK) == 0);
	return true;
}

static bool
open_channels(struct source *src, struct trouble *t)
{
	struct last_word last = last_word(src);

	for (unsigned i = 0; i < src->channel_count; i++)
		if (!open_channel(src, i, &last))
			return trouble_set(t, EX_OSERR, errno,
			    "dataSource %s: no memory for the ring of "
			    "receiver %u (tranqd.ringBytes %lld); lower "
			    "tranqd.ringBytes or tranqd.receivers, or raise "
			    "the limits (ulimit -n, -v, vm.max_map_count)",
			    src->name, i, (long long)src->conf->ring_bytes);
	return true;
}

static struct source *
allocate(struct supervisor *s, const struct conf *conf, const char *name)
{
	struct source *src = must_calloc(1, sizeof *src);

	src->supervisor = s;
	src->conf = conf;
	src->generation = s->generation + s->sources_made++;
	src->name = must_strdup(name);
	src->channel_count = s->front_count;
	src->channels =
	    must_calloc(src->channel_count, sizeof src->channels[0]);
	for (unsigned i = 0; i < src->channel_count; i++)
		src->channels[i].fd = -1;
	src->bell = bell_new();
	src->page_fd = log_page_create();
	return src;
}

struct source *
source_new(struct supervisor *s, const struct conf *conf, const char *name,
    struct trouble *t)
{
	struct source *src;

	src = allocate(s, conf, name);
	if (src->bell < 0 || src->page_fd < 0 ||
	    !child_init(&src->worker, s->loop, &worker_ops, src)) {
		trouble_set(t, EX_OSERR, errno,
		    "dataSource %s: no descriptors or memory for its worker; "
		    "raise the limits (ulimit -n, -v)",
		    name);
		source_free(&src);
		return NULL;
	}
	child_name(&src->worker, "worker %s", name);
	if (!open_channels(src, t))
		source_free(&src);
	return src;
}

void
source_free(struct source **source)
{
	struct source *src = *source;

	if (src == NULL)
		return;
	*source = NULL;
	loop_timer_stop(&src->renew_timer);
	if (src->worker.life != NULL)
		child_fini(&src->worker);
	for (unsigned i = 0; i < src->channel_count; i++) {
		struct source_channel *c = &src->channels[i];

		if (c->header != NULL)
			/* a cast of const away: munmap only forgets it */
			munmap((void *)(uintptr_t)c->header, HEADER_BYTES);
		if (c->fd >= 0)
			close(c->fd);
	}
	if (src->bell >= 0)
		close(src->bell);
	if (src->page_fd >= 0)
		close(src->page_fd);
	free(src->channels);
	free(src->name);
	free(src);
}

bool
source_is_pulled(const struct source *src)
{
	const struct ds_conf *ds =
	    conf_find(src->conf, src->name, strlen(src->name));
	const struct channel_header *h = src->channels[0].header;

	if (!ds->is_auto)
		return ds->delivery == DELIVERY_PULL;
	return atomic_load_explicit(&h->delivery, memory_order_relaxed) ==
	    DELIVERY_PULL;
}

static uint64_t
load(const _Atomic uint64_t *value)
{
	return atomic_load_explicit(value, memory_order_acquire);
}

/* What has been offered and not been taken. The second is read first, so that
 * what moves meanwhile is counted once at least. */
static uint64_t
behind(const _Atomic uint64_t *offered, const _Atomic uint64_t *taken)
{
	uint64_t second = load(taken), first = load(offered);

	return first > second ? first - second : 0;
}

void
source_sums(const struct source *src, struct source_sums *sums)
{
	*sums = (struct source_sums){ 0 };
	for (unsigned i = 0; i < src->channel_count; i++) {
		const struct channel_header *h = src->channels[i].header;

		sums->in_rings += behind(&h->offered_events, &h->taken_events) +
		    behind(&h->offered_dropped, &h->taken_dropped);
		sums->offered +=
		    load(&h->offered_events) + load(&h->offered_dropped);
		sums->requests += load(&h->requests);
		sums->refused_full += load(&h->refused_full);
		sums->refused_draining += load(&h->refused_draining);
		sums->refused_malformed += load(&h->refused_malformed);
	}
}

static void
values_now(struct source *src, uint64_t values[RATE_VALUES])
{
	struct source_sums sums;

	source_sums(src, &sums);
	child_counters(&src->worker, NULL);
	values[0] = sums.offered;
	values[1] = src->worker.counters.sent;
}

void
source_sample(struct source *src, int64_t now_ms)
{
	uint64_t values[RATE_VALUES];

	values_now(src, values);
	rate_sample(&src->rate, now_ms, values);
}

void
source_rates(struct source *src, int64_t now_ms, double *out)
{
	uint64_t values[RATE_VALUES];

	values_now(src, values);
	rate_per_second(&src->rate, now_ms, values, out);
}
