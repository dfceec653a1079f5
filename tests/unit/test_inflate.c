/*
 * test_inflate - gzip bodies: members, damage, limits
 */
#include "inflate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#define PADDING 64

static struct inflater inflater;

static int
set_up(void **state UNUSED)
{
	inflate_init(&inflater);
	return 0;
}

static int
tear_down(void **state UNUSED)
{
	inflate_fini(&inflater);
	return 0;
}

/* One gzip member, to be freed. */
static char *
zip(const char *text, size_t bytes, size_t *zipped)
{
	z_stream s = { 0 };
	size_t size = bytes + bytes / 100 + 100;
	char *out = malloc(size);

	assert_non_null(out);
	assert_int_equal(
	    deflateInit2(&s, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	s.next_in = (Bytef *)(uintptr_t)text;
	s.avail_in = (uInt)bytes;
	s.next_out = (Bytef *)out;
	s.avail_out = (uInt)size;
	assert_int_equal(deflate(&s, Z_FINISH), Z_STREAM_END);
	*zipped = s.total_out;
	deflateEnd(&s);
	return out;
}

static enum inflate_result
run(const char *from, size_t bytes, size_t max)
{
	/* nothing readable behind the input */
	char *copy = malloc(bytes > 0 ? bytes : 1);
	enum inflate_result result;

	assert_non_null(copy);
	memcpy(copy, from, bytes);
	result = inflate_gzip(&inflater, copy, bytes, max, PADDING);
	free(copy);
	if (result == INFLATE_DONE)
		memset(inflater.bytes + inflater.used, 0, PADDING);
	if (result == INFLATE_MALFORMED)
		assert_non_null(inflater.reason);
	return result;
}

static void
one_member(void **state UNUSED)
{
	size_t n;
	char *z = zip("hello", 5, &n);

	for (int i = 0; i < 3; i++) {
		assert_int_equal(run(z, n, 100), INFLATE_DONE);
		assert_int_equal(inflater.used, 5);
		assert_memory_equal(inflater.bytes, "hello", 5);
	}
	free(z);
}

static void
several_members(void **state UNUSED)
{
	size_t n, m;
	char *a = zip("hello ", 6, &n), *b = zip("", 0, &m);
	char *all = malloc(2 * n + m);

	assert_non_null(all);
	memcpy(all, a, n);
	memcpy(all + n, b, m);
	memcpy(all + n + m, a, n);
	assert_int_equal(run(all, 2 * n + m, 100), INFLATE_DONE);
	assert_int_equal(inflater.used, 12);
	assert_memory_equal(inflater.bytes, "hello hello ", 12);
	free(a);
	free(b);
	free(all);
}

static void
damaged(void **state UNUSED)
{
	size_t n;
	char *z = zip("hello, hello, hello", 19, &n);

	for (size_t cut = 0; cut < n; cut++)
		assert_int_equal(run(z, cut, 100), INFLATE_MALFORMED);
	z[n - 6] ^= 1; /* the check sum */
	assert_int_equal(run(z, n, 100), INFLATE_MALFORMED);
	z[n - 6] ^= 1;
	z[0] ^= 1;
	assert_int_equal(run(z, n, 100), INFLATE_MALFORMED);
	free(z);
	assert_int_equal(run("{\"time\":1}", 10, 100), INFLATE_MALFORMED);
}

static void
garbage_behind(void **state UNUSED)
{
	size_t n;
	char *z = zip("hello", 5, &n), *more = malloc(n + 20);

	assert_non_null(more);
	memcpy(more, z, n);
	memset(more + n, 0, 20);
	assert_int_equal(run(more, n + 1, 100), INFLATE_MALFORMED);
	assert_int_equal(run(more, n + 20, 100), INFLATE_MALFORMED);
	/* a second member that is cut */
	memcpy(more + n, z, 15);
	assert_int_equal(run(more, n + 15, 100), INFLATE_MALFORMED);
	free(z);
	free(more);
}

static void
limits(void **state UNUSED)
{
	enum { BYTES = 10 * 1000 * 1000 };
	size_t n;
	char *text = malloc(BYTES), *z;

	assert_non_null(text);
	memset(text, ' ', BYTES);
	z = zip(text, BYTES, &n);
	assert_int_equal(run(z, n, BYTES), INFLATE_DONE);
	assert_int_equal(inflater.used, BYTES);
	assert_int_equal(run(z, n, BYTES - 1), INFLATE_TOO_LARGE);
	assert_int_equal(run(z, n, 1024), INFLATE_TOO_LARGE);
	assert_int_equal(run(z, n, 0), INFLATE_TOO_LARGE);
	free(z);
	/* bytes that do not shrink */
	srand(1);
	for (int i = 0; i < BYTES; i++)
		text[i] = (char)rand();
	z = zip(text, BYTES, &n);
	assert_int_equal(run(z, n, BYTES), INFLATE_DONE);
	assert_memory_equal(inflater.bytes, text, BYTES);
	free(z);
	free(text);
}

static void
take_and_trim(void **state UNUSED)
{
	size_t n, size;
	char *z = zip("hello", 5, &n), *taken;

	assert_int_equal(run(z, n, 100), INFLATE_DONE);
	taken = inflate_take(&inflater, &size);
	assert_memory_equal(taken, "hello", 5);
	assert_true(size >= 5 + PADDING);
	free(taken);
	assert_null(inflater.bytes);
	assert_int_equal(run(z, n, 100), INFLATE_DONE);
	inflate_trim(&inflater, inflater.size);
	assert_non_null(inflater.bytes);
	inflate_trim(&inflater, 1);
	assert_null(inflater.bytes);
	assert_int_equal(run(z, n, 100), INFLATE_DONE);
	free(z);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_member),
		cmocka_unit_test(several_members),
		cmocka_unit_test(damaged),
		cmocka_unit_test(garbage_behind),
		cmocka_unit_test(limits),
		cmocka_unit_test(take_and_trim),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
