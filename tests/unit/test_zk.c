/*
 * test_zk - worker/zk against a real ZooKeeper
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "zk_fixture.h"
#include "zk_internal.h"

#define LONG_MS 10000
/* A server's JVM starts within it, on a loaded machine too. */
#define RESTART_MS 40000
#define SHORT_MS 1000

/* A session behind a proxy, and what its listener heard. */
struct client {
	struct fixture fixture;
	struct proxy *proxy;
	struct zk *zk;
	struct zk_listener listener;
	enum zk_state state;
	int connected, suspended, lost;
	char folder[64];
};

static void
heard(struct zk_listener *l, enum zk_state state)
{
	struct client *c = l->context;

	c->state = state;
	c->connected += state == ZK_CONNECTED;
	c->suspended += state == ZK_SUSPENDED;
	c->lost += state == ZK_LOST;
}

static void
client_open(struct client *c, int64_t timeout_ms)
{
	char connect[64];

	snprintf(connect, sizeof connect, "127.0.0.1:%d", proxy_port(c->proxy));
	c->zk = zk_open(c->fixture.loop, connect, timeout_ms);
	assert_non_null(c->zk);
	c->listener.changed = heard;
	c->listener.context = c;
	zk_listen(c->zk, &c->listener);
}

static void
client_start(struct client *c, int64_t timeout_ms)
{
	memset(c, 0, sizeof *c);
	fixture_init(&c->fixture);
	fixture_folder(c->folder, sizeof c->folder);
	c->proxy = proxy_new(&c->fixture, fixture_server_port());
	client_open(c, timeout_ms);
	AWAIT(&c->fixture, c->connected == 1);
	assert_int_equal(zk_session(c->zk), 1);
}

static void
client_end(struct client *c)
{
	/* the end of a session waits for its answer, which cannot come
	 * through a proxy on the same loop */
	proxy_free(&c->proxy);
	while (c->zk != NULL && zk_is_connected(c->zk))
		fixture_turn(&c->fixture);
	zk_close(&c->zk);
	fixture_fini(&c->fixture);
}

static const char *
in_folder(const struct client *c, const char *name)
{
	static char path[4][160];
	static unsigned at;
	char *p = path[at++ % 4];

	snprintf(p, sizeof path[0], "%s/%s", c->folder, name);
	return p;
}

static void
start_create(struct client *c, struct told *t, const char *path,
    const char *bytes, enum zk_create_flags flags)
{
	struct zk_node n = {
		.path = path,
		.bytes = bytes,
		.byte_count = strlen(bytes),
		.flags = flags,
	};

	memset(t, 0, sizeof *t);
	t->call = zk_create(c->zk, &n, told_done, t);
}

static enum result
create(struct client *c, struct told *t, const char *path, const char *bytes,
    enum zk_create_flags flags)
{
	start_create(c, t, path, bytes, flags);
	AWAIT(&c->fixture, t->times == 1);
	return t->result;
}

static enum result
set(struct client *c, struct told *t, const char *path, const char *bytes,
    int32_t version)
{
	struct zk_node n = {
		.path = path,
		.bytes = bytes,
		.byte_count = strlen(bytes),
		.version = version,
	};

	memset(t, 0, sizeof *t);
	t->call = zk_set(c->zk, &n, told_done, t);
	AWAIT(&c->fixture, t->times == 1);
	return t->result;
}

typedef struct zk_call *
reader(struct zk *, const char *, struct zk_watch *, zk_done_fn *, void *);

static enum result
ask(struct client *c, reader *how, struct told *t, const char *path,
    struct zk_watch *w)
{
	memset(t, 0, sizeof *t);
	t->call = how(c->zk, path, w, told_done, t);
	AWAIT(&c->fixture, t->times == 1);
	return t->result;
}

static enum result delete (
    struct client *c, struct told *t, const char *path, int32_t version) {
	memset(t, 0, sizeof *t);
	t->call = zk_delete(c->zk, path, version, told_done, t);
	AWAIT(&c->fixture, t->times == 1);
	return t->result;
}

static void
count_fired(struct zk_watch *w)
{
	++*(int *)w->context;
}

static void
assert_address(const char *text, const char *complete)
{
	char *got = zk_address_complete(text);

	if (complete == NULL)
		assert_null(got);
	else
		assert_string_equal(got, complete);
	free(got);
}

static void
test_address(void **state)
{
	(void)state;
	assert_address("localhost", "localhost:2181");
	assert_address("a:1,b", "a:1,b:2181");
	assert_address(" a , b:2 ,", "a:2181,b:2");
	assert_address("a,b/folder", "a:2181,b:2181/folder");
	assert_address("a:1/", "a:1");
	assert_address("a:1/x/y/ ", "a:1/x/y");
	assert_address("[::1],[::1]:5", "[::1]:2181,[::1]:5");
	assert_address("", NULL);
	assert_address(" , ", NULL);
	assert_address("/folder", NULL);
}

static void
test_bare_address(void **state)
{
	static const char *const pairs[][2] = {
		{ "a:1,b:2/x[y]", "a:1,b:2/x[y]" },
		{ "[::1]:2181", "::1:2181" },
		{ "[fe80::1]:1,b:2,[::2]:3/f", "fe80::1:1,b:2,::2:3/f" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		char *bare = zk_address_bare(pairs[i][0]);

		assert_string_equal(bare, pairs[i][1]);
		free(bare);
	}
}

static void
test_operations(void **state)
{
	struct client c;
	struct told t;

	(void)state;
	client_start(&c, LONG_MS);
	assert_int_equal(
	    create(&c, &t, in_folder(&c, "a/b"), "", 0), RESULT_GONE);
	assert_int_equal(
	    create(&c, &t, in_folder(&c, "a/b"), "one", ZK_PARENTS), RESULT_OK);
	assert_string_equal(t.path, in_folder(&c, "a/b"));
	assert_int_equal(create(&c, &t, in_folder(&c, "a/b"), "", ZK_PARENTS),
	    RESULT_REFUSED);
	assert_int_equal(t.refusal, ZK_REFUSED_EXISTS);

	assert_int_equal(
	    ask(&c, zk_get, &t, in_folder(&c, "a/b"), NULL), RESULT_OK);
	assert_string_equal(t.bytes, "one");
	assert_int_equal(t.version, 0);
	assert_int_equal(
	    set(&c, &t, in_folder(&c, "a/b"), "two", 0), RESULT_OK);
	assert_int_equal(t.version, 1);
	assert_int_equal(
	    set(&c, &t, in_folder(&c, "a/b"), "three", 0), RESULT_REFUSED);
	assert_int_equal(t.refusal, ZK_REFUSED_VERSION);
	assert_int_equal(
	    set(&c, &t, in_folder(&c, "a/c"), "x", -1), RESULT_GONE);
	assert_int_equal(
	    ask(&c, zk_exists, &t, in_folder(&c, "a/b"), NULL), RESULT_OK);
	assert_int_equal(t.version, 1);

	/* a parent has no data */
	assert_int_equal(
	    ask(&c, zk_get, &t, in_folder(&c, "a"), NULL), RESULT_OK);
	assert_int_equal(t.byte_count, 0);
	assert_int_equal(
	    delete (&c, &t, in_folder(&c, "a"), -1), RESULT_REFUSED);

	assert_int_equal(create(&c, &t, in_folder(&c, "s/n-"), "",
			     ZK_PARENTS | ZK_SEQUENTIAL | ZK_EPHEMERAL),
	    RESULT_OK);
	assert_string_equal(t.path, in_folder(&c, "s/n-0000000000"));
	assert_int_equal(create(&c, &t, in_folder(&c, "s/n-"), "",
			     ZK_PARENTS | ZK_SEQUENTIAL | ZK_EPHEMERAL),
	    RESULT_OK);
	assert_int_equal(
	    ask(&c, zk_children, &t, in_folder(&c, "s"), NULL), RESULT_OK);
	assert_int_equal(t.name_count, 2);

	assert_int_equal(
	    delete (&c, &t, in_folder(&c, "a/b"), 0), RESULT_REFUSED);
	assert_int_equal(delete (&c, &t, in_folder(&c, "a/b"), 1), RESULT_OK);
	assert_int_equal(
	    delete (&c, &t, in_folder(&c, "a/b"), -1), RESULT_GONE);
	assert_int_equal(
	    ask(&c, zk_get, &t, in_folder(&c, "a/b"), NULL), RESULT_GONE);
	assert_int_equal(
	    ask(&c, zk_children, &t, in_folder(&c, "x"), NULL), RESULT_GONE);
	/* a path that the library refuses */
	assert_int_equal(ask(&c, zk_get, &t, "//", NULL), RESULT_REFUSED);
	memset(&t, 0, sizeof t);
	t.call = zk_sync(c.zk, c.folder, told_done, &t);
	AWAIT(&c.fixture, t.times == 1);
	assert_int_equal(t.result, RESULT_OK);
	client_end(&c);
}

static void
test_large_node(void **state)
{
	struct client c;
	struct told t = { 0 };
	char *big = calloc(1, ZK_BYTES_MAX + 1);
	struct zk_node n = {
		.bytes = big, .byte_count = ZK_BYTES_MAX, .flags = ZK_PARENTS
	};

	(void)state;
	client_start(&c, LONG_MS);
	/* past the proxy: it passes small things only */
	proxy_cut(c.proxy);
	AWAIT(&c.fixture, !zk_is_connected(c.zk));
	zk_close(&c.zk);
	c.zk = zk_open(c.fixture.loop, fixture_server(), LONG_MS);
	n.path = in_folder(&c, "big");
	t.call = zk_create(c.zk, &n, told_done, &t);
	AWAIT(&c.fixture, t.times == 1);
	assert_int_equal(t.result, RESULT_OK);
	assert_int_equal(
	    ask(&c, zk_get, &t, in_folder(&c, "big"), NULL), RESULT_OK);
	assert_int_equal(t.byte_count, ZK_BYTES_MAX);
	n.byte_count++;
	memset(&t, 0, sizeof t);
	t.call = zk_set(c.zk, &n, told_done, &t);
	AWAIT(&c.fixture, t.times == 1);
	assert_int_equal(t.result, RESULT_REFUSED);
	zk_close(&c.zk);
	client_end(&c);
	free(big);
}

static void
test_watches(void **state)
{
	int data = 0, children = 0, absent = 0, stopped = 0;
	struct zk_watch wd = { .fired = count_fired, .context = &data };
	struct zk_watch wc = { .fired = count_fired, .context = &children };
	struct zk_watch wa = { .fired = count_fired, .context = &absent };
	struct zk_watch ws = { .fired = count_fired, .context = &stopped };
	struct client c;
	struct told t;

	(void)state;
	client_start(&c, LONG_MS);
	create(&c, &t, in_folder(&c, "n"), "1", ZK_PARENTS);
	assert_int_equal(
	    ask(&c, zk_get, &t, in_folder(&c, "n"), &wd), RESULT_OK);
	assert_int_equal(
	    ask(&c, zk_get, &t, in_folder(&c, "n"), &ws), RESULT_OK);
	assert_int_equal(ask(&c, zk_children, &t, c.folder, &wc), RESULT_OK);
	assert_int_equal(
	    ask(&c, zk_exists, &t, in_folder(&c, "m"), &wa), RESULT_GONE);
	zk_watch_stop(&ws);

	set(&c, &t, in_folder(&c, "n"), "2", -1);
	AWAIT(&c.fixture, data == 1);
	set(&c, &t, in_folder(&c, "n"), "3", -1);
	create(&c, &t, in_folder(&c, "m"), "", 0);
	AWAIT(&c.fixture, absent == 1 && children == 1);
	assert_int_equal(data, 1); /* once is once */

	/* one that its call does not set stays as it was */
	assert_int_equal(
	    ask(&c, zk_get, &t, in_folder(&c, "x"), &wd), RESULT_GONE);
	assert_null(wd.path);
	/* stopped while its call is on its way */
	memset(&t, 0, sizeof t);
	t.call = zk_get(c.zk, in_folder(&c, "n"), &wd, told_done, &t);
	zk_watch_stop(&wd);
	AWAIT(&c.fixture, t.times == 1);
	assert_null(wd.path);
	set(&c, &t, in_folder(&c, "n"), "4", -1);
	delete (&c, &t, in_folder(&c, "n"), -1);
	assert_int_equal(data, 1);
	assert_int_equal(stopped, 0);
	client_end(&c);
}

/* A session that is closed takes its nodes with it at once. */
static void
test_close(void **state)
{
	struct client c, other;
	struct told t;
	int64_t start;

	(void)state;
	client_start(&c, LONG_MS);
	memset(&other, 0, sizeof other);
	other.fixture = c.fixture;
	other.zk = zk_open(c.fixture.loop, fixture_server(), LONG_MS);
	assert_int_equal(create(&other, &t, in_folder(&c, "e"), "",
			     ZK_PARENTS | ZK_EPHEMERAL),
	    RESULT_OK);
	start = clock_mono_ms();
	zk_close(&other.zk);
	assert_null(other.zk);
	assert_true(clock_mono_ms() - start < LONG_MS / 2);
	assert_int_equal(
	    ask(&c, zk_exists, &t, in_folder(&c, "e"), NULL), RESULT_GONE);
	client_end(&c);
}

/* A killed process closes nothing; its successor does it for it. */
static void
test_successor(void **state)
{
	struct client dead, c;
	struct zk_identity id;
	struct told t;

	(void)state;
	client_start(&c, LONG_MS);
	client_start(&dead, LONG_MS);
	assert_int_equal(create(&dead, &t, in_folder(&c, "e"), "",
			     ZK_PARENTS | ZK_EPHEMERAL),
	    RESULT_OK);
	assert_true(zk_identity(dead.zk, &id));
	client_end(&dead);
	assert_int_equal(
	    ask(&c, zk_exists, &t, in_folder(&c, "e"), NULL), RESULT_OK);
	/* twice: the second time the session is over already */
	for (int i = 0; i < 2; i++) {
		struct zk_options options = { .connect = fixture_server(),
			.timeout_ms = LONG_MS,
			.dead = &id };
		struct zk *successor = zk_open_with(c.fixture.loop, &options);
		struct zk_identity own;

		assert_false(zk_identity(successor, &own));
		AWAIT(&c.fixture, zk_session(successor) == 1);
		assert_true(zk_identity(successor, &own));
		assert_true(own.id != id.id);
		assert_int_equal(
		    ask(&c, zk_exists, &t, in_folder(&c, "e"), NULL),
		    RESULT_GONE);
		zk_close(&successor);
	}
	client_end(&c);
}

struct chain {
	struct client *client;
	struct told told;
	int left, calls;
	bool close;
};

static void
chain_done(void *context, const struct zk_answer *a)
{
	struct chain *h = context;

	assert_int_equal(a->result, RESULT_GONE);
	h->calls++;
	if (--h->left > 0)
		zk_get(h->client->zk, a->path, NULL, chain_done, h);
	else if (h->close)
		zk_close(&h->client->zk);
}

/* Calls from callbacks, cancelled calls, and the end from a callback. */
static void
test_callbacks(void **state)
{
	struct client c;
	struct chain h = { .client = &c, .left = 100, .close = true };
	struct told cancelled = { 0 }, pending = { 0 };

	(void)state;
	client_start(&c, LONG_MS);
	cancelled.call = zk_get(c.zk, "/none", NULL, told_done, &cancelled);
	zk_cancel(&cancelled.call);
	assert_null(cancelled.call);
	zk_cancel(&cancelled.call);
	zk_get(c.zk, "/none", NULL, chain_done, &h);
	/* behind the last of the chain in the same answer, never told */
	AWAIT(&c.fixture, h.left == 1 || c.zk == NULL);
	if (c.zk != NULL)
		pending.call = zk_get(c.zk, "/none", NULL, told_done, &pending);
	AWAIT(&c.fixture, c.zk == NULL);
	fixture_run(&c.fixture, 50);
	assert_int_equal(h.calls, 100);
	assert_int_equal(cancelled.times, 0);
	assert_int_equal(pending.times, 0);
	client_end(&c);
}

static void
test_folder_of_connect(void **state)
{
	struct client c, d;
	struct told t;
	char connect[160];
	int fired = 0;
	struct zk_watch w = { .fired = count_fired, .context = &fired };

	(void)state;
	client_start(&c, LONG_MS);
	snprintf(connect, sizeof connect, "%s%s", fixture_server(), c.folder);
	memset(&d, 0, sizeof d);
	d.fixture = c.fixture;
	d.zk = zk_open(c.fixture.loop, connect, LONG_MS);
	/* Curator does not make it either */
	assert_int_equal(create(&d, &t, "/a/b", "", ZK_PARENTS), RESULT_GONE);
	create(&c, &t, c.folder, "", 0);
	assert_int_equal(create(&d, &t, "/a/b", "x", ZK_PARENTS), RESULT_OK);
	assert_string_equal(t.path, "/a/b");
	assert_int_equal(ask(&d, zk_get, &t, "/a/b", &w), RESULT_OK);
	assert_int_equal(set(&c, &t, in_folder(&c, "a/b"), "y", -1), RESULT_OK);
	AWAIT(&c.fixture, fired == 1);
	zk_close(&d.zk);
	client_end(&c);
}

static int64_t
cpu_ms(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000 +
	    (r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1000;
}

/* Nobody there: calls end in time, attempts rest between each other, and when
 * somebody comes the session is made. */
static void
test_unreachable(void **state)
{
	struct client c;
	struct told t = { 0 };
	int64_t start, cpu;

	(void)state;
	memset(&c, 0, sizeof c);
	fixture_init(&c.fixture);
	c.proxy = proxy_new(&c.fixture, fixture_server_port());
	proxy_listen(c.proxy, false);
	client_open(&c, SHORT_MS);
	start = clock_mono_ms();
	cpu = cpu_ms();
	t.call = zk_get(c.zk, "/none", NULL, told_done, &t);
	AWAIT(&c.fixture, t.times == 1);
	assert_int_equal(t.result, RESULT_RETRY);
	assert_in_range(clock_mono_ms() - start, SHORT_MS - 10, SHORT_MS + 500);
	c.fixture.turns = 0;
	fixture_run(&c.fixture, 1000);
	/* 50 turns are the fixture's own */
	assert_in_range(c.fixture.turns, 1, 100);
	assert_true(cpu_ms() - cpu < 100);
	assert_int_equal(c.connected, 0);
	assert_int_equal(zk_session(c.zk), 0);

	memset(&t, 0, sizeof t);
	proxy_listen(c.proxy, true);
	t.call = zk_get(c.zk, "/none", NULL, told_done, &t);
	AWAIT(&c.fixture, t.times == 1);
	assert_int_equal(t.result, RESULT_GONE);
	assert_int_equal(zk_session(c.zk), 1);
	client_end(&c);
}

/* A name without an address is tried again, too. */
static void
test_no_address(void **state)
{
	struct fixture f;
	struct told t = { 0 };
	struct zk *zk;

	(void)state;
	fixture_init(&f);
	zk = zk_open(f.loop, "no-such-host.invalid:1", 500);
	assert_non_null(zk);
	t.call = zk_get(zk, "/none", NULL, told_done, &t);
	AWAIT(&f, t.times == 1);
	assert_int_equal(t.result, RESULT_RETRY);
	zk_close(&zk);
	assert_null(zk_open(f.loop, " ,", 500));
	fixture_fini(&f);
}

/* The connection breaks, the session goes on, with its watches. */
static void
test_reconnect(void **state)
{
	int fired = 0;
	struct zk_watch w = { .fired = count_fired, .context = &fired };
	struct client c, other;
	struct told t, u;

	(void)state;
	client_start(&c, LONG_MS);
	client_start(&other, LONG_MS);
	create(&c, &t, in_folder(&c, "e"), "1", ZK_PARENTS | ZK_EPHEMERAL);
	ask(&c, zk_get, &t, in_folder(&c, "e"), &w);

	proxy_listen(c.proxy, false);
	proxy_cut(c.proxy);
	AWAIT(&c.fixture, c.suspended == 1);
	assert_int_equal(zk_session(c.zk), 1);
	/* made meanwhile, carried out later */
	memset(&u, 0, sizeof u);
	u.call = zk_get(c.zk, in_folder(&c, "e"), NULL, told_done, &u);
	assert_int_equal(
	    set(&other, &t, in_folder(&c, "e"), "2", -1), RESULT_OK);
	assert_int_equal(fired, 0);

	proxy_listen(c.proxy, true);
	AWAIT(&c.fixture, c.connected == 2 && u.times == 1 && fired == 1);
	assert_int_equal(u.result, RESULT_OK);
	assert_string_equal(u.bytes, "2");
	assert_int_equal(zk_session(c.zk), 1);
	assert_int_equal(c.lost, 0);
	client_end(&other);
	client_end(&c);
}

/* The answer to a create is lost: RETRY, and the node is there. */
static void
test_lost_answer(void **state)
{
	struct client c;
	struct told t;

	(void)state;
	client_start(&c, LONG_MS);
	create(&c, &t, c.folder, "", 0);
	proxy_cut_answer(c.proxy, 1);
	assert_int_equal(
	    create(&c, &t, in_folder(&c, "n"), "", 0), RESULT_RETRY);
	assert_true(proxy_has_cut(c.proxy));
	assert_int_equal(
	    ask(&c, zk_exists, &t, in_folder(&c, "n"), NULL), RESULT_OK);
	assert_int_equal(zk_session(c.zk), 1);
	client_end(&c);
}

/* The server hears nothing for the session's time. `refuse`: nor can it be
 * reached then, so that only our own clock can tell. */
static void
expire(bool refuse)
{
	int fired = 0;
	struct zk_watch w = { .fired = count_fired, .context = &fired };
	struct client c, other;
	struct told t, u;

	client_start(&c, SHORT_MS);
	client_start(&other, LONG_MS);
	create(&c, &t, in_folder(&c, "e"), "1", ZK_PARENTS | ZK_EPHEMERAL);
	ask(&c, zk_get, &t, in_folder(&c, "e"), &w);
	proxy_hold(c.proxy, true);
	if (refuse)
		proxy_listen(c.proxy, false);
	memset(&u, 0, sizeof u);
	u.call = zk_get(c.zk, in_folder(&c, "e"), NULL, told_done, &u);
	AWAIT(&c.fixture, u.times == 1);
	assert_int_equal(u.result, RESULT_RETRY);
	do
		ask(&other, zk_exists, &t, in_folder(&c, "e"), NULL);
	while (t.result == RESULT_OK);
	if (!refuse) {
		proxy_cut(c.proxy);
		proxy_hold(c.proxy, false);
	}
	AWAIT(&c.fixture, c.lost == 1);
	assert_int_equal(fired, 1);
	if (refuse) {
		assert_int_equal(zk_session(c.zk), 0);
		proxy_cut(c.proxy);
		proxy_hold(c.proxy, false);
		proxy_listen(c.proxy, true);
	}
	AWAIT(&c.fixture, c.state == ZK_CONNECTED);
	assert_int_equal(zk_session(c.zk), 2);
	assert_int_equal(c.lost, 1);
	assert_int_equal(fired, 1);
	assert_int_equal(
	    ask(&c, zk_exists, &t, in_folder(&c, "e"), NULL), RESULT_GONE);
	client_end(&other);
	client_end(&c);
}

static void
test_expired(void **state)
{
	(void)state;
	expire(false);
}

static void
test_expired_unreachable(void **state)
{
	(void)state;
	expire(true);
}

/* A call that is made in the belief of a session never reaches the next. */
struct believer {
	struct client *client;
	struct told told;
	int made;
};

static void
believer_done(void *context, const struct zk_answer *a)
{
	struct believer *b = context;

	assert_int_equal(a->result, RESULT_RETRY);
	b->made = (int)zk_session(b->client->zk);
	if (b->made == 1)
		start_create(
		    b->client, &b->told, in_folder(b->client, "ghost"), "", 0);
}

static void
test_no_ghosts(void **state)
{
	struct believer b = { 0 };
	struct client c;
	struct told t;

	(void)state;
	client_start(&c, SHORT_MS);
	b.client = &c;
	create(&c, &t, c.folder, "", 0);
	proxy_hold(c.proxy, true);
	proxy_listen(c.proxy, false);
	zk_get(c.zk, c.folder, NULL, believer_done, &b);
	AWAIT(&c.fixture, c.lost == 1);
	proxy_cut(c.proxy);
	proxy_hold(c.proxy, false);
	proxy_listen(c.proxy, true);
	AWAIT(&c.fixture, c.connected == 2);
	if (b.made == 1) {
		assert_int_equal(b.told.times, 1);
		assert_int_equal(b.told.result, RESULT_RETRY);
	}
	assert_int_equal(
	    ask(&c, zk_exists, &t, in_folder(&c, "ghost"), NULL), RESULT_GONE);
	client_end(&c);
}

/* Calls into a connection that is broken already: the library drops it in the
 * middle of the call, and takes another socket of the same number. */
static void
test_broken_pipe(void **state)
{
	struct client c;
	struct told t[3];

	(void)state;
	client_start(&c, LONG_MS);
	for (int round = 1; round <= 4; round++) {
		memset(t, 0, sizeof t);
		proxy_cut(c.proxy);
		for (size_t i = 0; i < ARRAY_LEN(t); i++)
			t[i].call =
			    zk_get(c.zk, "/none", NULL, told_done, &t[i]);
		AWAIT(&c.fixture,
		    t[0].times + t[1].times + t[2].times == 3 &&
			c.connected == 1 + round);
		assert_int_equal(t[0].result, RESULT_RETRY);
		assert_int_equal(
		    ask(&c, zk_get, &t[0], "/none", NULL), RESULT_GONE);
	}
	assert_int_equal(c.suspended, 4);
	assert_int_equal(zk_session(c.zk), 1);
	client_end(&c);
}

/* A server that takes connections and drops them at once. */
static void
test_flapping(void **state)
{
	struct client c;
	int before;

	(void)state;
	client_start(&c, LONG_MS);
	before = proxy_accepted(c.proxy);
	for (int64_t end = clock_mono_ms() + 2000; clock_mono_ms() < end;
	     fixture_turn(&c.fixture))
		if (c.state == ZK_CONNECTED)
			proxy_cut(c.proxy);
	assert_in_range(proxy_accepted(c.proxy) - before, 2, 12);
	AWAIT(&c.fixture, zk_is_connected(c.zk));
	assert_int_equal(zk_session(c.zk), 1);
	client_end(&c);
}

static void
test_idle(void **state)
{
	struct client c;
	int64_t cpu;

	(void)state;
	client_start(&c, LONG_MS);
	loop_timer_stop(&c.fixture.tick);
	fixture_run(&c.fixture, 100); /* one ping is in it at most */
	cpu = cpu_ms();
	c.fixture.turns = 0;
	fixture_run(&c.fixture, 2 * LONG_MS / 3 - 100);
	/* two pings: for each a turn to send it and one for its answer */
	assert_in_range(c.fixture.turns, 1, 8);
	assert_true(cpu_ms() - cpu < 20);
	assert_int_equal(c.suspended, 0);
	client_end(&c);
}

static void
test_server_restart(void **state)
{
	struct client c;
	struct told t;

	(void)state;
	client_start(&c, RESTART_MS);
	create(&c, &t, in_folder(&c, "e"), "1", ZK_PARENTS | ZK_EPHEMERAL);
	if (!fixture_order("kill")) {
		client_end(&c);
		skip();
	}
	AWAIT(&c.fixture, c.suspended == 1);
	fixture_order("start");
	AWAIT(&c.fixture, c.connected == 2);
	assert_int_equal(zk_session(c.zk), 1);
	assert_int_equal(
	    ask(&c, zk_exists, &t, in_folder(&c, "e"), NULL), RESULT_OK);
	client_end(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_address),
		cmocka_unit_test(test_bare_address),
		cmocka_unit_test(test_operations),
		cmocka_unit_test(test_large_node),
		cmocka_unit_test(test_watches),
		cmocka_unit_test(test_close),
		cmocka_unit_test(test_successor),
		cmocka_unit_test(test_callbacks),
		cmocka_unit_test(test_folder_of_connect),
		cmocka_unit_test(test_unreachable),
		cmocka_unit_test(test_no_address),
		cmocka_unit_test(test_reconnect),
		cmocka_unit_test(test_lost_answer),
		cmocka_unit_test(test_expired),
		cmocka_unit_test(test_expired_unreachable),
		cmocka_unit_test(test_no_ghosts),
		cmocka_unit_test(test_broken_pipe),
		cmocka_unit_test(test_flapping),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_server_restart),
	};

	if (fixture_server() == NULL)
		return cmocka_run_group_tests_name("without ZooKeeper",
		    ((const struct CMUnitTest[]){
			cmocka_unit_test(test_address) }),
		    NULL, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
