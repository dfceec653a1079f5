/*
 * test_sandbox_producer - producer sequences as a firehose keeps them
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "sandbox_producer.h"

static enum producer_verdict
record(struct producers *p, const char *id, const char *sequence)
{
	const struct producer_call c = { .id = id,
		.sequence = sequence,
		.id_bytes = strlen(id),
		.sequence_bytes = strlen(sequence) };
	struct producer *one;

	return sandbox_producers_record(p, &c, &one);
}

static void
test_sequences(void **state)
{
	struct producers p;

	(void)state;
	sandbox_producers_init(&p);
	assert_int_equal(
	    record(&p, "a", "-9223372036854775808"), PRODUCER_EQUAL);
	assert_int_equal(
	    record(&p, "a", "-9223372036854775807"), PRODUCER_NEWER);
	assert_int_equal(record(&p, "a", "+5"), PRODUCER_NEWER);
	assert_int_equal(record(&p, "a", "5"), PRODUCER_EQUAL);
	assert_int_equal(record(&p, "a", "4"), PRODUCER_OLDER);
	assert_int_equal(record(&p, "b", "4"), PRODUCER_NEWER);
	assert_int_equal(
	    record(&p, "a", "9223372036854775807"), PRODUCER_NEWER);
	sandbox_producers_fini(&p);
}

static void
test_no_numbers(void **state)
{
	static const char *const texts[] = { "", "-", "+", "x", "1x", "1.0",
		" 1", "1 ", "--1", "0x10", "9223372036854775808",
		"-9223372036854775809", "00000000000000000000000000000000001" };
	struct producers p;

	(void)state;
	sandbox_producers_init(&p);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (record(&p, "a", texts[i]) != PRODUCER_NO_NUMBER)
			fail_msg("taken as a number: %s", texts[i]);
	/* none of them was recorded */
	assert_int_equal(
	    record(&p, "a", "-9223372036854775807"), PRODUCER_NEWER);
	sandbox_producers_fini(&p);
}

static void
test_limit(void **state)
{
	struct producers p;
	char id[16];

	(void)state;
	sandbox_producers_init(&p);
	for (unsigned i = 0; i < PRODUCERS_MAX - 1; i++) {
		snprintf(id, sizeof id, "p%u", i);
		assert_int_equal(record(&p, id, "1"), PRODUCER_NEWER);
	}
	assert_int_equal(record(&p, "p0", "2"), PRODUCER_NEWER);
	assert_int_equal(record(&p, "new", "1"), PRODUCER_TOO_MANY);
	assert_int_equal(record(&p, "p0", "3"), PRODUCER_TOO_MANY);
	assert_int_equal(record(&p, "newer", "1"), PRODUCER_TOO_MANY);
	assert_int_equal(text_map_count(&p.by_id), PRODUCERS_MAX);
	sandbox_producers_fini(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sequences),
		cmocka_unit_test(test_no_numbers),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
