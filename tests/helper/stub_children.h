/*
 * stub_children - a receiver and a worker that do nothing but obey, and write
 * down what they were told; a test that includes this is linked with them in
 * place of the real ones
 *
 * Process: children of a supervisor under test. One line a happening goes to
 * {dataDir}/story; what they shall do wrong is asked of files in {dataDir}:
 *   refuse.NAME  exit 78 instead of READY      crash.NAME  exit 70 likewise
 *   slow.NAME    no READY as long as it exists
 *   deaf.NAME    does not confirm ORDER_CONF   stuck.NAME  ignores ORDER_STOP
 *   hang.NAME    gives no sign of life
 * NAME is the dataSource, or receiverN.
 */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "channel.h"
#include "clock.h"
#include "heritage.h"
#include "log_page.h"
#include "panic.h"

struct stub {
	const struct heritage *h;
	char name[128];
	char dir[512];
	int awaited; /* ORDER_CHANNELs still to come */
	uint64_t conf_number;
	struct conf *conf; /* the new one */
	bool ready;
};

static void
tell(const struct stub *, const char *format, ...) PRINTF_LIKE(2, 3);

static void
tell(const struct stub *s, const char *format, ...)
{
	char line[512], path[640];
	va_list args;
	int fd, used = snprintf(line, sizeof line, "%s ", s->name);

	va_start(args, format);
	used += vsnprintf(
	    line + used, sizeof line - (size_t)used - 1, format, args);
	va_end(args);
	line[used++] = '\n';
	snprintf(path, sizeof path, "%s/story", s->dir);
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	must(fd >= 0 && write(fd, line, (size_t)used) == used);
	close(fd);
}

static bool
shall(const struct stub *s, const char *what)
{
	char path[768];

	snprintf(path, sizeof path, "%s/%s.%s", s->dir, what, s->name);
	return access(path, F_OK) == 0;
}

static unsigned
open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count - 3; /* . and .. and the directory's own */
}

static bool
channel_is(int fd, const char *ds)
{
	struct channel c;
	bool good;

	if (!channel_attach(&c, fd, -1, -1))
		return false;
	good = strcmp(c.header->ds, ds) == 0;
	channel_detach(&c);
	return good;
}

static void
confirm(struct stub *s)
{
	struct order_message taken = { .order = ORDER_CONF_TAKEN,
		.value = s->conf_number };

	if (shall(s, "deaf"))
		return;
	tell(s, "taken %llu (%u)", (unsigned long long)s->conf_number,
	    s->conf->ds_count);
	must(order_send(s->h->control_fd, &taken, -1, -1));
}

static void
take_conf(struct stub *s, const struct order_message *m, int fd)
{
	struct conf_problems problems = { 0 };
	char *text = must_calloc(1, MiB);
	ssize_t bytes = pread(fd, text, MiB - 1, 0);

	must(bytes > 0 && s->awaited == 0);
	conf_free(&s->conf);
	s->conf = conf_parse("reload", text, (size_t)bytes, &problems);
	must(s->conf != NULL);
	conf_problems_free(&problems);
	free(text);
	close(fd);
	s->conf_number = m->value;
	s->awaited = (int)m->index;
	if (s->awaited == 0)
		confirm(s);
}

static void
take_channel(struct stub *s, const struct order_message *m, int fd, int bell)
{
	must(s->awaited > 0 && m->index < s->conf->ds_count);
	must(bell >= 0 && channel_is(fd, s->conf->ds[m->index].name));
	tell(s, "channel %s", s->conf->ds[m->index].name);
	close(fd);
	close(bell);
	if (--s->awaited == 0)
		confirm(s);
}

/* The exit code, or -1: goes on. */
static int
obey(struct stub *s, const struct order_message *m, int fd0, int fd1)
{
	switch (m->order) {
	case ORDER_STOP:
		tell(s, "stop");
		return shall(s, "stuck") ? -1 : CHILD_DRAINED;
	case ORDER_REOPEN_LOG:
		tell(s, "log %llu", (unsigned long long)m->value);
		order_take_log(m, fd0);
		return -1;
	case ORDER_CONF: take_conf(s, m, fd0); return -1;
	case ORDER_CHANNEL: take_channel(s, m, fd0, fd1); return -1;
	case ORDER_PING: return -1;
	default: panic_at(__FILE__, __LINE__, s->name, "unknown order");
	}
}

static void
become_ready(struct stub *s)
{
	struct order_message ready = { .order = ORDER_READY };

	if (s->ready || shall(s, "slow"))
		return;
	s->ready = true;
	tell(s, "ready");
	order_send(s->h->control_fd, &ready, -1, -1);
}

static int
serve(struct stub *s)
{
	struct pollfd wait = { .fd = s->h->control_fd, .events = POLLIN };
	struct order_message m;
	int fd0, fd1, got, code;

	for (;;) {
		become_ready(s);
		if (!shall(s, "hang"))
			life_turn(s->h->life);
		poll(&wait, 1, 20);
		got = order_receive(s->h->control_fd, &m, &fd0, &fd1);
		if (got == 0) {
			tell(s, "orphan");
			return CHILD_DRAINED;
		}
		if (got > 0 && (code = obey(s, &m, fd0, fd1)) >= 0)
			return code;
	}
}

static void
find_place(struct stub *s)
{
	const char *slash = strrchr(s->h->conf->data_dir, '/');

	must(slash != NULL);
	snprintf(s->dir, sizeof s->dir, "%s", s->h->conf->data_dir);
}

static int
begin(struct stub *s, unsigned fds_expected)
{
	find_place(s);
	if (shall(s, "refuse"))
		return CHILD_BAD_CONFIG;
	if (shall(s, "crash"))
		panic_at(__FILE__, __LINE__, s->name, "shall crash");
	tell(s, "start %u window %lld", s->h->incarnation,
	    (long long)(s->h->ds != NULL ? period_ms(&s->h->ds->window) : 0));
	if (open_fds() != fds_expected)
		tell(s, "LEAK: %u descriptors, not %u", open_fds(),
		    fds_expected);
	return serve(s);
}

/* 0, 1, 2 and control; log is 2 in tests. */
#define STANDARD_FDS 4u

int
receiver_main(const struct heritage *h)
{
	struct stub s = { .h = h };

	snprintf(s.name, sizeof s.name, "receiver%u", h->index);
	must(h->ds == NULL && h->channel_count == h->conf->ds_count);
	for (unsigned i = 0; i < h->channel_count; i++)
		must(channel_is(h->channels[i].memory_fd, h->conf->ds[i].name));
	return begin(&s,
	    STANDARD_FDS + 2 * h->channel_count + 1 +
		(h->listen_fds[PORT_HTTP] >= 0) +
		(h->listen_fds[PORT_HTTPS] >= 0) + (h->keys_fd >= 0));
}

int
feed_main(const struct heritage *h)
{
	struct stub s = { .h = h };

	snprintf(s.name, sizeof s.name, "feed");
	find_place(&s);
	must(h->ds == NULL && h->channel_count == 0 && h->page_fd == -1);
	must(h->listen_fds[PORT_HTTP] == -1 && h->listen_fds[PORT_PULL] >= 0);
	for (unsigned i = 0; i < h->conf->ds_count; i++) {
		struct log_page *page = log_page_attach(h->page_fds[i]);

		/* a worker has left its mark on the page of its dataSource */
		must(page != NULL);
		if (log_page_range(page, 1).end != 0)
			tell(&s, "page of %s at %llu", h->conf->ds[i].name,
			    (unsigned long long)log_page_range(page, 1).end);
		log_page_detach(&page);
	}
	return begin(
	    &s, STANDARD_FDS + h->conf->ds_count + 2 + (h->keys_fd >= 0));
}

int
worker_main(const struct heritage *h)
{
	struct stub s = { .h = h };
	struct channel c;
	struct log_page *page;
	struct counters counters = {
		.received = 7, .sent = 5, .spool_events = 2, .spool_batches = 1
	};

	snprintf(s.name, sizeof s.name, "%s", h->ds->name);
	must(channel_attach(&c, h->channels[0].memory_fd,
	    h->channels[0].worker_bell, h->channels[0].receiver_bell));
	must(strcmp(c.header->ds, h->ds->name) == 0);
	/* counts starts in the ring's memory: it outlives us */
	atomic_fetch_add(&c.header->taken_events, 1);
	counters.commits = atomic_load(&c.header->taken_events);
	life_publish(h->life, &counters, "{\"beams\":[],\"notes\":[\"stub\"]}");
	channel_detach(&c);
	page = log_page_attach(h->page_fd);
	must(page != NULL);
	log_page_tell(
	    page, 1, (struct log_range){ 1, (uint64_t)h->ds->name[0] });
	log_page_detach(&page);
	return begin(&s, STANDARD_FDS + 3 + 2 * h->channel_count);
}
