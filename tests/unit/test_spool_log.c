/*
 * test_spool_log - the log in a spool: offsets that never come again, what
 * leaves it, and how a feed finds its way in it
 *
 * Links: worker, common. Views are opened in a child: LMDB forbids two of one
 * file in a process.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log_layout.h"
#include "log_view.h"
#include "panic.h"
#include "record_batch.h"
#include "spool.h"
#include "spool_compact.h"
#include "spool_internal.h"
#include "spool_log.h"
#include "spool_survey.h"

#define NOW INT64_C(1700000000000)
#define BEGIN ((uint64_t)(NOW / 1000) << LOG_FIRST_SHIFT)

struct rig {
	char dir[64], path[80];
	int64_t now_ms;
	struct spool *spool;
};

static void
open_spool(struct rig *r)
{
	struct spool_options o = { .dir = r->path,
		.ds = "foo",
		.bytes_max = 64 * (int64_t)MiB,
		.now_ms = r->now_ms,
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

/* A batch whose first event has that timestamp, each further one 1 ms more. */
static uint64_t
put(struct rig *r, unsigned partition, unsigned events, int64_t timestamp_ms)
{
	struct record_batch b;
	char text[32], *value;
	size_t bytes;
	uint64_t first;

	record_batch_init(&b);
	for (unsigned i = 0; i < events; i++)
		record_batch_add(&b, timestamp_ms + i, text,
		    (size_t)snprintf(text, sizeof text, "{\"n\":%u}", i));
	value = record_batch_seal(&b, NULL, &bytes);
	first = spool_log_put(r->spool, partition, value, bytes, r->now_ms);
	free(value);
	return first;
}

static uint64_t
put_alone(struct rig *r, unsigned partition, unsigned events)
{
	uint64_t first;

	spool_begin(r->spool);
	first = put(r, partition, events, r->now_ms);
	commit(r);
	return first;
}

static bool
trim(struct rig *r, unsigned partition, uint64_t floor, unsigned most)
{
	bool more;

	spool_begin(r->spool);
	more = spool_log_trim(r->spool, partition, floor, most);
	commit(r);
	return more;
}

static int
set_up(void **state)
{
	struct rig *r = must_calloc(1, sizeof *r);

	strcpy(r->dir, "/tmp/test_spool_log_XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	snprintf(r->path, sizeof r->path, "%s/spool", r->dir);
	r->now_ms = NOW;
	open_spool(r);
	*state = r;
	return 0;
}

static void
shell(const char *format, const char *a, const char *b)
{
	char *command = must_format(format, a, b);

	assert_int_equal(system(command), 0);
	free(command);
}

static int
tear_down(void **state)
{
	struct rig *r = *state;

	spool_close(&r->spool);
	shell("rm -r %s%s", r->dir, "");
	free(r);
	return 0;
}

static void
assert_range(struct rig *r, unsigned partition, uint64_t start, uint64_t end)
{
	struct log_range range = spool_log_range(r->spool, partition);

	assert_int_equal(range.start, start);
	assert_int_equal(range.end, end);
}

static void
assert_counts(struct rig *r, uint64_t batches, uint64_t events, uint64_t sent)
{
	struct spool_log_counts c = spool_log_counts(r->spool);

	assert_int_equal(c.batches, batches);
	assert_int_equal(c.events, events);
	assert_int_equal(spool_batches(r->spool), batches);
	assert_int_equal(spool_events(r->spool), events);
	assert_int_equal(spool_bytes(r->spool), c.bytes);
	assert_true((c.bytes > 0) == (batches > 0));
	assert_int_equal(spool_totals(r->spool)->sent, sent);
}

/* ---- offsets ---- */

static void
test_begins_behind_all_that_was(void **state)
{
	struct rig *r = *state;

	assert_range(r, 0, 0, 0);
	assert_string_equal(spool_log_identity(r->spool), "");
	assert_int_equal(put_alone(r, 0, 3), BEGIN);
	assert_int_equal(put_alone(r, 0, 2), BEGIN + 3);
	assert_range(r, 0, BEGIN, BEGIN + 5);
	assert_range(r, 1, 0, 0);
	assert_counts(r, 2, 5, 0);
	assert_int_equal(strlen(spool_log_identity(r->spool)), 36);
	assert_false(spool_log_is_copy(r->spool));
}

static void
test_goes_on_after_a_restart(void **state)
{
	struct rig *r = *state;
	char identity[SPOOL_IDENTITY_BYTES];

	put_alone(r, 0, 3);
	put_alone(r, 5, 7);
	strcpy(identity, spool_log_identity(r->spool));
	r->now_ms -= 3600 * 1000; /* the clock has gone back */
	open_again(r);
	assert_counts(r, 2, 10, 0);
	assert_range(r, 0, BEGIN, BEGIN + 3);
	assert_range(r, 5, BEGIN, BEGIN + 7);
	assert_int_equal(put_alone(r, 0, 1), BEGIN + 3);
	assert_string_equal(spool_log_identity(r->spool), identity);
	assert_false(spool_log_is_copy(r->spool));
}

static void
test_what_failed_was_never_there(void **state)
{
	struct rig *r = *state;
	char error[600];

	for (int round = 0; round < 2; round++) {
		spool_begin(r->spool);
		put(r, 0, 4, NOW);
		spool_note(r->spool, EIO);
		assert_int_equal(
		    spool_commit(r->spool, error, sizeof error), RESULT_RETRY);
		assert_range(r, 0, 0, 0);
		assert_true(spool_reopen(r->spool, error, sizeof error));
		assert_false(spool_surprised(r->spool));
	}
	assert_string_equal(spool_log_identity(r->spool), "");
	assert_int_equal(put_alone(r, 0, 2), BEGIN);
	spool_begin(r->spool);
	put(r, 0, 4, NOW);
	put(r, 1, 4, NOW);
	spool_log_trim(r->spool, 0, UINT64_MAX, 10);
	spool_note(r->spool, EIO);
	assert_int_equal(
	    spool_commit(r->spool, error, sizeof error), RESULT_RETRY);
	assert_true(spool_reopen(r->spool, error, sizeof error));
	assert_range(r, 0, BEGIN, BEGIN + 2);
	assert_range(r, 1, 0, 0);
	assert_counts(r, 1, 2, 0);
	assert_int_equal(put_alone(r, 0, 2), BEGIN + 2);
}

static void
test_a_copy_goes_on_behind_what_it_lacks(void **state)
{
	struct rig *r = *state;
	uint64_t next;

	put_alone(r, 0, 3);
	put_alone(r, 2, 3);
	spool_close(&r->spool);
	shell("cp %s/data.mdb %s/backup", r->path, r->dir);
	open_spool(r);
	put_alone(r, 0, 100); /* seen by consumers, and then lost */
	spool_close(&r->spool);
	shell("mv %s/backup %s/data.mdb", r->dir, r->path);
	r->now_ms += 60 * 1000;
	next = (uint64_t)(r->now_ms / 1000) << LOG_FIRST_SHIFT;
	open_spool(r);
	assert_true(spool_log_is_copy(r->spool));
	assert_range(r, 0, BEGIN, next);
	assert_range(r, 2, BEGIN, next);
	/* it is so already, whatever comes next */
	open_again(r);
	assert_false(spool_log_is_copy(r->spool));
	assert_int_equal(put_alone(r, 0, 1), next);
	assert_int_equal(put_alone(r, 2, 1), next);
	assert_counts(r, 4, 8, 0);
}

static void
test_compaction_is_no_copy(void **state)
{
	struct rig *r = *state;
	struct spool_compacted done;
	char error[600];

	put_alone(r, 0, 3);
	spool_close(&r->spool);
	assert_true(spool_compact(r->path, &done, error, sizeof error));
	r->now_ms += 60 * 1000;
	open_spool(r);
	assert_false(spool_log_is_copy(r->spool));
	assert_int_equal(put_alone(r, 0, 3), BEGIN + 3);
	open_again(r);
	assert_false(spool_log_is_copy(r->spool));
}

static void
test_jumps_when_asked_beyond(void **state)
{
	struct rig *r = *state;
	uint64_t next = (uint64_t)(NOW / 1000 + 60) << LOG_FIRST_SHIFT;

	spool_begin(r->spool);
	assert_false(spool_log_jump(r->spool, 0, 0, NOW));
	commit(r);
	put_alone(r, 0, 3);
	spool_begin(r->spool);
	assert_false(spool_log_jump(r->spool, 0, 0, NOW));
	assert_false(spool_log_jump(r->spool, 0, 0, NOW - 1000));
	assert_true(spool_log_jump(r->spool, 0, 0, NOW + 60000));
	commit(r);
	assert_range(r, 0, BEGIN, next);
	assert_int_equal(put_alone(r, 0, 3), next);
	open_again(r);
	assert_range(r, 0, BEGIN, next + 3);
}

/* ---- what leaves ---- */

static void
test_whole_batches_leave(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 4; i++)
		put_alone(r, 0, 10);
	put_alone(r, 1, 10);
	assert_false(trim(r, 0, BEGIN, 10));
	assert_false(trim(r, 0, BEGIN + 9, 10));
	assert_range(r, 0, BEGIN, BEGIN + 40);
	assert_false(trim(r, 0, BEGIN + 15, 10));
	assert_range(r, 0, BEGIN + 10, BEGIN + 40);
	assert_counts(r, 4, 40, 10);
	/* never down */
	assert_false(trim(r, 0, BEGIN + 5, 10));
	assert_range(r, 0, BEGIN + 10, BEGIN + 40);
	/* one at a time */
	assert_true(trim(r, 0, BEGIN + 30, 1));
	assert_range(r, 0, BEGIN + 20, BEGIN + 40);
	assert_false(trim(r, 0, BEGIN + 30, 1));
	assert_range(r, 0, BEGIN + 30, BEGIN + 40);
	/* never beyond the end */
	assert_false(trim(r, 0, UINT64_MAX, 10));
	assert_range(r, 0, BEGIN + 40, BEGIN + 40);
	assert_counts(r, 1, 10, 40);
	assert_false(trim(r, 7, UINT64_MAX, 10));
	open_again(r);
	assert_range(r, 0, BEGIN + 40, BEGIN + 40);
	assert_range(r, 1, BEGIN, BEGIN + 10);
	assert_counts(r, 1, 10, 40);
	assert_int_equal(put_alone(r, 0, 1), BEGIN + 40);
}

/* A copy that began within the hour that the clock went back by. */
static void
test_jumps_to_what_is_asked_for_when_the_clock_is_behind_it(void **state)
{
	struct rig *r = *state;
	int64_t hour_ms = INT64_C(3600000);
	uint64_t far = BEGIN + ((uint64_t)(30 * 3600) << LOG_FIRST_SHIFT);

	put_alone(r, 0, 3);
	spool_begin(r->spool);
	assert_false(spool_log_jump(r->spool, 0, far, NOW - hour_ms));
	assert_false(spool_log_jump(r->spool, 0, UINT64_MAX, NOW - hour_ms));
	assert_true(spool_log_jump(r->spool, 0, BEGIN + 100, NOW - hour_ms));
	commit(r);
	assert_int_equal(put_alone(r, 0, 3), BEGIN + 100);
}

static void
test_a_floor_in_a_gap(void **state)
{
	struct rig *r = *state;
	uint64_t next = (uint64_t)(NOW / 1000 + 1) << LOG_FIRST_SHIFT;

	put_alone(r, 0, 3);
	spool_begin(r->spool);
	spool_log_jump(r->spool, 0, 0, NOW + 1000);
	put(r, 0, 2, NOW);
	commit(r);
	assert_false(trim(r, 0, next - 5, 10));
	assert_range(r, 0, next - 5, next + 2);
	assert_counts(r, 1, 2, 3);
}

static void
test_what_is_kept_by_time_and_bytes(void **state)
{
	struct rig *r = *state;
	uint64_t each;

	assert_int_equal(spool_log_sealed_at(r->spool, 0, 0), 0);
	assert_int_equal(spool_log_bytes_behind(r->spool, 0, 0), 0);
	for (int i = 0; i < 10; i++) {
		r->now_ms = NOW + i * 1000;
		/* once it goes back */
		if (i == 5)
			r->now_ms = NOW - 100000;
		put_alone(r, 0, 10);
	}
	assert_int_equal(
	    spool_log_sealed_at(r->spool, 0, NOW - 1000000), BEGIN);
	assert_int_equal(spool_log_sealed_at(r->spool, 0, NOW), BEGIN);
	assert_int_equal(spool_log_sealed_at(r->spool, 0, NOW + 1), BEGIN + 10);
	assert_int_equal(
	    spool_log_sealed_at(r->spool, 0, NOW + 4000), BEGIN + 40);
	assert_int_equal(
	    spool_log_sealed_at(r->spool, 0, NOW + 4001), BEGIN + 60);
	assert_int_equal(
	    spool_log_sealed_at(r->spool, 0, NOW + 9001), BEGIN + 100);
	each = spool_log_counts(r->spool).bytes / 10;
	assert_int_equal(spool_log_bytes_behind(r->spool, 0, 10 * each), BEGIN);
	assert_int_equal(
	    spool_log_bytes_behind(r->spool, 0, 10 * each - 1), BEGIN + 10);
	assert_int_equal(
	    spool_log_bytes_behind(r->spool, 0, 2 * each), BEGIN + 80);
	assert_int_equal(
	    spool_log_bytes_behind(r->spool, 0, each - 1), BEGIN + 100);
	trim(r, 0, BEGIN + 50, 100);
	assert_int_equal(
	    spool_log_bytes_behind(r->spool, 0, 2 * each), BEGIN + 80);
	assert_int_equal(
	    spool_log_bytes_behind(r->spool, 0, 9 * each), BEGIN + 50);
}

static void
test_entries(void **state)
{
	struct rig *r = *state;
	struct spool_log_entry e;

	assert_false(spool_log_next(r->spool, 0, 0, &e));
	put_alone(r, 0, 3);
	put_alone(r, 1, 2);
	assert_true(spool_log_next(r->spool, 0, 0, &e));
	assert_int_equal(e.first, BEGIN);
	assert_int_equal(e.next, BEGIN + 3);
	assert_int_equal(e.events, 3);
	assert_int_equal(e.sealed_ms, NOW);
	assert_false(spool_log_next(r->spool, 0, BEGIN + 1, &e));
	assert_true(spool_log_next(r->spool, 1, BEGIN, &e));
	assert_int_equal(e.events, 2);
}

static void
test_a_full_log_leaves_no_room(void **state)
{
	struct rig *r = *state;

	put_alone(r, 0, 1000);
	spool_set_bytes_max(
	    r->spool, (int64_t)spool_log_counts(r->spool).bytes + 5);
	assert_true(spool_has_room(r->spool, 5));
	assert_false(spool_has_room(r->spool, 6));
}

/* ---- as `tranqctl spool` sees it ---- */

static void
count_damage(void *context, const char *what UNUSED)
{
	++*(unsigned *)context;
}

static struct spool_survey
survey(struct rig *r, unsigned *damages)
{
	struct spool_survey s = { .dir = r->path,
		.reads_batches = true,
		.damage = count_damage,
		.context = damages };
	char error[300];

	*damages = 0;
	if (!spool_survey(&s, error, sizeof error))
		fail_msg("%s", error);
	return s;
}

static void
test_survey(void **state)
{
	struct rig *r = *state;
	struct spool_totals more = { .received = 2050 };
	struct spool_survey s;
	unsigned damages;

	for (int i = 0; i < 5; i++)
		put_alone(r, 0, 400);
	put_alone(r, 3, 50);
	trim(r, 0, BEGIN + 400, 10);
	spool_begin(r->spool);
	spool_count(r->spool, &more);
	commit(r);
	spool_close(&r->spool);
	s = survey(r, &damages);
	assert_true(spool_survey_is_whole(&s));
	assert_int_equal(damages, 0);
	assert_int_equal(s.sums[SURVEY_LOG].batches, 5);
	assert_int_equal(s.sums[SURVEY_LOG].events, 1650);
	assert_int_equal(s.sums[SURVEY_WAITING].batches, 0);
	/* its meta has a batch too many */
	open_spool(r);
	spool_begin(r->spool);
	r->spool->now.log[3].batches++;
	commit(r);
	spool_close(&r->spool);
	s = survey(r, &damages);
	assert_int_equal(s.other, 1);
	assert_int_equal(damages, 1);
	open_spool(r);
	spool_begin(r->spool);
	r->spool->now.log[3].batches--;
	commit(r);
	spool_close(&r->spool);
	/* an event of each that has so many is changed on the disk */
	shell("sed -i 's/\"n\":333/\"n\":334/g' %s/data.mdb%s", r->path, "");
	s = survey(r, &damages);
	assert_false(spool_survey_is_whole(&s));
	assert_int_equal(s.bad_batches, 4);
	assert_int_equal(s.bad_pages, 0);
	assert_int_equal(damages, 4);
	/* it can be removed like the others */
	open_spool(r);
	trim(r, 0, UINT64_MAX, 10);
	assert_range(r, 0, BEGIN + 2000, BEGIN + 2000);
	assert_counts(r, 1, 50, 2000);
}

/* What `look` must()s, in a process of its own. */
static void
in_child(struct rig *r, void (*look)(struct rig *))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		alarm(60);
		look(r);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void
survey_beside(struct rig *r)
{
	unsigned damages;
	struct spool_survey s = survey(r, &damages);

	must(s.is_running);
	must(damages == 1 && s.other == 1);
	must(s.sums[SURVEY_LOG].batches == 2);
}

/* It reads on behind a key that is longer than any of ours. */
static void
test_survey_beside_a_worker(void **state)
{
	static const char key[] = "\0\0\0\1 more than is read of a good one";
	struct rig *r = *state;
	MDB_val k = spool_val(key, sizeof key), v = k;
	struct spool_totals more = { .received = 10 };

	put_alone(r, 0, 5);
	put_alone(r, 2, 5);
	spool_begin(r->spool);
	spool_note(
	    r->spool, mdb_put(r->spool->write, r->spool->log, &k, &v, 0));
	spool_count(r->spool, &more);
	commit(r);
	in_child(r, survey_beside);
}

/* ---- as a feed sees it ---- */

static struct log_view *
open_view(struct rig *r)
{
	char error[300];
	struct log_view *v = log_view_open(r->path, error, sizeof error);

	must(v != NULL);
	return v;
}

static void
look_at_nothing(struct rig *r)
{
	struct log_view *v = open_view(r);
	struct log_batch b;

	must(log_view_begin(v));
	must(log_view_identity(v)[0] == '\0');
	must(log_view_range(v, 0).end == 0);
	must(log_view_at(v, 0, 0, &b) == LOG_NOT_THERE);
	log_view_end(v);
	log_view_close(&v);
}

static void
look_by_offset(struct rig *r)
{
	struct log_view *v = open_view(r);
	uint64_t next = (uint64_t)(NOW / 1000 + 1) << LOG_FIRST_SHIFT;
	struct log_batch b;
	struct record_batch_head head;

	must(log_view_begin(v));
	must(strlen(log_view_identity(v)) == 36);
	must(log_view_range(v, 1).start == BEGIN);
	must(log_view_range(v, 1).end == next + 5);
	must(log_view_range(v, 3).end == 0);
	/* in its middle, at its last, behind it */
	for (uint64_t at = BEGIN - 3; at < BEGIN + 10; at++) {
		must(log_view_at(v, 1, at, &b) == LOG_FOUND);
		must(b.first == BEGIN && b.next == BEGIN + 10);
	}
	must(b.sealed_ms == NOW);
	must(record_batch_check(b.bytes, b.size, &head) == RECORD_BATCH_GOOD);
	must(head.bytes == b.size && head.first == BEGIN);
	must(log_view_next(v, 1, &b) == LOG_FOUND);
	must(b.first == BEGIN + 10 && b.next == BEGIN + 11);
	/* over the gap */
	must(log_view_at(v, 1, BEGIN + 11, &b) == LOG_FOUND && b.first == next);
	must(log_view_at(v, 1, next + 4, &b) == LOG_FOUND && b.first == next);
	must(log_view_next(v, 1, &b) == LOG_NOT_THERE);
	must(log_view_at(v, 1, next + 5, &b) == LOG_NOT_THERE);
	/* other partitions stay out of it, the last one, too */
	must(log_view_at(v, 0, BEGIN + 10, &b) == LOG_NOT_THERE);
	must(log_view_at(v, 2, BEGIN + 1, &b) == LOG_FOUND);
	must(b.next == BEGIN + 2);
	must(log_view_at(v, 2, BEGIN + 2, &b) == LOG_NOT_THERE);
	must(log_view_at(v, 3, 0, &b) == LOG_NOT_THERE);
	log_view_end(v);
	log_view_close(&v);
}

static void
test_view_by_offset(void **state)
{
	struct rig *r = *state;

	in_child(r, look_at_nothing);
	put_alone(r, 0, 10);
	put_alone(r, 1, 10);
	put_alone(r, 1, 1);
	put_alone(r, 2, 2);
	spool_begin(r->spool);
	spool_log_jump(r->spool, 1, 0, NOW + 1000);
	put(r, 1, 5, NOW);
	commit(r);
	in_child(r, look_by_offset);
}

static void
look_by_time(struct rig *r)
{
	struct log_view *v = open_view(r);
	uint64_t from = 0;
	struct log_batch b;

	must(log_view_begin(v));
	must(log_view_find_time(v, 0, 0, 100, &from, &b) == LOG_FOUND);
	must(b.first == BEGIN);
	must(log_view_find_time(v, 0, 1009, 100, &from, &b) == LOG_FOUND);
	must(b.first == BEGIN);
	must(log_view_find_time(v, 0, 1010, 100, &from, &b) == LOG_FOUND);
	must(b.first == BEGIN + 30); /* those between are older */
	must(log_view_find_time(v, 0, 9000, 100, &from, &b) == LOG_FOUND);
	must(b.first == BEGIN + 30);
	must(log_view_find_time(v, 0, 9010, 100, &from, &b) == LOG_NOT_THERE);
	/* behind the newest one it goes from one to the next */
	from = BEGIN + 40;
	must(log_view_find_time(v, 0, 6000, 1, &from, &b) == LOG_MORE);
	must(log_view_find_time(v, 0, 6000, 1, &from, &b) == LOG_FOUND);
	must(b.first == BEGIN + 50);
	from = 0;
	must(log_view_find_time(v, 4, 0, 1, &from, &b) == LOG_NOT_THERE);
	log_view_end(v);
	log_view_close(&v);
}

static void
test_view_by_time(void **state)
{
	static const int64_t times[] = { 1000, 500, 700, 9000, 5000, 6000 };
	struct rig *r = *state;

	spool_begin(r->spool);
	for (size_t i = 0; i < ARRAY_LEN(times); i++)
		put(r, 0, 10, times[i]);
	commit(r);
	in_child(r, look_by_time);
}

/* Two processes: a view goes on while its spool is written to, trimmed and made
 * larger. */
static void
test_view_follows(void **state)
{
	struct rig *r = *state;
	char go = 0;
	int to_child[2], to_us[2], status;
	pid_t pid;

	put_alone(r, 0, 3);
	assert_int_equal(pipe(to_child) + pipe(to_us), 0);
	pid = fork();
	if (pid == 0) {
		struct log_view *v = open_view(r);
		struct log_batch b;

		must(log_view_begin(v));
		must(log_view_range(v, 0).end == BEGIN + 3);
		log_view_end(v);
		must(write(to_us[1], &go, 1) == 1);
		must(read(to_child[0], &go, 1) == 1);
		must(log_view_begin(v));
		must(log_view_range(v, 0).start == BEGIN + 3);
		must(log_view_range(v, 0).end == BEGIN + 500003);
		must(log_view_at(v, 0, BEGIN + 500002, &b) == LOG_FOUND);
		must(record_batch_check(b.bytes, b.size, NULL) ==
		    RECORD_BATCH_GOOD);
		log_view_end(v);
		_exit(0);
	}
	assert_int_equal(read(to_us[0], &go, 1), 1);
	for (int i = 0; i < 50; i++)
		put_alone(r, 0, 10000);
	trim(r, 0, BEGIN + 3, 10);
	assert_int_equal(write(to_child[1], &go, 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	close(to_us[0]), close(to_us[1]);
	close(to_child[0]), close(to_child[1]);
}

static void
look_and_die(struct rig *r)
{
	must(log_view_begin(open_view(r)));
}

/* LMDB has a place for each process that reads, 126 in all. */
static void
test_the_dead_make_room(void **state)
{
	struct rig *r = *state;

	put_alone(r, 0, 3);
	for (int i = 0; i < 130; i++)
		in_child(r, look_and_die);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_begins_behind_all_that_was),
		TEST(test_goes_on_after_a_restart),
		TEST(test_what_failed_was_never_there),
		TEST(test_a_copy_goes_on_behind_what_it_lacks),
		TEST(test_compaction_is_no_copy),
		TEST(test_jumps_when_asked_beyond),
		TEST(
		    test_jumps_to_what_is_asked_for_when_the_clock_is_behind_it),
		TEST(test_whole_batches_leave),
		TEST(test_a_floor_in_a_gap),
		TEST(test_what_is_kept_by_time_and_bytes),
		TEST(test_entries),
		TEST(test_a_full_log_leaves_no_room),
		TEST(test_survey),
		TEST(test_survey_beside_a_worker),
		TEST(test_view_by_offset),
		TEST(test_view_by_time),
		TEST(test_view_follows),
		TEST(test_the_dead_make_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
