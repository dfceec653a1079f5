/*
 * fuzz_smile - any bytes as Smile, and what comes of them written again
 *
 * What smile.c accepts, json_scan must find to be as many events; written by
 * smile_writer and read once more it must say the same, and the same for ever
 * after. The bytes as JSON text must do the writer no harm either; when they
 * are what json_scan takes, they come back from Smile with the same values, as
 * jansson reads both.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

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

/* What overflows a number, or is a lone surrogate, jansson does not read. */
static void
compare_events(const struct json_scan *a, const struct json_scan *b)
{
	json_t *from = json_loadb(
	    a->body + a->event, a->event_bytes, JSON_ALLOW_NUL, NULL);
	json_t *to = json_loadb(
	    b->body + b->event, b->event_bytes, JSON_ALLOW_NUL, NULL);

	must(from == NULL || (to != NULL && json_equal(from, to)));
	json_decref(from);
	json_decref(to);
}

static void
compare_all(const char *text, size_t bytes, const struct buf *json)
{
	enum json_scan_result result = JSON_SCAN_EVENT;
	struct json_scan from, to;

	json_scan_init(&from, text, bytes);
	json_scan_init(&to, json->bytes, json->used);
	while (result == JSON_SCAN_EVENT) {
		result = json_scan_next(&from);
		must(json_scan_next(&to) == result);
		if (result == JSON_SCAN_EVENT)
			compare_events(&from, &to);
	}
	json_scan_fini(&from);
	json_scan_fini(&to);
}

/* The input as JSON text of any kind. */
static void
write_text(const uint8_t *data, size_t bytes)
{
	char *text = must_malloc(bytes + 1);
	struct buf out;

	buf_init(&out, JSON_MAX);
	memcpy(text, data, bytes);
	must(smile_writer_transcode(&writer, text, bytes, &out) || out.failed ||
	    writer.error_offset <= bytes);
	buf_free(&out);
	free(text);
}

/* True: as a whole it is events. */
static bool
is_events(const char *text, size_t bytes)
{
	enum json_scan_result result;
	struct json_scan s;

	json_scan_init(&s, text, bytes);
	while ((result = json_scan_next(&s)) == JSON_SCAN_EVENT)
		;
	json_scan_fini(&s);
	return result == JSON_SCAN_END;
}

static void
write_events(const uint8_t *data, size_t bytes)
{
	char *text = must_malloc(bytes + JSON_SCAN_PADDING);
	struct buf out, again;

	/* a byte order mark is for json_scan alone */
	if (bytes >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0)
		bytes = 0;
	memcpy(text, data, bytes);
	memset(text + bytes, '"', JSON_SCAN_PADDING);
	buf_init(&out, JSON_MAX);
	buf_init(&again, 2 * JSON_MAX);
	if (is_events(text, bytes)) {
		must(smile_writer_transcode(&writer, text, bytes, &out));
		must(read_exact(out.bytes, out.used, &again) == SMILE_DONE);
		compare_all(text, bytes, &again);
	}
	buf_free(&out);
	buf_free(&again);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct buf first, second, third;

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
	write_text(data, bytes);
	write_events(data, bytes);
	buf_free(&first);
	buf_free(&second);
	buf_free(&third);
	return 0;
}
