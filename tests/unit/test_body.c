/*
 * test_body - from a request's bytes to blocks in a ring (body.c, offer.c)
 */
#include "body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "buf.h"
#include "offer.h"
#include "receiver_check.h"

#define RING 65536u
#define NOW INT64_C(1795341600000) /* 2026-11-22T10:00:00Z */

static struct conf *conf;
static struct settings *settings;
static struct outlets outlets;
static struct body_reader reader;
static char padded[8 * MiB];

static struct conf *
parse(struct conf_problems *problems)
{
	static const char text[] =
	    "{\"dataSources\":[{\"spec\":{\"dataSchema\":{\"dataSource\":\"d\","
	    "\"parser\":{\"parseSpec\":{\"format\":\"json\",\"timestampSpec\":"
	    "{\"column\":\"t\\u00e4 "
	    "\\\"x\",\"format\":\"auto\",\"missingValue\":"
	    "\"2026-11-22T10:00:00Z\"},\"dimensionsSpec\":{}}},"
	    "\"metricsSpec\":[],\"granularitySpec\":{\"segmentGranularity\":"
	    "\"HOUR\",\"queryGranularity\":\"none\"}},\"tuningConfig\":"
	    "{\"type\":\"realtime\",\"windowPeriod\":\"PT10M\"}}}],"
	    "\"properties\":{\"druid.overlord.url\":\"http://127.0.0.1:1\","
	    "\"tranqd.ringBytes\":65536,\"http.maxRequestEvents\":50000}}";

	return conf_parse("test", text, sizeof text - 1, problems);
}

static int
set_up(void **state UNUSED)
{
	struct conf_problems problems = { 0 };
	struct outlet *o;

	conf = parse(&problems);
	assert_non_null(conf);
	receiver_check(conf, &problems);
	assert_int_equal(problems.count, 0);
	conf_problems_free(&problems);
	settings = settings_new(conf, conf);
	outlets.receiver_bell = bell_new();
	o = outlet_new(&outlets, channel_create("d", 0, 1, RING), bell_new());
	assert_non_null(o);
	settings_attach(&settings->ds[0], o);
	body_init(&reader);
	return 0;
}

static int
tear_down(void **state UNUSED)
{
	body_fini(&reader);
	settings_release(&settings);
	return 0;
}

static struct ring *
ring(void)
{
	return &settings->ds[0].outlet->channel.events;
}

static bool
read_at(const char *text, int64_t now)
{
	struct body_input in = { .bytes = padded,
		.count = strlen(text),
		.settings = settings,
		.to = &settings->ds[0],
		.now_ms = now };

	assert_true(in.count + JSON_SCAN_PADDING <= sizeof padded);
	memcpy(padded, text, in.count);
	return body_read(&reader, &in);
}

/* Takes all blocks; their texts, a newline behind each, to be freed. */
static char *
drain(unsigned *blocks, unsigned *dropped)
{
	struct buf b;
	uint64_t bytes;
	const void *at;

	buf_init(&b, 64 * MiB);
	while ((at = ring_peek(ring(), &bytes)) != NULL) {
		struct event_reader events;
		struct event_block block;
		struct event e;
		const char *text;
		bool damaged;

		assert_true(event_open(&events, at, bytes, &block));
		assert_true(block.bytes <= RING / 4);
		assert_int_equal(block.ticket, 42);
		while ((text = event_next(&events, &e, &damaged)) != NULL) {
			buf_add(&b, text, e.bytes);
			buf_add(&b, "\n", 1);
		}
		assert_false(damaged);
		++*blocks;
		*dropped += block.dropped[DROP_WINDOW];
		ring_take(ring(), block.bytes);
	}
	ring_advance(ring(), ring_taken(ring()));
	assert_non_null(buf_text(&b));
	return b.bytes;
}

/* Reads a body and offers its one share. */
static void
check(const char *text, const char *expected)
{
	unsigned blocks = 0, dropped = 0;
	uint64_t tail = ring_tail(ring());
	struct body_share *s;
	uint64_t bytes;
	char *found;

	if (!read_at(text, NOW))
		fail_msg("%s", reader.error);
	assert_int_equal(reader.plan.share_count, 1);
	s = &reader.plan.shares[0];
	bytes = s->bytes;
	assert_true(offer_share(&reader.plan, s, padded, 42));
	/* what was announced is what it takes */
	assert_int_equal(ring_tail(ring()) - tail, bytes);
	found = drain(&blocks, &dropped);
	assert_string_equal(found, expected);
	free(found);
}

#define T "\"tä \\\"x\":"

static void
times_are_replaced(void **state UNUSED)
{
	check("{" T "1795341600123}", "{" T "1795341600123}\n");
	check("{" T "\"2026-11-22T10:00:00.123Z\"}", "{" T "1795341600123}\n");
	check("{" T "\"2026-11-22T1\\u0030:00:00.123Z\",\"a\":[1,2]}",
	    "{" T "1795341600123,\"a\":[1,2]}\n");
	check("{\"a\":{" T "7}, " T "\t\"1795341600123\" }",
	    "{\"a\":{" T "7}, " T "\t1795341600123 }\n");
}

static void
missing_times_are_put_in(void **state UNUSED)
{
	check("{}{ }{\"a\":1}{" T "null,\"b\":2}",
	    "{" T "1795341600000}\n{" T "1795341600000 }\n"
	    "{" T "1795341600000,\"a\":1}\n{" T "1795341600000,\"b\":2}\n");
}

static void
digits(void **state UNUSED)
{
	static const struct {
		int64_t ms;
		unsigned digits;
	} cases[] = {
		{ 0, 1 },
		{ 9, 1 },
		{ 10, 2 },
		{ -1, 2 },
		{ 999999999999, 12 },
		{ 1000000000000, 13 },
		{ 9999999999999, 13 },
		{ 10000000000000, 14 },
		{ -1000000000000, 14 },
		{ INT64_MAX, 19 },
		{ INT64_MIN, 20 },
	};
	char text[50], expected[60];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		unsigned blocks = 0, dropped = 0;
		char *found;

		assert_int_equal(body_digits(cases[i].ms), cases[i].digits);
		if (cases[i].ms == INT64_MIN || cases[i].ms == INT64_MAX)
			continue;
		snprintf(
		    text, sizeof text, "{" T "%lld}", (long long)cases[i].ms);
		snprintf(expected, sizeof expected, "%s\n", text);
		assert_true(read_at(text, cases[i].ms));
		assert_true(offer_share(
		    &reader.plan, &reader.plan.shares[0], padded, 42));
		found = drain(&blocks, &dropped);
		assert_string_equal(found, expected);
		free(found);
	}
}

/* The window that body.c keeps says what window_accepts says. */
static void
window(void **state UNUSED)
{
	static const enum granularity_kind kinds[] = { GRANULARITY_NONE,
		GRANULARITY_MINUTE, GRANULARITY_HOUR, GRANULARITY_WEEK,
		GRANULARITY_MONTH, GRANULARITY_ALL };
	struct ds_conf *ds = &conf->ds[0];
	char text[100];

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		ds->segment_granularity = granularity_of(kinds[i]);
		for (int n = 0; n < 2000; n++) {
			int64_t now = NOW + n * INT64_C(7654321);
			int64_t event = now + (n * 7919 % 4001 - 2000) * 3600;
			bool accepted = window_accepts(
			    &ds->segment_granularity, now, &ds->window, event);

			snprintf(
			    text, sizeof text, "{" T "%lld}", (long long)event);
			assert_true(read_at(text, now));
			assert_int_equal(reader.plan.event_count, accepted);
			assert_int_equal(
			    reader.plan.shares[0].dropped[DROP_WINDOW],
			    !accepted);
		}
	}
	ds->segment_granularity = granularity_of(GRANULARITY_HOUR);
}

/* Many events, sizes of all kinds, through a ring that is smaller. */
static void
piece_by_piece(void **state UNUSED)
{
	enum { EVENTS = 20000 };
	unsigned blocks = 0, dropped = 0;
	struct buf body, found;
	struct body_share *s;
	bool is_done;

	buf_init(&body, sizeof padded);
	buf_init(&found, sizeof padded);
	for (int i = 0; i < EVENTS; i++)
		buf_addf(&body, "{" T "%lld,\"p\":\"%0*d\"}\n",
		    (long long)NOW + i, i * 31 % 500 + 1, i);
	buf_add_text(&body, "{" T "5}");
	assert_true(read_at(buf_text(&body), NOW));
	body.used -= strlen("{" T "5}");
	assert_int_equal(reader.plan.received, EVENTS + 1);
	s = &reader.plan.shares[0];
	assert_int_equal(s->events, EVENTS);
	do {
		char *piece;

		is_done = offer_share(&reader.plan, s, padded, 42);
		assert_int_equal(dropped, 0);
		piece = drain(&blocks, &dropped);
		assert_true(is_done || piece[0] != '\0');
		buf_add_text(&found, piece);
		free(piece);
	} while (!is_done);
	assert_int_equal(dropped, 1);
	assert_int_equal(s->bytes, 0);
	assert_int_equal(found.used, body.used);
	assert_memory_equal(found.bytes, body.bytes, body.used);
	buf_free(&body);
	buf_free(&found);
}

static void
refused(void **state UNUSED)
{
	static const struct {
		const char *text;
		unsigned status;
		const char *error;
	} cases[] = {
		{ "{" T "true}", 400,
		    "Malformed timestamp: event[0]: column 'tä \"x' holds "
		    "true, which is no time in format auto\n" },
		{ "{}{" T
		  "\"0123456789012345678901234567890123456789012345678901234"
		  "5678901ä12\"}",
		    400,
		    "Malformed timestamp: event[1]: column 'tä \"x' holds "
		    "'012345678901234567890123456789012345678901234567890123456"
		    "78901ä...', which is no time in format auto\n" },
		{ "[{},", 400,
		    "Malformed JSON: event[1], at byte 4: the body ends too "
		    "early\n" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_false(read_at(cases[i].text, NOW));
		assert_int_equal(reader.status, cases[i].status);
		assert_string_equal(reader.error, cases[i].error);
	}
}

static void
too_many_or_too_large(void **state UNUSED)
{
	struct buf b;

	buf_init(&b, sizeof padded);
	for (int i = 0; i < 50000; i++)
		buf_add_text(&b, "{}");
	assert_true(read_at(buf_text(&b), NOW));
	buf_add_text(&b, "{}");
	assert_false(read_at(buf_text(&b), NOW));
	assert_int_equal(reader.status, 413);
	buf_reset(&b);
	buf_addf(&b, "{\"a\":\"%0*d\"}", (int)RING / 4, 1);
	assert_false(read_at(buf_text(&b), NOW));
	assert_int_equal(reader.status, 413);
	buf_free(&b);
}

/* The receiver was killed between counting a block and committing it. */
static void
uncommitted_is_not_counted(void **state UNUSED)
{
	struct channel *c = &settings->ds[0].outlet->channel;
	struct channel_header *h = c->header;
	uint64_t events = atomic_load(&h->offered_events);
	uint64_t dropped = atomic_load(&h->offered_dropped);
	unsigned blocks = 0, taken_dropped = 0;
	struct outlets later = { .receiver_bell = -1 };
	struct outlet *successor;

	/* nothing is undone when the block is there */
	assert_true(read_at("{}{}{" T "1}", NOW));
	assert_true(
	    offer_share(&reader.plan, &reader.plan.shares[0], padded, 42));
	successor = outlet_new(&later, dup(c->memory_fd), bell_new());
	assert_true(atomic_load(&h->offered_events) == events + 2);
	assert_true(atomic_load(&h->offered_dropped) == dropped + 1);
	outlet_release(&successor);
	free(drain(&blocks, &taken_dropped));
	/* in one process a ring has one outlet */
	successor = outlet_new(&outlets, dup(c->memory_fd), bell_new());
	assert_ptr_equal(successor, settings->ds[0].outlet);
	outlet_release(&successor);
	/* killed behind the counting of 7 events */
	atomic_store(&h->undo_events, events + 2);
	atomic_store(&h->undo_dropped, dropped + 1);
	atomic_store(&h->undo_tail, ring_tail(ring()) + 800);
	atomic_store(&h->offered_events, events + 9);
	successor = outlet_new(&later, dup(c->memory_fd), bell_new());
	assert_true(atomic_load(&h->offered_events) == events + 2);
	assert_true(atomic_load(&h->offered_dropped) == dropped + 1);
	outlet_release(&successor);
}

/* A Joda pattern: read, replaced by milliseconds, or said why not. */
static void
patterns(void **state UNUSED)
{
	struct timestamp_format *usual = settings->ds[0].format;
	char why[TIMESTAMP_WHY_BYTES];

	settings->ds[0].format =
	    timestamp_format_new("d.M.yyyy HH:mm 'Uhr'", NOW, why);
	assert_true(
	    read_at("{" T "\"12.9.2015 00:46 uhr\"}", INT64_C(1442018760000)));
	assert_int_equal(reader.plan.events[0].ms, INT64_C(1442018760000));
	assert_false(
	    read_at("{" T "\"12.13.2015 00:46 uhr\"}", INT64_C(1442018760000)));
	assert_non_null(strstr(reader.error,
	    "holds '12.13.2015 00:46 uhr', which is no time in format "
	    "d.M.yyyy HH:mm 'Uhr'"));
	timestamp_format_free(&settings->ds[0].format);
	settings->ds[0].format = usual;
}

static void
names_are_cut_between_characters(void **state UNUSED)
{
	static const char text[] =
	    "a\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9"
	    "\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9"
	    "\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9"
	    "\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9"
	    "\u00e9";
	char shown[BODY_SHOWN_BYTES];

	body_show("wiki\n\x7f", 6, shown);
	assert_string_equal(shown, "wiki??");
	/* 64 bytes would end within a character */
	body_show(text, strlen(text), shown);
	assert_int_equal(strlen(shown), 63 + 3);
	assert_memory_equal(shown, text, 63);
	assert_string_equal(shown + 63, "...");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_are_replaced),
		cmocka_unit_test(missing_times_are_put_in),
		cmocka_unit_test(digits),
		cmocka_unit_test(window),
		cmocka_unit_test(piece_by_piece),
		cmocka_unit_test(refused),
		cmocka_unit_test(too_many_or_too_large),
		cmocka_unit_test(uncommitted_is_not_counted),
		cmocka_unit_test(patterns),
		cmocka_unit_test(names_are_cut_between_characters),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
