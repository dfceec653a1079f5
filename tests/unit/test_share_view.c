/*
 * test_share_view - who leads, who stands in, who sees to the supervisor
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "share_view.h"

static struct share_view view;

static struct endpoint
at(unsigned n)
{
	struct endpoint e = { .port = 9000 + n };

	snprintf(e.host, sizeof e.host, "tq%u", n);
	return e;
}

static int32_t
node(unsigned n)
{
	struct endpoint e = at(n);

	return log_peers_node(e.host, e.port);
}

/* "a.s" …: alive or not, seeded or not, one after the other. */
static void
have(const char *members)
{
	memset(&view, 0, sizeof view);
	for (; *members != '\0'; members += 2) {
		struct share_member *m = &view.all[view.count];

		snprintf(m->log, sizeof m->log, "log-%u", view.count);
		m->at = at(view.count);
		m->start = 100 * view.count;
		m->end = m->start + 10;
		m->holder.is_there = members[0] == 'a';
		m->holder.at = m->at;
		m->seeded = members[1] == 's';
		view.count++;
	}
}

static struct share_self
self(unsigned number, bool holds)
{
	return (struct share_self){ number, holds, at(number) };
}

static struct log_peers *
peers(unsigned number, bool holds)
{
	static struct log_peers p;
	struct share_self me = self(number, holds);

	share_view_peers(&view, &me, &p);
	return &p;
}

static void
test_leaders(void **state UNUSED)
{
	struct log_peers *p;

	have("as.sas.s");
	/* by one who is there: 0 stands in for 1 and 3 */
	for (unsigned n = 0; n < 3; n += 2) {
		p = peers(n, true);
		assert_true(p->is_shared);
		assert_int_equal(p->own, n);
		assert_int_equal(p->node, node(n));
		assert_int_equal(p->count, 4);
		assert_int_equal(p->broker_count, 2);
		assert_int_equal(p->all[0].leader, node(0));
		assert_int_equal(p->all[1].leader, node(0));
		assert_int_equal(p->all[2].leader, node(2));
		assert_int_equal(p->all[3].leader, node(0));
		assert_int_equal(p->all[3].number, 3);
		assert_int_equal(p->all[3].start, 300);
		assert_int_equal(p->all[3].end, 310);
	}
	/* of those who are left the lowest */
	have(".s.sas.s");
	p = peers(2, true);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(p->all[i].leader, node(2));
}

/* Of what is not seeded Druid must not know; but for the first ones, which it has
 * to find. */
static void
test_unseeded(void **state UNUSED)
{
	struct log_peers *p;

	have("asa.as");
	p = peers(1, true);
	assert_int_equal(p->count, 2);
	assert_int_equal(p->all[1].number, 2);
	assert_true(share_view_has_begun(&view));
	have("a.a.");
	assert_int_equal(peers(1, true)->count, 2);
	assert_false(share_view_has_begun(&view));
}

/* One who does not hold his number leads nothing, whoever has it. */
static void
test_not_held(void **state UNUSED)
{
	struct log_peers *p;

	/* somebody else has it: a copy of the spool */
	have("asas");
	view.all[0].holder.at = at(7);
	p = peers(0, false);
	assert_int_equal(p->all[0].leader, node(7));
	assert_int_equal(p->all[1].leader, node(1));
	/* who stands in for others then, too, all see alike */
	have("as.sas");
	view.all[0].holder.at = at(7);
	p = peers(0, false);
	assert_int_equal(p->all[1].leader, node(7));
	/* one who has no number yet */
	p = peers(LOG_PEERS_MAX, false);
	assert_int_equal(p->all[0].leader, node(7));
	assert_int_equal(p->all[1].leader, node(7));
	assert_int_equal(p->all[2].leader, node(2));
	/* nobody has it yet */
	have(".sas");
	p = peers(0, false);
	assert_int_equal(p->all[0].leader, node(1));
	/* and nobody else is there */
	have(".s.s");
	p = peers(0, false);
	assert_int_equal(p->all[0].leader, -1);
	assert_int_equal(p->all[1].leader, -1);
	/* ZooKeeper is away: we have held it, and go on */
	p = peers(0, true);
	assert_int_equal(p->all[0].leader, node(0));
	assert_int_equal(p->all[1].leader, node(0));
}

static void
test_manages(void **state UNUSED)
{
	struct share_self me;

	have(".sasas");
	me = self(1, true);
	assert_true(share_view_manages(&view, &me));
	me = self(1, false);
	assert_false(share_view_manages(&view, &me));
	me = self(2, true);
	assert_false(share_view_manages(&view, &me));
	assert_false(share_view_suspends(&view));
	view.all[0].suspends = true; /* who is away wants nothing */
	assert_false(share_view_suspends(&view));
	view.all[2].suspends = true;
	assert_true(share_view_suspends(&view));
}

static void
test_servers(void **state UNUSED)
{
	char *text;

	have("as.sas.s");
	view.all[2].at = at(0); /* its spool was lost */
	snprintf(view.all[3].at.host, sizeof view.all[3].at.host, "fe80::1");
	text = share_view_servers(&view);
	assert_string_equal(text, "tq0:9000,tq1:9001,tq0:9000,[fe80::1]:9003");
	free(text);
	/* not before it has an offset, but for the first */
	have("asa.");
	text = share_view_servers(&view);
	assert_string_equal(text, "tq0:9000");
	free(text);
	have("a.a.");
	text = share_view_servers(&view);
	assert_string_equal(text, "tq0:9000,tq1:9001");
	free(text);
}

static void
test_logs(void **state UNUSED)
{
	have("as.s");
	assert_int_equal(share_view_of_log(&view, "log-1"), 1);
	assert_int_equal(share_view_of_log(&view, "log-2"), -1);
}

static void
test_texts(void **state UNUSED)
{
	static const char *const bad[] = { "", "{", "[]", "{}",
		"{\"log\":\"x\"}", "{\"log\":\"x\",\"host\":\"h\",\"port\":0}",
		"{\"log\":\"x\",\"host\":\"h\",\"port\":70000}",
		"{\"host\":\"h\",\"port\":1}",
		"{\"log\":\"\",\"host\":\"h\",\"port\":1}" };
	struct share_member m, back;
	struct share_holder h = { .token = "7-ab", .at = at(3) }, other;
	char *text;

	have("as");
	m = view.all[0];
	m.suspends = true;
	text = share_view_write_member(&m);
	back = (struct share_member){ .version = 4 };
	assert_true(share_view_read_member(&back, text, strlen(text)));
	assert_string_equal(back.log, m.log);
	assert_string_equal(back.at.host, m.at.host);
	assert_int_equal(back.at.port, m.at.port);
	assert_int_equal(back.end, m.end);
	assert_true(back.seeded && back.suspends);
	free(text);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (share_view_read_member(&back, bad[i], strlen(bad[i])))
			fail_msg("%s", bad[i]);
	text = share_view_write_holder(&h);
	assert_true(share_view_read_holder(&other, text, strlen(text)));
	assert_true(other.is_there);
	assert_string_equal(other.token, h.token);
	assert_int_equal(other.at.port, h.at.port);
	free(text);
	assert_false(share_view_read_holder(&other, "{}", 2));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_leaders),
		cmocka_unit_test(test_unseeded),
		cmocka_unit_test(test_not_held),
		cmocka_unit_test(test_manages),
		cmocka_unit_test(test_servers),
		cmocka_unit_test(test_logs),
		cmocka_unit_test(test_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
