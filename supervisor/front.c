/*
 * front - one receiver process as the supervisor sees it
 *
 * Process: supervisor.
 * Owns:    the receiver's doorbell.
 */
#include "front.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "channel.h"
#include "panic.h"

#include "source.h"
#include "spawn.h"
#include "supervisor.h"

/* Of a process that is gone: nothing is awaited from it any more, and what it
 * had open is room for others. */
static void
forget_former(struct front *f)
{
	f->told = false;
	atomic_store(&f->supervisor->crowd[f->index], 0);
}

/* A new receiver always gets the newest configuration that receivers have
 * been told of. */
static pid_t
spawn_receiver(struct child *c)
{
	struct front *f = c->owner;
	struct supervisor *s = f->supervisor;
	const struct conf *conf = s->conf;
	struct spawn_plan plan = { .door = receiver_main,
		.title = c->name,
		.name = "tranqd-receiver",
		.process = c->name,
		.identity = &s->identity };
	struct heritage *h = &plan.heritage;
	pid_t pid;

	h->conf = conf;
	h->confine = s->confine;
	h->index = f->index;
	h->generation = s->generation;
	memcpy(h->listen_fds, s->listen_fds, sizeof h->listen_fds);
	h->listen_fds[PORT_PULL] = -1; /* the feed's */
	h->keys_fd = conf->keys_fd;
	h->crowd = s->crowd;
	h->page_fd = h->feed_bell = -1;
	h->channel_count = conf->ds_count;
	h->channels = must_calloc(conf->ds_count, sizeof h->channels[0]);
	for (unsigned i = 0; i < conf->ds_count; i++) {
		struct source *src = supervisor_find(s, conf->ds[i].name);

		must(src != NULL);
		h->channels[i] =
		    (struct heritage_channel){ src->channels[f->index].fd,
			    src->bell, f->bell };
		if (!source_mend(src, f->index))
			child_reload(&src->worker, 0);
		spawn_keep(&plan, src->channels[f->index].fd);
		spawn_keep(&plan, src->bell);
	}
	spawn_keep(&plan, f->bell);
	for (unsigned i = 0; i < PORT_KINDS; i++)
		spawn_keep(&plan, h->listen_fds[i]);
	spawn_keep(&plan, conf->keys_fd);
	forget_former(f);
	pid = spawn_fork(c, &plan);
	free(h->channels);
	return pid;
}

static void
receiver_changed(struct child *c)
{
	struct front *f = c->owner;

	if (c->pid == 0)
		forget_former(f);
	supervisor_look(f->supervisor);
}

static void
receiver_report(struct child *c, const struct order_message *m)
{
	struct front *f = c->owner;

	if (m->order == ORDER_CONF_TAKEN)
		f->told = false;
	supervisor_look(f->supervisor);
}

static int64_t
receiver_queue(struct child *c, int64_t now_ms)
{
	const struct front *f = c->owner;

	return restart_queue_take(&f->supervisor->restarts, now_ms);
}

static const struct child_ops receiver_ops = {
	.spawn = spawn_receiver,
	.queue = receiver_queue,
	.examine = supervisor_examine,
	.kill = supervisor_kill,
	.changed = receiver_changed,
	.report = receiver_report,
};

bool
front_init(struct front *f, struct supervisor *s, unsigned index)
{
	*f = (struct front){ .supervisor = s, .index = index };
	f->bell = bell_new();
	if (f->bell < 0)
		return false;
	if (!child_init(&f->child, s->loop, &receiver_ops, f)) {
		close(f->bell);
		return false;
	}
	child_name(&f->child, "receiver %u", index);
	return true;
}

void
front_fini(struct front *f)
{
	child_fini(&f->child);
	close(f->bell);
}

static void
values_now(struct front *f, uint64_t values[RATE_VALUES])
{
	child_counters(&f->child, NULL);
	values[0] = f->child.counters.requests;
	values[1] = f->child.counters.bytes_in;
}

void
front_sample(struct front *f, int64_t now_ms)
{
	uint64_t values[RATE_VALUES];

	values_now(f, values);
	rate_sample(&f->rate, now_ms, values);
}

void
front_rates(struct front *f, int64_t now_ms, double *out)
{
	uint64_t values[RATE_VALUES];

	values_now(f, values);
	rate_per_second(&f->rate, now_ms, values, out);
}
