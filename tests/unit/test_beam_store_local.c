/*
 * test_beam_store_local - the beams of an instance alone, in its spool
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "beam_store_local.h"
#include "log.h"
#include "loop_until.h"
#include "panic.h"

static const struct interval hour = { 3600000, 7200000 };
static bool disk_fails;

int fdatasync(int fd); /* as liblmdb calls it */

int
fdatasync(int fd)
{
	if (disk_fails) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

struct rig {
	char dir[64], path[80];
	struct loop *loop;
	struct spool *spool;
	struct beam_store *store;
	unsigned reads, locks, commits; /* answers so far */
	enum result result;
	size_t beams; /* that the last answer had */
	struct beam_data *locked;
};

static void
open_store(struct rig *r)
{
	struct spool_options o = { .dir = r->path,
		.ds = "foo",
		.bytes_max = MiB,
		.now_ms = 1,
		.lock_wait_ms = 1 };
	char error[600];

	r->spool = spool_open(&o, error, sizeof error);
	if (r->spool == NULL)
		fail_msg("%s", error);
	r->store = beam_store_local_new(r->loop, r->spool);
}

static void
close_store(struct rig *r)
{
	beam_store_free(&r->store);
	assert_null(r->store);
	spool_close(&r->spool);
}

static int
set_up(void **state)
{
	struct rig *r = must_calloc(1, sizeof *r);

	disk_fails = false;
	strcpy(r->dir, "/tmp/test_beams_XXXXXX");
	if (mkdtemp(r->dir) == NULL)
		return -1;
	snprintf(r->path, sizeof r->path, "%s/foo", r->dir);
	r->loop = loop_new();
	open_store(r);
	*state = r;
	return 0;
}

static int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st, (void)kind, (void)where;
	return remove(path);
}

static int
tear_down(void **state)
{
	struct rig *r = *state;

	close_store(r);
	loop_free(&r->loop);
	nftw(r->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(r);
	return 0;
}

static void
have_read(void *context, enum result result, const struct beam_data *data)
{
	struct rig *r = context;

	r->reads++;
	r->result = result;
	assert_int_equal(data != NULL, result == RESULT_OK);
	r->beams = data != NULL ? data->count : 0;
}

static void
locked(void *context, enum result result, struct beam_data *data)
{
	struct rig *r = context;

	r->locks++;
	r->result = result;
	r->locked = data;
	r->beams = data != NULL ? data->count : 0;
}

static void
committed(void *context, enum result result)
{
	struct rig *r = context;

	r->commits++;
	r->result = result;
}

static void
read_it(struct rig *r)
{
	unsigned before = r->reads;

	beam_store_read(r->store, have_read, r);
	assert_int_equal(r->reads, before);
	LOOP_UNTIL(r->loop, r->reads > before);
}

static void
lock_it(struct rig *r)
{
	unsigned before = r->locks;

	beam_store_lock(r->store, locked, r);
	assert_int_equal(r->locks, before);
	LOOP_UNTIL(r->loop, r->locks > before);
}

static void
commit_it(struct rig *r)
{
	unsigned before = r->commits;

	beam_store_commit(r->store, committed, r);
	assert_int_equal(r->commits, before);
	LOOP_UNTIL(r->loop, r->commits > before);
	assert_false(beam_store_is_locked(r->store));
}

static void
add_beam(struct rig *r, unsigned partition)
{
	beam_record_add_task(
	    beam_data_add(r->locked, hour.start, hour, partition), "id", "f");
}

static void
test_written_and_read(void **state)
{
	struct rig *r = *state;

	read_it(r);
	assert_int_equal(r->result, RESULT_OK);
	assert_int_equal(r->beams, 0);
	assert_false(beam_store_is_locked(r->store));
	lock_it(r);
	assert_true(beam_store_is_locked(r->store));
	add_beam(r, 0);
	commit_it(r);
	assert_int_equal(r->result, RESULT_OK);
	close_store(r);
	open_store(r);
	read_it(r);
	assert_int_equal(r->beams, 1);
	lock_it(r);
	assert_string_equal(
	    beam_data_find(r->locked, hour.start, 0)->tasks[0].id, "id");
	add_beam(r, 1);
	commit_it(r);
	read_it(r);
	assert_int_equal(r->beams, 2);
}

/* What was changed and not committed was never there. */
static void
test_released(void **state)
{
	struct rig *r = *state;

	lock_it(r);
	add_beam(r, 0);
	beam_store_release(r->store);
	assert_false(beam_store_is_locked(r->store));
	read_it(r);
	assert_int_equal(r->beams, 0);
	beam_store_lock(r->store, locked, r);
	beam_store_release(r->store); /* while it is waited for */
	read_it(r);
	assert_int_equal(r->locks, 1);
	assert_false(beam_store_is_locked(r->store));
	lock_it(r);
	assert_int_equal(r->beams, 0);
}

static void
test_disk_fails(void **state)
{
	struct rig *r = *state;
	char error[600];

	lock_it(r);
	add_beam(r, 0);
	disk_fails = true;
	commit_it(r);
	assert_int_equal(r->result, RESULT_RETRY);
	disk_fails = false;
	assert_true(spool_failed(r->spool)); /* the worker sees that */
	read_it(r); /* not "there are none" */
	assert_int_equal(r->result, RESULT_RETRY);
	lock_it(r);
	assert_int_equal(r->result, RESULT_RETRY);
	assert_false(beam_store_is_locked(r->store));
	assert_true(spool_reopen(r->spool, error, sizeof error));
	lock_it(r);
	assert_int_equal(r->beams, 0);
	add_beam(r, 0);
	commit_it(r);
	assert_int_equal(r->result, RESULT_OK);
	read_it(r);
	assert_int_equal(r->beams, 1);
}

static void
test_garbage(void **state)
{
	struct rig *r = *state;
	char error[600];

	spool_begin(r->spool);
	spool_set_document(r->spool, "beams", "{\"beams\":7}", 11);
	assert_int_equal(
	    spool_commit(r->spool, error, sizeof error), RESULT_OK);
	read_it(r);
	assert_int_equal(r->result, RESULT_REFUSED);
	lock_it(r);
	assert_int_equal(r->result, RESULT_REFUSED);
	assert_null(r->locked);
	assert_false(beam_store_is_locked(r->store));
}

static void
test_freed_under_way(void **state)
{
	struct rig *r = *state;

	beam_store_read(r->store, have_read, r);
	beam_store_lock(r->store, locked, r);
	beam_store_free(&r->store);
	loop_poll(r->loop);
	loop_once(r->loop);
	assert_int_equal(r->reads + r->locks, 0);
	r->store = beam_store_local_new(r->loop, r->spool);
	lock_it(r);
	beam_store_commit(r->store, committed, r);
	beam_store_free(&r->store);
	loop_poll(r->loop);
	loop_once(r->loop);
	assert_int_equal(r->commits, 0);
}

static int
quiet(void **state)
{
	(void)state;
	log_use(open("/dev/null", O_WRONLY | O_CLOEXEC), LOG_LEVEL_ERROR,
	    LOG_FORMAT_TEXT);
	return 0;
}

#define STORE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(test_written_and_read),
		STORE_TEST(test_released),
		STORE_TEST(test_disk_fails),
		STORE_TEST(test_garbage),
		STORE_TEST(test_freed_under_way),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
