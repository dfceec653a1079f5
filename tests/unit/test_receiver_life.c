/*
 * test_receiver_life - a receiver's life: time-outs, limits, reload, stop
 */
#include "receiver_rig.h"

#include <fcntl.h>
#include <sys/stat.h>

#define TIME "\"column\":\"time\",\"format\":\"auto\""
#define RESULT(n) "{\"result\":{\"received\":" #n ",\"sent\":0}}"
#define GET_X "GET /x HTTP/1.1\r\nHost: a\r\n\r\n"

static struct rig rig;

static char *
make_conf(const char *first, const char *second, const char *properties)
{
	struct buf b;
	char *text;

	buf_init(&b, MiB);
	rig_add_ds(&b, first, TIME, "");
	if (second != NULL) {
		buf_add_text(&b, ",");
		rig_add_ds(&b, second, TIME, "");
	}
	text = rig_conf_text(buf_text(&b), properties);
	buf_free(&b);
	return text;
}

static void
post_one(int fd, const char *target)
{
	char event[100];

	rig_post(fd, target, rig_event(event, sizeof event, "x"));
}

#define TOO_SLOW                                                            \
	"The request did not come within http.idleTimeout, or slower than " \
	"http.bodyRateMin\n"

static void
idle_time_outs(void **state UNUSED)
{
	int idle, head, body, busy;

	rig_start(
	    &rig, make_conf("a", NULL, "\"http.idleTimeout\":\"PT0.3S\""));
	idle = rig_connect(&rig);
	head = rig_connect(&rig);
	body = rig_connect(&rig);
	busy = rig_connect(&rig);
	rig_say(head, "GET / HT");
	rig_say(body,
	    "POST /v1/post/a HTTP/1.1\r\nHost: a\r\nContent-Type: "
	    "application/json\r\nContent-Length: 10\r\n\r\n{");
	post_one(busy, "/v1/post/a?async=1");
	rig_take_events(&rig.ds[0], 1);
	rig_expect_end(idle);
	rig_expect(head, 408, TOO_SLOW);
	rig_expect_end(head);
	rig_expect(body, 408, TOO_SLOW);
	rig_expect_end(body);
	/* a request that we work on is not idle */
	rig_expect_silence(busy);
	rig_commit(&rig.ds[0]);
	rig_expect(busy, 200, RESULT(1));
	rig_expect_end(busy);
	rig_stop(&rig);
}

/* A byte now and then does not keep a head alive. */
static void
slow_head(void **state UNUSED)
{
	int fd;
	int64_t start;

	rig_start(
	    &rig, make_conf("a", NULL, "\"http.idleTimeout\":\"PT0.3S\""));
	fd = rig_connect(&rig);
	start = clock_mono_ms();
	while (!rig_poll(fd, 20)) {
		assert_true(clock_mono_ms() - start < RIG_WAIT_MS);
		rig_say(fd, "G");
	}
	rig_expect(fd, 408, TOO_SLOW);
	close(fd);
	rig_stop(&rig);
}

static void
connection_limit(void **state UNUSED)
{
	int fds[3];

	rig_start(&rig, make_conf("a", NULL, "\"http.maxConnections\":2"));
	for (int i = 0; i < 3; i++) {
		fds[i] = rig_connect(&rig);
		post_one(fds[i], "/v1/post/a?async=1");
	}
	/* two of them are being worked on, the third one waits */
	rig_take_events(&rig.ds[0], 2);
	rig_expect_silence(fds[2]);
	rig_commit(&rig.ds[0]);
	rig_expect(fds[0], 200, RESULT(1));
	rig_expect(fds[1], 200, RESULT(1));
	/* and comes in when one goes, or has long been silent */
	rig_take_events(&rig.ds[0], 1);
	rig_commit(&rig.ds[0]);
	rig_expect(fds[2], 200, RESULT(1));
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	rig_stop(&rig);
}

/* However many of those before him in the row are being worked on, a silent
 * one goes for a new one. */
static void
silent_behind_the_busy(void **state UNUSED)
{
	enum { BUSY = 200 };
	int busy[BUSY], silent, fd;

	rig_start(&rig, make_conf("a", NULL, "\"http.maxConnections\":201"));
	for (int i = 0; i < BUSY; i++) {
		busy[i] = rig_connect(&rig);
		post_one(busy[i], "/v1/post/a?async=1");
	}
	rig_take_events(&rig.ds[0], BUSY);
	silent = rig_connect(&rig);
	rig_say(silent, GET_X);
	rig_expect(silent, 404, "Not found\n");
	fd = rig_connect(&rig);
	rig_say(fd, GET_X);
	rig_expect(fd, 404, "Not found\n");
	rig_expect_end(silent);
	rig_commit(&rig.ds[0]);
	for (int i = 0; i < BUSY; i++) {
		rig_expect(busy[i], 200, RESULT(1));
		close(busy[i]);
	}
	close(fd);
	rig_stop(&rig);
}

static void
order_conf(const char *text, unsigned channels, uint64_t number)
{
	struct order_message m = {
		.order = ORDER_CONF, .index = channels, .value = number
	};
	int fd = memfd_create("conf", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_true(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	assert_true(order_send(rig.control, &m, fd, -1));
	close(fd);
}

static void
order_channel(unsigned index, const struct rig_ds *d)
{
	struct order_message m = { .order = ORDER_CHANNEL, .index = index };

	assert_true(order_send(rig.control, &m, d->memory_fd, d->worker_bell));
}

/* {a, b} → {b, c}: b keeps its channel, a's request in flight is finished,
 * no connection is dropped. */
static void
reload(void **state UNUSED)
{
	char *text;
	int fd, waiting;
	struct rig_ds *a, *b, *c;

	rig_start(&rig, make_conf("a", "b", ""));
	fd = rig_connect(&rig);
	waiting = rig_connect(&rig);
	a = &rig.ds[0];
	b = &rig.ds[1];
	post_one(waiting, "/v1/post/a?async=1");
	rig_take_events(a, 1);
	post_one(fd, "/v1/post/c");
	rig_expect(fd, 400, "No definition for dataSource 'c'\n");

	rig_make_channel(&rig, "c");
	c = &rig.ds[2];
	text = make_conf("b", "c", "");
	order_conf(text, 2, 77);
	free(text);
	order_channel(1, c);
	order_channel(0, b); /* needless, and no harm */
	assert_int_equal(rig_await_order(&rig, ORDER_CONF_TAKEN), 77);

	post_one(fd, "/v1/post/a");
	rig_expect(fd, 400, "No definition for dataSource 'a'\n");
	post_one(fd, "/v1/post/b?async=1");
	rig_take_events(b, 1);
	rig_commit(b);
	rig_expect(fd, 200, RESULT(1));
	post_one(fd, "/v1/post/c?async=1");
	rig_take_events(c, 1);
	rig_commit(c);
	rig_expect(fd, 200, RESULT(1));
	rig_commit(a);
	rig_expect(waiting, 200, RESULT(1));
	/* and a comes back, with a channel of its own */
	rig_make_channel(&rig, "a");
	text = make_conf("a", "b", "");
	order_conf(text, 1, 78);
	free(text);
	order_channel(0, &rig.ds[3]);
	assert_int_equal(rig_await_order(&rig, ORDER_CONF_TAKEN), 78);
	post_one(waiting, "/v1/post/a?async=1");
	rig_take_events(&rig.ds[3], 1);
	rig_commit(&rig.ds[3]);
	rig_expect(waiting, 200, RESULT(1));
	close(fd);
	close(waiting);
	rig_stop(&rig);
}

/* The confirmation waits for a request that still has events for a dataSource
 * that goes. */
static void
reload_waits_for_the_blocked(void **state UNUSED)
{
	char *text, big[20000];
	int fillers[4], blocked;
	struct rig_ds *a;

	rig_start(&rig, make_conf("a", "b", ""));
	a = &rig.ds[0];
	blocked = rig_connect(&rig);
	snprintf(big, sizeof big, "{\"time\":%lld,\"page\":\"%015000d\"}",
	    (long long)clock_wall_ms(), 1);
	for (unsigned i = 0; i < ARRAY_LEN(fillers); i++) {
		fillers[i] = rig_connect(&rig);
		rig_post(fillers[i], "/v1/post/a?async=1", big);
	}
	rig_take_events(a, ARRAY_LEN(fillers));
	rig_post(blocked, "/v1/post/a?async=1", big);
	rig_await_counter(&rig, requests, ARRAY_LEN(fillers) + 1);
	text = make_conf("b", NULL, "");
	order_conf(text, 0, 5);
	free(text);
	assert_false(rig_poll(rig.control, 50));
	rig_commit(a);
	rig_take_events(a, 1);
	assert_int_equal(rig_await_order(&rig, ORDER_CONF_TAKEN), 5);
	rig_commit(a);
	rig_expect(blocked, 200, RESULT(1));
	for (unsigned i = 0; i < ARRAY_LEN(fillers); i++) {
		rig_expect(fillers[i], 200, RESULT(1));
		close(fillers[i]);
	}
	close(blocked);
	rig_stop(&rig);
}

static void
bad_orders(void **state UNUSED)
{
	struct order_message m = { .order = ORDER_CHANNEL, .index = 9 };
	int fd;

	rig_start(&rig, make_conf("a", NULL, ""));
	assert_true(order_send(rig.control, &m, -1, -1));
	m.order = ORDER_CONF;
	assert_true(order_send(rig.control, &m, -1, -1));
	m.order = 99;
	assert_true(order_send(rig.control, &m, -1, -1));
	order_conf("{not json", 0, 1);
	fd = rig_connect(&rig);
	rig_say(fd, GET_X);
	rig_expect(fd, 404, "Not found\n");
	close(fd);
	rig_stop(&rig);
}

static void
stop_finishes_what_has_begun(void **state UNUSED)
{
	struct rig_answer answer;
	int idle, waiting, half;

	rig_start(&rig, make_conf("a", NULL, ""));
	idle = rig_connect(&rig);
	waiting = rig_connect(&rig);
	half = rig_connect(&rig);
	rig_say(half, "GET /x HTTP/1.1\r\n");
	post_one(waiting, "/v1/post/a");
	rig_take_events(&rig.ds[0], 1);
	rig_await_counter(&rig, connections, 3);
	rig_order_stop(&rig, RIG_WAIT_MS);
	rig_expect_end(idle);
	rig_say(half, "Host: a\r\n\r\n");
	rig_read(half, &answer);
	assert_int_equal(answer.status, 404);
	assert_true(rig_has(&answer, "Connection: close"));
	rig_expect_end(half);
	rig_commit(&rig.ds[0]);
	rig_ack(&rig.ds[0], rig.ds[0].ticket, 1, 1, ACK_SENT);
	rig_read(waiting, &answer);
	assert_string_equal(
	    answer.body, "{\"result\":{\"received\":1,\"sent\":1}}");
	assert_true(rig_has(&answer, "Connection: close"));
	rig_expect_end(waiting);
	assert_int_equal(rig_await_exit(&rig), CHILD_DRAINED);
	rig_free(&rig);
}

static void
stop_is_bounded(void **state UNUSED)
{
	int fd;

	rig_start(&rig, make_conf("a", NULL, ""));
	fd = rig_connect(&rig);
	post_one(fd, "/v1/post/a");
	rig_take_events(&rig.ds[0], 1);
	rig_order_stop(&rig, 3600 * 1000);
	rig_order_stop(&rig, 50);
	assert_int_equal(rig_await_exit(&rig), CHILD_DRAINED);
	rig_expect_end(fd);
	rig_free(&rig);
}

static void
orphaned(void **state UNUSED)
{
	rig_start(&rig, make_conf("a", NULL, ""));
	shutdown(rig.control, SHUT_RDWR);
	assert_int_equal(rig_await_exit(&rig), CHILD_DRAINED);
	rig_free(&rig);
}

/* A new receiver on the same channel: old acks and old blocks do no harm. */
static void
restarted(void **state UNUSED)
{
	struct rig_ds *a = &rig.ds[0];
	uint64_t old;
	int fd, status;

	rig_start(&rig, make_conf("a", NULL, ""));
	fd = rig_connect(&rig);
	post_one(fd, "/v1/post/a");
	rig_take_events(a, 1);
	old = a->ticket;
	kill(rig.pid, SIGKILL);
	waitpid(rig.pid, &status, 0);
	close(rig.control);
	rig_expect_end(fd);
	rig_fork(&rig);
	fd = rig_connect(&rig);
	post_one(fd, "/v1/post/a");
	rig_take_events(a, 1);
	assert_true(a->ticket != old);
	rig_commit(a);
	rig_ack(a, old, 1, 1, ACK_SENT);
	rig_expect_silence(fd);
	rig_ack(a, a->ticket, 2, 1, ACK_SENT);
	rig_expect(fd, 200, "{\"result\":{\"received\":1,\"sent\":1}}");
	close(fd);
	rig_stop(&rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(idle_time_outs),
		cmocka_unit_test(slow_head),
		cmocka_unit_test(connection_limit),
		cmocka_unit_test(silent_behind_the_busy),
		cmocka_unit_test(reload),
		cmocka_unit_test(reload_waits_for_the_blocked),
		cmocka_unit_test(bad_orders),
		cmocka_unit_test(stop_finishes_what_has_begun),
		cmocka_unit_test(stop_is_bounded),
		cmocka_unit_test(orphaned),
		cmocka_unit_test(restarted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
