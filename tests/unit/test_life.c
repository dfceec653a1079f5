/*
 * test_life - life pages: what a child publishes is read whole or not at all;
 * and orders between supervisor and child
 *
 * Links: common.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "heritage.h"
#include "life.h"
#include "log.h"

#define SOAK_MS 500

static int
make_page(void **state)
{
	int fd = life_create();

	assert_true(fd >= 0);
	*state = life_attach(fd);
	/* the mapping is enough */
	close(fd);
	return *state == NULL;
}

static int
drop_page(void **state)
{
	struct life *life = *state;

	life_detach(&life);
	assert_null(life);
	return 0;
}

static void
test_new_page_is_empty(void **state)
{
	struct life *life = *state;
	struct counters c = { .sent = 1 };
	char text[LIFE_TEXT_BYTES];

	assert_true(life_read(life, &c, text));
	assert_int_equal(c.sent, 0);
	assert_string_equal(text, "");
	assert_int_equal(life_turns(life), 0);
}

static void
test_publication_is_read(void **state)
{
	struct life *life = *state;
	struct counters c = { .received = 3, .answers_5xx = 9 }, got;
	char text[LIFE_TEXT_BYTES];

	life_publish(life, &c, "{\"beams\":[]}");
	assert_true(life_read(life, &got, text));
	assert_memory_equal(&c, &got, sizeof c);
	assert_string_equal(text, "{\"beams\":[]}");
	c.received = 4;
	/* NULL: the text stays */
	life_publish(life, &c, NULL);
	assert_true(life_read(life, &got, text));
	assert_int_equal(got.received, 4);
	assert_string_equal(text, "{\"beams\":[]}");
	assert_true(life_read(life, &got, NULL));
}

static void
test_long_text_becomes_empty(void **state)
{
	struct life *life = *state;
	struct counters c = { 0 };
	char *longest = malloc(LIFE_TEXT_BYTES + 1);
	char text[LIFE_TEXT_BYTES];

	memset(longest, 'x', LIFE_TEXT_BYTES);
	longest[LIFE_TEXT_BYTES - 1] = '\0';
	life_publish(life, &c, longest);
	assert_true(life_read(life, &c, text));
	assert_string_equal(text, longest);
	longest[LIFE_TEXT_BYTES - 1] = 'x';
	longest[LIFE_TEXT_BYTES] = '\0';
	life_publish(life, &c, longest);
	assert_true(life_read(life, &c, text));
	assert_string_equal(text, "");
	free(longest);
}

/* A child that was killed in the middle: the reader gets an answer, and the
 * next child's publication makes the page whole again. */
static void
test_death_in_the_middle(void **state)
{
	struct life *life = *state;
	struct counters c = { .sent = 5 }, got;
	char text[LIFE_TEXT_BYTES];

	life_publish(life, &c, "whole");
	atomic_fetch_add(&life->sequence, 1);
	/* what a mad child may leave: no end of the text */
	memset(life->text, 'x', sizeof life->text);
	assert_false(life_read(life, &got, text));
	assert_int_equal(strlen(text), LIFE_TEXT_BYTES - 1);
	life_publish(life, &c, "again");
	assert_true(life_read(life, &got, text));
	assert_string_equal(text, "again");
	assert_int_equal(got.sent, 5);
}

static void
test_signs_of_life(void **state)
{
	struct life *life = *state;

	life_turn(life);
	life_turn(life);
	assert_int_equal(life_turns(life), 2);
	life_step(life, LIFE_COMMIT);
	assert_string_equal(life_doing(life), "commits to the spool (fsync)");
	/* a child that has gone mad */
	life_step(life, (enum life_step)4711);
	assert_string_equal(life_doing(life), "is out of its mind");
	snprintf(life->panic, sizeof life->panic, "worn out");
	life_begin(life);
	assert_string_equal(life_doing(life), "starts");
	assert_string_equal(life->panic, "");
	/* the next one counts on: what is seen is that it turns */
	assert_int_equal(life_turns(life), 2);
}

static void
publish_for_ever(struct life *life)
{
	static char text[1024];

	for (uint64_t i = 1;; i++) {
		struct counters c = {
			.received = i, .sent = i, .answers_5xx = i
		};

		memset(text, 'a' + (int)(i % 26), 100 + i % 800);
		text[100 + i % 800] = '\0';
		life_publish(life, &c, text);
	}
}

/* A writer in another process: no reader sees halves of two publications. */
static void
test_no_torn_reads(void **state)
{
	struct life *life = *state;
	int64_t end = clock_mono_ms() + SOAK_MS;
	uint64_t good = 0, last = 0;
	pid_t writer = fork();

	if (writer == 0)
		publish_for_ever(life);
	while (clock_mono_ms() < end) {
		char text[LIFE_TEXT_BYTES];
		struct counters c;

		if (!life_read(life, &c, text))
			continue;
		good++;
		assert_int_equal(c.received, c.sent);
		assert_int_equal(c.received, c.answers_5xx);
		assert_true(c.received >= last);
		last = c.received;
		if (c.received == 0)
			continue;
		assert_int_equal(strlen(text), 100 + c.received % 800);
		assert_int_equal(text[0], 'a' + (int)(c.received % 26));
		assert_int_equal(text[strlen(text) - 1], text[0]);
	}
	kill(writer, SIGKILL);
	waitpid(writer, NULL, 0);
	assert_true(good > 0 && last > 0);
}

/*
 * Orders.
 */

static void
make_pair(int ends[2])
{
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC,
		0, ends),
	    0);
}

static bool
is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void
test_orders(void **state UNUSED)
{
	struct order_message sent = { .order = ORDER_STOP, .value = 42 }, got;
	int ends[2], fd0, fd1, zero = open("/dev/zero", O_RDONLY);
	char byte = 1;

	make_pair(ends);
	assert_int_equal(order_receive(ends[1], &got, &fd0, &fd1), -1);
	assert_true(order_send(ends[0], &sent, -1, -1));
	sent.order = ORDER_CHANNEL;
	sent.index = 7;
	assert_true(order_send(ends[0], &sent, zero, zero));
	assert_true(order_send(ends[0], &sent, zero, -1));
	assert_int_equal(order_receive(ends[1], &got, &fd0, &fd1), 1);
	assert_int_equal(got.order, ORDER_STOP);
	assert_int_equal(got.value, 42);
	assert_true(fd0 == -1 && fd1 == -1);
	assert_int_equal(order_receive(ends[1], &got, &fd0, &fd1), 1);
	assert_int_equal(got.index, 7);
	assert_true(fd0 >= 0 && fd1 >= 0 && fd0 != fd1 && fd0 != zero);
	assert_int_equal(read(fd1, &byte, 1), 1);
	assert_int_equal(byte, 0);
	assert_int_equal(fcntl(fd0, F_GETFD), FD_CLOEXEC);
	close(fd0);
	close(fd1);
	assert_int_equal(order_receive(ends[1], &got, &fd0, &fd1), 1);
	assert_true(fd0 >= 0 && fd1 == -1);
	close(fd0);
	close(ends[0]);
	assert_int_equal(order_receive(ends[1], &got, &fd0, &fd1), 0);
	assert_false(order_send(ends[1], &sent, -1, -1));
	assert_int_equal(errno, EPIPE);
	close(ends[1]);
	close(zero);
}

/* A configuration without the passwords that came with it would let everybody
 * in. */
static void
test_order_without_room(void **state UNUSED)
{
	struct order_message m = { .order = ORDER_CONF };
	int ends[2], fd0, fd1, next;
	struct rlimit full, less;

	make_pair(ends);
	assert_true(order_send(ends[0], &m, ends[0], ends[0]));
	next = dup(ends[0]);
	assert_true(next >= 0);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &full), 0);
	less = (struct rlimit){ (rlim_t)next + 1, full.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &less), 0);
	assert_int_equal(order_receive(ends[1], &m, &fd0, &fd1), 1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &full), 0);
	assert_int_equal(m.order, ORDER_CONF);
	assert_true(fd0 == -1 && fd1 == -1);
	assert_false(is_open(next));
	close(ends[0]);
	close(ends[1]);
}

/* The other side died with something of ours unread: that is an end too. */
static void
test_order_unread_at_death(void **state UNUSED)
{
	struct order_message m = { .order = ORDER_READY };
	int ends[2], fd0, fd1;

	make_pair(ends);
	assert_true(order_send(ends[0], &m, -1, -1));
	close(ends[1]);
	assert_int_equal(order_receive(ends[0], &m, &fd0, &fd1), 0);
	close(ends[0]);
}

/* What is not an order ends the conversation and leaks no descriptor. */
static void
test_order_of_wrong_size(void **state UNUSED)
{
	struct order_message m = { .order = ORDER_READY };
	int ends[2], fd0, fd1, next;
	char large[64] = { 0 };

	make_pair(ends);
	assert_int_equal(send(ends[0], "x", 1, 0), 1);
	assert_int_equal(order_receive(ends[1], &m, &fd0, &fd1), 0);
	assert_int_equal(send(ends[0], large, sizeof large, 0), sizeof large);
	next = dup(ends[0]);
	close(next);
	assert_int_equal(order_receive(ends[1], &m, &fd0, &fd1), 0);
	assert_false(is_open(next));
	close(ends[0]);
	close(ends[1]);
}

static void
test_full_socket_is_no_failure(void **state UNUSED)
{
	struct order_message m = { .order = ORDER_READY };
	int ends[2], sent = 0;

	make_pair(ends);
	while (order_send(ends[0], &m, -1, -1))
		assert_true(++sent < 1000000);
	assert_int_equal(errno, EAGAIN);
	close(ends[0]);
	close(ends[1]);
}

static void
test_log_is_passed_on(void **state UNUSED)
{
	struct log_options options = { .level = LOG_LEVEL_WARN,
		.format = LOG_FORMAT_JSON };
	struct order_message m = { .order = ORDER_REOPEN_LOG };
	enum log_format format;
	int ends[2];
	char line[512];
	ssize_t bytes;

	assert_int_equal(pipe(ends), 0);
	assert_true(log_init(&options));
	m.value = order_log_value();
	options = (struct log_options){ .level = LOG_LEVEL_ERROR };
	assert_true(log_init(&options));
	order_take_log(&m, ends[1]);
	assert_int_equal(log_settings(&format), LOG_LEVEL_WARN);
	assert_int_equal(format, LOG_FORMAT_JSON);
	assert_int_equal(log_fd(), ends[1]);
	log_warnx("here");
	bytes = read(ends[0], line, sizeof line - 1);
	assert_true(bytes > 0);
	line[bytes] = '\0';
	assert_non_null(strstr(line, "\"message\":\"here\""));
	/* nonsense is not taken, and closed */
	m.value = 77;
	order_take_log(&m, dup(ends[0]));
	assert_int_equal(log_fd(), ends[1]);
	options = (struct log_options){ .level = LOG_LEVEL_INFO };
	assert_true(log_init(&options));
	assert_false(is_open(ends[1]));
	close(ends[0]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_new_page_is_empty, make_page, drop_page),
		cmocka_unit_test_setup_teardown(
		    test_publication_is_read, make_page, drop_page),
		cmocka_unit_test_setup_teardown(
		    test_long_text_becomes_empty, make_page, drop_page),
		cmocka_unit_test_setup_teardown(
		    test_death_in_the_middle, make_page, drop_page),
		cmocka_unit_test_setup_teardown(
		    test_signs_of_life, make_page, drop_page),
		cmocka_unit_test_setup_teardown(
		    test_no_torn_reads, make_page, drop_page),
		cmocka_unit_test(test_orders),
		cmocka_unit_test(test_order_without_room),
		cmocka_unit_test(test_order_unread_at_death),
		cmocka_unit_test(test_order_of_wrong_size),
		cmocka_unit_test(test_full_socket_is_no_failure),
		cmocka_unit_test(test_log_is_passed_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
