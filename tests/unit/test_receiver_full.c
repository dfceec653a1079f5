/*
 * test_receiver_full - full rings, requests larger than a ring, memory that is
 * used up
 *
 * Rings are 64 KiB here. "waits" has tranquility.blockOnFull true, "refuses"
 * false.
 */
#include "receiver_rig.h"

#include "panic.h"

#define TIME "\"column\":\"time\",\"format\":\"auto\""
#define RING 65536u
#define RESULT(n) "{\"result\":{\"received\":" #n ",\"sent\":0}}"

static struct rig rig;

static int
start(const char *properties)
{
	struct buf b;

	buf_init(&b, MiB);
	rig_add_ds(&b, "refuses", TIME, "\"tranquility.blockOnFull\":false");
	buf_add_text(&b, ",");
	rig_add_ds(&b, "waits", TIME, "");
	rig_start(&rig, rig_conf_text(buf_text(&b), properties));
	buf_free(&b);
	return 0;
}

static int
set_up(void **state UNUSED)
{
	return start("");
}

static int
set_up_impatient(void **state UNUSED)
{
	return start("\"http.blockTimeout\":\"PT0.2S\"");
}

static int
set_up_narrow(void **state UNUSED)
{
	return start("\"http.bodyMemoryBytes\":1048576");
}

static int
set_up_narrow_impatient(void **state UNUSED)
{
	return start("\"http.bodyMemoryBytes\":1048576,"
		     "\"http.blockTimeout\":\"PT0.2S\"");
}

static int
set_up_narrow_and_strict(void **state UNUSED)
{
	return start("\"http.bodyMemoryBytes\":1048576,"
		     "\"http.idleTimeout\":\"PT0.3S\"");
}

static int
set_up_narrow_for_heads(void **state UNUSED)
{
	return start("\"http.bodyMemoryBytes\":1048576,"
		     "\"http.headTimeout\":\"PT0.3S\"");
}

static int
tear_down(void **state UNUSED)
{
	rig_stop(&rig);
	return 0;
}

static struct rig_ds *
refuses(void)
{
	return &rig.ds[0];
}

static struct rig_ds *
waits(void)
{
	return &rig.ds[1];
}

/* `count` events of `bytes` bytes each, to be freed. `ds`: their dataSource,
 * or "". */
static char *
events(const char *ds, unsigned count, unsigned bytes)
{
	struct buf b;
	long long now = (long long)clock_wall_ms();

	buf_init(&b, 256 * MiB);
	for (unsigned i = 0; i < count; i++) {
		size_t from = b.used, room;

		buf_addf(
		    &b, "{\"time\":%lld,\"feed\":\"%s\",\"page\":\"", now, ds);
		room = bytes - (b.used - from) - 2;
		memset(buf_room(&b, room), 'x', room);
		b.used += room;
		buf_add_text(&b, "\"}");
	}
	assert_non_null(buf_text(&b));
	return b.bytes;
}

static void
post_events(int fd, const char *target, unsigned count, unsigned bytes)
{
	char *body = events("", count, bytes);

	rig_post(fd, target, body);
	free(body);
}

static void
full_and_refusing(void **state UNUSED)
{
	struct rig_answer a;
	int first = rig_connect(&rig), second = rig_connect(&rig);

	post_events(first, "/v1/post/refuses?async=1", 50, 1000);
	rig_take_events(refuses(), 50);
	/* taken, not given back: 15 KiB are free */
	post_events(second, "/v1/post/refuses?async=1", 20, 1000);
	rig_read(second, &a);
	assert_int_equal(a.status, 503);
	assert_string_equal(a.body, "Buffer full for dataSource 'refuses'\n");
	assert_true(rig_has(&a, "Retry-After: 1"));
	assert_int_equal(
	    atomic_load(&refuses()->channel.header->refused_full), 1);
	/* a smaller one fits */
	post_events(second, "/v1/post/refuses?async=1", 10, 1000);
	rig_take_events(refuses(), 10);
	rig_commit(refuses());
	rig_expect(first, 200, RESULT(50));
	rig_expect(second, 200, RESULT(10));
	/* can never fit */
	post_events(first, "/v1/post/refuses?async=1", 70, 1000);
	rig_read(first, &a);
	assert_int_equal(a.status, 413);
	assert_non_null(strstr(a.body, "tranqd.ringBytes"));
	/* more than half, in one go */
	post_events(first, "/v1/post/refuses?async=1", 60, 1000);
	rig_take_events(refuses(), 60);
	rig_commit(refuses());
	rig_expect(first, 200, RESULT(60));
	close(first);
	close(second);
}

static void
full_and_waiting(void **state UNUSED)
{
	int fds[3] = { rig_connect(&rig), rig_connect(&rig),
		rig_connect(&rig) };

	post_events(fds[0], "/v1/post/waits?async=1", 30, 2000);
	rig_take_events(waits(), 30);
	post_events(fds[1], "/v1/post/waits?async=1", 20, 1000);
	rig_await_counter(&rig, requests, 2);
	/* it would fit, but others came first */
	post_events(fds[2], "/v1/post/waits?async=1", 1, 100);
	rig_await_counter(&rig, requests, 3);
	rig_expect_silence(fds[1]);
	assert_false(rig_take_now(waits()));
	rig_commit(waits());
	rig_expect(fds[0], 200, RESULT(30));
	rig_take_events(waits(), 21);
	rig_expect_silence(fds[1]);
	rig_commit(waits());
	rig_expect(fds[1], 200, RESULT(20));
	rig_expect(fds[2], 200, RESULT(1));
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

#define DRAINING "dataSource 'waits' takes no more events here: it is being "

static void
expect_draining(int fd)
{
	struct rig_answer a;

	rig_read(fd, &a);
	assert_int_equal(a.status, 503);
	assert_memory_equal(a.body, DRAINING, sizeof DRAINING - 1);
	assert_true(rig_has(&a, "Retry-After: 10"));
}

/* Neither who comes, with or without the name in the path, nor who waits for
 * room; others are not concerned; and it can be undone. */
static void
draining(void **state UNUSED)
{
	struct channel *c = &waits()->channel;
	int fds[3];

	for (int i = 0; i < 3; i++)
		fds[i] = rig_connect(&rig);
	post_events(fds[0], "/v1/post/waits?async=1", 60, 1000);
	rig_take_events(waits(), 60);
	post_events(fds[1], "/v1/post/waits?async=1", 10, 1000);
	rig_await_counter(&rig, requests, 2);
	channel_drain(c, true);
	assert_true(channel_is_shut(c)); /* who waits has written nothing */
	expect_draining(fds[1]);
	post_events(fds[2], "/v1/post/waits?async=1", 1, 100);
	expect_draining(fds[2]);
	assert_false(rig_take_now(waits()));
	assert_int_equal(atomic_load(&c->header->refused_draining), 2);
	assert_true(channel_is_shut(c));
	rig_commit(waits());
	rig_expect(fds[0], 200, RESULT(60)); /* it was taken before */
	post_events(fds[2], "/v1/post/refuses?async=1", 1, 100);
	rig_take_events(refuses(), 1);
	rig_commit(refuses());
	rig_expect(fds[2], 200, RESULT(1));
	channel_drain(c, false);
	post_events(fds[2], "/v1/post/waits?async=1", 1, 100);
	rig_take_events(waits(), 1);
	rig_commit(waits());
	rig_expect(fds[2], 200, RESULT(1));
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

static void
drain_of_several(void **state UNUSED)
{
	char *one = events("waits", 1, 100), *other = events("refuses", 1, 100);
	char *both = must_format("%s%s", one, other);
	int fd = rig_connect(&rig);

	channel_drain(&waits()->channel, true);
	rig_post(fd, "/v1/post?async=1", both);
	expect_draining(fd);
	assert_false(rig_take_now(refuses()));
	free(one);
	free(other);
	free(both);
	close(fd);
}

/* It goes at once, with a reset: an end of its sending alone (FIN) leaves it
 * the answer to wait for. */
static void
go(int fd)
{
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	close(fd);
}

static void
await_shut(const struct channel *c)
{
	int64_t end = clock_mono_ms() + RIG_WAIT_MS;

	while (!channel_is_shut(c)) {
		assert_true(clock_mono_ms() < end);
		usleep(1000);
	}
}

/* What is larger than the ring is half written when the word comes: it is
 * written to its end, and only then nothing more can come. */
static void
drain_amid_a_large_one(void **state UNUSED)
{
	struct channel *c = &waits()->channel;
	int fd = rig_connect(&rig);

	post_events(fd, "/v1/post/waits?async=1", 100, 1000);
	rig_take(waits());
	channel_drain(c, true);
	assert_false(channel_is_shut(c));
	rig_expect_silence(fd);
	assert_false(channel_is_shut(c));
	while (waits()->events < 100) {
		rig_commit(waits());
		rig_take(waits());
	}
	await_shut(c);
	rig_commit(waits());
	rig_expect(fd, 200, RESULT(100));
	/* and one whose client goes in the middle of it */
	channel_drain(c, false);
	rig_forget(waits());
	post_events(fd, "/v1/post/waits?async=1", 100, 1000);
	rig_take(waits());
	channel_drain(c, true);
	assert_false(channel_is_shut(c));
	go(fd);
	await_shut(c);
}

/* The blocked request's connection goes on with what is behind it. */
static void
pipelined_behind_a_blocked_one(void **state UNUSED)
{
	int filler = rig_connect(&rig), fd = rig_connect(&rig);

	post_events(filler, "/v1/post/waits?async=1", 60, 1000);
	rig_take_events(waits(), 60);
	post_events(fd, "/v1/post/waits?async=1", 10, 1000);
	post_events(fd, "/v1/post/waits?async=1", 2, 1000);
	rig_say(fd, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
	rig_await_counter(&rig, requests, 2);
	rig_expect_silence(fd);
	rig_commit(waits());
	rig_expect(filler, 200, RESULT(60));
	rig_take_events(waits(), 10);
	rig_commit(waits());
	rig_expect(fd, 200, RESULT(10));
	rig_take_events(waits(), 2);
	rig_commit(waits());
	rig_expect(fd, 200, RESULT(2));
	rig_expect(fd, 404, "Not found\n");
	close(filler);
	close(fd);
}

static void
waited_too_long(void **state UNUSED)
{
	struct rig_answer a;
	int filler = rig_connect(&rig), fd = rig_connect(&rig);

	post_events(filler, "/v1/post/waits?async=1", 60, 1000);
	rig_take_events(waits(), 60);
	post_events(fd, "/v1/post/waits", 10, 1000);
	rig_read(fd, &a);
	assert_int_equal(a.status, 503);
	assert_string_equal(a.body, "Buffer full for dataSource 'waits'\n");
	assert_true(rig_has(&a, "Retry-After: 1"));
	rig_commit(waits());
	rig_expect(filler, 200, RESULT(60));
	/* nothing of it was offered, and the connection is as good as new */
	assert_false(rig_take_now(waits()));
	rig_say(fd, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
	rig_expect(fd, 404, "Not found\n");
	close(filler);
	close(fd);
}

static void
larger_than_the_ring(void **state UNUSED)
{
	struct rig_answer a;
	int fd = rig_connect(&rig);

	post_events(fd, "/v1/post/waits", 2000, 1000);
	rig_forget(waits());
	while (waits()->events < 2000) {
		rig_take(waits());
		rig_commit(waits());
	}
	assert_true(waits()->blocks > 2000u * 1000 / (RING / 4));
	rig_ack(waits(), waits()->ticket, 1, 1999, ACK_SENT);
	rig_expect_silence(fd);
	rig_ack(waits(), waits()->ticket, 2, 1, ACK_SENT);
	rig_read(fd, &a);
	assert_string_equal(
	    a.body, "{\"result\":{\"received\":2000,\"sent\":2000}}");
	assert_int_equal(
	    atomic_load(&waits()->channel.header->offered_events), 2000);
	close(fd);
}

static void
larger_than_the_ring_given_up(void **state UNUSED)
{
	struct rig_answer a;
	int fd = rig_connect(&rig);

	post_events(fd, "/v1/post/waits?async=1", 2000, 1000);
	rig_forget(waits());
	rig_take(waits());
	rig_read(fd, &a);
	assert_int_equal(a.status, 503);
	rig_take_now(waits());
	assert_true(waits()->events > 0 && waits()->events < 2000);
	/* the accounts hold: what was offered is what was there */
	assert_int_equal(atomic_load(&waits()->channel.header->offered_events),
	    waits()->events);
	rig_commit(waits());
	close(fd);
}

static void
event_larger_than_a_block(void **state UNUSED)
{
	struct rig_answer a;
	int fd = rig_connect(&rig);

	post_events(fd, "/v1/post/waits?async=1", 1, RING / 4 - 100);
	rig_take_events(waits(), 1);
	rig_commit(waits());
	rig_expect(fd, 200, RESULT(1));
	post_events(fd, "/v1/post/waits?async=1", 1, RING / 4);
	rig_read(fd, &a);
	assert_int_equal(a.status, 413);
	assert_non_null(strstr(a.body, "tranqd.ringBytes"));
	close(fd);
}

/* Nothing is written for one dataSource while the other has no room. */
static void
all_or_nothing(void **state UNUSED)
{
	struct rig_answer a;
	struct buf b;
	char *body;
	int fd = rig_connect(&rig), filler = rig_connect(&rig);

	buf_init(&b, MiB);
	for (int i = 0; i < 2; i++) {
		body = events(i == 0 ? "refuses" : "waits", 20, 1000);
		buf_add_text(&b, body);
		free(body);
	}
	post_events(filler, "/v1/post/waits?async=1", 60, 1000);
	rig_take_events(waits(), 60);
	rig_post(fd, "/v1/post?async=1", buf_text(&b));
	rig_await_counter(&rig, requests, 2);
	rig_expect_silence(fd);
	assert_false(rig_take_now(refuses()));
	rig_commit(waits());
	rig_expect(filler, 200, RESULT(60));
	rig_take_events(refuses(), 20);
	rig_take_events(waits(), 20);
	rig_commit(refuses());
	rig_commit(waits());
	rig_expect(fd, 200, RESULT(40));
	/* the one that may not wait decides for all */
	post_events(filler, "/v1/post/refuses?async=1", 60, 1000);
	rig_take_events(refuses(), 60);
	rig_post(fd, "/v1/post?async=1", buf_text(&b));
	rig_read(fd, &a);
	assert_int_equal(a.status, 503);
	assert_false(rig_take_now(waits()));
	rig_commit(refuses());
	rig_expect(filler, 200, RESULT(60));
	buf_free(&b);
	close(fd);
	close(filler);
}

static void
gone_while_blocked(void **state UNUSED)
{
	int filler = rig_connect(&rig), fd = rig_connect(&rig);

	post_events(filler, "/v1/post/waits?async=1", 60, 1000);
	rig_take_events(waits(), 60);
	post_events(fd, "/v1/post/waits", 20, 1000);
	rig_await_counter(&rig, requests, 2);
	go(fd);
	rig_await_counter(&rig, connections, 1);
	rig_commit(waits());
	rig_expect(filler, 200, RESULT(60));
	assert_false(rig_take_now(waits()));
	close(filler);
}

static size_t
post_head(int fd, size_t length)
{
	char head[200];

	snprintf(head, sizeof head,
	    "POST /v1/post/waits?async=1 HTTP/1.1\r\nHost: a\r\nContent-Type: "
	    "application/json\r\nContent-Length: %zu\r\n\r\n",
	    length);
	rig_say(fd, head);
	return strlen(head);
}

/* 1 MiB for all: the second body waits unread until the first is done. The
 * bodies are an empty array with much white space. */
static void
memory_used_up(void **state UNUSED)
{
	enum { KB = 1000, FIRST = 400 * KB, SECOND = 900 * KB };
	char *body = malloc(SECOND);
	int a = rig_connect(&rig), b = rig_connect(&rig);
	size_t head = post_head(a, FIRST);

	assert_non_null(body);
	memset(body, ' ', SECOND);
	body[0] = '[';
	rig_send(a, body, 300 * KB);
	rig_await_counter(&rig, bytes_in, 300 * KB + head);
	post_head(b, SECOND);
	rig_send(b, body, 250 * KB);
	rig_await_counter(&rig, requests, 2);
	rig_send(b, body + 250 * KB, 600 * KB);
	rig_expect_silence(b);
	body[FIRST - 1] = ']';
	rig_send(a, body + 300 * KB, 100 * KB);
	rig_expect(a, 200, RESULT(0));
	body[SECOND - 1] = ']';
	rig_send(b, body + 850 * KB, 50 * KB);
	rig_expect(b, 200, RESULT(0));
	free(body);
	close(a);
	close(b);
}

/* A body of `length` bytes, of which `sent` come: it holds its memory.
 * *total: all bytes that have been sent. */
static int
hold_memory(size_t length, size_t sent, size_t *total)
{
	int fd = rig_connect(&rig);
	char *body = malloc(sent);

	assert_non_null(body);
	memset(body, ' ', sent);
	*total += post_head(fd, length) + sent;
	rig_send(fd, body, sent);
	rig_await_counter(&rig, bytes_in, *total);
	free(body);
	return fd;
}

/* A body that waits unread for memory is not slow. */
static void
waiting_for_memory_is_not_idle(void **state UNUSED)
{
	enum { KB = 1000, BYTES = 900 * KB };
	size_t total = 0;
	int holder = hold_memory(400 * KB, 300 * KB, &total);
	int fd = rig_connect(&rig);
	char *body = malloc(BYTES);

	assert_non_null(body);
	memset(body, ' ', BYTES);
	post_head(fd, BYTES);
	rig_send(fd, body, BYTES);
	/* three times its idle time */
	for (int i = 0; i < 45; i++) {
		assert_false(rig_poll(fd, 20));
		rig_send(holder, body, KB);
	}
	close(holder);
	rig_expect(fd, 200, RESULT(0));
	free(body);
	close(fd);
}

/* A head that has waited for memory has its time, and no more. */
static void
waiting_head_has_its_time(void **state UNUSED)
{
	struct rig_answer a;
	int holders[16], fd;
	unsigned count = 0;
	size_t total = 0;
	char line[3000];

	/* all but 2 KiB, in the sizes that memory has */
	for (size_t size = MiB / 2; size >= 2 * KiB; size /= 2)
		holders[count++] =
		    hold_memory(size - 512, size * 5 / 8, &total);
	fd = rig_connect(&rig);
	rig_say(fd, "GET / HTTP/1.1\r\nX: ");
	rig_expect_silence(fd);
	memset(line, 'x', sizeof line);
	rig_send(fd, line, sizeof line);
	assert_false(rig_poll(fd, 900));
	while (count > 0)
		close(holders[--count]);
	rig_read(fd, &a);
	assert_int_equal(a.status, 408);
	assert_non_null(strstr(a.body, "http.headTimeout"));
	close(fd);
}

/* What others give back is not enough: an answer all the same, however often
 * that is seen. */
static void
too_little_comes_free(void **state UNUSED)
{
	enum { KB = 1000, BYTES = 900 * KB };
	size_t total = 0;
	int holder = hold_memory(200 * KB, 150 * KB, &total);
	int fd = rig_connect(&rig), other = rig_connect(&rig);
	char *body = malloc(BYTES);
	struct rig_answer a;

	assert_non_null(body);
	memset(body, ' ', BYTES);
	post_head(fd, BYTES);
	rig_send(fd, body, BYTES);
	/* a hundred times as long as http.blockTimeout, at the most */
	for (int i = 0; i < 500 && !rig_poll(fd, 20); i++) {
		rig_say(other, "GET /x HTTP/1.1\r\nHost: ");
		assert_false(rig_poll(other, 20));
		rig_say(other, "a\r\n\r\n");
		rig_expect(other, 404, "Not found\n");
	}
	assert_true(rig_poll(fd, 0));
	rig_read(fd, &a);
	assert_int_equal(a.status, 503);
	assert_non_null(strstr(a.body, "http.bodyMemoryBytes"));
	free(body);
	close(holder);
	close(other);
	close(fd);
}

/* Nothing comes free: an answer all the same. */
static void
memory_stays_used_up(void **state UNUSED)
{
	struct rig_answer answer;
	char body[1000];
	int fds[8];
	bool is_told = false;

	memset(body, ' ', sizeof body);
	for (unsigned i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = rig_connect(&rig);
		post_head(fds[i], 500 * sizeof body);
		for (int n = 0; n < 200; n++)
			rig_send(fds[i], body, sizeof body);
	}
	for (unsigned i = 0; i < ARRAY_LEN(fds); i++) {
		if (rig_poll(fds[i], 1000)) {
			rig_read(fds[i], &answer);
			assert_int_equal(answer.status, 503);
			assert_non_null(
			    strstr(answer.body, "http.bodyMemoryBytes"));
			is_told = true;
		}
		close(fds[i]);
	}
	assert_true(is_told);
	/* and others are served as ever */
	fds[0] = rig_connect(&rig);
	rig_say(fds[0], "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
	rig_expect(fds[0], 404, "Not found\n");
	close(fds[0]);
}

static void
body_larger_than_memory(void **state UNUSED)
{
	struct rig_answer a;
	int fd = rig_connect(&rig);

	post_head(fd, 2 * MiB);
	rig_read(fd, &a);
	assert_int_equal(a.status, 413);
	assert_non_null(strstr(a.body, "http.bodyMemoryBytes"));
	rig_expect_end(fd);
}

#define TEST(name, up) cmocka_unit_test_setup_teardown(name, up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(full_and_refusing, set_up),
		TEST(full_and_waiting, set_up),
		TEST(pipelined_behind_a_blocked_one, set_up),
		TEST(waited_too_long, set_up_impatient),
		TEST(larger_than_the_ring, set_up),
		TEST(larger_than_the_ring_given_up, set_up_impatient),
		TEST(event_larger_than_a_block, set_up),
		TEST(all_or_nothing, set_up),
		TEST(gone_while_blocked, set_up),
		TEST(memory_used_up, set_up_narrow),
		TEST(memory_stays_used_up, set_up_narrow_impatient),
		TEST(too_little_comes_free, set_up_narrow_impatient),
		TEST(waiting_for_memory_is_not_idle, set_up_narrow_and_strict),
		TEST(waiting_head_has_its_time, set_up_narrow_for_heads),
		TEST(body_larger_than_memory, set_up_narrow),
		TEST(draining, set_up),
		TEST(drain_of_several, set_up),
		TEST(drain_amid_a_large_one, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
