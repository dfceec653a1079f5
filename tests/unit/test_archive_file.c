/*
 * test_archive_file - archive files, written and read back by a reindex
 */
#include "archive_file.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "panic.h"
#include "tranqctl_rows.h"

#define ROWS 20000

struct rig {
	char dir[64];
	char *paths[2];
};

static int
set_up(void **state)
{
	struct rig *r = must_calloc(1, sizeof *r);

	strcpy(r->dir, "/tmp/test_archive_XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	r->paths[0] = must_format("%s/a", r->dir);
	r->paths[1] = must_format("%s/b", r->dir);
	*state = r;
	return 0;
}

static int
tear_down(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 2; i++) {
		unlink(r->paths[i]);
		free(r->paths[i]);
	}
	assert_int_equal(rmdir(r->dir), 0); /* nothing else is left */
	free(r);
	return 0;
}

static void
write_rows(struct rig *r, const char *name, int first, int count)
{
	struct archive_file *f = archive_file_new(r->dir, name);
	uint64_t size = 0;

	assert_non_null(f);
	for (int i = first; i < first + count; i++) {
		char *row = must_format("{\"n\":%d,\"x\":\"%d\"}\n", i, i * 7);

		assert_true(archive_file_add(f, row, strlen(row)));
		free(row);
	}
	assert_true(archive_file_seal(&f, &size));
	assert_null(f);
	assert_true(size > 0);
}

/* All rows, a share at a time; how many shares there were. */
static unsigned
read_rows(struct rig *r, size_t files, uint64_t most, int wanted)
{
	struct rows_place at = { 0 };
	unsigned shares = 0;
	char error[512];
	struct buf b;
	int next = 0;

	buf_init(&b, SIZE_MAX);
	for (;; shares++) {
		char *line, *rest;

		buf_reset(&b);
		assert_true(rows_read(&b, r->paths, files, &at, most, error));
		if (b.used == 0)
			break;
		assert_true(b.used <= MAX_OF(most, 64));
		assert_int_equal(b.bytes[b.used - 1], '\n');
		buf_text(&b);
		for (rest = b.bytes; *rest != '\0';) {
			char *row = must_format(
			    "{\"n\":%d,\"x\":\"%d\"}", next, next * 7);

			line = strsep(&rest, "\n");
			assert_string_equal(line, row);
			free(row);
			next++;
		}
	}
	assert_int_equal(next, wanted);
	buf_free(&b);
	return shares;
}

static void
test_there_and_back(void **state)
{
	struct rig *r = *state;

	write_rows(r, "a", 0, ROWS);
	assert_int_equal(read_rows(r, 1, UINT64_MAX, ROWS), 1);
	assert_true(read_rows(r, 1, 10000, ROWS) > 10);
}

/* Shares go over the end of a file; the smallest ones have one row. */
static void
test_several_files(void **state)
{
	struct rig *r = *state;

	write_rows(r, "a", 0, 100);
	write_rows(r, "b", 100, 100);
	assert_int_equal(read_rows(r, 2, UINT64_MAX, 200), 1);
	assert_int_equal(read_rows(r, 2, 1, 200), 200);
	for (uint64_t most = 20; most < 200; most += 7)
		read_rows(r, 2, most, 200);
}

static void
test_given_up(void **state)
{
	struct rig *r = *state;
	struct archive_file *f = archive_file_new(r->dir, "a");

	assert_true(archive_file_add(f, "{}\n", 3));
	archive_file_free(&f);
	assert_int_equal(access(r->paths[0], F_OK), -1);
	assert_null(archive_file_new("/nowhere/at/all", "a"));
	assert_int_equal(errno, ENOENT);
}

/* What an earlier try left is not in it. */
static void
test_overwritten(void **state)
{
	struct rig *r = *state;
	char *left = must_format("%s/.a.tmp", r->dir);
	FILE *f = fopen(left, "w");

	for (int i = 0; i < 10000; i++)
		fputs("left behind ", f);
	fclose(f);
	write_rows(r, "a", 0, 3);
	read_rows(r, 1, UINT64_MAX, 3);
	free(left);
}

static void
test_damaged(void **state)
{
	struct rig *r = *state;
	struct rows_place at = { 0 };
	char error[512];
	struct buf b;
	FILE *f;

	write_rows(r, "a", 0, ROWS);
	assert_int_equal(truncate(r->paths[0], 1000), 0);
	buf_init(&b, SIZE_MAX);
	assert_false(rows_read(&b, r->paths, 1, &at, UINT64_MAX, error));
	assert_non_null(strstr(error, "ends in the middle"));
	f = fopen(r->paths[0], "w");
	fputs("{\"not\":\"compressed\"}\n", f);
	fclose(f);
	at = (struct rows_place){ 0 };
	assert_false(rows_read(&b, r->paths, 1, &at, UINT64_MAX, error));
	assert_non_null(strstr(error, "not in zstd format"));
	buf_free(&b);
}

#define FILE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		FILE_TEST(test_there_and_back),
		FILE_TEST(test_several_files),
		FILE_TEST(test_given_up),
		FILE_TEST(test_overwritten),
		FILE_TEST(test_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
