/*
 * zk_fixture - what the tests with a real ZooKeeper share
 *
 * The server is at TRANQ_TEST_ZK (host:port); orders to it (kill, start,
 * pause, resume) go into the pipe TRANQ_TEST_ZK_CONTROL. Both come from
 * `python3 tests/helper/zookeeper.py run -- TEST`. Without them the tests
 * are skipped.
 */
#pragma once

#include "clock.h"
#include "loop.h"
#include "zk.h"

#define AWAIT_MS 20000

/* Turns the loop until the condition holds; fails the test after AWAIT_MS. */
#define AWAIT(f, condition)                                              \
	do {                                                             \
		int64_t end_ = clock_mono_ms() + AWAIT_MS;               \
		while (!(condition)) {                                   \
			if (clock_mono_ms() > end_)                      \
				fail_msg("not in time: %s", #condition); \
			fixture_turn(f);                                 \
		}                                                        \
	} while (0)

struct fixture {
	struct loop *loop;
	struct loop_timer tick;
	int turns; /* all turns of the loop, ticks too */
};

const char *fixture_server(void); /* NULL: no server, skip */
int fixture_server_port(void);
bool fixture_order(const char *word); /* false: nobody to order */

void fixture_init(struct fixture *);
void fixture_fini(struct fixture *);
void fixture_turn(struct fixture *); /* at most some 20 ms */
void fixture_run(struct fixture *, int64_t ms);
/* /test-{pid}-{number}: a folder of the test's own. */
void fixture_folder(char *path, size_t bytes);

/* What a call answered. */
struct told {
	struct zk_call *call;
	int times;
	enum result result;
	enum zk_refusal refusal;
	int32_t version;
	char path[256], bytes[4096];
	size_t byte_count, name_count;
	char names[32][96];
};

zk_done_fn told_done; /* context: struct told, to be zeroed before the call */

/* Between client and server, on the test's own loop. */
struct proxy;

struct proxy *proxy_new(struct fixture *, int server_port);
void proxy_free(struct proxy **);
int proxy_port(const struct proxy *);
void proxy_listen(struct proxy *, bool on); /* off: connections are refused */
void proxy_hold(struct proxy *, bool on); /* on: passes nothing any more */
void proxy_cut(struct proxy *); /* ends all connections */
/* The n-th piece that the server sends from now on (1: the next) is thrown
 * away and its connection ended. 0: none. */
void proxy_cut_answer(struct proxy *, int n);
bool proxy_has_cut(const struct proxy *);
int proxy_accepted(const struct proxy *); /* connections so far */
