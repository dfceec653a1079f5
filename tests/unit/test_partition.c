/*
 * test_partition - consistent hashing's promises
 *
 * That it picks what Guava picks is in test_partition_hash, by vectors.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "partition.h"

#define HASHES 20000

static int32_t
hash(unsigned i)
{
	return (int32_t)(i * 2654435761u);
}

static void
test_one_more_moves_only_to_it(void **state)
{
	(void)state;
	for (unsigned i = 0; i < HASHES; i++) {
		unsigned before = 0;

		for (unsigned n = 1; n <= 40; n++) {
			unsigned now = partition_pick(hash(i), n);

			assert_true(now < n);
			assert_true(now == before || now == n - 1);
			before = now;
		}
	}
}

static void
test_all_get_about_the_same(void **state)
{
	unsigned counts[10];

	(void)state;
	for (unsigned n = 1; n <= ARRAY_LEN(counts); n++) {
		memset(counts, 0, sizeof counts);
		for (unsigned i = 0; i < HASHES; i++)
			counts[partition_pick(hash(i), n)]++;
		for (unsigned p = 0; p < n; p++)
			assert_in_range(counts[p], HASHES / n * 8 / 10,
			    HASHES / n * 12 / 10);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_more_moves_only_to_it),
		cmocka_unit_test(test_all_get_about_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
