/*
 * test_drain_mark - since when a dataSource is being drained, on the disk
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "drain_mark.h"
#include "panic.h"

struct rig {
	char dir[32];
	char *path;
};

static int
set_up(void **state)
{
	struct rig *r = must_calloc(1, sizeof *r);

	strcpy(r->dir, "/tmp/test-mark-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	r->path = must_format("%s/draining", r->dir);
	*state = r;
	return 0;
}

static int
tear_down(void **state)
{
	struct rig *r = *state;

	(void)unlink(r->path);
	assert_int_equal(rmdir(r->dir), 0);
	free(r->path);
	free(r);
	return 0;
}

static void
test_set_and_clear(void **state)
{
	struct rig *r = *state;

	assert_int_equal(drain_mark_since(r->dir), 0);
	assert_true(drain_mark_clear(r->dir)); /* there is none */
	assert_true(drain_mark_set(r->dir, 1700000000123));
	assert_int_equal(drain_mark_since(r->dir), 1700000000123);
	/* since when, not when it was said last */
	assert_true(drain_mark_set(r->dir, 1700000009999));
	assert_int_equal(drain_mark_since(r->dir), 1700000000123);
	assert_true(drain_mark_clear(r->dir));
	assert_int_equal(drain_mark_since(r->dir), 0);
	assert_true(drain_mark_set(r->dir, 5));
	assert_int_equal(drain_mark_since(r->dir), 5);
}

/* Of an operator's own hand, say: it is there, and that counts. */
static void
test_without_a_time(void **state)
{
	struct rig *r = *state;
	int fd = open(r->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
	assert_true(drain_mark_since(r->dir) > 0);
	assert_true(drain_mark_set(r->dir, 1700000000123));
	assert_int_equal(drain_mark_since(r->dir), 1700000000123);
}

static void
test_in_the_way(void **state)
{
	struct rig *r = *state;

	assert_int_equal(mkdir(r->path, 0700), 0);
	assert_true(drain_mark_since(r->dir) > 0);
	assert_false(drain_mark_set(r->dir, 5));
	assert_int_equal(errno, EISDIR);
	assert_false(drain_mark_clear(r->dir));
	assert_int_equal(errno, EISDIR);
	assert_int_equal(rmdir(r->path), 0);
	assert_true(drain_mark_clear(r->dir));
}

static void
test_no_folder(void **state)
{
	(void)state;
	assert_int_equal(drain_mark_since("/tmp/no/such"), 0);
	assert_false(drain_mark_set("/tmp/no/such", 5));
	assert_int_equal(errno, ENOENT);
	assert_false(drain_mark_clear("/tmp/no/such"));
	assert_int_equal(errno, ENOENT);
}

#define MARK_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		MARK_TEST(test_set_and_clear),
		MARK_TEST(test_without_a_time),
		MARK_TEST(test_in_the_way),
		cmocka_unit_test(test_no_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
