/*
 * feeder - the feed process as the supervisor sees it
 *
 * Process: supervisor.
 *
 * A feed keeps the configuration that it was born with: a reload starts another
 * one, and consumers, who hold nothing with it, connect anew.
 */
#include "feeder.h"

#include <stdlib.h>
#include <string.h>

#include "panic.h"

#include "source.h"
#include "spawn.h"
#include "supervisor.h"

static pid_t
spawn_feed(struct child *c)
{
	const struct feeder *f = c->owner;
	struct supervisor *s = f->supervisor;
	const struct conf *conf = s->conf;
	struct spawn_plan plan = { .door = feed_main,
		.title = c->name,
		.name = "tranqd-feed",
		.process = c->name,
		.identity = &s->identity };
	struct heritage *h = &plan.heritage;
	pid_t pid;

	h->conf = conf;
	h->confine = s->confine;
	h->generation = s->generation;
	for (unsigned i = 0; i < PORT_KINDS; i++)
		h->listen_fds[i] = -1;
	h->listen_fds[PORT_PULL] = s->listen_fds[PORT_PULL];
	h->keys_fd = conf->feed_keys_fd;
	h->page_fd = -1;
	h->feed_bell = s->feed_bell;
	h->pull_port = s->ports[PORT_PULL];
	h->page_fds = must_calloc(conf->ds_count, sizeof h->page_fds[0]);
	for (unsigned i = 0; i < conf->ds_count; i++) {
		const struct source *src = supervisor_find(s, conf->ds[i].name);

		must(src != NULL);
		h->page_fds[i] = src->page_fd;
		spawn_keep(&plan, src->page_fd);
	}
	spawn_keep(&plan, s->listen_fds[PORT_PULL]);
	spawn_keep(&plan, conf->feed_keys_fd);
	spawn_keep(&plan, s->feed_bell);
	pid = spawn_fork(c, &plan);
	free(h->page_fds);
	return pid;
}

static void
feed_changed(struct child *c)
{
	const struct feeder *f = c->owner;

	supervisor_look(f->supervisor);
}

static void
feed_report(struct child *c UNUSED, const struct order_message *m UNUSED)
{
}

static int64_t
feed_queue(struct child *c, int64_t now_ms)
{
	const struct feeder *f = c->owner;

	return restart_queue_take(&f->supervisor->restarts, now_ms);
}

static const struct child_ops feed_ops = {
	.spawn = spawn_feed,
	.queue = feed_queue,
	.examine = supervisor_examine,
	.kill = supervisor_kill,
	.changed = feed_changed,
	.report = feed_report,
};

struct feeder *
feeder_new(struct supervisor *s)
{
	struct feeder *f = must_calloc(1, sizeof *f);

	f->supervisor = s;
	if (!child_init(&f->child, s->loop, &feed_ops, f)) {
		free(f);
		return NULL;
	}
	child_name(&f->child, "feed");
	return f;
}

void
feeder_free(struct feeder **feeder)
{
	struct feeder *f = *feeder;

	*feeder = NULL;
	if (f == NULL)
		return;
	child_fini(&f->child);
	free(f);
}
