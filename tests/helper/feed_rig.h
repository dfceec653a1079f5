/*
 * feed_rig - the feed in this process, over a log in memory (fake_log.h), and
 * its consumers
 *
 * Process: tests of the feed. The test is foo's worker, and that of zoo, which
 * is no topic until it says so. Each wait has an end.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "channel.h"
#include "fake_log.h"
#include "feed_link.h"
#include "loop_until.h"

#define FIRST 5000
#define IN_BYTES (64 * MiB)

/* The feed in this process, and the worker's side of its page. */
static struct {
	struct conf *conf;
	struct loop *loop;
	struct feed_server *server;
	struct feed_links links;
	struct log_page *page; /* foo's, the worker's side */
	struct log_page *zoo; /* of a topic that is none yet */
	struct loop_io bell_io;
	int bell;
} rig;

/* One consumer. */
struct peer {
	int fd;
	char *in;
	size_t used, taken; /* bytes that came; of them, answers looked at */
	bool is_closed;
	struct buf out;
	size_t frame; /* that is being written */
	int32_t correlation;
};

static struct peer peer, other;

static inline void
bell_rang(struct loop_io *io UNUSED, uint32_t events UNUSED)
{
}

static inline void
turn_end(void *context UNUSED)
{
	if (feed_link_turn(&rig.links))
		loop_poll(rig.loop);
	/* no look outlives a turn, whatever clients do */
	assert_int_equal(fake_log.looks, 0);
}

static inline void
tell_range(void)
{
	log_page_tell(rig.page, 0, fake_log_range());
	log_page_ring(rig.page, rig.bell);
}

static inline void
tell_unshared(struct log_page *page)
{
	log_page_tell_peers(page, &(struct log_peers){ .is_shared = false });
}

static inline void
make_conf(const char *properties)
{
	struct conf_problems problems = { 0 };
	char *text = must_format(
	    "{\"dataSources\":[{\"spec\":{\"dataSchema\":{\"dataSource\":"
	    "\"foo\",\"parser\":{\"type\":\"string\",\"parseSpec\":{\"format\":"
	    "\"json\",\"timestampSpec\":{\"column\":\"t\"},\"dimensionsSpec\":"
	    "{}}},\"metricsSpec\":[],\"granularitySpec\":{"
	    "\"segmentGranularity\":\"hour\"}}}},{\"spec\":{\"dataSchema\":{"
	    "\"dataSource\":\"zoo\",\"parser\":{\"type\":\"string\","
	    "\"parseSpec\":{\"format\":\"json\",\"timestampSpec\":{"
	    "\"column\":\"t\"},\"dimensionsSpec\":{}}},\"metricsSpec\":[],"
	    "\"granularitySpec\":{\"segmentGranularity\":\"hour\"}}}}],"
	    "\"properties\":{"
	    "\"druid.overlord.url\":\"http://x\"%s%s}}",
	    properties[0] != '\0' ? "," : "", properties);

	rig.conf = conf_parse("test", text, strlen(text), &problems);
	if (rig.conf == NULL)
		fail_msg("%s", problems.lines[0]);
	conf_problems_free(&problems);
	free(text);
}

static inline struct log_page *
make_page(int *fd)
{
	struct log_page *page;

	*fd = log_page_create();
	assert_true(*fd >= 0);
	page = log_page_attach(*fd);
	assert_non_null(page);
	return page;
}

static inline void
start_feed(const char *properties)
{
	int pages[2];

	fake_log_begin(FIRST);
	make_conf(properties);
	rig.page = make_page(&pages[0]);
	rig.zoo = make_page(&pages[1]);
	rig.loop = loop_new();
	rig.bell = bell_new();
	rig.server = must_calloc(1, sizeof *rig.server);
	rig.server->conf = rig.conf;
	rig.server->self =
	    (struct kafka_answer_broker){ 1, 9094, kafka_wire_text("host") };
	rig.server->cluster = kafka_wire_text("tranqd");
	feed_serve_init(rig.server);
	assert_true(feed_topic_init_all(&rig.server->topics, rig.conf, pages));
	rig.links =
	    (struct feed_links){ .loop = rig.loop, .server = rig.server };
	feed_link_init_all(&rig.links, rig.conf->pull_memory_bytes);
	rig.bell_io.fd = -1;
	assert_true(loop_io_start(
	    rig.loop, &rig.bell_io, rig.bell, EPOLLIN | EPOLLET, bell_rang));
	loop_set_turn(rig.loop, turn_end, NULL);
	tell_range();
	tell_unshared(rig.page);
	log_page_open(rig.page, "3e7c5b9a-0000-0000-0000-000000000000");
	peer.fd = other.fd = -1;
}

static inline void
disconnect(struct peer *p)
{
	if (p->fd < 0)
		return;
	close(p->fd);
	free(p->in);
	buf_free(&p->out);
	*p = (struct peer){ .fd = -1 };
}

static inline void
stop_feed(void)
{
	disconnect(&peer);
	disconnect(&other);
	feed_link_fini_all(&rig.links);
	assert_int_equal(rig.links.memory.used, 0);
	feed_serve_fini(rig.server);
	assert_int_equal(fake_log.views, 0);
	loop_io_stop(&rig.bell_io);
	close(rig.bell);
	log_page_detach(&rig.page);
	log_page_detach(&rig.zoo);
	loop_free(&rig.loop);
	free(rig.server);
	conf_free(&rig.conf);
	fake_log_begin(FIRST);
}

/* ---- a consumer ---- */

static inline void
connect_peer(struct peer *p)
{
	int ends[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	*p = (struct peer){ .fd = ends[0] };
	p->in = must_malloc(IN_BYTES);
	buf_init(&p->out, MiB);
	feed_link_accept(&rig.links, ends[1]);
}

static inline struct buf *
begin(struct peer *p, int16_t api, int16_t version)
{
	p->frame = kafka_wire_frame_begin(&p->out);
	kafka_wire_put_i16(&p->out, api);
	kafka_wire_put_i16(&p->out, version);
	kafka_wire_put_i32(&p->out, ++p->correlation);
	kafka_wire_put_string(&p->out, kafka_wire_text("test"));
	return &p->out;
}

static inline void
end(struct peer *p)
{
	kafka_wire_frame_end(&p->out, p->frame, 0);
}

static inline void
flush(struct peer *p)
{
	assert_false(p->out.failed);
	assert_int_equal(
	    send(p->fd, p->out.bytes, p->out.used, MSG_NOSIGNAL), p->out.used);
	buf_reset(&p->out);
}

static inline void
receive(struct peer *p)
{
	ssize_t n =
	    recv(p->fd, p->in + p->used, IN_BYTES - p->used, MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN))
		p->is_closed = true;
	if (n > 0)
		p->used += (size_t)n;
}

static inline bool
has_answer(struct peer *p)
{
	receive(p);
	return p->used - p->taken >= 4 &&
	    p->used - p->taken >=
	    4 + (size_t)kafka_wire_frame_size(p->in + p->taken);
}

static inline bool
has_closed(struct peer *p)
{
	receive(p);
	return p->is_closed;
}

/* The feed's loop does not wait longer than a client of ours looks. */
static inline void
nudge(struct loop_timer *t)
{
	loop_timer_start(rig.loop, t, 5, nudge);
}

#define AWAIT(condition)                                       \
	do {                                                   \
		struct loop_timer nudge_ = { .place = 0 };     \
		loop_timer_start(rig.loop, &nudge_, 5, nudge); \
		LOOP_UNTIL(rig.loop, condition);               \
		loop_timer_stop(&nudge_);                      \
	} while (0)

/* The next answer behind its correlation id, which is the one expected. */
static inline struct kafka_reader
answer(struct peer *p, int32_t correlation)
{
	struct kafka_reader r;
	size_t bytes;

	AWAIT(has_answer(p));
	bytes = (size_t)kafka_wire_frame_size(p->in + p->taken);
	kafka_wire_reader(&r, p->in + p->taken + 4, bytes);
	p->taken += 4 + bytes;
	assert_int_equal(kafka_wire_i32(&r), correlation);
	return r;
}

static inline bool
has_no_answer(struct peer *p)
{
	for (unsigned i = 0; i < 3; i++) {
		loop_poll(rig.loop);
		loop_once(rig.loop);
	}
	return !has_answer(p) && !p->is_closed;
}

#define NONE (-1)
/* One partition. What is 0 is as usual (NONE: 0); max_wait is so long that
 * nobody waits for its end by mistake. */
struct fetch {
	const char *topic;
	int32_t max_wait_ms, bytes_min, bytes_max, partition_bytes_max;
	int32_t partition;
	int64_t offset;
};

static inline int32_t
or_usual(int32_t value, int32_t usual)
{
	return value == NONE ? 0 : value == 0 ? usual : value;
}

static inline void
put_fetch(struct peer *p, const struct fetch *f)
{
	struct buf *b = begin(p, KAFKA_FETCH, 11);

	kafka_wire_put_i32(b, -1);
	kafka_wire_put_i32(b, or_usual(f->max_wait_ms, 3600000));
	kafka_wire_put_i32(b, or_usual(f->bytes_min, 1));
	kafka_wire_put_i32(b, or_usual(f->bytes_max, 50 << 20));
	kafka_wire_put_i8(b, 1);
	kafka_wire_put_i32(b, 0);
	kafka_wire_put_i32(b, 0);
	kafka_wire_put_i32(b, 1);
	kafka_wire_put_string(
	    b, kafka_wire_text(f->topic != NULL ? f->topic : "foo"));
	kafka_wire_put_i32(b, 1);
	kafka_wire_put_i32(b, f->partition);
	kafka_wire_put_i32(b, -1);
	kafka_wire_put_i64(b, f->offset);
	kafka_wire_put_i64(b, -1);
	kafka_wire_put_i32(b, or_usual(f->partition_bytes_max, 1 << 20));
	kafka_wire_put_i32(b, 0);
	kafka_wire_put_string(b, kafka_wire_text(""));
	end(p);
}

#define FETCH(...)          \
	&(struct fetch)     \
	{                   \
		__VA_ARGS__ \
	}

struct fetched {
	int32_t partition;
	int16_t error;
	int64_t end, start;
	struct kafka_text records;
};

static inline struct fetched
read_fetched(struct kafka_reader r)
{
	struct fetched f = { 0 };

	assert_int_equal(kafka_wire_i32(&r), 0); /* throttle */
	assert_int_equal(kafka_wire_i16(&r), 0);
	assert_int_equal(kafka_wire_i32(&r), 0); /* no session */
	assert_int_equal(kafka_wire_i32(&r), 1);
	(void)kafka_wire_string(&r);
	assert_int_equal(kafka_wire_i32(&r), 1);
	f.partition = kafka_wire_i32(&r);
	f.error = kafka_wire_i16(&r);
	f.end = kafka_wire_i64(&r);
	assert_int_equal(kafka_wire_i64(&r), f.end);
	f.start = kafka_wire_i64(&r);
	assert_int_equal(kafka_wire_i32(&r), 0);
	assert_int_equal(kafka_wire_i32(&r), -1);
	f.records = kafka_wire_bytes(&r);
	assert_false(r.is_bad);
	assert_ptr_equal(r.at, r.end);
	return f;
}

static inline struct fetched
fetch(struct peer *p, const struct fetch *f)
{
	struct fetched got;

	put_fetch(p, f);
	flush(p);
	got = read_fetched(answer(p, p->correlation));
	assert_int_equal(got.partition, f->partition);
	return got;
}

/* The batches from `first` on, `count` of them, and nothing else. */
static inline void
assert_batches(struct kafka_text records, unsigned first, unsigned count)
{
	const char *at = records.at;

	for (unsigned i = first; i < first + count; i++) {
		size_t size = fake_log.batches[i].size;

		assert_true((size_t)(records.at + records.bytes - at) >= size);
		assert_memory_equal(at, fake_log.batches[i].bytes, size);
		at += size;
	}
	assert_ptr_equal(at, records.at + records.bytes);
}

static inline void
put_metadata(struct peer *p, const char *topic)
{
	struct buf *b = begin(p, KAFKA_METADATA, 1);

	kafka_wire_put_i32(b, topic != NULL ? 1 : -1);
	if (topic != NULL)
		kafka_wire_put_string(b, kafka_wire_text(topic));
	end(p);
}

/* The same place, so many times. */
static inline void
put_list_offsets(
    struct peer *p, int32_t partition, int64_t time_ms, unsigned times)
{
	struct buf *b = begin(p, KAFKA_LIST_OFFSETS, 1);

	kafka_wire_put_i32(b, -1);
	kafka_wire_put_i32(b, 1);
	kafka_wire_put_string(b, kafka_wire_text("foo"));
	kafka_wire_put_i32(b, (int32_t)times);
	for (unsigned i = 0; i < times; i++) {
		kafka_wire_put_i32(b, partition);
		kafka_wire_put_i64(b, time_ms);
	}
	end(p);
}

/* Of any partition; the error. */
static inline int16_t
list_partition(struct peer *p, int32_t partition, int64_t time_ms,
    struct feed_topic_place *place)
{
	struct kafka_reader r;
	int16_t error;

	put_list_offsets(p, partition, time_ms, 1);
	flush(p);
	r = answer(p, p->correlation);
	assert_int_equal(kafka_wire_i32(&r), 1);
	(void)kafka_wire_string(&r);
	assert_int_equal(kafka_wire_i32(&r), 1);
	assert_int_equal(kafka_wire_i32(&r), partition);
	error = kafka_wire_i16(&r);
	place->time_ms = kafka_wire_i64(&r);
	place->offset = kafka_wire_i64(&r);
	assert_false(r.is_bad);
	return error;
}

static inline struct feed_topic_place
list_offset(struct peer *p, int64_t time_ms)
{
	struct feed_topic_place place;

	assert_int_equal(list_partition(p, 0, time_ms, &place), 0);
	return place;
}
