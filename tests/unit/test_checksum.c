/*
 * test_checksum - CRC-32C against RFC 3720, by the instruction and without
 *
 * The source is included, since which of the two runs is the machine's choice.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "checksum.c" /* NOLINT(bugprone-suspicious-include) */

typedef uint32_t crc_fn(uint32_t, const unsigned char *, size_t);

static uint32_t
whole(crc_fn *f, const void *at, size_t bytes)
{
	return ~f(~0u, at, bytes);
}

static crc_fn *
instruction(void)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2"))
		return by_instruction;
#endif
	return by_bits;
}

/* RFC 3720, B.4; the last is what everybody gives for "123456789". */
static void
test_vectors(void **state)
{
	static const unsigned char read_command[48] = { 0x01, 0xc0, 0, 0, 0, 0,
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 0x04, 0, 0,
		0, 0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 0x02 };
	unsigned char zeros[32] = { 0 }, ones[32], up[32], down[32];
	const struct {
		const void *at;
		size_t bytes;
		uint32_t crc;
	} cases[] = { { zeros, 32, 0x8a9136aa }, { ones, 32, 0x62a8ab43 },
		{ up, 32, 0x46dd794e }, { down, 32, 0x113fdb5c },
		{ read_command, 48, 0xd9963a56 }, { "", 0, 0 },
		{ "123456789", 9, 0xe3069283 } };

	(void)state;
	memset(ones, 0xff, sizeof ones);
	for (unsigned i = 0; i < 32; i++) {
		up[i] = (unsigned char)i;
		down[i] = (unsigned char)(31 - i);
	}
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const void *at = cases[i].at;
		size_t bytes = cases[i].bytes;

		assert_int_equal(checksum_crc32c(0, at, bytes), cases[i].crc);
		assert_int_equal(whole(by_bits, at, bytes), cases[i].crc);
		assert_int_equal(whole(by_table, at, bytes), cases[i].crc);
		assert_int_equal(whole(instruction(), at, bytes), cases[i].crc);
	}
}

/* All of them give the same at every length and alignment. */
static void
test_all_agree(void **state)
{
	unsigned char bytes[300];

	(void)state;
	for (unsigned i = 0; i < sizeof bytes; i++)
		bytes[i] = (unsigned char)(i * 167 + i / 7);
	for (size_t from = 0; from < 16; from++) {
		for (size_t n = 0; n < sizeof bytes - from; n++) {
			uint32_t crc = whole(by_bits, bytes + from, n);

			assert_int_equal(whole(by_table, bytes + from, n), crc);
			assert_int_equal(
			    whole(instruction(), bytes + from, n), crc);
		}
	}
}

static void
test_in_pieces(void **state)
{
	static const char text[] = "an event, and another, and a third one";
	size_t bytes = sizeof text - 1;
	uint32_t crc = checksum_crc32c(0, text, bytes);

	(void)state;
	for (size_t cut = 0; cut <= bytes; cut++)
		assert_int_equal(checksum_crc32c(checksum_crc32c(0, text, cut),
				     text + cut, bytes - cut),
		    crc);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_all_agree),
		cmocka_unit_test(test_in_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
