/*
 * fuzz_records - any bytes as a record batch, and any events in one
 *
 * The first byte chooses. Even: the rest is a batch; it is judged and taken
 * apart, also with its checksum made right, so that what lies behind it is
 * reached. Odd: the rest is cut into events, which are built into a batch of
 * that codec and read back.
 */
#include "record_batch.h"

#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "panic.h"

#define AT_LENGTH 8
#define AT_CRC 17
#define CRC_FROM 21
#define UNPACKED_MAX (1u * MiB)

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static uint64_t sum; /* so that every byte is read */

static void
take_apart(const char *batch, size_t bytes)
{
	struct record_batch_reader r;
	struct record_batch_record record;
	uint64_t before = 0;
	uint32_t count = 0;

	if (!record_batch_open(&r, batch, bytes, UNPACKED_MAX))
		return;
	must(r.unpacked.used <= UNPACKED_MAX);
	while (record_batch_next(&r, &record)) {
		must(count == 0 || record.offset > before);
		must(record.offset >= r.head.first);
		must(record.offset < r.head.next);
		before = record.offset;
		count++;
		for (size_t i = 0; i < record.bytes; i++)
			sum += (unsigned char)record.value[i];
	}
	must(r.is_damaged || count == r.head.records);
	record_batch_close(&r);
}

static void
judge(const char *batch, size_t bytes)
{
	struct record_batch_head look, check;
	enum record_batch_verdict v = record_batch_look(batch, bytes, &look);
	enum record_batch_verdict w = record_batch_check(batch, bytes, &check);

	must(w == v || (v == RECORD_BATCH_GOOD && w == RECORD_BATCH_DAMAGED));
	must(memcmp(&look, &check, sizeof look) == 0);
	if (v != RECORD_BATCH_GOOD)
		return;
	must(look.bytes <= bytes && look.records > 0);
	must(look.next - look.first >= look.records);
	take_apart(batch, bytes);
}

/* The batch as it is, then as long as it says and with a right checksum. */
static void
any_bytes(const uint8_t *data, size_t bytes)
{
	char *batch = must_malloc(bytes + 1);
	uint32_t length, crc;

	memcpy(batch, data, bytes);
	judge(batch, bytes);
	if (bytes >= RECORD_BATCH_HEAD_BYTES) {
		length = __builtin_bswap32((uint32_t)bytes - 12);
		memcpy(batch + AT_LENGTH, &length, sizeof length);
		crc = __builtin_bswap32(
		    checksum_crc32c(0, batch + CRC_FROM, bytes - CRC_FROM));
		memcpy(batch + AT_CRC, &crc, sizeof crc);
		judge(batch, bytes);
	}
	free(batch);
}

/* ---- built and read back ---- */

/* The next event of the input: a byte of length, eight of time now and then. */
static const char *
next_event(const uint8_t **data, size_t *left, int64_t *time, size_t *bytes)
{
	const char *at;

	if (*left == 0)
		return NULL;
	*bytes = **data;
	*data += 1;
	*left -= 1;
	if (*bytes >= 0xf0 && *left >= sizeof *time) {
		memcpy(time, *data, sizeof *time);
		*data += sizeof *time;
		*left -= sizeof *time;
	}
	*bytes = MIN_OF(*bytes, *left);
	at = (const char *)*data;
	*data += *bytes;
	*left -= *bytes;
	*time = (int64_t)((uint64_t)*time + *bytes);
	return at;
}

static void
read_back(const char *batch, size_t batch_bytes, uint64_t first,
    const uint8_t *data, size_t left)
{
	struct record_batch_reader r;
	struct record_batch_record record;
	struct record_batch_head head;
	int64_t time = 0, newest = INT64_MIN;
	const char *text;
	size_t bytes;

	must(
	    record_batch_check(batch, batch_bytes, &head) == RECORD_BATCH_GOOD);
	must(head.bytes == batch_bytes && head.first == first);
	must(record_batch_open(&r, batch, batch_bytes, SIZE_MAX));
	while ((text = next_event(&data, &left, &time, &bytes)) != NULL) {
		must(record_batch_next(&r, &record));
		must(record.offset == first++);
		must(record.timestamp_ms == time);
		must(record.bytes == bytes);
		must(memcmp(record.value, text, bytes) == 0);
		newest = MAX_OF(newest, time);
	}
	must(!record_batch_next(&r, &record) && !r.is_damaged);
	must(head.max_ms == newest && head.next == first);
	record_batch_close(&r);
}

static void
any_events(unsigned how, const uint8_t *data, size_t left)
{
	static const enum compression_codec codecs[] = { COMPRESSION_NONE,
		COMPRESSION_GZIP, COMPRESSION_LZ4, COMPRESSION_ZSTD };
	static struct compression *kept[ARRAY_LEN(codecs)];
	struct compression **c = &kept[how % ARRAY_LEN(codecs)];
	const uint8_t *all = data;
	size_t all_bytes = left, bytes;
	struct record_batch b;
	int64_t time = 0;
	const char *text;
	char *batch;

	if (*c == NULL)
		*c = compression_new(codecs[how % ARRAY_LEN(codecs)]);
	record_batch_init(&b);
	while ((text = next_event(&data, &left, &time, &bytes)) != NULL)
		record_batch_add(&b, time, text, bytes);
	if (b.records == 0) {
		record_batch_free(&b);
		return;
	}
	batch = record_batch_seal(&b, *c, &bytes);
	record_batch_set_first(batch, UINT64_C(7130316800000000) + how);
	read_back(
	    batch, bytes, UINT64_C(7130316800000000) + how, all, all_bytes);
	free(batch);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	if (bytes == 0)
		return 0;
	if (data[0] % 2 == 0)
		any_bytes(data + 1, bytes - 1);
	else
		any_events(data[0] / 2, data + 1, bytes - 1);
	return 0;
}
