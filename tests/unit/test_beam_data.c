/*
 * test_beam_data - worker/beam_data: the znode that all instances share
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "beam_data.h"
#include "iso.h"

/* As tranquility.md 4 has it, without the line breaks. */
#define GOLDEN                                                       \
	"{\"latestTime\":\"2026-11-22T10:00:00.000Z\","              \
	"\"latestCloseTime\":\"2026-11-22T08:00:00.000Z\","          \
	"\"beams\":{\"2026-11-22T10:00:00.000Z\":[{\"interval\":"    \
	"\"2026-11-22T10:00:00.000Z/2026-11-22T11:00:00.000Z\","     \
	"\"partition\":0,\"tasks\":[{\"id\":"                        \
	"\"index_realtime_wikipedia_2026-11-22T10:00:00.000Z_0_0\"," \
	"\"firehoseId\":\"wikipedia-010-0000-0000\"}],"              \
	"\"timestamp\":\"2026-11-22T10:00:00.000Z\"}]}}"

#define EMPTY                                           \
	"{\"latestTime\":\"1970-01-01T00:00:00.000Z\"," \
	"\"latestCloseTime\":\"1970-01-01T00:00:00.000Z\",\"beams\":{}}"

static int64_t
at(const char *text)
{
	int64_t ms = -1;

	if (!iso_parse(text, strlen(text), ISO_T, &ms))
		fail_msg("not a time: %s", text);
	return ms;
}

static struct interval
hour(int64_t start)
{
	return (struct interval){ start, start + ISO_HOUR_MS };
}

static void
parse(struct beam_data *d, const char *text)
{
	char error[BEAM_DATA_ERROR_BYTES];

	beam_data_init(d);
	if (!beam_data_parse(d, text, strlen(text), error))
		fail_msg("%s: %s", text, error);
}

static void
assert_prints(const struct beam_data *d, const char *text)
{
	struct buf b;

	buf_init(&b, BEAM_DATA_BYTES_MAX);
	beam_data_print(d, &b);
	assert_string_equal(buf_text(&b), text);
	buf_free(&b);
}

static void
refuses(const char *text, const char *error_part)
{
	char error[BEAM_DATA_ERROR_BYTES];
	struct beam_data d;

	beam_data_init(&d);
	if (beam_data_parse(&d, text, strlen(text), error))
		fail_msg("taken: %s", text);
	if (strstr(error, error_part) == NULL)
		fail_msg(
		    "%s: says \"%s\", not \"%s\"", text, error, error_part);
	assert_int_equal(d.count, 0);
	assert_null(d.others);
	beam_data_fini(&d);
}

static void
test_golden(void **state)
{
	struct beam_data d;
	const struct beam_record *r;

	(void)state;
	parse(&d, GOLDEN);
	assert_int_equal(d.latest_close, at("2026-11-22T08:00:00Z"));
	assert_int_equal(d.count, 1);
	r = &d.beams[0];
	assert_int_equal(r->bucket, at("2026-11-22T10:00:00Z"));
	assert_int_equal(r->interval.start, at("2026-11-22T10:00:00Z"));
	assert_int_equal(r->interval.end, at("2026-11-22T11:00:00Z"));
	assert_int_equal(r->partition, 0);
	assert_int_equal(r->task_count, 1);
	assert_string_equal(r->tasks[0].firehose_id, "wikipedia-010-0000-0000");
	assert_true(r->has_timestamp);
	assert_prints(&d, GOLDEN);
	beam_data_fini(&d);
}

static void
test_empty(void **state)
{
	static const char *const texts[] = { "", " \n\t", "{}", EMPTY,
		"{\"beams\":{}}", "{\"latestCloseTime\":0}",
		"{\"beams\":{\"2026-11-22T10:00:00.000Z\":[]}}" };
	struct beam_data d;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		parse(&d, texts[i]);
		assert_prints(&d, EMPTY);
		beam_data_fini(&d);
	}
	beam_data_init(&d);
	assert_prints(&d, EMPTY);
}

/* Members in another order, times in other forms, white space, the single
 * task of early versions, members that we have never heard of. */
static void
test_other_forms(void **state)
{
	struct beam_data d;

	(void)state;
	parse(&d,
	    " { \"x\" : [1] , \"beams\" : { \"2026-11-22T12:00:00+02:00\" : [ "
	    "{ \"firehoseId\": \"f\", \"taskId\": \"t\", \"partition\": 1, "
	    "\"interval\": \"2026-11-22T10Z/2026-11-22T12:00:00.000Z\", "
	    "\"y\": {\"z\": null} }, "
	    "{ \"tasks\": [], \"timestamp\": null, \"partition\": 0, "
	    "\"interval\": \"2026-11-22T10Z/2026-11-22T11Z\" } ] }, "
	    "\"latestCloseTime\": 1000 }\n");
	assert_prints(&d,
	    "{\"latestTime\":\"2026-11-22T10:00:00.000Z\","
	    "\"latestCloseTime\":\"1970-01-01T00:00:01.000Z\","
	    "\"beams\":{\"2026-11-22T10:00:00.000Z\":[{\"interval\":"
	    "\"2026-11-22T10:00:00.000Z/2026-11-22T11:00:00.000Z\","
	    "\"partition\":0,\"tasks\":[]},{\"interval\":"
	    "\"2026-11-22T10:00:00.000Z/2026-11-22T12:00:00.000Z\","
	    "\"partition\":1,\"tasks\":[{\"id\":\"t\",\"firehoseId\":\"f\"}],"
	    "\"y\":{\"z\":null}}]},\"x\":[1]}");
	beam_data_fini(&d);
}

static void
test_garbage(void **state)
{
	char bad[1000];

	(void)state;
	refuses("{", "line 1");
	refuses("[]", "not an object");
	refuses("7", "not an object");
	refuses("{\"beams\":[]}", "\"beams\" is an array");
	refuses("{\"latestCloseTime\":\"soon\"}", "latestCloseTime");
	refuses("{\"latestCloseTime\":[]}", "latestCloseTime");
	refuses("{\"beams\":{\"x\":[]}}", "\"x\"");
	refuses("{\"beams\":{\"2026-11-22T10:00:00Z\":7}}", "not an array");
	refuses("{\"beams\":{\"2026-11-22T10:00:00Z\":[7]}}", "not an object");
	refuses("{\"beams\":{\"2026-11-22T10:00:00Z\":[{}]}}", "partition");
	refuses("{\"beams\":{\"2026-11-22T10:00:00Z\":[{\"partition\":-1}]}}",
	    "partition");
	refuses("{\"beams\":{\"2026-11-22T10:00:00Z\":[{\"partition\":0}]}}",
	    "interval");
	refuses("{\"beams\":{\"2026-11-22T10:00:00Z\":[{\"partition\":0,"
		"\"interval\":\"2026-11-22T10Z/2026-11-22T10Z\"}]}}",
	    "interval");
	refuses("{\"beams\":{\"2026-11-22T10:00:00Z\":[{\"partition\":0,"
		"\"interval\":\"2026-11-22T10Z/2026-11-22T11Z\"}]}}",
	    "taskId");
	refuses("{\"beams\":{\"2026-11-22T10:00:00Z\":[{\"partition\":0,"
		"\"interval\":\"2026-11-22T10Z/2026-11-22T11Z\","
		"\"tasks\":[{\"id\":\"a\"}]}]}}",
	    "firehoseId");
	refuses("{\"beams\":{\"2026-11-22T10:00:00Z\":["
		"{\"partition\":0,\"tasks\":[],"
		"\"interval\":\"2026-11-22T10Z/2026-11-22T11Z\"},"
		"{\"partition\":0,\"tasks\":[],"
		"\"interval\":\"2026-11-22T10Z/2026-11-22T11Z\"}]}}",
	    "twice");
	/* a name of any length fits the error */
	memset(bad, 'a', sizeof bad);
	memcpy(bad, "{\"beams\":{\"", 11);
	memcpy(bad + sizeof bad - 8, "\":[]}}", 7);
	refuses(bad, "aaaa");
	/* and a text with a NUL in it is refused, not cut */
	assert_false(
	    beam_data_parse(&(struct beam_data){ 0 }, "{}\0x", 4, bad));
}

/* Cut anywhere, the document is refused or (at 0) empty. */
static void
test_cut(void **state)
{
	char error[BEAM_DATA_ERROR_BYTES];
	struct beam_data d;

	(void)state;
	beam_data_init(&d);
	for (size_t n = 1; n < strlen(GOLDEN); n++)
		assert_false(beam_data_parse(&d, GOLDEN, n, error));
	assert_true(beam_data_parse(&d, GOLDEN, 0, error));
	beam_data_fini(&d);
}

static void
test_change(void **state)
{
	int64_t ten = at("2026-11-22T10:00:00Z");
	struct beam_data d, copy;
	struct beam_record *r;
	size_t count;

	(void)state;
	parse(&d, GOLDEN);
	assert_int_equal(beam_data_next_partition(&d, ten), 1);
	assert_int_equal(beam_data_next_partition(&d, ten + 1), 0);
	r = beam_data_add(&d, ten, hour(ten), 2);
	beam_record_add_task(r, "id2", "f2");
	r = beam_data_add(&d, ten, hour(ten), 1);
	beam_record_add_task(r, "id1", "f1");
	assert_int_equal(beam_data_next_partition(&d, ten), 3);
	r = beam_data_bucket(&d, ten, &count);
	assert_int_equal(count, 3);
	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(r[i].partition, i);
		assert_ptr_equal(beam_data_find(&d, ten, i), &r[i]);
	}
	assert_null(beam_data_find(&d, ten, 3));
	assert_null(beam_data_find(&d, ten + ISO_HOUR_MS, 0));
	assert_null(beam_data_bucket(&d, ten + ISO_HOUR_MS, &count));
	assert_int_equal(count, 0);

	/* a replacement attempt */
	beam_record_clear_tasks(r);
	beam_record_add_task(r, "again", "f-again");
	assert_int_equal(r->task_count, 1);
	assert_string_equal(r->tasks[0].id, "again");

	beam_data_init(&copy);
	beam_data_copy(&copy, &d);
	beam_data_fini(&d);
	assert_int_equal(copy.count, 3);
	assert_string_equal(copy.beams[1].tasks[0].firehose_id, "f1");
	beam_data_fini(&copy);
}

static void
test_prune(void **state)
{
	const int64_t minute = ISO_MINUTE_MS, window = 10 * minute;
	struct period window_period = period_of_ms(window);
	int64_t base = at("2026-11-22T10:00:00Z");
	struct beam_data d;

	(void)state;
	beam_data_init(&d);
	for (int i = 0; i < 4; i++)
		for (unsigned p = 0; p < 2; p++)
			beam_data_add(&d, base + i * ISO_HOUR_MS,
			    hour(base + i * ISO_HOUR_MS), p);
	assert_int_equal(beam_data_latest(&d), base + 3 * ISO_HOUR_MS);

	/* 11:10:00.000 is the last moment of 10:00's window */
	assert_int_equal(
	    beam_data_prune(&d, base + ISO_HOUR_MS + window, &window_period, 0),
	    0);
	assert_int_equal(d.latest_close, 0);
	assert_int_equal(beam_data_prune(&d, base + ISO_HOUR_MS + window + 1,
			     &window_period, 0),
	    2);
	assert_int_equal(d.latest_close, base);
	assert_int_equal(d.count, 6);
	/* two at once: the later one counts */
	assert_int_equal(
	    beam_data_prune(
		&d, base + 3 * ISO_HOUR_MS + window + 1, &window_period, 0),
	    4);
	assert_int_equal(d.latest_close, base + 2 * ISO_HOUR_MS);
	assert_int_equal(beam_data_latest(&d), base + 3 * ISO_HOUR_MS);
	/* never back */
	beam_data_add(&d, base, hour(base), 0);
	assert_int_equal(
	    beam_data_prune(&d, base + 3 * ISO_HOUR_MS, &window_period, 0), 1);
	assert_int_equal(d.latest_close, base + 2 * ISO_HOUR_MS);

	assert_int_equal(beam_data_close(&d, base + 3 * ISO_HOUR_MS), 2);
	assert_int_equal(d.latest_close, base + 3 * ISO_HOUR_MS);
	assert_int_equal(d.count, 0);
	assert_int_equal(beam_data_latest(&d), base + 3 * ISO_HOUR_MS);
	/* closed though it was never there */
	assert_int_equal(beam_data_close(&d, base + 4 * ISO_HOUR_MS), 0);
	assert_int_equal(d.latest_close, base + 4 * ISO_HOUR_MS);
	beam_data_fini(&d);
}

/* A bucket with a beam over several segments stays as a whole. */
static void
test_prune_long_beam(void **state)
{
	struct period no_window = { 0 };
	int64_t base = at("2026-11-22T10:00:00Z");
	struct beam_data d;

	(void)state;
	beam_data_init(&d);
	beam_data_add(&d, base, hour(base), 0);
	beam_data_add(
	    &d, base, (struct interval){ base, base + 2 * ISO_HOUR_MS }, 1);
	assert_int_equal(
	    beam_data_prune(&d, base + 2 * ISO_HOUR_MS - 1, &no_window, 0), 0);
	assert_int_equal(
	    beam_data_prune(&d, base + 2 * ISO_HOUR_MS + 1, &no_window, 0), 2);
	beam_data_fini(&d);
}

static void
test_limit(void **state)
{
	struct beam_data d;
	struct buf b;

	(void)state;
	parse(&d, GOLDEN);
	buf_init(&b, strlen(GOLDEN) - 1);
	beam_data_print(&d, &b);
	assert_true(b.failed);
	buf_free(&b);
	beam_data_fini(&d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_other_forms),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_change),
		cmocka_unit_test(test_prune),
		cmocka_unit_test(test_prune_long_beam),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
