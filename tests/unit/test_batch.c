/*
 * test_batch - what a batch's value has in it, and which ones are refused
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "json.h"
#include "panic.h"

static const struct interval hour = { 3600000, 7200000 };
static const struct batch_seal seal = {
	.id = 1000, .generation = 77, .now_ms = 5000000, .lane = 3
};

static void
add(struct batch *b, const char *text, uint64_t ticket, unsigned receiver)
{
	struct event e = { .timestamp_ms = hour.start,
		.bytes = strlen(text) & EVENT_BYTES_MAX };

	batch_add(b, &e, text, ticket, receiver);
}

static char *
finish(struct batch *b, size_t *bytes, struct batch_view *v)
{
	char *value = batch_seal(&b, &seal, bytes);

	assert_null(b);
	assert_true(batch_view(value, *bytes, v));
	return value;
}

static void
check_chunk(const struct batch_view *v, unsigned i, const char *expected)
{
	const struct batch_chunk *c = &v->chunks[i];

	assert_true(c->offset + c->bytes <= v->header->body_bytes);
	assert_int_equal(c->bytes, strlen(expected));
	assert_memory_equal(v->body + c->offset, expected, c->bytes);
}

static void
test_value(void **state)
{
	struct batch *b = batch_new(hour, 7, 2);
	struct batch_view v;
	size_t bytes;
	char *value;

	(void)state;
	add(b, "{\"a\":1}", 11, 0);
	add(b, "{\"a\":2}", 11, 0);
	add(b, "{\"a\":3}", 11, 1);
	add(b, "{}", 0, 1);
	add(b, "{\"a\":5}", 12, 1);
	value = finish(b, &bytes, &v);
	assert_int_equal(v.header->id, 1000);
	assert_int_equal(v.header->generation, 77);
	assert_int_equal(v.header->start, hour.start);
	assert_int_equal(v.header->end, hour.end);
	assert_int_equal(v.header->sealed_ms, 5000000);
	assert_int_equal(v.header->partition, 7);
	assert_int_equal(v.header->lane, 3);
	assert_int_equal(v.header->events, 5);
	assert_int_equal(v.header->chunk_count, 3);
	check_chunk(&v, 0, "[{\"a\":1},{\"a\":2}]");
	check_chunk(&v, 1, "[{\"a\":3},{}]");
	check_chunk(&v, 2, "[{\"a\":5}]");
	assert_int_equal(v.chunks[1].first, 2);
	assert_int_equal(v.chunks[1].events, 2);
	assert_int_equal(v.chunks[2].first, 4);
	assert_int_equal(v.chunks[2].events, 1);
	/* one a row of events of one ticket of one receiver */
	assert_int_equal(v.header->ticket_count, 4);
	assert_int_equal(v.tickets[0].ticket, 11);
	assert_int_equal(v.tickets[0].receiver, 0);
	assert_int_equal(v.tickets[0].events, 2);
	assert_int_equal(v.tickets[1].receiver, 1);
	assert_int_equal(v.tickets[1].events, 1);
	assert_int_equal(v.tickets[2].ticket, 0); /* nobody waits for it */
	assert_int_equal(v.tickets[2].events, 1);
	assert_int_equal(v.tickets[3].ticket, 12);
	free(value);
}

/* Those before the first that somebody waits for are a run as well. */
static void
test_runs(void **state)
{
	struct batch *b = batch_new(hour, 7, 2);
	struct batch_view v;
	size_t bytes;
	char *value;

	(void)state;
	add(b, "{}", 0, 1);
	add(b, "{}", 0, 2);
	add(b, "{}", 12, 1);
	value = finish(b, &bytes, &v);
	assert_int_equal(v.header->ticket_count, 2);
	assert_int_equal(v.tickets[0].ticket, 0);
	assert_int_equal(v.tickets[0].events, 2);
	assert_int_equal(v.tickets[1].ticket, 12);
	free(value);
}

/* The same under another label, whole and without its first chunk. */
static void
test_move(void **state)
{
	static const struct interval day = { 0, 86400000 };
	static const struct batch_seal again = {
		.id = 2000, .generation = 77, .now_ms = 5000000, .lane = 1
	};
	struct batch *b = batch_new(hour, 7, 2);
	struct batch_view v, w;
	size_t bytes, moved_bytes;
	char *value, *moved;

	(void)state;
	add(b, "{\"a\":1}", 11, 0);
	add(b, "{\"a\":2}", 11, 0);
	add(b, "{\"a\":3}", 12, 1);
	value = finish(b, &bytes, &v);
	moved = batch_move(&v, &again, day, 5, 0, &moved_bytes);
	assert_true(batch_view(moved, moved_bytes, &w));
	assert_int_equal(w.header->id, 2000);
	assert_int_equal(w.header->start, day.start);
	assert_int_equal(w.header->end, day.end);
	assert_int_equal(w.header->partition, 5);
	assert_int_equal(w.header->lane, 1);
	assert_int_equal(w.header->events, 3);
	assert_int_equal(w.header->ticket_count, 2);
	assert_int_equal(w.header->chunk_count, 2);
	check_chunk(&w, 0, "[{\"a\":1},{\"a\":2}]");
	check_chunk(&w, 1, "[{\"a\":3}]");
	free(moved);
	moved = batch_move(&v, &again, day, 5, 1, &moved_bytes);
	assert_true(batch_view(moved, moved_bytes, &w));
	assert_int_equal(w.header->events, 1);
	assert_int_equal(w.header->ticket_count, 2); /* all are told */
	assert_int_equal(w.tickets[0].events, 2);
	assert_int_equal(w.header->chunk_count, 1);
	check_chunk(&w, 0, "[{\"a\":3}]");
	assert_int_equal(w.chunks[0].first, 0);
	assert_int_equal(w.chunks[0].events, 1);
	free(moved);
	free(value);
}

static void
test_chunks_are_json(void **state)
{
	struct batch *b = batch_new(hour, 0, 1000);
	struct batch_view v;
	unsigned events = 0;
	char text[300], *value;
	size_t bytes;

	(void)state;
	for (int i = 0; i < 12345; i++) {
		snprintf(text, sizeof text, "{\"i\":%d,\"x\":\"%*s\"}", i,
		    i % 200, "");
		add(b, text, 0, 0);
	}
	assert_true(batch_bytes(b) > MiB);
	value = finish(b, &bytes, &v);
	assert_int_equal(v.header->ticket_count, 0);
	for (unsigned c = 0; c < v.header->chunk_count; c++) {
		struct json *j = json_parse(
		    v.body + v.chunks[c].offset, v.chunks[c].bytes, NULL);

		assert_true(v.chunks[c].events <= 1000);
		assert_true(v.chunks[c].bytes <= BATCH_CHUNK_BYTES_MAX);
		assert_int_equal(v.chunks[c].first, events);
		assert_int_equal(json_size(j), v.chunks[c].events);
		for (unsigned i = 0; i < v.chunks[c].events; i++)
			assert_int_equal(
			    json_get_int(json_at(j, i), "i", -1), events++);
		json_free(&j);
	}
	assert_int_equal(events, 12345);
	free(value);
}

/* Bytes end a chunk before events do; one large event has one of its own. */
static void
test_chunk_bytes(void **state)
{
	size_t big = 300 * KiB, half = BATCH_CHUNK_BYTES_MAX / 2;
	char *text = must_calloc(1, big + 1), *value;
	struct batch *b = batch_new(hour, 0, 1000);
	struct batch_view v;
	size_t bytes;

	(void)state;
	memset(text, 'x', big);
	add(b, text, 0, 0);
	text[half - 2] = '\0'; /* two of them, and [,] */
	add(b, text, 0, 0);
	add(b, text, 0, 0);
	add(b, "{}", 0, 0);
	value = finish(b, &bytes, &v);
	assert_int_equal(v.header->chunk_count, 3);
	assert_int_equal(v.chunks[0].bytes, big + 2);
	assert_int_equal(v.chunks[1].bytes, BATCH_CHUNK_BYTES_MAX - 1);
	assert_int_equal(v.chunks[1].events, 2);
	assert_int_equal(v.chunks[2].events, 1);
	free(value);
	free(text);
}

/* Padding before the tables, whatever the body's length. */
static void
test_all_lengths(void **state)
{
	(void)state;
	for (int n = 0; n < 20; n++) {
		struct batch *b = batch_new(hour, 0, 10);
		struct batch_view v;
		char text[32], *value;
		size_t bytes;

		snprintf(text, sizeof text, "{%*s}", n, "");
		add(b, text, 5, 0);
		value = finish(b, &bytes, &v);
		assert_int_equal((uintptr_t)v.tickets % 8, 0);
		assert_int_equal(v.tickets[0].ticket, 5);
		assert_int_equal(v.chunks[0].bytes, n + 4);
		free(value);
	}
}

/* What waits in memory is counted by its length. */
static void
test_no_slack(void **state)
{
	struct batch *b = batch_new(hour, 0, 10);
	struct batch_view v;
	size_t bytes;
	char *value;

	(void)state;
	add(b, "{}", 0, 0);
	value = finish(b, &bytes, &v);
	assert_true(malloc_usable_size(value) < bytes + 64);
	free(value);
}

static char *
sample(size_t *bytes)
{
	struct batch *b = batch_new(hour, 0, 2);
	struct batch_view v;

	for (int i = 0; i < 5; i++)
		add(b, "{\"n\":12345}", 9, 0);
	return finish(b, bytes, &v);
}

static void
test_every_damaged_byte_is_noticed(void **state)
{
	struct batch_view v;
	size_t bytes;
	char *value = sample(&bytes);

	(void)state;
	for (size_t i = 0; i < bytes; i++) {
		for (int bit = 0; bit < 8; bit++) {
			value[i] = (char)(value[i] ^ 1 << bit);
			assert_false(batch_view(value, bytes, &v));
			value[i] = (char)(value[i] ^ 1 << bit);
		}
	}
	assert_true(batch_view(value, bytes, &v));
	free(value);
}

static void
test_every_length_is_noticed(void **state)
{
	struct batch_view v;
	size_t bytes;
	char *value = sample(&bytes);

	(void)state;
	for (size_t n = 0; n < bytes; n++) {
		char *cut = must_malloc(n); /* ASan watches its end */

		memcpy(cut, value, n);
		assert_false(batch_view(cut, n, &v));
		free(cut);
	}
	free(value);
}

static void
test_given_up(void **state)
{
	struct batch *b = batch_new(hour, 0, 2), *none = NULL;

	(void)state;
	for (int i = 0; i < 100; i++)
		add(b, "{}", (uint64_t)i + 1, 0);
	batch_free(&b);
	assert_null(b);
	batch_free(&none);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_value),
		cmocka_unit_test(test_runs),
		cmocka_unit_test(test_move),
		cmocka_unit_test(test_chunks_are_json),
		cmocka_unit_test(test_chunk_bytes),
		cmocka_unit_test(test_all_lengths),
		cmocka_unit_test(test_no_slack),
		cmocka_unit_test(test_every_damaged_byte_is_noticed),
		cmocka_unit_test(test_every_length_is_noticed),
		cmocka_unit_test(test_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
