/*
 * test_curator_mutex - worker/curator_mutex against a real ZooKeeper
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <regex.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "curator_mutex.h"
#include "zk_fixture.h"

#define LONG_MS 10000
#define SHORT_MS 1000
#define WAIT_MS 15000

static struct fixture f;
static char folder[64];
static struct zk *observer;

struct party {
	struct proxy *proxy; /* or NULL */
	struct zk *zk;
	struct curator_mutex *mutex;
	int acquired, refused, lost;
};

static void
party_acquired(void *context, enum result result)
{
	struct party *p = context;

	if (result == RESULT_OK)
		p->acquired++;
	else
		p->refused++;
}

static void
party_lost(void *context)
{
	((struct party *)context)->lost++;
}

static void
party_start(struct party *p, int64_t timeout_ms, bool with_proxy)
{
	char connect[64];

	memset(p, 0, sizeof *p);
	snprintf(connect, sizeof connect, "%s", fixture_server());
	if (with_proxy) {
		p->proxy = proxy_new(&f, fixture_server_port());
		snprintf(connect, sizeof connect, "127.0.0.1:%d",
		    proxy_port(p->proxy));
	}
	p->zk = zk_open(f.loop, connect, timeout_ms);
	p->mutex = curator_mutex_new(p->zk, folder, party_lost, p);
}

static void
party_end(struct party *p)
{
	curator_mutex_free(&p->mutex);
	if (p->proxy != NULL) {
		proxy_free(&p->proxy);
		AWAIT(&f, !zk_is_connected(p->zk));
	}
	zk_close(&p->zk);
}

static void
acquire(struct party *p, int64_t wait_ms)
{
	curator_mutex_acquire(p->mutex, wait_ms, party_acquired);
}

static size_t
children(const char *name, struct told *t)
{
	char path[128];

	memset(t, 0, sizeof *t);
	snprintf(path, sizeof path, "%s/%s", folder, name);
	t->call = zk_children(observer, path, NULL, told_done, t);
	AWAIT(&f, t->times == 1);
	return t->name_count;
}

static size_t
leases(void)
{
	struct told t;

	return children("leases", &t);
}

static size_t
locks(void)
{
	struct told t;

	return children("locks", &t);
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
assert_name(const char *name, const char *pattern)
{
	regex_t r;

	assert_int_equal(regcomp(&r, pattern, REG_EXTENDED | REG_NOSUB), 0);
	if (regexec(&r, name, 0, NULL, 0) != 0)
		fail_msg("%s is not %s", name, pattern);
	regfree(&r);
}

#define UUID \
	"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"

static void
test_order(void **state)
{
	struct party a, b, c;
	struct told t;

	(void)state;
	party_start(&a, LONG_MS, false);
	party_start(&b, LONG_MS, false);
	party_start(&c, LONG_MS, false);
	acquire(&a, WAIT_MS);
	AWAIT(&f, a.acquired == 1);
	assert_true(curator_mutex_held(a.mutex));
	AWAIT(&f, locks() == 0);
	assert_int_equal(children("leases", &t), 1);
	assert_name(t.names[0], "^_c_" UUID "-lease-[0-9]{10}$");

	acquire(&b, WAIT_MS);
	AWAIT(&f, leases() == 2); /* b's is there and must wait */
	acquire(&c, WAIT_MS);
	AWAIT(&f, locks() == 2);
	children("locks", &t);
	assert_name(t.names[0], "^_c_" UUID "-lock-[0-9]{10}$");
	fixture_run(&f, 300);
	assert_int_equal(b.acquired + c.acquired, 0);

	curator_mutex_release(a.mutex);
	assert_false(curator_mutex_held(a.mutex));
	AWAIT(&f, b.acquired == 1);
	fixture_run(&f, 100);
	assert_int_equal(c.acquired, 0);
	/* again, behind c */
	acquire(&a, WAIT_MS);
	AWAIT(&f, locks() == 2);
	curator_mutex_release(b.mutex);
	AWAIT(&f, c.acquired == 1);
	fixture_run(&f, 100);
	assert_int_equal(a.acquired, 1);
	curator_mutex_release(c.mutex);
	AWAIT(&f, a.acquired == 2);
	curator_mutex_release(a.mutex);
	AWAIT(&f, leases() == 0 && locks() == 0);
	party_end(&a);
	party_end(&b);
	party_end(&c);
}

static void
test_timeout(void **state)
{
	struct party a, b, c;
	int64_t start;

	(void)state;
	party_start(&a, LONG_MS, false);
	party_start(&b, LONG_MS, false);
	party_start(&c, LONG_MS, false);
	acquire(&a, WAIT_MS);
	AWAIT(&f, a.acquired == 1);
	start = clock_mono_ms();
	acquire(&b, 300);
	acquire(&c, 300); /* one waits for the lock, one for the lease */
	AWAIT(&f, b.refused == 1 && c.refused == 1);
	assert_in_range(clock_mono_ms() - start, 290, 1500);
	AWAIT(&f, leases() == 1 && locks() == 0);
	assert_true(curator_mutex_held(a.mutex));
	curator_mutex_release(a.mutex);
	acquire(&b, WAIT_MS);
	AWAIT(&f, b.acquired == 1);
	party_end(&a);
	party_end(&b);
	party_end(&c);
}

/* Ended at any point of the wait, and of an acquisition without wait. */
static void
cancel_everywhere(bool somebody_holds_it)
{
	struct party a, b;

	party_start(&a, LONG_MS, false);
	party_start(&b, LONG_MS, false);
	if (somebody_holds_it) {
		acquire(&a, WAIT_MS);
		AWAIT(&f, a.acquired == 1);
	}
	for (int turns = 0; turns < 25; turns++) {
		acquire(&b, WAIT_MS);
		for (int i = 0; i < turns; i++)
			fixture_turn(&f);
		curator_mutex_release(b.mutex);
		AWAIT(&f,
		    leases() == (somebody_holds_it ? 1 : 0) && locks() == 0);
	}
	assert_int_equal(b.refused, 0);
	if (somebody_holds_it)
		assert_int_equal(b.acquired, 0);
	else
		assert_in_range(b.acquired, 1, 24);
	curator_mutex_release(a.mutex);
	acquire(&b, WAIT_MS);
	b.acquired = 0;
	AWAIT(&f, b.acquired == 1);
	party_end(&a);
	party_end(&b);
}

static void
test_cancel_waiting(void **state)
{
	(void)state;
	cancel_everywhere(true);
}

static void
test_cancel_acquiring(void **state)
{
	(void)state;
	cancel_everywhere(false);
}

static void
test_holder_lost(void **state)
{
	struct party a, b;

	(void)state;
	party_start(&a, SHORT_MS, true);
	party_start(&b, LONG_MS, false);
	acquire(&a, WAIT_MS);
	AWAIT(&f, a.acquired == 1);
	acquire(&b, WAIT_MS);
	proxy_hold(a.proxy, true);
	AWAIT(&f, b.acquired == 1);
	AWAIT(&f, a.lost == 1);
	assert_false(curator_mutex_held(a.mutex));
	proxy_cut(a.proxy);
	proxy_hold(a.proxy, false);
	acquire(&a, WAIT_MS);
	AWAIT(&f, zk_session(a.zk) == 2);
	fixture_run(&f, 200);
	assert_int_equal(a.acquired, 1);
	curator_mutex_release(b.mutex);
	AWAIT(&f, a.acquired == 2);
	assert_int_equal(a.lost, 1);
	assert_int_equal(a.refused, 0);
	party_end(&a);
	party_end(&b);
}

static void
test_waiter_lost(void **state)
{
	struct party a, b;

	(void)state;
	party_start(&a, LONG_MS, false);
	party_start(&b, SHORT_MS, true);
	acquire(&a, WAIT_MS);
	AWAIT(&f, a.acquired == 1);
	acquire(&b, WAIT_MS);
	AWAIT(&f, leases() == 2);
	proxy_hold(b.proxy, true);
	AWAIT(&f, leases() == 1);
	proxy_cut(b.proxy);
	proxy_hold(b.proxy, false);
	AWAIT(&f, leases() == 2);
	assert_int_equal(b.acquired, 0);
	curator_mutex_release(a.mutex);
	AWAIT(&f, b.acquired == 1);
	assert_int_equal(b.lost, 0); /* it had nothing to lose */
	party_end(&a);
	party_end(&b);
}

/* The connection breaks in the place of every single answer. */
static void
lose_every_answer(bool somebody_holds_it)
{
	struct party a, b;
	int missed = 0, cuts = 0;

	party_start(&a, LONG_MS, false);
	party_start(&b, LONG_MS, true);
	AWAIT(&f, zk_is_connected(b.zk));
	for (int n = 1; missed < 3; n++) {
		a.acquired = b.acquired = 0;
		if (somebody_holds_it) {
			acquire(&a, WAIT_MS);
			AWAIT(&f, a.acquired == 1);
		}
		proxy_cut_answer(b.proxy, n);
		acquire(&b, WAIT_MS);
		if (somebody_holds_it) {
			AWAIT(&f, leases() == 2);
			assert_int_equal(b.acquired, 0);
			curator_mutex_release(a.mutex);
		}
		AWAIT(&f, b.acquired == 1);
		assert_int_equal(leases(), 1);
		assert_true(curator_mutex_held(b.mutex));
		curator_mutex_release(b.mutex);
		AWAIT(&f, leases() == 0 && locks() == 0);
		missed += !proxy_has_cut(b.proxy);
		cuts += proxy_has_cut(b.proxy);
		proxy_cut_answer(b.proxy, 0);
		AWAIT(&f, zk_is_connected(b.zk));
		assert_int_equal(zk_session(b.zk), 1);
		assert_true(n < 100);
	}
	assert_in_range(cuts, 5, 50);
	assert_int_equal(b.lost + b.refused, 0);
	party_end(&a);
	party_end(&b);
}

static void
test_lost_answers(void **state)
{
	(void)state;
	lose_every_answer(false);
}

static void
test_lost_answers_waiting(void **state)
{
	(void)state;
	lose_every_answer(true);
}

/* Somebody tidies up the nodes of a waiting party: it begins anew. */
static void
test_node_removed(void **state)
{
	struct party a, b;
	struct told t, u;
	char path[256];

	(void)state;
	party_start(&a, LONG_MS, false);
	party_start(&b, LONG_MS, false);
	acquire(&a, WAIT_MS);
	AWAIT(&f, a.acquired == 1);
	children("leases", &t);
	acquire(&b, WAIT_MS);
	AWAIT(&f, leases() == 2);
	children("leases", &u);
	snprintf(path, sizeof path, "%s/leases/%s", folder,
	    u.names[strcmp(u.names[0], t.names[0]) == 0]);
	memset(&u, 0, sizeof u);
	u.call = zk_delete(observer, path, -1, told_done, &u);
	AWAIT(&f, u.times == 1);
	AWAIT(&f, leases() == 2);
	assert_int_equal(b.acquired, 0);
	curator_mutex_release(a.mutex);
	AWAIT(&f, b.acquired == 1);
	party_end(&a);
	party_end(&b);
}

static void
test_server_restart(void **state)
{
	struct party a, b;

	(void)state;
	party_start(&a, LONG_MS, false);
	party_start(&b, LONG_MS, false);
	acquire(&a, WAIT_MS);
	AWAIT(&f, a.acquired == 1);
	acquire(&b, WAIT_MS);
	AWAIT(&f, leases() == 2);
	if (fixture_order("kill")) {
		AWAIT(&f, !zk_is_connected(a.zk) && !zk_is_connected(b.zk));
		fixture_order("start");
		AWAIT(&f,
		    zk_is_connected(a.zk) && zk_is_connected(b.zk) &&
			zk_is_connected(observer));
	}
	assert_int_equal(a.lost, 0);
	assert_int_equal(b.acquired, 0);
	curator_mutex_release(a.mutex);
	AWAIT(&f, b.acquired == 1);
	party_end(&a);
	party_end(&b);
}

/* ---- processes that are killed -------------------------------------------- */

#define SLOTS 64
#define KILLED_TIMEOUT_MS 2000

struct shared {
	_Atomic int owner; /* slot, from 1 */
	_Atomic int entries, violations, early, lost;
	_Atomic int64_t killed_ms[SLOTS + 1]; /* 0: lives */
};

struct contender {
	struct shared *shared;
	int slot;
	struct party party;
	struct loop_timer timer;
};

static void contender_acquired(void *, enum result);

static void
contender_leaves(struct loop_timer *t)
{
	struct contender *c = t->context;
	int me = c->slot;

	if (!atomic_compare_exchange_strong(&c->shared->owner, &me, 0))
		c->shared->violations++;
	curator_mutex_release(c->party.mutex);
	curator_mutex_acquire(c->party.mutex, 60000, contender_acquired);
}

static void
contender_acquired(void *context, enum result result)
{
	struct party *p = context;
	struct contender *c =
	    (void *)((char *)p - offsetof(struct contender, party));
	int owner;
	int64_t killed_ms;

	if (result != RESULT_OK)
		_exit(3);
	owner = atomic_exchange(&c->shared->owner, c->slot);
	killed_ms = owner == 0 ? 0 : c->shared->killed_ms[owner];
	if (owner != 0 && killed_ms == 0)
		c->shared->violations++;
	/* its last ping is a third of the timeout old at most */
	if (killed_ms != 0 &&
	    clock_mono_ms() - killed_ms < KILLED_TIMEOUT_MS / 2)
		c->shared->early++;
	c->shared->entries++;
	loop_timer_start(f.loop, &c->timer, rand() % 8, contender_leaves);
}

static void
contender_lost(void *context)
{
	struct party *p = context;
	struct contender *c =
	    (void *)((char *)p - offsetof(struct contender, party));

	c->shared->lost++;
	_exit(4);
}

static pid_t
contender_spawn(struct shared *shared, int slot)
{
	struct contender c = { .shared = shared, .slot = slot };
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	srand((unsigned)slot);
	fixture_init(&f);
	c.timer.context = &c;
	c.party.zk = zk_open(f.loop, fixture_server(), KILLED_TIMEOUT_MS);
	c.party.mutex =
	    curator_mutex_new(c.party.zk, folder, contender_lost, &c.party);
	curator_mutex_acquire(c.party.mutex, 60000, contender_acquired);
	loop_run(f.loop);
	_exit(0);
}

static void
test_killed_holders(void **state)
{
	struct shared *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pids[SLOTS + 1] = { 0 };
	int spawned = 0, killed = 0, owner = 0;
	int64_t end = clock_mono_ms() + 60000;

	(void)state;
	fixture_folder(folder, sizeof folder);
	for (; spawned < 4; spawned++)
		pids[spawned + 1] = contender_spawn(s, spawned + 1);
	while (killed < 4 && clock_mono_ms() < end) {
		int before = s->entries;

		/* progress first, then the blow to whoever is inside */
		while ((s->entries < before + 20 || (owner = s->owner) == 0 ||
			   s->killed_ms[owner] != 0) &&
		    clock_mono_ms() < end)
			usleep(500);
		s->killed_ms[owner] = clock_mono_ms();
		kill(pids[owner], SIGKILL);
		waitpid(pids[owner], NULL, 0);
		pids[owner] = 0;
		killed++;
		spawned++;
		pids[spawned] = contender_spawn(s, spawned);
	}
	owner = s->entries;
	while (s->entries < owner + 20 && clock_mono_ms() < end)
		usleep(1000);
	for (int i = 1; i <= spawned; i++)
		if (pids[i] != 0) {
			int status;

			/* still at it */
			assert_int_equal(waitpid(pids[i], &status, WNOHANG), 0);
			kill(pids[i], SIGKILL);
			waitpid(pids[i], &status, 0);
		}
	printf("%d entries, %d holders killed\n", s->entries, killed);
	assert_int_equal(killed, 4);
	assert_true(s->entries >= owner + 20);
	assert_int_equal(s->violations, 0);
	assert_int_equal(s->early, 0);
	assert_int_equal(s->lost, 0);
	munmap(s, sizeof *s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_order),
		TEST(test_timeout),
		TEST(test_cancel_waiting),
		TEST(test_cancel_acquiring),
		TEST(test_holder_lost),
		TEST(test_waiter_lost),
		TEST(test_lost_answers),
		TEST(test_lost_answers_waiting),
		TEST(test_node_removed),
		TEST(test_server_restart),
		cmocka_unit_test(test_killed_holders),
	};

	if (fixture_server() == NULL)
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
