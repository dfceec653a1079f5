/*
 * test_feed - consumers' connections and what they are answered, over a log in
 * memory
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "channel.h"
#include "fake_log.h"
#include "feed_door.h"
#include "loop_until.h"

#define FIRST 5000
#define IN_BYTES (64 * MiB)
#define SECRET                                              \
	"user:SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" \
	"WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"     \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=\n"

/* The feed in this process, and the worker's side of its page. */
static struct {
	struct conf *conf;
	struct loop *loop;
	struct feed_server *server;
	struct feed_links links;
	struct log_page *page; /* the worker's */
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

static void
bell_rang(struct loop_io *io UNUSED, uint32_t events UNUSED)
{
}

static void
turn_end(void *context UNUSED)
{
	if (feed_link_turn(&rig.links))
		loop_poll(rig.loop);
	/* no look outlives a turn, whatever clients do */
	assert_int_equal(fake_log.looks, 0);
}

static void
tell_range(void)
{
	log_page_tell(rig.page, 0, fake_log_range());
	log_page_ring(rig.page, rig.bell);
}

static void
tell_unshared(struct log_page *page)
{
	log_page_tell_peers(page, &(struct log_peers){ .is_shared = false });
}

static void
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

static struct log_page *
make_page(int *fd)
{
	struct log_page *page;

	*fd = log_page_create();
	assert_true(*fd >= 0);
	page = log_page_attach(*fd);
	assert_non_null(page);
	return page;
}

static void
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

static void
disconnect(struct peer *p)
{
	if (p->fd < 0)
		return;
	close(p->fd);
	free(p->in);
	buf_free(&p->out);
	*p = (struct peer){ .fd = -1 };
}

static void
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

static void
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

static struct buf *
begin(struct peer *p, int16_t api, int16_t version)
{
	p->frame = kafka_wire_frame_begin(&p->out);
	kafka_wire_put_i16(&p->out, api);
	kafka_wire_put_i16(&p->out, version);
	kafka_wire_put_i32(&p->out, ++p->correlation);
	kafka_wire_put_string(&p->out, kafka_wire_text("test"));
	return &p->out;
}

static void
end(struct peer *p)
{
	kafka_wire_frame_end(&p->out, p->frame, 0);
}

static void
flush(struct peer *p)
{
	assert_false(p->out.failed);
	assert_int_equal(
	    send(p->fd, p->out.bytes, p->out.used, MSG_NOSIGNAL), p->out.used);
	buf_reset(&p->out);
}

static void
receive(struct peer *p)
{
	ssize_t n =
	    recv(p->fd, p->in + p->used, IN_BYTES - p->used, MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN))
		p->is_closed = true;
	if (n > 0)
		p->used += (size_t)n;
}

static bool
has_answer(struct peer *p)
{
	receive(p);
	return p->used - p->taken >= 4 &&
	    p->used - p->taken >=
	    4 + (size_t)kafka_wire_frame_size(p->in + p->taken);
}

static bool
has_closed(struct peer *p)
{
	receive(p);
	return p->is_closed;
}

/* The feed's loop does not wait longer than a client of ours looks. */
static void
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
static struct kafka_reader
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

static bool
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

static int32_t
or_usual(int32_t value, int32_t usual)
{
	return value == NONE ? 0 : value == 0 ? usual : value;
}

static void
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

static struct fetched
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

static struct fetched
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
static void
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

static void
put_metadata(struct peer *p, const char *topic)
{
	struct buf *b = begin(p, KAFKA_METADATA, 1);

	kafka_wire_put_i32(b, topic != NULL ? 1 : -1);
	if (topic != NULL)
		kafka_wire_put_string(b, kafka_wire_text(topic));
	end(p);
}

/* ---- tests ---- */

static void
test_metadata(void **state)
{
	struct kafka_reader r;

	(void)state;
	start_feed("");
	connect_peer(&peer);
	for (unsigned i = 0; i < 3; i++) {
		put_metadata(&peer, i == 0 ? NULL : i == 1 ? "foo" : "unknown");
		flush(&peer);
		r = answer(&peer, peer.correlation);
		assert_int_equal(kafka_wire_i32(&r), 1);
		assert_int_equal(kafka_wire_i32(&r), 1);
		assert_true(kafka_wire_is(kafka_wire_string(&r), "host"));
		assert_int_equal(kafka_wire_i32(&r), 9094);
		assert_null(kafka_wire_nullable(&r).at);
		assert_int_equal(kafka_wire_i32(&r), 1);
		assert_int_equal(kafka_wire_i32(&r), 1); /* topics */
		assert_int_equal(kafka_wire_i16(&r), i == 2 ? 3 : 0);
		assert_true(kafka_wire_is(
		    kafka_wire_string(&r), i == 2 ? "unknown" : "foo"));
		(void)kafka_wire_i8(&r);
		assert_int_equal(kafka_wire_i32(&r), i == 2 ? 0 : 1);
	}
	stop_feed();
}

/* The same place, so many times. */
static void
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
static int16_t
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

static struct feed_topic_place
list_offset(struct peer *p, int64_t time_ms)
{
	struct feed_topic_place place;

	assert_int_equal(list_partition(p, 0, time_ms, &place), 0);
	return place;
}

static void
test_list_offsets(void **state)
{
	struct feed_topic_place place;

	(void)state;
	start_feed("");
	for (unsigned i = 0; i < 5; i++)
		fake_log_add(10, 20, 1000 + 100 * i);
	tell_range();
	connect_peer(&peer);
	assert_int_equal(list_offset(&peer, KAFKA_EARLIEST).offset, FIRST);
	assert_int_equal(list_offset(&peer, KAFKA_LATEST).offset, FIRST + 50);
	assert_int_equal(list_offset(&peer, 0).offset, FIRST);
	/* within a batch, and between two */
	place = list_offset(&peer, 1203);
	assert_int_equal(place.offset, FIRST + 23);
	assert_int_equal(place.time_ms, 1203);
	place = list_offset(&peer, 1250);
	assert_int_equal(place.offset, FIRST + 30);
	assert_int_equal(place.time_ms, 1300);
	assert_int_equal(list_offset(&peer, 1410).offset, -1);
	/* what is not durable is not there, though it can be seen */
	fake_log_add(10, 20, 1500);
	assert_int_equal(list_offset(&peer, KAFKA_LATEST).offset, FIRST + 50);
	assert_int_equal(list_offset(&peer, 1505).offset, -1);
	stop_feed();
}

/* The same place, as often as a request can ask for it: so many batches are not
 * taken apart, and the rest is told their batch, which leaves nothing out. */
static void
test_list_often(void **state)
{
	unsigned exact = 0;
	struct kafka_reader r;

	(void)state;
	start_feed("");
	fake_log_add(10, 400 * KiB, 1000);
	tell_range();
	connect_peer(&peer);
	put_list_offsets(&peer, 0, 1007, KAFKA_REQUEST_PARTITIONS_MAX);
	flush(&peer);
	r = answer(&peer, peer.correlation);
	(void)kafka_wire_i32(&r);
	(void)kafka_wire_string(&r);
	(void)kafka_wire_i32(&r);
	for (unsigned i = 0; i < KAFKA_REQUEST_PARTITIONS_MAX; i++) {
		int64_t time_ms, offset;

		(void)kafka_wire_i32(&r);
		assert_int_equal(kafka_wire_i16(&r), 0);
		time_ms = kafka_wire_i64(&r);
		offset = kafka_wire_i64(&r);
		exact += time_ms == 1007;
		assert_int_equal(offset, time_ms == 1007 ? FIRST + 7 : FIRST);
	}
	assert_false(r.is_bad);
	assert_in_range(exact, 1, FEED_TOPIC_UNPACK_MAX / (4000 * KiB));
	/* another request has as much again */
	assert_int_equal(list_offset(&peer, 1007).offset, FIRST + 7);
	stop_feed();
}

/* Nor are so many batches looked at: what comes out is a place before the right
 * one. */
static void
test_list_far(void **state)
{
	(void)state;
	start_feed("");
	for (unsigned i = 0; i < 20; i++)
		fake_log_add(10, 10, 1000);
	fake_log_add(10, 10, 2000);
	tell_range();
	connect_peer(&peer);
	assert_int_equal(list_offset(&peer, 2000).offset, FIRST + 200);
	fake_log.searches = 0;
	put_list_offsets(&peer, 0, 2000, KAFKA_REQUEST_PARTITIONS_MAX);
	flush(&peer);
	(void)answer(&peer, peer.correlation);
	/* each of one batch here; 21 for each place it would be */
	assert_in_range(fake_log.searches, 1,
	    FEED_TOPIC_SEARCH_MAX / 1024 + KAFKA_REQUEST_PARTITIONS_MAX);
	stop_feed();
}

static void
test_fetch(void **state)
{
	struct fetched f;

	(void)state;
	start_feed("");
	for (unsigned i = 0; i < 10; i++)
		fake_log_add(10, 100, 1000);
	tell_range();
	connect_peer(&peer);
	f = fetch(&peer, FETCH(.offset = FIRST));
	assert_int_equal(f.error, 0);
	assert_int_equal(f.start, FIRST);
	assert_int_equal(f.end, FIRST + 100);
	assert_batches(f.records, 0, 10);
	/* from the middle of a batch: all of it */
	f = fetch(&peer, FETCH(.offset = FIRST + 57));
	assert_batches(f.records, 5, 5);
	/* however small the bounds are: one batch */
	f = fetch(&peer, FETCH(.offset = FIRST, .partition_bytes_max = 1));
	assert_batches(f.records, 0, 1);
	f = fetch(&peer, FETCH(.offset = FIRST, .bytes_max = NONE));
	assert_batches(f.records, 0, 1);
	f = fetch(&peer,
	    FETCH(.offset = FIRST,
		.bytes_max = (int32_t)(3 * fake_log.batches[0].size)));
	assert_batches(f.records, 0, 3);
	/* what is not durable is not sent */
	fake_log_add(10, 100, 1000);
	f = fetch(&peer, FETCH(.offset = FIRST + 90));
	assert_batches(f.records, 9, 1);
	stop_feed();
}

/* Three of one topic: partition 4 is ours, 2 is of one who is away, so that we
 * stand in for him, 7 is of another one. */
static void
share(struct log_peers *p, int32_t leader_of_4)
{
	*p = (struct log_peers){ .is_shared = true,
		.count = 3,
		.own = 4,
		.node = log_peers_node("host", 9094),
		.all = { { 2, 0, 500, 800 }, { 4, leader_of_4, 1, 1 },
		    { 7, log_peers_node("two", 1), 70, 71 } } };
	p->all[0].leader = p->node;
	if (leader_of_4 == 0)
		p->all[1].leader = p->node;
	assert_true(log_peers_add_broker(p, "host", 9094));
	assert_true(log_peers_add_broker(p, "two", 1));
	log_page_tell_peers(rig.page, p);
}

static void
assert_shared_metadata(const char *topic, const struct log_peers *p)
{
	struct kafka_reader r;

	put_metadata(&peer, topic);
	flush(&peer);
	r = answer(&peer, peer.correlation);
	assert_int_equal(kafka_wire_i32(&r), 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(kafka_wire_i32(&r), p->brokers[i].node);
		assert_true(
		    kafka_wire_is(kafka_wire_string(&r), p->brokers[i].host));
		assert_int_equal(kafka_wire_i32(&r), p->brokers[i].port);
		assert_null(kafka_wire_nullable(&r).at);
	}
	assert_int_equal(kafka_wire_i32(&r), p->brokers[0].node);
	assert_int_equal(kafka_wire_i32(&r), 1);
	assert_int_equal(kafka_wire_i16(&r), 0);
	assert_true(kafka_wire_is(kafka_wire_string(&r), "foo"));
	(void)kafka_wire_i8(&r);
	assert_int_equal(kafka_wire_i32(&r), 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(kafka_wire_i16(&r), 0);
		assert_int_equal(kafka_wire_i32(&r), p->all[i].number);
		assert_int_equal(kafka_wire_i32(&r), p->all[i].leader);
		for (unsigned n = 0; n < 2; n++) { /* replicas, in sync */
			assert_int_equal(kafka_wire_i32(&r), 1);
			assert_int_equal(kafka_wire_i32(&r), p->all[i].leader);
		}
	}
	assert_false(r.is_bad);
}

static void
assert_listed(int32_t partition, int16_t error, int64_t start, int64_t end)
{
	struct feed_topic_place place;

	assert_int_equal(
	    list_partition(&peer, partition, KAFKA_EARLIEST, &place), error);
	assert_int_equal(place.offset, start);
	assert_int_equal(
	    list_partition(&peer, partition, KAFKA_LATEST, &place), error);
	assert_int_equal(place.offset, end);
}

/* What is told before it is told with whom the topic is shared, if with anybody,
 * may be any partition: there is no topic yet, nor a consumer who knows another
 * log. */
static void
test_shared_unknown(void **state)
{
	const struct fetch beyond = {
		.topic = "zoo", .offset = FIRST + 9, .max_wait_ms = NONE
	};
	struct feed_topic *zoo;

	(void)state;
	start_feed("");
	zoo = feed_topic_find(&rig.server->topics, kafka_wire_text("zoo"));
	log_page_tell(rig.zoo, 0, (struct log_range){ FIRST, FIRST + 5 });
	connect_peer(&peer);
	assert_int_equal(fetch(&peer, &beyond).error, 3);
	assert_int_equal(feed_topic_partitions(zoo), 0);
	assert_int_equal(log_page_asked_beyond(rig.zoo, 0), 0);
	tell_unshared(rig.zoo);
	assert_int_equal(fetch(&peer, &beyond).error, 1);
	assert_int_equal(feed_topic_partitions(zoo), 1);
	assert_int_equal(log_page_asked_beyond(rig.zoo, 0), FIRST + 9);
	stop_feed();
}

/* Whoever knows the topic from others asks for offsets first: what is agreed on
 * is looked at for him, too. */
static void
test_shared_first(void **state)
{
	struct log_peers peers;

	(void)state;
	start_feed("");
	fake_log_add(10, 20, 1000);
	tell_range();
	connect_peer(&peer);
	share(&peers, 0);
	assert_listed(2, 0, 500, 800);
	assert_listed(4, 0, FIRST, FIRST + 10);
	assert_listed(0, 3, -1, -1);
	peers.is_shared = false;
	log_page_tell_peers(rig.page, &peers);
	assert_listed(0, 0, FIRST, FIRST + 10);
	stop_feed();
}

static void
test_shared(void **state)
{
	struct log_peers peers;
	struct fetched f;

	(void)state;
	start_feed("");
	rig.server->self.node = log_peers_node("host", 9094);
	share(&peers, 0);
	for (unsigned i = 0; i < 3; i++)
		fake_log_add(10, 20, 1000);
	tell_range();
	connect_peer(&peer);
	assert_shared_metadata("foo", &peers);
	assert_shared_metadata(NULL, &peers);
	assert_listed(2, 0, 500, 800);
	assert_listed(4, 0, FIRST, FIRST + 30);
	assert_listed(7, 6, -1, -1);
	assert_listed(0, 3, -1, -1);
	f = fetch(&peer, FETCH(.partition = 4, .offset = FIRST + 10));
	assert_int_equal(f.error, 0);
	assert_batches(f.records, 1, 2);
	/* no records of one that is away, at whatever offset */
	for (int64_t offset = 0; offset < 1000; offset += 499) {
		f = fetch(&peer,
		    FETCH(.partition = 2, .offset = offset, .max_wait_ms = 20));
		assert_int_equal(f.error, 0);
		assert_int_equal(f.records.bytes, 0);
		assert_int_equal(f.start, 500);
		assert_int_equal(f.end, 800);
	}
	put_fetch(&peer, FETCH(.partition = 2, .offset = 600));
	flush(&peer);
	assert_true(has_no_answer(&peer));
	disconnect(&peer);
	connect_peer(&peer);
	f = fetch(
	    &peer, FETCH(.partition = 7, .offset = 70, .max_wait_ms = 20));
	assert_int_equal(f.error, 6);
	f = fetch(
	    &peer, FETCH(.partition = 0, .offset = FIRST, .max_wait_ms = 20));
	assert_int_equal(f.error, 3);
	/* another one has a copy of our log, or we do not know: nobody has two
	 * logs of one number */
	share(&peers, log_peers_node("two", 1));
	f = fetch(
	    &peer, FETCH(.partition = 4, .offset = FIRST, .max_wait_ms = 20));
	assert_int_equal(f.error, 6);
	assert_listed(4, 6, -1, -1);
	share(&peers, 0);
	f = fetch(&peer, FETCH(.partition = 4, .offset = FIRST));
	assert_batches(f.records, 0, 3);
	/* beyond the end, of our own: our worker hears of it */
	f = fetch(&peer,
	    FETCH(.partition = 4, .offset = FIRST + 31, .max_wait_ms = 20));
	assert_int_equal(f.error, 1);
	assert_int_equal(log_page_asked_beyond(rig.page, 0), FIRST + 31);
	/* nothing is agreed on: no topic; then it is ours alone again */
	peers.count = 0;
	log_page_tell_peers(rig.page, &peers);
	f = fetch(
	    &peer, FETCH(.partition = 4, .offset = FIRST, .max_wait_ms = 20));
	assert_int_equal(f.error, 3);
	peers.is_shared = false;
	log_page_tell_peers(rig.page, &peers);
	f = fetch(&peer, FETCH(.offset = FIRST));
	assert_batches(f.records, 0, 3);
	stop_feed();
}

/* A fetch at the end waits, is woken by the worker's bell, and by no clock. */
static void
test_waits(void **state)
{
	struct fetched f;

	(void)state;
	start_feed("");
	connect_peer(&peer);
	for (unsigned i = 0; i < 20; i++) {
		put_fetch(&peer, FETCH(.offset = FIRST + i));
		flush(&peer);
		assert_true(has_no_answer(&peer));
		fake_log_add(1, 10, 1000);
		/* it is in the spool, but not durable */
		assert_true(has_no_answer(&peer));
		tell_range();
		f = read_fetched(answer(&peer, peer.correlation));
		assert_batches(f.records, i, 1);
	}
	stop_feed();
}

/* Who waits for another topic than the one that has changed is left alone. */
static void
test_others_wait(void **state)
{
	const struct log_range range = { FIRST, FIRST };
	struct feed_topic *foo, *zoo;

	(void)state;
	start_feed("");
	log_page_tell(rig.zoo, 0, range);
	tell_unshared(rig.zoo);
	foo = feed_topic_find(&rig.server->topics, kafka_wire_text("foo"));
	zoo = feed_topic_find(&rig.server->topics, kafka_wire_text("zoo"));
	connect_peer(&peer);
	connect_peer(&other);
	put_fetch(&peer, FETCH(.offset = FIRST, .bytes_min = 100000));
	put_fetch(&other, FETCH(.topic = "zoo", .offset = FIRST));
	flush(&peer);
	flush(&other);
	assert_true(has_no_answer(&peer));
	assert_true(has_no_answer(&other));
	foo->asked[0] = zoo->asked[0] = 0;
	fake_log_add(1, 10, 1000);
	tell_range();
	AWAIT(foo->asked[0] == FIRST);
	assert_int_equal(zoo->asked[0], 0);
	/* until its own bell rings */
	log_page_ring(rig.zoo, rig.bell);
	AWAIT(zoo->asked[0] == FIRST);
	assert_true(has_no_answer(&other));
	stop_feed();
}

/* min_bytes: it waits for as many; and its time-out gives what there is. */
static void
test_min_bytes(void **state)
{
	struct fetched f;

	(void)state;
	start_feed("");
	connect_peer(&peer);
	put_fetch(&peer, FETCH(.offset = FIRST, .bytes_min = 1000));
	flush(&peer);
	fake_log_add(1, 500, 1000);
	tell_range();
	assert_true(has_no_answer(&peer));
	fake_log_add(1, 500, 1000);
	tell_range();
	f = read_fetched(answer(&peer, peer.correlation));
	assert_batches(f.records, 0, 2);
	f = fetch(&peer,
	    FETCH(.offset = FIRST + 1, .bytes_min = 1000, .max_wait_ms = 50));
	assert_batches(f.records, 1, 1);
	f = fetch(&peer, FETCH(.offset = FIRST + 2, .max_wait_ms = 50));
	assert_int_equal(f.error, 0);
	assert_non_null(f.records.at); /* never null: librdkafka */
	assert_int_equal(f.records.bytes, 0);
	/* more than it would take: then what it would take is enough */
	f = fetch(&peer,
	    FETCH(.offset = FIRST, .bytes_min = 1 << 30, .bytes_max = 900));
	assert_batches(f.records, 0, 1);
	/* so it is with a partition, whose batches do not fill its part */
	f = fetch(&peer,
	    FETCH(.offset = FIRST, .bytes_min = 900,
		.partition_bytes_max = 900));
	assert_batches(f.records, 0, 1);
	/* no wait at all */
	f = fetch(&peer, FETCH(.offset = FIRST + 2, .max_wait_ms = NONE));
	assert_int_equal(f.records.bytes, 0);
	stop_feed();
}

/* Whoever waits for many bytes is looked after at each commit: not over all of a
 * long log. */
static void
test_min_bytes_of_many(void **state)
{
	struct fetched f;

	(void)state;
	start_feed("");
	for (unsigned i = 0; i < FEED_TOPIC_GUESS_BATCHES - 1; i++)
		fake_log_add(1, 10, 1000);
	tell_range();
	connect_peer(&peer);
	put_fetch(&peer, FETCH(.offset = FIRST, .bytes_min = 1 << 20));
	flush(&peer);
	assert_true(has_no_answer(&peer));
	fake_log_add(1, 10, 1000);
	tell_range();
	f = read_fetched(answer(&peer, peer.correlation));
	assert_batches(f.records, 0, FEED_TOPIC_GUESS_BATCHES);
	stop_feed();
}

/* One request does not keep the others waiting, whatever it allows. */
static void
test_greedy(void **state)
{
	const int32_t all = 1 << 30;
	struct fetched f;

	(void)state;
	start_feed("");
	connect_peer(&peer);
	for (unsigned i = 0; i < FEED_TOPIC_FETCH_BATCHES + 10; i++)
		fake_log_add(1, 10, 1000);
	tell_range();
	f = fetch(&peer,
	    FETCH(.offset = FIRST, .bytes_max = all,
		.partition_bytes_max = all));
	assert_batches(f.records, 0, FEED_TOPIC_FETCH_BATCHES);
	stop_feed();
	start_feed("");
	connect_peer(&peer);
	for (unsigned i = 0; i < 3; i++)
		fake_log_add(1, FEED_TOPIC_FETCH_MAX / 2 - KiB, 1000);
	tell_range();
	f = fetch(&peer,
	    FETCH(.offset = FIRST, .bytes_max = all,
		.partition_bytes_max = all));
	assert_batches(f.records, 0, 2);
	f = fetch(&peer,
	    FETCH(.offset = FIRST, .bytes_min = all, .bytes_max = all,
		.partition_bytes_max = all));
	assert_batches(f.records, 0, 2);
	stop_feed();
}

/* The same partition, as often as a request can ask for it: each piece of an
 * answer is found and written by itself, so there are not so many. */
static void
test_fetch_often(void **state)
{
	const unsigned times = KAFKA_REQUEST_PARTITIONS_MAX;
	unsigned pieces = 0;
	struct kafka_reader r;
	struct buf *b;

	(void)state;
	start_feed("");
	fake_log_add(1, 10, 1000);
	tell_range();
	connect_peer(&peer);
	b = begin(&peer, KAFKA_FETCH, 4);
	kafka_wire_put_i32(b, -1);
	kafka_wire_put_i32(b, 0);
	kafka_wire_put_i32(b, 1);
	kafka_wire_put_i32(b, 50 << 20);
	kafka_wire_put_i8(b, 1);
	kafka_wire_put_i32(b, 1);
	kafka_wire_put_string(b, kafka_wire_text("foo"));
	kafka_wire_put_i32(b, (int32_t)times);
	for (unsigned i = 0; i < times; i++) {
		kafka_wire_put_i32(b, 0);
		kafka_wire_put_i64(b, FIRST);
		kafka_wire_put_i32(b, 1 << 20);
	}
	end(&peer);
	flush(&peer);
	r = answer(&peer, peer.correlation);
	(void)kafka_wire_i32(&r);
	assert_int_equal(kafka_wire_i32(&r), 1);
	(void)kafka_wire_string(&r);
	assert_int_equal(kafka_wire_i32(&r), times);
	for (unsigned i = 0; i < times; i++) {
		(void)kafka_wire_i32(&r);
		assert_int_equal(kafka_wire_i16(&r), 0);
		assert_int_equal(kafka_wire_i64(&r), FIRST + 1);
		(void)kafka_wire_i64(&r);
		assert_int_equal(kafka_wire_i32(&r), 0);
		pieces += kafka_wire_bytes(&r).bytes > 0;
	}
	assert_false(r.is_bad);
	assert_ptr_equal(r.at, r.end);
	assert_int_equal(pieces, FEED_SERVE_PIECES_MAX);
	stop_feed();
}

/* Errors wait for the client's time, and for ours when he has none. */
static void
test_errors_wait(void **state)
{
	static const struct {
		const char *topic;
		int64_t offset;
		int16_t error;
	} cases[] = {
		{ "foo", FIRST - 1, 1 },
		{ "foo", FIRST + 2, 1 },
		{ "foo", -1, 1 },
		{ "foo", INT64_MAX, 1 },
		{ "unknown", FIRST, 3 },
	};

	(void)state;
	start_feed("");
	fake_log_add(1, 10, 1000);
	tell_range();
	connect_peer(&peer);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (int32_t wait = 0; wait < 400; wait += 200) {
			int64_t began = clock_mono_ms();
			struct fetched f = fetch(&peer,
			    FETCH(.topic = cases[i].topic,
				.offset = cases[i].offset,
				.max_wait_ms = wait == 0 ? NONE : wait));

			assert_int_equal(f.error, cases[i].error);
			assert_int_equal(f.start, -1);
			assert_int_equal(f.end, -1);
			/* the loop's clock may be a turn behind */
			assert_true(clock_mono_ms() - began >=
			    MAX_OF(wait, FEED_SERVE_ERROR_MS) - 20);
		}
	/* the worker hears who has asked beyond the end */
	assert_int_equal(log_page_asked_beyond(rig.page, 0), INT64_MAX);
	stop_feed();
}

/* How a consumer says good-bye: nothing is wanted, so nothing is waited for. */
static void
test_last_fetch(void **state)
{
	struct kafka_reader r;
	struct buf *b;

	(void)state;
	start_feed("");
	connect_peer(&peer);
	b = begin(&peer, KAFKA_FETCH, 7);
	kafka_wire_put_i32(b, -1);
	kafka_wire_put_i32(b, 3600000);
	kafka_wire_put_i32(b, 1);
	kafka_wire_put_i32(b, 1 << 20);
	kafka_wire_put_i8(b, 1);
	kafka_wire_put_i32(b, 0);
	kafka_wire_put_i32(b, -1);
	kafka_wire_put_i32(b, 0);
	kafka_wire_put_i32(b, 0);
	end(&peer);
	flush(&peer);
	r = answer(&peer, peer.correlation);
	assert_int_equal(kafka_wire_i32(&r), 0);
	assert_int_equal(kafka_wire_i16(&r), 0);
	assert_int_equal(kafka_wire_i32(&r), 0);
	assert_int_equal(kafka_wire_i32(&r), 0);
	assert_ptr_equal(r.at, r.end);
	stop_feed();
}

/* Several at once: answers come in their order, though the first one waits. */
static void
test_pipeline(void **state)
{
	int32_t first;

	(void)state;
	start_feed("");
	connect_peer(&peer);
	put_fetch(&peer, FETCH(.offset = FIRST));
	first = peer.correlation;
	for (unsigned i = 0; i < 50; i++)
		put_metadata(&peer, "foo");
	put_fetch(&peer, FETCH(.offset = FIRST));
	flush(&peer);
	assert_true(has_no_answer(&peer));
	fake_log_add(3, 10, 1000);
	tell_range();
	assert_batches(read_fetched(answer(&peer, first)).records, 0, 1);
	for (int32_t i = 1; i <= 50; i++)
		(void)answer(&peer, first + i);
	assert_batches(read_fetched(answer(&peer, first + 51)).records, 0, 1);
	assert_int_equal(rig.links.memory.used, 0);
	stop_feed();
}

/* A request may come byte by byte. */
static void
test_bytes(void **state)
{
	(void)state;
	start_feed("");
	connect_peer(&peer);
	put_metadata(&peer, "foo");
	for (size_t i = 0; i < peer.out.used; i++) {
		assert_int_equal(send(peer.fd, peer.out.bytes + i, 1, 0), 1);
		loop_once(rig.loop);
	}
	(void)answer(&peer, 1);
	stop_feed();
}

/* Whoever does not read holds next to nothing, and gets it all in the end. */
static void
test_slow_reader(void **state)
{
	struct fetched f;

	(void)state;
	start_feed("");
	for (unsigned i = 0; i < 100; i++) {
		fake_log_add(10, 7000, 1000);
		fake_log.next += i % 2 * 1000; /* a gap */
	}
	tell_range();
	connect_peer(&peer);
	put_fetch(
	    &peer, FETCH(.offset = FIRST, .partition_bytes_max = 50 << 20));
	flush(&peer);
	for (unsigned i = 0; i < 10; i++) {
		loop_poll(rig.loop);
		loop_once(rig.loop);
	}
	assert_true(rig.links.memory.used > 0);
	assert_true(rig.links.memory.used < 8 * KiB);
	/* others are served meanwhile */
	connect_peer(&other);
	assert_batches(
	    fetch(&other, FETCH(.offset = (int64_t)fake_log.batches[99].first))
		.records,
	    99, 1);
	put_metadata(&peer, "foo");
	flush(&peer);
	f = read_fetched(answer(&peer, 1));
	assert_batches(f.records, 0, 100);
	(void)answer(&peer, 2);
	assert_int_equal(rig.links.memory.used, 0);
	stop_feed();
}

/* What was promised to one who does not read may be removed. */
static void
test_removed(void **state)
{
	(void)state;
	start_feed("");
	for (unsigned i = 0; i < 100; i++)
		fake_log_add(10, 10000, 1000);
	tell_range();
	connect_peer(&peer);
	put_fetch(
	    &peer, FETCH(.offset = FIRST, .partition_bytes_max = 50 << 20));
	flush(&peer);
	for (unsigned i = 0; i < 10; i++) {
		loop_poll(rig.loop);
		loop_once(rig.loop);
	}
	fake_log.begin = fake_log.end;
	tell_range();
	AWAIT(has_closed(&peer));
	assert_int_equal(rig.links.count, 0);
	stop_feed();
}

/* Nor does he get what comes behind it instead, which is as long. */
static void
test_removed_in_part(void **state)
{
	struct feed_topics *all;
	unsigned batches = FEED_TOPIC_FETCH_BATCHES;
	struct feed_topic_wish wish = { .offset = FIRST,
		.bytes_max = MiB,
		.batches_left = &batches,
		.has_look = true };
	struct feed_piece piece;
	struct feed_gather found;
	struct log_range range;
	struct feed_topic *t;

	(void)state;
	start_feed("");
	all = &rig.server->topics;
	t = feed_topic_find(all, kafka_wire_text("foo"));
	for (unsigned i = 0; i < 4 * FEED_TOPIC_IOVS; i++)
		fake_log_add(1, 100, 1000);
	tell_range();
	for (unsigned removed = FEED_TOPIC_IOVS; removed <= FEED_TOPIC_IOVS + 1;
	     removed++) {
		fake_log.begin = 0;
		assert_true(feed_topic_begin(t, 0));
		assert_int_equal(
		    feed_topic_fetch(all, t, &wish, &range, &piece), 0);
		assert_int_equal(
		    feed_topic_gather(&piece, &found), FEED_TOPIC_IOVS);
		feed_topic_sent(
		    &piece, &found, FEED_TOPIC_IOVS * fake_log.batches[0].size);
		feed_topic_end(t);
		fake_log.begin = removed;
		assert_true(feed_topic_begin(t, 0));
		assert_int_equal(feed_topic_gather(&piece, &found),
		    removed > FEED_TOPIC_IOVS ? 0 : FEED_TOPIC_IOVS);
		feed_topic_end(t);
	}
	stop_feed();
}

/* The spool is trimmed before the page says so. */
static void
test_removed_untold(void **state)
{
	struct fetched f;

	(void)state;
	start_feed("");
	for (unsigned i = 0; i < 5; i++)
		fake_log_add(10, 100, 1000);
	tell_range();
	fake_log.begin = 3;
	connect_peer(&peer);
	f = fetch(&peer, FETCH(.offset = FIRST, .max_wait_ms = NONE));
	assert_int_equal(f.error, KAFKA_OFFSET_OUT_OF_RANGE);
	f = fetch(&peer, FETCH(.offset = FIRST + 29, .max_wait_ms = NONE));
	assert_int_equal(f.error, KAFKA_OFFSET_OUT_OF_RANGE);
	f = fetch(&peer, FETCH(.offset = FIRST + 30));
	assert_batches(f.records, 3, 2);
	stop_feed();
}

static void
test_damaged(void **state)
{
	struct fetched f;

	(void)state;
	start_feed("");
	for (unsigned i = 0; i < 5; i++)
		fake_log_add(10, 100, 1000);
	fake_log.batches[0].bytes[100] ^= 1;
	fake_log.batches[3].bytes[100] ^= 1;
	tell_range();
	connect_peer(&peer);
	/* the gap is passed over; one answer has no gap in it */
	f = fetch(&peer, FETCH(.offset = FIRST));
	assert_batches(f.records, 1, 2);
	f = fetch(&peer, FETCH(.offset = FIRST + 30));
	assert_batches(f.records, 4, 1);
	assert_true(rig.server->topics.damaged >= 2);
	stop_feed();
}

/* While the worker is away, nothing is read from the spool; then it is another
 * opening. */
static void
test_worker_away(void **state)
{
	struct fetched f;

	(void)state;
	start_feed("");
	fake_log_add(10, 100, 1000);
	tell_range();
	connect_peer(&peer);
	f = fetch(&peer, FETCH(.offset = FIRST));
	assert_batches(f.records, 0, 1);
	log_page_close(rig.page);
	assert_int_equal(list_offset(&peer, KAFKA_LATEST).offset, FIRST + 10);
	put_fetch(&peer, FETCH(.offset = FIRST));
	flush(&peer);
	assert_true(has_no_answer(&peer));
	assert_int_equal(fake_log.views, 0);
	log_page_open(rig.page, "3e7c5b9a-0000-0000-0000-000000000000");
	log_page_ring(rig.page, rig.bell);
	f = read_fetched(answer(&peer, peer.correlation));
	assert_batches(f.records, 0, 1);
	assert_int_equal(fake_log.opened, 2);
	stop_feed();
}

/* ---- who must go ---- */

static void
test_not_kafka(void **state)
{
	static const struct {
		const char *bytes;
		size_t count;
	} cases[] = {
		{ "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11 },
		{ "GET / HTTP/1.1\r\n\r\n", 18 },
		{ "\xff\xff\xff\xff", 4 },
		{ "\x00\x04\x00\x01", 4 },
		{ "\x00\x00\x00\x00", 4 },
		/* Produce 3, JoinGroup 0, Fetch 12 */
		{ "\x00\x00\x00\x0a\x00\x00\x00\x03\x00\x00\x00\x01\xff\xff",
		    14 },
		{ "\x00\x00\x00\x0a\x00\x0b\x00\x00\x00\x00\x00\x01\xff\xff",
		    14 },
		{ "\x00\x00\x00\x0a\x00\x01\x00\x0c\x00\x00\x00\x01\xff\xff",
		    14 },
	};

	(void)state;
	start_feed("");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		connect_peer(&peer);
		assert_int_equal(
		    send(peer.fd, cases[i].bytes, cases[i].count, 0),
		    cases[i].count);
		AWAIT(has_closed(&peer));
		assert_int_equal(peer.used, 0);
		disconnect(&peer);
		assert_int_equal(rig.server->counters.requests_refused, i + 1);
	}
	assert_int_equal(rig.links.count, 0);
	stop_feed();
}

static void
test_idle(void **state)
{
	(void)state;
	start_feed("\"pull.idleTimeout\":\"PT0.2S\"");
	connect_peer(&peer);
	connect_peer(&other);
	/* one who waits is not idle */
	put_fetch(&other, FETCH(.offset = FIRST));
	flush(&other);
	AWAIT(has_closed(&peer));
	assert_true(has_no_answer(&other));
	stop_feed();
}

/* Whoever has stood still the longest goes; those that wait stay. */
static void
test_make_room(void **state)
{
	int64_t until;

	(void)state;
	start_feed("");
	connect_peer(&other);
	put_fetch(&other, FETCH(.offset = FIRST));
	flush(&other);
	connect_peer(&peer);
	loop_once(rig.loop);
	assert_false(feed_link_make_room(&rig.links)); /* all are new */
	until = clock_mono_ms() + FEED_LINK_STILL_MS + 50;
	AWAIT(clock_mono_ms() > until);
	assert_true(feed_link_make_room(&rig.links));
	AWAIT(has_closed(&peer));
	assert_false(feed_link_make_room(&rig.links));
	assert_true(has_no_answer(&other));
	assert_int_equal(rig.links.count, 1);
	stop_feed();
}

/* A listening socket that cannot be watched for a while (the kernel's bound of
 * watches) is tried again. */
static void
test_door_again(void **state)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct feed_door door = { .links = &rig.links };
	socklen_t bytes = sizeof at;
	int64_t until;
	int fd, kept, null, client;

	(void)state;
	start_feed("");
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(fd, (const void *)&at, sizeof at), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (void *)&at, &bytes), 0);
	assert_true(feed_door_open(&door, fd)); /* with no room */
	client = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(client, (const void *)&at, sizeof at), 0);
	AWAIT(loop_timer_active(&door.pause));
	/* such a file cannot be watched */
	null = open("/dev/null", O_RDONLY);
	kept = dup(fd);
	assert_true(dup2(null, fd) == fd);
	until = clock_mono_ms() + 200;
	AWAIT(clock_mono_ms() > until);
	assert_true(dup2(kept, fd) == fd);
	door.connections_max = 8;
	AWAIT(rig.links.count == 1);
	feed_door_close(&door);
	close(null);
	close(kept);
	close(client);
	stop_feed();
}

/* pull.memoryBytes: one who would take more is sent away, others stay. */
static void
test_memory(void **state)
{
	char *much = must_calloc(1, KAFKA_REQUEST_BYTES_MAX);
	struct buf b;

	(void)state;
	start_feed("");
	rig.links.memory.max = 64 * KiB;
	connect_peer(&other);
	put_fetch(&other, FETCH(.offset = FIRST));
	flush(&other);
	connect_peer(&peer);
	buf_init(&b, MiB);
	kafka_wire_put_i32(&b, (int32_t)KAFKA_REQUEST_BYTES_MAX);
	buf_add(&b, much, KAFKA_REQUEST_BYTES_MAX - 1);
	for (size_t at = 0; at < b.used && !peer.is_closed;) {
		ssize_t n =
		    send(peer.fd, b.bytes + at, b.used - at, MSG_NOSIGNAL);

		at += n > 0 ? (size_t)n : 0;
		if (n < 0 && errno != EAGAIN)
			break;
		loop_poll(rig.loop);
		loop_once(rig.loop);
		assert_true(rig.links.memory.used <= 64 * KiB);
	}
	AWAIT(has_closed(&peer));
	assert_true(has_no_answer(&other));
	buf_free(&b);
	free(much);
	stop_feed();
}

/* A client who goes while his fetch waits is forgotten. */
static void
test_gone(void **state)
{
	(void)state;
	start_feed("");
	connect_peer(&peer);
	put_fetch(&peer, FETCH(.offset = FIRST));
	flush(&peer);
	assert_true(has_no_answer(&peer));
	assert_int_equal(rig.server->topics.all[0].waiters, 1);
	/* as TCP tells it: he will send nothing more */
	assert_int_equal(shutdown(peer.fd, SHUT_WR), 0);
	AWAIT(rig.links.count == 0);
	assert_int_equal(rig.server->topics.all[0].waiters, 0);
	stop_feed();
}

static void
test_drain(void **state)
{
	struct fetched f;

	(void)state;
	start_feed("");
	connect_peer(&peer);
	connect_peer(&other);
	put_fetch(&peer, FETCH(.offset = FIRST));
	flush(&peer);
	assert_true(has_no_answer(&peer));
	feed_link_drain(&rig.links);
	f = read_fetched(answer(&peer, 1));
	assert_int_equal(f.records.bytes, 0);
	AWAIT(has_closed(&peer));
	AWAIT(has_closed(&other));
	assert_int_equal(rig.links.count, 0);
	stop_feed();
}

/* ---- who he is ---- */

static void
start_secure(bool offers_plain)
{
	struct conf_problems problems = { 0 };

	start_feed("");
	rig.server->users =
	    feed_users_new("file", SECRET, sizeof SECRET - 1, &problems);
	assert_non_null(rig.server->users);
	rig.server->offers_plain = offers_plain;
	connect_peer(&peer);
}

static int16_t
handshake(struct peer *p, const char *mechanism, int16_t version)
{
	struct buf *b = begin(p, KAFKA_SASL_HANDSHAKE, version);
	struct kafka_reader r;

	kafka_wire_put_string(b, kafka_wire_text(mechanism));
	end(p);
	flush(p);
	r = answer(p, p->correlation);
	return kafka_wire_i16(&r);
}

static int16_t
authenticate(struct peer *p, const char *token, size_t bytes)
{
	struct buf *b = begin(p, KAFKA_SASL_AUTHENTICATE, 1);
	struct kafka_reader r;

	kafka_wire_put_bytes(b, token, bytes);
	end(p);
	flush(p);
	r = answer(p, p->correlation);
	return kafka_wire_i16(&r);
}

static void
test_login(void **state)
{
	struct kafka_reader r;

	(void)state;
	start_secure(true);
	/* versions are told to anybody */
	(void)begin(&peer, KAFKA_API_VERSIONS, 0);
	end(&peer);
	flush(&peer);
	r = answer(&peer, 1);
	assert_int_equal(kafka_wire_i16(&r), 0);
	assert_int_equal(handshake(&peer, "PLAIN", 1), 0);
	assert_int_equal(authenticate(&peer, "\0user\0pencil", 12), 0);
	put_metadata(&peer, "foo");
	flush(&peer);
	(void)answer(&peer, peer.correlation);
	assert_int_equal(rig.server->counters.unauthorized, 0);
	stop_feed();
}

static void
test_no_login(void **state)
{
	(void)state;
	start_secure(true);
	put_metadata(&peer, "foo");
	flush(&peer);
	AWAIT(has_closed(&peer));
	assert_int_equal(peer.used, 0);
	assert_int_equal(rig.server->counters.unauthorized, 1);
	disconnect(&peer);
	/* no token before it is said what kind it is */
	connect_peer(&peer);
	assert_int_equal(authenticate(&peer, "\0user\0pencil", 12), 34);
	AWAIT(has_closed(&peer));
	disconnect(&peer);
	/* no long request */
	connect_peer(&peer);
	assert_int_equal(send(peer.fd, "\x00\x00\x40\x01", 4, 0), 4);
	AWAIT(has_closed(&peer));
	stop_feed();
}

static void
test_wrong_password(void **state)
{
	int64_t began;

	(void)state;
	start_secure(true);
	assert_int_equal(handshake(&peer, "PLAIN", 1), 0);
	began = clock_mono_ms();
	assert_int_equal(authenticate(&peer, "\0user\0pencils", 13), 58);
	assert_true(clock_mono_ms() - began >= FEED_SERVE_REFUSE_MS - 20);
	AWAIT(has_closed(&peer));
	assert_int_equal(rig.server->counters.unauthorized, 1);
	stop_feed();
}

static void
test_mechanisms(void **state)
{
	(void)state;
	start_secure(false);
	/* nobody has a secret of that kind; passwords are not to be sent */
	assert_int_equal(handshake(&peer, "SCRAM-SHA-512", 1), 33);
	AWAIT(has_closed(&peer));
	disconnect(&peer);
	connect_peer(&peer);
	assert_int_equal(handshake(&peer, "PLAIN", 1), 33);
	AWAIT(has_closed(&peer));
	disconnect(&peer);
	connect_peer(&peer);
	assert_int_equal(handshake(&peer, "SCRAM-SHA-256", 1), 0);
	assert_int_equal(authenticate(&peer, "n,,n=user,r=abc", 15), 0);
	assert_int_equal(authenticate(&peer, "c=biws,r=abc,p=AAAA", 19), 58);
	AWAIT(has_closed(&peer));
	stop_feed();
}

/* The old way: behind SaslHandshake 0 a frame is a token. */
static void
test_raw_tokens(void **state)
{
	(void)state;
	start_secure(true);
	assert_int_equal(handshake(&peer, "PLAIN", 0), 0);
	kafka_wire_put_bytes(&peer.out, "\0user\0pencil", 12);
	flush(&peer);
	AWAIT(has_answer(&peer));
	assert_int_equal(kafka_wire_frame_size(peer.in + peer.taken), 0);
	peer.taken += 4;
	put_metadata(&peer, "foo");
	flush(&peer);
	(void)answer(&peer, peer.correlation);
	disconnect(&peer);
	connect_peer(&peer);
	assert_int_equal(handshake(&peer, "PLAIN", 0), 0);
	kafka_wire_put_bytes(&peer.out, "\0user\0wrong", 11);
	flush(&peer);
	AWAIT(has_closed(&peer));
	assert_int_equal(peer.used, peer.taken);
	stop_feed();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_metadata),
		cmocka_unit_test(test_list_offsets),
		cmocka_unit_test(test_list_often),
		cmocka_unit_test(test_list_far),
		cmocka_unit_test(test_fetch),
		cmocka_unit_test(test_shared_unknown),
		cmocka_unit_test(test_shared_first),
		cmocka_unit_test(test_shared),
		cmocka_unit_test(test_waits),
		cmocka_unit_test(test_others_wait),
		cmocka_unit_test(test_min_bytes),
		cmocka_unit_test(test_min_bytes_of_many),
		cmocka_unit_test(test_greedy),
		cmocka_unit_test(test_fetch_often),
		cmocka_unit_test(test_errors_wait),
		cmocka_unit_test(test_last_fetch),
		cmocka_unit_test(test_pipeline),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_removed),
		cmocka_unit_test(test_removed_in_part),
		cmocka_unit_test(test_removed_untold),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_worker_away),
		cmocka_unit_test(test_not_kafka),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_make_room),
		cmocka_unit_test(test_door_again),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_login),
		cmocka_unit_test(test_no_login),
		cmocka_unit_test(test_wrong_password),
		cmocka_unit_test(test_mechanisms),
		cmocka_unit_test(test_raw_tokens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
