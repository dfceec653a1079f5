/*
 * feed - the process from which Druid pulls
 *
 * Process: feed. Its life: wiring, turns, orders of the supervisor.
 *
 * Serves every dataSource's log as a topic of the Kafka protocol, out of the
 * spools and past the workers, read only. Path of a request here: feed_door,
 * feed_link, feed_serve, kafka_request, feed_topic, kafka_answer, feed_link.
 * Who waits for events is woken by the worker's bell.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf_pull.h"
#include "feed_door.h"
#include "heritage.h"
#include "json.h"
#include "log.h"
#include "panic.h"
#include "receiver_keys.h"

#define ORPHAN_DRAIN_MS 2000 /* the supervisor is gone */
#define TELL_MS 1000 /* how often the state is described */
#define CLUSTER "tranqd"

struct feed {
	const struct heritage *heritage;
	struct loop *loop;
	struct feed_server server;
	struct feed_links links;
	struct feed_door door;
	struct tls *tls;
	struct endpoint address;
	struct loop_io control, bell;
	struct loop_timer stop, tell;
	bool is_stopping;
};

/* ---- what the supervisor says ---- */

static void
stop_due(struct loop_timer *timer)
{
	struct feed *f = timer->context;

	loop_stop(f->loop);
}

/* Answers what waits and ends what is on its way. */
static void
stop(struct feed *f, int64_t within_ms)
{
	f->is_stopping = true;
	feed_door_close(&f->door);
	feed_link_drain(&f->links);
	if (loop_timer_active(&f->stop) &&
	    f->stop.due_ms - loop_now_ms(f->loop) <= within_ms)
		return;
	f->stop.context = f;
	loop_timer_start(f->loop, &f->stop, within_ms, stop_due);
}

static void
obey(struct feed *f, const struct order_message *m, int fd0)
{
	switch (m->order) {
	case ORDER_STOP: stop(f, (int64_t)MIN_OF(m->value, INT32_MAX)); break;
	case ORDER_REOPEN_LOG: order_take_log(m, fd0); return;
	case ORDER_PING: break;
	default: log_error("unknown order %u came", m->order); break;
	}
	if (fd0 >= 0)
		close(fd0);
}

static void
control_ready(struct loop_io *io, uint32_t events)
{
	struct feed *f = io->context;
	struct order_message m;
	int got, fd0, fd1;

	(void)events;
	while ((got = order_receive(io->fd, &m, &fd0, &fd1)) > 0) {
		obey(f, &m, fd0);
		if (fd1 >= 0)
			close(fd1);
	}
	if (got < 0)
		return;
	log_warnx("the supervisor is gone");
	loop_io_stop(io);
	stop(f, ORPHAN_DRAIN_MS);
}

static void
bell_rang(struct loop_io *io UNUSED, uint32_t events UNUSED)
{
	/* edge-triggered: each ring is an edge, none needs to be read; the
	 * pages tell turn_end who has rung */
}

/* ---- what it says of itself ---- */

static struct json *
describe_partition(const struct feed_topic *t, unsigned at)
{
	struct json *o = json_new_object();
	struct feed_topic_part part;

	feed_topic_part(t, at, &part);
	json_set_int(o, "index", part.number);
	json_set_int(o, "start", (int64_t)part.range.start);
	json_set_int(o, "end", (int64_t)part.range.end);
	if (part.asked != 0)
		json_set_int(o, "asked", (int64_t)part.asked);
	if (!part.is_ours)
		json_set_text(o, "of",
		    part.stands_in ? "one who is away" : "another tranqd");
	return o;
}

static struct json *
describe_topic(const struct feed_topic *t)
{
	struct json *o = json_new_object(), *list = json_new_array();

	json_set_text(o, "name", t->name);
	for (unsigned p = 0; p < t->partitions; p++)
		json_append(list, describe_partition(t, p));
	json_set(o, "partitions", list);
	return o;
}

static void
describe(struct feed *f, bool lists_topics, struct buf *to)
{
	struct json *o = json_new_object(), *topics = json_new_array();
	struct feed_topics *all = &f->server.topics;
	unsigned left_out = 0;

	for (unsigned i = 0; i < all->count; i++) {
		if (feed_topic_partitions(&all->all[i]) == 0)
			continue;
		if (lists_topics)
			json_append(topics, describe_topic(&all->all[i]));
		else
			left_out++;
	}
	json_set_int(o, "damagedBatches", (int64_t)all->damaged);
	json_set(o, "topics", topics);
	if (left_out > 0)
		json_set_int(o, "topicsLeftOut", left_out);
	json_print(o, to);
	json_free(&o);
}

static void
tell(struct feed *f)
{
	struct buf text;

	buf_init(&text, LIFE_TEXT_BYTES - 1);
	describe(f, true, &text);
	if (text.failed) { /* there is no room for so many */
		buf_reset(&text);
		describe(f, false, &text);
	}
	life_publish(f->heritage->life, &f->server.counters,
	    text.failed ? "" : buf_text(&text));
	buf_free(&text);
}

static void
tell_due(struct loop_timer *timer)
{
	tell(timer->context);
}

static void
turn_end(void *context)
{
	struct feed *f = context;

	life_step(f->heritage->life, LIFE_SETTLE);
	if (feed_link_turn(&f->links))
		loop_poll(f->loop);
	if (f->links.has_counted && !loop_timer_active(&f->tell)) {
		f->tell.context = f;
		loop_timer_start(f->loop, &f->tell, TELL_MS, tell_due);
	}
	f->links.has_counted = false;
	if (f->is_stopping && f->links.count == 0)
		loop_stop(f->loop);
	life_step(f->heritage->life, LIFE_SLEEP);
}

static void
woke(void *context)
{
	const struct feed *f = context;

	life_turn(f->heritage->life);
	life_step(f->heritage->life, LIFE_SERVE);
}

/* ---- start and end ---- */

/* False, and told: what came with the configuration cannot be used. */
static bool
take_keys(struct feed *f, int keys_fd)
{
	const struct conf *conf = f->heritage->conf;
	struct conf_problems problems = { 0 };
	struct receiver_keys keys;
	bool good = true;

	if (keys_fd < 0)
		return true;
	if (!receiver_keys_open(&keys, keys_fd)) {
		log_error("certificates and passwords did not come");
		return false;
	}
	close(keys_fd);
	if (keys.auth_bytes > 0) {
		f->server.users = feed_users_new(conf->pull_auth_file,
		    keys.auth, keys.auth_bytes, &problems);
		good = f->server.users != NULL;
	}
	if (keys.tls.pem_bytes > 0) {
		f->tls = tls_new(conf, &keys.tls, &problems);
		good = f->tls != NULL && good;
	}
	receiver_keys_close(&keys);
	for (unsigned i = 0; i < problems.count; i++)
		log_error("%s", problems.lines[i]);
	conf_problems_free(&problems);
	return good;
}

static void
take_address(struct feed *f)
{
	const struct conf *conf = f->heritage->conf;
	struct feed_server *s = &f->server;
	struct endpoint listen;

	conf_pull_address(conf, f->heritage->pull_port, &f->address);
	s->self = (struct kafka_answer_broker){ log_peers_node(f->address.host,
						    f->address.port),
		(int32_t)f->address.port, kafka_wire_text(f->address.host) };
	s->cluster = kafka_wire_text(CLUSTER);
	/* passwords in the clear go over what cannot be overheard only, or
	 * where the operator says so */
	must(endpoint_parse(conf->pull_listen, &listen));
	s->offers_plain = f->tls != NULL || conf->pull_insecure ||
	    endpoint_is_loopback(&listen);
}

static bool
wire(struct feed *f)
{
	const struct heritage *h = f->heritage;
	struct feed_server *s = &f->server;
	bool good;

	f->loop = loop_new();
	f->control.context = f;
	f->control.fd = f->bell.fd = -1;
	s->conf = h->conf;
	feed_serve_init(s);
	(void)life_read(h->life, &s->counters, NULL);
	s->counters.connections = 0;
	good = feed_topic_init_all(&s->topics, h->conf, h->page_fds) &&
	    take_keys(f, h->keys_fd);
	take_address(f);
	f->links.loop = f->loop;
	f->links.server = s;
	f->links.tls = f->tls;
	feed_link_init_all(&f->links, h->conf->pull_memory_bytes);
	f->door.links = &f->links;
	f->door.connections_max = (unsigned)h->conf->pull_max_connections;
	f->door.io.fd = -1;
	loop_set_turn(f->loop, turn_end, f);
	loop_set_woke(f->loop, woke, f);
	return good;
}

/* What came with the configuration has been read, and no client yet. */
static void
confine(const struct heritage *h)
{
	char *spools = must_format("%s/spool", h->conf->data_dir);
	struct confine_plan plan = { .kind = CONFINE_FEED,
		.life = h->life,
		.own = { spools },
		.own_count = 1 };

	if (h->confine != NULL)
		confine_self(h->confine, &plan);
	free(spools);
}

static bool
start(struct feed *f)
{
	const struct heritage *h = f->heritage;
	struct order_message ready = { .order = ORDER_READY };

	confine(h);
	if (!loop_io_start(
		f->loop, &f->control, h->control_fd, EPOLLIN, control_ready) ||
	    !loop_io_start(f->loop, &f->bell, h->feed_bell, EPOLLIN | EPOLLET,
		bell_rang) ||
	    !feed_door_open(&f->door, h->listen_fds[PORT_PULL])) {
		log_error("the feed cannot watch its descriptors");
		return false;
	}
	/* the supervisor may be gone already: control_ready will see it */
	(void)order_send(h->control_fd, &ready, -1, -1);
	tell(f);
	return true;
}

static void
unwire(struct feed *f)
{
	feed_door_close(&f->door);
	feed_link_fini_all(&f->links);
	loop_timer_stop(&f->stop);
	loop_timer_stop(&f->tell);
	tell(f);
	feed_serve_fini(&f->server);
	tls_free(&f->tls);
	loop_free(&f->loop);
}

int
feed_main(const struct heritage *heritage)
{
	struct feed *f = must_calloc(1, sizeof *f);
	int code = CHILD_TEMPFAIL;

	f->heritage = heritage;
	heritage_raise_files();
	if (!wire(f)) {
		code = CHILD_BAD_CONFIG;
	} else if (start(f)) {
		loop_run(f->loop);
		code = CHILD_DRAINED;
	}
	unwire(f);
	free(f);
	return code;
}
