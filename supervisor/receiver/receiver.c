/*
 * receiver - the process that takes events over HTTP
 *
 * Process: receiver. Its life: wiring, turns, orders of the supervisor.
 *
 * Path of an event here: listener, connection, exchange, http_request, route,
 * inflate, json_scan, body, post, offer; and back: settle, reply.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "connection.h"
#include "fault.h"
#include "heritage.h"
#include "listener.h"
#include "log.h"
#include "panic.h"
#include "post.h"
#include "receiver_check.h"
#include "settle.h"

#define ORPHAN_DRAIN_MS 5000 /* the supervisor is gone */
#define CONFIRM_AGAIN_MS 100

/* A configuration that is on its way. */
struct receiver_conf {
	int fd; /* -1: none */
	int keys_fd; /* -1: none */
	uint64_t number;
	unsigned expected, count;
	struct heritage_channel *channels;
	unsigned *indexes;
};

struct receiver {
	const struct heritage *heritage;
	struct loop *loop;
	struct posts posts;
	struct connections connections;
	struct listener listeners[PORT_KINDS];
	struct loop_io control, bell;
	struct loop_timer stop, confirm_again;
	struct receiver_conf coming;
	bool must_confirm; /* ORDER_CONF_TAKEN */
	uint64_t confirm_number;
	bool is_stopping;
};

static void
close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void
ignore_timer(struct loop_timer *timer)
{
	(void)timer; /* the turn's end does the work */
}

static void
bell_rang(struct loop_io *io, uint32_t events)
{
	/* edge-triggered: each ring is an edge, none needs to be read */
	(void)io;
	(void)events;
}

static void
use_settings(struct receiver *r, struct settings *settings)
{
	const struct conf *conf = settings->conf;
	struct outlet *o;

	for (o = r->posts.outlets.first; o != NULL; o = o->next)
		o->is_current = false;
	for (unsigned i = 0; i < conf->ds_count; i++)
		if (settings->ds[i].outlet != NULL)
			settings->ds[i].outlet->is_current = true;
	settings_release(&r->posts.settings);
	r->posts.settings = settings;
	for (unsigned i = 0; i < PORT_KINDS; i++)
		r->listeners[i].connections_max =
		    (unsigned)conf->http_max_connections;
	connection_settings_changed(&r->connections);
}

static void
attach(struct receiver *r, struct settings_ds *ds,
    const struct heritage_channel *channel)
{
	struct outlet *o;

	if (channel->memory_fd < 0)
		return;
	o = outlet_new(
	    &r->posts.outlets, channel->memory_fd, channel->worker_bell);
	if (o != NULL)
		settings_attach(ds, o);
}

static void
forget_coming(struct receiver_conf *c)
{
	for (unsigned i = 0; i < c->count; i++) {
		close(c->channels[i].memory_fd);
		close(c->channels[i].worker_bell);
	}
	free(c->channels);
	free(c->indexes);
	close_fd(c->fd);
	close_fd(c->keys_fd);
	*c = (struct receiver_conf){ .fd = -1, .keys_fd = -1 };
}

static struct conf *
parse_coming(struct receiver *r)
{
	const char *name = r->heritage->conf->file;
	struct conf_problems problems = { 0 };
	struct conf *conf = NULL;
	struct stat st;
	void *text;

	if (fstat(r->coming.fd, &st) < 0 || st.st_size <= 0 ||
	    st.st_size > (off_t)CONF_BYTES_MAX)
		return NULL;
	text = mmap(
	    NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, r->coming.fd, 0);
	if (text == MAP_FAILED)
		return NULL;
	conf = conf_parse(name, text, (size_t)st.st_size, &problems);
	munmap(text, (size_t)st.st_size);
	if (conf != NULL)
		receiver_check(conf, &problems);
	if (problems.count > 0)
		conf_free(&conf);
	for (unsigned i = 0; conf == NULL && i < problems.count; i++)
		log_error("%s", problems.lines[i]);
	conf_problems_free(&problems);
	return conf;
}

/* The channels that came, then those that are here under their names. */
static void
attach_all(struct receiver *r, struct settings *s)
{
	struct receiver_conf *c = &r->coming;
	struct outlet *o;

	for (unsigned i = 0; i < c->count; i++)
		if (c->indexes[i] < s->conf->ds_count)
			attach(r, &s->ds[c->indexes[i]], &c->channels[i]);
		else
			log_error("a channel for no dataSource came");
	c->count = 0; /* the outlets have the descriptors */
	for (unsigned i = 0; i < s->conf->ds_count; i++) {
		if (s->ds[i].outlet != NULL)
			continue;
		o = outlet_find(&r->posts.outlets, s->conf->ds[i].name);
		if (o != NULL)
			settings_attach(&s->ds[i], outlet_hold(o));
	}
}

/* NULL: it cannot be used. */
static struct settings *
settings_coming(struct receiver *r)
{
	struct conf *conf = parse_coming(r);
	struct settings *settings;

	if (conf == NULL)
		return NULL;
	settings = settings_new(conf, conf);
	if (!settings_secure(settings, r->posts.settings, r->coming.keys_fd))
		settings_release(&settings);
	return settings;
}

static void
take_conf(struct receiver *r)
{
	struct settings *settings = settings_coming(r);

	if (settings == NULL) {
		/* the supervisor has checked it: one of us is wrong */
		log_error("the new configuration cannot be used");
		forget_coming(&r->coming);
		return;
	}
	attach_all(r, settings);
	r->confirm_number = r->coming.number;
	FAULT_POINT(CONF_TAKEN);
	r->must_confirm = true;
	forget_coming(&r->coming);
	use_settings(r, settings);
	log_debug("configuration %llu is in use",
	    (unsigned long long)r->confirm_number);
}

static void
begin_conf(
    struct receiver *r, const struct order_message *m, int fd, int keys_fd)
{
	struct receiver_conf *c = &r->coming;

	forget_coming(c);
	if (fd < 0 || m->index > CONF_DS_MAX) {
		log_error("an order without a configuration came");
		close_fd(fd);
		close_fd(keys_fd);
		return;
	}
	c->fd = fd;
	c->keys_fd = keys_fd;
	c->number = m->value;
	c->expected = m->index;
	c->channels = must_calloc(m->index, sizeof c->channels[0]);
	c->indexes = must_calloc(m->index, sizeof c->indexes[0]);
	if (c->expected == 0)
		take_conf(r);
}

static void
take_channel(
    struct receiver *r, const struct order_message *m, int memory, int bell)
{
	struct receiver_conf *c = &r->coming;
	struct settings *now = r->posts.settings;
	struct heritage_channel channel = { memory, bell, -1 };

	if (memory < 0 || bell < 0 ||
	    (c->fd < 0 && m->index >= now->conf->ds_count)) {
		log_error("a channel for no dataSource came");
		close_fd(memory);
		close_fd(bell);
		return;
	}
	if (c->fd < 0) {
		attach(r, &now->ds[m->index], &channel);
		use_settings(r, settings_hold(now));
		return;
	}
	c->channels[c->count] = channel;
	c->indexes[c->count++] = m->index;
	if (c->count == c->expected)
		take_conf(r);
}

static void
stop_due(struct loop_timer *timer)
{
	struct receiver *r = timer->context;

	if (r->connections.count > 0)
		log_info(
		    "stops with %u connections open", r->connections.count);
	loop_stop(r->loop);
}

/* The ports are given back at once: whoever comes after us may want them
 * before our last answer is out. */
static void
stop_listening(struct receiver *r, int64_t within_ms)
{
	log_debug("stops within %lld ms", (long long)within_ms);
	r->is_stopping = true;
	for (unsigned i = 0; i < PORT_KINDS; i++) {
		listener_stop(&r->listeners[i]);
		close_fd(r->heritage->listen_fds[i]);
	}
}

/* Answers what has begun, then leaves. A second order may shorten it. */
static void
stop(struct receiver *r, int64_t within_ms)
{
	if (!r->is_stopping)
		stop_listening(r, within_ms);
	connection_drain(&r->connections);
	if (loop_timer_active(&r->stop) &&
	    r->stop.due_ms - loop_now_ms(r->loop) <= within_ms)
		return;
	r->stop.context = r;
	loop_timer_start(r->loop, &r->stop, within_ms, stop_due);
}

static void
obey(struct receiver *r, const struct order_message *m, int fd0, int fd1)
{
	switch (m->order) {
	case ORDER_STOP: stop(r, (int64_t)MIN_OF(m->value, INT32_MAX)); break;
	case ORDER_REOPEN_LOG: order_take_log(m, fd0); return;
	case ORDER_CONF:
		life_step(r->heritage->life, LIFE_CONFIGURE);
		begin_conf(r, m, fd0, fd1);
		return;
	case ORDER_CHANNEL: take_channel(r, m, fd0, fd1); return;
	case ORDER_PING: break;
	default: log_error("unknown order %u came", m->order); break;
	}
	close_fd(fd0);
	close_fd(fd1);
}

static void
control_ready(struct loop_io *io, uint32_t events)
{
	struct receiver *r = io->context;
	struct order_message m;
	int got, fd0, fd1;

	(void)events;
	while ((got = order_receive(io->fd, &m, &fd0, &fd1)) > 0)
		obey(r, &m, fd0, fd1);
	if (got < 0)
		return;
	log_warnx("the supervisor is gone");
	loop_io_stop(io);
	settle_orphaned(&r->posts);
	stop(r, ORPHAN_DRAIN_MS);
}

/* Nothing will be offered any more to a dataSource that has been removed. */
static void
confirm(struct receiver *r)
{
	struct order_message m = { .order = ORDER_CONF_TAKEN,
		.value = r->confirm_number };

	if (!r->must_confirm || post_needs_removed(&r->posts))
		return;
	r->must_confirm =
	    !order_send(r->heritage->control_fd, &m, -1, -1) && errno == EAGAIN;
	FAULT_POINT(CONF_CONFIRMED);
	if (r->must_confirm)
		loop_timer_start(
		    r->loop, &r->confirm_again, CONFIRM_AGAIN_MS, ignore_timer);
}

static void
turn_end(void *context)
{
	struct receiver *r = context;
	struct connections *c = &r->connections;
	bool has_work;

	life_step(r->heritage->life, LIFE_SETTLE);
	outlets_awake(&r->posts.outlets);
	outlets_ring(&r->posts.outlets);
	settle_posts(&r->posts);
	has_work = connection_turn(c);
	outlets_ring(&r->posts.outlets);
	for (unsigned i = 0; i < PORT_KINDS; i++)
		listener_turn(&r->listeners[i]);
	confirm(r);
	if (c->has_counted)
		life_publish(r->heritage->life, &c->counters, NULL);
	c->has_counted = false;
	if (r->is_stopping && c->count == 0)
		loop_stop(r->loop);
	if (has_work || !outlets_may_sleep(&r->posts.outlets))
		loop_poll(r->loop);
	r->posts.wall_ms = 0;
	life_step(r->heritage->life, LIFE_SLEEP);
}

static void
woke(void *context)
{
	const struct receiver *r = context;

	life_turn(r->heritage->life);
	life_step(r->heritage->life, LIFE_SERVE);
}

/* Orders come over the control socket; signals go to whole groups. */
static void
ignore_signals(void)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT,
		SIGUSR1, SIGPIPE };

	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		signal(signals[i], SIG_IGN);
}

/* False: what came with the configuration cannot be used. */
static bool
wire(struct receiver *r)
{
	const struct heritage *h = r->heritage;
	struct settings *settings;
	bool good;

	r->loop = loop_new();
	r->coming.fd = r->coming.keys_fd = -1;
	r->control.context = r->bell.context = r;
	post_init(&r->posts, r->loop, &r->connections.memory, h->incarnation);
	connection_init_all(&r->connections, r->loop, &r->posts);
	(void)life_read(h->life, &r->connections.counters, NULL);
	r->connections.counters.connections = 0;
	r->connections.crowd = h->crowd;
	r->connections.crowd_index = h->index;
	if (h->crowd != NULL)
		r->connections.crowd_count = h->conf->receiver_count;
	for (unsigned i = 0; i < PORT_KINDS; i++) {
		r->listeners[i].connections = &r->connections;
		r->listeners[i].fd = r->listeners[i].io.fd = -1;
	}
	r->listeners[PORT_HTTPS].is_tls = true;
	settings = settings_new(h->conf, NULL);
	good = settings_secure(settings, NULL, h->keys_fd);
	close_fd(h->keys_fd);
	for (unsigned i = 0; i < h->channel_count; i++) {
		r->posts.outlets.receiver_bell = h->channels[i].receiver_bell;
		attach(r, &settings->ds[i], &h->channels[i]);
	}
	use_settings(r, settings);
	FAULT_POINT(RECEIVER_WIRED);
	loop_set_turn(r->loop, turn_end, r);
	loop_set_woke(r->loop, woke, r);
	return good;
}

/* What came with the configuration has been read, and no client yet. */
static void
confine(const struct heritage *h)
{
	struct confine_plan plan = { .kind = CONFINE_RECEIVER,
		.life = h->life };

	if (h->confine != NULL)
		confine_self(h->confine, &plan);
}

static bool
start_listeners(struct receiver *r)
{
	bool good = true;

	for (unsigned i = 0; i < PORT_KINDS; i++)
		good = listener_start(&r->listeners[i], r->loop,
			   r->heritage->listen_fds[i]) &&
		    good;
	return good;
}

static bool
start(struct receiver *r)
{
	const struct heritage *h = r->heritage;
	struct order_message ready = { .order = ORDER_READY };
	int bell = r->posts.outlets.receiver_bell;

	confine(h);
	if (!loop_io_start(
		r->loop, &r->control, h->control_fd, EPOLLIN, control_ready) ||
	    (bell >= 0 &&
		!loop_io_start(
		    r->loop, &r->bell, bell, EPOLLIN | EPOLLET, bell_rang)) ||
	    !start_listeners(r)) {
		log_error("receiver %u cannot watch its descriptors", h->index);
		return false;
	}
	/* the supervisor may be gone already: control_ready will see it */
	(void)order_send(h->control_fd, &ready, -1, -1);
	FAULT_POINT(RECEIVER_READY);
	return true;
}

static void
unwire(struct receiver *r)
{
	for (unsigned i = 0; i < PORT_KINDS; i++)
		listener_stop(&r->listeners[i]);
	connection_fini_all(&r->connections);
	outlets_ring(&r->posts.outlets);
	forget_coming(&r->coming);
	post_fini(&r->posts);
	loop_timer_stop(&r->stop);
	loop_timer_stop(&r->confirm_again);
	life_publish(r->heritage->life, &r->connections.counters, NULL);
	loop_free(&r->loop);
}

int
receiver_main(const struct heritage *heritage)
{
	struct receiver r = { .heritage = heritage };
	char name[32];
	int code = CHILD_TEMPFAIL;

	snprintf(name, sizeof name, "receiver %u", heritage->index);
	log_process(name, NULL);
	panic_keep(heritage->life->panic, sizeof heritage->life->panic);
	ignore_signals();
	heritage_raise_files();
	if (!wire(&r)) {
		code = CHILD_BAD_CONFIG;
	} else if (start(&r)) {
		loop_run(r.loop);
		code = CHILD_DRAINED;
	}
	unwire(&r);
	return code;
}
