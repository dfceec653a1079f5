/*
 * test_spool_late - late batches and copies in the spool
 */
#include "spool.h"
#include "spool_dead.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "panic.h"
#include "parcel.h"
#include "partition.h"

static const struct spool_lane lane = { .start = 0, .end = 10 };
static const struct spool_lane late_lane = {
	.start = 0, .end = 10, .partition = PARTITION_LATE
};

struct rig {
	char dir[64], path[80];
	struct spool *spool;
	struct spool_entry a, b; /* of two events and of three */
};

static void
open_spool(struct rig *r)
{
	struct spool_options o = { .dir = r->path,
		.ds = "foo",
		.bytes_max = 64 * (int64_t)MiB,
		.now_ms = 1000,
		.lock_wait_ms = 1 };
	char error[600];

	r->spool = spool_open(&o, error, sizeof error);
	if (r->spool == NULL)
		fail_msg("%s", error);
}

static void
open_again(struct rig *r)
{
	spool_close(&r->spool);
	open_spool(r);
}

static void
commit(struct rig *r)
{
	char error[600];

	if (spool_commit(r->spool, error, sizeof error) != RESULT_OK)
		fail_msg("%s", error);
}

static struct spool_entry
put(struct rig *r, unsigned events)
{
	struct interval interval = { lane.start, lane.end };
	struct event e = { .bytes = 2 };
	struct batch *b = batch_new(interval, 0, 1000);
	struct batch_seal seal = { .id = spool_take_id(r->spool, events) };
	struct spool_entry entry = {
		.at = lane, .id = seal.id, .events = events
	};
	size_t bytes;
	char *value;

	for (unsigned i = 0; i < events; i++)
		batch_add(b, &e, "{}", 0, 0);
	value = batch_seal(&b, &seal, &bytes);
	entry.bytes = (uint32_t)bytes;
	spool_put(r->spool, value, bytes);
	free(value);
	return entry;
}

static int
set_up(void **state)
{
	struct rig *r = must_calloc(1, sizeof *r);

	strcpy(r->dir, "/tmp/test_late_XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	snprintf(r->path, sizeof r->path, "%s/spool", r->dir);
	open_spool(r);
	spool_begin(r->spool);
	r->a = put(r, 2);
	r->b = put(r, 3);
	commit(r);
	*state = r;
	return 0;
}

static int
tear_down(void **state)
{
	struct rig *r = *state;
	char *command = must_format("rm -r %s", r->dir);

	spool_close(&r->spool);
	assert_int_equal(system(command), 0);
	free(command);
	free(r);
	return 0;
}

static bool
is_there(struct rig *r, const struct spool_entry *e)
{
	size_t bytes;
	bool damaged;
	char *value = spool_load(r->spool, e->id, &bytes, &damaged);

	free(value);
	return value != NULL;
}

/* It waits elsewhere, as the same batch, and over a restart. */
static void
test_move(void **state)
{
	struct rig *r = *state;
	struct spool_entry e;

	spool_begin(r->spool);
	spool_move(r->spool, &r->a, &late_lane);
	commit(r);
	open_again(r);
	assert_int_equal(spool_batches(r->spool), 2);
	assert_int_equal(spool_events(r->spool), 5);
	assert_true(spool_next(r->spool, &late_lane, 0, &e));
	assert_int_equal(e.id, r->a.id);
	assert_int_equal(e.events, 2);
	assert_true(is_there(r, &e));
	assert_true(spool_next(r->spool, &lane, 0, &e));
	assert_int_equal(e.id, r->b.id);
	/* moved from where it is not any more: nothing happens */
	spool_begin(r->spool);
	spool_move(r->spool, &r->a, &lane);
	commit(r);
	assert_int_equal(spool_batches(r->spool), 2);
}

/* The event, by its number, becomes a dead letter of its own. */
static void
refuse(struct rig *r, const struct spool_entry *e, unsigned event)
{
	struct batch_seal seal = { .id = spool_take_id(r->spool, 1) };
	struct batch_view view;
	size_t bytes;
	bool damaged;
	char *whole = spool_load(r->spool, e->id, &bytes, &damaged), *one;

	assert_non_null(whole);
	batch_view_own(whole, bytes, &view);
	one = batch_pick(&view, &seal, event, &bytes);
	spool_refuse(r->spool, e, event, one, bytes, "no");
	free(one);
	free(whole);
}

/* What was refused of a batch stays refused where it goes. */
static void
test_move_of_refused(void **state)
{
	struct rig *r = *state;
	struct parcel *p = parcel_new(0, LATE_APPEND);
	struct spool_entry e;
	struct buf lines;

	spool_begin(r->spool);
	refuse(r, &r->b, 1);
	commit(r);
	spool_begin(r->spool);
	assert_true(spool_next(r->spool, &lane, r->a.id, &e));
	spool_move(r->spool, &e, &late_lane);
	commit(r);
	open_again(r);
	assert_true(spool_next(r->spool, &late_lane, 0, &e));
	assert_int_equal(e.events, 2);
	assert_int_equal(spool_refused(r->spool, e.id, NULL, 0), 1);
	parcel_add(p, &e);
	buf_init(&lines, 100);
	assert_true(parcel_text(p, 0, r->spool, &lines));
	assert_string_equal(buf_text(&lines), "{}\n{}\n");
	buf_free(&lines);
	parcel_free(&p);
	spool_begin(r->spool);
	spool_remove_late(r->spool, &e, LATE_APPEND);
	commit(r);
	assert_int_equal(spool_refused(r->spool, e.id, NULL, 0), 0);
	assert_int_equal(spool_totals(r->spool)->appended, 2);
	assert_int_equal(spool_dead_count(r->spool), 1);
}

static void
test_remove_late(void **state)
{
	struct rig *r = *state;

	spool_begin(r->spool);
	spool_remove_late(r->spool, &r->a, LATE_ARCHIVE);
	spool_remove_late(r->spool, &r->b, LATE_APPEND);
	commit(r);
	open_again(r);
	assert_int_equal(spool_totals(r->spool)->archived, 2);
	assert_int_equal(spool_totals(r->spool)->appended, 3);
	assert_int_equal(spool_totals(r->spool)->sent, 0);
	assert_int_equal(spool_events(r->spool), 0);
	assert_false(is_there(r, &r->a));
	assert_false(is_there(r, &r->b));
}

static void
mark(struct rig *r)
{
	spool_begin(r->spool);
	spool_put_copy(r->spool, &r->a);
	commit(r);
}

static void
test_delivered_then_copied(void **state)
{
	struct rig *r = *state;
	struct spool_entry e;

	mark(r);
	assert_true(spool_has_copy(r->spool, r->a.id));
	assert_false(spool_has_copy(r->spool, r->b.id));
	spool_begin(r->spool);
	spool_remove(r->spool, &r->a);
	spool_move_copy(r->spool, r->a.id, 7);
	commit(r);
	open_again(r);
	assert_true(is_there(r, &r->a));
	assert_int_equal(spool_batches(r->spool), 1);
	assert_int_equal(spool_totals(r->spool)->sent, 2);
	assert_false(spool_next_copy(r->spool, &r->a.at, 0, &e));
	assert_true(spool_next_copy(r->spool, NULL, 0, &e));
	assert_int_equal(e.id, r->a.id);
	assert_int_equal(e.at.lane, 7);
	assert_true(spool_next_copy(r->spool, &e.at, 0, &e));
	assert_int_equal(e.id, r->a.id);
	assert_int_equal(e.events, 2);
	spool_begin(r->spool);
	spool_copied(r->spool, r->a.id);
	spool_copied(r->spool, r->a.id); /* once */
	commit(r);
	assert_false(is_there(r, &r->a));
	assert_false(spool_next_copy(r->spool, NULL, 0, &e));
	assert_int_equal(spool_totals(r->spool)->copied, 2);
}

static void
test_copied_then_delivered(void **state)
{
	struct rig *r = *state;
	struct spool_entry e;

	mark(r);
	spool_begin(r->spool);
	spool_copied(r->spool, r->a.id);
	commit(r);
	open_again(r);
	assert_true(is_there(r, &r->a));
	assert_false(spool_next_copy(r->spool, NULL, 0, &e));
	assert_true(spool_has_copy(r->spool, r->a.id)); /* the archive has it */
	spool_begin(r->spool);
	spool_remove(r->spool, &r->a);
	commit(r);
	assert_false(is_there(r, &r->a));
	assert_false(spool_has_copy(r->spool, r->a.id));
}

/* A dead letter stays, copied or not. */
static void
test_dead(void **state)
{
	struct rig *r = *state;

	mark(r);
	spool_begin(r->spool);
	spool_bury(r->spool, &r->a, SPOOL_WHY_CLOSED, 1000);
	commit(r);
	spool_begin(r->spool);
	spool_copied(r->spool, r->a.id);
	commit(r);
	assert_true(is_there(r, &r->a));
	assert_false(spool_has_copy(r->spool, r->a.id));
	assert_int_equal(spool_totals(r->spool)->dead, 2);
}

/* What stays for its copy takes room, before and after a restart. */
static void
test_room(void **state)
{
	struct rig *r = *state;
	uint64_t rest;

	mark(r);
	spool_begin(r->spool);
	spool_remove(r->spool, &r->a);
	commit(r);
	for (int i = 0; i < 2; i++) {
		rest = 64 * (uint64_t)MiB - spool_bytes(r->spool);
		assert_false(spool_has_room(r->spool, rest));
		assert_true(spool_has_room(r->spool, rest - r->a.bytes));
		open_again(r);
	}
}

#define LATE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		LATE_TEST(test_move),
		LATE_TEST(test_move_of_refused),
		LATE_TEST(test_remove_late),
		LATE_TEST(test_delivered_then_copied),
		LATE_TEST(test_copied_then_delivered),
		LATE_TEST(test_dead),
		LATE_TEST(test_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
