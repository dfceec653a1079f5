/*
 * fuzz_smile - any bytes as Smile, and what comes of them written again
 *
 * What smile.c accepts, json_scan must find to be as many events; written by
 * smile_writer and read once more it must say the same, and the same for ever
 * after. The bytes as JSON text must do the writer no harm either.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_scan.h"
#include "panic.h"
#include "sink_check.h"
#include "smile.h"
#include "smile_writer.h"

#define JSON_MAX (4 * MiB)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct smile smile;
static struct smile_writer writer;

/* Reads from memory of the exact length. */
static enum smile_result
read_exact(const void *data, size_t bytes, struct buf *json)
{
	char *body = must_malloc(bytes + SMILE_PADDING);
	enum smile_result result;
	struct sink_check check;

	memcpy(body, data, bytes);
	memset(body + bytes, bytes % 2 ? '"' : 0xff, SMILE_PADDING);
	sink_check_init(&check);
	result = smile_feed(&smile, body, bytes, json, &check.sink);
	must(result != SMILE_DONE || check.events == smile.events);
	sink_check_fini(&check);
	must(result != SMILE_MALFORMED ||
	    (smile.error != NULL && smile.error_offset <= bytes));
	free(body);
	return result;
}

/* False: an event has too many members for json_scan. */
static bool
scan(const struct buf *json)
{
	struct json_scan s;
	uint32_t events = 0;
	bool is_ok;

	json_scan_init(&s, json->bytes, json->used);
	while (json_scan_next(&s) == JSON_SCAN_EVENT)
		events++;
	is_ok = json_scan_next(&s) == JSON_SCAN_END;
	must(is_ok || strcmp(s.error, "too many members in one event") == 0);
	must(!is_ok || events == smile.events);
	json_scan_fini(&s);
	return is_ok;
}

/* The JSON, written as Smile and read again. */
static void
write_and_read(const struct buf *json, struct buf *again)
{
	char *exact = must_malloc(json->used + 1);
	struct buf out;

	memcpy(exact, json->bytes, json->used);
	buf_init(&out, 4 * JSON_MAX);
	must(smile_writer_transcode(&writer, exact, json->used, &out));
	must(read_exact(out.bytes, out.used, again) == SMILE_DONE);
	buf_free(&out);
	free(exact);
}

static bool
is_number_sign(char c)
{
	return c != '\0' && strchr("+-.0123456789Ee", c) != NULL;
}

/* The same text, but for numbers: those that are no double are written as the
 * nearest one, or as a string when they are infinite or of too many digits. */
static void
compare(struct buf *first, struct buf *second)
{
	const char *a = buf_text(first), *b = buf_text(second);

	must(a != NULL && b != NULL);
	for (; *a != '\0' || *b != '\0'; a++, b++) {
		char *a_end, *b_end;

		if (*a == *b)
			continue;
		/* back to where the two numbers begin */
		for (; is_number_sign(a[-1]); a--)
			b--;
		if (*b == '"')
			b++;
		must(strtod(a, &a_end) == strtod(b, &b_end));
		must(a_end > a && b_end > b);
		a = a_end - 1;
		b = b_end - (*b_end != '"');
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct buf first, second, third, out;
	char *text = must_malloc(bytes + 1);

	buf_init(&first, JSON_MAX);
	buf_init(&second, 2 * JSON_MAX);
	buf_init(&third, 2 * JSON_MAX);
	if (read_exact(data, bytes, &first) == SMILE_DONE && scan(&first)) {
		write_and_read(&first, &second);
		must(scan(&second));
		write_and_read(&second, &third);
		must(second.used == third.used &&
		    memcmp(second.bytes, third.bytes, third.used) == 0);
		compare(&first, &second);
	}
	buf_init(&out, JSON_MAX);
	memcpy(text, data, bytes);
	must(smile_writer_transcode(&writer, text, bytes, &out) || out.failed ||
	    writer.error_offset <= bytes);
	buf_free(&out);
	buf_free(&first);
	buf_free(&second);
	buf_free(&third);
	free(text);
	return 0;
}
