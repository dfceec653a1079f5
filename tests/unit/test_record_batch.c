/*
 * test_record_batch - record batches are Kafka's to the byte, and are read back
 *
 * Links: common. The codecs' streams are read by other programs too (gzip, lz4,
 * zstd), where they are installed.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checksum.h"
#include "panic.h"
#include "record_batch.h"

#define NOW INT64_C(1700000000000)
#define AT_RECORDS RECORD_BATCH_HEAD_BYTES

/* kafka-pull.md 3.2, parsed and checked by the Java client 3.9.1. */
static const char golden[] =
    "00000000000003e80000004e000000000291b82ee00000000000010000018bcfe56800"
    "0000018bcfe56801ffffffffffffffffffffffffffff00000002"
    "1a000000010e7b2261223a317d00"
    "1c00020201107b2261223a32327d00";

static size_t
from_hex(const char *hex, char *to)
{
	size_t n = 0;
	unsigned high = 0, digits = 0;

	for (; *hex != '\0'; hex++) {
		unsigned digit;

		if (*hex == ' ')
			continue;
		digit = *hex <= '9' ? (unsigned)(*hex - '0')
				    : (unsigned)(*hex - 'a' + 10);
		if (digits++ % 2 == 0)
			high = digit;
		else
			to[n++] = (char)(high << 4 | digit);
	}
	return n;
}

static void
test_golden(void **state UNUSED)
{
	struct record_batch b;
	char expected[200], *value;
	size_t expected_bytes = from_hex(golden, expected), bytes;

	record_batch_init(&b);
	record_batch_add(&b, NOW, "{\"a\":1}", 7);
	record_batch_add(&b, NOW + 1, "{\"a\":22}", 8);
	assert_int_equal(record_batch_bytes(&b), expected_bytes);
	value = record_batch_seal(&b, NULL, &bytes);
	record_batch_set_first(value, 1000);
	assert_int_equal(bytes, expected_bytes);
	assert_memory_equal(value, expected, bytes);
	assert_int_equal(
	    record_batch_check(value, bytes, NULL), RECORD_BATCH_GOOD);
	free(value);
	record_batch_free(&b);
}

static void
test_varint_borders(void **state UNUSED)
{
	/* kafka-pull.md 3.2: the length's varint in front of each record */
	static const struct {
		size_t value_bytes;
		const char *length;
	} rows[] = { { 0, "0c" }, { 57, "7e" }, { 58, "8001" }, { 63, "8a01" },
		{ 64, "8e01" }, { 8000, "8e7d" }, { 8184, "fe7f" },
		{ 8185, "808001" }, { 1u << 20, "92808001" } };
	char *text = must_malloc(1u << 20);

	memset(text, 'x', 1u << 20);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct record_batch b;
		struct record_batch_reader r;
		struct record_batch_record record;
		char length[8], *value;
		size_t bytes, n = from_hex(rows[i].length, length);

		record_batch_init(&b);
		record_batch_add(&b, NOW, text, rows[i].value_bytes);
		value = record_batch_seal(&b, NULL, &bytes);
		assert_memory_equal(value + AT_RECORDS, length, n);
		assert_true(record_batch_open(&r, value, bytes, 0));
		assert_true(record_batch_next(&r, &record));
		assert_int_equal(record.bytes, rows[i].value_bytes);
		assert_memory_equal(record.value, text, record.bytes);
		assert_false(record_batch_next(&r, &record));
		assert_false(r.is_damaged);
		record_batch_close(&r);
		free(value);
	}
	free(text);
}

static void
test_offset_and_time_borders(void **state UNUSED)
{
	static const int64_t times[] = { NOW, NOW + 63, NOW + 64, NOW - 64,
		NOW - 65, NOW + 8191, NOW + 8192, NOW - 1000000, INT64_MIN,
		INT64_MAX, 0, -1 };
	struct record_batch b;
	struct record_batch_reader r;
	struct record_batch_record record;
	char text[8], *value;
	size_t bytes;
	unsigned n;

	record_batch_init(&b);
	/* offset deltas through one, two and three bytes */
	for (n = 0; n < 20000; n++)
		record_batch_add(&b, times[n % ARRAY_LEN(times)], text,
		    (size_t)snprintf(text, sizeof text, "%u", n));
	value = record_batch_seal(&b, NULL, &bytes);
	record_batch_set_first(value, UINT64_C(7130316800000000));
	assert_true(record_batch_open(&r, value, bytes, 0));
	assert_int_equal(r.head.records, n);
	assert_int_equal(r.head.first_ms, NOW);
	assert_int_equal(r.head.max_ms, INT64_MAX);
	for (n = 0; record_batch_next(&r, &record); n++) {
		snprintf(text, sizeof text, "%u", n);
		assert_int_equal(record.offset, UINT64_C(7130316800000000) + n);
		assert_int_equal(
		    record.timestamp_ms, times[n % ARRAY_LEN(times)]);
		assert_int_equal(record.bytes, strlen(text));
		assert_memory_equal(record.value, text, record.bytes);
	}
	assert_int_equal(n, 20000);
	assert_false(r.is_damaged);
	record_batch_close(&r);
	free(value);
}

/* ---- codecs ---- */

static char *
make(struct compression *c, unsigned events, size_t *bytes)
{
	struct record_batch b;
	char text[200];

	record_batch_init(&b);
	for (unsigned i = 0; i < events; i++)
		record_batch_add(&b, NOW + i, text,
		    (size_t)snprintf(text, sizeof text,
			"{\"time\":%llu,\"page\":\"Page number %u\",\"n\":%u}",
			(unsigned long long)NOW + i, i * 7919u % 1000u, i));
	return record_batch_seal(&b, c, bytes);
}

static void
write_file(const char *path, const char *bytes, size_t count)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, count, f), count);
	assert_int_equal(fclose(f), 0);
}

/* What the program makes of the stream on its standard input. */
static bool
is_unpacked_by(const char *program, const char *stream, size_t bytes,
    const char *expected, size_t expected_bytes)
{
	char path[] = "/tmp/test_record_batch.XXXXXX", command[200];
	char *got = must_malloc(expected_bytes + 1);
	int fd = mkstemp(path);
	size_t n;
	FILE *out;

	assert_true(fd >= 0);
	close(fd);
	write_file(path, stream, bytes);
	snprintf(command, sizeof command, "%s -dc < %s", program, path);
	out = popen(command, "r");
	assert_non_null(out);
	n = fread(got, 1, expected_bytes + 1, out);
	assert_int_equal(pclose(out), 0);
	unlink(path);
	n = n == expected_bytes && memcmp(got, expected, n) == 0;
	free(got);
	return n != 0;
}

static void
check_codec(enum compression_codec codec, const char *program)
{
	char command[100];
	struct compression *c = compression_new(codec);
	static const unsigned counts[] = { 3000, 30, 3000, 1000, 20000 };

	snprintf(command, sizeof command, "command -v %s >/dev/null", program);
	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		size_t plain_bytes, bytes;
		char *plain = make(NULL, counts[i], &plain_bytes);
		char *packed = make(c, counts[i], &bytes);
		struct record_batch_head head;
		struct record_batch_reader r;

		assert_int_equal(record_batch_check(packed, bytes, &head),
		    RECORD_BATCH_GOOD);
		assert_int_equal(head.codec, codec);
		assert_int_equal(head.bytes, bytes);
		assert_true(bytes < plain_bytes);
		assert_true(record_batch_open(
		    &r, packed, bytes, plain_bytes - AT_RECORDS));
		assert_int_equal(r.end - r.next, plain_bytes - AT_RECORDS);
		assert_memory_equal(
		    r.next, plain + AT_RECORDS, plain_bytes - AT_RECORDS);
		record_batch_close(&r);
		/* one byte more than may be */
		assert_false(record_batch_open(
		    &r, packed, bytes, plain_bytes - AT_RECORDS - 1));
		if (system(command) == 0)
			assert_true(is_unpacked_by(program, packed + AT_RECORDS,
			    bytes - AT_RECORDS, plain + AT_RECORDS,
			    plain_bytes - AT_RECORDS));
		free(plain);
		free(packed);
	}
	compression_free(&c);
	assert_null(c);
}

static void
test_gzip(void **state UNUSED)
{
	check_codec(COMPRESSION_GZIP, "gzip");
}

static void
test_zstd(void **state UNUSED)
{
	check_codec(COMPRESSION_ZSTD, "zstd");
}

static void
test_lz4(void **state UNUSED)
{
	struct compression *c = compression_new(COMPRESSION_LZ4);
	size_t bytes;
	char *value;

	check_codec(COMPRESSION_LZ4, "lz4");
	value = make(c, 20000, &bytes);
	/* kafka-pull.md 3.3: magic; version 01, blocks independent of each
	 * other, no checksums; blocks of 64 KiB */
	assert_memory_equal(value + AT_RECORDS, "\x04\x22\x4d\x18\x60\x40", 6);
	free(value);
	compression_free(&c);
}

static void
test_what_does_not_shrink_stays_plain(void **state UNUSED)
{
	struct compression *c = compression_new(COMPRESSION_ZSTD);
	struct record_batch b;
	struct record_batch_head head;
	size_t bytes;
	char *value;

	record_batch_init(&b);
	record_batch_add(&b, NOW, "{}", 2);
	value = record_batch_seal(&b, c, &bytes);
	assert_int_equal(
	    record_batch_check(value, bytes, &head), RECORD_BATCH_GOOD);
	assert_int_equal(head.codec, COMPRESSION_NONE);
	free(value);
	compression_free(&c);
}

static void
test_streams_cut_or_longer(void **state UNUSED)
{
	static const enum compression_codec codecs[] = { COMPRESSION_GZIP,
		COMPRESSION_LZ4, COMPRESSION_ZSTD };

	for (size_t i = 0; i < ARRAY_LEN(codecs); i++) {
		struct compression *c = compression_new(codecs[i]);
		struct buf packed, to;

		buf_init(&packed, SIZE_MAX);
		assert_true(compression_pack(c, golden, 50, &packed));
		buf_add(&packed, "", 1);
		for (size_t n = 0; n <= packed.used; n++) {
			bool whole = n == packed.used - 1;

			buf_init(&to, 50);
			assert_int_equal(
			    compression_unpack(codecs[i], packed.bytes, n, &to),
			    whole);
			if (whole)
				assert_memory_equal(to.bytes, golden, 50);
			buf_free(&to);
		}
		buf_free(&packed);
		compression_free(&c);
	}
}

static void
test_names_of_codecs(void **state UNUSED)
{
	enum compression_codec codec;

	assert_true(compression_of_name("lz4", &codec));
	assert_int_equal(codec, COMPRESSION_LZ4);
	assert_true(compression_of_name("none", &codec));
	assert_int_equal(codec, COMPRESSION_NONE);
	assert_false(compression_of_name("snappy", &codec));
	assert_false(compression_is_known(2));
	assert_string_equal(compression_name(COMPRESSION_GZIP), "gzip");
	assert_string_equal(
	    compression_name((enum compression_codec)2), "unknown");
}

/* ---- what is not good ---- */

/* The batch with a changed byte whose checksum is right all the same. */
static enum record_batch_verdict
look_with(size_t at, char byte, struct record_batch_head *head)
{
	char value[200];
	size_t bytes = from_hex(golden, value);

	value[at] = byte;
	return record_batch_look(value, bytes, head);
}

static void
test_verdicts(void **state UNUSED)
{
	char value[200];
	size_t bytes = from_hex(golden, value);
	struct record_batch_head head;

	for (size_t n = 0; n < bytes; n++)
		assert_int_equal(
		    record_batch_check(value, n, &head), RECORD_BATCH_SHORT);
	assert_int_equal(
	    record_batch_check(value, bytes, &head), RECORD_BATCH_GOOD);
	assert_int_equal(head.first, 1000);
	assert_int_equal(head.next, 1002);
	assert_int_equal(head.max_ms, NOW + 1);
	/* a magic, a length, a transaction, snappy, a producer */
	assert_int_equal(look_with(16, 1, &head), RECORD_BATCH_FOREIGN);
	assert_int_equal(look_with(11, 48, &head), RECORD_BATCH_FOREIGN);
	assert_int_equal(look_with(8, (char)0x80, &head), RECORD_BATCH_FOREIGN);
	assert_int_equal(look_with(22, 0x10, &head), RECORD_BATCH_FOREIGN);
	assert_int_equal(look_with(22, 2, &head), RECORD_BATCH_FOREIGN);
	assert_int_equal(look_with(43, 0, &head), RECORD_BATCH_FOREIGN);
	/* no records; more than the offsets have room for; a negative offset */
	assert_int_equal(look_with(60, 0, &head), RECORD_BATCH_DAMAGED);
	assert_int_equal(look_with(60, 3, &head), RECORD_BATCH_DAMAGED);
	assert_int_equal(look_with(0, (char)0x80, &head), RECORD_BATCH_DAMAGED);
	/* the first offset and the epoch are not under the checksum, all the
	 * rest is */
	for (size_t n = 0; n < bytes; n++) {
		enum record_batch_verdict v;

		value[n] ^= 1;
		v = record_batch_check(value, bytes, NULL);
		value[n] ^= 1;
		if (n < 8 || (n >= 12 && n < 16))
			assert_int_equal(v, RECORD_BATCH_GOOD);
		else
			assert_int_not_equal(v, RECORD_BATCH_GOOD);
	}
	assert_string_equal(
	    record_batch_verdict_name(RECORD_BATCH_SHORT), "cut off");
}

static void
test_gaps_keys_and_headers(void **state UNUSED)
{
	/* as other producers may write them: offsets 0 and 5, a key, a header,
	 * a null value */
	static const char hex[] =
	    "00000000000003e80000005200000000020000000000000000 0005"
	    "0000018bcfe568000000018bcfe56800ffffffffffffffffffffffffffff"
	    "00000002"
	    "20 00 00 00 04 6b6b 0a 68656c6c6f 02 02 68 01"
	    "10 00 00 0a 01 01 02 00 00";
	char value[200];
	size_t bytes = from_hex(hex, value);
	struct record_batch_reader r;
	struct record_batch_record record;

	value[11] = (char)(bytes - 12);
	assert_true(record_batch_open(&r, value, bytes, 0));
	assert_true(record_batch_next(&r, &record));
	assert_int_equal(record.offset, 1000);
	assert_int_equal(record.bytes, 5);
	assert_memory_equal(record.value, "hello", 5);
	assert_true(record_batch_next(&r, &record));
	assert_int_equal(record.offset, 1005);
	assert_null(record.value);
	assert_false(record_batch_next(&r, &record));
	assert_false(r.is_damaged);
	record_batch_close(&r);
	/* the second one's offset goes back */
	value[bytes - 6] = 0;
	assert_true(record_batch_open(&r, value, bytes, 0));
	assert_true(record_batch_next(&r, &record));
	assert_false(record_batch_next(&r, &record));
	assert_true(r.is_damaged);
	record_batch_close(&r);
}

static void
test_records_that_overrun(void **state UNUSED)
{
	char value[200];
	size_t bytes = from_hex(golden, value);
	struct record_batch_reader r;
	struct record_batch_record record;
	static const struct {
		size_t at;
		char byte;
	} rows[] = {
		{ 0, 0x1c }, /* longer than its parts */
		{ 0, 0x18 }, /* shorter */
		{ 0, 0x7e }, /* beyond the end */
		{ 0, 0x03 }, /* negative */
		{ 0, (char)0xff }, /* a varint into the next bytes */
		{ 4, 0x02 }, /* a key that was none */
		{ 5, 0x10 }, /* a value into the headers */
		{ 5, 0x03 }, /* a negative length that is not null's */
		{ 13, 0x02 }, /* a header that is not there */
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char was = value[AT_RECORDS + rows[i].at];

		value[AT_RECORDS + rows[i].at] = rows[i].byte;
		assert_true(record_batch_open(&r, value, bytes, 0));
		while (record_batch_next(&r, &record))
			;
		assert_true(r.is_damaged);
		record_batch_close(&r);
		value[AT_RECORDS + rows[i].at] = was;
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_varint_borders),
		cmocka_unit_test(test_offset_and_time_borders),
		cmocka_unit_test(test_gzip),
		cmocka_unit_test(test_lz4),
		cmocka_unit_test(test_zstd),
		cmocka_unit_test(test_what_does_not_shrink_stays_plain),
		cmocka_unit_test(test_streams_cut_or_longer),
		cmocka_unit_test(test_names_of_codecs),
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_gaps_keys_and_headers),
		cmocka_unit_test(test_records_that_overrun),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
