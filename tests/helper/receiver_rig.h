/*
 * receiver_rig - a whole receiver under test, its worker played by the test
 *
 * The receiver is a forked child; the test is its supervisor (control socket,
 * channels), its workers (it takes blocks out of the rings and acknowledges
 * them when it likes) and its clients (over loopback). Nothing sleeps for a
 * fixed time: everything that is awaited is polled for, with a long end.
 */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "buf.h"
#include "channel.h"
#include "clock.h"
#include "conf.h"
#include "event.h"
#include "heritage.h"
#include "life.h"

#define RIG_DS_MAX 4
#define RIG_WAIT_MS 10000

struct rig_ds {
	char name[32];
	int memory_fd, worker_bell;
	struct channel channel; /* the worker's view */
	/* what rig_take has found, all blocks together */
	unsigned blocks, events, dropped;
	uint64_t ticket, key_ticket;
	struct buf text; /* the events' texts, a newline behind each */
	int64_t last_ms;
	int32_t last_hash;
};

struct rig {
	struct conf *conf;
	struct rig_ds ds[RIG_DS_MAX];
	unsigned ds_count;
	int receiver_bell, listener, control, port;
	uint32_t incarnation;
	struct life *life;
	pid_t pid;
};

struct rig_answer {
	unsigned status;
	char head[2048];
	char body[2048];
	size_t body_bytes;
};

/* ---- configuration ---- */

/* A dataSource's entry; `properties` as JSON members. */
static inline void UNUSED
rig_add_ds(struct buf *b, const char *name, const char *time_spec,
    const char *properties)
{
	buf_addf(b,
	    "{\"spec\":{\"dataSchema\":{\"dataSource\":\"%s\",\"parser\":{"
	    "\"type\":\"string\",\"parseSpec\":{\"format\":\"json\","
	    "\"timestampSpec\":{%s},\"dimensionsSpec\":{\"dimensions\":"
	    "[\"page\"]}}},\"metricsSpec\":[{\"type\":\"count\",\"name\":"
	    "\"count\"}],\"granularitySpec\":{\"type\":\"uniform\","
	    "\"segmentGranularity\":\"HOUR\",\"queryGranularity\":\"none\"}},"
	    "\"tuningConfig\":{\"type\":\"realtime\",\"windowPeriod\":"
	    "\"PT10M\"}},\"properties\":{%s}}",
	    name, time_spec, properties);
}

/* entries: as rig_add_ds makes them, comma-separated. */
static inline char *UNUSED
rig_conf_text(const char *entries, const char *properties)
{
	struct buf b;

	buf_init(&b, MiB);
	buf_addf(&b,
	    "{\"dataSources\":[%s],\"properties\":{"
	    "\"druid.overlord.url\":\"http://127.0.0.1:1\","
	    "\"tranqd.receivers\":1,\"tranqd.ringBytes\":65536%s%s}}",
	    entries, properties[0] != '\0' ? "," : "", properties);
	assert_non_null(buf_text(&b));
	return b.bytes;
}

static inline struct conf *
rig_parse(const char *text)
{
	struct conf_problems problems = { 0 };
	struct conf *conf =
	    conf_parse("test.json", text, strlen(text), &problems);

	for (unsigned i = 0; i < problems.count; i++)
		print_error("%s\n", problems.lines[i]);
	conf_problems_free(&problems);
	assert_non_null(conf);
	return conf;
}

/* ---- the supervisor's part ---- */

static inline void
rig_make_channel(struct rig *rig, const char *name)
{
	struct rig_ds *d = &rig->ds[rig->ds_count++];

	assert_true(rig->ds_count <= RIG_DS_MAX);
	memset(d, 0, sizeof *d);
	snprintf(d->name, sizeof d->name, "%s", name);
	d->memory_fd =
	    channel_create(name, 0, 1, (uint64_t)rig->conf->ring_bytes);
	assert_true(d->memory_fd >= 0);
	d->worker_bell = bell_new();
	assert_true(channel_attach(
	    &d->channel, d->memory_fd, d->worker_bell, rig->receiver_bell));
	buf_init(&d->text, 256 * MiB);
}

static inline int
rig_listen(int *port)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t bytes = sizeof at;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(listen(fd, 128), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &bytes), 0);
	*port = ntohs(at.sin_port);
	return fd;
}

static inline void
rig_child(struct rig *rig, int control)
{
	struct heritage_channel channels[RIG_DS_MAX];
	struct heritage h = { .conf = rig->conf,
		.incarnation = rig->incarnation,
		.generation = 1,
		.control_fd = control,
		.listen_fds = { rig->listener, -1, -1 },
		.keys_fd = -1,
		.life = rig->life,
		.channels = channels,
		.channel_count = rig->ds_count };

	close(rig->control);
	for (unsigned i = 0; i < rig->ds_count; i++) {
		channels[i].memory_fd = dup(rig->ds[i].memory_fd);
		channels[i].worker_bell = dup(rig->ds[i].worker_bell);
		channels[i].receiver_bell = rig->receiver_bell;
	}
	int code = receiver_main(&h);

	for (unsigned i = 0; i < rig->ds_count; i++) {
		channel_detach(&rig->ds[i].channel);
		buf_free(&rig->ds[i].text);
	}
	conf_free(&rig->conf);
	/* not _exit: a leak check looks at this process too */
	exit(code);
}

static inline bool
rig_poll(int fd, int wait_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, wait_ms) == 1;
}

/* The next order of this kind that the receiver sends. */
static inline uint64_t
rig_await_order(struct rig *rig, uint32_t order)
{
	struct order_message m = { 0 };
	int fd0, fd1;

	while (rig_poll(rig->control, RIG_WAIT_MS)) {
		int got = order_receive(rig->control, &m, &fd0, &fd1);

		assert_int_equal(got, 1);
		if (m.order == order)
			return m.value;
	}
	fail_msg("order %u never came", order);
	return 0;
}

static inline void
rig_fork(struct rig *rig)
{
	int pair[2];

	rig->incarnation++;
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	rig->control = pair[0];
	fflush(NULL);
	rig->pid = fork();
	assert_true(rig->pid >= 0);
	if (rig->pid == 0)
		rig_child(rig, pair[1]);
	close(pair[1]);
	rig_await_order(rig, ORDER_READY);
}

/* text is freed. */
static inline void UNUSED
rig_start(struct rig *rig, char *text)
{
	int life = life_create();

	memset(rig, 0, sizeof *rig);
	rig->conf = rig_parse(text);
	free(text);
	rig->receiver_bell = bell_new();
	for (unsigned i = 0; i < rig->conf->ds_count; i++)
		rig_make_channel(rig, rig->conf->ds[i].name);
	rig->listener = rig_listen(&rig->port);
	assert_true(life >= 0);
	rig->life = life_attach(life);
	close(life);
	assert_non_null(rig->life);
	rig_fork(rig);
}

static inline void
rig_order_stop(struct rig *rig, uint64_t within_ms)
{
	struct order_message m = { .order = ORDER_STOP, .value = within_ms };

	assert_true(order_send(rig->control, &m, -1, -1));
}

static inline int
rig_await_exit(struct rig *rig)
{
	int status;

	assert_int_equal(waitpid(rig->pid, &status, 0), rig->pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static inline void
rig_free(struct rig *rig)
{
	for (unsigned i = 0; i < rig->ds_count; i++) {
		channel_detach(&rig->ds[i].channel);
		close(rig->ds[i].memory_fd);
		close(rig->ds[i].worker_bell);
		buf_free(&rig->ds[i].text);
	}
	close(rig->control);
	close(rig->listener);
	close(rig->receiver_bell);
	life_detach(&rig->life);
	conf_free(&rig->conf);
}

static inline void UNUSED
rig_stop(struct rig *rig)
{
	rig_order_stop(rig, 0);
	assert_int_equal(rig_await_exit(rig), CHILD_DRAINED);
	rig_free(rig);
}

/* Until the counter has this value. */
#define rig_await_counter(rig, member, expected)                        \
	do {                                                            \
		struct counters counters_;                              \
		int64_t end_ = clock_mono_ms() + RIG_WAIT_MS;           \
                                                                        \
		do {                                                    \
			assert_true(clock_mono_ms() < end_);            \
			poll(NULL, 0, 1);                               \
			(void)life_read((rig)->life, &counters_, NULL); \
		} while (counters_.member != (expected));               \
	} while (0)

/* ---- the worker's part ---- */

static inline void
rig_take_block(
    struct rig_ds *d, const struct event_block *b, struct event_reader *reader)
{
	struct event e;
	const char *text;
	unsigned events = 0;
	bool damaged;

	while ((text = event_next(reader, &e, &damaged)) != NULL) {
		buf_add(&d->text, text, e.bytes);
		buf_add(&d->text, "\n", 1);
		d->last_ms = e.timestamp_ms;
		d->last_hash = e.hash;
		events++;
	}
	assert_false(damaged);
	assert_int_equal(events, b->events);
	d->blocks++;
	d->events += events;
	d->dropped += b->dropped[DROP_WINDOW];
	d->ticket = b->ticket;
	d->key_ticket = reader->is_keyed ? reader->key.ticket : 0;
}

/* Takes what is in the ring now; false: nothing. */
static inline bool
rig_take_now(struct rig_ds *d)
{
	uint64_t bytes;
	struct event_reader reader;
	struct event_block b;
	const void *at;
	bool found = false;

	while ((at = ring_peek(&d->channel.events, &bytes)) != NULL) {
		assert_true(event_open(&reader, at, bytes, &b));
		rig_take_block(d, &b, &reader);
		ring_take(&d->channel.events, b.bytes);
		found = true;
	}
	return found;
}

static inline void
rig_forget(struct rig_ds *d)
{
	d->blocks = d->events = d->dropped = 0;
	d->ticket = 0;
	buf_reset(&d->text);
}

/* Waits for blocks and takes them; the receiver's bell is put to the test. */
static inline void UNUSED
rig_take(struct rig_ds *d)
{
	while (!rig_take_now(d)) {
		if (!ring_consumer_may_sleep(&d->channel.events))
			continue;
		if (!rig_poll(d->worker_bell, RIG_WAIT_MS))
			fail_msg("nothing came for %s", d->name);
		bell_silence(d->worker_bell);
		ring_consumer_awake(&d->channel.events);
	}
}

/* Takes until `events` are there. */
static inline void UNUSED
rig_take_events(struct rig_ds *d, unsigned events)
{
	rig_forget(d);
	while (d->events < events)
		rig_take(d);
	assert_int_equal(d->events, events);
}

/* All that was taken is durable. */
static inline void UNUSED
rig_commit(struct rig_ds *d)
{
	ring_advance(&d->channel.events, ring_taken(&d->channel.events));
	channel_ring_receiver(&d->channel);
}

static inline void UNUSED
rig_ack(struct rig_ds *d, uint64_t ticket, uint64_t batch, uint32_t events,
    enum ack_kind kind)
{
	struct ack ack = { .ticket = ticket,
		.batch = batch,
		.events = events,
		.kind = (uint32_t)kind };

	assert_true(channel_ack(&d->channel, &ack));
	channel_ring_receiver(&d->channel);
}

static inline const char *
rig_text(struct rig_ds *d)
{
	return buf_text(&d->text);
}

/* ---- the client's part ---- */

static inline int
rig_connect(const struct rig *rig)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)rig->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
	return fd;
}

static inline void
rig_send(int fd, const void *bytes, size_t count)
{
	const char *at = bytes;

	while (count > 0) {
		ssize_t n = send(fd, at, count, MSG_NOSIGNAL);

		assert_true(n > 0);
		at += n;
		count -= (size_t)n;
	}
}

static inline void
rig_say(int fd, const char *text)
{
	rig_send(fd, text, strlen(text));
}

/* One byte; false: the end, or a reset. */
static inline bool
rig_byte(int fd, char *byte)
{
	if (!rig_poll(fd, RIG_WAIT_MS))
		fail_msg("no answer came");
	return recv(fd, byte, 1, 0) == 1;
}

static inline void
rig_read_head(int fd, struct rig_answer *a)
{
	size_t used = 0;

	memset(a, 0, sizeof *a);
	while (used < 4 || memcmp(a->head + used - 4, "\r\n\r\n", 4) != 0) {
		assert_true(used + 1 < sizeof a->head);
		if (!rig_byte(fd, a->head + used))
			fail_msg("the answer ends in its head: '%s'", a->head);
		used++;
	}
	assert_int_equal(sscanf(a->head, "HTTP/1.1 %u ", &a->status), 1);
}

static inline void
rig_read(int fd, struct rig_answer *a)
{
	const char *length;

	rig_read_head(fd, a);
	length = strcasestr(a->head, "\r\nContent-Length: ");
	assert_non_null(length);
	a->body_bytes = strtoul(length + 18, NULL, 10);
	assert_true(a->body_bytes < sizeof a->body);
	for (size_t i = 0; i < a->body_bytes; i++)
		assert_true(rig_byte(fd, a->body + i));
}

static inline bool
rig_has(const struct rig_answer *a, const char *field)
{
	char line[200];

	snprintf(line, sizeof line, "\r\n%s\r\n", field);
	return strcasestr(a->head, line) != NULL;
}

static inline void
rig_expect(int fd, unsigned status, const char *body)
{
	struct rig_answer a;

	rig_read(fd, &a);
	if (a.status != status || strcmp(a.body, body) != 0)
		fail_msg("%u '%s' in place of %u '%s'", a.status, a.body,
		    status, body);
}

/* The server has closed, and said nothing more before. */
static inline void
rig_expect_end(int fd)
{
	char byte;

	assert_false(rig_byte(fd, &byte));
	close(fd);
}

/* Nothing has come (yet). */
static inline void
rig_expect_silence(int fd)
{
	assert_false(rig_poll(fd, 30));
}

static inline void
rig_post(int fd, const char *target, const char *body)
{
	struct buf b;

	buf_init(&b, 256 * MiB);
	buf_addf(&b,
	    "POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
	    "Content-Length: %zu\r\n\r\n",
	    target, strlen(body));
	buf_add_text(&b, body);
	assert_false(b.failed);
	rig_send(fd, b.bytes, b.used);
	buf_free(&b);
}

/* {"time":NOW,"page":"…"}, written into a buffer of the caller. */
static inline const char *UNUSED
rig_event(char *to, size_t size, const char *page)
{
	snprintf(to, size, "{\"time\":%lld,\"page\":\"%s\"}",
	    (long long)clock_wall_ms(), page);
	return to;
}
