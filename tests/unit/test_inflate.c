/*
 * test_inflate - compressed bodies of each kind: members, damage, limits,
 * bombs, what is kept, no memory
 */
#include "inflate.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <zlib.h>
#include <zstd.h>

#define PADDING 64

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#ifndef HAS_ASAN
#define HAS_ASAN 0
#endif

enum kind { GZIP, ZLIB, RAW, ZSTD, ZSTD_UNSIZED, KINDS };

static const enum inflate_coding coding_of[KINDS] = { INFLATE_GZIP,
	INFLATE_DEFLATE, INFLATE_DEFLATE, INFLATE_ZSTD, INFLATE_ZSTD };

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

static size_t
zip_zlib(enum kind kind, const char *text, size_t bytes, char *out, size_t size)
{
	static const int windows[] = { 31, 15, -15 };
	z_stream s = { 0 };
	size_t zipped;

	assert_int_equal(deflateInit2(&s, 9, Z_DEFLATED, windows[kind], 8,
			     Z_DEFAULT_STRATEGY),
	    Z_OK);
	s.next_in = (Bytef *)(uintptr_t)text;
	s.avail_in = (uInt)bytes;
	s.next_out = (Bytef *)out;
	s.avail_out = (uInt)size;
	assert_int_equal(deflate(&s, Z_FINISH), Z_STREAM_END);
	zipped = s.total_out;
	deflateEnd(&s);
	return zipped;
}

static size_t
zip_zstd(ZSTD_CCtx *c, const char *text, size_t bytes, char *out, size_t size)
{
	ZSTD_inBuffer from = { text, bytes, 0 };
	ZSTD_outBuffer to = { out, size, 0 };

	ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
	assert_false(
	    ZSTD_isError(ZSTD_compressStream2(c, &to, &from, ZSTD_e_continue)));
	assert_int_equal(ZSTD_compressStream2(c, &to, &from, ZSTD_e_end), 0);
	ZSTD_freeCCtx(c);
	return to.pos;
}

/* One member, to be freed. */
static char *
zip(enum kind kind, const char *text, size_t bytes, size_t *zipped)
{
	size_t size = bytes + bytes / 100 + 200;
	char *out = malloc(size);
	ZSTD_CCtx *c;

	assert_non_null(out);
	if (kind < ZSTD) {
		*zipped = zip_zlib(kind, text, bytes, out, size);
		return out;
	}
	c = ZSTD_createCCtx();
	if (kind == ZSTD)
		ZSTD_CCtx_setPledgedSrcSize(c, bytes);
	*zipped = zip_zstd(c, text, bytes, out, size);
	return out;
}

static enum inflate_result
decode(enum inflate_coding coding, const char *from, size_t bytes, size_t max,
    size_t ratio)
{
	/* nothing readable behind the input */
	char *copy = malloc(bytes > 0 ? bytes : 1);
	struct inflate_input in = { .coding = coding,
		.from = copy,
		.bytes = bytes,
		.max_bytes = max,
		.max_ratio = ratio,
		.padding = PADDING };
	enum inflate_result result;

	assert_non_null(copy);
	memcpy(copy, from, bytes);
	result = inflate_decode(&inflater, &in);
	free(copy);
	if (result == INFLATE_DONE)
		memset(inflater.bytes + inflater.used, 0, PADDING);
	if (result == INFLATE_MALFORMED)
		assert_non_null(inflater.reason);
	return result;
}

static enum inflate_result
run(enum kind kind, const char *from, size_t bytes, size_t max)
{
	return decode(coding_of[kind], from, bytes, max, 0);
}

static void
assert_out(const char *text)
{
	assert_int_equal(inflater.used, strlen(text));
	assert_memory_equal(inflater.bytes, text, strlen(text));
}

/* In turns, so that each follows on each. */
static void
one_member(void **state UNUSED)
{
	char *z[KINDS];
	size_t n[KINDS];

	for (enum kind k = 0; k < KINDS; k++)
		z[k] = zip(k, "hello", 5, &n[k]);
	for (enum kind k = 0; k < KINDS; k++)
		for (enum kind l = 0; l < KINDS; l++) {
			assert_int_equal(run(k, z[k], n[k], 5), INFLATE_DONE);
			assert_out("hello");
			assert_int_equal(run(l, z[l], n[l], 100), INFLATE_DONE);
			assert_out("hello");
		}
	for (enum kind k = 0; k < KINDS; k++)
		free(z[k]);
}

static void
several_members(void **state UNUSED)
{
	for (enum kind k = 0; k < KINDS; k++) {
		size_t n, m;
		char *a = zip(k, "hello ", 6, &n), *b = zip(k, "", 0, &m);
		char *all = malloc(2 * n + m);

		assert_non_null(all);
		memcpy(all, a, n);
		memcpy(all + n, b, m);
		memcpy(all + n + m, a, n);
		assert_int_equal(run(k, all, 2 * n + m, 100), INFLATE_DONE);
		assert_out("hello hello ");
		assert_int_equal(run(k, all, 2 * n + m, 12), INFLATE_DONE);
		assert_int_equal(run(k, all, 2 * n + m, 11), INFLATE_TOO_LARGE);
		assert_int_equal(run(k, b, m, 0), INFLATE_DONE);
		assert_int_equal(inflater.used, 0);
		free(a);
		free(b);
		free(all);
	}
}

/* zstd frames with and without their size, and skippable ones. */
static void
mixed_frames(void **state UNUSED)
{
	static const char skippable[] = "\x5a\x2a\x4d\x18\x03\0\0\0abc";
	char all[400];
	size_t n, at = 0;

	for (int i = 0; i < 6; i++) {
		char *z = zip(i % 2 ? ZSTD : ZSTD_UNSIZED, "hello", 5, &n);

		memcpy(all + at, z, n);
		at += n;
		free(z);
		memcpy(all + at, skippable, sizeof skippable - 1);
		at += sizeof skippable - 1;
	}
	assert_int_equal(run(ZSTD, all, at, 30), INFLATE_DONE);
	assert_out("hellohellohellohellohellohello");
	assert_int_equal(run(ZSTD, all, at - 1, 30), INFLATE_MALFORMED);
	assert_int_equal(
	    run(ZSTD, skippable, sizeof skippable - 1, 30), INFLATE_DONE);
	assert_int_equal(inflater.used, 0);
}

static void
damaged(void **state UNUSED)
{
	/* from the end: in the check sum */
	static const size_t sums[KINDS] = { 6, 2, 0, 2, 2 };

	for (enum kind k = 0; k < KINDS; k++) {
		size_t n;
		char *z = zip(k, "hello, hello, hello", 19, &n);

		for (size_t cut = 0; cut < n; cut++)
			assert_int_equal(
			    run(k, z, cut, 100), INFLATE_MALFORMED);
		if (sums[k] > 0) {
			z[n - sums[k]] ^= 1;
			assert_int_equal(run(k, z, n, 100), INFLATE_MALFORMED);
			z[n - sums[k]] ^= 1;
		}
		z[0] = (char)(z[0] ^ 6);
		assert_int_equal(run(k, z, n, 100), INFLATE_MALFORMED);
		z[0] = (char)(z[0] ^ 6);
		assert_int_equal(run(k, z, n, 100), INFLATE_DONE);
		free(z);
		assert_int_equal(
		    run(k, "{\"time\":1}", 10, 100), INFLATE_MALFORMED);
		for (enum kind l = 0; l < KINDS; l++) {
			if (coding_of[l] == coding_of[k])
				continue;
			z = zip(l, "hello", 5, &n);
			assert_int_equal(run(k, z, n, 100), INFLATE_MALFORMED);
			free(z);
		}
	}
}

static void
garbage_behind(void **state UNUSED)
{
	for (enum kind k = 0; k < KINDS; k++) {
		size_t n;
		char *z = zip(k, "hello", 5, &n), *more = malloc(n + 200);

		assert_non_null(more);
		memcpy(more, z, n);
		memset(more + n, 0, 20);
		for (size_t i = 1; i <= 20; i++)
			assert_int_equal(
			    run(k, more, n + i, 100), INFLATE_MALFORMED);
		more[n] = '\n';
		assert_int_equal(run(k, more, n + 1, 100), INFLATE_MALFORMED);
		/* a second member that is cut */
		for (size_t cut = 1; cut < n; cut++) {
			memcpy(more + n, z, cut);
			assert_int_equal(
			    run(k, more, n + cut, 100), INFLATE_MALFORMED);
		}
		free(z);
		free(more);
	}
}

/* What stands behind a zlib member is not guessed at. */
static void
one_wrapper_a_body(void **state UNUSED)
{
	size_t n, m;
	char *a = zip(ZLIB, "hello", 5, &n), *b = zip(RAW, "hello", 5, &m);
	char all[100];

	memcpy(all, a, n);
	memcpy(all + n, b, m);
	assert_int_equal(run(ZLIB, all, n + m, 100), INFLATE_MALFORMED);
	memcpy(all, b, m);
	memcpy(all + m, a, n);
	assert_int_equal(run(RAW, all, n + m, 100), INFLATE_MALFORMED);
	free(a);
	free(b);
}

static void
limits(void **state UNUSED)
{
	enum { BYTES = 10 * 1000 * 1000 };
	char *text = malloc(BYTES);

	assert_non_null(text);
	srand(1);
	for (enum kind k = 0; k < KINDS; k++) {
		size_t n;
		char *z;

		memset(text, ' ', BYTES);
		z = zip(k, text, BYTES, &n);
		assert_int_equal(run(k, z, n, BYTES), INFLATE_DONE);
		assert_int_equal(inflater.used, BYTES);
		assert_int_equal(run(k, z, n, BYTES - 1), INFLATE_TOO_LARGE);
		inflate_trim(&inflater, 0);
		assert_int_equal(run(k, z, n, 1024), INFLATE_TOO_LARGE);
		assert_true(inflater.size <= 1025 + PADDING);
		assert_int_equal(run(k, z, n, 0), INFLATE_TOO_LARGE);
		free(z);
		/* bytes that do not shrink */
		for (int i = 0; i < BYTES; i++)
			text[i] = (char)rand();
		z = zip(k, text, BYTES, &n);
		assert_int_equal(run(k, z, n, BYTES), INFLATE_DONE);
		assert_memory_equal(inflater.bytes, text, BYTES);
		free(z);
		inflate_trim(&inflater, 1024);
	}
	free(text);
}

/* 1 MiB may always come; above it the ratio holds. */
static void
ratios(void **state UNUSED)
{
	enum { FREE = INFLATE_FREE_BYTES, BOMB = 32 * 1024 * 1024 };
	static char text[BOMB];

	for (enum kind k = 0; k < KINDS; k++) {
		enum inflate_coding c = coding_of[k];
		size_t n, exact;
		char *z = zip(k, text, FREE, &n);

		assert_int_equal(decode(c, z, n, BOMB, 1), INFLATE_DONE);
		free(z);
		z = zip(k, text, FREE + 1, &n);
		assert_int_equal(decode(c, z, n, BOMB, 1), INFLATE_TOO_DENSE);
		assert_int_equal(decode(c, z, n, FREE, 1), INFLATE_TOO_LARGE);
		assert_int_equal(decode(c, z, n, BOMB, 0), INFLATE_DONE);
		free(z);
		inflate_trim(&inflater, 0);
		z = zip(k, text, BOMB, &n);
		assert_int_equal(
		    decode(c, z, n, BOMB, 1000), INFLATE_TOO_DENSE);
		/* no more memory than was let through */
		assert_true(inflater.size <=
		    MAX_OF(n * 1000, (size_t)FREE) + 1 + PADDING);
		exact = (BOMB + n - 1) / n;
		assert_int_equal(decode(c, z, n, BOMB, exact), INFLATE_DONE);
		assert_int_equal(
		    decode(c, z, n, BOMB, exact - 1), INFLATE_TOO_DENSE);
		free(z);
		inflate_trim(&inflater, 0);
	}
}

static void
zstd_windows(void **state UNUSED)
{
	enum { BYTES = 20 * 1024 * 1024 };
	char *text = calloc(1, BYTES), *out = malloc(BYTES);

	assert_non_null(text);
	assert_non_null(out);
	for (int log = 20; log <= 27; log++) {
		ZSTD_CCtx *c = ZSTD_createCCtx();
		size_t n;

		ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, log);
		n = zip_zstd(c, text, BYTES, out, BYTES);
		if (log <= 23) {
			assert_int_equal(
			    run(ZSTD, out, n, BYTES), INFLATE_DONE);
			assert_int_equal(inflater.used, BYTES);
			continue;
		}
		assert_int_equal(run(ZSTD, out, n, BYTES), INFLATE_MALFORMED);
		assert_non_null(strstr(inflater.reason, "8 MiB"));
	}
	free(text);
	free(out);
}

static void
foreign_frames(void **state UNUSED)
{
	/* zstd 0.7's magic number, then what its decoder would take */
	static const char old[] = "\x27\xb5\x2f\xfd\x20\x00\xc0\0\0";
	char dictionary[200], out[300];
	z_stream s = { 0 };

	assert_int_equal(
	    run(ZSTD, old, sizeof old - 1, 100), INFLATE_MALFORMED);
	assert_string_equal(inflater.reason, "not in zstd format");

	/* dictionary 7, no bytes, one empty block */
	assert_int_equal(run(ZSTD, "\x28\xb5\x2f\xfd\x21\x07\0\x01\0\0", 10, 9),
	    INFLATE_MALFORMED);
	assert_int_equal(
	    run(ZSTD, "\x28\xb5\x2f\xfd\x20\0\x01\0\0", 9, 9), INFLATE_DONE);

	memset(dictionary, 'x', sizeof dictionary);
	assert_int_equal(deflateInit(&s, 9), Z_OK);
	deflateSetDictionary(&s, (Bytef *)dictionary, sizeof dictionary);
	s.next_in = (Bytef *)dictionary;
	s.avail_in = sizeof dictionary;
	s.next_out = (Bytef *)out;
	s.avail_out = sizeof out;
	assert_int_equal(deflate(&s, Z_FINISH), Z_STREAM_END);
	assert_int_equal(run(ZLIB, out, s.total_out, 1000), INFLATE_MALFORMED);
	assert_string_equal(inflater.reason, "it needs a dictionary");
	deflateEnd(&s);
}

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Members by the hundred thousand, empty and of one byte, take milliseconds;
 * anything that grew with their square would take minutes. */
static void
many_members(void **state UNUSED)
{
	enum { MEMBERS = 200 * 1000 };

	for (enum kind k = 0; k < KINDS; k++)
		for (size_t bytes = 0; bytes <= 1; bytes++) {
			size_t n;
			char *z = zip(k, "x", bytes, &n);
			char *all = malloc(n * MEMBERS);
			double from;

			assert_non_null(all);
			for (size_t i = 0; i < MEMBERS; i++)
				memcpy(all + i * n, z, n);
			from = seconds();
			assert_int_equal(
			    run(k, all, n * MEMBERS, MEMBERS), INFLATE_DONE);
			assert_true(seconds() - from < 10);
			assert_int_equal(inflater.used, bytes * MEMBERS);
			free(z);
			free(all);
		}
}

/* Small bodies allocate nothing, after refused ones neither. */
static void
contexts_are_kept(void **state UNUSED)
{
	void *stream, *context;
	char *bytes;

	for (enum kind k = 0; k < KINDS; k++) {
		size_t n;
		char *z = zip(k, "hello", 5, &n);

		assert_int_equal(run(k, z, n, 100), INFLATE_DONE);
		free(z);
	}
	stream = inflater.stream;
	context = inflater.unzstd.context;
	bytes = inflater.bytes;
	for (enum kind k = 0; k < KINDS; k++) {
		size_t n;
		char *z = zip(k, "hello", 5, &n);

		assert_int_equal(run(k, z, n - 1, 100), INFLATE_MALFORMED);
		assert_int_equal(run(k, z, n, 4), INFLATE_TOO_LARGE);
		assert_int_equal(run(k, z, n, 100), INFLATE_DONE);
		free(z);
		assert_ptr_equal(inflater.stream, stream);
		assert_ptr_equal(inflater.unzstd.context, context);
		assert_ptr_equal(inflater.bytes, bytes);
	}
}

static void
take_and_trim(void **state UNUSED)
{
	size_t n, size;
	char *z = zip(GZIP, "hello", 5, &n), *taken;

	assert_int_equal(run(GZIP, z, n, 100), INFLATE_DONE);
	taken = inflate_take(&inflater, &size);
	assert_memory_equal(taken, "hello", 5);
	assert_true(size >= 5 + PADDING);
	free(taken);
	assert_null(inflater.bytes);
	assert_int_equal(run(GZIP, z, n, 100), INFLATE_DONE);
	inflate_trim(&inflater, inflater.size);
	assert_non_null(inflater.bytes);
	inflate_trim(&inflater, 1);
	assert_null(inflater.bytes);
	assert_int_equal(run(GZIP, z, n, 100), INFLATE_DONE);
	free(z);
}

static rlim_t
address_space(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu", &pages), 1);
	fclose(f);
	return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

/* Leaves `spare` bytes of address space; with 0, nothing of the heap either. */
static enum inflate_result
starve(enum kind k, const char *z, size_t n, size_t spare)
{
	struct piece {
		struct piece *next;
	} *taken = NULL, *p;
	struct rlimit old, limit;
	struct inflate_input in = { .coding = coding_of[k],
		.from = z,
		.bytes = n,
		.max_bytes = 64u * MiB,
		.padding = PADDING };
	enum inflate_result result;

	assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);
	limit = old;
	limit.rlim_cur = address_space() + spare;
	assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
	for (size_t size = 64u * KiB; spare == 0 && size >= sizeof *p;
	     size /= 2)
		while ((p = malloc(size)) != NULL) {
			p->next = taken;
			taken = p;
		}
	result = inflate_decode(&inflater, &in);
	for (; taken != NULL; taken = p) {
		p = taken->next;
		free(taken);
	}
	assert_int_equal(setrlimit(RLIMIT_AS, &old), 0);
	return result;
}

static void
no_memory(void **state UNUSED)
{
	enum { BYTES = 32 * 1024 * 1024 };
	char *text, *z;
	size_t n;

	if (HAS_ASAN)
		skip();
	assert_non_null(text = calloc(1, BYTES));
	/* what is large comes from the kernel, not from an old heap */
	mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	malloc_trim(0);
	for (enum kind k = 0; k < KINDS; k++) {
		z = zip(k, text, BYTES, &n);
		/* no context, no window, no output: in turn; then all goes */
		for (size_t spare = 0; spare <= 16u * MiB; spare += 2u * MiB) {
			inflate_fini(&inflater);
			assert_int_equal(
			    starve(k, z, n, spare), INFLATE_NO_MEMORY);
			assert_int_equal(
			    starve(k, z, n, spare), INFLATE_NO_MEMORY);
		}
		assert_int_equal(run(k, z, n, BYTES), INFLATE_DONE);
		assert_int_equal(inflater.used, BYTES);
		inflate_trim(&inflater, 0);
		assert_int_equal(starve(k, z, n, 0), INFLATE_NO_MEMORY);
		free(z);
	}
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_member),
		cmocka_unit_test(several_members),
		cmocka_unit_test(mixed_frames),
		cmocka_unit_test(damaged),
		cmocka_unit_test(garbage_behind),
		cmocka_unit_test(one_wrapper_a_body),
		cmocka_unit_test(limits),
		cmocka_unit_test(ratios),
		cmocka_unit_test(zstd_windows),
		cmocka_unit_test(foreign_frames),
		cmocka_unit_test(many_members),
		cmocka_unit_test(contexts_are_kept),
		cmocka_unit_test(take_and_trim),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
