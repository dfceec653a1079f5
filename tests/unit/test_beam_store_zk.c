/*
 * test_beam_store_zk - worker/beam_store_zk and worker/discovery against a
 * real ZooKeeper
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "beam_store_zk.h"
#include "discovery.h"
#include "iso.h"
#include "zk_fixture.h"

#define LONG_MS 10000
#define SHORT_MS 1000
#define WAIT_MS 15000
#define TEN INT64_C(1795341600000) /* 2026-11-22T10:00:00Z */

static struct fixture f;
static char folder[64];
static struct zk *observer;

struct party {
	struct proxy *proxy; /* or NULL */
	struct zk *zk;
	struct beam_store *store;
	int changed, read, locked, done;
	enum result read_result, locked_result, done_result;
	size_t beams; /* of the last read */
	struct beam_data *data;
};

static void
party_changed(void *context)
{
	((struct party *)context)->changed++;
}

static void
party_start_with(
    struct party *p, int64_t timeout_ms, bool with_proxy, int64_t wait_ms)
{
	struct beam_store_zk_options o = {
		.path = folder,
		.service = "druid/overlord",
		.ds = "wikipedia",
		.lock_wait_ms = wait_ms,
	};
	char connect[64];

	memset(p, 0, sizeof *p);
	snprintf(connect, sizeof connect, "%s", fixture_server());
	if (with_proxy) {
		p->proxy = proxy_new(&f, fixture_server_port());
		snprintf(connect, sizeof connect, "127.0.0.1:%d",
		    proxy_port(p->proxy));
	}
	o.zk = p->zk = zk_open(f.loop, connect, timeout_ms);
	p->store = beam_store_zk_new(&o);
	beam_store_watch(p->store, party_changed, p);
	AWAIT(&f, zk_session(p->zk) == 1);
}

static void
party_start(struct party *p, int64_t timeout_ms, bool with_proxy)
{
	party_start_with(p, timeout_ms, with_proxy, WAIT_MS);
}

static void
party_end(struct party *p)
{
	beam_store_free(&p->store);
	if (p->proxy != NULL) {
		proxy_free(&p->proxy);
		AWAIT(&f, !zk_is_connected(p->zk));
	}
	zk_close(&p->zk);
}

static void
party_read(void *context, enum result result, const struct beam_data *data)
{
	struct party *p = context;

	p->read++;
	p->read_result = result;
	assert_int_equal(result == RESULT_OK, data != NULL);
	p->beams = data != NULL ? data->count : 0;
}

static enum result
read_beams(struct party *p)
{
	int before = p->read;

	beam_store_read(p->store, party_read, p);
	AWAIT(&f, p->read == before + 1);
	return p->read_result;
}

static void
party_locked(void *context, enum result result, struct beam_data *data)
{
	struct party *p = context;

	p->locked++;
	p->locked_result = result;
	p->data = data;
	assert_int_equal(result == RESULT_OK, data != NULL);
	assert_int_equal(result == RESULT_OK, beam_store_is_locked(p->store));
}

static void
start_lock(struct party *p)
{
	p->locked = 0;
	beam_store_lock(p->store, party_locked, p);
}

static enum result
lock(struct party *p)
{
	start_lock(p);
	AWAIT(&f, p->locked == 1);
	return p->locked_result;
}

static void
party_done(void *context, enum result result)
{
	struct party *p = context;

	p->done++;
	p->done_result = result;
}

static enum result
commit(struct party *p)
{
	p->done = 0;
	beam_store_commit(p->store, party_done, p);
	assert_int_equal(p->done, 0); /* from the loop only */
	AWAIT(&f, p->done == 1);
	assert_false(beam_store_is_locked(p->store));
	return p->done_result;
}

static void
add_hour(struct party *p, int hour)
{
	int64_t start = TEN + hour * ISO_HOUR_MS;
	struct beam_record *r = beam_data_add(
	    p->data, start, (struct interval){ start, start + ISO_HOUR_MS }, 0);

	beam_record_add_task(r, "task", "firehose");
}

static void
node_path(char path[static 160], const char *name)
{
	snprintf(path, 160, "%s/druid:overlord/wikipedia/%s", folder, name);
}

/* The znode as it is; RESULT_GONE when it is not there. */
static enum result
peek(struct told *t)
{
	char path[160];

	node_path(path, "data");
	memset(t, 0, sizeof *t);
	t->call = zk_get(observer, path, NULL, told_done, t);
	AWAIT(&f, t->times == 1);
	return t->result;
}

static void
poke(const char *text)
{
	struct told t = { 0 };
	char path[160];
	struct zk_node n = {
		.path = path,
		.bytes = text,
		.byte_count = strlen(text),
		.version = -1,
		.flags = ZK_PARENTS,
	};
	bool exists = peek(&t) == RESULT_OK;

	node_path(path, "data");
	memset(&t, 0, sizeof t);
	t.call = exists ? zk_set(observer, &n, told_done, &t)
			: zk_create(observer, &n, told_done, &t);
	AWAIT(&f, t.times == 1);
	assert_int_equal(t.result, RESULT_OK);
}

static void
assert_mutex_free(void)
{
	char path[160];
	struct told t;

	node_path(path, "mutex/leases");
	do {
		memset(&t, 0, sizeof t);
		t.call = zk_children(observer, path, NULL, told_done, &t);
		AWAIT(&f, t.times == 1);
	} while (t.name_count > 0);
}

static int
setup(void **state)
{
	(void)state;
	fixture_init(&f);
	fixture_folder(folder, sizeof folder);
	observer = zk_open(f.loop, fixture_server(), LONG_MS);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	zk_close(&observer);
	fixture_fini(&f);
	return 0;
}

static void
test_read_modify_write(void **state)
{
	struct party a, b;
	struct told t;

	(void)state;
	party_start(&a, LONG_MS, false);
	party_start(&b, LONG_MS, false);
	assert_int_equal(read_beams(&a), RESULT_OK);
	assert_int_equal(read_beams(&b), RESULT_OK);
	assert_int_equal(a.beams, 0);
	assert_int_equal(peek(&t), RESULT_GONE);

	assert_int_equal(lock(&a), RESULT_OK);
	/* a JVM instance makes it without the mutex, if we do not */
	assert_int_equal(peek(&t), RESULT_OK);
	assert_string_equal(t.bytes,
	    "{\"latestTime\":\"1970-01-01T00:00:00.000Z\","
	    "\"latestCloseTime\":\"1970-01-01T00:00:00.000Z\","
	    "\"beams\":{}}");
	start_lock(&b);
	assert_int_equal(a.data->count, 0);
	add_hour(&a, 0);
	fixture_run(&f, 200);
	assert_int_equal(b.locked, 0);
	assert_true(beam_store_is_locked(a.store));
	assert_int_equal(commit(&a), RESULT_OK);
	assert_int_equal(peek(&t), RESULT_OK);
	assert_string_equal(t.bytes,
	    "{\"latestTime\":\"2026-11-22T10:00:00.000Z\","
	    "\"latestCloseTime\":\"1970-01-01T00:00:00.000Z\","
	    "\"beams\":{\"2026-11-22T10:00:00.000Z\":[{\"interval\":"
	    "\"2026-11-22T10:00:00.000Z/2026-11-22T11:00:00.000Z\","
	    "\"partition\":0,\"tasks\":[{\"id\":\"task\","
	    "\"firehoseId\":\"firehose\"}],"
	    "\"timestamp\":\"2026-11-22T10:00:00.000Z\"}]}}");

	AWAIT(&f, b.locked == 1);
	assert_int_equal(b.data->count, 1);
	add_hour(&b, 1);
	beam_store_release(b.store); /* nothing of it is written */
	assert_int_equal(lock(&a), RESULT_OK);
	assert_int_equal(a.data->count, 1);
	add_hour(&a, 2);
	assert_int_equal(commit(&a), RESULT_OK);
	AWAIT(&f, b.changed >= 1);
	assert_int_equal(read_beams(&b), RESULT_OK);
	assert_int_equal(b.beams, 2);
	fixture_run(&f, 200);
	assert_int_equal(a.changed, 0); /* it was its own doing */
	peek(&t);
	assert_int_equal(t.version, 2);
	party_end(&a);
	party_end(&b);
}

/* Both write all the time; no write gets lost. */
static void
test_contention(void **state)
{
	struct party p[3];
	struct told t;
	int turn[3] = { 0 }, all = 0;

	(void)state;
	for (int i = 0; i < 3; i++) {
		party_start(&p[i], LONG_MS, false);
		start_lock(&p[i]);
	}
	while (all < 30) {
		AWAIT(&f, p[0].locked || p[1].locked || p[2].locked);
		for (int i = 0; i < 3; i++) {
			if (!p[i].locked)
				continue;
			assert_int_equal(p[i].locked_result, RESULT_OK);
			add_hour(&p[i], all++);
			turn[i]++;
			assert_int_equal(commit(&p[i]), RESULT_OK);
			start_lock(&p[i]);
		}
	}
	for (int i = 0; i < 3; i++) {
		/* fair: whoever waits comes next */
		assert_in_range(turn[i], 8, 12);
		beam_store_release(p[i].store);
	}
	assert_int_equal(read_beams(&p[0]), RESULT_OK);
	assert_int_equal(p[0].beams, 30);
	peek(&t);
	assert_int_equal(t.version, 30); /* the first was without beams */
	for (int i = 0; i < 3; i++)
		party_end(&p[i]);
}

static void
test_changed(void **state)
{
	struct party a, b;
	struct told t = { 0 };
	char path[160];

	(void)state;
	party_start(&a, LONG_MS, false);
	party_start(&b, SHORT_MS, true);
	read_beams(&a);
	read_beams(&b);
	fixture_run(&f, 100);
	assert_int_equal(a.changed, 0);
	poke("{}"); /* from nothing to something */
	AWAIT(&f, a.changed == 1 && b.changed == 1);
	poke("{}"); /* the same again is no change */
	poke("{\"x\":1}");
	AWAIT(&f, a.changed == 2 && b.changed == 2);

	/* while the session is away, and over */
	proxy_hold(b.proxy, true);
	poke("{\"x\":2}");
	AWAIT(&f, zk_session(b.zk) == 0 || zk_session(b.zk) > 1);
	proxy_cut(b.proxy);
	proxy_hold(b.proxy, false);
	AWAIT(&f, a.changed == 3 && b.changed == 3);
	node_path(path, "data");
	t.call = zk_delete(observer, path, -1, told_done, &t);
	AWAIT(&f, a.changed == 4 && b.changed == 4);
	poke("{\"x\":2}");
	AWAIT(&f, a.changed == 5 && b.changed == 5);
	party_end(&a);
	party_end(&b);
}

static void
test_garbage(void **state)
{
	struct party a;

	(void)state;
	poke("{\"beams\":7}");
	party_start(&a, LONG_MS, false);
	assert_int_equal(read_beams(&a), RESULT_REFUSED);
	assert_int_equal(lock(&a), RESULT_REFUSED);
	assert_mutex_free();
	poke("");
	assert_int_equal(lock(&a), RESULT_OK);
	beam_store_release(a.store);
	assert_mutex_free();
	party_end(&a);
}

static void
test_too_large(void **state)
{
	struct party a;
	struct told t;
	char *id = calloc(1, 100001);

	(void)state;
	memset(id, 'x', 100000);
	party_start(&a, LONG_MS, false);
	lock(&a);
	for (int i = 0; i < 11; i++) {
		add_hour(&a, i);
		beam_record_add_task(&a.data->beams[i], id, "f");
	}
	assert_int_equal(commit(&a), RESULT_REFUSED);
	assert_int_equal(peek(&t), RESULT_OK);
	assert_int_equal(t.version, 0);
	assert_mutex_free();
	party_end(&a);
	free(id);
}

static void
test_wait_is_bounded(void **state)
{
	struct party a, b;

	(void)state;
	party_start(&a, LONG_MS, false);
	party_start_with(&b, LONG_MS, false, 300);
	assert_int_equal(lock(&a), RESULT_OK);
	assert_int_equal(lock(&b), RESULT_RETRY);
	beam_store_release(a.store);
	assert_int_equal(lock(&b), RESULT_OK);
	party_end(&a);
	party_end(&b);
}

/* The holder's session is lost, another takes over: what the first had in
 * mind is not written. */
static void
test_lost_while_held(void **state)
{
	struct party a, b;

	(void)state;
	party_start(&a, SHORT_MS, true);
	party_start(&b, LONG_MS, false);
	assert_int_equal(lock(&a), RESULT_OK);
	add_hour(&a, 5);
	proxy_hold(a.proxy, true);
	assert_int_equal(lock(&b), RESULT_OK);
	add_hour(&b, 1);
	assert_int_equal(commit(&b), RESULT_OK);
	AWAIT(&f, !beam_store_is_locked(a.store));
	proxy_cut(a.proxy);
	proxy_hold(a.proxy, false);
	AWAIT(&f, zk_is_connected(a.zk));
	assert_int_equal(commit(&a), RESULT_RETRY);
	read_beams(&b);
	assert_int_equal(b.beams, 1);
	/* and the next time it works */
	assert_int_equal(lock(&a), RESULT_OK);
	assert_int_equal(a.data->count, 1);
	add_hour(&a, 5);
	assert_int_equal(commit(&a), RESULT_OK);
	party_end(&a);
	party_end(&b);
}

/* As before, but the holder commits before it knows. */
static void
test_commit_into_a_lost_session(void **state)
{
	struct party a, b;

	(void)state;
	party_start(&a, SHORT_MS, true);
	party_start(&b, LONG_MS, false);
	assert_int_equal(lock(&a), RESULT_OK);
	add_hour(&a, 5);
	proxy_hold(a.proxy, true);
	a.done = 0;
	beam_store_commit(a.store, party_done, &a);
	assert_int_equal(lock(&b), RESULT_OK);
	assert_int_equal(b.data->count, 0);
	add_hour(&b, 1);
	assert_int_equal(commit(&b), RESULT_OK);
	proxy_hold(a.proxy, false); /* what was held comes through now */
	AWAIT(&f, a.done == 1);
	assert_int_equal(a.done_result, RESULT_RETRY);
	AWAIT(&f, zk_is_connected(a.zk));
	read_beams(&b);
	assert_int_equal(b.beams, 1);
	party_end(&a);
	party_end(&b);
}

/* Somebody without the mutex writes, or deletes the node. */
static void
test_written_without_the_lock(void **state)
{
	struct told t = { 0 };
	struct party a;
	char path[160];

	(void)state;
	party_start(&a, LONG_MS, false);
	lock(&a);
	add_hour(&a, 0);
	poke("{\"x\":1}");
	assert_int_equal(commit(&a), RESULT_RETRY); /* it was to be created */
	lock(&a);
	poke("{\"x\":2}");
	assert_int_equal(commit(&a), RESULT_RETRY);
	peek(&t);
	assert_string_equal(t.bytes, "{\"x\":2}");
	lock(&a);
	node_path(path, "data");
	memset(&t, 0, sizeof t);
	t.call = zk_delete(observer, path, -1, told_done, &t);
	AWAIT(&f, t.times == 1);
	assert_int_equal(commit(&a), RESULT_RETRY);
	assert_mutex_free();
	party_end(&a);
}

/* The connection breaks in the place of every answer, to lock and commit. */
static void
test_lost_answers(void **state)
{
	struct party a;
	struct told t;
	int missed = 0, cuts = 0, n;

	(void)state;
	party_start(&a, LONG_MS, true);
	for (n = 1; missed < 3; n++) {
		proxy_cut_answer(a.proxy, n);
		while (lock(&a) != RESULT_OK)
			assert_int_equal(a.locked_result, RESULT_RETRY);
		assert_int_equal(a.data->count, n - 1);
		add_hour(&a, n);
		assert_int_equal(commit(&a), RESULT_OK);
		assert_mutex_free();
		missed += !proxy_has_cut(a.proxy);
		cuts += proxy_has_cut(a.proxy);
		proxy_cut_answer(a.proxy, 0);
		AWAIT(&f, zk_is_connected(a.zk));
		assert_int_equal(zk_session(a.zk), 1);
		assert_true(n < 100);
	}
	assert_in_range(cuts, 6, 50);
	read_beams(&a);
	assert_int_equal(a.beams, n - 1);
	peek(&t);
	/* each was written once, and one without beams before them */
	assert_int_equal(t.version, n - 1);
	fixture_run(&f, 300);
	assert_int_equal(a.changed, 0);
	party_end(&a);
}

/* Freed at any point of a lock and commit: no nodes stay behind. */
static void
test_free_anywhere(void **state)
{
	(void)state;
	for (int turns = 0; turns < 30; turns++) {
		struct party a;

		party_start(&a, LONG_MS, false);
		start_lock(&a);
		for (int i = 0; i < turns; i++) {
			fixture_turn(&f);
			if (a.data != NULL) {
				beam_store_commit(a.store, party_done, &a);
				a.data = NULL;
			}
		}
		party_end(&a);
		assert_mutex_free();
	}
}

/* ---- discovery ------------------------------------------------------------ */

struct found {
	int times;
	enum result result;
	struct discovery_place place;
	size_t name_count;
	char names[8][64];
};

static void
found(void *context, const struct discovery_answer *a)
{
	struct found *w = context;

	w->times++;
	w->result = a->result;
	w->place = a->place;
	w->name_count = a->name_count;
	for (size_t i = 0; i < a->name_count && i < ARRAY_LEN(w->names); i++)
		snprintf(w->names[i], sizeof w->names[i], "%s", a->names[i]);
}

static enum result
find(struct found *w, const char *service)
{
	memset(w, 0, sizeof *w);
	discovery_find(observer, folder, service, found, w);
	AWAIT(&f, w->times == 1);
	return w->result;
}

static void
announce(const char *service, const char *id, const char *text)
{
	struct told t = { 0 };
	char path[256];
	struct zk_node n = {
		.path = path,
		.bytes = text,
		.byte_count = strlen(text),
		.flags = ZK_PARENTS,
	};

	snprintf(path, sizeof path, "%s/%s/%s", folder, service, id);
	t.call = zk_create(observer, &n, told_done, &t);
	AWAIT(&f, t.times == 1);
	assert_int_equal(t.result, RESULT_OK);
}

static void
test_discovery(void **state)
{
	struct discovery *d;
	struct found w;
	int ports[3] = { 0 };

	(void)state;
	assert_int_equal(find(&w, "druid/overlord"), RESULT_GONE);
	assert_int_equal(w.name_count, 0);

	announce("druid:prod:overlord", "1", "{\"address\":\"h\",\"port\":1}");
	announce("firehose:druid:overlord:x-1", "1", "{}");
	announce("coordinator", "1", "{}");
	assert_int_equal(find(&w, "druid/overlord"), RESULT_GONE);
	assert_int_equal(w.name_count, 2);
	assert_string_equal(w.names[0], "coordinator");
	assert_string_equal(w.names[1], "druid:prod:overlord");

	announce("druid:overlord", "bad", "not JSON");
	assert_int_equal(find(&w, "druid/overlord"), RESULT_REFUSED);
	announce("druid:overlord", "a", "{\"address\":\"h\",\"port\":1}");
	announce("druid:overlord", "b", "{\"address\":\"h\",\"port\":2}");
	/* both are drawn, the bad one never */
	for (int i = 0; i < 100 && !(ports[1] && ports[2]); i++) {
		assert_int_equal(find(&w, "druid/overlord"), RESULT_OK);
		assert_in_range(w.place.port, 1, 2);
		ports[w.place.port]++;
	}
	assert_true(ports[1] > 0 && ports[2] > 0);

	/* all services gone, its folder still there */
	announce("druid:router/x", "1", "");
	assert_int_equal(find(&w, "druid:router/x/1"), RESULT_GONE);
	assert_int_equal(w.name_count, 4);

	w.times = 0;
	d = discovery_find(observer, folder, "druid/overlord", found, &w);
	discovery_cancel(&d);
	assert_null(d);
	discovery_cancel(&d);
	fixture_run(&f, 50);
	assert_int_equal(w.times, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_read_modify_write),
		TEST(test_contention),
		TEST(test_changed),
		TEST(test_garbage),
		TEST(test_too_large),
		TEST(test_wait_is_bounded),
		TEST(test_lost_while_held),
		TEST(test_commit_into_a_lost_session),
		TEST(test_written_without_the_lock),
		TEST(test_lost_answers),
		TEST(test_free_anywhere),
		TEST(test_discovery),
	};

	if (fixture_server() == NULL)
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
