/*
 * test_pull_share - tranqds agree on their partitions in a real ZooKeeper
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "panic.h"
#include "pull_share.h"
#include "zk_fixture.h"

#define SESSION_MS 1000
#define PARTIES 3

static struct fixture f;
static char base[64];

/* As pull_care does it: what it takes is stored at once. */
struct party {
	struct zk *zk;
	struct pull_share *share;
	int number; /* as its spool has it */
	bool stores, is_seeded;
	unsigned told; /* so often */
};

static struct party parties[PARTIES];

static void
changed(void *context)
{
	struct party *p = context;

	p->stores = true;
	p->told++;
}

static void
turn(void)
{
	fixture_turn(&f);
	for (unsigned i = 0; i < PARTIES; i++) {
		struct party *p = &parties[i];

		if (!p->stores || p->share == NULL)
			continue;
		p->stores = false;
		p->number = pull_share_number(p->share);
		if (p->number >= 0)
			pull_share_stored(p->share);
	}
}

#define UNTIL(condition)                                                 \
	do {                                                             \
		int64_t end_ = clock_mono_ms() + AWAIT_MS;               \
		while (!(condition)) {                                   \
			if (clock_mono_ms() > end_)                      \
				fail_msg("not in time: %s", #condition); \
			turn();                                          \
		}                                                        \
	} while (0)

static void
come_by(unsigned n, const char *log, const char *server)
{
	struct party *p = &parties[n];
	struct pull_share_parts parts = { .loop = f.loop,
		.base = base,
		.log = log,
		.changed = changed,
		.context = p };

	parts.at.port = 9000 + n;
	snprintf(parts.at.host, sizeof parts.at.host, "tq%u", n);
	parts.zk = p->zk = zk_open(f.loop, server, SESSION_MS);
	assert_non_null(p->zk);
	p->share = pull_share_new(&parts, p->number, p->is_seeded);
	pull_share_tell(
	    p->share, (struct log_range){ 1000 * (n + 1), 1000 * (n + 1) + 5 });
}

static void
come(unsigned n, const char *log)
{
	come_by(n, log, fixture_server());
}

static void
go(unsigned n)
{
	struct party *p = &parties[n];

	pull_share_free(&p->share);
	zk_close(&p->zk);
}

static bool
serves(unsigned n, int number)
{
	return pull_share_holds(parties[n].share) &&
	    pull_share_number(parties[n].share) == number;
}

static const struct share_member *
member(unsigned of, unsigned number)
{
	return &pull_share_view(parties[of].share)->all[number];
}

static int
set_up(void **state UNUSED)
{
	if (fixture_server() == NULL)
		return 0;
	fixture_init(&f);
	fixture_folder(base, sizeof base);
	strcat(base, "/tranqd/pull/foo");
	for (unsigned i = 0; i < PARTIES; i++)
		parties[i] = (struct party){ .number = -1 };
	return 0;
}

static int
tear_down(void **state UNUSED)
{
	if (fixture_server() == NULL)
		return 0;
	for (unsigned i = 0; i < PARTIES; i++)
		if (parties[i].share != NULL)
			go(i);
	fixture_fini(&f);
	return 0;
}

/* All at once: each has a number of its own, and all know of all. */
static void
test_numbers(void **state UNUSED)
{
	static const char *const logs[] = { "log-a", "log-b", "log-c" };
	bool taken[PARTIES] = { false };

	for (unsigned i = 0; i < PARTIES; i++)
		come(i, logs[i]);
	for (unsigned i = 0; i < PARTIES; i++)
		UNTIL(pull_share_holds(parties[i].share));
	for (unsigned i = 0; i < PARTIES; i++) {
		int n = parties[i].number;

		assert_in_range(n, 0, PARTIES - 1);
		assert_false(taken[n]);
		taken[n] = true;
		for (unsigned of = 0; of < PARTIES; of++) {
			UNTIL(pull_share_view(parties[of].share)->count ==
			    PARTIES);
			UNTIL(member(of, (unsigned)n)->holder.is_there);
			assert_string_equal(
			    member(of, (unsigned)n)->log, logs[i]);
			assert_int_equal(
			    member(of, (unsigned)n)->at.port, 9000 + i);
			assert_int_equal(
			    member(of, (unsigned)n)->start, 1000 * (i + 1));
		}
		assert_int_equal(pull_share_manages(parties[i].share), n == 0);
	}
}

/* Its number stays its own over its ends, with what the spool knows and, when it
 * was killed before that, without. */
static void
test_comes_back(void **state UNUSED)
{
	come(0, "log-a");
	UNTIL(serves(0, 0));
	come(1, "log-b");
	UNTIL(serves(1, 1));
	go(0);
	UNTIL(!member(1, 0)->holder.is_there);
	UNTIL(pull_share_manages(parties[1].share));
	come(0, "log-a");
	UNTIL(serves(0, 0));
	UNTIL(member(1, 0)->holder.is_there);
	UNTIL(!pull_share_manages(parties[1].share));
	go(1);
	parties[1].number = -1;
	come(1, "log-b");
	UNTIL(serves(1, 1));
	/* a spool that is lost is another log */
	go(1);
	parties[1].number = -1;
	come(1, "log-d");
	UNTIL(serves(1, 2));
	assert_string_equal(member(1, 1)->log, "log-b");
	assert_false(member(1, 1)->holder.is_there);
}

/* Two of one log: the second has nothing until the first is gone. */
static void
test_copy(void **state UNUSED)
{
	come(0, "log-a");
	UNTIL(serves(0, 0));
	parties[1].number = 0;
	come(1, "log-a");
	UNTIL(
	    strstr(pull_share_trouble(parties[1].share), "is a copy") != NULL);
	assert_false(pull_share_holds(parties[1].share));
	assert_true(pull_share_holds(parties[0].share));
	go(0);
	UNTIL(serves(1, 0));
	assert_string_equal(pull_share_trouble(parties[1].share), "");
}

/* Another log has the number that the spool has. */
static void
test_other_log(void **state UNUSED)
{
	come(0, "log-a");
	UNTIL(serves(0, 0));
	parties[1].number = 0;
	come(1, "log-z");
	UNTIL(strstr(pull_share_trouble(parties[1].share),
		  "another log for that: log-a") != NULL);
	assert_false(pull_share_holds(parties[1].share));
	/* ZooKeeper has less than there are */
	parties[2].number = 2;
	come(2, "log-y");
	UNTIL(strstr(pull_share_trouble(parties[2].share), "less partitions") !=
	    NULL);
	assert_false(pull_share_holds(parties[2].share));
}

/* ZooKeeper's data was lost, and Druid knows the spool by its number. */
static void
test_node_is_made_again(void **state UNUSED)
{
	parties[0].number = 0;
	parties[0].is_seeded = true; /* and has its offsets */
	parties[1].number = 1;
	come(1, "log-b");
	UNTIL(strstr(pull_share_trouble(parties[1].share), "less partitions") !=
	    NULL);
	come(0, "log-a");
	UNTIL(serves(0, 0));
	assert_string_equal(member(0, 0)->log, "log-a");
	assert_true(member(0, 0)->seeded);
	UNTIL(serves(1, 1));
	assert_false(member(1, 1)->seeded);
	UNTIL(pull_share_unseeded(parties[0].share) == 1);
}

static void
remove_node(unsigned by, unsigned number)
{
	char *path = must_format("%s/partitions/%u", base, number);
	struct told t = { .times = 0 };

	t.call = zk_delete(parties[by].zk, path, -1, told_done, &t);
	UNTIL(t.times > 0);
	assert_int_equal(t.result, RESULT_OK);
	free(path);
}

/* As has_own_node tells the operator to. */
static void
test_node_is_removed(void **state UNUSED)
{
	come(0, "log-a");
	UNTIL(serves(0, 0));
	come(1, "log-b");
	UNTIL(serves(1, 1));
	pull_share_seeded(parties[0].share, 0, 2);
	UNTIL(member(1, 1)->seeded);
	go(0);
	UNTIL(!member(1, 0)->holder.is_there);
	/* whose it is knows that Druid has its offset: to set it once more
	 * would double what was read */
	assert_true(member(1, 1)->version > 0);
	remove_node(1, 1);
	UNTIL(member(1, 1)->version == 0);
	assert_true(member(1, 1)->seeded);
	/* and one in the middle */
	remove_node(1, 0);
	come(0, "log-a");
	UNTIL(serves(0, 0));
	UNTIL(member(1, 0)->holder.is_there);
}

/* Whichever answer is lost: what was asked for may have been done. */
static void
test_answers_are_lost(void **state UNUSED)
{
	size_t bytes = strlen(base);
	bool was_lost = true;
	int n;

	for (n = 2; was_lost; n++) {
		struct proxy *proxy = proxy_new(&f, fixture_server_port());
		char *server = must_format("127.0.0.1:%d", proxy_port(proxy));

		snprintf(base + bytes, sizeof base - bytes, "-%d", n);
		parties[0].number = -1;
		proxy_cut_answer(proxy, n);
		come_by(0, "log-a", server);
		UNTIL(pull_share_manages(parties[0].share));
		was_lost = proxy_has_cut(proxy);
		/* its end would wait for an answer */
		proxy_free(&proxy);
		UNTIL(!zk_is_connected(parties[0].zk));
		go(0);
		free(server);
	}
	assert_in_range(n, 6, 40);
}

/* The folder of zookeeper.connect is not there: that is asked for at times. */
static void
test_no_folder(void **state UNUSED)
{
	char *server = must_format("%s/test-nowhere", fixture_server());

	come_by(0, "log-a", server);
	UNTIL(parties[0].told > 2);
	parties[0].told = 0;
	fixture_run(&f, 1500);
	assert_in_range(parties[0].told, 0, 9);
	assert_false(pull_share_holds(parties[0].share));
	free(server);
}

/* Once each, and by one alone. */
static void
test_seeds(void **state UNUSED)
{
	come(0, "log-a");
	UNTIL(serves(0, 0));
	/* before the first is, it is not known whether Druid has offsets */
	assert_true(pull_share_manages(parties[0].share));
	assert_int_equal(pull_share_unseeded(parties[0].share), -1);
	pull_share_seeded(parties[0].share, 0, 1);
	assert_int_equal(pull_share_unseeded(parties[0].share), -1);
	UNTIL(member(0, 0)->seeded);
	come(1, "log-b");
	UNTIL(serves(1, 1));
	UNTIL(pull_share_unseeded(parties[0].share) == 1);
	assert_int_equal(pull_share_unseeded(parties[1].share), -1);
	pull_share_seeded(parties[0].share, 1, 1);
	/* not twice, even before it is written */
	assert_int_equal(pull_share_unseeded(parties[0].share), -1);
	UNTIL(member(1, 1)->seeded);
	/* of one who is away nobody says anything */
	come(2, "log-c");
	UNTIL(serves(2, 2));
	go(2);
	UNTIL(!member(0, 2)->holder.is_there);
	assert_int_equal(pull_share_unseeded(parties[0].share), -1);
}

static void
test_suspends(void **state UNUSED)
{
	come(0, "log-a");
	UNTIL(serves(0, 0));
	come(1, "log-b");
	UNTIL(serves(1, 1));
	pull_share_tell(parties[1].share, (struct log_range){ 2003, 2040 });
	pull_share_suspend(parties[1].share, true);
	UNTIL(share_view_suspends(pull_share_view(parties[0].share)));
	/* with how far the log goes */
	assert_int_equal(member(0, 1)->end, 2040);
	pull_share_suspend(parties[1].share, false);
	UNTIL(!share_view_suspends(pull_share_view(parties[0].share)));
}

/* The server is away: all is as it was, but nobody sees to anything. */
static void
test_server_away(void **state UNUSED)
{
	if (!fixture_order("pause"))
		skip();
	(void)fixture_order("resume");
	come(0, "log-a");
	UNTIL(serves(0, 0));
	UNTIL(pull_share_manages(parties[0].share));
	assert_true(fixture_order("pause"));
	UNTIL(!pull_share_manages(parties[0].share));
	assert_true(pull_share_holds(parties[0].share));
	assert_int_equal(pull_share_unseeded(parties[0].share), -1);
	assert_true(fixture_order("resume"));
	UNTIL(pull_share_manages(parties[0].share));
	assert_true(serves(0, 0));
}

static int
quiet(void **state UNUSED)
{
	log_use(open("/dev/null", O_WRONLY | O_CLOEXEC), LOG_LEVEL_ERROR,
	    LOG_FORMAT_TEXT);
	return 0;
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_numbers),
		CASE(test_comes_back),
		CASE(test_copy),
		CASE(test_other_log),
		CASE(test_node_is_made_again),
		CASE(test_node_is_removed),
		CASE(test_answers_are_lost),
		CASE(test_no_folder),
		CASE(test_seeds),
		CASE(test_suspends),
		CASE(test_server_away),
	};

	if (fixture_server() == NULL) {
		puts("skipped: TRANQ_TEST_ZK is not set");
		return 0;
	}
	return cmocka_run_group_tests(tests, quiet, NULL);
}
