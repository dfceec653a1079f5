/*
 * test_text_map - tools/text_map against a plain array, and tools/digest
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "digest.h"
#include "text_map.h"

#define KEYS 500
#define STEPS 200000

static void
test_empty(void **state)
{
	struct text_map m;
	size_t at = 0;

	(void)state;
	text_map_init(&m);
	assert_null(text_map_get(&m, "a", 1));
	assert_null(text_map_remove(&m, "a", 1));
	assert_null(text_map_next(&m, &at));
	assert_int_equal(text_map_count(&m), 0);
	text_map_fini(&m);
}

static void
test_prefixes_differ(void **state)
{
	struct text_map m;
	int a, b, c;

	(void)state;
	text_map_init(&m);
	assert_null(text_map_set(&m, "abc", 2, &a));
	assert_null(text_map_set(&m, "abc", 3, &b));
	assert_null(text_map_set(&m, "", 0, &c));
	assert_ptr_equal(text_map_get(&m, "abX", 2), &a);
	assert_ptr_equal(text_map_get(&m, "abc", 3), &b);
	assert_ptr_equal(text_map_get(&m, "", 0), &c);
	assert_null(text_map_get(&m, "abc", 1));
	assert_ptr_equal(text_map_set(&m, "abc", 3, &c), &b);
	assert_ptr_equal(text_map_get(&m, "abc", 3), &c);
	assert_int_equal(text_map_count(&m), 3);
	text_map_fini(&m);
}

static size_t
walked(const struct text_map *m)
{
	size_t at = 0, count = 0;

	while (text_map_next(m, &at) != NULL)
		count++;
	return count;
}

/* Random sets and removals, each compared with an array. */
static void
test_random(void **state)
{
	void *model[KEYS] = { 0 };
	static int values[KEYS];
	struct text_map m;
	size_t there = 0;
	uint32_t random = 1;

	(void)state;
	text_map_init(&m);
	for (unsigned i = 0; i < STEPS; i++) {
		char key[16];
		unsigned k, bytes;

		random = random * 1664525 + 1013904223;
		k = (random >> 8) % KEYS;
		bytes = (unsigned)snprintf(key, sizeof key, "key %u", k);
		assert_ptr_equal(text_map_get(&m, key, bytes), model[k]);
		if ((random & 3) != 0) {
			there += model[k] == NULL;
			assert_ptr_equal(
			    text_map_set(&m, key, bytes, &values[k]), model[k]);
			model[k] = &values[k];
		} else {
			there -= model[k] != NULL;
			assert_ptr_equal(
			    text_map_remove(&m, key, bytes), model[k]);
			model[k] = NULL;
		}
		assert_int_equal(text_map_count(&m), there);
	}
	assert_int_equal(walked(&m), there);
	assert_true(m.size <= 4096); /* graves do not pile up */
	text_map_fini(&m);
}

static void
test_digest_order(void **state)
{
	struct digest a = { 0 }, b = { 0 }, part = { 0 };
	char one[DIGEST_BYTES], two[DIGEST_BYTES];

	(void)state;
	digest_add(&a, "first", 5);
	digest_add(&a, "second", 6);
	digest_add(&b, "second", 6);
	digest_add(&part, "first", 5);
	digest_merge(&b, &part);
	assert_memory_equal(&a, &b, sizeof a);
	assert_int_equal(a.events, 2);
	assert_int_equal(a.bytes, 11);
	digest_format(&a, one);
	assert_int_equal(strncmp(one, "2-", 2), 0);
	/* the same event twice is not the same as none, nor as another */
	digest_add(&a, "x", 1);
	digest_add(&b, "y", 1);
	digest_format(&a, one);
	digest_format(&b, two);
	assert_string_not_equal(one, two);
}

/* Every byte and the length count, in each part of a step. */
static void
test_digest_bytes(void **state)
{
	char text[70];

	(void)state;
	memset(text, 'a', sizeof text);
	for (size_t bytes = 0; bytes < sizeof text; bytes++) {
		uint64_t h = digest_hash(text, bytes);

		assert_true(h != digest_hash(text, bytes + 1));
		for (size_t i = 0; i < bytes; i++) {
			text[i] = 'b';
			assert_true(h != digest_hash(text, bytes));
			text[i] = 'a';
		}
		assert_true(h == digest_hash(text, bytes));
	}
	assert_true(digest_hash("a\0", 2) != digest_hash("a", 1));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_prefixes_differ),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_digest_order),
		cmocka_unit_test(test_digest_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
